"""Where people are and how they move: their tracks' places, fused over the cameras that see them."""

from __future__ import annotations

import numpy as np

from orchestrator.identity.evidence import WALKING_SPEED_M_S
from orchestrator.identity.tables import NOBODY, People, Sightings
from orchestrator.values import Float64, Int64

VELOCITY_MEMORY_S = 0.5
"""Time constant of a person's smoothed velocity."""
FRESH_S = 1.0
"""Between two places farther apart in time nobody's velocity is taken."""


def follow(people: People, here: Int64, sightings: Sightings, tick: int, rate: float) -> None:
    """Moves the people who are seen at a tick to where their tracks are.

    Args:
        people: in whose table.
        here: [N] row of the person of each sighting; ``NOBODY`` while unknown.
        sightings: of the tick.
        tick: when.
        rate: ticks a second.
    """
    named = here != NOBODY
    seen = np.unique(here[named])
    if not len(seen):
        return
    cameras, quadrants = sightings.cameras[named], sightings.quadrants[named]
    people.last_tick[seen] = tick
    people.seen_in[here[named], cameras] = tick
    people.camera[here[named][::-1]] = cameras[::-1]
    people.quadrant[here[named][::-1]] = quadrants[::-1]
    _move(people, here[named], sightings.map_xy[named], sightings.spread[named], tick, rate)


def _move(people: People, here: Int64, map_xy: Float64, spread: Float64, tick: int, rate: float) -> None:
    placed = np.isfinite(map_xy).all(axis=1)
    here, map_xy = here[placed], map_xy[placed]
    weights = 1 / (spread[placed, 0] + spread[placed, 2])
    count = len(people)
    total = np.bincount(here, weights, count)
    moved = np.flatnonzero(total)
    sums = [np.bincount(here, weights * map_xy[:, axis], count)[moved] for axis in range(2)]
    place: Float64 = np.stack(sums, axis=1) / total[moved, None]
    elapsed = (tick - people.xy_tick[moved]) / rate
    with np.errstate(divide="ignore", invalid="ignore"):
        velocity = (place - people.xy[moved]) / elapsed[:, None]
    fresh = np.isfinite(velocity).all(axis=1) & (elapsed > 0) & (elapsed <= FRESH_S)
    velocity = np.where(fresh[:, None], velocity, 0)
    share = np.where(fresh | (elapsed == 0), np.exp(-elapsed / VELOCITY_MEMORY_S), 0)[:, None]
    people.velocity[moved] = _capped(share * people.velocity[moved] + (1 - share) * velocity)
    people.xy[moved], people.xy_tick[moved] = place, tick


def _capped(velocity: Float64) -> Float64:
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    return np.asarray(velocity * np.minimum(1, WALKING_SPEED_M_S / np.maximum(speed, 1e-9)))
