"""Public data in their published forms: MOTChallenge's folders, and WILDTRACK where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import scenes
from benchmarks.accuracy.associations import homographies_of, oracle, places_of, spoton
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.motchallenge import read_scenes
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
    with pytest.raises(DetectionFileError, match=r"gt.txt: cannot be read"):
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
