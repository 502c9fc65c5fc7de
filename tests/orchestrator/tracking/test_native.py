"""BoxMOT's C++ BotSort; where it cannot be built here, that it says so."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from boxmot.native import _common as native_build
from boxmot.native.trackers import botsort as native_botsort

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.tracking import native
from orchestrator.tracking.factory import create_tracker
from orchestrator.tracking.native import Kept, NativeTracker
from orchestrator.values import Detections, Tracks

SIZE, RATE = (720, 1280), 12.0
SIDE_BY_SIDE = np.float32([[100, 100, 160, 280], [400, 100, 460, 280], [700, 100, 760, 280]])


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, tracker_backend="cpp", **values)  # type: ignore[call-arg]


def tracker(camera_id: str = "c1", **values: object) -> NativeTracker:
    try:
        made = create_tracker(settings(**values), camera_id, RATE)
    except SettingsError as error:
        pytest.skip(str(error))
    assert isinstance(made, NativeTracker)
    return made


def ticks(seed: int, count: int, dimension: int = 16):
    """Six people who walk to and fro, with misses and low scores; somebody is away for a while now and then."""
    random = np.random.default_rng(seed)
    feet, steps = random.uniform((100, 300), (1180, 700), (6, 2)), random.normal(0, 4, (6, 2))
    looks, away = random.normal(size=(6, dimension)), np.zeros(6, int)
    for _ in range(count):
        feet += steps
        steps = np.where((feet < (40, 200)) | (feet > (1240, 715)), -steps, steps)
        away = np.where(away > 0, away - 1, np.where(random.random(6) < 0.01, 20, 0))
        seen = (random.random(6) > 0.1) & (away == 0)
        at = feet[seen] + random.normal(0, 1, (seen.sum(), 2))
        boxes = np.hstack([at - np.array([30, 150]), at + np.array([30, 0])]).astype(np.float32)
        found = looks[seen] + random.normal(0, 0.2, (seen.sum(), dimension))
        found /= np.linalg.norm(found, axis=1, keepdims=True) if dimension else 1
        yield Detections(boxes, random.uniform(0.2, 1, seen.sum()).astype(np.float32)), found.astype(np.float32)


def follow(tracker: NativeTracker, seen, first: int = 0) -> list[Tracks]:
    return [tracker.update(tick, SIZE, *found) for tick, found in enumerate(seen, first)]


def rows_of(found: list[Tracks]) -> list[dict[int, int]]:
    return [dict(zip(tracks.detection_rows.tolist(), tracks.track_ids.tolist(), strict=True)) for tracks in found]


@pytest.mark.parametrize("dimension", [0, 16])
@pytest.mark.parametrize("at", [1, 40, 57])
def test_a_run_that_was_broken_off_at_a_snapshot_ends_as_one_that_was_not(dimension, at):
    unbroken, seen = tracker(), list(ticks(1, 120, dimension))
    before = follow(unbroken, seen[:at])
    state = unbroken.snapshot()
    resumed = tracker()
    resumed.restore(state)
    after = rows_of(follow(unbroken, seen[at:], at))
    assert after == rows_of(follow(resumed, seen[at:], at))
    assert unbroken.snapshot() == resumed.snapshot()
    assert sum(map(len, after)) > 150
    assert not before or max(map(len, rows_of(before))) > 0


@pytest.mark.parametrize("dimension", [0, 16])
def test_a_snapshot_at_every_tick_hardly_changes_the_tracks(dimension):
    plain, interrupted, seen = tracker(), tracker(), list(ticks(2, 60, dimension))
    same = 0
    for tick, found in enumerate(seen):
        one, other = rows_of([plain.update(tick, SIZE, *found), interrupted.update(tick, SIZE, *found)])
        same += one == other
        interrupted.snapshot()
    assert same >= 54


def test_who_is_away_at_a_snapshot_is_known_when_they_come_back():
    one, looks = tracker(), np.eye(3, 8, dtype=np.float32)
    everybody = Detections(SIDE_BY_SIDE, np.full(3, 0.9, np.float32))
    known = follow(one, [(everybody, looks)] * 10)[-1]
    follow(one, [(everybody.select(np.array([0])), looks[:1])] * 20, 10)
    one.snapshot()
    back = follow(one, [(everybody, looks)] * 2, 30)[-1]
    assert rows_of([back]) == rows_of([known])


def test_who_was_seen_once_before_a_snapshot_is_a_track_at_the_next_tick():
    one, look = tracker(), np.eye(2, 8, dtype=np.float32)
    everybody = Detections(SIDE_BY_SIDE[:2], np.full(2, 0.9, np.float32))
    follow(one, [(everybody.select(np.array([0])), look[:1])] * 5)
    assert rows_of(follow(one, [(everybody, look)], 5)) == [{0: 1}]
    one.snapshot()
    assert rows_of(follow(one, [(everybody, look)], 6)) == [{0: 1, 1: 2}]


def test_cameras_share_nothing():
    seen = [list(ticks(seed, 60)) for seed in (3, 4)]
    alone = [rows_of(follow(tracker(), each)) for each in seen]
    both = [tracker("c1"), tracker("c2")]
    together: list[list[Tracks]] = [[], []]
    for tick in range(60):
        for row in (0, 1):
            together[row].append(both[row].update(tick, SIZE, *seen[row][tick]))
    assert [rows_of(found) for found in together] == alone


def test_removed_tracks_do_not_pile_up(monkeypatch):
    """The engine never lets go of them by itself."""
    monkeypatch.setattr(native, "REMADE_AFTER", 50)
    one, engines = tracker(lost_track_buffer_s=0.4), set()
    for tick, found in enumerate(ticks(5, 120)):
        one.update(tick, SIZE, *found)
        engines.add(id(one._engine))
        assert len(one._sightings) <= 60
    assert one._updates < 50
    assert len(one._keep().numbers) <= 6


def test_an_engine_that_fails_costs_its_camera_its_tracks_and_no_number_twice(monkeypatch, caplog):
    one, seen = tracker(), list(ticks(6, 40))
    before = follow(one, seen[:20])
    failing = pytest.MonkeyPatch()
    failing.setattr(one._engine._library, "update", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("broken")))
    with caplog.at_level(logging.ERROR):
        assert len(one.update(20, SIZE, *seen[20])) == 0
        one.snapshot()
    failing.undo()
    after = follow(one, seen[21:], 21)
    assert "camera c1, tick 20: its tracker failed" in caplog.text
    assert max(map(max, (found.track_ids for found in before if len(found)))) < min(
        map(min, (found.track_ids for found in after if len(found)))
    )


def test_the_state_of_another_backend_is_refused():
    python = create_tracker(Settings(_env_file=None), "c1", RATE)  # type: ignore[call-arg]
    python.update(0, SIZE, *next(ticks(7, 1)))
    for state in (python.snapshot(), b"hello"):
        with pytest.raises(ValueError, match="not the state of a tracker"):
            Kept.from_bytes(state)


def test_what_boxmot_has_in_python_alone_is_refused():
    with pytest.raises(SettingsError, match=r"SPOTON_TRACKER_BACKEND: BoxMOT has no C\+\+ strongsort; there are bots"):
        create_tracker(settings(tracker="strongsort"), "c1", RATE)


@pytest.mark.parametrize(
    ("cmake", "said"),
    [
        (None, r"No such file or directory: 'cmake'"),
        ("echo 'CMake Error: no package OpenCV was provided'; exit 1", "CMake Error: no package OpenCV was provided"),
    ],
)
def test_what_cannot_be_built_says_what_is_needed(monkeypatch, tmp_path: Path, capfd, cmake, said):
    if cmake is not None:
        script = tmp_path / "cmake"
        script.write_text(f"#!/bin/sh\n{cmake}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}" if cmake is None else f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(native_botsort, "_LIBRARY", None)
    monkeypatch.setattr(native_build, "installed_library_candidates", lambda *_: [])
    monkeypatch.setattr(native_build, "tracker_build_dir", lambda name: tmp_path / "build" / name)
    with pytest.raises(
        SettingsError, match=rf"the C\+\+ botsort cannot be .* here \(.*{said}.*it needs cmake"
    ) as raised:
        create_tracker(settings(), "c1", RATE)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
