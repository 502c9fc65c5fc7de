"""The log of a task on a real Valkey: order, replay, repeats, bounds."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import redis

from orchestrator.errors import EventLogError
from orchestrator.events import (
    BatchPayload,
    BatchProcessingComplete,
    EventLog,
    FocusChanged,
    FocusPayload,
    MediaAvailable,
    MediaPayload,
    Message,
    StatusPayload,
    StatusUpdate,
    TrackingUpdate,
)
from orchestrator.settings import load_settings

pytestmark = pytest.mark.servers


@pytest.fixture
async def log(redis_url: str) -> AsyncIterator[EventLog]:
    async with EventLog.open(load_settings(_env_file=None, redis_url=redis_url, redis_timeout_s=5)) as opened:
        yield opened


@pytest.fixture
def task_id() -> str:
    return str(uuid.uuid4())


def tick(frame: int, batch: int = 0) -> TrackingUpdate:
    return TrackingUpdate(
        payload={
            "global_frame_index": frame,
            "scene_id": "campus",
            "timestamp_processed_utc": "2026-01-05T12:00:00Z",
            "sub_video_batch_index_of_frame": batch,
            "cameras": {},
        }
    )


def status(step: str) -> StatusUpdate:
    return StatusUpdate(
        payload=StatusPayload.model_validate(
            {
                "task_id": "t",
                "status": "PROCESSING",
                "progress": 0,
                "current_step": step,
                "details": {},
                "environment_id": "campus",
                "created_at": "2026-01-05T12:00:00Z",
                "updated_at": "2026-01-05T12:00:00Z",
                "total_sub_video_batches": None,
                "completed_sub_video_batches": 0,
                "processed_frames": 0,
            }
        )
    )


def media(batch: int) -> MediaAvailable:
    return MediaAvailable(payload=MediaPayload(sub_video_batch_index=batch, media_urls=()))


def done(batch: int) -> BatchProcessingComplete:
    return BatchProcessingComplete(payload=BatchPayload(sub_video_batch_index=batch))


async def say(log: EventLog, task_id: str, *messages: Message) -> list[int | None]:
    return [await log.publish(task_id, message) for message in messages]


async def test_messages_come_back_in_order_numbered_by_one(log: EventLog, task_id: str) -> None:
    assert await say(log, task_id, status("a"), media(0), tick(0), tick(1), done(0)) == [1, 2, 3, 4, 5]

    found = await log.read(task_id, 1, 0.0, 100)

    assert [(item.seq, item.type) for item in found] == [
        (2, "media_available"),
        (3, "tracking_update"),
        (4, "tracking_update"),
        (5, "batch_processing_complete"),
    ]
    for item in found:
        decoded = json.loads(item.body)
        assert (decoded["seq"], decoded["type"]) == (item.seq, item.type)
    assert [item.seq for item in await log.read(task_id, 1, 0.0, 2)] == [2, 3]


async def test_many_at_once_get_one_number_each(log: EventLog, task_id: str) -> None:
    given = await asyncio.gather(
        *(log.publish(task_id, FocusChanged(payload=FocusPayload(global_id=None))) for _ in range(100))
    )

    assert sorted(seq for seq in given if seq is not None) == list(range(1, 101))
    assert [item.seq for item in await log.read(task_id, 0, 0.0, 1000)] == list(range(1, 101))


async def test_a_resumed_worker_repeats_nothing(log: EventLog, task_id: str) -> None:
    await say(log, task_id, media(0), tick(0), tick(1), done(0), media(1), tick(2, 1), tick(3, 1))

    again = await say(log, task_id, media(0), done(0), media(1), tick(2, 1), tick(3, 1), tick(4, 1), done(1))

    assert again == [None, None, None, None, None, 8, 9]
    frames = [json.loads(item.body)["payload"] for item in await log.read(task_id, 0, 0.0, 100)]
    assert [frame["global_frame_index"] for frame in frames if "global_frame_index" in frame] == [0, 1, 2, 3, 4]
    assert await log.publish(task_id, status("said twice")) == 10
    assert await log.publish(task_id, status("said twice")) == 11


async def test_a_newcomer_starts_with_the_current_batch(log: EventLog, task_id: str) -> None:
    await say(log, task_id, status("old"), media(0), tick(0), done(0), status("new"), media(1), tick(1, 1), tick(2, 1))

    place, _ = await log.place(task_id, None)
    first = await log.sync(task_id, place)

    assert place == 6
    assert [seq for seq, _ in first] == [2, 5, 6]
    assert json.loads(first[1][1])["payload"]["current_step"] == "new"
    assert [item.seq for item in await log.read(task_id, place, 0.0, 10)] == [7, 8]


async def test_with_the_next_batch_announced_early_the_current_one_is_still_replayed(
    log: EventLog, task_id: str
) -> None:
    await say(log, task_id, media(0), tick(0), media(1), tick(1))
    assert (await log.place(task_id, None)).after == 1


async def test_what_comes_after_a_place_is_left_to_reading(log: EventLog, task_id: str) -> None:
    await say(log, task_id, status("a"), media(0), tick(0), media(1), status("b"))

    assert [seq for seq, _ in await log.sync(task_id, 3)] == [2]
    assert [seq for seq, _ in await log.sync(task_id, 5)] == [2, 4, 5]
    assert [seq for seq, _ in await log.sync(task_id, 0)] == []


async def test_a_place_beyond_the_end_misses_nothing_to_come(log: EventLog, task_id: str) -> None:
    await say(log, task_id, tick(0), tick(1))
    assert await log.place(task_id, 1_000_000) == (2, 2)


async def test_an_unknown_log_is_empty(log: EventLog, task_id: str) -> None:
    assert await log.place(task_id, None) == (0, 0)
    assert await log.place(task_id, 12) == (0, 0)
    assert await log.sync(task_id, 0) == []
    assert await log.read(task_id, 0, 0.0, 10) == []


async def test_reading_waits_for_news_and_no_longer(log: EventLog, task_id: str) -> None:
    began = time.monotonic()
    assert await log.read(task_id, 0, 0.2, 10) == []
    assert 0.15 < time.monotonic() - began < 2.0

    waiting = asyncio.create_task(log.read(task_id, 0, 10.0, 10))
    await asyncio.sleep(0.05)
    await log.publish(task_id, tick(0))
    assert [item.seq for item in await asyncio.wait_for(waiting, 5)] == [1]


async def test_logs_of_tasks_are_apart(log: EventLog, task_id: str) -> None:
    await say(log, task_id, tick(0), tick(1))
    assert await log.publish(str(uuid.uuid4()), tick(0)) == 1


async def test_a_deleted_log_is_forgotten(log: EventLog, task_id: str, redis_url: str) -> None:
    await say(log, task_id, media(0), tick(0))
    await log.delete(task_id)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


async def test_a_log_is_bounded_and_expires_but_keeps_what_puts_a_client_in_step(redis_url: str, task_id: str) -> None:
    settings = load_settings(_env_file=None, redis_url=redis_url, event_log_max_messages=1000, event_log_ttl_s=100)
    async with EventLog.open(settings) as log:
        await say(log, task_id, media(0), status("started"))
        for frame in range(1500):
            await log.publish(task_id, tick(frame))
        found = await log.read(task_id, 0, 0.0, 10_000)
        assert 1000 <= len(found) < 1300
        assert found[-1].seq == 1502
        assert [seq for seq, _ in await log.sync(task_id, 1502)] == [1, 2]
    with redis.Redis.from_url(redis_url) as client:
        assert all(95_000 < client.pttl(key) <= 100_000 for key in client.scan_iter())


async def test_a_ring_is_heard_even_between_two_waits(log: EventLog, task_id: str) -> None:
    async with log.doorbell(task_id) as bell:
        assert not await bell.wait(0.05)
        await log.ring(task_id)
        await asyncio.sleep(0.05)
        assert await bell.wait(5)
        assert not await bell.wait(0.05)
        await log.ring(str(uuid.uuid4()))
        assert not await bell.wait(0.05)


async def test_a_ring_is_heard_at_once(log: EventLog, task_id: str) -> None:
    async with log.doorbell(task_id) as bell:
        waiting = asyncio.create_task(bell.wait(10))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await log.ring(task_id)
        assert await waiting
        assert time.monotonic() - began < 1.0


async def test_only_living_workers_are_named(log: EventLog) -> None:
    await log.beat("a", {"id": "a", "models_warm": True}, ttl_s=60)
    await log.beat("b", {"id": "b"}, ttl_s=0.1)
    assert sorted(worker["id"] for worker in await log.workers()) == ["a", "b"]
    await asyncio.sleep(0.2)
    assert await log.workers() == [{"id": "a", "models_warm": True}]
    await log.beat("a", {"id": "a", "models_warm": False}, ttl_s=60)
    assert await log.workers() == [{"id": "a", "models_warm": False}]


async def test_a_server_that_is_away_is_said_in_time(task_id: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        async with EventLog.open(load_settings(_env_file=None, redis_url=url, redis_timeout_s=0.5)) as log:
            with pytest.raises(EventLogError, match="cannot publish a tracking_update"):
                await log.publish(task_id, tick(0))


async def test_a_server_that_does_not_answer_is_said_in_time(task_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with EventLog.open(load_settings(_env_file=None, redis_url=url, redis_timeout_s=0.2)) as log:
            began = time.monotonic()
            with pytest.raises(EventLogError, match="cannot read the log"):
                await log.read(task_id, 0, 0.1, 10)
            with pytest.raises(EventLogError, match="cannot reach Redis"):
                await log.ping()
            assert time.monotonic() - began < 3
