"""PostgreSQL goes away, and Redis too or stands still, while the API works: an honest answer, and no loss after."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest

from api.problems import MEDIA_TYPE
from demo.servers.ports import free_ports
from tests.api.relay import relay
from tests.api.test_websocket import receive, recording, seqs  # noqa: F401  a fixture among them

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
TASKS = "/api/v1/processing-tasks"


async def until(client, path, status):
    async with asyncio.timeout(15):
        while (answer := await client.get(path)).status_code != status:
            await asyncio.sleep(0.05)
    return answer


async def test_postgres_goes_away_in_the_middle_of_a_request(live, serve, database):
    to, (port,) = psycopg.conninfo.conninfo_to_dict(database), free_ports(1)
    settings = live(postgres_dsn=psycopg.conninfo.make_conninfo(database, port=port), postgres_timeout_s=1.0)
    async with relay(port, to["host"], int(to["port"])) as line, serve(settings) as client:
        await until(client, TASKS, 200)
        line.freeze()
        asked = [asyncio.create_task(client.get(TASKS)) for _ in range(20)]
        await asyncio.sleep(0.1)
        line.cut()
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*asked)
        for answer in answers:
            assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE), answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).status_code == 200
        line.thaw()
        await until(client, TASKS, 200)
        assert [(await client.get(TASKS)).status_code for _ in range(10)] == [200] * 10


async def test_a_postgres_that_stands_still_is_answered_for_within_a_deadline(live, serve, database):
    """For short questions as for those that may take longer, and for long answers."""
    to, (port,) = psycopg.conninfo.conninfo_to_dict(database), free_ports(1)
    dsn = psycopg.conninfo.make_conninfo(database, port=port)
    settings = live(postgres_dsn=dsn, postgres_timeout_s=0.5, analytics_timeout_s=0.5)
    async with relay(port, to["host"], int(to["port"])) as line, serve(settings) as client:
        await until(client, TASKS, 200)
        analytics = "/api/v1/analytics_data"
        asked = (TASKS, f"{analytics}/trajectory/x-1", f"{analytics}/occupancy?environment_id=campus")
        for path in asked:
            assert (await client.get(path)).status_code == 200
        line.freeze()
        async with asyncio.timeout(3):  # 0.5 s for a connection and 1.5 s for an answer, with a margin for the machine
            answers = await asyncio.gather(*(client.get(path) for path in asked))
        assert {answer.status_code for answer in answers} == {503}
        line.thaw()
        for path in asked:
            await until(client, path, 200)


@pytest.mark.parametrize("cut", [False, True], ids=["stands still", "goes away"])
async def test_redis_while_a_client_follows(live, serve, backends, recording, cut):  # noqa: F811
    to, (port,) = urlsplit(backends.valkey.url), free_ports(1)
    url = to._replace(netloc=to.netloc.replace(f":{to.port}", f":{port}")).geturl()
    async with relay(port, to.hostname, to.port) as line, serve(live(redis_url=url, redis_timeout_s=0.5)) as client:
        recording.client = client
        async with recording.follow() as socket:
            await receive(socket, 1)
            await recording.tick(0)
            assert seqs(await receive(socket, 1)) == [1]
            line.freeze()
            for frame in range(1, 6):
                await recording.tick(frame)
            await asyncio.sleep(0.2)
            if cut:
                line.cut()
            steered = await client.post(f"{TASKS}/{recording.task_id}/control", json={"action": "clear_focus"})
            assert steered.status_code == 200, "the database has it; the worker looks there too"
            line.thaw()
            assert seqs(await receive(socket, 5)) == [2, 3, 4, 5, 6]


async def test_several_processes_serve_one_task(live, serve, recording):  # noqa: F811
    async with serve(live()) as second:
        first = recording.client
        async with recording.follow() as here:
            recording.client = second
            async with recording.follow() as there:
                for frame in range(50):
                    await recording.tick(frame)
                assert seqs(await receive(here, 51)) == seqs(await receive(there, 51)) == list(range(51))
            recording.client = first
            async with recording.follow("?since=20") as back:
                assert seqs(await receive(back, 31))[1:] == list(range(21, 51))
