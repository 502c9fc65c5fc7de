"""The one table at the end of a run, for people and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from demo.recording import NOBODY, Recording
from demo.scores import CameraFigures, SiteFigures, TrackingFigures

PACKAGES = ("numpy", "av", "boxmot", "onnxruntime", "torch", "torchvision", "trackeval", "tritonclient")


@dataclass(frozen=True, slots=True)
class CameraRow:
    """What one camera gave."""

    camera: str
    frames: int
    detections: int
    """Tracked boxes, as sent to clients."""
    tracks: int
    figures: CameraFigures | None
    """None without ground truth."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the worker's time went."""

    name: str
    busy_s: float
    """Waiting, for a thread or a server, and working, summed over all ticks in flight."""
    ms_per_frame: float
    cpu_ms_per_frame: float | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """How fast the worker was, by its own account, or the client's where it gave none."""

    frames: int
    seconds: float
    frames_per_second: float
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the table shows."""

    task_id: str
    environment: str
    cameras: tuple[CameraRow, ...]
    ticks: int
    batches: int
    identities: int
    """Distinct global ids."""
    figures: SiteFigures | None
    throughput: Throughput
    client: Mapping[str, float]
    """The client's own timings, seconds."""
    machine: Mapping[str, Any]


def make_report(recording: Recording, figures: SiteFigures | None = None) -> Report:
    """Gathers the figures of a finished task; without ``figures`` there was no ground truth."""
    rows = [
        CameraRow(
            camera=name,
            frames=len(camera.ticks),
            detections=len(camera.sightings),
            tracks=len(np.unique(camera.sightings.track_ids)),
            figures=None if figures is None else figures.cameras[name],
        )
        for name, camera in recording.cameras.items()
    ]
    named = np.concatenate([camera.sightings.people for camera in recording.cameras.values()])
    return Report(
        task_id=recording.task_id,
        environment=recording.environment_id,
        cameras=tuple(rows),
        ticks=recording.ticks,
        batches=recording.batches,
        identities=len(np.unique(named[named != NOBODY])),
        figures=figures,
        throughput=read_throughput(recording),
        client=asdict(recording.timings),
        machine=machine_facts(),
    )


def read_throughput(recording: Recording) -> Throughput:
    """The worker's account in the final status; the client's clock where a part of it is missing."""
    details = recording.status.get("details")
    said = (details.get("throughput") if isinstance(details, Mapping) else None) or {}
    frames = int(said.get("frames", recording.frames))
    seconds = float(said.get("seconds", recording.timings.ticks_s))
    stages = tuple(
        Stage(
            name=name,
            busy_s=float(stage["busy_s"]),
            ms_per_frame=float(stage["ms_per_frame"]),
            cpu_ms_per_frame=float(stage["cpu_ms_per_frame"]) if "cpu_ms_per_frame" in stage else None,
        )
        for name, stage in said.get("stages", {}).items()
    )
    pace = float(said.get("frames_per_second", frames / seconds if seconds > 0 else math.nan))
    return Throughput(frames, seconds, pace, stages)


def machine_facts() -> dict[str, Any]:
    """Cores, processor, memory and versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def to_json(report: Report) -> str:
    """The report as JSON; figures that are not known are null."""
    return json.dumps(_plain(asdict(report)), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def render(report: Report) -> RenderableType:
    """The table, for a terminal or a log."""
    parts: list[RenderableType] = [_camera_table(report)]
    if report.figures is not None:
        parts.append(_people_line(report.figures))
    if report.throughput.stages:
        parts.append(_stage_table(report.throughput))
    parts.append(Text(_pace(report)))
    return Group(*parts)


def _camera_table(report: Report) -> Table:
    table = Table(title=f"{report.environment}: {report.batches} batches, {report.ticks} ticks", title_justify="left")
    columns = ["frames", "tracked boxes", "tracks"]
    if report.figures is not None:
        columns += ["HOTA", "IDF1", "MOTA", "switches", "recall", "precision", "map error, m"]
    table.add_column("camera", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for row in report.cameras:
        counts = [str(row.frames), str(row.detections), str(row.tracks)]
        table.add_row(row.camera, *counts, *_camera_cells(row.figures), end_section=row is report.cameras[-1])
    totals = [str(sum(row.frames for row in report.cameras)), str(sum(row.detections for row in report.cameras))]
    table.add_row("across cameras", *totals, f"{report.identities} ids", *_across_cells(report.figures), style="bold")
    return table


def _camera_cells(figures: CameraFigures | None) -> list[str]:
    return [] if figures is None else _cells(figures.tracks, figures.positions.median_m)


def _across_cells(figures: SiteFigures | None) -> list[str]:
    return [] if figures is None else _cells(figures.across, figures.positions.median_m)


def _cells(scored: TrackingFigures, map_error_m: float) -> list[str]:
    shares = [_share(value) for value in (scored.hota, scored.idf1, scored.mota)]
    return [*shares, str(scored.id_switches), _share(scored.recall), _share(scored.precision), _share(map_error_m)]


def _share(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _people_line(figures: SiteFigures) -> Text:
    people, positions = figures.people, figures.positions
    text = f"people found / there: {people.found} / {people.there}, under {people.identities} identities"
    if positions.positions:
        text += f"; map error median {positions.median_m:.2f} m, 95 % within {positions.p95_m:.2f} m"
    return Text(text, style="bold")


def _stage_table(throughput: Throughput) -> Table:
    table = Table(title="where the time went (summed over the ticks in flight: stages overlap)", title_justify="left")
    table.add_column("stage")
    for column in ("waited or worked, s", "the same, ms a frame", "CPU, ms a frame"):
        table.add_column(column, justify="right")
    for stage in sorted(throughput.stages, key=lambda stage: -stage.busy_s):
        cpu = (
            f"{stage.cpu_ms_per_frame:.2f}" if stage.cpu_ms_per_frame else ""
        )  # a stage that waits has none of its own
        table.add_row(stage.name, f"{stage.busy_s:.1f}", f"{stage.ms_per_frame:.2f}", cpu)
    return table


def _pace(report: Report) -> str:
    pace, machine = report.throughput, report.machine
    return (
        f"{pace.frames} frames in {pace.seconds:.1f} s: {pace.frames_per_second:.1f} frames a second "
        f"on {machine['cores']} cores ({machine['processor']})"
    )
