"""The WebSocket against real PostgreSQL and Valkey: replay, live, late, slow, ended, unknown."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
import pytest_asyncio
import redis.asyncio
import websockets
from websockets.asyncio.client import connect

from api import fanout
from orchestrator.events import (
    BatchPayload,
    BatchProcessingComplete,
    EventLog,
    FocusChanged,
    FocusPayload,
    MediaAvailable,
    MediaPayload,
    StatusUpdate,
    TrackingUpdate,
)
from orchestrator.history.pool import open_pool
from orchestrator.tasks import TaskStatus, TaskStore

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
UNKNOWN = "00000000-0000-0000-0000-000000000000"


class Recording:
    """A task and a worker's voice: what it would publish, published by the test."""

    def __init__(self, client, log, store, task_id):
        self.client, self.log, self.store, self.task_id = client, log, store, task_id

    def follow(self, query="", **options):
        address = str(self.client.base_url).replace("http", "ws") + f"/ws/tracking/{self.task_id}{query}"
        return connect(address, open_timeout=10, **options)

    async def tick(self, frame, batch=0, filling=""):
        payload = {
            "global_frame_index": frame,
            "scene_id": "campus",
            "timestamp_processed_utc": f"2026-01-05T09:00:00Z{filling}",
            "sub_video_batch_index_of_frame": batch,
            "cameras": {},
        }
        return await self.log.publish(self.task_id, TrackingUpdate(payload=payload))

    async def media(self, batch):
        payload = MediaPayload(sub_video_batch_index=batch, media_urls=())
        await self.log.publish(self.task_id, MediaAvailable(payload=payload))

    async def complete(self, batch):
        payload = BatchPayload(sub_video_batch_index=batch)
        await self.log.publish(self.task_id, BatchProcessingComplete(payload=payload))

    async def status(self, status, *, say=True):
        task = await self.store.advance(self.task_id, status)
        if say:
            await self.log.publish(self.task_id, StatusUpdate.of(task))

    async def run(self, ticks=4, batches=2, *, say_end=True):
        """Everything that a whole small task says: 6 + batches * (ticks + 2) messages at most."""
        for status in (TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING):
            await self.status(status)
        await self.status(TaskStatus.PROCESSING)
        for batch in range(batches):
            await self.media(batch)
            for frame in range(batch * ticks, (batch + 1) * ticks):
                await self.tick(frame, batch)
            await self.complete(batch)
        await self.status(TaskStatus.COMPLETED, say=say_end)


@pytest_asyncio.fixture(loop_scope="module")
async def recording(live, client):
    async with EventLog.open(live()) as log, open_pool(live()) as pool:
        answer = await client.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"})
        yield Recording(client, log, TaskStore(pool), answer.json()["task_id"])


async def receive(socket, count):
    return [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(count)]


async def receive_all(socket):
    """Everything up to the end, and the code of the close."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
    except websockets.ConnectionClosed as closed:
        return messages, closed.rcvd.code


def seqs(messages):
    return [message["seq"] for message in messages]


async def test_from_before_the_first_message_to_the_end(recording):
    async with recording.follow() as socket:
        (first,) = await receive(socket, 1)
        assert (first["type"], first["payload"]["status"], first["seq"]) == ("status_update", "QUEUED", 0)
        await recording.run()
        messages, code = await receive_all(socket)
    assert code == 1000
    assert seqs(messages) == list(range(1, len(messages) + 1))
    assert messages[-1]["payload"]["status"] == "COMPLETED"
    assert all(message.keys() == {"type", "payload", "seq"} for message in messages)
    frames = [m["payload"]["global_frame_index"] for m in messages if m["type"] == "tracking_update"]
    assert frames == list(range(8))


async def test_a_finished_task_is_replayed_whole_from_0(recording):
    await recording.run()
    async with recording.follow("?since=0") as socket:
        messages, code = await receive_all(socket)
    assert code == 1000
    assert seqs(messages) == list(range(1, len(messages) + 1))
    assert messages[-1]["payload"]["status"] == "COMPLETED"


async def test_a_late_client_starts_with_the_current_batch(recording):
    for status in (TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING, TaskStatus.PROCESSING):
        await recording.status(status)
    await recording.media(0)
    await recording.tick(0)
    await recording.complete(0)
    await recording.media(1)
    await recording.tick(1, batch=1)
    await recording.tick(2, batch=1)
    async with recording.follow() as socket:
        messages = await receive(socket, 5)
        assert [m["type"] for m in messages] == ["status_update"] + ["media_available"] * 2 + ["tracking_update"] * 2
        assert [m["payload"]["global_frame_index"] for m in messages[3:]] == [1, 2]
        assert seqs(messages) == sorted(seqs(messages))
        await recording.tick(3, batch=1)
        (live,) = await receive(socket, 1)
        assert live["payload"]["global_frame_index"] == 3


async def test_a_client_that_comes_back_misses_nothing(recording):
    await recording.status(TaskStatus.INITIALIZING)
    for frame in range(5):
        await recording.tick(frame)
    async with recording.follow("?since=0") as socket:
        seen = (await receive(socket, 4))[-1]["seq"]
    for frame in range(5, 700):
        await recording.tick(frame)
    async with recording.follow(f"?since={seen}&colour=blue") as socket:
        status, *messages = await receive(socket, 1 + 701 - seen)
        assert status["type"] == "status_update"
        assert seqs(messages) == list(range(seen + 1, 702))


async def test_a_position_beyond_the_end_is_the_end(recording):
    await recording.tick(0)
    async with recording.follow("?since=123456") as socket:
        lost, status = await receive(socket, 2)
        assert (lost["type"], lost["payload"]) == ("messages_lost", {"first_seq": 123457, "last_seq": None})
        assert status["type"] == "status_update"
        await recording.tick(1)
        (live,) = await receive(socket, 1)
        assert live["seq"] == 2


async def test_ping_is_answered_and_noise_is_ignored(recording):
    async with recording.follow() as socket:
        await receive(socket, 1)
        for noise in ("", "nonsense", "[1]", "{}", '{"type": "dance"}', "[" * 5000, b"\x00\x01", "7"):
            await socket.send(noise)
        await socket.send('{"type": "ping"}')
        assert (await receive(socket, 1))[0]["type"] == "pong"
        await recording.log.publish(recording.task_id, FocusChanged(payload=FocusPayload(global_id="x-1")))
        assert (await receive(socket, 1))[0] == {"type": "focus_changed", "payload": {"global_id": "x-1"}, "seq": 1}


async def test_many_clients_get_the_same_bytes_through_one_reader(recording):
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow_to_the_end(recording)) for _ in range(30)]
        await asyncio.sleep(0.5)
        await recording.run(ticks=50)
    results = [follower.result() for follower in followers]
    assert all(code == 1000 for _, code in results)
    assert all(messages[-1]["payload"]["status"] == "COMPLETED" for messages, _ in results)
    # However late a client joined, from its first tick on it has them all.
    for messages, _ in results:
        frames = [m["payload"]["global_frame_index"] for m in messages if m["type"] == "tracking_update"]
        assert frames == list(range(frames[0], 100))


async def follow_to_the_end(recording):
    async with recording.follow() as socket:
        return await receive_all(socket)


async def test_a_client_that_reads_too_slowly_is_sent_away_and_comes_back(recording, monkeypatch):
    monkeypatch.setattr(fanout, "QUEUE_MESSAGES", 50)
    filling = "x" * 20_000
    async with recording.follow(max_queue=1, compression=None) as socket:
        await receive(socket, 1)
        for frame in range(600):
            await recording.tick(frame, filling=filling)
        messages, code = await receive_all(socket)
    assert code == 1013
    assert len(messages) < 600
    assert seqs(messages) == list(range(1, len(messages) + 1))
    async with recording.follow(f"?since={messages[-1]['seq']}") as socket:
        rest = (await receive(socket, 1 + 600 - len(messages)))[1:]
    assert seqs(messages + rest) == list(range(1, 601))
    metrics = (await recording.client.get("/metrics")).text
    assert "spoton_api_websocket_slow_total 1.0" in metrics


async def test_a_task_that_ended_without_a_word_still_ends_for_its_viewers(recording):
    async with recording.follow() as socket:
        await recording.run(say_end=False)
        messages, code = await receive_all(socket)
    assert code == 1000
    assert messages[-1]["payload"]["status"] == "COMPLETED"
    assert messages[-1]["seq"] == messages[-2]["seq"] + 1


async def test_a_finished_task_whose_log_is_gone_tells_how_it_ended(recording):
    await recording.run()
    await recording.log.delete(recording.task_id)
    async with recording.follow("?since=5") as socket:
        messages, code = await receive_all(socket)
    assert code == 1000
    assert [m["type"] for m in messages] == ["messages_lost", "status_update"]
    assert messages[0]["payload"] == {"first_seq": 6, "last_seq": None}
    assert messages[1]["payload"]["status"] == "COMPLETED"


async def test_what_the_bound_no_longer_holds_is_told_once(recording, live):
    async with EventLog.open(live(event_log_max_messages=1000)) as recording.log:
        for frame in range(1500):
            await recording.tick(frame)
    async with recording.follow("?since=3") as socket:
        status, lost, first = await receive(socket, 3)
        assert (status["type"], status["seq"]) == ("status_update", 3)
        missing = first["seq"] - 1
        assert 400 < missing <= 500  # Redis trims whole nodes of its stream
        assert lost == {"type": "messages_lost", "payload": {"first_seq": 4, "last_seq": missing}, "seq": missing}
        assert seqs(await receive(socket, 1500 - missing - 1)) == list(range(missing + 2, 1501))
    async with recording.follow(f"?since={missing}") as socket:
        assert [m["type"] for m in await receive(socket, 3)] == ["status_update", "tracking_update", "tracking_update"]


async def forget(recording, backends):
    """As a Redis that comes back empty: nothing is known of the task there."""
    async with redis.asyncio.Redis.from_url(backends.valkey.url) as store:
        await store.delete(*[key async for key in store.scan_iter(f"*{recording.task_id}*")])


async def test_a_redis_that_comes_back_empty_loses_nothing_for_those_who_follow(recording, backends):
    async with recording.follow("?since=0") as socket:
        for frame in range(20):
            await recording.tick(frame)
        assert seqs(await receive(socket, 21)) == list(range(21))
        await forget(recording, backends)
        for frame in range(20, 40):
            await recording.tick(frame)
        assert seqs(await receive(socket, 20)) == list(range(21, 41))
    async with recording.follow("?since=5") as socket:
        status, lost, first = await receive(socket, 3)
        assert status["type"] == "status_update"
        assert (lost["type"], lost["payload"]) == ("messages_lost", {"first_seq": 6, "last_seq": 20})
        assert first["seq"] == 21


async def test_a_log_that_begins_anew_is_told_to_those_who_follow(recording, live, backends, monkeypatch):
    """The worker went with Redis, and the one that took over does not know how far the log had come."""
    monkeypatch.setattr(fanout, "BLOCK_S", 0.1)
    async with recording.follow("?since=0") as socket:
        for frame in range(20):
            await recording.tick(frame)
        await receive(socket, 21)
        await forget(recording, backends)
        async with EventLog.open(live()) as recording.log:
            await recording.tick(20)
            messages, code = await receive_all(socket)
            assert (messages, code) == ([], 1013)
            async with recording.follow("?since=20") as back:
                lost, _ = await receive(back, 2)
                assert (lost["type"], lost["payload"]) == ("messages_lost", {"first_seq": 21, "last_seq": None})
                await recording.tick(21)
                assert (await receive(back, 1))[0]["payload"]["global_frame_index"] == 21


async def test_files_that_were_announced_in_what_is_lost_are_announced_all_the_same(recording, live):
    async with EventLog.open(live(event_log_max_messages=1000)) as recording.log:
        for frame in range(10):
            await recording.tick(frame)
        await recording.media(0)
        for frame in range(10, 1500):
            await recording.tick(frame)
    async with recording.follow("?since=3") as socket:
        _, media, lost, first = await receive(socket, 4)
    assert (media["type"], media["seq"]) == ("media_available", 11)
    assert (lost["type"], lost["seq"]) == ("messages_lost", first["seq"] - 1)


@pytest.mark.parametrize(("task_id", "query", "status"), [
    (UNKNOWN, "", 404), ("nonsense", "", 404), (None, "?since=soon", 422), (None, "?since=-1", 422),
])  # fmt: skip
async def test_what_cannot_be_followed_is_refused_at_the_handshake(recording, task_id, query, status):
    recording.task_id = task_id or recording.task_id
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with recording.follow(query):
            pass
    assert refused.value.response.status_code == status
    problem = json.loads(refused.value.response.body)
    assert problem["status"] == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert refused.value.response.headers["x-content-type-options"] == "nosniff"


async def test_there_is_no_websocket_but_this(recording):
    address = str(recording.client.base_url).replace("http", "ws") + "/ws/elsewhere"
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(address, proxy=None)
    assert refused.value.response.status_code == json.loads(refused.value.response.body)["status"] == 404


async def test_no_redis_no_handshake(live, serve, closed_port, recording):
    async with serve(live(redis_url=f"redis://127.0.0.1:{closed_port}/0")) as client:
        recording.client = client
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with recording.follow():
                pass
    assert refused.value.response.status_code == 503


async def test_readers_and_gauges_end_with_the_clients(recording):
    async with recording.follow() as socket:
        await receive(socket, 1)
        assert "spoton_api_websocket_clients 1.0" in (await recording.client.get("/metrics")).text
    for _ in range(50):
        if "spoton_api_websocket_clients 0.0" in (await recording.client.get("/metrics")).text:
            break
        await asyncio.sleep(0.05)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("feed ")]


async def test_the_server_stops_while_clients_listen(live, serve, recording):
    async with serve(live()) as client:
        recording.client = client
        socket = await recording.follow()
        await receive(socket, 1)
    messages, code = await receive_all(socket)
    assert (messages, code) == ([], 1012)
    with pytest.raises(httpx.ConnectError):
        await client.get("/health/live") if not client.is_closed else await httpx.AsyncClient().get(
            f"{client.base_url}/health/live"
        )
