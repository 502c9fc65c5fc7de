"""How bodies stand and walk: body measures and a moment of the gait in, ring frames of the body's surface out.

A body is a stack of elliptical rings (see ``body.py``). Here every ring gets its centre and its axes for one moment.
Everything is computed for all people of a frame at once: P people, R rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from orchestrator.values import Float32, Int64

Axes = tuple[Float32, Float32, Float32, Float32]
"""Centre, side, front and tangent of rings, each [P, rings, 3]; side x front = tangent."""


class ArmPose(IntEnum):
    """What an arm does."""

    SWING = 0
    PHONE = 1
    CARRY = 2
    POCKET = 3


@dataclass(frozen=True)
class Build:
    """The measures of one body, metres and ratios."""

    height: float = 1.72
    girth: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    stride: float = 1.0
    """Length of a double step relative to an average one."""
    arm_swing: float = 1.0
    sway: float = 1.0
    lean: float = 0.04
    """Forward lean of the trunk, radians."""
    arms: tuple[ArmPose, ArmPose] = (ArmPose.SWING, ArmPose.SWING)
    """Right, left."""


@dataclass(frozen=True)
class Builds:
    """The measures of P bodies in columns, each [P] (arms: [P, 2])."""

    height: Float32
    girth: Float32
    shoulders: Float32
    hips: Float32
    arm_swing: Float32
    sway: Float32
    lean: Float32
    arms: Int64

    @classmethod
    def stack(cls, builds: Sequence[Build]) -> Builds:
        """Columns from single bodies."""

        def column(name: str) -> Float32:
            return np.array([getattr(build, name) for build in builds], np.float32)

        arms = np.array([build.arms for build in builds], np.int64).reshape(len(builds), 2)
        names = ("height", "girth", "shoulders", "hips", "arm_swing", "sway", "lean")
        return cls(**{name: column(name) for name in names}, arms=arms)

    def select(self, rows: Int64) -> Builds:
        """The bodies at these rows."""
        return Builds(
            self.height[rows], self.girth[rows], self.shoulders[rows], self.hips[rows],
            self.arm_swing[rows], self.sway[rows], self.lean[rows], self.arms[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Motion:
    """One moment of P people."""

    xy: Float32
    """[P, 2] ground position, metres."""
    heading: Float32
    """[P] direction of the body, radians from east, counter-clockwise."""
    phase: Float32
    """[P] of the gait cycle, radians."""
    speed: Float32
    """[P] metres a second."""
    gaze: Float32
    """[P] head turn relative to the body, radians."""

    def select(self, rows: Int64) -> Motion:
        """The people at these rows."""
        return Motion(self.xy[rows], self.heading[rows], self.phase[rows], self.speed[rows], self.gaze[rows])


@dataclass(frozen=True)
class Skeleton:
    """Joints of P people in body coordinates (x right, y front, z up, origin between the feet), each [P, 3].

    Pairs are [P, 2, 3]: right, left.
    """

    pelvis: Float32
    chest: Float32
    neck: Float32
    head: Float32
    pelvis_side: Float32
    chest_side: Float32
    head_side: Float32
    hips: Float32
    knees: Float32
    ankles: Float32
    toes: Float32
    shoulders: Float32
    elbows: Float32
    wrists: Float32


def pose(builds: Builds, motion: Motion) -> Skeleton:
    """Forward kinematics of a walk cycle (sinusoidal hips, knees that flex in the swing), feet set on the ground."""
    height = builds.height
    energy = np.clip(motion.speed / 1.3, 0.0, 1.3).astype(np.float32)
    hips, knees, ankles, toes = _legs(builds, motion.phase, energy)
    lift = -np.minimum(ankles[..., 2] - 0.042 * height[:, None], toes[..., 2] - 0.018 * height[:, None]).min(axis=1)
    for joint in (hips, knees, ankles, toes):
        joint[..., 2] += lift[:, None]
    rock = 0.02 * builds.sway * energy * np.sin(motion.phase)
    pelvis = _vector(rock, np.zeros_like(rock), lift)
    lean = builds.lean + 0.04 * energy
    spine = _vector(-0.5 * rock, np.sin(lean), np.cos(lean))
    chest = pelvis + spine * (0.275 * height)[:, None]
    neck = pelvis + spine * (0.318 * height)[:, None]
    head = neck + _vector(0 * rock, 0.012 * height, 0.082 * height)
    twist = 0.13 * energy * np.sin(motion.phase)
    chest_side = _turned(twist)
    shoulders, elbows, wrists = _arms(builds, motion.phase, energy, chest, chest_side)
    return Skeleton(
        pelvis, chest, neck, head, _turned(-0.6 * twist), chest_side, _turned(motion.gaze),
        hips, knees, ankles, toes, shoulders, elbows, wrists,
    )  # fmt: skip


def _legs(builds: Builds, phase: Float32, energy: Float32) -> tuple[Float32, Float32, Float32, Float32]:
    height = builds.height[:, None]
    cycle = phase[:, None] + np.array([0.0, np.pi], np.float32)
    power = energy[:, None]
    hip = 0.06 * power + 0.43 * power * np.sin(cycle)
    swing = np.maximum(0.0, np.cos(cycle + 0.35)) ** 1.5
    knee = 0.05 + power * (0.08 + 0.95 * swing)
    side = np.array([1.0, -1.0], np.float32)
    spread = 0.048 * height * builds.hips[:, None] * side
    hips = _vector(spread, 0 * spread, 0 * spread)
    knees = hips + _sagittal(hip, 0.05 * side * (1 - 0.6 * power)) * (0.245 * height)[..., None]
    ankles = knees + _sagittal(hip - knee, 0 * spread) * (0.243 * height)[..., None]
    pitch = np.minimum(0.15, 0.75 * (hip - knee) + 0.22 * power)
    toe = _vector(0.12 * side * np.cos(pitch), np.cos(pitch), np.sin(pitch)) * (0.105 * height)[..., None]
    toes = ankles + toe + _vector(0 * spread, 0 * spread, -0.024 * height * np.ones_like(spread))
    return hips, knees, ankles, toes


def _arms(
    builds: Builds, phase: Float32, energy: Float32, chest: Float32, chest_side: Float32
) -> tuple[Float32, Float32, Float32]:
    height = builds.height[:, None]
    side = np.array([1.0, -1.0], np.float32)
    cycle = phase[:, None] + np.array([np.pi, 0.0], np.float32)
    swing = 0.5 * (energy * builds.arm_swing)[:, None] * np.sin(cycle)
    mode = builds.arms
    upper = np.choose(mode, [swing, 0 * swing + 0.45, 0.35 * swing, 0 * swing - 0.25])
    bend = 0.18 + 0.25 * energy[:, None] + 0.25 * np.maximum(0, swing)
    elbow = np.choose(mode, [bend, 0 * swing + 1.75, 0 * swing + 0.1, 0 * swing + 0.75])
    out = np.choose(mode, [0 * swing + 0.1, 0 * swing + 0.12, 0 * swing + 0.14, 0 * swing + 0.32]) * side
    inward = np.choose(mode, [0 * swing, 0 * swing - 0.45, 0 * swing, 0 * swing - 0.35]) * side
    offset = (0.103 * height * builds.shoulders[:, None] * side)[..., None]
    shoulders = chest[:, None] + chest_side[:, None] * offset
    elbows = shoulders + _sagittal(upper, out) * (0.172 * height)[..., None]
    wrists = elbows + _sagittal(upper + elbow, out + inward) * (0.15 * height)[..., None]
    return shoulders, elbows, wrists


def _vector(x: Float32, y: Float32, z: Float32) -> Float32:
    return np.stack([x, y, z], axis=-1).astype(np.float32)


def _sagittal(angle: Float32, outward: Float32) -> Float32:
    """Unit vectors that hang down, swung forward by ``angle`` and aside by ``outward``, radians."""
    return _vector(np.sin(outward), np.sin(angle) * np.cos(outward), -np.cos(angle) * np.cos(outward))


def _turned(angle: Float32) -> Float32:
    """[P, 3] the body's right, turned in plan."""
    return _vector(np.cos(angle), np.sin(angle), 0 * angle)
