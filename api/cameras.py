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

PATIENCE_S = 10.0
"""For so long a camera's first file may take to come; a client that asks again later finds it there."""


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
        self._looking: dict[SubVideo, asyncio.Task[_Picture]] = {}

    async def describe(self, environment: Environment, camera: Camera) -> CameraAnswer:
        """The camera, with null and the reason for what its video does not tell, or not within ``PATIENCE_S``."""
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
            async with asyncio.timeout(PATIENCE_S):
                listing = await self._listings.of_camera(camera)
                answer.sub_videos = environment.sub_videos or len(listing)
                picture = await self._look_at(environment, camera, listing)
        except SpotOnError as error:
            answer.problem = str(error)
        except TimeoutError:
            answer.problem = f"the object store has not given it within {PATIENCE_S:g} s: ask again"
        else:
            answer.resolution, answer.fps = picture.resolution, picture.fps
        return answer

    async def close(self) -> None:
        """Ends what is still being fetched."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _look_at(self, environment: Environment, camera: Camera, listing: tuple[SubVideo, ...]) -> _Picture:
        if not listing:
            raise NoVideoError(f"camera {camera.id} has no sub-video under {camera.prefix}")
        first = listing[0]
        if first not in self._pictures:
            # Whoever asked may have left before a long file is here; it is fetched to the end all the same.
            looking = self._looking.get(first) or self._start_looking(environment.id, first)
            self._pictures[first] = await asyncio.shield(looking)
        return self._pictures[first]

    def _start_looking(self, environment_id: str, first: SubVideo) -> asyncio.Task[_Picture]:
        looking = self._looking[first] = asyncio.create_task(self._look(environment_id, first))

        def end(done: asyncio.Task[_Picture]) -> None:
            del self._looking[first]
            if not done.cancelled():
                done.exception()  # whoever still waits is told

        looking.add_done_callback(end)
        return looking

    async def _look(self, environment_id: str, first: SubVideo) -> _Picture:
        video = await asyncio.to_thread(probe, await self._cache.path_of(environment_id, first))
        return _Picture((video.width, video.height), round(video.fps, 3))
