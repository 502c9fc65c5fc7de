from __future__ import annotations

import json
from io import StringIO

from rich.console import Console

from demo.recording import NOBODY
from demo.report import make_report, render, to_json
from demo.scores import BoxTable, CameraCase, score_site
from tests.demo.recordings import camera, recording, sightings

STAGES = {
    "decode": {"busy_s": 1.5, "ms_per_frame": 3.0, "cpu_ms_per_frame": 2.5},
    "detect": {"busy_s": 8, "ms_per_frame": 16},
}
THROUGHPUT = {"frames": 500, "seconds": 10.0, "frames_per_second": 50.0, "stages": STAGES}


def printed(content: object) -> str:
    text = StringIO()
    Console(file=text, width=160).print(content)
    return text.getvalue()


def test_counts_and_the_workers_own_account() -> None:
    seen = sightings([0, 0, 1, 2], [0, 1, 0, NOBODY])
    report = make_report(recording(camera("c01", seen, 4), details={"throughput": THROUGHPUT}))
    row = report.cameras[0]
    assert (row.frames, row.detections, row.tracks, report.identities) == (4, 4, 3, 2)
    assert report.throughput.frames_per_second == 50
    assert [stage.name for stage in report.throughput.stages] == ["decode", "detect"]
    assert report.throughput.stages[1].cpu_ms_per_frame is None
    text = printed(render(report))
    assert "HOTA" not in text
    assert "50.0 frames a second" in text
    assert "decode" in text
    assert "tracked boxes" in text
    assert "waited or worked, s" in text


def test_without_the_workers_account_the_clients_clock_counts() -> None:
    report = make_report(recording(camera("c01", sightings([0], [0]), 4)))
    assert report.throughput.frames_per_second == 2.0
    assert report.throughput.stages == ()


def test_figures_reach_table_and_json_and_unknown_ones_are_null() -> None:
    seen = sightings([0, 1], [0, 0], [[0, 0, 10, 20]] * 2)
    truth = BoxTable(seen.frames, seen.people, seen.boxes.astype(float))
    nowhere = seen.map_xy
    case = CameraCase(truth, seen.confidences.astype(float), nowhere, truth, seen.people, nowhere)
    report = make_report(recording(camera("c01", seen, 2)), score_site({"c01": case}))
    text = printed(render(report))
    assert "people found / there: 1 / 1" in text
    assert "across cameras" in text
    table = json.loads(to_json(report))
    assert table["figures"]["across"]["idf1"] == 1
    assert table["figures"]["positions"]["median_m"] is None
    assert table["machine"]["cores"] >= 1
    assert table["cameras"][0]["detections"] == 2
