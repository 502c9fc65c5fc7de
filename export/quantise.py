"""A Re-ID model in int8: scales measured on the user's own video and written into the graph as Q/DQ pairs.

As TensorRT asks for: symmetric int8, one scale for each output channel of the weights, and pairs at the inputs of
convolutions and of products with weights only. A pair at their outputs as well would squeeze values before their
activation into 255 steps, most of which the activation then throws away: on corridor footage that took the lowest
cosine of the demo's model from 0.98 to 0.86. Products of two activations, normalisations and the softmax stay as they
are.

What it costs is measured on crops that were kept from the calibration.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.calibration import CalibrationError, UInt8, open_onnx
from export.files import written_aside
from export.onnx_file import ModelSource
from export.precision import LEAST_CROPS, Precision

PRODUCTS = ("Conv", "Gemm", "MatMul")
BATCH = 8
HELD_OUT = 4
"""Of so many crops, one is kept for the measurement."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cost:
    """What int8 does to the embeddings of crops that it was not calibrated on, and to the time in ONNX Runtime."""

    crops: int
    mean_cosine: float
    lowest_cosine: float
    """Between a crop's embedding by the model as it was and by the int8 one."""
    ms: float
    int8_ms: float
    """Milliseconds a crop on this machine's CPU, at batches of ``BATCH``, measured in turns; the medians."""

    def __str__(self) -> str:
        return (
            f"{self.crops} crops kept apart: cosine to the model as it was {self.mean_cosine:.4f} in the mean, "
            f"{self.lowest_cosine:.4f} at the lowest; {self.int8_ms:.1f} ms a crop on this CPU, {self.ms:.1f} before"
        )


def quantise(path: Path, crops: UInt8, out: Path) -> Cost:
    """Writes the Re-ID model at ``path`` in int8 to ``out``, calibrated on three in four of ``crops``.

    Args:
        path: an ONNX file of ``export.reid`` in fp32.
        crops: [M, 256, 128, 3] RGB, at least ``LEAST_CROPS``.
        out: replaced by an atomic rename.

    Raises ``CalibrationError`` for too few crops and for another model; ``FileNotFoundError``, ``OSError``.
    """
    if len(crops) < LEAST_CROPS:
        raise CalibrationError(f"{len(crops)} crops of people were found; at least {LEAST_CROPS} are needed")
    check_quantisable(path)
    kept = np.arange(len(crops)) % HELD_OUT == HELD_OUT - 1
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(out) as partial:
        write_int8(path, "crops", _batches(crops[~kept]), partial)
        return _cost(open_onnx(path), open_onnx(partial), crops[kept])


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, batches: Iterator[UInt8]) -> None:
        self._name, self._batches = name, batches

    def get_next(self) -> dict[str, UInt8] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def check_quantisable(path: Path) -> None:
    """Raises ``CalibrationError`` unless there is a Re-ID model in fp32 at ``path``; ``FileNotFoundError``."""
    if input_of(path) != "crops":
        raise CalibrationError(f"{path}: not a Re-ID model: its input is not 'crops'")


def input_of(path: Path) -> str:
    """The name of what an exported model in fp32 takes. Raises ``CalibrationError``; ``FileNotFoundError``."""
    inputs = {tensor.name: tensor.type for tensor in open_onnx(path).get_inputs()}
    if len(inputs) != 1 or set(inputs.values()) != {"tensor(uint8)"}:
        raise CalibrationError(f"{path}: not an exported model: its inputs are {', '.join(inputs)}")
    graph = onnx.load(path).graph
    kinds = {tensor.data_type for tensor in graph.initializer}
    if onnx.TensorProto.FLOAT16 in kinds or any(node.op_type == "QuantizeLinear" for node in graph.node):
        raise CalibrationError(f"{path}: only a model in fp32 can be quantised")
    (name,) = inputs
    return str(name)


def write_int8(path: Path, name: str, batches: Iterator[UInt8], out: Path, part: str = "") -> None:
    """Writes a model with input ``name`` in int8, its scales measured on ``batches``.

    Only products whose weights' names begin with ``part`` are quantised.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime advises a preparation that the export has done
    try:
        quantize_static(
            str(path),
            str(out),
            _Rows(name, batches),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_quantize=_products_with_weights(path, part),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
            },
        )
    finally:
        root.setLevel(level)
    _name(out, path)


def _products_with_weights(path: Path, part: str) -> list[str]:
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer if tensor.name.startswith(part)}
    return [node.name for node in graph.node if node.op_type in PRODUCTS and node.input[1] in weights]


def _name(path: Path, origin: Path) -> None:
    """Says what the model was made from. Its embeddings are others than those of ``origin``, so its id is too."""
    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in onnx.load(origin).metadata_props}
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        digest.update(tensor.SerializeToString(deterministic=True))
    source = ModelSource(
        f"{properties.get('architecture', origin.stem)}_{Precision.INT8}", digest.hexdigest(), Precision.INT8
    )
    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model,
        {
            "architecture": source.architecture,
            "weights_digest": source.weights_digest,
            "precision": source.precision.value,
        },
    )
    onnx.save(model, path)


def _cost(before: onnxruntime.InferenceSession, after: onnxruntime.InferenceSession, crops: UInt8) -> Cost:
    cosines: list[Float32] = []
    times: dict[str, list[float]] = {"before": [], "after": []}
    for batch in _batches(crops):
        expected, got = _timed(before, batch, times["before"]), _timed(after, batch, times["after"])
        cosines.append((expected * got).sum(axis=1))
    cosine = np.concatenate(cosines)
    ms, int8_ms = (float(np.median(spent)) * 1e3 for spent in times.values())
    return Cost(len(crops), float(cosine.mean()), float(cosine.min()), ms, int8_ms)


def _timed(session: onnxruntime.InferenceSession, batch: UInt8, times: list[float]) -> Float32:
    """The embeddings [M, D]; adds the seconds a crop to ``times``."""
    start = time.perf_counter()
    (embeddings,) = session.run(["embeddings"], {"crops": batch})
    times.append((time.perf_counter() - start) / len(batch))
    return np.asarray(embeddings, np.float32)


def _batches(crops: UInt8) -> Iterator[Any]:
    return (crops[at : at + BATCH] for at in range(0, len(crops), BATCH))
