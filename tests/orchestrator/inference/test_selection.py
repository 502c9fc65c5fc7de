from __future__ import annotations

import numpy as np

from orchestrator.inference.selection import Chosen, choose
from orchestrator.values import Detections


def seen(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))


def due(ticks: list[Detections], every: int) -> list[list[bool]]:
    chosen, found = Chosen.nobody(), []
    for detections in ticks:
        chosen = choose(chosen, detections, every)
        found.append(chosen.due.tolist())
    return found


ALONE = (100.0, 100.0, 160.0, 280.0)
FAR = (700.0, 100.0, 760.0, 280.0)
BESIDE = (190.0, 100.0, 250.0, 280.0)


def test_who_stands_alone_is_embedded_once_in_so_many_ticks() -> None:
    assert due([seen(ALONE, FAR)] * 7, every=3) == [[tick % 3 == 0] * 2 for tick in range(7)]


def test_with_every_tick_everybody_is_embedded() -> None:
    assert due([seen(ALONE)] * 4, every=1) == [[True]] * 4


def test_who_comes_into_view_is_embedded_at_once() -> None:
    assert due([seen(ALONE), seen(ALONE, FAR), seen(FAR, ALONE)], every=9) == [[True], [False, True], [False, False]]


def test_people_near_each_other_are_embedded_at_every_tick_and_once_when_they_part() -> None:
    together, apart = seen(ALONE, BESIDE), seen(ALONE, FAR)
    assert due([together, together, apart, apart], every=9) == [
        [True, True],
        [True, True],
        [True, True],
        [False, False],
    ]


def test_who_jumped_is_taken_for_somebody_else() -> None:
    moved = (150.0, 100.0, 210.0, 280.0)
    assert due([seen(ALONE), seen(moved)], every=9) == [[True], [True]]


def test_two_boxes_where_one_was_are_both_embedded() -> None:
    split = ((100.0, 100.0, 130.0, 280.0), (130.0, 100.0, 160.0, 280.0))
    assert due([seen(ALONE), seen(*split)], every=9) == [[True], [True, True]]


def test_an_empty_tick_forgets() -> None:
    assert due([seen(ALONE), seen(), seen(ALONE)], every=9) == [[True], [], [True]]
