"""The whole system, started once: all servers, the demo's models, the short site, and videos with faults."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
import yaml

from demo.client import SpotOnClient
from demo.model_repository import SETTINGS, prepare_models
from demo.servers.ports import free_ports
from demo.servers.stack import Stack
from demo.site.build import build_site
from demo.site.folder import SiteFiles
from demo.site.scene import SHORT
from demo.site.scenes import make_scene
from demo.upload import upload
from tests.orchestrator.videos import cut, write_video

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SPOTON_TEST_DATA", ROOT.parent / "shared" / "data"))
CORRIDOR = DATA / "video" / "one-by-one-person-detection.mp4"
BUILT = ROOT / ".spoton" / "tests"
"""What takes long to make and depends on the code alone; made anew when that changes."""


@dataclass(frozen=True)
class Whole:
    """The running system."""

    stack: Stack
    site: SiteFiles
    folder: Path

    def client(self) -> SpotOnClient:
        return SpotOnClient(self.stack.api.url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    site = await asyncio.to_thread(build_site, make_scene(recording=SHORT), BUILT / "site")
    models = BUILT / "model_repository"
    await prepare_models(models)
    videos, environments = _bad_videos(folder / "bad")
    videos |= {str(path.relative_to(site.videos)): path for path in site.videos.rglob("*.mp4")}
    if CORRIDOR.exists():
        videos["corridor/sub_video_01.mp4"] = CORRIDOR
    environments["corridor"] = {"cameras": {"hall": {"prefix": "corridor"}}}
    site_file = _write_site(folder / "site.yaml", site, environments)
    options = {"settings": SETTINGS, "api_port": free_ports(1)[0], "durable": False}
    async with Stack(folder / "state", site_file, models, **options) as stack:
        await stack.start_backends()
        await upload(stack.bucket, [], videos)
        await stack.start_spoton()
        async with SpotOnClient(stack.api.url) as client:
            await client.wait_healthy()
        yield Whole(stack, site, folder)


def _write_site(target: Path, site: SiteFiles, environments: dict[str, object]) -> Path:
    """The demo's site file with more environments in it."""
    content = yaml.safe_load(site.site_file.read_text())
    for camera in content["environments"]["campus"]["cameras"].values():
        if "file" in camera["homography"]:
            camera["homography"]["file"] = str(site.root / camera["homography"]["file"])
    content["environments"] |= environments
    target.write_text(yaml.safe_dump(content, sort_keys=False))
    return target


def _bad_videos(folder: Path) -> tuple[dict[str, Path], dict[str, object]]:
    """Object keys with their files, and an environment for each fault, called by its name."""
    names = ("not_a_video", "truncated", "no_frames", "unreadable_codec")
    paths = {name: folder / f"{name}.mp4" for name in names}
    folder.mkdir()
    paths["not_a_video"].write_bytes(np.random.default_rng(1).bytes(50_000))
    cut(write_video(paths["truncated"], frames=48), 0.6)
    with av.open(paths["no_frames"], "w") as container:
        container.add_stream("libx264", rate=12, width=160, height=96, pix_fmt="yuv420p")
        container.start_encoding()
    content = write_video(paths["unreadable_codec"]).read_bytes()
    paths["unreadable_codec"].write_bytes(content.replace(b"avc1", b"zzzz"))
    keys = {f"{name}/sub_video_01.mp4": path for name, path in paths.items()}
    environments: dict[str, object] = {
        name: {"cameras": {"bad": {"prefix": name}}} for name in (*names, "empty_prefix")
    }
    return keys, environments
