"""The loop over sub-video batches: the only file that knows the order of the stages.

For each batch: fetch (the next one's files are already on their way) -> announce -> for each tick decode, detect,
embed, associate, publish, store -> checkpoint; after the last one, a second look at all identities. Decode and
inference of later ticks, those of the next batch among them, run while earlier ones are associated; results leave in
order. What is held at once is bounded by ``ticks_in_flight``, whatever the length of the video.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import replace
from itertools import zip_longest

from orchestrator import tasks
from orchestrator.association import Associator, CameraResult
from orchestrator.batch import BatchReader, CameraFile, probe_file
from orchestrator.checkpoint import RunState
from orchestrator.control import TaskControl
from orchestrator.correction import NamedStretch, StoredTracks, name_again
from orchestrator.decode import processing_rate
from orchestrator.earlier import count_earlier
from orchestrator.errors import CheckpointError
from orchestrator.events import BatchPayload, BatchProcessingComplete, CorrectionsPayload, IdentityCorrected
from orchestrator.history.rows import Clock
from orchestrator.history.writer import HistoryWriter
from orchestrator.identity.gallery import Gallery, Look
from orchestrator.identity.ids import prefix_of
from orchestrator.identity.recording import sample_step
from orchestrator.identity.returning import Forgotten
from orchestrator.intake import CameraInput
from orchestrator.log import bind
from orchestrator.lookahead import LookAhead, OpenBatch, Tick
from orchestrator.media import Batch, SubVideo, batches_before, plan_batches
from orchestrator.messages import corrections_of, media_available, sub_video_ticks, tracking_update
from orchestrator.metrics import StageClock
from orchestrator.progress import Progress
from orchestrator.recall import Recall, Subject
from orchestrator.services import Services
from orchestrator.tasks import Task, TaskStatus

logger = logging.getLogger(__name__)


class Pipeline:
    """Runs one attempt at a task, from its last checkpoint to its end."""

    def __init__(self, services: Services, task: Task, control: TaskControl, progress: Progress) -> None:
        """``task`` is as its attempt began; raises ``UnknownEnvironmentError`` or ``UnknownCameraError``."""
        self._services, self._task, self._control, self._progress = services, task, control, progress
        self._settings = settings = services.settings
        self._environment = services.site.environment(task.environment_id)
        self._cameras = self._environment.select(task.cameras)
        self._clock = StageClock(services.metrics)
        self._look_ahead = LookAhead(settings, services.inference, control, self._clock)
        model = services.inference.embedder.model
        self._gallery = Gallery(settings, self._environment.id, str(model))
        self._origin = task.recorded_from or task.created_at
        self._writer = HistoryWriter(
            services.pool,
            task,
            model,
            recorded_from=self._origin,
            embedding_window=settings.gallery_refresh_frames,
        )
        subject = Subject(task.id, prefix_of(task.id), model, [camera.id for camera in self._cameras])
        self._recall = Recall(subject, self._gallery, services.pool, settings.reid_similarity)
        self._associator: Associator | None = None
        self._state: RunState | None = None
        self._decoders = ThreadPoolExecutor(len(self._cameras), "decode")
        self._cpu = ThreadPoolExecutor(1, "associate")
        self._began_s = time.monotonic()
        self._frames_before = 0
        self._batches = (0, 0)
        """Done, total."""

    async def run(self) -> None:
        """Processes every batch and ends the task as COMPLETED.

        Raises:
            SpotOnError: what went wrong, fit to be shown; rows and messages of all ticks before it are stored.
            TaskCancelledError: the task was cancelled.
        """
        async with AsyncExitStack() as stack:
            for pool in (self._decoders, self._cpu):
                stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            await stack.enter_async_context(self._gallery)
            await stack.enter_async_context(self._recall)
            await stack.enter_async_context(self._writer)
            await self._run_batches(await self._plan())
            if self._settings.second_pass and self._state is not None:
                await self._look_again(self._state)
        await self._progress.enter(TaskStatus.COMPLETED, **self._report("completed"))

    async def _plan(self) -> Sequence[Batch]:
        """The batches still to do; takes up the state of the last checkpoint."""
        task = self._task
        listed = await plan_batches(
            self._services.source, self._environment, self._cameras, task.start_batch, task.end_batch
        )
        batches = [batch for batch in listed if any(batch.sub_videos.values())]
        next_batch = await self._take_up()
        done = sum(batch.index < next_batch for batch in batches)
        self._batches = (done, len(batches))
        absent = [
            f"{camera_id} has no file for batch {batch.index}"
            for batch in listed
            for camera_id, sub_video in batch.sub_videos.items()
            if sub_video is None
        ]
        await self._progress.note(total_sub_video_batches=len(batches), details={"absent": absent} if absent else {})
        if self._state is None and task.start_batch:
            await self._count_before(task.start_batch)
        return batches[done:]

    async def _count_before(self, start_batch: int) -> None:
        """Begins behind the ticks of the batches that are left out, as frames and times are counted over all."""
        earlier = await batches_before(self._services.source, self._cameras, start_batch)
        if earlier:
            await self._progress.note(current_step=f"counting the frames before sub-video batch {start_batch}")
            rate, ticks = await count_earlier(earlier, self._target_fps, self._fetch_batch, self._services.pool)
            self._state = RunState(rate, next_tick=ticks, frames=0, association=b"")

    async def _fetch_batch(self, batch: Batch) -> tuple[Sequence[CameraFile], ExitStack]:
        await self._control.gate()
        return await self._start_fetch([batch])

    @property
    def _target_fps(self) -> float:
        return self._environment.target_fps or self._settings.target_fps

    async def _take_up(self) -> int:
        """Restores the last checkpoint and returns the batch to go on with; 0 where there is none."""
        checkpoint = await self._writer.load_checkpoint()
        if checkpoint is None:
            return 0
        logger.info("resuming with batch %d", checkpoint.next_batch)
        self._state = RunState.from_bytes(checkpoint.state)
        self._frames_before = self._state.frames
        await self._say_complete(checkpoint.next_batch - 1)
        return checkpoint.next_batch

    async def _run_batches(self, batches: Sequence[Batch]) -> None:
        await self._await_batch(batches[0] if batches else None)
        following = {batch.index: after for batch, after in zip_longest(batches, batches[1:])}
        async with aclosing(self._look_ahead.ticks(self._open(batches))) as coming:
            async for tick in coming:
                with bind(batch=tick.of.batch.index):
                    await self._control.gate()
                    if tick.index == 0:
                        await self._begin_batch(tick.of)
                    await self._finish_tick(tick)
                    if tick.index + 1 == tick.of.reader.ticks:
                        await self._close_batch(tick.of.batch)
                        await self._await_batch(following[tick.of.batch.index])

    async def _open(self, batches: Sequence[Batch]) -> AsyncGenerator[OpenBatch]:
        """Opens each batch's files once those of the batch before it are read; the next one's are fetched meanwhile."""
        rate = self._state.rate if self._state else None
        fetch = self._start_fetch(batches[:1])
        try:
            for position, batch in enumerate(batches):
                files, holds = await fetch
                with holds:
                    fetch = self._start_fetch(batches[position + 1 : position + 2])
                    rate = rate or processing_rate([file.probe.fps for file in files], self._target_fps)
                    with BatchReader(files, rate, self._decoders, self._clock) as reader:
                        yield OpenBatch(batch, files, rate, reader)
        finally:
            fetch.cancel()
            for fetched in await asyncio.gather(fetch, return_exceptions=True):
                if not isinstance(fetched, BaseException):
                    fetched[1].close()

    def _start_fetch(self, batches: Sequence[Batch]) -> asyncio.Task[tuple[Sequence[CameraFile], ExitStack]]:
        found = [item for batch in batches for item in batch.sub_videos.values() if item is not None]
        return asyncio.create_task(self._fetch(found))

    async def _fetch(self, sub_videos: Sequence[SubVideo]) -> tuple[Sequence[CameraFile], ExitStack]:
        """The files of one batch, in the cache and held there until the stack is closed."""
        with ExitStack() as holds, self._clock.wait("fetch"):
            files = await asyncio.gather(*(self._fetch_one(sub_video, holds) for sub_video in sub_videos))
            return files, holds.pop_all()

    async def _fetch_one(self, sub_video: SubVideo, holds: ExitStack) -> CameraFile:
        cache = self._services.cache
        path = await cache.path_of(self._environment.id, sub_video)
        holds.enter_context(cache.hold(path))
        return await probe_file(sub_video, path, self._decoders)

    async def _await_batch(self, batch: Batch | None) -> None:
        if batch is not None:
            step = f"fetching sub-video batch {batch.index}"
            await self._progress.enter(TaskStatus.DOWNLOADING, current_step=step)

    async def _begin_batch(self, of: OpenBatch) -> None:
        """Makes ready for the ticks of a batch and announces its files."""
        state = self._state = self._state or RunState(of.rate, next_tick=0, frames=0, association=b"")
        if self._associator is None:
            loop = asyncio.get_running_loop()
            self._associator = await loop.run_in_executor(self._cpu, self._restore, state)
            await self._gallery.rewind(f"{prefix_of(self._task.id)}-", self._time_of(state))
        index = of.batch.index
        announcement = media_available(self._task, index, state.next_tick, of.rate, of.files, of.reader)
        await self._services.events.publish(self._task.id, announcement)
        etags = {file.camera_id: file.sub_video.etag for file in of.files}
        await self._writer.begin_batch(index, state.next_tick, of.rate, etags)
        await self._writer.announce(index, state.next_tick, of.rate, sub_video_ticks(of.files, of.reader))
        await self._progress.enter(TaskStatus.PROCESSING, current_step=_processing(of.batch))

    def _restore(self, state: RunState) -> Associator:
        homographies = self._services.homographies[self._environment.id]
        associator = Associator(
            self._settings, self._environment, self._cameras, homographies, state.rate, self._task.id, recalls=True
        )
        if state.association:
            try:
                associator.restore(state.association)
            except ValueError as error:
                raise CheckpointError(f"cannot go on from the checkpoint: {error}; start the task anew") from error
            embedder = self._services.inference.embedder
            if state.model not in {"", str(embedder.model)}:
                logger.warning("looks of %s are forgotten, for now %s embeds", state.model, embedder.model)
                associator.change_model(embedder.dimension)
        return associator

    async def _finish_tick(self, tick: Tick) -> None:
        """Associates, publishes and stores one tick."""
        (state, associator), batch = self._standing, tick.of.batch
        loop = asyncio.get_running_loop()
        answers = self._recall.answers()
        results, looks = await loop.run_in_executor(self._cpu, self._associate, state, associator, tick, answers)
        self._recall.ask(*associator.newcomers(), Clock(self._origin, state.rate))
        update = tracking_update(self._environment, batch.index, state.next_tick, tick.index, tick.frames, results)
        with self._clock.wait("publish"):
            await self._services.events.publish(self._task.id, update)
        with self._clock.wait("store"):
            await self._writer.add(state.next_tick, tick.frames, results)
            self._gallery.note(looks, self._time_of(state))
            if state.next_tick % max(1, round(state.rate)) == 0:
                await self._gallery.flush()
        for result in results:
            self._services.metrics.frames.labels(result.camera_id).inc()
            self._services.metrics.tracks.labels(result.camera_id).inc(len(result.tracks))
        self._state = replace(state, next_tick=state.next_tick + 1, frames=state.frames + len(tick.frames))
        await self._progress.step(**self._report(_processing(batch), (tick.index + 1) / tick.of.reader.ticks))

    def _associate(
        self, state: RunState, associator: Associator, tick: Tick, answers: Mapping[int, Sequence[Forgotten]]
    ) -> tuple[Sequence[CameraResult], Sequence[Look]]:
        with self._clock.measure("associate"):
            inputs = [
                CameraInput(frame.camera_id, frame.size_hw, detections, embeddings)
                for frame, detections, embeddings in zip(tick.frames, tick.detections, tick.embeddings, strict=True)
            ]
            associator.recall(answers)
            return associator.update(state.next_tick, inputs), associator.refreshed()

    def _time_of(self, state: RunState) -> float:
        """When the next tick was, seconds since 1970."""
        return self._origin.timestamp() + state.next_tick / state.rate

    @property
    def _standing(self) -> tuple[RunState, Associator]:
        if self._state is None or self._associator is None:
            raise RuntimeError("a batch begins before its ticks")
        return self._state, self._associator

    async def _close_batch(self, batch: Batch) -> None:
        """Says that the batch is complete once it is stored; a resumed run says it again, and the log drops repeats."""
        state, associator = self._standing
        association = await asyncio.get_running_loop().run_in_executor(self._cpu, associator.snapshot)
        model = str(self._services.inference.embedder.model)
        state = self._state = replace(state, association=association, model=model)
        with self._clock.wait("store"):
            await self._gallery.flush()
            await self._writer.checkpoint(batch.index, state.next_tick, state.to_bytes(), associator.bindings())
        await self._say_complete(batch.index)
        self._batches = (self._batches[0] + 1, self._batches[1])
        await self._progress.note(**self._report(f"finished sub-video batch {batch.index}"))

    async def _say_complete(self, batch_index: int) -> None:
        message = BatchProcessingComplete(payload=BatchPayload(sub_video_batch_index=batch_index))
        await self._services.events.publish(self._task.id, message)

    async def _look_again(self, state: RunState) -> None:
        """Corrects identities over the whole recording; done again by a resumed run, it comes to the same."""
        await self._control.gate()
        await self._progress.note(**self._report("second pass over all identities"))
        loop = asyncio.get_running_loop()
        if self._associator is None:
            self._associator = await loop.run_in_executor(self._cpu, self._restore, state)
        names = self._associator.bindings()
        camera_ids = [camera.id for camera in self._cameras]
        with self._clock.wait("load"):
            tracks = await self._writer.load_tracks(camera_ids, sample_step(state.rate))
        stretches = await loop.run_in_executor(self._cpu, self._name_again, state.rate, tracks, names)
        with self._clock.wait("store"):
            await self._writer.rename(state.rate, stretches)
        corrections = corrections_of(stretches, self._associator.renamed())
        if corrections:
            message = IdentityCorrected(payload=CorrectionsPayload(corrections=corrections))
            await self._services.events.publish(self._task.id, message)
        logger.info("second pass: %d of %d stretches renamed", len(corrections), len(stretches))

    def _name_again(
        self, rate: float, tracks: Mapping[str, StoredTracks], names: Mapping[tuple[str, int], str]
    ) -> list[NamedStretch]:
        homographies = self._services.homographies[self._environment.id]
        with self._clock.measure("second_pass"):
            return name_again(
                self._settings,
                self._environment,
                self._cameras,
                homographies,
                rate,
                tracks,
                names,
                prefix_of(self._task.id),
            )

    def _report(self, step: str, of_batch: float = 0.0) -> tasks.Progress:
        """Where the task stands, ``of_batch`` of the current batch done, and where its time went."""
        done, total = self._batches
        frames = self._state.frames if self._state else 0
        processed, seconds = frames - self._frames_before, time.monotonic() - self._began_s
        throughput = {
            "frames": processed,
            "seconds": round(seconds, 3),
            "frames_per_second": round(processed / seconds, 3),
            "stages": self._clock.table(processed),
        }
        return {
            "current_step": step,
            "progress": (done + of_batch) / max(total, 1),
            "completed_sub_video_batches": done,
            "processed_frames": frames,
            "details": {"throughput": throughput},
        }


def _processing(batch: Batch) -> str:
    return f"processing sub-video batch {batch.index}"
