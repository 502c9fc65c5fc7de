import resource
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.onnx_file import ModelSource, OnnxInterface, digest_of, save_onnx

SOURCE = ModelSource("halver", "0123456789abcdef")


class Halver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.5]))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


def write(folder: Path) -> Path:
    path = folder / "halver.onnx"
    save_onnx(Halver(), torch.zeros(2, 3), path, OnnxInterface(("values",), ("halves",)), SOURCE)
    return path


def test_the_same_weights_give_the_same_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()
    assert [file.name for file in first.parent.iterdir()] == ["halver.onnx"]
    assert __file__.encode() not in first.read_bytes()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    before = write(tmp_path).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["halver.onnx"]
    assert (tmp_path / "halver.onnx").read_bytes() == before


def test_the_file_says_what_it_was_made_from(tmp_path: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(write(tmp_path)).metadata_props}
    assert properties == {"architecture": "halver", "weights_digest": "0123456789abcdef", "precision": "fp32"}
    assert SOURCE.model_id == "halver-0123456789ab"


def test_the_digest_follows_the_weights() -> None:
    network, other = Halver(), Halver()
    assert digest_of(network) == digest_of(other)
    with torch.no_grad():
        other.factor += 1e-3
    assert digest_of(network) != digest_of(other)
