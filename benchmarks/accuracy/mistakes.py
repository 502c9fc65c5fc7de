"""What makes up the loss of an answer: every true box that counts, by what became of it.

A person's own name is the one that IDF1's assignment gives them: of people to names, with the most boxes in common. A
box under another name is told by whose name that is, and by what was to be known when its run began; a run is a stretch
of one camera's track under one name that shows one person.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy.associations import Found, homographies_of, nearest, places_of
from benchmarks.accuracy.scene import Scene
from demo.scores import MIN_VISIBILITY, BoxTable, assign_rows, rows_to_score
from orchestrator.recorded.results import NOBODY, FoundTracks
from orchestrator.values import Bool, Float64, Int64

RECENT_S = 3.0
"""Whoever was seen this long ago is out of sight for a moment; longer, and they come back."""


class Mistake(StrEnum):
    """What became of a true box, or (``INVENTED``) of a found one."""

    RIGHT = "right"
    UNDETECTED = "no detection"
    UNTRACKED = "detected, in no track"
    UNNAMED = "tracked, no name"
    SWAPPED = "the track came over from somebody else"
    OTHERS_BESIDE = "somebody else's name, while another camera has the right one"
    OTHERS_SOON = "somebody else's name, soon after the person was seen"
    OTHERS_LATE = "somebody else's name, after an absence"
    OTHERS_FIRST = "somebody else's name, before the right one"
    SECOND_BESIDE = "a second name, while another camera has the right one"
    SECOND_SOON = "a second name, soon after the person was seen"
    SECOND_LATE = "a second name, after an absence"
    SECOND_FIRST = "a second name, before the right one"
    INVENTED = "named box that shows nobody"


OTHERS = (Mistake.OTHERS_BESIDE, Mistake.OTHERS_SOON, Mistake.OTHERS_LATE, Mistake.OTHERS_FIRST)
SECOND = (Mistake.SECOND_BESIDE, Mistake.SECOND_SOON, Mistake.SECOND_LATE, Mistake.SECOND_FIRST)


@dataclass(frozen=True, slots=True)
class _Boxes:
    """True boxes and what was found of them, row by row."""

    camera: Int64
    tick: Int64
    person: Int64
    track: Int64
    """-1 where no track's box matches."""
    name: Int64
    """``NOBODY`` without one."""
    detected: Bool

    def select(self, rows: Int64) -> _Boxes:
        """Some of the rows."""
        return _Boxes(*(getattr(self, field.name)[rows] for field in fields(self)))


def mistakes(scene: Scene, found: Found) -> dict[str, float]:
    """How many boxes each kind of ``Mistake`` took, as a share of the true boxes that count.

    Where only places are known, the true boxes are the detections within 1 m of somebody, and nobody is undetected.
    """
    parts = [_camera_boxes(scene, name, number, tracks) for number, (name, tracks) in enumerate(found.items())]
    names = [field.name for field in fields(_Boxes)]
    boxes = _Boxes(*(np.concatenate([getattr(part, name) for part, _ in parts]) for name in names))
    counts = Counter(_kinds(boxes, RECENT_S * scene.recording.rate))
    counts[Mistake.INVENTED] = sum(invented for _, invented in parts)
    return {kind.value: counts[kind] / max(len(boxes.tick), 1) for kind in Mistake}


def _camera_boxes(scene: Scene, name: str, number: int, tracks: FoundTracks) -> tuple[_Boxes, int]:
    """One camera's true boxes, and how many named boxes show nobody."""
    if name in scene.boxes:
        truth, true_rows, rows, detected, strangers = _by_boxes(scene, name, tracks)
    else:
        truth, true_rows, rows, detected, strangers = _by_places(scene, name, tracks)
    track, person_name = np.full(len(truth), -1), np.full(len(truth), NOBODY)
    track[true_rows], person_name[true_rows] = tracks.track_ids[rows], tracks.people[rows]
    named = tracks.people[strangers] != NOBODY
    camera = np.full(len(truth), number)
    return _Boxes(camera, truth.frames, truth.ids, track, person_name, detected), int(np.count_nonzero(named))


Matched = tuple[BoxTable, Int64, Int64, Bool, Int64]
"""True boxes [N], rows of those that a track matches and rows of the track's boxes, whether each is detected [N], and
rows of the tracks' boxes that match nobody."""


def _by_boxes(scene: Scene, name: str, tracks: FoundTracks) -> Matched:
    file, known = scene.recording.files[name], scene.boxes[name]
    boxes = BoxTable(tracks.ticks, tracks.track_ids, tracks.boxes)
    counted, kept = rows_to_score(known.table, known.visibility < MIN_VISIBILITY, boxes)
    truth = known.table.select(counted)
    true_rows, rows = assign_rows(truth, boxes.select(kept))
    rows = np.flatnonzero(kept)[rows]
    detections = BoxTable(scene.ticks_of(file.frames), np.arange(len(file)), file.boxes)
    detected = np.zeros(len(truth), np.bool_)
    detected[assign_rows(truth, detections)[0]] = True
    return truth, true_rows, rows, detected, np.setdiff1d(np.flatnonzero(kept), rows)


def _by_places(scene: Scene, name: str, tracks: FoundTracks) -> Matched:
    if scene.ground is None:
        raise ValueError(f"{scene.name} has no truth")
    file, everybody = scene.recording.files[name], scene.ground.table
    true_rows, rows = nearest(everybody, tracks.ticks, tracks.map_xy)
    places = places_of(homographies_of(scene).get(name), file.boxes)
    there = nearest(everybody, scene.ticks_of(file.frames), places)[0]
    either = np.union1d(true_rows, there)
    truth, detected = everybody.select(either), np.isin(either, there)
    return truth, np.searchsorted(either, true_rows), rows, detected, np.setdiff1d(np.arange(len(tracks.ticks)), rows)


def _kinds(boxes: _Boxes, recent: float) -> list[Mistake]:
    """What became of each box."""
    kinds = np.select(
        [boxes.name != NOBODY, boxes.track >= 0, boxes.detected],
        [Mistake.RIGHT.value, Mistake.UNNAMED.value, Mistake.UNTRACKED.value],
        Mistake.UNDETECTED.value,
    ).astype(object)
    named = np.flatnonzero(boxes.name != NOBODY)
    history = _History.of(boxes.select(named))
    wrong = named[~history.right]
    for run in _runs(boxes, wrong):
        kinds[run] = history.judge(boxes.select(run), recent).value
    return [Mistake(kind) for kind in kinds]


@dataclass(frozen=True, slots=True)
class _History:
    """Who is who over the whole recording."""

    right: Bool
    """[N] whether each named box has its person's own name."""
    owner: dict[int, int]
    """Whom each name mostly stands for."""
    shown: dict[tuple[int, int], int]
    """Whom each (camera, track) mostly shows."""
    seen: dict[int, Int64]
    """The ticks at which each person had some name."""
    seen_right: dict[int, Int64]
    """The ticks at which they had their own."""

    @classmethod
    def of(cls, boxes: _Boxes) -> _History:
        """From the boxes that have a name."""
        own, owner = _assigned(boxes.person, boxes.name)
        right = np.array(
            [own.get(p) == n for p, n in zip(boxes.person.tolist(), boxes.name.tolist(), strict=True)], bool
        )
        people = np.unique(boxes.person).tolist()
        seen = {person: np.unique(boxes.tick[boxes.person == person]) for person in people}
        seen_right = {person: np.unique(boxes.tick[(boxes.person == person) & right]) for person in people}
        return cls(right, owner, _mostly_shown(boxes), seen, seen_right)

    def judge(self, run: _Boxes, recent: float) -> Mistake:
        """The kind of mistake of a run under a wrong name; ``recent`` in ticks."""
        person, tick = int(run.person[0]), int(run.tick[0])
        second = self.owner[int(run.name[0])] == person
        if not second and self.shown[int(run.camera[0]), int(run.track[0])] != person:
            return Mistake.SWAPPED
        kinds, right = SECOND if second else OTHERS, self.seen_right[person]
        if np.isin(run.tick, right).any():
            return kinds[0]
        if not len(right) or tick < right[0]:
            return kinds[3]
        before = self.seen[person][self.seen[person] < tick]
        return kinds[1] if tick - before[-1] <= recent else kinds[2]


def _assigned(person: Int64, name: Int64) -> tuple[dict[int, int], dict[int, int]]:
    """Each person's own name, and whom each name mostly stands for."""
    people, row = np.unique(person, return_inverse=True)
    names, column = np.unique(name, return_inverse=True)
    common: Float64 = np.zeros((len(people), len(names)))
    np.add.at(common, (row, column), 1)
    rows, columns = linear_sum_assignment(-common)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    own = {int(people[r]): int(names[c]) for r, c in pairs if common[r, c] > 0}
    return own, {int(n): int(people[common[:, c].argmax()]) for c, n in enumerate(names)}


def _mostly_shown(boxes: _Boxes) -> dict[tuple[int, int], int]:
    counts = Counter(zip(boxes.camera.tolist(), boxes.track.tolist(), boxes.person.tolist(), strict=True))
    return {(camera, track): person for (camera, track, person), _ in reversed(counts.most_common())}


def _runs(boxes: _Boxes, rows: Int64) -> list[Int64]:
    """The rows of each run, by rising tick."""
    keys = np.stack([boxes.camera[rows], boxes.track[rows], boxes.person[rows], boxes.name[rows]])
    order = np.lexsort((boxes.tick[rows], *keys))
    cuts = np.flatnonzero((np.diff(keys[:, order], axis=1) != 0).any(axis=0)) + 1
    return np.split(rows[order], cuts) if len(rows) else []
