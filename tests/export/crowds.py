"""Pictures of crowds, and detectors whose heads are fitted to one of them: random weights find nobody.

A network of random filters whose normalisations know the picture's statistics gives features that tell places apart;
on these, ridge regressions solve for the last layers. That takes a second where training takes minutes, and the fitted
network is as sure of people and of their absence as a trained one.
"""

from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from demo.site.samples import detection_samples
from export.architectures import build_detector
from export.detector import BatchedFasterRCNN

SURE_LOGIT = 4.0
RIDGE = 1e-3
PEOPLE_SEED = 96_000
RESIDUAL_GAIN = 0.2
"""Of a block beside what it is added to; training starts at 0 (Goyal et al. 2017). With 1, fifty random layers turn
fp16's rounding of 0.0005 into differences of 0.03 between the features, against 0.005 in a trained EfficientNet-Lite0
and 0.001 in the demo's detector. With 0.2 they are 0.005 (ResNets) and 0.007 (MobileNet)."""


@dataclass(frozen=True)
class Crowd:
    picture: np.ndarray
    """UINT8 [H, W, 3]"""
    empty: np.ndarray
    """The same place without its people."""
    boxes: np.ndarray
    """FP32 [P, 4] xyxy"""


def crowd(seed: int, height: int, width: int, rows: int = 4, columns: int = 8) -> Crowd:
    """``rows * columns`` simulated people of many sizes, some overlapping."""
    random = np.random.default_rng(seed)
    samples = list(islice(detection_samples(PEOPLE_SEED + seed, width=width, height=height, frames_per_place=1), 4))
    looks = [crop for sample in samples for crop in _people(sample)]
    empty = cv2.GaussianBlur(samples[0].rgb, (0, 0), 8)
    picture = empty.copy()
    boxes = []
    for row in range(rows):
        for column in range(columns):
            tall = int(height / rows * random.uniform(0.6, 1.1))
            wide = int(tall * random.uniform(0.35, 0.5))
            left = int((column + random.uniform(0.1, 0.5)) * width / columns)
            top = min(int((row + random.uniform(0.0, 0.3)) * height / rows), height - tall)
            wide = min(wide, width - left)
            picture[top : top + tall, left : left + wide] = cv2.resize(
                looks[random.integers(len(looks))], (wide, tall), interpolation=cv2.INTER_LINEAR
            )
            boxes.append((left, top, left + wide, top + tall))
    return Crowd(picture, empty, np.array(boxes, np.float32))


def fitted_detector(architecture: str, scene: Crowd, *, ridge: float = RIDGE, **options: int) -> FasterRCNN:
    """The detector with random filters and heads that find the scene's people, and nobody where it is empty.

    The less ``ridge``, the surer of these people, and the larger ``head_gain``.
    """
    height, width, _ = scene.picture.shape
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_detector(architecture, 91, height=height, width=width, **options)
    pictures = torch.from_numpy(np.stack([scene.picture, scene.empty])).permute(0, 3, 1, 2).float() / 255.0
    boxes = [torch.from_numpy(scene.boxes), torch.zeros(0, 4)]
    truth = [{"boxes": found, "labels": torch.ones(len(found), dtype=torch.int64)} for found in boxes]
    with torch.no_grad():
        for part in model.backbone.modules():
            if isinstance(part, Bottleneck):
                part.bn3.weight.fill_(RESIDUAL_GAIN)
            elif isinstance(part, InvertedResidual) and part.use_res_connect:
                part.block[-1][1].weight.fill_(RESIDUAL_GAIN)
        images, _ = model.transform.eval()(list(pictures))
        _learn_statistics(model.backbone, images.tensors)
        features = model.backbone(images.tensors)
        _fit_proposals(model, images, features, truth, ridge)
        _fit_people(model, images, features, truth, ridge)
    return model.eval()


def head_gain(model: FasterRCNN, picture: np.ndarray) -> float:
    """What independent noise of the features, of their own size, does to the logit of a person, beside its own size.

    A head that learnt from many pictures weighs features that speak together, and noise averages out: 0.33 for the
    demo's detector. One that was fitted to a single picture weighs small differences between them.
    """
    graph = BatchedFasterRCNN(model, *picture.shape[:2])
    with torch.inference_mode():
        pixels = torch.from_numpy(picture[None]).permute(0, 3, 1, 2).float() * graph.pixel_scale + graph.pixel_shift
        features = model.backbone(pixels)
        proposals, valid = graph._propose(list(features.values()))
        pooled = graph.pool([features[name] for name in graph.pooled_names], proposals)
        hidden = model.roi_heads.box_head(pooled)[valid.flatten()]
        weight = model.roi_heads.box_predictor.cls_score.weight
        person = weight[1] - weight[0]
        return float((person**2 @ hidden.var(dim=0)).sqrt() / (hidden @ person).std())


def _people(sample) -> list[np.ndarray]:
    seen = sample.boxes[sample.visibility > 0.9].astype(int)
    crops = [sample.rgb[max(top, 0) : bottom, max(left, 0) : right] for left, top, right, bottom in seen]
    return [crop for crop in crops if min(crop.shape[:2]) >= 8]


def _learn_statistics(module: nn.Module, *inputs: Tensor) -> Tensor:
    """Runs a module once so that its normalisations normalise this input; gives what it then answers."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    module.train()
    module(*inputs)
    return module.eval()(*inputs)


def _fit_proposals(
    model: FasterRCNN, images: ImageList, features: dict[str, Tensor], truth: list, ridge: float
) -> None:
    head = model.rpn.head
    hidden = [head.conv(feature) for feature in features.values()]
    anchors = model.rpn.anchor_generator(images, list(features.values()))
    labels, matched = model.rpn.assign_targets_to_anchors(anchors, truth)
    deltas = torch.stack(model.rpn.box_coder.encode(matched, anchors))
    per_cell = head.cls_logits.out_channels
    cells = torch.cat([level.flatten(2).transpose(1, 2) for level in hidden], dim=1).flatten(0, 1)
    labels, deltas = torch.stack(labels).view(-1, per_cell), deltas.view(-1, per_cell, 4)
    for anchor in range(per_cell):
        known, person = labels[:, anchor] >= 0, labels[:, anchor] == 1
        _set_row(head.cls_logits, anchor, _ridge_logit(cells[known], person[known], ridge))
        for axis in range(4):
            _set_row(head.bbox_pred, 4 * anchor + axis, _ridge(cells[person], deltas[person, anchor, axis], ridge))


def _fit_people(model: FasterRCNN, images: ImageList, features: dict[str, Tensor], truth: list, ridge: float) -> None:
    heads, boxes = model.roi_heads, [image["boxes"] for image in truth]
    proposals, _ = model.rpn.eval()(images, features)
    proposals = [torch.cat(pair) for pair in zip(proposals, boxes, strict=True)]
    hidden = _learn_statistics(heads.box_head, heads.box_roi_pool(features, proposals, images.image_sizes))
    matched, labels = heads.assign_targets_to_proposals(proposals, boxes, [image["labels"] for image in truth])
    person = torch.cat(labels) == 1
    deltas = heads.box_coder.encode([boxes[0][matched[0]]], proposals[:1])[0][labels[0] == 1]
    predictor = heads.box_predictor
    predictor.cls_score.weight.zero_()
    predictor.cls_score.bias.fill_(-3 * SURE_LOGIT)
    predictor.cls_score.bias[0] = 0.0
    _set_row(predictor.cls_score, 1, _ridge_logit(hidden, person, ridge))
    for axis in range(4):
        _set_row(predictor.bbox_pred, 4 + axis, _ridge(hidden[person], deltas[:, axis], ridge))


def _ridge_logit(rows: Tensor, person: Tensor, ridge: float) -> Tensor:
    """Both kinds of rows count alike, however many there are."""
    weights = torch.ones(len(rows), dtype=torch.float64)
    if person.any():
        weights[person] = (~person).sum().double() / person.sum()
    return _ridge(rows, SURE_LOGIT * (2 * person.float() - 1), ridge, weights)


def _ridge(rows: Tensor, target: Tensor, ridge: float, weights: Tensor | None = None) -> Tensor:
    """Weights [C] and a bias, [C + 1]; zeros without rows."""
    if not len(rows):
        return torch.zeros(rows.shape[1] + 1)
    with_bias = torch.cat([rows, torch.ones(len(rows), 1)], dim=1).double()
    weights = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights
    weighted = with_bias.T * weights
    scale = weights.sum() * rows.double().var(correction=0).clamp(min=1e-6)
    left = weighted @ with_bias + ridge * scale * torch.eye(with_bias.shape[1], dtype=torch.float64)
    return torch.linalg.solve(left, weighted @ target.double()).float()


def _set_row(layer: nn.Module, row: int, solution: Tensor) -> None:
    layer.weight[row] = solution[:-1].view_as(layer.weight[row])
    layer.bias[row] = solution[-1]
