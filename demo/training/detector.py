"""Trains the demo detector: ImageNet features, real photos, and pictures of simulated places.

The truth is the full box of a person, clipped to the picture; people of whom less than a quarter is visible are left
out of it (see ``compose``).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from demo.training.checkpoint import Average, save_weights
from demo.training.compose import Sample, picture_stream
from demo.training.imagenet import load_imagenet
from demo.training.photos import load_cut_outs, load_photos
from demo.training.simulated import simulated_pictures
from export.architectures import build_detector
from export.weights import load_weights

logger = logging.getLogger(__name__)

ARCHITECTURE = "fasterrcnn_lite0_fpn"


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """How long and on what to train."""

    minutes: float
    size_hw: tuple[int, int] = (384, 320)
    """Pictures are windows at the scale of the network's input, of its full height and half its width."""
    batch: int = 4
    simulated_share: float = 0.4
    """Share of the pictures that come from simulated places."""
    learning_rate: float = 4e-4
    warm_up_steps: int = 60
    seed: int = 0
    threads: int = 2
    save_every_s: float = 120.0


def train(plan: DetectorPlan, data: Path, out: Path, start: Path | None = None) -> None:
    """Trains for ``plan.minutes`` and leaves fp16 safetensors in ``out``, written anew every few minutes.

    ``data`` holds ``pennfudan`` and ``coco_people``. ``start`` is a file of an earlier training to go on from;
    without it the features come from ImageNet.
    """
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    model = _model(start)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], plan.learning_rate)
    average = Average(model)
    pictures = _pictures(plan, data)
    began = saved = time.monotonic()
    losses: list[float] = []
    for step in range(1_000_000):
        done = (time.monotonic() - began) / (60.0 * plan.minutes)
        if done >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _pace(step, done, plan.warm_up_steps)
        losses.append(_step(model, optimiser, [next(pictures) for _ in range(plan.batch)]))
        average.update(model)
        if time.monotonic() - saved > plan.save_every_s:
            saved = time.monotonic()
            _save(average, out, step, done, losses)
    _save(average, out, step, 1.0, losses)


def load_detector(weights: Path, *, height: int = 384, width: int = 672) -> FasterRCNN:
    """The demo detector with the weights of ``weights``, in evaluation mode."""
    model = build_detector(ARCHITECTURE, height=height, width=width)
    load_weights(model, weights)
    return model.eval()


def _model(start: Path | None) -> FasterRCNN:
    if start is None:
        model = build_detector(ARCHITECTURE)
        load_imagenet(model.backbone.body)
    else:
        model = load_detector(start)
    model.train().to(memory_format=torch.channels_last)
    _freeze(model)
    return model


def _freeze(model: FasterRCNN) -> None:
    """Holds every batch statistic, and the stem and first two stages entirely: their backward pass costs the most."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    body = model.backbone.body
    for part in (body.conv_stem, body.bn1, body.blocks[0], body.blocks[1]):
        part.requires_grad_(requires_grad=False)


def _pictures(plan: DetectorPlan, data: Path) -> Iterator[Sample]:
    rng = np.random.default_rng(plan.seed)
    photos = [*load_photos(data, "pennfudan", test=False), *load_photos(data, "coco_people", test=False)]
    real = picture_stream(photos, load_cut_outs(data), plan.size_hw, rng)
    simulated = simulated_pictures(plan.seed, plan.size_hw, rng)
    while True:
        yield next(simulated if rng.random() < plan.simulated_share else real)


def _step(model: FasterRCNN, optimiser: torch.optim.Optimizer, samples: list[Sample]) -> float:
    height, width = samples[0].pixels.shape[:2]
    model.transform.min_size, model.transform.max_size = (height,), width
    images = [torch.from_numpy(sample.pixels).permute(2, 0, 1).float() / 255.0 for sample in samples]
    losses: dict[str, Tensor] = model(images, [_target(sample) for sample in samples])
    total = torch.stack(list(losses.values())).sum()
    optimiser.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimiser.step()
    return float(total.detach())


def _target(sample: Sample) -> dict[str, Tensor]:
    boxes = torch.from_numpy(sample.boxes)
    return {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64)}


def _pace(step: int, done: float, warm_up: int) -> float:
    return min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _save(average: Average, out: Path, step: int, done: float, losses: list[float]) -> None:
    model = build_detector(ARCHITECTURE)
    model.load_state_dict(average.state_dict())
    save_weights(model, out)
    logger.info("step %d, %.0f %%, mean loss %.4f", step, 100 * done, float(np.mean(losses[-200:])))
