"""Frames per second of the whole pipeline beside two ceilings of the same run, and where its processor time goes.

The ceilings are decode alone (every camera's frames, converted and letterboxed as the pipeline has them, on all cores)
and the detector alone (real frames, as many requests under way as the pipeline may have, on the same Triton). The
detector is measured before and after the pipeline, since machines drift.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks import processor
from demo.client import SpotOnClient
from demo.console import Reporter
from demo.model_repository import SETTINGS, prepare_models
from demo.run import DemoOptions, describe, render_site, scene_of
from demo.servers.spoton import settings_of
from demo.servers.stack import Stack
from demo.upload import match_videos, upload
from orchestrator.decode import FrameReader, frames_of_ticks, probe
from orchestrator.inference.client import open_inference
from orchestrator.inference.protocols import Detector
from orchestrator.site import load_site
from orchestrator.values import UInt8

CEILING_S = 20.0
"""How long each ceiling is measured."""
SAMPLE_TICKS = 16
"""Ticks of real frames that the detector is asked again and again."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """The figures of one run; rates are frames per second over all cameras."""

    cores: int
    cameras: int
    frames: int
    pipeline: float
    """From the start of the task to its end, fetching and checkpoints included."""
    decode_alone: float
    detector_alone: tuple[float, float]
    """Before and after the pipeline."""
    processor_ms_per_frame: Mapping[str, float]
    """By process: models are their server's own, ``worker`` is decode, crops, association, publishing and storing."""
    worker_stages: Mapping[str, Mapping[str, float]]
    """Inside the worker: ``busy_s``, ``ms_per_frame`` and ``cpu_ms_per_frame``."""

    @property
    def ceiling(self) -> float:
        """The lower ceiling, the detector's as the mean of its two runs."""
        return min(self.decode_alone, sum(self.detector_alone) / 2)

    @property
    def ratio(self) -> float:
        """The pipeline against the lower ceiling."""
        return self.pipeline / self.ceiling


async def run(state: Path, profile: str, out: Path | None, reporter: Reporter) -> None:
    """Measures on the demo site and shows a table; writes it to ``out`` as JSON too.

    Raises:
        SpotOnError: a part failed; ``ServersError`` where a server is at fault.
    """
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
        figures = await _measure(stack, scene.name, videos, state / "benchmark", reporter)
    reporter.show(_table(figures))
    if out is not None:
        report = {**asdict(figures), "ceiling": figures.ceiling, "ratio": figures.ratio}
        await asyncio.to_thread(out.write_text, json.dumps(report, indent=2) + "\n")


async def _measure(
    stack: Stack, environment_id: str, videos: Mapping[str, Sequence[Path]], folder: Path, reporter: Reporter
) -> Throughput:
    variables = {**stack.settings_env(), "SPOTON_SHM_PREFIX": f"{stack.settings_env()['SPOTON_SHM_PREFIX']}-bench"}
    settings = settings_of(variables)
    parts = {name: stack.supervisor.pid(name) for name in ("triton", "worker", "api", "postgres", "valkey")}
    names = (settings.detector_model, settings.reid_model)
    async with open_inference(settings, len(videos)) as inference, SpotOnClient(stack.api.url) as client:
        await client.wait_healthy()
        detector = inference.detector
        ticks = await asyncio.to_thread(_sample, videos, detector.input_hw)
        with reporter.step("detector alone"):
            before = await _detector_alone(detector, ticks, settings.ticks_in_flight)
        idle = processor.read(parts, names)
        with reporter.step("whole pipeline") as step:
            recording = await client.run(
                environment_id, folder, lambda at: step.update(at.ticks, at.ticks_total, describe(at))
            )
        spent = processor.read(parts, names).since(idle)
        status = await client.status(recording.task_id)
        with reporter.step("detector alone again"):
            after = await _detector_alone(detector, ticks, settings.ticks_in_flight)
        with reporter.step("decode alone"):
            decode = await asyncio.to_thread(_decode_alone, videos, detector.input_hw)
    measured = status["details"]["throughput"]
    frames = int(measured["frames"])
    return Throughput(
        cores=os.cpu_count() or 1,
        cameras=len(videos),
        frames=frames,
        pipeline=float(measured["frames_per_second"]),
        decode_alone=decode,
        detector_alone=(before, after),
        processor_ms_per_frame={name: 1000 * seconds / frames for name, seconds in spent.items()},
        worker_stages=measured["stages"],
    )


async def _detector_alone(detector: Detector, ticks: Sequence[UInt8], lanes: int) -> float:
    """Frames per second with ``lanes`` requests always under way."""
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
    before, after = figures.detector_alone
    table.add_row("decode alone", f"{figures.decode_alone:.1f}", "")
    table.add_row("detector alone", f"{before:.1f}, again {after:.1f}", "")
    table.add_row("whole pipeline", f"{figures.pipeline:.1f}", f"{sum(figures.processor_ms_per_frame.values()):.1f}")
    table.add_row("ratio to the lower ceiling", f"{figures.ratio:.2f}", "", end_section=True)
    for name, value in sorted(figures.processor_ms_per_frame.items(), key=lambda item: -item[1]):
        table.add_row(name, "", f"{value:.2f}")
        if name == "worker":
            for stage, times in figures.worker_stages.items():
                table.add_row(f"  of it {stage}", "", f"{times['cpu_ms_per_frame']:.2f}")
    return table
