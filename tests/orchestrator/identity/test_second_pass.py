"""The second pass on small recordings whose truth is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from orchestrator.identity.fragments import cut
from orchestrator.identity.recording import Looks, Recording, Sightings, make_recording
from orchestrator.identity.second_pass import _share_out, look_again
from orchestrator.identity.topology import make_topology

RATE = 10.0
NO_RULES = make_topology(["a", "b"], [], [])
SPREAD = (0.1, 0.0, 0.1)
NEW = object()


class Scene:
    """Tracks written down camera by camera; image boxes are map places at 100 px a metre."""

    def __init__(self, cameras: int = 2) -> None:
        self.rows: list[list[tuple[int, int, float, float, float]]] = [[] for _ in range(cameras)]
        self.looks: list[list[tuple[int, int, np.ndarray]]] = [[] for _ in range(cameras)]
        self.people: dict[tuple[int, int], int] = {}
        self.quadrant = 0

    def track(self, camera, track, frames, place, look=None, person=NEW, stature=0.0):
        """``place(seconds)`` on the map; None without a homography. Online, each track was somebody new."""
        for frame in frames:
            x, y = place(frame / RATE) if place else (np.nan, np.nan)
            self.rows[camera].append((track, frame, x, y, stature))
            if look is not None and frame % 10 == 0:
                self.looks[camera].append((track, frame, look))
        if person is not None:
            self.people.setdefault((camera, track), 100 + len(self.people) if person is NEW else person)

    def recording(self, shuffle: int | None = None) -> Recording:
        return make_recording(
            RATE,
            [self._sightings(rows, shuffle) for rows in self.rows],
            [self._looks(rows) for rows in self.looks],
            self.people.items(),
        )

    def _sightings(self, rows, shuffle):
        table = np.array(rows, float).reshape(-1, 5)
        if shuffle is not None:
            table = np.random.default_rng(shuffle).permutation(table)
        places = table[:, 2:4]
        centre = np.where(np.isfinite(places), places * 100, table[:, :1] * 500)
        boxes = np.hstack([centre - np.array([20, 120]), centre + np.array([20, 0])]).astype(np.float32)
        spread = np.where(np.isfinite(places[:, :1]), SPREAD, np.nan)
        ids, frames = table[:, :2].astype(int).T
        return Sightings(ids, frames, boxes, places, spread, table[:, 4], np.full(len(table), self.quadrant))

    def _looks(self, rows):
        vectors = np.array([look for *_, look in rows], np.float32).reshape(len(rows), -1 if rows else 0)
        ids, frames = np.array([row[:2] for row in rows], int).reshape(-1, 2).T
        return Looks(ids, frames, vectors)


def named(recording, threshold=0.65, topology=NO_RULES):
    """Person by (camera, track, frame) at the ends of every stretch, as a function of these three."""
    found = look_again(recording, topology, threshold)
    table = {}
    for row, (first, last), person in zip(found.tracklets, found.spans.tolist(), found.people.tolist(), strict=True):
        key = int(recording.cameras[row]), int(recording.track_ids[row])
        table.setdefault(key, []).append((first, last, person))

    def person_of(camera, track, frame):
        return next(person for first, last, person in table[camera, track] if first <= frame <= last)

    return person_of, table


def east(y, start=0.0, speed=1.0):
    return lambda seconds: (start + speed * seconds, y)


def west(y, start=10.0, speed=1.0):
    return lambda seconds: (start - speed * seconds, y)


def look(*values):
    vector = np.array(values, float)
    return vector / np.linalg.norm(vector)


def test_one_place_at_one_time_is_one_person_without_any_look():
    scene = Scene()
    for camera in (0, 1):
        scene.track(camera, 1, range(100), east(0))
        scene.track(camera, 2, range(100), east(3))
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 50) == person_of(1, 1, 50) != person_of(0, 2, 50) == person_of(1, 2, 50)


def test_a_track_that_passes_to_another_person_is_parted_where_they_meet():
    scene = Scene()
    one, other = east(0), west(0.1)
    scene.track(0, 1, range(50), one)
    scene.track(0, 2, range(50), other)
    scene.track(0, 1, range(50, 100), other)  # swapped at the meeting, seen by camera 0 alone
    scene.track(0, 2, range(50, 100), one)
    scene.track(1, 7, range(100), one)
    scene.track(1, 8, range(100), other)
    person_of, table = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(1, 7, 5) == person_of(0, 2, 95) == person_of(1, 7, 95)
    assert person_of(0, 2, 5) == person_of(1, 8, 5) == person_of(0, 1, 95)
    spans = [(first, last) for first, last, _ in table[0, 1]]
    assert spans[0][0] == 0
    assert spans[-1][1] == 99
    assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))


def test_who_comes_back_after_a_long_absence_is_known_by_their_looks():
    scene = Scene()
    red, blue = look(1, 0.1, 0), look(0, 0.1, 1)
    scene.track(0, 1, range(50), east(0), red)
    scene.track(0, 2, range(50), east(4), blue)
    scene.track(1, 1, range(3000, 3050), west(0), blue)
    scene.track(1, 2, range(3000, 3050), west(4), red)
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(1, 2, 3005)
    assert person_of(0, 2, 5) == person_of(1, 1, 3005)


def test_looks_alone_serve_where_cameras_have_no_map():
    scene = Scene()
    red, blue = look(1, 0.1, 0), look(0, 0.1, 1)
    for camera in (0, 1):
        scene.track(camera, 1, range(40), None, red if camera else blue)
        scene.track(camera, 2, range(40), None, blue if camera else red)
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(1, 2, 5) != person_of(0, 2, 5) == person_of(1, 1, 5)


def test_nobody_is_in_one_camera_twice_at_once_however_alike():
    scene = Scene()
    same = look(1, 1, 1)
    for track in (1, 2, 3):
        scene.track(0, track, range(60), east(track), same)
    person_of, _ = named(scene.recording())
    assert len({person_of(0, track, 30) for track in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    ("quadrant", "comes_s", "known"), [(2, 20, True), (1, 20, False), (2, 90, False), (2, 0, False)]
)
@pytest.mark.parametrize("mapped", [False, True])
def test_who_leaves_through_an_exit_is_known_where_it_leads(quadrant, comes_s, known, mapped):
    scene = Scene()
    scene.quadrant = quadrant
    begin = 30 + int(comes_s * RATE)
    scene.track(0, 1, range(30), east(0) if mapped else None)
    scene.track(1, 1, range(max(begin - 10, 0), begin + 30), east(40, 9) if mapped else None)
    person_of, _ = named(scene.recording(), topology=make_topology(["a", "b"], [], [("a", 2, "b")]))
    assert (person_of(0, 1, 5) == person_of(1, 1, begin)) == known


def test_nobody_walks_faster_than_people_do():
    scene = Scene()
    same = look(1, 1, 1)
    scene.track(0, 1, range(30), lambda _: (0.0, 0.0), same)
    scene.track(1, 1, range(60, 90), lambda _: (40.0, 0.0), same)  # 40 m in 3 s
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 5) != person_of(1, 1, 65)


@pytest.mark.parametrize(("away_m", "one"), [(5.5, True), (12.0, False)])
def test_a_place_somewhat_out_of_reach_is_rather_a_bad_place_if_the_looks_are_the_same(away_m, one):
    """Hidden feet put people metres off for a while; within a second somebody comes 3.5 m far."""
    scene = Scene()
    scene.track(0, 1, range(50), lambda _: (0.0, 0.0), look(1, 0))
    scene.track(1, 1, range(60, 110), lambda _: (away_m, 0.0), look(1, 0))
    person_of, _ = named(scene.recording())
    assert (person_of(0, 1, 5) == person_of(1, 1, 65)) is one


def test_cameras_without_a_shared_view_do_not_see_one_person_at_once():
    apart = make_topology(["a", "b", "c"], [("a", "c")], [])
    scene = Scene(3)
    same = look(1, 1, 1)
    scene.track(0, 1, range(60), None, same)
    scene.track(1, 1, range(60), None, same)
    scene.track(2, 1, range(60), None, same)
    person_of, _ = named(scene.recording(), topology=apart)
    assert person_of(0, 1, 5) == person_of(2, 1, 5) != person_of(1, 1, 5)


def test_numbers_of_the_online_association_go_on_and_new_ones_follow():
    scene = Scene()
    scene.track(0, 1, range(100), east(0), person=4)
    scene.track(1, 1, range(90), east(0), person=2)
    scene.track(0, 2, range(100), east(3), person=4)  # wrong: two at once in one camera
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(1, 1, 5)
    assert {person_of(0, 1, 5), person_of(0, 2, 5)} <= {2, 4, 5}


def test_the_order_of_rows_does_not_matter():
    scene = Scene()
    for camera in (0, 1):
        for track in range(4):
            scene.track(camera, track, range(80), east(track, speed=0.5 + 0.3 * track), look(1, track, 0))
    results = [look_again(scene.recording(shuffle), NO_RULES, 0.65) for shuffle in (None, 1, 2)]
    for other in results[1:]:
        assert np.array_equal(results[0].people, other.people)
        assert np.array_equal(results[0].spans, other.spans)


def test_a_recording_without_anybody_is_an_answer():
    assert len(look_again(Scene().recording(), NO_RULES, 0.65)) == 0


@pytest.mark.parametrize("frames", [range(1), range(2)])
def test_a_glimpse_that_nobody_named_stays_without_a_name(frames):
    scene = Scene()
    scene.track(0, 1, frames, east(0), person=None)
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 0) == -1


def test_a_second_box_of_somebody_for_a_moment_does_not_part_them_and_has_no_name():
    scene = Scene()
    walk = east(0)
    for track, frames in ((1, range(60)), (2, range(50, 56)), (3, range(64, 120))):
        scene.track(0, track, frames, walk, person=0)  # the track ends, and a second box begins before it does
    scene.track(1, 9, range(120), walk, person=0)
    person_of, table = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(0, 3, 100) == person_of(1, 9, 5) == 0
    assert {person for *_, person in table[0, 2]} == {-1}


def test_nobody_has_two_boxes_of_one_camera_at_once_whatever_the_evidence():
    rng = np.random.default_rng(3)
    scene = Scene()
    for track in range(12):
        begin, length = rng.integers(0, 60, 2)
        frames = [frame for frame in range(begin, begin + length + 2) if rng.random() < 0.6]
        scene.track(int(rng.integers(2)), track, frames, east(0, speed=0.2), look(1, 0.1 * track), person=0)
    recording = scene.recording()
    _, table = named(recording)
    seen = set()
    for camera, rows in enumerate(scene.rows):
        for track, frame, *_ in rows:
            person = next(p for first, last, p in table[camera, track] if first <= frame <= last)
            assert person == -1 or (camera, frame, person) not in seen
            seen.add((camera, frame, person))


def test_who_sits_has_no_place_and_stays_with_whom_they_had():
    sits = np.log(0.4)
    scene = Scene()
    scene.track(0, 1, range(60), east(0, speed=0.1), person=3)
    scene.track(0, 2, range(60), east(8, speed=0.1), person=4)
    scene.track(1, 1, range(60), east(4, speed=0), person=3, stature=sits)  # two metres and more from everybody
    scene.track(1, 2, range(60), east(8, speed=0), person=3, stature=sits)  # would be 4 by the place; 3 is there twice
    scene.track(1, 3, range(60), east(20, speed=0), person=5, stature=sits)  # nobody who stands has this name
    person_of, _ = named(scene.recording())
    assert (person_of(0, 1, 30), person_of(0, 2, 30), person_of(1, 1, 30)) == (3, 4, 3)
    assert (person_of(1, 2, 30), person_of(1, 3, 30)) == (-1, -1)


@pytest.mark.parametrize("parts", [(0.0, np.nan), (np.nan, 0.0), (0.1, np.log(0.5))])
def test_who_was_seen_to_stand_once_is_a_person(parts):
    scene = Scene()
    for part, stature in enumerate(parts):  # with a pause, after which the track is looked at anew
        scene.track(0, 1, range(40 * part, 40 * part + 20), east(0, speed=0), person=3, stature=stature)
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 5) == person_of(0, 1, 55) == 3


def test_who_sits_still_is_known_again_in_the_same_place_without_any_look():
    scene = Scene()
    for track, x in ((1, 2.0), (2, 2.1), (3, 9.0)):
        scene.track(0, track, range(track * 600, track * 600 + 60), east(0, x, speed=0))
    person_of, _ = named(scene.recording())
    assert person_of(0, 1, 605) == person_of(0, 2, 1205) != person_of(0, 3, 1805)


def test_weak_evidence_leaves_two_under_the_name_that_they_had():
    def found(persons):
        scene = Scene()
        for track, person in enumerate(persons):  # the second begins 9 m off after a minute: as likely him as not
            scene.track(0, track, range(700 * track, 700 * track + 50), east(0, 9.0 * track), person=person)
        person_of, _ = named(scene.recording())
        return person_of(0, 0, 5), person_of(0, 1, 705)

    assert found([3, 3]) == (3, 3)
    assert found([3, 5]) == (3, 5)
    assert found([3, None]) == (3, -1)


def test_a_track_is_cut_at_the_moments_from_which_it_looks_like_somebody_else():
    scene = Scene()
    for track, colours in ((1, "rrrrrr"), (2, "rrbbbb")):
        for part, colour in enumerate(colours):  # no box is near, nobody jumps
            own = look(1, 0.1, 0) if colour == "r" else look(0, 0.1, 1)
            scene.track(0, track, range(20 * part, 20 * part + 20), east(5 * track), own)
    pieces = cut(scene.recording(), 0.65)
    assert [(int(row), *span) for row, span in zip(pieces.tracklets, pieces.spans.tolist(), strict=True)] == [
        (0, 0, 119),
        (1, 0, 39),
        (1, 40, 119),
    ]


def test_names_are_shared_out_without_a_table_of_everybody_by_everybody():
    """Fifty thousand groups that had a name each: such a table would take 20 GB."""
    rng = np.random.default_rng(1)
    groups, names = rng.permutation(50_000), np.arange(50_000)
    more = rng.integers(0, 50_000, 1000)
    of, name = np.append(groups, groups[more]), np.append(names, (more + 1) % 50_000)
    ticks = np.append(np.full(50_000, 9.0), np.full(1000, 1.0))
    rows, columns = _share_out(of, name, ticks)
    assert dict(zip(rows.tolist(), columns.tolist(), strict=True)) == dict(zip(groups.tolist(), names, strict=True))
