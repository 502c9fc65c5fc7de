"""Structured logs: one line an event, with task, camera and batch in each line that has them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FIELDS: ContextVar[dict[str, object]] = ContextVar("log_fields", default={})  # noqa: B039 (never mutated)


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Adds fields to every line logged inside the block, also in tasks that it starts."""
    token = _FIELDS.set({**_FIELDS.get(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


class _Formatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = " ".join(f"{name}={value}" for name, value in _FIELDS.get().items())
        return f"{line} [{fields}]" if fields else line


def configure(level: str) -> None:
    """Sends all logs to standard error at ``level``, with UTC times; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("orchestrator", "api"):
        logging.getLogger(name).setLevel(level)
