"""Which source the settings ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.errors import SettingsError
from orchestrator.media.folder import FolderVideoSource
from orchestrator.media.s3 import S3VideoSource
from orchestrator.media.source import VideoSource
from orchestrator.settings import Settings


@asynccontextmanager
async def open_video_source(settings: Settings) -> AsyncIterator[VideoSource]:
    """The bucket or folder that ``settings`` name, closed at the end.

    Raises:
        SettingsError: a folder is asked for and not named, or half of the S3 credentials is missing.
    """
    source = await _make(settings)
    try:
        yield source
    finally:
        await source.close()


async def _make(settings: Settings) -> VideoSource:
    if settings.video_source == "s3":
        return await S3VideoSource.open(settings)
    if settings.video_folder is None:
        raise SettingsError("SPOTON_VIDEO_FOLDER is needed when SPOTON_VIDEO_SOURCE is 'folder'")
    return FolderVideoSource(settings.video_folder)
