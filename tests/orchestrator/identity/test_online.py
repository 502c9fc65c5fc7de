from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.identity.online import IdentityAssociator, IdentityRules, make_topology
from orchestrator.identity.tables import NOBODY, Sightings

RATE = 12.0
NOWHERE = (np.nan, np.nan)


def associator(overlaps=(), exits=(), cameras=("a", "b", "c")) -> IdentityAssociator:
    topology = make_topology(cameras, overlaps, exits)
    return IdentityAssociator(len(cameras), IdentityRules(RATE, 0.65, 0.9, 10, topology))


def look(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


RED, BLUE = look(1, 0, 0), look(0, 1, 0)


def see(*rows: tuple[int, int, tuple[float, float]] | tuple[int, int, tuple[float, float], np.ndarray]) -> Sightings:
    """Sightings of (camera, track id, place, look); looks may be left out of all."""
    places = np.array([row[2] for row in rows], float).reshape(-1, 2)
    spread = np.where(np.isnan(places[:, :1]), np.nan, [0.1, 0.0, 0.1])
    return Sightings(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        places,
        spread,
        np.zeros(len(rows), np.int64),
        np.array([row[3] for row in rows if len(row) == 4], np.float32).reshape(len(rows), -1),
        np.ones(len(rows), np.bool_),
    )


def names(subject: IdentityAssociator, ticks: range, *rows) -> list[int]:
    """The names after seeing the same sightings at every tick."""
    found = [subject.update(tick, see(*rows)).tolist() for tick in ticks]
    return found[-1]


def test_a_track_is_named_after_a_few_ticks_and_keeps_its_name():
    subject = associator()
    found = [subject.update(tick, see((0, 1, (3, 4)))).tolist()[0] for tick in range(30)]
    assert found[0] == NOBODY
    assert found[6:] == [0] * 24
    assert subject.names == {(0, 1): 0}


def test_two_cameras_at_one_place_see_one_person():
    assert names(associator(), range(10), (0, 1, (3, 4)), (1, 1, (3.3, 3.9)), (2, 5, (3.1, 4.2))) == [0, 0, 0]


def test_two_tracks_of_one_camera_are_two_people_however_close():
    found = names(associator(), range(20), (0, 1, (3, 4), RED), (0, 2, (3.1, 4), RED), (1, 1, (3, 4), RED))
    assert found[0] != found[1]
    assert found[2] in found[:2]


def test_people_are_paired_together_and_not_one_by_one():
    """b1 stands nearest to a1, but b2 fits nobody else: the assignment has to see both."""
    subject = associator()
    names(subject, range(10), (0, 1, (0, 0)), (0, 2, (0.8, 0)))
    found = names(subject, range(10, 22), (0, 1, (0, 0)), (0, 2, (0.8, 0)), (1, 1, (0.35, 0)), (1, 2, (-0.45, 0)))
    assert found == [0, 1, 1, 0]


def test_apart_on_the_map_are_two_people_even_if_they_look_alike():
    assert names(associator(), range(20), (0, 1, (3, 4), RED), (1, 1, (9, 4), RED)) == [0, 1]


def test_looks_tell_neighbours_apart():
    subject = associator()
    names(subject, range(10), (0, 1, (3, 4), RED), (0, 2, (4, 4), BLUE))
    found = names(subject, range(10, 22), (0, 1, (3, 4), RED), (0, 2, (4, 4), BLUE), (1, 1, (3.5, 4), BLUE))
    assert found == [0, 1, 1]


def test_looks_alone_name_where_there_is_no_map():
    subject = associator()
    names(subject, range(10), (0, 1, NOWHERE, RED), (0, 2, NOWHERE, BLUE))
    assert names(subject, range(40, 60), (1, 1, NOWHERE, BLUE), (1, 2, NOWHERE, RED)) == [1, 0]


def test_nothing_to_go_on_is_someone_new():
    subject = associator()
    assert names(subject, range(20), (0, 1, NOWHERE)) == [0]
    assert names(subject, range(40, 60), (1, 1, NOWHERE)) == [1]


@pytest.mark.parametrize(("away", "expected"), [((4.5, 4), 0), ((30, 4), 1)])
def test_someone_who_vanished_comes_back_within_walking_distance(away, expected):
    subject = associator()
    names(subject, range(24), (0, 1, (3, 4), RED))
    assert names(subject, range(48, 72), (1, 1, away, RED)) == [expected]


def test_someone_who_looks_different_is_not_who_vanished():
    subject = associator()
    names(subject, range(24), (0, 1, (3, 4), RED))
    assert names(subject, range(72, 96), (1, 1, (5, 4), BLUE)) == [1]


def test_a_place_alone_brings_back_who_has_just_vanished_but_not_after_minutes():
    subject = associator()
    names(subject, range(24), (0, 1, (3, 4)))
    assert names(subject, range(36, 60), (0, 2, (3.2, 4))) == [0]
    assert names(subject, range(5000, 5024), (0, 3, (3.2, 4))) == [1]


def test_cameras_that_do_not_overlap_cannot_see_one_person_at_once():
    rows = (0, 1, NOWHERE, RED), (1, 1, NOWHERE, RED), (2, 1, NOWHERE, RED)
    assert names(associator(overlaps=[("a", "b")]), range(20), *rows) == [0, 0, 1]


def test_an_exit_rule_leads_to_its_camera():
    def third(exits):
        subject = associator(exits=exits)
        names(subject, range(24), (0, 1, NOWHERE, RED))
        faint = look(0.63, 0.78, 0)
        return names(subject, range(48, 72), (2, 1, NOWHERE, faint))

    assert third([]) == [1]
    assert third([("a", 0, "c")]) == [0]
    assert third([("a", 0, "b")]) == [1]


def test_a_name_given_too_early_is_corrected():
    """Someone seems to appear elsewhere, cut by the frame's edge, then stands where another camera sees them."""
    subject = associator()
    names(subject, range(24), (0, 1, (3, 4)))
    assert names(subject, range(24, 32), (0, 1, (3, 4)), (1, 1, (6, 4))) == [0, 1]
    assert names(subject, range(32, 60), (0, 1, (3, 4)), (1, 1, (3.1, 4))) == [0, 0]
    assert names(subject, range(60, 90), (0, 1, (3, 4)), (2, 1, (6, 4))) == [0, 2]


def test_a_name_stays_after_its_time_of_correction():
    subject = associator()
    names(subject, range(60), (0, 1, (3, 4)), (1, 1, (9, 4)))
    assert names(subject, range(60, 120), (0, 1, (3, 4)), (1, 1, (3.1, 4))) == [0, 1]


def test_a_revived_track_gives_its_name_up_to_the_one_that_carried_on():
    subject = associator()
    names(subject, range(24), (0, 1, (3, 4), RED))
    assert names(subject, range(36, 60), (0, 2, (3.2, 4), RED)) == [0]
    found = names(subject, range(60, 80), (0, 2, (3.2, 4), RED), (0, 1, (3.9, 4), RED))
    assert found == [0, 1]


def test_the_embedding_is_refreshed_every_ten_ticks_with_its_memory():
    subject = associator()
    changed = []
    for tick in range(40):
        subject.update(tick, see((0, 1, (3, 4), RED if tick < 10 else BLUE)))
        people, _, looks = subject.refreshed()
        changed += [(tick, looks[0])] if len(people) else []
    ticks = [tick for tick, _ in changed]
    assert np.diff(ticks).tolist() == [10] * (len(ticks) - 1)
    first, last = changed[0][1], changed[-1][1]
    assert first @ RED > last @ RED > 0.9


def walk(subject: IdentityAssociator, ticks: range) -> list[list[int]]:
    found = []
    for tick in ticks:
        x = tick / 20
        rows = [(0, 1, (x, 0), RED), (1, 1, (x + 0.2, 0.1), RED), (0, 2, (8 - x, 1), BLUE)]
        rows += [(2, tick // 50, (8 - x, 1.3), BLUE)] if tick % 50 > 10 else []
        found.append(subject.update(tick, see(*rows)).tolist())
    return found


def test_a_restored_associator_goes_on_as_the_unbroken_one():
    unbroken = associator()
    expected = walk(unbroken, range(200))
    before, after = associator(), associator()
    found = walk(before, range(90))
    after.restore(before.snapshot())
    assert found + walk(after, range(90, 200)) == expected
    assert after.names == unbroken.names


def test_a_state_that_is_none_is_refused():
    for harmful in (b"", b"hello", np.arange(3).tobytes()):
        with pytest.raises(ValueError):
            associator().restore(harmful)


def test_what_cannot_stand_there_may_be_somebody_known_and_is_nobody_new():
    subject = associator()
    for tick in range(40):
        seen = see((0, 1, (3, 4)), (1, 1, (3.1, 4)), (1, 2, (8, 8)))
        found = subject.update(tick, replace(seen, upright=np.array([True, False, False]))).tolist()
    assert found == [0, 0, NOBODY]


def test_two_names_become_one_when_they_keep_standing_on_one_spot():
    subject = associator()
    assert names(subject, range(10), (0, 1, (3, 4)), (1, 1, (6, 4))) == [0, 1]
    for tick in range(10, 40):  # beyond the time in which a name can be corrected
        subject.update(tick, see((0, 1, (3, 4)), (1, 1, (6, 4))))
    found = [subject.update(tick, see((0, 1, (3, 4)), (1, 1, (3.2, 4)))).tolist() for tick in range(60, 160)]
    assert found[0] == [0, 1]
    assert found[-1] == [0, 0]
    assert subject.names == {(0, 1): 0, (1, 1): 0}


def test_two_whom_a_camera_sees_side_by_side_stay_two():
    subject = associator()
    rows = ((0, 1, (3, 4)), (0, 2, (3.4, 4)), (1, 1, (3.2, 4)), (1, 2, (3.4, 4.1)))
    found = names(subject, range(200), *rows)
    assert sorted(found) == [0, 0, 1, 1]


def test_evidence_for_doubles_goes_through_a_snapshot():
    first, second = associator(), associator()
    for tick in range(40):
        first.update(tick, see((0, 1, (3, 4)), (1, 1, (6, 4))))
    for tick in range(60, 75):
        first.update(tick, see((0, 1, (3, 4)), (1, 1, (3.2, 4))))
    second.restore(first.snapshot())
    for tick in range(75, 160):
        seen = see((0, 1, (3, 4)), (1, 1, (3.2, 4)))
        assert first.update(tick, seen).tolist() == second.update(tick, seen).tolist()
    assert second.names == {(0, 1): 0, (1, 1): 0}
