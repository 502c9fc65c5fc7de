"""Trains the demo's Re-ID network with two losses within a batch: supervised contrast and batch-hard triplets.

A batch holds all people of a few places, so that the background tells nobody apart. With the few thousand steps that
two CPU cores allow, this does better than a softmax over all identities, whose prototypes are met too seldom.

Sources: Khosla et al. 2020 (supervised contrast), Hermans et al. 2017 (soft-margin batch-hard triplets).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from demo.children import end_with_parent
from demo.training.checkpoint import Average, Checkpoint, Learner, save_weights, sources
from demo.training.crops import PEOPLE_PER_PLACE, Crop, augmented, by_identity, real_crops, simulated_crops
from demo.training.imagenet import load_imagenet
from demo.training.loop import Course, follow
from export.architectures import Lite0Embedder, build_embedder
from export.weights import load_weights

logger = logging.getLogger(__name__)

ARCHITECTURE = "lite0_bands"


@dataclass(frozen=True, slots=True)
class ReidPlan:
    """How long and on what to train."""

    steps: int
    simulated_crops: int = 12800
    """Eight for each simulated person; they are rendered once before the training."""
    places: int = 3
    crops: int = 4
    """A batch is the people of ``places`` places with ``crops`` pictures of each."""
    learning_rate: float = 7e-4
    warm_up_steps: int = 50
    temperature: float = 0.1
    seed: int = 0
    threads: int = 2
    painters: int = 1
    """Processes that change the crops; another number gives other batches for the same seed."""
    chapter: int = 100
    """Steps from one checkpoint to the next; another number gives other batches for the same seed."""


class Places:
    """Random batches of people by place; the people of photos count as places of eight, too."""

    def __init__(self, crops: Sequence[Crop], rng: np.random.Generator) -> None:
        self._people = by_identity(crops)
        self._places = sorted({identity // PEOPLE_PER_PLACE for identity in self._people})
        self._rng = rng

    def batch(self, places: int, crops: int) -> tuple[Tensor, Tensor]:
        """Pictures UINT8 [B, 256, 128, 3] and identities INT64 [B]."""
        pictures, labels = [], []
        for place in self._rng.choice(self._places, places, replace=False):
            for identity in range(place * PEOPLE_PER_PLACE, (place + 1) * PEOPLE_PER_PLACE):
                group = self._people.get(identity, [])
                if not group:
                    continue
                rows = self._rng.choice(len(group), crops, replace=len(group) < crops)
                pictures += [augmented(group[row].pixels, self._rng) for row in rows]
                labels += [identity] * crops
        return torch.from_numpy(np.stack(pictures)), torch.tensor(labels)


class _Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches of one chapter; each painter has a stream of its own."""

    def __init__(self, plan: ReidPlan, crops: Sequence[Crop], chapter: int) -> None:
        self._plan, self._crops, self._chapter = plan, crops, chapter

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        painter = get_worker_info()
        cv2.setNumThreads(1)
        number = painter.id if painter else 0
        people = Places(self._crops, np.random.default_rng([self._plan.seed, number, self._chapter]))
        while True:
            yield people.batch(self._plan.places, self._plan.crops)


def train(plan: ReidPlan, data: Path, out: Path, start: Path | None = None, *, fresh: bool = False) -> None:
    """Trains for ``plan.steps`` and leaves fp16 safetensors in ``out``, written anew after each chapter.

    ``data`` holds ``pennfudan`` and ``coco_people``. ``start`` is a file of an earlier training whose weights to begin
    with; without it features come from ImageNet. What a killed training of the same plan left beside ``out`` is gone
    on from, to the same weights, unless ``fresh``. Raises ``CheckpointError`` where it was of another plan.
    """
    cv2.setNumThreads(1)  # painters are forks, in which threads that OpenCV began here would be missing
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    checkpoint = Checkpoint(out, {**asdict(plan), **sources(data, start)})
    if fresh:
        checkpoint.remove()
    checkpoint.check()
    crops = _crops(plan, data)
    model = _model(start)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, plan.learning_rate, weight_decay=5e-4)
    course = Course(
        plan.steps, plan.chapter, plan.learning_rate, plan.warm_up_steps,
        batches=lambda chapter, steps: islice(_batches(plan, crops, chapter), steps),
        learn=lambda batch: _step(plan, model, optimiser, *batch),
        leave=lambda average: _save(average, out),
    )  # fmt: skip
    follow(course, Learner(model, optimiser, Average(model, decay=0.99)), checkpoint)


def _crops(plan: ReidPlan, data: Path) -> list[Crop]:
    """The same for the same plan; identities of real people follow those of simulated ones."""
    simulated = list(simulated_crops(plan.seed, plan.simulated_crops))
    first_real = (simulated[-1].identity // PEOPLE_PER_PLACE + 1) * PEOPLE_PER_PLACE
    real = real_crops(data, first_real)
    logger.info("%d simulated people, %d real ones", len(by_identity(simulated)), len(real))
    return [*simulated, *real]


def _batches(plan: ReidPlan, crops: Sequence[Crop], chapter: int) -> Iterator[tuple[Tensor, Tensor]]:
    batches = _Batches(plan, crops, chapter)
    yield from DataLoader(batches, batch_size=None, num_workers=plan.painters, worker_init_fn=end_with_parent)


def triplet_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Embeddings [B, D] of length 1: the farthest of one's own against the nearest of the others, soft margin."""
    distances = torch.cdist(embeddings, embeddings)
    own = labels.unsqueeze(0) == labels.unsqueeze(1)
    farthest = distances.masked_fill(~own, -1.0).amax(dim=1)
    nearest = distances.masked_fill(own, 10.0).amin(dim=1)
    return functional.softplus(6.0 * (farthest - nearest)).mean()


def contrast_loss(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Embeddings [B, D] of length 1: each picks out its own among all others, by softmax of the cosines."""
    itself = torch.eye(len(labels), dtype=torch.bool)
    own = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    cosines = (embeddings @ embeddings.T / temperature).masked_fill(itself, -1e4)
    likelihood = functional.log_softmax(cosines, dim=1)
    return -(likelihood * own).sum(dim=1).div(own.sum(dim=1).clamp(min=1)).mean()


def _step(
    plan: ReidPlan, model: Lite0Embedder, optimiser: torch.optim.Optimizer, pixels: Tensor, labels: Tensor
) -> float:
    images = (pixels.permute(0, 3, 1, 2).float() / 255.0).contiguous(memory_format=torch.channels_last)
    embeddings = functional.normalize(model(images), dim=1)
    loss = contrast_loss(embeddings, labels, plan.temperature) + 0.5 * triplet_loss(embeddings, labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _model(start: Path | None) -> Lite0Embedder:
    model = build_embedder(ARCHITECTURE)
    if not isinstance(model, Lite0Embedder):
        raise TypeError(f"{ARCHITECTURE} is {type(model).__name__}")
    if start is None:
        load_imagenet(model.body)
    else:
        load_weights(model, start)
    model.train().to(memory_format=torch.channels_last)
    for module in model.body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for part in (model.body.conv_stem, model.body.bn1, model.body.blocks[0], model.body.blocks[1]):
        part.requires_grad_(requires_grad=False)
    return model


def _save(average: Average, out: Path) -> None:
    model = build_embedder(ARCHITECTURE)
    model.load_state_dict(average.state_dict())
    save_weights(model, out)
