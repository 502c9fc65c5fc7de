"""Frames of one camera: people drawn into the backdrop, with their boxes and how much of them is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demo.site.backdrop import Backdrop
from demo.site.body import Outfit, Shape, Topology, shape, topology
from demo.site.camera import Camera
from demo.site.clothes import vertex_colours
from demo.site.gait import Axes, Builds, Motion
from demo.site.people import Person
from demo.site.posing import ring_axes
from demo.site.raster import Fragments, interpolated, rasterise
from demo.site.scene import Light
from orchestrator.values import Float32, Int64, UInt8

_NEAR = 0.4
"""Nobody closer than this to the image plane is drawn, metres."""
_GRAIN_SHIFT = 64
"""By how much the sheet of noise is larger than a frame."""
_DETAIL = ((120.0, 1.0), (0.0, 0.5))
"""From which height on the screen, in pixels, bodies are drawn at which level of detail."""


@dataclass(frozen=True)
class Crowd:
    """Some people, shaped and dressed once at one level of detail, to be drawn in many frames."""

    builds: Builds
    outfits: list[Outfit]
    mesh: Topology
    shape: Shape
    colours: Float32
    """[P, V, 3] albedo."""

    @classmethod
    def dress(cls, people: Sequence[Person], detail: float = 1.0) -> Crowd:
        """Shape the bodies of ``people``."""
        mesh, builds = topology(detail), Builds.stack([person.build for person in people])
        outfits = [person.outfit for person in people]
        colours = np.stack([vertex_colours(person.wardrobe, mesh) for person in people])
        return cls(builds, outfits, mesh, shape(builds, outfits, mesh), colours)

    def select(self, rows: Int64) -> Crowd:
        """The people at these rows."""
        return Crowd(
            self.builds.select(rows), [self.outfits[row] for row in rows], self.mesh,
            self.shape.select(rows), self.colours[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """One frame and the truth about it."""

    rgb: UInt8
    """[H, W, 3]."""
    boxes: Float32
    """[P, 4] xyxy of the whole body, pixels, not clipped to the frame; NaN for who is not in front of the camera."""
    visible_boxes: Float32
    """[P, 4] xyxy around the pixels that show each person, in whole pixels; NaN for who is not seen."""
    visibility: Float32
    """[P] visible pixels over all pixels of the body, those outside the frame included."""
    seen_pixels: Int64
    """[N] places ``y * W + x`` of the pixels that show people."""
    seen_people: Int64
    """[N] the person at each of them."""


@dataclass(frozen=True)
class _Surface:
    """Bodies of one level of detail in front of the camera."""

    rows: Int64
    pixels: Float32
    """[P, V, 2]"""
    depth: Float32
    """[P, V]"""
    colours: Float32
    """[P, V, 3] as the camera sees them."""
    axes: Axes
    mesh: Topology


class FrameRenderer:
    """Draws one camera's frames of the same people."""

    def __init__(self, camera: Camera, backdrop: Backdrop, people: Sequence[Person], light: Light) -> None:
        self._camera, self._backdrop, self._light = camera, backdrop, light
        self._crowds = tuple(Crowd.dress(people, detail) for _, detail in _DETAIL)
        self._heights = self._crowds[0].builds.height
        self._top = np.zeros(camera.width * camera.height, np.int32)
        self._grain = Grain(camera, np.random.default_rng(7))

    def draw(self, motion: Motion, sunlight: Float32, rng: np.random.Generator) -> Rendered:
        """One moment; ``sunlight`` [P] is the share of the sun that reaches each person, ``rng`` makes the noise."""
        frame = self._backdrop.rgb.copy()
        surfaces = self._surfaces(motion, sunlight)
        boxes, seen = np.full((2, len(self._heights), 4), np.nan, np.float32)
        visibility = np.zeros(len(self._heights), np.float32)
        place = person = np.zeros(0, np.int64)
        for surface in surfaces:
            self._cast_shadows(frame, surface, sunlight)
            boxes[surface.rows, :2] = surface.pixels.min(axis=1)
            boxes[surface.rows, 2:] = surface.pixels.max(axis=1)
        if surfaces:
            visibility, place, person = self._paint(frame, surfaces, boxes)
            seen = _tight_boxes(place, person, len(boxes), frame.shape[:2])
        return Rendered(self._sensed(frame, rng), boxes, seen, visibility, place, person)

    def _surfaces(self, motion: Motion, sunlight: Float32) -> list[_Surface]:
        rows, tall = self._in_view(motion)
        surfaces, below = [], np.inf
        for crowd, (least, _) in zip(self._crowds, _DETAIL, strict=True):
            some = rows[(tall >= least) & (tall < below)]
            if len(some):
                surfaces.append(self._surface(crowd, some, motion, sunlight[some]))
            below = least
        return surfaces

    def _in_view(self, motion: Motion) -> tuple[Int64, Float32]:
        """Who may touch the frame, and how tall they are on the screen in pixels."""
        centre = np.concatenate([motion.xy, 0.5 * self._heights[:, None]], axis=1).astype(np.float32)
        pixels, depth = self._camera.project(centre)
        tall = self._camera.focal_px * self._heights / np.maximum(depth, _NEAR)
        size = np.array([self._camera.width, self._camera.height], np.float32)
        inside = ((pixels > -tall[:, None]) & (pixels < size + tall[:, None])).all(axis=1)
        rows = np.flatnonzero(inside & (depth > _NEAR + 0.6)).astype(np.int64)
        return rows, tall[rows].astype(np.float32)

    def _surface(self, crowd: Crowd, rows: Int64, motion: Motion, sunlight: Float32) -> _Surface:
        some, mesh = crowd.select(rows), crowd.mesh
        axes = ring_axes(some.builds, some.outfits, motion.select(rows), mesh)
        centre, side, front, _ = (axis[:, mesh.ring] for axis in axes)
        points = centre + some.shape.side[..., None] * side + some.shape.front[..., None] * front
        pixels, depth = self._camera.project(points)
        brightness = self._brightness(some.shape, axes, mesh, sunlight)
        colours = self._camera.look.apply(some.colours * brightness[..., None])
        return _Surface(rows, pixels, depth, np.clip(colours, 0, 255), axes, mesh)

    def _brightness(self, form: Shape, axes: Axes, mesh: Topology, sunlight: Float32) -> Float32:
        """[P, V] light from sky, ground and sun by Lambert's law; normals follow the rings' axes."""
        sun = self._light.direction()
        _, side, front, tangent = axes
        toward = [(axis @ sun)[:, mesh.ring] for axis in (side, front, tangent)]
        upward = [axis[..., 2][:, mesh.ring] for axis in (side, front, tangent)]
        normals = (form.normal_side, form.normal_front, form.normal_tangent)
        direct = sum((n * t for n, t in zip(normals, toward, strict=True)), np.float32(0))
        up = sum((n * u for n, u in zip(normals, upward, strict=True)), np.float32(0))
        sky = self._light.ambient * (0.82 + 0.18 * up)
        brightness: Float32 = sky + self._light.direct * sunlight[:, None] * np.clip(0.12 + 0.88 * direct, 0, 1)
        return brightness

    def _paint(self, frame: UInt8, surfaces: list[_Surface], boxes: Float32) -> tuple[Float32, Int64, Int64]:
        """Draw the bodies; returns [P] how much of each is visible, the pixels that show them, and whom."""
        corners, colours, depth, person = (
            np.concatenate(column) for column in zip(*map(_facing, surfaces), strict=True)
        )
        order = np.argsort(-depth, kind="stable")
        corners, height, width = corners[order], *frame.shape[:2]
        margin = max(height, width) // 2
        fragments = rasterise(corners, (-margin, -margin), (width + margin, height + margin))
        whose = person[order][fragments.triangle]
        whole = _areas(fragments, whose, boxes)
        inside = np.flatnonzero(
            (fragments.x >= 0) & (fragments.x < width) & (fragments.y >= 0) & (fragments.y < height)
        )
        place = fragments.y[inside] * width + fragments.x[inside]
        before = depth[order][fragments.triangle[inside]] < self._backdrop.depth.reshape(-1)[place]
        place, inside = place[before], inside[before]
        number = np.arange(len(place), dtype=np.int32)
        self._top[place] = number
        uppermost = self._top[place] == number
        place, inside = place[uppermost], inside[uppermost]
        triangle, x, y = fragments.triangle[inside], fragments.x[inside], fragments.y[inside]
        rgb = interpolated(corners, colours[order], triangle, x, y)
        frame.reshape(-1, 3)[place] = np.clip(rgb, 0, 255).astype(np.uint8)
        visible = np.bincount(whose[inside], minlength=len(boxes))
        return (visible / np.maximum(whole, 1)).astype(np.float32), place, whose[inside]

    def _cast_shadows(self, frame: UInt8, surface: _Surface, sunlight: Float32) -> None:
        """Darken the ground where bodies keep the sun off, and softly around the feet."""
        sun = self._light.direction()
        centres = surface.axes[0]
        cast = centres.copy()
        cast[..., :2] -= centres[..., 2:] * (sun[:2] / sun[2])
        cast[..., 2] = 0
        pixels, depth = self._camera.project(cast)
        feet = centres[:, [surface.mesh.parts[name][0].start + 2 for name in ("foot_r", "foot_l")]] * (1, 1, 0)
        foot_pixels, _ = self._camera.project(feet.astype(np.float32))
        for index, row in enumerate(surface.rows):
            scale = self._camera.focal_px / max(float(depth[index].min()), _NEAR)
            if depth[index].min() < _NEAR:
                continue
            strength = 0.38 * float(sunlight[row]) * self._light.direct / 0.55
            self._darken(frame, pixels[index], foot_pixels[index], scale, surface.mesh, strength)

    def _darken(
        self, frame: UInt8, pixels: Float32, feet: Float32, scale: float, mesh: Topology, strength: float
    ) -> None:
        pad = int(0.4 * scale) + 4
        low = np.clip(np.minimum(pixels.min(axis=0), feet.min(axis=0)).astype(int) - pad, 0, None)
        high = np.minimum(
            np.maximum(pixels.max(axis=0), feet.max(axis=0)).astype(int) + pad, (frame.shape[1], frame.shape[0])
        )
        if (high - low < 2).any():
            return
        mask = np.zeros(((high - low)[1] // 2 + 1, (high - low)[0] // 2 + 1), np.uint8)
        local = (pixels - low) / 2
        for name, metres in _SHADOW_WIDTHS.items():
            path = np.round(local[mesh.parts[name][0]][::2] * 8).astype(np.int32)
            width = max(1, min(200, round(metres * scale / 2)))
            cv2.polylines(mask, [path], False, (round(255 * strength),), width, cv2.LINE_4, 3)
        for foot in (feet - low) / 2:
            axes = (max(1, round(0.16 * scale / 2)), max(1, round(0.07 * scale / 2)))
            cv2.ellipse(mask, np.round(foot).astype(int).tolist(), axes, 0, 0, 360, (105,), -1)
        soft = cv2.blur(mask, (max(3, round(0.05 * scale) | 1),) * 2)
        region = (slice(low[1], high[1]), slice(low[0], high[0]))
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        light = cv2.subtract(np.full(size[::-1], 255, np.uint8), cv2.resize(soft, size))
        light[~self._backdrop.ground[region]] = 255
        frame[region] = cv2.multiply(frame[region], cv2.merge([light, light, light]), scale=1 / 255)

    def _sensed(self, frame: UInt8, rng: np.random.Generator) -> UInt8:
        look = self._camera.look
        blurred = cv2.GaussianBlur(frame, (3, 3), look.blur_px)
        return self._grain.add(blurred.astype(np.uint8, copy=False), rng)


_SHADOW_WIDTHS = {"torso": 0.36, "head": 0.2, "leg_r": 0.15, "leg_l": 0.15, "arm_r": 0.09, "arm_l": 0.09}
"""Width of the shadow of each part, metres."""


def _facing(surface: _Surface) -> tuple[Float32, Float32, Float32, Int64]:
    """Corners, colours, depth and person of the triangles that face the camera."""
    faces, count = surface.mesh.faces, surface.pixels.shape[1]
    x, y = surface.pixels[..., 0], surface.pixels[..., 1]
    one, two, three = faces.T
    area = (x[:, two] - x[:, one]) * (y[:, three] - y[:, one]) - (x[:, three] - x[:, one]) * (y[:, two] - y[:, one])
    person, face = np.nonzero(area < -1e-3)
    vertices = faces[face] + count * person[:, None]
    depth = surface.depth.reshape(-1)[vertices].mean(axis=1) - surface.mesh.lift[face]
    pixels, colours = surface.pixels.reshape(-1, 2), surface.colours.reshape(-1, 3)
    return pixels[vertices], colours[vertices], depth, surface.rows[person]


def _areas(fragments: Fragments, whose: Int64, boxes: Float32) -> Int64:
    """[P] number of different pixels that each body covers, hidden ones included."""
    known = ~np.isnan(boxes[:, 0])
    low = np.where(known[:, None], np.floor(np.nan_to_num(boxes[:, :2])), 0).astype(np.int64) - 1
    size = np.where(known[:, None], np.ceil(np.nan_to_num(boxes[:, 2:])).astype(np.int64) - low + 2, 0)
    start = np.concatenate([[0], np.cumsum(size[:, 0] * size[:, 1])])
    covered = np.zeros(start[-1] + 1, bool)
    covered[start[whose] + (fragments.y - low[whose, 1]) * size[whose, 0] + fragments.x - low[whose, 0]] = True
    total = np.concatenate([[0], np.cumsum(covered)])
    areas: Int64 = total[start[1:]] - total[start[:-1]]
    return areas


def _tight_boxes(place: Int64, person: Int64, people: int, shape: tuple[int, int]) -> Float32:
    """[P, 4] xyxy around the pixels ``y * W + x`` that show each person; NaN where there are none."""
    rows = np.zeros((people, shape[0]), bool)
    columns = np.zeros((people, shape[1]), bool)
    y = place // shape[1]
    rows[person, y] = True
    columns[person, place - y * shape[1]] = True
    first = [axis.argmax(axis=1) for axis in (columns, rows)]
    last = [axis.shape[1] - axis[:, ::-1].argmax(axis=1) for axis in (columns, rows)]
    boxes = np.stack([*first, *last], axis=1).astype(np.float32)
    boxes[~rows.any(axis=1)] = np.nan
    return boxes


class Grain:
    """Sensor noise: brightness that differs from pixel to pixel and frame to frame, cut from one large sheet."""

    def __init__(self, camera: Camera, rng: np.random.Generator) -> None:
        shape = (camera.height + _GRAIN_SHIFT, camera.width + _GRAIN_SHIFT, 1)
        sheet = rng.standard_normal(shape, dtype=np.float32) * np.float32(camera.look.noise)
        sheet = np.round(sheet + rng.uniform(-0.5, 0.5, shape).astype(np.float32))
        self._brighter = np.repeat(np.clip(sheet, 0, 60).astype(np.uint8), 3, axis=2)
        self._darker = np.repeat(np.clip(-sheet, 0, 60).astype(np.uint8), 3, axis=2)

    def add(self, rgb: UInt8, rng: np.random.Generator) -> UInt8:
        """The frame [H, W, 3] with noise."""
        down, right = rng.integers(0, _GRAIN_SHIFT, 2)
        window = (slice(down, down + rgb.shape[0]), slice(right, right + rgb.shape[1]))
        return cv2.subtract(cv2.add(rgb, self._brighter[window]), self._darker[window]).astype(np.uint8, copy=False)
