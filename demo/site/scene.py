"""What a simulated site consists of, and the scenes that have a name.

A scene follows from its name, seed and sizes alone. Seeds below ``FIRST_TRAINING_SEED`` belong to scenes that are shown
and tested; training data take theirs from there upwards, so that no model is ever shown what it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from demo.site.camera import Camera, Look
from demo.site.people import Person, draw_people
from demo.site.solids import Box, Ellipsoid, Material, Pillar, Solid
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
    cameras: tuple[str, ...] | None = None
    sub_videos: int | None = None
    sub_video_seconds: float | None = None
    fps: int | None = None
    width: int | None = None
    """Of the frames, pixels, even; the height keeps the scene's proportions."""


SHORT = Recording(people=6, sub_videos=2, sub_video_seconds=4.0)
"""The profile that tests use."""


def make_scene(name: str = "campus", seed: int = 1, recording: Recording | None = None) -> Scene:
    """A scene by name.

    Raises ``ValueError`` for an unknown name or camera, a size below one, or a seed that belongs to training.
    """
    if name not in SCENES:
        raise ValueError(f"no scene is called {name!r}; there are {', '.join(SCENES)}")
    if not 0 <= seed < FIRST_TRAINING_SEED:
        raise ValueError(f"seed {seed} is not one of a shown scene: 0 to {FIRST_TRAINING_SEED - 1}")
    recording = recording or Recording()
    sizes = (recording.people, recording.sub_videos, recording.sub_video_seconds, recording.fps, recording.width)
    if any(size is not None and size <= 0 for size in sizes):
        raise ValueError("people, sub-videos, seconds, frames per second and width must be positive")
    return _resized(_with_cameras(SCENES[name](seed, recording), recording.cameras), recording.width)


def _resized(scene: Scene, width: int | None) -> Scene:
    if width is None:
        return scene
    cameras = (replace(each, camera=each.camera.resized(width)) for each in scene.cameras)
    return replace(scene, cameras=tuple(cameras))


def _with_cameras(scene: Scene, wanted: tuple[str, ...] | None) -> Scene:
    if wanted is None:
        return scene
    there = {site_camera.camera.camera_id: site_camera for site_camera in scene.cameras}
    missing = [camera_id for camera_id in wanted if camera_id not in there]
    if missing or not wanted:
        raise ValueError(f"scene {scene.name!r} has the cameras {', '.join(there)}, not {', '.join(missing) or 'none'}")
    return replace(
        scene,
        cameras=tuple(there[camera_id] for camera_id in wanted),
        overlaps=tuple(pair for pair in scene.overlaps if set(pair) <= set(wanted)),
        exits=tuple(rule for rule in scene.exits if {rule.camera, rule.to} <= set(wanted)),
    )


def _campus(seed: int, recording: Recording) -> Scene:
    """A plaza seen by three cameras and, past a building, a courtyard seen by a fourth."""
    rng = np.random.default_rng([seed, 1])
    return Scene(
        name="campus",
        title="Demo campus",
        seed=seed,
        fps=recording.fps or 12,
        sub_video_seconds=recording.sub_video_seconds or 10.0,
        sub_videos=recording.sub_videos or 4,
        bounds=(-9.0, -6.0, 52.0, 24.0),
        cameras=_campus_cameras(),
        solids=_campus_solids(),
        places=_CAMPUS_PLACES,
        start_areas=((4, 3, 20, 14), (5, 2, 18, 12), (2, 1, 18, 14), (32, 2, 44, 12)),
        people=tuple(draw_people(rng, recording.people or 10)),
        light=Light(),
        ground=Ground(lawns=((3, 15.5, 22, 30), (-30, -30, 70, -7), (33, 13.5, 60, 30), (-30, 10, -6, 40))),
        overlaps=(("c01", "c02"), ("c01", "c03"), ("c02", "c03")),
        exits=(Exit("c01", "upper_right", "c05"), Exit("c05", "upper_right", "c02")),
    )


def _campus_cameras() -> tuple[SiteCamera, ...]:
    warm = Look(exposure=1.03, white_balance=(1.05, 1.0, 0.93), blur_px=0.6, noise=1.6)
    cool = Look(exposure=0.93, white_balance=(0.95, 1.0, 1.08), contrast=0.95, blur_px=0.75, noise=2.2)
    crisp = Look(exposure=1.0, contrast=1.08, blur_px=0.5, noise=1.2)
    dim = Look(exposure=0.85, white_balance=(1.03, 1.01, 0.92), blur_px=0.85, noise=2.6)
    return (
        SiteCamera(
            Camera("c01", (-2.5, -3.0, 3.8), 40.0, 14.0, 1120.0, look=warm),
            "Plaza south-west", "video_s37/c01", True,
        ),
        SiteCamera(
            Camera("c02", (25.0, -3.0, 4.4), 137.0, 15.0, 1080.0, look=cool),
            "Plaza south-east", "video_s37/c02", False,
        ),
        SiteCamera(
            Camera("c03", (12.0, 18.0, 3.4), -92.0, 16.0, 900.0, k1=-0.06, k2=0.006, look=crisp),
            "Plaza north", "video_s37/c03", True,
        ),
        SiteCamera(Camera("c05", (46.5, 13.0, 3.1), 220.0, 13.0, 980.0, look=dim), "Courtyard", "video_s37/c05", False),
    )  # fmt: skip


_CAMPUS_PLACES = (
    Place(4.5, 3.0, 3.0), Place(8.5, 9.0, 4.0), Place(15.0, 4.5, 3.0), Place(19.5, 3.0, 3.0), Place(19.0, 10.0, 4.0),
    Place(12.0, 12.6, 3.0), Place(10.5, 3.5, 3.0), Place(15.0, 9.5, 3.0),
    Place(35.0, 4.5, 3.0), Place(40.5, 8.5, 4.0), Place(37.5, 9.5, 3.0), Place(41.0, 3.0, 2.0),
    Place(-7.5, 7.0, 1.0, 0.7), Place(1.0, 21.0, 1.0, 0.6), Place(49.5, -3.0, 1.0, 0.7), Place(24.0, 16.0, 1.0, 0.5),
)  # fmt: skip

_CONCRETE = Material("plain", (172, 168, 160))
_BRICK = Material("brick", (150, 92, 74), (186, 176, 164))
_FACADE = Material("facade", (196, 188, 172), (74, 92, 112))
_OFFICE = Material("facade", (150, 158, 166), (62, 82, 104))
_WOOD = Material("wood", (132, 96, 62))
_LEAVES = Material("leaves", (70, 98, 48))
_DARK_LEAVES = Material("leaves", (58, 84, 52))
_METAL = Material("plain", (84, 88, 94))


def _campus_solids() -> tuple[Solid, ...]:
    buildings: list[Solid] = [
        Box(28.0, 13.0, 2.2, 9.0, 10.0, _BRICK),
        Box(12.0, 34.0, 24.0, 3.0, 13.0, _FACADE),
        Box(-18.0, 14.0, 3.0, 16.0, 11.0, _OFFICE),
        Box(15.0, -22.0, 30.0, 3.0, 12.0, _OFFICE),
        Box(44.0, 26.0, 14.0, 3.0, 9.0, _FACADE),
        Box(62.0, 4.0, 3.0, 20.0, 12.0, _BRICK),
    ]
    pillars: list[Solid] = [Pillar(7.0, 6.5, 0.28, 3.2, _CONCRETE), Pillar(17.0, 7.2, 0.28, 3.2, _CONCRETE)]
    signs: list[Solid] = [Box(12.6, 6.6, 0.9, 0.09, 2.0, Material("plain", (52, 84, 120)), yaw_deg=25)]
    return (
        *buildings, *pillars, *signs,
        *_bench(10.5, 11.0, 8), *_bench(16.5, 12.0, -10), *_bench(3.0, 9.0, 85), *_bench(38.5, 6.5, 30),
        *_planter(5.0, 12.2), *_planter(20.5, 6.8), *_planter(13.5, 2.0), *_planter(35.0, 8.6), *_planter(42.8, 6.0),
        *_tree(1.5, 17.5), *_tree(7.5, 20.0), *_tree(18.0, 18.2), *_tree(22.6, 13.6), *_tree(38.0, 15.5),
        *_tree(-5.5, 1.0), *_tree(46.0, -4.8),
        Box(8.0, -5.2, 5.0, 0.3, 1.0, _DARK_LEAVES), Box(38.0, -5.0, 4.0, 0.35, 1.1, _DARK_LEAVES),
    )  # fmt: skip


def _bench(x: float, y: float, yaw: float) -> list[Solid]:
    back = np.radians(yaw + 90)
    return [
        Box(x, y, 0.9, 0.24, 0.08, _WOOD, base=0.4, yaw_deg=yaw),
        Box(x, y, 0.7, 0.16, 0.4, _METAL, yaw_deg=yaw),
        Box(
            x + 0.24 * float(np.cos(back)), y + 0.24 * float(np.sin(back)), 0.9, 0.04, 0.4, _WOOD, base=0.5, yaw_deg=yaw
        ),
    ]


def _planter(x: float, y: float) -> list[Solid]:
    return [Box(x, y, 0.6, 0.6, 0.6, _CONCRETE), Ellipsoid(x, y, 0.85, 0.6, 0.55, _LEAVES)]


def _tree(x: float, y: float) -> list[Solid]:
    trunk = Pillar(x, y, 0.17, 2.8, Material("wood", (92, 74, 58)))
    crowns = ((0, 0, 4.0, 1.6, 1.3), (0.7, 0.4, 3.6, 1.1, 0.9), (-0.8, -0.2, 3.7, 1.1, 0.9))
    return [trunk, *(Ellipsoid(x + dx, y + dy, z, r, h, _LEAVES) for dx, dy, z, r, h in crowns)]


SCENES: Mapping[str, Callable[[int, Recording], Scene]] = MappingProxyType({"campus": _campus})
"""The scenes that have a name."""
