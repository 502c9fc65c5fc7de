"""Who has agreed to meet whom: who comes first waits, then the two stand face to face and talk."""

from __future__ import annotations

import numpy as np

from orchestrator.values import Bool, Float64, Int64

NOBODY = -1
WAIT_S = 12.0
"""Who has waited for so long for the other goes on alone."""
_SOCIABLE = 0.2
"""Probability that somebody who goes on looks for company."""
_HAIL_M = 15.0
"""Nobody farther off is asked."""
_GREET_M = 1.3
"""Two who have come so close begin to talk."""
_TALK_M = 1.0
"""Between two who talk."""


class Meetings:
    """The pairs among P people, and which of them talk."""

    def __init__(self, people: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self.partner: Int64 = np.full(people, NOBODY)
        """[P] whom each is to meet, or meets."""
        self.talking: Bool = np.zeros(people, bool)
        """[P]."""

    def arrange(self, person: int, free: Bool, xy: Float64) -> int:
        """Whom a person now agrees to meet, among those who are ``free`` and have nobody yet; mostly ``NOBODY``."""
        if self.partner[person] != NOBODY or self._rng.random() > _SOCIABLE:
            return NOBODY
        asked = free & (self.partner == NOBODY) & (np.linalg.norm(xy - xy[person], axis=1) < _HAIL_M)
        asked[person] = False
        if not asked.any():
            return NOBODY
        other = int(self._rng.choice(np.flatnonzero(asked)))
        self.partner[person], self.partner[other] = other, person
        return other

    def part(self, person: int) -> None:
        """End, or call off, what a person had agreed to."""
        other = int(self.partner[person])
        if other != NOBODY:
            self.partner[[person, other]] = NOBODY
            self.talking[[person, other]] = False

    def greet(self, xy: Float64, waiting: Bool) -> list[tuple[int, int, float]]:
        """The pairs that begin to talk now: the two, and for how many seconds. One of them was ``waiting``."""
        begun = []
        for one in np.flatnonzero(waiting & (self.partner != NOBODY) & ~self.talking).tolist():
            other = int(self.partner[one])
            if not self.talking[one] and np.linalg.norm(xy[one] - xy[other]) < _GREET_M:
                self.talking[[one, other]] = True
                begun.append((one, other, 2.5 + self._rng.exponential(3.0)))
        return begun

    def towards(self, xy: Float64) -> Float64:
        """[P, 2] from each person to their partner, metres; zeros for whoever has none."""
        return np.where((self.partner != NOBODY)[:, None], xy[self.partner] - xy, 0.0)

    def approach(self, xy: Float64) -> Float64:
        """[P, 2] the velocity at which those who talk keep their distance, metres a second; zeros for others."""
        towards = self.towards(xy)
        distance = np.linalg.norm(towards, axis=1)
        off = np.where(self.talking & (np.abs(distance - _TALK_M) > 0.1), distance - _TALK_M, 0.0)
        pace = np.clip(off, -0.4, 0.4) / (distance + 1e-9)
        return np.asarray(towards * pace[:, None], np.float64)
