"""The second pass: who is who, once the whole recording is known.

A pure function of what is stored of a recording, so that the live pipeline, recorded detections and a worker that
does it again after a crash come to the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orchestrator.identity.clustering import Clustering
from orchestrator.identity.fragments import Fragments, cut
from orchestrator.identity.likelihood import density_of_people, find_ends
from orchestrator.identity.pairs import find_pairs
from orchestrator.identity.recording import Recording, sample_step
from orchestrator.identity.tables import NOBODY
from orchestrator.identity.topology import Topology
from orchestrator.values import Float64, Int64


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
    fragments = cut(recording, threshold)
    recording = recording.unplaced(~fragments.upright[fragments.owners()])
    density = density_of_people(recording)
    pairs = find_pairs(recording, fragments, find_ends(recording, fragments), topology, density, threshold)
    groups = Clustering(
        fragments, pairs, recording.people[fragments.tracklets], rate=recording.rate, threshold=threshold
    ).run()
    return _stretches(fragments, _number(recording, fragments, groups), sample_step(recording.rate))


def _number(recording: Recording, fragments: Fragments, groups: Int64) -> Int64:
    """The person [F] of each fragment: each group takes the number that most of its ticks had online, once.

    A group of which nobody ever stood upright is no person by itself: its pieces stay with whom they had online.
    """
    before = recording.people[fragments.tracklets]
    ticks = (fragments.spans[:, 1] - fragments.spans[:, 0] + 1).astype(np.float64)
    named = before != NOBODY
    standing = np.bincount(groups, fragments.upright)[groups] > 0
    counted = named & standing
    names, column = np.unique(before[counted], return_inverse=True)
    number = np.full(int(groups.max()) + 1, NOBODY)
    rows, columns = _share_out(groups[counted], column, ticks[counted])
    number[rows] = names[columns]
    new = np.setdiff1d(groups[counted], rows)
    number[new] = before.max(initial=NOBODY) + 1 + np.arange(len(new))
    people = np.where(standing, number[groups], np.where(np.isin(before, number), before, NOBODY))
    return np.where(named, people, NOBODY)


def _share_out(groups: Int64, names: Int64, ticks: Float64) -> tuple[Int64, Int64]:
    """Pairs of group and name, each at most once, which have the most ticks together.

    Each set of groups and names that hang together is a small problem of its own: one over all of them would take
    memory by the square of the recording's length.
    """
    pairs, at = np.unique(np.column_stack([groups, names]), axis=0, return_inverse=True)
    shared = np.asarray(np.bincount(at.ravel(), ticks, len(pairs)), np.float64)
    above = int(groups.max(initial=-1)) + 1
    edges = (shared, (pairs[:, 0], above + pairs[:, 1]))
    size = above + int(names.max(initial=-1)) + 1
    part = connected_components(coo_array(edges, shape=(size, size)), directed=False)[1][pairs[:, 0]]
    order = np.argsort(part, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
    taken = np.concatenate([rows if len(rows) == 1 else _best(pairs[rows], shared[rows], rows) for rows in parts])
    return pairs[taken, 0], pairs[taken, 1]


def _best(pairs: Int64, shared: Float64, rows: Int64) -> Int64:
    """Those of the ``rows`` [K] whose pairs [K, 2] share the most, with each group and each name once."""
    groups, group = np.unique(pairs[:, 0], return_inverse=True)
    names, name = np.unique(pairs[:, 1], return_inverse=True)
    table, which = np.zeros((len(groups), len(names))), np.full((len(groups), len(names)), NOBODY)
    table[group, name], which[group, name] = shared, rows
    chosen = which[linear_sum_assignment(table, maximize=True)]
    return np.asarray(chosen[chosen != NOBODY], np.int64)


def _stretches(fragments: Fragments, people: Int64, step: int) -> Stretches:
    """Pieces of one tracklet and one person that follow each other, joined; nobody is twice in one camera at once."""
    doubles = _doubles(fragments, people, step)
    rows, firsts, found = [], [], []
    for row, first in enumerate(fragments.spans[:, 0].tolist()):
        cuts = {first: int(people[row])}
        for begin, end in doubles.get(row, []):
            cuts |= {begin: NOBODY, end + 1: int(people[row])}
        inside = [tick for tick in sorted(cuts) if tick <= fragments.spans[row, 1]]
        rows += [row] * len(inside)
        firsts += inside
        found += [cuts[tick] for tick in inside]
    tracklets, first, person = fragments.tracklets[rows], np.array(firsts, np.int64), np.array(found, np.int64)
    changes = np.append(True, (np.diff(tracklets) != 0) | (np.diff(person) != 0))
    tracklets, first, person = tracklets[changes], first[changes], person[changes]
    ends = {int(tracklet): int(end) for tracklet, end in zip(fragments.tracklets, fragments.spans[:, 1], strict=True)}
    follows = np.append(np.diff(tracklets) == 0, False)
    last = np.where(follows, np.append(first[1:], 0) - 1, [ends[tracklet] for tracklet in tracklets.tolist()])
    return Stretches(tracklets, np.column_stack([first, last]), person)


def _doubles(fragments: Fragments, people: Int64, step: int) -> dict[int, list[tuple[int, int]]]:
    """By fragment the ticks, from and to, at which its camera shows the same person on a longer track.

    Args:
        fragments: pieces of tracklets.
        people: [F]
        step: ticks between two sightings that are looked at.
    """
    tracks, track = np.unique(np.column_stack([people, fragments.tracklets]), axis=0, return_inverse=True)
    length = np.bincount(track.ravel(), np.diff(fragments.rows, axis=1).ravel(), len(tracks))[track.ravel()]
    sure = np.minimum(fragments.seen[:, 1] + 2 * step - 1, fragments.spans[:, 1])
    named = np.flatnonzero(people != NOBODY)
    unsure = named[sure[named] < fragments.spans[named, 1]]
    rows, tail = np.append(named, unsure), np.repeat([False, True], [len(named), len(unsure)])
    begin = np.where(tail, sure[rows] + 1, fragments.seen[rows, 0])
    end = np.where(tail, fragments.spans[rows, 1], sure[rows])
    strength = np.where(tail, 0, length[rows])
    place = np.unique(np.column_stack([people, fragments.cameras])[rows], axis=0, return_inverse=True)[1].ravel()
    found: dict[int, list[tuple[int, int]]] = {}
    standing: list[int] = []
    for item in np.lexsort((begin, place)).tolist():
        standing = [other for other in standing if place[other] == place[item] and end[other] >= begin[item]]
        for other in standing:
            both = int(begin[item]), int(min(end[item], end[other]))
            weaker = min(item, other, key=lambda index: (strength[index], -rows[index]))
            found.setdefault(int(rows[weaker]), []).append(both)
        standing.append(item)
    return {row: _joined(spans) for row, spans in found.items()}


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch, as one; by rising tick."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined
