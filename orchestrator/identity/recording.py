"""What the second pass looks at: the tracklets of a whole recording, as history keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from orchestrator.values import Bool, Float32, Float64, Int64

SAMPLE_HZ = 4.0
"""Sightings a second that are looked at: somebody walks 0.4 m meanwhile, about as far as places are wrong."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """Where the tracks of one camera were, row by row in any order; of a track twice at one tick the first counts."""

    track_ids: Int64
    """[N]"""
    frames: Int64
    """[N] ticks since the start of the recording."""
    boxes: Float32
    """[N, 4] xyxy px."""
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""
    spread: Float64
    """[N, 3] covariance of ``map_xy`` as xx, xy, yy, square metres; NaN where unknown."""
    statures: Float64
    """[N] log of the box's height over that of an upright person there; NaN where unknown, 0 without a map."""
    quadrants: Int64
    """[N] quarter of the image in which the feet are, in the order of ``site.Quadrant``."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Embeddings of tracks of one camera, row by row in any order."""

    track_ids: Int64
    """[L]"""
    frames: Int64
    """[L]"""
    embeddings: Float32
    """[L, D]"""


@dataclass(frozen=True, slots=True)
class Recording:
    """All tracklets, those of the first camera first; within a camera by rising track id."""

    rate: float
    """Ticks a second."""
    cameras: Int64
    """[T] row of each tracklet's camera in the environment."""
    track_ids: Int64
    """[T]"""
    people: Int64
    """[T] whom the online association took it for; -1 for nobody."""
    spans: Int64
    """[T, 2] first and last tick."""
    tracklets: Int64
    """[N] row of the tracklet of each sighting; rising."""
    frames: Int64
    """[N] rising within a tracklet."""
    boxes: Float32
    """[N, 4]"""
    map_xy: Float64
    """[N, 2]"""
    spread: Float64
    """[N, 3]"""
    statures: Float64
    """[N]"""
    quadrants: Int64
    """[N]"""
    look_tracklets: Int64
    """[L] rising."""
    look_frames: Int64
    """[L] rising within a tracklet."""
    looks: Float32
    """[L, D] L2-normalised."""

    def __len__(self) -> int:
        return len(self.track_ids)

    def unplaced(self, rows: Bool) -> Recording:
        """The same without the places of the sightings ``rows`` [N]."""
        map_xy, spread = (np.where(rows[:, None], np.nan, column) for column in (self.map_xy, self.spread))
        return replace(self, map_xy=map_xy, spread=spread)

    def moments(self) -> list[Int64]:
        """The rows of sightings that one camera had at one tick, for every camera and tick."""
        cameras = self.cameras[self.tracklets]
        order = np.lexsort((self.frames, cameras))
        changes = (np.diff(cameras[order]) != 0) | (np.diff(self.frames[order]) != 0)
        return np.split(order, np.flatnonzero(changes) + 1)


def sample_step(rate: float) -> int:
    """Ticks between two sightings that are looked at."""
    return max(1, round(rate / SAMPLE_HZ))


def make_recording(
    rate: float,
    sightings: Sequence[Sightings],
    looks: Sequence[Looks],
    people: Iterable[tuple[tuple[int, int], int]],
) -> Recording:
    """Puts the cameras' rows together and thins them to ``SAMPLE_HZ``; first and last sightings are kept.

    Args:
        rate: ticks a second.
        sightings: one per camera, in the order of the environment.
        looks: the same.
        people: the person of each (camera row, track id) that the online association named.
    """
    blocks = [_thinned(item, sample_step(rate)) for item in sightings]
    counts = [len(block.track_ids) for block in blocks]
    cameras = np.repeat(np.arange(len(blocks)), counts)
    track_ids = np.concatenate([np.zeros(0, np.int64), *(block.track_ids for block in blocks)])
    offsets = np.cumsum([0, *counts])
    rows = [block.rows for block in blocks]
    named = dict(people)
    keys = zip(cameras.tolist(), track_ids.tolist(), strict=True)
    return Recording(
        rate,
        cameras,
        track_ids,
        np.array([named.get(key, -1) for key in keys], np.int64),
        np.concatenate([np.zeros((0, 2), np.int64), *(block.spans for block in blocks)]),
        np.concatenate(
            [np.zeros(0, np.int64), *(block.owners + offset for block, offset in zip(blocks, offsets, strict=False))]
        ),
        np.concatenate([np.zeros(0, np.int64), *(item.frames for item in rows)]),
        np.concatenate([np.zeros((0, 4), np.float32), *(item.boxes for item in rows)]),
        np.concatenate([np.zeros((0, 2)), *(item.map_xy for item in rows)]),
        np.concatenate([np.zeros((0, 3)), *(item.spread for item in rows)]),
        np.concatenate([np.zeros(0), *(item.statures for item in rows)]),
        np.concatenate([np.zeros(0, np.int64), *(item.quadrants for item in rows)]),
        *_join_looks(looks, cameras, track_ids),
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """One camera's tracklets."""

    track_ids: Int64
    spans: Int64
    rows: Sightings
    owners: Int64
    """[N] which of the camera's tracklets each row belongs to."""


def _thinned(item: Sightings, step: int) -> _Block:
    order = np.lexsort((item.frames, item.track_ids))
    again = (np.diff(item.track_ids[order]) == 0) & (np.diff(item.frames[order]) == 0)
    order = order[np.append(True, ~again)[: len(order)]]
    track_ids, first, owner = np.unique(item.track_ids[order], return_index=True, return_inverse=True)
    last = np.append(first[1:], len(order)) - 1 if len(order) else first
    frames = item.frames[order]
    kept = frames % step == 0
    kept[first] = kept[last] = True
    taken = order[kept]
    rows = Sightings(*(getattr(item, column.name)[taken] for column in fields(item)))
    return _Block(track_ids, np.column_stack([frames[first], frames[last]]), rows, owner.ravel()[kept])


def _join_looks(looks: Sequence[Looks], cameras: Int64, track_ids: Int64) -> tuple[Int64, Int64, Float32]:
    row_of = {key: row for row, key in enumerate(zip(cameras.tolist(), track_ids.tolist(), strict=True))}
    dimension = max((item.embeddings.shape[1] for item in looks), default=0)
    tracklets, frames, vectors = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, dimension))]
    for camera, item in enumerate(looks):
        rows = np.array([row_of.get((camera, track), -1) for track in item.track_ids.tolist()], np.int64)
        kept = np.flatnonzero((rows >= 0) & item.embeddings.any(axis=1) & np.isfinite(item.embeddings).all(axis=1))
        if len(kept):
            tracklets.append(rows[kept])
            frames.append(item.frames[kept])
            vectors.append(item.embeddings[kept])
    joined, when, what = np.concatenate(tracklets), np.concatenate(frames), np.concatenate(vectors)
    order = np.lexsort((when, joined))
    length = np.linalg.norm(what[order], axis=1, keepdims=True)
    return joined[order], when[order], (what[order] / np.maximum(length, 1e-12)).astype(np.float32)
