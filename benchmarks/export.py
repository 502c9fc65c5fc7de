"""Memory and speed of exports from a running API: the same few megabytes for a hundred thousand rows and for a million.

The API's resident memory is read before each export and its peak during it; the kernel is told to forget the peak
before (``clear_refs``, see proc(5)). The first export of each kind is not counted: it loads what all later ones share.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from rich.table import Table

from benchmarks.history import BEGAN, RATE, copy_detections, encoded, outcomes
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from demo.servers.spoton import settings_of
from demo.servers.stack import Stack
from orchestrator.errors import SpotOnError
from orchestrator.history.partitions import ensure_days
from orchestrator.history.pool import Pool, open_pool
from orchestrator.history.rows import Clock
from orchestrator.history.schema import ensure_schema
from orchestrator.tasks import TaskStore

FORMATS = ("csv", "parquet", "mot")
CAMERAS, PEOPLE = 8, 20
SITE = "environments: {hall: {cameras: {a: {prefix: a}}}}\n"
TIMEOUT_S = 600.0
_TRACKLETS = """
INSERT INTO tracklets (task_id, camera_id, track_id, global_id, first_frame, last_frame, first_time, last_time)
SELECT task_id, camera_id, track_id, 'person-' || track_id, min(global_frame_index), max(global_frame_index),
       min(time), max(time)
FROM detections WHERE task_id = %s GROUP BY 1, 2, 3"""


@dataclass(frozen=True, slots=True)
class Export:
    """One export."""

    format: str
    rows: int
    mebibytes: float
    """Of the file."""
    rows_a_second: float
    memory_before_mib: float
    memory_peak_mib: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares how many."""
    parser.add_argument("--state", type=Path, default=Path(".spoton/benchmark-export"), help="(%(default)s)")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="of each task (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Stores the rows, exports them in every format, and shows a row for each.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where a server is at fault.
    """
    machine = await look_at_machine()
    await asyncio.to_thread(options.state.mkdir, parents=True, exist_ok=True)
    site = options.state / "site.yaml"
    await asyncio.to_thread(site.write_text, SITE)
    settings = {"SPOTON_POSTGRES_TIMEOUT_S": "120"}
    async with Stack(
        options.state, site, options.state, durable=False, settings=settings, on_event=reporter.say
    ) as stack:
        await stack.start_stores()
        async with open_pool(settings_of(stack.settings_env()), statement_timeout_s=TIMEOUT_S) as pool:
            await ensure_schema(pool)
            with reporter.step("storing"):
                tasks = {rows: await _store(pool, rows) for rows in options.rows}
        await stack.supervisor.start([stack.api])
        api = _Api(stack.api.url, stack.supervisor.pid("api"))
        exports = []
        for file_format in FORMATS:
            await api.export(tasks[min(tasks)], min(tasks), file_format)
            for rows, task_id in tasks.items():
                with reporter.step(f"{file_format}, {rows} rows"):
                    exports.append(await api.export(task_id, rows, file_format))
    reporter.show(_table(exports))
    await write_figures(options.out, machine, {"exports": [asdict(each) for each in exports]})


async def _store(pool: Pool, rows: int) -> str:
    """A task with so many rows of detections; gives its id."""
    task_id = (await TaskStore(pool).create("hall", max_active=10**6)).id
    seen, ticks = outcomes(CAMERAS, PEOPLE), rows // (CAMERAS * PEOPLE)
    await ensure_days(pool, BEGAN, Clock(BEGAN, RATE).time_of(ticks))
    await copy_detections(pool, encoded(task_id, seen, ticks))
    async with pool.connection() as connection:
        await connection.execute(_TRACKLETS, (task_id,))
        await connection.execute("ANALYZE detections, tracklets")
    return task_id


class _Api:
    """The running API, seen from outside."""

    def __init__(self, url: str, pid: int) -> None:
        self._url, self._process = url, Path(f"/proc/{pid}")

    async def export(self, task_id: str, rows: int, file_format: str) -> Export:
        """Exports the task and reads the API's memory."""
        (self._process / "clear_refs").write_text("5")
        before = self._memory("VmRSS")
        size, began = 0, time.perf_counter()
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S, trust_env=False) as client:
            path = f"/api/v1/analytics_data/tasks/{task_id}/export"
            async with client.stream("GET", path, params={"format": file_format}) as answer:
                if answer.is_error:
                    raise SpotOnError(f"{path} answers {answer.status_code}")
                async for piece in answer.aiter_raw():
                    size += len(piece)
        took = time.perf_counter() - began
        return Export(file_format, rows, size / 2**20, rows / took, before, self._memory("VmHWM"))

    def _memory(self, name: str) -> float:
        """A line of the process's status, MiB."""
        lines = (self._process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def _table(exports: Sequence[Export]) -> Table:
    table = Table(title=f"Exports of tasks with {CAMERAS} cameras and {PEOPLE} people in each")
    for name in ("format", "rows", "file, MiB", "rows/s", "memory before, MiB", "peak, MiB", "more, MiB"):
        table.add_column(name, justify="left" if name == "format" else "right")
    for each in exports:
        table.add_row(
            each.format,
            f"{each.rows:,}",
            f"{each.mebibytes:.1f}",
            f"{each.rows_a_second:,.0f}",
            f"{each.memory_before_mib:.0f}",
            f"{each.memory_peak_mib:.0f}",
            f"{each.memory_peak_mib - each.memory_before_mib:.0f}",
        )
    return table
