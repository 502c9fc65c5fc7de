"""One sub-video batch as a run of ticks: every camera's frames at the same moment, decoded in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.decode import FrameReader, VideoProbe, frames_of_ticks, probe
from orchestrator.errors import VideoError
from orchestrator.media import SubVideo
from orchestrator.metrics import StageClock
from orchestrator.values import Frame, Int64, UInt8


@dataclass(frozen=True, slots=True)
class CameraFile:
    """The sub-video of one camera in one batch, on disk and probed."""

    sub_video: SubVideo
    path: Path
    probe: VideoProbe

    @property
    def camera_id(self) -> str:
        """Whose file."""
        return self.sub_video.camera_id


async def probe_file(sub_video: SubVideo, path: Path, pool: ThreadPoolExecutor) -> CameraFile:
    """Probes one file in a thread of ``pool``.

    Raises:
        VideoError: it cannot be read; named as the object store has it.
    """
    with _named(sub_video):
        return CameraFile(sub_video, path, await asyncio.get_running_loop().run_in_executor(pool, probe, path))


class BatchReader:
    """Reads the ticks of one batch in order, all cameras at once, into the rows of an image slot.

    Tick k lies k / rate seconds after the start of each file; the batch lasts as long as its longest camera.
    """

    def __init__(self, files: Sequence[CameraFile], rate: float, pool: ThreadPoolExecutor, clock: StageClock) -> None:
        self._files, self._pool, self._clock = files, pool, clock
        self._frames: list[Int64] = [frames_of_ticks(file.probe, rate) for file in files]
        self._readers: list[FrameReader] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for file, frames in zip(self._files, self._frames, strict=True):
            with _named(file.sub_video):
                reader = FrameReader(file.path, file.camera_id, file.probe, frames)
            self._stack.callback(reader.close)
            self._readers.append(reader)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def ticks(self) -> int:
        """Ticks in the batch."""
        return max((len(frames) for frames in self._frames), default=0)

    def ticks_of(self, camera_id: str) -> int:
        """Ticks in which one camera takes part."""
        return {file.camera_id: len(frames) for file, frames in zip(self._files, self._frames, strict=True)}[camera_id]

    def media_times_of(self, camera_id: str) -> list[float]:
        """[K] the presentation time of each tick's frame in one camera's file, seconds."""
        for file, frames in zip(self._files, self._frames, strict=True):
            if file.camera_id == camera_id:
                times: list[float] = file.probe.frame_times_s[frames].round(6).tolist()
                return times
        raise KeyError(camera_id)

    async def read(self, tick: int, images: UInt8) -> list[Frame]:
        """The frames of all cameras that have not ended; the i-th is also written, letterboxed, to ``images[i]``.

        Args:
            tick: index within the batch; ticks are read in rising order.
            images: [cameras, H, W, 3] writable.

        Raises:
            VideoError: a file breaks at this tick; names file and frame.
        """
        loop = asyncio.get_running_loop()
        live = [camera for camera, frames in enumerate(self._frames) if tick < len(frames)]
        reads = asyncio.gather(
            *(loop.run_in_executor(self._pool, self._read, cam, tick, images[row]) for row, cam in enumerate(live)),
            return_exceptions=True,
        )
        try:
            outcomes = await asyncio.shield(reads)
        except asyncio.CancelledError:
            await reads  # neither the rows nor the readers are given up while a thread still uses them
            raise
        return [_frame(outcome) for outcome in outcomes]

    def _read(self, camera: int, tick: int, image: UInt8) -> Frame:
        with self._clock.measure("decode"), _named(self._files[camera].sub_video):
            return self._readers[camera].read(tick, image)


@contextmanager
def _named(sub_video: SubVideo) -> Iterator[None]:
    """Names the user's file in errors rather than its copy in the cache."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{sub_video.key} (camera {sub_video.camera_id})", error.problem) from error


def _frame(outcome: Frame | BaseException) -> Frame:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
