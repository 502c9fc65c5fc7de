"""Choosing points that lie far from each other."""

from __future__ import annotations

import numpy as np

from orchestrator.values import Float32


def far_apart(points: Float32, count: int, rng: np.random.Generator) -> list[int]:
    """Rows of points [N, D] chosen one by one, each the farthest from those chosen before; the first at random."""
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return chosen
