"""What is true of a recording: boxes and visibility per camera, positions on the map, and surveyed points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.site.camera import Camera
from demo.site.scene import Scene
from demo.site.spread import far_apart
from demo.site.walk import Trajectories
from orchestrator.values import Float32

_LEAST_SIDES = (3.0, 8.0)
"""Boxes narrower or lower than this in the frame are not listed, pixels."""


@dataclass(frozen=True)
class FrameTruth:
    """One camera's people in one frame."""

    frame: int
    """From 0 over the whole recording."""
    boxes: Float32
    """[P, 4] xyxy of all people of the scene, unclipped, NaN where not in front of the camera."""
    visible_boxes: Float32
    """[P, 4] xyxy around the pixels that show each of them, NaN where none does."""
    visibility: Float32
    """[P]"""


def mot_lines(truths: Sequence[FrameTruth], width: int, height: int) -> tuple[list[str], list[str]]:
    """Lines ``frame,id,x,y,w,h,1,1,visibility`` of MOT Challenge: frames and ids from 1.

    First with the boxes of whole bodies, clipped to the frame; then, row by row for the same people, with the boxes of
    what is visible of them. Whoever shows not a single pixel is not listed.
    """
    whole, visible = [], []
    for truth in truths:
        boxes = np.clip(np.nan_to_num(truth.boxes), 0, np.array([width, height, width, height], np.float32))
        sides = boxes[:, 2:] - boxes[:, :2]
        for row in np.flatnonzero((sides >= _LEAST_SIDES).all(axis=1) & (truth.visibility > 0)):
            whole.append(_mot_line(truth, int(row), boxes[row]))
            visible.append(_mot_line(truth, int(row), truth.visible_boxes[row]))
    return whole, visible


def _mot_line(truth: FrameTruth, row: int, box: Float32) -> str:
    x, y, (w, h) = box[0], box[1], box[2:] - box[:2]
    return f"{truth.frame + 1},{row + 1},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,1,{truth.visibility[row]:.3f}"


def write_map(path: Path, paths: Trajectories) -> None:
    """``frame,id,x,y``: where everybody stands in every frame, metres; frames and ids from 1."""
    lines = ["frame,id,x,y"]
    for frame, positions in enumerate(paths.xy):
        lines.extend(f"{frame + 1},{person + 1},{x:.4f},{y:.4f}" for person, (x, y) in enumerate(positions))
    path.write_text("\n".join(lines) + "\n")


def surveyed_points(scene: Scene, camera: Camera, count: int = 14) -> tuple[Float32, Float32]:
    """Ground points as a survey would give them: [N, 2] pixels and [N, 2] metres with errors of 0.5 px and 1 cm.

    They spread over the part of the frame where ground within 30 m is seen.
    """
    rng = np.random.default_rng([scene.seed, 5, *camera.camera_id.encode()])
    rays, origin = camera.rays(), np.asarray(camera.position, np.float32)
    rows, columns = np.meshgrid(np.linspace(0.03, 0.97, 24), np.linspace(0.03, 0.97, 32), indexing="ij")
    picked = rays[(rows * (camera.height - 1)).astype(int), (columns * (camera.width - 1)).astype(int)].reshape(-1, 3)
    reach = -origin[2] / np.minimum(picked[:, 2], -1e-6)
    ground = (origin + picked * reach[:, None])[:, :2]
    ground = ground[(picked[:, 2] < -0.01) & (reach < 30)]
    spread = far_apart(camera.project(np.pad(ground, ((0, 0), (0, 1))).astype(np.float32))[0], count, rng)
    metres = ground[spread].astype(np.float32)
    pixels, _ = camera.project(np.pad(metres, ((0, 0), (0, 1))).astype(np.float32))
    noisy_pixels = pixels + rng.normal(0, 0.5, pixels.shape)
    return noisy_pixels.astype(np.float32), (metres + rng.normal(0, 0.01, metres.shape)).astype(np.float32)
