"""The second pass over what association found in recorded detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from orchestrator.association import CameraResult
from orchestrator.correction import NamedStretch, StoredTracks, name_again
from orchestrator.homography import Homography
from orchestrator.recorded.results import FoundTracks, number_of
from orchestrator.settings import Settings
from orchestrator.site import Camera, Environment


def correct(
    settings: Settings,
    environment: Environment,
    cameras: Sequence[Camera],
    homographies: Mapping[str, Homography],
    rate: float,
    results: Sequence[Sequence[CameraResult]],
    found: Mapping[str, FoundTracks],
    names: Mapping[tuple[str, int], str],
    prefix: str,
) -> dict[str, FoundTracks]:
    """The same tracks under the names that the whole recording gives them."""
    tracks = {
        camera.id: _stored(found[camera.id], [tick[row] for tick in results], settings.gallery_refresh_frames)
        for row, camera in enumerate(cameras)
    }
    stretches = name_again(settings, environment, cameras, homographies, rate, tracks, names, prefix)
    return {
        camera.id: _renamed(found[camera.id], [s for s in stretches if s.camera_id == camera.id]) for camera in cameras
    }


def _stored(found: FoundTracks, results: Sequence[CameraResult], window: int) -> StoredTracks:
    """What history keeps of the tracks: of the embeddings in each window of ticks the surest of each track."""
    dimension = max((item.embeddings.shape[1] for item in results), default=0)
    parts = [item.embeddings for item in results if len(item.tracks)]
    known = [part if part.shape[1] else np.zeros((len(part), dimension), np.float32) for part in parts]
    embeddings = np.concatenate([np.zeros((0, dimension), np.float32), *known])
    rows = np.flatnonzero(embeddings.any(axis=1))
    windows = found.ticks[rows] // window
    order = np.lexsort((found.ticks[rows], -found.scores[rows], windows, found.track_ids[rows]))
    keys = np.column_stack([found.track_ids[rows], windows])[order]
    best = rows[order[np.append(True, (np.diff(keys, axis=0) != 0).any(axis=1))[: len(order)]]]
    return StoredTracks(
        found.track_ids,
        found.ticks,
        found.boxes.astype(np.float32),
        found.map_xy,
        found.track_ids[best],
        found.ticks[best],
        embeddings[best],
    )


def _renamed(found: FoundTracks, stretches: Sequence[NamedStretch]) -> FoundTracks:
    people = found.people.copy()
    for item in stretches:
        within = (found.ticks >= item.first_frame) & (found.ticks <= item.last_frame)
        people[within & (found.track_ids == item.track_id)] = number_of(item.global_id)
    return replace(found, people=people)
