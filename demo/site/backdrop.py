"""What stands still in a camera's view: sky, ground and solids, as colours and depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demo.site.camera import Camera
from demo.site.scene import Ground, Light
from demo.site.solids import Material, Solid, shadow_outline
from orchestrator.values import Bool, Float32, UInt8

_COARSE = 8
"""Step of a coarse trace, pixels."""
_HAZE = np.array([196, 206, 216], np.float32)
_SHADE = 0.58
"""Brightness of shaded ground relative to sunlit ground."""


@dataclass(frozen=True)
class Backdrop:
    """The still part of one camera's frames."""

    rgb: UInt8
    """[H, W, 3] with the camera's colours, before blur and noise."""
    depth: Float32
    """[H, W] metres along the optical axis; inf for the sky."""
    ground: Bool
    """[H, W] where the bare ground is seen."""


@dataclass(frozen=True)
class GroundMap:
    """The ground from above, shared by the cameras of a scene."""

    levels: tuple[UInt8, ...]
    """Mip levels [H, W, 3], each half the size of the one before; row 0 is the south edge."""
    lit: Float32
    """[H, W] 1 in the sun, 0 in the shade, at the size of the first level."""
    origin: tuple[float, float]
    metres_per_texel: float

    def sunlight(self, xy: Float32) -> Float32:
        """[N] share of the sun that reaches points [N, 2]."""
        cell = ((xy - np.asarray(self.origin, np.float32)) / self.metres_per_texel).astype(np.int64)
        height, width = self.lit.shape
        return self.lit[np.clip(cell[:, 1], 0, height - 1), np.clip(cell[:, 0], 0, width - 1)]


def make_ground(
    ground: Ground,
    solids: tuple[Solid, ...],
    light: Light,
    bounds: tuple[float, float, float, float],
    texel: float,
    seed: int,
) -> GroundMap:
    """Pave, plant and shade the ground within ``bounds`` and a margin around it."""
    x0, y0, x1, y1 = bounds[0] - 6, bounds[1] - 6, bounds[2] + 6, bounds[3] + 6
    width, height = int((x1 - x0) / texel), int((y1 - y0) / texel)
    x = x0 + (np.arange(width, dtype=np.float32) + 0.5) * texel
    y = y0 + (np.arange(height, dtype=np.float32) + 0.5) * texel
    rng = np.random.default_rng([seed, 2])
    colour = _paving(ground, x, y, rng)
    grain = 1 + 0.1 * cv2.resize(_noise(rng, 256), (width, height))
    for lawn in ground.lawns:
        rows = slice(int(np.searchsorted(y, lawn[1])), int(np.searchsorted(y, lawn[3])))
        columns = slice(int(np.searchsorted(x, lawn[0])), int(np.searchsorted(x, lawn[2])))
        blades = 3 * _speckle(rng, 0.055, (height, width))[rows, columns] + 3 * grain[rows, columns] - 5
        colour[rows, columns] = cv2.merge([blades * np.float32(channel) for channel in ground.lawn])
    lit = _sunlit(solids, light, (x0, y0), texel, (height, width))
    levels = [_shaded(colour, grain * (_SHADE + (1 - _SHADE) * lit))]
    while len(levels) < 5:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8))
    return GroundMap(tuple(levels), lit, (x0, y0), texel)


def _paving(ground: Ground, x: Float32, y: Float32, rng: np.random.Generator) -> Float32:
    column, row = (x / ground.slab).astype(np.int64), (y / ground.slab).astype(np.int64)
    tone = (1 + 0.045 * rng.standard_normal((64, 64))).astype(np.float32)[np.ix_(row % 64, column % 64)]
    width = max(0.02 / ground.slab, 0.025)
    joint = ((x / ground.slab) % 1 < width)[None, :] | ((y / ground.slab) % 1 < width)[:, None]
    brightness = np.where(joint, np.float32(ground.joint), tone) * _speckle(rng, 0.03, (len(y), len(x)))
    return cv2.merge([brightness * np.float32(channel) for channel in ground.paving]).astype(np.float32, copy=False)


def _speckle(rng: np.random.Generator, spread: float, shape: tuple[int, int]) -> Float32:
    """Fine noise around 1, tiled from one block."""
    block = 1 + np.float32(spread) * rng.standard_normal((509, 499), dtype=np.float32)
    return np.tile(block, (shape[0] // 509 + 1, shape[1] // 499 + 1))[: shape[0], : shape[1]]


def _shaded(colour: Float32, brightness: Float32) -> UInt8:
    bright = cv2.merge([brightness.astype(np.float32, copy=False)] * 3)
    return cv2.multiply(colour, bright, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def _noise(rng: np.random.Generator, size: int) -> Float32:
    """[size, size] smooth noise of several scales, about -1..1."""
    total = np.zeros((size, size), np.float32)
    for cells, weight in ((8, 0.5), (24, 0.3), (80, 0.25)):
        coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += weight * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return total


def _sunlit(
    solids: tuple[Solid, ...], light: Light, origin: tuple[float, float], texel: float, shape: tuple[int, int]
) -> Float32:
    lit = np.full(shape, 255, np.uint8)
    contact = np.full(shape, 255, np.uint8)
    for solid in solids:
        outline = (shadow_outline(solid, light.direction()) - origin) / texel
        cv2.fillConvexPoly(lit, np.round(outline).astype(np.int32), 0)
        if solid.outline()[:, 2].min() < 0.6:
            cv2.fillConvexPoly(contact, np.round((solid.footprint() - origin) / texel).astype(np.int32), 0)
    soft = cv2.GaussianBlur(lit, (0, 0), 0.06 / texel)
    near = cv2.GaussianBlur(contact, (0, 0), 0.22 / texel)
    return np.minimum(soft / 255, 0.2 + 0.8 * near / 255).astype(np.float32)


def make_backdrop(camera: Camera, solids: tuple[Solid, ...], light: Light, ground: GroundMap, seed: int) -> Backdrop:
    """Trace one ray through each pixel centre against the solids whose outline it may meet."""
    rays, origin = camera.rays(), np.asarray(camera.position, np.float32)
    rng = np.random.default_rng([seed, 3])
    noise = _noise(rng, 512)
    colour, depth = _sky(rays, noise), np.full(rays.shape[:2], np.inf, np.float32)
    below = rays[..., 2] < -1e-4
    depth[below] = -origin[2] / rays[..., 2][below]
    colour[below] = _ground_colours(camera, ground, rays, depth)[below]
    on_ground = below.copy()
    for index, solid in enumerate(solids):
        rows, columns = _roi(camera, solid, rays)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        distance, normal, surface = solid.hit(origin, rays[rows, columns])
        nearer = distance < depth[rows, columns]
        sharp = np.clip(2 - np.where(np.isfinite(distance), distance, 999) / camera.focal_px / 0.012, 0, 1).astype(
            np.float32
        )
        paint = _painted(solid.material, surface, noise, index, sharp) * _lit(normal, light)[..., None]
        colour[rows, columns][nearer] = _hazy(paint, distance)[nearer]
        depth[rows, columns][nearer] = distance[nearer]
        on_ground[rows, columns][nearer] = False
    return Backdrop(np.clip(camera.look.apply(colour), 0, 255).astype(np.uint8), depth, on_ground)


def _roi(camera: Camera, solid: Solid, rays: Float32) -> tuple[slice, slice]:
    """The rows and columns that a solid can cover; from a coarse trace if part of it is beside or behind the camera."""
    pixels, depth = camera.project(solid.outline())
    if depth.max() < 0.05:
        return slice(0, 0), slice(0, 0)
    if depth.min() < 0.3:
        distance, _, _ = solid.hit(np.asarray(camera.position, np.float32), rays[::_COARSE, ::_COARSE])
        hit = np.argwhere(np.isfinite(distance)) * _COARSE
        if not len(hit):
            return slice(0, 0), slice(0, 0)
        (top, left), (bottom, right) = np.maximum(hit.min(axis=0) - _COARSE, 0), hit.max(axis=0) + _COARSE
        return slice(int(top), int(bottom)), slice(int(left), int(right))
    low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, (camera.width, camera.height)).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, (camera.width, camera.height)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _sky(rays: Float32, noise: Float32) -> Float32:
    elevation = rays[..., 2] / np.linalg.norm(rays, axis=-1)
    share = np.clip(elevation * 2.2, 0, 1)[..., None]
    blue = np.array([126, 164, 208], np.float32)
    sky = _HAZE * (1 - share) + blue * share
    height = np.maximum(elevation, 0.03)
    u = (rays[..., 0] / height * 18).astype(np.int64) % noise.shape[0]
    v = (rays[..., 1] / height * 18).astype(np.int64) % noise.shape[0]
    clouds = cv2.GaussianBlur(np.clip(noise[v, u] * 1.6, 0, 0.8), (0, 0), 3)[..., None]
    return np.asarray(sky * (1 - clouds * share) + 240 * clouds * share, np.float32)


def _hazy(colour: Float32, distance: Float32) -> Float32:
    share = (1 - np.exp(-np.minimum(distance, 500) / 260))[..., None].astype(np.float32)
    return np.asarray(colour * (1 - share) + _HAZE * share, np.float32)


def _ground_colours(camera: Camera, ground: GroundMap, rays: Float32, depth: Float32) -> Float32:
    """Sample the ground at the mip level that matches each pixel's footprint, blended between two levels."""
    reach = np.where(np.isfinite(depth), np.minimum(depth, 400), 0).astype(np.float32)
    x = (camera.position[0] + rays[..., 0] * reach - ground.origin[0]) / ground.metres_per_texel
    y = (camera.position[1] + rays[..., 1] * reach - ground.origin[1]) / ground.metres_per_texel
    footprint = reach * reach / (camera.focal_px * camera.position[2]) / ground.metres_per_texel
    level = np.clip(np.log2(np.maximum(footprint, 1)) * 0.75, 0, len(ground.levels) - 1).astype(np.float32)
    colour = np.zeros((*depth.shape, 3), np.float32)
    for index, texture in enumerate(ground.levels):
        weight = np.clip(1 - np.abs(level - index), 0, 1)
        scale = 0.5**index
        sample = cv2.remap(
            texture, (x * scale - 0.5).astype(np.float32), (y * scale - 0.5).astype(np.float32),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        colour += sample * weight[..., None]
    return _hazy(colour, reach)


def _lit(normal: Float32, light: Light) -> Float32:
    direct = np.maximum(normal @ light.direction(), 0)
    return np.asarray(light.ambient * (0.85 + 0.15 * normal[..., 2]) + light.direct * direct, np.float32)


def _painted(material: Material, surface: Float32, noise: Float32, index: int, sharp: Float32) -> Float32:
    """[h, w, 3] albedo at surface metres [h, w, 2]; ``sharp`` [h, w] fades patterns finer than a pixel."""
    u, v = surface[..., 0] + 7 * index, surface[..., 1]
    size = noise.shape[0]
    rough = noise[(v * 40).astype(np.int64) % size, (u * 40).astype(np.int64) % size]
    base = np.asarray(material.colour, np.float32)
    if material.kind == "leaves":
        leaf = noise[(v * 170).astype(np.int64) % size, (u * 170).astype(np.int64) % size]
        return np.asarray(base * (1 + 0.35 * rough + 0.35 * leaf)[..., None], np.float32)
    plain: Float32 = base * (1 + 0.07 * rough)[..., None]
    if material.kind == "brick":
        row = np.floor(v / 0.12)
        joint = ((v / 0.12) % 1 < 0.14) | (((u + 0.15 * (row % 2)) / 0.3) % 1 < 0.05)
        share = np.where(sharp > 0, joint * sharp + 0.18 * (1 - sharp), 0.18)[..., None]
        return _windows(plain * (1 - share) + np.asarray(material.accent, np.float32) * share, u, v, rough)
    if material.kind == "facade":
        return _windows(plain, u, v, rough, np.asarray(material.accent, np.float32))
    if material.kind == "wood":
        plain *= np.where((v / 0.1) % 1 < 0.1, 0.6, 1)[..., None]
    return plain


def _windows(wall: Float32, u: Float32, v: Float32, rough: Float32, glass: Float32 | None = None) -> Float32:
    """A grid of windows, 3 m apart, above the ground floor's plinth."""
    pane = np.asarray((58, 70, 86), np.float32) if glass is None else glass
    across, up = (u / 2.6) % 1, (v / 3.1) % 1
    inside = (across > 0.22) & (across < 0.78) & (up > 0.3) & (up < 0.82)
    frame = (across > 0.19) & (across < 0.81) & (up > 0.27) & (up < 0.85) & ~inside
    shine = (1 + 0.5 * (up - 0.5) + 0.15 * rough)[..., None]
    wall = np.where(frame[..., None], np.float32(222), wall)
    return np.where(inside[..., None], pane * shine, wall).astype(np.float32)
