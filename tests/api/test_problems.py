"""api/problems.py: every error is a problem with the right status."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from api.problems import MEDIA_TYPE, install_problem_handlers
from orchestrator import errors


class Body(BaseModel):
    number: int


@pytest.fixture
def app():
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/raise/{name}")
    async def raise_named(name: str):
        raise getattr(errors, name)("what and where")

    @app.get("/defect")
    async def defect():
        raise RuntimeError("a secret")

    @app.post("/body")
    async def body(body: Body):
        return body

    return app


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "retry"),
    [
        ("UnknownTaskError", 404, False),
        ("UnknownCameraError", 404, False),
        ("NoVideoError", 404, False),
        ("IllegalTransitionError", 409, False),
        ("TooManyTasksError", 429, True),
        ("StorageAccessError", 502, False),
        ("StorageError", 503, True),
        ("HistoryError", 503, True),
        ("EventLogError", 503, True),
        ("InferenceError", 503, True),
        ("SettingsError", 500, False),
        ("SpotOnError", 500, False),
    ],
)
async def test_the_error_tree(client, name, status, retry):
    answer = await client.get(f"/raise/{name}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert ("retry-after" in answer.headers) is retry
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"] == "what and where"
    assert problem["instance"] == f"/raise/{name}"
    assert problem["type"].startswith("urn:spoton:problem:")
    assert problem["title"]


def test_every_error_has_a_status_of_its_own_or_an_ancestor():
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.SpotOnError) and error.retryable:
            from api.problems import problem_of

            assert problem_of(error("x"))[0] in {429, 503}, error


async def test_unknown_path_and_method(client):
    missing = await client.get("/nothing/here")
    assert (missing.status_code, missing.headers["content-type"]) == (404, MEDIA_TYPE)
    assert "/nothing/here" in missing.json()["detail"]
    wrong = await client.get("/body")
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, MEDIA_TYPE)
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("body", [b"{", b'{"number": "x"}', b"[]", b"", b'{"number": null}'])
async def test_a_malformed_body_is_told_field_by_field(client, body):
    answer = await client.post("/body", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)
    (fault,) = answer.json()["errors"]
    assert fault["pointer"].startswith("/body")
    assert fault["detail"] in answer.json()["detail"]


async def test_a_defect_says_nothing_of_its_cause(client):
    answer = await client.get("/defect")
    assert (answer.status_code, answer.headers["content-type"]) == (500, MEDIA_TYPE)
    assert "secret" not in answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_type_is_415_and_says_which_it_takes(client, kind):
    answer = await client.post("/body", content=b'{"number": 1}', headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (415, MEDIA_TYPE)
    assert "application/json" in answer.json()["detail"]
    for json in ("application/json; charset=utf-8", "application/merge-patch+json"):
        assert (await client.post("/body", content=b'{"number": 1}', headers={"content-type": json})).status_code == 200


async def test_a_body_without_a_type_is_told_what_is_missing(client):
    (await client.post("/body", content=b"1")).json()
    answer = await client.post("/body", content=b'{"number": 1}')
    assert (answer.status_code, answer.headers["content-type"]) == (415, MEDIA_TYPE)
    told = "the body has to be application/json, and the request has no Content-Type that says so"
    assert answer.json()["detail"] == told


async def test_a_defect_is_logged_once_and_passes_through_all_middleware(app, client, caplog):
    def stamped(inner):
        async def stamping(scope, receive, send):
            async def stamp(message):
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"stamp", b"yes")]
                await send(message)

            await inner(scope, receive, stamp)

        return stamping

    app.add_middleware(stamped)
    assert (await client.get("/defect")).headers["stamp"] == "yes"
    assert [record.message for record in caplog.records if record.exc_info] == ["GET /defect failed by a defect"]
