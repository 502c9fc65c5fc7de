"""True boxes of a simulated site without rendering it: bodies are upright cylinders, hidden by solids and each other.

For scenes too large to render. Boxes are those of the cylinders, not of walking bodies: arms and strides are missing.
"""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.scene import BoxTruth, GroundTruth, seen_by_some
from demo.scores import BoxTable
from demo.site.camera import Camera
from demo.site.scene import Scene as Site
from demo.site.walk import walk
from orchestrator.values import Bool, Float32, Float64, Int64

RADIUS_M = 0.24
ACROSS, UP = (-0.7, 0.0, 0.7), np.linspace(0.05, 0.97, 7)
"""Where visibility is sampled: shares of the radius to both sides, and of the height."""
NEAR_M = 1.0
BEFORE = 0.97
"""A solid hides a point that it comes before by this share of the way."""
LEAST_SIDES_PX = (3.0, 8.0)


def truth_of(site: Site) -> tuple[dict[str, BoxTruth], GroundTruth]:
    """Boxes of every camera, and everybody's place on the map."""
    xy = walk(site).xy
    frames, people = (grid.ravel() for grid in np.indices(xy.shape[:2]))
    places = xy.reshape(-1, 2).astype(np.float64)
    heights = np.array([person.build.height for person in site.people])
    boxes = {each.camera.camera_id: _camera_truth(site, each.camera, xy, heights) for each in site.cameras}
    table = BoxTable(frames.astype(np.int64), people.astype(np.int64) + 1, places)
    return boxes, GroundTruth(table, seen_by_some(boxes, table))


def _camera_truth(site: Site, camera: Camera, xy: Float32, heights: Float64) -> BoxTruth:
    frames, people = (grid.ravel() for grid in np.indices(xy.shape[:2]))
    places = xy.reshape(-1, 2)
    side, tall = _sides(camera, places), heights[people]
    boxes, depth = _boxes(camera, places, side, tall)
    clipped = np.clip(boxes, 0, [camera.width, camera.height, camera.width, camera.height])
    rows = np.flatnonzero((depth > NEAR_M) & ((clipped[:, 2:] - clipped[:, :2]) >= LEAST_SIDES_PX).all(axis=1))
    visible = _visibility(site, camera, frames[rows], places[rows], side[rows], tall[rows], boxes[rows])
    seen = rows[visible > 0]
    table = BoxTable(frames[seen].astype(np.int64), people[seen].astype(np.int64) + 1, clipped[seen])
    return BoxTruth(table, visible[visible > 0], places[seen].astype(np.float64))


def _sides(camera: Camera, places: Float32) -> Float32:
    """[N, 2] a radius to the side of each body as the camera sees it."""
    toward = places - np.asarray(camera.position[:2], np.float32)
    distance = np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-3)
    return np.asarray(np.stack([-toward[:, 1], toward[:, 0]], axis=1) / distance * RADIUS_M, np.float32)


def _boxes(camera: Camera, places: Float32, side: Float32, tall: Float64) -> tuple[Float64, Float32]:
    """[N, 4] around the cylinders, and how near [N] their nearest point is."""
    rim = np.stack([places - side, places + side], axis=1)
    top = np.broadcast_to(tall[:, None, None], (len(rim), 2, 1))
    corners = np.concatenate([np.pad(rim, ((0, 0), (0, 0), (0, 1))), np.concatenate([rim, top], axis=2)], axis=1)
    pixels, depth = camera.project(corners.astype(np.float32))
    boxes = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    return boxes.astype(np.float64), depth.min(axis=1)


def _visibility(
    site: Site, camera: Camera, frames: Int64, xy: Float32, side: Float32, tall: Float64, boxes: Float64
) -> Float64:
    """[N] share of sampled points of each body that are in the frame with nothing before them."""
    across = xy[:, None, None] + side[:, None, None] * np.array(ACROSS, np.float32)[None, :, None, None]
    z = np.broadcast_to((tall[:, None] * UP)[:, None, :, None], (len(xy), len(ACROSS), len(UP), 1))
    points = np.concatenate([np.broadcast_to(across, (*z.shape[:3], 2)), z], axis=3).astype(np.float32)
    points = points.reshape(len(xy), len(ACROSS) * len(UP), 3)
    pixels, depth = camera.project(points)
    size = np.array([camera.width, camera.height], np.float32)
    free = ((pixels > 0) & (pixels < size)).all(axis=2) & ~_behind_solids(site, camera, points)
    cuts = np.flatnonzero(np.diff(frames)) + 1
    for rows in np.split(np.arange(len(frames)), cuts):
        free[rows] &= ~_behind_people(pixels[rows], depth[rows].mean(axis=1), boxes[rows])
    return np.asarray(free.mean(axis=1), np.float64)


def _behind_people(pixels: Float32, depth: Float32, boxes: Float64) -> Bool:
    """[P, K] whether a nearer person of the same frame covers each point [P, K, 2]."""
    inset = np.stack([0.15 * (boxes[:, 2] - boxes[:, 0]), np.zeros(len(boxes))], axis=1)
    low, high = boxes[:, :2] + inset, boxes[:, 2:] - inset
    covered = ((pixels[:, :, None] > low) & (pixels[:, :, None] < high)).all(axis=3)
    covered &= (depth[None, :] < depth[:, None] - RADIUS_M)[:, None, :]
    return np.asarray(covered.any(axis=2))


def _behind_solids(site: Site, camera: Camera, points: Float32) -> Bool:
    origin = np.asarray(camera.position, np.float32)
    rays, hidden = points - origin, np.zeros(points.shape[:2], np.bool_)
    for solid in site.solids:
        hidden |= solid.hit(origin, rays)[0] < BEFORE
    return hidden
