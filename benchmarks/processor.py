"""Processor time of whole process trees, by part of the system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds of processor time (user and system) that each part has used since it started."""

    seconds: Mapping[str, float]

    def since(self, earlier: ProcessorTime) -> dict[str, float]:
        """Seconds a part used between the two readings."""
        return {name: value - earlier.seconds.get(name, 0.0) for name, value in self.seconds.items()}


def read(parts: Mapping[str, int], models: tuple[str, ...]) -> ProcessorTime:
    """Reads the trees below the processes in ``parts`` (name -> pid).

    A process whose command line names one of ``models`` is a model's own (the stub of Triton's Python backend) and
    counts under that name.
    """
    seconds: dict[str, float] = {}
    for name, pid in parts.items():
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                line = " ".join(process.cmdline())
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            part = next((model for model in models if model in line), name) if process is not root else name
            seconds[part] = seconds.get(part, 0.0) + times.user + times.system
    return ProcessorTime(seconds)
