"""Which sub-videos belong together: batch i holds sub-video i + 1 of every camera."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import NoVideoError
from orchestrator.media.source import SubVideo, VideoSource
from orchestrator.site import Camera, Environment


@dataclass(frozen=True, slots=True)
class Batch:
    """The files that are processed together."""

    index: int
    """From 0."""
    sub_videos: Mapping[str, SubVideo | None]
    """By camera, in the order of the site file; None where the camera is absent from this batch."""


async def plan_batches(
    source: VideoSource,
    environment: Environment,
    cameras: Sequence[Camera],
    start_batch: int | None = None,
    end_batch: int | None = None,
) -> tuple[Batch, ...]:
    """Lists every camera's prefix and groups what is there; numbers missing in between are absences.

    The number of batches is the site file's, else the highest number found. ``end_batch`` is exclusive.

    Raises:
        NoVideoError: no camera has any sub-video, or none in the range asked for.
        StorageError: the source cannot be listed.
    """
    by_camera = await _list(source, cameras)
    found = max((max(numbers, default=0) for numbers in by_camera.values()), default=0)
    count = environment.sub_videos or found
    batches = range(count)[slice(start_batch, end_batch)]
    if not any(index + 1 in numbers for index in batches for numbers in by_camera.values()):
        raise NoVideoError(_nothing_found(source, environment, cameras, found, start_batch, end_batch))
    return tuple(_batch(index, by_camera) for index in batches)


async def batches_before(source: VideoSource, cameras: Sequence[Camera], start_batch: int) -> tuple[Batch, ...]:
    """The batches before ``start_batch`` of which there is any file; raises ``StorageError`` as ``plan_batches``."""
    by_camera = await _list(source, cameras)
    numbers = sorted({number for numbers in by_camera.values() for number in numbers if number <= start_batch})
    return tuple(_batch(number - 1, by_camera) for number in numbers)


_Listing = Mapping[str, Mapping[int, SubVideo]]
"""Camera id -> number -> sub-video."""


async def _list(source: VideoSource, cameras: Sequence[Camera]) -> _Listing:
    listings = await asyncio.gather(*(source.list_sub_videos(camera.id, camera.prefix) for camera in cameras))
    return {
        camera.id: {sub_video.index: sub_video for sub_video in listing}
        for camera, listing in zip(cameras, listings, strict=True)
    }


def _batch(index: int, by_camera: _Listing) -> Batch:
    return Batch(index, {camera_id: numbers.get(index + 1) for camera_id, numbers in by_camera.items()})


def _nothing_found(
    source: VideoSource,
    environment: Environment,
    cameras: Sequence[Camera],
    found: int,
    start_batch: int | None,
    end_batch: int | None,
) -> str:
    prefixes = ", ".join(f"{camera.prefix}/ ({camera.id})" for camera in cameras)
    what = f"environment {environment.id!r} has no sub-video sub_video_NN.mp4 in {source.location} under {prefixes}"
    if not found:
        return what
    return f"{what} for batches {start_batch or 0} to {end_batch or 'the end'}: the last number there is {found}"
