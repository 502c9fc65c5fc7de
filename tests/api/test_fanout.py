"""api/fanout.py: one reader, many clients, nothing lost and nothing without bound."""

from __future__ import annotations

import asyncio

import pytest

from api import fanout
from api.fanout import QUEUE_MESSAGES, Fanout, Message, SlowClientError
from orchestrator.errors import EventLogError


class ListLog:
    """A message log in memory that counts how often it is read."""

    def __init__(self):
        self.messages = []
        self.news = asyncio.Event()
        self.reads = 0
        self.broken = False

    def add(self, count=1, *, final=False):
        for _ in range(count):
            seq = len(self.messages) + 1
            self.messages.append(Message(seq, f"message {seq}", final))
        self.news.set()

    async def read(self, task_id, after, block_s, count):
        self.reads += 1
        if self.broken:
            raise EventLogError("Redis is away")
        if block_s and after >= len(self.messages):
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), block_s)
            except TimeoutError:
                return []
        return self.messages[after : after + count]

    async def begun_anew(self, task_id, position):
        return 0 < len(self.messages) < position


async def never(task_id, seq):
    return None


async def take(subscription, count):
    taken = []
    while len(taken) < count:
        taken += await asyncio.wait_for(subscription.take(), 2)
    return [message.seq for message in taken]


@pytest.fixture
async def log():
    return ListLog()


@pytest.fixture
async def feeds(log):
    feeds = Fanout(log, never)
    yield feeds
    await feeds.close()


async def test_all_clients_share_one_reader(log, feeds):
    clients = [feeds.join("t", 0) for _ in range(50)]
    log.add(10)
    for client in clients:
        assert await take(client, 10) == list(range(1, 11))
    assert log.reads <= 3
    assert feeds.followed_tasks == 1


async def test_a_client_a_little_behind_joins_without_a_gap(log, feeds):
    first = feeds.join("t", 0)
    log.add(5)
    await take(first, 5)
    second = feeds.join("t", 3)
    log.add(1)
    assert await take(second, 3) == [4, 5, 6]


async def test_a_client_that_is_ahead_of_the_feed_gets_nothing_twice(log, feeds):
    feeds.join("t", 0)
    ahead = feeds.join("t", 2)
    log.add(4)
    assert await take(ahead, 2) == [3, 4]


async def test_a_client_far_behind_has_to_read_on_by_itself(log, feeds):
    first = feeds.join("t", 0)
    log.add(fanout.RECENT_MESSAGES + 10)
    await take(first, fanout.RECENT_MESSAGES + 10)
    assert feeds.join("t", 5) is None
    assert feeds.join("t", 10) is not None


async def test_a_client_that_does_not_read_is_told_so_and_keeps_nothing(log, feeds):
    slow, quick = feeds.join("t", 0), feeds.join("t", 0)
    seen = 0
    while seen <= QUEUE_MESSAGES:
        log.add(100)
        seen += len(await take(quick, 100))
    with pytest.raises(SlowClientError):
        await slow.take()
    log.add(1)
    assert await take(quick, 1) == [seen + 1]


async def test_the_reader_ends_with_its_last_client(log, feeds):
    first, second = feeds.join("t", 0), feeds.join("t", 0)
    await feeds.leave("t", first)
    assert feeds.followed_tasks == 1
    await feeds.leave("t", second)
    assert feeds.followed_tasks == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "feed t"]


async def test_the_reader_outlives_a_failing_log(log, feeds, monkeypatch, caplog):
    monkeypatch.setattr(fanout, "RETRY_S", 0.01)
    log.broken = True
    client = feeds.join("t", 0)
    await asyncio.sleep(0.05)
    log.broken = False
    log.add(2)
    assert await take(client, 2) == [1, 2]
    assert len([line for line in caplog.records if "Redis is away" in line.message]) == 1


async def test_a_task_that_ended_in_silence_ends_for_its_clients(log, monkeypatch):
    monkeypatch.setattr(fanout, "BLOCK_S", 0.01)

    async def ended(task_id, seq):
        return Message(seq, "ended", final=True)

    feeds = Fanout(log, ended)
    log.add(3)
    client = feeds.join("t", 0)
    taken = []
    while not (taken and taken[-1].final):
        taken += await asyncio.wait_for(client.take(), 2)
    assert [message.seq for message in taken] == [1, 2, 3, 4]
    await feeds.close()
