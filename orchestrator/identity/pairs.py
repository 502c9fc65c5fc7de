"""Pairs of fragments that one person may own, or cannot: what places, times and the tracker say of each.

Only pairs that say something are kept: seen at once by one camera, or near each other by two; one beginning soon after
the other ends; looking alike. All of it in blocks of arrays; memory grows with the pairs, not with the square of the
fragments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from orchestrator.boxes import row_shared
from orchestrator.identity.evidence import log_density
from orchestrator.identity.fragments import Fragments
from orchestrator.identity.likelihood import Ends, coming_back, leading_there
from orchestrator.identity.recording import Recording
from orchestrator.identity.topology import Topology
from orchestrator.values import Bool, Float32, Float64, Int64

TRUST_NATS = 2.5
"""Trust in the tracker across a cut: it keeps to the person 12 times in 13."""
SOONEST, SOONEST_HERE = 30, 8
"""So many of those who begin soonest after a fragment ends are tried, in all cameras and in its own."""
ALIKE = 30
"""And so many of the most alike."""
ERRORS_LAST_S = 1.0
"""Errors of one camera's places within this time are one error, and count once."""
MOST_SAMPLES = 3
"""Errors that last (calibration, a side of the feet, a wrong stature) let no pair say more than so many seconds do."""
FAR_M = 6.0
"""Two who stand farther apart at one tick are two, by ``FAR_NATS`` a moment."""
FAR_NATS = -10.0
APART_NATS = -8.0
"""The most that is said against two whom different cameras show at once."""
TWO_NATS_PER_S = -16.0
"""Against two boxes of one camera that lie apart: detectors see double now and then, for moments."""
DOUBLE_SHARE = 0.5
"""Of the smaller box: two boxes of which the larger covers more may be one person's, or one behind the other."""
BLOCK_PAIRS = 1_000_000
"""Pairs of sightings that are compared in one go."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of fragments, by rising ``one``, then ``other``."""

    one: Int64
    """[K]"""
    other: Int64
    """[K] larger than ``one``."""
    nats: Float64
    """[K] for one person, apart from looks and from ``seam``; those of several pairs add up."""
    gap: Float64
    """[K] ticks between the end of the earlier and the begin of the later; 0 for those seen at once."""
    seam: Float64
    """[K] nats from the place at which one ends and the other begins, and from exits between cameras; NaN where
    neither says anything or both are seen at once."""
    doubles: Bool
    """[K] One camera sees both at once."""

    def __len__(self) -> int:
        return len(self.one)


def find_pairs(
    recording: Recording, fragments: Fragments, ends: Ends, topology: Topology, density: float, threshold: float
) -> Pairs:
    """All pairs that say something.

    Args:
        recording: whose tracklets.
        fragments: of them.
        ends: where they begin and end.
        topology: of the environment.
        density: people per square metre.
        threshold: cosine from which looks speak for one person.
    """
    once, nats, doubles = _at_once(recording, fragments, topology, density)
    turns = np.unique(np.concatenate([_soonest(fragments), _alike(fragments, threshold), _kept(fragments)]))
    turns = turns[~np.isin(turns, once, assume_unique=True)]
    one, other = np.divmod(turns, len(fragments))
    gap, order = _gap(fragments, one, other)
    earlier, later = np.where(order, one, other), np.where(order, other, one)
    seam, against = coming_back(ends, earlier, later, gap / recording.rate, density)
    led = leading_there(ends, earlier, later, gap / recording.rate, topology)
    seam = np.where(led > 0, np.where(np.isnan(seam), 0.0, seam) + led, seam)
    kept = (fragments.tracklets[one] == fragments.tracklets[other]) & (other - one == 1)
    in_turn = gap > 0
    seam, against = np.where(in_turn, seam, np.nan), np.where(in_turn, against, 0.0)
    codes = np.concatenate([once, turns])
    rows = np.argsort(codes)
    none = np.full(len(once), np.nan)
    return Pairs(
        *np.divmod(codes[rows], len(fragments)),
        np.concatenate([nats, against + TRUST_NATS * kept])[rows],
        np.concatenate([np.zeros(len(once)), np.maximum(gap, 0)])[rows],
        np.concatenate([none, seam])[rows],
        np.concatenate([doubles, np.zeros(len(gap), np.bool_)])[rows],
    )


def _gap(fragments: Fragments, one: Int64, other: Int64) -> tuple[Float64, Bool]:
    """Ticks [K] between two fragments, 0 or less where both are seen at once, and whether ``one`` is the earlier."""
    after = fragments.seen[other, 0] - fragments.seen[one, 1]
    before = fragments.seen[one, 0] - fragments.seen[other, 1]
    return np.maximum(after, before).astype(np.float64), after >= before


def _kept(fragments: Fragments) -> Int64:
    """Fragments of one tracklet that follow each other."""
    one = np.flatnonzero(np.diff(fragments.tracklets) == 0)
    return one * len(fragments) + one + 1


def _soonest(fragments: Fragments) -> Int64:
    everywhere = np.zeros(len(fragments), np.int64)
    return np.concatenate([_next(fragments, everywhere, SOONEST), _next(fragments, fragments.cameras, SOONEST_HERE)])


def _next(fragments: Fragments, group: Int64, count: int) -> Int64:
    """For each fragment the ``count`` that begin next in its group after it ends."""
    span = int(fragments.seen[:, 1].max(initial=0)) + 2
    begins = group * span + fragments.seen[:, 0]
    order = np.argsort(begins, kind="stable")
    after = np.searchsorted(begins[order], group * span + fragments.seen[:, 1], "right")
    rows = after[:, None] + np.arange(count)
    last = np.searchsorted(begins[order], (group + 1) * span)
    fragment, column = np.nonzero(rows < last[:, None])
    return _codes(fragment, order[rows[fragment, column]], len(fragments))


def _alike(fragments: Fragments, threshold: float) -> Int64:
    """Of each fragment the most alike, from the threshold."""
    looks = fragments.looks.astype(np.float32)
    seen = np.flatnonzero(fragments.views)
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(seen), 512):
        block = seen[start : start + 512]
        cosine = looks[block] @ looks[seen].T
        count = min(ALIKE + 1, len(seen))
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        row, column = np.nonzero(np.take_along_axis(cosine, best, axis=1) >= threshold)
        found.append(_codes(block[row], seen[best[row, column]], len(fragments)))
    return np.concatenate(found)


def _codes(one: Int64, other: Int64, count: int) -> Int64:
    """One number for each pair of two."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return np.asarray((low * count + high)[low < high], np.int64)


def _at_once(
    recording: Recording, fragments: Fragments, topology: Topology, density: float
) -> tuple[Int64, Float64, Bool]:
    """Codes of pairs seen at one tick, rising, their nats, and whether one camera sees both."""
    owner = fragments.owners()
    parts = [_Sums.empty()]
    for one, other in _sightings_at_once(recording):
        parts.append(_compare(recording, fragments, topology, owner, one, other))
        if sum(len(part.codes) for part in parts[1:]) > len(parts[0].codes) + BLOCK_PAIRS:
            parts = [_Sums.total(parts)]
    sums = _Sums.total(parts)
    step_s = _usual_step(recording) / recording.rate
    with np.errstate(invalid="ignore"):
        places = (sums.density / sums.placed - np.log(density)) * np.clip(
            sums.placed * step_s / ERRORS_LAST_S, 1, MOST_SAMPLES
        )
    nats = np.maximum(np.where(sums.placed > 0, places, 0.0), APART_NATS)
    nats = np.where((sums.placed == 0) & (sums.apart > 0), APART_NATS, nats)
    nats += np.where(sums.doubles > 0, TWO_NATS_PER_S * sums.two * step_s, 0.0)
    return sums.codes, nats, sums.doubles > 0


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the sightings of pairs of fragments say, added up; by rising code."""

    codes: Int64
    density: Float64
    """Log density of the offset on the map."""
    placed: Float64
    """Ticks at which two cameras place both."""
    apart: Float64
    """Ticks at which cameras that share no view see both, not placed."""
    doubles: Float64
    """Ticks at which one camera sees both."""
    two: Float64
    """Those of them at which their boxes lie apart."""

    @classmethod
    def empty(cls) -> _Sums:
        return cls(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(5)))

    @classmethod
    def total(cls, parts: list[_Sums]) -> _Sums:
        codes = np.concatenate([part.codes for part in parts])
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("density", "placed", "apart", "doubles", "two")
        ]
        return cls.of(codes, *columns)

    @classmethod
    def of(cls, codes: Int64, *columns: Float64) -> _Sums:
        found, inverse = np.unique(codes, return_inverse=True)
        totals = (np.bincount(inverse.ravel(), column, len(found)) for column in columns)
        return cls(found, *(np.asarray(total, np.float64) for total in totals))


def _compare(
    recording: Recording, fragments: Fragments, topology: Topology, owner: Int64, one: Int64, other: Int64
) -> _Sums:
    """Sums over pairs of sightings [P] of one tick."""
    first, second = fragments.cameras[owner[one]], fragments.cameras[owner[other]]
    same = first == second
    offset = recording.map_xy[one] - recording.map_xy[other]
    placed = ~same & np.isfinite(offset).all(axis=1)
    near = placed & (np.abs(offset).max(axis=1, initial=0, where=placed[:, None]) < FAR_M)
    density = np.where(placed, FAR_NATS, 0.0)
    spread = recording.spread[one[near]] + recording.spread[other[near]]
    density[near] = np.maximum(log_density(offset[near], spread), FAR_NATS)
    apart = ~placed & topology.apart[first, second]
    two = same.copy()
    two[same] = _shared(recording.boxes[one[same]], recording.boxes[other[same]]) < DOUBLE_SHARE
    codes = np.minimum(owner[one], owner[other]) * len(fragments) + np.maximum(owner[one], owner[other])
    known = placed | apart | same
    columns = (density, placed, apart, same, two)
    return _Sums.of(codes[known], *(column[known].astype(np.float64) for column in columns))


def _shared(one: Float32, other: Float32) -> Float64:
    """[N] what boxes xyxy share, as a part of the smaller of the two."""
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return np.asarray(row_shared(one, other) / np.maximum(np.minimum(*areas), 1e-9), np.float64)


def _sightings_at_once(recording: Recording) -> Iterator[tuple[Int64, Int64]]:
    """Pairs of rows of one tick, in blocks."""
    order = np.argsort(recording.frames, kind="stable")
    ticks = np.split(order, np.flatnonzero(np.diff(recording.frames[order])) + 1)
    ones: list[Int64] = []
    others: list[Int64] = []
    waiting = 0
    for rows in ticks:
        one, other = np.triu_indices(len(rows), 1)
        ones.append(rows[one])
        others.append(rows[other])
        waiting += len(one)
        if waiting > BLOCK_PAIRS:
            yield np.concatenate(ones), np.concatenate(others)
            ones, others, waiting = [], [], 0
    if waiting:
        yield np.concatenate(ones), np.concatenate(others)


def _usual_step(recording: Recording) -> float:
    steps = np.diff(recording.frames)[np.diff(recording.tracklets) == 0]
    return float(np.median(steps)) if len(steps) else 1.0
