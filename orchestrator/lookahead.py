"""Decode and inference ahead of association: several ticks in flight, over the ends of batches, handed on in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from orchestrator.batch import BatchReader, CameraFile
from orchestrator.control import TaskControl
from orchestrator.inference.client import Inference
from orchestrator.inference.protocols import ImageSlot
from orchestrator.inference.selection import Chosen, choose
from orchestrator.media import Batch
from orchestrator.metrics import StageClock
from orchestrator.settings import Settings
from orchestrator.values import Detections, Float32, Frame


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose files are at hand."""

    batch: Batch
    files: Sequence[CameraFile]
    rate: float
    """Ticks a second."""
    reader: BatchReader
    """Stays open until its last tick is read."""


@dataclass(frozen=True, slots=True)
class Tick:
    """All cameras at one moment, after inference: the i-th detections and embeddings belong to the i-th frame."""

    of: OpenBatch
    index: int
    """Within the batch, from 0."""
    frames: Sequence[Frame]
    detections: Sequence[Detections]
    embeddings: Sequence[Float32]
    """[N_i, D] row by row with the detections; a row of zeros was not embedded."""


class LookAhead:
    """Turns open batches into ticks, at most ``ticks_in_flight`` of them begun and not yet done with."""

    def __init__(self, settings: Settings, inference: Inference, control: TaskControl, clock: StageClock) -> None:
        self._settings, self._control, self._clock = settings, control, clock
        self._detector, self._embedder = inference.detector, inference.embedder

    async def ticks(self, batches: AsyncGenerator[OpenBatch]) -> AsyncGenerator[Tick]:
        """The ticks of all batches in order; one counts as done with when the next is asked for.

        Close the iterator when leaving it; it closes ``batches``.

        Raises:
            VideoError, InferenceError, StorageError: at the tick that failed, after all ticks before it.
            TaskCancelledError: the task was cancelled.
        """
        room = asyncio.Semaphore(self._settings.ticks_in_flight)
        async with self._producing(batches, room) as coming:
            while (under_way := await coming.get()) is not None:
                yield await under_way.finishing
                room.release()

    @asynccontextmanager
    async def _producing(
        self, batches: AsyncGenerator[OpenBatch], room: asyncio.Semaphore
    ) -> AsyncIterator[asyncio.Queue[_UnderWay | None]]:
        """A queue of ticks under way, None at its end; on the way out nothing is left running."""
        coming: asyncio.Queue[_UnderWay | None] = asyncio.Queue()
        producer = asyncio.create_task(self._produce(batches, room, coming))
        try:
            yield coming
            await producer
        finally:
            left = [task for item in _drain(coming) if item is not None for task in (item.finding, item.finishing)]
            for task in (producer, *left):  # all before the first wait: a cancel may come in the middle of one
                task.cancel()
            await asyncio.gather(producer, *left, return_exceptions=True)

    async def _produce(
        self,
        batches: AsyncGenerator[OpenBatch],
        room: asyncio.Semaphore,
        coming: asyncio.Queue[_UnderWay | None],
    ) -> None:
        try:
            async with aclosing(batches):
                async for of in batches:
                    finding: asyncio.Task[_Found] | None = None
                    for index in range(of.reader.ticks):
                        await room.acquire()
                        finding = await self._begin(of, index, finding)
                        finishing = asyncio.create_task(self._finish(of, index, finding))
                        coming.put_nowait(_UnderWay(finding, finishing))
        finally:
            coming.put_nowait(None)

    async def _begin(self, of: OpenBatch, index: int, before: asyncio.Task[_Found] | None) -> asyncio.Task[_Found]:
        """Reads one tick and sends it on its way; ``before`` is the one before it in its batch."""
        await self._control.gate()
        slot = await self._detector.acquire()
        try:
            frames = await of.reader.read(index, slot.images)
        except BaseException:
            self._detector.release(slot)
            raise
        return asyncio.create_task(self._find(slot, frames, before))

    async def _find(self, slot: ImageSlot, frames: Sequence[Frame], before: asyncio.Task[_Found] | None) -> _Found:
        try:
            with self._clock.wait("detect"):
                detections = await self._detector.detect(slot, [frame.size_hw for frame in frames])
        finally:
            self._detector.release(slot)
        earlier = (await before).chosen if before else {}
        chosen = {
            frame.camera_id: choose(
                earlier.get(frame.camera_id, Chosen.nobody()),
                found.select(found.scores >= self._settings.detection_threshold),
                self._settings.embed_every,
            )
            for frame, found in zip(frames, detections, strict=True)
        }
        return _Found(frames, detections, chosen)

    async def _finish(self, of: OpenBatch, index: int, finding: asyncio.Task[_Found]) -> Tick:
        found = await finding
        with self._clock.wait("embed"):
            embeddings = await self._embed(found)
        return Tick(of, index, found.frames, found.detections, embeddings)

    async def _embed(self, found: _Found) -> Sequence[Float32]:
        """Embeds who is due of those that may start a track; the others are matched by place, and left zero."""
        threshold = self._settings.detection_threshold
        due = [
            np.flatnonzero(detections.scores >= threshold)[chosen.due]
            for detections, chosen in zip(found.detections, found.chosen.values(), strict=True)
        ]
        boxes = [detections.boxes[rows] for detections, rows in zip(found.detections, due, strict=True)]
        embeddings = [np.zeros((len(each), self._embedder.dimension), np.float32) for each in found.detections]
        for target, rows, values in zip(embeddings, due, await self._embedder.embed(found.frames, boxes), strict=True):
            target[rows] = values
        return embeddings


@dataclass(frozen=True, slots=True)
class _Found:
    """A tick after detection: the i-th detections belong to the i-th frame."""

    frames: Sequence[Frame]
    detections: Sequence[Detections]
    chosen: Mapping[str, Chosen]
    """By camera, in the order of the frames: whom to embed."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """The two halves of a tick's inference; the second waits for the first."""

    finding: asyncio.Task[_Found]
    finishing: asyncio.Task[Tick]


def _drain(queue: asyncio.Queue[_UnderWay | None]) -> list[_UnderWay | None]:
    return [queue.get_nowait() for _ in range(queue.qsize())]
