"""What the site file says about how cameras hang together, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.values import Bool


@dataclass(frozen=True, slots=True)
class Topology:
    """What the site file says about how cameras hang together."""

    apart: Bool
    """[C, C] True for pairs that cannot see one person at once: the environment lists overlaps, and not this pair."""
    exits: Bool
    """[C, 4, C] True where a rule leads from (camera, quadrant) to a camera."""


def make_topology(
    cameras: Sequence[str], overlaps: Sequence[tuple[str, str]], exits: Sequence[tuple[str, int, str]]
) -> Topology:
    """The site's rules as arrays; those that name cameras which do not take part are left out."""
    rows = {camera: row for row, camera in enumerate(cameras)}
    apart = np.full((len(rows), len(rows)), bool(overlaps))
    np.fill_diagonal(apart, val=False)
    for one, other in overlaps:
        if one in rows and other in rows:
            apart[rows[one], rows[other]] = apart[rows[other], rows[one]] = False
    leads = np.zeros((len(rows), 4, len(rows)), bool)
    for camera, quadrant, to in exits:
        if camera in rows and to in rows:
            leads[rows[camera], quadrant, rows[to]] = True
    return Topology(apart, leads)
