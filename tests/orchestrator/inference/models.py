"""A repository of tiny models for a real Triton: two that fit the contract, and some that do not."""

from __future__ import annotations

from pathlib import Path

INPUT_HW = (48, 64)
DETECTIONS = 4

DETECTOR = '''
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Finds the rectangle of bright pixels: once surely, once faintly and half beyond the frame, then padding."""

    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "images").as_numpy()) for request in requests]

    def answer(self, images):
        boxes, scores = np.zeros((len(images), 4, 4), np.float32), np.zeros((len(images), 4), np.float32)
        for image, box, score in zip(images, boxes, scores):
            rows, columns = np.nonzero(image[..., 0] > 200)
            if len(rows):
                box[0] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                box[1] = box[0]
                box[1, 0] = -500
                score[:3] = 0.9, 0.3, 0.05
        tensors = [pb.Tensor("boxes", boxes), pb.Tensor("scores", scores)]
        return pb.InferenceResponse(tensors)
'''

REID = '''
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """The mean colour of the crop, the share of bright rows, and how many crops came with it, normalised."""

    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "crops").as_numpy()) for request in requests]

    def answer(self, crops):
        if (crops[:, 0, 0] == 13).all() and len(crops) == 1:
            return pb.InferenceResponse(error=pb.TritonError("these crops are unlucky"))
        values = np.concatenate([crops.mean((1, 2)), np.full((len(crops), 1), len(crops))], 1).astype(np.float32)
        return pb.InferenceResponse([pb.Tensor("embeddings", values / np.linalg.norm(values, axis=1, keepdims=True))])
'''

SLOW = '''
import time
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Says nothing for a while."""

    def execute(self, requests):
        time.sleep(2.0)
        empty = [pb.Tensor("boxes", np.zeros((1, 4, 4), np.float32)), pb.Tensor("scores", np.zeros((1, 4), np.float32))]
        return [pb.InferenceResponse(empty) for _ in requests]
'''

IMAGES = ("images", "UINT8", [*INPUT_HW, 3])
BOXES = ("boxes", "FP32", [DETECTIONS, 4])
SCORES = ("scores", "FP32", [DETECTIONS])
CROPS = ("crops", "UINT8", [256, 128, 3])
EMBEDDINGS = ("embeddings", "FP32", [4])


def _tensors(kind: str, tensors: list[tuple[str, str, list[int]]]) -> str:
    return "".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_{datatype} dims: {dims} }}\n' for name, datatype, dims in tensors
    )


def _write(folder: Path, name: str, code: str, inputs, outputs, *, max_batch_size: int = 2, more: str = "") -> None:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.py").write_text(code)
    config = f'backend: "python"\nmax_batch_size: {max_batch_size}\ninstance_group {{ count: 1 kind: KIND_CPU }}\n'
    (folder / name / "config.pbtxt").write_text(config + _tensors("input", inputs) + _tensors("output", outputs) + more)


def write_models(folder: Path) -> Path:
    """Writes the repository."""
    named = 'parameters { key: "model_id" value { string_value: "bright-1a2b" } }\n'
    _write(folder, "person_detector", DETECTOR, [IMAGES], [BOXES, SCORES], more=named)
    _write(folder, "person_reid", REID, [CROPS], [EMBEDDINGS], max_batch_size=3)
    _write(folder, "slow_detector", SLOW, [IMAGES], [BOXES, SCORES])
    _write(folder, "float_detector", DETECTOR, [("images", "FP32", [*INPUT_HW, 3])], [BOXES, SCORES])
    _write(folder, "scoreless_detector", DETECTOR, [IMAGES], [BOXES])
    _write(folder, "shapeless_detector", DETECTOR, [("images", "UINT8", [-1, -1, 3])], [BOXES, SCORES])
    _write(folder, "square_reid", REID, [("crops", "UINT8", [128, 128, 3])], [EMBEDDINGS])
    return folder
