from __future__ import annotations

import pytest

from orchestrator.identity.names import STRAY_TICKS, Names


def named(*tracks: tuple[int, int, int, int, int]) -> Names:
    """Names of (camera, track id, first, last, person)."""
    names = Names()
    for camera, track, first, last, person in tracks:
        names.saw([(camera, track)], [first], [last])
        names.give((camera, track), person)
    return names


def test_joining_two_people_renames_the_younger_s_tracks():
    names = named((0, 1, 0, 10, 4), (0, 2, 20, 30, 7), (1, 1, 0, 30, 7), (2, 1, 0, 9, 8))
    assert names.join(4, 7, {(0, 2), (1, 1)})
    assert names.people == {(0, 1): 4, (0, 2): 4, (1, 1): 4, (2, 1): 8}
    assert not names.tracks[7]


@pytest.mark.parametrize(("live", "joined"), [((0, 2), (0, 2)), ((0, 1), (0, 1))])
def test_of_two_tracks_that_one_camera_saw_at_once_the_one_in_view_is_the_person_s(live, joined):
    names = named((0, 1, 0, 25, 4), (0, 2, 20, 30, 7), (1, 1, 0, 30, 7))
    assert names.join(4, 7, {live, (1, 1)})
    assert [key for key, person in names.people.items() if person == 4] == [joined, (1, 1)]
    assert sorted(names.people.values()) == [4, 4, 7]


def test_people_whose_tracks_cannot_be_shared_out_stay_two():
    names = named((0, 1, 0, 25, 4), (0, 2, 20, 40, 7), (0, 3, 24, 50, 4))
    before = dict(names.people)
    assert not names.join(4, 7, {(0, 2)})
    assert names.people == before


def test_what_a_forgotten_person_needs_is_their_name_alone():
    names = named((0, 1, 0, 25, 4), (0, 2, 20, 40, 7))
    names.saw([(0, 3)], [2], [3])
    names.forget([4], STRAY_TICKS + 10)
    assert names.people == {(0, 1): 4, (0, 2): 7}
    assert (list(names.spans), list(names.tracks)) == ([(0, 2)], [7])
    again = Names.from_columns(names.columns())
    assert again == names


def test_tracks_that_were_told_under_another_name_are_known():
    names = named((0, 1, 0, 25, 4), (0, 2, 20, 40, 7), (1, 1, 0, 30, 5))
    names.give((0, 1), 4)
    assert not names.renamed
    names.give((0, 1), 7)
    names.take((1, 1))
    names.take((1, 9))
    assert names.renamed == {(0, 1), (1, 1)}
    assert Names.from_columns(names.columns()).renamed == names.renamed
