"""The demo's models and their exported files, made once; pictures of simulated people that no training saw."""

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision.models.detection import FasterRCNN

from demo.site.samples import detection_samples
from export.architectures import build_detector
from export.onnx_models import export_detector_file, export_reid_file
from export.weights import load_weights
from tests.export.boxmot16 import write_answers

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "demo" / "models"
DATA = Path(os.environ.get("SPOTON_TEST_DATA", ROOT.parent / "shared" / "data"))
HEIGHT, WIDTH = 192, 320
PICTURES_SEED = 95_000


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """UINT8 [4, HEIGHT, WIDTH, 3]: simulated people, the last picture black."""
    frames = islice(detection_samples(PICTURES_SEED, width=WIDTH, height=HEIGHT, frames_per_place=1), 3)
    return np.stack([*(frame.rgb for frame in frames), np.zeros((HEIGHT, WIDTH, 3), np.uint8)])


@pytest.fixture(scope="session")
def detector() -> FasterRCNN:
    """The demo detector at a small size, with low thresholds so that many detections are compared."""
    torch.set_num_threads(1)
    model = build_detector("fasterrcnn_csp_pan", height=HEIGHT, width=WIDTH)
    load_weights(model, MODELS / "detector.safetensors")
    return model.eval()


@pytest.fixture(scope="session")
def detector_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detector") / "model.onnx"
    weights = MODELS / "detector.safetensors"
    export_detector_file("fasterrcnn_csp_pan", weights, path, height=HEIGHT, width=WIDTH)
    return path


@pytest.fixture(scope="session")
def reid_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reid") / "model.onnx"
    export_reid_file("lite0_bands", MODELS / "reid.safetensors", path)
    return path


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def boxmot16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of random checkpoints in published form and ``answers.npz``, what BoxMOT 16 makes of them."""
    folder = tmp_path_factory.mktemp("boxmot16")
    write_answers(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def clip_onnx(boxmot16: Path) -> Path:
    path = boxmot16 / "clip.onnx"
    export_reid_file(None, boxmot16 / "clip_market1501.pt", path)
    return path
