"""How well people are followed and recognised, beside a plain baseline and the most that these detections allow.

Every figure is measured on the same detections for four answers: the baseline, SpotOn online, SpotOn with the second
pass, and the oracle. Scenes have several seeds: across-camera IDF1 of one moves by 0.02 to 0.05 by chance.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.accuracy import demo_site
from benchmarks.accuracy.associations import Found, oracle, spoton
from benchmarks.accuracy.baseline import baseline
from benchmarks.accuracy.demo_site import DemoScene
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.public import AbsentError, cmc1
from benchmarks.accuracy.report import Row, summary, table, write_json
from benchmarks.accuracy.scene import Scene
from demo.console import Reporter
from demo.site.scene import Recording as Sizes
from orchestrator.errors import SpotOnError
from orchestrator.settings import Settings

RESULTS = Path(__file__).resolve().parents[1] / "results"
SECOND_PASS_IS_THERE = "second_pass" in Settings.model_fields
ANSWERS: Mapping[str, Callable[[Scene], Found]] = {
    "baseline": baseline,
    "online": lambda scene: spoton(scene, second_pass=False),
    "second pass": lambda scene: spoton(scene, second_pass=True),
    "oracle": oracle,
}
PUBLIC: Mapping[str, Callable[[Path], Scene]] = {"cmc1": cmc1, "cmc1-whole": lambda data: cmc1(data, area=False)}
SCENES = (
    DemoScene("campus", "campus", rendered=True),
    DemoScene("easy", "campus", Sizes(people=8), alike=0.0),
    DemoScene("market", "market", alike=0.2),
    DemoScene("look-alikes", "market", alike=0.8),
    DemoScene("crowd", "market", Sizes(people=80, cameras=12, sub_videos=3), alike=0.2),
)
DEMO = {scene.name: scene for scene in SCENES}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which scenes and how often."""
    names = ", ".join((*DEMO, *PUBLIC))
    parser.add_argument("--scenes", nargs="+", metavar="NAME", default=[*DEMO, *PUBLIC], help=f"of {names} (all)")
    parser.add_argument("--seeds", type=int, default=3, help="of every simulated scene (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="public data (%(default)s)")
    parser.add_argument("--state", type=Path, default=Path(".spoton/accuracy"), help="videos and caches (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for table and pictures (%(default)s)")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures, shows the table and writes it as JSON.

    Raises:
        SpotOnError: a scene is unknown, or its detections cannot be made.
    """
    unknown = [name for name in options.scenes if name not in DEMO and name not in PUBLIC]
    if unknown:
        raise SpotOnError(f"no scene is called {', '.join(unknown)}; there are {', '.join((*DEMO, *PUBLIC))}")
    rows: list[Row] = []
    with reporter.step("models"):
        models = (
            await demo_site.prepare(options.state)
            if any(name in DEMO and DEMO[name].rendered for name in options.scenes)
            else None
        )
    for name in options.scenes:
        with reporter.step(name):
            rows += await asyncio.to_thread(_measure, name, options, models, reporter)
    lines = summary(rows)
    reporter.show(table(lines))
    await asyncio.to_thread(write_json, options.out / "accuracy.json", rows, lines)


def _measure(name: str, options: argparse.Namespace, models: tuple[Path, Path] | None, reporter: Reporter) -> list[Row]:
    try:
        return [row for scene in _scenes(name, options, models) for row in measure(scene)]
    except AbsentError as absent:
        reporter.say(f"{name} is skipped: {absent}")
        return []


def _scenes(name: str, options: argparse.Namespace, models: tuple[Path, Path] | None) -> Iterator[Scene]:
    if name in PUBLIC:
        yield PUBLIC[name](options.data)
        return
    scene = DEMO[name]
    for seed in range(1, options.seeds + 1):
        if scene.rendered:
            assert models is not None
            yield demo_site.rendered(scene, seed, options.state, models)
        else:
            yield demo_site.drawn(scene, seed)


def measure(scene: Scene) -> list[Row]:
    """Every answer to one scene."""
    rows = []
    for answer, find in ANSWERS.items():
        if answer == "second pass" and not SECOND_PASS_IS_THERE:
            continue
        figures = score(scene, find(scene))
        rows.append(Row(scene.name, scene.seed, scene.detections, answer, figures.flat()))
    return rows
