"""BoxMOT behind ``CameraTracker``."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from boxmot.structures import Boxes
from boxmot.structures import Detections as BoxMotDetections
from boxmot.trackers.factory import create_tracker as create_engine
from boxmot.trackers.specs import TrackerSpec
from boxmot.utils import logger as boxmot_logger

from orchestrator.errors import SettingsError
from orchestrator.tracking.botsort import botsort_options, follow, tailor
from orchestrator.tracking.catalogue import options_of
from orchestrator.tracking.memory import TrackMemory
from orchestrator.tracking.state import pack_state, unpack_state
from orchestrator.values import Detections, Float32, Int64, Tracks, UInt8

if TYPE_CHECKING:
    from orchestrator.settings import Settings

logger = logging.getLogger(__name__)

REVIVAL_S, LOST_S = 1.0, 2.0
"""A track that comes back after longer than the first keeps its id only if it looks the same: BotSort revives lost
tracks by overlap with where they would have walked alone, and after seconds that is whoever happens to pass there.
After longer than the second, which is more than it takes to walk past somebody, it never does: of all who look the same
to one camera, identity knows where the others saw them meanwhile."""
REHEARSED_TICKS = 4
"""After so many ticks every tracker has confirmed the person of the rehearsal."""
MIN_SIDE_PX = 1.0
"""Thinner boxes are widened to this: BoxMOT refuses boxes without an area."""


class BoxMotTracker:
    """One BoxMOT tracker over one camera.

    Cameras are fixed, so camera motion is not compensated and no pixels are needed. Prediction runs in seconds, so
    that ticks without a frame and low rates widen the search. BoxMOT counts ids per tracker object: nothing leaks.
    """

    def __init__(self, settings: Settings, camera_id: str, rate: float) -> None:
        self._settings = settings
        self._camera_id = camera_id
        self._rate = rate
        self._engine: Any = None
        self._failed = False
        self._frame: UInt8 = np.zeros((0, 0, 3), np.uint8)
        self._memory = self._fresh_memory(0)
        self._rehearse()

    def update(self, frame_index: int, size_hw: tuple[int, int], detections: Detections, embeddings: Float32) -> Tracks:
        """See ``CameraTracker.update``. Whether appearance is used is settled by the first tick that has people.

        Where BoxMOT fails, the camera has no tracks at that tick, and those of later ticks are new ones.
        """
        if self._engine is None:
            if not len(detections):
                return Tracks.empty()
            self._start(embeddings.shape[1])
        boxes = _with_area(detections.boxes, size_hw)
        looks = self._memory.usable(embeddings)
        features = self._memory.complete(boxes, looks, frame_index) if self._memory.dimension else None
        scores = np.clip(detections.scores, 0, 1).astype(np.float32)
        try:
            ids, rows = self._follow(boxes, scores, features, frame_index, size_hw)
        except Exception:  # whatever BoxMOT raises: its state may be half changed, and other cameras go on
            self._tell_failure(frame_index)
            self.begin_anew(self._memory.dimension)
            return Tracks.empty()
        numbers = self._memory.number(frame_index, ids, boxes[rows], looks[rows])
        self._note(boxes, scores, features, rows, ids)
        return Tracks(numbers, detections.boxes[rows], detections.scores[rows], rows)

    def _follow(
        self, boxes: Float32, scores: Float32, features: Float32 | None, frame_index: int, size_hw: tuple[int, int]
    ) -> tuple[Int64, Int64]:
        """The engine's track ids [M] and the rows [M] of the detections that they took."""
        if self._settings.tracker == "botsort":
            return follow(self._engine, boxes, scores, features, frame_index / self._rate)
        found = self._engine.update(
            BoxMotDetections(
                Boxes(torch.from_numpy(boxes)),
                torch.from_numpy(scores),
                torch.zeros(len(scores), dtype=torch.int64),
                f"{self._camera_id}/{frame_index}",
                embeddings=None if features is None else torch.from_numpy(features),
            ),
            self._blank(size_hw) if self._engine.requirements.frame else None,
            **({"timestamp_s": frame_index / self._rate} if self._engine.variable_dt else {}),
        )
        ids, rows = found.track_ids.numpy(), found.detection_indices.numpy()
        return ids[rows >= 0], rows[rows >= 0]

    def _blank(self, size_hw: tuple[int, int]) -> UInt8:
        """A frame of the right size for trackers that ask for one: without camera motion none looks at its pixels."""
        if self._frame.shape[:2] != size_hw:
            self._frame = np.zeros((*size_hw, 3), np.uint8)
        return self._frame

    def _rehearse(self) -> None:
        """Refuses settings that do not work: now, and not at the first person or the first checkpoint."""
        self._start(4)
        look = np.full((1, 4), 0.5, np.float32)
        try:
            for tick in range(REHEARSED_TICKS):
                self._follow(np.array([[0, 0, 50, 100]], np.float32), np.ones(1, np.float32), look, tick, (720, 1280))
            self.restore(self.snapshot())
        except (pickle.PicklingError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            name = self._settings.tracker
            raise SettingsError(f"SPOTON_TRACKER: {name} cannot be used, or cannot save its state: {error}") from error
        self._engine = None
        self._memory = self._fresh_memory(0)

    def snapshot(self) -> bytes:
        """See ``CameraTracker.snapshot``."""
        return b"" if self._engine is None else pack_state(self._engine, self._memory)

    def restore(self, state: bytes) -> None:
        """See ``CameraTracker.restore``."""
        self._engine = None
        if state:
            attributes, memory = unpack_state(state)
            self._start(memory.dimension)
            self._memory = memory
            vars(self._engine).update(attributes)

    def begin_anew(self, dimension: int) -> None:
        """See ``CameraTracker.begin_anew``."""
        if self._engine is not None:
            count = self._memory.count
            self._start(dimension)
            self._memory.count = count

    def _start(self, dimension: int) -> None:
        self._memory = self._fresh_memory(dimension)
        self._engine = self._make_engine(with_embeddings=dimension > 0)

    def _make_engine(self, *, with_embeddings: bool) -> Any:
        return _create(self._settings, self._camera_id, self._rate, with_embeddings=with_embeddings)

    def _note(self, boxes: Float32, scores: Float32, features: Float32 | None, rows: Int64, ids: Int64) -> None:
        """Takes down, where a state is made from it, which rows of a tick's detections the engine's tracks took."""

    def _tell_failure(self, tick: int) -> None:
        """With its traceback the first time: whatever is wrong may be so at every tick."""
        message = "camera %s, tick %d: its tracker failed; its tracks begin anew (told once)"
        logger.log(logging.DEBUG if self._failed else logging.ERROR, message, self._camera_id, tick, exc_info=True)
        self._failed = True

    def _fresh_memory(self, dimension: int) -> TrackMemory:
        settings = self._settings
        return TrackMemory(
            dimension=dimension,
            similarity=settings.reid_similarity,
            revival_ticks=max(1, round(REVIVAL_S * self._rate)),
            lost_ticks=max(1, round(LOST_S * self._rate)),
            forget_ticks=2 * settings.lost_track_ticks(self._rate),
        )


def _create(settings: Settings, camera_id: str, rate: float, *, with_embeddings: bool) -> Any:
    boxmot_logger.setLevel(logging.WARNING)
    is_botsort = settings.tracker == "botsort"
    make_options = botsort_options if is_botsort else options_of
    options = make_options(settings, rate, with_embeddings=with_embeddings)
    try:
        engine = create_engine(TrackerSpec(settings.tracker, options=tuple(sorted(options.items()))))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"SPOTON_TRACKER: camera {camera_id}: {error}") from error
    if engine.requirements.masks:
        raise SettingsError(f"SPOTON_TRACKER: {settings.tracker} needs masks, which the detector does not give")
    if engine.requirements.embeddings and not with_embeddings:
        raise SettingsError(f"SPOTON_TRACKER: camera {camera_id}: {settings.tracker} needs embeddings")
    engine.cmc = None
    if hasattr(engine, "cmc_off"):
        engine.cmc_off = True
    if is_botsort:
        tailor(engine, rate)
    return engine


def _with_area(boxes: Float32, size_hw: tuple[int, int]) -> Float32:
    """A copy of the boxes [N, 4], inside the frame and at least ``MIN_SIDE_PX`` wide and high."""
    height, width = size_hw
    widened = np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)
    widened[:, :2] = np.minimum(widened[:, :2], (width - MIN_SIDE_PX, height - MIN_SIDE_PX))
    widened[:, 2:] = np.maximum(widened[:, 2:], widened[:, :2] + MIN_SIDE_PX)
    return widened
