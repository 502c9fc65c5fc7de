from __future__ import annotations

import math

import numpy as np
import pytest

from demo.scores import (
    UNNAMED,
    BoxTable,
    CameraCase,
    box_iou,
    lay_end_to_end,
    rows_to_score,
    score_people,
    score_site,
    score_tracks,
)

FRAMES = 10
LEFT = (0.0, 0.0, 10.0, 20.0)
RIGHT = (100.0, 0.0, 110.0, 20.0)


def table(*paths: tuple[tuple[float, ...], list[int]], frames: int = FRAMES) -> BoxTable:
    """One path a person: a standing box, and its id in every frame (0 where it is not there)."""
    rows = [(frame, ids[frame], *box) for box, ids in paths for frame in range(frames) if ids[frame]]
    columns = np.array(rows, np.float64).reshape(-1, 6)
    return BoxTable(columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2:])


def case(truth: BoxTable, found: BoxTable, identities: np.ndarray, visibility: np.ndarray | None = None) -> CameraCase:
    return CameraCase(
        truth=truth,
        visibility=np.ones(len(truth)) if visibility is None else visibility,
        truth_xy=np.stack([truth.boxes[:, 0], truth.boxes[:, 3]], 1),
        found=found,
        identities=identities,
        found_xy=np.stack([found.boxes[:, 0] + 0.3, found.boxes[:, 3] + 0.4], 1),
    )


def both(first: int, second: int) -> BoxTable:
    return table((LEFT, [first] * FRAMES), (RIGHT, [second] * FRAMES))


def test_perfect_result_scores_one() -> None:
    figures = score_tracks(both(1, 2), both(7, 9))
    assert figures.hota == pytest.approx(1)
    assert (figures.idf1, figures.mota, figures.recall, figures.precision) == (1, 1, 1, 1)
    assert (figures.id_switches, figures.true_ids, figures.found_ids) == (0, 2, 2)


def test_id_switch_halfway_costs_what_the_definitions_say() -> None:
    truth = table((LEFT, [1] * FRAMES))
    figures = score_tracks(truth, table((LEFT, [5] * 5 + [6] * 5)))
    assert figures.id_switches == 1
    assert figures.idf1 == pytest.approx(0.5)
    assert figures.mota == pytest.approx(0.9)
    assert figures.det_a == pytest.approx(1)
    assert figures.ass_a == pytest.approx(0.5)
    assert figures.hota == pytest.approx(math.sqrt(0.5))


def test_misses_and_false_positives() -> None:
    truth = both(1, 2)
    found = table((LEFT, [1] * FRAMES), ((500.0, 0.0, 510.0, 20.0), [3] * 5 + [0] * 5))
    figures = score_tracks(truth, found)
    assert figures.recall == pytest.approx(0.5)
    assert figures.precision == pytest.approx(10 / 15)
    assert figures.idf1 == pytest.approx(2 * 10 / (20 + 15))


def test_nothing_found_is_zero_and_nothing_there_is_unknown() -> None:
    nothing = table()
    missed = score_tracks(both(1, 2), nothing)
    assert (missed.hota, missed.idf1, missed.recall) == (0, 0, 0)
    assert math.isnan(missed.precision)
    empty = score_tracks(nothing, both(1, 2))
    assert math.isnan(empty.hota)
    assert empty.precision == 0
    assert math.isnan(score_tracks(nothing, nothing).idf1)


def test_identities_swapped_in_one_of_two_cameras_halve_idf1_across() -> None:
    truth = both(1, 2)
    found = both(1, 2)
    straight, swapped = found.ids, 3 - found.ids
    right = score_site({"a": case(truth, found, straight), "b": case(truth, found, straight)})
    wrong = score_site({"a": case(truth, found, straight), "b": case(truth, found, swapped)})
    assert right.across.idf1 == pytest.approx(1)
    assert right.people.found == 2
    assert wrong.across.idf1 == pytest.approx(0.5)
    assert {name: figures.tracks.idf1 for name, figures in wrong.cameras.items()} == {"a": 1, "b": 1}


def test_identity_may_be_anything_within_a_camera_but_track_ids_of_cameras_never_meet() -> None:
    truth = both(1, 2)
    found_here, found_there = both(1, 2), both(2, 1)
    named = found_here.ids + 40
    figures = score_site({"a": case(truth, found_here, named), "b": case(truth, found_there, named)})
    assert figures.across.idf1 == pytest.approx(1)


def test_unnamed_boxes_are_misses_across_cameras_and_count_for_their_own_camera() -> None:
    truth = table((LEFT, [1] * FRAMES))
    found = table((LEFT, [1] * FRAMES))
    late = np.where(np.arange(len(found)) < 5, UNNAMED, 0)
    figures = score_site({"a": case(truth, found, late), "b": case(truth, found, np.zeros(len(found), np.int64))})
    assert figures.across.idf1 == pytest.approx(2 * 15 / (20 + 15))
    assert figures.across.precision == 1
    assert figures.people.identities == 1
    assert figures.cameras["a"].tracks.idf1 == 1
    assert figures.cameras["a"].identities.idf1 == pytest.approx(2 * 5 / (10 + 5))


def test_hidden_people_are_neither_missed_nor_false() -> None:
    truth = both(1, 2)
    visibility = np.where(truth.ids == 2, 0.2, 1.0)
    alone = table((LEFT, [1] * FRAMES))
    for found in (alone, both(1, 2)):
        figures = score_site({"a": case(truth, found, found.ids, visibility)})
        assert figures.cameras["a"].tracks.mota == 1
        assert figures.cameras["a"].tracks.found_boxes == FRAMES
        assert figures.people.there == 1


def test_found_box_between_a_visible_and_a_hidden_person_stays_with_the_visible_one() -> None:
    truth = table(((0.0, 0.0, 10.0, 20.0), [1] * FRAMES), ((2.0, 0.0, 12.0, 20.0), [2] * FRAMES))
    keep_truth, keep_found = rows_to_score(truth, truth.ids == 2, table(((0.5, 0.0, 10.5, 20.0), [1] * FRAMES)))
    assert keep_found.all()
    assert keep_truth.sum() == FRAMES


def test_one_identity_for_everyone_finds_one_person() -> None:
    truth, found = lay_end_to_end([(both(1, 2), both(1, 2)), (both(3, 4), both(1, 2))])
    people = score_people(truth, found)
    assert (people.there, people.found, people.identities) == (4, 2, 2)


def test_person_covered_less_than_half_is_not_found() -> None:
    truth = table((LEFT, [1] * FRAMES))
    assert score_people(truth, table((LEFT, [1] * 5 + [0] * 5))).found == 1
    assert score_people(truth, table((LEFT, [1] * 4 + [0] * 6))).found == 0


def test_map_error_in_metres() -> None:
    figures = score_site({"a": case(both(1, 2), both(1, 2), both(1, 2).ids)})
    assert figures.positions.positions == 2 * FRAMES
    assert figures.positions.median_m == pytest.approx(0.5)
    assert figures.positions.p95_m == pytest.approx(0.5)


def test_an_id_twice_in_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="found id 1 occurs twice in frame 0"):
        score_tracks(both(1, 2), both(1, 1))


def test_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5]], np.float64)
    others = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], np.float64)
    assert box_iou(boxes, others) == pytest.approx([1 / 3, 0, 0])


def test_rows_may_come_in_any_order() -> None:
    rng = np.random.default_rng(3)
    truth, found = both(1, 2), both(4, 5)
    shuffled = score_tracks(truth.select(rng.permutation(len(truth))), found.select(rng.permutation(len(found))))
    assert shuffled == score_tracks(truth, found)
