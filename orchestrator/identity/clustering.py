"""Joins fragments of tracklets into people: agglomeration over a sparse graph, then moves of single fragments.

The two groups that most evidence joins are joined first, again and again, until no evidence is left for any two. Each
fragment is then moved to the group that most speaks for it, until none moves. This is greedy additive edge contraction
with moves (Keuper et al., Efficient Decomposition of Image and Mesh Graphs by Lifted Multicuts, ICCV 2015), with two
exceptions to adding up: looks are compared between the means of groups, and places only where one group ends and the
other begins.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from orchestrator.identity.fragments import Fragments
from orchestrator.identity.likelihood import looking_alike
from orchestrator.identity.pairs import Pairs
from orchestrator.values import Float64, Int64

SWEEPS = 5
"""Times that every fragment may be moved."""
MOVE_NATS = 0.5
"""By how much another group has to be the better one."""
SEAM_S = 0.5
"""Where one group ends and another begins: the pieces that end and begin within this of the narrowest gap."""
KEEP_NATS = 4.0
"""The online association took them for one: less than this against it, which is what one look can say, is too weak."""
MOST_VIEWS = 5
"""More embeddings of one fragment weigh no more: they show the same side of the same moment."""
LOOK_BLOCK = 4_000_000
"""Values of embeddings that are compared in one go."""


@dataclass(slots=True)
class _Edge:
    """What is known of two groups, apart from looks."""

    nats: float
    gap: float
    """Narrowest, ticks; 0 where both are seen at once."""
    seam: float
    """Sum of the nats of the pairs at the narrowest gap."""
    seams: int

    def add(self, other: _Edge, slack: float) -> None:
        """Takes in an edge of another pair of the same two groups."""
        self.nats += other.nats
        if other.gap < self.gap - slack:
            self.gap, self.seam, self.seams = other.gap, other.seam, other.seams
        elif other.gap <= self.gap + slack:
            self.gap = min(self.gap, other.gap)
            self.seam += other.seam
            self.seams += other.seams

    def value(self) -> float:
        """Nats for one person."""
        return self.nats + (self.seam / self.seams if self.seams and self.gap > 0 else 0.0)


class Clustering:
    """The people of one recording."""

    def __init__(self, fragments: Fragments, pairs: Pairs, before: Int64, *, rate: float, threshold: float) -> None:
        """Nothing is joined yet; ``before`` [F] is whom the online association took each for, -1 for nobody."""
        self._pairs, self._threshold, self._slack = pairs, threshold, SEAM_S * rate
        self._looks = fragments.looks.astype(np.float32)
        self._weights = np.minimum(fragments.views, MOST_VIEWS).astype(np.float64)
        self._owner = np.arange(len(fragments))
        self._before, self._ticks = before, np.diff(fragments.spans, axis=1).ravel() + 1.0

    def run(self) -> Int64:
        """The group [F] of each fragment, numbered from 0 in the order of the fragments."""
        self._agglomerate()
        for _ in range(SWEEPS):
            if not self._move():
                break
            self._agglomerate()
        self._agglomerate(self._names())
        return np.unique(self._owner, return_inverse=True)[1].ravel().astype(np.int64)

    def _agglomerate(self, names: list[dict[int, float]] | None = None) -> None:
        graph = _Graph(*self._sums(), self._group_edges(), self._slack, self._threshold, names)
        graph.contract()
        self._owner = graph.roots()[self._owner]

    def _names(self) -> list[dict[int, float]]:
        """Of each group the ticks that it had each name."""
        names: list[dict[int, float]] = [{} for _ in self._owner]
        columns = (self._owner.tolist(), self._before.tolist(), self._ticks.tolist())
        for group, person, ticks in zip(*columns, strict=True):
            if person >= 0:
                names[group][person] = names[group].get(person, 0.0) + ticks
        return names

    def _sums(self) -> tuple[Float64, Float64]:
        """Weighted looks [F, D] and weights [F] of groups, by their number."""
        looks: Float64 = np.zeros(self._looks.shape)
        np.add.at(looks, self._owner, self._looks * self._weights[:, None])
        return looks, np.asarray(np.bincount(self._owner, self._weights, len(self._owner)), np.float64)

    def _group_edges(self) -> dict[tuple[int, int], _Edge]:
        one, other = self._owner[self._pairs.one], self._owner[self._pairs.other]
        low, high = np.minimum(one, other), np.maximum(one, other)
        rows = np.flatnonzero(low < high)
        pairs, nats, gap, seam, seams = self._added(low[rows], high[rows], rows)
        columns = zip(nats.tolist(), gap.tolist(), seam.tolist(), seams.tolist(), strict=True)
        return {(a, b): _Edge(*column) for (a, b), column in zip(pairs.tolist(), columns, strict=True)}

    def _added(self, one: Int64, other: Int64, rows: Int64) -> tuple[Int64, Float64, Float64, Float64, Int64]:
        """Pairs ``rows`` added up by whom they are between: (one, other) [E, 2], nats, gap, sum and number of seams."""
        codes = one * len(self._owner) + other
        found, inverse = np.unique(codes, return_inverse=True)
        inverse, count, pairs = inverse.ravel(), len(found), self._pairs
        nats: Float64 = np.bincount(inverse, pairs.nats[rows], count).astype(np.float64)
        gap: Float64 = np.full(count, np.inf)
        np.minimum.at(gap, inverse, pairs.gap[rows])
        at_seam = (pairs.gap[rows] <= gap[inverse] + self._slack) & ~np.isnan(pairs.seam[rows])
        seam: Float64 = np.bincount(inverse[at_seam], pairs.seam[rows][at_seam], count).astype(np.float64)
        seams = np.bincount(inverse[at_seam], minlength=count)
        return np.column_stack(np.divmod(found, len(self._owner))), nats, gap, seam, seams

    def _move(self) -> bool:
        """Moves fragments to the groups that most speak for them; no group takes part in two moves."""
        pairs = self._pairs
        rows = np.concatenate([np.arange(len(pairs))] * 2)
        fragment = np.concatenate([pairs.one, pairs.other])
        group = self._owner[np.concatenate([pairs.other, pairs.one])]
        found, nats, gap, seam, seams = self._added(fragment, group, rows)
        fragment, group = found.T
        value = nats + np.where((gap > 0) & (seams > 0), seam / np.maximum(seams, 1), 0.0)
        value += self._look_nats(fragment, group)
        own = self._owner[fragment] == group
        stay = np.zeros(len(self._owner))
        stay[fragment[own]] = value[own]
        alone = np.bincount(self._owner, minlength=len(self._owner))[self._owner] == 1
        best = np.zeros(len(self._owner))
        target = np.full(len(self._owner), -1)
        order = np.flatnonzero(~own)
        order = order[np.argsort(value[order], kind="stable")]
        best[fragment[order]], target[fragment[order]] = np.maximum(value[order], 0), group[order]
        target[best == 0] = -1
        gain = best - stay
        wanted = np.flatnonzero((gain > MOVE_NATS) & ~(alone & (target < 0)))
        return self._apply(wanted[np.argsort(-gain[wanted], kind="stable")], target)

    def _look_nats(self, fragment: Int64, group: Int64) -> Float64:
        """[E] from the looks of fragments and of groups without them."""
        sums, weights = self._sums()
        nats = np.zeros(len(fragment))
        step = max(1, LOOK_BLOCK // max(self._looks.shape[1], 1))
        for start in range(0, len(fragment), step):
            part = slice(start, start + step)
            own = (self._owner[fragment[part]] == group[part]) * self._weights[fragment[part]]
            look = self._looks[fragment[part]]
            product = np.einsum("ed,ed->e", look, sums[group[part]]) - own * np.einsum("ed,ed->e", look, look)
            weight = weights[group[part]] - own
            known = (weight > 0) & (self._weights[fragment[part]] > 0)
            cosine = product / np.where(known, weight, 1)
            nats[part] = np.where(known, looking_alike(cosine, self._threshold), 0.0)
        return nats

    def _apply(self, wanted: Int64, target: Int64) -> bool:
        touched: set[int] = set()
        free = iter(np.flatnonzero(np.bincount(self._owner, minlength=len(self._owner)) == 0).tolist())
        for row in wanted.tolist():
            own, to = int(self._owner[row]), int(target[row])
            if own in touched or to in touched:
                continue
            to = next(free) if to < 0 else to
            self._owner[row] = to
            touched |= {own, to}
        return bool(touched)


class _Graph:
    """Groups and what is known of their pairs; shrinks as groups are joined."""

    def __init__(
        self,
        looks: Float64,
        weights: Float64,
        edges: dict[tuple[int, int], _Edge],
        slack: float,
        threshold: float,
        names: list[dict[int, float]] | None,
    ) -> None:
        self._looks, self._weights, self._slack, self._threshold = looks, weights, slack, threshold
        self._names = names
        self._near: list[dict[int, _Edge]] = [{} for _ in range(len(weights))]
        for (one, other), edge in edges.items():
            self._near[one][other] = self._near[other][one] = edge
        self._root = list(range(len(weights)))
        self._version = [0] * len(weights)
        self._heap: list[tuple[float, int, int, int, int]] = []

    def contract(self) -> None:
        """Joins the surest two, again and again."""
        for one in range(len(self._near)):
            self._push(one, [other for other in self._near[one] if other > one])
        heapq.heapify(self._heap)
        while self._heap:
            _, one, other, *versions = heapq.heappop(self._heap)
            if versions == [self._version[one], self._version[other]]:
                self._join(one, other)

    def roots(self) -> Int64:
        """The group [F] that each has become part of."""
        for group in range(len(self._root)):
            root = group
            while self._root[root] != root:
                root = self._root[root]
            self._root[group] = root
        return np.array(self._root, np.int64)

    def _push(self, one: int, others: list[int]) -> None:
        if not others:
            return
        looks = self._compare(one, others)
        near = self._near[one]
        for other, nats in zip(others, looks, strict=True):
            value = near[other].value() + nats
            if self._names is not None:
                value += KEEP_NATS * _overlap(self._names[one], self._names[other])
            if value > 0:
                low, high = min(one, other), max(one, other)
                heapq.heappush(self._heap, (-value, low, high, self._version[low], self._version[high]))

    def _compare(self, one: int, others: list[int]) -> list[float]:
        weights = self._weights[others] * self._weights[one]
        if not weights.any():
            return [0.0] * len(others)
        cosine = self._looks[others] @ self._looks[one] / np.where(weights > 0, weights, 1)
        found: list[float] = np.where(weights > 0, looking_alike(cosine, self._threshold), 0.0).tolist()
        return found

    def _join(self, one: int, other: int) -> None:
        if len(self._near[one]) < len(self._near[other]):
            one, other = other, one
        self._root[other] = one
        self._version[one] += 1
        self._version[other] = -1
        self._looks[one] += self._looks[other]
        self._weights[one] += self._weights[other]
        if self._names is not None:
            for person, ticks in self._names[other].items():
                self._names[one][person] = self._names[one].get(person, 0.0) + ticks
        kept = self._near[one]
        for neighbour, edge in self._near[other].items():
            around = self._near[neighbour]
            del around[other]
            if neighbour == one:
                continue
            if neighbour in kept:
                kept[neighbour].add(edge, self._slack)
            else:
                kept[neighbour] = around[one] = edge
        self._near[other] = {}
        self._push(one, list(kept))


def _overlap(one: dict[int, float], other: dict[int, float]) -> float:
    """Share of their time 0..1 that two groups had the same name."""
    if not one or not other:
        return 0.0
    first, second = sum(one.values()), sum(other.values())
    return sum(min(ticks / first, other[person] / second) for person, ticks in one.items() if person in other)
