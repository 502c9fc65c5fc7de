from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demo.client import ClientError, Deadlines, SpotOnClient, TaskProgress, not_up
from demo.recording import NOBODY, ContractError, Recording, Transcript
from tests.demo.fake_server import VIDEO, FakeServer, Message, batch_end, good_task, media, numbered, status, tick

QUICK = Deadlines(call_s=5, healthy_s=0.5, silence_s=5, reconnect_s=1, media_s=5)


async def record(server: FakeServer, folder: Path, environment: str = "campus") -> Recording:
    async with server.running(), SpotOnClient(server.url, QUICK) as client:
        return await client.run(environment, folder)


def fed(messages: list[Message]) -> Transcript:
    transcript = Transcript("task-1")
    for message in messages:
        transcript.feed(message)
    return transcript


async def test_whole_task_becomes_columns(tmp_path: Path) -> None:
    seen: list[TaskProgress] = []
    server = FakeServer(numbered(good_task()))
    async with server.running(), SpotOnClient(server.url, QUICK) as client:
        recording = await client.run("campus", tmp_path, seen.append)
    assert (recording.ticks, recording.batches, recording.frames, recording.reconnects) == (5, 2, 9, 0)
    assert recording.people == ("p-1", "p-2")
    first = recording.cameras["c01"]
    assert first.ticks.frames.tolist() == [0, 1, 2, 3, 4]
    assert first.ticks.batches.tolist() == [0, 0, 0, 1, 1]
    assert first.ticks.media_time_s == pytest.approx(np.array([0, 1, 2, 0, 1]) / 12)
    assert first.sightings.people.tolist() == [0, NOBODY, 0, NOBODY, 0, 1, 0, 1, 0, 1]
    assert first.sightings.boxes[2].tolist() == [11, 10, 31, 60]
    assert np.isnan(first.sightings.map_xy[1]).all()
    assert recording.cameras["c02"].ticks.frames.tolist() == [0, 1, 2, 3]
    assert (seen[-1].batches_done, seen[-1].batches_total, seen[-1].ticks_total) == (2, 2, 5)


async def test_media_is_fetched_in_pieces_and_whole(tmp_path: Path) -> None:
    server = FakeServer(numbered(good_task()))
    recording = await record(server, tmp_path)
    for camera in recording.cameras.values():
        assert [path.relative_to(tmp_path).as_posix() for path in camera.paths] == [
            f"{camera.camera_id}/sub_video_01.mp4",
            f"{camera.camera_id}/sub_video_02.mp4",
        ]
        assert all(path.read_bytes() == VIDEO for path in camera.paths)
    assert len(server.ranges) == 4 * 3


async def test_short_piece_is_noticed(tmp_path: Path) -> None:
    server = FakeServer(numbered(good_task()))
    server.spoil = lambda piece: piece[:-1]
    with pytest.raises(ContractError, match="1048575 bytes in the piece"):
        await record(server, tmp_path)


@pytest.mark.parametrize("drops", [[3], [1, 2, 4], [0, 0, 7]])
async def test_dropped_connection_is_taken_up_again(tmp_path: Path, drops: list[int]) -> None:
    whole = await record(FakeServer(numbered(good_task())), tmp_path)
    server = FakeServer(numbered(good_task()), drop_after=drops)
    recording = await record(server, tmp_path)
    assert recording.reconnects == len(drops)
    assert server.since == [0, *np.cumsum(drops)]
    assert recording.ticks == whole.ticks
    for camera, record_of_camera in recording.cameras.items():
        np.testing.assert_array_equal(record_of_camera.sightings.boxes, whole.cameras[camera].sightings.boxes)


async def test_a_server_that_never_lets_it_in_again_is_given_up(tmp_path: Path) -> None:
    server = FakeServer(numbered(good_task()), drop_after=[2, *[0] * 100])
    with pytest.raises(ClientError, match="no connection to ws://"):
        await record(server, tmp_path)


async def test_failed_task_says_why(tmp_path: Path) -> None:
    failed = status("FAILED", details={"error": "c01/sub_video_01.mp4 is not a video"})
    with pytest.raises(ClientError, match=r"FAILED: .*01.mp4 is not a video"):
        await record(FakeServer(numbered([status(), failed])), tmp_path)


async def test_refused_start_carries_the_servers_reason(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="404: no environment 'moon'"):
        await record(FakeServer([]), tmp_path, environment="moon")


async def test_what_an_earlier_run_left_unfinished_is_cancelled() -> None:
    states = {
        "new": "QUEUED",
        "old": "COMPLETED",
        "half": "PROCESSING",
        "held": "PAUSED",
        "ended-just-now": "DOWNLOADING",
    }
    server = FakeServer([])
    server.tasks = [{"task_id": name, "status": state} for name, state in states.items()]
    async with server.running(), SpotOnClient(server.url, QUICK) as client:
        left = await client.cancel_unfinished()
    assert server.cancelled == ["cancel new", "cancel half"]
    assert [task["task_id"] for task in left] == ["new", "half", "ended-just-now"]


def repeated_tick() -> list[Message]:
    return [*good_task()[:4], *good_task()[3:]]


def lost_tick() -> list[Message]:
    return [message for number, message in enumerate(good_task()) if number != 3]


def swapped_ticks() -> list[Message]:
    task = good_task()
    task[3], task[4] = task[4], task[3]
    return task


def early_end() -> list[Message]:
    return [status(), media(0, 0, 3), tick(0, 0, 0), batch_end(0)]


def missing_camera() -> list[Message]:
    task = good_task()
    del task[3]["payload"]["cameras"]["c02"]
    return task


def unannounced_batch() -> list[Message]:
    return [status(), tick(0, 0, 0)]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (repeated_tick(), "frame 1 came where frame 2 was due"),
        (lost_tick(), "frame 2 came where frame 1 was due"),
        (swapped_ticks(), "frame 2 came where frame 1 was due"),
        (early_end(), "batch 0 ended at frame 1, not at frame 3"),
        (missing_camera(), "frame 1 lists cameras"),
        (unannounced_batch(), "batch 0, which is not open"),
    ],
)
def test_broken_order_is_noticed(messages: list[Message], complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint):
        fed(numbered(messages))


def test_gap_and_repeat_in_seq_are_noticed() -> None:
    messages = numbered(good_task())
    with pytest.raises(ContractError, match="tracking_update with seq 4 came after seq 2"):
        fed([*messages[:2], *messages[3:]])
    with pytest.raises(ContractError, match="tracking_update with seq 3 came after seq 3"):
        fed([*messages[:3], messages[2]])
    assert fed([*messages[:4], messages[1], messages[0], *messages[4:]]).ticks == 5


def test_track_without_a_global_id_field_is_malformed() -> None:
    messages = numbered(good_task())
    del messages[2]["payload"]["cameras"]["c01"]["tracks"][0]["global_id"]
    with pytest.raises(ContractError, match="malformed tracking_update message: KeyError: 'global_id'"):
        fed(messages)


async def test_corrections_hold_for_all_ticks_of_their_stretch_whatever_was_said_then(tmp_path: Path) -> None:
    correction = {"camera_id": "c01", "track_id": 1, "from_global_id": "p-3", "to_global_id": None}
    payload = {"corrections": [{**correction, "from_frame": 1, "to_frame": 3}]}
    task = [*good_task()[:-1], {"type": "identity_corrected", "payload": payload}, status("COMPLETED")]
    seen = (await record(FakeServer(numbered(task)), tmp_path)).cameras["c01"].sightings
    assert seen.people[seen.track_ids == 1].tolist() == [0, NOBODY, NOBODY, NOBODY, 0]


async def test_corrections_rename_exactly_the_rows_they_name(tmp_path: Path) -> None:
    correction = {"camera_id": "c01", "track_id": 1, "from_global_id": "p-1", "to_global_id": "p-2"}
    payload = {"corrections": [{**correction, "from_frame": 1, "to_frame": 3}]}
    task = [*good_task()[:-1], {"type": "identity_corrected", "payload": payload}, status("COMPLETED")]
    recording = await record(FakeServer(numbered(task)), tmp_path)
    seen = recording.cameras["c01"].sightings
    assert seen.people[seen.track_ids == 1].tolist() == [0, 1, 1, 1, 0]
    untouched = recording.cameras["c02"].sightings
    assert untouched.people[untouched.track_ids == 1].tolist() == [0, 0, 0, 0]
    assert recording.corrections == 1


async def test_waits_until_healthy(tmp_path: Path) -> None:
    server = FakeServer([])
    server.health = lambda asked: {"status": "healthy", "detector_model_loaded": asked > 1}
    async with server.running(), SpotOnClient(server.url, QUICK) as client:
        assert (await client.wait_healthy())["detector_model_loaded"] is True
    assert server.asked == 2


async def test_says_what_is_not_up() -> None:
    server = FakeServer([])
    components = {"redis": {"status": "down", "detail": "connection refused"}, "triton": {"status": "ok"}}
    server.health = lambda asked: {"status": "unhealthy", "detector_model_loaded": False, "components": components}
    async with server.running(), SpotOnClient(server.url, QUICK) as client:
        with pytest.raises(ClientError, match="after 0 s: detector_model_loaded, redis: connection refused"):
            await client.wait_healthy()
    assert not_up({"status": "the API does not answer (ConnectError)"}) == ["the API does not answer (ConnectError)"]
