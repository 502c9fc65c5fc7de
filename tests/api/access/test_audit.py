"""The audit log: who did what, also where it was refused; and nothing that could be used to log in."""

from __future__ import annotations

import pytest

from api.access.audit import AuditLog
from api.access.principal import Role

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
START = "/api/v1/processing-tasks/start"
CAMPUS = {"environment_id": "campus"}


async def entries(tokens, who=None):
    return await AuditLog(tokens._pool).latest(100, who)


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
    await api.post(START, json=CAMPUS, headers={"Authorization": "Bearer spoton_nobody"})
    assert await entries(tokens) == before
    assert (await api.post(START, json=CAMPUS, headers=await bearer(Role.VIEWER))).status_code == 403
    stranger = await bearer(environments=["factory"])
    assert (await api.post(START, json=CAMPUS, headers=stranger)).status_code == 404
    assert [entry.status for entry in (await entries(tokens))[:2]] == [404, 403]


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
