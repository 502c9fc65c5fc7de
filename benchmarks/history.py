"""Rows a second that a task's history takes, beside a bare COPY into the same indexed table of the same server.

The bare COPY sends rows that were encoded beforehand, all in one statement and one transaction: nothing that keeps rows
safe while a task runs. The writer gets ticks as the pipeline has them, encodes, and commits block by block under its
lease. Rounds alternate, each into an emptied table, and their median ratio counts.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from rich.table import Table

from benchmarks.database import fresh_database
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from orchestrator.history.partitions import ensure_days
from orchestrator.history.pool import Pool
from orchestrator.history.rows import DETECTION_COLUMNS, Clock, Sighting, detections_copy, join_sightings
from orchestrator.history.writer import HistoryWriter
from orchestrator.inference.protocols import ModelId
from orchestrator.tasks import TaskStatus, TaskStore
from orchestrator.values import Float32, Frame, Identities, Tracks

RATE = 23.0
BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
MODEL = ModelId("benchmark", "1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one camera's frame came to."""

    camera_id: str
    tracks: Tracks
    identities: Identities
    embeddings: Float32


@dataclass(frozen=True, slots=True)
class Round:
    """Rows a second."""

    bare: float
    writer: float

    @property
    def ratio(self) -> float:
        """The writer's share of the bare COPY's speed."""
        return self.writer / self.bare


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    rows: int
    rows_a_tick: int
    rounds: list[Round]
    ratio: float
    """Median over the rounds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares how many."""
    parser.add_argument("--state", type=Path, default=Path(".spoton/benchmark-history"), help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of detections, in a round (%(default)s)")
    parser.add_argument("--cameras", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--people", type=int, default=20, help="in view of each camera (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures both in turn and shows each round.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where the server is at fault.
    """
    machine = await look_at_machine()
    ticks = max(1, options.rows // (options.cameras * options.people))
    seen = outcomes(options.cameras, options.people)
    rounds = []
    async with fresh_database(options.state) as pool:
        for number in range(options.rounds):
            with reporter.step(f"round {number + 1} of {options.rounds}"):
                rounds.append(Round(await _bare(pool, seen, ticks), await _writer(pool, seen, ticks)))
    rows_a_tick = options.cameras * options.people
    ratio = median(each.ratio for each in rounds)
    figures = Figures(ticks * rows_a_tick, rows_a_tick, rounds, ratio)
    reporter.show(_table(figures))
    await write_figures(options.out, machine, asdict(figures))


def outcomes(cameras: int, people: int) -> list[Outcome]:
    """What each camera sees at every tick."""
    generator = np.random.default_rng(0)
    return [
        Outcome(
            f"c{camera:02d}",
            Tracks(
                np.arange(people),
                generator.uniform(0, 1000, (people, 4)).astype(np.float32),
                generator.uniform(0.5, 1, people).astype(np.float32),
                np.arange(people),
            ),
            Identities([f"person-{number}" for number in range(people)], generator.uniform(0, 30, (people, 2))),
            np.zeros((people, 0), np.float32),
        )
        for camera in range(cameras)
    ]


def encoded(task_id: str, seen: list[Outcome], ticks: int) -> bytes:
    """The rows of so many ticks as one binary COPY."""
    pieces = [Sighting.of(tick, tick / RATE, outcome) for tick in range(ticks) for outcome in seen]
    return b"".join(detections_copy(task_id, Clock(BEGAN, RATE), join_sightings(pieces)))


async def copy_detections(pool: Pool, data: bytes) -> None:
    """A bare COPY: one statement, one transaction."""
    statement = f"COPY detections ({', '.join(DETECTION_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
    async with pool.connection() as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(data), 1 << 20):
            await copy.write(data[start : start + (1 << 20)])


async def _bare(pool: Pool, seen: list[Outcome], ticks: int) -> float:
    task_id = (await TaskStore(pool).create("benchmark", max_active=10**6)).id
    data = encoded(task_id, seen, ticks)
    await ensure_days(pool, BEGAN, Clock(BEGAN, RATE).time_of(ticks))
    await _empty(pool)
    began = time.perf_counter()
    await copy_detections(pool, data)
    return ticks * sum(len(outcome.tracks) for outcome in seen) / (time.perf_counter() - began)


async def _writer(pool: Pool, seen: list[Outcome], ticks: int) -> float:
    store = TaskStore(pool)
    task = await store.create("benchmark", max_active=10**6)
    task = await store.advance(task.id, TaskStatus.INITIALIZING)
    pixels = np.zeros((1, 1, 3), np.uint8)
    await _empty(pool)
    began = time.perf_counter()
    async with HistoryWriter(pool, task, MODEL, recorded_from=BEGAN) as writer:
        await writer.begin_batch(0, 0, RATE, {})
        for tick in range(ticks):
            frames = [Frame(outcome.camera_id, tick, tick / RATE, pixels) for outcome in seen]
            await writer.add(tick, frames, seen)
            await asyncio.sleep(0)  # the pipeline, too, waits for something at every tick
        await writer.checkpoint(0, ticks, b"", {})
    return ticks * sum(len(outcome.tracks) for outcome in seen) / (time.perf_counter() - began)


async def _empty(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE detections, embeddings")
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("CHECKPOINT")
        await connection.set_autocommit(False)


def _table(figures: Figures) -> Table:
    table = Table(title=f"{figures.rows} rows of detections, {figures.rows_a_tick} a tick")
    for name in ("", "bare COPY, rows/s", "writer, rows/s", "ratio"):
        table.add_column(name, justify="right" if name else "left")
    for number, each in enumerate(figures.rounds, 1):
        table.add_row(f"round {number}", f"{each.bare:,.0f}", f"{each.writer:,.0f}", f"{each.ratio:.2f}")
    table.add_row("median", "", "", f"{figures.ratio:.2f}")
    return table
