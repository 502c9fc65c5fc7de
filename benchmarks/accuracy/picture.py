"""A scene on its map, answer by answer: true paths, found paths and where a person's name changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.accuracy.associations import Found, nearest
from benchmarks.accuracy.scene import Scene
from demo.pictures.colours import person_colour
from demo.pictures.floorplan import INK, TRUE_PATH, new_figure, save
from demo.scores import BoxTable
from orchestrator.recorded.results import fuse
from orchestrator.values import Float64, Int64

SWITCH = "#d0021b"
GAP_S = 1.5
"""A path is parted where nobody saw the person for longer."""
PANEL_IN, MARGIN_M = 5.0, 1.0


def save_picture(target: Path, scene: Scene, answers: Mapping[str, Found]) -> None:
    """Writes a PNG; the scene's places are known.

    Raises:
        ValueError: they are not.
    """
    if scene.ground is None:
        raise ValueError(f"{scene.name} has no places")
    truth = scene.ground.table.select(scene.ground.scored)
    low, high = truth.boxes.min(axis=0) - MARGIN_M, truth.boxes.max(axis=0) + MARGIN_M
    aspect = float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.3, 3))
    figure = new_figure(PANEL_IN * len(answers), PANEL_IN * aspect + 0.9)
    grid = figure.subplots(1, len(answers), sharex=True, sharey=True, squeeze=False)
    for axes, (answer, found) in zip(grid[0], answers.items(), strict=True):
        _draw(axes, answer, scene, truth, BoxTable(*fuse(found)))
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
    figure.legend(handles=_legend(), loc="upper right", ncols=3, fontsize=8, frameon=False, labelcolor=INK)
    figure.suptitle(f"{scene.name}, seed {scene.seed} ({scene.detections}); metres", fontsize=10, color=INK)
    figure.tight_layout()
    save(figure, target)


def _draw(axes: Axes, answer: str, scene: Scene, truth: BoxTable, found: BoxTable) -> None:
    gap = max(2, round(GAP_S * scene.recording.rate))
    for _, path in _paths(truth, gap):
        axes.plot(*path.T, color=TRUE_PATH, linewidth=0.8, zorder=1)
    for person, path in _paths(found, gap):
        axes.plot(*path.T, color=_hex(person), linewidth=1.2, zorder=2)
    switches = name_changes(truth, found)
    axes.plot(*switches.T, linestyle="none", marker="x", color=SWITCH, markersize=5, markeredgewidth=1.3, zorder=3)
    count = len(np.unique(found.ids))
    title = f"{answer}: {count} identities for {len(np.unique(truth.ids))} people, {len(switches)} changes"
    axes.set_title(title, fontsize=8, color=INK, loc="left")
    axes.set_aspect("equal", adjustable="box")
    axes.grid(color="#e6e9ee", linewidth=0.6)
    axes.tick_params(labelsize=7, length=0, colors=INK)


def name_changes(truth: BoxTable, found: BoxTable) -> Float64:
    """[K, 2] where a person on the map begins to have another name than before."""
    true_rows, rows = nearest(truth, found.frames, found.boxes)
    order = np.lexsort((truth.frames[true_rows], truth.ids[true_rows]))
    people, names = truth.ids[true_rows][order], found.ids[rows][order]
    changed = 1 + np.flatnonzero((np.diff(people) == 0) & (np.diff(names) != 0))
    return found.boxes[rows[order[changed]]].reshape(-1, 2)


def _paths(table: BoxTable, gap: int) -> list[tuple[int, Float64]]:
    """Everybody's way [K, 2] in pieces between which they were not seen."""
    order = np.lexsort((table.frames, table.ids))
    frames, ids = table.frames[order], table.ids[order]
    cuts: Int64 = 1 + np.flatnonzero((np.diff(ids) != 0) | (np.diff(frames) > gap))
    return [(int(table.ids[rows[0]]), table.boxes[rows]) for rows in np.split(order, cuts) if len(rows)]


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=TRUE_PATH, linewidth=0.8, label="true path"),
        Line2D([], [], color=INK, linewidth=1.2, label="found path, a colour an identity"),
        Line2D([], [], color=SWITCH, linestyle="none", marker="x", markersize=5, label="the name changes"),
    ]


def _hex(person: int) -> str:
    red, green, blue = person_colour(person)
    return f"#{red:02x}{green:02x}{blue:02x}"
