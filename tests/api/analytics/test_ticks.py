"""A task's messages told again from history: the same as those that were sent."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from orchestrator.tasks import TaskStatus
from tests.api.recordings import BATCHES, CAMERAS, TICKS, media, worker

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
NAMED = ", ".join(f"{camera}: {{prefix: {camera}}}" for camera in CAMERAS)
SITE = f"environments: {{court: {{cameras: {{{NAMED}}}}}}}"


@pytest.fixture(scope="module")
def court(live, home):
    path = home / "court.yaml"
    path.write_text(SITE)
    return live(site_file=path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(court, serve):
    async with serve(court) as client:
        yield client


async def sent(worker_, kind):
    found = await worker_.log.read(worker_.task.id, 0, 0.0, 1000)
    return [json.loads(message.body)["payload"] for message in found if message.type == kind]


def told(payloads):
    return [{**each, "timestamp_processed_utc": None} for each in payloads]


async def all_ticks(api, task_id, limit):
    found, following = [], 0
    while following is not None:
        address = f"/api/v1/analytics_data/tasks/{task_id}/ticks"
        answer = await api.get(address, params={"from_frame": following, "limit": limit})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["ticks"]) <= limit
        found += page["ticks"]
        following = page["next"]
    return found


async def test_every_message_of_a_task_can_be_had_from_history(api, court):
    async with worker(court) as found:
        await found.process()
        task_id = found.task.id
        said = await sent(found, "tracking_update")
    assert len(said) == BATCHES * TICKS
    for limit in (500, TICKS - 7):
        assert told(await all_ticks(api, task_id, limit)) == told(said)
    files = (await api.get(f"/api/v1/processing-tasks/{task_id}/media")).json()
    assert files == [media(found.task, batch).model_dump(mode="json") for batch in range(BATCHES)]


async def test_a_task_that_failed_ends_with_its_last_sighting(api, court):
    async with worker(court) as found:
        await found.begin(0)
        await found.ticks(range(TICKS))
        await found.complete(0)
        await found.begin(1)
        await found.ticks(range(TICKS, TICKS + 5))
        await found.enter(TaskStatus.FAILED)
        said = await sent(found, "tracking_update")
    stored = await all_ticks(api, found.task.id, 500)
    assert [each["global_frame_index"] for each in stored] == list(range(TICKS + 5))
    assert told(stored[:TICKS]) == told(said[:TICKS])
    names = [
        track["global_id"] for each in stored[TICKS:] for cam in each["cameras"].values() for track in cam["tracks"]
    ]
    assert set(names) == {None}  # its batch never ended, so nobody wrote down who they were


async def test_a_task_of_which_nothing_is_stored_has_no_ticks(api, court):
    async with worker(court) as found:
        assert await all_ticks(api, found.task.id, 10) == []
        assert (await api.get(f"/api/v1/processing-tasks/{found.task.id}/media")).json() == []
