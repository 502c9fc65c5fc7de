"""Pooling from a feature pyramid with one ``RoiAlign``, whichever level each box belongs to.

The levels lie in one map: the finest on top, the others beside one another below it. Each level is continued by two
rows and columns of its own border, so that no sample meets a neighbour.

torchvision pools a box as if it were at least one cell wide and high. At the right and lower border such a box reaches
beyond the map, where torchvision's samples are 0, while here they have the border's value. All samples of that box have
the border's value in that direction, so what torchvision gives is the same times the share of samples that are inside.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import MultiScaleRoIAlign

FRAME = 2
"""A sample lies less than one cell beyond the border, and it touches the cell after that."""
LEVEL_EPSILON = 1e-6
"""``LevelMapper``'s."""


class Level(NamedTuple):
    """One pyramid level in the map that holds all of them, in cells."""

    scale: float
    """Cells per input pixel."""
    height: int
    width: int
    top: int
    left: int


class PyramidRoIAlign(nn.Module):
    """``MultiScaleRoIAlign`` for a whole batch, for input images of one size.

    ``sizes`` are height and width of each map that ``pool`` takes, finest first; those that no box is pooled from are
    never touched.
    """

    def __init__(self, pool: MultiScaleRoIAlign, sizes: list[tuple[int, int]], image_height: int) -> None:
        super().__init__()
        if pool.sampling_ratio < 1:
            raise ValueError("a sampling ratio that follows the box has no fixed shape")
        self.output_hw: list[int] = list(pool.output_size)
        self.sampling_ratio = pool.sampling_ratio
        self.levels = _side_by_side(sizes, image_height)
        first = -math.log2(self.levels[0].scale)
        self.largest_sides = [
            pool.canonical_scale * 2.0 ** (first + index - pool.canonical_level - LEVEL_EPSILON)
            for index in range(1, len(self.levels))
        ]
        """Pixels: a box whose side, the root of its area, is at least the first of these leaves the first level."""

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Maps [N, C, h, w] of ``sizes`` and boxes FP32 [N, P, 4] in pixels -> FP32 [N * P, C, *output_size]."""
        batch, count = boxes.shape[:2]
        image = torch.arange(batch, dtype=boxes.dtype).view(-1, 1, 1).expand(-1, count, 1)
        if len(self.levels) == 1:
            regions = torch.cat([image, boxes * self.levels[0].scale], dim=-1).view(-1, 5)
            return self._align(features[0].float(), regions)
        scale, *place = self._of_level(self._level_of(boxes))
        cells = boxes * scale
        height, width, top, left = place
        regions = torch.cat([image, cells + torch.cat([left, top, left, top], dim=-1)], dim=-1).view(-1, 5)
        pooled = self._align(self._one_map(features).float(), regions)
        rows = self._share_inside(cells[..., 1::2], height, self.output_hw[0]).view(-1, 1, self.output_hw[0], 1)
        columns = self._share_inside(cells[..., 0::2], width, self.output_hw[1]).view(-1, 1, 1, self.output_hw[1])
        return pooled * (rows * columns)

    def _align(self, features: Tensor, regions: Tensor) -> Tensor:
        pooled: Tensor = torchvision.ops.roi_align(features, regions, self.output_hw, 1.0, self.sampling_ratio)
        return pooled

    def _level_of(self, boxes: Tensor) -> Tensor:
        """[..., 4] -> INT64 [...]: equation 1 of Lin et al. 2017 as ``LevelMapper`` has it, by comparisons."""
        side = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).sqrt()
        return (side.unsqueeze(-1) >= torch.tensor(self.largest_sides)).to(torch.int64).sum(dim=-1)

    def _of_level(self, index: Tensor) -> list[Tensor]:
        """Scale, height, width, top and left of each box's level, [N, P, 1] each."""
        table = torch.tensor([[float(value) for value in level] for level in self.levels])
        return list(table[index].split(1, dim=-1))

    def _one_map(self, features: list[Tensor]) -> Tensor:
        first, *others = (functional.pad(f, (0, FRAME, 0, FRAME), mode="replicate") for f in features)
        highest = max(other.shape[2] for other in others)
        below = torch.cat([functional.pad(other, (0, 0, 0, highest - other.shape[2])) for other in others], dim=3)
        width = max(first.shape[3], below.shape[3])
        return torch.cat([functional.pad(row, (0, width - row.shape[3])) for row in (first, below)], dim=2)

    def _share_inside(self, ends: Tensor, size: Tensor, bins: int) -> Tensor:
        """Ends [N, P, 2] of boxes along one axis, in cells of a level [N, P, 1] cells long -> [N, P, bins]."""
        start, length = ends[..., :1], (ends[..., 1:] - ends[..., :1]).clamp(min=1.0)
        samples = bins * self.sampling_ratio
        at = (torch.arange(samples) + 0.5) / samples
        inside = (start + at * length <= size).float()
        share: Tensor = inside.view(*inside.shape[:2], bins, self.sampling_ratio).mean(dim=-1)
        return share


def _side_by_side(sizes: list[tuple[int, int]], image_height: int) -> list[Level]:
    """Where each level lies. Levels as fine as the first are as good as absent: ``LevelMapper`` never names them."""
    scales = [2.0 ** round(math.log2(height / image_height)) for height, _ in sizes]
    reachable = round(math.log2(scales[0] / scales[-1])) + 1
    levels: list[Level] = []
    left = 0
    for (height, width), scale in zip(sizes[:reachable], scales, strict=False):
        levels.append(Level(scale, height, width, top=sizes[0][0] + FRAME if levels else 0, left=left))
        left = left + width + FRAME if len(levels) > 1 else 0
    return levels
