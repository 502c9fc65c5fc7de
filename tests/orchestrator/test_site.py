from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import SiteError, UnknownCameraError, UnknownEnvironmentError
from orchestrator.site import Quadrant, Site, load_site

GOOD = """\
environments:
  campus:
    name: Campus
    recorded_from: 2026-01-05T09:00:00Z
    sub_videos: 4
    cameras:
      c05:
        prefix: video_s37/c05/
      c01:
        name: North gate
        prefix: video_s37/c01
        homography:
          image_points: [[0, 700], [1280, 700], [1000, 300], [280, 300]]
          map_points: [[0, 0], [10, 0], [12, 20], [-2, 20]]
    overlaps: [[c01, c05]]
    exits:
      - {camera: c01, quadrant: upper_left, to: c05}
"""


def load(folder: Path, text: str) -> Site:
    path = folder / "site.yaml"
    path.write_text(text)
    return load_site(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(SiteError) as caught:
        load(folder, text)
    return str(caught.value)


def test_reads_everything_the_file_says(tmp_path):
    campus = load(tmp_path, GOOD).environment("campus")
    assert (campus.id, campus.name, campus.sub_videos, campus.target_fps) == ("campus", "Campus", 4, None)
    assert campus.recorded_from == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert list(campus.cameras) == ["c05", "c01"]
    assert (campus.cameras["c05"].name, campus.cameras["c05"].prefix) == ("c05", "video_s37/c05")
    assert campus.cameras["c05"].homography is None
    assert campus.cameras["c01"].homography is not None
    assert campus.cameras["c01"].homography.map.tolist() == [[0, 0], [10, 0], [12, 20], [-2, 20]]
    assert campus.overlaps == (("c01", "c05"),)
    assert campus.exits[0].quadrant is Quadrant.UPPER_LEFT


def test_selects_cameras_in_the_order_of_the_file(tmp_path):
    site = load(tmp_path, GOOD)
    campus = site.environment("campus")
    assert [camera.id for camera in campus.select(["c01", "c05"])] == ["c05", "c01"]
    assert [camera.id for camera in campus.select(None)] == ["c05", "c01"]
    with pytest.raises(UnknownCameraError, match="no camera 'c09', only c05, c01"):
        campus.select(["c01", "c09"])
    with pytest.raises(UnknownEnvironmentError, match=r"'factory'.*the site file has campus"):
        site.environment("factory")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "prefix: video_s37/c05/",
            "prefx: a",
            "site.yaml:8: environments.campus.cameras.c05.prefx: unknown key, did you",
        ),
        (
            "    overlaps:",
            "    overlap:",
            "site.yaml:15: environments.campus.overlap: unknown key, did you mean 'overlaps'",
        ),
        ("image_points:", "imagepoints:", "site.yaml:13: .*unknown key, did you mean 'image_points'"),
        (
            "sub_videos: 4",
            "sub_videos: many",
            "site.yaml:5: environments.campus.sub_videos: Input should be a valid integer",
        ),
        ("sub_videos: 4", "sub_videos: 0", "site.yaml:5: .*greater than or equal to 1"),
        ("sub_videos: 4", "sub_videos: [4", "site.yaml:[67]: "),
        ("    name: Campus", "    id: campus", "site.yaml:3: environments.campus.id: unknown key"),
        ("09:00:00Z", "09:00:00", "site.yaml:4: .*timezone"),
        ("[[c01, c05]]", "[[c01, c09]]", "site.yaml:15: environments.campus.overlaps.0: no camera 'c09'"),
        ("[[c01, c05]]", "[[c01, c01]]", "site.yaml:15: .*paired with itself"),
        ("to: c05", "to: c06", "site.yaml:17: environments.campus.exits.0: no camera 'c06'"),
        ("upper_left", "top", "site.yaml:17: environments.campus.exits.0.quadrant: Input should be 'upper_left'"),
        ("      c05:", "      c01:", "site.yaml:7: .*given twice, again in line 9"),
        ("      c05:", "      c 5:", "site.yaml:7: .*pattern"),
        ("video_s37/c01", "../c01", "site.yaml:11: .*without '..'"),
        ("video_s37/c01", "/c01", "site.yaml:11: .*relative path"),
        (", [280, 300]]", "]", "site.yaml:12: .*3 image_points but 4 map_points"),
        (", [-2, 20]]", ", [.nan, 20]]", "site.yaml:12: .*not a finite number"),
        ("[12, 20], [-2, 20]]", "[20, 0], [30, 0]]", "site.yaml:12: .*map_points lie on one line"),
        ("[280, 300]]", "[280, 300, 1]]", "site.yaml:13: "),
    ],
)
def test_a_fault_names_its_line_and_field(tmp_path, old, new, expected):
    assert old in GOOD
    message = refused(tmp_path, GOOD.replace(old, new, 1))
    assert re.search(expected, message), message


def test_three_points_are_too_few(tmp_path):
    text = GOOD.replace(", [280, 300]]", "]").replace(", [-2, 20]]", "]")
    assert "3 point pairs, at least 4 are needed" in refused(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[]", "environments: {}", "environments:", "cameras: {}", "environments: {a: 3}"])
def test_a_file_without_environments_is_refused(tmp_path, text):
    assert "site.yaml:1" in refused(tmp_path, text)


def test_every_fault_of_a_file_is_listed(tmp_path):
    message = refused(tmp_path, GOOD.replace("sub_videos: 4", "sub_videos: x").replace("upper_left", "top"))
    assert [line.split(":")[1] for line in message.splitlines()] == ["5", "17"]


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(SiteError, match=r"nothing\.yaml: cannot be read"):
        load_site(tmp_path / "nothing.yaml")
    (tmp_path / "site.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SiteError, match=r"site\.yaml"):
        load_site(tmp_path / "site.yaml")


class TestPointFile:
    text = "environments: {a: {cameras: {c1: {\n  prefix: v,\n  homography: {file: points/c1.npz}}}}}\n"

    def save(self, folder: Path, **arrays: object) -> None:
        (folder / "points").mkdir()
        np.savez(folder / "points" / "c1.npz", **arrays)

    def test_is_read_relative_to_the_site_file(self, tmp_path):
        image = np.array([[0, 0], [9, 0], [9, 9], [0, 8]], np.float32)
        self.save(tmp_path, image_points=image, map_points=image / 2)
        points = load(tmp_path, self.text).environment("a").cameras["c1"].homography
        assert points is not None
        np.testing.assert_array_equal(points.image, image)
        np.testing.assert_array_equal(points.map, image / 2)

    def test_missing(self, tmp_path):
        assert "site.yaml:3: environments.a.cameras.c1.homography.file: " in refused(tmp_path, self.text)

    def test_without_its_arrays(self, tmp_path):
        self.save(tmp_path, image_points=np.zeros((4, 2)))
        assert "map_points" in refused(tmp_path, self.text)

    def test_of_a_wrong_shape(self, tmp_path):
        self.save(tmp_path, image_points=np.zeros((4, 3)), map_points=np.zeros((4, 2)))
        assert "image_points in" in refused(tmp_path, self.text)

    def test_that_is_no_archive(self, tmp_path):
        (tmp_path / "points").mkdir()
        (tmp_path / "points" / "c1.npz").write_text("hello")
        assert "site.yaml:3: " in refused(tmp_path, self.text)

    def test_beside_inline_points(self, tmp_path):
        text = self.text.replace("c1.npz}", "c1.npz, image_points: []}")
        assert "image_points: not allowed beside 'file'" in refused(tmp_path, text)


class TestCalibration:
    text = "environments: {a: {cameras: {c1: {\n  calibration: CALIBRATION}}}}\n"

    @pytest.mark.parametrize(
        ("calibration", "words"),
        [
            ("{}", "one of image_to_map, map_to_image and projection is expected"),
            ("{projection: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}", "projection"),
            ("{image_to_map: [[1, 0, 0], [0, .inf, 0], [0, 0, 1]]}", "not a finite number"),
            ("{image_to_map: {file: nowhere.npy}}", "nowhere.npy"),
            ("{image_to_map: {array: c1}}", "is expected as 'file'"),
            ("{image_to_map: {file: flat.npy}}", "has shape (9,)"),
            ("{image_to_map: {file: all.npz, array: c2}}", "c2"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(self, tmp_path, calibration, words):
        np.save(tmp_path / "flat.npy", np.arange(9.0))
        np.savez(tmp_path / "all.npz", c1=np.eye(3))
        message = refused(tmp_path, self.text.replace("CALIBRATION", calibration))
        assert "site.yaml:2: environments.a.cameras.c1.calibration" in message
        assert words in message

    def test_not_beside_point_pairs(self, tmp_path):
        points = "[[0, 0], [9, 0], [9, 9], [0, 8]]"
        pairs = f"{{image_points: {points}, map_points: {points}}}"
        both = f"{{image_to_map: {{file: all.npz, array: c1}}}}, homography: {pairs}"
        np.savez(tmp_path / "all.npz", c1=np.eye(3))
        assert "either homography or calibration" in refused(tmp_path, self.text.replace("CALIBRATION", both))

    def test_a_camera_without_prefix_has_its_id(self, tmp_path):
        np.save(tmp_path / "c1.npy", np.eye(3))
        camera = load(tmp_path, self.text.replace("CALIBRATION", "{image_to_map: {file: c1.npy}}"))
        assert camera.environment("a").cameras["c1"].prefix == "c1"
