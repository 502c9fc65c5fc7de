"""Trains the demo detector: NanoDet's features, real photos, and pictures of simulated places.

The truth is the full box of a person, clipped to the picture; people of whom less than a quarter is visible are left
out of it (see ``compose``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torchvision.models.detection import FasterRCNN

from demo.children import end_with_parent
from demo.training.checkpoint import Average, Checkpoint, Learner, save_weights, sources
from demo.training.compose import Sample, picture_stream
from demo.training.loop import Course, follow
from demo.training.nanodet import load_nanodet
from demo.training.photos import CutOut, Photo, load_cut_outs, load_photos
from demo.training.simulated import simulated_pictures
from export.architectures import build_detector
from export.weights import load_weights

ARCHITECTURE = "fasterrcnn_csp_pan"


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """How long and on what to train."""

    steps: int
    size_hw: tuple[int, int] = (384, 384)
    """Pictures are windows at the scale of the network's input, of its full height and over half its width."""
    batch: int = 4
    simulated_share: float = 0.3
    """Share of the pictures that come from simulated places."""
    coco_share: float = 0.8
    """Share of the photos that come from COCO: Penn-Fudan is learned long before."""
    learning_rate: float = 5e-4
    features_pace: float = 0.1
    """Of the learning rate, for what comes from COCO."""
    warm_up_steps: int = 60
    seed: int = 0
    threads: int = 2
    painters: int = 2
    """Processes that make pictures; another number gives other pictures for the same seed."""
    chapter: int = 100
    """Steps from one checkpoint to the next; another number gives other pictures for the same seed."""


def train(plan: DetectorPlan, data: Path, out: Path, start: Path | None = None, *, fresh: bool = False) -> None:
    """Trains for ``plan.steps`` and leaves fp16 safetensors in ``out``, written anew after each chapter.

    ``data`` holds ``pennfudan`` and ``coco_people``. ``start`` is a file of an earlier training whose weights to begin
    with; without it the features are NanoDet's. What a killed training of the same plan left beside ``out`` is gone on
    from, to the same weights, unless ``fresh``. Raises ``CheckpointError`` where it was of another plan.
    """
    cv2.setNumThreads(1)  # painters are forks, in which threads that OpenCV began here would be missing
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    checkpoint = Checkpoint(out, {**asdict(plan), **sources(data, start)})
    if fresh:
        checkpoint.remove()
    model = _model(start, blank=checkpoint.check())
    learner = Learner(model, torch.optim.AdamW(_parameter_groups(model, plan), plan.learning_rate), Average(model))
    photos = _Photos.load(data)
    course = Course(
        plan.steps, plan.chapter, plan.learning_rate, plan.warm_up_steps,
        batches=lambda chapter, steps: islice(_batches(plan, photos, chapter), steps),
        learn=lambda samples: _step(model, learner.optimiser, samples),
        leave=lambda average: _save(average, out),
    )  # fmt: skip
    follow(course, learner, checkpoint)


def load_detector(weights: Path, *, height: int = 384, width: int = 672) -> FasterRCNN:
    """The demo detector with the weights of ``weights``, in evaluation mode."""
    model = build_detector(ARCHITECTURE, height=height, width=width)
    load_weights(model, weights)
    return model.eval()


def _model(start: Path | None, *, blank: bool) -> FasterRCNN:
    """The network to train; ``blank`` where all its weights are to be filled from a checkpoint."""
    model = build_detector(ARCHITECTURE)
    if not blank and start is None:
        load_nanodet(model)
    elif not blank and start is not None:
        load_weights(model, start)
    model.train().to(memory_format=torch.channels_last)
    _freeze(model)
    return model


def _freeze(model: FasterRCNN) -> None:
    """Holds the stem and the first two stages: they have learned from far more photos, and cost the most to train."""
    body = model.backbone.body
    for part in (body.stem, *body.stages[:2]):
        part.requires_grad_(requires_grad=False)


def _parameter_groups(model: FasterRCNN, plan: DetectorPlan) -> list[dict[str, Any]]:
    """The features, which know people already, and the heads, which begin at random; each with its pace."""
    features = [p for p in model.backbone.parameters() if p.requires_grad]
    heads = [*model.rpn.parameters(), *model.roi_heads.parameters()]
    return [{"params": features, "pace": plan.features_pace}, {"params": heads, "pace": 1.0}]


@dataclass(frozen=True)
class _Photos:
    """The photos to train on, read once."""

    streets: list[Photo]
    varied: list[Photo]
    cut_outs: list[CutOut]

    @classmethod
    def load(cls, data: Path) -> _Photos:
        """Raises ``OSError`` where one is missing."""
        streets, varied = (load_photos(data, dataset, test=False) for dataset in ("pennfudan", "coco_people"))
        return cls(streets, varied, load_cut_outs(data))


class _Pictures(IterableDataset[Sample]):
    """Endless training pictures of one chapter; each painter has a stream of its own."""

    def __init__(self, plan: DetectorPlan, photos: _Photos, chapter: int) -> None:
        self._plan, self._photos, self._chapter = plan, photos, chapter

    def __iter__(self) -> Iterator[Sample]:
        painter = get_worker_info()
        number = 0 if painter is None else painter.id
        cv2.setNumThreads(1)
        plan, photos = self._plan, self._photos
        rng = np.random.default_rng([plan.seed, number, self._chapter])

        def draw() -> Photo:
            chosen = photos.varied if rng.random() < plan.coco_share else photos.streets
            return chosen[int(rng.integers(len(chosen)))]

        empty = [photo for photo in photos.varied if not len(photo.boxes)]
        real = picture_stream(draw, empty, photos.cut_outs, plan.size_hw, rng)
        simulated = simulated_pictures((plan.seed, number, self._chapter), plan.size_hw, rng)
        while True:
            yield next(simulated if rng.random() < plan.simulated_share else real)


def _batches(plan: DetectorPlan, photos: _Photos, chapter: int) -> Iterator[list[Sample]]:
    yield from DataLoader(
        _Pictures(plan, photos, chapter),
        plan.batch,
        num_workers=plan.painters,
        collate_fn=list,
        worker_init_fn=end_with_parent,
    )


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


def _save(average: Average, out: Path) -> None:
    model = build_detector(ARCHITECTURE)
    model.load_state_dict(average.state_dict())
    save_weights(model, out)
