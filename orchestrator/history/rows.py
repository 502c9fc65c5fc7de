"""What one camera saw at one tick, and how many such pieces become rows of ``detections`` and ``embeddings``."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import numpy as np

from orchestrator.history.copy_format import HEADER, TRAILER, encode_rows, vectors
from orchestrator.inference.protocols import ModelId
from orchestrator.values import Bool, Float32, Float64, Identities, Int64, Tracks

DETECTION_COLUMNS = (
    *("task_id", "camera_id", "track_id", "global_frame_index", "time", "media_time_s"),
    *("x1", "y1", "x2", "y2", "confidence", "map_x", "map_y"),
)
EMBEDDING_COLUMNS = (
    *("task_id", "camera_id", "track_id", "global_frame_index", "time", "confidence"),
    *("model_name", "model_version", "embedding", "searchable"),
)
PIECE_ROWS = 2_000
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class CameraOutcome(Protocol):
    """What one camera's frame came to."""

    @property
    def camera_id(self) -> str:
        """Whose frame."""
        ...

    @property
    def tracks(self) -> Tracks:
        """[N] the people in it."""
        ...

    @property
    def identities(self) -> Identities:
        """[N] who they are."""
        ...

    @property
    def embeddings(self) -> Float32:
        """[N, D] what they look like; a row of zeros where that was not asked."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """When a tick was: frame k lies k / rate seconds after the origin."""

    origin: datetime
    rate: float

    def time_of(self, frame: int) -> datetime:
        """The moment of one frame, to the microsecond, as its rows have it."""
        return _POSTGRES_EPOCH + timedelta(microseconds=int(self.microseconds(np.array([frame], np.int64))[0]))

    def frame_at(self, time_s: float) -> int:
        """The frame nearest to a moment, in seconds since 1970."""
        return round((time_s - self.origin.timestamp()) * self.rate)

    def microseconds(self, frames: Int64) -> Int64:
        """[N] microseconds since 2000-01-01 UTC, which is how PostgreSQL counts."""
        origin = (self.origin - _POSTGRES_EPOCH) // timedelta(microseconds=1)
        passed: Int64 = np.rint(frames * (1e6 / self.rate)).astype(np.int64)
        return passed + origin


@dataclass(frozen=True, slots=True)
class Sighting:
    """Rows of one camera: at first those of one tick, later joined to blocks."""

    camera_id: str
    frames: Int64
    """[N] global frame indices."""
    track_ids: Int64
    media_times_s: Float64
    boxes: Float32
    """[N, 4] xyxy, source px."""
    scores: Float32
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""

    @classmethod
    def of(cls, tick: int, media_time_s: float, outcome: CameraOutcome) -> Sighting:
        """The rows of one camera at one tick."""
        tracks = outcome.tracks
        count = len(tracks)
        return cls(
            outcome.camera_id,
            np.full(count, tick, np.int64),
            tracks.track_ids,
            np.full(count, media_time_s),
            tracks.boxes,
            tracks.scores,
            outcome.identities.map_xy,
        )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Looks:
    """Embeddings of one camera's tracks, at most one a track and window."""

    camera_id: str
    frames: Int64
    track_ids: Int64
    scores: Float32
    embeddings: Float32
    """[N, D]."""
    searchable: Bool
    """[N] which of them the index for searches gets."""

    def best(self) -> Looks:
        """The most confident row of each track; the earliest of equals. Rows without an embedding are left out."""
        embedded: Bool = np.asarray(self.embeddings.any(axis=1))
        rows = np.flatnonzero(embedded)
        order = rows[np.lexsort((self.frames[rows], -self.scores[rows], self.track_ids[rows]))]
        first = np.unique(self.track_ids[order], return_index=True)[1]
        chosen = order[first]
        return Looks(
            self.camera_id,
            self.frames[chosen],
            self.track_ids[chosen],
            self.scores[chosen],
            self.embeddings[chosen],
            self.searchable[chosen],
        )


def join_sightings(pieces: Sequence[Sighting]) -> list[Sighting]:
    """One per camera, rows in the order given."""
    return [
        Sighting(
            camera_id,
            np.concatenate([piece.frames for piece in group]),
            np.concatenate([piece.track_ids for piece in group]),
            np.concatenate([piece.media_times_s for piece in group]),
            np.concatenate([piece.boxes for piece in group]),
            np.concatenate([piece.scores for piece in group]),
            np.concatenate([piece.map_xy for piece in group]),
        )
        for camera_id, group in _by_camera(pieces)
    ]


def join_looks(pieces: Sequence[Looks]) -> list[Looks]:
    """One per camera, rows in the order given."""
    return [
        Looks(
            camera_id,
            np.concatenate([piece.frames for piece in group]),
            np.concatenate([piece.track_ids for piece in group]),
            np.concatenate([piece.scores for piece in group]),
            np.concatenate([piece.embeddings for piece in group]),
            np.concatenate([piece.searchable for piece in group]),
        )
        for camera_id, group in _by_camera(pieces)
    ]


def detections_copy(task_id: str, clock: Clock, blocks: Sequence[Sighting]) -> Iterator[bytes]:
    """A binary COPY of ``DETECTION_COLUMNS`` in pieces: while one is encoded the server stores those before it."""
    task = uuid.UUID(task_id).bytes
    yield HEADER
    for block in blocks:
        on_map: Bool = np.asarray(np.isfinite(block.map_xy).all(axis=1))
        for mapped in (True, False):
            rows = np.flatnonzero(on_map == mapped)
            for start in range(0, len(rows), PIECE_ROWS):
                yield _detections(task, clock, block, rows[start : start + PIECE_ROWS], mapped)
    yield TRAILER


def embeddings_copy(task_id: str, clock: Clock, model: ModelId, blocks: Sequence[Looks]) -> Iterator[bytes]:
    """A binary COPY of ``EMBEDDING_COLUMNS`` in pieces."""
    task = uuid.UUID(task_id).bytes
    name, version = model.name.encode(), model.version.encode()
    yield HEADER
    for block in blocks:
        yield encode_rows(
            len(block.frames),
            [
                task,
                block.camera_id.encode(),
                block.track_ids.astype(np.int32),
                block.frames.astype(np.int32),
                clock.microseconds(block.frames),
                block.scores,
                name,
                version,
                vectors(block.embeddings),
                block.searchable,
            ],
        )
    yield TRAILER


def _detections(task: bytes, clock: Clock, block: Sighting, rows: Int64, mapped: bool) -> bytes:
    frames, places = block.frames[rows], block.map_xy[rows]
    return encode_rows(
        len(frames),
        [
            task,
            block.camera_id.encode(),
            block.track_ids[rows].astype(np.int32),
            frames.astype(np.int32),
            clock.microseconds(frames),
            block.media_times_s[rows],
            *block.boxes[rows].T,
            block.scores[rows],
            places[:, 0] if mapped else None,
            places[:, 1] if mapped else None,
        ],
    )


class _OfCamera(Protocol):
    @property
    def camera_id(self) -> str: ...


_Piece = TypeVar("_Piece", bound=_OfCamera)


def _by_camera(pieces: Sequence[_Piece]) -> Iterator[tuple[str, list[_Piece]]]:
    groups: dict[str, list[_Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.camera_id, []).append(piece)
    yield from groups.items()
