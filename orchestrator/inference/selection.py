"""Whom to embed: everybody whose look could matter, which is fewer than everybody.

Somebody who stands alone, where the last tick saw them alone, cannot be taken for anybody else; their look of a moment
ago serves. Whoever comes into view, meets somebody, or was not embedded for a while is embedded. A choice depends on
the detections of its batch alone, so that a resumed run chooses as an unbroken one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from orchestrator.boxes import iou
from orchestrator.values import Bool, Detections, Float32, Int64

SAME_PERSON_IOU = 0.4
"""Overlap with a box of the last tick from which it is the same person's, if no other box is near. Walking across the
view at 10 ticks a second leaves 0.6."""
NEAR = 0.25
"""Boxes closer than this share of their height count as near: their people may be mixed up."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One camera's boxes at one tick, and how old the look of each is."""

    boxes: Float32
    """[N, 4] xyxy, px."""
    alone: Bool
    """[N] whether no other box is near."""
    ages: Int64
    """[N] ticks since the person was embedded; 0 for those to embed now."""

    @classmethod
    def nobody(cls) -> Self:
        """Before the first tick of a batch."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.int64))

    @property
    def due(self) -> Bool:
        """[N] whom to embed now."""
        return np.asarray(self.ages == 0)


def choose(before: Chosen, detections: Detections, every: int) -> Chosen:
    """Whom of the detections [N] to embed, given the choice at the tick before.

    Args:
        before: the same camera's; ``Chosen.nobody()`` at the first tick of a batch.
        detections: those that can start a track.
        every: a person is embedded at least once in so many ticks; 1 for at each.
    """
    boxes = detections.boxes
    alone = _alone(boxes)
    ages = np.zeros(len(boxes), np.int64)
    if every > 1 and len(boxes) and len(before.boxes):
        overlap = iou(boxes, before.boxes)
        own = overlap.argmax(axis=1)
        same = (overlap[np.arange(len(boxes)), own] >= SAME_PERSON_IOU) & ((overlap > 0).sum(axis=1) == 1)
        kept = same & alone & before.alone[own] & (before.ages[own] + 1 < every)
        ages[kept] = before.ages[own[kept]] + 1
    return Chosen(boxes, alone, ages)


def _alone(boxes: Float32) -> Bool:
    """[N] whether no other box comes nearer than ``NEAR`` times the box's height."""
    margin = NEAR * (boxes[:, 3] - boxes[:, 1])
    wide = boxes + np.stack([-margin, -margin, margin, margin], axis=1)
    meets = (wide[:, None, :2] < boxes[None, :, 2:]).all(axis=2) & (boxes[None, :, :2] < wide[:, None, 2:]).all(axis=2)
    return np.asarray(meets.sum(axis=1) <= 1)
