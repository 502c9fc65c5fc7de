"""What lies before the first batch that a task is asked for: its frames and times are counted over all batches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack

from orchestrator.batch import CameraFile
from orchestrator.decode import frames_of_ticks, processing_rate
from orchestrator.history.files import known_ticks
from orchestrator.history.pool import Pool
from orchestrator.media import Batch

Fetch = Callable[[Batch], Awaitable[tuple[Sequence[CameraFile], ExitStack]]]
"""A batch's files, probed, and held until the stack is closed."""


async def count_earlier(batches: Sequence[Batch], target_fps: float, fetch: Fetch, pool: Pool) -> tuple[float, int]:
    """The rate that a task over all batches has, ticks a second, and the number of ticks in these batches.

    The files of the first of them are looked at, since they decide the rate; those of others are where no task has
    processed them at this rate.

    Args:
        batches: before the first one asked for, each with at least one file; not empty.
        target_fps: rate to come near to.
        fetch: brings a batch's files.
        pool: where history is.

    Raises:
        StorageError, VideoError: a file cannot be had or read.
        HistoryError: the database does not answer.
    """
    rate, ticks = 0.0, 0
    for batch in batches:
        known = await known_ticks(pool, batch.index, _etags(batch), rate) if rate else None
        if known is None:
            files, holds = await fetch(batch)
            with holds:
                rate = rate or processing_rate([file.probe.fps for file in files], target_fps)
                known = max(len(frames_of_ticks(file.probe, rate)) for file in files)
        ticks += known
    return rate, ticks


def _etags(batch: Batch) -> Mapping[str, str]:
    return {camera_id: found.etag for camera_id, found in batch.sub_videos.items() if found is not None}
