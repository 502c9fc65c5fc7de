import argparse
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import detector
from demo.console import reporter_for


@pytest.mark.timeout(400)
async def test_a_ratio_has_its_spread_and_its_rounds(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    detector.add_arguments(parser)
    size = ["--networks", detector.DEMO, "--height", "96", "--width", "160", "--batches", "1", "2", "--rounds", "2"]
    with reporter_for(Console(quiet=True)) as reporter:
        await detector.run(parser.parse_args([*size, "--out", str(tmp_path / "d.json")]), reporter)
    figures = json.loads((tmp_path / "d.json").read_text())
    assert figures["machine"]["cores"] > 0
    assert figures["size"] == [96, 160]
    network = figures["networks"][detector.DEMO]
    assert list(network["ms_of_one_core_an_image"]) == ["batch 1", "batch 2"]
    for of_way in network["ms_of_one_core_an_image"].values():
        assert {way: len(values) for way, values in of_way.items()} == {detector.EAGER: 2, detector.ONNX: 2}
        assert min(min(values) for values in of_way.values()) > 0
    assert list(network["times_faster_than_eager"]) == ["batch 1", "batch 2", "best batch"]
    for ratio in network["times_faster_than_eager"].values():
        assert 0 < ratio["lowest"] <= ratio["median"] <= ratio["highest"]


def test_each_is_taken_at_the_batch_that_is_its_best() -> None:
    figures = [
        detector.Figure("n", 1, {detector.EAGER: [8.0, 6.0], detector.ONNX: [4.0, 4.0]}),
        detector.Figure("n", 2, {detector.EAGER: [9.0, 9.0], detector.ONNX: [2.0, 8.0]}),
    ]
    assert detector.ratios(figures, "n") == {"batch 1": [2.0, 1.5], "batch 2": [4.5, 1.125], "best batch": [4.0, 1.5]}
