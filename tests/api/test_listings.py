"""api/listings.py: a task's own files and nothing else; one listing for many."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from api import listings
from api.listings import Listings
from api.problems import NotFoundError
from orchestrator.errors import StorageAccessError, StorageError, UnknownCameraError
from orchestrator.media import FolderVideoSource
from orchestrator.site import load_site
from orchestrator.tasks import Task, TaskStatus

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def task(**fields):
    values = {
        "id": "5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a", "environment_id": "campus", "cameras": None, "start_batch": None,
        "end_batch": None, "status": TaskStatus.QUEUED, "progress": 0.0, "current_step": "", "details": {},
        "focus_global_id": None, "total_sub_video_batches": 0, "completed_sub_video_batches": 0, "processed_frames": 0,
        "attempt": 0, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Task(**values | fields)


class CountingSource(FolderVideoSource):
    def __init__(self, folder):
        super().__init__(folder)
        self.listed = 0
        self.error = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def list_sub_videos(self, camera_id, prefix):
        self.listed += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return await super().list_sub_videos(camera_id, prefix)


@pytest.fixture
def environment(settings):
    return load_site(settings().site_file).environment("campus")


@pytest.fixture
def source(folder):
    return CountingSource(folder)


async def test_finds_the_files_of_the_task(source, environment):
    found = await Listings(source).of_task(task(), environment, "c01", "sub_video_02.mp4")
    assert (found.index, found.size) == (2, 100_002)


@pytest.mark.parametrize(
    "name",
    ["sub_video_04.mp4", "sub_video_2.mp4", "SUB_VIDEO_01.mp4", "../c02/sub_video_01.mp4", "../../secret.mp4", "", ".",
     "..", "sub_video_01.mp4/", "/etc/passwd", "sub_video_01.mp4\x00", "video_s37/c01/sub_video_01.mp4"],
)  # fmt: skip
async def test_no_other_name_leads_anywhere(source, environment, name):
    with pytest.raises(NotFoundError):
        await Listings(source).of_task(task(), environment, "c01", name)


async def test_files_of_other_batches_and_cameras_are_not_the_task_s(source, environment):
    files = Listings(source)
    part = task(cameras=("c01",), start_batch=1, end_batch=2)
    assert (await files.of_task(part, environment, "c01", "sub_video_02.mp4")).index == 2
    for name in ("sub_video_01.mp4", "sub_video_03.mp4"):
        with pytest.raises(NotFoundError):
            await files.of_task(part, environment, "c01", name)
    with pytest.raises(UnknownCameraError):
        await files.of_task(part, environment, "c02", "sub_video_01.mp4")


async def test_however_many_ask_the_store_is_asked_once(source, environment):
    files = Listings(source)
    await asyncio.gather(*(files.of_camera(environment.cameras["c01"]) for _ in range(100)))
    assert source.listed == 1


async def test_new_files_are_seen_after_a_while(source, environment, folder, monkeypatch):
    files, camera = Listings(source), environment.cameras["c02"]
    assert len(await files.of_camera(camera)) == 1
    (folder / camera.prefix / "sub_video_02.mp4").write_bytes(b"new")
    assert len(await files.of_camera(camera)) == 1
    monkeypatch.setattr(listings, "REMEMBER_S", 0.0)
    assert len(await files.of_camera(camera)) == 2


async def test_the_last_list_stands_in_while_the_store_is_away(source, environment, monkeypatch):
    monkeypatch.setattr(listings, "REMEMBER_S", 0.0)
    files, camera = Listings(source), environment.cameras["c01"]
    before = await files.of_camera(camera)
    source.error = StorageError("away")
    assert await files.of_camera(camera) == before
    source.error = StorageAccessError("wrong credentials")
    with pytest.raises(StorageAccessError):
        await files.of_camera(camera)


async def test_a_store_that_stands_still_holds_up_no_player(source, environment, monkeypatch):
    monkeypatch.setattr(listings, "PATIENCE_S", 0.05)
    files, camera = Listings(source), environment.cameras["c01"]
    before = await files.of_camera(camera)
    source.answers.clear()
    files._entries[camera.prefix].asked_at = float("-inf")
    async with asyncio.timeout(5):
        for _ in range(20):
            assert await files.of_camera(camera) == before
    assert source.listed == 2
    source.answers.set()


async def test_all_who_wait_for_a_store_that_does_not_answer_are_told_at_once(source, environment):
    files, camera = Listings(source), environment.cameras["c01"]
    source.answers.clear()
    waiting = [asyncio.create_task(files.of_camera(camera)) for _ in range(5)]
    await asyncio.sleep(0.01)
    source.error = StorageError("away")
    source.answers.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in outcomes} == {StorageError}
    assert source.listed == 1


async def test_a_store_that_never_answered_is_an_error(source, environment):
    source.error = StorageError("away")
    with pytest.raises(StorageError):
        await Listings(source).of_camera(environment.cameras["c01"])
