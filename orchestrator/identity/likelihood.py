"""How much speaks for two pieces of tracklets being one person's, in nats; the second pass's counterpart of
``evidence``.

Places are compared as in ``evidence``; the density at which somebody else is expected is counted in the recording
itself, so that a crowd asks for nearer places than an empty hall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.boxes import row_iou
from orchestrator.identity.evidence import (
    EXIT_HORIZON_S,
    EXIT_NATS,
    KEEPS_WALKING_S,
    LOG_SURE_SHARE,
    LOG_WILD_SHARE,
    LOOK_LIMIT_NATS,
    LOOK_NATS_PER_COSINE,
    NEW_PEOPLE_PER_M2,
    REACH_SLACK_M,
    RETURNS,
    WALKING_SPEED_M_S,
    WANDER_M_S,
    WILD_SPREAD,
    log_density,
)
from orchestrator.identity.fragments import Fragments
from orchestrator.identity.recording import Recording
from orchestrator.identity.topology import Topology
from orchestrator.values import Bool, Float64, Int64

NEIGHBOURHOOD_M = 3.0
"""Radius in which others are counted."""
SAME_PACE_M_S = 0.7
"""Standard deviation of a person's change of velocity along one axis within a second, as measured over one."""
ANY_PACE_M_S = 1.4
"""The same between two people."""
PACE_LIMIT_NATS = 3.0
"""No change of velocity says more."""

OUT_OF_REACH_NATS = -8.0
"""The most against who would have to walk faster than anybody does, where both places rest on ``SURE_PLACES``
sightings."""
SURE_PLACES = 3
STAYS_NATS = 2.0
"""For a box that comes back where one of its camera ended: at once, or after any time where both stand still. Who
waits or sits stays with even odds; one box in 15 is where another ended by chance."""
SAME_BOX_IOU = 0.4
STILL_IOU = 0.6
"""Between a box and that of a second before or after: who walks has left it."""


def density_of_people(recording: Recording) -> float:
    """People per square metre around a person, as one camera sees them; at least ``NEW_PEOPLE_PER_M2``."""
    people, neighbours = 0, 0
    for rows in recording.moments():
        places = recording.map_xy[rows]
        places = places[np.isfinite(places).all(axis=1)]
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        people += len(places)
        neighbours += int((distance < NEIGHBOURHOOD_M).sum()) - len(places)
    return max(NEW_PEOPLE_PER_M2, neighbours / max(people, 1) / (np.pi * NEIGHBOURHOOD_M**2))


@dataclass(frozen=True, slots=True)
class Ends:
    """Where fragments begin and end, on the map and in the image."""

    xy: Float64
    """[F, 2, 2] first and last place, metres; NaN where unknown."""
    spread: Float64
    """[F, 2, 3]"""
    velocity: Float64
    """[F, 2, 2] metres a second, over ``KEEPS_WALKING_S`` from either end."""
    places: Int64
    """[F, 2] number of sightings that they rest on."""
    cameras: Int64
    """[F]"""
    quadrants: Int64
    """[F] quarter of the image in which each was last."""
    boxes: Float64
    """[F, 2, 4] first and last box, px."""
    still: Bool
    """[F, 2] Whether the box stayed where it is for ``KEEPS_WALKING_S`` from either end."""


def find_ends(recording: Recording, fragments: Fragments) -> Ends:
    """The ends of all fragments; their errors are those of a mean over the first or the last second."""
    count = len(fragments)
    xy, spread, velocity = np.full((count, 2, 2), np.nan), np.full((count, 2, 3), np.nan), np.zeros((count, 2, 2))
    places, still = np.zeros((count, 2), np.int64), np.zeros((count, 2), np.bool_)
    time_s: Float64 = recording.frames / recording.rate
    known: Bool = np.asarray(np.isfinite(recording.map_xy).all(axis=1))
    for row, (begin, end) in enumerate(fragments.rows.tolist()):
        for side, edge in enumerate((begin, end - 1)):
            near = begin + np.flatnonzero(np.abs(time_s[begin:end] - time_s[edge]) <= KEEPS_WALKING_S)
            far = near[-1] if side == 0 else near[0]
            still[row, side] = _is_still(recording, edge, far, time_s)
        placed = begin + np.flatnonzero(known[begin:end])
        if not len(placed):
            continue
        for side, edge in enumerate((placed[0], placed[-1])):
            near = placed[np.abs(time_s[placed] - time_s[edge]) <= KEEPS_WALKING_S]
            xy[row, side], velocity[row, side] = _line(time_s[near] - time_s[edge], recording.map_xy[near])
            spread[row, side], places[row, side] = recording.spread[edge], len(near)
    edges = np.stack([fragments.rows[:, 0], fragments.rows[:, 1] - 1], axis=1)
    boxes = recording.boxes[edges].astype(np.float64)
    return Ends(xy, spread, velocity, places, fragments.cameras, recording.quadrants[edges[:, 1]], boxes, still)


def _is_still(recording: Recording, edge: int, far: int, time_s: Float64) -> bool:
    if abs(time_s[edge] - time_s[far]) < KEEPS_WALKING_S / 2:
        return False
    return bool(row_iou(recording.boxes[[edge]], recording.boxes[[far]])[0] >= STILL_IOU)


def _line(time_s: Float64, places: Float64) -> tuple[Float64, Float64]:
    """Place at time 0 and velocity of the line through places at the given times."""
    if np.ptp(time_s) < KEEPS_WALKING_S / 2:
        return places[np.abs(time_s).argmin()], np.zeros(2)
    centre = time_s.mean()
    velocity = ((time_s - centre) @ (places - places.mean(axis=0))) / ((time_s - centre) ** 2).sum()
    speed = float(np.linalg.norm(velocity))
    velocity = velocity * min(1.0, WALKING_SPEED_M_S / max(speed, 1e-9))
    return places.mean(axis=0) - velocity * centre, velocity


def coming_back(ends: Ends, one: Int64, other: Int64, gap_s: Float64, density: float) -> tuple[Float64, Float64]:
    """Nats for pairs [K] of which ``other`` begins ``gap_s`` after ``one`` ends.

    Returns:
        [K] from place, motion and time; NaN where a place is unknown. [K] against who would have to be faster than
        anybody, else 0.
    """
    leave, come = ends.xy[one, 1], ends.xy[other, 0]
    spread = ends.spread[one, 1] + ends.spread[other, 0]
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(come - leave, axis=1)
        beyond = distance - WALKING_SPEED_M_S * gap_s - REACH_SLACK_M
        drift = (ends.velocity[one, 1] + ends.velocity[other, 0]) / 2
        expected = leave + drift * np.minimum(gap_s, KEEPS_WALKING_S)[:, None]
        wander = ((WANDER_M_S * gap_s) ** 2)[:, None] * np.array([1.0, 0.0, 1.0])
        nats = np.logaddexp(log_density(come - expected, spread + wander) - np.log(density), np.log(RETURNS))
        nats += _keeping_pace(ends.velocity[one, 1] - ends.velocity[other, 0], gap_s)
        sure = np.minimum(ends.places[one, 1], ends.places[other, 0]) / SURE_PLACES
        error = _out_of_reach(beyond / np.sqrt(spread[:, 0] + spread[:, 2]))
        against = np.where(beyond > 0, error * np.minimum(sure, 1), 0.0)
    stays = _stays(ends, one, other, gap_s)
    return np.where(stays, np.fmax(nats, STAYS_NATS), nats), np.where(stays, 0.0, against)


def _out_of_reach(sigmas: Float64) -> Float64:
    """Nats [K] for places that lie so many standard errors too far: some are far worse than their covariance says."""
    square = sigmas**2 / 2
    return np.maximum(np.logaddexp(LOG_SURE_SHARE - square, LOG_WILD_SHARE - square / WILD_SPREAD), OUT_OF_REACH_NATS)


def leading_there(ends: Ends, one: Int64, other: Int64, gap_s: Float64, topology: Topology) -> Float64:
    """[K] nats for pairs of which ``one`` leaves through an exit that leads to the camera in which ``other`` begins."""
    leads = topology.exits[ends.cameras[one], ends.quadrants[one], ends.cameras[other]]
    return np.where(leads & (gap_s > 0) & (gap_s <= EXIT_HORIZON_S), EXIT_NATS, 0.0)


def _stays(ends: Ends, one: Int64, other: Int64, gap_s: Float64) -> Bool:
    """[K] whether ``other`` begins in its camera's image where ``one`` ended."""
    stays: Bool = np.asarray(ends.cameras[one] == ends.cameras[other])
    stays &= (gap_s <= KEEPS_WALKING_S) | (ends.still[one, 1] & ends.still[other, 0])
    stays[stays] = row_iou(ends.boxes[one[stays], 1], ends.boxes[other[stays], 0]) >= SAME_BOX_IOU
    return stays


def _keeping_pace(change: Float64, gap_s: Float64) -> Float64:
    """[K] nats for changes of velocity [K, 2] over a gap: one person's are small, those from one to another are not."""
    square = (change**2).sum(axis=1)
    nats = np.log(ANY_PACE_M_S**2 / SAME_PACE_M_S**2) - square / 2 * (SAME_PACE_M_S**-2 - ANY_PACE_M_S**-2)
    known = change.any(axis=1)
    return np.where(known, np.clip(nats, -PACE_LIMIT_NATS, PACE_LIMIT_NATS) * np.exp(-gap_s / KEEPS_WALKING_S), 0.0)


def looking_alike(cosine: Float64, threshold: float) -> Float64:
    """Nats for cosines of two looks."""
    return np.asarray(np.clip((cosine - threshold) * LOOK_NATS_PER_COSINE, -LOOK_LIMIT_NATS, LOOK_LIMIT_NATS))
