"""Search by image and by id on a real database; the Re-ID model's answer is given by the test."""

from __future__ import annotations

import io
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from api.looks import LookModel, _decode
from orchestrator.inference.protocols import ModelId
from tests.api.analytics.conftest import MODEL, SITTER, TICKS, WALKER, time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
PATH = "/api/v1/analytics_data/search"


def picture(size=(64, 128), form="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(file, form)
    return file.getvalue()


@pytest.fixture
def looking_like(monkeypatch):
    """``looking_like(look)``: what the model says of any picture from now on."""

    def use(look, model=MODEL):
        async def embed(self, image):
            _decode(image)
            return model, np.array(look, np.float32)

        monkeypatch.setattr(LookModel, "embed", embed)

    return use


async def search(client, **fields):
    files = {"image": ("person.png", fields.pop("image"), "image/png")} if "image" in fields else None
    answer = await (client.post(PATH, files=files, data=fields) if files else client.post(PATH, json=fields))
    assert answer.status_code == 200, answer.text
    assert answer.json()["alike_from"] == 0.65  # of the settings
    return answer.json()["sightings"]


def names(found):
    return [(seen["person"], seen["global_id"], seen["camera_id"], seen["track_id"]) for seen in found]


@pytest.mark.parametrize("way", ["compared one by one", "through the index"])
async def test_the_most_similar_come_first_with_where_and_when(client, task, looking_like, way, monkeypatch):
    monkeypatch.setattr("orchestrator.history.search.FEW_LOOKS", 20_000 if way == "compared one by one" else 0)
    looking_like([1, 0.1, 0, 0])
    found = await search(client, image=picture(), task_id=task)
    assert names(found) == [
        (1, WALKER, "c01", 1), (1, WALKER, "c02", 1), (2, SITTER, "c01", 2), (3, None, "c02", 9)
    ]  # fmt: skip
    look = np.array([1, 0.1, 0, 0]) / np.hypot(1, 0.1)
    assert [seen["similarity"] for seen in found] == pytest.approx([look[0], look[0], look @ [0.6, 0.8, 0, 0], 0.0])
    first = found[1]
    assert (first["environment_id"], first["task_id"]) == ("campus", task)
    assert datetime.fromisoformat(first["first_time"]) == time_of(40)
    assert datetime.fromisoformat(first["last_time"]) == time_of(59)
    assert (first["first_frame"], first["last_frame"]) == (40, 59)
    frame = first["global_frame_index"]
    assert first["bbox"] == [300 + frame, 20, 350 + frame, 180]
    assert first["media_time_s"] == pytest.approx(frame / 10)


async def test_by_id_the_person_and_who_resembles_them(client, task):
    found = await search(client, global_id=SITTER, task_id=task, min_similarity=0.5)
    assert names(found)[0] == (1, SITTER, "c01", 2)
    assert found[0]["similarity"] == pytest.approx(1.0)
    assert {seen["global_id"] for seen in found} == {SITTER, WALKER}


async def test_filters_by_environment_camera_and_time(client, task):
    async def where(**fields):
        return names(await search(client, global_id=WALKER, task_id=task, min_similarity=0.1, **fields))

    assert await where(camera_id=["c02"]) == [(1, WALKER, "c02", 1)]
    assert await where(environment_id="factory") == []
    late = await where(**{"from": time_of(60).isoformat()})
    assert late == [(1, WALKER, "c01", 1), (2, SITTER, "c01", 2)]
    assert await where(limit=1) == [(1, WALKER, "c01", 1), (1, WALKER, "c02", 1)]
    assert await where(**{"from": time_of(TICKS + 10).isoformat()}) == []


async def test_looks_of_another_model_do_not_compare(client, task, looking_like):
    looking_like([1, 0, 0, 0], ModelId("person_reid", "2"))
    assert await search(client, image=picture(), task_id=task) == []


async def test_a_form_takes_the_filters_too(client, task, looking_like):
    looking_like([1, 0, 0, 0])
    found = await search(client, image=picture(form="JPEG"), task_id=task, camera_id=["c02", "c01"], limit="1")
    assert names(found) == [(1, WALKER, "c01", 1), (1, WALKER, "c02", 1)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {}}, 422),
        ({"json": {"global_id": "nobody"}}, 404),
        ({"json": {"global_id": "a\0b"}}, 422),
        ({"json": {"global_id": "x", "limit": 0}}, 422),
        ({"json": {"global_id": "x", "environment_id": "nowhere"}}, 404),
        ({"json": {"global_id": "x", "environment_id": "campus", "camera_id": ["c09"]}}, 404),
        ({"json": {"global_id": "x", "task_id": "nothing"}}, 404),
        ({"json": {"global_id": "x", "from": "2026-01-06T00:00:00Z", "to": "2026-01-05T00:00:00Z"}}, 422),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 422),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"files": {"image": b"no picture"}}, 422),
        ({"files": {"image": picture()}, "data": {"global_id": "x"}}, 422),
        ({"files": {"image": bytes(13 * 2**20)}}, 413),
    ],
)
async def test_questions_that_cannot_be_answered(client, task, body, status):
    answer = await client.post(PATH, **body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_triton_an_image_cannot_be_searched_for(client, task):
    answer = await client.post(PATH, files={"image": picture()})
    assert answer.status_code == 503
