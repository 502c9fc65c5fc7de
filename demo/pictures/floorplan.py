"""The map picture: everybody's path in their colour, what each camera sees, and, where known, the true paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from demo.pictures.colours import is_bright, person_colour, person_name
from demo.pictures.ground import View, Walk
from orchestrator.values import Float64

INK = "#23272e"
TRUE_PATH = "#6b727d"
VIEW_FILL = "#5b7fa6"
MARGIN_M = 1.5
DPI = 160
HEADROOM_IN, FOOTROOM_IN = 0.5, 0.6
"""Room above the map for title and legend, below for ticks and label."""
ASPECTS = (1.2, 3.5)


def save_map(
    target: Path, found: tuple[Walk, ...], people: tuple[str, ...], seen: Mapping[str, View], true_paths: list[Float64]
) -> None:
    """Writes the map as a PNG; ``true_paths`` [K, 2] metres each, empty where there is no truth."""
    width = 11.0
    height = width * 0.9 / map_aspect(found, seen, true_paths)
    figure = new_figure(width, height + HEADROOM_IN + FOOTROOM_IN)
    draw_map(map_axes(figure, height), found, people, seen, true_paths)
    save(figure, target)


def map_axes(figure: Figure, height_in: float) -> Axes:
    """Axes for the map at the bottom of a figure, over its whole width, with room for title and labels."""
    total = figure.get_figheight()
    return figure.add_axes((0.065, FOOTROOM_IN / total, 0.92, height_in / total))


def map_aspect(found: tuple[Walk, ...], seen: Mapping[str, View], true_paths: list[Float64]) -> float:
    """Width over height of what the map shows, within reason."""
    low, high = _bounds(found, seen, true_paths)
    width, height = high - low
    return float(np.clip(width / height, *ASPECTS))


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that belongs to no window."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, target: Path) -> None:
    """Writes a PNG that does not depend on when it was made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png", metadata={"Software": None})


def draw_map(
    axes: Axes, found: tuple[Walk, ...], people: tuple[str, ...], seen: Mapping[str, View], true_paths: list[Float64]
) -> None:
    """Draws the map on ``axes``, in metres, both axes to one scale."""
    for camera, view in seen.items():
        _draw_view(axes, camera, view)
    for path in true_paths:
        axes.plot(*path.T, color=TRUE_PATH, linewidth=0.9, zorder=5)
    for walk in found:
        _draw_walk(axes, walk)
    for walk in found:
        _draw_label(axes, walk, person_name(people[walk.person]))
    _frame(axes, found, seen, true_paths)
    axes.set_title(f"{len(found)} identities on the map", loc="left", fontsize=12, fontweight="bold", color=INK, pad=10)
    _draw_legend(axes, bool(true_paths), bool(seen))


def _draw_view(axes: Axes, camera: str, view: View) -> None:
    if len(view.outline) > 2:
        axes.fill(*view.outline.T, facecolor=VIEW_FILL, alpha=0.09, edgecolor="none", zorder=0)
        axes.plot(*np.vstack([view.outline, view.outline[:1]]).T, color=VIEW_FILL, alpha=0.35, linewidth=0.8, zorder=1)
    if view.position is None:
        return
    axes.plot(*view.position, marker="s", markersize=8, color=INK, markeredgecolor="white", zorder=6)
    axes.annotate(
        camera,
        (float(view.position[0]), float(view.position[1])),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        fontweight="bold",
        color=INK,
        zorder=7,
        path_effects=[Stroke(linewidth=2.5, foreground="white"), Normal()],
    )


def _draw_walk(axes: Axes, walk: Walk) -> None:
    colour = _hex(walk.person)
    outline = [Stroke(linewidth=4.2, foreground="white", alpha=0.8), Normal()]
    for piece in walk.pieces:
        axes.plot(
            *piece.T,
            color=colour,
            linewidth=2.2,
            solid_capstyle="round",
            solid_joinstyle="round",
            path_effects=outline,
            zorder=3,
        )
    for earlier, later in zip(walk.pieces, walk.pieces[1:], strict=False):
        axes.plot(*np.stack([earlier[-1], later[0]]).T, color=colour, linewidth=1, linestyle=(0, (1, 2.5)), zorder=3)
    start = walk.pieces[0][0]
    axes.plot(*start, marker="o", markersize=5, color="white", markeredgecolor=colour, markeredgewidth=1.6, zorder=4)


def _draw_label(axes: Axes, walk: Walk, name: str) -> None:
    bright = is_bright(person_colour(walk.person))
    axes.annotate(
        name,
        (float(walk.end[0]), float(walk.end[1])),
        ha="center",
        va="center",
        fontsize=8.5,
        fontweight="bold",
        color=INK if bright else "white",
        zorder=8,
        bbox={
            "boxstyle": "circle,pad=0.32" if len(name) < 3 else "round,pad=0.3",
            "facecolor": _hex(walk.person),
            "edgecolor": "white",
            "linewidth": 1.2,
        },
    )


def _frame(axes: Axes, found: tuple[Walk, ...], seen: Mapping[str, View], true_paths: list[Float64]) -> None:
    """Fits the axes to people and cameras; views are cut where nobody walks."""
    low, high = _bounds(found, seen, true_paths)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("x, metres", color=INK)
    axes.set_ylabel("y, metres", color=INK)
    axes.grid(color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_color("#d5dae1")


def _bounds(found: tuple[Walk, ...], seen: Mapping[str, View], true_paths: list[Float64]) -> tuple[Float64, Float64]:
    """Lower left and upper right corner [2] metres of people and cameras, with a margin."""
    points = [piece for walk in found for piece in walk.pieces] + true_paths
    points += [view.position[None] for view in seen.values() if view.position is not None]
    everything = np.vstack(points) if points else np.zeros((1, 2))
    return everything.min(axis=0) - MARGIN_M, everything.max(axis=0) + MARGIN_M


def _draw_legend(axes: Axes, truth: bool, cameras: bool) -> None:
    entries = [Line2D([], [], color=INK, linewidth=2.2, label="path of a person, id at its end")]
    if truth:
        entries.append(Line2D([], [], color=TRUE_PATH, linewidth=0.9, label="true path"))
    if cameras:
        entries.append(Line2D([], [], color=INK, marker="s", linestyle="none", markersize=7, label="camera, its view"))
    axes.legend(
        handles=entries,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )


def _hex(person: int) -> str:
    red, green, blue = person_colour(person)
    return f"#{red:02x}{green:02x}{blue:02x}"
