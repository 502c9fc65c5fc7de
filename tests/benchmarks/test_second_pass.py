"""The second pass on a recording as its benchmark makes them."""

from __future__ import annotations

from benchmarks.second_pass import measure


def test_people_of_a_busy_hall_are_told_apart():
    found = measure(150)
    assert found.tracklets >= 150
    assert found.people > 5
    assert found.right > 0.95
