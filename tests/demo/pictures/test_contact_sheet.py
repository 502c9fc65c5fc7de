import cv2
import numpy as np
import pytest

from demo.pictures.contact_sheet import richest_moment, save_contact_sheet
from demo.pictures.grid import CELL_HEIGHT, CELL_WIDTH, COLUMNS, GAP
from demo.scores import BoxTable
from demo.site.build import build_site
from demo.site.scene import Recording
from demo.site.scenes import make_scene
from demo.truth import CameraTruth

SIZES = Recording(people=4, sub_videos=1, sub_video_seconds=0.5, fps=4, width=320)


def truth(frames, visibility):
    boxes = np.tile([10.0, 10.0, 20.0, 40.0], (len(frames), 1))
    return CameraTruth(BoxTable(np.array(frames, np.int64), np.arange(len(frames)), boxes), np.array(visibility))


def test_the_moment_with_the_most_people_is_shown():
    moment = richest_moment(truth([0, 1, 1, 2, 2, 7, 7, 7], [1, 0.9, 0.9, 0.9, 0.1, 1, 1, 1]), frames=4)
    assert (moment.frame, moment.people) == (1, [1, 2])


def test_a_camera_that_sees_nobody_shows_its_first_frame():
    moment = richest_moment(truth([], []), frames=4)
    assert (moment.frame, moment.people) == (0, [])


def test_every_camera_has_a_cell(tmp_path):
    scenes = [make_scene(name, 1, SIZES) for name in ("yard", "campus")]
    sites = [(scene, build_site(scene, tmp_path / scene.name, workers=1)) for scene in scenes]
    target = tmp_path / "pictures" / "sheet.jpg"
    save_contact_sheet(target, sites)
    sheet = cv2.imread(str(target))
    assert sheet.shape == (2 * (CELL_HEIGHT + GAP) - GAP, COLUMNS * (CELL_WIDTH + GAP) - GAP, 3)
    lower = sheet[CELL_HEIGHT + GAP :]
    assert lower[:, : 2 * CELL_WIDTH].mean() < 200, "the fifth and sixth camera are there"
    assert lower[:, 2 * (CELL_WIDTH + GAP) :].mean() > 250, "and nothing else"


def test_a_missing_site_is_said(tmp_path):
    scene = make_scene("yard", 1, SIZES)
    files = build_site(scene, tmp_path / "site", workers=1)
    (files.videos / "yard" / "c01" / "sub_video_01.mp4").unlink()
    with pytest.raises(OSError, match="sub_video_01"):
        save_contact_sheet(tmp_path / "sheet.jpg", [(scene, files)])
