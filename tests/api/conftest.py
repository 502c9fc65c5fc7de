"""A small site, its videos in a folder, settings for it, and the API served for real."""

from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvicorn

from api.__main__ import bind
from api.app import create_app
from demo.servers.postgres import create_database, drop_database
from orchestrator.settings import load_settings

SITE = """
environments:
  campus:
    name: Campus
    recorded_from: 2026-01-05T09:00:00Z
    cameras:
      c01:
        name: North gate
        prefix: video_s37/c01
        homography:
          image_points: [[0, 0], [100, 0], [100, 100], [0, 100]]
          map_points: [[0, 0], [5, 0], [5, 5], [0, 5]]
      c02: {prefix: video_s37/c02}
    overlaps: [[c01, c02]]
    zones:
      bench: {name: The bench, polygon: [[5, 7], [6, 7], [6, 8], [5, 8]]}
      middle: {polygon: [[3, 0], [7, 0], [7, 4], [3, 4]]}
    lines:
      gate: {name: Gate, points: [[5, 0], [5, 4]]}
  factory:
    cameras:
      c09: {prefix: video_s14/c09}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Where one test module keeps its site, videos and cache."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def folder(home) -> Path:
    """Three sub-videos of c01, one of c02; not videos, which the media routes do not mind."""
    root = home / "videos"
    for camera, count in (("c01", 3), ("c02", 1)):
        (root / "video_s37" / camera).mkdir(parents=True)
        for index in range(1, count + 1):
            path = root / "video_s37" / camera / f"sub_video_{index:02d}.mp4"
            path.write_bytes(bytes((index * 7 + offset) % 251 for offset in range(100_000 + index)))
    (root / "secret.mp4").write_bytes(b"nobody may read this")
    return root


@pytest.fixture(scope="module")
def closed_port():
    """A port of this machine where nothing listens for as long as the tests run."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def settings(home, folder, closed_port):
    """Makes settings for the small site; every server is down unless the test names one that is up."""
    site = home / "site.yaml"
    site.write_text(SITE)

    def make(**overrides):
        values = {
            "site_file": site,
            "video_source": "folder",
            "video_folder": folder,
            "cache_dir": home / "cache",
            "triton_url": f"127.0.0.1:{closed_port}",
            "redis_url": f"redis://127.0.0.1:{closed_port}/0",
            "redis_timeout_s": 2.0,
            "postgres_dsn": f"postgresql://spoton@127.0.0.1:{closed_port}/spoton",
            "postgres_timeout_s": 2.0,
            "api_port": 0,
            "max_active_tasks": 1000,
        }
        return load_settings(**values | overrides)

    return make


@pytest.fixture(scope="module")
def database(backends):
    """A database for the tests of one module, which do not mind each other's tasks."""
    name = f"test_api_{uuid.uuid4().hex[:12]}"
    admin = backends.postgres.dsn_of("postgres")
    backends.call(create_database(admin, name))
    yield backends.postgres.dsn_of(name)
    backends.call(drop_database(admin, name))


@pytest.fixture(scope="module")
def live(settings, backends, database):
    """Makes settings with PostgreSQL and Valkey up."""
    up = {
        "postgres_dsn": database,
        "redis_url": backends.valkey.url,
        "redis_timeout_s": 5.0,
        "postgres_timeout_s": 10.0,
    }

    def make(**overrides):
        return settings(**up | overrides)

    return make


@asynccontextmanager
async def serving(settings):
    """Serves the API on a free port, as ``python -m api`` does; gives a client of it."""
    app = create_app(settings)
    with bind(settings) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws_per_message_deflate=False))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await running


@pytest.fixture(scope="module")
def serve():
    """Serves the API for other settings than those of ``client``: ``async with serve(settings) as client``."""
    return serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(live):
    """A client of an API that has PostgreSQL and Valkey, and the schema ready."""
    async with serving(live()) as client:
        for _ in range(200):
            if (await client.get("/health")).json()["components"]["postgres"]["status"] == "up":
                break
            await asyncio.sleep(0.1)
        yield client
