"""One assignment of tracks to people over all cameras (Hungarian method)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from orchestrator.identity.tables import NOBODY
from orchestrator.values import Bool, Float64, Int64


def assign(evidence: Float64, cameras: Int64, seen_now: Bool) -> tuple[Float64, Int64]:
    """The evidence [N] for the best person of each track, and that person [N], ``NOBODY`` for somebody new.

    A person whom some camera sees already can be joined by one track of every other camera, everyone else by one
    track alone: two tracks far apart could both be theirs. Tracks without a person get their best evidence,
    capped at 0.

    Args:
        evidence: [N, P] nats for each track being each person.
        cameras: [N] of the tracks.
        seen_now: [P] whether a camera sees the person already.
    """
    person, value = np.full(len(evidence), NOBODY), np.full(len(evidence), -np.inf)
    if not evidence.shape[1]:
        return value, person
    value = np.minimum(evidence.max(axis=1), 0.0)
    gain, columns = _columns(evidence, cameras, seen_now)
    chosen, column = linear_sum_assignment(gain, maximize=True)
    real = gain[chosen, column] > 0
    chosen, column = chosen[real], column[real]
    person[chosen], value[chosen] = columns[column], gain[chosen, column]
    return value, person


def _columns(evidence: Float64, cameras: Int64, seen_now: Bool) -> tuple[Float64, Int64]:
    """The assignment's gains [N, M], 0 where a track would rather be new, and the person [M] of each column."""
    hopeful = np.flatnonzero((evidence > 0).any(axis=0))
    gain = np.maximum(evidence[:, hopeful], 0)
    seen = seen_now[hopeful]
    blocks, people = [gain[:, ~seen]], [hopeful[~seen]]
    for camera in np.unique(cameras):
        blocks.append(np.where((cameras == camera)[:, None], gain[:, seen], 0))
        people.append(hopeful[seen])
    return np.hstack(blocks), np.concatenate(people)
