"""What Prometheus scrapes, and where the time of one task went."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector


class Metrics:
    """The metrics of one process, its processor time and memory among them, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.frames = Counter("spoton_frames", "Frames processed.", ["camera"], registry=self.registry)
        self.tracks = Counter(
            "spoton_tracks_seen", "Tracked people, counted once a frame.", ["camera"], registry=self.registry
        )
        self.tasks = Counter("spoton_tasks", "Tasks ended, by final state.", ["status"], registry=self.registry)
        self.stage_seconds = Histogram(
            "spoton_stage_seconds",
            "Seconds that one tick spent in a stage.",
            ["stage"],
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
            registry=self.registry,
        )


@dataclass(slots=True)
class _Stage:
    busy_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True)
class StageClock:
    """Adds up, over one task, how long each stage was busy and what processor time its own thread took.

    ``busy_s`` sums over concurrent calls, so stages that overlap add up to more than the task lasted. ``cpu_s`` counts
    the calling thread alone: what a model server computes on behalf of a stage is not in it.
    """

    metrics: Metrics
    stages: dict[str, _Stage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Times the block as part of stage ``name``; for code that stays on one thread."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - wall, time.thread_time() - cpu)

    @contextmanager
    def wait(self, name: str) -> Iterator[None]:
        """Times an awaited block as part of stage ``name``; its processor time is not the thread's and is left out."""
        wall = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - wall, 0.0)

    def _add(self, name: str, busy_s: float, cpu_s: float) -> None:
        self.metrics.stage_seconds.labels(name).observe(busy_s)
        with self._lock:
            stage = self.stages.setdefault(name, _Stage())
            stage.busy_s += busy_s
            stage.cpu_s += cpu_s

    def table(self, frames: int) -> dict[str, dict[str, float]]:
        """Per stage: ``busy_s``, ``ms_per_frame`` (busy) and ``cpu_ms_per_frame``."""
        per_frame = 1000.0 / max(frames, 1)
        with self._lock:
            return {
                name: {
                    "busy_s": round(stage.busy_s, 3),
                    "ms_per_frame": round(stage.busy_s * per_frame, 3),
                    "cpu_ms_per_frame": round(stage.cpu_s * per_frame, 3),
                }
                for name, stage in self.stages.items()
            }
