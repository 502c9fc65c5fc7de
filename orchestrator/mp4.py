"""Finds where an mp4 file is cut, which a demuxer only answers by ending early."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from av.video.stream import VideoStream


def truncation_of(path: Path, stream: VideoStream | None = None) -> str | None:
    """How a video file is truncated, in words, or None where nothing shows that it is.

    With an opened stream the sample index tells how many frames lie wholly inside the file; without one the top-level
    boxes tell whether the index itself (``moov``) is missing.
    """
    size = path.stat().st_size
    if size == 0:
        return "0 frames can be read, since the file is empty"
    if stream is None:
        return _missing_index(path, size)
    ends = [entry.pos + entry.size for entry in stream.index_entries]
    whole = sum(end <= size for end in ends)
    return None if whole == len(ends) else f"{whole} of {len(ends)} frames can be read"


def _missing_index(path: Path, size: int) -> str | None:
    boxes = list(_top_level_boxes(path, size))
    kinds = [kind for kind, _ in boxes]
    if not kinds or kinds[0] != b"ftyp":
        return None
    whole = [kind for kind, end in boxes if end <= size]
    if b"moov" in whole:
        return None
    return "0 frames can be read, since its index (moov) is missing or cut"


def _top_level_boxes(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """(type, offset of the end) of each top-level box of ISO/IEC 14496-12, the last one perhaps beyond the file."""
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                large = file.read(8)
                length = struct.unpack(">Q", large)[0] if len(large) == 8 else 0
            end = position + length if length >= 8 else size
            yield kind, end
            position = end
