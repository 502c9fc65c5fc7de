"""Tickets: what a page's video and WebSocket come with instead of a header."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import websockets

from api.access import tickets
from api.access.principal import NotLoggedInError, Principal, Role
from api.access.tickets import Tickets, add_ticket
from api.problems import MEDIA_TYPE
from orchestrator.events import EventLog, MediaAvailable
from orchestrator.tasks import Task, TaskStatus
from tests.api.access.conftest import KEY

TASK = "5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a"
OTHER = "00000000-0000-4000-8000-000000000000"
CLAIMS = {"sub": "x", "aud": TASK, "env": "campus"}


def task() -> Task:
    values = dict.fromkeys(Task.__dataclass_fields__)
    return Task(**{**values, "id": TASK, "environment_id": "campus", "status": TaskStatus.QUEUED})


def seconds_from_now(seconds: float) -> int:
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


def test_a_ticket_lets_look_at_its_task():
    office = Tickets(KEY, 60)
    text = office.make(task(), Principal("token gate", Role.OPERATOR, None, "its id"))
    assert office.open(text, TASK) == Principal("token gate", Role.VIEWER, ("campus",), "its id")
    with pytest.raises(NotLoggedInError, match="not for this task"):
        office.open(text, OTHER)
    with pytest.raises(NotLoggedInError, match="not for this task"):
        Tickets("q" * 32, 60).open(text, TASK)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (jwt.encode({**CLAIMS, "exp": seconds_from_now(-5)}, KEY, "HS256"), "expired"),
        (jwt.encode(CLAIMS, KEY, "HS256"), "not for this task"),
        (jwt.encode({**CLAIMS, "exp": seconds_from_now(60)}, None, "none"), "not for this task"),
        (jwt.encode({**CLAIMS, "exp": seconds_from_now(60)}, KEY + KEY, "HS512"), "not for this task"),
        ("", "not for this task"),
        ("a.b.c", "not for this task"),
    ],
)
def test_what_is_no_ticket_of_ours_is_refused(text, words):
    with pytest.raises(NotLoggedInError, match=words):
        Tickets(KEY, 60).open(text, TASK)


def test_it_stays_the_same_for_a_while_and_lives_as_long_as_set(monkeypatch):
    office, who = Tickets(KEY, 400), Principal("x", Role.VIEWER, None)
    made = {}
    for now in (1_000_000, 1_000_099, 1_000_100):
        monkeypatch.setattr(tickets.time, "time", lambda now=now: now)
        made[now] = office.make(task(), who)
        expires = jwt.decode(made[now], options={"verify_signature": False})["exp"]
        assert 400 <= expires - now <= 500
    assert made[1_000_000] == made[1_000_099] != made[1_000_100]


def test_a_ticket_joins_what_the_query_has():
    assert add_ticket("/a", "t") == "/a?ticket=t"
    assert add_ticket("/a?since=1", "t") == "/a?since=1&ticket=t"


def media_of(task_id: str) -> dict[str, object]:
    path = f"/api/v1/media/tasks/{task_id}/environments/campus/cameras/c01/sub_videos/sub_video_01.mp4"
    return {
        "camera_id": "c01",
        "sub_video_filename": "sub_video_01.mp4",
        "url": path,
        "start_global_frame_index": 0,
        "num_frames_in_sub_video": 1,
        "fps": 23.0,
        "start_time_s": 0.0,
    }


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_from_start_to_video_without_a_header(api, bearer, start, guarded, folder):
    started = await start(await bearer(Role.OPERATOR, ["campus"]))
    task_id = started["task_id"]
    address = str(api.base_url).replace("http", "ws").rstrip("/")
    async with EventLog.open(guarded) as log:
        payload = {"sub_video_batch_index": 0, "media_urls": [media_of(task_id)]}
        await log.publish(task_id, MediaAvailable(payload=payload))
        (stored,) = await log.read(task_id, 0, 0.0, 10)
    assert b"ticket" not in stored.body
    async with websockets.connect(address + started["websocket_url"] + "&since=0", proxy=None) as socket:
        async with asyncio.timeout(10):
            while (message := json.loads(await socket.recv()))["type"] != "media_available":
                pass
    assert message["seq"] == stored.seq
    url = message["payload"]["media_urls"][0]["url"]
    assert urlsplit(url).path == media_of(task_id)["url"]
    whole = await api.get(url)
    content = (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()
    assert (whole.status_code, whole.content) == (200, content)
    part = await api.get(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, content[5:10])
    assert (await api.head(url)).status_code == 200


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_a_ticket_opens_its_task_s_media_and_messages_and_nothing_else(api, bearer, start):
    operator = await bearer()
    mine, other = await start(operator), await start(operator)
    ticket = parse_qs(urlsplit(mine["websocket_url"]).query)["ticket"][0]
    asked = {
        "media of another task": await api.get(media_of(other["task_id"])["url"], params={"ticket": ticket}),
        "status": await api.get(mine["status_url"], params={"ticket": ticket}),
        "tasks": await api.get("/api/v1/processing-tasks", params={"ticket": ticket}),
        "ticket": await api.post(f"/api/v1/processing-tasks/{mine['task_id']}/ticket", params={"ticket": ticket}),
        "control": await api.post(
            f"/api/v1/processing-tasks/{mine['task_id']}/control", json={"action": "cancel"}, params={"ticket": ticket}
        ),
        "nonsense": await api.get(media_of(mine["task_id"])["url"], params={"ticket": "nonsense"}),
    }
    assert {name: answer.status_code for name, answer in asked.items()} == dict.fromkeys(asked, 401)
    assert {answer.headers["content-type"] for answer in asked.values()} == {MEDIA_TYPE}
    address = str(api.base_url).replace("http", "ws").rstrip("/")
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{address}/ws/tracking/{other['task_id']}?ticket={ticket}", proxy=None)
    assert refused.value.response.status_code == 401


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_who_sees_a_task_gets_a_ticket_for_it(api, bearer, start):
    task_id = (await start(await bearer()))["task_id"]
    path = f"/api/v1/processing-tasks/{task_id}/ticket"
    answer = await api.post(path, headers=await bearer(Role.VIEWER, ["campus"]))
    address = str(api.base_url).replace("http", "ws").rstrip("/")
    async with websockets.connect(address + answer.json()["websocket_url"], proxy=None) as socket:
        assert "status_update" in await asyncio.wait_for(socket.recv(), 10)
    assert (await api.post(path, headers=await bearer(Role.VIEWER, ["factory"]))).status_code == 404


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_without_access_control_urls_are_bare(client):
    started = (await client.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"})).json()
    assert started["websocket_url"] == f"/ws/tracking/{started['task_id']}"
    answer = await client.post(f"/api/v1/processing-tasks/{started['task_id']}/ticket")
    assert answer.json() == {"websocket_url": started["websocket_url"]}
