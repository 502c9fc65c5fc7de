import argparse
import json
from pathlib import Path

from rich.console import Console

from benchmarks import rendering
from demo.console import reporter_for


async def test_every_round_has_a_ratio_to_encoding_alone(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    rendering.add_arguments(parser)
    out = tmp_path / "figures.json"
    words = ["--scene", "yard", "--seconds", "1", "--width", "160", "--rounds", "1", "--out", str(out)]
    with reporter_for(Console(quiet=True)) as reporter:
        await rendering.run(parser.parse_args(words), reporter)
    figures = json.loads(out.read_text())
    (only,) = figures["rounds"]
    assert figures["frames"] == 24
    assert 0 < only["rendered"] < min(only["encoded"])
    assert figures["ratio"] == only["ratio"]
