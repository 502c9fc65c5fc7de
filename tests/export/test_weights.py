from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.weights import WeightsError, load_weights


def test_half_precision_is_widened(tmp_path: Path) -> None:
    layer = nn.Linear(2, 1)
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.tensor([[1.0, 2.0]]).half(), "bias": torch.tensor([3.0]).half()}, path)
    load_weights(layer, path)
    assert layer.weight.dtype == torch.float32
    assert layer(torch.tensor([1.0, 1.0])).item() == 6.0


def test_other_names_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(1, 2), "extra": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="missing bias; unexpected extra"):
        load_weights(nn.Linear(2, 1), path)


def test_other_shapes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"weight \(1, 3\)"):
        load_weights(nn.Linear(2, 1), path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        load_weights(nn.Linear(2, 1), path)
