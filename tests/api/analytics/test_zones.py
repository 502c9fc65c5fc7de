"""Dwell in zones and crossings of lines, of people whose ways are known."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.api.analytics.conftest import SITTER, TICKS, WALKER, time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]


async def ask(client, path, **params):
    answer = await client.get(f"/api/v1/analytics_data/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_who_stayed_where_for_how_long(client, task):
    found = await ask(client, "zones", task_id=task)
    zones = {zone["zone_id"]: zone for zone in found["zones"]}
    assert (zones["bench"]["name"], zones["middle"]["name"]) == ("The bench", "middle")
    assert (zones["bench"]["people"], zones["bench"]["visits"]) == (1, 1)
    assert zones["bench"]["seconds"] == zones["bench"]["longest_seconds"] == pytest.approx(TICKS / 10)
    assert zones["middle"]["seconds"] == pytest.approx(4.0, abs=0.2)
    sitting, walking = found["visits"]
    assert (sitting["zone_id"], sitting["global_id"]) == ("bench", SITTER)
    assert datetime.fromisoformat(sitting["time"]) == time_of(0)
    assert (walking["zone_id"], walking["global_id"]) == ("middle", WALKER)
    assert found["truncated"] is False


async def test_events_are_bounded_and_counts_are_not(client, task):
    found = await ask(client, "zones", task_id=task, limit=1)
    assert ([visit["zone_id"] for visit in found["visits"]], found["truncated"]) == (["bench"], True)
    assert sum(zone["visits"] for zone in found["zones"]) == 2
    assert (await ask(client, "crossings", task_id=task, limit=0))["lines"][0]["to_right"] == 1


async def test_who_crossed_which_way(client, task):
    found = await ask(client, "crossings", task_id=task)
    (line,) = found["lines"]
    assert (line["line_id"], line["name"], line["to_left"], line["to_right"]) == ("gate", "Gate", 0, 1)
    (crossing,) = found["crossings"]
    assert (crossing["direction"], crossing["global_id"]) == ("to_right", WALKER)
    assert crossing["map_x"] == pytest.approx(5.0, abs=0.2)
    assert abs((datetime.fromisoformat(crossing["time"]) - time_of(50)).total_seconds()) <= 0.2


async def test_only_what_lies_in_the_time_asked_for(client, task):
    late = {"task_id": task, "from": time_of(80).isoformat()}
    assert (await ask(client, "crossings", **late))["crossings"] == []
    zones = {zone["zone_id"]: zone for zone in (await ask(client, "zones", **late))["zones"]}
    assert (zones["middle"]["visits"], zones["bench"]["seconds"]) == (0, pytest.approx(2.0))


async def test_an_environment_without_drawings_has_none(client, task):
    assert (await ask(client, "zones", environment_id="factory"))["zones"] == []
    assert (await ask(client, "crossings", environment_id="factory"))["lines"] == []


async def test_the_drawings_can_be_asked_for(client):
    campus = (await client.get("/api/v1/config/environments")).json()[0]
    assert campus["lines"]["gate"]["points"] == [[5, 0], [5, 4]]
    assert campus["zones"]["bench"]["polygon"][0] == [5, 7]
