"""How a long run shows itself: bars on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

INTERVAL_S = 4.0
"""Between two plain lines of one step."""
HEARTBEAT_S = 10.0
"""A step that says nothing for so long says that it is still at work."""


WIDE = 100
"""Columns of a terminal from which on a bar may be long."""


class Step(Protocol):
    """One piece of long work."""

    def update(self, done: float, total: float | None, note: str = "") -> None:
        """Says how far it is; from any thread. ``note`` replaces the measured rate and time left."""
        ...


class Reporter(Protocol):
    """Where a run says what it does."""

    def say(self, text: str) -> None:
        """One line."""
        ...

    def show(self, content: RenderableType) -> None:
        """Something that ``rich`` renders, as a table."""
        ...

    def step(self, title: str, unit: str = "") -> AbstractContextManager[Step]:
        """A piece of long work, for as long as the block lasts; steps may overlap."""
        ...


def reporter_for(console: Console) -> AbstractContextManager[Reporter]:
    """Bars where the console is a terminal, lines where it is not."""
    return _bars(console) if console.is_terminal else _lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[Reporter]:
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28 if console.width >= WIDE else 10, table_column=Column(no_wrap=True)),
        _NoteColumn(),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=console) as progress:
        yield _BarReporter(console, progress)


@contextmanager
def _lines(console: Console) -> Iterator[Reporter]:
    yield _LineReporter(console)


def describe(done: float, total: float | None, elapsed_s: float, unit: str) -> str:
    """``120 of 480 frames, 41/s, 9 s left``."""
    if not unit:
        return ""
    if done <= 0:
        return "" if total is None else f"0 of {total:.0f} {unit}"
    rate = done / max(elapsed_s, 1e-3)
    pace = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    if total is None:
        return f"{done:.0f} {unit}, {pace}"
    left = "" if done >= total else f", {max(total - done, 0) / rate:.0f} s left"
    return f"{done:.0f} of {total:.0f} {unit}, {pace}{left}"


class _NoteColumn(ProgressColumn):
    """The one column that gives way, with an ellipsis, where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], style="dim", no_wrap=True, overflow="ellipsis")


class _BarReporter:
    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress

    def say(self, text: str) -> None:
        self._console.print(f"  {text}", style="dim", markup=False, highlight=False)

    def show(self, content: RenderableType) -> None:
        self._console.print(content)

    @contextmanager
    def step(self, title: str, unit: str = "") -> Iterator[Step]:
        task = self._progress.add_task(title, total=None, note="")
        yield _BarStep(self._progress, task, unit)
        total = self._progress.tasks[self._progress.task_ids.index(task)].total or 1
        self._progress.update(task, total=total, completed=total)


class _BarStep:
    def __init__(self, progress: Progress, task: TaskID, unit: str) -> None:
        self._progress, self._task, self._unit, self._began = progress, task, unit, time.monotonic()

    def update(self, done: float, total: float | None, note: str = "") -> None:
        note = note or describe(done, total, time.monotonic() - self._began, self._unit)
        self._progress.update(self._task, completed=done, total=total, note=note)


class _LineReporter:
    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.out(text, highlight=False)

    def show(self, content: RenderableType) -> None:
        self._console.print(content)

    @contextmanager
    def step(self, title: str, unit: str = "") -> Iterator[Step]:
        self.say(f"{title} ...")
        step = _LineStep(self, title, unit)
        threading.Thread(target=step.beat, daemon=True).start()
        try:
            yield step
        finally:
            step.ended.set()
        self.say(f"{title}: done in {step.elapsed_s:.1f} s")


class _LineStep:
    def __init__(self, reporter: _LineReporter, title: str, unit: str) -> None:
        self._reporter, self._title, self._unit = reporter, title, unit
        self._began = self._said_at = time.monotonic()
        self.ended = threading.Event()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def update(self, done: float, total: float | None, note: str = "") -> None:
        if time.monotonic() - self._said_at >= INTERVAL_S:
            self._say(note or describe(done, total, self.elapsed_s, self._unit))

    def beat(self) -> None:
        """Says how long it has taken where nothing else is said, until ``ended``."""
        while not self.ended.wait(HEARTBEAT_S / 2):
            if time.monotonic() - self._said_at >= HEARTBEAT_S:
                self._say(f"{self.elapsed_s:.0f} s so far")

    def _say(self, text: str) -> None:
        self._said_at = time.monotonic()
        self._reporter.say(f"{self._title}: {text}")
