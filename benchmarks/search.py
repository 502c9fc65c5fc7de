"""Recall and time of the search by looks, filtered and not, beside an exact scan of the same table.

Looks are made as Re-ID models make them: a centre for each person, an offset for each camera, noise for each look.
Every filter keeps one look in a hundred. Each search is measured as it is made, which for filters that keep little is a
comparison with all that is left, and once more with the index forced upon it; the column after shows what that finds
without iterative scans. Queries are looks that are not stored.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, median

import numpy as np
from rich.table import Table

from benchmarks.database import fresh_database
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from orchestrator.history.partitions import ensure_days
from orchestrator.history.pool import Pool
from orchestrator.history.rows import EMBEDDING_COLUMNS, Clock, Looks, embeddings_copy
from orchestrator.history.search import Where, are_few, ensure_index, nearest_looks, prepare_search
from orchestrator.inference.protocols import ModelId
from orchestrator.values import Bool, Float32, Int64

MODEL = ModelId("benchmark", "1")
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
RATE = 10.0
SPAN_S = 20 * 3600
LOOKS_OF_A_TRACK = 5
LOOK_EVERY_S = 4.0
PARTS = 100
"""Environments and cameras; one of them is a filter that keeps one in a hundred."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Looks [N] and where they are from."""

    looks: Float32
    """[N, D] of length 1."""
    environments: Int64
    cameras: Int64
    tracks: Int64
    times_s: Int64
    """[N] whole seconds since ``BEGAN``."""


@dataclass(frozen=True, slots=True)
class Search:
    """One filter: shares of the true nearest looks that were found, and the median time."""

    filter: str
    kept: float
    """Share of looks that pass it."""
    recall: float
    ms: float
    recall_index: float
    """With the index forced, by iterative scans."""
    ms_index: float
    recall_without_iterative: float
    ms_exact: float
    """The exact scan in PostgreSQL, which finds all."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    looks: int
    dimension: int
    nearest: int
    queries: int
    store_s: float
    """Storing all looks while there is no index for searches."""
    store_indexed_s: float
    """Storing them while there is one."""
    index_us_per_look: float
    searches: list[Search]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares how many."""
    parser.add_argument("--state", type=Path, default=Path(".spoton/benchmark-search"), help="(%(default)s)")
    parser.add_argument("--looks", type=int, default=100_000, help="stored (%(default)s)")
    parser.add_argument("--dimension", type=int, default=512, help="of a look (%(default)s)")
    parser.add_argument("--people", type=int, default=2_000, help="(%(default)s)")
    parser.add_argument("--nearest", type=int, default=20, help="looks asked for (%(default)s)")
    parser.add_argument("--queries", type=int, default=100, help="for each filter (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Stores the looks, searches, and shows a row for each filter.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where the server is at fault.
    """
    generator = np.random.default_rng(0)
    recording, queries = _record(generator, options)
    machine = await look_at_machine()
    async with fresh_database(options.state) as pool:
        with reporter.step(f"{options.looks} looks of {options.dimension} values without an index"):
            store_s = await _store(pool, recording)
        async with pool.connection() as connection:
            await connection.execute("TRUNCATE tasks, embeddings CASCADE")
        await ensure_index(pool, options.dimension)
        with reporter.step("the same with it"):
            store_indexed_s = await _store(pool, recording)
        searches = []
        for name, where, passes in _filters(generator, recording):
            with reporter.step(name):
                searches.append(await _measure(pool, recording, queries, options.nearest, name, where, passes))
    index_us = 1e6 * (store_indexed_s - store_s) / options.looks
    sizes = (options.looks, options.dimension, options.nearest, options.queries)
    figures = Figures(*sizes, store_s, store_indexed_s, index_us, searches)
    reporter.show(_table(figures))
    await write_figures(options.out, machine, asdict(figures))


def _record(generator: np.random.Generator, options: argparse.Namespace) -> tuple[Recording, Float32]:
    size, count = options.dimension, options.looks // LOOKS_OF_A_TRACK
    centres = generator.normal(size=(options.people, size))
    offsets = 0.4 * generator.normal(size=(PARTS, size))

    def look(people: Int64, cameras: Int64) -> Float32:
        made = centres[people] + offsets[cameras] + 0.5 * generator.normal(size=(len(people), size))
        return np.asarray(made / np.linalg.norm(made, axis=1)[:, None], np.float32)

    people, environments, cameras = (generator.integers(0, high, count) for high in (options.people, PARTS, PARTS))
    begins = np.sort(generator.integers(0, SPAN_S, count))
    times = begins[:, None] + (LOOK_EVERY_S * np.arange(LOOKS_OF_A_TRACK)).astype(np.int64)
    each = np.repeat(np.arange(count), LOOKS_OF_A_TRACK)
    recording = Recording(look(people[each], cameras[each]), environments[each], cameras[each], each, times.ravel())
    asked = generator.integers(0, options.people, options.queries)
    return recording, look(asked, generator.integers(0, PARTS, options.queries))


def _filters(generator: np.random.Generator, recording: Recording) -> list[tuple[str, Where, Bool]]:
    environment, camera = generator.integers(0, PARTS, 2).tolist()
    start = SPAN_S // 2
    length = SPAN_S // PARTS - LOOKS_OF_A_TRACK * LOOK_EVERY_S
    first = recording.times_s.reshape(-1, LOOKS_OF_A_TRACK)[:, 0][recording.tracks]
    last = recording.times_s.reshape(-1, LOOKS_OF_A_TRACK)[:, -1][recording.tracks]
    span = Where(start=BEGAN + timedelta(seconds=start), end=BEGAN + timedelta(seconds=start + length))
    return [
        ("none", Where(), np.ones(len(recording.looks), np.bool_)),
        ("one environment", Where(environments=[f"e{environment}"]), recording.environments == environment),
        ("one camera", Where(cameras=[f"c{camera}"]), recording.cameras == camera),
        ("a stretch of time", span, (last >= start) & (first < start + length)),
    ]


async def _store(pool: Pool, recording: Recording) -> float:
    """Seconds that storing took."""
    task_ids = [str(uuid.UUID(int=number + 1)) for number in range(PARTS)]
    await ensure_days(pool, BEGAN, BEGAN + timedelta(seconds=SPAN_S + 60))
    began = time.perf_counter()
    clock = Clock(BEGAN, 1.0)  # a frame is a second
    async with pool.connection() as connection:
        for number, task_id in enumerate(task_ids):
            await connection.execute(
                "INSERT INTO tasks (id, environment_id, status) VALUES (%s, %s, 'COMPLETED')", (task_id, f"e{number}")
            )
        statement = f"COPY embeddings ({', '.join(EMBEDDING_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
        for number, task_id in enumerate(task_ids):
            rows = np.flatnonzero(recording.environments == number)
            blocks = [_block(recording, rows[recording.cameras[rows] == camera], camera) for camera in range(PARTS)]
            async with connection.cursor() as cursor, cursor.copy(statement) as copy:
                await copy.write(b"".join(embeddings_copy(task_id, clock, MODEL, blocks)))
        took = time.perf_counter() - began
        await connection.execute(
            "INSERT INTO tracklets SELECT task_id, camera_id, track_id, 'person', min(global_frame_index), "
            "max(global_frame_index), min(time), max(time) FROM embeddings GROUP BY 1, 2, 3"
        )
    async with pool.connection() as connection:
        await connection.execute("ANALYZE tasks, embeddings, tracklets")
    return took


def _block(recording: Recording, rows: Int64, camera: int) -> Looks:
    return Looks(
        f"c{camera}",
        recording.times_s[rows],
        recording.tracks[rows],
        np.ones(len(rows), np.float32),
        recording.looks[rows],
        np.ones(len(rows), np.bool_),
    )


async def _measure(
    pool: Pool, recording: Recording, queries: Float32, nearest: int, name: str, where: Where, passes: Bool
) -> Search:
    truth = [_exact(recording, query, nearest, passes) for query in queries]

    async def search(exact: bool | None, *settings: str) -> tuple[float, float]:
        return await _search(pool, queries, nearest, where, truth, exact, settings)

    recall, ms = await search(None)
    forced = ("enable_seqscan = off", "enable_bitmapscan = off")
    recall_index, ms_index = await search(False, *forced)
    recall_plain, _ = await search(False, *forced, "hnsw.iterative_scan = off")
    _, ms_exact = await search(True)
    return Search(name, float(passes.mean()), recall, ms, recall_index, ms_index, recall_plain, ms_exact)


def _exact(recording: Recording, query: Float32, nearest: int, passes: Bool) -> set[tuple[int, int]]:
    """Track and second of the looks that are truly nearest."""
    rows = np.flatnonzero(passes)
    best = rows[np.argsort(-(recording.looks[rows] @ query))[:nearest]]
    return set(zip(recording.tracks[best].tolist(), recording.times_s[best].tolist(), strict=True))


async def _search(
    pool: Pool,
    queries: Float32,
    nearest: int,
    where: Where,
    truth: Sequence[set[tuple[int, int]]],
    exact: bool | None,
    settings: Sequence[str],
) -> tuple[float, float]:
    """Mean recall and median milliseconds; with ``exact`` None the search decides."""
    values = {**where.values(), "model_name": MODEL.name, "model_version": MODEL.version}
    recalls, times = [], []
    async with pool.connection() as connection, connection.transaction():
        await prepare_search(connection)
        for setting in settings:
            await connection.execute(f"SET LOCAL {setting}".encode())
        for query, expected in zip(queries, truth, strict=True):
            began = time.perf_counter()
            few = await are_few(connection, len(query), where, values) if exact is None else exact
            rows = await (await connection.execute(nearest_looks(query, where, nearest, exact=few), values)).fetchall()
            times.append(1000 * (time.perf_counter() - began))
            found = {(row[2], round((row[3] - BEGAN).total_seconds())) for row in rows}
            recalls.append(len(found & expected) / len(expected))
    return mean(recalls), median(times)


def _table(figures: Figures) -> Table:
    table = Table(
        title=f"{figures.nearest} nearest of {figures.looks} looks of {figures.dimension} values, {figures.queries} "
        f"queries; stored in {figures.store_s:.0f} s, with the index in {figures.store_indexed_s:.0f} s"
    )
    for name in ("filter", "keeps", "recall", "ms", "recall, index", "ms", "not iterative", "exact, ms"):
        table.add_column(name, justify="left" if name == "filter" else "right")
    for each in figures.searches:
        table.add_row(
            each.filter,
            f"{100 * each.kept:.1f} %",
            f"{each.recall:.3f}",
            f"{each.ms:.1f}",
            f"{each.recall_index:.3f}",
            f"{each.ms_index:.1f}",
            f"{each.recall_without_iterative:.3f}",
            f"{each.ms_exact:.1f}",
        )
    return table
