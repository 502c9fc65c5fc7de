"""api/ranges.py: conditions and ranges as RFC 9110 wants them."""

from __future__ import annotations

import pytest

from api.ranges import MAX_RANGES, NotModified, Part, PreconditionFailed, Unsatisfiable, Whole, parse_range, select

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ((0, 0),)),
        ("bytes=0-", ((0, 99),)),
        ("bytes=90-1000", ((90, 99),)),
        ("bytes=-10", ((90, 99),)),
        ("bytes=-1000", ((0, 99),)),
        ("Bytes = 5-6 , 8-9", ((5, 6), (8, 9))),
        ("bytes=0-1,500-", ((0, 1),)),
        (f"bytes=0-{10**18}", ((0, 99),)),
    ],
)
def test_ranges_inside_the_file(header, expected):
    assert parse_range(header, 100) == Part(expected)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=100-200,300-", f"bytes={10**18}-"])
def test_ranges_beyond_the_end(header):
    assert parse_range(header, 100) == Unsatisfiable()


def test_no_range_of_an_empty_file_can_be_had():
    assert parse_range("bytes=0-", 0) == Unsatisfiable()
    assert parse_range("bytes=-5", 0) == Unsatisfiable()


@pytest.mark.parametrize(
    "header",
    ["bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-2-3", "frames=0-1", "bytes=0x1-2", "bytes=²-3",
     "bytes=" + ",".join("0-1" for _ in range(MAX_RANGES + 1)), "bytes=" + "9" * 30 + "-"],
)  # fmt: skip
def test_what_cannot_be_read_is_ignored(header):
    assert parse_range(header, 100) == Whole()


def test_the_header_of_a_part_reads_back_as_the_same_part():
    part = Part(((0, 4), (10, 99)))
    assert parse_range(part.header, 100) == part


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Whole()),
        ({"range": "bytes=0-1"}, Part(((0, 1),))),
        ({"range": "bytes=0-1", "if-range": ETAG}, Part(((0, 1),))),
        ({"range": "bytes=0-1", "if-range": '"old"'}, Whole()),
        ({"range": "bytes=0-1", "if-range": "W/" + ETAG}, Whole()),
        ({"range": "bytes=0-1", "if-range": "Mon, 05 Jan 2026 09:00:00 GMT"}, Whole()),
        ({"if-none-match": ETAG}, NotModified()),
        ({"if-none-match": '"x", W/"abc"', "range": "bytes=0-1"}, NotModified()),
        ({"if-none-match": "*"}, NotModified()),
        ({"if-none-match": '"x"'}, Whole()),
        ({"if-match": '"x"', "if-none-match": ETAG}, PreconditionFailed()),
        ({"if-match": "W/" + ETAG}, PreconditionFailed()),
        ({"if-match": "*"}, Whole()),
    ],
)
def test_conditions_come_before_ranges(headers, expected):
    assert select(headers, ETAG, 100) == expected


def test_head_has_no_ranges():
    assert select({"range": "bytes=500-"}, ETAG, 100, ranges=False) == Whole()


def test_a_piece_is_the_beginning_of_a_single_range():
    assert Part(((10, 99),)).at_most(20) == Part(((10, 29),))
    assert Part(((90, 99),)).at_most(20) == Part(((90, 99),))
    several = Part(((0, 50), (60, 99)))
    assert several.at_most(20) == several
