"""What became of people's boxes, where each mistake was made on purpose; and where the pictures mark it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy.associations import oracle
from benchmarks.accuracy.mistakes import Mistake, mistakes
from benchmarks.accuracy.picture import name_changes, save_picture
from demo.scores import BoxTable
from orchestrator.recorded.results import NOBODY, fuse
from tests.benchmarks.accuracy.test_answers import TICKS, scene


def shares(item, found):
    return {kind: share for kind, share in mistakes(item, found).items() if share}


def with_names(found, change):
    """The oracle's answer with the names of camera a's boxes changed: (ticks, people) -> people."""
    return {**found, "a": replace(found["a"], people=change(found["a"].ticks, found["a"].people))}


def test_the_oracle_makes_no_mistake():
    item = scene(strangers=9)
    assert shares(item, oracle(item)) == {Mistake.RIGHT: 1}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda ticks, people: np.where((ticks >= 60) & (people == 1), 9, people), Mistake.SECOND_BESIDE),
        (lambda ticks, people: np.where((ticks >= 60) & (people == 1), 2, people), Mistake.OTHERS_BESIDE),
        (lambda ticks, people: np.where((ticks >= 60) & (people == 1), NOBODY, people), Mistake.UNNAMED),
    ],
)
def test_a_wrong_name_in_one_camera_is_told_by_whose_it_is(change, kind):
    item = scene()
    share = 20 / (4 * TICKS)
    assert shares(item, with_names(oracle(item), change)) == pytest.approx({Mistake.RIGHT: 1 - share, kind: share})


@pytest.mark.parametrize(("gone", "kind"), [((40, 60), Mistake.SECOND_SOON), ((32, 66), Mistake.SECOND_LATE)])
def test_a_second_name_is_told_by_how_long_the_person_was_gone(gone, kind):
    item, found = scene(), {}
    for name, tracks in oracle(item).items():
        kept = (tracks.people == 2) | (tracks.ticks < gone[0]) | (tracks.ticks >= gone[1])
        columns = {column: getattr(tracks, column)[kept] for column in tracks.__slots__}
        again = np.where((columns["ticks"] >= gone[1]) & (columns["people"] == 1), 9, columns["people"])
        found[name] = type(tracks)(**columns | {"people": again, "track_ids": again})
    told = shares(item, found)
    assert told[kind] == pytest.approx((TICKS - gone[1]) / (2 * TICKS))
    assert told[Mistake.UNTRACKED] == pytest.approx((gone[1] - gone[0]) / (2 * TICKS))


def test_a_track_that_goes_over_and_boxes_of_nobody_are_told():
    item = scene(strangers=8)
    found = {}
    for name, tracks in oracle(item).items():
        swapped = (tracks.ticks >= 60) & (tracks.people == 2)
        kept = ~((tracks.ticks >= 60) & (tracks.people == 1))
        columns = {column: getattr(tracks, column)[kept] for column in tracks.__slots__}
        columns["people"] = columns["track_ids"] = np.where(swapped, 1, tracks.people)[kept]
        columns["boxes"] = columns["boxes"].copy()
        columns["boxes"][:3] += 5000
        found[name] = type(tracks)(**columns)
    told = shares(item, found)
    assert told[Mistake.SWAPPED] == pytest.approx(2 * 20 / (4 * TICKS))
    assert told[Mistake.INVENTED] == pytest.approx(2 * 3 / (4 * TICKS))


def test_where_only_places_are_known_the_boxes_near_somebody_count():
    item = scene()
    placed = replace(item, boxes={})
    found = with_names(oracle(item), lambda ticks, people: np.where((ticks >= 60) & (people == 1), 9, people))
    told = shares(placed, found)
    assert told[Mistake.SECOND_BESIDE] == pytest.approx(20 / (4 * TICKS), abs=0.02)
    assert Mistake.UNDETECTED not in told


def test_the_picture_marks_each_change_of_a_name(tmp_path):
    item = scene()
    found = {
        name: replace(tracks, people=np.where((tracks.ticks >= 40) & (tracks.people == 1), 3, tracks.people))
        for name, tracks in oracle(item).items()
    }
    marks = name_changes(item.ground.table, BoxTable(*fuse(found)))
    assert marks == pytest.approx(np.array([[1 + 0.08 * 40, 3.0]]), abs=0.05)
    save_picture(tmp_path / "pictures" / "hall.png", item, {"online": found, "oracle": oracle(item)})
    assert (tmp_path / "pictures" / "hall.png").read_bytes().startswith(b"\x89PNG")
