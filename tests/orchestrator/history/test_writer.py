"""History on a real PostgreSQL: what goes in comes out, once, whatever breaks in between."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import HistoryError, IllegalTransitionError
from orchestrator.history import writer as writer_module
from orchestrator.history.pool import Pool, open_pool, transaction
from orchestrator.history.queries import TrackRow, task_tracks, trajectory
from orchestrator.history.writer import Checkpoint, HistoryWriter
from orchestrator.inference.protocols import ModelId
from orchestrator.settings import Settings, load_settings
from orchestrator.tasks import Task, TaskStatus, TaskStore
from orchestrator.values import Float32, Frame, Identities, Tracks

pytestmark = pytest.mark.servers

MODEL = ModelId("person_reid", "1")
RATE = 12.0
NEARLY_MIDNIGHT = datetime(2026, 1, 5, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True)
class Outcome:
    camera_id: str
    tracks: Tracks
    identities: Identities
    embeddings: Float32


def frame(camera_id: str, tick: int) -> Frame:
    return Frame(camera_id, tick, tick / RATE, np.zeros((2, 2, 3), np.uint8))


def outcome(camera_id: str, tick: int, people: int = 3, on_map: bool = True) -> Outcome:
    """Made from camera and tick alone, so that a repeated run sees the same."""
    generator = np.random.default_rng([tick, *camera_id.encode()])
    boxes = generator.uniform(0, 1000, (people, 4)).astype(np.float32)
    scores = generator.uniform(0.5, 1, people).astype(np.float32)
    embeddings = generator.normal(size=(people, 8)).astype(np.float32)
    places = generator.uniform(-10, 10, (people, 2)) if on_map else np.full((people, 2), np.nan)
    return Outcome(
        camera_id,
        Tracks(np.arange(1, people + 1), boxes, scores, np.arange(people)),
        Identities([f"abc-{number}" for number in range(people)], places),
        embeddings,
    )


CAMERAS = (("c01", True), ("camera-twelve", True), ("c09", False))
ETAGS = {camera_id: f"file of {camera_id}" for camera_id, _ in CAMERAS}


async def add_tick(writer: HistoryWriter, tick: int) -> None:
    results = [outcome(camera_id, tick, on_map=on_map) for camera_id, on_map in CAMERAS]
    await writer.add(tick, [frame(camera_id, tick) for camera_id, _ in CAMERAS], results)


BINDINGS = {(camera_id, track): f"abc-{track - 1}" for camera_id, _ in CAMERAS for track in (1, 2, 3)}


async def run_batch(writer: HistoryWriter, index: int, ticks: range) -> None:
    await writer.begin_batch(index, ticks.start, RATE, ETAGS)
    for tick in ticks:
        await add_tick(writer, tick)
    await writer.checkpoint(index, ticks.stop, f"state after {index}".encode(), BINDINGS)


@pytest.fixture
async def task(store: TaskStore) -> Task:
    return await take(store, (await store.create("campus", max_active=8)).id)


async def take(store: TaskStore, task_id: str) -> Task:
    """A new attempt at the task."""
    return await store.advance(task_id, TaskStatus.INITIALIZING)


def writer_of(pool: Pool, task: Task) -> HistoryWriter:
    return HistoryWriter(pool, task, MODEL, recorded_from=NEARLY_MIDNIGHT)


async def tracks_of(pool: Pool, task: Task) -> list[TrackRow]:
    async with aclosing(task_tracks(pool, task.id)) as rows:
        return [row async for block in rows for row in block]


async def stored(pool: Pool, table: str, task: Task) -> list[tuple[Any, ...]]:
    columns = {
        "detections": "camera_id, track_id, global_frame_index, time, media_time_s, x1, confidence, map_x, map_y",
        "embeddings": "camera_id, track_id, global_frame_index, time, model_name, model_version, embedding::text",
        "tracklets": "camera_id, track_id, global_id, first_frame, last_frame, first_time, last_time",
    }[table]
    async with transaction(pool, "look at a table") as connection:
        cursor = await connection.execute(
            f"SELECT {columns} FROM {table} WHERE task_id = %s ORDER BY 1, 2, 3", (task.id,)
        )
        return list(await cursor.fetchall())


async def everything(pool: Pool, task: Task) -> list[list[tuple[Any, ...]]]:
    return [await stored(pool, table, task) for table in ("detections", "embeddings", "tracklets")]


async def test_every_value_comes_back_as_it_went_in(pool: Pool, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(24))

    rows = {(row.camera_id, row.global_frame_index, row.track_id): row for row in await tracks_of(pool, task)}

    assert len(rows) == 24 * 3 * 3
    for camera_id, on_map in CAMERAS:
        for tick in range(24):
            seen = outcome(camera_id, tick, on_map=on_map)
            for index in range(3):
                row = rows[camera_id, tick, index + 1]
                assert row.bbox == pytest.approx(seen.tracks.boxes[index].tolist(), rel=1e-6)
                assert row.confidence == pytest.approx(seen.tracks.scores[index], rel=1e-6)
                assert row.media_time_s == tick / RATE
                assert row.time == NEARLY_MIDNIGHT + timedelta(microseconds=round(tick * 1e6 / RATE))
                assert row.global_id == f"abc-{index}"
                expected = seen.identities.map_xy[index].tolist() if on_map else [None, None]
                assert [row.map_x, row.map_y] == expected


async def test_embeddings_name_their_model_and_come_back_exactly(pool: Pool, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(24))

    rows = await stored(pool, "embeddings", task)

    assert len(rows) == 3 * 3 * 3  # cameras x tracks x windows of 10 ticks
    assert {row[4:6] for row in rows} == {("person_reid", "1")}
    for camera_id, track_id, tick, *_, text in rows:
        sent = outcome(camera_id, tick).embeddings[track_id - 1]
        assert np.array_equal(np.array(text.strip("[]").split(","), np.float32), sent)


async def test_a_trajectory_is_merged_across_cameras_in_time_order(pool: Pool, task: Task, store: TaskStore) -> None:
    other = await take(store, (await store.create("campus", max_active=8)).id)
    for each in (task, other):
        async with writer_of(pool, each) as writer:
            await run_batch(writer, 0, range(24))

    async def points(*narrowed: Any) -> list[tuple[datetime, str]]:
        async with aclosing(trajectory(pool, "abc-1", *narrowed)) as found:
            return [(point.time, point.camera_id) async for block in found for point in block]

    one_task = await points(task.id)
    assert len(one_task) == 24 * 3
    assert one_task == sorted(one_task)
    assert {camera for _, camera in one_task} == {camera for camera, _ in CAMERAS}
    assert len(await points()) == 2 * 24 * 3
    start, end = NEARLY_MIDNIGHT + timedelta(seconds=0.5), NEARLY_MIDNIGHT + timedelta(seconds=1)
    assert await points(task.id, start, end) == [point for point in one_task if start <= point[0] < end]
    async with aclosing(trajectory(pool, "nobody")) as found:
        assert [point async for point in found] == []


async def test_days_become_partitions_and_are_made_once(pool: Pool, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(24))
    async with transaction(pool, "look at the partitions") as connection:
        cursor = await connection.execute(
            "SELECT relid::text FROM pg_partition_tree('detections') WHERE isleaf ORDER BY 1"
        )
        leaves = [name for (name,) in await cursor.fetchall() if name < "detections_202602"]
        cursor = await connection.execute("SELECT count(*) FROM detections_20260105")
        first_day = await cursor.fetchone()
    assert leaves == ["detections_20260105", "detections_20260106"]
    assert first_day == (12 * 9,)


async def test_a_batch_that_broke_off_is_written_again_and_the_result_is_the_same(
    pool: Pool, store: TaskStore, task: Task
) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(13))
        await run_batch(writer, 1, range(13, 40))
    unbroken = await everything(pool, task)

    broken = await take(store, (await store.create("campus", max_active=8)).id)
    async with writer_of(pool, broken) as writer:
        await run_batch(writer, 0, range(13))
        for tick in range(13, 30):
            await add_tick(writer, tick)
    assert len(await stored(pool, "detections", broken)) == 30 * 9
    last_frames = {row[4] for row in await stored(pool, "tracklets", broken)}
    assert last_frames == {12}, "an unfinished batch shows in no tracklet"

    broken = await take(store, broken.id)
    async with writer_of(pool, broken) as writer:
        checkpoint = await writer.load_checkpoint()
        assert checkpoint == Checkpoint(1, 13, b"state after 0")
        await run_batch(writer, 1, range(checkpoint.next_frame, 40))
    assert await everything(pool, broken) == unbroken


async def test_a_former_attempt_can_store_nothing_more(pool: Pool, store: TaskStore, task: Task) -> None:
    async with AsyncExitStack() as stack:
        zombie = await stack.enter_async_context(writer_of(pool, task))
        await run_batch(zombie, 0, range(5))
        await add_tick(zombie, 5)
        successor = await take(store, task.id)
        async with writer_of(pool, successor) as writer:
            await run_batch(writer, 1, range(5, 10))
        with pytest.raises(IllegalTransitionError, match="attempt 1 was replaced"):
            await zombie.checkpoint(1, 6, b"stale", {})
        with pytest.raises(IllegalTransitionError, match="attempt 1 was replaced"):
            await stack.aclose()
    assert len(await stored(pool, "detections", task)) == 10 * 9
    async with writer_of(pool, successor) as writer:
        assert await writer.load_checkpoint() == Checkpoint(2, 10, b"state after 1")


async def test_a_checkpoint_is_all_or_nothing(pool: Pool, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(5))
    before = await everything(pool, task)

    async def break_at_the_end() -> None:
        async with writer_of(pool, task) as writer:
            await writer.begin_batch(1, 5, RATE, ETAGS)
            for tick in range(5, 10):
                await add_tick(writer, tick)
            await writer.checkpoint(1, 2**40, b"too big for its column", BINDINGS)

    with pytest.raises(HistoryError, match="cannot store history"):
        await break_at_the_end()
    assert await everything(pool, task) == before


async def test_a_row_stored_twice_is_an_error_and_no_duplicate(pool: Pool, task: Task) -> None:
    async def repeat() -> None:
        async with writer_of(pool, task) as writer:
            await writer.begin_batch(0, 0, RATE, ETAGS)
            await add_tick(writer, 0)
            await writer.flush()
            await add_tick(writer, 0)

    with pytest.raises(HistoryError, match="duplicate key"):
        await repeat()
    assert len(await stored(pool, "detections", task)) == 9


async def test_a_failure_in_the_background_reaches_the_pipeline(
    pool: Pool, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.01)

    async def add_until_told() -> None:
        async with asyncio.timeout(10), writer_of(pool, task) as writer:
            await writer.begin_batch(0, 0, RATE, ETAGS)
            while True:
                await add_tick(writer, 0)
                await asyncio.sleep(0.01)

    with pytest.raises(HistoryError, match="duplicate key"):
        await add_until_told()


async def test_rows_are_written_while_the_batch_runs_and_at_a_quiet_end(
    pool: Pool, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.02)
    async with writer_of(pool, task) as writer:
        await writer.begin_batch(0, 0, RATE, ETAGS)
        await add_tick(writer, 0)
        for _ in range(500):
            if await stored(pool, "detections", task):
                break
            await asyncio.sleep(0.02)
        assert len(await stored(pool, "detections", task)) == 9
        await add_tick(writer, 1)
    assert len(await stored(pool, "detections", task)) == 18


async def test_the_buffer_is_bounded(pool: Pool, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BUFFER_ROWS", 50)
    async with writer_of(pool, task) as writer:
        await writer.begin_batch(0, 0, RATE, ETAGS)
        for tick in range(6):
            await add_tick(writer, tick)
        assert len(await stored(pool, "detections", task)) == 54


async def test_a_name_given_later_is_stored_with_the_next_checkpoint(pool: Pool, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await writer.begin_batch(0, 0, RATE, ETAGS)
        await add_tick(writer, 0)
        await writer.checkpoint(0, 1, b"", {})
        assert {row[2] for row in await stored(pool, "tracklets", task)} == {None}
        await writer.begin_batch(1, 1, RATE, ETAGS)
        await writer.checkpoint(1, 1, b"", BINDINGS)
    assert {row[2] for row in await stored(pool, "tracklets", task)} == {"abc-0", "abc-1", "abc-2"}


async def test_a_finished_task_keeps_no_checkpoint(pool: Pool, store: TaskStore, task: Task) -> None:
    async with writer_of(pool, task) as writer:
        await run_batch(writer, 0, range(2))
        for status in (TaskStatus.DOWNLOADING, TaskStatus.PROCESSING, TaskStatus.COMPLETED):
            assert await writer.load_checkpoint() is not None
            await store.advance(task.id, status)
        assert await writer.load_checkpoint() is None


async def test_a_database_that_is_away_is_named_without_its_password(database_settings: Settings) -> None:
    settings = load_settings(
        _env_file=None, postgres_dsn="postgresql://spoton:geheim@127.0.0.1:1/spoton", postgres_timeout_s=0.5
    )
    with pytest.raises(HistoryError, match=r"cannot connect to PostgreSQL at 127\.0\.0\.1:1/spoton") as caught:
        async with open_pool(settings):
            pass
    assert "geheim" not in str(caught.value)
    async with open_pool(settings, wait=False) as pool:
        with pytest.raises(HistoryError, match="cannot read a task"):
            await TaskStore(pool).get("5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a")


async def test_a_statement_that_takes_too_long_ends(pg_dsn: str) -> None:
    async with open_pool(load_settings(_env_file=None, postgres_dsn=pg_dsn, postgres_timeout_s=0.3)) as pool:
        with pytest.raises(HistoryError, match="cannot wait: canceling statement due to statement timeout"):
            async with transaction(pool, "wait") as connection:
                await connection.execute("SELECT pg_sleep(20)")
