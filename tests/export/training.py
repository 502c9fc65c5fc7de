"""A brief training of the head that says who is a person, on top of ``tests.export.crowds``.

Heads that ridge regressions solve for are right about the picture, and unlike trained ones in what surrounds a person:
a hundred boxes that overlap by half, each a little more than the next, instead of one. Which of them wins hangs on the
last digit, so that rounding to fp16, of whichever layer, puts others in their place. So the layers after the pooling
are trained as torchvision trains them, by the losses of a Faster R-CNN and boxes beside the true ones, for a minute or
two. Filters before them stay random. Nothing here looks at half precision.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from tests.export.crowds import Crowd

STEPS = 200
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
PEOPLE, OTHERS = 64, 128
"""Of a step's boxes, as torchvision draws them but for a few more people."""
BESIDE = 60
"""Boxes beside each true one."""
FARTHEST = 0.35
"""Of a box's own size, the standard deviation of the farthest of them."""
NEVER = -12.0
"""Logit of every class but the background and people."""


class Samples(NamedTuple):
    """Boxes of both pictures."""

    inputs: Tensor
    """[B, C] of the layers that are trained."""
    labels: Tensor
    """INT64 [B], 1 for people."""
    deltas: Tensor
    """[B, 4] from each box of a person to the true one."""


def train_people(model: FasterRCNN, scene: Crowd) -> None:
    """Trains the box head of a fitted detector on the scene's people, and nobody where it is empty, in place."""
    random = torch.Generator().manual_seed(0)
    fixed, trained = _halves(model.roi_heads.box_head)
    samples = _samples(model, scene, fixed, random)
    predictor = model.roi_heads.box_predictor
    with torch.no_grad():
        for layer in (predictor.cls_score, predictor.bbox_pred):
            layer.weight.zero_()
            layer.bias.zero_()
        predictor.cls_score.bias[2:] = NEVER
    parameters = [*trained.parameters(), *predictor.parameters()]
    optimiser = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        rows = _drawn(samples.labels, random)
        logits, deltas = predictor(trained(samples.inputs[rows]))
        _loss(logits, deltas, samples.labels[rows], samples.deltas[rows]).backward()
        optimiser.step()
        schedule.step()
    model.requires_grad_(False)


def _halves(head: nn.Module) -> tuple[nn.Module, nn.Module]:
    """What stays as it is, and what is trained: the fully connected layers."""
    if isinstance(head, TwoMLPHead):
        return nn.Flatten(), nn.Sequential(head.fc6, nn.ReLU(), head.fc7, nn.ReLU())
    layers = list(head.children())
    flat = next(index for index, layer in enumerate(layers) if isinstance(layer, nn.Flatten))
    return nn.Sequential(*layers[: flat + 1]), nn.Sequential(*layers[flat + 1 :])


@torch.no_grad()
def _samples(model: FasterRCNN, scene: Crowd, fixed: nn.Module, random: torch.Generator) -> Samples:
    """What the network proposes in both pictures, and boxes beside the true ones."""
    heads, boxes = model.roi_heads, torch.from_numpy(scene.boxes)
    pictures = [torch.from_numpy(picture).permute(2, 0, 1).float() / 255.0 for picture in (scene.picture, scene.empty)]
    images, _ = model.transform(pictures)
    features = model.backbone(images.tensors)
    in_crowd, in_empty = model.rpn(images, features)[0]
    proposals = [torch.cat([in_crowd, boxes, _beside(boxes, scene.picture.shape, random)]), in_empty]
    (matched, _), labels = heads.assign_targets_to_proposals(
        proposals, [boxes, boxes[:0]], [torch.ones(len(boxes), dtype=torch.int64), torch.zeros(0, dtype=torch.int64)]
    )
    (deltas,) = heads.box_coder.encode([boxes[matched]], proposals[:1])
    pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
    inputs = torch.cat([fixed(part) for part in pooled.split(256)])
    return Samples(inputs, torch.cat(labels), torch.cat([deltas, torch.zeros(len(in_empty), 4)]))


def _beside(boxes: Tensor, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    near = boxes.repeat(BESIDE, 1)
    sides = (near[:, 2:] - near[:, :2]).repeat(1, 2)
    share = FARTHEST * torch.rand(len(near), 1, generator=random)
    moved = near + sides * share * torch.randn(len(near), 4, generator=random)
    moved[:, 0::2].clamp_(0, shape[1])
    moved[:, 1::2].clamp_(0, shape[0])
    return moved[((moved[:, 2:] - moved[:, :2]) > 8).all(dim=1)]


def _drawn(labels: Tensor, random: torch.Generator) -> Tensor:
    kinds = ((labels == 1, PEOPLE), (labels != 1, OTHERS))
    rows = [torch.where(kind)[0] for kind, _ in kinds]
    drawn = [
        of_kind[torch.randint(len(of_kind), (count,), generator=random)]
        for of_kind, (_, count) in zip(rows, kinds, strict=True)
    ]
    return torch.cat(drawn)


def _loss(logits: Tensor, deltas: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """As ``torchvision.models.detection.roi_heads.fastrcnn_loss``."""
    person = labels == 1
    misplaced = functional.smooth_l1_loss(deltas[person, 4:8], wanted[person], beta=1 / 9, reduction="sum")
    return functional.cross_entropy(logits, labels) + misplaced / len(labels)
