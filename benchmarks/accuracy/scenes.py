"""Every scene that accuracy is measured on, by name; a name that is a folder is read as MOTChallenge's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy import demo_site, motchallenge
from benchmarks.accuracy.demo_site import DemoScene
from benchmarks.accuracy.public import cmc1
from benchmarks.accuracy.scene import Scene, thinned
from benchmarks.accuracy.wildtrack import wildtrack
from demo.site.scene import Recording as Sizes
from orchestrator.errors import SpotOnError

THINNED_TO = 2.0
"""Ticks a second of the scenes that are thinned."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What scenes are made from."""

    data: Path
    """Folder of public data."""
    state: Path
    """Folder of rendered videos and cached detections."""
    models: tuple[Path, Path] | None
    """ONNX files of the demo's detector and Re-ID; None where no scene needs them."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a scene is made."""

    make: Callable[[Inputs, int], Scene]
    seeded: bool = True
    """Whether another seed gives another scene."""
    rendered: bool = False
    """Whether it needs the demo's models."""


def _drawn(scene: DemoScene) -> Source:
    return Source(lambda _, seed: demo_site.drawn(scene, seed))


def _rendered(inputs: Inputs, seed: int) -> Scene:
    assert inputs.models is not None
    return demo_site.rendered(DemoScene("campus", "campus"), seed, inputs.state, inputs.models)


def _thinned(inputs: Inputs, seed: int) -> Scene:
    whole = _rendered(inputs, seed)
    return thinned(whole, round(whole.recording.rate / THINNED_TO))


SOURCES: Mapping[str, Source] = {
    "campus": Source(_rendered, rendered=True),
    "campus-thinned": Source(_thinned, rendered=True),
    "easy": _drawn(DemoScene("easy", "campus", Sizes(people=8), alike=0.0)),
    "market": _drawn(DemoScene("market", "market", alike=0.2)),
    "look-alikes": _drawn(DemoScene("look-alikes", "market", alike=0.8)),
    "absences": _drawn(DemoScene("absences", "campus", Sizes(people=12, sub_videos=8), absent_s=(15.0, 45.0))),
    "crowd": _drawn(DemoScene("crowd", "market", Sizes(people=80, cameras=12, sub_videos=3), alike=0.2)),
    "cmc1": Source(lambda inputs, _: cmc1(inputs.data), seeded=False),
    "cmc1-whole": Source(lambda inputs, _: cmc1(inputs.data, area=False), seeded=False),
    "wildtrack": Source(lambda inputs, seed: wildtrack(inputs.data, seed)),
}
QUICK = ("easy", "cmc1", "wildtrack")
"""Nothing is rendered for these, and they are small."""


def is_folder(name: str) -> bool:
    """Whether a scene is given by the path of its folder."""
    return name not in SOURCES and Path(name).is_dir()


def check(names: Sequence[str]) -> None:
    """Raises ``SpotOnError`` for a name that is neither a scene nor a folder."""
    unknown = [name for name in names if name not in SOURCES and not is_folder(name)]
    if unknown:
        raise SpotOnError(f"no scene and no folder is called {', '.join(unknown)}; there are {', '.join(SOURCES)}")


def seeds_of(name: str, count: int) -> Sequence[int]:
    """The seeds with which a scene is measured."""
    return range(1, count + 1) if name in SOURCES and SOURCES[name].seeded else (1,)


def make(name: str, inputs: Inputs, seed: int) -> Sequence[Scene]:
    """The scenes of a name; one, unless it is a folder of several sequences.

    Raises:
        AbsentError: public data are not there.
        SpotOnError: a folder cannot be used.
    """
    return [SOURCES[name].make(inputs, seed)] if name in SOURCES else motchallenge.read_scenes(Path(name))
