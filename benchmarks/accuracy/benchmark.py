"""How well people are followed and recognised, beside a plain baseline and the most that these detections allow.

Every figure is measured on the same detections for four answers: the baseline, SpotOn online, SpotOn with the second
pass, and the oracle. Scenes have several seeds: across-camera IDF1 of one moves by 0.02 to 0.05 by chance.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.accuracy import demo_site, scenes, sensitivity
from benchmarks.accuracy.associations import Found, oracle, spoton
from benchmarks.accuracy.baseline import baseline
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.mistakes import mistakes
from benchmarks.accuracy.noise import NoiseModel
from benchmarks.accuracy.picture import save_picture
from benchmarks.accuracy.public import AbsentError
from benchmarks.accuracy.report import PACKAGES, Row, changes_of, figures_of, loss_tables, summary, table
from benchmarks.accuracy.scene import Scene
from benchmarks.machine import look_at_machine, write_figures
from demo.console import Reporter
from orchestrator.errors import DetectionFileError

RESULTS = Path(__file__).resolve().parents[1] / "results"
NOT_IN_NAMES = r"[^\w-]+"
ANSWERS: Mapping[str, Callable[[Scene], Found]] = {
    "baseline": baseline,
    "online": lambda scene: spoton(scene, second_pass=False),
    "second pass": lambda scene: spoton(scene, second_pass=True),
    "oracle": oracle,
}


@dataclass(frozen=True, slots=True)
class _Job:
    """A scene with one seed, for a process of its own."""

    name: str
    seed: int
    inputs: scenes.Inputs
    pictures: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which scenes and how often."""
    names = ", ".join(scenes.SOURCES)
    parser.add_argument(
        "--scene", "--scenes", nargs="+", metavar="NAME", default=[*scenes.SOURCES], dest="scenes",
        help=f"of {names} (all), or the folder of a MOTChallenge sequence or of several",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="of every simulated scene (%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"one seed of {', '.join(scenes.QUICK)}")
    parser.add_argument(
        "--sensitivity", action="store_true", help="each constant halved and doubled, in place of the usual tables"
    )
    parser.add_argument(
        "--fit-noise", action="store_true", help="fit the noise model to the demo's present models, and do no more"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="public data (%(default)s)")
    parser.add_argument("--state", type=Path, default=Path(".spoton/accuracy"), help="videos and caches (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for table and pictures (%(default)s)")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures, shows the tables and writes them as JSON, with a picture a scene beside it.

    Raises:
        SpotOnError: a scene is unknown, or its detections cannot be made.
    """
    names, seeds = (scenes.QUICK, 1) if options.quick else (options.scenes, options.seeds)
    scenes.check(names)
    if options.fit_noise:
        await _fit_noise(options.state, reporter)
        return
    machine = await look_at_machine()
    with reporter.step("models"):
        rendered = any(name in scenes.SOURCES and scenes.SOURCES[name].rendered for name in names)
        inputs = scenes.Inputs(
            options.data, options.state, await demo_site.prepare(options.state) if rendered else None
        )
    if options.sensitivity:
        with reporter.step("sensitivity"):
            changes = await asyncio.to_thread(_sensitivity, names, inputs, options.jobs)
        reporter.show(sensitivity.table(changes))
        await write_figures(options.out / "sensitivity.json", machine, {**_models(), **changes_of(changes)}, PACKAGES)
        return
    jobs = [
        _Job(name, seed, inputs, options.out / "accuracy" if seed == 1 else None)
        for name in names
        for seed in scenes.seeds_of(name, seeds)
    ]
    with reporter.step("scenes"):
        rows = await asyncio.to_thread(_measure_all, jobs, options.jobs, reporter)
    lines = summary(rows)
    reporter.show(table(lines))
    for losses in loss_tables(lines):
        reporter.show(losses)
    await write_figures(options.out / "accuracy.json", machine, {**_models(), **figures_of(rows, lines)}, PACKAGES)


async def _fit_noise(state: Path, reporter: Reporter) -> None:
    with reporter.step("models"):
        models = await demo_site.prepare(state)
    with reporter.step("noise"):
        (await asyncio.to_thread(demo_site.fit_noise, state, models)).save()


def _models() -> dict[str, Any]:
    """Whose detections the figures are from, by the weights; of the noise model, those that it was fitted to."""
    return {"demo_weights": demo_site.weights(), "noise_model_weights": NoiseModel.load().weights}


def _sensitivity(names: Sequence[str], inputs: scenes.Inputs, processes: int) -> list[sensitivity.Change]:
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return sensitivity.measure(names, inputs, pool)


def _measure_all(jobs: Sequence[_Job], processes: int, reporter: Reporter) -> list[Row]:
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = [pool.submit(_measure, job) for job in jobs]
        for job, future in zip(jobs, running, strict=True):
            try:
                rows += future.result()
            except (AbsentError, DetectionFileError) as problem:
                reporter.say(f"{job.name} is skipped: {problem}")
    return rows


def _measure(job: _Job) -> list[Row]:
    return [row for scene in scenes.make(job.name, job.inputs, job.seed) for row in measure(scene, job.pictures)]


def measure(scene: Scene, pictures: Path | None = None) -> list[Row]:
    """Every answer to one scene; a picture of them in the folder ``pictures``, where places are known."""
    answers = {answer: find(scene) for answer, find in ANSWERS.items()}
    if pictures is not None and scene.ground is not None:
        save_picture(pictures / f"{re.sub(NOT_IN_NAMES, '-', scene.name)}.png", scene, answers)
    return [
        Row(scene.name, scene.seed, scene.detections, answer, score(scene, found).flat(), mistakes(scene, found))
        for answer, found in answers.items()
    ]
