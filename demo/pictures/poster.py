"""One picture of a whole result: every camera at one moment, with boxes, above the map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from matplotlib.figure import Figure

from demo.pictures.annotate import annotated_frame
from demo.pictures.floorplan import FOOTROOM_IN, HEADROOM_IN, draw_map, map_aspect, map_axes, new_figure, save
from demo.pictures.ground import View, Walk
from demo.recording import NOBODY, Recording
from orchestrator.values import Float64, UInt8

WIDTH_IN = 11.0


def save_poster(
    target: Path, recording: Recording, found: tuple[Walk, ...], seen: Mapping[str, View], true_paths: list[Float64]
) -> None:
    """Writes the poster as a PNG.

    Raises:
        PictureError: a frame that was reported is not in its file.
    """
    frame = richest_frame(recording)
    cameras = [camera for camera in recording.cameras.values() if frame in camera.ticks.frames]
    columns = max(1, math.ceil(math.sqrt(len(cameras))))
    rows = max(1, math.ceil(len(cameras) / columns))
    pictures = [_pixels(annotated_frame(recording, camera, frame)) for camera in cameras]
    shape = max((picture.shape[0] / picture.shape[1] for picture in pictures), default=0.0)
    frames_in = WIDTH_IN / columns * shape * rows
    map_in = WIDTH_IN * 0.92 / map_aspect(found, seen, true_paths)
    figure = new_figure(WIDTH_IN, frames_in + map_in + HEADROOM_IN + FOOTROOM_IN)
    _draw_frames(figure, pictures, rows, columns, 1 - frames_in / figure.get_figheight())
    draw_map(map_axes(figure, map_in), found, recording.people, seen, true_paths)
    save(figure, target)


def _draw_frames(figure: Figure, pictures: Sequence[UInt8], rows: int, columns: int, bottom: float) -> None:
    grid = figure.add_gridspec(rows, columns, left=0, right=1, top=1, bottom=bottom, wspace=0.006, hspace=0.008)
    for cell, picture in enumerate(pictures):
        axes = figure.add_subplot(grid[cell // columns, cell % columns])
        axes.imshow(picture, interpolation="antialiased")
        axes.set_axis_off()


def _pixels(frame: av.VideoFrame) -> UInt8:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def richest_frame(recording: Recording) -> int:
    """The global frame index that shows the most named people, summed over cameras, in most of the cameras."""
    cameras = list(recording.cameras.values())
    shown = np.concatenate([camera.ticks.frames for camera in cameras])
    named = np.concatenate([camera.sightings.frames[camera.sightings.people != NOBODY] for camera in cameras])
    length = int(shown.max(initial=0)) + 1
    present = np.bincount(shown, minlength=length)
    score = np.bincount(named, minlength=length) * (present == present.max())
    return int(score.argmax())
