"""The second pass: who is who, once the whole recording is known.

A pure function of what is stored of a recording, so that the live pipeline, recorded detections and a worker that
does it again after a crash come to the same names.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from orchestrator.identity.clustering import Clustering
from orchestrator.identity.fragments import Fragments, cut
from orchestrator.identity.likelihood import compare_places, density_of_people, find_ends
from orchestrator.identity.recording import Recording
from orchestrator.identity.tables import NOBODY
from orchestrator.identity.topology import Topology
from orchestrator.values import Int64

logger = logging.getLogger(__name__)

MOST_TRACKLETS = 3000
"""Recordings of more keep the names that they have: 340 take seconds, and time grows faster than their number."""
SEEN_S = 0.5
"""Whom cameras saw for less, all together, and whom the online association did not name, stays without a name."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Who each tracklet is, stretch by stretch; the stretches of one tracklet follow each other without a gap."""

    tracklets: Int64
    """[S] row in the recording; rising."""
    spans: Int64
    """[S, 2] first and last tick."""
    people: Int64
    """[S] -1 for nobody; numbers of the online association go on to mean the same people where they can."""

    def __len__(self) -> int:
        return len(self.tracklets)


def look_again(recording: Recording, topology: Topology, threshold: float) -> Stretches:
    """Names all tracklets of a recording anew.

    Args:
        recording: what was found online.
        topology: of the environment.
        threshold: cosine from which two looks speak for one person.
    """
    if not len(recording):
        nothing = np.zeros(0, np.int64)
        return Stretches(nothing, np.zeros((0, 2), np.int64), nothing)
    if len(recording) > MOST_TRACKLETS:
        logger.warning("%d tracklets, more than %d: they keep their names", len(recording), MOST_TRACKLETS)
        return Stretches(np.arange(len(recording)), recording.spans, recording.people)
    fragments = cut(recording)
    density = density_of_people(recording)
    groups = Clustering(
        fragments,
        compare_places(recording, fragments, density),
        find_ends(recording, fragments),
        topology,
        rate=recording.rate,
        threshold=threshold,
        density=density,
    ).run()
    return _stretches(fragments, _number(recording, fragments, groups))


def _number(recording: Recording, fragments: Fragments, groups: Int64) -> Int64:
    """The person [F] of each fragment: each group takes the number that most of its ticks had online, once."""
    before = recording.people[fragments.tracklets]
    ticks = (fragments.spans[:, 1] - fragments.spans[:, 0] + 1).astype(np.float64)
    shared = np.zeros((int(groups.max()) + 1, int(before.max(initial=0)) + 1))
    named = before != NOBODY
    np.add.at(shared, (groups[named], before[named]), ticks[named])
    number = np.full(len(shared), NOBODY)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    taken = shared[rows, columns] > 0
    number[rows[taken]] = columns[taken]
    seen_s = np.bincount(groups, ticks) / recording.rate
    new = np.flatnonzero((number == NOBODY) & ((seen_s >= SEEN_S) | shared.any(axis=1)))
    number[new] = before.max(initial=NOBODY) + 1 + np.arange(len(new))
    return number[groups]


def _stretches(fragments: Fragments, people: Int64) -> Stretches:
    """Fragments of one tracklet and one person that follow each other, joined."""
    changes = (np.diff(fragments.tracklets) != 0) | (np.diff(people) != 0)
    first = np.append(0, np.flatnonzero(changes) + 1)
    last = np.append(first[1:], len(people)) - 1
    spans = np.column_stack([fragments.spans[first, 0], fragments.spans[last, 1]])
    return Stretches(fragments.tracklets[first], spans, people[first])
