"""The scenes that have a name, from easy to hard."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from demo.site.scene import FIRST_TRAINING_SEED, Recording, Scene
from demo.site.scenes.campus import campus
from demo.site.scenes.market import market
from demo.site.scenes.yard import yard

_LEAST_WIDTH = 160
"""Narrower frames show nobody that could be recognised, pixels."""
_MOST_WIDTH = 7680
"""Wider ones take all the memory there is."""


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
            "any number of cameras",
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
    return _resized(_with_cameras(scene, recording.cameras), recording.width)


def _check_sizes(recording: Recording) -> None:
    sizes = (
        recording.people,
        recording.cameras,
        recording.sub_videos,
        recording.sub_video_seconds,
        recording.fps,
        recording.width,
    )
    if any(size is not None and not 0 < size < math.inf for size in sizes):
        raise ValueError("people, cameras, sub-videos, seconds, frames per second and width must be positive")
    if recording.width is not None and recording.width < _LEAST_WIDTH:
        raise ValueError(f"frames of {recording.width} pixels are too narrow to tell people: {_LEAST_WIDTH} at least")
    if recording.width is not None and recording.width > _MOST_WIDTH:
        raise ValueError(f"frames of {recording.width} pixels are too wide to be encoded: {_MOST_WIDTH} at most")


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
