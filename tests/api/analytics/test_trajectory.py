"""A person's way, asked of a real database."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime, timedelta

import pyarrow.csv
import pyarrow.parquet
import pytest

from api.routes.analytics import trajectory
from orchestrator.history.queries import TrackRow
from tests.api.analytics.conftest import TICKS, WALKER, time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
PATH = f"/api/v1/analytics_data/trajectory/{WALKER}"


async def ask(client, task, **params):
    answer = await client.get(PATH, params={"task_id": task, **params})
    assert answer.status_code == 200, answer.text
    return answer


async def test_points_are_merged_across_cameras_in_time_order(client, task):
    points = (await ask(client, task)).json()["points"]
    assert len(points) == TICKS + 20
    keys = [(datetime.fromisoformat(point["time"]), point["camera_id"]) for point in points]
    assert keys == sorted(keys)
    first = points[0]
    assert datetime.fromisoformat(first["time"]) == time_of(0)
    assert (first["camera_id"], first["map_x"], first["map_y"]) == ("c01", 0.0, 2.0)
    assert first["bbox"] == [100, 20, 150, 180]
    assert first["confidence"] == pytest.approx(0.9)
    assert first["task_id"] == task


async def test_a_long_answer_is_made_beside_everything_else() -> None:
    """The longest one takes seconds to make; nobody else waits for it longer than for any other thread."""
    began = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [
        TrackRow("t", "c01", 1, WALKER, k, began + timedelta(seconds=k / 12), k / 12, 1, 2, 3, 4, 0.9, k / 12, 0)
        for k in range(40_000)
    ]
    ended, stalls = asyncio.Event(), []

    async def watch() -> None:
        while not ended.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.append(time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    before = time.perf_counter()
    response = await trajectory.respond(WALKER, rows, None, None, {})
    body = b"".join([bytes(piece) async for piece in response.body_iterator])
    took = time.perf_counter() - before
    ended.set()
    await watching
    answer = json.loads(body)
    assert [point["global_frame_index"] for point in answer["points"]] == list(range(40_000))
    assert max(stalls) < took / 2


async def test_speed_distance_and_time_per_camera(client, task):
    answer = (await ask(client, task)).json()
    summary = answer["summary"]
    assert summary["mean_speed_mps"] == pytest.approx(1.0, abs=0.02)
    alone = [point["speed_mps"] for point in answer["points"] if int(point["media_time_s"] * 10) < 30]
    assert alone == pytest.approx([1.0] * len(alone), abs=1e-6)
    assert summary["distance_m"] == pytest.approx(9.9, abs=0.2)
    assert summary["seconds"] == pytest.approx(10.0)
    cameras = {camera["camera_id"]: camera for camera in summary["cameras"]}
    assert cameras["c01"]["seconds"] == pytest.approx(10.0)
    assert cameras["c02"]["seconds"] == pytest.approx(2.0)
    assert datetime.fromisoformat(cameras["c02"]["first_time"]) == time_of(40)
    assert datetime.fromisoformat(cameras["c02"]["last_time"]) == time_of(59)
    zones = {zone["zone_id"]: zone for zone in summary["zones"]}
    assert (zones["middle"]["visits"], zones["middle"]["seconds"]) == (1, pytest.approx(4.0, abs=0.2))
    assert (zones["bench"]["visits"], zones["bench"]["seconds"]) == (0, 0)


async def test_simplified_to_what_a_straight_walk_does_not_say(client, task):
    whole = (await ask(client, task)).json()
    rough = (await ask(client, task, simplify_m=0.2)).json()
    assert [point["time"] for point in rough["points"]] == [whole["points"][0]["time"], whole["points"][-1]["time"]]
    fine = (await ask(client, task, simplify_m=0.05)).json()
    times = {datetime.fromisoformat(point["time"]) for point in fine["points"]}
    assert times == {time_of(tick) for tick in (0, 39, 40, 59, 60, TICKS - 1)}
    assert fine["summary"] == whole["summary"]


async def test_from_is_inclusive_and_to_is_not(client, task):
    span = {"from": time_of(10).isoformat(), "to": time_of(20).isoformat()}
    points = (await ask(client, task, **span)).json()["points"]
    assert [datetime.fromisoformat(point["time"]) for point in points] == [time_of(tick) for tick in range(10, 20)]
    naive = {"from": "2026-01-05T09:00:01", "to": "2026-01-05T09:00:02"}
    assert (await ask(client, task, **naive)).json()["points"] == points


@pytest.mark.parametrize("limit", [1, 47, 1000])
async def test_a_long_way_comes_in_pages_of_whole_ticks(client, task, limit):
    whole = (await ask(client, task)).json()["points"]
    pages, following = [], {}
    while following is not None:
        answer = (await ask(client, task, limit=limit, **following)).json()
        pages.append(answer["points"])
        following = {"from": answer["next"]} if answer["next"] else None
    for point in (point for page in (*pages, whole) for point in page):
        del point["speed_mps"]  # at the edge of a page it is made of fewer positions
    assert [point for page in pages for point in page] == whole
    ticks = [{point["time"] for point in page} for page in pages]
    assert all(not ticks[index] & ticks[index + 1] for index in range(len(ticks) - 1))
    assert max(map(len, pages)) <= max(limit, 2)


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_files_hold_every_sighting(client, task, form):
    points = (await ask(client, task)).json()["points"]
    answer = await ask(client, task, format=form)
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table}[form]
    table = read(io.BytesIO(answer.content)).to_pylist()
    assert f'filename="trajectory.{form}"' in answer.headers["content-disposition"]
    assert len(table) == len(points)
    for row, point in zip(table, points, strict=True):
        assert row["time"] == datetime.fromisoformat(point["time"])
        assert (row["camera_id"], row["track_id"]) == (point["camera_id"], point["track_id"])
        assert (row["map_x"], row["map_y"]) == (point["map_x"], point["map_y"])
        assert [row[name] for name in ("x1", "y1", "x2", "y2")] == point["bbox"]


async def test_nobody_has_been_nowhere(client, task):
    answer = await client.get("/api/v1/analytics_data/trajectory/nobody")
    assert (answer.status_code, answer.json()["points"], answer.json()["next"]) == (200, [], None)
    empty = await client.get("/api/v1/analytics_data/trajectory/nobody", params={"format": "csv"})
    assert empty.text.startswith('"task_id","camera_id"')
    assert len(empty.text.splitlines()) == 1


async def test_questions_that_cannot_be_answered(client, task):
    for params in ({"from": "yesterday"}, {"from": time_of(2).isoformat(), "to": time_of(1).isoformat()}):
        assert (await client.get(PATH, params=params)).status_code == 422
    unknown = {"task_id": "00000000-0000-0000-0000-000000000000"}
    assert (await client.get(PATH, params=unknown)).status_code == 404
    assert (await client.get("/api/v1/analytics_data/trajectory/a%00b")).status_code == 422
