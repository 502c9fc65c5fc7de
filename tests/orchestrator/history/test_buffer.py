"""Which embeddings are kept, and that blocks lose no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from orchestrator.history.buffer import Block, RowBuffer
from orchestrator.values import Float32, Identities, Tracks


@dataclass(frozen=True)
class Outcome:
    camera_id: str
    tracks: Tracks
    identities: Identities
    embeddings: Float32


def outcome(camera_id: str, track_ids: Sequence[int], scores: Sequence[float], looks: Sequence[float]) -> Outcome:
    """Embeddings are [N, 2], told apart by their first value; 0 for a track that was not embedded."""
    count = len(track_ids)
    boxes = np.zeros((count, 4), np.float32)
    tracks = Tracks(np.array(track_ids, np.int64), boxes, np.array(scores, np.float32), np.arange(count))
    embeddings = np.zeros((count, 2), np.float32)
    embeddings[:, 0] = looks
    return Outcome(camera_id, tracks, Identities([None] * count, np.zeros((count, 2))), embeddings)


def kept(block: Block) -> list[tuple[str, int, int, float]]:
    """Camera, track, frame and mark of every embedding."""
    return [
        (looks.camera_id, track, frame, mark)
        for looks in block.looks
        for track, frame, mark in zip(
            looks.track_ids.tolist(), looks.frames.tolist(), looks.embeddings[:, 0].tolist(), strict=True
        )
    ]


def test_each_tracks_most_confident_embedding_of_a_window_is_kept() -> None:
    buffer = RowBuffer(embedding_window=3)
    buffer.add(0, 0.0, outcome("c01", [1, 2], [0.5, 0.9], [10, 20]))
    buffer.add(1, 0.1, outcome("c01", [1, 2], [0.8, 0.9], [11, 21]))
    buffer.add(2, 0.2, outcome("c01", [1], [0.6], [12]))
    buffer.add(2, 0.2, outcome("c02", [1], [0.4], [30]))
    buffer.add(3, 0.3, outcome("c01", [1], [0.1], [13]))

    assert kept(buffer.take()) == [("c01", 1, 1, 11.0), ("c01", 2, 0, 20.0), ("c02", 1, 2, 30.0)]
    buffer.end_batch()
    assert kept(buffer.take()) == [("c01", 1, 3, 13.0)]


def test_a_track_that_was_not_embedded_is_left_out() -> None:
    buffer = RowBuffer(embedding_window=2)
    buffer.add(0, 0.0, outcome("c01", [1, 2], [0.9, 0.9], [0, 5]))
    buffer.add(1, 0.0, outcome("c01", [1], [0.3], [6]))
    buffer.end_batch()

    assert kept(buffer.take()) == [("c01", 1, 1, 6.0), ("c01", 2, 0, 5.0)]


@pytest.mark.parametrize("every", [1, 2, 7, 100])
def test_what_is_kept_does_not_depend_on_when_rows_are_taken(every: int) -> None:
    generator = np.random.default_rng(5)
    ticks = [
        outcome("c01", [1, 2, 3], generator.random(3).tolist(), generator.uniform(1, 2, 3).tolist()) for _ in range(50)
    ]

    def run(take_every: int) -> tuple[list[tuple[str, int, int, float]], int]:
        buffer, found, rows = RowBuffer(embedding_window=10), [], 0
        for tick, seen in enumerate(ticks):
            buffer.add(tick, tick / 12, seen)
            if tick % take_every == 0 or tick == len(ticks) - 1:
                if tick == len(ticks) - 1:
                    buffer.end_batch()
                block = buffer.take()
                found += kept(block)
                rows += sum(len(sighting) for sighting in block.sightings)
        return sorted(found), rows

    assert run(every) == run(1)
    assert run(every)[1] == 150


def test_an_empty_camera_adds_nothing() -> None:
    buffer = RowBuffer(embedding_window=2)
    buffer.add(0, 0.0, outcome("c01", [], [], []))
    buffer.end_batch()
    block = buffer.take()

    assert (buffer.rows, block.frames(), list(block.sightings)) == (0, None, [])


def test_without_embeddings_only_sightings_are_kept() -> None:
    seen = outcome("c01", [1], [0.9], [0])
    buffer = RowBuffer(embedding_window=2)
    buffer.add(4, 0.0, Outcome("c01", seen.tracks, seen.identities, np.zeros((1, 0), np.float32)))
    buffer.end_batch()
    block = buffer.take()

    assert (block.frames(), list(block.looks)) == ((4, 4), [])
