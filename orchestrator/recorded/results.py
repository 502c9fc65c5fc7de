"""What association found in a recording, as columns, and as files.

For each camera ``<camera>.txt`` in MOTChallenge's form, ``frame, id, left, top, width, height, score, -1, -1, -1``,
with the number of the global id as its id, and for all cameras together ``map.txt``: ``frame, id, x, y`` in metres, one
line a person and tick. Frames are numbered as in the detections. A track that nobody could name is left out: it was
seen too shortly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.association import CameraResult
from orchestrator.errors import StorageError
from orchestrator.identity.ids import person_of
from orchestrator.values import Float64, Int64

if TYPE_CHECKING:
    from orchestrator.recorded.associate import Recording

NOBODY = 0
"""In place of the number of a global id."""
MAP_FILE = "map.txt"


@dataclass(frozen=True, slots=True)
class FoundTracks:
    """The tracks of one camera, by rising tick."""

    ticks: Int64
    """[N]"""
    track_ids: Int64
    """[N] of the camera."""
    people: Int64
    """[N] number of the global id, from 1; ``NOBODY`` where it has none."""
    boxes: Float64
    """[N, 4] xyxy px."""
    scores: Float64
    """[N]"""
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""
    spread: Float64
    """[N, 3] covariance of ``map_xy`` as xx, xy, yy, square metres; NaN where unknown."""


def collect(
    recording: Recording,
    results: Sequence[Sequence[CameraResult]],
    names: Mapping[tuple[str, int], str],
) -> dict[str, FoundTracks]:
    """The results of all ticks, camera by camera, under the names [camera id, track id] that tracks have in the end."""
    found = {}
    for row, camera in enumerate(recording.cameras):
        own = [tick[row] for tick in results]
        ids = _joined([item.tracks.track_ids for item in own], np.int64)
        numbers = {track: number_of(names.get((camera.id, track))) for track in np.unique(ids).tolist()}
        found[camera.id] = FoundTracks(
            np.repeat(np.arange(len(own)), [len(item.tracks) for item in own]),
            ids,
            np.array([numbers[track] for track in ids.tolist()], np.int64),
            _joined([item.tracks.boxes for item in own], np.float64, 4),
            _joined([item.tracks.scores for item in own], np.float64),
            _joined([item.identities.map_xy for item in own], np.float64, 2),
            _joined([item.spread for item in own], np.float64, 3),
        )
    return found


def fuse(found: Mapping[str, FoundTracks]) -> tuple[Int64, Int64, Float64]:
    """Where people are on the map: ticks [M], people [M], metres [M, 2], one row a person and tick.

    Places of several cameras are averaged by the inverse of their covariances, as independent measurements are.
    """
    rows = [np.isfinite(item.map_xy).all(axis=1) & (item.people != NOBODY) for item in found.values()]
    ticks, people, places, spreads = (
        np.concatenate([getattr(item, name)[chosen] for item, chosen in zip(found.values(), rows, strict=True)])
        for name in ("ticks", "people", "map_xy", "spread")
    )
    keys, group = np.unique(np.column_stack([ticks, people]), axis=0, return_inverse=True)
    precision = np.linalg.inv(spreads[:, [0, 1, 1, 2]].reshape(-1, 2, 2))
    weighted = np.einsum("nij,nj->ni", precision, places)
    total, moment = np.zeros((len(keys), 2, 2)), np.zeros((len(keys), 2))
    np.add.at(total, group.ravel(), precision)
    np.add.at(moment, group.ravel(), weighted)
    fused = np.linalg.solve(total, moment[:, :, None])[:, :, 0]
    return keys[:, 0], keys[:, 1], np.asarray(fused, np.float64)


def write(out: Path, recording: Recording, found: Mapping[str, FoundTracks]) -> None:
    """Writes all files, each whole or not at all.

    Raises:
        StorageError: they cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for camera_id, tracks in found.items():
            _write(out / f"{camera_id}.txt", _mot_lines(recording, tracks))
        ticks, people, places = fuse(found)
        frames = recording.frame_of(ticks)
        lines = zip(np.asarray(frames).tolist(), people.tolist(), places.tolist(), strict=True)
        _write(out / MAP_FILE, [f"{frame},{person},{x:.3f},{y:.3f}" for frame, person, (x, y) in lines])
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error}") from error


def _mot_lines(recording: Recording, tracks: FoundTracks) -> list[str]:
    named = tracks.people != NOBODY
    frames = np.asarray(recording.frame_of(tracks.ticks[named])).tolist()
    corner, size = tracks.boxes[named, :2], tracks.boxes[named, 2:] - tracks.boxes[named, :2]
    boxes = np.hstack([corner, size]).tolist()
    columns = zip(frames, tracks.people[named].tolist(), boxes, tracks.scores[named].tolist(), strict=True)
    return [
        f"{frame},{person},{left:.2f},{top:.2f},{width:.2f},{height:.2f},{score:.4f},-1,-1,-1"
        for frame, person, (left, top, width, height), score in columns
    ]


def _write(path: Path, lines: Sequence[str]) -> None:
    part = path.with_suffix(".part")
    try:
        part.write_text("".join(f"{line}\n" for line in lines))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def number_of(global_id: str | None) -> int:
    """The number of a global id; ``NOBODY`` for None."""
    return NOBODY if global_id is None else person_of(global_id) + 1


def _joined(parts: Sequence[Any], kind: type, *shape: int) -> Any:
    return np.concatenate([np.zeros((0, *shape), kind), *(part.astype(kind) for part in parts)])
