"""The audit log: who did what, also where it was refused; and nothing that could be used to log in."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from PIL import Image
from websockets import InvalidStatus
from websockets.asyncio.client import connect

from api.access import audit
from api.access.audit import Audited, AuditLog
from api.access.principal import Role
from api.app import create_app
from tests.api.access.conftest import until_prepared

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
START = "/api/v1/processing-tasks/start"
CAMPUS = {"environment_id": "campus"}
ACTIONS = {
    **{f"/api/v1/{tasks}/start": "start" for tasks in ("processing-tasks", "processing_tasks")},
    **{f"/api/v1/{tasks}/{{task_id}}/control": "control" for tasks in ("processing-tasks", "processing_tasks")},
    "/api/v1/analytics_data/search": "search",
    "/api/v1/analytics_data/tasks/{task_id}/export": "export",
    "/api/v1/analytics_data/trajectory/{global_person_id}": "export",
}
BODIES = {"start": CAMPUS, "control": {"action": "clear_focus"}, "search": {"global_id": "x-1"}}
LOOKING = {f"/api/v1/{tasks}/{{task_id}}/ticket" for tasks in ("processing-tasks", "processing_tasks")}
"""Asked for by POST, so that no cache answers, and nothing comes of it."""
TABLES = {"text/csv", "application/vnd.apache.parquet", "application/zip"}


def _picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 128)).save(stream, "PNG")
    return stream.getvalue()


PICTURE = _picture()


async def entries(tokens, who=None):
    return await AuditLog(tokens._pool).latest(100, who)


def audited_in(dependant) -> Iterator[Audited]:
    if isinstance(dependant.call, Audited):
        yield dependant.call
    for each in dependant.dependencies:
        yield from audited_in(each)


def routes(app) -> dict[str, list[tuple[APIRoute, list[Audited]]]]:
    found = {}
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            found.setdefault(str(route.path), []).append((route, list(audited_in(route.dependant))))
    return found


async def test_every_route_that_changes_something_or_hands_out_tables_is_audited(settings):
    own = routes(create_app(settings()))
    audited = {path: each[0].action for path, known in own.items() for _, each in known if each}
    assert audited == ACTIONS
    for path, known in own.items():
        for route, _ in known:
            tables = TABLES & route.original_route.responses.get(200, {}).get("content", {}).keys()
            if route.methods - {"GET", "HEAD"} or tables:
                assert path in audited.keys() | LOOKING, f"{path} starts, searches or exports, and nobody is told"


@pytest.mark.parametrize("path", ACTIONS)
async def test_each_of_them_leaves_a_row_that_says_who(api, bearer, tokens, start, path):
    operator, action = await bearer(), ACTIONS[path]
    task_id = (await start(operator))["task_id"]
    where = path.format(task_id=task_id, global_person_id="x-1")
    method, params = ("POST", {}) if action in BODIES else ("GET", {"format": "csv"})
    answer = await api.request(method, where, params=params, json=BODIES.get(action), headers=operator)
    latest = (await entries(tokens))[0]
    assert (latest.action, latest.path, latest.status) == (action, where, answer.status_code)
    assert latest.who.startswith("token test ")


async def test_a_path_is_looked_at_unless_it_is_taken_away(api, bearer, tokens):
    viewer, before = await bearer(Role.VIEWER), await entries(tokens)
    where = "/api/v1/analytics_data/trajectory/x-1"
    for params in ({}, {"format": "json"}):
        assert (await api.get(where, params=params, headers=viewer)).status_code == 200
    assert await entries(tokens) == before
    assert (await api.get(where, params={"format": "parquet"}, headers=viewer)).status_code == 200
    assert (await entries(tokens))[0].query == "format=parquet"


async def test_rows_are_kept_for_as_long_as_the_settings_say(guarded, serve, tokens, monkeypatch):
    log = AuditLog(tokens._pool)
    monkeypatch.setattr(audit, "_FORGET_ROWS", 2)
    row = {"who": "old", "role": "viewer", "action": "export", "path": "", "query": "", "what": "", "client": ""}
    for _ in range(5):
        await log.add(**row, status=200)
    async with tokens._pool.connection() as connection:
        await connection.execute("UPDATE audit_log SET at = now() - interval '10 days' WHERE who = 'old'")
    await log.add(**row | {"who": "new"}, status=200)
    assert await log.forget(datetime.now(UTC) - timedelta(days=11)) == 0
    async with serve(guarded.model_copy(update={"audit_retention_days": 9.0})), asyncio.timeout(10):
        while await log.latest(10, "old"):
            await asyncio.sleep(0.05)
    assert len(await log.latest(10, "new")) == 1


async def test_what_was_started_and_steered_is_noted_with_who_did_it(api, bearer, tokens, start):
    operator = await bearer()
    task_id = (await start(operator))["task_id"]
    control = f"/api/v1/processing-tasks/{task_id}/control"
    await api.post(control, json={"action": "cancel"}, headers=operator, params={"ticket": "secret", "x": "1"})
    steered, started = (await entries(tokens))[:2]
    assert (started.action, started.path, started.status) == ("start", START, 202)
    assert started.what == f"task {task_id} of campus"
    assert started.who.startswith("token test ")
    assert (started.role, started.client) == ("operator", "127.0.0.1")
    assert (steered.action, steered.path, steered.what, steered.status) == ("control", control, "cancel", 200)
    assert steered.query == "x=1"
    assert steered.at >= started.at
    assert [entry.who for entry in await entries(tokens, started.who)] == [started.who] * 2


async def test_a_refusal_is_noted_where_it_is_known_whose(api, bearer, tokens):
    before = await entries(tokens)
    await api.post(START, json=CAMPUS)
    assert await entries(tokens) == before
    assert (await api.post(START, json=CAMPUS, headers=await bearer(Role.VIEWER))).status_code == 403
    stranger = await bearer(environments=["factory"])
    assert (await api.post(START, json=CAMPUS, headers=stranger)).status_code == 404
    assert [entry.status for entry in (await entries(tokens))[:2]] == [404, 403]


async def test_failed_logins_are_noted_without_the_token(api, bearer, tokens, start):
    task_id = (await start(await bearer()))["task_id"]
    nobody = {"Authorization": "Bearer spoton_nobody"}
    before = len(await entries(tokens, "nobody"))
    assert (await api.get("/api/v1/processing-tasks", headers=nobody)).status_code == 401
    url = str(api.base_url).replace("http", "ws") + f"/ws/tracking/{task_id}"
    with pytest.raises(InvalidStatus):
        await connect(url, additional_headers=nobody)
    assert (await api.get("/api/v1/processing-tasks")).status_code == 401
    media = f"/api/v1/media/tasks/{task_id}/environments/campus/cameras/c01/sub_videos/sub_video_01.mp4"
    assert (await api.get(media, params={"ticket": "old"})).status_code == 401
    noted = await entries(tokens, "nobody")
    assert len(noted) == before + 2
    by_socket, by_rest = noted[:2]
    told = ("login", 401, "127.0.0.1", "the token is unknown, expired or revoked")
    assert (by_rest.action, by_rest.status, by_rest.client, by_rest.what) == told
    assert [each.path for each in (by_socket, by_rest)] == [f"/ws/tracking/{task_id}", "/api/v1/processing-tasks"]


async def test_failed_logins_cannot_fill_the_log(monkeypatch, caplog):
    monkeypatch.setattr(audit, "FAILED_LOGINS_A_MINUTE", 2)
    rows = []

    class Log:
        async def add(self, **row):
            rows.append(row)

    async def refused(scope, receive, send):
        scope["state"] = {"refused_login": "unknown"}
        await send({"type": "http.response.start", "status": 401, "headers": []})

    async def ignored(message):
        pass

    trail = audit.AuditTrail(refused, lambda _: Log())
    for _ in range(5):
        await trail({"type": "http", "path": "/", "query_string": b""}, None, ignored)
    assert len(rows) == 2
    assert [record.message for record in caplog.records] == [
        "more than 2 logins failed within a minute; no more of them are noted"
    ]


async def test_what_the_server_failed_at_is_noted_behind_the_answer(guarded, serve, bearer, tokens, closed_port):
    async with serve(guarded.model_copy(update={"triton_url": f"127.0.0.1:{closed_port}"})) as client:
        await until_prepared(client)
        picture = {"image": ("x.png", PICTURE, "image/png")}
        answer = await client.post("/api/v1/analytics_data/search", files=picture, headers=await bearer())
        assert answer.status_code == 503, answer.text
        async with asyncio.timeout(10):
            while (latest := (await entries(tokens))[0]).status != 503:
                await asyncio.sleep(0.05)
        assert (latest.action, latest.path) == ("search", "/api/v1/analytics_data/search")


async def test_looking_is_not_noted(api, bearer, tokens, start):
    operator = await bearer()
    started = await start(operator)
    before = await entries(tokens)
    await api.get(started["status_url"], headers=operator)
    await api.get("/api/v1/processing-tasks", headers=operator)
    assert await entries(tokens) == before


async def test_searches_and_exports_are_noted(api, bearer, tokens, start):
    viewer, task_id = await bearer(Role.VIEWER), (await start(await bearer()))["task_id"]
    export = f"/api/v1/analytics_data/tasks/{task_id}/export"
    assert (await api.get(export, params={"format": "csv"}, headers=viewer)).status_code == 200
    search = "/api/v1/analytics_data/search"
    assert (await api.post(search, json={"global_id": "x-1"}, headers=viewer)).status_code == 404
    searched, exported = (await entries(tokens))[:2]
    assert (exported.action, exported.path, exported.query, exported.status) == ("export", export, "format=csv", 200)
    assert (searched.action, searched.path, searched.what, searched.status) == ("search", search, "person x-1", 404)
