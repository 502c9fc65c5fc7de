"""Time and peak memory of the second pass by the number of tracklets, one core, on recordings that grow longer.

A hall of 80 m that eight cameras look at, each along 14 m of it; forty people walk in it at any time, each for a minute
and a half, and cameras lose them every ten seconds on average. Places err by 0.2 m, one in 50 by four times as much;
looks are a centre for each person with noise. Every size runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from benchmarks import growth
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from orchestrator.identity.recording import Looks, Sightings, make_recording
from orchestrator.identity.second_pass import look_again
from orchestrator.identity.tables import normalised
from orchestrator.identity.topology import make_topology
from orchestrator.values import Float64, Int64

OUT = Path(__file__).parent / "results" / "second_pass.json"
RATE = 4.0
CAMERAS, PITCH_M, VIEW_M, WIDTH_M = 8, 10.0, 14.0, 20.0
PEOPLE, STAY_S, TRACK_S, LOOK_S = 40, 90.0, 10.0, 1.0
ERROR_M, WILD_SHARE, WILD_TIMES = 0.2, 0.02, 4.0
DIMENSION, SHARPNESS = 256, 0.1
THRESHOLD = 0.5
PX_PER_M = 40.0


@dataclass(frozen=True, slots=True)
class Run:
    """One size."""

    tracklets: int
    people: int
    hours: float
    seconds: float
    """Of CPU time."""
    peak_mib: float
    """Above what the process held with the recording in memory."""
    recording_mib: float
    right: float
    """Share of sightings under their person's one number, one number a person."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sizes."""
    sizes = [100, 1000, 3000, 10_000]
    parser.add_argument("--tracklets", type=int, nargs="+", default=sizes, help=f"about so many ({sizes})")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file (%(default)s)")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures every size, shows the table and writes it as JSON."""
    machine = await look_at_machine()
    loop, runs = asyncio.get_running_loop(), []
    for size in options.tracklets:
        with reporter.step(f"{size} tracklets"), ProcessPoolExecutor(1, get_context("spawn")) as pool:
            runs.append(await loop.run_in_executor(pool, measure, size))
    reporter.show(_table(runs))
    exponent = _exponent(runs)
    reporter.say(f"time grows with the {exponent:.2f}th power of the tracklets")
    await write_figures(options.out, machine, {"runs": [asdict(item) for item in runs], "exponent": exponent})


def measure(size: int, seed: int = 1) -> Run:
    """One recording of about ``size`` tracklets, in this process."""
    rng = np.random.default_rng([seed, size])
    sightings, looks, truth = _walks(size, rng)
    recording = make_recording(RATE, sightings, looks, [(key, row) for row, key in enumerate(truth)])
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    found = look_again(recording, make_topology([str(row) for row in range(CAMERAS)], [], []), THRESHOLD)
    seconds = time.process_time() - began
    peak = _peak_bytes()
    held = sum(getattr(recording, name).nbytes for name in ("frames", "boxes", "map_xy", "spread", "looks"))
    keys = zip(recording.cameras.tolist(), recording.track_ids.tolist(), strict=True)
    people = np.array([truth[key] for key in keys], np.int64)
    ticks = np.diff(found.spans, axis=1).ravel() + 1
    hours = float(recording.frames.max()) / RATE / 3600
    right = _right(people[found.tracklets], found.people, ticks)
    mib = 2**20
    return Run(len(recording), len(np.unique(people)), hours, seconds, (peak - before) / mib, held / mib, right)


def _peak_bytes() -> int:
    """Most resident memory of this process; what ``getrusage`` says would be its parent's, where that is larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _right(true: Int64, found: Int64, ticks: Int64) -> float:
    both = np.zeros((int(true.max()) + 1, int(found.max()) + 2))
    np.add.at(both, (true, found + 1), ticks)
    row, column = linear_sum_assignment(both[:, 1:], maximize=True)
    return float(both[:, 1:][row, column].sum() / ticks.sum())


def _walks(size: int, rng: np.random.Generator) -> tuple[list[Sightings], list[Looks], dict[tuple[int, int], int]]:
    """Walkers until there are ``size`` tracklets: rows of each camera, and whose each (camera, track) is."""
    rows: list[list[Float64]] = [[] for _ in range(CAMERAS)]
    looks: list[list[Float64]] = [[] for _ in range(CAMERAS)]
    truth: dict[tuple[int, int], int] = {}
    person = 0
    while len(truth) < size:
        begin_s = max(0.0, (person - PEOPLE + rng.random()) * STAY_S / PEOPLE)
        own = normalised(rng.normal(size=(1, DIMENSION)))[0]
        ticks, places = _walk(begin_s, rng)
        for camera in range(CAMERAS):
            inside = np.flatnonzero(np.abs(places[:, 0] - camera * PITCH_M - PITCH_M / 2) < VIEW_M / 2)
            lost = (np.diff(inside) > 1) | (rng.random(max(len(inside) - 1, 0)) < 1 / (TRACK_S * RATE))
            for part in np.split(inside, np.flatnonzero(lost) + 1):
                if len(part) > 1:
                    track = len(truth)
                    truth[camera, track] = person
                    rows[camera].append(_seen(track, ticks[part], places[part], rng))
                    looks[camera].append(_looked(track, ticks[part], own, rng))
        person += 1
    return [_sightings(part) for part in rows], [_looks(part) for part in looks], truth


def _walk(begin_s: float, rng: np.random.Generator) -> tuple[Int64, Float64]:
    """Ticks [N] and places [N, 2] of somebody who walks to and fro along the hall."""
    ticks = np.arange(math.ceil(begin_s * RATE), int((begin_s + STAY_S) * RATE))
    length = CAMERAS * PITCH_M
    along = rng.uniform(0, 2 * length) + rng.uniform(0.7, 1.6) * ticks / RATE
    x = np.abs((along % (2 * length)) - length)
    return ticks, np.column_stack([x, np.full(len(ticks), rng.uniform(0, WIDTH_M))])


def _seen(track: int, ticks: Int64, places: Float64, rng: np.random.Generator) -> Float64:
    error = ERROR_M * np.where(rng.random((len(ticks), 1)) < WILD_SHARE, WILD_TIMES, 1.0)
    return np.column_stack([np.full(len(ticks), track), ticks, places + rng.normal(size=places.shape) * error])


def _looked(track: int, ticks: Int64, own: Float64, rng: np.random.Generator) -> Float64:
    chosen = ticks[:: max(1, round(LOOK_S * RATE))]
    vectors = own + rng.normal(size=(len(chosen), DIMENSION)) * SHARPNESS / 2
    return np.column_stack([np.full(len(chosen), track), chosen, vectors])


def _sightings(parts: Sequence[Float64]) -> Sightings:
    table = np.vstack([np.zeros((0, 4)), *parts])
    feet = table[:, 2:] * PX_PER_M
    boxes = np.hstack([feet - np.array([12, 70]), feet + np.array([12, 0])]).astype(np.float32)
    spread = np.tile([ERROR_M**2, 0.0, ERROR_M**2], (len(table), 1))
    ids, frames = table[:, :2].astype(np.int64).T
    none = np.zeros(len(table))
    return Sightings(ids, frames, boxes, table[:, 2:], spread, none, none.astype(np.int64))


def _looks(parts: Sequence[Float64]) -> Looks:
    table = np.vstack([np.zeros((0, DIMENSION + 2)), *parts])
    return Looks(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:].astype(np.float32))


def _exponent(runs: Sequence[Run]) -> float:
    """Of time as a power of the number of tracklets, from 1,000 on; NaN for fewer than two sizes."""
    large = [item for item in runs if item.tracklets >= 1000]
    return growth.exponent([item.tracklets for item in large], [item.seconds for item in large])


def _table(runs: Sequence[Run]) -> Table:
    shown = Table(title="The second pass, one core")
    for heading in ("tracklets", "people", "hours", "seconds", "peak MiB", "recording MiB", "right"):
        shown.add_column(heading, justify="right")
    for item in runs:
        memory = f"{item.peak_mib:.0f}", f"{item.recording_mib:.0f}"
        shown.add_row(
            f"{item.tracklets:,}",
            str(item.people),
            f"{item.hours:.2f}",
            f"{item.seconds:.2f}",
            *memory,
            f"{item.right:.3f}",
        )
    return shown
