"""Rows between the pipeline, which gives one tick at a time, and the database, which wants thousands at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.history.rows import CameraOutcome, Looks, Sighting, join_looks, join_sightings


@dataclass(frozen=True, slots=True)
class Block:
    """Rows to be written together, one piece per camera."""

    sightings: Sequence[Sighting]
    looks: Sequence[Looks]

    def frames(self) -> tuple[int, int] | None:
        """The first and the last frame that any row belongs to; None for an empty block."""
        pieces = [piece.frames for piece in self.sightings] + [piece.frames for piece in self.looks]
        pieces = [frames for frames in pieces if len(frames)]
        if not pieces:
            return None
        return min(int(frames.min()) for frames in pieces), max(int(frames.max()) for frames in pieces)


class RowBuffer:
    """Collects rows; of the embeddings in each window of ticks it keeps the best of each track.

    Windows are counted from frame 0 and also end where ``close_window`` says, so what is kept does not depend on when
    rows were taken.
    """

    def __init__(self, embedding_window: int) -> None:
        self._window_ticks = embedding_window
        self._window = 0
        self._candidates: list[Looks] = []
        self._sightings: list[Sighting] = []
        self._looks: list[Looks] = []
        self._rows = 0

    @property
    def rows(self) -> int:
        """Rows of detections that wait."""
        return self._rows

    def add(self, tick: int, media_time_s: float, outcome: CameraOutcome) -> None:
        """Takes in one camera at one tick; ticks never go back."""
        if tick // self._window_ticks != self._window:
            self.close_window()
            self._window = tick // self._window_ticks
        sighting = Sighting.of(tick, media_time_s, outcome)
        if not len(sighting):
            return
        self._sightings.append(sighting)
        self._rows += len(sighting)
        if outcome.embeddings.shape[1]:
            frames, tracks = np.full(len(sighting), tick, np.int64), outcome.tracks
            self._candidates.append(
                Looks(outcome.camera_id, frames, tracks.track_ids, tracks.scores, outcome.embeddings)
            )

    def close_window(self) -> None:
        """Decides which embeddings of the window are kept."""
        self._looks += [looks.best() for looks in join_looks(self._candidates)]
        self._candidates.clear()

    def take(self) -> Block:
        """All rows that wait, which then wait no longer."""
        block = Block(join_sightings(self._sightings), join_looks(self._looks))
        self._sightings, self._looks, self._rows = [], [], 0
        return block
