"""What cameras gave at a tick, as far as it can be used: one camera's fault never stops the others.

A detection whose box or score is not finite is left out; an embedding that is not finite counts as none, and so do all
of a camera's at a tick where they are of another length than the task's, or not one a detection. Each is a warning the
first time that it happens to a camera.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.errors import ModelContractError
from orchestrator.values import Bool, Detections, Float32, Int64

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraInput:
    """What one camera gave at one tick."""

    camera_id: str
    size_hw: tuple[int, int]
    """Of the source frame, px."""
    detections: Detections
    embeddings: Float32
    """[N, D] row by row with ``detections``; a row of zeros has none; D may be 0."""


@dataclass(frozen=True, slots=True)
class Usable:
    """What can be used of it."""

    item: CameraInput
    rows: Int64
    """[N] of its detections in those that the camera gave."""


class Intake:
    """Looks through what the cameras of one task give, tick by tick. Not thread-safe."""

    def __init__(self, camera_ids: Sequence[str]) -> None:
        self._camera_ids = frozenset(camera_ids)
        self._told: set[tuple[str, str]] = set()
        self._last_tick = -1
        self.dimension = 0
        """Values in an embedding; 0 while no camera has given any."""

    def take(self, tick: int, inputs: Sequence[CameraInput]) -> list[Usable]:
        """One for each of the inputs, in their order.

        Raises:
            ValueError: the tick does not rise, or a camera is unknown or given twice; nothing has changed by then.
            ModelContractError: the embeddings of all cameras are of another length than before: the model is another.
        """
        self._check_order(tick, [item.camera_id for item in inputs])
        self._settle_dimension(inputs)
        self._last_tick = tick
        return [self._usable(tick, item) for item in inputs]

    def _check_order(self, tick: int, camera_ids: Sequence[str]) -> None:
        if tick <= self._last_tick:
            raise ValueError(f"tick {tick} after tick {self._last_tick}: ticks rise")
        for position, camera_id in enumerate(camera_ids):
            if camera_id not in self._camera_ids:
                raise ValueError(f"tick {tick}: camera {camera_id} takes no part in this task")
            if camera_id in camera_ids[:position]:
                raise ValueError(f"tick {tick}: camera {camera_id} is given twice")

    def _settle_dimension(self, inputs: Sequence[CameraInput]) -> None:
        given = {item.camera_id: _width(item.embeddings) for item in inputs if _width(item.embeddings)}
        if given and not self.dimension:
            self.dimension = next(iter(given.values()))
        if given and self.dimension not in given.values():
            camera_id, width = next(iter(given.items()))
            raise ModelContractError(f"camera {camera_id}: embeddings of {width} values, {self.dimension} until now")

    def _usable(self, tick: int, item: CameraInput) -> Usable:
        detections, looks = item.detections, self._looks(tick, item)
        fit: Bool = np.isfinite(detections.boxes).all(axis=1) & np.isfinite(detections.scores)
        if fit.all():
            return Usable(replace(item, embeddings=looks), np.arange(len(fit)))
        self._tell(item.camera_id, tick, "%d detections whose box or score is not finite are left out", np.sum(~fit))
        rows = np.flatnonzero(fit)
        return Usable(replace(item, detections=detections.select(rows), embeddings=looks[rows]), rows)

    def _looks(self, tick: int, item: CameraInput) -> Float32:
        """The embeddings [N, D] of all detections, zeros where they cannot be used; [N, 0] where none were given."""
        looks, count = item.embeddings, len(item.detections)
        if looks.shape not in {(count, self.dimension), (count, 0)}:
            shape, wanted = list(looks.shape), [count, self.dimension]
            self._tell(item.camera_id, tick, "embeddings %s and not %s are left out", shape, wanted)
            return np.zeros((count, self.dimension), np.float32)
        wrong: Bool = np.logical_not(np.isfinite(looks).all(axis=1))
        if not wrong.any():
            return looks
        self._tell(item.camera_id, tick, "%d embeddings that are not finite are left out", wrong.sum())
        return np.where(wrong[:, None], np.float32(0), looks)

    def _tell(self, camera_id: str, tick: int, problem: str, *values: object) -> None:
        """Says ``problem``, with ``values`` in its places, the first time that this camera has it."""
        if (camera_id, problem) not in self._told:
            self._told.add((camera_id, problem))
            logger.warning("camera %s, tick %d: %s (told once)", camera_id, tick, problem % values)


def _width(embeddings: Float32) -> int:
    return embeddings.shape[1] if embeddings.ndim == 2 else 0
