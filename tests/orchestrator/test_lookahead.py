"""Ticks in flight over the ends of batches, with fake readers and a fake server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import VideoError
from orchestrator.inference.client import Inference
from orchestrator.lookahead import LookAhead, OpenBatch
from orchestrator.media import Batch
from orchestrator.metrics import Metrics, StageClock
from orchestrator.settings import Settings
from orchestrator.values import Frame
from tests.orchestrator.fakes import fake_inference

TICKS = 6
IN_FLIGHT = 4


class OpenGate:
    async def gate(self) -> None:
        return


class FakeReader:
    """Frames of one camera; breaks at a tick if told so."""

    ticks = TICKS

    def __init__(self, breaks_at: int | None = None) -> None:
        self.breaks_at = breaks_at
        self.read_ticks: list[int] = []

    async def read(self, tick: int, images: np.ndarray) -> list[Frame]:
        if tick == self.breaks_at:
            raise VideoError("file.mp4", "broken")
        self.read_ticks.append(tick)
        return [Frame("c1", tick, tick / 10, np.zeros((24, 40, 3), np.uint8))]


def look_ahead(inference: Inference | None = None) -> LookAhead:
    settings = Settings(_env_file=None, ticks_in_flight=IN_FLIGHT)  # type: ignore[call-arg]
    gate: Any = OpenGate()
    return LookAhead(settings, inference or fake_inference(1, 16), gate, StageClock(Metrics()))


def batch(index: int, reader: Any) -> OpenBatch:
    return OpenBatch(Batch(index, {}), [], 10.0, reader)


async def every(*batches: OpenBatch) -> AsyncGenerator[OpenBatch]:
    for each in batches:
        yield each


async def collect(look: LookAhead, *batches: OpenBatch, into: list[tuple[int, int]]) -> None:
    """Batch and index of every tick."""
    async with aclosing(look.ticks(every(*batches))) as coming:
        async for tick in coming:
            into += [(tick.of.batch.index, tick.index)]


async def test_ticks_of_all_batches_come_in_order() -> None:
    seen: list[tuple[int, int]] = []
    await collect(look_ahead(), batch(3, FakeReader()), batch(4, FakeReader()), into=seen)
    assert seen == [(index, tick) for index in (3, 4) for tick in range(TICKS)]


async def test_the_next_batch_is_read_while_the_last_ticks_of_this_one_are_worked_on() -> None:
    first, second = FakeReader(), FakeReader()
    async with aclosing(look_ahead().ticks(every(batch(0, first), batch(1, second)))) as coming:
        async for tick in coming:
            if tick.of.reader is first and tick.index == TICKS - 1:
                break
        while len(second.read_ticks) < IN_FLIGHT - 1:
            await asyncio.sleep(0.001)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert second.read_ticks == list(range(IN_FLIGHT - 1))  # this tick is the one in flight beside them


async def test_a_broken_file_is_said_after_all_ticks_before_it() -> None:
    seen: list[tuple[int, int]] = []
    with pytest.raises(VideoError, match="broken"):
        await collect(look_ahead(), batch(0, FakeReader()), batch(1, FakeReader(breaks_at=2)), into=seen)
    assert seen == [*((0, tick) for tick in range(TICKS)), (1, 0), (1, 1)]


@pytest.mark.parametrize("steps", range(12))
async def test_whenever_it_is_left_nothing_runs_on_and_every_slot_is_back(steps: int) -> None:
    inference = fake_inference(1, 16, delay_s=0.002)
    before = asyncio.all_tasks()
    seen: list[tuple[int, int]] = []
    leaving = asyncio.create_task(
        collect(look_ahead(inference), batch(0, FakeReader()), batch(1, FakeReader(breaks_at=1)), into=seen)
    )
    while len(seen) < TICKS - 1:
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert asyncio.all_tasks() == before
    assert inference.detector.taken == 0  # type: ignore[attr-defined]
