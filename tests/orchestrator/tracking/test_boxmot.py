from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.tracking.factory import create_tracker
from orchestrator.tracking.protocol import CameraTracker
from orchestrator.values import Detections, Tracks

SIZE = (720, 1280)
RATE = 12.0


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


class Scene:
    """People who walk through one view, with misses, low scores and embeddings; the same for the same seed."""

    def __init__(self, seed: int, people: int = 6, dimension: int = 16) -> None:
        self.random = np.random.default_rng(seed)
        self.feet = self.random.uniform((100, 300), (1180, 700), (people, 2))
        self.steps = self.random.normal(0, 4, (people, 2))
        self.looks = self.random.normal(size=(people, dimension))

    def tick(self) -> tuple[Detections, np.ndarray]:
        self.feet += self.steps
        outside = (self.feet < (40, 200)) | (self.feet > (1240, 715))
        self.steps = np.where(outside, -self.steps, self.steps)
        seen = self.random.random(len(self.feet)) > 0.15
        feet = self.feet[seen] + self.random.normal(0, 1, (seen.sum(), 2))
        height = feet[:, 1] * 0.25
        boxes = np.stack([feet[:, 0] - height / 5, feet[:, 1] - height, feet[:, 0] + height / 5, feet[:, 1]], axis=1)
        looks = self.looks[seen] + self.random.normal(0, 0.2, (seen.sum(), self.looks.shape[1]))
        looks /= np.linalg.norm(looks, axis=1, keepdims=True) if looks.shape[1] else 1
        scores = self.random.uniform(0.2, 1, seen.sum())
        return Detections(boxes.astype(np.float32), scores.astype(np.float32)), looks.astype(np.float32)


def run(tracker: CameraTracker, scene: Scene, ticks: range) -> list[Tracks]:
    return [tracker.update(tick, SIZE, *scene.tick()) for tick in ticks]


def assert_same(left: list[Tracks], right: list[Tracks]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for name in ("track_ids", "boxes", "scores", "detection_rows"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("dimension", [0, 16])
def test_a_restored_tracker_goes_on_as_the_unbroken_one(dimension):
    unbroken = run(create_tracker(settings(), "c1", RATE), Scene(1, dimension=dimension), range(100))
    scene = Scene(1, dimension=dimension)
    before = create_tracker(settings(), "c1", RATE)
    first = run(before, scene, range(50))
    after = create_tracker(settings(), "c1", RATE)
    after.restore(before.snapshot())
    assert sum(len(tracks) for tracks in unbroken) > 300
    assert_same(unbroken, first + run(after, scene, range(50, 100)))


def test_a_snapshot_leaves_the_tracker_as_it_was():
    scene, again = Scene(2), Scene(2)
    tracker = create_tracker(settings(), "c1", RATE)
    found = run(tracker, scene, range(30))
    tracker.snapshot()
    found += run(tracker, scene, range(30, 60))
    assert_same(found, run(create_tracker(settings(), "c1", RATE), again, range(60)))


def test_cameras_do_not_share_ids():
    alone = [run(create_tracker(settings(), "c1", RATE), Scene(seed), range(40)) for seed in (3, 4)]
    trackers, scenes = [create_tracker(settings(), f"c{n}", RATE) for n in (1, 2)], [Scene(3), Scene(4)]
    together: list[list[Tracks]] = [[], []]
    for tick in range(40):
        for row in range(2):
            together[row].append(trackers[row].update(tick, SIZE, *scenes[row].tick()))
    for row in range(2):
        assert_same(alone[row], together[row])
    assert alone[0][0].track_ids.min() == 1


def test_rows_point_at_the_detections_that_were_taken():
    tracker, scene = create_tracker(settings(), "c1", RATE), Scene(5)
    for tick in range(20):
        detections, embeddings = scene.tick()
        tracks = tracker.update(tick, SIZE, detections, embeddings)
        np.testing.assert_array_equal(tracks.boxes, detections.boxes[tracks.detection_rows])
        np.testing.assert_array_equal(tracks.scores, detections.scores[tracks.detection_rows])
        assert len(set(tracks.track_ids)) == len(tracks)


def still(score: float) -> Detections:
    return Detections(np.array([[100, 100, 140, 220]], np.float32), np.array([score], np.float32))


def test_a_low_score_continues_a_track_and_starts_none():
    tracker, nothing = create_tracker(settings(), "c1", RATE), np.zeros((1, 0), np.float32)
    assert [len(tracker.update(tick, SIZE, still(0.3), nothing)) for tick in range(3)] == [0, 0, 0]
    ids = [
        tracker.update(tick, SIZE, still(score), nothing).track_ids
        for tick, score in enumerate([0.9, 0.9, 0.3, 0.2], 3)
    ]
    assert ids[1].tolist() == ids[2].tolist() == ids[3].tolist() != []


@pytest.mark.parametrize("rate", [2.0, 12.0])
@pytest.mark.parametrize(("absent_s", "kept"), [(4.0, True), (6.5, False)])
def test_a_lost_track_is_kept_for_as_long_at_any_rate(rate, absent_s, kept):
    tracker, nothing = create_tracker(settings(lost_track_buffer_s=5.0), "c1", rate), np.zeros((1, 0), np.float32)
    absent = round(absent_s * rate)
    before = [tracker.update(tick, SIZE, still(0.9), nothing) for tick in range(3)][-1].track_ids
    for tick in range(3, 3 + absent):
        tracker.update(tick, SIZE, Detections.empty(), nothing[:0])
    after = [tracker.update(tick, SIZE, still(0.9), nothing) for tick in range(3 + absent, 6 + absent)][-1].track_ids
    assert (before.tolist() == after.tolist()) is kept


@pytest.mark.parametrize(("gone_s", "moved", "kept"), [(1.5, 60, True), (6, 60, False), (6, 5, False)])
def test_who_comes_back_after_a_while_is_somebody_to_be_named_anew(gone_s, moved, kept):
    """One camera does not know where the others saw them meanwhile, be they ever so alike."""
    tracker, look, gone = create_tracker(settings(), "c1", RATE), np.eye(1, 16, dtype=np.float32), round(gone_s * RATE)
    before = [tracker.update(tick, SIZE, still(0.9), look) for tick in range(6)][-1].track_ids
    for tick in range(6, 6 + gone):
        tracker.update(tick, SIZE, Detections.empty(), look[:0])
    there = Detections(still(0.9).boxes + np.array([moved, 0, moved, 0], np.float32), still(0.9).scores)
    after = [tracker.update(tick, SIZE, there, look) for tick in range(6 + gone, 9 + gone)][-1].track_ids
    assert (before.tolist() == after.tolist()) is kept


@pytest.mark.parametrize(("strange", "kept"), [(2, True), (3, False)])
def test_a_track_that_goes_on_as_somebody_else_is_a_new_one(strange, kept):
    """A box that stays where one person stood, and shows another: who stepped in front of them for long."""
    tracker, looks = create_tracker(settings(), "c1", RATE), np.eye(2, 16, dtype=np.float32)
    shown = [0] * 8 + [1] * strange + [0] * kept
    ids = [tracker.update(tick, SIZE, still(0.9), looks[[row]]).track_ids.tolist() for tick, row in enumerate(shown)]
    assert (ids[-1] == ids[0]) is kept
    assert ids[-1] != []


def test_ticks_without_a_look_neither_speak_for_somebody_else_nor_against():
    tracker, looks = create_tracker(settings(), "c1", RATE), np.eye(3, 16, dtype=np.float32)
    looks[2] = 0
    shown = [0, 0, 0, 2, 1, 2, 1, 2, 2, 1]
    ids = [tracker.update(tick, SIZE, still(0.9), looks[[row]]).track_ids.tolist() for tick, row in enumerate(shown)]
    assert ids[:-1] == [ids[0]] * 9
    assert ids[-1] not in (ids[0], [])


def test_detections_without_an_embedding_are_tracked_by_their_box():
    tracker, look = create_tracker(settings(), "c1", RATE), np.full((1, 16), 0.25, np.float32)
    ids = [
        tracker.update(tick, SIZE, still(0.9), embeddings).track_ids.tolist()
        for tick, embeddings in enumerate([look, look * 0, look[:, :0], look])
    ]
    assert ids == [[1], [1], [1], [1]]


def test_boxes_without_an_area_and_outside_the_frame_do_no_harm():
    odd = [[10, 10, 10, 10], [1280, 720, 1280, 720], [-1e30, -1e30, 1e30, 1e30], [5, 5, 2, 2]]
    boxes = np.array([*odd, [100, 100, 140, 220]], np.float32)
    tracker = create_tracker(settings(), "c1", RATE)
    for tick in range(30):
        tracks = tracker.update(
            tick, SIZE, Detections(boxes, np.full(5, 0.9, np.float32)), np.zeros((5, 0), np.float32)
        )
        assert tick == 0 or tracks.track_ids[tracks.detection_rows == 4].tolist() != []
    assert tracks.track_ids.max() <= len(boxes)


def test_a_state_that_was_tampered_with_is_refused():
    tracker = create_tracker(settings(), "c1", RATE)
    for harmful in (pickle.dumps(os.system), pickle.dumps(subprocess.run), b"hello", pickle.dumps(3)):
        with pytest.raises(ValueError, match="not the state of a tracker"):
            tracker.restore(harmful)


def test_an_unknown_tracker_and_one_that_needs_masks_are_refused():
    with pytest.raises(SettingsError, match=r"SPOTON_TRACKER.*'nosort'"):
        create_tracker(settings(tracker="nosort"), "c1", RATE)
    with pytest.raises(SettingsError, match="sam2mot needs masks"):
        create_tracker(settings(tracker="sam2mot"), "c1", RATE)


def test_naming_the_factory_does_not_load_pytorch():
    code = "import sys, orchestrator.tracking.factory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_people_who_cross_keep_their_ids_by_their_looks() -> None:
    """Two people who overlap change places between two ticks: overlap alone would swap their ids."""
    tracker = create_tracker(settings(reid_similarity=0.5), "c1", RATE)
    left, right = [100.0, 100, 150, 250], [112.0, 100, 162, 250]
    looks, scores = np.eye(2, 8, dtype=np.float32), np.array([0.9, 0.8], np.float32)
    for tick in range(10):
        found = tracker.update(tick, SIZE, Detections(np.array([left, right], np.float32), scores), looks)
    before = dict(zip(found.detection_rows.tolist(), found.track_ids.tolist(), strict=True))
    found = tracker.update(10, SIZE, Detections(np.array([right, left], np.float32), scores), looks)
    assert dict(zip(found.detection_rows.tolist(), found.track_ids.tolist(), strict=True)) == before


NEEDS_LOOKS = {"strongsort"}
OTHERS = ["boosttrack", "bytetrack", "deepocsort", "hybridsort", "occluboost", "ocsort", "sfsort", "strongsort"]
"""All of BoxMOT's but BotSort, which the tests above are about, and sam2mot, which wants masks."""


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dimension", [0, 16])
def test_every_other_tracker_follows_people_and_goes_on_where_it_was(name, dimension):
    options = settings(tracker=name, tracker_backend="python")
    if name in NEEDS_LOOKS and not dimension:
        with pytest.raises(SettingsError, match="camera c1: strongsort needs embeddings"):
            run(create_tracker(options, "c1", RATE), Scene(1, dimension=0), range(1))
        return
    unbroken = run(create_tracker(options, "c1", RATE), Scene(1, dimension=dimension), range(60))
    scene, before = Scene(1, dimension=dimension), create_tracker(options, "c1", RATE)
    first = run(before, scene, range(30))
    after = create_tracker(options, "c1", RATE)
    after.restore(before.snapshot())
    assert sum(len(tracks) for tracks in unbroken) > 50
    assert_same(unbroken, first + run(after, scene, range(30, 60)))


def test_a_tracker_that_fails_begins_anew_and_never_gives_a_number_twice(monkeypatch, caplog):
    tracker, scene = create_tracker(settings(), "c1", RATE), Scene(6)
    before = set(np.concatenate([found.track_ids for found in run(tracker, scene, range(20))]).tolist())
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.tracking.boxmot.follow", lambda *_: np.linalg.cholesky(np.zeros((2, 2))))
        assert len(tracker.update(20, SIZE, *scene.tick())) == 0
    after = set(np.concatenate([found.track_ids for found in run(tracker, scene, range(21, 40))]).tolist())
    assert after
    assert min(after) == max(before) + 1
    assert "camera c1, tick 20: its tracker failed" in caplog.text


def test_a_tracker_that_begins_anew_goes_on_counting():
    tracker, scene = create_tracker(settings(), "c1", RATE), Scene(5)
    tracker.begin_anew(16)
    before = max(tracks.track_ids.max() for tracks in run(tracker, scene, range(20)) if len(tracks))
    tracker.begin_anew(8)
    restored = create_tracker(settings(), "c1", RATE)
    restored.restore(tracker.snapshot())
    found = run(restored, Scene(6, dimension=8), range(20, 40))
    assert min(tracks.track_ids.min() for tracks in found if len(tracks)) == before + 1
