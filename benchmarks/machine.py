"""Which machine figures are from, and how busy it was: they go into every file of results."""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine before a run."""

    cpu: str
    cores: int
    memory_gib: float
    busy_before: float
    """Share of all cores that other work used in the second before the run: above a few hundredths, doubt the times."""


async def look_at_machine() -> Machine:
    """Takes ``LOOK_S``; nothing of the benchmark may run meanwhile."""
    return await asyncio.to_thread(_look)


def _look() -> Machine:
    busy = psutil.cpu_percent(LOOK_S)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 2**30
    return Machine(names[0] if names else "unknown", psutil.cpu_count() or 1, round(memory, 1), round(busy / 100, 3))


async def write_figures(
    out: Path | None, machine: Machine, figures: Mapping[str, Any], packages: Sequence[str] = ()
) -> None:
    """Writes the figures as JSON, the machine and the versions of ``packages`` first, unless ``out`` is None.

    The load (of the last five minutes, the benchmark's own among it) tells whether other work came after the start.
    """
    if out is not None:
        about = {**asdict(machine), "load_at_end": round(os.getloadavg()[1], 2)}
        versions = {name: metadata.version(name) for name in packages}
        whole = {"machine": about, "python": platform.python_version(), "packages": versions, **figures}
        await asyncio.to_thread(_write, out, json.dumps(whole, indent=2) + "\n")


def _write(out: Path, text: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
