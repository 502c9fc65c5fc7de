"""Where people spend their time."""

from __future__ import annotations

import numpy as np
import pytest

from tests.api.analytics.conftest import TICKS, store_task, time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
PATH = "/api/v1/analytics_data/heatmap"


async def heatmap(client, **params):
    answer = await client.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_seconds_lie_where_people_were(client, task):
    found = await heatmap(client, task_id=task, cell_m=0.5)
    grid = np.array(found["seconds"])
    assert grid.shape == (found["rows"], found["columns"])
    assert found["total_seconds"] == pytest.approx(grid.sum()) == pytest.approx(2 * TICKS / 10)

    def at(x, y):
        column, row = ((np.array([x, y]) - found["origin"]) / found["cell_m"]).astype(int)
        return grid[row, column]

    assert at(5.25, 7.25) == pytest.approx(10.0)
    assert at(1.2, 2.0) == pytest.approx(0.5)
    assert at(4.6, 2.1) == pytest.approx(0.5), "seen by two cameras, counted once"


async def test_an_environment_adds_up_its_tasks_within_the_time(client, live):
    before = await heatmap(client, environment_id="campus")
    await store_task(live(), ticks=50)
    assert (await heatmap(client, environment_id="campus"))["total_seconds"] == pytest.approx(
        before["total_seconds"] + 10
    )
    none = await heatmap(client, environment_id="campus", **{"from": time_of(TICKS + 1).isoformat()})
    assert (none["seconds"], none["rows"], none["total_seconds"]) == ([], 0, 0)


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 422),
        ({"environment_id": "nowhere"}, 404),
        ({"environment_id": "campus", "cell_m": 0}, 422),
        ({"environment_id": "campus", "cell_m": "nan"}, 422),
        ({"environment_id": "factory", "task_id": "{task}"}, 404),
    ],
)
async def test_questions_that_cannot_be_answered(client, task, params, status):
    params = {name: task if value == "{task}" else value for name, value in params.items()}
    assert (await client.get(PATH, params=params)).status_code == status
