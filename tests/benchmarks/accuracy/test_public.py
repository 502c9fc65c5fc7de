"""Public data in their published forms: MOTChallenge's folders, and WILDTRACK where it is."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import scenes
from benchmarks.accuracy.associations import homographies_of, oracle, places_of, spoton
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.motchallenge import read_scenes
from benchmarks.accuracy.public import cmc1
from benchmarks.accuracy.wildtrack import wildtrack
from orchestrator.errors import DetectionFileError, SpotOnError

DATA = Path("../shared/data")
INFO = "[Sequence]\nname={name}\nframeRate=10\nseqLength=40\nimWidth=1000\nimHeight=1000\n"


def sequence(folder, *, columns=9):
    """Somebody who walks, a car, a reflection that is found, and somebody who is not to be counted."""
    (folder / "det").mkdir(parents=True)
    (folder / "gt").mkdir()
    (folder / "seqinfo.ini").write_text(INFO.format(name=folder.name))
    truth, found = [], []
    for frame in range(1, 41):
        x = 100 + 8 * frame
        tail = ("1,1,1.0", "1,3,1.0", "1,12,1.0", "0,1,1.0") if columns == 9 else ("1,-1,-1,-1",) * 4
        for person, (left, row, rest) in enumerate(zip((x, 700, 40, 900), (300, 50, 600, 600), tail, strict=True), 1):
            if columns == 9 or person == 1:
                truth.append(f"{frame},{person},{left},{row},40,120,{rest}")
        found.append(f"{frame},-1,{x + 1},300,40,120,0.9,-1,-1,-1")
        found.append(f"{frame},-1,40,600,40,120,0.9,-1,-1,-1")
    (folder / "gt" / "gt.txt").write_text("\n".join(truth))
    (folder / "det" / "det.txt").write_text("\n".join(found))
    return folder


def test_a_sequence_is_scored_as_motchallenge_does(tmp_path):
    (item,) = read_scenes(sequence(tmp_path / "MOT17-02"))
    assert (item.name, item.recording.rate, item.recording.ticks, item.people) == ("MOT17-02", 10, 40, 2)
    figures = score(item, oracle(item)).flat()
    assert figures["camera_idf1"] == figures["camera_mota"] == 1  # the reflection's box is not held against it
    assert score(item, spoton(item, second_pass=False)).flat()["camera_idf1"] > 0.9


def test_older_sequences_have_no_classes(tmp_path):
    (item,) = read_scenes(sequence(tmp_path / "PETS", columns=10))
    assert item.people == 1


def test_a_folder_of_sequences_is_a_scene_each_unless_a_site_file_makes_them_one(tmp_path):
    for name in ("a", "b"):
        sequence(tmp_path / name)
    assert [item.name for item in read_scenes(tmp_path)] == ["a", "b"]
    matrix = "{calibration: {image_to_map: [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]]}}"
    (tmp_path / "site.yaml").write_text(f"environments: {{hall: {{cameras: {{a: {matrix}, b: {matrix}}}}}}}")
    (item,) = read_scenes(tmp_path)
    assert sorted(item.boxes) == ["a", "b"]
    assert score(item, oracle(item)).across.idf1 == 1


def test_what_is_no_sequence_is_said(tmp_path):
    with pytest.raises(DetectionFileError, match=r"no seqinfo.ini"):
        read_scenes(tmp_path)
    folder = sequence(tmp_path / "a")
    (folder / "gt" / "gt.txt").write_text("1,2,x")
    with pytest.raises(DetectionFileError, match=r"gt.txt:1: 3 columns"):
        read_scenes(folder)
    with pytest.raises(SpotOnError, match="no scene and no folder is called nowhere; there are campus"):
        scenes.check(["cmc1", "nowhere", str(tmp_path)])


@pytest.mark.skipif(not (DATA / "wildtrack_sample").is_dir(), reason="../shared/data/wildtrack_sample is not there")
def test_wildtrack_s_boxes_stand_at_its_places():
    item = wildtrack(DATA, 1)
    assert (item.recording.ticks, item.recording.rate, item.people, len(item.boxes)) == (20, 2.0, 53, 7)
    for name, homography in homographies_of(item).items():
        truth = item.boxes[name]
        whole = (truth.table.boxes[:, 3] < 1070) & (truth.table.boxes[:, 0] > 10) & (truth.table.boxes[:, 2] < 1910)
        away = np.linalg.norm(places_of(homography, truth.table.boxes)[whole] - truth.map_xy[whole], axis=1)
        assert np.median(away) < 0.2, name
    assert item.detections == "noise model"
    assert score(item, oracle(item)).ground.idf1 > 0.85


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("41,1,0,0,40,120", r"gt\.txt:161: 6 columns, at least 7 are expected"),
        ("41,one,0,0,40,120,1,1,1", r"gt\.txt:161: could not convert string to float: 'one'"),
        ("41,1,nan,0,40,120,1,1,1", r"gt\.txt:161: a number that is not finite"),
        ("41.5,1,0,0,40,120,1,1,1", r"gt\.txt:161: frame 41\.5 and id 1 are no whole numbers"),
        (f"41,{2**63},0,0,40,120,1,1,1", r"gt\.txt:161: frame 41 and id .* are no whole numbers below"),
        ("40,1,0,0,40,120,1,1,1", r"gt\.txt:161: id 1 in frame 40 again, as in line 157"),
    ],
)
def test_a_line_of_truth_that_is_none_is_named(tmp_path, line, words):
    folder = sequence(tmp_path / "MOT17-02")
    with (folder / "gt" / "gt.txt").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(DetectionFileError, match=words):
        read_scenes(folder)


def test_truth_may_be_out_of_order_or_empty_and_not_absent(tmp_path):
    folder = sequence(tmp_path / "MOT17-02")
    (before,), path = read_scenes(folder), folder / "gt" / "gt.txt"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    (after,) = read_scenes(folder)
    assert score(after, oracle(after)).flat() == score(before, oracle(before)).flat()
    path.write_text("")
    assert read_scenes(folder)[0].people == 0
    path.unlink()
    with pytest.raises(DetectionFileError, match=r"gt\.txt: cannot be read: .*No such file"):
        read_scenes(folder)


@pytest.mark.skipif(not (DATA / "cmc1").is_dir(), reason="the cmc1 folder is not there")
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cam_projection_3x4.npz", None, r"cam_projection_3x4\.npz: cannot be used: .*No such file"),
        ("cam_projection_3x4.npz", b"nonsense", r"cam_projection_3x4\.npz: cannot be used: "),
        ("GT_WORLD_CENTROID.txt", b"1 1 -1 -1\n", r"GT_WORLD_CENTROID\.txt:1: 4 columns, at least 9"),
        ("GT_WORLD_CENTROID.txt", None, r"GT_WORLD_CENTROID\.txt: cannot be read"),
        ("DET_Cam2.txt", None, r"camera cam2 is left out: .*no detections of camera cam2"),
        ("DET_Cam2.txt", b"1 -1 5 5 9\n", r"DET_Cam2\.txt:1: 5 columns"),
    ],
)
def test_a_file_of_cmc_that_cannot_be_used_is_named(tmp_path, name, content, words):
    shutil.copytree(DATA / "cmc1", tmp_path / "cmc1")
    (tmp_path / "cmc1" / name).unlink()
    if content is not None:
        (tmp_path / "cmc1" / name).write_bytes(content)
    with pytest.raises(DetectionFileError, match=words):
        cmc1(tmp_path)


@pytest.mark.skipif(not (DATA / "wildtrack_sample").is_dir(), reason="the wildtrack_sample folder is not there")
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("calibrations/extrinsic/extr_IDIAP2.xml", None, r"extr_IDIAP2\.xml: cannot be used: .*No such file"),
        ("calibrations/extrinsic/extr_IDIAP2.xml", "<a", r"extr_IDIAP2\.xml: cannot be used: "),
        ("calibrations/extrinsic/extr_IDIAP2.xml", "<a><rvec>1 nan 2</rvec></a>", "rvec is not 3 numbers"),
        ("annotations_positions/nonsense.json", "[]", r"nonsense\.json: cannot be used: invalid literal"),
        ("annotations_positions/00000000.json", "[{", r"00000000\.json: cannot be used: "),
        ("annotations_positions/00000000.json", '[{"personID": 1}]', r"00000000\.json: .*'views' is missing"),
        ("annotations_positions/00000000.json", "[7]", r"00000000\.json: cannot be used: "),
        ("annotations_positions/00000000.json", (9, 0, 0), "view 9 or cell 0 does not exist"),
        ("annotations_positions/00000000.json", (0, 10**9, 0), "cell 1000000000 does not exist"),
        ("annotations_positions/00000000.json", (0, 0, math.nan), "person 1: .* whole numbers"),
        ("annotations_positions/00000000.json", (0, 0, 0, 0), "person 1 is in view 0 twice"),
    ],
)
def test_a_file_of_wildtrack_that_cannot_be_used_is_named(tmp_path, name, content, words):
    shutil.copytree(DATA / "wildtrack_sample", tmp_path / "wildtrack")
    path = tmp_path / "wildtrack" / name
    path.unlink(missing_ok=True)
    if isinstance(content, tuple):
        view, cell, left, *again = content
        views = [{"viewNum": view, "xmin": left, "ymin": 0, "xmax": 50, "ymax": 90}] * (1 + len(again))
        path.write_text(json.dumps([{"personID": 1, "positionID": cell, "views": views}]))
    elif content is not None:
        path.write_text(content)
    with pytest.raises(DetectionFileError, match=words):
        wildtrack(tmp_path, 1)
