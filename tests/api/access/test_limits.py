"""Rate limits counted in Valkey, request sizes, and the headers of every answer."""

from __future__ import annotations

import asyncio

import pytest

from api.access import authentication
from api.access.limits import Kind, Limits, RateLimitedError
from api.access.principal import Role
from api.problems import MEDIA_TYPE
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings
from tests.api.access.conftest import KEY, until_prepared

LIST = "/api/v1/processing-tasks"
START = f"{LIST}/start"
CAMPUS = {"environment_id": "campus"}


def limited(redis_url, **limits):
    return load_settings(_env_file=None, access="on", ticket_key=KEY, redis_url=redis_url, **limits)


@pytest.mark.servers
async def test_processes_count_together_and_people_apart(redis_url):
    settings = limited(redis_url, rate_limit="5/minute")
    async with Limits.open(settings) as one, Limits.open(settings) as two:
        for limits in (one, two, one, two, one):
            await limits.take(Kind.REQUEST, "ada")
        for limits in (one, two):
            with pytest.raises(RateLimitedError, match="too many requests: 5 per 1 minute are allowed") as refused:
                await limits.take(Kind.REQUEST, "ada")
            assert 1 <= refused.value.retry_after_s <= 60
        await one.take(Kind.REQUEST, "bob")
        await one.take(Kind.COSTLY, "ada")


@pytest.mark.servers
async def test_who_waits_may_ask_again(redis_url):
    async with Limits.open(limited(redis_url, rate_limit="2/second")) as limits:
        for _ in range(2):
            await limits.take(Kind.REQUEST, "ada")
        with pytest.raises(RateLimitedError):
            await limits.take(Kind.REQUEST, "ada")
        await asyncio.sleep(2.1)
        await limits.take(Kind.REQUEST, "ada")


async def test_nobody_is_refused_while_redis_is_away(closed_port, caplog):
    async with Limits.open(limited(f"redis://127.0.0.1:{closed_port}/0", rate_limit="1/minute")) as limits:
        for _ in range(3):
            await limits.take(Kind.REQUEST, "ada")
    assert len([record for record in caplog.records if "while Redis is away" in record.message]) == 1


@pytest.mark.parametrize("value", ["many", "0/minute", "5/fortnight", "5", "-1/second"])
def test_a_limit_is_a_number_and_a_time(value):
    with pytest.raises(SettingsError, match="SPOTON_RATE_LIMIT"):
        load_settings(_env_file=None, rate_limit=value)


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_too_many_requests_are_answered_with_429(live, serve, bearer):
    headers, other = await bearer(), await bearer()
    strict = live(access="on", ticket_key=KEY, rate_limit="4/minute", rate_limit_costly="2/minute")
    async with serve(strict) as client:
        await until_prepared(client)
        started = [await client.post(START, json=CAMPUS, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in started] == [202, 202, 429]
        assert started[2].headers["content-type"] == MEDIA_TYPE
        assert 1 <= int(started[2].headers["retry-after"]) <= 60
        listed = [await client.get(LIST, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in listed] == [200, 429]
        ticket = started[0].json()["websocket_url"].partition("?")[2]
        media = f"/api/v1/media/tasks/{started[0].json()['task_id']}/environments/campus/cameras/c01/sub_videos"
        played = [await client.get(f"{media}/sub_video_01.mp4?{ticket}") for _ in range(10)]
        assert {answer.status_code for answer in played} == {200}
        assert (await client.get(LIST, headers=other)).status_code == 200


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_a_path_counts_as_costly_where_it_is_taken_away(live, serve, bearer):
    headers, path = await bearer(), "/api/v1/analytics_data/trajectory/x-1"
    async with serve(live(access="on", ticket_key=KEY, rate_limit_costly="1/minute")) as client:
        await until_prepared(client)
        asked = [
            await client.get(path, params={"format": kind}, headers=headers) for kind in ("json", "csv", "parquet")
        ]
        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert (await client.get(path, headers=headers)).status_code == 200


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_guessing_is_stopped_and_those_who_are_known_go_on(live, serve, bearer, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBER_S", 0.0)
    known = await bearer(Role.VIEWER)
    async with serve(live(access="on", ticket_key=KEY, rate_limit_failures="3/hour")) as client:
        await until_prepared(client)
        assert (await client.get(LIST, headers=known)).status_code == 200
        wrong = [await client.get(LIST, headers={"Authorization": f"Bearer spoton_{n}"}) for n in range(5)]
        assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
        assert (await client.get(LIST, headers=known)).status_code == 200


@pytest.mark.parametrize(
    ("addresses", "count"),
    [
        (["203.0.113.1", "203.0.113.2", "::ffff:203.0.113.1"], 2),
        (["2001:db8::1", "2001:db8::ffff:0:1", "2001:db8:0:1::1"], 2),
        (["::1", "127.0.0.1", "", "nonsense"], 4),
    ],
)
def test_failures_are_counted_by_what_one_client_has(addresses, count):
    assert len({authentication._place(address) for address in addresses}) == count


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_beyond_the_limit_is_413(api, bearer):
    headers = {**await bearer(), "Content-Type": "application/json"}
    for body in (b" " * 70_000, many(b" " * 1000, 70)):
        answer = await api.post(START, content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (413, MEDIA_TYPE)


async def many(piece, count):
    for _ in range(count):
        yield piece


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_every_answer_has_the_security_headers(api, bearer):
    headers = await bearer()
    for path in ("/", "/health", "/metrics", LIST, "/api/v1/nowhere", "/openapi.json", "/docs"):
        answer = await api.get(path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] in {"no-referrer", "same-origin"}
        assert "default-src" in answer.headers["content-security-policy"]
    assert (await api.get(LIST, headers=headers)).headers["cache-control"] == "no-store"
