"""Rows as CSV or Parquet, made piece by piece, so that the size of a whole does not matter."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from orchestrator.history.queries import Rows, TrackRow

GROUP_ROWS = 50_000
"""Rows of a Parquet row group: what is held at once."""

_TYPES: Mapping[str, Any] = {
    "task_id": pa.string(),
    "camera_id": pa.dictionary(pa.int32(), pa.string()),
    "track_id": pa.int32(),
    "global_id": pa.string(),
    "global_frame_index": pa.int32(),
    "time": pa.timestamp("us", tz="UTC"),
    "media_time_s": pa.float64(),
    **dict.fromkeys(("x1", "y1", "x2", "y2", "confidence"), pa.float32()),
    "map_x": pa.float64(),
    "map_y": pa.float64(),
}
SCHEMA = pa.schema([(name, _TYPES[name]) for name in TrackRow._fields])


class TableFormat(StrEnum):
    """How a table is written."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """What goes into Content-Type."""
        return "text/csv; charset=utf-8" if self is TableFormat.CSV else "application/vnd.apache.parquet"


class _Writer(Protocol):
    def write(self, rows: Rows) -> None:
        """Adds rows."""

    def close(self) -> None:
        """Writes what belongs at the end."""


async def encode(blocks: AsyncIterator[Rows], table_format: TableFormat) -> AsyncGenerator[bytes, None]:
    """A whole file of ``TrackRow``'s columns, in pieces; encoding runs in a thread."""
    sink = Sink()
    writer: _Writer = _Csv(sink) if table_format is TableFormat.CSV else _Parquet(sink)
    async for rows in blocks:
        await asyncio.to_thread(writer.write, rows)
        if piece := sink.take():
            yield piece
    await asyncio.to_thread(writer.close)
    yield sink.take()


class Sink(io.RawIOBase):
    """A file that is only written to, and emptied now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._position

    def write(self, data: Any) -> int:
        """Takes a copy of the data."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class _Csv:
    """Times as RFC 3339 has them, UTC."""

    def __init__(self, sink: Sink) -> None:
        schema = pa.schema([field if field.name != "time" else ("time", pa.string()) for field in SCHEMA])
        schema = schema.set(schema.get_field_index("camera_id"), pa.field("camera_id", pa.string()))
        self._schema = schema
        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        self._writer = pyarrow.csv.CSVWriter(sink, schema, write_options=options)

    def write(self, rows: Rows) -> None:
        """Adds rows."""
        table = _table(rows)
        times = pc.strftime(table["time"], format="%Y-%m-%dT%H:%M:%SZ")
        table = table.set_column(SCHEMA.get_field_index("time"), "time", times)
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        """Writes what belongs at the end."""
        self._writer.close()


class _Parquet:
    """Row groups of ``GROUP_ROWS``."""

    def __init__(self, sink: Sink) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(sink, SCHEMA, compression="zstd")
        self._waiting: list[Any] = []

    def write(self, rows: Rows) -> None:
        """Adds rows."""
        self._waiting.append(_table(rows))
        if sum(table.num_rows for table in self._waiting) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Writes what belongs at the end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks())
            self._waiting.clear()


def _table(rows: Rows) -> Any:
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [_array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _array(values: Sequence[Any], kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)
