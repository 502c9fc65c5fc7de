"""Conditional and Range requests for files (RFC 9110, sections 13 and 14).

Starlette's ``FileResponse`` sends ranges but answers malformed ones with 400 where they are to be ignored, refuses a
set of ranges when one of them lies beyond the end, and knows no ``If-None-Match``. So the headers are judged here and
``FileResponse`` is given a clean Range, or none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_RANGES = 16
"""A request for more ranges than this gets the whole file, as RFC 9110 section 14.2 allows."""
_RANGE = re.compile(r"([0-9]{0,19})-([0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class Whole:
    """Send everything: 200."""


@dataclass(frozen=True, slots=True)
class Part:
    """Send these bytes: 206."""

    ranges: tuple[tuple[int, int], ...]
    """First and last byte of each, inclusive, inside the file."""

    @property
    def header(self) -> str:
        """The same as a Range header."""
        return "bytes=" + ",".join(f"{first}-{last}" for first, last in self.ranges)

    def at_most(self, size: int) -> Part:
        """The first ``size`` bytes of it, where it is a single range.

        A 206 need not hold all that was asked for: clients look at its Content-Range (RFC 9110, section 15.3.7).
        """
        if len(self.ranges) > 1:
            return self
        first, last = self.ranges[0]
        return Part(((first, min(last, first + size - 1)),))


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte asked for exists: 416."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """The client has this already: 304."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """The client insists on another version: 412."""


Selection = Whole | Part | Unsatisfiable | NotModified | PreconditionFailed


def select(headers: Mapping[str, str], etag: str, size: int, *, ranges: bool = True) -> Selection:
    """What a GET (or, without ``ranges``, a HEAD) of a file of ``size`` bytes gets.

    Args:
        headers: of the request, keys in lower case or a case-insensitive mapping.
        etag: the file's strong entity tag, in its quotes.
        size: bytes in the file.
        ranges: whether Range is honoured; RFC 9110 defines it for GET alone.
    """
    if "if-match" in headers and not _names(headers["if-match"], etag, weak=False):
        return PreconditionFailed()
    if "if-none-match" in headers and _names(headers["if-none-match"], etag, weak=True):
        return NotModified()
    if not ranges or "range" not in headers or headers.get("if-range", etag) != etag:
        return Whole()
    return parse_range(headers["range"], size)


def parse_range(value: str, size: int) -> Whole | Part | Unsatisfiable:
    """Reads a Range header; one that is malformed or of another unit is ignored, as the RFC asks."""
    unit, _, specs = value.partition("=")
    parts = [part.strip() for part in specs.split(",") if part.strip()]
    if unit.strip().lower() != "bytes" or not 0 < len(parts) <= MAX_RANGES:
        return Whole()
    found = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or part == "-":
            return Whole()
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return Whole()
        found.append(_clipped(first, last, size))
    inside = tuple(bounds for bounds in found if bounds is not None)
    return Part(inside) if inside else Unsatisfiable()


def _clipped(first: str, last: str, size: int) -> tuple[int, int] | None:
    start = int(first) if first else size - min(int(last), size)
    end = min(int(last), size - 1) if first and last else size - 1
    return (start, end) if start <= end else None


def _names(header: str, etag: str, *, weak: bool) -> bool:
    tags = [tag.strip() for tag in header.split(",")]
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return "*" in tags or etag in tags
