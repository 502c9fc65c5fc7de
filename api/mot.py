"""Tracks in MOTChallenge's form: ``frame, id, left, top, width, height, confidence, x, y, z``, frames counted from 1.

``x, y`` is the place on the map in metres and ``z`` is 0, all three -1 where the place is unknown. A person has the
same id in every camera.
"""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import groupby
from typing import IO

from api.tabular import Sink
from orchestrator.history.queries import Rows, TrackRow


class Numbers:
    """Whole numbers for people, from 1 in the order in which they are asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str | tuple[str, int], int] = {}

    def of(self, row: TrackRow) -> int:
        """A person's number; a track that nobody has named counts as a person of its own."""
        key = row.global_id or (row.camera_id, row.track_id)
        return self._numbers.setdefault(key, len(self._numbers) + 1)

    def table(self) -> str:
        """CSV of ``id, global_id``; the second is empty for tracks without a name."""
        lines = (f"{number},{key if isinstance(key, str) else ''}\n" for key, number in self._numbers.items())
        return "id,global_id\n" + "".join(lines)


async def text(blocks: AsyncIterator[Rows]) -> AsyncGenerator[bytes, None]:
    """The tracks of one camera."""
    numbers = Numbers()
    async for rows in blocks:
        yield await asyncio.to_thread(_lines, rows, numbers)


async def archive(blocks: AsyncIterator[Rows]) -> AsyncGenerator[bytes, None]:
    """A zip with ``<camera>.txt`` for every camera of rows that come camera by camera, and ``identities.csv``."""
    sink, numbers = Sink(), Numbers()
    files = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    camera = _Member(files)
    async for rows in blocks:
        await asyncio.to_thread(camera.write, rows, numbers)
        if piece := sink.take():
            yield piece
    await asyncio.to_thread(camera.close)
    files.writestr("identities.csv", numbers.table())
    files.close()
    yield sink.take()


class _Member:
    """The file of the camera whose rows come now."""

    def __init__(self, files: zipfile.ZipFile) -> None:
        self._files, self._camera_id = files, ""
        self._file: IO[bytes] | None = None

    def write(self, rows: Rows, numbers: Numbers) -> None:
        for camera_id, group in groupby(rows, key=lambda row: row.camera_id):
            if camera_id != self._camera_id:
                self.close()
                self._file = self._files.open(f"{camera_id}.txt", "w", force_zip64=True)
                self._camera_id = camera_id
            assert self._file is not None
            self._file.write(_lines(list(group), numbers))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _lines(rows: Rows, numbers: Numbers) -> bytes:
    return "".join([_line(row, numbers.of(row)) for row in rows]).encode()


def _line(row: TrackRow, number: int) -> str:
    place = "-1,-1,-1" if row.map_x is None or row.map_y is None else f"{row.map_x:.3f},{row.map_y:.3f},0"
    size = f"{row.x2 - row.x1:.2f},{row.y2 - row.y1:.2f}"
    frame = row.global_frame_index + 1
    return f"{frame},{number},{row.x1:.2f},{row.y1:.2f},{size},{row.confidence:.4f},{place}\n"
