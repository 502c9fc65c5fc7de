"""Names for tracks while the recording is processed: one identity per person across all cameras.

Every tick, the tracks that have no name yet and have been seen long enough are assigned to the known people in one
assignment over all cameras (Hungarian, on the evidence of ``evidence.weigh``); tracks that no one fits become new
people, and tracks of other cameras that stand where a new person stands join them. A name stays, with one exception:
within ``CORRECTION_S`` of naming, a track that clearly stands with another person, or clearly not with its own, is
renamed. Sums and choices depend on nothing but the sightings, so a resumed run repeats an unbroken one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from orchestrator.identity.doubles import Doubles
from orchestrator.identity.evidence import WALKING_SPEED_M_S, Topology, weigh
from orchestrator.identity.tables import NEVER, NOBODY, People, RecentTracks, Sightings, normalised
from orchestrator.values import Bool, Float64, Int64

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
VELOCITY_MEMORY_S = 0.5
"""Time constant of a person's smoothed velocity."""


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


class IdentityAssociator:
    """Names tracks. Cameras are given as rows 0..C-1 and people as rows 0..P-1. Not thread-safe."""

    def __init__(self, cameras: int, rules: IdentityRules) -> None:
        self._cameras = cameras
        self._rules = rules
        self._window = max(3, round(WINDOW_S * rules.rate))
        self._tracks = RecentTracks.empty(self._window, 0)
        self._people = People.empty(cameras, 0)
        self._rows: dict[tuple[int, int], int] = {}
        self._names: dict[tuple[int, int], int] = {}
        self._doubles = Doubles()
        self._refreshed: Int64 = np.zeros(0, np.int64)

    def update(self, tick: int, sightings: Sightings) -> Int64:
        """Takes one tick of all cameras; the person of each sighting [N], ``NOBODY`` while unknown."""
        self._fit_dimension(sightings.looks.shape[1])
        self._forget(tick)
        rows = self._rows_of(tick, sightings)
        self._tracks.see(rows, tick, sightings)
        self._part_doubles(rows)
        self._follow(tick, rows, sightings)
        self._correct(tick, rows)
        self._name(tick, rows, sightings)
        if tick % self._window == 0:
            self._join_doubles(tick, rows, sightings)
        self._refresh_looks(tick, rows, sightings)
        return self._tracks.person[rows].copy()

    @property
    def names(self) -> dict[tuple[int, int], int]:
        """Person of every (camera, track id) named so far."""
        return dict(self._names)

    def refreshed(self) -> tuple[Int64, Int64, Float64]:
        """People [N] whose embedding changed at the last tick, the camera [N] of each, and the embeddings [N, D]."""
        people = self._refreshed
        return people, self._people.camera[people], self._people.look[people]

    def snapshot(self) -> bytes:
        """The whole state; holds numbers only."""
        buffer = io.BytesIO()
        keys = np.array(list(self._names), np.int64).reshape(-1, 2)
        names = np.array(list(self._names.values()), np.int64)
        columns = {**self._tracks.columns("track_"), **self._people.columns("person_"), **self._doubles.columns()}
        np.savez(buffer, named=keys, names=names, **columns)
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
            self._people = People.from_columns(held, "person_")
            self._doubles = Doubles.from_columns(held)
            keys, names = held["named"].tolist(), held["names"].tolist()
        except (OSError, KeyError, EOFError) as error:
            raise ValueError(f"not the state of an identity associator: {error}") from error
        self._names = {(camera, track): person for (camera, track), person in zip(keys, names, strict=True)}
        self._index()

    def _fit_dimension(self, dimension: int) -> None:
        """Gives the tables room for embeddings once their length is known."""
        if dimension and not self._people.look.shape[1]:
            self._tracks.look_sum = np.zeros((len(self._tracks.camera), dimension))
            self._people.look = np.zeros((len(self._people), dimension))

    def _forget(self, tick: int) -> None:
        recent = self._tracks.last_tick > tick - self._window
        if not recent.all():
            self._tracks.keep(recent)
            self._index()

    def _index(self) -> None:
        keys = zip(self._tracks.camera.tolist(), self._tracks.track_id.tolist(), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}

    def _rows_of(self, tick: int, sightings: Sightings) -> Int64:
        keys = list(zip(sightings.cameras.tolist(), sightings.track_ids.tolist(), strict=True))
        new = [key for key in keys if key not in self._rows]
        if new:
            cameras, ids = np.array(new, np.int64).T
            known = [self._names.get(key, NOBODY) for key in new]
            self._tracks.append({"camera": cameras, "track_id": ids, "person": known, "first_tick": tick}, len(new))
            self._index()
        return np.array([self._rows[key] for key in keys], np.int64)

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
            self._names.pop(key, None)
            tracks.first_tick[row] = tracks.last_tick[row]
        else:
            self._names[key] = person

    def _follow(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        """Moves the people who are seen at this tick to where their tracks are."""
        here = self._tracks.person[rows]
        named = here != NOBODY
        seen, people = np.unique(here[named]), self._people
        if not len(seen):
            return
        cameras, quadrants = sightings.cameras[named], sightings.quadrants[named]
        people.last_tick[seen] = tick
        people.seen_in[here[named], cameras] = tick
        people.camera[here[named][::-1]] = cameras[::-1]
        people.quadrant[here[named][::-1]] = quadrants[::-1]
        self._move(tick, here[named], sightings.map_xy[named], sightings.spread[named])

    def _move(self, tick: int, here: Int64, map_xy: Float64, spread: Float64) -> None:
        placed = np.isfinite(map_xy).all(axis=1)
        here, map_xy = here[placed], map_xy[placed]
        weights = 1 / (spread[placed, 0] + spread[placed, 2])
        people, count = self._people, len(self._people)
        total = np.bincount(here, weights, count)
        moved = np.flatnonzero(total)
        sums = [np.bincount(here, weights * map_xy[:, axis], count)[moved] for axis in range(2)]
        place: Float64 = np.stack(sums, axis=1) / total[moved, None]
        elapsed = (tick - people.xy_tick[moved]) / self._rules.rate
        with np.errstate(divide="ignore", invalid="ignore"):
            velocity = (place - people.xy[moved]) / elapsed[:, None]
        fresh = np.isfinite(velocity).all(axis=1) & (elapsed > 0) & (elapsed <= NAME_BY_S)
        velocity = np.where(fresh[:, None], velocity, 0)
        share = np.where(fresh | (elapsed == 0), np.exp(-elapsed / VELOCITY_MEMORY_S), 0)[:, None]
        people.velocity[moved] = _capped(share * people.velocity[moved] + (1 - share) * velocity)
        people.xy[moved], people.xy_tick[moved] = place, tick

    def _weigh(self, rows: Int64, tick: int) -> Float64:
        rules = self._rules
        return weigh(self._tracks, rows, self._people, rules.topology, tick, rules.rate, rules.similarity)

    def _correct(self, tick: int, rows: Int64) -> None:
        """Renames young tracks that clearly stand with someone else; frees those that clearly stand apart."""
        tracks, age = self._tracks, tick - self._tracks.named_tick[rows]
        young = (tracks.person[rows] != NOBODY) & (age > 0) & (age <= CORRECTION_S * self._rules.rate)
        due = rows[young & (age % self._window == 0)]
        for row in due.tolist():
            evidence = self._weigh(np.array([row]), tick)[0]
            own = int(tracks.person[row])
            standing = self._own_evidence(row, own, tick)
            evidence[own] = -np.inf
            best = int(evidence.argmax())
            if evidence[best] > max(standing, 0.0) + CORRECTION_NATS:
                self._set_name(row, best, tick, float(evidence[best]))
                self._people.seen_in[best, tracks.camera[row]] = tick
            elif standing < MISPLACED_NATS:
                self._set_name(row, NOBODY, NEVER, 0.0)
            if own not in self._names.values():
                self._people.retired[own] = True

    def _join_doubles(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        """Gives the name of the older of two people who turned out to be one to all tracks of the younger."""
        here = self._tracks.person[rows]
        named = here != NOBODY
        now = (here[named], sightings.cameras[named], sightings.map_xy[named], sightings.spread[named])
        people = self._people
        for older, younger in self._doubles.look(tick, self._rules.rate, *now):
            self._tracks.person[self._tracks.person == younger] = older
            self._names = {key: older if person == younger else person for key, person in self._names.items()}
            people.seen_in[older] = np.maximum(people.seen_in[older], people.seen_in[younger])
            people.retired[younger] = True

    def _own_evidence(self, row: int, person: int, tick: int) -> float:
        """Evidence for the name a track has: where other cameras see the person now; else, what it was given on."""
        seen_in = self._people.seen_in[person].copy()
        camera = self._tracks.camera[row]
        if not (np.delete(seen_in, camera) == tick).any():
            return float(self._tracks.certainty[row])
        self._people.seen_in[person, camera] = NEVER
        evidence = float(self._weigh(np.array([row]), tick)[0, person])
        self._people.seen_in[person] = seen_in
        return evidence if np.isfinite(evidence) else MISPLACED_NATS

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
        """The best person of each track [N] under one assignment, and the evidence [N] for them.

        A person whom some camera sees already can be joined by one track of every other camera, everyone else by one
        track alone: two tracks far apart could both be theirs. Tracks without a person get their best evidence,
        capped at 0.
        """
        person, value = np.full(len(rows), NOBODY), np.full(len(rows), -np.inf)
        if not len(self._people):
            return value, person
        evidence = self._weigh(rows, tick)
        value = np.minimum(evidence.max(axis=1), 0.0)
        gain, columns = self._columns(rows, evidence, tick)
        chosen, column = linear_sum_assignment(gain, maximize=True)
        real = gain[chosen, column] > 0
        chosen, column = chosen[real], column[real]
        person[chosen], value[chosen] = columns[column], gain[chosen, column]
        return value, person

    def _columns(self, rows: Int64, evidence: Float64, tick: int) -> tuple[Float64, Int64]:
        """The assignment's gains [N, M], 0 where a track would rather be new, and the person [M] of each column."""
        hopeful = np.flatnonzero((evidence > 0).any(axis=0))
        gain = np.maximum(evidence[:, hopeful], 0)
        seen_now = self._people.last_tick[hopeful] == tick
        blocks, people = [gain[:, ~seen_now]], [hopeful[~seen_now]]
        cameras = self._tracks.camera[rows]
        for camera in np.unique(cameras):
            blocks.append(np.where((cameras == camera)[:, None], gain[:, seen_now], 0))
            people.append(hopeful[seen_now])
        return np.hstack(blocks), np.concatenate(people)

    def _give(self, tick: int, rows: Int64, people: Int64, certainty: Float64) -> None:
        for row, person, nats in zip(rows.tolist(), people.tolist(), certainty.tolist(), strict=True):
            self._set_name(row, person, tick, nats)

    def _found(self, tick: int, rows: Int64) -> None:
        """Makes one new person of each track."""
        first = len(self._people)
        self._people.append({"look": self._tracks.looks(rows), "look_tick": tick}, len(rows))
        self._give(tick, rows, np.arange(first, len(self._people)), np.zeros(len(rows)))

    def _refresh_looks(self, tick: int, rows: Int64, sightings: Sightings) -> None:
        here, people, rules = self._tracks.person[rows], self._people, self._rules
        fit: Bool = (here != NOBODY) & sightings.looks.any(axis=1)
        seen = np.unique(here[fit])
        blank = ~people.look[seen].any(axis=1)
        due = seen[blank | (tick - people.look_tick[seen] >= rules.refresh_ticks)]
        self._refreshed = due
        for person in due.tolist():
            look = sightings.looks[fit & (here == person)].mean(axis=0, dtype=np.float64)
            share = rules.ema if people.look[person].any() else 0.0
            people.look[person] = normalised((share * people.look[person] + (1 - share) * look)[None])[0]
            people.look_tick[person] = tick


def make_topology(
    cameras: Sequence[str], overlaps: Sequence[tuple[str, str]], exits: Sequence[tuple[str, int, str]]
) -> Topology:
    """The site's rules as arrays; those that name cameras which do not take part are left out."""
    rows = {camera: row for row, camera in enumerate(cameras)}
    apart = np.full((len(rows), len(rows)), bool(overlaps))
    np.fill_diagonal(apart, val=False)
    for one, other in overlaps:
        if one in rows and other in rows:
            apart[rows[one], rows[other]] = apart[rows[other], rows[one]] = False
    leads = np.zeros((len(rows), 4, len(rows)), bool)
    for camera, quadrant, to in exits:
        if camera in rows and to in rows:
            leads[rows[camera], quadrant, rows[to]] = True
    return Topology(apart, leads)


def _capped(velocity: Float64) -> Float64:
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    return np.asarray(velocity * np.minimum(1, WALKING_SPEED_M_S / np.maximum(speed, 1e-9)))
