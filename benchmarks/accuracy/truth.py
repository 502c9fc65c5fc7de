"""Ground truth as published: rows of numbers, and what is wrong with a file in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from orchestrator.errors import DetectionFileError
from orchestrator.values import Float64

LARGEST = 2**53
"""Beyond, not every whole number is its own as a float."""


def read_rows(path: Path, columns: int) -> Float64:
    """The first ``columns`` columns and whatever all lines have beyond, [N, C]; frame and id, the first two, are whole.

    Columns are separated by commas or spaces; rows may come in any order.

    Raises:
        DetectionFileError: names file, line, and what is wrong; also where a frame has the same id twice.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DetectionFileError(f"{path}: cannot be read: {error}") from error
    rows: list[list[float]] = []
    said: dict[tuple[float, float], int] = {}
    for number, line in enumerate(lines, 1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        row = _row(f"{path}:{number}", fields, columns)
        if (before := said.setdefault((row[0], row[1]), number)) != number:
            raise DetectionFileError(f"{path}:{number}: id {row[1]:g} in frame {row[0]:g} again, as in line {before}")
        rows.append(row)
    width = min(map(len, rows), default=columns)
    return np.array([row[:width] for row in rows], np.float64).reshape(-1, width)


def _row(where: str, fields: list[str], columns: int) -> list[float]:
    if len(fields) < columns:
        raise DetectionFileError(f"{where}: {len(fields)} columns, at least {columns} are expected")
    try:
        row = [float(field) for field in fields]
    except ValueError as error:
        raise DetectionFileError(f"{where}: {error}") from error
    if not np.isfinite(row[:columns]).all():
        raise DetectionFileError(f"{where}: a number that is not finite")
    if not all(value == int(value) and abs(value) < LARGEST for value in row[:2]):
        raise DetectionFileError(f"{where}: frame {row[0]:g} and id {row[1]:g} are no whole numbers below 2^53")
    return row


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file becomes ``DetectionFileError``, which names it."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DetectionFileError(f"{path}: cannot be used: {what}") from error
