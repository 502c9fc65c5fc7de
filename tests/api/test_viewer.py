"""The viewer in a real Chromium on the running system: what it draws is what was told, and where people are."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import websockets
from playwright.async_api import Page, async_playwright

from demo.scores import BoxTable, matches
from demo.truth import load_truth
from tests.system import BUILT, Whole

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHOTS = BUILT.parent / "test-results" / "viewer"
"""Screenshots of the last run."""
FRAMES = 48
"""In a sub-video of the short site."""
FPS = 12
CAMERAS = ("c01", "c02", "c03", "c05")

pytestmark = [
    pytest.mark.servers,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@dataclass(frozen=True)
class Viewer:
    """A page of the viewer, and all that the server said of the task that it shows."""

    page: Page
    url: str
    task_id: str
    messages: list[dict[str, Any]]

    def ticks(self) -> dict[int, dict[str, Any]]:
        return {
            message["payload"]["global_frame_index"]: message["payload"]["cameras"]
            for message in self.messages
            if message["type"] == "tracking_update"
        }

    async def state(self) -> dict[str, Any]:
        return dict(await self.page.evaluate("() => JSON.parse(JSON.stringify(window.spoton))"))

    async def until(self, condition: str, within_s: float = 30) -> None:
        await self.page.wait_for_function(
            f"() => {{ const now = window.spoton; return {condition}; }}", timeout=within_s * 1000
        )

    async def stand_at(self, frame: int) -> dict[str, Any]:
        """Seeks, as the timeline does, and waits until every camera shows a processed frame of that tick."""
        await self.page.evaluate("position => window.spoton.seek(position)", (frame + 0.25) / FPS)
        await self.until(
            f"!now.playing && Object.values(now.cameras).every(each => each?.frame === {frame} && each.exact)"
        )
        return await self.state()

    async def shoot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def viewer(whole: Whole) -> AsyncIterator[Viewer]:
    """A task that was started by a click on the page, and has ended."""
    faults: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        await page.goto(whole.stack.api.url)
        await page.locator("[data-environment=campus] button").click()
        await page.wait_for_function("() => window.spoton.taskId")
        task_id = str(await page.evaluate("() => window.spoton.taskId"))
        url = f"ws://{whole.stack.api.address}/ws/tracking/{task_id}?since=0"
        async with websockets.connect(url, max_size=None, proxy=None) as socket:
            messages = [json.loads(message) async for message in socket]
        found = Viewer(page, whole.stack.api.url, task_id, messages)
        await found.until("now.connection === 'ended'")
        await page.evaluate("() => window.spoton.pause()")
        yield found
        await browser.close()
    assert faults == []


async def test_the_boxes_on_the_screen_are_those_of_the_frame_on_the_screen(viewer: Viewer) -> None:
    ticks = viewer.ticks()
    assert len(ticks) == 2 * FRAMES
    for frame in (0, 1, 30, FRAMES - 1, FRAMES, FRAMES + 17, 7, 2 * FRAMES - 1):
        state = await viewer.stand_at(frame)
        for name in CAMERAS:
            drawn, told = state["cameras"][name], ticks[frame][name]
            assert drawn["mediaTime"] == pytest.approx(told["media_time_s"], abs=1e-4)
            assert drawn["batch"] == frame // FRAMES
            assert [each["track"] for each in drawn["boxes"]] == [each["track_id"] for each in told["tracks"]]
            boxes = np.array([each["box"] for each in drawn["boxes"]]).reshape(-1, 4)
            assert boxes == pytest.approx(
                np.array([each["bbox_xyxy"] for each in told["tracks"]]).reshape(-1, 4), abs=0.01
            )
            for box, track in zip(drawn["boxes"], told["tracks"], strict=True):
                assert track["global_id"] in (None, box["globalId"])
    await viewer.shoot("cameras")


async def test_the_boxes_on_the_screen_are_on_the_people(viewer: Viewer, whole: Whole) -> None:
    truth = load_truth(whole.site.root, FPS, FRAMES)
    found = there = 0
    for frame in range(5, 2 * FRAMES, 18):
        state = await viewer.stand_at(frame)
        for name in CAMERAS:
            camera = truth.camera(name)
            rows = (camera.table.frames == frame) & (camera.visibility >= 0.5)
            visible = BoxTable(np.zeros(rows.sum(), np.int64), camera.table.ids[rows], camera.table.boxes[rows])
            boxes = np.array([each["box"] for each in state["cameras"][name]["boxes"]], np.float64).reshape(-1, 4)
            drawn = BoxTable(np.zeros(len(boxes), np.int64), np.arange(len(boxes)), boxes)
            found += len(matches(visible, drawn)[0])
            there += int(rows.sum())
    assert there > 40
    assert found / there > 0.6


async def test_people_stand_on_the_map_where_they_are(viewer: Viewer, whole: Whole) -> None:
    truth = load_truth(whole.site.root, FPS, FRAMES).map
    away = []
    for frame in (20, 40, 70):
        state = await viewer.stand_at(frame)
        people = truth.positions[truth.frames == frame]
        assert state["map"]
        away += [np.hypot(*(people - [each["x"], each["y"]]).T).min() for each in state["map"]]
    assert np.median(away) < 0.6
