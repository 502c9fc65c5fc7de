"""A real OSNet: torchreid's weights for MSMT17, lifted out of an ONNX file into torchreid's checkpoint form."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from export.embedders import load_embedder
from export.onnx_models import export_reid_file
from export.osnet import OsNet
from export.precision import Precision
from tests.export.conftest import DATA, open_session

PUBLISHED = DATA / "weights" / "osnet_x0_25_msmt17.onnx"
PHOTOS = DATA / "pennfudan"
CROPS = 12
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(not PUBLISHED.is_file() or not PHOTOS.is_dir(), reason=f"no OSNet or pennfudan under {DATA}"),
]


def convolutions_as_they_run(network: nn.Module) -> list[str]:
    ran: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 256, 128))
    return ran


def lifted(path: Path) -> dict[str, Tensor]:
    """The file's convolutions hold their batch normalisation; it becomes a scale of 1 and a bias."""
    graph = onnx.load(path).graph
    values = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}
    body = OsNet("osnet_x0_25").body
    state = {name: torch.zeros_like(tensor) for name, tensor in body.state_dict().items()}
    state |= {name: torch.ones_like(tensor) - 1e-5 for name, tensor in state.items() if name.endswith("running_var")}
    state |= {name: torch.ones_like(state[name]) for name in state if name.endswith("bn.weight")}
    state |= {name: tensor for name, tensor in values.items() if name in state}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    for node, name in zip(nodes, convolutions_as_they_run(body), strict=True):
        state[f"{name}.weight"] = values[node.input[1]]
        if len(node.input) == 3:
            bias = f"{name}.bias" if f"{name}.bias" in state else f"{name.rpartition('.')[0]}.bn.bias"
            state[bias] = values[node.input[2]]
    return state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("osnet") / "osnet_x0_25_msmt17.pt"
    state = {f"module.{name}": tensor for name, tensor in lifted(PUBLISHED).items()}
    torch.save({"state_dict": {**state, "module.classifier.weight": torch.zeros(4101, 512)}, "epoch": 180}, path)
    return path


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """UINT8 [12, 256, 128, 3] RGB: people in street photos."""
    boxes = json.loads((PHOTOS / "boxes_xyxy.json").read_text())
    found = []
    for name, people in sorted(boxes.items()):
        image = cv2.imread(str(PHOTOS / "images" / Path(name).with_suffix(".jpg").name))
        for left, top, right, bottom in np.array(people, int):
            found.append(cv2.resize(image[top:bottom, left:right, ::-1], (128, 256)))
    return np.stack(found[:CROPS])


@pytest.mark.parametrize(("precision", "least_cosine"), [(Precision.FP32, 0.99999), (Precision.FP16, 0.9999)])
def test_answers_as_the_published_file(
    checkpoint: Path, crops: np.ndarray, tmp_path: Path, precision: Precision, least_cosine: float
) -> None:
    assert load_embedder(checkpoint).name == "osnet_x0_25"
    export_reid_file(None, checkpoint, tmp_path / "osnet.onnx", precision=precision)
    (embeddings,) = open_session(tmp_path / "osnet.onnx").run(["embeddings"], {"crops": crops})
    published = onnxruntime.InferenceSession(str(PUBLISHED), providers=["CPUExecutionProvider"])
    pixels = ((crops / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    expected = np.concatenate([published.run(None, {"images": row[None]})[0] for row in pixels])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (embeddings * expected).sum(axis=1).min() > least_cosine
    assert (expected @ expected.T)[~np.eye(CROPS, dtype=bool)].max() < 0.99
