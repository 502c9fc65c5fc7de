"""The wire contract, row by row, against the running system: names and shapes that frontends rely on."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cv2
import httpx
import numpy as np
import pyarrow.parquet
import pytest
import pytest_asyncio
import websockets

from tests.system import Whole

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

API = "/api/v1"
CAMERAS = {"c01", "c02", "c03", "c05"}
STATUS = {
    "task_id", "status", "progress", "current_step", "details", "environment_id", "cameras", "created_at", "updated_at",
    "total_sub_video_batches", "completed_sub_video_batches", "processed_frames",
}  # fmt: skip
MEDIA = {
    "camera_id", "sub_video_filename", "url", "start_global_frame_index", "num_frames_in_sub_video", "fps",
    "start_time_s",
}  # fmt: skip
TICK = {
    "global_frame_index", "scene_id", "timestamp_processed_utc", "sub_video_batch_index_of_frame", "cameras",
}  # fmt: skip
CAMERA = {"image_source", "frame_index_in_sub_video", "media_time_s", "tracks"}
TRACK = {"track_id", "global_id", "bbox_xyxy", "confidence", "class_id", "map_coords"}
CORRECTION = {"from_global_id", "to_global_id", "camera_id", "track_id", "from_frame", "to_frame"}
POINT = {"time", "camera_id", "map_x", "map_y", "bbox", "confidence"}
HEALTH = {
    "status", "detector_model_loaded", "prototype_tracker_loaded (reid_model)", "homography_matrices_precomputed",
    "components",
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A task of three of the four cameras that has ended, and all that was said of it."""

    client: httpx.AsyncClient
    address: str
    started: httpx.Response
    messages: list[dict[str, Any]]
    close_code: int | None

    @property
    def id(self) -> str:
        return str(self.started.json()["task_id"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of one type."""
        return [message["payload"] for message in self.messages if message["type"] == kind]

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        return await self.client.get(f"{API}{path}", params=parameters)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"{API}{path}", json=body)

    async def follow(self, query: str) -> tuple[list[dict[str, Any]], int | None]:
        """Everything that a client gets, and the code of the close."""
        async with websockets.connect(f"{self.address}/ws/tracking/{self.id}{query}", proxy=None) as socket:
            return [json.loads(message) async for message in socket], socket.close_code


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def task(whole: Whole) -> AsyncIterator[Finished]:
    async with httpx.AsyncClient(base_url=whole.stack.api.url, timeout=30, trust_env=False) as client:
        body = {"environment_id": "campus", "cameras": ["c01", "c02", "c03"]}
        started = await client.post(f"{API}/processing-tasks/start", json=body)
        running = Finished(client, f"ws://{whole.stack.api.address}", started, [], None)
        async with asyncio.timeout(120):
            messages, code = await running.follow("?since=0")
        yield Finished(client, running.address, started, messages, code)


def is_problem(answer: httpx.Response, status: int, words: str = "") -> bool:
    named = {"type", "title", "status", "detail", "instance"} <= answer.json().keys()
    kind = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code == answer.json()["status"] == status and kind and named and words in answer.text


async def test_start(task: Finished) -> None:
    assert task.started.status_code == 202
    assert task.started.json().keys() == {"task_id", "message", "status_url", "websocket_url"}
    assert task.started.json()["status_url"] == f"{API}/processing-tasks/{task.id}/status"
    assert task.started.json()["websocket_url"] == f"/ws/tracking/{task.id}"
    assert is_problem(await task.post("/processing-tasks/start", environment_id="moon"), 404, "moon")
    nobody = await task.post("/processing-tasks/start", environment_id="campus", cameras=["c99"])
    assert is_problem(nobody, 404, "c99")
    assert is_problem(await task.post("/processing-tasks/start"), 422, "environment_id")


async def test_start_of_a_range_of_batches(task: Finished) -> None:
    answer = await task.post("/processing-tasks/start", environment_id="campus", start_batch=1, end_batch=2)
    assert answer.status_code == 202
    identifier = answer.json()["task_id"]
    async with asyncio.timeout(120):
        while (now := (await task.get(f"/processing-tasks/{identifier}/status")).json())["status"] != "COMPLETED":
            assert now["status"] not in {"FAILED", "CANCELLED"}, now
            await asyncio.sleep(0.2)
    assert (now["total_sub_video_batches"], now["completed_sub_video_batches"]) == (1, 1)
    (media,) = (await task.get(f"/processing-tasks/{identifier}/media")).json()
    second = task.of("media_available")[1]["media_urls"][0]["start_global_frame_index"]
    assert second > 0
    assert {each["start_global_frame_index"] for each in media["media_urls"]} == {second}


async def test_list(task: Finished) -> None:
    first = (await task.get("/processing-tasks", limit=1)).json()
    assert first.keys() == {"tasks", "next"}
    second = (await task.get("/processing-tasks", limit=1, before=first["next"])).json()
    newer, older = first["tasks"][0], second["tasks"][0]
    assert newer["created_at"] > older["created_at"]
    assert newer.keys() == STATUS


async def test_status(task: Finished) -> None:
    answer = await task.get(f"/processing-tasks/{task.id}/status")
    status = answer.json()
    assert (answer.status_code, status.keys()) == (200, STATUS)
    assert (status["status"], status["progress"], status["environment_id"]) == ("COMPLETED", 1.0, "campus")
    assert (status["total_sub_video_batches"], status["completed_sub_video_batches"]) == (2, 2)
    assert status["processed_frames"] > 0
    assert is_problem(await task.get("/processing-tasks/unknown/status"), 404)


async def test_control(task: Finished) -> None:
    path = f"/processing-tasks/{task.id}/control"
    for action in ("pause", "resume", "cancel"):
        assert is_problem(await task.post(path, action=action), 409, "COMPLETED")
    assert is_problem(await task.post(path, action="dance"), 422, "action")
    other = (await task.post("/processing-tasks/start", environment_id="campus")).json()["task_id"]
    focused = await task.post(f"/processing-tasks/{other}/control", action="focus_track", global_id="somebody")
    assert focused.status_code == 200
    cancelled = await task.post(f"/processing-tasks/{other}/control", action="cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    async with websockets.connect(f"{task.address}/ws/tracking/{other}?since=0", proxy=None) as socket:
        said = [json.loads(message) async for message in socket]
    assert [m["payload"] for m in said if m["type"] == "focus_changed"] == [{"global_id": "somebody"}]


def somebody(task: Finished) -> str:
    """The person of whom most was told."""
    named = [
        track["global_id"]
        for tick in task.of("tracking_update")
        for camera in tick["cameras"].values()
        for track in camera["tracks"]
        if track["global_id"]
    ]
    return str(max(set(named), key=named.count))


async def test_trajectory(task: Finished) -> None:
    path = f"/analytics_data/trajectory/{somebody(task)}"
    points = (await task.get(path, task_id=task.id)).json()["points"]
    assert len(points) > 20
    assert all(point.keys() >= POINT for point in points)
    times = [datetime.fromisoformat(point["time"]) for point in points]
    assert times == sorted(times)
    half = (await task.get(path, task_id=task.id, **{"from": points[len(points) // 2]["time"]})).json()["points"]
    assert 0 < len(half) < len(points)
    table = list(csv.DictReader(io.StringIO((await task.get(path, task_id=task.id, format="csv")).text)))
    assert len(table) == len(points)
    columns = pyarrow.parquet.read_table(io.BytesIO((await task.get(path, format="parquet")).content))
    assert (columns.num_rows, columns.column_names) == (len(points), list(table[0]))
    assert is_problem(await task.get(path, format="xml"), 422, "format")


async def test_heatmap(task: Finished) -> None:
    grid = (await task.get("/analytics_data/heatmap", environment_id="campus", task_id=task.id, cell_m=1)).json()
    assert (grid["cell_m"], len(grid["origin"])) == (1, 2)
    seconds = [cell for row in grid["seconds"] for cell in row]
    ticks = len(task.of("tracking_update"))
    assert sum(seconds) > ticks / task.of("media_available")[0]["media_urls"][0]["fps"]  # there are several people
    assert is_problem(await task.get("/analytics_data/heatmap"), 422, "environment_id")


async def test_search(task: Finished) -> None:
    person = somebody(task)
    by_id = await task.post("/analytics_data/search", global_id=person, task_id=task.id, limit=3)
    sightings = by_id.json()["sightings"]
    assert sightings[0]["global_id"] == person
    best = [max(s["similarity"] for s in sightings if s["person"] == rank) for rank in {s["person"] for s in sightings}]
    assert best == sorted(best, reverse=True)
    assert all({"similarity", "camera_id", "first_time", "last_time"} <= sighting.keys() for sighting in sightings)
    picture = np.full((128, 64, 3), (40, 90, 200), np.uint8)
    files = {"image": ("somebody.png", cv2.imencode(".png", picture)[1].tobytes(), "image/png")}
    by_image = await task.client.post(f"{API}/analytics_data/search", files=files, data={"environment_id": "campus"})
    assert (by_image.status_code, len(by_image.json()["sightings"]) > 0) == (200, True)
    assert is_problem(await task.post("/analytics_data/search", global_id="nobody"), 404, "nobody")
    assert is_problem(await task.post("/analytics_data/search"), 422)


async def test_export(task: Finished) -> None:
    told = sum(len(c["tracks"]) for tick in task.of("tracking_update") for c in tick["cameras"].values())
    path = f"/analytics_data/tasks/{task.id}/export"
    mot = zipfile.ZipFile(io.BytesIO((await task.get(path, format="mot")).content))
    lines = [line for name in mot.namelist() if name.endswith(".txt") for line in mot.read(name).splitlines()]
    assert len(lines) == told
    assert all(line.count(b",") >= 8 for line in lines)
    table = (await task.get(path, format="csv")).text.splitlines()
    columns = pyarrow.parquet.read_table(io.BytesIO((await task.get(path, format="parquet")).content))
    assert len(table) - 1 == columns.num_rows == told


async def test_both_spellings_answer_alike(task: Finished) -> None:
    one = await task.get(f"/processing-tasks/{task.id}/status")
    other = await task.get(f"/processing_tasks/{task.id}/status")
    assert one.json() == other.json()


async def test_config(task: Finished) -> None:
    environments = (await task.get("/config/environments")).json()
    assert "campus" in {environment["environment_id"] for environment in environments}
    cameras = (await task.get("/config/environments/campus/cameras")).json()
    assert {camera["camera_id"] for camera in cameras} == CAMERAS
    for camera in cameras:
        assert (camera["has_homography"], camera["resolution"], camera["sub_videos"]) == (True, [1280, 720], 2)
        assert camera["fps"] > 0
    assert is_problem(await task.get("/config/environments/moon/cameras"), 404, "moon")


async def test_media(task: Finished) -> None:
    url = task.of("media_available")[0]["media_urls"][0]["url"]
    assert url.startswith(f"{API}/media/tasks/{task.id}/environments/campus/cameras/c01/sub_videos/")
    whole = await task.client.get(url)
    etag, size = whole.headers["etag"], len(whole.content)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    head = await task.client.head(url)
    assert (head.status_code, head.headers["etag"], int(head.headers["content-length"])) == (200, etag, size)
    part = await task.client.get(url, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    changed = await task.client.get(url, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (changed.status_code, len(changed.content)) == (200, size)
    assert (await task.client.get(url, headers={"Range": f"bytes={size}-"})).status_code == 416
    assert (await task.client.get(url, headers={"If-None-Match": etag})).status_code == 304
    for outside in (url.replace("c01", "c05"), url.replace("sub_video_01.mp4", "..%2F..%2Fsite.yaml")):
        assert is_problem(await task.client.get(outside), 404)


async def test_health(task: Finished) -> None:
    health = (await task.client.get("/health")).json()
    assert health.keys() >= HEALTH
    assert health["status"] == "healthy"
    assert all(value is True for name, value in health.items() if name not in {"status", "components"})
    assert all(component.keys() >= {"status", "detail"} for component in health["components"].values())
    for path in ("/health/live", "/health/ready"):
        assert (await task.client.get(path)).status_code == 200
    metrics = await task.client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'spoton_api_request_seconds_count{handler="health.health",method="GET",status="200"}' in metrics.text


async def test_every_message_is_numbered_and_the_last_closes(task: Finished) -> None:
    assert all(message.keys() == {"type", "payload", "seq"} for message in task.messages)
    numbers = [message["seq"] for message in task.messages if message["seq"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert task.messages[-1]["payload"]["status"] == "COMPLETED"
    assert task.close_code == 1000


async def test_status_update(task: Finished) -> None:
    updates = task.of("status_update")
    assert all(update.keys() == STATUS for update in updates)
    seen = list(dict.fromkeys(update["status"] for update in updates))
    assert seen[-4:] == ["INITIALIZING", "DOWNLOADING", "PROCESSING", "COMPLETED"]
    assert seen[:-4] in ([], ["QUEUED"])  # a worker may have begun before anybody listened
    progress = [update["progress"] for update in updates]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0.0, 1.0)


async def test_media_available(task: Finished) -> None:
    batches = task.of("media_available")
    assert [batch["sub_video_batch_index"] for batch in batches] == [0, 1]
    start = 0
    for batch in batches:
        assert [media["camera_id"] for media in batch["media_urls"]] == ["c01", "c02", "c03"]
        assert all(media.keys() == MEDIA for media in batch["media_urls"])
        assert {media["start_global_frame_index"] for media in batch["media_urls"]} == {start}
        start += max(media["num_frames_in_sub_video"] for media in batch["media_urls"])
    assert start == len(task.of("tracking_update"))


async def test_tracking_update(task: Finished) -> None:
    ticks = task.of("tracking_update")
    assert [tick["global_frame_index"] for tick in ticks] == list(range(len(ticks)))
    named = 0
    for tick in ticks:
        assert tick.keys() == TICK
        assert tick["scene_id"] == "campus"
        assert datetime.fromisoformat(tick["timestamp_processed_utc"]).utcoffset() is not None
        assert tick["cameras"].keys() == CAMERAS
        assert tick["cameras"]["c05"] == dict.fromkeys(CAMERA - {"tracks"}) | {"tracks": []}
        for camera_id in ("c01", "c02", "c03"):
            camera = tick["cameras"][camera_id]
            assert camera.keys() == CAMERA
            assert camera["image_source"] == f"{camera['frame_index_in_sub_video']:06d}.jpg"
            assert camera["media_time_s"] >= 0
            for track in camera["tracks"]:
                assert track.keys() == TRACK
                assert (type(track["track_id"]), len(track["bbox_xyxy"]), track["class_id"]) == (int, 4, 1)
                assert len(track["map_coords"]) == 2
                named += track["global_id"] is not None
    assert named > len(ticks)


async def test_batches_are_completed_in_order_after_their_ticks(task: Finished) -> None:
    batch = 0
    for message in task.messages:
        if message["type"] == "tracking_update":
            assert message["payload"]["sub_video_batch_index_of_frame"] == batch
        elif message["type"] == "batch_processing_complete":
            assert message["payload"] == {"sub_video_batch_index": batch}
            batch += 1
    assert batch == 2


async def test_identity_corrected(task: Finished) -> None:
    """What was corrected is what history says from then on."""
    corrections = [each for payload in task.of("identity_corrected") for each in payload["corrections"]]
    assert corrections, "the second pass of this scene has something to correct"
    assert all(each.keys() == CORRECTION for each in corrections)
    assert all(each["from_global_id"] != each["to_global_id"] for each in corrections)
    table = (await task.get(f"/analytics_data/tasks/{task.id}/export", format="csv")).text
    rows = [
        (r["camera_id"], int(r["track_id"]), int(r["global_frame_index"]), r["global_id"])
        for r in csv.DictReader(io.StringIO(table))
    ]
    for each in corrections:
        track = each["camera_id"], each["track_id"]
        names = {
            name for *seen, frame, name in rows if (*seen,) == track and each["from_frame"] <= frame <= each["to_frame"]
        }
        assert names == {each["to_global_id"] or ""}


async def test_a_late_client_is_brought_into_step(task: Finished) -> None:
    """Nobody named a place: the latest status, every announcement, and the current batch from its start."""
    messages, code = await task.follow("?colour=blue")
    kinds = [message["type"] for message in messages]
    assert code == 1000
    assert kinds.count("media_available") == 2
    first = next(m["payload"] for m in messages if m["type"] == "tracking_update")
    assert first["sub_video_batch_index_of_frame"] == 1
    assert [m["seq"] for m in messages] == sorted(m["seq"] for m in messages)


async def test_a_client_that_comes_back_gets_what_it_missed(task: Finished) -> None:
    place = task.messages[len(task.messages) // 2]["seq"]
    messages, code = await task.follow(f"?since={place}")
    assert code == 1000
    assert [m for m in messages if m["seq"] > place] == [m for m in task.messages if m["seq"] > place]


async def test_ping(task: Finished) -> None:
    started = await task.post("/processing-tasks/start", environment_id="campus", end_batch=1)
    identifier = started.json()["task_id"]
    async with websockets.connect(f"{task.address}/ws/tracking/{identifier}", proxy=None) as socket:
        await socket.send('{"type": "hello"}')
        await socket.send('{"type": "ping"}')
        async with asyncio.timeout(10):
            while json.loads(await socket.recv())["type"] != "pong":
                pass
    await task.post(f"/processing-tasks/{identifier}/control", action="cancel")
