"""The viewer in a real Chromium on the running system: what it draws is what was told, and where people are."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio
import websockets
from playwright.async_api import Page, WebSocketRoute

from demo.scores import BoxTable, matches
from demo.truth import load_truth
from tests.api.viewer_page import CHROMIUM, ViewerPage, chromium, note_faults
from tests.system import Whole

FRAMES = 48
"""In a sub-video of the short site."""
FPS = 12
CAMERAS = ("c01", "c02", "c03", "c05")

DROP_FIRST_CROP = """async () => {
    const crop = document.querySelector('.crop canvas');
    const blob = await new Promise(done => crop.toBlob(done, 'image/png'));
    const data = new DataTransfer();
    data.items.add(new File([blob], 'somebody.png', {type: 'image/png'}));
    document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
pytestmark = [
    pytest.mark.servers,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@dataclass(frozen=True)
class Viewer(ViewerPage):
    """A page of the viewer, and all that the server said of the task that it shows."""

    task_id: str
    messages: list[dict[str, Any]]

    def ticks(self) -> dict[int, dict[str, Any]]:
        return {
            message["payload"]["global_frame_index"]: message["payload"]["cameras"]
            for message in self.messages
            if message["type"] == "tracking_update"
        }

    async def stand_at(self, frame: int) -> dict[str, Any]:
        """Seeks, as the timeline does, and waits until every camera shows the processed frame of that tick."""
        await self.page.evaluate("position => window.spoton.seek(position)", (frame + 0.25) / FPS)
        await self.until(
            f"!now.playing && Object.values(now.cameras).every(each => each?.frame === {frame} && each.exact)"
        )
        return await self.state()

    async def another_page(self) -> Page:
        """As in another browser."""
        browser = self.page.context.browser
        assert browser is not None
        return await (await browser.new_context()).new_page()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def viewer(whole: Whole) -> AsyncIterator[Viewer]:
    """A task that was started by a click on the page, and has ended."""
    faults: list[str] = []
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        note_faults(page, faults)
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


async def test_a_click_on_a_box_brings_somebody_into_focus_everywhere(viewer: Viewer) -> None:
    page = viewer.page
    state = await viewer.stand_at(30)
    box = next(each for each in state["cameras"]["c01"]["boxes"] if each["globalId"])
    person = box["globalId"]
    await click_on(viewer, "c01", box["box"])
    await viewer.until(f"now.focus === {json.dumps(person)}")
    assert await page.locator(f".row.focused[data-person='{person}']").count() == 1
    told = sightings(viewer, person)
    panel = page.locator(".person")
    for name in CAMERAS:
        shown = float(await panel.locator(f".bar[data-camera={name}]").get_attribute("data-seconds") or 0)
        assert shown * FPS >= len([each for each in told if each[0] == name]) - 1  # taken up again within a second: one
        assert (shown > 0) == any(each[0] == name for each in told)
    await page.wait_for_function("() => document.querySelectorAll('.crop canvas').length >= 2", timeout=20_000)
    await viewer.shoot("focus")
    await page.keyboard.press("Escape")
    await viewer.until("now.focus === null")


async def test_a_dropped_picture_finds_the_person_that_it_shows(viewer: Viewer) -> None:
    page = viewer.page
    await viewer.stand_at(30)
    person = (await page.locator(".row").first.get_attribute("data-person")) or ""
    await page.locator(f".row[data-person='{person}'] .who").click()
    await page.locator(".crop canvas").first.wait_for(timeout=20_000)
    await page.evaluate(DROP_FIRST_CROP)
    await page.locator(".results .result").first.wait_for(timeout=30_000)
    best = await page.locator(".results .result").first.get_attribute("data-person")
    assert best == person
    await viewer.shoot("search")
    await page.keyboard.press("Escape")


async def test_batches_change_without_a_flash_and_cameras_keep_step(viewer: Viewer) -> None:
    page = viewer.page
    await viewer.stand_at(FRAMES - 12)
    await page.evaluate("() => scrollTo(0, 0)")
    tiles = [await page.locator(f"[data-camera={name}] .screen").bounding_box() for name in CAMERAS]
    batches, spreads = set(), []
    await page.locator(".transport .play").click()
    while (state := await viewer.state())["position"] < 5:
        shown = [each for each in state["cameras"].values() if each]
        assert len(shown) == len(CAMERAS)
        batches |= {each["batch"] for each in shown}
        spreads.append(np.ptp([each["frame"] for each in shown]))
        picture = cv2.imdecode(np.frombuffer(await page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        for x, y, width, height in (
            (int(tile[side]) for side in ("x", "y", "width", "height")) for tile in tiles if tile
        ):
            assert picture[y : y + height, x : x + width].std() > 20, "an empty screen"
    await page.evaluate("() => window.spoton.pause()")
    assert batches == {0, 1}
    assert len(spreads) >= 4
    assert np.median(spreads) <= 1


async def test_keys_step_play_and_choose(viewer: Viewer) -> None:
    page = viewer.page
    await viewer.stand_at(20)
    await page.locator("body").click(position={"x": 600, "y": 20})
    await page.keyboard.press("ArrowRight")
    await viewer.until("Object.values(now.cameras).every(each => each.frame === 21 && each.exact)")
    await page.keyboard.press("ArrowLeft")
    await viewer.until("Object.values(now.cameras).every(each => each.frame === 20 && each.exact)")
    await page.keyboard.press("ArrowDown")
    await viewer.until("now.focus === now.people[0]")
    await page.keyboard.press(" ")
    await viewer.until("now.playing")
    await page.keyboard.press(" ")
    await viewer.until("!now.playing")
    await page.keyboard.press("?")
    assert await page.locator("dialog[open]").count() == 1
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")


async def test_a_lost_connection_heals_and_corrections_reach_what_was_drawn(viewer: Viewer) -> None:
    people = [each for each in viewer.ticks()[40]["c01"]["tracks"] if each["global_id"]]
    wrong, right = people[0]["global_id"], people[1]["global_id"]
    tracks = {(name, track) for name, track, _, _ in sightings(viewer, wrong)}
    correction = {
        "type": "identity_corrected",
        "seq": 1,
        "payload": {
            "corrections": [
                {"from_global_id": wrong, "to_global_id": right, "camera_id": name, "track_id": track}
                | {"from_frame": 0, "to_frame": 2 * FRAMES}
                for name, track in tracks
            ]
        },
    }
    connections: list[str] = []
    last_seen: list[int] = []

    def relay(socket: WebSocketRoute) -> None:
        """Drops the first connection after 40 messages, and corrects before the second ends."""
        connections.append(socket.url)
        first, passed = len(connections) == 1, 0
        server = socket.connect_to_server()

        def on_message(message: str | bytes) -> None:
            nonlocal passed
            passed += 1
            if first and passed > 40:
                return
            if not first and passed == 3:
                socket.send(json.dumps(correction))
            socket.send(message)
            if first and passed == 40:
                last_seen.append(json.loads(message)["seq"])
                asyncio.get_running_loop().create_task(socket.close(code=1013, reason="too slow"))

        server.on_message(on_message)

    page = await viewer.another_page()
    await page.route_web_socket(re.compile("/ws/tracking/"), relay)
    await page.goto(f"{viewer.url}/#/task/{viewer.task_id}")
    other = Viewer(page, viewer.url, viewer.task_id, viewer.messages)
    await other.until("now.connection === 'ended'")
    await page.evaluate("() => window.spoton.pause()")
    assert [url.rpartition("since=")[2] for url in connections] == ["0", str(last_seen[0])]
    await other.until("now.cameras.c01?.boxes.length > 0")
    state = await other.state()
    assert state["knownUntil"] == state["duration"] == pytest.approx(2 * FRAMES / FPS)
    assert wrong not in state["people"]
    assert right in state["people"]
    await page.locator(f".row[data-person='{wrong}']").wait_for(state="detached", timeout=5_000)
    assert all(each["globalId"] != wrong for each in state["cameras"]["c01"]["boxes"])
    await page.context.close()


async def test_it_fits_a_telephone(viewer: Viewer) -> None:
    page = viewer.page
    await page.set_viewport_size({"width": 390, "height": 844})
    await viewer.stand_at(30)
    wider = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0
    await viewer.shoot("telephone")
    await page.set_viewport_size({"width": 1440, "height": 900})


async def test_what_is_wrong_is_said_in_words(viewer: Viewer, whole: Whole) -> None:
    async with httpx.AsyncClient(base_url=viewer.url, trust_env=False) as client:
        started = await client.post("/api/v1/processing-tasks/start", json={"environment_id": "truncated"})
    page = await viewer.another_page()
    await page.goto(f"{viewer.url}/#/task/{started.json()['task_id']}")
    banner = page.locator(".banner", has_text="truncated")
    await banner.wait_for(timeout=30_000)
    await page.goto(f"{viewer.url}/#/task/nowhere")
    await page.locator(".failure", has_text="nowhere").wait_for(timeout=10_000)
    await page.context.close()


def sightings(viewer: Viewer, person: str) -> list[tuple[str, int, int, list[float]]]:
    """Camera, track, frame and box of everything that was told of somebody."""
    return [
        (name, track["track_id"], frame, track["bbox_xyxy"])
        for frame, cameras in viewer.ticks().items()
        for name, camera in cameras.items()
        for track in camera["tracks"]
        if track["global_id"] == person
    ]


async def click_on(viewer: Viewer, camera: str, box: list[float]) -> None:
    """Clicks in the middle of a box, given in px of the source frame."""
    canvas = viewer.page.locator(f"[data-camera={camera}] canvas")
    shown = await canvas.bounding_box()
    assert shown is not None
    scale = shown["width"] / 1280
    await canvas.click(position={"x": (box[0] + box[2]) / 2 * scale, "y": (box[1] + box[3]) / 2 * scale})
