"""What a simulated site consists of.

A scene follows from its name, seed and sizes alone. Seeds below ``FIRST_TRAINING_SEED`` belong to scenes that are shown
and tested; training data take theirs from there upwards, so that no model is ever shown what it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from demo.site.camera import Camera
from demo.site.people import Person
from demo.site.solids import Solid
from orchestrator.values import Float32

FIRST_TRAINING_SEED = 10_000
"""The lowest seed of training data, and above every seed of a scene that is shown or tested."""


@dataclass(frozen=True)
class Light:
    """Sun and sky."""

    sun: tuple[float, float, float] = (-0.45, -0.4, 0.8)
    """Direction towards the sun; normalised on use."""
    direct: float = 0.55
    ambient: float = 0.62

    def direction(self) -> Float32:
        """[3] unit vector towards the sun."""
        vector = np.asarray(self.sun, np.float32)
        return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Ground:
    """How the ground is paved."""

    paving: tuple[float, float, float] = (164.0, 158.0, 148.0)
    joint: float = 0.84
    """Brightness of the joints relative to the slabs."""
    slab: float = 0.8
    """Side of a slab, metres."""
    lawn: tuple[float, float, float] = (98.0, 122.0, 70.0)
    lawns: tuple[tuple[float, float, float, float], ...] = ()
    """Rectangles x0, y0, x1, y1 of grass."""


@dataclass(frozen=True)
class Place:
    """Somewhere people go."""

    x: float
    y: float
    dwell_s: float
    """Mean time spent there."""
    weight: float = 1.0


@dataclass(frozen=True)
class SiteCamera:
    """A camera as the site file lists it."""

    camera: Camera
    name: str
    prefix: str
    homography_inline: bool


@dataclass(frozen=True)
class Exit:
    """People who leave a camera in this quadrant of its image come out at another camera."""

    camera: str
    quadrant: str
    to: str


@dataclass(frozen=True)
class Scene:
    """A site, its people and its recording."""

    name: str
    title: str
    seed: int
    fps: int
    sub_video_seconds: float
    sub_videos: int
    bounds: tuple[float, float, float, float]
    """Where people may be: x0, y0, x1, y1."""
    cameras: tuple[SiteCamera, ...]
    solids: tuple[Solid, ...]
    places: tuple[Place, ...]
    start_areas: tuple[tuple[float, float, float, float], ...]
    """Rectangles in which people begin, in turn."""
    people: tuple[Person, ...]
    light: Light
    ground: Ground
    overlaps: tuple[tuple[str, str], ...]
    exits: tuple[Exit, ...]

    @property
    def frames_per_sub_video(self) -> int:
        """Frames in each file."""
        return round(self.sub_video_seconds * self.fps)

    @property
    def frames(self) -> int:
        """Frames of the whole recording, per camera."""
        return self.frames_per_sub_video * self.sub_videos


@dataclass(frozen=True)
class Recording:
    """The sizes of a scene that an argument can change; None keeps the scene's own."""

    people: int | None = None
    cameras: int | None = None
    """How many: the first ones of the scene; a generated scene can have any number."""
    sub_videos: int | None = None
    sub_video_seconds: float | None = None
    fps: int | None = None
    width: int | None = None
    """Of the frames, pixels, even; the height keeps the scene's proportions."""


SHORT = Recording(people=6, sub_videos=2, sub_video_seconds=4.0)
"""The profile that tests use."""
PROFILES: Mapping[str, Recording] = MappingProxyType({"default": Recording(), "short": SHORT})
