"""Training data for the demo's models: random scenes with boxes, and random people under several cameras.

Nothing here shares a seed, hence a person, a place or a light, with a scene that is shown or tested: a seed below
``FIRST_TRAINING_SEED`` is refused, and ``make_scene`` refuses the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from demo.site.backdrop import GroundMap, make_backdrop, make_ground
from demo.site.camera import Camera, Look
from demo.site.gait import Motion
from demo.site.people import Person, draw_people
from demo.site.render import FrameRenderer, Rendered
from demo.site.scene import FIRST_TRAINING_SEED, Ground, Light
from demo.site.solids import Box, Ellipsoid, Material, Pillar, Solid
from orchestrator.values import Bool, Float32, UInt8

_TEXEL = 0.04
_HALF = 14.0
"""Half the side of a random place, metres."""


@dataclass(frozen=True)
class DetectionSample:
    """One frame with its people, nearest last."""

    rgb: UInt8
    """[H, W, 3]"""
    boxes: Float32
    """[N, 4] xyxy, pixels, the full body clipped to the frame, hidden parts included."""
    visibility: Float32
    """[N] visible share of the body, 0..1."""


@dataclass(frozen=True)
class ReidSample:
    """One crop of one person."""

    identity: int
    """Unique within a seed, from 0."""
    camera: int
    """Which of the identity's cameras, from 0."""
    rgb: UInt8
    """[h, w, 3] cut along the person's box, jittered as a detector's boxes are."""


def training_rng(seed: int, purpose: int) -> np.random.Generator:
    """Randomness for training data; raises ``ValueError`` for a seed that shown or tested scenes may use."""
    if seed < FIRST_TRAINING_SEED:
        raise ValueError(f"training data take seeds from {FIRST_TRAINING_SEED} upwards, not {seed}")
    return np.random.default_rng([seed, purpose])


def detection_samples(
    seed: int, width: int = 672, height: int = 384, frames_per_place: int = 6, most_people: int = 14
) -> Iterator[DetectionSample]:
    """Endless frames of random places, ``frames_per_place`` of each; raises ``ValueError`` for a seed below 10,000."""
    rng = training_rng(seed, 11)
    while True:
        yield from _frames_of_a_place(rng, width, height, frames_per_place, most_people)


def _frames_of_a_place(
    rng: np.random.Generator, width: int, height: int, frames: int, most_people: int
) -> Iterator[DetectionSample]:
    light, solids = random_light(rng), random_solids(rng)
    ground = _random_ground(rng, solids, light)
    camera = random_camera(rng, width, height)
    backdrop = make_backdrop(camera, solids, light, ground, int(rng.integers(2**31)))
    people = draw_people(rng, most_people)
    renderer = FrameRenderer(camera, backdrop, people, light)
    for _ in range(frames):
        motion = random_motion(rng, people, camera, solids, present=int(rng.integers(0, most_people + 1)))
        yield _labelled(renderer.draw(motion, ground.sunlight(motion.xy), rng), width, height)


def _labelled(frame: Rendered, width: int, height: int) -> DetectionSample:
    boxes = np.clip(np.nan_to_num(frame.boxes), 0, np.array([width, height, width, height], np.float32))
    sides = boxes[:, 2:] - boxes[:, :2]
    real: Bool = (sides > (2, 6)).all(axis=1) & (frame.visibility > 0)
    rows = np.flatnonzero(real)
    rows = rows[np.argsort(boxes[rows, 3])]
    return DetectionSample(frame.rgb, boxes[rows], frame.visibility[rows])


def random_light(rng: np.random.Generator) -> Light:
    """From a bright noon to a dull evening."""
    angle, overcast = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1) ** 2
    sun = (float(np.cos(angle)) * 0.6, float(np.sin(angle)) * 0.6, float(rng.uniform(0.35, 1.0)))
    return Light(sun, direct=float(0.65 * (1 - overcast)), ambient=float(rng.uniform(0.45, 0.7) + 0.25 * overcast))


def random_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """A camera at the edge of the place that looks across it."""
    up = float(rng.uniform(2.0, 6.0))
    look = Look(
        exposure=float(rng.uniform(0.7, 1.25)),
        white_balance=(float(rng.uniform(0.88, 1.12)), 1.0, float(rng.uniform(0.88, 1.12))),
        contrast=float(rng.uniform(0.8, 1.15)),
        blur_px=float(rng.uniform(0.2, 0.8)),
        noise=float(rng.uniform(0.3, 4.0)),
    )
    distortion = float(rng.uniform(-0.1, 0.0)) if rng.random() < 0.5 else 0.0
    return Camera(
        "random", (float(rng.uniform(-3, 3)), -9.0, up), float(rng.uniform(65, 115)),
        float(np.degrees(np.arctan2(up - 1, rng.uniform(6, 18)))), float(width * rng.uniform(0.55, 1.2)),
        width, height, k1=distortion, look=look,
    )  # fmt: skip


_MATERIALS = ("plain", "brick", "facade", "wood", "leaves")


def random_solids(rng: np.random.Generator) -> tuple[Solid, ...]:
    """Buildings around, and things to hide behind."""
    solids: list[Solid] = []
    for side in range(3):
        if rng.random() < 0.75:
            material = Material(
                str(rng.choice(("plain", "brick", "facade"))), _colour(rng, 60, 215), _colour(rng, 40, 200)
            )
            x, y = ((0.0, 24.0), (-19.0, 6.0), (19.0, 6.0))[side]
            half_x, half_y = (float(rng.uniform(6, 22)), 2.0) if side == 0 else (2.0, float(rng.uniform(4, 14)))
            solids.append(Box(x, y, half_x, half_y, float(rng.uniform(3, 14)), material))
    for _ in range(int(rng.integers(0, 9))):
        solids.extend(_random_thing(rng))
    return tuple(solids)


def _random_thing(rng: np.random.Generator) -> list[Solid]:
    x, y = float(rng.uniform(-9, 9)), float(rng.uniform(-4, 13))
    material = Material(str(rng.choice(_MATERIALS)), _colour(rng, 30, 220), _colour(rng, 30, 220))
    kind = rng.integers(4)
    if kind == 0:
        return [Pillar(x, y, float(rng.uniform(0.06, 0.4)), float(rng.uniform(0.8, 4.0)), material)]
    if kind == 1:
        trunk = Pillar(x, y, 0.16, 2.8, Material("wood", (92, 74, 58)))
        return [
            trunk,
            Ellipsoid(x, y, 3.8, float(rng.uniform(0.8, 1.8)), 1.3, Material("leaves", _colour(rng, 50, 120))),
        ]
    half = rng.uniform(0.1, 1.3, 2)
    tall = float(rng.uniform(0.4, 1.2) if kind == 2 else rng.uniform(1.2, 2.4))
    return [Box(x, y, float(half[0]), float(half[1]), tall, material, yaw_deg=float(rng.uniform(0, 90)))]


def _colour(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    base = rng.uniform(low, high) + rng.normal(0, 18, 3)
    red, green, blue = np.clip(base, 10, 245)
    return float(red), float(green), float(blue)


def _random_ground(rng: np.random.Generator, solids: tuple[Solid, ...], light: Light) -> GroundMap:
    x, y = rng.uniform(-_HALF, _HALF, 2)
    lawns = ((float(x), float(y), float(x + rng.uniform(4, 20)), float(y + rng.uniform(4, 20))),)
    ground = Ground(
        _colour(rng, 70, 200), joint=float(rng.uniform(0.7, 1.05)), slab=float(rng.uniform(0.25, 2.5)),
        lawns=lawns if rng.random() < 0.6 else (),
    )  # fmt: skip
    return make_ground(ground, solids, light, (-_HALF, -_HALF, _HALF, _HALF), _TEXEL, int(rng.integers(2**31)))


def random_motion(
    rng: np.random.Generator, people: Sequence[Person], camera: Camera, solids: Sequence[Solid], present: int
) -> Motion:
    """One moment: ``present`` of the people stand or walk in front of the camera, the others are far behind it."""
    xy = np.full((len(people), 2), -1e3, np.float32)
    yaw, half_view = np.radians(camera.yaw_deg), 0.55 * camera.width / camera.focal_px
    for row in range(min(present, len(people))):
        for _ in range(20):
            reach = float(rng.uniform(2.5, 26) if rng.random() < 0.7 else rng.uniform(2.5, 10))
            angle = yaw + np.arctan(rng.uniform(-half_view, half_view))
            spot = np.array(camera.position[:2]) + reach * np.array([np.cos(angle), np.sin(angle)])
            if np.linalg.norm(xy - spot, axis=1).min() > 0.5 and not _inside(solids, spot.astype(np.float32)):
                xy[row] = spot
                break
    count = len(people)
    speed = np.where(rng.random(count) < 0.3, 0, rng.uniform(0.6, 1.7, count)).astype(np.float32)
    heading, phase = rng.uniform(0, 2 * np.pi, (2, count)).astype(np.float32)
    return Motion(xy, heading, phase, speed, rng.normal(0, 0.3, count).astype(np.float32))


def _inside(solids: Sequence[Solid], spot: Float32) -> bool:
    return any(
        solid.blocks
        and cv2.pointPolygonTest(solid.footprint()[:, None], (float(spot[0]), float(spot[1])), True) > -0.25
        for solid in solids
    )


def reid_samples(
    seed: int, identities_per_place: int = 8, cameras: int = 2, crops_per_camera: int = 4
) -> Iterator[ReidSample]:
    """Endless crops of random people, each identity under ``cameras`` cameras with other lights, poses and distances.

    All crops of one place come together; raises ``ValueError`` for a seed below 10,000.
    """
    rng = training_rng(seed, 13)
    first = 0
    while True:
        people = draw_people(rng, identities_per_place, alike=0.3)
        for camera in range(cameras):
            yield from _crops_of_a_camera(rng, people, first, camera, crops_per_camera)
        first += identities_per_place


def _crops_of_a_camera(
    rng: np.random.Generator, people: list[Person], first: int, number: int, crops: int
) -> Iterator[ReidSample]:
    light, solids = random_light(rng), random_solids(rng)
    camera = random_camera(rng, 1280, 720)
    ground = _random_ground(rng, solids, light)
    backdrop = make_backdrop(camera, solids, light, ground, int(rng.integers(2**31)))
    renderer = FrameRenderer(camera, backdrop, people, light)
    missing = np.full(len(people), crops)
    for _ in range(3 * crops):
        motion = random_motion(rng, people, camera, solids, present=len(people))
        frame = renderer.draw(motion, ground.sunlight(motion.xy), rng)
        for row in np.flatnonzero((missing > 0) & (frame.visibility > 0.4)):
            crop = _crop(rng, frame.rgb, frame.boxes[row])
            if crop is not None:
                missing[row] -= 1
                yield ReidSample(first + int(row), number, crop)
        if not missing.any():
            return


def _crop(rng: np.random.Generator, rgb: UInt8, box: Float32) -> UInt8 | None:
    """The pixels of a box whose sides are off by a few per cent; None where it is too small to tell anything."""
    width, height = box[2] - box[0], box[3] - box[1]
    jitter = rng.normal(0, 0.04, 4) * (width, height, width, height)
    low = np.maximum(np.round(box[:2] + jitter[:2]), 0).astype(int)
    high = np.minimum(np.round(box[2:] + jitter[2:]), (rgb.shape[1], rgb.shape[0])).astype(int)
    if high[0] - low[0] < 10 or high[1] - low[1] < 24:
        return None
    return rgb[low[1] : high[1], low[0] : high[0]].copy()
