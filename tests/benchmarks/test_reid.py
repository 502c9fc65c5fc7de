import argparse
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import reid
from demo.console import reporter_for


@pytest.mark.timeout(400)
async def test_every_way_has_a_figure_at_every_batch_size(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    reid.add_arguments(parser)
    arguments = ["--networks", "lite0_bands", "--batches", "1", "3", "--rounds", "2", "--out", str(tmp_path / "r.json")]
    with reporter_for(Console(quiet=True)) as reporter:
        await reid.run(parser.parse_args(arguments), reporter)
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["machine"]["cores"] > 0
    assert [(row["network"], row["batch"]) for row in figures["ms_of_one_core_a_crop"]] == [
        ("lite0_bands", 1),
        ("lite0_bands", 3),
    ]
    for row in figures["ms_of_one_core_a_crop"]:
        assert {way: len(values) for way, values in row["ms"].items()} == {reid.EAGER: 2, reid.ONNX: 2, reid.INT8: 2}
        assert min(min(values) for values in row["ms"].values()) > 0
