"""The application without any server: what works all the same, and what is said about the rest."""

from __future__ import annotations

import time

import httpx
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from api.app import create_app
from api.models import MEDIA_EXAMPLE, TICK_EXAMPLE
from api.problems import MEDIA_TYPE
from orchestrator.errors import SiteError
from orchestrator.events import MediaPayload, TrackingPayload


@pytest.fixture
async def client(settings):
    app = create_app(settings(cors_origins=("http://viewer.test",), postgres_timeout_s=0.5))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_health_names_what_is_down_within_the_deadline(client):
    started = time.monotonic()
    answer = await client.get("/health")
    assert time.monotonic() - started < 4
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "unhealthy"
    assert health["detector_model_loaded"] is False
    assert health["prototype_tracker_loaded (reid_model)"] is False
    assert health["prototype_tracker_loaded"] is False
    assert health["homography_matrices_precomputed"] is True
    states = {name: component["status"] for name, component in health["components"].items()}
    assert states.pop("object_store") == "up"
    assert states == dict.fromkeys(["postgres", "redis", "detector", "reid", "worker"], "down")
    assert all(component["detail"] for component in health["components"].values())


async def test_alive_but_not_ready(client):
    assert (await client.get("/health/live")).status_code == 200
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.headers["content-type"]) == (503, MEDIA_TYPE)
    assert "postgres is down" in ready.json()["detail"]
    assert "worker" not in ready.json()["detail"]


async def test_the_site_is_told_without_any_server(client):
    campus, factory = (await client.get("/api/v1/config/environments")).json()
    assert (campus.pop("zones").keys(), campus.pop("lines").keys()) == ({"bench", "middle"}, {"gate"})
    assert campus == {
        "environment_id": "campus",
        "name": "Campus",
        "recorded_from": "2026-01-05T09:00:00Z",
        "cameras": ["c01", "c02"],
        "overlaps": [["c01", "c02"]],
    }
    assert factory["environment_id"] == "factory"
    c01, c02 = (await client.get("/api/v1/config/environments/campus/cameras")).json()
    assert (c01["has_homography"], c02["has_homography"]) == (True, False)
    assert (c01["sub_videos"], c02["sub_videos"]) == (3, 1)
    assert c01["name"] == "North gate"
    assert c01["resolution"] is None
    assert "sub_video_01" in c01["problem"]


async def test_an_environment_without_video_says_so(client):
    (c09,) = (await client.get("/api/v1/config/environments/factory/cameras")).json()
    assert c09["sub_videos"] == 0
    assert "video_s14/c09" in c09["problem"]


@pytest.mark.parametrize("spelling", ["processing-tasks", "processing_tasks"])
async def test_what_is_wrong_with_a_request_is_told_before_any_server_is_asked(client, spelling):
    start = f"/api/v1/{spelling}/start"
    unknown = await client.post(start, json={"environment_id": "moon"})
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, MEDIA_TYPE)
    assert "'moon'" in unknown.json()["detail"]
    camera = await client.post(start, json={"environment_id": "campus", "cameras": ["c01", "c77"]})
    assert camera.status_code == 404
    assert "'c77'" in camera.json()["detail"]
    for body in (
        {},
        {"environment_id": "campus", "cameras": []},
        {"environment_id": "campus", "start_batch": 2, "end_batch": 2},
        {"environment_id": "campus", "start_batch": -1},
        {"environment_id": 7},
    ):
        assert (await client.post(start, json=body)).status_code == 422, body
    control = f"/api/v1/{spelling}/00000000-0000-0000-0000-000000000000/control"
    for body in ({}, {"action": "explode"}, {"action": "focus_track"}, {"action": "focus_track", "global_id": ""}):
        assert (await client.post(control, json=body)).status_code == 422, body


async def test_a_server_that_is_down_costs_503(client):
    answer = await client.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"})
    assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE)
    assert "PostgreSQL" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0


async def test_metrics_count_by_handler_and_not_by_path(client):
    await client.get("/api/v1/config/environments/campus/cameras")
    await client.get("/api/v1/config/environments/moon/cameras")
    await client.get("/some/random/path")
    text = (await client.get("/metrics")).text
    assert 'handler="config.cameras",method="GET",status="404"' in text
    assert 'handler="unmatched",method="GET",status="404"' in text
    assert "random" not in text
    assert "moon" not in text


async def test_only_named_origins_may_read(client):
    for origin, allowed in (("http://viewer.test", "http://viewer.test"), ("http://other.test", None)):
        answer = await client.get("/health/live", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_a_preflight_is_answered_as_everything_else_is(client):
    ask = {"Origin": "http://viewer.test", "Access-Control-Request-Method": "DELETE"}
    refused = await client.options("/api/v1/processing-tasks", headers=ask)
    assert (refused.status_code, refused.headers["content-type"]) == (400, MEDIA_TYPE)
    assert "method" in refused.json()["detail"]
    allowed = await client.options("/api/v1/processing-tasks", headers=ask | {"Access-Control-Request-Method": "POST"})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "http://viewer.test")
    assert {answer.headers["x-content-type-options"] for answer in (refused, allowed)} == {"nosniff"}


@pytest.mark.parametrize("path", ["/", "/viewer/main.js", "/docs", "/health", "/health/live", "/metrics"])
async def test_head_says_what_get_would(client, path):
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, get.headers["content-type"])


async def test_the_description_of_the_api_is_whole(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert "/api/v1/processing-tasks/start" in paths
    assert "/api/v1/processing_tasks/start" not in paths
    assert MEDIA_TYPE in paths["/api/v1/processing-tasks/start"]["post"]["responses"]["429"]["content"]


def has_example(part, schemas, above=()):
    if not isinstance(part, dict):
        return False
    if {"example", "examples"} & part.keys():
        return True
    name = part.get("$ref", "").rpartition("/")[2]
    if name and name not in above and has_example(schemas[name], schemas, (*above, name)):
        return True
    inner = [part.get("schema"), part.get("items"), *part.get("properties", {}).values(), *part.get("anyOf", [])]
    return any(has_example(each, schemas, above) for each in inner)


async def test_every_json_has_an_example_in_the_description(client):
    document = (await client.get("/openapi.json")).json()
    without = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for each in (*answers, operation.get("requestBody", {})):
                content = each.get("content", {}).get("application/json")
                if content is not None and not has_example(content, document["components"]["schemas"]):
                    without.append(path)
    assert without == []


def examples_in(part):
    """Each schema with an example of it, anywhere in the document."""
    if isinstance(part, dict):
        schema = part.get("schema", part)
        for example in [*([part["example"]] if "example" in part else []), *part.get("examples", [])]:
            yield schema, example
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from examples_in(each)


async def test_every_example_in_the_description_fits_its_schema_and_leaves_out_no_null(client):
    document = (await client.get("/openapi.json")).json()
    found = list(examples_in(document))
    assert len(found) > 20
    for schema, example in found:
        Draft202012Validator({"components": document["components"], **schema}).validate(example)
    assert document["components"]["schemas"]["PeoplePage"]["examples"][0]["next"] is None


def test_the_examples_are_what_they_stand_for():
    MediaPayload.model_validate(MEDIA_EXAMPLE, strict=False, extra="forbid")
    assert TypeAdapter(TrackingPayload).validate_python(TICK_EXAMPLE) == TICK_EXAMPLE


def test_a_broken_site_file_is_an_error_at_once(settings, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("environments: {campus: {cameras: {c01: {prefx: a}}}}")
    with pytest.raises(SiteError, match="prefx"):
        create_app(settings(site_file=broken))
