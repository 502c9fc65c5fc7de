"""The features of NanoDet-g: a CSP network of plain convolutions, a path aggregation network, a tower for each level.

Source: NanoDet (RangiLyu, Apache-2.0), ``nanodet-g``: Wang et al. 2020 (CSPNet), Liu et al. 2018 (PAN). It has no batch
statistics, and its dense 3x3 convolutions run faster on a CPU than depthwise ones of the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 128
"""Of every map of the pyramid."""
STAGES = ((32, 1, 1), (64, 2, 2), (128, 2, 2), (256, 3, 2))
"""Channels in, residual parts and stride of each stage, whose output has twice the channels."""


class CspPan(nn.Module):
    """Maps of ``CHANNELS`` channels at strides 8, 16 and 32, and one taken from the last at stride 64.

    They are what NanoDet's last layer tells classes and sides by, so that a linear layer finds people in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = CspNet()
        self.pan = Pan()
        self.towers = nn.ModuleList(_Convolution(CHANNELS, CHANNELS) for _ in STAGES[1:])
        self.out_channels = CHANNELS

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised RGB [N, 3, H, W], sides multiples of 32 -> maps ``0``, ``1``, ``2`` and ``pool``."""
        levels = [tower(level) for tower, level in zip(self.towers, self.pan(self.body(images)), strict=True)]
        named = {str(level): features for level, features in enumerate(levels)}
        return named | {"pool": functional.max_pool2d(levels[-1], 1, stride=2)}


class LevelHeads(nn.Module):
    """Proposals from each map by linear layers of its own, as NanoDet has them; stride 64 shares those of stride 32."""

    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.cls_logits = nn.ModuleList(_linear(anchors) for _ in STAGES[1:])
        self.bbox_pred = nn.ModuleList(_linear(anchors * 4) for _ in STAGES[1:])

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps [N, CHANNELS, h, w] -> for each, logits [N, anchors, h, w] and deltas [N, anchors * 4, h, w]."""
        last = len(self.cls_logits) - 1
        logits = [self.cls_logits[min(index, last)](level) for index, level in enumerate(levels)]
        return logits, [self.bbox_pred[min(index, last)](level) for index, level in enumerate(levels)]


class CspNet(nn.Module):
    """Stem and four stages; gives what the last three make."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Convolution(3, 32, stride=2), nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList(_Stage(*stage) for stage in STAGES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> [N, 128, H / 8, W / 8], [N, 256, H / 16, W / 16], [N, 512, H / 32, W / 32]."""
        features = self.stem(images)
        made = []
        for stage in self.stages:
            features = stage(features)
            made.append(features)
        return made[1:]


class Pan(nn.Module):
    """Each level gets what coarser levels saw, then what finer ones did."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(2 * channels, CHANNELS, 1) for channels, _, _ in STAGES[1:])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps from fine to coarse, each half as wide and high as the one before -> as many of ``CHANNELS``."""
        levels = [lateral(level) for lateral, level in zip(self.lateral, features, strict=True)]
        for index in range(len(levels) - 1, 0, -1):
            coarse = functional.interpolate(levels[index], scale_factor=2.0, mode="bilinear", align_corners=False)
            levels[index - 1] = levels[index - 1] + coarse
        for index in range(len(levels) - 1):
            levels[index + 1] = levels[index + 1] + functional.avg_pool2d(levels[index], 2)
        return levels


class _Convolution(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), nn.LeakyReLU(0.1))


class _Part(nn.Module):
    """Two convolutions of half the channels, side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels // 2)
        self.second = _Convolution(channels // 2, channels // 2)

    def forward(self, features: Tensor) -> Tensor:
        first = self.first(features)
        return torch.cat([self.second(first), first], dim=1)


class _Stage(nn.Module):
    def __init__(self, channels: int, parts: int, stride: int) -> None:
        super().__init__()
        self.enter = _Convolution(channels, channels, stride)
        self.parts = nn.Sequential(*(_Part(channels) for _ in range(parts)))
        self.leave = _Convolution(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        entered = self.enter(features)
        return torch.cat([self.leave(self.parts(entered)), entered], dim=1)


def _linear(channels_out: int) -> nn.Conv2d:
    layer = nn.Conv2d(CHANNELS, channels_out, 1)
    nn.init.normal_(layer.weight, std=0.01)
    return layer
