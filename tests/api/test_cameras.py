"""What is known of cameras while their videos are slow to come, or do not come at all."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from api import cameras
from api.cameras import CameraCatalogue
from api.listings import Listings
from orchestrator.errors import StorageError
from orchestrator.media import SubVideo, VideoCache
from orchestrator.site import load_site
from tests.orchestrator.videos import write_video


class SlowSource:
    """Has one video, which comes once ``here`` is set."""

    location = "a slow place"

    def __init__(self, video):
        self.video, self.fetches, self.here, self.error = video, 0, asyncio.Event(), None

    async def list_sub_videos(self, camera_id, prefix):
        return (
            SubVideo(camera_id, 1, f"{prefix}/sub_video_01.mp4", "sub_video_01.mp4", self.video.stat().st_size, "e"),
        )

    async def fetch(self, sub_video, target):
        self.fetches += 1
        await self.here.wait()
        if self.error is not None:
            raise self.error
        shutil.copyfile(self.video, target)


@pytest.fixture
async def source(tmp_path):
    return SlowSource(write_video(tmp_path / "video.mp4", frames=12))


@pytest.fixture
async def ask(settings, source, tmp_path, monkeypatch):
    monkeypatch.setattr(cameras, "PATIENCE_S", 0.1)
    chosen = settings(cache_dir=tmp_path / "cache")
    campus = load_site(chosen.site_file).environment("campus")
    catalogue = CameraCatalogue(Listings(source), VideoCache(chosen, source), {"campus": {}})
    yield lambda: catalogue.describe(campus, campus.cameras["c01"])
    await catalogue.close()


async def test_a_video_that_is_long_in_coming_is_fetched_once_and_there_later(ask, source):
    answers = await asyncio.gather(ask(), ask())
    assert [(answer.sub_videos, answer.resolution) for answer in answers] == [(1, None)] * 2
    assert answers[0].problem == "the object store has not given it within 0.1 s: ask again"
    source.here.set()
    async with asyncio.timeout(10):
        while (answer := await ask()).problem is not None:
            pass
    assert answer.resolution is not None
    assert source.fetches == 1


async def test_what_fails_while_nobody_waits_is_told_to_the_next(ask, source):
    source.error = StorageError("the store is away")
    await ask()
    source.here.set()
    await asyncio.sleep(0.05)
    assert (await ask()).problem == "the store is away"
    assert source.fetches == 2
