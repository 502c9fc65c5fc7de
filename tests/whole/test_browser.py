"""What the demo renders and the API serves plays in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.system import Whole
from tests.whole.test_whole_way import http, listen, start

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.servers,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),  # whoever comes first waits for the whole system
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

PLAY_AND_SEEK = """async () => {
    const video = document.querySelector('video');
    const shown = () => new Promise(done => video.requestVideoFrameCallback((_, frame) => done(frame.mediaTime)));
    const seek = time => { const frame = shown(); video.currentTime = time; return frame; };
    await new Promise((done, fail) => {
        if (video.readyState) done();
        video.addEventListener('loadedmetadata', done);
        video.addEventListener('error', () => fail(new Error(video.error.message)));
    });
    const middle = await seek(2.04);
    return {width: video.videoWidth, height: video.videoHeight, duration: video.duration, middle};
}"""


async def test_a_sub_video_plays_and_seeks_to_the_frame_that_was_processed(whole: Whole, tmp_path: Path) -> None:
    async with await http(whole) as client:
        messages = await listen(whole, await start(client, "campus", cameras=["c01"], end_batch=1))
    media = next(message["payload"] for message in messages if message["type"] == "media_available")
    told = [
        message["payload"]["cameras"]["c01"]["media_time_s"]
        for message in messages
        if message["type"] == "tracking_update"
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        await page.goto(whole.stack.api.url)  # the viewer: answers that are no pages may not hold a video
        await page.set_content(f"<video muted preload='auto' src='{media['media_urls'][0]['url']}'></video>")
        found = await page.evaluate(PLAY_AND_SEEK)
        await browser.close()
    assert (found["width"], found["height"]) == (1280, 720)
    assert found["duration"] == pytest.approx(4, abs=0.1)
    assert any(found["middle"] == pytest.approx(time, abs=1e-3) for time in told)
    assert found["middle"] == pytest.approx(2.0, abs=1e-3)
