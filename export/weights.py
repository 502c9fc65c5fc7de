"""Weights from a safetensors file into a network, with an error that says what does not fit."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn


class WeightsError(ValueError):
    """A file of weights is unreadable or belongs to another network."""


def load_weights(model: nn.Module, path: Path) -> None:
    """Fills ``model`` in place; half-precision tensors are widened. Raises ``WeightsError``, ``FileNotFoundError``."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: {error}") from error
    known = model.state_dict()
    missing, unexpected = sorted(known.keys() - tensors.keys()), sorted(tensors.keys() - known.keys())
    if missing or unexpected:
        raise WeightsError(f"{path}: missing {_some(missing)}; unexpected {_some(unexpected)}")
    misfits = [f"{key} {tuple(tensors[key].shape)}" for key, own in known.items() if own.shape != tensors[key].shape]
    if misfits:
        raise WeightsError(f"{path}: other shapes than the network's: {_some(misfits)}")
    model.load_state_dict(tensors)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
