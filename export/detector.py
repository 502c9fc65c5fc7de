"""Faster R-CNN as one graph with a dynamic batch and fixed shapes, from any torchvision ``FasterRCNN``.

torchvision's own graph exports for one image only: it loops over images and every stage after the proposals has a shape
that depends on the data. Here the same arithmetic runs on the whole batch with counts that are known beforehand:

- Each pyramid level gives a fixed number of proposals (``topk``), so the proposals are [N, P, 4] whatever the image.
- Non-maximum suppression is one ``NonMaxSuppression`` for the whole batch. Levels are kept apart by moving each level's
  boxes to a place of its own, which is cheaper than a class for each level. Its list of survivors becomes a mask of
  fixed shape at once, so no later node has a data-dependent shape. It is cheap since it sees some hundred boxes an
  image and one class: torchvision's final stage suppresses every class, this one only people.
- Features are pooled by one ``RoiAlign``: the levels are laid below one another in one map, and each box is moved to
  its level. Pooling every box on every level and choosing afterwards would cost as many times more as there are levels.
- Rows beyond the last detection have score 0.

The result is what ``FasterRCNN.eval()`` gives for label 1 on the same pixels, sorted by score. The one known
difference: for a box narrower than one cell of its map that touches the right or lower border, torchvision's samples
beyond the border count as zero, here as the border's value.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, cast

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign

from export.onnx_file import ModelSource, OnnxInterface, save_onnx
from export.suppression import keep_mask

PERSON = 1
MIN_DETECTION_SIZE = 1e-2
"""Pixels; narrower or lower detections are dropped, as ``RoIHeads.postprocess_detections`` does."""

INTERFACE = OnnxInterface(inputs=("images",), outputs=("boxes", "scores"))


class Level(NamedTuple):
    """One pyramid level in the map that holds all of them."""

    scale: float
    """Cells per input pixel."""
    top: int
    """First row of the level in the common map."""


class BatchedFasterRCNN(nn.Module):
    """The parts of a ``FasterRCNN``, for inputs of one size: ``images`` UINT8 [N, H, W, 3] RGB in, people out."""

    anchors: Tensor
    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, model: FasterRCNN, height: int, width: int) -> None:
        super().__init__()
        model.eval()
        self.size_hw = (height, width)
        self.backbone, self.rpn_head, self.heads = model.backbone, model.rpn.head, model.roi_heads
        self.rpn = model.rpn
        self._register_pixel_statistics(model)
        self._lay_out(model)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """UINT8 [N, H, W, 3] -> boxes FP32 [N, K, 4] xyxy input pixels, scores FP32 [N, K] falling, padded with 0."""
        pixels = images.permute(0, 3, 1, 2).float() * self.pixel_scale + self.pixel_shift
        features = self.backbone(pixels)
        proposals, valid = self._propose(list(features.values()))
        pooled = self._pool([features[name] for name in self.pooled_names], proposals)
        logits, deltas = self.heads.box_predictor(self.heads.box_head(pooled))
        return self._detect(logits, deltas, proposals, valid)

    def _register_pixel_statistics(self, model: FasterRCNN) -> None:
        mean = torch.tensor(model.transform.image_mean).view(1, 3, 1, 1)
        std = torch.tensor(model.transform.image_std).view(1, 3, 1, 1)
        self.register_buffer("pixel_scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("pixel_shift", -mean / std, persistent=False)

    def _lay_out(self, model: FasterRCNN) -> None:
        """Fixes what follows from H and W alone: anchors, how many each level has, where levels lie in one map."""
        blank = torch.zeros(1, 3, *self.size_hw)
        with torch.inference_mode():
            features = model.backbone(blank)
            anchors = model.rpn.anchor_generator(ImageList(blank, [self.size_hw]), list(features.values()))[0]
        self.register_buffer("anchors", anchors.clone(), persistent=False)
        per_cell = model.rpn.anchor_generator.num_anchors_per_location()
        sizes = [feature.shape[-2:] for feature in features.values()]
        self.level_counts = [h * w * count for (h, w), count in zip(sizes, per_cell, strict=True)]

        pool = cast("MultiScaleRoIAlign", model.roi_heads.box_roi_pool)
        self.pooled_names = [name for name in features if name in pool.featmap_names]
        self.pool = pool
        self.levels: list[Level] = []
        top = 0
        for name in self.pooled_names:
            level_height = features[name].shape[-2]
            self.levels.append(Level(2.0 ** round(math.log2(level_height / self.size_hw[0])), top))
            top += level_height + 1

    def _propose(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Pyramid maps -> proposals [N, P, 4] best first and which of them are real [N, P]."""
        batch = features[0].shape[0]
        objectness, deltas = concat_box_prediction_layers(*self.rpn_head(features))
        objectness, deltas = objectness.view(batch, -1), deltas.view(batch, -1, 4)
        chosen_boxes, chosen_scores, places = [], [], []
        start, span = 0, float(max(self.size_hw) + 1)
        for level, count in enumerate(self.level_counts):
            stop = start + count
            scores, rows = objectness[:, start:stop].topk(min(self.rpn.pre_nms_top_n(), count), dim=1)
            level_deltas = deltas[:, start:stop].gather(1, rows.unsqueeze(-1).expand(-1, -1, 4))
            chosen_boxes.append(self._decode(self.rpn.box_coder, level_deltas, self.anchors[start:stop][rows]))
            chosen_scores.append(scores)
            places.append(torch.full((scores.shape[1],), level * span))
            start = stop
        boxes, scores = torch.cat(chosen_boxes, dim=1), torch.cat(chosen_scores, dim=1).sigmoid()
        scores = torch.where(_large(boxes, self.rpn.min_size) & (scores >= self.rpn.score_thresh), scores, 0.0)
        keep = keep_mask(boxes + torch.cat(places).view(1, -1, 1), scores, self.rpn.nms_thresh, 0.0)
        best, rows = torch.where(keep, scores, -1.0).topk(min(self.rpn.post_nms_top_n(), scores.shape[1]), dim=1)
        return boxes.gather(1, rows.unsqueeze(-1).expand(-1, -1, 4)), best > 0

    def _pool(self, features: list[Tensor], proposals: Tensor) -> Tensor:
        """Maps of one image batch and [N, P, 4] proposals -> pooled features [N * P, C, h, w]."""
        batch, count = proposals.shape[:2]
        level_of = self._level_of(proposals)
        scale = torch.tensor([level.scale for level in self.levels])[level_of]
        top = torch.tensor([float(level.top) for level in self.levels])[level_of]
        x1, y1, x2, y2 = (proposals * scale.unsqueeze(-1)).unbind(-1)
        image = torch.arange(batch, dtype=proposals.dtype).view(-1, 1).expand(-1, count)
        regions = torch.stack([image, x1, y1 + top, x2, y2 + top], dim=-1).view(-1, 5)
        pooled: Tensor = torchvision.ops.roi_align(
            self._one_map(features), regions, list(self.pool.output_size), 1.0, self.pool.sampling_ratio
        )
        return pooled

    def _one_map(self, features: list[Tensor]) -> Tensor:
        """The levels below one another, their last rows and columns repeated so that no sample meets a neighbour."""
        width = max(feature.shape[-1] for feature in features) + 1
        framed = [functional.pad(feature, (0, 1, 0, 1), mode="replicate") for feature in features]
        return torch.cat([functional.pad(f, (0, width - f.shape[-1], 0, 0)) for f in framed], dim=2)

    def _level_of(self, boxes: Tensor) -> Tensor:
        """[..., 4] -> level to pool from: equation 1 of Lin et al. 2017, as torchvision's ``LevelMapper``."""
        side = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).sqrt()
        level = torch.floor(self.pool.canonical_level + torch.log2(side / self.pool.canonical_scale) + 1e-6)
        first = round(-math.log2(self.levels[0].scale))
        last = round(-math.log2(self.levels[-1].scale))
        return level.clamp(first, last).to(torch.int64) - first

    def _detect(self, logits: Tensor, deltas: Tensor, proposals: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the box head [N * P, ...] -> people, suppressed, best first."""
        batch, count = valid.shape
        scores = logits.softmax(dim=-1)[:, PERSON].view(batch, count)
        person = deltas[:, 4 * PERSON : 4 * PERSON + 4].view(batch, count, 4)
        boxes = self._decode(self.heads.box_coder, person, proposals)
        real = valid & _large(boxes, MIN_DETECTION_SIZE) & (scores > self.heads.score_thresh)
        scores = torch.where(real, scores, 0.0)
        scores = torch.where(keep_mask(boxes, scores, self.heads.nms_thresh, 0.0), scores, 0.0)
        best, rows = scores.topk(min(self.heads.detections_per_img, count), dim=1)
        boxes = boxes.gather(1, rows.unsqueeze(-1).expand(-1, -1, 4))
        return torch.where((best > 0).unsqueeze(-1), boxes, 0.0), best

    def _decode(self, coder: BoxCoder, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Deltas [N, P, 4] applied to boxes [N, P, 4] and clipped to the image, as ``BoxCoder.decode`` does."""
        dx, dy, dw, dh = (deltas / torch.tensor(coder.weights)).unbind(-1)
        x1, y1, x2, y2 = boxes.unbind(-1)
        width, height = x2 - x1, y2 - y1
        x, y = dx * width + x1 + 0.5 * width, dy * height + y1 + 0.5 * height
        half_width = 0.5 * width * dw.clamp(max=coder.bbox_xform_clip).exp()
        half_height = 0.5 * height * dh.clamp(max=coder.bbox_xform_clip).exp()
        columns = torch.stack([x - half_width, x + half_width], dim=-1).clamp(0.0, float(self.size_hw[1]))
        rows = torch.stack([y - half_height, y + half_height], dim=-1).clamp(0.0, float(self.size_hw[0]))
        return torch.stack([columns[..., 0], rows[..., 0], columns[..., 1], rows[..., 1]], dim=-1)


def _large(boxes: Tensor, side: float) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0] >= side) & (boxes[..., 3] - boxes[..., 1] >= side)


def export_detector(model: FasterRCNN, path: Path, *, height: int, width: int, source: ModelSource) -> None:
    """Writes ``model`` as ONNX for inputs of ``height`` x ``width`` pixels; the batch stays dynamic.

    Raises ``ValueError`` for a size that is no multiple of 32, the coarsest stride of the pyramids here.
    """
    if height % 32 or width % 32:
        raise ValueError(f"height and width must be multiples of 32, got {height} x {width}")
    graph = BatchedFasterRCNN(model, height, width)
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    save_onnx(graph, example, path, INTERFACE, source)
