"""The steps of a training, in chapters: what a chapter shows follows from its number, so a kill costs one chapter."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from demo.training.checkpoint import Average, Checkpoint, Learner

logger = logging.getLogger(__name__)
Batch = TypeVar("Batch")

LEAST_PACE = 0.02
"""Of the highest learning rate, at the end."""


@dataclass(frozen=True)
class Course(Generic[Batch]):
    """What is learned, and how long."""

    steps: int
    chapter: int
    """Steps from one checkpoint to the next."""
    learning_rate: float
    warm_up_steps: int
    batches: Callable[[int, int], Iterable[Batch]]
    """From a chapter's number and its length in steps."""
    learn: Callable[[Batch], float]
    """One step of the optimiser; gives the loss."""
    leave: Callable[[Average], None]
    """Writes the weights as they are."""


def follow(course: Course[Batch], learner: Learner, checkpoint: Checkpoint) -> None:
    """Learns to the end from where the checkpoint stands, if there is one; the weights that come out are the same.

    A group of the optimiser's parameters may have a ``pace`` of its own. Raises ``CheckpointError``.
    """
    if checkpoint.check():
        checkpoint.restore(learner)
        logger.info("going on after step %d of %d", learner.step, course.steps)
    while learner.step < course.steps:
        chapter, length = learner.step // course.chapter, min(course.chapter, course.steps - learner.step)
        loss = 0.0
        for batch in course.batches(chapter, length):
            rate = course.learning_rate * pace(learner.step, course.steps, course.warm_up_steps)
            for group in learner.optimiser.param_groups:
                group["lr"] = rate * group.get("pace", 1.0)
            loss += course.learn(batch)
            learner.average.update(learner.model)
            learner.step += 1
        course.leave(learner.average)
        checkpoint.save(learner)
        logger.info("step %d of %d, mean loss %.4f", learner.step, course.steps, loss / length)
    checkpoint.remove()


def pace(step: int, steps: int, warm_up: int) -> float:
    """Share of the highest learning rate: up in a line, then down along half a cosine."""
    down = LEAST_PACE + (1 - LEAST_PACE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / warm_up) * down
