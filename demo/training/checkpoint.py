"""What training keeps: fp16 weights on disk, and a moving average of the weights in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


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


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().half().contiguous() if tensor.is_floating_point() else tensor.detach().contiguous()
