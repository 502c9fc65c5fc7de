"""A task from its row to its last message on real PostgreSQL and Valkey; inference is faked, videos lie in a folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.correction import NamedStretch, StoredTracks
from orchestrator.errors import HistoryError, StorageError
from orchestrator.events import EventLog
from orchestrator.history import writer as writer_module
from orchestrator.history.pool import transaction
from orchestrator.history.sub_videos import ticks_of_task
from orchestrator.homography import load_homographies
from orchestrator.inference.client import Inference
from orchestrator.media import FolderVideoSource, VideoCache
from orchestrator.metrics import Metrics
from orchestrator.pipeline import Pipeline
from orchestrator.services import Services
from orchestrator.settings import Settings
from orchestrator.site import load_site
from orchestrator.tasks import Task, TaskStatus
from orchestrator.worker import process
from tests.orchestrator.fakes import BrightnessEmbedder, fake_inference
from tests.orchestrator.videos import cut, write_video

pytestmark = pytest.mark.servers

FRAMES = 24
DELAY_S = 0.004

Message = dict[str, Any]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two cameras with two sub-videos each."""
    for camera in ("c1", "c2"):
        for number in (1, 2):
            path = tmp_path / "videos" / camera / f"sub_video_{number:02d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, FRAMES)
    return tmp_path / "videos"


@pytest.fixture
async def services(
    tmp_path: Path, videos: Path, database_settings: Settings, redis_url: str, pool: Any, store: Any
) -> AsyncIterator[Services]:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(
        "environments:\n  yard:\n    recorded_from: 2026-01-05T09:00:00Z\n    cameras:\n"
        "      c1: {prefix: c1}\n      c2: {prefix: c2}\n"
    )
    site = load_site(site_file)
    settings = database_settings.model_copy(
        update={
            "site_file": site_file,
            "cache_dir": tmp_path / "cache",
            "redis_url": type(database_settings.redis_url)(redis_url),
        }
    )
    source = FolderVideoSource(videos)
    async with EventLog.open(settings) as events:
        yield Services(
            settings=settings,
            site=site,
            homographies={name: load_homographies(each) for name, each in site.environments.items()},
            pool=pool,
            store=store,
            events=events,
            source=source,
            cache=VideoCache(settings, source),
            inference=fake_inference(2, delay_s=DELAY_S),
            metrics=Metrics(),
        )


async def new_task(services: Services, **options: Any) -> Task:
    return await services.store.create("yard", max_active=8, **options)


async def said(services: Services, task: Task) -> list[Message]:
    return [json.loads(message.body) for message in await services.events.read(task.id, 0, 0, 10_000)]


def of_type(messages: list[Message], kind: str) -> list[Mapping[str, Any]]:
    return [message["payload"] for message in messages if message["type"] == kind]


def frames_of(messages: list[Message]) -> list[int]:
    return [update["global_frame_index"] for update in of_type(messages, "tracking_update")]


async def rows_of(services: Services, task: Task) -> list[tuple[Any, ...]]:
    async with transaction(services.pool, "read rows") as connection:
        cursor = await connection.execute(
            "SELECT camera_id, global_frame_index, track_id, time, media_time_s, x1, y1, x2, y2 FROM detections "
            "WHERE task_id = %s ORDER BY camera_id, global_frame_index, track_id",
            (task.id,),
        )
        return await cursor.fetchall()


@asynccontextmanager
async def running(services: Services, task: Task) -> AsyncIterator[asyncio.Task[None]]:
    """The task under way on a worker."""
    run = asyncio.create_task(process(services, task.id))
    try:
        yield run
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def until(condition: Callable[[list[Message]], bool], services: Services, task: Task) -> list[Message]:
    async with asyncio.timeout(20):
        while not condition(messages := await said(services, task)):
            await asyncio.sleep(0.01)
    return messages


async def test_every_tick_is_told_once_and_in_order_and_stored(services: Services) -> None:
    task = await new_task(services)
    await process(services, task.id)
    messages = await said(services, task)
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert frames_of(messages) == list(range(2 * FRAMES))
    states = [update["status"] for update in of_type(messages, "status_update")]
    assert [state for state, after in zip(states, [*states[1:], ""], strict=True) if state != after] == [
        *("INITIALIZING", "DOWNLOADING", "PROCESSING", "DOWNLOADING", "PROCESSING", "COMPLETED")
    ]
    assert messages[-1]["type"] == "status_update"
    assert messages[-1]["payload"]["progress"] == 1
    assert messages[-1]["payload"]["processed_frames"] == 4 * FRAMES
    assert [b["sub_video_batch_index"] for b in of_type(messages, "batch_processing_complete")] == [0, 1]
    assert len(await rows_of(services, task)) == 4 * FRAMES


async def test_a_range_of_batches_is_counted_and_timed_as_part_of_the_whole(
    services: Services, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of the batches before are counted, at their rate: from their files, or from what history knows of them."""
    for camera in ("c1", "c2"):
        write_video(videos / camera / "sub_video_02.mp4", FRAMES // 2)
        write_video(videos / camera / "sub_video_03.mp4", FRAMES, fps=6)
    first, whole, again = [
        await new_task(services, **chosen) for chosen in ({"start_batch": 2}, {}, {"start_batch": 2})
    ]
    before = FRAMES + FRAMES // 2
    await process(services, first.id)
    await process(services, whole.id)
    fetched: list[str] = []
    path_of = VideoCache.path_of

    async def noted(cache: VideoCache, environment_id: str, sub_video: Any) -> Path:
        fetched.append(sub_video.filename)
        return await path_of(cache, environment_id, sub_video)

    monkeypatch.setattr(VideoCache, "path_of", noted)
    await process(services, again.id)
    assert set(fetched) == {"sub_video_01.mp4", "sub_video_03.mp4"}, "the first decides the rate; the second is known"
    rows = [row for row in await rows_of(services, whole) if row[1] >= before]
    assert rows
    for task in (first, again):
        messages = await said(services, task)
        assert frames_of(messages) == frames_of(await said(services, whole))[before:]
        (media,) = of_type(messages, "media_available")
        assert {each["start_global_frame_index"] for each in media["media_urls"]} == {before}
        assert messages[-1]["payload"]["processed_frames"] == 2 * len(frames_of(messages))
        assert [(row[:2], row[3:5]) for row in await rows_of(services, task)] == [(row[:2], row[3:5]) for row in rows]
    ticks, following = await ticks_of_task(services.pool, first.id, 0, 5, whole=True)
    assert ([tick.frame for tick in ticks], following) == (list(range(before, before + 5)), before + 5)


async def test_a_batch_is_announced_before_its_ticks_and_completed_after_them(services: Services) -> None:
    task = await new_task(services)
    await process(services, task.id)
    messages = await said(services, task)
    order = [
        (
            message["type"],
            message["payload"].get("sub_video_batch_index", message["payload"].get("sub_video_batch_index_of_frame")),
        )
        for message in messages
        if message["type"] in {"media_available", "tracking_update", "batch_processing_complete"}
    ]
    expected = []
    for batch in (0, 1):
        expected += [
            ("media_available", batch),
            *[("tracking_update", batch)] * FRAMES,
            ("batch_processing_complete", batch),
        ]
    assert order == expected
    second = of_type(messages, "media_available")[1]["media_urls"][0]
    assert (second["start_global_frame_index"], second["num_frames_in_sub_video"], second["fps"]) == (
        FRAMES,
        FRAMES,
        12,
    )
    assert second["url"].endswith(f"/tasks/{task.id}/environments/yard/cameras/c1/sub_videos/sub_video_02.mp4")


async def test_the_box_is_on_the_bright_patch(services: Services) -> None:
    task = await new_task(services, end_batch=1)
    await process(services, task.id)
    tracks = of_type(await said(services, task), "tracking_update")[-1]["cameras"]["c1"]["tracks"]
    assert [track["track_id"] for track in tracks] == [1]
    assert tracks[0]["bbox_xyxy"] == pytest.approx([0, 0, 80, 48], abs=3)
    assert tracks[0]["class_id"] == 1
    assert tracks[0]["map_coords"] is None


async def test_a_camera_that_ends_early_goes_on_with_nulls(services: Services, videos: Path) -> None:
    write_video(videos / "c2" / "sub_video_01.mp4", FRAMES // 2)
    task = await new_task(services, end_batch=1)
    await process(services, task.id)
    updates = of_type(await said(services, task), "tracking_update")
    assert len(updates) == FRAMES
    assert updates[FRAMES // 2 - 1]["cameras"]["c2"]["frame_index_in_sub_video"] == FRAMES // 2 - 1
    gone = {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []}
    assert all(update["cameras"]["c2"] == gone for update in updates[FRAMES // 2 :])


async def test_cameras_of_different_rates_stay_together(services: Services, videos: Path) -> None:
    write_video(videos / "c2" / "sub_video_01.mp4", FRAMES // 2, fps=6)
    task = await new_task(services, end_batch=1)
    await process(services, task.id)
    for tick, update in enumerate(of_type(await said(services, task), "tracking_update")):
        assert update["cameras"]["c1"]["media_time_s"] == pytest.approx(tick / 12, abs=1e-6)
        assert abs(update["cameras"]["c2"]["media_time_s"] - tick / 12) <= 1 / 12 + 1e-6


async def test_a_missing_file_is_an_absence_and_said(services: Services, videos: Path) -> None:
    (videos / "c2" / "sub_video_02.mp4").unlink()
    task = await new_task(services)
    await process(services, task.id)
    messages = await said(services, task)
    final = messages[-1]["payload"]
    assert (final["status"], final["details"]["absent"]) == ("COMPLETED", ["c2 has no file for batch 1"])
    assert [url["camera_id"] for url in of_type(messages, "media_available")[1]["media_urls"]] == ["c1"]
    assert frames_of(messages) == list(range(2 * FRAMES))


async def test_a_broken_file_fails_its_task_alone_and_keeps_what_was_stored(services: Services, videos: Path) -> None:
    cut(videos / "c2" / "sub_video_02.mp4", 0.6)
    broken, whole = await new_task(services), await new_task(services, cameras=["c1"])
    await process(services, broken.id)
    await process(services, whole.id)
    final = (await said(services, broken))[-1]["payload"]
    assert final["status"] == "FAILED"
    assert "sub_video_02" in final["details"]["error"]
    assert "truncated" in final["details"]["error"]
    assert len(await rows_of(services, broken)) == 2 * FRAMES
    assert (await services.store.get(whole.id)).status is TaskStatus.COMPLETED


async def test_an_empty_prefix_fails_with_its_name(services: Services, videos: Path) -> None:
    for path in videos.rglob("*.mp4"):
        path.unlink()
    task = await new_task(services)
    await process(services, task.id)
    error = (await said(services, task))[-1]["payload"]["details"]["error"]
    assert "yard" in error
    assert "c1/" in error


async def test_cancel_ends_within_one_tick_and_the_final_state_is_the_last_word(services: Services) -> None:
    task = await new_task(services)
    slow = replace(services, inference=fake_inference(2, delay_s=0.2))  # a tick takes longer than the ring
    async with running(slow, task) as run:
        await until(lambda messages: len(frames_of(messages)) >= 3, services, task)
        await services.store.cancel(task.id)
        told = len(frames_of(await said(services, task)))
        await services.events.ring(task.id)
        await asyncio.wait_for(run, 5)
    messages = await said(services, task)
    assert messages[-1]["payload"]["status"] == "CANCELLED"
    assert len(frames_of(messages)) < 2 * FRAMES
    assert len(frames_of(messages)) <= told + 3  # what the ring takes to arrive


async def test_a_paused_task_is_silent_until_it_is_resumed(services: Services) -> None:
    task = await new_task(services)
    async with running(services, task) as run:
        await until(lambda messages: len(frames_of(messages)) >= 3, services, task)
        await services.store.pause(task.id)
        await services.events.ring(task.id)
        await asyncio.sleep(0.3)
        held = frames_of(await said(services, task))
        await asyncio.sleep(0.5)
        assert frames_of(await said(services, task)) == held
        assert not run.done()
        await services.store.resume(task.id)
        await services.events.ring(task.id)
        await asyncio.wait_for(run, 30)
    assert frames_of(await said(services, task)) == list(range(2 * FRAMES))


async def killed_after_batch(index: int, services: Services, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the task on a worker that is killed between a batch's checkpoint and saying that it is complete."""
    say_complete = Pipeline._say_complete

    async def say_and_die(pipeline: Pipeline, batch_index: int) -> None:
        if batch_index == index:
            raise asyncio.CancelledError
        await say_complete(pipeline, batch_index)

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "_say_complete", say_and_die)
        with pytest.raises(asyncio.CancelledError):
            await process(services, task.id)


def with_start(services: Services, recorded_from: datetime | None) -> Services:
    """With another start of the recording in the site file."""
    environment = services.site.environments["yard"].model_copy(update={"recorded_from": recorded_from})
    return replace(services, site=services.site.model_copy(update={"environments": {"yard": environment}}))


@pytest.mark.parametrize(
    ("killed_after", "moved_to"),
    [(5, None), (5, datetime(2026, 1, 6, tzinfo=UTC)), (FRAMES + 5, datetime(2026, 1, 4, tzinfo=UTC))],
)
async def test_a_killed_run_is_taken_up_and_leaves_what_an_unbroken_one_leaves(
    services: Services, killed_after: int, moved_to: datetime | None
) -> None:
    """Also when somebody corrects the start of the recording in the site file meanwhile."""
    unbroken, killed = await new_task(services), await new_task(services)
    await process(services, unbroken.id)
    slow = replace(services, inference=fake_inference(2, delay_s=0.03))
    async with running(slow, killed) as run:
        await until(lambda messages: len(frames_of(messages)) >= killed_after, services, killed)
        assert not run.done()
    await process(with_start(services, moved_to), killed.id)
    messages = await said(services, killed)
    assert frames_of(messages) == list(range(2 * FRAMES))
    assert len(of_type(messages, "media_available")) == len(of_type(messages, "batch_processing_complete")) == 2
    assert await rows_of(services, killed) == await rows_of(services, unbroken)


async def test_a_run_is_taken_up_with_another_model_whose_looks_are_kept_apart(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its first batch, and an export made another model live before a worker went on."""
    loaded: list[StoredTracks] = []

    def name_again(*arguments: Any) -> list[NamedStretch]:
        loaded.extend(arguments[-3].values())
        return rename_from(10)(*arguments)

    monkeypatch.setattr("orchestrator.pipeline.name_again", name_again)
    task = await new_task(services)
    await killed_after_batch(0, services, task, monkeypatch)
    detector = services.inference.detector
    await process(replace(services, inference=Inference(detector, BrightnessEmbedder())), task.id)
    assert frames_of(await said(services, task)) == list(range(2 * FRAMES))
    async with transaction(services.pool, "read looks") as connection:
        statement = "SELECT DISTINCT model_name, vector_dims(embedding), global_frame_index < %s FROM embeddings"
        found = await (await connection.execute(statement, (FRAMES,))).fetchall()
    assert sorted(found) == [("brightness", 2, False), ("mean-colour", 3, True)]
    assert [(item.looks.shape[1], int(item.look_frames.min()) >= FRAMES) for item in loaded] == [(2, True)] * 2


async def test_a_task_whose_cameras_were_turned_round_meanwhile_fails_with_a_sentence(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await new_task(services)
    await killed_after_batch(0, services, task, monkeypatch)
    site_file = services.settings.site_file
    assert site_file is not None
    site_file.write_text("environments: {yard: {cameras: {c2: {prefix: c2}, c1: {prefix: c1}}}}\n")
    await process(replace(services, site=load_site(site_file)), task.id)
    ended = await services.store.get(task.id)
    assert ended.status is TaskStatus.FAILED
    assert ended.details["error_type"] == "CheckpointError"
    assert "of the cameras c1, c2, and the site file has c2, c1" in ended.details["error"]


async def test_what_is_in_flight_is_bounded(services: Services) -> None:
    inference = fake_inference(2, slots=16, delay_s=0.02)
    bounded = replace(
        services, inference=inference, settings=services.settings.model_copy(update={"ticks_in_flight": 3})
    )
    task = await new_task(services, end_batch=1)
    await process(bounded, task.id)
    assert 2 <= inference.detector.most_taken <= 3  # type: ignore[attr-defined]
    assert inference.detector.taken == 0  # type: ignore[attr-defined]


async def test_a_finished_task_is_not_run_again(services: Services) -> None:
    task = await new_task(services, end_batch=1)
    await process(services, task.id)
    frames = frames_of(await said(services, task))
    await process(services, task.id)
    assert frames_of(await said(services, task)) == frames
    assert (await said(services, task))[-1]["payload"]["status"] == "COMPLETED"


async def test_leaving_a_run_leaves_nothing_behind(services: Services) -> None:
    task = await new_task(services)
    before = {each for each in asyncio.all_tasks() if each is not asyncio.current_task()}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(services, task))
        await until(lambda messages: len(frames_of(messages)) >= 3, services, task)
    left = {each for each in asyncio.all_tasks() if each is not asyncio.current_task()} - before
    assert not left
    assert services.inference.detector.taken == 0  # type: ignore[attr-defined]


async def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_completed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last ``batch_processing_complete`` is made up for."""
    task = await new_task(services)
    await killed_after_batch(1, services, task, monkeypatch)
    await process(services, task.id)
    messages = await said(services, task)
    assert messages[-1]["payload"]["status"] == "COMPLETED"
    assert [b["sub_video_batch_index"] for b in of_type(messages, "batch_processing_complete")] == [0, 1]
    assert frames_of(messages) == list(range(2 * FRAMES))


async def test_a_batch_without_any_file_is_passed_over(services: Services, videos: Path) -> None:
    for camera in ("c1", "c2"):
        (videos / camera / "sub_video_02.mp4").rename(videos / camera / "sub_video_04.mp4")
    task = await new_task(services)
    await process(services, task.id)
    final = (messages := await said(services, task))[-1]["payload"]
    assert (final["status"], final["progress"], final["total_sub_video_batches"]) == ("COMPLETED", 1, 2)
    assert [b["sub_video_batch_index"] for b in of_type(messages, "batch_processing_complete")] == [0, 3]
    assert "c1 has no file for batch 2" in final["details"]["absent"]


async def test_a_passing_failure_leaves_the_task_to_be_taken_up_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await new_task(services)

    async def unreachable(*_: object) -> None:
        raise StorageError("http://127.0.0.1:1 cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(services.source, "list_sub_videos", unreachable)
        with pytest.raises(StorageError):
            await process(services, task.id)
    interrupted = await services.store.get(task.id)
    assert not interrupted.is_final
    assert "cannot be reached" in interrupted.details["interrupted"]
    await process(services, task.id)
    assert (await services.store.get(task.id)).status is TaskStatus.COMPLETED


async def test_an_attempt_that_was_replaced_does_not_end_the_task(services: Services) -> None:
    task = await new_task(services)
    async with running(services, task) as run:
        await until(lambda messages: len(frames_of(messages)) >= 3, services, task)
        await services.store.advance(task.id, TaskStatus.INITIALIZING)
        await asyncio.wait_for(run, 10)
    assert (await services.store.get(task.id)).status is TaskStatus.INITIALIZING


async def names_of(services: Services, task: Task) -> list[tuple[Any, ...]]:
    async with transaction(services.pool, "read names") as connection:
        cursor = await connection.execute(
            "SELECT camera_id, track_id, stretch, global_id, first_frame, last_frame FROM tracklets "
            "WHERE task_id = %s ORDER BY 1, 2, 3",
            (task.id,),
        )
        return await cursor.fetchall()


def rename_from(frame: int) -> Callable[..., list[NamedStretch]]:
    """A second pass that gives every track a new person from ``frame`` on."""

    def name_again(*arguments: Any) -> list[NamedStretch]:
        tracks, names, prefix = arguments[-3:]
        found = []
        for camera_id, item in tracks.items():
            for track in sorted(set(item.track_ids.tolist())):
                before, last = names[camera_id, track], int(item.frames[item.track_ids == track].max())
                found.append(NamedStretch(camera_id, track, 0, frame - 1, before, before))
                found.append(NamedStretch(camera_id, track, frame, last, before, f"{prefix}-99"))
        return found

    return name_again


@pytest.mark.parametrize("dies_at", [None, "rename", "publish"])
async def test_the_second_pass_rewrites_names_and_tells_so_once_also_when_it_is_done_again(
    services: Services, monkeypatch: pytest.MonkeyPatch, dies_at: str | None
) -> None:
    monkeypatch.setattr("orchestrator.pipeline.name_again", rename_from(10))
    task = await new_task(services, end_batch=1)
    if dies_at is not None:
        with monkeypatch.context() as patched:
            patched.setattr(Pipeline, "_look_again", dying(Pipeline._look_again, dies_at, patched))
            with pytest.raises(asyncio.CancelledError):
                await process(services, task.id)
        assert (await services.store.get(task.id)).status is TaskStatus.PROCESSING
    await process(services, task.id)
    messages = await said(services, task)
    told = of_type(messages, "identity_corrected")
    assert len(told) == 1
    prefix = task.id[:8]
    assert [(c["camera_id"], c["to_global_id"], c["from_frame"]) for c in told[0]["corrections"]] == [
        ("c1", f"{prefix}-99", 10),
        ("c2", f"{prefix}-99", 10),
    ]
    assert [(row[2], row[3] == f"{prefix}-99", row[4]) for row in await names_of(services, task)] == [
        *((0, False, 0), (1, True, 10)),
        *((0, False, 0), (1, True, 10)),
    ]
    assert [message["type"] for message in messages][-2:] == ["identity_corrected", "status_update"]
    assert messages[-1]["payload"]["status"] == "COMPLETED"


class LosingConnection:
    """Whose server hangs up in place of carrying out what comes after so many statements."""

    def __init__(self, connection: Any, statements: int) -> None:
        self.connection, self.left = connection, statements

    async def execute(self, *arguments: Any) -> None:
        self.left -= 1
        hang_up = ("SELECT pg_terminate_backend(pg_backend_pid())",)
        await self.connection.execute(*(arguments if self.left >= 0 else hang_up))


async def test_names_are_the_old_ones_or_the_new_ones_when_the_connection_breaks_that_rewrites_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between deleting the old ones and writing the new ones, and again before the commit."""
    monkeypatch.setattr("orchestrator.pipeline.name_again", rename_from(10))
    task = await new_task(services, end_batch=1)
    rewrite, seen = writer_module.rewrite_tracklets, []
    for statements in (1, 2):

        async def rewrite_and_lose(connection: Any, *arguments: Any, statements: int = statements) -> None:
            losing = LosingConnection(connection, statements)
            await rewrite(losing, *arguments)  # type: ignore[arg-type]
            await losing.execute("SELECT 1")

        with monkeypatch.context() as patched:
            patched.setattr(writer_module, "rewrite_tracklets", rewrite_and_lose)
            with pytest.raises(HistoryError, match="cannot rewrite identities"):
                await process(services, task.id)
        seen.append(await names_of(services, task))
    assert seen[0] == seen[1]
    assert [row[2] for row in seen[0]] == [0, 0]
    await process(services, task.id)
    assert [row[2] for row in await names_of(services, task)] == [0, 1, 0, 1]
    assert len(of_type(await said(services, task), "identity_corrected")) == 1


def dying(look_again: Any, at: str, patched: pytest.MonkeyPatch) -> Any:
    """The second pass of a worker that is killed right after the call named ``at``."""

    async def look_again_and_die(pipeline: Any, state: Any) -> None:
        part = pipeline._writer if at == "rename" else pipeline._services.events
        call = getattr(part, at)

        async def last_call(*arguments: Any) -> None:
            await call(*arguments)
            raise asyncio.CancelledError

        patched.setattr(part, at, last_call)
        await look_again(pipeline, state)

    return look_again_and_die


async def test_the_second_pass_can_be_left_out(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.pipeline.name_again", rename_from(10))
    task = await new_task(services, end_batch=1)
    settings = services.settings.model_copy(update={"second_pass": False})
    await process(replace(services, settings=settings), task.id)
    assert not of_type(await said(services, task), "identity_corrected")
    assert {row[2] for row in await names_of(services, task)} == {0}
