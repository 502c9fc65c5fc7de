"""Which sub-videos a camera has, remembered for a moment, and which of them belong to a task."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from api.problems import NotFoundError
from orchestrator.errors import StorageError, UnknownCameraError
from orchestrator.media import SubVideo, VideoSource
from orchestrator.site import Camera, Environment
from orchestrator.tasks import Task

REMEMBER_S = 10.0
"""A player asks for one file in many pieces; the store is asked for the list once in this time."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    sub_videos: tuple[SubVideo, ...] | None = None
    asked_at: float = float("-inf")


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
        async with entry.asking:
            if entry.sub_videos is None or time.monotonic() - entry.asked_at > REMEMBER_S:
                entry.sub_videos = await self._ask(camera, entry.sub_videos)
                entry.asked_at = time.monotonic()
            return entry.sub_videos

    async def _ask(self, camera: Camera, known: tuple[SubVideo, ...] | None) -> tuple[SubVideo, ...]:
        try:
            return await self._source.list_sub_videos(camera.id, camera.prefix)
        except StorageError as error:
            if known is None or not error.retryable:
                raise
            logger.warning("sub-videos of camera %s stay as last listed: %s", camera.id, error)
            return known

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
