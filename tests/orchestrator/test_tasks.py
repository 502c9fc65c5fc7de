"""The state machine of a task, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import uuid

import pytest

from orchestrator.errors import HistoryError, IllegalTransitionError, TooManyTasksError, UnknownTaskError
from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.tasks import ACTIVE, FINAL, LEGAL, Place, Task, TaskStatus, TaskStore

pytestmark = pytest.mark.servers

WALK = (TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING, TaskStatus.PROCESSING)


async def new_task(store: TaskStore) -> Task:
    return await store.create("campus", max_active=100)


async def put_into(pool: Pool, task: Task, status: TaskStatus) -> None:
    paused_from = "QUEUED" if status is TaskStatus.PAUSED else None
    async with transaction(pool, "prepare a test") as connection:
        await connection.execute(
            "UPDATE tasks SET status = %s, paused_from = %s WHERE id = %s", (status, paused_from, task.id)
        )


async def test_a_new_task_is_read_back_as_it_was_made(store: TaskStore) -> None:
    made = await store.create("campus", ("c01", "c05"), 1, 3, max_active=1)

    assert await store.get(made.id) == made
    assert (made.environment_id, made.cameras, made.start_batch, made.end_batch) == ("campus", ("c01", "c05"), 1, 3)
    assert made.status is TaskStatus.QUEUED
    assert made.created_at.utcoffset() is not None


@pytest.mark.parametrize("task_id", [str(uuid.uuid4()), "not-a-uuid", "../etc/passwd", ""])
async def test_an_unknown_task_is_named(store: TaskStore, task_id: str) -> None:
    with pytest.raises(UnknownTaskError, match="there is no task"):
        await store.get(task_id)
    with pytest.raises(UnknownTaskError):
        await store.advance(task_id, TaskStatus.INITIALIZING)


def place_of(task: Task) -> Place:
    return task.created_at, task.id


async def test_pages_hold_every_task_once_newest_first(store: TaskStore) -> None:
    made = [(await new_task(store)).id for _ in range(5)]

    first = await store.page(2)
    second = await store.page(2, before=place_of(first[-1]))
    third = await store.page(2, before=place_of(second[-1]))

    assert [task.id for task in (*first, *second, *third)] == made[::-1]


async def test_pages_stay_where_they_are_when_tasks_come_and_go(store: TaskStore, pool: Pool) -> None:
    made = [(await new_task(store)).id for _ in range(5)]
    first = await store.page(2)
    await new_task(store)
    async with transaction(pool, "delete the task that the page ended with") as connection:
        await connection.execute("DELETE FROM tasks WHERE id = %s", (first[-1].id,))
    assert [task.id for task in await store.page(10, before=place_of(first[-1]))] == made[2::-1]


async def test_the_limit_of_active_tasks_holds_when_many_start_at_once(store: TaskStore) -> None:
    outcomes = await asyncio.gather(*(store.create("campus", max_active=3) for _ in range(12)), return_exceptions=True)

    assert sum(isinstance(outcome, Task) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, TooManyTasksError) for outcome in outcomes) == 9


async def test_a_finished_task_makes_room(store: TaskStore) -> None:
    task = await store.create("campus", max_active=1)
    await store.cancel(task.id)

    assert (await store.create("campus", max_active=1)).status is TaskStatus.QUEUED


async def test_what_goes_with_the_row_is_undone_with_it(store: TaskStore) -> None:
    async def break_off(connection: Connection, task_id: str) -> None:
        raise HistoryError(f"no job for {task_id}")

    with pytest.raises(HistoryError, match="no job"):
        await store.create("campus", max_active=8, in_transaction=break_off)

    assert await store.page(10) == ()


async def test_the_usual_way(store: TaskStore) -> None:
    task = await new_task(store)
    for status in (*WALK, TaskStatus.DOWNLOADING, TaskStatus.PROCESSING, TaskStatus.COMPLETED):
        assert (await store.advance(task.id, status)).status is status


async def test_exactly_the_legal_transitions_are_allowed(store: TaskStore, pool: Pool) -> None:
    task = await new_task(store)
    working = set(WALK)
    for source, target in itertools.product(TaskStatus, TaskStatus):
        if source is TaskStatus.PAUSED and target in working:
            continue  # kept for the resume, see below
        await put_into(pool, task, source)
        if target is TaskStatus.PAUSED:
            move = store.pause(task.id)
        elif target is TaskStatus.QUEUED and source is TaskStatus.PAUSED:
            move = store.resume(task.id)
        else:
            move = store.advance(task.id, target)
        if target in LEGAL[source]:
            assert (await move).status is target
        else:
            with pytest.raises(IllegalTransitionError, match=f"is {source} and cannot be"):
                await move


def test_nothing_leaves_a_final_state_and_every_other_can_be_stopped() -> None:
    assert all(not LEGAL[state] for state in FINAL)
    assert all(LEGAL[state] >= {TaskStatus.CANCELLED, TaskStatus.FAILED} for state in ACTIVE)


@pytest.mark.parametrize("steps", range(4))
async def test_resume_goes_back_to_where_the_task_was_paused(store: TaskStore, steps: int) -> None:
    task = await new_task(store)
    for status in WALK[:steps]:
        task = await store.advance(task.id, status)

    assert (await store.pause(task.id)).status is TaskStatus.PAUSED
    with pytest.raises(IllegalTransitionError, match="PAUSED and cannot be paused"):
        await store.pause(task.id)
    assert (await store.resume(task.id)).status is task.status
    with pytest.raises(IllegalTransitionError, match="cannot be resumed"):
        await store.resume(task.id)


async def test_a_workers_move_never_undoes_a_pause(store: TaskStore) -> None:
    task = await new_task(store)
    await store.advance(task.id, TaskStatus.INITIALIZING)
    await store.advance(task.id, TaskStatus.DOWNLOADING)
    await store.pause(task.id)

    moved = await store.advance(task.id, TaskStatus.PROCESSING, current_step="batch 1")

    assert (moved.status, moved.current_step) == (TaskStatus.PAUSED, "batch 1")
    assert (await store.resume(task.id)).status is TaskStatus.PROCESSING


async def test_an_illegal_move_is_refused_while_paused_too(store: TaskStore) -> None:
    task = await new_task(store)
    await store.pause(task.id)
    with pytest.raises(IllegalTransitionError):
        await store.advance(task.id, TaskStatus.PROCESSING)


async def test_of_a_cancel_and_a_completion_at_once_one_wins(store: TaskStore) -> None:
    for _ in range(10):
        task = await new_task(store)
        for status in WALK:
            await store.advance(task.id, status)
        outcomes = await asyncio.gather(
            store.cancel(task.id), store.advance(task.id, TaskStatus.COMPLETED), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Task)]
        assert len(winners) == 1
        assert (await store.get(task.id)).status is winners[0].status


async def test_a_replaced_attempt_can_report_nothing(store: TaskStore) -> None:
    task = await new_task(store)
    first = await store.advance(task.id, TaskStatus.INITIALIZING)
    await store.advance(task.id, TaskStatus.DOWNLOADING, attempt=first.attempt)
    second = await store.advance(task.id, TaskStatus.INITIALIZING)

    assert (first.attempt, second.attempt) == (1, 2)
    with pytest.raises(IllegalTransitionError, match="attempt 1 was replaced by attempt 2"):
        await store.advance(task.id, TaskStatus.DOWNLOADING, attempt=first.attempt)
    with pytest.raises(IllegalTransitionError, match="replaced"):
        await store.update_progress(task.id, attempt=first.attempt, progress=0.5)
    assert (await store.advance(task.id, TaskStatus.DOWNLOADING, attempt=second.attempt)).status == "DOWNLOADING"


async def test_a_report_changes_what_it_names_and_merges_details(store: TaskStore) -> None:
    task = await new_task(store)
    await store.update_progress(task.id, details={"absent": ["c02"], "throughput": {"frames": 1}}, progress=0.25)
    reported = await store.update_progress(
        task.id, details={"throughput": {"frames": 2}}, total_sub_video_batches=4, processed_frames=12
    )

    assert reported.details == {"absent": ["c02"], "throughput": {"frames": 2}}
    assert (reported.progress, reported.total_sub_video_batches, reported.processed_frames) == (0.25, 4, 12)
    assert reported.updated_at > task.updated_at


async def test_a_finished_task_takes_no_report_and_no_focus(store: TaskStore) -> None:
    task = await new_task(store)
    assert (await store.focus(task.id, "abc-1")).focus_global_id == "abc-1"
    assert (await store.focus(task.id, None)).focus_global_id is None
    await store.cancel(task.id)

    with pytest.raises(IllegalTransitionError, match="CANCELLED and cannot report progress"):
        await store.update_progress(task.id, progress=1.0)
    with pytest.raises(IllegalTransitionError, match="CANCELLED and cannot follow"):
        await store.focus(task.id, "abc-1")
