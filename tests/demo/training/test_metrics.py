import numpy as np
import pytest

from demo.training.metrics import (
    Scored,
    average_precision,
    box_iou,
    match,
    mean_average_precision,
    neutral_similarity,
    precision_recall,
    rank_one,
)

ONE = [0.0, 0.0, 10.0, 10.0]
TWO = [20.0, 0.0, 30.0, 10.0]
FAR = [50.0, 50.0, 60.0, 60.0]


def scored(boxes: list, scores: list, truth: list, ignored: list | None = None) -> Scored:
    return Scored(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(truth, np.float32).reshape(-1, 4),
        np.array(ignored or [False] * len(truth), np.bool_),
    )


def test_iou_of_half_overlapping_boxes() -> None:
    overlap = box_iou(np.array([ONE], np.float32), np.array([[5.0, 0.0, 15.0, 10.0], FAR], np.float32))
    np.testing.assert_allclose(overlap, [[1 / 3, 0.0]])


def test_a_second_hit_on_the_same_person_is_false() -> None:
    assert match(scored([ONE, ONE], [0.5, 0.9], [ONE]), 0.5).tolist() == [0, 1]


def test_ignored_people_cost_nothing_and_count_nothing() -> None:
    picture = scored([ONE, TWO], [0.9, 0.8], [ONE, TWO], [True, False])
    assert match(picture, 0.5).tolist() == [-1, 1]
    assert average_precision([picture]) == 1.0


def test_average_precision_by_hand() -> None:
    """Hit, miss, hit of three people: precision 1 at recall 1/3 and 2/3 at recall 2/3."""
    picture = scored([ONE, FAR, TWO], [0.9, 0.8, 0.7], [ONE, TWO, [80, 80, 90, 90]])
    assert average_precision([picture]) == pytest.approx((1 + 2 / 3) / 3)


def test_a_false_hit_in_an_empty_picture_counts() -> None:
    pictures = [scored([FAR], [0.95], []), scored([ONE], [0.9], [ONE])]
    assert average_precision(pictures) == pytest.approx(0.5)


def test_precision_and_recall_at_a_score() -> None:
    picture = scored([ONE, FAR, TWO], [0.9, 0.6, 0.4], [ONE, TWO])
    assert precision_recall([picture], score=0.5) == (0.5, 0.5)


def test_search_figures_by_hand() -> None:
    gallery = np.eye(3, dtype=np.float32)
    queries = np.array([[1, 0.2, 0], [0.9, 0.4, 0]], np.float32)
    ids, asked = np.array([1, 2, 3]), np.array([1, 2])
    assert rank_one(queries, asked, gallery, ids) == 0.5
    assert mean_average_precision(queries, asked, gallery, ids) == pytest.approx(0.75)


def test_the_neutral_similarity_parts_same_from_different() -> None:
    angles = np.deg2rad([0, 20, 90, 110])  # one person at 0 and 20 degrees, another at 90 and 110
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    people, cameras = np.array([1, 1, 2, 2]), np.array([0, 1, 0, 1])
    assert np.cos(np.deg2rad(70)) < neutral_similarity(embeddings, people, cameras) <= np.cos(np.deg2rad(20))
