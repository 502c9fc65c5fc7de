"""The viewer in a real Chromium, and what tests ask of it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from tests.system import BUILT

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHOTS = BUILT.parent / "test-results" / "viewer"
"""Screenshots of the last run."""


@dataclass(frozen=True)
class ViewerPage:
    """A page of the viewer of the API at ``url``."""

    page: Page
    url: str
    forgiven: list[str] = field(default_factory=list, kw_only=True)
    """Parts of what the browser may complain about."""

    def forgive(self, *parts: str) -> None:
        """Allows complaints that the test itself provokes."""
        self.forgiven.extend(parts)

    async def state(self) -> dict[str, Any]:
        """What is on the screen now."""
        return dict(await self.page.evaluate("() => JSON.parse(JSON.stringify(window.spoton))"))

    async def until(self, condition: str, within_s: float = 30) -> None:
        """Waits for a condition on ``now``, which is what is on the screen."""
        try:
            await self.page.wait_for_function(
                f"() => {{ const now = window.spoton ?? {{}}; return {condition}; }}", timeout=within_s * 1000
            )
        except PlaywrightTimeoutError as late:
            await self.shoot("late")
            raise AssertionError(f"not within {within_s} s: {condition}; on the screen: {await self.state()}") from late

    async def shoot(self, name: str) -> None:
        """Keeps a picture of the page with the test results."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser for as long as the block lasts."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


def note_faults(page: Page, faults: list[str]) -> None:
    """Adds to ``faults`` what goes wrong in the page's scripts."""

    def on_console(said: ConsoleMessage) -> None:
        if said.type == "error":
            faults.append(said.text)

    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", on_console)
