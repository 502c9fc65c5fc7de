"""Zones and lines of the site file."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SiteError
from orchestrator.site import load_site

SQUARE = "[[0, 0], [4, 0], [4, 3], [0, 3]]"
SITE = """
environments:
  campus:
    cameras: {c01: {prefix: a}}
    zones:
      entrance: {name: Entrance, polygon: [[0, 0], [4, 0], [4, 3], [0, 3]]}
    lines:
      door: {points: [[0, 0], [2, 0]]}
"""


def load(folder: Path, text: str) -> object:
    file = folder / "site.yaml"
    file.write_text(text)
    return load_site(file).environment("campus")


def test_zones_and_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    environment = load_site(tmp_path / "site.yaml").environment("campus")
    assert environment.zones["entrance"].shape.area == 12
    assert environment.lines["door"].points == ((0, 0), (2, 0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SQUARE, "[[0, 0], [4, 3], [4, 0], [0, 3]]", ":6: .*zones.entrance.polygon: polygon is not simple"),
        (SQUARE, "[[0, 0], [4, 0]]", ":6: .*at least 3 items"),
        (SQUARE, "[[0, 0], [4, 0], [8, 0]]", ":6: .*polygon"),
        ("[4, 3]", "[4, .inf]", ":6: .*not a finite number"),
        ("[[0, 0], [2, 0]]", "[[0, 0], [0, 0]]", ":8: .*points repeat"),
        ("polygon:", "polygn:", ":6: .*did you mean 'polygon'"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        load(tmp_path, SITE.replace(old, new))
