"""The short way through BoT-SORT gives what BoxMOT's public way gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from boxmot.structures import Boxes
from boxmot.structures import Detections as BoxMotDetections
from boxmot.trackers.factory import create_tracker
from boxmot.trackers.specs import TrackerSpec

from orchestrator.settings import Settings
from orchestrator.tracking.botsort import botsort_options, follow, tailor, widen_search

RATE = 12.0


def engine(*, with_embeddings: bool):
    options = botsort_options(Settings(_env_file=None), RATE, with_embeddings=with_embeddings)  # type: ignore[call-arg]
    return create_tracker(TrackerSpec("botsort", options=tuple(sorted(options.items()))))


def tick(random: np.random.Generator, feet: np.ndarray, looks: np.ndarray):
    seen = random.random(len(feet)) > 0.2
    size = np.array([40.0, 120.0])
    middle = feet[seen] + random.normal(0, 2, (seen.sum(), 2))
    boxes = np.hstack([middle - size / 2, middle + size / 2]).astype(np.float32)
    features = looks[seen] + random.normal(0, 0.3, (seen.sum(), looks.shape[1]))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return boxes, random.uniform(0.15, 1, seen.sum()).astype(np.float32), features.astype(np.float32)


@pytest.mark.parametrize("with_embeddings", [False, True])
def test_the_tracks_are_those_of_the_public_update(with_embeddings):
    random = np.random.default_rng(4)
    feet, steps = random.uniform((100, 200), (1100, 600), (8, 2)), random.normal(0, 6, (8, 2))
    looks = random.normal(size=(8, 16))
    short, public = engine(with_embeddings=with_embeddings), engine(with_embeddings=with_embeddings)
    tailor(short, RATE)
    widen_search(public, RATE)
    rows_seen = 0
    for index in range(120):
        feet += steps
        boxes, scores, features = tick(random, feet, looks)
        found = public.update(
            BoxMotDetections(
                Boxes(torch.from_numpy(boxes)),
                torch.from_numpy(scores),
                torch.zeros(len(scores), dtype=torch.int64),
                f"c1/{index}",
                embeddings=torch.from_numpy(features) if with_embeddings else None,
            ),
            timestamp_s=index / RATE,
        )
        ids, rows = follow(short, boxes, scores, features if with_embeddings else None, index / RATE)
        np.testing.assert_array_equal(ids, found.track_ids.numpy())
        np.testing.assert_array_equal(rows, found.detection_indices.numpy())
        rows_seen += len(rows)
    assert rows_seen > 400


def test_who_comes_out_from_behind_something_is_known_by_the_look():
    looks = np.eye(16, dtype=np.float32)[:2]
    short = engine(with_embeddings=True)
    tailor(short, RATE)
    box = np.array([[100, 100, 160, 280]], np.float32)
    shifted = box + np.array([150, 0, 150, 0], np.float32)  # a second and a half of walking, behind a wall
    score = np.array([0.9], np.float32)
    for tick in range(10):
        first, _ = follow(short, box, score, looks[:1], tick / RATE)
    for tick in range(10, 28):
        follow(short, box[:0], score[:0], looks[:0], tick / RATE)
    again = [follow(short, shifted, score, looks[:1], tick / RATE)[0].tolist() for tick in (28, 29)]
    assert again == [first.tolist()] * 2


def test_who_went_behind_something_step_by_step_is_known_when_all_of_them_is_seen_again():
    """The box shrinks with what is hidden, and its last height is not the person's."""
    looks, score = np.eye(16, dtype=np.float32)[:1], np.array([0.9], np.float32)
    short = engine(with_embeddings=True)
    tailor(short, RATE)
    box = np.array([[100, 100, 160, 280]], np.float32)
    for tick in range(16):
        cut = np.float32([0, 0, 0, 18 * max(0, tick - 9)])
        first, _ = follow(short, box - cut, score, looks, tick / RATE)
    for tick in range(16, 28):
        follow(short, box[:0], score[:0], looks[:0], tick / RATE)
    again, _ = follow(short, box + np.float32([90, 0, 90, 0]), score, looks, 28 / RATE)
    assert again.tolist() == first.tolist()


@pytest.mark.parametrize(("shift", "look"), [(150, 1), (900, 0)])
def test_neither_somebody_else_nor_who_is_too_far_takes_up_a_lost_track(shift, look):
    looks = np.eye(16, dtype=np.float32)[:2]
    short = engine(with_embeddings=True)
    tailor(short, RATE)
    box = np.array([[100, 100, 160, 280]], np.float32)
    score = np.array([0.9], np.float32)
    for tick in range(10):
        first, _ = follow(short, box, score, looks[:1], tick / RATE)
    for tick in range(10, 28):
        follow(short, box[:0], score[:0], looks[:0], tick / RATE)
    moved = box + np.array([shift, 0, shift, 0], np.float32)
    for tick in (28, 29):
        found, _ = follow(short, moved, score, looks[look : look + 1], tick / RATE)
    assert len(found) == 1
    assert found[0] != first[0]


def test_ticks_without_a_frame_are_time_lost_too():
    looks = np.eye(16, dtype=np.float32)[:1]
    short = engine(with_embeddings=True)
    tailor(short, RATE)
    box, score = np.array([[100, 100, 160, 280]], np.float32), np.array([0.9], np.float32)
    for tick in range(10):
        first, _ = follow(short, box, score, looks, tick / RATE)
    again, _ = follow(short, box + np.array([150, 0, 150, 0], np.float32), score, looks, 28 / RATE)
    assert again.tolist() == first.tolist()


def walk_of(rate: float, *, with_embeddings: bool, heights_s: float = 0.85):
    """The ids and rows, tick by tick, of two people 180 px high who cross the view side by side in four seconds."""
    short, looks, score = (
        engine(with_embeddings=with_embeddings),
        np.eye(16, dtype=np.float32)[:2],
        np.ones(2, np.float32),
    )
    tailor(short, rate)
    for tick in range(round(4 * rate)):
        left = 100 + 180 * heights_s * tick / rate
        boxes = np.array([[left, 100, left + 72, 280], [left + 40, 400, left + 112, 580]], np.float32)
        yield follow(short, boxes, score, looks if with_embeddings else None, tick / rate)


@pytest.mark.parametrize("with_embeddings", [False, True])
@pytest.mark.parametrize("rate", [1.0, 2.0, 4.0, 12.0])
def test_walkers_whose_boxes_do_not_overlap_from_tick_to_tick_are_followed(rate, with_embeddings):
    """At 2 ticks a second a walker's box has left its former place; yet the track is there from the second tick on."""
    ticks = list(walk_of(rate, with_embeddings=with_embeddings))
    first = dict(zip(ticks[1][1].tolist(), ticks[1][0].tolist(), strict=True))
    assert sorted(first) == [0, 1]
    for ids, rows in ticks[1:]:
        assert dict(zip(rows.tolist(), ids.tolist(), strict=True)) == first


def test_nobody_jumps():
    """Places between which nobody can have walked are no track by nearness alone."""
    ids = np.concatenate([ids for ids, _ in walk_of(2.0, with_embeddings=False, heights_s=1.9)])
    assert len(ids) == len(np.unique(ids)) == 16


@pytest.mark.parametrize(("rate", "known"), [(2.0, [[1], [1], [1]]), (12.0, [[], [], [2]])])
def test_a_first_look_counts_where_ticks_are_far_apart(rate, known):
    """Seen, missed, and seen twice more while somebody else is there all the time."""
    looks, score = np.eye(16, dtype=np.float32)[:2], np.ones(1, np.float32)
    box = np.array([[100, 100, 172, 280]], np.float32)
    elsewhere = box + np.float32([600, 0, 600, 0])
    short = engine(with_embeddings=True)
    tailor(short, rate)
    follow(short, elsewhere, score, looks[:1], 0)
    found = []
    for tick in range(1, 5):
        at, look = (elsewhere, looks[:1]) if tick == 2 else (box, looks[1:])
        ids, _ = follow(short, at, score, look, tick / rate)
        found.append(ids.tolist())
    assert [ids for tick, ids in enumerate(found, 1) if tick != 2] == known


def test_a_track_does_not_step_to_somebody_else():
    looks, score = np.eye(16, dtype=np.float32)[:2], np.ones(1, np.float32)
    short = engine(with_embeddings=True)
    tailor(short, 2.0)
    box = np.array([[100, 100, 172, 280]], np.float32)
    for tick in range(4):
        first, _ = follow(short, box, score, looks[:1], tick / 2)
    found = [follow(short, box + np.float32([80, 0, 80, 0]), score, looks[1:], tick / 2)[0].tolist() for tick in (4, 5)]
    assert first.tolist() not in found
    assert found[1] != []
