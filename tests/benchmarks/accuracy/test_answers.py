"""The three answers and their scores, on detections whose truth is plain to see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy.associations import oracle, spoton
from benchmarks.accuracy.baseline import baseline
from benchmarks.accuracy.demo_site import without_absent
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.report import Row, summary
from benchmarks.accuracy.scene import BoxTruth, GroundTruth, Scene, detection_file, thinned
from demo.scores import BoxTable
from orchestrator.recorded.associate import Recording
from orchestrator.settings import Settings
from orchestrator.site import Environment

TICKS, RATE = 80, 10.0
STARTS = {1: (1.0, 0.08, 3.0), 2: (9.0, -0.08, 7.0)}
"""Person: where they start in x, metres a tick, and y."""


def scene(*, embeddings=True, strangers=0) -> Scene:
    """Two people who walk along a hall that two cameras see from above, 100 px a metre."""
    rng = np.random.default_rng(1)
    looks = np.eye(8, dtype=np.float32)
    matrix = [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]]
    cameras = {
        name: {"id": name, "prefix": name, "resolution": (1000, 1000), "calibration": {"image_to_map": matrix}}
        for name in "ab"
    }
    environment = Environment.model_validate({"id": "hall", "target_fps": RATE, "cameras": cameras})
    ticks, people = (grid.ravel() for grid in np.meshgrid(np.arange(TICKS), [1, 2], indexing="ij"))
    x = np.array([STARTS[p][0] + STARTS[p][1] * t for t, p in zip(ticks, people, strict=True)])
    y = np.array([STARTS[p][2] for p in people])
    boxes = np.stack([x * 100 - 20, y * 100 - 120, x * 100 + 20, y * 100], axis=1)
    truth = BoxTruth(BoxTable(ticks, people, boxes), np.ones(len(ticks)), np.stack([x, y], axis=1))
    ground = GroundTruth(BoxTable(ticks, people, truth.map_xy), np.ones(len(ticks), np.bool_))
    files = {}
    for name in "ab":
        seen = boxes + rng.normal(0, 1, boxes.shape)
        far = np.tile([500.0, 20.0, 540.0, 140.0], (strangers, 1))
        look = looks[np.append(people, np.full(strangers, 5))] if embeddings else np.zeros((len(ticks) + strangers, 0))
        frames = np.append(ticks, rng.choice(TICKS, strangers, replace=False))
        scores = np.append(np.full(len(ticks), 0.9), np.full(strangers, 0.6))
        files[name] = detection_file(
            name, frames, np.vstack([seen, far]), scores, look.astype(np.float32), (1000, 1000)
        )
    recording = Recording(tuple(environment.cameras.values()), files, 0, 1, TICKS, RATE)
    settings = Settings(_env_file=None)
    return Scene("hall", 1, "drawn", settings, environment, recording, {"a": truth, "b": truth}, ground)


def test_the_oracle_reaches_everything_that_detections_allow():
    figures = score(scene(strangers=9), oracle(scene(strangers=9))).flat()
    assert figures["across_idf1"] == figures["camera_idf1"] == figures["ground_idf1"] == 1
    assert figures["camera_ass_a"] > 0.95  # boxes jitter by a pixel
    assert figures["camera_id_switches"] == figures["ground_id_switches"] == 0


def test_the_oracle_of_places_alone_takes_the_nearest_within_a_metre():
    whole = scene(strangers=9)
    known = Scene(*(getattr(whole, name) if name != "boxes" else {} for name in whole.__slots__))
    figures = score(known, oracle(known)).flat()
    assert figures["ground_idf1"] == figures["ground_mota"] == 1
    assert np.isnan(figures["across_idf1"])


@pytest.mark.parametrize("answer", [baseline, lambda item: spoton(item, second_pass=False)])
def test_two_people_who_never_meet_are_told_apart(answer):
    figures = score(scene(), answer(scene())).flat()
    assert figures["across_idf1"] > 0.95
    assert figures["ground_idf1"] > 0.95
    assert figures["camera_id_switches"] == 0


def test_the_baseline_does_not_look_at_who_stands_outside_the_area():
    item = scene()
    area = ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0))  # person 2 walks at y = 7
    bounded = replace(item, environment=item.environment.model_copy(update={"area": area}))
    assert all((tracks.map_xy[:, 1] < 5).all() and len(tracks.ticks) for tracks in baseline(bounded).values())


def test_people_are_gone_for_a_time_and_come_back():
    item = scene()
    gone = np.array([[10, 30], [50, 50]])
    boxes, ground = without_absent(dict(item.boxes), item.ground, gone)
    for table in (boxes["a"].table, ground.table):
        assert table.frames[table.ids == 1].tolist() == [*range(10), *range(30, TICKS)]
        assert (table.ids == 2).sum() == TICKS
    assert len(boxes["a"].visibility) == len(boxes["a"].table) == len(boxes["a"].map_xy)


def test_geometry_alone_names_one_person_in_two_cameras():
    item = scene(embeddings=False)
    assert score(item, spoton(item, second_pass=False)).across.idf1 > 0.95


def test_an_answer_that_mixes_people_up_halfway_loses_idf1_and_no_detections():
    item = scene()
    mixed = {}
    for name, tracks in oracle(item).items():
        people = np.where(tracks.ticks < TICKS / 2, tracks.people, 3 - tracks.people)
        mixed[name] = tracks.__class__(
            tracks.ticks,
            people,
            people,
            *(getattr(tracks, column) for column in ("boxes", "scores", "map_xy", "spread")),
        )
    figures = score(item, mixed).flat()
    assert figures["across_idf1"] == pytest.approx(0.5)
    assert figures["ground_idf1"] == pytest.approx(0.5)
    assert figures["camera_id_switches"] == 4
    assert figures["camera_mota"] == pytest.approx(1 - 4 / (4 * TICKS), abs=0.02)


def test_people_whom_no_camera_sees_are_neither_missed_nor_wrong_on_the_map():
    item = scene()
    half = item.ground.table.ids == 1
    hidden = Scene(
        *(getattr(item, name) if name != "ground" else GroundTruth(item.ground.table, half) for name in item.__slots__)
    )
    ground = score(hidden, oracle(hidden)).ground
    assert (ground.idf1, ground.true_ids, ground.found_ids) == (1, 1, 1)


def test_a_thinned_recording_is_the_same_walk_at_a_lower_rate():
    slow = thinned(scene(), 5)
    assert (slow.recording.ticks, slow.recording.rate) == (16, 2.0)
    assert score(slow, oracle(slow)).across.idf1 == 1


def test_shares_of_the_oracle_are_taken_seed_by_seed():
    names = score(scene(), oracle(scene())).flat()
    rows = [
        Row("s", seed, "drawn", answer, dict.fromkeys(names, value), {})
        for seed, answer, value in ((1, "online", 0.4), (1, "oracle", 0.8), (2, "online", 0.6), (2, "oracle", 0.6))
    ]
    online, best = summary(rows)
    assert online.mean["across_idf1"] == pytest.approx(0.5)
    assert online.of_oracle["across_idf1"] == pytest.approx(0.75)
    assert best.of_oracle["across_idf1"] == 1
    assert np.isnan(online.of_oracle["camera_id_switches"])
