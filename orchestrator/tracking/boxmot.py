"""BoxMOT behind ``CameraTracker``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from boxmot.structures import Boxes
from boxmot.structures import Detections as BoxMotDetections
from boxmot.trackers.common.association.matching import embedding_distance
from boxmot.trackers.factory import create_tracker as create_engine
from boxmot.trackers.specs import TrackerSpec
from boxmot.utils import logger as boxmot_logger

from orchestrator.errors import SettingsError
from orchestrator.tracking.memory import TrackMemory
from orchestrator.tracking.state import pack_state, unpack_state
from orchestrator.values import Detections, Float32, Tracks

if TYPE_CHECKING:
    from orchestrator.settings import Settings

NOMINAL_RATE = 30
"""BoxMOT scales its buffer by rate / 30; at 30 the buffer is counted in frames, as the setting says."""
MATCH_DISTANCE = 0.8
SECOND_MATCH_DISTANCE = 0.5
UNCONFIRMED_MATCH_DISTANCE = 0.7
PROXIMITY_DISTANCE = 0.5
"""1 - IoU limits of BoT-SORT (Aharon et al. 2022, arXiv:2206.14651, and its code), kept as published."""
REVIVAL_S = 1.0
"""A track that comes back after a longer gap keeps its id only if it looks the same. BotSort revives lost tracks by
overlap with where they would have walked alone, and after seconds that is whoever happens to pass there."""
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
        self._memory = self._fresh_memory(0)
        _create(settings, camera_id, with_embeddings=False)  # refuses unfit settings here and not at the first person

    def update(self, frame_index: int, size_hw: tuple[int, int], detections: Detections, embeddings: Float32) -> Tracks:
        """See ``CameraTracker.update``. Whether appearance is used is settled by the first tick that has people."""
        if self._engine is None:
            if not len(detections):
                return Tracks.empty()
            self._start(embeddings.shape[1])
        boxes = _with_area(detections.boxes, size_hw)
        features = self._memory.complete(boxes, embeddings, frame_index) if self._memory.dimension else None
        found = self._engine.update(
            BoxMotDetections(
                Boxes(torch.from_numpy(boxes)),
                torch.from_numpy(np.clip(detections.scores, 0, 1).astype(np.float32)),
                torch.zeros(len(detections), dtype=torch.int64),
                f"{self._camera_id}/{frame_index}",
                embeddings=None if features is None else torch.from_numpy(features),
            ),
            **({"timestamp_s": frame_index / self._rate} if self._engine.variable_dt else {}),
        )
        rows = found.detection_indices.numpy()
        looks = np.zeros((len(rows), 0), np.float32) if features is None else features[rows]
        ids = self._memory.number(frame_index, found.track_ids.numpy(), boxes[rows], looks)
        return Tracks(ids, detections.boxes[rows], detections.scores[rows], rows)

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

    def _start(self, dimension: int) -> None:
        self._memory = self._fresh_memory(dimension)
        self._engine = _create(self._settings, self._camera_id, with_embeddings=dimension > 0)

    def _fresh_memory(self, dimension: int) -> TrackMemory:
        settings = self._settings
        return TrackMemory(
            dimension=dimension,
            similarity=settings.reid_similarity,
            revival_ticks=max(1, round(REVIVAL_S * self._rate)),
            forget_ticks=2 * settings.lost_track_buffer,
        )


def _create(settings: Settings, camera_id: str, *, with_embeddings: bool) -> Any:
    boxmot_logger.setLevel(logging.WARNING)
    options = _botsort_options(settings, with_embeddings) if settings.tracker == "botsort" else {}
    try:
        engine = create_engine(TrackerSpec(settings.tracker, options=tuple(sorted(options.items()))))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"SPOTON_TRACKER: camera {camera_id}: {error}") from error
    if engine.requirements.frame or engine.requirements.masks:
        raise SettingsError(f"SPOTON_TRACKER: {settings.tracker} needs pixels, which association does not see")
    if settings.tracker == "botsort" and with_embeddings:
        _heed_looks(engine)
    return engine


def _heed_looks(engine: Any) -> None:
    """Lets looks speak against a match too: in BotSort they can only speak for one, so that people who cross swap ids.

    To the published cost (1 - IoU, or the cosine distance where that is less) comes the cosine distance by which two
    looks differ more than one person's do.
    """
    published = engine._first_association_cost

    def cost(tracks: list[Any], detections: list[Any]) -> Float32:
        overlap: Float32 = published(tracks, detections)
        if not overlap.size:
            return overlap
        excess = embedding_distance(tracks, detections) - engine.appearance_thresh
        return np.asarray(overlap + np.clip(excess, 0, None), np.float32)

    engine._first_association_cost = cost


def _botsort_options(settings: Settings, with_embeddings: bool) -> dict[str, bool | int | float]:
    """A detection over the threshold starts and continues tracks; one over the low threshold only continues."""
    return {
        "track_high_thresh": settings.detection_threshold,
        "new_track_thresh": settings.detection_threshold,
        "track_low_thresh": settings.low_detection_threshold,
        "track_buffer": settings.lost_track_buffer,
        "frame_rate": NOMINAL_RATE,
        "match_thresh": MATCH_DISTANCE,
        "second_match_thresh": SECOND_MATCH_DISTANCE,
        "unconfirmed_match_thresh": UNCONFIRMED_MATCH_DISTANCE,
        "proximity_thresh": PROXIMITY_DISTANCE,
        "appearance_thresh": 1 - settings.reid_similarity,
        "use_embeddings": with_embeddings,
        "fuse_first_associate": False,
        "use_cmc": False,
        "variable_dt": True,
    }


def _with_area(boxes: Float32, size_hw: tuple[int, int]) -> Float32:
    """A copy of the boxes [N, 4], at least ``MIN_SIDE_PX`` wide and high."""
    height, width = size_hw
    widened = boxes.astype(np.float32, copy=True)
    widened[:, :2] = np.clip(widened[:, :2], 0, (width - MIN_SIDE_PX, height - MIN_SIDE_PX))
    widened[:, 2:] = np.maximum(widened[:, 2:], widened[:, :2] + MIN_SIDE_PX)
    return widened
