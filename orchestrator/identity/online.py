"""Names for tracks while the recording is processed: one identity per person across all cameras.

Every tick, the tracks that have no name yet and have been seen long enough are assigned to the known people in one
assignment over all cameras (Hungarian, on the evidence of ``evidence.weigh``); tracks that no one fits become new
people, and tracks of other cameras that stand where a new person stands join them. A name stays, with one exception:
within ``CORRECTION_S`` of naming, a track that clearly stands with another person, or clearly not with its own, is
renamed. Sums and choices depend on nothing but the sightings, so a resumed run repeats an unbroken one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.identity.assignment import assign
from orchestrator.identity.doubles import Doubles
from orchestrator.identity.evidence import weigh
from orchestrator.identity.judgement import Judgement
from orchestrator.identity.motion import follow
from orchestrator.identity.names import Key, Names
from orchestrator.identity.returning import Forgotten, Newcomer, who_returns
from orchestrator.identity.tables import NEVER, NOBODY, VIEWS, People, RecentTracks, Sightings
from orchestrator.identity.topology import Topology
from orchestrator.identity.views import found, take_in
from orchestrator.values import Bool, Float32, Float64, Int64

WINDOW_S = 0.75
"""Places of tracks are compared over this time: long enough to tell people apart who pass each other."""
NAME_AFTER_S = 0.3
"""A track is named once it has been seen this long: most false tracks are shorter, and a first place is the worst."""
NAME_BY_S = 1.0
"""An uncertain track waits no longer than this for its name."""
SURE_NATS = 2.0
"""Evidence, for or against everyone known, on which a track is named before ``NAME_BY_S``: odds of 7 to 1."""
CORRECTION_S = 3.0
"""For how long a name may still be corrected."""
CORRECTION_NATS = 3.0
"""By how much another name has to be the better one: odds of 20 to 1 over a whole window."""
MISPLACED_NATS = -6.0
"""A track whose own person stands elsewhere with this evidence loses the name: odds of 400 to 1."""
RECALL_S = 1.0
"""For so long somebody who may be one of the forgotten has no name, whether it is known sooner or not: a run that is
repeated then comes to the same, as long as the servers answer within this time."""


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What the associator takes from the settings and the site."""

    rate: float
    """Ticks per second."""
    similarity: float
    """Cosine above which two looks speak for one person."""
    ema: float
    """Share that a person's old embedding keeps at a refresh."""
    refresh_ticks: int
    topology: Topology
    most_people: int = 1000
    """People that are remembered; beyond, those not seen for the longest are forgotten."""
    recalls: bool = False
    """Whether somebody answers the questions of ``newcomers``."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Views of people, row by row."""

    people: Int64
    views: Int64
    """[N] the view's number."""
    cameras: Int64
    """[N] where it was last seen."""
    map_xy: Float64
    """[N, 2] where the person is, metres; NaN where unknown."""
    qualities: Float64
    """[N] how much the looks said of which it is made."""
    looks: Float32
    """[N, D]"""


class IdentityAssociator:
    """Names tracks. Cameras are given as rows 0..C-1 and people as rows 0..P-1. Not thread-safe."""

    def __init__(self, cameras: int, rules: IdentityRules) -> None:
        self._cameras = cameras
        self._rules = rules
        self._window = max(3, round(WINDOW_S * rules.rate))
        self._recall_ticks = round(RECALL_S * rules.rate)
        memory = rules.ema / max(1 - rules.ema, 0.001)
        self._judge = Judgement(rules.topology, rules.rate, rules.similarity, memory)
        self._tracks = RecentTracks.empty(self._window, 0)
        self._people = People.empty(cameras, 0)
        self._rows: dict[Key, int] = {}
        self._names = Names()
        self._next = 0
        """Number of the next new person."""
        self._forgot = False
        """Whether anybody was."""
        self._unasked: list[int] = []
        self._answers: dict[int, Sequence[Forgotten]] = {}
        self._doubles = Doubles()
        self._refreshed: tuple[Int64, Int64] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def update(self, tick: int, sightings: Sightings) -> Int64:
        """Takes one tick of all cameras; the person of each sighting [N], ``NOBODY`` while unknown."""
        self._fit_dimension(sightings.looks.shape[1])
        self._forget(tick)
        self._take_back(tick)
        rows = self._rows_of(tick, sightings)
        self._tracks.see(rows, tick, sightings)
        self._part_doubles(rows)
        self._follow(tick, rows, sightings)
        self._correct(tick, rows)
        self._name(tick, rows, sightings)
        if tick % self._window == 0:
            self._join_doubles(tick, rows, sightings)
        self._refresh_looks(tick, rows, sightings)
        people = self._tracks.person[rows]
        asked = np.append(self._people.asked, NEVER)[people]
        return np.where(tick - asked < self._recall_ticks, NOBODY, self._numbers(people))

    def newcomers(self) -> list[Newcomer]:
        """New people since the last call who may be forgotten ones."""
        numbers, self._unasked = self._unasked, []
        rows = [row for row in map(self._row_of, numbers) if row != NOBODY]
        people = self._people
        return [Newcomer(int(people.number[row]), people.views[row, people.view_quality[row].argmax()]) for row in rows]

    def recall(self, answers: Mapping[int, Sequence[Forgotten]]) -> None:
        """Takes in whom newcomers, given by number, may be; they count at the tick at which they are due."""
        self._answers.update(answers)

    @property
    def remembered(self) -> frozenset[int]:
        """The numbers of the people in memory."""
        return frozenset(self._people.number.tolist())

    @property
    def names(self) -> dict[Key, int]:
        """Person of every (camera, track id) named so far."""
        return dict(self._names.people)

    @property
    def renamed(self) -> frozenset[Key]:
        """Those (camera, track id) of which some tick was given another name than they have, or than they lost."""
        return frozenset(self._names.renamed)

    def refreshed(self) -> Changed:
        """The views of people that changed at the last tick."""
        rows, views = self._refreshed
        people = self._people
        return Changed(
            people=people.number[rows],
            views=views,
            cameras=people.view_camera[rows, views],
            map_xy=people.xy[rows],
            qualities=people.view_quality[rows, views],
            looks=people.views[rows, views],
        )

    def snapshot(self) -> bytes:
        """The whole state; holds numbers only."""
        buffer = io.BytesIO()
        self._note_spans(np.arange(len(self._tracks.camera)))
        tables = {**self._tracks.columns("track_"), **self._people.columns("person_")}
        tables["person_views"] = self._people.views.astype(np.float16)
        np.savez(
            buffer, next=self._next, forgot=self._forgot, **tables, **self._names.columns(), **self._doubles.columns()
        )
        return buffer.getvalue()

    def restore(self, state: bytes) -> None:
        """Takes over a state made by ``snapshot``.

        Raises:
            ValueError: the bytes are no such state.
        """
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as arrays:
                held = dict(arrays)
            self._tracks = RecentTracks.from_columns(held, "track_")
            self._people = People.from_columns(
                {**held, "person_views": held["person_views"].astype(np.float32)}, "person_"
            )
            self._doubles = Doubles.from_columns(held)
            self._names = Names.from_columns(held)
            self._next, self._forgot = int(held["next"]), bool(held["forgot"])
        except (OSError, KeyError, EOFError) as error:
            raise ValueError(f"not the state of an identity associator: {error}") from error
        self._index()
        latest = int(self._tracks.last_tick.max(initial=NEVER))
        pending = latest - self._people.asked < self._recall_ticks
        self._unasked, self._answers = self._people.number[pending].tolist(), {}

    def forget_looks(self) -> None:
        """Forgets how everybody looked; nobody is asked for by a former look. Embeddings may then be of any length."""
        self._tracks.look_sum = np.zeros((len(self._tracks.camera), 0))
        self._people.forget_looks()
        self._unasked, self._answers = [], {}

    def _fit_dimension(self, dimension: int) -> None:
        """Gives the tables room for embeddings once their length is known."""
        if dimension and not self._people.views.shape[2]:
            self._tracks.look_sum = np.zeros((len(self._tracks.camera), dimension))
            self._people.views = np.zeros((len(self._people), VIEWS, dimension), np.float32)

    def _forget(self, tick: int) -> None:
        recent = self._tracks.last_tick > tick - self._window
        if not recent.all():
            self._note_spans(np.flatnonzero(~recent))
            self._tracks.keep(recent)
            self._index()
        if len(self._people) > self._rules.most_people:
            self._forget_people(tick)

    def _note_spans(self, rows: Int64) -> None:
        tracks = self._tracks
        keys = zip(tracks.camera[rows].tolist(), tracks.track_id[rows].tolist(), strict=True)
        self._names.saw(keys, tracks.began[rows].tolist(), tracks.last_tick[rows].tolist())

    def _forget_people(self, tick: int) -> None:
        """Lets go of whoever was not seen for the longest, an eighth of them at once; nobody who has a recent track."""
        people, tracks = self._people, self._tracks
        here = np.zeros(len(people), np.bool_)
        here[tracks.person[tracks.person != NOBODY]] = True
        last = np.where(people.retired, NEVER, people.last_tick)
        order = np.lexsort((people.number, last, here))
        kept = np.ones(len(people), np.bool_)
        kept[order[: len(people) - self._rules.most_people * 7 // 8]] = False
        kept |= here
        self._forgot = True
        self._names.forget(people.number[~kept].tolist(), tick)
        people.keep(kept)
        moved = np.append(np.cumsum(kept) - 1, NOBODY)
        tracks.person[:] = moved[tracks.person]

    def _take_back(self, tick: int) -> None:
        """Gives newcomers who turn out to be somebody forgotten the name of that person."""
        for number in list(self._answers):
            row = self._row_of(number)
            age = tick - self._people.asked[row] if row != NOBODY else None
            if age is not None and age < self._recall_ticks:
                continue
            forgotten = [each for each in self._answers.pop(number) if self._row_of(each.person) == NOBODY]
            own = np.flatnonzero(self._tracks.person == row)
            if age is not None and len(own) and age <= self._recall_ticks + CORRECTION_S * self._rules.rate:
                longest = int(own[self._tracks.seen[own].argmax()])
                found = who_returns(self._tracks, longest, forgotten, tick, self._judge)
                if found is not None:
                    self._return(row, *found, tick)

    def _return(self, row: int, forgotten: People, of: int, tick: int) -> None:
        """Makes the newcomer in ``row`` the forgotten person in row ``of`` of their table."""
        people, number = self._people, int(forgotten.number[of])
        self._names.recall(number, by=int(people.number[row]))
        people.number[row] = number
        people.seen_in[row] = np.maximum(people.seen_in[row], forgotten.seen_in[of])
        there = np.flatnonzero(forgotten.view_quality[of] > 0)
        take_in(
            people,
            np.full(len(there), row),
            forgotten.views[of, there].astype(np.float64),
            forgotten.view_quality[of, there],
            forgotten.view_camera[of, there],
            tick,
            self._judge,
        )

    def _numbers(self, rows: Int64) -> Int64:
        """The numbers of people given by their rows, ``NOBODY`` among them."""
        return np.append(self._people.number, NOBODY)[rows]

    def _row_of(self, number: int) -> int:
        """The row of a person; ``NOBODY`` for somebody who is no longer remembered."""
        return int(next(iter(np.flatnonzero(self._people.number == number)), NOBODY))

    def _index(self) -> None:
        keys = zip(self._tracks.camera.tolist(), self._tracks.track_id.tolist(), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}

    def _rows_of(self, tick: int, sightings: Sightings) -> Int64:
        keys = list(zip(sightings.cameras.tolist(), sightings.track_ids.tolist(), strict=True))
        new = [key for key in keys if key not in self._rows]
        if new:
            cameras, ids = np.array(new, np.int64).T
            named = self._names.people
            known = [self._known_row(named[key]) if key in named else NOBODY for key in new]
            began = [self._names.spans.get(key, (tick, tick))[0] for key in new]
            columns = {"camera": cameras, "track_id": ids, "person": known, "first_tick": tick, "began": began}
            self._tracks.append(columns, len(new))
            self._index()
        return np.array([self._rows[key] for key in keys], np.int64)

    def _known_row(self, number: int) -> int:
        """The row of a person whose lost track was found again; who was forgotten meanwhile gets a new one."""
        row = self._row_of(number)
        if row == NOBODY:
            row = len(self._people)
            self._people.append({"number": number}, 1)
            self._names.recall(number)
        return row

    def _part_doubles(self, rows: Int64) -> None:
        """Takes the name from all but the longest-named of a camera's tracks that share one.

        Happens when a tracker revives a lost track whose person a newer track already carries on.
        """
        tracks = self._tracks
        named = rows[tracks.person[rows] != NOBODY]
        order = named[np.lexsort((named, -tracks.seen[named]))]
        _, first = np.unique(tracks.person[order] * self._cameras + tracks.camera[order], return_index=True)
        for row in np.delete(order, first):
            self._set_name(int(row), NOBODY, NEVER, 0.0)

    def _set_name(self, row: int, person: int, tick: int, certainty: float) -> None:
        tracks = self._tracks
        key = (int(tracks.camera[row]), int(tracks.track_id[row]))
        tracks.person[row], tracks.named_tick[row], tracks.certainty[row] = person, tick, certainty
        if person == NOBODY:
            self._names.take(key)
            tracks.first_tick[row] = tracks.last_tick[row]
        else:
            self._names.give(key, int(self._people.number[person]))

    def _follow(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        follow(self._people, self._tracks.person[rows], sightings, tick, self._rules.rate)

    def _correct(self, tick: int, rows: Int64) -> None:
        """Renames young tracks that clearly stand with someone else; frees those that clearly stand apart."""
        tracks, age = self._tracks, tick - self._tracks.named_tick[rows]
        young = (tracks.person[rows] != NOBODY) & (age > 0) & (age <= CORRECTION_S * self._rules.rate)
        due = rows[young & (age % self._window == 0)]
        while len(due):
            evidence, standing = self._own_evidence(due, tick)
            done = next(
                (at for at, row in enumerate(due.tolist()) if self._rename(row, evidence[at], standing[at], tick)), None
            )
            due = due[done + 1 :] if done is not None else due[:0]  # the others are weighed anew

    def _rename(self, row: int, evidence: Float64, standing: float, tick: int) -> bool:
        """Gives a track the name that it should have, if that is another one; says whether it was."""
        tracks, own = self._tracks, int(self._tracks.person[row])
        others = evidence.copy()
        others[own] = -np.inf
        best = int(others.argmax())
        if others[best] > max(standing, 0.0) + CORRECTION_NATS:
            self._set_name(row, best, tick, float(others[best]))
            self._people.seen_in[best, tracks.camera[row]] = tick
        elif standing < MISPLACED_NATS:
            self._set_name(row, NOBODY, NEVER, 0.0)
        self._people.retired[own] |= not self._names.tracks.get(int(self._people.number[own]))
        return bool(tracks.person[row] != own)

    def _join_doubles(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        """Gives the name of the older of two people who turned out to be one to all tracks of the younger."""
        here = self._tracks.person[rows]
        named = here != NOBODY
        numbers = self._numbers(here[named])
        now = (numbers, sightings.cameras[named], sightings.map_xy[named], sightings.spread[named])
        pairs = self._doubles.look(tick, self._rules.rate, *now)
        if pairs:
            self._note_spans(np.arange(len(self._tracks.camera)))
        for older, younger in pairs:
            if self._names.join(older, younger, self._rows):
                self._join(self._row_of(older), self._row_of(younger))

    def _join(self, older: int, younger: int) -> None:
        """Brings the tables in line with the names of two people, by their rows, of whom the tracks were joined."""
        people, tracks = self._people, self._tracks
        for row in np.flatnonzero((tracks.person == older) | (tracks.person == younger)).tolist():
            key = int(tracks.camera[row]), int(tracks.track_id[row])
            tracks.person[row] = older if self._names.people[key] == people.number[older] else younger
        people.seen_in[older] = np.maximum(people.seen_in[older], people.seen_in[younger])
        people.retired[younger] = not self._names.tracks[int(people.number[younger])]

    def _own_evidence(self, rows: Int64, tick: int) -> tuple[Float64, Float64]:
        """The evidence [N, P] for everybody, and [N] for the name that each track has.

        The latter is where other cameras see the person now; where none does, what the name was given on.
        """
        tracks, at = self._tracks, np.arange(len(rows))
        own = tracks.person[rows]
        evidence = weigh(tracks, rows, self._people, tick, self._judge, own)
        seen_now = self._people.seen_in[own] == tick
        seen_now[at, tracks.camera[rows]] = False
        standing = np.where(np.isfinite(evidence[at, own]), evidence[at, own], MISPLACED_NATS)
        return evidence, np.where(seen_now.any(axis=1), standing, tracks.certainty[rows])

    def _name(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        """Names what can be named: known people first, then camera by camera new ones, whom the others may join."""
        age = tick - self._tracks.first_tick[rows] + 1
        waiting = self._tracks.person[rows] == NOBODY
        waiting &= (age >= NAME_AFTER_S * self._rules.rate) & (self._tracks.seen[rows] >= 2)
        overdue = age >= NAME_BY_S * self._rules.rate
        while waiting.any():
            due = rows[waiting]
            value, person = self._assign(due, tick)
            taken = (person != NOBODY) & ((value >= SURE_NATS) | overdue[waiting])
            self._give(tick, due[taken], person[taken], value[taken])
            new = (person == NOBODY) & ((value <= -SURE_NATS) | overdue[waiting]) & ~taken & sightings.upright[waiting]
            if not taken.any():
                first = new & (sightings.cameras[waiting] == sightings.cameras[waiting][new].min(initial=self._cameras))
                self._found(tick, due[first])
                taken = first
            if not taken.any():
                break
            self._follow(tick, rows, sightings)
            waiting &= self._tracks.person[rows] == NOBODY

    def _assign(self, rows: Int64, tick: int) -> tuple[Float64, Int64]:
        evidence = weigh(self._tracks, rows, self._people, tick, self._judge)
        return assign(evidence, self._tracks.camera[rows], self._people.last_tick == tick)

    def _give(self, tick: int, rows: Int64, people: Int64, certainty: Float64) -> None:
        for row, person, nats in zip(rows.tolist(), people.tolist(), certainty.tolist(), strict=True):
            self._set_name(row, person, tick, nats)

    def _found(self, tick: int, rows: Int64) -> None:
        """Makes one new person of each track."""
        first = len(self._people)
        numbers = np.arange(self._next, self._next + len(rows))
        asks = self._rules.recalls and self._forgot
        asked = np.where(self._tracks.look_sum[rows].any(axis=1) & asks, tick, NEVER)
        self._people.append({"number": numbers, "asked": asked}, len(rows))
        self._unasked += numbers[asked != NEVER].tolist()
        self._next += len(rows)
        found(self._people, slice(first, None), self._tracks, rows, tick, self._judge.memory)
        self._give(tick, rows, np.arange(first, len(self._people)), np.zeros(len(rows)))

    def _refresh_looks(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        """Adds a look to the views of whoever is due, one from each camera that sees them well."""
        here, people = self._tracks.person[rows], self._people
        fit: Bool = (here != NOBODY) & (sightings.quality > 0) & sightings.looks.any(axis=1)
        blank = ~people.view_quality.any(axis=1)
        due = blank | (tick - people.look_tick >= self._rules.refresh_ticks)
        chosen = np.flatnonzero(fit)[due[here[fit]]]
        seen = here[chosen]
        self._refreshed = take_in(
            people,
            seen,
            sightings.looks[chosen].astype(np.float64),
            sightings.quality[chosen].astype(np.float64),
            sightings.cameras[chosen],
            tick,
            self._judge,
        )
        people.look_tick[seen] = tick
