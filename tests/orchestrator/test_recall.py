"""Somebody whom the running task has forgotten comes back: real PostgreSQL and Valkey, through the whole pipeline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from orchestrator.errors import EventLogError
from orchestrator.services import Services
from orchestrator.tasks import Task
from orchestrator.worker import process
from tests.orchestrator.fakes import fake_inference
from tests.orchestrator.test_pipeline import of_type, said
from tests.orchestrator.test_pipeline import services as services
from tests.orchestrator.videos import write_video

pytestmark = pytest.mark.servers

FRAMES = 36
RED, YELLOW, PINK = (230, 30, 30), (230, 230, 30), (230, 30, 230)
ACTS = (RED, YELLOW, PINK, RED)
"""Who is there in each sub-video; nobody else is."""


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos" / "c1"
    folder.mkdir(parents=True)
    for number, colour in enumerate(ACTS):
        left = 20 + 35 * number
        pixels = np.full((96, 160, 3), 40, np.uint8)
        pixels[20:80, left : left + 24] = colour
        write_video(folder / f"sub_video_{number + 1:02d}.mp4", FRAMES, pictures=[pixels] * FRAMES)
    return tmp_path / "videos"


def forgetful(services: Services, **settings: object) -> Services:
    """With memory for one person, and trackers that do not find lost tracks again."""
    known = {
        "gallery_max_people": 1,
        "lost_track_buffer_s": 0.25,
        "reid_similarity": 0.85,
        "second_pass": False,
        **settings,
    }
    inference = fake_inference(1, slots=1, delay_s=0.015)  # 30 ms a tick: slow enough for answers to come in time
    return replace(services, settings=services.settings.model_copy(update=known | settings), inference=inference)


async def ids_of(services: Services, task: Task) -> list[list[str]]:
    """The global ids of each sub-video, in the order of their first ticks, named within the act."""
    acts: list[list[str]] = [[] for _ in ACTS]
    for update in of_type(await said(services, task), "tracking_update"):
        for track in update["cameras"]["c1"]["tracks"]:
            act = acts[update["sub_video_batch_index_of_frame"]]
            if track["global_id"] and track["global_id"] not in act:
                act.append(track["global_id"])
    return acts


def numbers(acts: list[list[str]]) -> list[list[int]]:
    return [[int(each.rpartition("-")[2]) for each in act] for act in acts]


async def test_who_comes_back_is_known_by_the_gallery(services: Services) -> None:
    task = await services.store.create("yard", max_active=8, cameras=["c1"])
    await process(forgetful(services), task.id)
    assert numbers(await ids_of(services, task)) == [[1], [2], [3], [1]]


async def test_who_comes_back_after_redis_has_forgotten_is_known_by_history(services: Services, redis_url: str) -> None:
    task = await services.store.create("yard", max_active=8, cameras=["c1"])
    await process(forgetful(services, gallery_ttl_s=0.05), task.id)
    assert numbers(await ids_of(services, task)) == [[1], [2], [3], [1]]
    await asyncio.sleep(0.2)
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        assert not list(client.scan_iter("spoton:gallery*"))


async def test_a_stranger_and_a_question_without_an_answer_are_somebody_new(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> list[str]:
        raise EventLogError("no answer")

    monkeypatch.setattr("orchestrator.identity.gallery.Gallery.ids", silent)
    task = await services.store.create("yard", max_active=8, cameras=["c1"])
    await process(forgetful(services), task.id)
    assert numbers(await ids_of(services, task)) == [[1], [2], [3], [4]]
