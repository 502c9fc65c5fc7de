"""The viewer's files: served as they are, whole without any other server, and nothing beside them."""

from __future__ import annotations

import re

import httpx
import pytest

from api.app import create_app
from api.problems import MEDIA_TYPE
from api.routes.viewer import FOLDER

NAMES = sorted(path.name for path in FOLDER.iterdir())
ELSEWHERE = re.compile(r"""(?:src|href|from|import|url\()\s*=?\s*\(?["']?(?:https?:)?//""")


@pytest.fixture
async def client(settings):
    app = create_app(settings())
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_the_page_is_served_at_the_root(client):
    page = await client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "viewer/main.js" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" not in again.headers  # it would take the place of the page's own


async def test_every_file_is_served_and_asked_for_again_only_when_changed(client):
    for name in NAMES:
        answer = await client.get(f"/viewer/{name}")
        assert (answer.status_code, answer.content) == (200, (FOLDER / name).read_bytes())
        again = await client.get(f"/viewer/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2E%2E%2Fapp.py", ".", "main.js%00.css"])
async def test_nothing_else_is_served(client, name):
    answer = await client.get(f"/viewer/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA_TYPE)


def test_no_file_needs_anything_from_elsewhere():
    assert "main.js" in NAMES
    for name in NAMES:
        found = ELSEWHERE.search((FOLDER / name).read_text())
        assert found is None, f"{name} loads {found}"


def test_every_import_is_there():
    for name in NAMES:
        for imported in re.findall(r'from "\./([\w.]+)"', (FOLDER / name).read_text()):
            assert imported in NAMES, f"{name} imports {imported}"


def test_only_one_module_talks_to_the_server():
    speaks = re.compile(r"\bfetch\(|api/v1|/ws/|new URL\(")
    assert [name for name in NAMES if speaks.search((FOLDER / name).read_text())] == ["server.js"]
