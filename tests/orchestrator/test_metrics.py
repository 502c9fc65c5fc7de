from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import generate_latest

from orchestrator.metrics import Metrics, StageClock


def test_busy_time_adds_up_over_threads_and_processor_time_is_the_thread_s_own() -> None:
    clock = StageClock(Metrics())

    def nap(_: int) -> None:
        with clock.measure("decode"):
            time.sleep(0.05)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(nap, range(2)))
    stage = clock.table(frames=10)["decode"]
    assert stage["busy_s"] >= 0.1
    assert stage["ms_per_frame"] == pytest.approx(stage["busy_s"] * 100, rel=0.01)
    assert stage["cpu_ms_per_frame"] < stage["ms_per_frame"] / 2


def test_a_failing_block_is_timed_too() -> None:
    clock = StageClock(Metrics())
    with pytest.raises(ZeroDivisionError), clock.wait("detect"):
        _ = 1 / 0
    assert set(clock.table(1)) == {"detect"}


def test_stages_are_scraped() -> None:
    metrics = Metrics()
    with StageClock(metrics).wait("embed"):
        pass
    metrics.frames.labels("c01").inc()
    text = generate_latest(metrics.registry).decode()
    assert 'spoton_stage_seconds_count{stage="embed"} 1.0' in text
    assert "process_resident_memory_bytes " in text
    assert 'spoton_frames_total{camera="c01"} 1.0' in text
