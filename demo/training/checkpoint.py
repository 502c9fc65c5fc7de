"""What training keeps: fp16 weights, a moving average of the weights, and the state to go on from after a kill."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from demo.training.photos import LABELS

SETS = ("pennfudan", "coco_people")


def save_weights(model: nn.Module, path: Path) -> None:
    """The state of ``model`` as safetensors, floating-point tensors in fp16, by an atomic rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: _half(tensor) for key, tensor in model.state_dict().items()}
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)


class Average:
    """A moving average of a model's weights, which does better than the last step of a short training."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.steps = 0
        self.tensors = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the model's present weights; young averages forget faster."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[key].lerp_(tensor, 1 - decay)
            else:
                self.tensors[key].copy_(tensor)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged tensors."""
        return dict(self.tensors)


class CheckpointError(ValueError):
    """What lies beside the weights is no state that this training can go on from."""


@dataclass
class Learner:
    """All that changes from step to step, but for torch's randomness."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: Average
    step: int = 0
    """Steps that are done."""


@dataclass(frozen=True)
class Checkpoint:
    """The file beside ``out`` from which a killed training goes on, and the settings that it belongs to."""

    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where it lies until the training is over."""
        return self.out.with_suffix(".checkpoint")

    def save(self, learner: Learner) -> None:
        """Writes the learner and torch's randomness, all of it or nothing."""
        state = {
            "settings": dict(self.settings),
            "step": learner.step,
            "model": learner.model.state_dict(),
            "optimiser": learner.optimiser.state_dict(),
            "average": learner.average.state_dict(),
            "randomness": torch.get_rng_state(),
        }
        partial = self.path.with_suffix(".checkpoint.part")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def check(self) -> bool:
        """Whether there is one; raises ``CheckpointError`` where it is of a training with other settings."""
        return bool(self._read()) if self.path.exists() else False

    def restore(self, learner: Learner) -> None:
        """Puts the learner and torch's randomness where ``save`` found them. Raises ``CheckpointError``."""
        state = self._read()
        learner.model.load_state_dict(state["model"])
        learner.optimiser.load_state_dict(state["optimiser"])
        for key, tensor in state["average"].items():
            learner.average.tensors[key].copy_(tensor)
        learner.average.steps = learner.step = state["step"]
        torch.set_rng_state(state["randomness"])

    def remove(self) -> None:
        """The training is over, or is to begin anew."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True)
            settings = state["settings"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError):
            raise CheckpointError(f"{self.path} is damaged: begin anew with --fresh") from None
        known = {**settings, **self.settings}
        other = [name for name in known if settings.get(name) != self.settings.get(name)]
        if other:
            told = ", ".join(f"{name} {settings.get(name)}, not {self.settings.get(name)}" for name in other)
            raise CheckpointError(f"{self.path} is of a training with {told}: go on with that or begin with --fresh")
        return state


def digest(path: Path) -> str:
    """What tells one file from another; raises ``OSError`` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def sources(data: Path, start: Path | None) -> dict[str, str]:
    """Which photos and which first weights a training is made from. Raises ``OSError``."""
    photos = {name: digest(data / name / LABELS) for name in SETS}
    return {**photos, "start": "none" if start is None else digest(start)}


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().half().contiguous() if tensor.is_floating_point() else tensor.detach().contiguous()
