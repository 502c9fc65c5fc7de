"""The table of accuracy, for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.accuracy.figures import FIGURES
from benchmarks.accuracy.mistakes import Mistake
from benchmarks.accuracy.sensitivity import FIGURE, Change

PACKAGES = ("numpy", "scipy", "boxmot", "onnxruntime", "trackeval")
COUNTS = frozenset({"camera_id_switches", "ground_id_switches"})
HEADINGS = {
    "camera_hota": "HOTA",
    "camera_ass_a": "AssA",
    "camera_idf1": "IDF1",
    "camera_mota": "MOTA",
    "camera_id_switches": "switches",
    "across_idf1": "across IDF1",
    "across_hota": "across HOTA",
    "ground_idf1": "map IDF1",
    "ground_hota": "map HOTA",
    "ground_mota": "map MOTA",
    "ground_id_switches": "map switches",
}
BASELINE, ORACLE = "baseline", "oracle"
LOSS_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One answer to one seed of a scene."""

    scene: str
    seed: int
    detections: str
    answer: str
    figures: Mapping[str, float]
    mistakes: Mapping[str, float]
    """Shares of the true boxes that count, as ``mistakes.mistakes`` gives them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One answer over all seeds of a scene; NaN where there is no such figure."""

    scene: str
    detections: str
    answer: str
    seeds: int
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    """Standard deviation over the seeds; NaN for one."""
    of_oracle: Mapping[str, float]
    """Mean over the seeds of the figure as a share of the oracle's; NaN for counts."""
    mistakes: Mapping[str, float]
    """Means over the seeds."""


def summary(rows: Sequence[Row]) -> list[Line]:
    """The rows of each scene and answer as one line, in the order of the rows."""
    lines = []
    for scene, answer in dict.fromkeys((row.scene, row.answer) for row in rows):
        own = [row for row in rows if (row.scene, row.answer) == (scene, answer)]
        best = {row.seed: row.figures for row in rows if (row.scene, row.answer) == (scene, ORACLE)}
        columns = {name: np.array([row.figures[name] for row in own]) for name in FIGURES}
        shares = {
            name: np.array([_share(row.figures[name], best.get(row.seed, {}).get(name, math.nan)) for row in own])
            for name in FIGURES
        }
        lines.append(
            Line(
                scene,
                own[0].detections,
                answer,
                len(own),
                {name: float(column.mean()) for name, column in columns.items()},
                {name: float(column.std(ddof=1)) if len(own) > 1 else math.nan for name, column in columns.items()},
                {name: math.nan if name in COUNTS else float(share.mean()) for name, share in shares.items()},
                {
                    kind.value: float(np.mean([row.mistakes.get(kind.value, math.nan) for row in own]))
                    for kind in Mistake
                },
            )
        )
    return lines


def table(lines: Sequence[Line]) -> Table:
    """For people: mean ± spread, and below it the share of the oracle's."""
    shown = Table(title="Accuracy: mean ± standard deviation over seeds, and the share of the oracle's figure")
    shown.add_column("scene")
    shown.add_column("answer")
    for name in FIGURES:
        shown.add_column(HEADINGS[name], justify="right")
    last = ""
    for line in lines:
        if line.scene != last and last:
            shown.add_section()
        label = f"{line.scene} ({line.detections}, {line.seeds} seed{'s' * (line.seeds > 1)})"
        shown.add_row(label if line.scene != last else "", line.answer, *(_cell(line, name) for name in FIGURES))
        last = line.scene
    return shown


def loss_tables(lines: Sequence[Line]) -> list[Table]:
    """For people: what became of the true boxes, in per cent of them; as many columns a table as fit a screen."""
    chosen = [line for line in lines if line.answer != BASELINE]
    return [_loss_table(chosen[first : first + LOSS_COLUMNS]) for first in range(0, len(chosen), LOSS_COLUMNS)]


def _loss_table(lines: Sequence[Line]) -> Table:
    shown = Table(title="What became of people's boxes, cameras together, in per cent of those that count")
    shown.add_column("")
    for line in lines:
        shown.add_column(f"{line.scene}\n{line.answer}", justify="right")
    for kind in Mistake:
        shown.add_row(kind.value, *(f"{100 * line.mistakes[kind.value]:.1f}" for line in lines))
    return shown


def figures_of(rows: Sequence[Row], lines: Sequence[Line]) -> dict[str, Any]:
    """Every row and line, for JSON."""
    parts = {"lines": [_short(line) for line in lines], "rows": [_short(row) for row in rows]}
    figures: dict[str, Any] = _without_nan(parts)
    return figures


def changes_of(changes: Sequence[Change]) -> dict[str, Any]:
    """What became of the figures under other constants, for JSON."""
    figures: dict[str, Any] = _without_nan({"figure": FIGURE, "changes": [asdict(change) for change in changes]})
    return figures


def _short(item: Row | Line) -> dict[str, object]:
    """Without the mistakes that were not made."""
    made = {kind: share for kind, share in item.mistakes.items() if share}
    return {**asdict(item), "mistakes": made}


def _share(value: float, best: float) -> float:
    return value / best if best else math.nan


def _cell(line: Line, name: str) -> str:
    value, spread, share = line.mean[name], line.spread[name], line.of_oracle[name]
    if not math.isfinite(value):
        return ""
    if name in COUNTS:
        return f"{value:.0f}"
    text = f"{value:.3f}" + (f"±{spread:.3f}" if math.isfinite(spread) else "")
    return text if line.answer == ORACLE or not math.isfinite(share) else f"{text}\n{share:.3f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list) else value
