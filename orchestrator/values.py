"""The values that cross the seams between rooms: frozen, columnar, numpy.

Boxes are ``xyxy`` in pixels of the source frame with the origin at the top left corner of the top left pixel. Map
coordinates are metres in the environment's ground plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame of one camera."""

    camera_id: str
    frame_index: int
    """Index among the file's frames in presentation order, from 0."""
    media_time_s: float
    """Presentation time within the file, seconds."""
    pixels: UInt8
    """[height, width, 3] RGB at source resolution."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class Detections:
    """People found in one frame, best first."""

    boxes: Float32
    """[N, 4] xyxy, source pixels, inside the frame."""
    scores: Float32
    """[N] in 0..1."""

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: Bool | Int64) -> Self:
        """The rows chosen by a mask [N] or by indices."""
        return type(self)(self.boxes[rows], self.scores[rows])

    @classmethod
    def empty(cls) -> Self:
        """No people."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of one camera that were seen at one tick."""

    track_ids: Int64
    """[N] unique within a camera and task; never reused."""
    boxes: Float32
    """[N, 4] xyxy, source pixels."""
    scores: Float32
    """[N] the score of the detection that each track took."""
    detection_rows: Int64
    """[N] row of that detection in the tick's ``Detections``."""

    def __len__(self) -> int:
        return len(self.track_ids)

    @classmethod
    def empty(cls) -> Self:
        """No tracks."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Identities:
    """Who the tracks of one camera are and where they stand, row by row with its ``Tracks``."""

    global_ids: Sequence[str | None]
    """[N] one id per person across cameras; None while unknown."""
    map_xy: Float64
    """[N, 2] foot point in map metres; NaN where the camera has no homography or the point is beyond its horizon."""

    def __len__(self) -> int:
        return len(self.global_ids)
