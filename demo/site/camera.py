"""Pinhole cameras with radial lens distortion, and how each one colours what it sees.

World coordinates are metres, x east, y north, z up, with the ground at z = 0. Camera coordinates are x right, y down,
z forward. Pixel coordinates have their origin at the top left corner of the top left pixel, so that pixel (0, 0) has
its centre at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from orchestrator.values import Float32, Float64

_MAX_RADIUS_SQ = 1.5
"""Beyond this squared normalised radius a barrel distortion folds back; points there are outside every frame."""


@dataclass(frozen=True)
class Look:
    """How a camera's sensor and lens change colours; all applied in display space."""

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of red, green and blue."""
    contrast: float = 1.0
    blur_px: float = 0.6
    """Standard deviation of the lens blur, pixels."""
    noise: float = 1.5
    """Standard deviation of the sensor noise, grey levels."""

    def apply(self, rgb: Float32) -> Float32:
        """Colours [..., 3] in 0..255, before clipping, as this sensor reports them."""
        gain = np.asarray(self.white_balance, np.float32) * np.float32(self.exposure * self.contrast)
        return rgb * gain + np.float32(128.0 * (1.0 - self.contrast))


@dataclass(frozen=True)
class Camera:
    """Where a camera stands, where it looks, and through which lens."""

    camera_id: str
    position: tuple[float, float, float]
    yaw_deg: float
    """Direction of view in plan, from east, counter-clockwise."""
    pitch_deg: float
    """Downwards positive."""
    focal_px: float
    width: int = 1280
    height: int = 720
    k1: float = 0.0
    k2: float = 0.0
    """Radial distortion of normalised image coordinates: ``x * (1 + k1 r^2 + k2 r^4)``."""
    look: Look = Look()

    @cached_property
    def rotation(self) -> Float64:
        """[3, 3] world to camera."""
        yaw, pitch = np.radians(self.yaw_deg), np.radians(self.pitch_deg)
        forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), -np.sin(pitch)])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points: Float32) -> tuple[Float32, Float32]:
        """World points [..., 3] to pixels [..., 2] and depth along the optical axis [...] in metres.

        Pixels of points at or behind the camera are meaningless; their depth says so.
        """
        offset = points - np.asarray(self.position, np.float32)
        local = offset @ self.rotation.T.astype(np.float32)
        depth = local[..., 2]
        plane = local[..., :2] / np.maximum(depth, 1e-3)[..., None]
        if self.k1 or self.k2:
            radius_sq = np.minimum((plane * plane).sum(-1), _MAX_RADIUS_SQ)
            plane = plane * (1 + radius_sq * (self.k1 + radius_sq * self.k2))[..., None]
        centre = np.array([self.width / 2, self.height / 2], np.float32)
        return (plane * np.float32(self.focal_px) + centre).astype(np.float32), depth.astype(np.float32)

    def rays(self) -> Float32:
        """[height, width, 3] world direction through each pixel centre, with unit length along the optical axis.

        A point at depth d along the optical axis is ``position + d * ray``.
        """
        columns = (np.arange(self.width, dtype=np.float32) + 0.5 - self.width / 2) / self.focal_px
        rows = (np.arange(self.height, dtype=np.float32) + 0.5 - self.height / 2) / self.focal_px
        plane = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32)
        if self.k1 or self.k2:
            plane = self._undistorted(plane)
        local = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
        return (local @ self.rotation.astype(np.float32)).astype(np.float32)

    def _undistorted(self, distorted: Float32) -> Float32:
        plane = distorted
        for _ in range(8):
            radius_sq = (plane * plane).sum(-1, keepdims=True)
            plane = distorted / (1 + radius_sq * (self.k1 + radius_sq * self.k2))
        return plane.astype(np.float32)

    def resized(self, width: int) -> Camera:
        """The same view on another raster; both sides are made even, as yuv420p wants them."""
        even, height = width // 2 * 2, round(self.height * width / self.width / 2) * 2
        return replace(self, focal_px=self.focal_px * even / self.width, width=even, height=height)
