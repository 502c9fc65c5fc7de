"""The scenes that have a name, from easy to hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from demo.site.scene import FIRST_TRAINING_SEED, Recording, Scene
from demo.site.scenes.campus import campus
from demo.site.scenes.market import market
from demo.site.scenes.yard import yard

_RANGES: Mapping[str, tuple[str, float, float]] = MappingProxyType(
    {
        "people": ("people", 1, 5000),
        "cameras": ("cameras", 1, 99),
        "sub_videos": ("sub-videos", 1, 9999),
        "sub_video_seconds": ("seconds of a sub-video", 0.001, 86_400),
        "fps": ("frames a second", 1, 120),
        "width": ("pixels of width", 160, 7680),
    }
)
"""What each size may be. Narrower frames show nobody that could be recognised, wider ones cannot be encoded."""
_LONGEST_S = 86_400.0
"""Everybody's way through the whole recording is kept in memory."""


@dataclass(frozen=True)
class NamedScene:
    """A scene that can be asked for."""

    make: Callable[[int, Recording], Scene]
    """From a seed and checked sizes; of the cameras, at least as many as were asked for where it can have them."""
    description: str
    """One line."""


SCENES: Mapping[str, NamedScene] = MappingProxyType(
    {
        "yard": NamedScene(yard, "easy: 4 people in clothes that differ, 2 cameras that see the same ground"),
        "campus": NamedScene(campus, "medium: 10 people, 3 cameras around a plaza and one past a building"),
        "market": NamedScene(
            market,
            "hard: 24 people, many nearly alike, 6 cameras around squares between which one walks unseen; "
            "up to 99 cameras",
        ),
    }
)


def make_scene(name: str = "campus", seed: int = 1, recording: Recording | None = None) -> Scene:
    """A scene by name.

    Raises ``ValueError`` for an unknown name, a size that cannot be, more cameras than the scene has, or a seed that
    belongs to training.
    """
    if name not in SCENES:
        raise ValueError(f"no scene is called {name!r}; there are {', '.join(SCENES)}")
    if not 0 <= seed < FIRST_TRAINING_SEED:
        raise ValueError(f"seed {seed} is not one of a shown scene: 0 to {FIRST_TRAINING_SEED - 1}")
    recording = recording or Recording()
    _check_sizes(recording)
    scene = SCENES[name].make(seed, recording)
    if scene.frames_per_sub_video < 1:
        raise ValueError(f"a sub-video of {scene.sub_video_seconds:g} s has no frame at {scene.fps} frames a second")
    if (whole := scene.sub_videos * scene.sub_video_seconds) > _LONGEST_S:
        raise ValueError(f"a recording may take {_LONGEST_S:g} s, not {whole:g}")
    return _resized(_with_cameras(scene, recording.cameras), recording.width)


def _check_sizes(recording: Recording) -> None:
    for field, (name, least, most) in _RANGES.items():
        size = getattr(recording, field)
        if size is not None and not least <= size <= most:
            raise ValueError(f"{name} must be {least:g} to {most:g}, not {size}")


def _resized(scene: Scene, width: int | None) -> Scene:
    if width is None:
        return scene
    cameras = (replace(each, camera=each.camera.resized(width)) for each in scene.cameras)
    return replace(scene, cameras=tuple(cameras))


def _with_cameras(scene: Scene, count: int | None) -> Scene:
    if count is None:
        return scene
    if count > len(scene.cameras):
        raise ValueError(f"scene {scene.name!r} has {len(scene.cameras)} cameras, not {count}")
    kept = {each.camera.camera_id for each in scene.cameras[:count]}
    return replace(
        scene,
        cameras=scene.cameras[:count],
        overlaps=tuple(pair for pair in scene.overlaps if set(pair) <= kept),
        exits=tuple(rule for rule in scene.exits if {rule.camera, rule.to} <= kept),
    )
