"""A task with two people whose ways are known to the centimetre, and the API that is asked about them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest_asyncio

from orchestrator.history.pool import open_pool
from orchestrator.history.schema import ensure_schema
from orchestrator.history.writer import HistoryWriter
from orchestrator.inference.protocols import ModelId
from orchestrator.tasks import TaskStatus, TaskStore
from orchestrator.values import Frame, Identities, Tracks

RATE = 10.0
TICKS = 100
BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
WALKER, SITTER = "walker-1", "sitter-2"
MODEL = ModelId("person_reid", "1")
LOOKS = {WALKER: (1, 0, 0, 0), SITTER: (0.6, 0.8, 0, 0), None: (0, 0, 1, 0)}


@dataclass(frozen=True)
class Outcome:
    camera_id: str
    tracks: Tracks
    identities: Identities
    embeddings: np.ndarray


def outcome(camera_id, people):
    """``people``: track id, global id, box's left edge, place (None where unknown)."""
    boxes = np.array([[left, 20, left + 50, 180] for _, _, left, _ in people], np.float32).reshape(-1, 4)
    places = np.array([place or (np.nan, np.nan) for *_, place in people], np.float64).reshape(-1, 2)
    ids = np.array([track for track, *_ in people], np.int64)
    tracks = Tracks(ids, boxes, np.full(len(people), 0.9, np.float32), np.arange(len(people)))
    embeddings = np.array([LOOKS[name] for _, name, *_ in people], np.float32).reshape(-1, 4)
    return Outcome(camera_id, tracks, Identities([name for _, name, *_ in people], places), embeddings)


def at(tick):
    """What both cameras see: the walker at 1 m/s along x, in c02 only from tick 40 to 59; the sitter in c01 alone.

    c02 sees the walker 20 cm further along y, and somebody whom nobody has named and whose place is unknown.
    """
    x = tick / RATE
    first = [(1, WALKER, 100 + tick, (x, 2.0)), (2, SITTER, 600, (5.25, 7.25))]
    second = [(9, None, 10, None)]
    if 40 <= tick < 60:
        second.append((1, WALKER, 300 + tick, (x, 2.2)))
    return [outcome("c01", first), outcome("c02", second)]


async def store_task(settings, ticks=TICKS, etags=None, status=TaskStatus.COMPLETED):
    """A task that has ended; gives its id. Its files are its own unless their ETags are given, by camera."""
    etags = etags or {camera: uuid.uuid4().hex for camera in ("c01", "c02")}
    async with open_pool(settings) as pool:
        await ensure_schema(pool)
        store = TaskStore(pool)
        task = await store.create("campus", max_active=1000)
        task = await store.advance(task.id, TaskStatus.INITIALIZING)
        async with HistoryWriter(pool, task, MODEL, recorded_from=BEGAN) as writer:
            await writer.begin_batch(0, 0, RATE, etags)
            for tick in range(ticks):
                frames = [Frame(camera, tick, tick / RATE, np.zeros((2, 2, 3), np.uint8)) for camera in ("c01", "c02")]
                await writer.add(tick, frames, at(tick))
            bindings = {("c01", 1): WALKER, ("c01", 2): SITTER, ("c02", 1): WALKER, ("c02", 9): None}
            await writer.checkpoint(0, ticks, b"", bindings)
        await store.advance(task.id, status)
    return task.id


def time_of(tick):
    return BEGAN + timedelta(seconds=tick / RATE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def task(live, client):
    return await store_task(live())
