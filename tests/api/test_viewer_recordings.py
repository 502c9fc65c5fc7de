"""The viewer in a real Chromium on recordings of nine cameras whose every frame is known."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Request, Route, WebSocketRoute
from pydantic import SecretStr

from api.access.principal import Role
from api.access.tokens import TokenStore
from orchestrator.history.pool import open_pool
from orchestrator.settings import Settings
from orchestrator.tasks import Task, TaskStatus
from tests.api.recordings import (
    BATCHES,
    BITS,
    BLOCK,
    CAMERAS,
    FPS,
    RECORDED_FROM,
    SITTER,
    SIZE_HW,
    TICKS,
    WALKER,
    person,
    seen,
    worker,
    write_site,
)
from tests.api.viewer_page import CHROMIUM, ViewerPage, chromium, note_faults
from tests.api.viewer_probes import CUT_RINGS, DISC, DROP, FAINT, PLAY_AT, READ_NUMBERS

pytestmark = [
    pytest.mark.servers,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

PICTURE = {"size": SIZE_HW, "bits": BITS, "block": BLOCK}
COLOURS = {WALKER: [0x5C, 0xB3, 0xFF], SITTER: [0x5F, 0xD4, 0x8B]}


@pytest.fixture(scope="module")
def court(live, home) -> Settings:
    """Settings for the site of nine cameras."""
    return live(site_file=write_site(home), video_folder=home / "videos")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(court, serve) -> AsyncIterator[str]:
    async with serve(court) as client:
        yield str(client.base_url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def done(court, url) -> str:
    """A task that has ended; its id."""
    async with worker(court) as found:
        await found.process()
        return found.task.id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def viewer(browser, url) -> AsyncIterator[ViewerPage]:
    """A page in a context of its own; nothing may go wrong in its scripts."""
    faults: list[str] = []
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    note_faults(page, faults)
    found = ViewerPage(page, url)
    yield found
    await context.close()
    assert [fault for fault in faults if not any(part in fault for part in found.forgiven)] == []


async def test_nine_cameras_play_in_step_over_six_connections(viewer: ViewerPage, done: str) -> None:
    pieces: list[str] = []

    def on_request(request: Request) -> None:
        if "/sub_videos/" in request.url:
            pieces.extend(parse_qs(urlsplit(request.url).query)["piece"])

    viewer.page.on("request", on_request)
    await viewer.page.goto(f"{viewer.url}/#/task/{done}")
    await viewer.until(f"now.settled && Object.keys(now.cameras).length === {len(CAMERAS)}")
    await viewer.page.keyboard.press(" ")
    await viewer.until("now.playing && now.position > 0.1")
    spreads, seen = [], set()
    while (state := await viewer.state())["playing"] and state["position"] < BATCHES * TICKS / FPS - 0.3:
        found = await viewer.page.evaluate(READ_NUMBERS, PICTURE)
        assert len(found["numbers"]) == len(CAMERAS)
        spreads.append(np.ptp(found["numbers"]))
        seen |= {number // TICKS for number in found["numbers"]}
    assert len(spreads) >= 10
    assert np.median(spreads) <= 1
    assert seen == set(range(BATCHES))
    assert set(pieces) == {str(2**20)}
    await viewer.page.evaluate("() => window.spoton.pause()")
    for frame in (20, TICKS + 9):
        await stand_at(viewer, frame)
        found = await viewer.page.evaluate(READ_NUMBERS, PICTURE)
        assert found["numbers"] == found["told"] == [frame] * len(CAMERAS)
    await viewer.shoot("nine")
    await assert_one_camera_can_be_large(viewer)
    for rate in (0.5, 2, 4):
        await stand_at(viewer, 0)
        steps = await viewer.page.evaluate(PLAY_AT, {"rate": rate, "seconds": 1.2})
        moving = [(a, b) for a, b in pairwise(steps) if not a["waiting"] and not b["waiting"]]
        speeds = [(b["position"] - a["position"]) / (b["at"] - a["at"]) for a, b in moving]
        assert np.median(speeds) == pytest.approx(rate, rel=0.1)
        assert np.median([np.ptp(step["times"]) for step in steps]) < 1 / FPS
        assert np.median([np.ptp(step["frames"]) for step in steps]) <= 1
        away = [np.abs(np.array(step["times"]) - step["position"]) for step in steps if step["position"] < TICKS / FPS]
        assert np.median(away) < rate * 0.1


async def test_a_task_whose_messages_are_gone_is_watched_out_of_history(viewer: ViewerPage, court: Settings) -> None:
    async with worker(court) as found:
        await found.process()
        await found.log.delete(found.task.id)
        task = found.task
    page = viewer.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    await page.goto(f"{viewer.url}/#/task/{task.id}")
    await viewer.until("now.filling === false && now.connection === 'ended'")
    assert {path.rpartition("/")[2] for path in asked if task.id in path} >= {"media", "ticks"}
    for frame in (20, TICKS + 9):
        state = await stand_at(viewer, frame)
        picture = await page.evaluate(READ_NUMBERS, PICTURE)
        assert picture["numbers"] == [frame] * len(CAMERAS)
        for camera in CAMERAS:
            told = seen(task, camera, frame)
            drawn = state["cameras"][camera]["boxes"]
            assert [(each["track"], each["globalId"]) for each in drawn] == list(
                zip(told.tracks.track_ids.tolist(), told.identities.global_ids, strict=True)
            )
            boxes = np.array([each["box"] for each in drawn]).reshape(-1, 4)
            assert boxes == pytest.approx(told.tracks.boxes, abs=0.01)
        assert {each["globalId"] for each in state["map"]} == {person(task, WALKER), person(task, SITTER)}
    walker = page.locator(f".row[data-person='{person(task, WALKER)}']")
    assert await walker.locator(".span").count() == len(CAMERAS)
    await walker.locator(".who").click()
    await page.locator(".person .facts", has_text="by 9 of 9 cameras").wait_for(timeout=5_000)
    await viewer.shoot("history")


async def test_a_link_leads_to_person_and_time_and_a_reload_stays_there(viewer: ViewerPage, court: Settings) -> None:
    async with worker(court) as found:  # under way: its second half is yet to come
        await found.begin(0)
        await found.ticks(range(TICKS))
        await found.complete(0)
        await found.begin(1)
        await found.ticks(range(TICKS, TICKS + 12))
        page, task = viewer.page, found.task
        sitter = person(task, SITTER)
        await page.goto(f"{viewer.url}/#/task/{task.id}?t=2.5&person={sitter}")
        await viewer.until(f"now.frame === 30 && !now.playing && now.focus === '{sitter}'")
        await page.keyboard.press("Shift+ArrowLeft")
        await page.keyboard.press("ArrowRight")
        await viewer.until("now.frame === 1")
        await page.wait_for_function("() => location.hash.includes('t=0.084')", timeout=3_000)
        await page.reload()
        await viewer.until(f"now.frame === 1 && now.focus === '{sitter}' && now.connection === 'live'")
        await found.ticks(range(TICKS + 12, 2 * TICKS))
        await found.complete(1)
        await found.enter(TaskStatus.PROCESSING)
        await found.enter(TaskStatus.COMPLETED)
        await viewer.until(f"now.connection === 'ended' && now.knownUntil === {BATCHES * TICKS / FPS}")
    await page.goto(f"{viewer.url}/")
    await page.goto(f"{viewer.url}/#/task/{task.id}")
    await viewer.until("now.settled && now.connection === 'ended'")
    assert (await viewer.state())["focus"] is None  # whom somebody watched while it ran is of the past
    await page.goto(f"{viewer.url}/#/task/{task.id}?person={person(task, WALKER)}")
    await viewer.until(f"now.focus === '{person(task, WALKER)}' && now.frame === 0")
    await page.goto(f"{viewer.url}/#/task/{task.id}?person=nobody-7")
    await page.locator(".toast", has_text="nobody-7").wait_for(timeout=10_000)
    await page.goto(f"{viewer.url}/#/task/%E0%A4%A")  # cut short within a character
    await page.locator(".failure").wait_for(timeout=10_000)
    viewer.forgive("404")


async def test_late_results_are_waited_for_and_a_lost_server_is_found_again(
    viewer: ViewerPage, court: Settings
) -> None:
    page = viewer.page
    sockets: list[WebSocketRoute] = []
    since: list[str] = []

    def relay(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        since.append(socket.url.rpartition("since=")[2])
        if len(sockets) == 2:  # the second try finds nobody
            asyncio.get_running_loop().create_task(socket.close(code=1012))
        else:
            socket.connect_to_server()

    await page.route_web_socket(re.compile("/ws/tracking/"), relay)
    async with worker(court) as found:
        await found.begin(0)
        await found.ticks(range(18))
        await page.goto(f"{viewer.url}/#/task/{found.task.id}")
        await viewer.until("now.waiting === 'results' && now.position > 1")
        assert await page.locator(".waiting-for").text_content() == "Waiting for results …"
        state = await viewer.state()
        assert state["position"] <= state["knownUntil"] == pytest.approx(17 / FPS)
        await assert_fits(viewer, 320)
        await assert_it_stands_still_unseen(viewer)
        await page.locator(".row .who").first.click()
        await page.locator(".bar[data-camera=k1]").focus()
        await page.evaluate("() => window.spoton.seek(1.8)")
        await found.ticks(range(18, TICKS))
        await viewer.until("now.playing && now.waiting === null && now.position > 1.9")
        assert await page.locator(".bar[data-camera=k1]:focus").count() == 1
        await page.locator("[aria-label='Cancel processing']").click()
        await page.locator("dialog[open]", has_text="Cancel this task?").wait_for()
        await page.keyboard.press("Escape")
        assert await page.locator("dialog[open]").count() == 0
        assert (await viewer.state())["status"] == "PROCESSING"
        await page.route("**/health", lambda route: route.abort())
        await sockets[0].close(code=1012, reason="restarting")
        banner = page.locator(".banner")
        await banner.filter(has_text="The server does not answer. Next try in").wait_for(timeout=5_000)
        await found.complete(0)
        await viewer.shoot("lost")
        await page.unroute("**/health")
        await viewer.until("now.connection === 'live' && now.knownUntil === 3")
        await banner.wait_for(state="hidden")
        assert since[0] == "0"
        assert int(since[-1]) > TICKS
    viewer.forgive("ERR_FAILED")


async def test_a_video_that_cannot_be_had_is_asked_for_until_it_comes(viewer: ViewerPage, done: str) -> None:
    page = viewer.page
    second = "**/sub_video_02.mp4*"
    await page.route(second, lambda route: route.abort())
    await page.goto(f"{viewer.url}/#/task/{done}?t=4")
    notices = page.locator(".screen .notice:visible", has_text="The server cannot be reached. Trying again …")
    await notices.nth(len(CAMERAS) - 1).wait_for(timeout=10_000)
    await asyncio.sleep(2)
    assert await notices.count() == len(CAMERAS)
    await page.unroute(second)
    await stand_at(viewer, TICKS + 9)
    assert await page.locator(".screen .notice:visible").count() == 0
    await page.route(second, lambda route: route.fulfill(status=404))
    await page.reload()
    gone = page.locator(".screen .notice:visible", has_text="This video is no longer kept.")
    await gone.nth(len(CAMERAS) - 1).wait_for(timeout=10_000)
    viewer.forgive("ERR_FAILED", "404")


async def test_the_map_is_clicked_and_shows_where_people_spend_their_time(viewer: ViewerPage, done: str) -> None:
    page = viewer.page
    await page.goto(f"{viewer.url}/#/task/{done}")
    await viewer.until("now.settled && now.map.length === 2")
    await page.set_viewport_size({"width": 1440, "height": 560})  # the timeline is out of sight, and stays there
    at = {who: await page.evaluate(DISC, colour) for who, colour in COLOURS.items()}
    assert at[WALKER]["x"] < at[SITTER]["x"]
    assert at[WALKER]["y"] < at[SITTER]["y"]
    for who in (SITTER, WALKER):
        await page.locator("canvas.map").click(position=at[who])
        await viewer.until(f"now.focus?.endsWith('-{who}')")
        await page.locator(".person h2", has_text=f"Person {who}").wait_for(timeout=5_000)
    await page.locator("canvas.map").click(position={"x": at[SITTER]["x"], "y": at[WALKER]["y"]})
    await viewer.until("now.focus === null")
    assert await page.evaluate("scrollY") == 0
    warm = """async () => {
        const canvas = document.querySelector('canvas.map');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 0; at < data.length; at += 4) count += data[at] > data[at + 2] + 40;
        return count;
    }"""
    cold = await page.evaluate(warm)
    await page.keyboard.press("h")
    await page.wait_for_function(f"async before => await ({warm})() > before + 200", arg=cold, timeout=5_000)
    assert await page.locator(".toggle").get_attribute("aria-pressed") == "true"
    await viewer.shoot("heatmap")
    await page.keyboard.press("h")
    await page.wait_for_function(f"async before => await ({warm})() === before", arg=cold, timeout=5_000)


async def test_a_task_that_saw_nothing_says_so_and_pictures_are_looked_at_before_they_are_sent(
    viewer: ViewerPage, court: Settings
) -> None:
    async with worker(court) as found:
        await found.enter(TaskStatus.CANCELLED)
        task = found.task
    page = viewer.page
    await page.goto(f"{viewer.url}/#/task/{task.id}")
    await viewer.until("now.connection === 'ended'")
    await page.locator(".screen .notice", has_text="No video of this task").nth(len(CAMERAS) - 1).wait_for()
    await page.locator(".map-frame .notice", has_text="Nobody was given a place").wait_for()
    await page.locator(".timeline .notice", has_text="Nobody was identified.").wait_for()
    sent: list[int] = []

    async def on_search(route: Route) -> None:
        sent.append(len(route.request.post_data_buffer or b""))
        found = [sighting(task, WALKER, 0.9), sighting(task, SITTER, 0.6)]
        await route.fulfill(json={"alike_from": 0.7, "sightings": found})

    await page.route("**/search", on_search)
    said = page.locator(".search .facts")
    for name, kind, words in (
        ("notes.txt", "text/plain", "notes.txt is no JPEG, PNG or WebP picture."),
        ("empty.png", "image/png", "empty.png is empty."),
        ("huge.png", "image/png", "One track, the most similar person first."),
    ):
        await page.evaluate(DROP, {"name": name, "kind": kind})
        await said.filter(has_text=words).wait_for(timeout=20_000)
    assert len(sent) == 1
    assert 10_000 < sent[0] < 8_000_000
    assert await page.locator(".result").count() == 1
    await page.locator("button", has_text="Show 1 less similar").click()
    assert await page.locator(".result").count() == 2


def sighting(task: Task, who: int, similarity: float) -> dict[str, Any]:
    """One result of a search, as the API words it."""
    seen_at = {"camera_id": "k1", "global_frame_index": 3, "time": RECORDED_FROM.isoformat(), "bbox": [0, 0, 9, 9]}
    return {"task_id": task.id, "global_id": person(task, who), "similarity": similarity, **seen_at}


async def test_who_has_to_say_who_they_are_is_asked(viewer: ViewerPage, court: Settings, serve, done: str) -> None:
    guarded = court.model_copy(update={"access": "on", "ticket_key": SecretStr("k" * 32)})
    async with open_pool(guarded) as pool:
        token, _ = await TokenStore(pool).make("the viewer", Role.VIEWER, None, timedelta(minutes=5))
    page = viewer.page
    async with serve(guarded) as client:
        await page.goto(f"{client.base_url}/#/task/{done}")
        dialog = page.locator("dialog.login")
        for text in ("not a token", token):
            await dialog.locator("input").fill(text)
            await viewer.shoot("login")
            await dialog.locator("button").click()
            if text != token:
                await page.wait_for_function("() => document.querySelector('dialog.login').open")
                await dialog.locator("[role=alert]", has_text="unknown, expired or revoked").wait_for()
        await viewer.until("now.settled && now.connection === 'ended'")
        sources = await page.evaluate("[...document.querySelectorAll('video.front')].map(video => video.src)")
        assert all("ticket=" in source for source in sources)
        assert await dialog.is_hidden()
        await page.goto(str(client.base_url))
        await page.locator("[data-environment=court] button").click()
        await page.locator(".toast", has_text="takes the role of operator").wait_for(timeout=5_000)
    viewer.forgive("401", "403")


async def test_every_page_fits_small_screens_and_reads_well(viewer: ViewerPage, done: str) -> None:
    page = viewer.page
    for address, ready in (("", ".task"), (f"#/task/{done}", ".row")):
        await page.goto(f"{viewer.url}/{address}")
        await page.locator(ready).first.wait_for()
        for width in (360, 1024):
            await assert_fits(viewer, width)
            await viewer.shoot(f"{ready[1:]} {width}")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.wait_for_function(f"() => document.documentElement.style.colorScheme === '{scheme}'")
            assert await page.evaluate(FAINT) == [], scheme
            await viewer.shoot(f"{ready[1:]} {scheme}")
        await page.keyboard.press("Tab")
        ring = await page.evaluate("getComputedStyle(document.activeElement, null).outline")
        assert "solid 2px" in ring
        await page.keyboard.press("ArrowDown")  # on the task's page: somebody in focus
        await page.wait_for_function("() => document.querySelector('.crop .waiting') === null")
        assert await page.evaluate(CUT_RINGS) == []


async def test_light_or_dark_is_as_the_system_has_it_until_somebody_chooses(viewer: ViewerPage, done: str) -> None:
    page = viewer.page
    scheme, ground = "document.documentElement.style.colorScheme", "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    await page.goto(f"{viewer.url}/#/task/{done}")
    await viewer.until("now.settled")
    assert await page.evaluate(scheme) == "light"
    light = await page.evaluate(ground)
    await page.get_by_role("button", name="To the dark colours").click()
    assert await page.evaluate(ground) != light
    await page.reload()
    await viewer.until("now.settled")
    assert await page.evaluate(scheme) == "dark"
    await page.keyboard.press("t")
    assert await page.evaluate(ground) == light
    await page.emulate_media(color_scheme="dark")  # nobody has chosen any more: the system's word counts
    await page.wait_for_function(f"() => {scheme} === 'dark'")


async def test_the_way_to_who_is_in_focus_and_out_of_sight(viewer: ViewerPage, done: str) -> None:
    page, walker = viewer.page, done[:8] + f"-{WALKER}"
    await page.goto(f"{viewer.url}/#/task/{done}")
    await viewer.until("now.settled && now.connection === 'ended'")
    await page.locator(f"[data-person='{walker}'] .who").click()
    away = page.locator(".person .away")
    last = 4 * (len(CAMERAS) - 1) + TICKS - 1  # the last frame that has them
    assert await away.is_hidden()
    await stand_at(viewer, last + 2)
    await away.filter(has_text="Out of sight now: go to k9 at 0:05").click()
    await viewer.until(f"now.settled && now.frame === {last}")
    await away.wait_for(state="hidden")


async def test_only_the_cameras_that_were_chosen_have_a_tile(viewer: ViewerPage, court: Settings) -> None:
    async with worker(court, cameras=("k2", "k5")) as found:
        await found.enter(TaskStatus.CANCELLED)
        task = found.task
    await viewer.page.goto(f"{viewer.url}/#/task/{task.id}")
    await viewer.until("now.connection === 'ended'")
    assert await viewer.page.locator(".camera b").all_inner_texts() == ["k2", "k5"]
    await viewer.page.keyboard.press("2")
    assert await viewer.page.locator(".camera.large b").inner_text() == "k5"


async def test_any_number_of_cameras_is_laid_out_as_square_as_the_screen_has_room(
    viewer: ViewerPage, done: str
) -> None:
    async def on_cameras(route: Route) -> None:
        (first, *_) = await (await route.fetch()).json()
        await route.fulfill(json=[first | {"camera_id": f"k{number + 1}"} for number in range(count)])

    page = viewer.page
    await page.route("**/environments/*/cameras", on_cameras)
    tops = "[...document.querySelectorAll('.camera')].map(each => each.getBoundingClientRect().top)"
    for count, across in ((1, (1, 1, 1)), (4, (2, 2, 1)), (9, (3, 3, 2)), (16, (4, 3, 2))):
        await page.goto("about:blank")
        await page.goto(f"{viewer.url}/#/task/{done}")
        await page.locator(".camera").nth(count - 1).wait_for()
        for width, columns in zip((1440, 820, 390), across, strict=True):
            await page.set_viewport_size({"width": width, "height": 900})
            found = await page.evaluate(tops)
            assert found.count(found[0]) == columns, (count, width)
            await viewer.shoot(f"{count} cameras {width}")
    viewer.forgive("404")  # of videos that are not there


async def test_the_api_is_described_offline(viewer: ViewerPage) -> None:
    page = viewer.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{viewer.url}/docs")
    await page.locator(".opblock", has_text="/api/v1/processing-tasks/start").first.click()
    await page.locator(".opblock.is-open").wait_for()
    assert [url for url in asked if not url.startswith((viewer.url, "data:"))] == []


async def assert_it_stands_still_unseen(viewer: ViewerPage) -> None:
    """As when another tab is in front: the browser calls no step of the screen, and the videos wait."""
    await viewer.page.evaluate("""() => {
        for (const video of document.querySelectorAll('video')) video.play().catch(() => {});
        Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    assert await viewer.page.evaluate("() => [...document.querySelectorAll('video')].every(video => video.paused)")
    await viewer.page.evaluate("() => delete document.hidden")


async def assert_one_camera_can_be_large(viewer: ViewerPage) -> None:
    """By its key, and back by its button."""
    page = viewer.page
    sizes = []
    for act in (page.keyboard.press("2"), page.get_by_role("button", name="k2 as large as the others").click()):
        await act
        boxes = [await page.locator(f"[data-camera={name}] .screen").bounding_box() for name in ("k1", "k2")]
        sizes.append([box["width"] for box in boxes if box])
    assert sizes[0][1] > 2.5 * sizes[0][0]
    assert sizes[1][1] == sizes[1][0] == sizes[0][0]


async def assert_fits(viewer: ViewerPage, width: int) -> None:
    """Nothing reaches beyond a screen of this width; 320 px is what WCAG asks for (1.4.10)."""
    await viewer.page.set_viewport_size({"width": width, "height": 768})
    assert await viewer.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def stand_at(viewer: ViewerPage, frame: int) -> dict[str, Any]:
    """Seeks, and waits until every camera shows exactly the frame."""
    await viewer.page.evaluate("position => window.spoton.seek(position)", (frame + 0.25) / FPS)
    await viewer.until(f"Object.values(now.cameras).every(each => each?.exact && each.frame === {frame})")
    return await viewer.state()
