"""Delay and loss with hundreds of WebSocket clients on one API process, beside a bare server that only sends.

Both servers have a core to themselves, where the machine has more than one; the clients, the stores and the publisher
share the others. One more client never reads; the kernel takes in megabytes for it before it counts as stuck, so that
short runs do not see it sent away. Delay is from before the publisher gives a message away until a client has it, all
on one clock.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from rich.table import Table

from benchmarks.machine import look_at_machine, write_figures
from demo.client import SpotOnClient
from demo.console import Reporter
from demo.servers.spoton import ROOT, settings_of
from demo.servers.stack import Stack
from orchestrator.errors import SpotOnError
from orchestrator.events import EventLog, StatusUpdate, TrackingPayload, TrackingUpdate, TrackPayload
from orchestrator.history.pool import open_pool
from orchestrator.tasks import TaskStatus, TaskStore

API_CORE = 0
START_S = 120.0
END_S = 60.0
SITE = "environments: {hall: {cameras: {a: {prefix: a}, b: {prefix: b}, c: {prefix: c}, d: {prefix: d}}}}\n"
Say = Callable[[TrackingUpdate, int], Awaitable[None]]
"""Gives a tick to the server under test, with its ``seq``."""


@dataclass(frozen=True, slots=True)
class Delays:
    """What the clients of one server saw; milliseconds."""

    expected: int
    lost: int
    """Ticks that did not come, over all clients, and ticks out of order."""
    p50: float
    p99: float
    longest: float
    processor_us_per_message: float
    """Of the server under test, user and system."""
    busy: float
    """Its share of its core."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    clients: int
    ticks: int
    rate_hz: float
    bytes_per_message: int
    floor: Delays
    api: Delays
    stuck_clients_closed: int
    """Clients that the API sent away for not reading; one never reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares how many and how long."""
    parser.add_argument("--state", type=Path, default=Path(".spoton/benchmark-websocket"), help="(%(default)s)")
    parser.add_argument("--clients", type=int, default=500, help="on one task (%(default)s)")
    parser.add_argument("--rate", type=float, default=23.0, help="ticks a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=100.0, help="for each server (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures the bare server and then the API, and shows both.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where a server is at fault.
    """
    machine = await look_at_machine()
    ticks = round(options.rate * options.seconds)
    with reporter.step("bare server"):
        floor = await _measure_floor(options, ticks)
    with reporter.step("API"):
        api, closed = await _measure_api(options, ticks, reporter)
    size = len(_tick(0).wire(1))
    figures = Figures(options.clients, ticks, options.rate, size, floor, api, closed)
    reporter.show(_table(figures))
    await write_figures(options.out, machine, asdict(figures))


async def _measure_floor(options: argparse.Namespace, ticks: int) -> Delays:
    server = await _python("benchmarks.websocket.floor", stdin=PIPE)
    try:
        port = int(await _line(server))
        _share_cores(server.pid)
        sink = server.stdin
        assert sink is not None

        async def say(tick: TrackingUpdate, seq: int) -> None:
            sink.write(tick.wire(seq) + b"\n")
            await sink.drain()

        async def end() -> None:
            sink.close()

        return await _listen(f"http://127.0.0.1:{port}/", options, ticks, server.pid, say, end)
    finally:
        server.kill()
        await server.wait()


async def _measure_api(options: argparse.Namespace, ticks: int, reporter: Reporter) -> tuple[Delays, int]:
    site = options.state / "site.yaml"
    await asyncio.to_thread(options.state.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(site.write_text, SITE)
    async with Stack(options.state, site, options.state, durable=False, on_event=reporter.say) as stack:
        await stack.start_stores()
        await stack.supervisor.start([stack.api])
        _share_cores(stack.supervisor.pid("api"))
        delays = await _follow_a_task(stack, options, ticks)
        closed = await _closed_as_slow(stack.api.url)
    return delays, closed


async def _follow_a_task(stack: Stack, options: argparse.Namespace, ticks: int) -> Delays:
    settings = settings_of(stack.settings_env())
    async with SpotOnClient(stack.api.url) as client, EventLog.open(settings) as log, open_pool(settings) as pool:
        task_id, store = await client.start("hall"), TaskStore(pool)

        async def say(tick: TrackingUpdate, _: int) -> None:
            await log.publish(task_id, tick)

        async def end() -> None:
            for status in (TaskStatus.INITIALIZING, TaskStatus.FAILED):
                await log.publish(task_id, StatusUpdate.of(await store.advance(task_id, status)))

        url = f"{stack.api.url}/ws/tracking/{task_id}"
        return await _listen(url, options, ticks, stack.supervisor.pid("api"), say, end)


async def _listen(
    url: str, options: argparse.Namespace, ticks: int, server: int, say: Say, end: Callable[[], Awaitable[None]]
) -> Delays:
    out = options.state / "delays.npy"
    await asyncio.to_thread(options.state.mkdir, parents=True, exist_ok=True)
    clients = await _python("benchmarks.websocket.clients", url, str(options.clients), str(out))
    try:
        await _line(clients)
        before, began = _processor_s(server), time.monotonic()
        await _publish(ticks, options.rate, say)
        spent, took = _processor_s(server) - before, time.monotonic() - began
        await end()
        async with asyncio.timeout(END_S):
            await clients.wait()
    finally:
        if clients.returncode is None:
            clients.kill()
            await clients.wait()
    return _delays(await asyncio.to_thread(np.load, out), ticks, spent, took)


async def _publish(ticks: int, rate_hz: float, say: Say) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for frame in range(ticks):
        await asyncio.sleep(began + frame / rate_hz - loop.time())
        await say(_tick(frame), frame + 1)


def _tick(frame: int) -> TrackingUpdate:
    """Four cameras with five people each, about 3 kB; its time is the monotonic clock's, in ns."""
    tracks: list[TrackPayload] = [
        {
            "track_id": track,
            "global_id": f"{track:08x}-0000",
            "bbox_xyxy": [100.25 + frame % 500, 200.5, 160.75 + frame % 500, 380.0],
            "confidence": 0.9375,
            "class_id": 1,
            "map_coords": [12.345, 6.789],
        }
        for track in range(5)
    ]
    payload: TrackingPayload = {
        "global_frame_index": frame,
        "scene_id": "hall",
        "timestamp_processed_utc": str(time.monotonic_ns()),
        "sub_video_batch_index_of_frame": 0,
        "cameras": {
            camera: {
                "image_source": f"{frame:06d}.jpg",
                "frame_index_in_sub_video": frame,
                "media_time_s": frame / 23,
                "tracks": tracks,
            }
            for camera in "abcd"
        },
    }
    return TrackingUpdate(payload=payload)


def _delays(table: np.ndarray[tuple[int, int], np.dtype[np.int64]], ticks: int, spent: float, took: float) -> Delays:
    came, gaps, delays = table[:, 0], table[:, 1], table[:, 2:]
    known = delays[delays >= 0] / 1e6
    expected = ticks * len(table)
    p50, p99 = np.percentile(known, (50, 99))
    return Delays(
        expected=expected,
        lost=expected - int(came.sum()) + int(gaps.sum()),
        p50=float(p50),
        p99=float(p99),
        longest=float(known.max()),
        processor_us_per_message=1e6 * spent / expected,
        busy=spent / took,
    )


async def _closed_as_slow(api_url: str) -> int:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        lines = (await client.get(f"{api_url}/metrics")).text.splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("spoton_api_websocket_slow_total")))


def _share_cores(server: int) -> None:
    """The server gets a core to itself; every other process of this run gets the rest."""
    cores = sorted(os.sched_getaffinity(0))
    others = cores[:API_CORE] + cores[API_CORE + 1 :]
    if not others:
        return
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        _pin(process.pid, [cores[API_CORE]] if process.pid == server else others)


def _pin(pid: int, cores: Sequence[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _processor_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _python(module: str, *arguments: str, stdin: int | None = None) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=stdin, stdout=PIPE, cwd=ROOT
    )


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        line = await process.stdout.readline()
    if not line:
        raise SpotOnError("a process of the benchmark ended before it was ready")
    return line.decode()


def _table(figures: Figures) -> Table:
    title = (
        f"WebSocket: {figures.clients} clients and one that never reads, {figures.rate_hz:g} messages a second of "
        f"{figures.bytes_per_message} bytes"
    )
    table = Table(title=title)
    for name in ("", "bare server", "API", "ratio"):
        table.add_column(name, justify="right" if name else "left")
    floor, api = figures.floor, figures.api
    rows = (
        ("delay, median, ms", floor.p50, api.p50),
        ("delay, p99, ms", floor.p99, api.p99),
        ("delay, longest, ms", floor.longest, api.longest),
        ("processor, us a message", floor.processor_us_per_message, api.processor_us_per_message),
        ("share of its core", floor.busy, api.busy),
    )
    for name, bare, whole in rows:
        table.add_row(name, f"{bare:.2f}", f"{whole:.2f}", f"{whole / bare:.2f}")
    table.add_row("messages lost", f"{floor.lost} of {floor.expected}", f"{api.lost} of {api.expected}", "")
    table.add_row("clients sent away for not reading", "", str(figures.stuck_clients_closed), "")
    return table
