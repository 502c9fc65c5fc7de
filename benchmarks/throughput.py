"""Frames per second of the whole pipeline beside two ceilings of the same run, and where its processor time goes.

The ceilings are decode alone (every camera's frames, converted and letterboxed as the pipeline has them, on all cores)
and the detector alone (real frames, as many requests under way as the pipeline may have, on the same Triton). Machines
change their speed from one minute to the next: the detector is measured before and after each of several rounds of the
pipeline, each round has a ratio of its own, and their median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import processor
from demo.client import SpotOnClient
from demo.console import Reporter
from demo.model_repository import SETTINGS, prepare_models
from demo.run import DemoOptions, describe, render_site, scene_of
from demo.servers.spoton import settings_of
from demo.servers.stack import Stack
from demo.site.scene import PROFILES
from demo.upload import match_videos, upload
from orchestrator.decode import FrameReader, frames_of_ticks, probe
from orchestrator.inference.client import open_inference
from orchestrator.inference.protocols import Detector
from orchestrator.site import load_site
from orchestrator.values import UInt8

CEILING_S = 10.0
"""How long each ceiling is measured."""
SAMPLE_TICKS = 16
"""Ticks of real frames that the detector is asked again and again."""


@dataclass(frozen=True, slots=True)
class Round:
    """The pipeline once, between two measurements of the detector; frames per second over all cameras."""

    pipeline: float
    """From the start of the task to its end, fetching and checkpoints included."""
    detector_alone: tuple[float, float]
    """Before and after."""

    def ratio(self, decode_alone: float) -> float:
        """The pipeline against the lower ceiling."""
        return self.pipeline / min(decode_alone, sum(self.detector_alone) / 2)


@dataclass(frozen=True, slots=True)
class Throughput:
    """The figures of one run."""

    cores: int
    cameras: int
    frames: int
    """Of one round."""
    decode_alone: float
    """Frames per second over all cameras."""
    rounds: Sequence[Round]
    processor_ms_per_frame: Mapping[str, float]
    """By process: models are their server's own, ``worker`` is decode, crops, association, publishing and storing."""
    worker_stages: Mapping[str, Mapping[str, float]]
    """Inside the worker, in the last round: ``busy_s``, ``ms_per_frame`` and ``cpu_ms_per_frame``."""

    @property
    def ratios(self) -> list[float]:
        """Of each round."""
        return [each.ratio(self.decode_alone) for each in self.rounds]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return median(self.ratios)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares where, how much and how often."""
    parser.add_argument("--state", type=Path, default=Path(".spoton"), help="shared with the demo (%(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="default", help="the demo site's length")
    parser.add_argument("--rounds", type=positive, default=3, help="how often the pipeline runs (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


def positive(word: str) -> int:
    """A whole number above zero; argparse calls it by its name in errors."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures the demo site as often as asked and shows a table.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where a server is at fault.
    """
    state, profile, out = options.state, options.profile, options.out
    scene, files = scene_of(DemoOptions(state, profile=profile))
    models = state / "model_repository"
    files = await render_site(scene, files.root, reporter)
    await prepare_models(models)
    async with Stack(state, files.site_file, models, settings=SETTINGS, on_event=reporter.say) as stack:
        await stack.start_backends()
        cameras = list(load_site(files.site_file).environment(scene.name).cameras.values())
        matched = match_videos(cameras, files.videos)
        keys = {key: path for videos in matched.values() for key, path in videos.items()}
        await upload(stack.bucket, [camera.prefix for camera in cameras], keys)
        await stack.start_spoton()
        videos = {camera_id: list(found.values()) for camera_id, found in matched.items()}
        figures = await _measure(stack, scene.name, videos, state / "benchmark", options.rounds, reporter)
    reporter.show(_table(figures))
    if out is not None:
        report = {**asdict(figures), "ratios": figures.ratios, "ratio": figures.ratio}
        await asyncio.to_thread(out.write_text, json.dumps(report, indent=2) + "\n")


async def _measure(
    stack: Stack,
    environment_id: str,
    videos: Mapping[str, Sequence[Path]],
    folder: Path,
    rounds: int,
    reporter: Reporter,
) -> Throughput:
    variables = {**stack.settings_env(), "SPOTON_SHM_PREFIX": f"{stack.settings_env()['SPOTON_SHM_PREFIX']}-bench"}
    settings = settings_of(variables)
    parts = {name: stack.supervisor.pid(name) for name in ("triton", "worker", "api", "postgres", "valkey")}
    names = (settings.detector_model, settings.reid_model)
    spent: Counter[str] = Counter()
    pipeline: list[Mapping[str, Any]] = []
    async with open_inference(settings, len(videos)) as inference, SpotOnClient(stack.api.url) as client:
        await client.wait_healthy()
        detector = inference.detector
        ticks = await asyncio.to_thread(_sample, videos, detector.input_hw)
        alone = [await _detector_alone(detector, ticks, settings.ticks_in_flight, reporter)]
        for _ in range(rounds):
            idle = processor.read(parts, names)
            pipeline.append(await _pipeline(client, environment_id, folder, reporter))
            spent.update(processor.read(parts, names).since(idle))
            alone.append(await _detector_alone(detector, ticks, settings.ticks_in_flight, reporter))
        with reporter.step("decode alone"):
            decode = await asyncio.to_thread(_decode_alone, videos, detector.input_hw)
    frames = int(pipeline[-1]["frames"])
    return Throughput(
        cores=os.cpu_count() or 1,
        cameras=len(videos),
        frames=frames,
        decode_alone=decode,
        rounds=[
            Round(float(measured["frames_per_second"]), around)
            for measured, around in zip(pipeline, itertools.pairwise(alone), strict=True)
        ],
        processor_ms_per_frame={name: 1000 * seconds / (frames * rounds) for name, seconds in spent.items()},
        worker_stages=pipeline[-1]["stages"],
    )


async def _pipeline(client: SpotOnClient, environment_id: str, folder: Path, reporter: Reporter) -> Mapping[str, Any]:
    """What the worker says of one task: ``frames``, ``frames_per_second`` and ``stages``."""
    with reporter.step("whole pipeline") as step:
        recording = await client.run(
            environment_id, folder, lambda at: step.update(at.ticks, at.ticks_total, describe(at))
        )
    status = await client.status(recording.task_id)
    measured: Mapping[str, Any] = status["details"]["throughput"]
    return measured


async def _detector_alone(detector: Detector, ticks: Sequence[UInt8], lanes: int, reporter: Reporter) -> float:
    """Frames per second with ``lanes`` requests always under way."""
    with reporter.step("detector alone"):
        began = time.monotonic()
        asking = (_keep_asking(detector, ticks, began + CEILING_S) for _ in range(lanes))
        answered = sum(await asyncio.gather(*asking))
        return answered / (time.monotonic() - began)


async def _keep_asking(detector: Detector, ticks: Sequence[UInt8], until: float) -> int:
    """Frames answered; the slot is filled once a request, as by the pipeline's decoders."""
    answered = 0
    slot = await detector.acquire()
    try:
        for images in itertools.cycle(ticks):
            if time.monotonic() >= until:
                break
            slot.images[:] = images
            await detector.detect(slot, [detector.input_hw] * len(images))
            answered += len(images)
    finally:
        detector.release(slot)
    return answered


def _sample(videos: Mapping[str, Sequence[Path]], input_hw: tuple[int, int]) -> list[UInt8]:
    """``SAMPLE_TICKS`` arrays [cameras, H, W, 3]: frames spread over each camera's first sub-video, letterboxed."""
    ticks = [np.zeros((len(videos), *input_hw, 3), np.uint8) for _ in range(SAMPLE_TICKS)]
    for row, (camera_id, paths) in enumerate(videos.items()):
        found = probe(paths[0])
        chosen = np.linspace(0, len(found.frame_times_s) - 1, SAMPLE_TICKS).astype(np.int64)
        reader = FrameReader(paths[0], camera_id, found, chosen)
        for tick in range(SAMPLE_TICKS):
            reader.read(tick, ticks[tick][row])
        reader.close()
    return ticks


def _decode_alone(videos: Mapping[str, Sequence[Path]], input_hw: tuple[int, int]) -> float:
    """Frames per second of reading every file once with one decoder a core."""
    files = [(camera_id, path) for camera_id, paths in videos.items() for path in paths]
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        frames = sum(pool.map(partial(_decode, input_hw), files))
    return frames / (time.monotonic() - began)


def _decode(input_hw: tuple[int, int], file: tuple[str, Path]) -> int:
    camera_id, path = file
    found = probe(path)
    chosen = frames_of_ticks(found, found.fps)
    reader = FrameReader(path, camera_id, found, chosen)
    letterboxed = np.zeros((*input_hw, 3), np.uint8)
    for tick in range(len(chosen)):
        reader.read(tick, letterboxed)
    reader.close()
    return len(chosen)


def _table(figures: Throughput) -> Table:
    table = Table(title=f"Throughput: {figures.cameras} cameras, {figures.frames} frames, {figures.cores} cores")
    table.add_column("what")
    table.add_column("frames/s", justify="right")
    table.add_column("CPU ms/frame", justify="right")
    table.add_row("decode alone", f"{figures.decode_alone:.1f}", "")
    alone = [figures.rounds[0].detector_alone[0], *(each.detector_alone[1] for each in figures.rounds)]
    table.add_row("detector alone", _each(alone, 1), "")
    processor_ms = sum(figures.processor_ms_per_frame.values())
    table.add_row("whole pipeline", _each([each.pipeline for each in figures.rounds], 1), f"{processor_ms:.1f}")
    table.add_row("ratio to the lower ceiling", _each(figures.ratios, 2), "")
    table.add_row("their median", f"{figures.ratio:.2f}", "", end_section=True)
    for name, value in sorted(figures.processor_ms_per_frame.items(), key=lambda item: -item[1]):
        table.add_row(name, "", f"{value:.2f}")
        if name == "worker":
            for stage, times in figures.worker_stages.items():
                if not times["cpu_ms_per_frame"]:
                    continue  # a wait for others
                table.add_row(f"  of it {stage}", "", f"{times['cpu_ms_per_frame']:.2f}")
    return table


def _each(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
