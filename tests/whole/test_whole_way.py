"""The running system, spoken to as clients do: REST, WebSocket, Range requests; and what it stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
import websockets

from demo.scores import BoxTable, matches
from demo.servers.spoton import settings_of
from demo.truth import load_truth
from orchestrator.history.pool import open_pool
from orchestrator.history.queries import task_tracks
from tests.system import CORRIDOR, DATA, Whole

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

API = "/api/v1"
SUB_VIDEOS, FRAMES = 2, 48
"""The short site: sub-videos a camera, frames in each."""


async def http(whole: Whole) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=whole.stack.api.url, timeout=30, trust_env=False)


async def start(client: httpx.AsyncClient, environment: str, **options: Any) -> str:
    answer = await client.post(f"{API}/processing-tasks/start", json={"environment_id": environment, **options})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


async def status(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    return dict((await client.get(f"{API}/processing-tasks/{task_id}/status")).json())


async def ended(client: httpx.AsyncClient, task_id: str, within_s: float = 120) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        while (now := await status(client, task_id))["status"] not in {"COMPLETED", "FAILED", "CANCELLED"}:
            await asyncio.sleep(0.2)
    return now


async def listen(whole: Whole, task_id: str, since: int | None = 0) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    query = "" if since is None else f"?since={since}"
    url = f"ws://{whole.stack.api.address}/ws/tracking/{task_id}{query}"
    async with websockets.connect(url, max_size=None, proxy=None) as socket:
        messages = [json.loads(message) async for message in socket]
    assert socket.close_code == 1000
    return messages


async def control(client: httpx.AsyncClient, task_id: str, action: str) -> httpx.Response:
    return await client.post(f"{API}/processing-tasks/{task_id}/control", json={"action": action})


def frames_of(messages: list[dict[str, Any]]) -> list[int]:
    return [m["payload"]["global_frame_index"] for m in messages if m["type"] == "tracking_update"]


async def stored_tracks(whole: Whole, task_id: str) -> list[Any]:
    async with open_pool(settings_of(whole.stack.settings_env())) as pool, aclosing(task_tracks(pool, task_id)) as rows:
        return [row async for block in rows for row in block]


async def test_the_site_goes_through_and_people_are_where_they_are(whole: Whole) -> None:
    """``SpotOnClient.run`` itself refuses a lost, repeated or disordered tick and damaged media."""
    async with whole.client() as client:
        recording = await client.run("campus", whole.folder / "media")
    assert (recording.ticks, recording.batches) == (SUB_VIDEOS * FRAMES, SUB_VIDEOS)
    truth = load_truth(whole.site.root, 12, FRAMES)
    found = there = 0
    for name, camera in recording.cameras.items():
        seen = camera.sightings
        true = truth.camera(name)
        visible = true.visibility >= 0.5
        boxes = BoxTable(*(column[visible] for column in (true.table.frames, true.table.ids, true.table.boxes)))
        found += len(matches(boxes, BoxTable(seen.frames, seen.track_ids, seen.boxes.astype(np.float64)))[0])
        there += int(visible.sum())
    assert found / there > 0.6
    on_map = np.concatenate([camera.sightings.map_xy for camera in recording.cameras.values()])
    assert np.isfinite(on_map).all(axis=1).mean() > 0.9
    rows = await stored_tracks(whole, recording.task_id)
    assert len(rows) == sum(len(camera.sightings) for camera in recording.cameras.values())


async def test_late_and_returning_clients_get_the_same_messages(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "campus", cameras=["c01"])
        live = await listen(whole, task_id)
        late = await listen(whole, task_id)
        middle = live[len(live) // 2]["seq"]
        returning = await listen(whole, task_id, since=middle)
    assert frames_of(live) == list(range(SUB_VIDEOS * FRAMES))
    assert [message["seq"] for message in late] == list(range(1, len(late) + 1))
    assert live[-len(late) :] == late[-len(live) :]
    assert [message for message in returning if message["seq"] > middle] == [m for m in late if m["seq"] > middle]


async def test_media_answers_ranges(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "campus", cameras=["c02"], end_batch=1)
        messages = await listen(whole, task_id)
        media = next(message["payload"] for message in messages if message["type"] == "media_available")
        url = media["media_urls"][0]["url"]
        content = next(path for path in whole.site.videos.rglob("sub_video_01.mp4") if "c02" in str(path)).read_bytes()
        whole_file = await client.get(url)
        part = await client.get(url, headers={"Range": "bytes=100-199"})
        end = await client.get(url, headers={"Range": "bytes=-10"})
        beyond = await client.get(url, headers={"Range": f"bytes={len(content)}-"})
        outside = await client.get(url.replace("sub_video_01.mp4", "..%2F..%2Fsite.yaml"))
    assert (whole_file.status_code, whole_file.headers["content-type"]) == (200, "video/mp4")
    assert whole_file.content == content
    assert (part.status_code, part.content) == (206, content[100:200])
    assert (end.status_code, end.content) == (206, content[-10:])
    assert beyond.status_code == 416
    assert outside.status_code == 404


async def test_a_trajectory_is_what_was_told(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "campus", cameras=["c01", "c02"])
        messages = await listen(whole, task_id)
        people = [
            track["global_id"]
            for message in messages
            if message["type"] == "tracking_update"
            for camera in message["payload"]["cameras"].values()
            for track in camera["tracks"]
            if track["global_id"]
        ]
        person = max(set(people), key=people.count)
        answer = await client.get(f"{API}/analytics_data/trajectory/{person}", params={"task_id": task_id})
    assert answer.status_code == 200, answer.text
    points = answer.json()["points"]
    assert len(points) >= people.count(person)
    times = [datetime.fromisoformat(point["time"]) for point in points]
    assert times == sorted(times)
    assert {point["camera_id"] for point in points} <= {"c01", "c02"}


async def test_pause_resume_cancel(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "campus")
        listening = asyncio.create_task(listen(whole, task_id))
        while (await status(client, task_id))["status"] != "PROCESSING":
            await asyncio.sleep(0.05)
        assert (await control(client, task_id, "pause")).json()["status"] == "PAUSED"
        await asyncio.sleep(1)
        held = (await status(client, task_id))["processed_frames"]
        await asyncio.sleep(1)
        assert (await status(client, task_id))["processed_frames"] == held
        assert (await control(client, task_id, "pause")).status_code == 409
        assert (await control(client, task_id, "resume")).status_code == 200
        assert (await control(client, task_id, "cancel")).json()["status"] == "CANCELLED"
        assert (await control(client, task_id, "resume")).status_code == 409
        messages = await asyncio.wait_for(listening, 20)
        assert messages[-1]["payload"]["status"] == "CANCELLED"
        frames = frames_of(messages)
        assert frames == list(range(len(frames)))
        assert len(frames) < SUB_VIDEOS * FRAMES


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("not_a_video", ["sub_video_01", "not"]),
        ("truncated", ["sub_video_01", "truncated"]),
        ("no_frames", ["sub_video_01"]),
        ("unreadable_codec", ["sub_video_01"]),
        ("empty_prefix", ["empty_prefix", "bucket"]),
    ],
)
async def test_bad_input_fails_its_task_alone_and_says_what_and_where(
    whole: Whole, environment: str, words: list[str]
) -> None:
    async with await http(whole) as client:
        final = await ended(client, await start(client, environment))
    assert final["status"] == "FAILED"
    for word in words:
        assert word in final["details"]["error"]
    assert "internal error" not in final["details"]["error"]


async def test_unknown_names_are_refused(whole: Whole) -> None:
    async with await http(whole) as client:
        nowhere = await client.post(f"{API}/processing-tasks/start", json={"environment_id": "nowhere"})
        body = {"environment_id": "campus", "cameras": ["c99"]}
        nobody = await client.post(f"{API}/processing-tasks/start", json=body)
    for answer, name in ((nowhere, "nowhere"), (nobody, "c99")):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert name in answer.json()["detail"]


async def test_a_killed_worker_is_replaced_and_no_tick_is_lost_or_told_twice(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "campus")
        listening = asyncio.create_task(listen(whole, task_id))
        while (await status(client, task_id))["processed_frames"] < 40:
            await asyncio.sleep(0.05)
        await whole.stack.supervisor.kill("worker")
        await whole.stack.supervisor.start([whole.stack.worker])
        final = await ended(client, task_id)
        messages = await asyncio.wait_for(listening, 20)
    assert final["status"] == "COMPLETED"
    assert frames_of(messages) == list(range(SUB_VIDEOS * FRAMES))
    rows = await stored_tracks(whole, task_id)
    assert len({(row.camera_id, row.global_frame_index, row.track_id) for row in rows}) == len(rows)


@pytest.mark.skipif(not CORRIDOR.exists(), reason=f"no real video at {CORRIDOR}")
async def test_the_real_corridor_from_bucket_to_stored_tracks(whole: Whole) -> None:
    async with await http(whole) as client:
        task_id = await start(client, "corridor")
        final = await ended(client, task_id, within_s=400)
    assert (final["status"], final["processed_frames"]) == ("COMPLETED", 1394)
    reference = json.loads((DATA / "video" / "reference_boxes.json").read_text())["boxes_xyxy_score"]
    expected = _table((int(frame), box[:4]) for frame, boxes in reference.items() for box in boxes)
    rows = await stored_tracks(whole, task_id)
    stored = _table((row.global_frame_index, row.bbox) for row in rows if str(row.global_frame_index) in reference)
    hits = len(matches(expected, stored)[0])
    assert hits / len(expected) > 0.9  # the detector alone: recall 0.99, precision 0.87
    assert hits / len(stored) > 0.7


def _table(rows: Iterable[tuple[int, Sequence[float]]]) -> BoxTable:
    frames, boxes = zip(*rows, strict=True)
    return BoxTable(np.array(frames), np.arange(len(frames)), np.array(boxes, np.float64))
