from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demo.scores import score_site
from demo.truth import cases, load_truth
from tests.demo.recordings import camera, recording, sightings

FRAMES = 6
FRAMES_PER_SUB_VIDEO = 3


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """One person who walks 10 px and 1 m a frame in both cameras; hidden in the last frame of c02."""
    folder = tmp_path / "truth"
    folder.mkdir()
    for name in ("c01", "c02"):
        visible = [1.0] * FRAMES
        visible[-1] = 0.1 if name == "c02" else 1.0
        lines = [f"{frame + 1},7,{10 * frame},20,30,60,1,1,{visible[frame]}" for frame in reversed(range(FRAMES))]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{frame + 1},7,{frame},2" for frame in range(FRAMES)]
    (folder / "map.csv").write_text("\n".join(["frame,id,x,y", *rows]) + "\n")
    return tmp_path


def boxes(frames: list[int]) -> list[list[float]]:
    return [[10 * frame, 20, 10 * frame + 30, 80] for frame in frames]


def test_truth_meets_the_same_frames_of_the_recording(site: Path) -> None:
    shown = list(range(FRAMES))
    seen = sightings(shown, [0] * FRAMES, boxes(shown), [[frame, 2.5] for frame in shown])
    found = recording(*(camera(name, seen, FRAMES_PER_SUB_VIDEO, 2) for name in ("c01", "c02")))
    figures = score_site(cases(found, load_truth(site, fps=12, frames_per_sub_video=FRAMES_PER_SUB_VIDEO)))
    assert figures.across.idf1 == pytest.approx(1)
    assert figures.positions.median_m == pytest.approx(0.5)
    assert [figures.cameras[name].tracks.true_boxes for name in ("c01", "c02")] == [6, 5]


def test_a_lower_processing_rate_meets_every_other_true_frame(site: Path) -> None:
    truth = load_truth(site, fps=12, frames_per_sub_video=6)
    seen = sightings([0, 1, 2], [0] * 3, boxes([0, 2, 4]))
    record = camera("c01", seen, 3, rate=6.0)
    assert truth.frames_of(record).tolist() == [0, 2, 4]
    case = cases(recording(record), truth)["c01"]
    assert case.truth.frames.tolist() == [0, 1, 2]
    assert case.truth.boxes.tolist() == boxes([0, 2, 4])
    assert case.truth_xy.tolist() == [[0, 2], [2, 2], [4, 2]]


def test_a_task_on_later_batches_meets_the_later_truth(site: Path) -> None:
    truth = load_truth(site, fps=12, frames_per_sub_video=FRAMES_PER_SUB_VIDEO)
    record = camera("c01", sightings([], []), FRAMES_PER_SUB_VIDEO, 2)
    assert truth.frames_of(record).tolist() == [0, 1, 2, 3, 4, 5]


def test_where_somebody_was_not_is_unknown(site: Path) -> None:
    truth = load_truth(site, fps=12, frames_per_sub_video=FRAMES_PER_SUB_VIDEO)
    found = truth.map.look_up(np.array([2, 2, 9]), np.array([7, 8, 7]))
    assert found[0].tolist() == [2, 2]
    assert np.isnan(found[1:]).all()


def test_a_camera_that_saw_nobody_has_no_rows(site: Path) -> None:
    (site / "truth" / "c01.txt").write_text("\n")
    assert len(load_truth(site, 12, FRAMES_PER_SUB_VIDEO).camera("c01").table) == 0
