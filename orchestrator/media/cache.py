"""Local copies of sub-videos, shared by the processes of one machine.

A file's name holds a digest of where it came from and of its ETag, so that a changed object is another file. Files
appear by atomic rename only. Locks are advisory (``flock``): one of a fixed set of lock files while a file is fetched,
a shared one on the file itself while it is held.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from orchestrator.errors import StorageError
from orchestrator.media.source import SubVideo, VideoSource
from orchestrator.settings import Settings

_LOG = logging.getLogger(__name__)
_LOCK_POLL_S: Final = 0.05
_ABANDONED_S: Final = 3600.0
_GIB: Final = 1 << 30


class VideoCache:
    """Fetches each sub-video once, however many tasks and processes ask for it."""

    def __init__(self, settings: Settings, source: VideoSource) -> None:
        """Keeps its files in ``settings.cache_dir``, at most ``cache_max_gib`` beyond those of the grace period."""
        self._source = source
        self._directory = settings.cache_dir.absolute()
        self._max_bytes = int(settings.cache_max_gib * _GIB)
        self._grace_s = settings.cache_grace_s

    async def path_of(self, environment_id: str, sub_video: SubVideo) -> Path:
        """The local file of a sub-video, fetched if it is not there, and marked as used now.

        Raises:
            StorageError: it cannot be fetched or written.
        """
        path = self._directory / self._name_of(environment_id, sub_video)
        try:
            if not _use(path, sub_video.size):
                await self._fetch_once(sub_video, path)
                await asyncio.to_thread(self.evict, path)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        return path

    def has(self, environment_id: str, sub_video: SubVideo) -> bool:
        """Whether ``path_of`` would find the file here."""
        return _use(self._directory / self._name_of(environment_id, sub_video), sub_video.size)

    @contextmanager
    def hold(self, path: Path) -> Iterator[None]:
        """Keeps a cached file from being evicted by any process.

        Raises:
            FileNotFoundError: it was evicted before; ask ``path_of`` again.
        """
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def evict(self, keep: Path | None = None) -> None:
        """Deletes the files unused for longest until the rest fit, save ``keep``, those held, and those in their grace
        period.
        """
        now = time.time()
        for part in self._directory.glob("*.part"):
            if now - _status(part).st_mtime > _ABANDONED_S:
                part.unlink(missing_ok=True)
        videos = sorted(((_status(path), path) for path in self._directory.glob("*.mp4")), key=lambda v: v[0].st_mtime)
        surplus = sum(status.st_size for status, _ in videos) - self._max_bytes
        for status, path in videos:
            if surplus <= 0 or now - status.st_mtime < self._grace_s:
                break
            if path != keep and _unlink_unless_held(path):
                _LOG.info("evicted %s", path.name)
                surplus -= status.st_size
        if surplus > 0:
            _LOG.warning("the video cache is %.2f GiB above its limit with files still in use", surplus / _GIB)

    async def _fetch_once(self, sub_video: SubVideo, path: Path) -> None:
        """Fetches unless another task or process has done so by the time that this one gets the lock."""
        locks = self._directory / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        async with _locked(locks / f"{path.stem[-2:]}.lock"):
            if _use(path, sub_video.size):
                return
            try:
                await self._source.fetch(sub_video, part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def _name_of(self, environment_id: str, sub_video: SubVideo) -> str:
        identity = (self._source.location, environment_id, sub_video.camera_id, sub_video.key, sub_video.etag)
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:20]
        readable = f"{environment_id}_{sub_video.camera_id}_{Path(sub_video.filename).stem}"[:100]
        return f"{re.sub(r'[^A-Za-z0-9_-]', '-', readable)}_{digest}.mp4"


def _use(path: Path, size: int) -> bool:
    """Marks a cached file as used now; False where it is not there or not whole."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _status(path: Path) -> os.stat_result:
    """A file's status; one that another process has just deleted counts as empty and new."""
    try:
        return path.stat()
    except FileNotFoundError:
        return os.stat_result((0, 0, 0, 0, 0, 0, 0, 0, int(time.time()), 0))


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
        yield


def _unlink_unless_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (FileNotFoundError, BlockingIOError):
        return False
    return True
