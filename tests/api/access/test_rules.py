"""Every route states who may use it, and nobody reaches what is not theirs."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest
import websockets
from fastapi.routing import iter_route_contexts

from api import websocket
from api.access import authentication
from api.access.document import stated_rules
from api.access.principal import Role
from api.access.rules import Rule
from api.app import create_app
from api.problems import MEDIA_TYPE
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings
from tests.api.access.conftest import KEY

STRICTNESS = [None, Role.VIEWER, Role.OPERATOR]
DESCRIPTION = {"/openapi.json"}
"""FastAPI's own: what the API looks like, and nothing of what is in it."""
PUBLIC_PATHS = {"/", "/viewer/{file}", "/docs", "/docs/{file}", "/health", "/health/live", "/health/ready", "/metrics"}
OPERATORS_ONLY = {
    f"/api/v1/{tasks}/{path}"
    for tasks in ("processing-tasks", "processing_tasks")
    for path in ("start", "{task_id}/control")
}


@pytest.fixture(scope="module")
def app(settings):
    return create_app(settings())


def stated(app) -> dict[str, Rule]:
    """The rule of every route that has one, by path; where methods differ, that of the strictest."""
    found: dict[str, Rule] = {}
    for path, _, (rule,) in stated_rules(app):
        found[path] = max((found.get(path, rule), rule), key=lambda rule: STRICTNESS.index(rule.role))
    return found


def test_every_route_states_its_access_rule(app):
    for path, _, rules in stated_rules(app):
        assert len(rules) == 1, f"{path} states no access rule, or more than one"
    own = {path for path, _, _ in stated_rules(app)}
    assert {route.path for route in iter_route_contexts(app.routes)} - own == DESCRIPTION


def test_a_route_without_a_rule_is_noticed(settings):
    app = create_app(settings())
    app.add_api_route("/open", lambda: None)
    assert [rules for path, _, rules in stated_rules(app) if path == "/open"] == [[]]


def test_the_document_says_how_to_log_in(app):
    paths = app.openapi()["paths"]
    assert "security" not in paths["/health"]["get"]
    status = paths["/api/v1/processing-tasks/{task_id}/status"]["get"]
    assert status["security"] == [{}, {"bearer": []}]
    assert {"401", "403", "429"} <= status["responses"].keys()
    media = next(path for path in paths if path.startswith("/api/v1/media"))
    assert paths[media]["get"]["security"] == [{}, {"bearer": []}, {"ticket": []}]
    assert app.openapi()["components"]["securitySchemes"].keys() == {"bearer", "ticket"}


def test_the_document_insists_where_the_server_does(settings):
    paths = create_app(settings(access="on", ticket_key=KEY)).openapi()["paths"]
    assert paths["/api/v1/processing-tasks"]["get"]["security"] == [{"bearer": []}]


def test_all_of_the_openapi_document_is_walked(app):
    paths = app.openapi()["paths"].keys()
    assert len(paths) >= 8
    assert paths <= stated(app).keys()


def test_who_may_use_what(app):
    found = stated(app)
    assert {path for path, rule in found.items() if rule.role is None} == PUBLIC_PATHS
    assert {path for path, rule in found.items() if rule.role is Role.OPERATOR} == OPERATORS_ONLY


def served(test):
    """Marks a test that runs against the served API."""
    return pytest.mark.servers(pytest.mark.asyncio(loop_scope="module")(test))


@served
async def test_without_a_token_only_the_public_paths_answer(api, app):
    for path, rule in stated(app).items():
        if path.startswith("/ws"):
            continue
        where = re.sub(r"\{.*?\}", {"/viewer/{file}": "main.js", "/docs/{file}": "start.js"}.get(path, "x"), path)
        for method in ("GET", "POST", "HEAD"):
            answer = await api.request(method, where)
            if answer.status_code == 405:
                continue
            if rule.role is None:
                assert answer.status_code in {200, 503}, (method, path)
            else:
                assert answer.status_code == 401, (method, path, answer.status_code)
                assert answer.headers["www-authenticate"].startswith("Bearer")


@served
@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "Bearer nonsense", "Bearer " + "x" * 9000])
async def test_a_malformed_or_unknown_token_is_refused(api, value):
    answer = await api.get("/api/v1/processing-tasks", headers={"Authorization": value})
    assert (answer.status_code, answer.headers["content-type"]) == (401, MEDIA_TYPE)


@served
async def test_a_viewer_looks_and_an_operator_acts(api, bearer, start):
    operator, viewer = await bearer(), await bearer(Role.VIEWER)
    task = (await start(operator))["task_id"]
    assert (await api.get(f"/api/v1/processing-tasks/{task}/status", headers=viewer)).status_code == 200
    refused = [
        await api.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"}, headers=viewer),
        await api.post(f"/api/v1/processing-tasks/{task}/control", json={"action": "cancel"}, headers=viewer),
    ]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert "operator" in refused[0].json()["detail"]
    done = await api.post(f"/api/v1/processing-tasks/{task}/control", json={"action": "cancel"}, headers=operator)
    assert done.status_code == 200


@served
async def test_not_yours_and_not_there_are_the_same_answer(api, bearer, start):
    task = (await start(await bearer()))["task_id"]
    stranger = await bearer(environments=["factory"])
    nowhere = "00000000-0000-4000-8000-000000000000"

    async def asked(task_id, environment_id):
        base = f"/api/v1/processing-tasks/{task_id}"
        media = f"/api/v1/media/tasks/{task_id}/environments/{environment_id}/cameras/c01/sub_videos"
        trajectory = "/api/v1/analytics_data/trajectory/x"
        answers = [
            await api.get(f"{base}/status", headers=stranger),
            await api.post(f"{base}/control", json={"action": "cancel"}, headers=stranger),
            await api.get(f"{media}/sub_video_01.mp4", headers=stranger),
            await api.get(f"/api/v1/config/environments/{environment_id}/cameras", headers=stranger),
            await api.get(trajectory, params={"task_id": task_id}, headers=stranger),
            await api.post("/api/v1/processing-tasks/start", json={"environment_id": environment_id}, headers=stranger),
        ]
        seen = [(answer.status_code, answer.text) for answer in answers]
        return [(code, text.replace(task_id, "T").replace(environment_id, "E")) for code, text in seen]

    theirs = await asked(task, "campus")
    assert {code for code, _ in theirs} == {404}
    assert theirs == await asked(nowhere, "nirvana")


@served
async def test_lists_hold_what_is_theirs(api, bearer, start):
    everybody, theirs = await bearer(), await bearer(environments=["factory"])
    task = (await start(everybody))["task_id"]
    listed = (await api.get("/api/v1/processing-tasks", headers=everybody)).json()["tasks"]
    assert task in [each["task_id"] for each in listed]
    assert (await api.get("/api/v1/processing-tasks", headers=theirs)).json()["tasks"] == []
    environments = (await api.get("/api/v1/config/environments", headers=theirs)).json()
    assert [each["environment_id"] for each in environments] == ["factory"]
    assert (await api.get("/api/v1/analytics_data/trajectory/x", headers=theirs)).json()["points"] == []


@served
async def test_the_websocket_asks_too(api, bearer, start, caplog):
    operator = await bearer()
    task = (await start(operator))["task_id"]
    url = f"{str(api.base_url).replace('http', 'ws')}/ws/tracking/{task}"
    stranger = await bearer(environments=["factory"])
    for headers, code in (({}, 401), (stranger, 404)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == code
    assert not [record for record in caplog.records if record.exc_info], "strangers could fill the log"
    async with websockets.connect(url, additional_headers=operator, proxy=None) as socket:
        assert "status_update" in await asyncio.wait_for(socket.recv(), 10)


@served
async def test_an_expired_and_a_revoked_token_are_refused(api, tokens, bearer, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBER_S", 0.0)
    expired = await bearer(lifetime=timedelta(seconds=-1))
    assert (await api.get("/api/v1/processing-tasks", headers=expired)).status_code == 401
    text, made = await tokens.make("to be revoked", Role.VIEWER, None, timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {text}"}
    assert (await api.get("/api/v1/processing-tasks", headers=headers)).status_code == 200
    await tokens.revoke(made.id)
    assert (await api.get("/api/v1/processing-tasks", headers=headers)).status_code == 401


@served
async def test_a_database_that_is_away_is_not_a_wrong_token(settings, serve):
    async with serve(settings(access="on", ticket_key=KEY, postgres_timeout_s=0.5)) as client:
        answer = await client.get("/api/v1/processing-tasks", headers={"Authorization": "Bearer spoton_x"})
    assert answer.status_code == 503


def test_access_off_is_for_loopback_alone():
    assert load_settings(_env_file=None, api_host="0.0.0.0", access="on", ticket_key=KEY).api_host == "0.0.0.0"
    with pytest.raises(SettingsError, match="not loopback, and access is off"):
        load_settings(_env_file=None, api_host="0.0.0.0")
    with pytest.raises(SettingsError, match="ticket_key is needed"):
        load_settings(_env_file=None, access="on")
    with pytest.raises(SettingsError, match="SPOTON_TICKET_KEY"):
        load_settings(_env_file=None, access="on", ticket_key="short")


def requests_about(document, names, values):
    """Every request of the OpenAPI document without a body that can be made about a task or an environment."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = {each["name"]: each for each in operation.get("parameters", [])}
            if not names & parameters.keys() or "requestBody" in operation:
                continue
            query = {name: values[name] for name in names & parameters.keys() if parameters[name]["in"] == "query"}
            yield method, re.sub(r"\{(\w+)\}", lambda part: values.get(part[1], "x"), path), query


@served
async def test_every_route_about_a_task_or_environment_answers_strangers_as_if_it_were_not_there(
    api, app, bearer, start
):
    task_id = (await start(await bearer()))["task_id"]
    stranger = await bearer(environments=["factory"])
    there = {"task_id": task_id, "environment_id": "campus"}
    nowhere = {"task_id": "00000000-0000-4000-8000-000000000000", "environment_id": "nirvana"}
    asked = 0
    for names in ({"task_id"}, {"environment_id"}, {"task_id", "environment_id"}):
        both = [list(requests_about(app.openapi(), names, values)) for values in (there, nowhere)]
        for requests in zip(*both, strict=True):
            seen = []
            for (method, path, query), values in zip(requests, (there, nowhere), strict=True):
                answer = await api.request(method, path, params=query, headers=stranger)
                text = answer.text.replace(values["task_id"], "T").replace(values["environment_id"], "E")
                seen.append((answer.status_code, text))
            assert seen[0] == seen[1], requests[0]
            assert seen[0][0] == 404, requests[0]
            asked += 1
    assert asked >= 10


def test_a_revoked_token_is_seen_out_within_five_seconds():
    assert authentication.REMEMBER_S + websocket.RECHECK_S <= 5


@served
async def test_a_ticket_ends_with_the_token_that_it_was_made_for(api, tokens, bearer, start, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBER_S", 0.0)
    monkeypatch.setattr(websocket, "RECHECK_S", 0.2)
    task_id = (await start(await bearer()))["task_id"]
    text, made = await tokens.make("to be revoked with its tickets", Role.VIEWER, None, timedelta(minutes=5))
    answer = await api.post(f"/api/v1/processing-tasks/{task_id}/ticket", headers={"Authorization": f"Bearer {text}"})
    path = answer.json()["websocket_url"]
    media = f"/api/v1/media/tasks/{task_id}/environments/campus/cameras/c01/sub_videos/sub_video_01.mp4"
    media = f"{media}?{path.partition('?')[2]}"
    assert (await api.head(media)).status_code == 200
    address = f"{str(api.base_url).replace('http', 'ws')}{path}"
    async with websockets.connect(address, proxy=None) as socket, asyncio.timeout(10):
        await tokens.revoke(made.id)
        await socket.wait_closed()
        assert socket.close_code == 1008
    assert (await api.head(media)).status_code == 401


@served
async def test_who_is_no_longer_welcome_is_seen_out(api, tokens, bearer, start, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBER_S", 0.0)
    monkeypatch.setattr(websocket, "RECHECK_S", 0.2)
    task_id = (await start(await bearer()))["task_id"]
    text, made = await tokens.make("to be seen out", Role.VIEWER, None, timedelta(minutes=5))
    address = f"{str(api.base_url).replace('http', 'ws')}/ws/tracking/{task_id}"
    headers = {"Authorization": f"Bearer {text}"}
    async with websockets.connect(address, additional_headers=headers, proxy=None) as socket, asyncio.timeout(10):
        await asyncio.sleep(0.6)
        assert socket.close_code is None
        await tokens.revoke(made.id)
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (1008, "the token is unknown, expired or revoked")
