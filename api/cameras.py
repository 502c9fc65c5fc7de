"""What is known of a camera: the site file's word, and what its first sub-video shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from api.listings import Listings
from api.models import CameraAnswer
from orchestrator.decode import probe
from orchestrator.errors import NoVideoError, SpotOnError
from orchestrator.homography import Homography
from orchestrator.media import SubVideo, VideoCache
from orchestrator.site import Camera, Environment


@dataclass(frozen=True, slots=True)
class _Picture:
    resolution: tuple[int, int]
    """Width and height, px."""
    fps: float


class CameraCatalogue:
    """Describes cameras; each first sub-video is probed once."""

    def __init__(
        self, listings: Listings, cache: VideoCache, homographies: Mapping[str, Mapping[str, Homography]]
    ) -> None:
        self._listings, self._cache, self._homographies = listings, cache, homographies
        self._pictures: dict[SubVideo, _Picture] = {}

    async def describe(self, environment: Environment, camera: Camera) -> CameraAnswer:
        """The camera, with null and the reason for what its video does not tell."""
        answer = CameraAnswer(
            camera_id=camera.id,
            name=camera.name,
            prefix=camera.prefix,
            has_homography=camera.id in self._homographies[environment.id],
            resolution=None,
            fps=None,
            sub_videos=environment.sub_videos,
            problem=None,
        )
        try:
            listing = await self._listings.of_camera(camera)
            answer.sub_videos = environment.sub_videos or len(listing)
            picture = await self._look_at(environment, camera, listing)
        except SpotOnError as error:
            answer.problem = str(error)
        else:
            answer.resolution, answer.fps = picture.resolution, picture.fps
        return answer

    async def _look_at(self, environment: Environment, camera: Camera, listing: tuple[SubVideo, ...]) -> _Picture:
        if not listing:
            raise NoVideoError(f"camera {camera.id} has no sub-video under {camera.prefix}")
        first = listing[0]
        if first not in self._pictures:
            video = await asyncio.to_thread(probe, await self._cache.path_of(environment.id, first))
            self._pictures[first] = _Picture((video.width, video.height), round(video.fps, 3))
        return self._pictures[first]
