"""How much speaks for two pieces of tracklets being one person's, in nats; the second pass's counterpart of
``evidence``.

Places are compared as in ``evidence``; the density at which somebody else is expected is counted in the recording
itself, so that a crowd asks for nearer places than an empty hall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.identity.evidence import (
    KEEPS_WALKING_S,
    LOOK_LIMIT_NATS,
    LOOK_NATS_PER_COSINE,
    NEW_PEOPLE_PER_M2,
    REACH_SLACK_M,
    RETURNS,
    WALKING_SPEED_M_S,
    WANDER_M_S,
    log_density,
)
from orchestrator.identity.fragments import Fragments
from orchestrator.identity.recording import Recording
from orchestrator.values import Float64, Int64

TRUST_NATS = 2.5
"""Trust in the tracker across a cut: it keeps to the person 12 times in 13."""
ERRORS_LAST_S = 1.0
"""Errors of one camera's places within this time are one error, and count once."""
MOST_SAMPLES = 3
"""Errors that last (calibration, a side of the feet, a wrong stature) let no pair say more than so many seconds do."""
NEIGHBOURHOOD_M = 3.0
"""Radius in which others are counted."""
NEAR_M = 6.0
"""Two who stand farther apart at one tick are not compared: they are two."""

SAME_PACE_M_S = 0.7
"""Standard deviation of a person's change of velocity along one axis within a second, as measured over one."""
ANY_PACE_M_S = 1.4
"""The same between two people."""
PACE_LIMIT_NATS = 3.0
"""No change of velocity says more."""


@dataclass(frozen=True, slots=True)
class Togetherness:
    """Pairs of fragments of different cameras that were seen at the same ticks."""

    one: Int64
    """[K]"""
    other: Int64
    """[K] larger than ``one``."""
    nats: Float64
    """[K]"""


def density_of_people(recording: Recording) -> float:
    """People per square metre around a person, as one camera sees them; at least ``NEW_PEOPLE_PER_M2``."""
    cameras = recording.cameras[recording.tracklets]
    order = np.lexsort((recording.frames, cameras))
    changes = (np.diff(cameras[order]) != 0) | (np.diff(recording.frames[order]) != 0)
    people, neighbours = 0, 0
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        places = recording.map_xy[rows]
        places = places[np.isfinite(places).all(axis=1)]
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        people += len(places)
        neighbours += int((distance < NEIGHBOURHOOD_M).sum()) - len(places)
    return max(NEW_PEOPLE_PER_M2, neighbours / max(people, 1) / (np.pi * NEIGHBOURHOOD_M**2))


def compare_places(recording: Recording, fragments: Fragments, density: float) -> Togetherness:
    """Compares all pairs that different cameras saw at the same ticks."""
    owner = np.repeat(np.arange(len(fragments)), np.diff(fragments.rows, axis=1).ravel())
    placed = np.flatnonzero(np.isfinite(recording.map_xy).all(axis=1) & np.isfinite(recording.spread).all(axis=1))
    order = placed[np.argsort(recording.frames[placed], kind="stable")]
    cuts = np.flatnonzero(np.diff(recording.frames[order])) + 1
    pairs: list[Int64] = []
    values: list[Float64] = []
    for rows in np.split(order, cuts):
        one, other = np.triu_indices(len(rows), 1)
        a, b = rows[one], rows[other]
        apart = fragments.cameras[owner[a]] != fragments.cameras[owner[b]]
        a, b = a[apart], b[apart]
        low, high = np.minimum(owner[a], owner[b]), np.maximum(owner[a], owner[b])
        pairs.append(low * len(fragments) + high)
        values.append(log_density(recording.map_xy[a] - recording.map_xy[b], recording.spread[a] + recording.spread[b]))
    if not pairs:
        nothing = np.zeros(0, np.int64)
        return Togetherness(nothing, nothing, np.zeros(0))
    codes, inverse, counts = np.unique(np.concatenate(pairs), return_inverse=True, return_counts=True)
    mean = np.bincount(inverse.ravel(), np.concatenate(values), len(codes)) / np.maximum(counts, 1)
    step_s = _usual_step(recording) / recording.rate
    samples = np.clip(counts * step_s / ERRORS_LAST_S, 1, MOST_SAMPLES)
    return Togetherness(codes // len(fragments), codes % len(fragments), (mean - np.log(density)) * samples)


def _usual_step(recording: Recording) -> float:
    steps = np.diff(recording.frames)[np.diff(recording.tracklets) == 0]
    return float(np.median(steps)) if len(steps) else 1.0


@dataclass(frozen=True, slots=True)
class Ends:
    """Where fragments begin and end on the map."""

    xy: Float64
    """[F, 2, 2] first and last place, metres; NaN where unknown."""
    spread: Float64
    """[F, 2, 3]"""
    velocity: Float64
    """[F, 2, 2] metres a second, over ``KEEPS_WALKING_S`` from either end."""


def find_ends(recording: Recording, fragments: Fragments) -> Ends:
    """The ends of all fragments; their errors are those of a mean over the first or the last second."""
    count = len(fragments)
    xy, spread, velocity = np.full((count, 2, 2), np.nan), np.full((count, 2, 3), np.nan), np.zeros((count, 2, 2))
    for row, (begin, end) in enumerate(fragments.rows.tolist()):
        known = begin + np.flatnonzero(np.isfinite(recording.map_xy[begin:end]).all(axis=1))
        if not len(known):
            continue
        time_s = recording.frames[known] / recording.rate
        for side, edge in enumerate((known[0], known[-1])):
            at = recording.frames[edge] / recording.rate
            near = np.abs(time_s - at) <= KEEPS_WALKING_S
            xy[row, side], velocity[row, side] = _line(time_s[near] - at, recording.map_xy[known[near]])
            spread[row, side] = recording.spread[edge]
    return Ends(xy, spread, velocity)


def _line(time_s: Float64, places: Float64) -> tuple[Float64, Float64]:
    """Place at time 0 and velocity of the line through places at the given times."""
    if np.ptp(time_s) < KEEPS_WALKING_S / 2:
        return places[np.abs(time_s).argmin()], np.zeros(2)
    centre = time_s.mean()
    velocity = ((time_s - centre) @ (places - places.mean(axis=0))) / ((time_s - centre) ** 2).sum()
    speed = float(np.linalg.norm(velocity))
    velocity = velocity * min(1.0, WALKING_SPEED_M_S / max(speed, 1e-9))
    return places.mean(axis=0) - velocity * centre, velocity


def coming_back(ends: Ends, one: Int64, other: Int64, gap_s: Float64, density: float) -> Float64:
    """[K] nats for pairs of which ``other`` begins ``gap_s`` after ``one`` ends; NaN where a place is unknown."""
    gap_s = np.maximum(gap_s, 0)
    leave, come = ends.xy[one, 1], ends.xy[other, 0]
    spread = ends.spread[one, 1] + ends.spread[other, 0]
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(come - leave, axis=1)
        reach = WALKING_SPEED_M_S * gap_s + REACH_SLACK_M + 2 * np.sqrt(spread[:, 0] + spread[:, 2])
        drift = (ends.velocity[one, 1] + ends.velocity[other, 0]) / 2
        expected = leave + drift * np.minimum(gap_s, KEEPS_WALKING_S)[:, None]
        wander = ((WANDER_M_S * gap_s) ** 2)[:, None] * np.array([1.0, 0.0, 1.0])
        nats = np.logaddexp(log_density(come - expected, spread + wander) - np.log(density), np.log(RETURNS))
        nats += _keeping_pace(ends.velocity[one, 1] - ends.velocity[other, 0], gap_s)
    return np.where(distance > reach, -np.inf, nats)


def _keeping_pace(change: Float64, gap_s: Float64) -> Float64:
    """[K] nats for changes of velocity [K, 2] over a gap: one person's are small, those from one to another are not."""
    square = (change**2).sum(axis=1)
    nats = np.log(ANY_PACE_M_S**2 / SAME_PACE_M_S**2) - square / 2 * (SAME_PACE_M_S**-2 - ANY_PACE_M_S**-2)
    known = change.any(axis=1)
    return np.where(known, np.clip(nats, -PACE_LIMIT_NATS, PACE_LIMIT_NATS) * np.exp(-gap_s / KEEPS_WALKING_S), 0.0)


def looking_alike(cosine: Float64, threshold: float) -> Float64:
    """Nats for cosines of two looks."""
    return np.asarray(np.clip((cosine - threshold) * LOOK_NATS_PER_COSINE, -LOOK_LIMIT_NATS, LOOK_LIMIT_NATS))
