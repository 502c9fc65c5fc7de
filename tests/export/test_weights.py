import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.weights import WeightsError, load_weights, read_checkpoint, read_weights


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


def test_a_training_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pth.tar"
    state = {f"module.{name}": tensor for name, tensor in nn.Linear(2, 1).state_dict().items()}
    record = {"state_dict": state, "epoch": 60, "rank1": np.float64(0.9), "optimizer": {"lr": np.float32(1e-3)}}
    for is_zip in (True, False):
        torch.save(record, path, _use_new_zipfile_serialization=is_zip)
        assert sorted(read_checkpoint(path)) == ["bias", "weight"]
        assert sorted(read_weights(path)) == ["bias", "weight"]


class Harmful:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harm"),)


def corrupt(path: Path) -> None:
    path.write_bytes(b"\x89PNG and no more")


def truncated(path: Path) -> None:
    torch.save(nn.Linear(50, 50).state_dict(), path)
    path.write_bytes(path.read_bytes()[:3000])


def truncated_within_a_tensor(path: Path) -> None:
    torch.save(nn.Linear(50, 50).state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.touch()


def harmful(path: Path) -> None:
    torch.save({"state_dict": {"weight": Harmful()}}, path)


def harmful_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Harmful()))


def whole_module(path: Path) -> None:
    torch.save(nn.Linear(2, 1), path)


def no_tensors(path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "bias": "none"}, path)


def a_number(path: Path) -> None:
    torch.save(3, path)


@pytest.mark.parametrize(
    "write",
    [
        corrupt,
        truncated,
        truncated_within_a_tensor,
        empty,
        harmful,
        harmful_pickle,
        whole_module,
        no_tensors,
        a_number,
    ],
)
def test_a_bad_checkpoint_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("bad.pt")
    write(path)
    with pytest.raises(WeightsError, match=r"^bad\.pt: ") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert not Path("harm").exists()


@pytest.mark.parametrize(("write", "called"), [(harmful, "getattr"), (whole_module, r"torch\.nn\.\S*\.Linear")])
def test_what_a_checkpoint_would_run_is_named(tmp_path: Path, write: Callable[[Path], None], called: str) -> None:
    write(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=rf"it wants to call {called}, and only tensors are read: save a state dict"):
        read_checkpoint(tmp_path / "w.pt")


def test_infinities_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.tensor([[1.0, torch.inf]]), "bias": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not finite: weight"):
        load_weights(nn.Linear(2, 1), path)


def test_no_broken_byte_escapes(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(nn.Linear(3, 2).state_dict(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with suppress(WeightsError):
            read_checkpoint(path)
        path.write_bytes(whole[:at])
        with pytest.raises(WeightsError, match=r"w\.pt: "):
            read_checkpoint(path)
