"""What the map picture shows, as numbers: everybody's path, and where each camera stands and looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from demo.recording import NOBODY, Recording
from orchestrator.homography import Homography
from orchestrator.values import Float64, Int64

GAP_S = 2.0
"""A person not seen for longer than this has a gap in their path."""
SMOOTHING_S = 0.25
"""Standard deviation of the Gaussian that takes the jitter of boxes out of a drawn path."""
REACH_M = 20.0
"""A camera's view is drawn up to this distance: farther away a pixel is worth metres."""
VIEW_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Walk:
    """Where one person was, in order of time, from all cameras that saw them."""

    person: int
    """Index into ``Recording.people``."""
    pieces: tuple[Float64, ...]
    """[K, 2] metres each; between two pieces the person was out of sight."""

    @property
    def end(self) -> Float64:
        """[2] metres: where the person was last."""
        last: Float64 = self.pieces[-1][-1]
        return last


@dataclass(frozen=True, slots=True)
class View:
    """One camera on the map."""

    outline: Float64
    """[K, 2] metres: the ground that it sees."""
    position: Float64 | None
    """[2] metres: where it stands; None where the homography does not tell."""


def walks(recording: Recording) -> tuple[Walk, ...]:
    """Everybody's path, cameras that see a person at once averaged, smoothed for drawing."""
    ticks, people, positions = _mean_positions(recording)
    cuts = np.flatnonzero((np.diff(people) != 0) | (np.diff(ticks) > GAP_S * recording.rate)) + 1
    pieces: dict[int, list[Float64]] = {}
    for rows in np.split(np.arange(len(ticks)), cuts):
        if len(rows) > 1:
            smooth = gaussian_filter1d(positions[rows], SMOOTHING_S * recording.rate, axis=0, mode="nearest")
            pieces.setdefault(int(people[rows[0]]), []).append(smooth)
    return tuple(Walk(person, tuple(found)) for person, found in pieces.items())


def _mean_positions(recording: Recording) -> tuple[Int64, Int64, Float64]:
    """Ticks [N], people [N] and positions [N, 2], ordered by person, then tick; one row for both."""
    seen = [camera.sightings for camera in recording.cameras.values()]
    ticks = np.concatenate([rows.frames for rows in seen])
    people = np.concatenate([rows.people for rows in seen])
    positions = np.concatenate([rows.map_xy for rows in seen])
    known = np.isfinite(positions).all(axis=1) & (people != NOBODY)
    ticks, people, positions = ticks[known], people[known], positions[known]
    order = np.lexsort((ticks, people))
    ticks, people, positions = ticks[order], people[order], positions[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(ticks) != 0) | (np.diff(people) != 0)][: len(ticks)])
    counts = np.diff(np.r_[starts, len(ticks)])
    means = np.add.reduceat(positions, starts, axis=0) / counts[:, None] if len(starts) else positions
    return ticks[starts], people[starts], means


def views(homographies: Mapping[str, Homography], sizes_hw: Mapping[str, tuple[int, int]]) -> dict[str, View]:
    """Every camera with a homography and a known frame size, on the map."""
    return {
        camera: _view(homography, sizes_hw[camera]) for camera, homography in homographies.items() if camera in sizes_hw
    }


def _view(homography: Homography, size_hw: tuple[int, int]) -> View:
    height, width = size_hw
    position = camera_position(homography.inverse, size_hw)
    columns, rows = np.linspace(0, width - 1, VIEW_SAMPLES), np.linspace(0, height - 1, 4 * VIEW_SAMPLES)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    ground = homography.to_map(grid.reshape(-1, 2)).reshape(grid.shape)
    origin = ground[-1, VIEW_SAMPLES // 2] if position is None else position
    near = np.linalg.norm(ground - origin, axis=-1) < REACH_M
    far_row = np.argmax(near, axis=0)
    seen = near.any(axis=0) & near[-1]
    column = np.flatnonzero(seen)
    far = ground[far_row[column], column]
    cut = far_row[column] > 0
    far[cut] = origin + (far[cut] - origin) * (REACH_M / np.linalg.norm(far[cut] - origin, axis=1))[:, None]
    return View(np.concatenate([ground[-1, column], far[::-1]]), position)


def camera_position(map_to_image: Float64, size_hw: tuple[int, int]) -> Float64 | None:
    """Where a camera stands on the map, [2] metres, from the homography of the ground plane [3, 3].

    Square pixels and a principal point in the middle of the frame leave the focal length as the one unknown of the
    calibration; the first two columns of K^-1 H are perpendicular and of one length, which fixes it (Zhang, "A Flexible
    New Technique for Camera Calibration", 2000, section 3.1). None where they do not fix it, as straight above.
    """
    height, width = size_hw
    to_centre = np.array([[1.0, 0.0, -width / 2], [0.0, 1.0, -height / 2], [0.0, 0.0, 1.0]])
    first, second, origin = (to_centre @ map_to_image).T
    lever = np.array([first[2] * second[2], first[2] ** 2 - second[2] ** 2])
    reach = -np.array([first[:2] @ second[:2], first[:2] @ first[:2] - second[:2] @ second[:2]])
    if lever @ lever < 1e-18 or lever @ reach <= 0:
        return None
    focal = np.sqrt((lever @ reach) / (lever @ lever))
    rays = np.stack([first, second, origin]) / np.array([focal, focal, 1.0])
    scale = (np.linalg.norm(rays[0]) + np.linalg.norm(rays[1])) / 2
    axes, shift = rays[:2] / scale, rays[2] / scale
    position: Float64 = -axes @ shift
    return position
