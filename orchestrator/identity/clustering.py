"""Joins fragments of tracklets into people: agglomeration under constraints, then moves of single fragments.

The two groups that most evidence joins are joined first, again and again, until no evidence is left for any two;
groups that cannot be one person (one camera saw both at once; nobody walks so fast) are never joined. Each fragment is
then moved to the group that most speaks for it, until none moves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orchestrator.identity.fragments import Fragments
from orchestrator.identity.likelihood import TRUST_NATS, Ends, Togetherness, coming_back, looking_alike
from orchestrator.identity.topology import Topology
from orchestrator.values import Bool, Float64, Int64

PARTNERS = 30
"""So many of those who begin soonest after a fragment ends are tried, and so many of the most alike."""
SWEEPS = 5
"""Times that every fragment may be moved."""
MOVE_NATS = 0.5
"""By how much another group has to be the better one."""
SEAM_S = 0.5
"""Where one group ends and another begins: the pieces that end and begin within this of the narrowest gap."""
APART_NATS = -8.0
"""Against two whom cameras that share no view, or places far apart, show at once."""


@dataclass(slots=True)
class _Group:
    members: list[int]
    look: Float64
    """[D] sum over members of their mean look times its weight."""
    weight: float


class Clustering:
    """The people of one recording."""

    def __init__(
        self,
        fragments: Fragments,
        together: Togetherness,
        ends: Ends,
        topology: Topology,
        *,
        rate: float,
        threshold: float,
        density: float,
    ) -> None:
        self._fragments, self._ends, self._topology = fragments, ends, topology
        self._rate, self._threshold, self._density = rate, threshold, density
        self._weights = np.minimum(fragments.views, 5).astype(np.float64)
        self._pairs: list[dict[int, float]] = [{} for _ in range(len(fragments))]
        for one, other, nats in zip(
            together.one.tolist(), together.other.tolist(), together.nats.tolist(), strict=True
        ):
            self._pairs[one][other] = self._pairs[other][one] = nats
        self._groups: dict[int, _Group] = {row: self._single(row) for row in range(len(fragments))}
        self._owner = np.arange(len(fragments))
        self._next = len(fragments)
        self._partners = self._find_partners()

    def run(self) -> Int64:
        """The group [F] of each fragment, numbered from 0 in the order of the fragments."""
        self._agglomerate()
        for _ in range(SWEEPS):
            if not self._move_all():
                break
            self._agglomerate()
        return np.unique(self._owner, return_inverse=True)[1].astype(np.int64)

    def _single(self, row: int) -> _Group:
        weight = float(self._weights[row])
        return _Group([row], self._fragments.looks[row] * weight, weight)

    def _agglomerate(self) -> None:
        heap: list[tuple[float, int, int]] = []
        for one, other in self._candidates():
            self._push(heap, one, other)
        while heap:
            _, one, other = heapq.heappop(heap)
            if one in self._groups and other in self._groups:
                joined = self._join(one, other)
                for neighbour in self._neighbours(joined):
                    self._push(heap, joined, neighbour)

    def _candidates(self) -> Iterable[tuple[int, int]]:
        pairs = set()
        for row, partners in enumerate(self._partners):
            for partner in partners:
                one, other = self._owner[row], self._owner[partner]
                if one != other:
                    pairs.add((int(min(one, other)), int(max(one, other))))
        return sorted(pairs)

    def _find_partners(self) -> list[set[int]]:
        """By fragment, those with whom joining is tried; symmetric."""
        fragments = self._fragments
        partners: list[set[int]] = [{other for other, nats in own.items() if nats > 0} for own in self._pairs]
        begins = np.argsort(fragments.seen[:, 0], kind="stable")
        starts = fragments.seen[begins, 0]
        for row in range(len(fragments)):
            after = np.searchsorted(starts, fragments.seen[row, 1], "right")
            partners[row].update(begins[after : after + PARTNERS].tolist())
        if fragments.looks.any():
            self._add_alike(partners)
        for row, own in enumerate([tuple(own) for own in partners]):
            for partner in own:
                partners[partner].add(row)
        return partners

    def _add_alike(self, partners: list[set[int]]) -> None:
        looks = self._fragments.looks.astype(np.float32)
        seen = np.flatnonzero(looks.any(axis=1))
        for block in np.array_split(seen, max(1, len(seen) // 512)):
            cosine = looks[block] @ looks[seen].T
            count = min(PARTNERS, len(seen))
            best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
            for row, columns, values in zip(block.tolist(), best, cosine, strict=True):
                alike = columns[values[columns] >= self._threshold]
                partners[row].update(other for other in seen[alike].tolist() if other != row)

    def _neighbours(self, group: int) -> list[int]:
        members = self._groups[group].members
        found = {int(self._owner[other]) for row in members for other in self._partners[row]}
        found.discard(group)
        return sorted(found)

    def _push(self, heap: list[tuple[float, int, int]], one: int, other: int) -> None:
        nats = self._evidence(self._groups[one], self._groups[other])
        if nats > 0:
            heapq.heappush(heap, (-nats, one, other))

    def _join(self, one: int, other: int) -> int:
        first, second = self._groups.pop(one), self._groups.pop(other)
        name, self._next = self._next, self._next + 1
        members = sorted(first.members + second.members)
        self._groups[name] = _Group(members, first.look + second.look, first.weight + second.weight)
        self._owner[members] = name
        return name

    def _evidence(self, one: _Group, other: _Group) -> float:
        """Nats for two groups being one person; -inf where they cannot be."""
        a, b = np.array(one.members), np.array(other.members)
        seen, cameras = self._fragments.seen, self._fragments.cameras
        gap = np.maximum(seen[a, 0][:, None] - seen[b, 1][None], seen[b, 0][None] - seen[a, 1][:, None])
        at_once = gap <= 0
        if (at_once & (cameras[a][:, None] == cameras[b][None])).any():
            return -np.inf
        looks = self._looks(one, other)
        if at_once.any():
            place = self._places_at_once(a, b, at_once)
            return -np.inf if self._too_far(a, b, gap) else place + looks
        return self._in_turn(a, b, gap) + looks

    def _looks(self, one: _Group, other: _Group) -> float:
        if not (one.weight and other.weight):
            return 0.0
        cosine = float(one.look @ other.look) / (one.weight * other.weight)
        return float(looking_alike(np.array(cosine), self._threshold))

    def _places_at_once(self, a: Int64, b: Int64, at_once: Bool) -> float:
        total, rows = 0.0, self._pairs
        apart = self._topology.apart
        cameras = self._fragments.cameras
        for i, j in zip(*np.nonzero(at_once), strict=True):
            one, other = int(a[i]), int(b[j])
            nats = rows[one].get(other)
            if nats is not None:
                total += max(nats, APART_NATS)
            elif apart[cameras[one], cameras[other]]:
                total += APART_NATS
        return total

    def _too_far(self, a: Int64, b: Int64, gap: Float64) -> bool:
        i, j = np.nonzero(gap > 0)
        return bool(np.isneginf(self._returns(a[i], b[j])).any()) if len(i) else False

    def _returns(self, a: Int64, b: Int64) -> Float64:
        seen = self._fragments.seen
        later = seen[a, 0] > seen[b, 1]
        first, second = np.where(later, b, a), np.where(later, a, b)
        gap_s = (seen[second, 0] - seen[first, 1]) / self._rate
        return coming_back(self._ends, first, second, gap_s, self._density)

    def _in_turn(self, a: Int64, b: Int64, gap: Float64) -> float:
        """Nats from the place and time at which the one group ends and the other begins."""
        nats = self._returns(np.repeat(a, len(b)), np.tile(b, len(a)))
        if np.isneginf(nats).any():
            return -np.inf
        seam = gap.ravel() <= gap.min() + SEAM_S * self._rate
        known = seam & ~np.isnan(nats)
        place = float(nats[known].mean()) if known.any() else np.nan
        one, other = np.repeat(a, len(b))[seam], np.tile(b, len(a))[seam]
        tracklets = self._fragments.tracklets
        kept = int(((tracklets[one] == tracklets[other]) & (np.abs(one - other) == 1)).sum())
        if kept:
            return (0.0 if np.isnan(place) else place) + TRUST_NATS * kept
        if np.isnan(place):
            return 0.0 if self._weights[a].any() and self._weights[b].any() else -np.inf
        return place

    def _move_all(self) -> bool:
        moved = False
        for row in range(len(self._owner)):
            own = int(self._owner[row])
            group = self._groups[own]
            alone = self._single(row)
            rest = self._without(group, row) if len(group.members) > 1 else None
            stay = self._evidence(alone, rest) if rest else 0.0
            best, target = max(stay, 0.0) + MOVE_NATS, None
            for name in self._groups_near(row):
                if name != own and (nats := self._evidence(alone, self._groups[name])) > best:
                    best, target = nats, name
            if target is None and (rest is None or stay >= -MOVE_NATS):
                continue
            moved = True
            self._take_out(own, rest)
            if target is None:
                target, self._next = self._next, self._next + 1
                self._groups[target] = alone
            else:
                there = self._groups[target]
                self._groups[target] = _Group(
                    sorted([*there.members, row]), there.look + alone.look, there.weight + alone.weight
                )
            self._owner[row] = target
        return moved

    def _groups_near(self, row: int) -> list[int]:
        return sorted({int(self._owner[other]) for other in self._partners[row]})

    def _without(self, group: _Group, row: int) -> _Group:
        alone = self._single(row)
        return _Group(
            [member for member in group.members if member != row], group.look - alone.look, group.weight - alone.weight
        )

    def _take_out(self, own: int, rest: _Group | None) -> None:
        if rest is None:
            del self._groups[own]
        else:
            self._groups[own] = rest
