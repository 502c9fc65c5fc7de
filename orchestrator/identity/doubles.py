"""Two names for one person: noticed when people whom no camera ever sees side by side keep standing on one spot.

A track that begins at the wrong place is taken for somebody new, and no later look at that track alone corrects it.
Here pairs of people gather evidence from moment to moment, as long as both are seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orchestrator.identity.evidence import NEW_PEOPLE_PER_M2, log_density
from orchestrator.values import Bool, Float64, Int64

ENOUGH_NATS = 12.0
"""Evidence on which two are one: four moments that speak with odds of 20 to 1 each."""
MOST_NATS = 3.0
"""No moment speaks more strongly than this, for or against."""
SIDE_BY_SIDE_NATS = -12.0
"""What a moment says at which one camera sees both; not for ever, since detectors see double now and then."""
LEAST_NATS = -36.0
PEOPLE = 1 << 31
"""More than there ever are."""
FORGOTTEN_S = 20.0
"""A pair that was not seen together for so long starts anew."""


@dataclass(slots=True)
class Doubles:
    """Evidence for each pair of people being one."""

    pairs: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] rising; the older person times ``PEOPLE``, plus the younger."""
    nats: Float64 = field(default_factory=lambda: np.zeros(0))
    """[K]"""
    seen: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """[K] tick of the last moment."""

    def look(
        self, tick: int, rate: float, people: Int64, cameras: Int64, xy: Float64, spread: Float64
    ) -> list[tuple[int, int]]:
        """Takes in one moment; the pairs [older, younger] that turned out to be one, surest first.

        Args:
            tick: rising; moments lie so far apart that their errors are not the same.
            rate: ticks a second.
            people: [N] person of each track seen now.
            cameras: [N]
            xy: [N, 2] metres.
            spread: [N, 3] covariance of ``xy``.
        """
        self._keep(tick - self.seen <= FORGOTTEN_S * rate)
        now, said = _moment(people, cameras, xy, spread)
        pairs = np.union1d(self.pairs, now)
        nats, seen = np.zeros(len(pairs)), np.full(len(pairs), tick)
        before, here = np.searchsorted(pairs, self.pairs), np.searchsorted(pairs, now)
        nats[before], seen[before] = self.nats, self.seen
        nats[here], seen[here] = np.maximum(nats[here] + said, LEAST_NATS), tick
        self.pairs, self.nats, self.seen = pairs, nats, seen
        sure = np.flatnonzero((nats >= ENOUGH_NATS) & (seen == tick))
        merged: set[int] = set()
        result = []
        for at in sure[np.lexsort((-pairs[sure], -nats[sure]))].tolist():
            older, younger = divmod(int(pairs[at]), PEOPLE)
            if not {older, younger} & merged:
                merged |= {older, younger}
                result.append((older, younger))
        if merged:
            self._keep(np.asarray(~np.isin(np.stack(np.divmod(pairs, PEOPLE)), list(merged)).any(axis=0), np.bool_))
        return result

    def _keep(self, rows: Bool) -> None:
        self.pairs, self.nats, self.seen = self.pairs[rows], self.nats[rows], self.seen[rows]

    def columns(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"doubles": self.pairs, "doubles_nats": self.nats, "doubles_seen": self.seen}

    @classmethod
    def from_columns(cls, arrays: Mapping[str, Any]) -> Doubles:
        """What ``columns`` was taken from."""
        return cls(arrays["doubles"], arrays["doubles_nats"], arrays["doubles_seen"])


def _moment(people: Int64, cameras: Int64, xy: Float64, spread: Float64) -> tuple[Int64, Float64]:
    """The pairs [K] of people who are seen, and what one moment says of each [K]."""
    one, other = np.nonzero(people[:, None] < people[None, :])
    with np.errstate(invalid="ignore"):
        density = log_density(xy[one] - xy[other], spread[one] + spread[other]) - np.log(NEW_PEOPLE_PER_M2)
    same_camera = cameras[one] == cameras[other]
    nats = np.where(same_camera, SIDE_BY_SIDE_NATS, np.clip(density, -MOST_NATS, MOST_NATS))
    known = same_camera | np.isfinite(density)
    pairs, group = np.unique((people[one] * PEOPLE + people[other])[known], return_inverse=True)
    apart = np.zeros(len(pairs), np.bool_)
    apart[group[same_camera[known]]] = True
    count = np.bincount(group, minlength=len(pairs))
    mean = np.bincount(group, nats[known], len(pairs)) / np.maximum(count, 1)
    return pairs, np.where(apart, SIDE_BY_SIDE_NATS, mean)
