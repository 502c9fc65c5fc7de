from __future__ import annotations

import asyncio
import socket
import time

import numpy as np
import pytest
import redis

from orchestrator.errors import EventLogError
from orchestrator.identity.gallery import Gallery, Look
from orchestrator.settings import Settings


def settings(url: str, **values: object) -> Settings:
    return Settings(_env_file=None, redis_url=url, **values)  # type: ignore[call-arg]


def look(global_id: str, seed: int, camera: str = "c01") -> Look:
    vector = np.random.default_rng(seed).normal(size=64)
    return Look(global_id, camera, (vector / np.linalg.norm(vector)).astype(np.float32))


async def put(gallery: Gallery, looks: list[Look], time_s: float) -> None:
    gallery.note(looks, time_s)
    await gallery.flush()


@pytest.mark.servers
async def test_only_the_last_of_several_looks_is_stored(redis_url):
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        gallery.note([look("t-1", 1)], 100.0)
        gallery.note([look("t-1", 2, "c05")], 101.0)
        assert await gallery.recent(10) == []
        await gallery.flush()
        found = await gallery.recent(10)
    assert [(item.look.camera_id, item.time_s) for item in found] == [("c05", 101.0)]


@pytest.mark.servers
async def test_gives_back_the_latest_look_of_each_person_latest_first(redis_url):
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        await put(gallery, [look("t-1", 1), look("t-2", 2)], 100.0)
        await put(gallery, [look("t-1", 3, "c05")], 101.5)
        found = await gallery.recent(10)
    assert [(item.look.global_id, item.look.camera_id, item.time_s) for item in found] == [
        ("t-1", "c05", 101.5),
        ("t-2", "c01", 100.0),
    ]
    for item, expected in zip(found, (look("t-1", 3), look("t-2", 2)), strict=True):
        np.testing.assert_allclose(item.look.embedding, expected.embedding, atol=5e-4)


@pytest.mark.servers
async def test_environments_and_models_do_not_meet(redis_url):
    async with (
        Gallery(settings(redis_url), "campus", "reid:1") as gallery,
        Gallery(settings(redis_url), "campus", "reid:2") as model,
        Gallery(settings(redis_url), "factory", "reid:1") as place,
    ):
        await put(gallery, [look("t-1", 1)], 1.0)
        assert await model.recent(10) == []
        assert await place.recent(10) == []


@pytest.mark.servers
async def test_people_expire(redis_url):
    async with Gallery(settings(redis_url, gallery_ttl_s=0.4), "campus", "reid:1") as gallery:
        await put(gallery, [look("t-1", 1)], 1.0)
        await asyncio.sleep(0.25)
        await put(gallery, [look("t-2", 2)], 2.0)
        await asyncio.sleep(0.25)
        assert [item.look.global_id for item in await gallery.recent(10)] == ["t-2"]
        await asyncio.sleep(0.3)
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        assert client.dbsize() == 0


async def test_a_server_that_does_not_answer_is_an_error_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        started = time.monotonic()
        async with Gallery(settings(url, redis_timeout_s=0.2), "campus", "reid:1") as gallery:
            with pytest.raises(EventLogError, match="spoton:gallery:campus:reid:1"):
                await put(gallery, [look("t-1", 1)], 1.0)
            with pytest.raises(EventLogError):
                await gallery.recent(1)
    assert time.monotonic() - started < 5
