"""Bodies in motion: where every ring of every body is at one moment.

A part hangs on the joints of the skeleton; its rings get a centre and three axes each, first in body coordinates, then
in the world. All people of a frame at once: P people, R rings.
"""

from __future__ import annotations

import numpy as np

from demo.site.body import BAGS, Outfit, Topology, dome_places
from demo.site.gait import Axes, Builds, Motion, Skeleton, pose
from orchestrator.values import Float32

_UP = np.array([0.0, 0.0, 1.0], np.float32)


def ring_axes(builds: Builds, outfits: list[Outfit], motion: Motion, mesh: Topology) -> Axes:
    """World frames of all rings of P people at one moment, each [P, R, 3]."""
    joints = pose(builds, motion)
    pieces = [
        _part_axes(name, rings.stop - rings.start, joints, builds, outfits) for name, (rings, _) in mesh.parts.items()
    ]
    centre, side, front, tangent = (np.concatenate(column, axis=1) for column in zip(*pieces, strict=True))
    cosine, sine = np.cos(motion.heading), np.sin(motion.heading)
    zero, one = np.zeros_like(cosine), np.ones_like(cosine)
    turn = np.stack([sine, cosine, zero, -cosine, sine, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
    place = np.concatenate([motion.xy, np.zeros_like(motion.xy[:, :1])], axis=1).astype(np.float32)
    world = [np.einsum("pij,prj->pri", turn, axis).astype(np.float32) for axis in (centre, side, front, tangent)]
    return world[0] + place[:, None], world[1], world[2], world[3]


def _part_axes(name: str, count: int, joints: Skeleton, builds: Builds, outfits: list[Outfit]) -> Axes:
    height = builds.height[:, None]
    kind, _, hand = name.partition("_")
    pair = 0 if hand == "r" else 1
    if kind == "torso":
        low = joints.pelvis - _UP * 0.045 * height
        return _straight(low, joints.neck, joints.pelvis_side, joints.chest_side, _steps(count))
    if kind == "neck":
        top = joints.head - _UP * 0.03 * height
        return _straight(joints.neck - _UP * 0.02 * height, top, joints.chest_side, joints.head_side, _steps(count))
    if kind == "head":
        return _ball(joints.head, joints.head_side, 0.069 * height, count)
    if kind == "hair":
        return _hair(joints, builds, outfits, count)
    if kind == "leg":
        return _limb(joints.hips[:, pair], joints.knees[:, pair], joints.ankles[:, pair], joints.pelvis_side, count)
    if kind == "arm":
        return _limb(
            joints.shoulders[:, pair], joints.elbows[:, pair], joints.wrists[:, pair], joints.chest_side, count
        )
    if kind == "foot":
        heel = joints.ankles[:, pair] - 0.35 * (joints.toes[:, pair] - joints.ankles[:, pair]) - _UP * 0.012 * height
        toe = joints.toes[:, pair]
        return _straight(heel, toe, joints.pelvis_side, joints.pelvis_side, _steps(count))
    if kind == "hand":
        wrist = joints.wrists[:, pair]
        along = _unit(wrist - joints.elbows[:, pair])
        centre = wrist + along * 0.035 * height
        return _line(centre, along, joints.chest_side, dome_places(count) * 0.05 * height)
    if kind == "skirt":
        return _skirt(joints, builds, outfits, count)
    return _bag(joints, builds, outfits, count)


def _hair(joints: Skeleton, builds: Builds, outfits: list[Outfit], count: int) -> Axes:
    height = builds.height[:, None]
    long = np.array([[outfit.hair] for outfit in outfits], np.float32)
    back = _cross(joints.head_side, _UP)
    centre = joints.head + back * (0.011 + 0.008 * long) * height + _UP * (0.014 - 0.05 * long) * height
    radius = ((0.062 + 0.055 * long) * height).astype(np.float32)
    return _ball(centre.astype(np.float32), joints.head_side, radius, count)


def _skirt(joints: Skeleton, builds: Builds, outfits: list[Outfit], count: int) -> Axes:
    height = builds.height[:, None]
    length = np.array([[outfit.skirt] for outfit in outfits], np.float32) * 0.49 * height
    low = joints.pelvis + 0.25 * (joints.knees.mean(axis=1) - joints.hips.mean(axis=1))
    low[:, 2] = joints.pelvis[:, 2] - length[:, 0]
    high = joints.pelvis + _UP * 0.1 * height
    centre, side, front, tangent = _straight(high, low, joints.pelvis_side, joints.pelvis_side, _steps(count))
    apart = np.abs(joints.knees[:, 0, 1] - joints.knees[:, 1, 1]) * length[:, 0] / (0.245 * height[:, 0])
    widen = 1 + (apart / (0.24 * height[:, 0]))[:, None] * _steps(count)
    return centre, side, front * widen[..., None], tangent


def _bag(joints: Skeleton, builds: Builds, outfits: list[Outfit], count: int) -> Axes:
    centre = joints.chest.copy()
    half = np.array([[BAGS[outfit.bag][2]] for outfit in outfits], np.float32)
    for person, outfit in enumerate(outfits):
        tall = float(builds.height[person])
        if outfit.bag == "backpack":
            back = _cross(joints.chest_side[person], _UP)
            centre[person] += back * 0.085 * tall * float(builds.girth[person]) - _UP * 0.085 * tall
        elif outfit.bag == "shoulder":
            centre[person] = joints.pelvis[person] + joints.pelvis_side[person] * 0.125 * tall * float(
                builds.girth[person]
            )
        else:
            centre[person] = joints.wrists[person, 0] - _UP * 0.17
    return _line(centre, np.broadcast_to(_UP, centre.shape), joints.chest_side, (2 * _steps(count) - 1) * half)


def _unit(vectors: Float32) -> Float32:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float32 = (vectors / (length + 1e-9)).astype(np.float32, copy=False)
    return unit


def _steps(count: int) -> Float32:
    return np.linspace(0, 1, count, dtype=np.float32)


def _framed(centre: Float32, tangent: Float32, side: Float32) -> Axes:
    """Right-handed frames from centres, tangents and rough sides, each [P, rings, 3]."""
    front = _unit(_cross(tangent, side))
    return centre, _cross(front, tangent), front, tangent


def _cross(one: Float32, other: Float32) -> Float32:
    """The cross product along the last axis, several times as fast as numpy's for small arrays."""
    x, y, z = one[..., 0], one[..., 1], one[..., 2]
    u, v, w = other[..., 0], other[..., 1], other[..., 2]
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def _straight(start: Float32, end: Float32, side: Float32, end_side: Float32, places: Float32) -> Axes:
    """Rings between two points, their side axis turning from one direction to another."""
    share = places[None, :, None]
    centre = start[:, None] + (end - start)[:, None] * share
    tangent = np.broadcast_to(_unit(end - start)[:, None], centre.shape)
    return _framed(centre, tangent, side[:, None] * (1 - share) + end_side[:, None] * share)


def _line(centre: Float32, along: Float32, side: Float32, places: Float32) -> Axes:
    """Rings at distances [P, rings] from a centre along one direction."""
    centres = centre[:, None] + along[:, None] * places[..., None]
    return _framed(
        centres, np.broadcast_to(along[:, None], centres.shape), np.broadcast_to(side[:, None], centres.shape)
    )


def _ball(centre: Float32, side: Float32, radius: Float32, count: int) -> Axes:
    return _line(centre, np.broadcast_to(_UP, centre.shape), side, dome_places(count) * radius)


def _limb(first: Float32, middle: Float32, last: Float32, side: Float32, count: int) -> Axes:
    """Rings along two bones whose direction turns smoothly at the joint between them."""
    share = np.linspace(0, 2, count, dtype=np.float32)[None, :, None]
    upper, lower = (middle - first)[:, None], (last - middle)[:, None]
    centre = first[:, None] + upper * np.minimum(share, 1) + lower * np.maximum(share - 1, 0)
    blend = np.clip((share - 0.75) / 0.5, 0, 1)
    tangent = _unit(_unit(upper) * (1 - blend) + _unit(lower) * blend)
    return _framed(centre, tangent, np.broadcast_to(side[:, None], centre.shape))
