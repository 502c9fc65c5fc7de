from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from orchestrator.batch import BatchReader, CameraFile
from orchestrator.decode import probe
from orchestrator.media import SubVideo
from orchestrator.metrics import Metrics, StageClock
from tests.orchestrator.videos import write_video


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as opened:
        yield opened


@pytest.fixture
def reader(tmp_path: Path, pool: ThreadPoolExecutor) -> Iterator[BatchReader]:
    """c1 lasts 24 ticks, c2 ends after 12."""
    files = []
    for camera, frames in (("c1", 24), ("c2", 12)):
        path = write_video(tmp_path / f"{camera}.mp4", frames)
        sub_video = SubVideo(camera, 1, f"{camera}/sub_video_01.mp4", "sub_video_01.mp4", path.stat().st_size, "")
        files.append(CameraFile(sub_video, path, probe(path)))
    with BatchReader(files, 12.0, pool, StageClock(Metrics())) as opened:
        yield opened


async def test_a_batch_lasts_as_long_as_its_longest_camera(reader: BatchReader) -> None:
    assert (reader.ticks, reader.ticks_of("c1"), reader.ticks_of("c2")) == (24, 24, 12)
    images = np.zeros((2, 48, 80, 3), np.uint8)
    cameras = [[frame.camera_id for frame in await reader.read(tick, images)] for tick in range(24)]
    assert cameras == [["c1", "c2"]] * 12 + [["c1"]] * 12


async def test_frames_and_rows_are_of_the_same_moment(reader: BatchReader) -> None:
    images = np.zeros((2, 48, 80, 3), np.uint8)
    for tick in range(5):
        for row, frame in enumerate(await reader.read(tick, images)):
            assert (frame.frame_index, frame.media_time_s) == (tick, pytest.approx(tick / 12))
            assert images[row].mean() == pytest.approx(frame.pixels.mean(), abs=3)


async def test_a_cancelled_read_ends_only_when_no_thread_writes_any_more(
    reader: BatchReader, pool: ThreadPoolExecutor
) -> None:
    gate = threading.Event()
    for _ in range(2):
        pool.submit(gate.wait)
    images = np.zeros((2, 48, 80, 3), np.uint8)
    read = asyncio.create_task(reader.read(0, images))
    await asyncio.sleep(0.05)
    read.cancel()
    await asyncio.sleep(0.05)
    assert not read.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await read
    assert images.any(axis=(1, 2, 3)).all()
