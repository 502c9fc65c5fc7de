"""Frames a second at which the demo site is rendered, beside encoding its frames alone, and what is wanted: 40.

In each round the site is rendered into an empty folder, by one process for each core, from the walk to the last file;
before and after, the same frames, decoded beforehand, are encoded by as many threads. Machines change their speed from
one minute to the next: each round has a ratio of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import av
import numpy as np
from rich.table import Table

from benchmarks.machine import look_at_machine, write_figures
from benchmarks.throughput import positive
from demo.arguments import whole
from demo.console import Reporter
from demo.site.build import build_site
from demo.site.folder import SiteFiles
from demo.site.scene import Recording, Scene
from demo.site.scenes import SCENES, make_scene
from demo.site.video import VideoWriter
from orchestrator.values import UInt8

PACKAGES = ("numpy", "opencv-python", "av")
WANTED = 40.0
"""Frames a second on two cores at 1280x720."""
SAMPLE = 120
"""Frames of each camera that are encoded, at most."""


@dataclass(frozen=True, slots=True)
class Round:
    """Frames a second over all cameras."""

    rendered: float
    encoded: tuple[float, float]
    """Encoding alone, before and after."""

    @property
    def ratio(self) -> float:
        """Rendering, which encodes too, against encoding alone."""
        return self.rendered / (sum(self.encoded) / 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which scene, how much of it and how often."""
    parser.add_argument("--scene", choices=SCENES, default="campus", help="a scene by name (%(default)s)")
    parser.add_argument("--seconds", type=whole(1, 3600), default=10, help="of each camera's recording (%(default)s)")
    parser.add_argument("--width", type=whole(160, 7680), default=1280, help="of the frames, pixels (%(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="how often the site is rendered (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures and shows a table."""
    machine = await look_at_machine()
    sizes = Recording(sub_videos=2, sub_video_seconds=options.seconds / 2, width=options.width)
    scene = make_scene(options.scene, 1, sizes)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with reporter.step("frames to encode"):
            samples = await asyncio.to_thread(_samples, scene, work / "sample")
        rounds = []
        encoded = await asyncio.to_thread(_encode, samples, scene, machine.cores, work)
        for number in range(options.rounds):
            with reporter.step(f"rendering, {number + 1} of {options.rounds}"):
                rendered = await asyncio.to_thread(_render, scene, work / str(number), machine.cores)
            after = await asyncio.to_thread(_encode, samples, scene, machine.cores, work)
            rounds.append(Round(rendered, (encoded, after)))
            encoded = after
    reporter.show(_table(scene, rounds))
    figures = {
        "scene": scene.name,
        "frames": scene.frames * len(scene.cameras),
        "wanted": WANTED,
        "rounds": [{**asdict(each), "ratio": each.ratio} for each in rounds],
        "ratio": median(each.ratio for each in rounds),
    }
    await write_figures(options.out, machine, figures, PACKAGES)


def _render(scene: Scene, folder: Path, workers: int) -> float:
    began = time.monotonic()
    build_site(scene, folder, workers=workers)
    return scene.frames * len(scene.cameras) / (time.monotonic() - began)


def _samples(scene: Scene, folder: Path) -> list[list[UInt8]]:
    """Frames [H, W, 3] RGB of each camera."""
    files = build_site(scene, folder)
    return [_decoded(files, each.prefix) for each in scene.cameras]


def _decoded(files: SiteFiles, prefix: str) -> list[UInt8]:
    with av.open(str(files.videos / prefix / "sub_video_01.mp4")) as video:
        frames = (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in video.decode(video=0))
        return [frame for _, frame in zip(range(SAMPLE), frames, strict=False)]


def _encode(samples: Sequence[Sequence[UInt8]], scene: Scene, threads: int, folder: Path) -> float:
    def encode(camera: int) -> None:
        height, width = samples[camera][0].shape[:2]
        with VideoWriter(folder / f"{camera}.mp4", width, height, scene.fps) as video:
            for frame in samples[camera]:
                video.write(frame)

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(encode, range(len(samples))))
    return sum(map(len, samples)) / (time.monotonic() - began)


def _table(scene: Scene, rounds: Sequence[Round]) -> Table:
    table = Table(title=f"rendering {scene.title}, frames a second over all cameras; wanted: {WANTED:g}")
    for heading in ("round", "rendered", "encoding alone, before", "after", "ratio"):
        table.add_column(heading, justify="right")
    for number, each in enumerate(rounds, 1):
        before, after = each.encoded
        table.add_row(str(number), f"{each.rendered:.1f}", f"{before:.1f}", f"{after:.1f}", f"{each.ratio:.2f}")
    return table
