"""What decides, apart from what is seen: the site's rules, the rate, and what the Re-ID model's cosines mean."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.identity.topology import Topology


@dataclass(frozen=True, slots=True)
class Judgement:
    """The same for a whole task."""

    topology: Topology
    rate: float
    """Ticks per second."""
    similarity: float
    """Cosine above which two looks speak for one person."""
    memory: float
    """Most that the looks of a view may have said together: from then on it follows what is new."""

    @property
    def same_view(self) -> float:
        """Cosine from which a look belongs to a view."""
        return (1 + self.similarity) / 2
