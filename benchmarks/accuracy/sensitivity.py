"""How much the figures depend on the constants of association: each halved and doubled, all else as it is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from rich.table import Table

from benchmarks.accuracy import scenes
from benchmarks.accuracy.associations import spoton
from benchmarks.accuracy.figures import score

ONLINE = (
    "identity.evidence.NEW_PEOPLE_PER_M2",
    "identity.evidence.WANDER_M_S",
    "identity.evidence.RETURNS",
    "identity.evidence.REACH_SLACK_M",
    "identity.evidence.LOOK_NATS_PER_COSINE",
    "identity.evidence.LOOK_LIMIT_NATS",
    "identity.evidence.WILD_SPREAD",
    "identity.online.WINDOW_S",
    "identity.online.NAME_BY_S",
    "identity.online.SURE_NATS",
    "identity.online.CORRECTION_NATS",
    "identity.doubles.ENOUGH_NATS",
    "association.MAP_ERROR_M",
    "feet.FOOT_ERROR",
    "tracking.boxmot.REVIVAL_S",
    "tracking.botsort.WALK_HEIGHTS_S",
)
SECOND_PASS = (
    "identity.likelihood.PACE_LIMIT_NATS",
    "identity.likelihood.STAYS_NATS",
    "identity.clustering.KEEP_NATS",
    "identity.clustering.MOVE_NATS",
    "identity.fragments.GAP_S",
    "correction.HIDDEN_FOOT_ERROR",
)
"""Constants of ``orchestrator`` by module and name; those of the second pass are measured with it."""
FACTORS = (0.5, 2.0)
FIGURE = "ground_idf1"
"""What all scenes have."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of ``FIGURE`` of a scene."""

    constant: str
    factor: float
    """1 for the constants as they are."""
    second_pass: bool
    scene: str
    value: float


def measure(names: Sequence[str], inputs: scenes.Inputs, pool: Executor) -> list[Change]:
    """Every constant, halved and doubled, on one seed of each scene; first, all as they are."""
    jobs = [("", 1.0, False), ("", 1.0, True)]
    jobs += [(constant, factor, False) for constant in ONLINE for factor in FACTORS]
    jobs += [(constant, factor, True) for constant in SECOND_PASS for factor in FACTORS]
    running = [pool.submit(_changes, *job, names, inputs) for job in jobs]
    return [change for future in running for change in future.result()]


def _changes(
    constant: str, factor: float, second_pass: bool, names: Sequence[str], inputs: scenes.Inputs
) -> list[Change]:
    with scaled(constant, factor):
        return [
            Change(
                constant, factor, second_pass, name, score(scene, spoton(scene, second_pass=second_pass)).flat()[FIGURE]
            )
            for name in names
            for scene in scenes.make(name, inputs, 1)
        ]


@contextmanager
def scaled(constant: str, factor: float) -> Iterator[None]:
    """Within it, the constant of ``orchestrator`` named ``module.NAME`` is ``factor`` times as large; "" is none.

    So it is in the modules that import it by its name; what a module computed from it before stays.
    """
    if not constant:
        yield
        return
    module, _, name = constant.rpartition(".")
    usual = getattr(importlib.import_module(f"orchestrator.{module}"), name)
    rooms = [room for path, room in sys.modules.items() if path.startswith("orchestrator.")]
    users = [room for room in rooms if getattr(room, name, None) is usual]
    for room in users:
        setattr(room, name, factor * usual)
    try:
        yield
    finally:
        for room in users:
            setattr(room, name, usual)


def table(changes: Sequence[Change]) -> Table:
    """For people: the differences from the constants as they are."""
    names = list(dict.fromkeys(change.scene for change in changes))
    usual: Mapping[tuple[bool, str], float] = {(c.second_pass, c.scene): c.value for c in changes if not c.constant}
    shown = Table(title="Change of IDF1 on the map when one constant is halved or doubled (one seed)")
    for heading in ("constant", "times", *names):
        shown.add_column(heading, justify="left" if heading == "constant" else "right")
    for constant, factor in dict.fromkeys((change.constant, change.factor) for change in changes if change.constant):
        own = {c.scene: c for c in changes if (c.constant, c.factor) == (constant, factor)}
        cells = [f"{own[name].value - usual[own[name].second_pass, name]:+.3f}" for name in names]
        shown.add_row(constant, f"{factor:g}", *cells)
    return shown
