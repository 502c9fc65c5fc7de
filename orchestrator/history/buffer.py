"""Rows between the pipeline, which gives one tick at a time, and the database, which wants thousands at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.history.rows import CameraOutcome, Looks, Sighting, join_looks, join_sightings
from orchestrator.values import Bool

SEARCHED_WINDOWS = 10
"""An insert into the index costs a core up to 7 ms, so a look every few seconds has to be enough of somebody."""


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

    Windows are counted from frame 0 and also end where ``end_batch`` says, so what is kept does not depend on when rows
    were taken. Of each track's, the first of a batch and then one in ``SEARCHED_WINDOWS`` can be searched.
    """

    def __init__(self, embedding_window: int) -> None:
        self._window_ticks = embedding_window
        self._window = 0
        self._searched: dict[tuple[str, int], int] = {}
        """The window in which a track was last made searchable."""
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
            self._close_window()
            self._window = tick // self._window_ticks
        sighting = Sighting.of(tick, media_time_s, outcome)
        if not len(sighting):
            return
        self._sightings.append(sighting)
        self._rows += len(sighting)
        if outcome.embeddings.shape[1]:
            frames, tracks = np.full(len(sighting), tick, np.int64), outcome.tracks
            nothing = np.zeros(len(sighting), np.bool_)
            self._candidates.append(
                Looks(outcome.camera_id, frames, tracks.track_ids, tracks.scores, outcome.embeddings, nothing)
            )

    def end_batch(self) -> None:
        """Decides about the window under way; what comes next does not depend on what came before."""
        self._close_window()
        self._searched.clear()

    def _close_window(self) -> None:
        """Decides which embeddings of the window are kept."""
        for candidates in join_looks(self._candidates):
            best = candidates.best()
            self._looks.append(replace(best, searchable=self._choose(best)))
        self._candidates.clear()

    def _choose(self, looks: Looks) -> Bool:
        """[N] which looks can be searched."""
        chosen = np.zeros(len(looks.track_ids), np.bool_)
        for row, track_id in enumerate(looks.track_ids.tolist()):
            key = looks.camera_id, track_id
            chosen[row] = self._window - self._searched.get(key, self._window - SEARCHED_WINDOWS) >= SEARCHED_WINDOWS
            if chosen[row]:
                self._searched[key] = self._window
        return chosen

    def take(self) -> Block:
        """All rows that wait, which then wait no longer."""
        block = Block(join_sightings(self._sightings), join_looks(self._looks))
        self._sightings, self._looks, self._rows = [], [], 0
        return block
