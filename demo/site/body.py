"""The surface of a body: parts made of elliptical rings, as one mesh whose vertices follow the skeleton.

Each vertex belongs to one ring and has fixed offsets along the ring's axes, so that a body is shaped once and a frame
only moves rings: V vertices, F triangles, R rings, the same topology for everybody at one level of detail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from demo.site.gait import Builds
from orchestrator.values import Float32, Int64


@dataclass(frozen=True)
class Part:
    """One tube of the body: how many rings of how many vertices."""

    name: str
    rings: int
    segments: int


PARTS = (
    Part("torso", 26, 20), Part("neck", 3, 10), Part("head", 13, 16), Part("hair", 9, 14),
    Part("leg_r", 18, 12), Part("leg_l", 18, 12), Part("foot_r", 8, 8), Part("foot_l", 8, 8),
    Part("arm_r", 16, 10), Part("arm_l", 16, 10), Part("hand_r", 5, 6), Part("hand_l", 5, 6),
    Part("skirt", 12, 20), Part("bag", 8, 10),
)  # fmt: skip


_LIFTS = {"hair": 0.012, "skirt": 0.03, "neck": -0.02, "bag": 0.01}


@dataclass(frozen=True)
class Topology:
    """What all bodies share at one level of detail."""

    parts: dict[str, tuple[slice, slice]]
    """By part: its rows among rings, and among vertices."""
    faces: Int64
    """[F, 3] vertices, counter-clockwise from outside."""
    ring: Int64
    """[V] ring of each vertex."""
    along: Float32
    """[V] 0..1 along the part, from its first ring to its last."""
    angle: Float32
    """[V] radians around the ring, from the side axis towards the front axis."""
    rings: int
    lift: Float32
    """[F] metres by which a triangle counts as nearer when surfaces that nearly touch are sorted."""


@lru_cache(maxsize=4)
def topology(detail: float) -> Topology:
    """The mesh at a level of detail; 1 is full, less has fewer rings and segments."""
    parts: dict[str, tuple[slice, slice]] = {}
    faces, rings, along, angle, lift = [], [], [], [], []
    first_ring = first_vertex = 0
    for part in PARTS:
        count, segments = max(3, round(part.rings * detail)), max(5, round(part.segments * detail))
        parts[part.name] = (
            slice(first_ring, first_ring + count),
            slice(first_vertex, first_vertex + count * segments),
        )
        faces.append(first_vertex + _tube_faces(count, segments))
        lift.append(np.full(len(faces[-1]), _LIFTS.get(part.name, 0.0)))
        rings.append(first_ring + np.repeat(np.arange(count), segments))
        along.append(np.repeat(np.linspace(0, 1, count), segments))
        angle.append(np.tile(np.arange(segments) * (2 * np.pi / segments), count))
        first_ring, first_vertex = first_ring + count, first_vertex + count * segments
    return Topology(
        parts,
        np.concatenate(faces).astype(np.int64),
        np.concatenate(rings).astype(np.int64),
        np.concatenate(along).astype(np.float32),
        np.concatenate(angle).astype(np.float32),
        first_ring,
        np.concatenate(lift).astype(np.float32),
    )


def _tube_faces(rings: int, segments: int) -> Int64:
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(segments), indexing="ij")
    here, beside = row * segments + column, row * segments + (column + 1) % segments
    above, across = here + segments, beside + segments
    lower = np.stack([here, beside, across], axis=-1)
    upper = np.stack([here, across, above], axis=-1)
    faces: Int64 = np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3)])
    return faces


@dataclass(frozen=True)
class Outfit:
    """What changes the outline of one body; lengths in metres where not said otherwise."""

    loose: float = 1.0
    """Width of the trousers and sleeves relative to the limb."""
    skirt: float = 0.0
    """Length of a skirt or coat tail below the waist relative to the leg; 0 for none."""
    flare: float = 1.3
    hair: float = 0.3
    """0 bald, up to 1 for hair over the shoulders."""
    bag: str = "none"
    """``none``, ``backpack``, ``shoulder`` or ``handbag``."""


@dataclass(frozen=True)
class Shape:
    """Fixed offsets of P bodies' vertices along their rings' axes, and their normals; each [P, V]."""

    side: Float32
    front: Float32
    normal_side: Float32
    normal_front: Float32
    normal_tangent: Float32

    def select(self, rows: Int64) -> Shape:
        """The bodies at these rows."""
        return Shape(
            self.side[rows], self.front[rows],
            self.normal_side[rows], self.normal_front[rows], self.normal_tangent[rows],
        )  # fmt: skip


BAGS = {"none": (0.0, 0.0, 0.0), "backpack": (0.155, 0.095, 0.24), "shoulder": (0.055, 0.15, 0.13),
         "handbag": (0.055, 0.14, 0.12)}  # fmt: skip
"""Half extents: side, front, up, metres."""


def _profile(count: int, *knots: tuple[float, float]) -> Float32:
    places, values = zip(*knots, strict=True)
    return np.asarray(np.interp(np.linspace(0, 1, count), places, values), np.float32)


def _dome(count: int) -> Float32:
    """Radii of a ball's rings whose centres stand at ``dome_places``."""
    return np.sin(np.linspace(0, np.pi, count)).astype(np.float32)


def dome_places(count: int) -> Float32:
    """[count] -1..1: where the rings of a ball stand along its axis."""
    return (-np.cos(np.linspace(0, np.pi, count))).astype(np.float32)


@dataclass(frozen=True)
class _Figure:
    """One body to be shaped: its measures in metres (height; thick: height with girth) and ratios."""

    height: float
    thick: float
    girth: float
    shoulders: float
    hips: float
    outfit: Outfit


Radii = tuple[Float32, Float32]
"""Half axes along side and front of a part's rings, metres, each [rings]."""


def _torso(figure: _Figure, count: int) -> Radii:
    wide, hips = figure.shoulders, figure.hips
    side = _profile(
        count, (0, 0.01), (0.04, 0.07), (0.16, 0.098 * hips), (0.42, 0.084), (0.7, 0.1 * wide),
        (0.84, 0.116 * wide), (0.89, 0.108 * wide), (0.93, 0.082), (0.97, 0.045), (1, 0.026),
    )  # fmt: skip
    front = _profile(
        count, (0, 0.01), (0.04, 0.05), (0.16, 0.07 * hips), (0.42, 0.058 * figure.girth), (0.7, 0.067),
        (0.84, 0.056), (0.92, 0.046), (1, 0.026),
    )  # fmt: skip
    return side * figure.thick, front * figure.thick


def _neck(figure: _Figure, count: int) -> Radii:
    side = _profile(count, (0, 0.036), (1, 0.031)) * figure.height
    return side, side * 1.04


def _head(figure: _Figure, count: int) -> Radii:
    return _dome(count) * 0.046 * figure.height, _dome(count) * 0.057 * figure.height


def _hair(figure: _Figure, count: int) -> Radii:
    size = figure.height if figure.outfit.hair > 0 else 0.0
    return _dome(count) * 0.051 * size, _dome(count) * 0.056 * size


def _leg(figure: _Figure, count: int) -> Radii:
    limb = _profile(
        count, (0, 0.01), (0.03, 0.05), (0.15, 0.052), (0.47, 0.036), (0.62, 0.034), (0.95, 0.024), (1, 0.01)
    )
    side = limb * _profile(count, (0, 1), (0.3, 1), (1, figure.outfit.loose * 1.1)) * figure.thick
    return side, side * 1.08


def _arm(figure: _Figure, count: int) -> Radii:
    limb = _profile(
        count, (0, 0.008), (0.05, 0.024), (0.15, 0.031), (0.48, 0.026), (0.6, 0.025), (0.96, 0.018), (1, 0.006)
    )
    side = limb * figure.thick * (0.5 + 0.5 * figure.outfit.loose)
    return side, side


def _foot(figure: _Figure, count: int) -> Radii:
    side = _profile(count, (0, 0.004), (0.08, 0.022), (0.3, 0.024), (0.7, 0.027), (0.93, 0.018), (1, 0.002))
    front = _profile(count, (0, 0.006), (0.1, 0.03), (0.35, 0.03), (0.7, 0.018), (1, 0.003))
    return side * figure.height, front * figure.height


def _hand(figure: _Figure, count: int) -> Radii:
    return _dome(count) * 0.014 * figure.height, _dome(count) * 0.024 * figure.height


def _skirt(figure: _Figure, count: int) -> Radii:
    size = figure.thick if figure.outfit.skirt > 0 else 0.0
    widen = _profile(count, (0, 0.85), (0.2, 1.03), (1, figure.outfit.flare)) * size
    return widen * 0.1 * figure.hips, widen * 0.078


def _bag(figure: _Figure, count: int) -> Radii:
    side, front, _ = BAGS[figure.outfit.bag]
    box = _profile(count, (0, 0.0), (0.02, 0.8), (0.12, 1.0), (0.85, 0.95), (0.97, 0.7), (1, 0.0))
    return box * side, box * front


_RADII: dict[str, Callable[[_Figure, int], Radii]] = {
    "torso": _torso, "neck": _neck, "head": _head, "hair": _hair, "leg": _leg, "arm": _arm, "foot": _foot,
    "hand": _hand, "skirt": _skirt, "bag": _bag,
}  # fmt: skip


def _figure(builds: Builds, row: int, outfit: Outfit) -> _Figure:
    height, girth = float(builds.height[row]), float(builds.girth[row])
    return _Figure(height, height * girth, girth, float(builds.shoulders[row]), float(builds.hips[row]), outfit)


def shape(builds: Builds, outfits: list[Outfit], mesh: Topology) -> Shape:
    """Offsets and normals of every vertex of P bodies."""
    people, vertices = len(outfits), len(mesh.ring)
    side, front = np.zeros((people, vertices), np.float32), np.zeros((people, vertices), np.float32)
    taper = np.zeros((people, vertices), np.float32)
    figures = [_figure(builds, row, outfit) for row, outfit in enumerate(outfits)]
    for name, (rings, rows) in mesh.parts.items():
        kind, count = name.split("_")[0], rings.stop - rings.start
        cosine, sine = np.cos(mesh.angle[rows]), np.sin(mesh.angle[rows])
        local = mesh.ring[rows] - rings.start
        for person, figure in enumerate(figures):
            along_side, along_front = _RADII[kind](figure, count)
            side[person, rows] = cosine * along_side[local]
            front[person, rows] = sine * along_front[local]
            taper[person, rows] = _slope(kind, along_side + along_front, figure.height)[local]
    normal_side, normal_front = _ring_normals(side, front, mesh)
    length = np.sqrt(1 + taper * taper)
    return Shape(side, front, normal_side / length, normal_front / length, taper / length)


_LENGTHS = {"torso": 0.36, "neck": 0.04, "head": 0.13, "hair": 0.13, "leg": 0.49, "arm": 0.32, "foot": 0.15,
            "hand": 0.06, "skirt": 0.3, "bag": 0.2}  # fmt: skip
"""Length of each kind of part relative to the body height."""


def _slope(kind: str, radii_sum: Float32, height: float) -> Float32:
    """[rings] how fast the radius shrinks along the part, which tilts its normals forwards."""
    if kind in ("head", "hair", "hand"):
        return np.tan(np.clip(np.linspace(-np.pi / 2, np.pi / 2, len(radii_sum)), -1.4, 1.4)).astype(np.float32)
    step = _LENGTHS[kind] * height / (len(radii_sum) - 1)
    return np.clip(-np.gradient(radii_sum / 2) / step, -4, 4).astype(np.float32)


def _ring_normals(side: Float32, front: Float32, mesh: Topology) -> tuple[Float32, Float32]:
    """Outward normals of ellipses within their rings: the gradient of the implicit form."""
    cosine, sine = np.cos(mesh.angle), np.sin(mesh.angle)
    half_side = np.abs(side) / np.maximum(np.abs(cosine), 0.05) + 1e-6
    half_front = np.abs(front) / np.maximum(np.abs(sine), 0.05) + 1e-6
    normal_side, normal_front = cosine * half_front, sine * half_side
    length = np.sqrt(normal_side**2 + normal_front**2) + 1e-9
    return (normal_side / length).astype(np.float32), (normal_front / length).astype(np.float32)
