"""Who was seen, and when by which camera."""

from __future__ import annotations

import pytest

from tests.api.analytics.conftest import SITTER, TICKS, WALKER

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]


async def people(client, task, **params):
    answer = await client.get(f"/api/v1/analytics_data/tasks/{task}/people", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_everybody_with_the_stretches_in_which_they_were_seen(client, task):
    found = await people(client, task)
    assert found["next"] is None
    walker = next(person for person in found["people"] if person["global_id"] == WALKER)
    assert walker["cameras"] == ["c01", "c02"]
    assert [
        (seen["camera_id"], seen["track_id"], seen["first_frame"], seen["last_frame"]) for seen in walker["sightings"]
    ] == [("c01", 1, 0, TICKS - 1), ("c02", 1, 40, 59)]
    assert {person["global_id"] for person in found["people"]} == {WALKER, SITTER}


async def test_pages_follow_one_another(client, task):
    first = await people(client, task, limit=1)
    second = await people(client, task, limit=1, after=first["next"])
    assert [person["global_id"] for page in (first, second) for person in page["people"]] == [SITTER, WALKER]
    assert second["next"] is None


@pytest.mark.parametrize("after", ["", "x", "1", "-1:a", "99999999999:a", "²:a", "0:a\0"])
async def test_a_place_that_no_page_gave_is_refused(client, task, after):
    answer = await client.get(f"/api/v1/analytics_data/tasks/{task}/people", params={"after": after})
    assert answer.status_code == 422


async def test_an_unknown_task_is_404(client):
    answer = await client.get("/api/v1/analytics_data/tasks/00000000-0000-0000-0000-000000000000/people")
    assert answer.status_code == 404
