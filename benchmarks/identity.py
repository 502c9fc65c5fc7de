"""What association costs on one core: identity across cameras alone, and BoxMOT's two backends in one camera.

People walk through a hall along which cameras stand in a row, each over a square that a quarter of its side shares with
the next; everybody has a look of their own. Times are processor time of one process with one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.table import Table

from benchmarks import growth
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from orchestrator.errors import SettingsError
from orchestrator.identity.online import IdentityAssociator, IdentityRules
from orchestrator.identity.tables import Sightings
from orchestrator.identity.topology import make_topology
from orchestrator.settings import Settings
from orchestrator.tracking.factory import create_tracker
from orchestrator.values import Bool, Detections, Float32, Float64, Int64

T = TypeVar("T")
PACKAGES = ("numpy", "scipy", "boxmot")
RESULTS = Path(__file__).resolve().parent / "results"
CAMERAS, PEOPLE = (1, 2, 4, 8, 16), (5, 10, 20, 50, 100)
AT_CAMERAS, AT_PEOPLE = 4, 20
"""Where the other one grows."""
GOAL_MS = 0.5
"""A camera-tick at ``AT_PEOPLE``."""
RATE, DIMENSION = 12.0, 1280
WARM_UP_TICKS, TICKS, SECONDS = 30, 60, 4.0
"""Ticks before and while time is taken, and after how long it is enough."""
SIDE_M, STEP_M, SPEED_M_S, PLACE_ERROR_M = 20.0, 15.0, 1.3, 0.2
LOOK_NOISE = 0.6
"""Length of a look's error beside the person's own: two looks of one person have a cosine of 0.74."""
NOISES = 512
"""As many errors are drawn beforehand: drawing costs more than association."""
IMAGE_HW, BOX_HW = (1080, 1920), (160, 60)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement."""

    what: str
    cameras: int
    people: int
    """That one camera sees, on average."""
    ticks: int
    ms_a_camera_tick: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the grid."""
    parser.add_argument("--cameras", type=int, nargs="+", default=CAMERAS, help="how many cameras (%(default)s)")
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE, help="people a camera (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a row and a column of the grid, and no BoxMOT")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON (%(default)s)")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures, shows the tables and writes them as JSON."""
    machine = await look_at_machine()
    grid = [(cameras, people) for cameras in options.cameras for people in options.people]
    if options.quick:
        grid = [pair for pair in grid if pair[0] == AT_CAMERAS or pair[1] == AT_PEOPLE]
    os.environ |= ONE_THREAD
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        with reporter.step("identity"):
            costs = [await _in(pool, identity_cost, *pair) for pair in grid]
        with reporter.step("BoxMOT"):
            backends = () if options.quick else ("python", "cpp")
            boxmot = [await _in(pool, tracker_cost, name, people) for name in backends for people in options.people]
    powers = {
        "with cameras": exponent([cost for cost in costs if cost.people == AT_PEOPLE], lambda cost: cost.cameras),
        "with people": exponent([cost for cost in costs if cost.cameras == AT_CAMERAS], lambda cost: cost.people),
    }
    reporter.show(_grid(costs, powers))
    measured = [item for item in boxmot if isinstance(item, Cost)]
    refused = sorted({item for item in boxmot if isinstance(item, str)})
    reporter.show(_boxmot(measured, refused))
    figures = _figures(costs, powers, measured, refused)
    await write_figures(options.out / "identity.json", machine, figures, PACKAGES)


async def _in(pool: ProcessPoolExecutor, measure: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, measure, *arguments)


def identity_cost(cameras: int, people: int) -> Cost:
    """Processor time of ``IdentityAssociator.update`` a camera and tick."""
    apart = [(str(row), str(row + 1)) for row in range(cameras - 1)]
    topology = make_topology([str(row) for row in range(cameras)], apart, [])
    associator = IdentityAssociator(cameras, IdentityRules(RATE, 0.5, 0.9, 10, topology))
    ticks, spent = 0, 0.0
    for tick, sightings in enumerate(walk(cameras, people)):
        begun = time.process_time()
        associator.update(tick, sightings)
        if tick >= WARM_UP_TICKS:
            ticks, spent = ticks + 1, spent + time.process_time() - begun
        if spent > SECONDS:
            break
    return Cost("identity", cameras, people, ticks, 1000 * spent / ticks / cameras)


def walk(cameras: int, people: int, seed: int = 1) -> Iterator[Sightings]:
    """What the cameras see, tick by tick."""
    rng = np.random.default_rng(seed)
    length = SIDE_M + STEP_M * (cameras - 1)
    count = round(people * length / SIDE_M)
    hall = np.array([length, SIDE_M])
    xy, heading = rng.uniform(0, 1, (count, 2)) * hall, rng.uniform(0, 2 * np.pi, count)
    own = rng.normal(size=(count, DIMENSION)) / np.sqrt(DIMENSION)
    noise = rng.normal(0, LOOK_NOISE / np.sqrt(DIMENSION), (NOISES, DIMENSION))
    visits = np.zeros((cameras, count), np.int64)
    inside: Bool = np.zeros((cameras, count), np.bool_)
    low = STEP_M * np.arange(cameras)[:, None]
    for _ in range(WARM_UP_TICKS + TICKS):
        heading = heading + rng.normal(0, 0.1, count)
        xy = xy + SPEED_M_S / RATE * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        beyond = (xy < 0) | (xy > hall)
        heading = np.where(beyond[:, 0], np.pi - heading, np.where(beyond[:, 1], -heading, heading))
        xy = np.clip(xy, 0, hall)
        now = (xy[:, 0] >= low) & (xy[:, 0] <= low + SIDE_M)
        visits += now & ~inside
        inside = now
        camera, person = np.nonzero(inside)
        yield _sightings(camera, person, visits, xy, own, noise, rng)


def _sightings(
    camera: Int64, person: Int64, visits: Int64, xy: Float64, own: Float64, noise: Float64, rng: np.random.Generator
) -> Sightings:
    rows = len(camera)
    looks = own[person] + noise[rng.integers(len(noise), size=rows)]
    return Sightings(
        cameras=camera,
        track_ids=visits[camera, person] * visits.shape[1] + person,
        map_xy=xy[person] + rng.normal(0, PLACE_ERROR_M, (rows, 2)),
        spread=np.tile([PLACE_ERROR_M**2, 0.0, PLACE_ERROR_M**2], (rows, 1)),
        quadrants=np.zeros(rows, np.int64),
        looks=(looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32),
        quality=np.ones(rows, np.float32),
        upright=np.ones(rows, np.bool_),
    )


def tracker_cost(backend: str, people: int) -> Cost | str:
    """Processor time of a tick of one camera's ``CameraTracker``; in words, why it cannot be run."""
    try:
        tracker = create_tracker(Settings(_env_file=None, tracker_backend=backend), "camera", RATE)
        ticks, spent = 0, 0.0
        for tick, (boxes, looks) in enumerate(boxes_of(people)):
            begun = time.process_time()
            tracker.update(tick, IMAGE_HW, Detections(boxes, np.full(len(boxes), 0.9, np.float32)), looks)
            if tick >= WARM_UP_TICKS:
                ticks, spent = ticks + 1, spent + time.process_time() - begun
    except SettingsError as error:
        return f"BotSort, {backend}: {error}"
    return Cost(f"BotSort, {backend}", 1, people, ticks, 1000 * spent / ticks)


def boxes_of(people: int, seed: int = 1) -> Iterator[tuple[Float32, Float32]]:
    """Boxes [N, 4] px and looks [N, D] of people who cross the image, tick by tick."""
    rng = np.random.default_rng(seed)
    room = np.array([IMAGE_HW[1] - BOX_HW[1], IMAGE_HW[0] - BOX_HW[0]], np.float64)
    corner, speed = rng.uniform(0, 1, (people, 2)) * room, rng.normal(0, 4, (people, 2))
    own = rng.normal(size=(people, DIMENSION)) / np.sqrt(DIMENSION)
    for _ in range(WARM_UP_TICKS + TICKS):
        corner = corner + speed
        speed = np.where((corner < 0) | (corner > room), -speed, speed)
        corner = np.clip(corner, 0, room)
        looks = own + rng.normal(0, LOOK_NOISE / np.sqrt(DIMENSION), own.shape)
        boxes = np.hstack([corner, corner + np.array(BOX_HW[::-1])])
        yield boxes.astype(np.float32), (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)


def exponent(costs: Sequence[Cost], size: Callable[[Cost], int]) -> float:
    """Of the growth of a whole tick; NaN for fewer than two sizes."""
    return growth.exponent([size(cost) for cost in costs], [cost.ms_a_camera_tick * cost.cameras for cost in costs])


def _grid(costs: Sequence[Cost], powers: Mapping[str, float]) -> Table:
    people = sorted({cost.people for cost in costs})
    shown = Table(
        title=f"Identity across cameras, ms a camera-tick on one core (goal {GOAL_MS} at {AT_PEOPLE} people)",
        caption=f"a whole tick grows with cameras^{powers['with cameras']:.2f} at {AT_PEOPLE} people a camera, "
        f"with people^{powers['with people']:.2f} at {AT_CAMERAS} cameras",
    )
    shown.add_column("cameras \\ people a camera")
    for number in people:
        shown.add_column(str(number), justify="right")
    known = {(cost.cameras, cost.people): f"{cost.ms_a_camera_tick:.2f}" for cost in costs}
    for cameras in sorted({cost.cameras for cost in costs}):
        shown.add_row(str(cameras), *(known.get((cameras, number), "") for number in people))
    return shown


def _boxmot(costs: Sequence[Cost], refused: Sequence[str]) -> Table:
    shown = Table(title=f"BoxMOT, ms a tick of one camera, embeddings of {DIMENSION}", caption="; ".join(refused))
    for heading in ("backend", "people", "ms"):
        shown.add_column(heading, justify="right")
    for cost in costs:
        shown.add_row(cost.what, str(cost.people), f"{cost.ms_a_camera_tick:.2f}")
    return shown


def _figures(
    costs: Sequence[Cost], powers: Mapping[str, float], boxmot: Sequence[Cost], refused: Sequence[str]
) -> dict[str, object]:
    return {
        "rate": RATE,
        "dimension": DIMENSION,
        "goal_ms": GOAL_MS,
        "identity": [asdict(cost) for cost in costs],
        "growth_exponent": {name: None if np.isnan(value) else round(value, 3) for name, value in powers.items()},
        "boxmot": [asdict(cost) for cost in boxmot],
        "not_run": list(refused),
    }
