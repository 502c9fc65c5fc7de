"""Which sub-videos a camera has, remembered for a moment, and which of them belong to a task."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from api.problems import NotFoundError
from orchestrator.errors import StorageError, UnknownCameraError
from orchestrator.media import SubVideo, VideoSource
from orchestrator.site import Camera, Environment
from orchestrator.tasks import Task

REMEMBER_S = 10.0
"""A player asks for one file in many pieces; the store is asked for the list once in this time."""
PATIENCE_S = 1.0
"""For so long a new list is waited for where there is an old one."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    sub_videos: tuple[SubVideo, ...] | None = None
    asked_at: float = float("-inf")
    asking: asyncio.Task[tuple[SubVideo, ...]] | None = None


class Listings:
    """Lists the sub-videos of cameras, once however many ask; keeps the last list while the store is away."""

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._entries: dict[str, _Entry] = {}

    async def of_camera(self, camera: Camera) -> tuple[SubVideo, ...]:
        """The camera's sub-videos by index, at most ``REMEMBER_S`` old while the store answers.

        Raises:
            StorageError: the store does not answer, and it never did for this camera.
        """
        entry = self._entries.setdefault(camera.prefix, _Entry())
        now = time.monotonic()
        if entry.sub_videos is not None and now - entry.asked_at <= REMEMBER_S:
            return entry.sub_videos
        if entry.asking is None or entry.asking.done():
            entry.asked_at = now
            entry.asking = asyncio.create_task(self._ask(camera, entry), name=f"list sub-videos of {camera.id}")
            entry.asking.add_done_callback(_look_at)
        if entry.sub_videos is not None:
            done, _ = await asyncio.wait({entry.asking}, timeout=PATIENCE_S)
            if not done:
                entry.asked_at = time.monotonic()  # nobody else waits for this question
                return entry.sub_videos
        return await asyncio.shield(entry.asking)

    async def _ask(self, camera: Camera, entry: _Entry) -> tuple[SubVideo, ...]:
        try:
            entry.sub_videos = await self._source.list_sub_videos(camera.id, camera.prefix)
        except StorageError as error:
            if entry.sub_videos is None or not error.retryable:
                raise
            logger.warning("sub-videos of camera %s stay as last listed: %s", camera.id, error)
        return entry.sub_videos

    async def of_task(self, task: Task, environment: Environment, camera_id: str, filename: str) -> SubVideo:
        """The one sub-video of this task with this file name; the name is compared, never made into a path.

        Raises:
            UnknownCameraError: the task has no such camera.
            NotFoundError: the task has no such file.
        """
        cameras = {camera.id: camera for camera in environment.select(task.cameras)}
        if camera_id not in cameras:
            raise UnknownCameraError(f"task {task.id} has no camera {camera_id!r}, only {', '.join(cameras)}")
        first = task.start_batch or 0
        for sub_video in await self.of_camera(cameras[camera_id]):
            batch = sub_video.index - 1
            if sub_video.filename == filename and first <= batch and (task.end_batch is None or batch < task.end_batch):
                return sub_video
        raise NotFoundError(f"task {task.id} has no file {filename!r} of camera {camera_id}")


def _look_at(asking: asyncio.Task[tuple[SubVideo, ...]]) -> None:
    """Whoever waited was told; there may be nobody any more."""
    if not asking.cancelled():
        asking.exception()
