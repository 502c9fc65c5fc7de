"""Puts sub-videos into the object store, as whoever records them would."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.servers.seaweedfs import S3Access
from orchestrator.errors import SpotOnError
from orchestrator.media.source import sub_video_index
from orchestrator.site import Camera

UPLOADS_AT_ONCE = 4
OnUpload = Callable[[int, int], None]
"""Called with the files done and the files there are."""


class UploadError(SpotOnError):
    """The folder holds no usable videos, or an upload arrived as something else."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of the files."""

    sent: int
    kept: int
    """Already there with the same size and MD5."""
    removed: int
    """Left under a camera's prefix by another recording."""


def match_videos(cameras: Sequence[Camera], folder: Path) -> dict[str, dict[str, Path]]:
    """Finds each camera's sub-videos in a folder: camera id -> object key -> file; cameras without any are left out.

    For a camera, the first of these that exists: ``folder/<prefix>/sub_video_01.mp4 ...``, whose numbers are kept;
    ``folder/<camera id>/*.mp4`` in order of name, with digits as numbers; ``folder/<camera id>.mp4`` alone. The suffix
    may be in capitals.

    Raises:
        UploadError: there is no such folder, or no camera has a video; says where they are looked for.
    """
    if not folder.is_dir():
        raise UploadError(f"no such folder: {folder}")
    matched = {camera.id: found for camera in cameras if (found := _videos_of(camera, folder))}
    if not matched:
        first = cameras[0]
        raise UploadError(
            f"no videos for any camera in {folder}: expected {first.prefix}/sub_video_01.mp4, {first.id}/*.mp4 or "
            f"{first.id}.mp4, and so on for {', '.join(camera.id for camera in cameras)}"
        )
    return matched


def ignored_videos(
    cameras: Sequence[Camera], folder: Path, matched: Mapping[str, Mapping[str, Path]]
) -> tuple[Path, ...]:
    """The videos in the cameras' own folders that ``match_videos`` did not take, as ``sub_video_1.mp4``."""
    taken = {path for videos in matched.values() for path in videos.values()}
    found = {
        path: None for camera in cameras for name in (camera.prefix, camera.id) for path in _videos_in(folder / name)
    }
    return tuple(path for path in found if path not in taken)


def _videos_of(camera: Camera, folder: Path) -> dict[str, Path]:
    numbered = {f"{path.stem}.mp4": path for path in _videos_in(folder / camera.prefix)}
    kept = {f"{camera.prefix}/{name}": path for name, path in numbered.items() if sub_video_index(name) is not None}
    if kept:
        return kept
    named = _videos_in(folder / camera.id) or [path for path in _videos_in(folder) if path.stem == camera.id][:1]
    return {f"{camera.prefix}/sub_video_{index:02d}.mp4": path for index, path in enumerate(named, start=1)}


def _videos_in(folder: Path) -> list[Path]:
    """The videos directly in a folder, in the order of their names as people read them; none where it is missing."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.suffix.lower() == ".mp4" and path.is_file()), key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Text and numbers in turn, so that ``9 am`` comes before ``10 am``."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


async def upload(
    access: S3Access,
    prefixes: Sequence[str],
    files: Mapping[str, Path],
    on_upload: OnUpload = lambda _done, _total: None,
) -> Uploaded:
    """Makes the bucket hold exactly ``files`` (key -> file) under ``prefixes``; what is there already stays.

    Raises:
        UploadError: an object arrived with another MD5 than its file's.
    """
    async with access.create_client() as client:
        there: dict[str, tuple[int, str]] = {}
        for prefix in prefixes:
            there |= await _list(client, access.bucket, f"{prefix}/")
        stale = sorted(there.keys() - files.keys())
        for key in stale:
            await client.delete_object(Bucket=access.bucket, Key=key)
        gate, done = asyncio.Semaphore(UPLOADS_AT_ONCE), 0

        async def bring(key: str, path: Path) -> bool:
            nonlocal done
            async with gate:
                sent = await _put(client, access.bucket, key, path, there.get(key))
            done += 1
            on_upload(done, len(files))
            return sent

        sent = sum(await asyncio.gather(*(bring(key, path) for key, path in files.items())))
    return Uploaded(sent, len(files) - sent, len(stale))


async def _list(client: Any, bucket: str, prefix: str) -> dict[str, tuple[int, str]]:
    """Size and ETag of every object under a prefix."""
    found: dict[str, tuple[int, str]] = {}
    async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            found[entry["Key"]] = (int(entry["Size"]), entry["ETag"].strip('"'))
    return found


async def _put(client: Any, bucket: str, key: str, path: Path, there: tuple[int, str] | None) -> bool:
    size, md5 = await asyncio.to_thread(_fingerprint, path)
    if there == (size, md5):
        return False
    with path.open("rb") as body:
        answer = await client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="video/mp4")
    if answer["ETag"].strip('"') != md5:
        raise UploadError(f"{key}: the object store holds something else than {path} (ETag {answer['ETag']})")
    return True


def _fingerprint(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
