"""A picture of the viewer, taken in a real browser where one is installed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Error, Page, ViewportSize, async_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""Root, as in a container, cannot have the browser's own sandbox; the only page that it opens is ours."""
SIZE = ViewportSize(width=1440, height=1130)
"""Four cameras, their transport and most people's lanes fit."""
DEADLINE_S = 60.0
SETTLE_MS = 1500
QUALITY = 82

_STAND_IN_THE_MIDDLE = "() => { spoton.pause(); spoton.seek(spoton.duration / 2); }"
_STANDS = """() => !spoton.playing && spoton.settled
    && Object.values(spoton.cameras).every(each => each === null || (each.frame === spoton.frame && each.exact))"""
_MOST_SEEN = """() => {
    const boxes = Object.values(spoton.cameras).flatMap(each => each?.boxes ?? []);
    const seen = boxes.map(box => box.globalId).filter(Boolean);
    const times = person => seen.filter(each => each === person).length;
    return seen.sort((a, b) => times(b) - times(a))[0] ?? null;
}"""


class NoPictureError(Exception):
    """No picture could be taken; says why."""


async def save_viewer(api_url: str, task_id: str, target: Path) -> None:
    """Opens a finished task in the viewer, puts somebody whom many cameras see into focus, and writes a JPEG.

    Raises:
        NoPictureError: there is no Chromium, or the page did not come up within ``DEADLINE_S``.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise NoPictureError("there is no Chromium on this machine")
    try:
        async with asyncio.timeout(DEADLINE_S), async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=browser, args=FLAGS)
            page = await chromium.new_page(viewport=SIZE)
            await page.goto(f"{api_url}/#/task/{task_id}")
            await _arrange(page)
            await page.screenshot(path=target, type="jpeg", quality=QUALITY)  # makes the folder, too
            await chromium.close()
    except TimeoutError:
        raise NoPictureError(f"the viewer did not come up within {DEADLINE_S:.0f} s") from None
    except Error as error:
        raise NoPictureError(error.message.splitlines()[0]) from error


async def _arrange(page: Page) -> None:
    await page.wait_for_function("() => window.spoton?.connection === 'ended' && spoton.duration > 0")
    await page.evaluate(_STAND_IN_THE_MIDDLE)
    await page.wait_for_function(_STANDS)
    person = await page.evaluate(_MOST_SEEN)
    if person is not None:
        await page.locator(f".row[data-person='{person}'] .who").click()
        await page.locator(".crop canvas").nth(2).wait_for()
    await page.evaluate("() => scrollTo(0, 0)")
    await page.wait_for_timeout(SETTLE_MS)
