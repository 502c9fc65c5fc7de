from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.identity.online import IdentityAssociator, IdentityRules
from orchestrator.identity.returning import Forgotten
from orchestrator.identity.tables import NOBODY, VIEWS, Sightings
from orchestrator.identity.topology import make_topology

RATE = 12.0
NOWHERE = (np.nan, np.nan)


def associator(overlaps=(), exits=(), cameras=("a", "b", "c"), most_people=1000, recalls=False) -> IdentityAssociator:
    topology = make_topology(cameras, overlaps, exits)
    return IdentityAssociator(len(cameras), IdentityRules(RATE, 0.65, 0.9, 10, topology, most_people, recalls))


def look(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


RED, BLUE, GREEN = look(1, 0, 0), look(0, 1, 0), look(0, 0, 1)


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
        np.ones(len(rows), np.float32),
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


def test_a_person_has_a_view_from_each_side_refreshed_every_ten_ticks():
    subject = associator()
    changed = []
    for tick in range(60):
        subject.update(tick, see((0, 1, (3, 4), RED if tick < 20 else BLUE)))
        views = subject.refreshed()
        changed += [(tick, number, look) for number, look in zip(views.views.tolist(), views.looks, strict=True)]
    assert np.diff([tick for tick, _, _ in changed]).tolist() == [10] * (len(changed) - 1)
    assert {number: tuple(look) for _, number, look in changed} == {0: tuple(RED), 1: tuple(BLUE)}
    assert names(subject, range(100, 124), (1, 7, NOWHERE, BLUE), (2, 4, NOWHERE, GREEN)) == [0, 1]
    assert names(subject, range(200, 224), (1, 8, NOWHERE, RED)) == [0]


def test_views_are_bounded_in_number_and_a_blurred_look_hardly_moves_them():
    subject = associator()
    shades = np.eye(12, dtype=np.float32)
    for tick, shade in enumerate(np.repeat(shades, 20, axis=0)):
        subject.update(tick, replace(see((0, 1, (3, 4), shade)), quality=np.ones(1, np.float32)))
    views = subject._people.views[0]
    assert len(views) == VIEWS
    assert np.linalg.norm(views, axis=1) == pytest.approx(1, abs=1e-3)
    first = associator()
    for tick in range(40):
        blurred = tick > 10
        row = see((0, 1, (3, 4), look(1, 0.4, 0) if blurred else RED))
        first.update(tick, replace(row, quality=np.full(1, 0.05 if blurred else 1, np.float32)))
    assert first._people.views[0, 0] @ RED > 0.999


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


def test_no_two_tracks_of_one_camera_that_were_seen_at_once_have_one_name_in_the_end():
    """Two names become one person's; the track that both had in camera a at one time stays with the other."""
    subject = associator()
    names(subject, range(40), (0, 1, (3, 4)), (1, 1, (8, 4)))
    names(subject, range(40, 60), (0, 1, (3, 4)), (0, 2, (8, 4)), (1, 1, (8, 4)))
    found = names(subject, range(60, 300), (0, 1, (8, 4)), (1, 1, (8, 4.1)), (2, 1, (8, 3.9)))
    assert found[0] == found[1]
    assert subject.names[0, 1] != subject.names[0, 2]


def crowd(subject: IdentityAssociator, people: int, dimension: int) -> int:
    """One person after the other walks through a camera, each for five ticks; the most bytes of a state on the way."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(people, dimension)).astype(np.float32)
    largest = 0
    for person in range(people):
        for tick in range(5 * person, 5 * person + 5):
            subject.update(tick, see((0, person, NOWHERE, look(*looks[person]))))
        largest = max(largest, len(subject.snapshot())) if person % 100 == 99 else largest
    return largest


def test_people_in_memory_are_bounded_in_number_and_bytes():
    few, many = associator(most_people=50), associator(most_people=50)
    smaller, larger = crowd(few, 200, 64), crowd(many, 1200, 64)
    assert len(many._people) <= 50
    assert len(set(many.names.values())) > 1100
    names_of_tracks = 4 * 8 * (1200 - 200)
    assert larger - smaller < names_of_tracks + 4096
    assert len(many._names.spans) < 700


def test_whoever_is_in_view_is_never_forgotten():
    subject = associator(most_people=10)
    rows = [(0, track, (2.0 * track, 4.0)) for track in range(1, 21)]
    first = names(subject, range(24), *rows)
    for tick in range(24, 600):
        found = subject.update(tick, see(*rows, (1, 100 + tick // 12, (300 + 3.0 * tick, 4)))).tolist()
    assert found[:20] == first


def test_who_may_be_somebody_forgotten_has_no_name_for_a_while_and_is_asked_for_again_after_a_restart():
    subject = associator(most_people=1, recalls=True)
    for number, colour in enumerate((RED, BLUE, GREEN)):
        names(subject, range(40 * number, 40 * number + 10), (0, number, NOWHERE, colour))
    asked = {}
    for tick in range(120, 128):
        assert subject.update(tick, see((0, 3, NOWHERE, RED))).tolist() == [NOBODY]
        asked |= {each.person: each.look for each in subject.newcomers()}
    restored = associator(most_people=1, recalls=True)
    restored.restore(subject.snapshot())
    assert 3 in asked
    assert [each.person for each in restored.newcomers()] == [3]
    red = Forgotten(0, RED[None], np.ones(1), np.zeros(1, np.int64), 9, 0, NOWHERE)
    for each, answers, expected in ((subject, {}, 3), (restored, {3: [red]}, 0)):
        each.recall(answers)
        found = [each.update(tick, see((0, 3, NOWHERE, RED))).tolist()[0] for tick in range(128, 140)]
        assert found == sorted(found)
        assert found[-1] == expected
    assert restored.names[0, 3] == 0
