import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from export import detectors
from export.architectures import UnknownArchitectureError, build_detector
from export.detectors import Published, load_detector, published
from export.weights import WeightsError
from tests.export.conftest import MODELS

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
SIZE = {"height": 64, "width": 96}
CLASSES = 3


@pytest.fixture(scope="module")
def model() -> FasterRCNN:
    return build_detector(SMALL, CLASSES, **SIZE)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch would keep what it downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def as_published(model: nn.Module) -> dict[str, Tensor]:
    """As torchvision's files are: names from before its modules nested, and no counts of batches."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        nested = parts[:2] == ["backbone", "fpn"] or parts[:3] == ["rpn", "head", "conv"]
        if not name.endswith("num_batches_tracked"):
            tensors[".".join([*parts[:-1], parts[-1]] if not nested else _flat(parts))] = tensor
    return tensors


def _flat(parts: list[str]) -> list[str]:
    return [*parts[:3], parts[-1]] if parts[0] == "rpn" else [*parts[:4], parts[-1]]


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_published_weights_are_taken_from_torchs_cache_under_their_old_names(model: FasterRCNN, cache: Path) -> None:
    cache.mkdir(parents=True)
    torch.save(as_published(model), cache / published(SMALL)["COCO_V1"].file_name)
    loaded = load_detector(SMALL, "COCO_V1", **SIZE)
    assert same(loaded, model)
    assert loaded.roi_heads.box_predictor.cls_score.out_features == CLASSES
    assert not loaded.training


def test_torchvision_reads_the_old_names_alike(model: FasterRCNN) -> None:
    theirs = build_detector(SMALL, CLASSES, **SIZE)
    theirs.load_state_dict(as_published(model), strict=False)
    assert same(theirs, model)


def test_published_files_are_known_by_name_and_digest() -> None:
    known = published("fasterrcnn_resnet50_fpn")["COCO_V1"]
    assert (known.file_name, known.hash_prefix) == ("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", "258fb6c6")
    assert published("fasterrcnn_csp_pan") == {}


def test_the_published_resnet_adds_nothing_to_its_variances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "fasterrcnn_resnet50_fpn"
    torch.save(build_detector(name, 2, **SIZE).state_dict(), tmp_path / "w.pth")
    epsilons = []
    for digest in ("0" * 8, detectors._digest(tmp_path / "w.pth")[:8]):
        monkeypatch.setattr(detectors, "published", lambda _, d=digest: {"V1": Published("V1", f"x://h/n-{d}.pth")})
        loaded = load_detector(name, str(tmp_path / "w.pth"), **SIZE)
        epsilons.append({part.eps for part in loaded.modules() if isinstance(part, nn.BatchNorm2d)})
    assert epsilons == [{1e-5}, {0.0}]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=rf"COCO_V9: neither a file nor .* published weights of {SMALL}: COCO_V1"):
        load_detector(SMALL, "COCO_V9", **SIZE)
    with pytest.raises(UnknownArchitectureError, match="'yolo'; known: fasterrcnn_csp_pan, fasterrcnn_mobilenet"):
        load_detector("yolo", "COCO_V1", **SIZE)
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        load_detector(SMALL, "absent.pth", **SIZE)


def test_what_does_not_fit_is_named(model: FasterRCNN, tmp_path: Path) -> None:
    tensors = as_published(model)
    tensors["roi_heads.mask.weight"] = tensors.pop("roi_heads.box_head.fc6.bias")
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"missing roi_heads.box_head.fc6.bias; unexpected roi_heads.mask.weight"):
        load_detector(SMALL, str(tmp_path / "w.pth"), **SIZE)
    with pytest.raises(WeightsError, match=r"detector\.safetensors: missing "):
        load_detector(SMALL, str(MODELS / "detector.safetensors"), **SIZE)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: missing roi_heads.box_predictor.cls_score.bias"):
        load_detector(SMALL, str(tmp_path / "w.pth"), **SIZE)


def test_a_size_off_the_stride_is_refused_before_anything_is_fetched() -> None:
    with pytest.raises(ValueError, match="multiples of 32, got 720 x 1280"):
        load_detector(SMALL, "COCO_V1", height=720, width=1280)


@pytest.fixture
def silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/model-0123abcd.pth"


def test_a_server_that_says_nothing_is_given_up(
    silent_server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectors, "DOWNLOAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(detectors, "published", lambda _: {"COCO_V1": Published("COCO_V1", silent_server)})
    with pytest.raises(
        WeightsError, match=r"COCO_V1: no download from http://.*model-0123abcd\.pth to .*: .*timed out"
    ):
        load_detector(SMALL, "COCO_V1", **SIZE)
    assert list(cache.iterdir()) == []
    assert socket.getdefaulttimeout() is None
