"""Whom to embed: everybody whose look could matter, which is fewer than everybody.

Somebody who stands alone, where the last tick saw them alone, cannot be taken for anybody else; their looks so far
serve. Whoever came into view lately, meets somebody, or was not embedded for a while is embedded. A choice depends on
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
FIRST_LOOKS = 8
"""Looks that are taken of somebody at successive ticks before any is left out: by these their track is named."""
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
    looks: Int64
    """[N] looks taken of the person so far, this tick's included."""

    @classmethod
    def nobody(cls) -> Self:
        """Before the first tick of a batch."""
        nothing = np.zeros(0, np.int64)
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.bool_), nothing, nothing)

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
    ages, looks = np.zeros((2, len(boxes)), np.int64)
    if len(boxes) and len(before.boxes):
        overlap = iou(boxes, before.boxes)
        own = overlap.argmax(axis=1)
        same = (overlap[np.arange(len(boxes)), own] >= SAME_PERSON_IOU) & ((overlap > 0).sum(axis=1) == 1)
        looks = np.where(same, before.looks[own], 0)
        kept = same & alone & before.alone[own] & (looks >= FIRST_LOOKS) & (before.ages[own] + 1 < every)
        ages = np.where(kept, before.ages[own] + 1, 0)
    return Chosen(boxes, alone, ages, looks + (ages == 0))


def _alone(boxes: Float32) -> Bool:
    """[N] whether no other box comes nearer than ``NEAR`` times the box's height."""
    margin = NEAR * (boxes[:, 3] - boxes[:, 1])
    wide = boxes + np.stack([-margin, -margin, margin, margin], axis=1)
    meets = (wide[:, None, :2] < boxes[None, :, 2:]).all(axis=2) & (boxes[None, :, :2] < wide[:, None, 2:]).all(axis=2)
    return np.asarray(meets.sum(axis=1) <= 1)
