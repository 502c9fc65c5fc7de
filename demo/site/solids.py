"""What stands on a site, from walls to trees: it is drawn, casts a shadow, hides people and blocks their way."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from orchestrator.values import Float32

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """A surface: its colour, and the pattern that the painter of ``kind`` lays over it."""

    kind: str
    """``plain``, ``brick``, ``facade``, ``wood`` or ``leaves``."""
    colour: Rgb
    accent: Rgb = (60.0, 70.0, 84.0)


@dataclass(frozen=True)
class Box:
    """An upright box."""

    x: float
    y: float
    half_x: float
    half_y: float
    height: float
    material: Material
    base: float = 0.0
    yaw_deg: float = 0.0
    blocks: bool = field(default=True)
    """False for what people can pass under."""

    def footprint(self) -> Float32:
        """[4, 2] corners in plan."""
        yaw = np.radians(self.yaw_deg)
        across = np.array([np.cos(yaw), np.sin(yaw)]) * self.half_x
        along = np.array([-np.sin(yaw), np.cos(yaw)]) * self.half_y
        centre = np.array([self.x, self.y])
        corners = [centre + i * across + j * along for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return np.array(corners, np.float32)

    def outline(self) -> Float32:
        """[8, 3] points whose projection encloses the solid."""
        plan = self.footprint()
        low = np.concatenate([plan, np.full((4, 1), self.base, np.float32)], axis=1)
        return np.concatenate([low, low + np.array([0, 0, self.height], np.float32)])

    def hit(self, origin: Float32, rays: Float32) -> tuple[Float32, Float32, Float32]:
        """Where rays [..., 3] enter: distance in ray lengths (inf: a miss), normal [..., 3], surface metres [..., 2].

        The slab test of Kay and Kajiya (1986).
        """
        yaw = np.radians(self.yaw_deg)
        turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]], np.float32)
        local = rays @ turn.T
        local = np.where(np.abs(local) < 1e-6, 1e-6, local)
        start = turn @ (origin - np.array([self.x, self.y, self.base + self.height / 2], np.float32))
        half = np.array([self.half_x, self.half_y, self.height / 2], np.float32)
        near = (-np.sign(local) * half - start) / local
        far = (np.sign(local) * half - start) / local
        distance, axis = near.max(axis=-1), near.argmax(axis=-1)
        distance = np.where((distance < far.min(axis=-1)) & (distance > 0.05), distance, np.inf)
        point = start + local * np.where(np.isfinite(distance), distance, 0)[..., None]
        sign = -np.sign(np.take_along_axis(local, axis[..., None], axis=-1))
        normal = np.where(np.arange(3) == axis[..., None], sign, 0).astype(np.float32) @ turn
        along = np.where(axis == 0, point[..., 1], point[..., 0])
        up = np.where(axis == 2, point[..., 1], point[..., 2] + half[2])
        return distance.astype(np.float32), normal, np.stack([along, up], axis=-1)


@dataclass(frozen=True)
class Ellipsoid:
    """A rounded solid: a tree crown, a bush, a ball. Tall and thin, it serves as a trunk or a pillar."""

    x: float
    y: float
    z: float
    radius: float
    half_height: float
    material: Material
    blocks: bool = False

    def footprint(self) -> Float32:
        """[12, 2] its outline in plan."""
        return _circle(self.x, self.y, self.radius)

    def outline(self) -> Float32:
        """[8, 3] corners of the enclosing box."""
        signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float32)
        centre = np.array([self.x, self.y, self.z], np.float32)
        return centre + signs * np.array([self.radius, self.radius, self.half_height], np.float32)

    def hit(self, origin: Float32, rays: Float32) -> tuple[Float32, Float32, Float32]:
        """As ``Box.hit``: the nearer root of the quadratic."""
        scale = 1 / np.array([self.radius, self.radius, self.half_height], np.float32)
        start = (origin - np.array([self.x, self.y, self.z], np.float32)) * scale
        local = rays * scale
        a, b = (local * local).sum(-1), (local * start).sum(-1)
        root = b * b - a * ((start * start).sum() - 1)
        distance = (-b - np.sqrt(np.maximum(root, 0))) / a
        distance = np.where((root > 0) & (distance > 0.05), distance, np.inf).astype(np.float32)
        point = start + local * np.where(np.isfinite(distance), distance, 0)[..., None]
        normal = point * scale
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        angle = np.arctan2(point[..., 1], point[..., 0]) * self.radius
        return distance, normal.astype(np.float32), np.stack([angle, point[..., 2] * self.half_height], axis=-1)


@dataclass(frozen=True)
class Pillar:
    """An upright cylinder."""

    x: float
    y: float
    radius: float
    height: float
    material: Material
    base: float = 0.0
    blocks: bool = True

    def footprint(self) -> Float32:
        """[12, 2] its outline in plan."""
        return _circle(self.x, self.y, self.radius)

    def outline(self) -> Float32:
        """[24, 3] rims of its base and top."""
        plan = self.footprint()
        low = np.concatenate([plan, np.full((12, 1), self.base, np.float32)], axis=1)
        return np.concatenate([low, low + np.array([0, 0, self.height], np.float32)])

    def hit(self, origin: Float32, rays: Float32) -> tuple[Float32, Float32, Float32]:
        """As ``Box.hit``; the flat top counts as far as it hides what is behind."""
        start = (origin - np.array([self.x, self.y, self.base], np.float32)).astype(np.float32)
        plan = rays[..., :2]
        a, b = (plan * plan).sum(-1) + 1e-9, plan @ start[:2]
        root = b * b - a * (start[:2] @ start[:2] - self.radius**2)
        side = (-b - np.sqrt(np.maximum(root, 0))) / a
        top = (self.height - start[2]) / np.where(np.abs(rays[..., 2]) < 1e-6, 1e-6, rays[..., 2])
        height = start[2] + side * rays[..., 2]
        on_side = (root > 0) & (side > 0.05) & (height > 0) & (height < self.height)
        reach = start[:2] + top[..., None] * plan
        on_top = (top > 0.05) & ((reach * reach).sum(-1) < self.radius**2)
        distance = np.where(on_side, side, np.where(on_top, top, np.inf)).astype(np.float32)
        point = start + rays * np.where(np.isfinite(distance), distance, 0)[..., None]
        outward = np.concatenate([point[..., :2] / self.radius, np.zeros_like(point[..., :1])], axis=-1)
        normal = np.where(on_side[..., None], outward, np.array([0, 0, 1], np.float32)).astype(np.float32)
        angle = np.arctan2(point[..., 1], point[..., 0]) * self.radius
        return distance, normal, np.stack([angle, point[..., 2]], axis=-1)


Solid = Box | Ellipsoid | Pillar


def _circle(x: float, y: float, radius: float) -> Float32:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=-1).astype(np.float32)


def shadow_outline(solid: Solid, sun: Float32) -> Float32:
    """[N, 2] convex outline in plan of the shadow that a solid casts on the ground; ``sun`` points to the light."""
    points = solid.outline()
    cast = points[:, :2] - points[:, 2:] * (sun[:2] / sun[2])
    hull = cv2.convexHull(cast.astype(np.float32))
    return np.asarray(hull, np.float32)[:, 0]
