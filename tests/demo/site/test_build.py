import hashlib
import json

import av
import numpy as np
import pytest
import yaml

from demo.site.build import build_site, version_hash
from demo.site.folder import SiteFiles, clear, held, is_complete
from demo.site.scene import Recording
from demo.site.scenes import make_scene

CAMERAS = ("c01", "c02")
SCENE = make_scene("campus", 2, Recording(people=4, cameras=2, sub_videos=2, sub_video_seconds=0.5, width=640))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[SiteFiles, list[tuple[int, int]]]:
    calls: list[tuple[int, int]] = []
    files = build_site(
        SCENE, tmp_path_factory.mktemp("site"), lambda done, total: calls.append((done, total)), workers=2
    )
    return files, calls


def videos(files):
    return sorted(files.videos.rglob("*.mp4"))


def test_every_sub_video_is_there_and_browsers_can_play_it(built):
    files, _ = built
    names = [str(path.relative_to(files.videos)) for path in videos(files)]
    assert names == [f"video_s37/{camera}/sub_video_0{index}.mp4" for camera in CAMERAS for index in (1, 2)]
    for path in videos(files):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            times = [frame.time for frame in container.decode(stream)]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.codec_context.width, stream.codec_context.height) == (640, 360)
            assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert times == pytest.approx([index / 12 for index in range(6)], abs=1e-4)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), "not faststart"


def test_progress_ends_at_the_total(built):
    _, calls = built
    assert calls[-1] == (24, 24)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_truth_lists_people_inside_the_frame_where_they_stand(built):
    files, _ = built
    positions = np.loadtxt(files.map_truth, delimiter=",", skiprows=1)
    assert positions.shape == (SCENE.frames * 4, 4)
    where = {(int(frame), int(person)): (x, y) for frame, person, x, y in positions}
    cameras = {each.camera.camera_id: each.camera for each in SCENE.cameras}
    checked = 0
    for camera_id in CAMERAS:
        rows = np.loadtxt(files.camera_truth(camera_id), delimiter=",", ndmin=2)
        assert (rows[:, 2:4] >= 0).all()
        assert (rows[:, 2] + rows[:, 4] <= 640).all()
        assert (rows[:, 3] + rows[:, 5] <= 360).all()
        assert ((rows[:, 8] > 0) & (rows[:, 8] <= 1)).all()
        for frame, person, x, y, width, height in rows[rows[:, 8] > 0.9][:, :6]:
            foot, _ = cameras[camera_id].project(np.array([*where[int(frame), int(person)], 0], np.float32))
            assert abs(foot[0] - (x + width / 2)) < 0.35 * height
            assert abs(foot[1] - (y + height)) < 0.12 * height
            checked += 1
    assert checked > 10


def test_what_is_visible_lies_within_the_whole_body_and_the_frame(built):
    files, _ = built
    for camera_id in CAMERAS:
        whole, visible = (
            np.loadtxt(path(camera_id), delimiter=",", ndmin=2)
            for path in (files.camera_truth, files.camera_visible_truth)
        )
        assert np.array_equal(whole[:, [0, 1, 6, 7, 8]], visible[:, [0, 1, 6, 7, 8]])
        assert (visible[:, 2:4] > whole[:, 2:4] - 1).all()
        assert (visible[:, 2:4] + visible[:, 4:6] < whole[:, 2:4] + whole[:, 4:6] + 1).all()
        assert (visible[:, 2:4] >= 0).all()
        assert (visible[:, 2:4] + visible[:, 4:6] <= (640, 360)).all()
        full = whole[:, 8] == 1
        assert np.abs(whole[full, 4:6] - visible[full, 4:6]).max() < 3


def test_the_site_file_names_cameras_and_survey_points_that_fit(built):
    files, _ = built
    environment = yaml.safe_load(files.site_file.read_text())["environments"]["campus"]
    assert list(environment["cameras"]) == list(CAMERAS)
    assert environment["overlaps"] == [["c01", "c02"]]
    assert environment["recorded_from"].tzinfo is not None
    for each in SCENE.cameras:
        homography = environment["cameras"][each.camera.camera_id]["homography"]
        points = np.load(files.root / homography["file"]) if "file" in homography else homography
        image, ground = (np.asarray(points[name], np.float32) for name in ("image_points", "map_points"))
        pixels, _ = each.camera.project(np.pad(ground, ((0, 0), (0, 1))))
        error = np.abs(pixels - image)
        assert len(image) >= 10
        assert 0.05 < error.mean() < 3


def test_the_same_scene_is_reused_and_a_changed_one_is_not(built):
    files, _ = built
    before = {path: path.stat().st_mtime_ns for path in videos(files)}
    build_site(SCENE, files.root)
    assert {path: path.stat().st_mtime_ns for path in videos(files)} == before
    assert json.loads(files.description.read_text())["seed"] == 2


def test_frames_are_the_same_in_every_build(built, tmp_path):
    files, _ = built
    again = build_site(SCENE, tmp_path, workers=1)
    for one, other in zip(videos(files), videos(again), strict=True):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    assert files.map_truth.read_text() == again.map_truth.read_text()


def test_what_no_rendering_left_is_not_touched(tmp_path):
    mine = tmp_path / "videos" / "holiday.mp4"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match=r"videos was not rendered by this program"):
        build_site(SCENE, tmp_path, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_what_an_interrupted_rendering_left_is_written_anew(tmp_path):
    def interrupt(done: int, _total: int) -> None:
        if done > 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        build_site(SCENE, tmp_path, interrupt, workers=1)
    files = SiteFiles(tmp_path)
    assert not is_complete(files, version_hash(SCENE))
    with held(files), pytest.raises(OSError, match="another process is rendering into"):
        build_site(SCENE, tmp_path, workers=1)
    clear(files)
    assert not videos(files)


def test_a_rendering_that_nobody_waits_for_ends_in_the_middle_of_a_sub_video(tmp_path):
    scene = make_scene("yard", 1, Recording(cameras=1, sub_videos=1, sub_video_seconds=50, fps=24, width=160))

    def interrupt(done: int, _total: int) -> None:
        if done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        build_site(scene, tmp_path, interrupt, workers=2)
    assert not videos(SiteFiles(tmp_path)), "rendered to its end, or left half of it"
