from __future__ import annotations

import numpy as np

from orchestrator.inference.selection import FIRST_LOOKS, Chosen, choose
from orchestrator.values import Detections


def seen(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))


def due(ticks: list[Detections], every: int, before: Chosen | None = None) -> list[list[bool]]:
    chosen, found = before or Chosen.nobody(), []
    for detections in ticks:
        chosen = choose(chosen, detections, every)
        found.append(chosen.due.tolist())
    return found


def known(*boxes: tuple[float, float, float, float]) -> Chosen:
    """After everybody was looked at long enough, the last time at the last tick."""
    chosen = Chosen.nobody()
    for _ in range(FIRST_LOOKS):
        chosen = choose(chosen, seen(*boxes), every=9)
    return chosen


ALONE = (100.0, 100.0, 160.0, 280.0)
FAR = (700.0, 100.0, 760.0, 280.0)
BESIDE = (190.0, 100.0, 250.0, 280.0)


def test_who_stands_alone_is_embedded_once_in_so_many_ticks() -> None:
    assert due([seen(ALONE, FAR)] * 7, 3, known(ALONE, FAR)) == [[tick % 3 == 2] * 2 for tick in range(7)]


def test_with_every_tick_everybody_is_embedded() -> None:
    assert due([seen(ALONE)] * 4, 1, known(ALONE)) == [[True]] * 4


def test_who_comes_into_view_is_embedded_until_known() -> None:
    ticks = [seen(ALONE, FAR)] * (FIRST_LOOKS + 1)
    assert due(ticks, 99, known(ALONE)) == [[False, True]] * FIRST_LOOKS + [[False, False]]


def test_the_order_of_detections_does_not_matter() -> None:
    assert due([seen(FAR, ALONE)], 9, known(ALONE, FAR)) == [[False, False]]


def test_people_near_each_other_are_embedded_at_every_tick_and_once_when_they_part() -> None:
    together, apart = seen(ALONE, BESIDE), seen(ALONE, FAR)
    before = known(ALONE, FAR)
    assert due([together, together], 9, before) == [[True, True]] * 2
    assert due([together, seen(ALONE), seen(ALONE)], 9, known(ALONE, BESIDE)) == [[True, True], [True], [False]]
    assert due([apart], 9, before) == [[False, False]]


def test_who_jumped_is_taken_for_somebody_else() -> None:
    moved = (150.0, 100.0, 210.0, 280.0)
    assert due([seen(moved)], 9, known(ALONE)) == [[True]]


def test_two_boxes_where_one_was_are_both_embedded() -> None:
    split = ((100.0, 100.0, 130.0, 280.0), (130.0, 100.0, 160.0, 280.0))
    assert due([seen(*split)], 9, known(ALONE)) == [[True, True]]


def test_an_empty_tick_forgets() -> None:
    assert due([seen(), seen(ALONE)], 9, known(ALONE)) == [[], [True]]
