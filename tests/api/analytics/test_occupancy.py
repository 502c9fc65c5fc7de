"""People in view over time, where it is known who was there."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.api.analytics.conftest import time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
PATH = "/api/v1/analytics_data/occupancy"


async def occupancy(client, task, **params):
    answer = await client.get(PATH, params={"task_id": task, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["buckets"]


async def test_somebody_whom_two_cameras_see_counts_once(client, task):
    buckets = await occupancy(client, task, bucket_s=2)
    assert [datetime.fromisoformat(bucket["time"]) for bucket in buckets] == [time_of(20 * k) for k in range(5)]
    assert {bucket["camera_id"] for bucket in buckets} == {None}
    assert [bucket["mean"] for bucket in buckets] == pytest.approx([3.0] * 5)
    assert [(bucket["peak"], bucket["people"]) for bucket in buckets] == [(3, 3)] * 5


async def test_each_camera_by_itself(client, task):
    buckets = await occupancy(client, task, bucket_s=5, by="camera")
    found = {(bucket["camera_id"], index // 2): bucket for index, bucket in enumerate(buckets)}
    assert len(found) == 4
    assert [found["c01", part]["mean"] for part in (0, 1)] == pytest.approx([2, 2])
    assert [found["c02", part]["mean"] for part in (0, 1)] == pytest.approx([1.2, 1.2])
    assert (found["c02", 0]["peak"], found["c02", 0]["people"]) == (2, 2)


async def test_means_alone_over_minutes(client, task):
    quick = await occupancy(client, task, bucket_s=60, by="camera", means_only=True)
    exact = await occupancy(client, task, bucket_s=60, by="camera")
    assert [(bucket["camera_id"], bucket["time"]) for bucket in quick] == [
        (bucket["camera_id"], bucket["time"]) for bucket in exact
    ]
    assert [bucket["mean"] for bucket in quick] == pytest.approx([bucket["mean"] for bucket in exact])
    assert {bucket["peak"] for bucket in quick} == {None}


@pytest.mark.parametrize(
    "params",
    [
        {"bucket_s": 0},
        {"bucket_s": "nan"},
        {"by": "zodiac"},
        {"means_only": True},
        {"by": "camera", "means_only": True, "bucket_s": 90},
    ],
)
async def test_questions_that_cannot_be_answered(client, task, params):
    answer = await client.get(PATH, params={"task_id": task, **params})
    assert answer.status_code == 422
