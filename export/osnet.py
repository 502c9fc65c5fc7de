"""OSNet from torchreid's checkpoints; the architecture is BoxMOT's, which keeps torchreid's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from boxmot.reid.backbones.families import osnet
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from export.weights import WeightsError, fill

STEM = "conv1.conv.weight"
WIDTHS: Mapping[int, str] = MappingProxyType({64: "x1_0", 48: "x0_75", 32: "x0_5", 16: "x0_25"})
"""Channels of the stem to the name of the width."""
NAMES = (*(f"osnet{kind}_{width}" for kind in ("", "_ain") for width in WIDTHS.values()), "osnet_ibn_x1_0")
TRAINING_ONLY = "classifier."


class OsNet(nn.Module):
    """RGB in 0..1 [M, 3, 256, 128] -> features [M, 512], not yet normalised; pixels by ImageNet's statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)
        self.body = getattr(osnet, name)(num_classes=1, pretrained=False)
        self.body.classifier = nn.Identity()

    def forward(self, crops: Tensor) -> Tensor:
        """RGB in 0..1 [M, 3, 256, 128] -> [M, 512]."""
        features: Tensor = self.body((crops - self.mean) / self.std)
        return features


def osnet_name(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Which of ``NAMES`` a checkpoint read from ``path`` is; raises ``WeightsError`` for another width."""
    width = WIDTHS.get(tensors[STEM].shape[0])
    if width is None:
        raise WeightsError(f"{path}: no OSNet has a stem of {tensors[STEM].shape[0]} channels ({STEM})")
    if any(name.startswith("pool2.") for name in tensors):
        return f"osnet_ain_{width}"
    return f"osnet_ibn_{width}" if "conv2.0.IN.weight" in tensors else f"osnet_{width}"


def load_osnet(name: str, tensors: Mapping[str, Tensor], path: Path) -> OsNet:
    """The network ``name`` of ``NAMES``, filled; raises ``WeightsError`` for a checkpoint that does not fit."""
    model = OsNet(name)
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(TRAINING_ONLY)}
    fill(model, kept, path, lambda own: own.removeprefix("body."))
    return model
