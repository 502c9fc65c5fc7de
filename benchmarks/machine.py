"""Which machine figures are from, and how busy it was: they go into every file of results."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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


async def write_figures(out: Path | None, machine: Machine, figures: Mapping[str, Any]) -> None:
    """Writes the figures as JSON, the machine first, unless ``out`` is None.

    The load (of the last five minutes, the benchmark's own among it) tells whether other work came after the start.
    """
    if out is not None:
        about = {**asdict(machine), "load_at_end": round(os.getloadavg()[1], 2)}
        text = json.dumps({"machine": about, **figures}, indent=2)
        await asyncio.to_thread(out.write_text, text + "\n")
