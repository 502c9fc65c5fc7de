"""Faster R-CNN as one graph with a dynamic batch and fixed shapes, from any torchvision ``FasterRCNN``.

torchvision's own graph exports for one image only: it loops over images and every stage after the proposals has a shape
that depends on the data. Here the same arithmetic runs on the whole batch with counts that are known beforehand:

- Each pyramid level gives a fixed number of proposals (``topk``), so the proposals are [N, P, 4] whatever the image.
- Non-maximum suppression is one ``NonMaxSuppression`` for the whole batch, and its list of survivors becomes a mask of
  fixed shape at once, so no later node has a data-dependent shape.
- It is cheap since it sees few boxes and one class. Each pyramid level of each image is a row of the batch of its own:
  its 1000 boxes meet one another and not the 4000 of the other levels, and all rows are suppressed in parallel.
  torchvision's final stage suppresses every class (90 of them for COCO), this one only people. Boxes that cannot
  survive have score 0 and are dropped before anything is compared.
- Features are pooled by one ``RoiAlign``: the levels lie beside one another in one map, and each box is moved to its
  level. Pooling every box on every level and choosing afterwards would cost as many times more as there are levels.
- Rows beyond the last detection have score 0.

In half precision the backbone with its pyramid, the head that proposes and the hidden layers over a proposal compute in
fp16, which is nearly all the work. Islands of fp32 are the scaling of bytes, decoding and suppression (a coordinate of
1000 has steps of 0.5 in fp16), the samples of ``RoIAlign``, and the predictor, whose logits decide the score. Every
change of type is a ``Cast`` of the graph, so that a strongly typed TensorRT network computes what the file says.
Where two anchors of one person are alike to within the rounding, no island prevents that the other wins: rounding the
pyramid alone, or the head that proposes, exchanges as many in a hundred. A head that was trained puts the boxes of both
on the same person, and then little is seen of it (``benchmarks/results/detector_parity.json``).

The result is what ``FasterRCNN.eval()`` gives for label 1 on the same pixels, sorted by score.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from export.half import fold_normalisations, halve
from export.onnx_file import ModelSource, OnnxInterface, save_onnx
from export.pooling import PyramidRoIAlign
from export.precision import Precision
from export.suppression import keep_mask

PERSON = 1
STRIDE = 32
"""Of the coarsest map of a backbone; the level that is pooled from it takes what is there."""
MIN_DETECTION_SIZE = 1e-2
"""Pixels; narrower or lower detections are dropped, as ``RoIHeads.postprocess_detections`` does."""

INTERFACE = OnnxInterface(inputs=("images",), outputs=("boxes", "scores"))


class BatchedFasterRCNN(nn.Module):
    """The parts of a ``FasterRCNN``, for inputs of one size: ``images`` UINT8 [N, H, W, 3] RGB in, people out."""

    anchors: Tensor
    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, model: FasterRCNN, height: int, width: int, precision: Precision = Precision.FP32) -> None:
        """``precision`` is single or half; ``model`` itself stays in single."""
        super().__init__()
        model = model.eval() if precision is Precision.FP32 else copy.deepcopy(model).eval()
        self.size_hw, self.dtype = (height, width), torch.float32
        self.backbone, self.rpn_head, self.heads = model.backbone, model.rpn.head, model.roi_heads
        self.rpn = model.rpn
        self._register_pixel_statistics(model)
        self._lay_out(model)
        if precision is Precision.FP16:
            self._halve()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """UINT8 [N, H, W, 3] -> boxes FP32 [N, K, 4] xyxy input pixels, scores FP32 [N, K] falling, padded with 0."""
        pixels = images.permute(0, 3, 1, 2).float() * self.pixel_scale + self.pixel_shift
        features = self.backbone(pixels.to(self.dtype))
        proposals, valid = self._propose(list(features.values()))
        pooled = self.pool([features[name] for name in self.pooled_names], proposals)
        scores, deltas = self._classify(self.heads.box_head(pooled.to(self.dtype)).float())
        return self._detect(scores.view(valid.shape), deltas.view(proposals.shape), proposals, valid)

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
        sizes = {name: (feature.shape[-2], feature.shape[-1]) for name, feature in features.items()}
        self.level_counts = [h * w * count for (h, w), count in zip(sizes.values(), per_cell, strict=True)]
        pool = cast("MultiScaleRoIAlign", model.roi_heads.box_roi_pool)
        self.pooled_names = [name for name in sizes if name in pool.featmap_names]
        self.pool = PyramidRoIAlign(pool, [sizes[name] for name in self.pooled_names], self.size_hw[0])

    def _halve(self) -> None:
        fold_normalisations(self, lambda: self(torch.zeros(1, *self.size_hw, 3, dtype=torch.uint8)))
        halve([self.backbone, self.rpn_head, self.heads.box_head])
        self.dtype = torch.float16

    def _propose(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Pyramid maps -> proposals [N, P, 4] best first and which of them are real [N, P]."""
        most = min(self.rpn.pre_nms_top_n(), max(self.level_counts))
        found = [
            self._candidates(objectness.float(), deltas.float(), anchors, most)
            for objectness, deltas, anchors in zip(
                *self.rpn_head(features), self.anchors.split(self.level_counts), strict=True
            )
        ]
        boxes, scores = (torch.stack(parts, dim=1) for parts in zip(*found, strict=True))
        kept = min(self.rpn.post_nms_top_n(), most)
        keep = keep_mask(boxes.flatten(0, 1), scores.flatten(0, 1), self.rpn.nms_thresh, kept)
        scores = torch.where(keep.view(scores.shape), scores, 0.0).flatten(1)
        candidates = sum(min(most, count) for count in self.level_counts)
        best, rows = scores.topk(min(self.rpn.post_nms_top_n(), candidates), dim=1)
        return _rows_of(boxes.flatten(1, 2), rows), best > 0

    def _candidates(self, objectness: Tensor, deltas: Tensor, anchors: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """One level's maps [N, A, h, w] and [N, 4 A, h, w] -> its best boxes [N, most, 4] and scores [N, most].

        A level with fewer anchors is filled up with boxes of score 0.
        """
        batch, per_cell = objectness.shape[:2]
        logits = objectness.permute(0, 2, 3, 1).flatten(1)
        deltas = deltas.unflatten(1, (per_cell, 4)).permute(0, 3, 4, 1, 2).reshape(batch, -1, 4)
        best, rows = logits.topk(min(most, len(anchors)), dim=1)
        boxes = self._decode(self.rpn.box_coder, _rows_of(deltas, rows), anchors[rows])
        scores = best.sigmoid()
        scores = torch.where(_large(boxes, self.rpn.min_size) & (scores >= self.rpn.score_thresh), scores, 0.0)
        missing = most - rows.shape[1]
        return functional.pad(boxes, (0, 0, 0, missing)), functional.pad(scores, (0, missing))

    def _classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the box head gives for each proposal -> its score as a person [N * P], its deltas as one [N * P, 4]."""
        predictor = self.heads.box_predictor
        rows = slice(4 * PERSON, 4 * PERSON + 4)
        deltas = functional.linear(features, predictor.bbox_pred.weight[rows], predictor.bbox_pred.bias[rows])
        return predictor.cls_score(features).softmax(dim=-1)[:, PERSON], deltas

    def _detect(self, scores: Tensor, deltas: Tensor, proposals: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [N, P] and deltas [N, P, 4] of the proposals -> people, suppressed, best first."""
        boxes = self._decode(self.heads.box_coder, deltas, proposals)
        real = valid & _large(boxes, MIN_DETECTION_SIZE) & (scores > self.heads.score_thresh)
        scores = torch.where(real, scores, 0.0)
        kept = min(self.heads.detections_per_img, scores.shape[1])
        scores = torch.where(keep_mask(boxes, scores, self.heads.nms_thresh, kept), scores, 0.0)
        best, rows = scores.topk(kept, dim=1)
        return torch.where((best > 0).unsqueeze(-1), _rows_of(boxes, rows), 0.0), best

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


def _rows_of(boxes: Tensor, rows: Tensor) -> Tensor:
    """Boxes [N, B, 4] and rows INT64 [N, P] -> [N, P, 4]."""
    return boxes.gather(1, rows.unsqueeze(-1).expand(-1, -1, 4))


def export_detector(model: FasterRCNN, path: Path, *, height: int, width: int, source: ModelSource) -> None:
    """Writes ``model`` as ONNX for inputs of ``height`` x ``width`` pixels, in ``source.precision``.

    The batch stays dynamic.

    Raises ``ValueError`` for a size that is no multiple of 32, the coarsest stride of the backbones here.
    """
    check_size(height, width)
    graph = BatchedFasterRCNN(model, height, width, source.precision)
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    save_onnx(graph, example, path, INTERFACE, source)


def check_size(height: int, width: int) -> None:
    """Raises ``ValueError`` for a size that is no multiple of ``STRIDE``."""
    if height < STRIDE or width < STRIDE or height % STRIDE or width % STRIDE:
        raise ValueError(f"height and width must be multiples of {STRIDE}, got {height} x {width}")
