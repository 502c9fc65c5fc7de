"""People who were forgotten while they were away: what is known of them elsewhere, and whether somebody new is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.identity.evidence import weigh_returning
from orchestrator.identity.judgement import Judgement
from orchestrator.identity.tables import NEVER, People, RecentTracks
from orchestrator.identity.views import take_in
from orchestrator.values import Float32, Float64, Int64

SURE_NATS = 2.0
"""Evidence for somebody forgotten, and by how much more than for the next: odds of 7 to 1 each. There may be thousands
of them, so it takes more than to be likelier than somebody new."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody new, who may be somebody forgotten."""

    person: int
    """Number."""
    look: Float32
    """[D] L2-normalised."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Somebody who was seen long ago."""

    person: int
    """Number."""
    looks: Float32
    """[K, D] L2-normalised; several sides of them."""
    qualities: Float64
    """[K] above 0."""
    cameras: Int64
    """[K] where each look was taken."""
    last_tick: int
    last_camera: int
    last_xy: tuple[float, float]
    """Metres; NaN where unknown."""


def who_returns(
    tracks: RecentTracks, row: int, forgotten: Sequence[Forgotten], tick: int, judge: Judgement
) -> tuple[People, int] | None:
    """Whom of the forgotten a track is clearly one of: a table of them and a row in it; None for nobody."""
    if not forgotten:
        return None
    people = _table_of(forgotten, judge)
    evidence = weigh_returning(tracks, np.array([row]), people, tick, judge)[0]
    order = np.argsort(-evidence, kind="stable")
    best = float(evidence[order[0]])
    second = float(evidence[order[1]]) if len(order) > 1 else 0.0
    return (people, int(order[0])) if best - max(second, 0.0) >= SURE_NATS else None


def _table_of(forgotten: Sequence[Forgotten], judge: Judgement) -> People:
    people = People.empty(len(judge.topology.apart), forgotten[0].looks.shape[1])
    ticks = [each.last_tick for each in forgotten]
    columns = {
        "number": [each.person for each in forgotten],
        "last_tick": ticks,
        "xy": [each.last_xy for each in forgotten],
        "xy_tick": [each.last_tick if np.isfinite(each.last_xy).all() else NEVER for each in forgotten],
        "camera": [each.last_camera for each in forgotten],
    }
    people.append(columns, len(forgotten))
    for row, each in enumerate(forgotten):
        people.seen_in[row, each.last_camera] = each.last_tick
        rows = np.full(len(each.looks), row)
        looks = each.looks.astype(np.float64)
        take_in(people, rows, looks, each.qualities, each.cameras, each.last_tick, judge)
    return people
