"""The bytes of a binary COPY, against PostgreSQL's description of the format."""

from __future__ import annotations

import struct

import numpy as np

from orchestrator.history.copy_format import encode_rows, vectors


def test_a_row_is_counts_lengths_and_big_endian_values() -> None:
    encoded = encode_rows(2, [np.array([1, 2], np.int32), b"c01", None, np.array([0.5, -2.0], np.float64)])

    expected = b"".join(
        struct.pack(">hii", 4, 4, number) + struct.pack(">i", 3) + b"c01" + struct.pack(">iid", -1, 8, value)
        for number, value in ((1, 0.5), (2, -2.0))
    )
    assert encoded == expected


def test_an_empty_text_has_a_length_and_no_bytes() -> None:
    assert encode_rows(1, [b"", np.array([7], np.int32)]) == struct.pack(">hiii", 2, 0, 4, 7)


def test_a_constant_keeps_its_zero_bytes() -> None:
    assert encode_rows(1, [b"\0a\0\0"]) == struct.pack(">hi", 1, 4) + b"\0a\0\0"


def test_a_vector_has_its_dimension_before_its_values() -> None:
    encoded = encode_rows(1, [vectors(np.array([[1.0, -0.5, 3.0]], np.float32))])

    assert encoded == struct.pack(">hihhfff", 1, 16, 3, 0, 1.0, -0.5, 3.0)


def test_no_rows_are_no_bytes() -> None:
    assert encode_rows(0, [np.zeros(0, np.int32), b"c01", None]) == b""
