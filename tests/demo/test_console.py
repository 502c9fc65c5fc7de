from __future__ import annotations

import time
from io import StringIO

import pytest
from rich.console import Console

from demo import console as shown
from demo.console import describe, reporter_for


def test_without_a_terminal_come_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    text = StringIO()
    monkeypatch.setattr(shown, "INTERVAL_S", 0.0)
    with reporter_for(Console(file=text, force_terminal=False)) as reporter, reporter.step("drawing", "frames") as step:
        step.update(3, 12)
        step.update(4, 12, "a note [not markup]")
    lines = text.getvalue().splitlines()
    assert lines[0] == "drawing ..."
    assert lines[1].startswith("drawing: 3 of 12 frames, ")
    assert lines[2] == "drawing: a note [not markup]"
    assert lines[3].startswith("drawing: done in 0.")
    assert "\x1b" not in text.getvalue()


def test_lines_are_spared_within_the_interval() -> None:
    text = StringIO()
    with reporter_for(Console(file=text, force_terminal=False)) as reporter, reporter.step("drawing", "frames") as step:
        for done in range(100):
            step.update(done, 100)
    assert len(text.getvalue().splitlines()) == 2


def test_work_that_says_nothing_is_said_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    text = StringIO()
    monkeypatch.setattr(shown, "HEARTBEAT_S", 0.02)
    with reporter_for(Console(file=text, force_terminal=False)) as reporter, reporter.step("exporting"):
        time.sleep(0.2)
    assert "exporting: 0 s so far" in text.getvalue()


def test_on_a_terminal_comes_a_bar() -> None:
    text = StringIO()
    with reporter_for(Console(file=text, force_terminal=True, width=120)) as reporter:
        with reporter.step("drawing", "frames") as step:
            step.update(6, 12)
        reporter.say("server [1] ready")
    assert "drawing" in text.getvalue()
    assert "server [1] ready" in text.getvalue()


def test_bar_and_time_stay_whole_on_80_columns() -> None:
    text = StringIO()
    narrow = Console(file=text, force_terminal=True, width=80, color_system=None)
    with reporter_for(narrow) as reporter, reporter.step("rendering four cameras") as step:
        step.update(6, 12, "batch 2 of 4, 240 frames, 41.3/s, 12 s left")
    line = next(line for line in reversed(text.getvalue().splitlines()) if "rendering" in line)
    assert "━" * 10 in line
    assert "batch 2 of 4, 240" in line
    assert "0:00:00" in line


def test_a_failed_step_does_not_say_that_it_is_done() -> None:
    text = StringIO()
    plain = Console(file=text, force_terminal=False)
    with reporter_for(plain) as reporter, pytest.raises(RuntimeError), reporter.step("drawing"):
        raise RuntimeError
    assert "done" not in text.getvalue()


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "expected"),
    [
        (120, 480, 3.0, "120 of 480 frames, 40/s, 9 s left"),
        (4, None, 8.0, "4 frames, 0.5/s"),
        (480, 480, 12.0, "480 of 480 frames, 40/s"),
        (0, 480, 1.0, "0 of 480 frames"),
    ],
)
def test_rate_and_time_left(done: float, total: float | None, elapsed: float, expected: str) -> None:
    assert describe(done, total, elapsed, "frames") == expected
