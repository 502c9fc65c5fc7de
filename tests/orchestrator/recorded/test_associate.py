"""Recorded detections through the whole command: people who walk through two cameras, and cameras with faults."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from orchestrator import __main__ as command
from orchestrator.errors import DetectionFileError
from orchestrator.recorded.associate import associate, read_recording
from orchestrator.recorded.results import FoundTracks, fuse
from orchestrator.settings import Settings
from orchestrator.site import load_site

SITE = """
environments:
  hall:
    target_fps: 10
    cameras:
      a: {resolution: [1000, 1000], calibration: {image_to_map: [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]]}}
      b:
        resolution: [1000, 1000]
        calibration:
          metres_per_unit: 0.01
          map_to_image: [[1, 0, -500], [0, 1, 0], [0, 0, 1]]
      blind: {resolution: [1000, 1000]}
"""
FRAMES = range(1, 81)


def person(frame, shift=0):
    """Two people on their ways along the hall; feet in the middle of the box's lower edge, 100 px a metre."""
    for start, row in ((100, 300), (900, 700)):
        x = start + (8 if start < 500 else -8) * frame - shift
        if 20 <= x <= 980:
            yield f"{frame},-1,{x - 20},{row - 120},40,120,0.9\n"


def walk(folder, step=1):
    folder.mkdir()
    lines = {"a": "", "b": ""}
    for frame in FRAMES[::step]:
        lines["a"] += "".join(person(frame))
        lines["b"] += "".join(person(frame, shift=500))
    for name, text in lines.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["orchestrator", "associate", *map(str, arguments)])
    return command.main()


def rows(path):
    return np.loadtxt(path, delimiter=",", ndmin=2)


def test_two_people_keep_their_ids_through_two_cameras(site, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    status = run(monkeypatch, "--site", site, "--detections", walk(tmp_path / "det"), "--out", out)
    assert status == 3
    assert "camera blind is left out" in capsys.readouterr().err
    for camera in "ab":
        found = rows(out / f"{camera}.txt")
        assert found.shape[1] == 10
        assert len({(row[1], row[3]) for row in found}) == 2  # an id for each height at which people walk
    on_map = rows(out / "map.txt")
    assert {int(person) for person in on_map[:, 1]} == {1, 2}
    assert np.unique(on_map[:, :2], axis=0).shape == on_map[:, :2].shape
    for frame, _, x, y in on_map:
        assert abs(x - (1 + 0.08 * frame if y < 5 else 9 - 0.08 * frame)) < 0.05
    assert not list(out.glob("*.part"))


def test_files_of_every_fifth_frame_have_a_tick_for_each(site, tmp_path):
    environment = load_site(site).environment("hall")
    recording, problems = read_recording(environment, walk(tmp_path / "det", step=5), 23.0)
    assert (recording.step, recording.ticks, recording.rate) == (5, 16, 10.0)
    assert len(problems) == 1
    assert [int(recording.frame_of(tick)) for tick in (0, 15)] == [1, 76]
    assert all(len(tick) == 2 for tick in recording.inputs())


def test_one_camera_s_fault_is_told_and_the_others_go_on(site, tmp_path, monkeypatch, capsys):
    folder = walk(tmp_path / "det")
    (folder / "b.txt").write_text("1,-1,garbage\n")
    assert run(monkeypatch, "--site", site, "--detections", folder, "--out", tmp_path / "out") == 3
    said = capsys.readouterr().err
    assert "camera b is left out" in said
    assert "b.txt:1: 3 columns" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "map.txt"]


def test_embeddings_of_another_length_leave_their_camera_out(site, tmp_path):
    folder = walk(tmp_path / "det")
    for name, length in (("a", 8), ("b", 9)):
        lines = len((folder / f"{name}.txt").read_text().splitlines())
        np.save(folder / f"{name}.npy", np.ones((lines, length), np.float32))
    recording, problems = read_recording(load_site(site).environment("hall"), folder, 23.0)
    assert [camera.id for camera in recording.cameras] == ["a"]
    assert "embeddings of 9 values, 8 in" in problems[0]


def test_a_camera_without_homography_has_tracks_and_no_places(site, tmp_path, monkeypatch):
    folder = walk(tmp_path / "det")
    (folder / "a.txt").rename(folder / "blind.txt")
    (folder / "b.txt").unlink()
    assert run(monkeypatch, "--site", site, "--detections", folder, "--out", tmp_path / "out") == 3
    assert len({(row[1], row[3]) for row in rows(tmp_path / "out" / "blind.txt")}) == 2
    assert (tmp_path / "out" / "map.txt").read_text() == ""


@pytest.mark.parametrize(
    "text", ["", "1,-1,nan,20,30,40,0.9\n", "100000,-1,10,20,40,120,0.9\n"], ids=["empty", "no box", "hours later"]
)
def test_a_camera_that_says_nothing_or_something_odd_leaves_the_others_as_they_are(site, tmp_path, text):
    environment = load_site(site).environment("hall")
    folder = walk(tmp_path / "det")
    (folder / "b.txt").unlink()
    alone, _ = read_recording(environment, folder, 10.0)
    (folder / "b.txt").write_text(text)
    both, problems = read_recording(environment, folder, 10.0)
    assert len(problems) == 1  # the camera that has no file
    settings = Settings(_env_file=None, second_pass=False)
    one, two = associate(settings, environment, alone)["a"], associate(settings, environment, both)["a"]
    assert np.array_equal(one.people, two.people)
    assert np.array_equal(one.boxes, two.boxes)


def test_without_any_file_nothing_is_written(site, tmp_path, monkeypatch, capsys):
    (tmp_path / "det").mkdir()
    assert run(monkeypatch, "--site", site, "--detections", tmp_path / "det", "--out", tmp_path / "out") == 1
    assert "no detections of camera a" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(DetectionFileError, match="no folder"):
        read_recording(load_site(site).environment("hall"), tmp_path / "nowhere", 23.0)


def test_places_of_two_cameras_are_averaged_by_their_certainty():
    def seen(x, variance):
        return FoundTracks(
            np.array([4]), np.array([1]), np.array([7]), np.zeros((1, 4)), np.ones(1), np.array([[x, 0.0]]),
            np.array([[variance, 0, variance]]),
        )  # fmt: skip

    ticks, people, places = fuse({"a": seen(0.0, 1.0), "b": seen(3.0, 2.0)})
    assert (ticks.tolist(), people.tolist()) == ([4], [7])
    assert places.round(6).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "problem"), [("", None), ("1,-1,5,5,50,90\n2000000000,-1,5,5,50,90\n3,-1,5,5,50,90\n", "2000000000 ticks")]
)
def test_a_camera_without_anybody_or_with_a_far_frame_does_not_stop_the_others(site, tmp_path, text, problem):
    """Also where only the calibration knows the camera, and no box says how large its frames are."""
    site.write_text(SITE.replace("      b:\n        resolution: [1000, 1000]\n", "      b:\n"))
    folder = walk(tmp_path / "in")
    (folder / "b.txt").write_text(text)
    (folder / "blind.txt").write_text("")
    environment = load_site(site).environments["hall"]
    recording, problems = read_recording(environment, folder, 10)
    assert [problem in found for found in problems] == ([True] if problem else [])
    assert len(associate(Settings(_env_file=None), environment, recording)["a"].ticks) > 100


def test_who_looks_for_other_cameras_is_told_what_is_there(site, tmp_path):
    folder = walk(tmp_path / "in")
    (folder / "a.txt").rename(folder / "front.txt")
    _, problems = read_recording(load_site(site).environments["hall"], folder, 10)
    assert problems[0].startswith("camera a is left out")
    assert problems[0].endswith("*.txt there: b.txt, front.txt")
