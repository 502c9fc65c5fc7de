"""Frame-exactness, proven: the picture that Chromium shows at ``media_time_s`` is the picture that was processed.

Every picture carries its own number as black and white blocks. The decode room says which picture each tick got and
its ``media_time_s``; the browser is brought to that time as the viewer does it, and the number is read from a canvas.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from orchestrator.decode import FrameReader, frames_of_ticks, probe
from orchestrator.values import UInt8
from tests.orchestrator.videos import delay_start, write_video

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
BITS = 7
BLOCK = 32
SIZE_HW = (96, BITS * BLOCK)
FRAMES, FPS = 60, 24
B_FRAMES = {"bf": "3", "g": "24", "b-pyramid": "normal"}
VARIABLE_STEPS = np.random.default_rng(5).choice([4, 9, 12, 18, 31], FRAMES)
"""Units of 1 / (12 * FPS) s between frames."""

INTO_FRAME_S = 0.001
"""As the viewer does it: within the frame, not on its edge."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

LOAD = """async ({content, bits, block}) => {
    const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
    const video = document.createElement('video');
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d', {willReadFrequently: true});
    video.muted = true;
    video.src = URL.createObjectURL(new Blob([bytes], {type: 'video/mp4'}));
    document.body.replaceChildren(video);
    await new Promise((done, failed) => { video.onloadeddata = done; video.onerror = () => failed(video.error); });
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    window.number = (shown = video) => {
        context.drawImage(shown, 0, 0);
        let number = 0;
        for (let bit = 0; bit < bits; bit++) {
            const [red] = context.getImageData((bit + 0.5) * block, canvas.height / 2, 1, 1).data;
            if (red > 64 && red < 192) throw new Error(`bit ${bit} is grey: ${red}`);
            number += (red > 128) << bit;
        }
        return number;
    };
    window.video = video;
}"""
STAND_AT = """async times => {
    const found = [];
    for (const time of times) {
        let shown = null;
        const next = (_, frame) => { shown = [frame.mediaTime, number()]; video.requestVideoFrameCallback(next); };
        const asked = video.requestVideoFrameCallback(next);
        while (shown === null || video.seeking || Math.abs(video.currentTime - time) > 1e-4) {
            if (!video.seeking && Math.abs(video.currentTime - time) > 1e-4) video.currentTime = time;
            await new Promise(requestAnimationFrame);
        }
        video.cancelVideoFrameCallback(asked);
        found.push(shown);
    }
    return found;
}"""
"""Asks again where a goal was cut down: Chromium learns only while it reads that a file which starts late ends late."""
PLAY = """async () => {
    const found = [];
    const next = (_, {mediaTime}) => {
        const shown = new VideoFrame(video);
        found.push([mediaTime, shown.timestamp / 1e6, number(shown)]);
        shown.close();
        video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    video.currentTime = 0;
    await video.play();
    await new Promise(done => video.onended = done);
    return found;
}"""
"""The time that each callback names, the time of the picture that is there by then, and the number in that picture. A
browser that is short of processor time calls back when it has moved on: the picture itself says so."""


def numbered(number: int) -> UInt8:
    """A picture that shows a number as blocks, the lowest bit at the left."""
    bits = np.array([255 * (number >> bit & 1) for bit in range(BITS)], np.uint8)
    return np.repeat(np.broadcast_to(bits.repeat(BLOCK), SIZE_HW)[:, :, None], 3, axis=2).copy()


def number_of(pixels: UInt8) -> int:
    """The number that a decoded picture shows."""
    row = pixels[SIZE_HW[0] // 2, BLOCK // 2 :: BLOCK, 0]
    return int(sum(1 << bit for bit, value in enumerate(row) if value > 128))


def processed(path: Path, rate: float) -> list[tuple[float, int]]:
    """``media_time_s`` and the number in the picture for each tick, from the decode room."""
    video = probe(path)
    indices = frames_of_ticks(video, rate)
    reader = FrameReader(path, "c01", video, indices)
    frames = [reader.read(tick) for tick in range(len(indices))]
    found = [(frame.media_time_s, number_of(frame.pixels)) for frame in frames]
    reader.close()
    return found


def write(path: Path, **options: Any) -> Path:
    pictures = [numbered(number) for number in range(FRAMES)]
    return write_video(path, FRAMES, FPS, SIZE_HW, pictures=pictures, **options)


def edited(path: Path) -> Path:
    """The edit list lets the video begin in the middle of the first group of pictures."""
    return delay_start(write(path, options=B_FRAMES), edit=12 * FPS // 3 // 12 * 12)


VIDEOS: dict[str, Callable[[Path], Path]] = {
    "plain": lambda path: write(path, options={"bf": "0"}),
    "B-frames": lambda path: write(path, options=B_FRAMES),
    "variable rate": lambda path: write(path, pts=np.cumsum(VARIABLE_STEPS).tolist(), options=B_FRAMES),
    "late start": lambda path: write(path, pts=[12 * n + 12 * 37 for n in range(FRAMES)], options=B_FRAMES),
    "edit list": edited,
}
FRAGMENTED: dict[str, Callable[[Path], Path]] = {
    "fragmented": lambda path: write(path, options=B_FRAMES, movflags="frag_keyframe+empty_moov+default_base_moof"),
}
"""Only played: Chromium seeks in a fragmented file by decoding time, and so passes over the pictures right before a key
frame. What it shows instead comes with its true time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield await browser.new_page()
        await browser.close()


async def load(page: Page, path: Path) -> None:
    content = base64.b64encode(path.read_bytes()).decode()
    await page.evaluate(LOAD, {"content": content, "bits": BITS, "block": BLOCK})


@pytest.mark.parametrize("kind", VIDEOS)
async def test_the_browser_stands_on_the_frame_that_was_processed(page: Page, tmp_path: Path, kind: str) -> None:
    path = VIDEOS[kind](tmp_path / "numbered.mp4")
    await load(page, path)
    for rate in (FPS / 2, FPS):
        ticks = sorted(set(processed(path, rate)))
        assert len({number for _, number in ticks}) == len(ticks) > 20
        chosen = [ticks[index] for index in np.random.default_rng(3).permutation(len(ticks))[:20]]
        stood = await page.evaluate(STAND_AT, [time + INTO_FRAME_S for time, _ in chosen])
        assert [number for _, number in stood] == [number for _, number in chosen]
        assert [time for time, _ in stood] == pytest.approx([time for time, _ in chosen], abs=1e-3)


@pytest.mark.parametrize("kind", VIDEOS | FRAGMENTED)
async def test_while_it_plays_each_frame_comes_with_its_own_time(page: Page, tmp_path: Path, kind: str) -> None:
    path = (VIDEOS | FRAGMENTED)[kind](tmp_path / "numbered.mp4")
    await load(page, path)
    numbers = {round(time, 3): number for time, number in processed(path, 12 * FPS)}
    played = [(round(asked, 3), round(shown, 3), number) for asked, shown, number in await page.evaluate(PLAY)]
    assert [number for _, _, number in played] == [numbers.get(shown) for _, shown, _ in played]
    assert all(shown >= asked for asked, shown, _ in played)
    assert sum(shown == asked for asked, shown, _ in played) > FRAMES / 3
