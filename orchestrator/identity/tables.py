"""What online association remembers, column by column: the recent tracks of all cameras, and the people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from orchestrator.values import Bool, Float32, Float64, Int64

NOBODY = -1
NEVER = -(1 << 40)
"""A tick long before the first."""
VIEWS = 4
"""Views of each person that are kept at most: front, back and two sides."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """The tracks of all cameras that were seen at one tick, row by row."""

    cameras: Int64
    """[N] row of the camera in the environment."""
    track_ids: Int64
    """[N]"""
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""
    spread: Float64
    """[N, 3] covariance of ``map_xy`` as xx, xy, yy, square metres; NaN where unknown."""
    quadrants: Int64
    """[N] quarter of the image in which the feet are, in the order of ``site.Quadrant``."""
    looks: Float32
    """[N, D] embeddings; rows of zeros where there is none or the crop is not fit for the gallery."""
    quality: Float32
    """[N] how much each look says, from 0 to 1."""
    upright: Bool
    """[N] False for what cannot be a person who stands at its place: it may be somebody known, and nobody new."""

    def __len__(self) -> int:
        return len(self.track_ids)


class Table(ABC):
    """Columns of equal length that grow by blocks of rows. Subclasses are dataclasses of arrays."""

    def append(self, rows: Mapping[str, Any], count: int) -> None:
        """Adds rows; a column that is not given is filled with its default."""
        for name, default in self.defaults().items():
            column = getattr(self, name)
            block = np.full((count, *column.shape[1:]), default, column.dtype)
            block[:] = rows.get(name, default)
            setattr(self, name, np.concatenate([column, block]))

    def keep(self, rows: Bool) -> None:
        """Drops all rows outside the mask."""
        for name in self.defaults():
            setattr(self, name, getattr(self, name)[rows])

    def columns(self, prefix: str) -> dict[str, Any]:
        """All columns under prefixed names, for a snapshot."""
        return {prefix + item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_columns(cls, arrays: Mapping[str, Any], prefix: str) -> Self:
        """The table that ``columns`` was taken from."""
        return cls(**{item.name: arrays[prefix + item.name] for item in fields(cls)})  # type: ignore[arg-type]

    @abstractmethod
    def defaults(self) -> dict[str, float]:
        """Every column and what fills it where a new row says nothing."""


@dataclass(slots=True)
class RecentTracks(Table):
    """The tracks that were seen within the last few ticks, with their places at those ticks."""

    camera: Int64
    track_id: Int64
    person: Int64
    began: Int64
    """[T] tick at which the track was first seen."""
    first_tick: Int64
    """[T] the same, or when it lost its name."""
    last_tick: Int64
    named_tick: Int64
    certainty: Float64
    """Evidence, in nats, that the name rested on when it was given; 0 for the first track of a new person."""
    seen: Int64
    ring_tick: Int64
    """[T, K] tick of each remembered place; the place of tick t stands in column t mod K."""
    ring_xy: Float64
    """[T, K, 2]"""
    ring_spread: Float64
    """[T, K, 3]"""
    look_sum: Float64
    """[T, D] sum of the track's embeddings, weighted by their quality."""

    @classmethod
    def empty(cls, window: int, dimension: int) -> Self:
        """No tracks; places of ``window`` ticks and embeddings of ``dimension`` values."""
        return cls(
            camera=np.zeros(0, np.int64),
            track_id=np.zeros(0, np.int64),
            person=np.zeros(0, np.int64),
            began=np.zeros(0, np.int64),
            first_tick=np.zeros(0, np.int64),
            last_tick=np.zeros(0, np.int64),
            named_tick=np.zeros(0, np.int64),
            certainty=np.zeros(0),
            seen=np.zeros(0, np.int64),
            ring_tick=np.zeros((0, window), np.int64),
            ring_xy=np.zeros((0, window, 2)),
            ring_spread=np.zeros((0, window, 3)),
            look_sum=np.zeros((0, dimension)),
        )

    def defaults(self) -> dict[str, float]:
        """See ``Table.defaults``."""
        ticks = {"began": NEVER, "first_tick": NEVER, "last_tick": NEVER, "named_tick": NEVER, "ring_tick": NEVER}
        rest = {"camera": 0, "track_id": 0, "person": NOBODY, "certainty": 0, "seen": 0, "look_sum": 0}
        return {**ticks, **rest, "ring_xy": np.nan, "ring_spread": np.nan}

    def see(self, rows: Int64, tick: int, sightings: Sightings) -> None:
        """Writes one tick's sightings into ``rows``, one each."""
        column = tick % self.ring_tick.shape[1]
        self.last_tick[rows] = tick
        self.seen[rows] += 1
        self.ring_tick[rows, column] = tick
        self.ring_xy[rows, column] = sightings.map_xy
        self.ring_spread[rows, column] = sightings.spread
        if sightings.looks.shape[1]:
            self.look_sum[rows] += sightings.quality[:, None] * sightings.looks

    def looks(self, rows: Int64) -> Float64:
        """[N, D] mean embeddings, L2-normalised; zeros where there is none."""
        return normalised(self.look_sum[rows])


@dataclass(slots=True)
class People(Table):
    """Everyone who is remembered."""

    number: Int64
    """[P] of their global id, less one."""
    last_tick: Int64
    xy: Float64
    """[P, 2] place at ``last_tick``, fused over the cameras that saw them; NaN where never known."""
    xy_tick: Int64
    """[P] tick of ``xy``."""
    velocity: Float64
    """[P, 2] metres per second, smoothed."""
    views: Float32
    """[P, V, D] embeddings from several sides, L2-normalised; zeros where there is none."""
    view_quality: Float64
    """[P, V] how much the looks said of which a view is made; 0 for one that is not there."""
    view_camera: Int64
    """[P, V] where a view was last seen."""
    view_tick: Int64
    """[P, V] and when."""
    look_tick: Int64
    """[P] tick at which ``views`` were last added to."""
    camera: Int64
    """[P] where last seen; the first of several in the order of the environment."""
    quadrant: Int64
    """[P] and in which quarter of the image."""
    seen_in: Int64
    """[P, C] tick at which each camera last saw them."""
    asked: Int64
    """[P] tick from which it is asked whether they are somebody forgotten; ``NEVER`` where it is not."""
    retired: Bool
    """[P] True for an identity that a correction left without tracks."""

    @classmethod
    def empty(cls, cameras: int, dimension: int) -> Self:
        """Nobody yet."""
        return cls(
            number=np.zeros(0, np.int64),
            last_tick=np.zeros(0, np.int64),
            xy=np.zeros((0, 2)),
            xy_tick=np.zeros(0, np.int64),
            velocity=np.zeros((0, 2)),
            views=np.zeros((0, VIEWS, dimension), np.float32),
            view_quality=np.zeros((0, VIEWS)),
            view_camera=np.zeros((0, VIEWS), np.int64),
            view_tick=np.zeros((0, VIEWS), np.int64),
            look_tick=np.zeros(0, np.int64),
            camera=np.zeros(0, np.int64),
            quadrant=np.zeros(0, np.int64),
            seen_in=np.zeros((0, cameras), np.int64),
            asked=np.zeros(0, np.int64),
            retired=np.zeros(0, bool),
        )

    def __len__(self) -> int:
        return len(self.last_tick)

    def forget_looks(self) -> None:
        """Drops all views; embeddings may then be of any length."""
        count = len(self)
        self.views = np.zeros((count, VIEWS, 0), np.float32)
        self.view_quality = np.zeros((count, VIEWS))
        self.view_camera = np.full((count, VIEWS), NOBODY)
        self.view_tick, self.look_tick = np.full((count, VIEWS), NEVER), np.full(count, NEVER)
        self.asked = np.full(count, NEVER)

    def defaults(self) -> dict[str, float]:
        """See ``Table.defaults``."""
        ticks = {"last_tick": NEVER, "xy_tick": NEVER, "look_tick": NEVER, "view_tick": NEVER}
        ticks |= {"seen_in": NEVER, "asked": NEVER}
        views = {"views": 0, "view_quality": 0, "view_camera": NOBODY}
        return {
            **ticks,
            **views,
            "number": NOBODY,
            "xy": np.nan,
            "velocity": 0,
            "camera": 0,
            "quadrant": 0,
            "retired": False,
        }


def normalised(vectors: Float64) -> Float64:
    """[N, D] scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))
