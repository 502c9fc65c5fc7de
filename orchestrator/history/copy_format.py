"""PostgreSQL's binary COPY format built from numpy columns, without a loop over rows.

A row is its number of fields (int16) and each field's length (int32) and value, all big-endian: rows whose texts are
equally long are one packed structured array. See PostgreSQL's manual, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.values import Float32

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_NULL = -1

Column = NDArray[Any] | bytes | None
"""One value a row; or one for all rows, already in PostgreSQL's form; or NULL in all of them."""


def encode_rows(count: int, columns: Sequence[Column]) -> bytes:
    """``count`` rows of a binary COPY, without its header and trailer.

    Args:
        count: number of rows N.
        columns: in the order of the table's columns; arrays are [N] of int32, int64, float32, float64, bool or a
            structured type that is big-endian already.
    """
    parts: list[tuple[str, Any]] = [("fields", ">i2")]
    for index, column in enumerate(columns):
        parts.append((f"length{index}", ">i4"))
        if column is not None:
            parts.append((f"value{index}", _dtype(column)))
    rows = np.empty(count, np.dtype(parts))
    rows["fields"] = len(columns)
    for index, column in enumerate(columns):
        rows[f"length{index}"] = _NULL if column is None else _dtype(column).itemsize
        if column is not None:
            rows[f"value{index}"] = column
    return rows.tobytes()


def vectors(values: Float32) -> NDArray[Any]:
    """[N, D] as [N] values of pgvector's type ``vector``: dimension (int16), a zero (int16) and D float32."""
    dimension = values.shape[1]
    packed = np.empty(len(values), np.dtype([("dimension", ">i2"), ("unused", ">i2"), ("values", ">f4", dimension)]))
    packed["dimension"] = dimension
    packed["unused"] = 0
    packed["values"] = values
    return packed


def _dtype(column: NDArray[Any] | bytes) -> np.dtype[Any]:
    return np.dtype(f"V{len(column)}") if isinstance(column, bytes) else column.dtype.newbyteorder(">")
