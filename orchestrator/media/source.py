"""What a place that holds sub-videos can do, and how sub-videos are named there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_FILENAME = re.compile(r"sub_video_(\d{2,})\.mp4")


@dataclass(frozen=True, slots=True)
class SubVideo:
    """One camera's file of one batch, as the listing told."""

    camera_id: str
    index: int
    """From 1, as in the key."""
    key: str
    filename: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does."""


class VideoSource(Protocol):
    """Where sub-videos come from."""

    @property
    def location(self) -> str:
        """The place in words, for messages and as part of a cached file's identity; holds no secret."""
        ...

    async def list_sub_videos(self, camera_id: str, prefix: str) -> tuple[SubVideo, ...]:
        """A camera's sub-videos directly under ``prefix``, by rising index; other files are passed over.

        Raises:
            StorageError: the place cannot be reached; ``StorageAccessError`` where it refuses.
        """
        ...

    async def fetch(self, sub_video: SubVideo, target: Path) -> None:
        """Writes the sub-video to ``target``; size and ETag are verified before it returns.

        Raises:
            StorageError: as above, or the content arrived damaged, after all tries.
            StorageAccessError: as above, or the content was changed after it was listed.
        """
        ...

    async def signed_url(self, sub_video: SubVideo, ttl_s: float) -> str:
        """Where a client may fetch the sub-video by itself for ``ttl_s`` seconds.

        Raises:
            StorageAccessError: the place has no URLs, or no credentials to sign them with.
        """
        ...

    async def close(self) -> None:
        """Frees connections; harmless when repeated."""
        ...


def sub_video_index(filename: str) -> int | None:
    """The number in ``sub_video_01.mp4`` (from 1), or None for any other file."""
    match = _FILENAME.fullmatch(filename)
    if match is None:
        return None
    index = int(match[1])
    return index if index > 0 and filename == f"sub_video_{index:02d}.mp4" else None
