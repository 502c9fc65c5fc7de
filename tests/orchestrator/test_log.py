from __future__ import annotations

import logging

import pytest

from orchestrator.log import bind, configure


@pytest.fixture(autouse=True)
def _restore() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_every_line_names_task_and_batch(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    logger = logging.getLogger("orchestrator.somewhere")
    with bind(task="t1"):
        with bind(batch=2):
            logger.info("inner")
        logger.info("outer")
    logger.info("neither")
    inner, outer, neither = capsys.readouterr().err.splitlines()
    assert inner.endswith("orchestrator.somewhere: inner [task=t1 batch=2]")
    assert outer.endswith("outer [task=t1]")
    assert neither.endswith("neither")
