from __future__ import annotations

import asyncio
import socket
import time

import numpy as np
import pytest
import redis

from orchestrator.errors import EventLogError
from orchestrator.identity.gallery import Gallery, Look, Remembered
from orchestrator.settings import Settings


def settings(url: str, **values: object) -> Settings:
    return Settings(_env_file=None, redis_url=url, **values)  # type: ignore[call-arg]


def look(global_id: str, seed: int, camera: str = "c01", view: int = 0) -> Look:
    vector = np.random.default_rng(seed).normal(size=64)
    return Look(global_id, view, camera, (1.5, -2.0), 0.75, (vector / np.linalg.norm(vector)).astype(np.float32))


async def recent(gallery: Gallery, begins: str = "") -> list[list[Remembered]]:
    return await gallery.views(await gallery.ids(begins))


async def put(gallery: Gallery, looks: list[Look], time_s: float) -> None:
    gallery.note(looks, time_s)
    await gallery.flush()


@pytest.mark.servers
async def test_only_the_last_of_several_looks_at_one_view_is_stored(redis_url):
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        gallery.note([look("t-1", 1)], 100.0)
        gallery.note([look("t-1", 2, "c05")], 101.0)
        assert await recent(gallery) == []
        await gallery.flush()
        ((found,),) = await recent(gallery)
    assert (found.look.camera_id, found.time_s) == ("c05", 101.0)


@pytest.mark.servers
async def test_gives_back_the_views_of_each_person_latest_person_first(redis_url):
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        await put(gallery, [look("t-1", 1), look("t-2", 2), look("other-1", 5)], 100.0)
        await put(gallery, [look("t-1", 3, "c05", view=2)], 101.5)
        found = await recent(gallery, "t-")
    kept = [[(item.look.global_id, item.look.view, item.look.camera_id, item.time_s) for item in one] for one in found]
    assert kept == [[("t-1", 0, "c01", 100.0), ("t-1", 2, "c05", 101.5)], [("t-2", 0, "c01", 100.0)]]
    expected = look("t-1", 3, "c05", view=2)
    again = found[0][1].look
    assert (again.quality, again.place) == (expected.quality, expected.place)
    np.testing.assert_allclose(again.embedding, expected.embedding, atol=5e-4)


@pytest.mark.servers
async def test_people_beyond_the_newest_are_dropped(redis_url, monkeypatch):
    monkeypatch.setattr("orchestrator.identity.gallery.MAX_PEOPLE", 3)
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        for number in range(6):
            await put(gallery, [look(f"t-{number}", number)], float(number))
        assert [one[0].look.global_id for one in await recent(gallery)] == ["t-5", "t-4", "t-3"]
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        assert client.dbsize() == 4


@pytest.mark.servers
async def test_what_is_about_to_be_seen_again_is_forgotten(redis_url):
    async with Gallery(settings(redis_url), "campus", "reid:1") as gallery:
        await put(gallery, [look("t-1", 1), look("other-1", 2)], 100.0)
        await put(gallery, [look("t-1", 3, view=1), look("t-2", 4), look("other-1", 5)], 105.0)
        await gallery.rewind("t-", 103.0)
        found = {one[0].look.global_id: [item.look.view for item in one] for one in await recent(gallery)}
    assert found == {"other-1": [0], "t-1": [0]}


@pytest.mark.servers
async def test_environments_and_models_do_not_meet(redis_url):
    async with (
        Gallery(settings(redis_url), "campus", "reid:1") as gallery,
        Gallery(settings(redis_url), "campus", "reid:2") as model,
        Gallery(settings(redis_url), "factory", "reid:1") as place,
    ):
        await put(gallery, [look("t-1", 1)], 1.0)
        assert await recent(model) == []
        assert await recent(place) == []


@pytest.mark.servers
async def test_people_expire(redis_url):
    async with Gallery(settings(redis_url, gallery_ttl_s=0.4), "campus", "reid:1") as gallery:
        await put(gallery, [look("t-1", 1)], 1.0)
        await asyncio.sleep(0.25)
        await put(gallery, [look("t-2", 2)], 2.0)
        await asyncio.sleep(0.25)
        assert [one[0].look.global_id for one in await recent(gallery)] == ["t-2"]
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
                await gallery.ids()
    assert time.monotonic() - started < 5


@pytest.mark.servers
async def test_what_cannot_be_read_is_forgotten_and_the_others_stay(redis_url):
    async with Gallery(settings(redis_url), "rubbish", "reid:1") as gallery:
        await put(gallery, [look(f"t-{number}", number) for number in range(1, 6)], 100.0)
        with redis.Redis.from_url(redis_url) as client:
            values = {"t-1": b"", "t-2": b"[]\n", "t-3": b"{}\nab", "t-4": b'{"camera": 1}'}
            for name, value in values.items():
                client.hset(f"spoton:gallery:rubbish:reid:1:{name}", "0", value)
        assert [person[0].look.global_id for person in await recent(gallery)] == ["t-5"]
        assert await gallery.ids() == ["t-5"]
