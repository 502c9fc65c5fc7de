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
from orchestrator.values import Float64, Int64

ENOUGH_NATS = 12.0
"""Evidence on which two are one: four moments that speak with odds of 20 to 1 each."""
MOST_NATS = 3.0
"""No moment speaks more strongly than this, for or against."""
SIDE_BY_SIDE_NATS = -12.0
"""What a moment says at which one camera sees both; not for ever, since detectors see double now and then."""
LEAST_NATS = -36.0
FORGOTTEN_S = 20.0
"""A pair that was not seen together for so long starts anew."""


@dataclass(slots=True)
class Doubles:
    """Evidence for each pair of people being one."""

    pairs: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    """By the older and the younger person: nats, and the tick of the last moment."""

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
        self.pairs = {pair: known for pair, known in self.pairs.items() if tick - known[1] <= FORGOTTEN_S * rate}
        for pair, nats in _moment(people, cameras, xy, spread).items():
            before = self.pairs.get(pair, (0.0, tick))[0]
            self.pairs[pair] = max(before + nats, LEAST_NATS), tick
        sure = [(nats, pair) for pair, (nats, seen) in self.pairs.items() if nats >= ENOUGH_NATS and seen == tick]
        merged: set[int] = set()
        result = []
        for _, (older, younger) in sorted(sure, reverse=True):
            if not {older, younger} & merged:
                merged |= {older, younger}
                result.append((older, younger))
        for person in merged:
            self.pairs = {pair: known for pair, known in self.pairs.items() if person not in pair}
        return result

    def columns(self) -> dict[str, Any]:
        """For a snapshot."""
        rows = [(*pair, *known) for pair, known in self.pairs.items()]
        return {"doubles": np.array(rows, np.float64).reshape(-1, 4)}

    @classmethod
    def from_columns(cls, arrays: Mapping[str, Any]) -> Doubles:
        """What ``columns`` was taken from."""
        return cls({(int(one), int(other)): (float(nats), int(seen)) for one, other, nats, seen in arrays["doubles"]})


def _moment(people: Int64, cameras: Int64, xy: Float64, spread: Float64) -> dict[tuple[int, int], float]:
    """What one moment says of each pair of people who stand near each other."""
    one, other = np.nonzero(people[:, None] < people[None, :])
    with np.errstate(invalid="ignore"):
        density = log_density(xy[one] - xy[other], spread[one] + spread[other]) - np.log(NEW_PEOPLE_PER_M2)
    same_camera = cameras[one] == cameras[other]
    nats = np.where(same_camera, SIDE_BY_SIDE_NATS, np.clip(density, -MOST_NATS, MOST_NATS))
    known = same_camera | np.isfinite(density)
    pairs, group = np.unique(np.stack([people[one], people[other]], axis=1)[known], axis=0, return_inverse=True)
    group = group.ravel()
    apart = np.zeros(len(pairs), np.bool_)
    apart[group[same_camera[known]]] = True
    count = np.bincount(group, minlength=len(pairs))
    mean = np.bincount(group, nats[known], len(pairs)) / np.maximum(count, 1)
    said = np.where(apart, SIDE_BY_SIDE_NATS, mean)
    return {(older, younger): value for (older, younger), value in zip(pairs.tolist(), said.tolist(), strict=True)}
