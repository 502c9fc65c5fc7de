"""Weights from a file into a network, with an error that says what does not fit.

Files of weights are safetensors, or checkpoints as ``torch.save`` writes them; no code in them is ever run.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

SAFETENSORS = ".safetensors"
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
"""How ``torch.load`` says what a file holds beside tensors."""
PARALLEL = "module."
"""What ``nn.DataParallel`` puts before each name."""


class WeightsError(ValueError):
    """A file of weights is unreadable or belongs to another network."""


def load_weights(model: nn.Module, path: Path) -> None:
    """Fills ``model`` in place; half-precision tensors are widened. Raises ``WeightsError``, ``FileNotFoundError``."""
    fill(model, read_safetensors(path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or, by any other name, of a PyTorch checkpoint.

    Raises ``WeightsError``, ``FileNotFoundError``.
    """
    return read_safetensors(path) if path.suffix == SAFETENSORS else read_checkpoint(path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises ``WeightsError``, ``FileNotFoundError``."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: {error}") from error


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that ``torch.save`` wrote: a state dict, or a training's record that holds one.

    Only tensors, plain values and numpy's scalars are read, whatever else the file would run.
    Raises ``WeightsError``, ``FileNotFoundError``.
    """
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_numpy_scalars()):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a broken pickle raises whatever its bytes happen to say
        raise WeightsError(f"{path}: not a readable checkpoint: {_first_sentence(error)}") from error
    return _tensors(found, path)


def fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    published: Callable[[str], str] = lambda name: name,
) -> None:
    """Fills ``model`` in place from ``tensors``, which use the names that ``published`` gives for the model's own.

    Raises ``WeightsError``, in the words of the file at ``path``.
    """
    known = {published(name): own for name, own in model.state_dict().items()}
    missing = sorted(name for name in known.keys() - tensors.keys() if not name.endswith("num_batches_tracked"))
    unexpected = sorted(tensors.keys() - known.keys())
    if missing or unexpected:
        raise WeightsError(f"{path}: missing {_some(missing)}; unexpected {_some(unexpected)}")
    misfits = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own.shape)}"
        for name, own in known.items()
        if name in tensors and own.shape != tensors[name].shape
    ]
    if misfits:
        raise WeightsError(f"{path}: other shapes than the network's: {_some(misfits)}")
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{path}: not finite: {_some(broken)}")
    with torch.no_grad():
        for name, own in known.items():
            if name in tensors:
                own.copy_(tensors[name])


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise WeightsError(f"{path}: holds no state dict but a {type(found).__name__}")
    others = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(f"{path}: no tensors: {_some(others)}")
    return {str(name).removeprefix(PARALLEL): tensor for name, tensor in found.items()}


def _numpy_scalars() -> list[Any]:
    """What a numpy number in a training's record is rebuilt with, under its old and its new name."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]


def _first_sentence(error: Exception) -> str:
    refused = _REFUSED.search(str(error))
    if refused is not None:
        return f"it wants to call {refused[1]}, and only tensors are read: save a state dict"
    return str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
