"""Sub-videos in a local folder that is laid out like the bucket."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from orchestrator.errors import StorageAccessError, StorageError
from orchestrator.media.source import SubVideo, sub_video_index


class FolderVideoSource:
    """Reads ``{folder}/{prefix}/sub_video_01.mp4`` and so on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def location(self) -> str:
        """The folder."""
        return f"folder {self._folder}"

    async def list_sub_videos(self, camera_id: str, prefix: str) -> tuple[SubVideo, ...]:
        """See ``VideoSource``; a missing prefix is an empty one."""
        return await asyncio.to_thread(self._list, camera_id, prefix)

    async def fetch(self, sub_video: SubVideo, target: Path) -> None:
        """See ``VideoSource``; the ETag is the file's size and modification time."""
        await asyncio.to_thread(self._copy, sub_video, target)

    async def signed_url(self, sub_video: SubVideo, ttl_s: float) -> str:  # noqa: ARG002
        """Always ``StorageAccessError``: nobody serves a folder."""
        raise StorageAccessError(f"{sub_video.key!r} lies in {self.location}, which has no URLs")

    async def close(self) -> None:
        """Nothing to free."""

    def _list(self, camera_id: str, prefix: str) -> tuple[SubVideo, ...]:
        folder = self._inside(prefix)
        try:
            paths = list(folder.iterdir()) if folder.is_dir() else []
            found = [_describe(camera_id, prefix, path) for path in paths if sub_video_index(path.name) is not None]
        except OSError as error:
            raise StorageAccessError(f"{folder} cannot be listed: {error.strerror}") from error
        return tuple(sorted(found, key=lambda sub_video: sub_video.index))

    def _copy(self, sub_video: SubVideo, target: Path) -> None:
        source = self._inside(sub_video.key)
        try:
            shutil.copyfile(source, target)
            changed = _etag(source) != sub_video.etag or target.stat().st_size != sub_video.size
        except FileNotFoundError as error:
            raise StorageAccessError(f"{source} is not there any more") from error
        except OSError as error:
            raise StorageError(f"{source} cannot be copied to {target}: {error.strerror}") from error
        if changed:
            raise StorageAccessError(f"{source} was changed after it was listed")

    def _inside(self, key: str) -> Path:
        path = (self._folder / key).resolve()
        if not path.is_relative_to(self._folder):
            raise StorageAccessError(f"{key!r} leads out of {self._folder}")
        return path


def _describe(camera_id: str, prefix: str, path: Path) -> SubVideo:
    return SubVideo(
        camera_id=camera_id,
        index=sub_video_index(path.name) or 0,
        key=f"{prefix.strip('/')}/{path.name}",
        filename=path.name,
        size=path.stat().st_size,
        etag=_etag(path),
    )


def _etag(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"
