"""A recording that was processed more than once: each camera's file counts once, by the latest task that completed."""

from __future__ import annotations

import pytest

from orchestrator.tasks import TaskStatus
from tests.api.analytics.conftest import BEGAN, SITTER, TICKS, WALKER, store_task

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
FILES = {"c01": "first file of c01", "c02": "first file of c02"}
SECONDS = TICKS / 10
CAMPUS = {"environment_id": "campus"}


async def ask(client, question, **params):
    answer = await client.get(f"/api/v1/analytics_data/{question}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def sums(client, **scope):
    """Person-seconds on the map; people-seconds in view, also from the minutes; people; seconds on the bench."""
    heatmap = await ask(client, "heatmap", **scope)
    (exact,) = (await ask(client, "occupancy", bucket_s=60, **scope))["buckets"]
    cameras = (await ask(client, "occupancy", bucket_s=60, by="camera", means_only=True, **scope))["buckets"]
    zones = (await ask(client, "zones", **scope))["zones"]
    return (
        round(heatmap["total_seconds"], 3),
        round(60 * exact["mean"], 3),
        round(60 * sum(bucket["mean"] for bucket in cameras), 3),
        exact["people"],
        round(sum(zone["seconds"] for zone in zones if zone["zone_id"] == "bench"), 3),
    )


async def test_each_file_counts_once(client, live):
    first = await store_task(live(), etags=FILES)
    once = await sums(client, **CAMPUS)
    assert once == (2 * SECONDS, 3 * SECONDS, 3 * SECONDS + 2, 3, SECONDS)
    await store_task(live(), etags=FILES)
    assert await sums(client, **CAMPUS) == once
    assert await sums(client, task_id=first) == once, "a task by itself is all there"

    await store_task(live(), ticks=50, etags=FILES, status=TaskStatus.FAILED)
    assert await sums(client, **CAMPUS) == once, "one that has not completed stands behind one that has"

    latest = await store_task(live(), ticks=50, etags=FILES)
    half = (SECONDS, 1.5 * SECONDS, 1.5 * SECONDS + 1, 3, SECONDS / 2)
    assert await sums(client, **CAMPUS) == await sums(client, task_id=latest) == half

    await store_task(live(), etags={"c01": FILES["c01"], "c02": "another file of c02"})
    heatmap, *_, people, bench = await sums(client, **CAMPUS)
    assert (heatmap, bench) == (2 * SECONDS + 1, SECONDS), "c01 by the latest, and c02's former file beside"
    assert people == 5

    await store_task(live(), etags={"c01": "a later recording of c01"})
    assert (await sums(client, **CAMPUS))[-1] == 2 * SECONDS


@pytest.mark.parametrize("few", [20_000, 0], ids=["compared one by one", "through the index"])
async def test_nobody_is_found_twice(client, live, few, monkeypatch):
    monkeypatch.setattr("orchestrator.history.search.FEW_LOOKS", few)
    files = {camera: f"{camera} {few}" for camera in FILES}

    async def found(**where):
        # at these people alone: other tests leave theirs in the environment
        body = {"global_id": WALKER, "min_similarity": 0.5, "limit": 100, **where}
        answer = await client.post("/api/v1/analytics_data/search", json=body)
        assert answer.status_code == 200, answer.text
        return {(seen["task_id"], seen["global_id"], seen["camera_id"]) for seen in answer.json()["sightings"]}

    def all_of(task_id):
        return {(task_id, WALKER, "c01"), (task_id, WALKER, "c02"), (task_id, SITTER, "c01")}

    def those(seen, *tasks):
        return {each for each in seen if each[0] in tasks}

    first = await store_task(live(), etags=files)
    assert those(await found(**CAMPUS), first) == all_of(first)
    second = await store_task(live(), etags=files)
    for where in (CAMPUS, {}, {**CAMPUS, "from": BEGAN.isoformat()}, {**CAMPUS, "camera_id": ["c01", "c02"]}):
        assert those(await found(**where), first, second) == all_of(second)
    assert await found(task_id=first) == all_of(first), "a task by itself is all there"
    third = await store_task(live(), etags={"c01": files["c01"], "c02": f"a later file {few}"})
    seen = those(await found(**CAMPUS), first, second, third)
    assert seen == all_of(third) | {(second, WALKER, "c02")}, "of the second task its own file of c02 is left"
