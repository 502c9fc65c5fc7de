"""What people wear: colours and patterns of each part of the body, as one colour per vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.site.body import Topology
from orchestrator.values import Bool, Float32

Rgb = tuple[float, float, float]

PATTERNS = ("plain", "plain", "plain", "stripes", "bars", "plaid", "logo", "halves", "dots", "vest")
"""Patterns of tops; plain ones are the most common."""


@dataclass(frozen=True)
class Wardrobe:
    """The colours of one person, 0..255 before light and camera."""

    skin: Rgb
    hair: Rgb
    top: Rgb
    top_accent: Rgb
    bottom: Rgb
    shoes: Rgb
    bag: Rgb
    pattern: str = "plain"
    sleeves: float = 1.0
    """Covered share of the arm: 1 long, 0.35 short, 0 none."""
    trousers: float = 1.0
    """Covered share of the leg."""
    coat: bool = False
    """The skirt part is the tail of the top, not a skirt."""
    hat: Rgb | None = None


def vertex_colours(wardrobe: Wardrobe, mesh: Topology) -> Float32:
    """[V, 3] albedo of one person."""
    colours = np.zeros((len(mesh.ring), 3), np.float32)
    for name, (_, rows) in mesh.parts.items():
        kind, _, hand = name.partition("_")
        along, angle = mesh.along[rows], mesh.angle[rows]
        colours[rows] = _PAINTERS[kind](wardrobe, along, angle) * _occlusion(kind, hand, along, angle)
    return colours


def _solid(colour: Rgb, like: Float32) -> Float32:
    return np.broadcast_to(np.asarray(colour, np.float32), (len(like), 3)).copy()


def _mixed(mask: Bool, one: Rgb, other: Rgb) -> Float32:
    return np.where(mask[:, None], np.asarray(one, np.float32), np.asarray(other, np.float32))


def _occlusion(kind: str, hand: str, along: Float32, angle: Float32) -> Float32:
    """[V, 1] how much of the sky's light reaches: less between the legs, under the arms and in the collar."""
    light = np.ones_like(along)
    inner = np.cos(angle) * (-1 if hand == "r" else 1)
    if kind == "leg":
        light -= 0.3 * np.clip(inner, 0, 1) * np.clip(1.2 - along, 0, 1)
    if kind == "arm":
        light -= 0.25 * np.clip(inner, 0, 1)
    if kind == "torso":
        light -= 0.22 * np.abs(np.cos(angle)) * np.clip(1 - np.abs(along - 0.55) / 0.35, 0, 1)
    if kind == "neck":
        light -= 0.3
    return light[:, None]


def _torso(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    colours = _patterned(wardrobe, along * 0.62, angle)
    belt = along < 0.3
    colours[belt] = wardrobe.top if wardrobe.coat else wardrobe.bottom
    colours[(along > 0.28) & (along < 0.32)] *= 0.75
    collar = along > 0.955
    colours[collar] = wardrobe.skin if wardrobe.pattern != "vest" else wardrobe.top
    return colours


def _patterned(wardrobe: Wardrobe, metres: Float32, angle: Float32) -> Float32:
    """The top's cloth at a height above the crotch and an angle around the body."""
    pattern, top, accent = wardrobe.pattern, wardrobe.top, wardrobe.top_accent
    across = angle * 0.16
    rows, columns = np.mod(metres, 0.1) < 0.05, np.mod(across, 0.1) < 0.05
    front = np.abs(np.mod(angle, 2 * np.pi) - np.pi / 2)
    if pattern == "stripes":
        return _mixed(rows, accent, top)
    if pattern == "bars":
        return _mixed(columns, accent, top)
    if pattern == "plaid":
        return 0.5 * (_mixed(rows, accent, top) + _mixed(columns, accent, top))
    if pattern == "logo":
        return _mixed((front < 0.55) & (np.abs(metres - 0.44) < 0.05), accent, top)
    if pattern == "halves":
        return _mixed(metres > 0.42, accent, top)
    if pattern == "dots":
        return _mixed(rows & columns, accent, top)
    if pattern == "vest":
        return _mixed(front < 0.4, accent, top)
    return _solid(top, metres)


def _arm(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    cloth = _patterned(wardrobe, 0.55 - along * 0.5, angle)
    if wardrobe.pattern in ("logo", "vest", "halves", "bars"):
        cloth = _solid(wardrobe.top if wardrobe.pattern != "halves" else wardrobe.top_accent, along)
    return np.where((along < wardrobe.sleeves)[:, None], cloth, _solid(wardrobe.skin, along))


def _leg(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    cloth = _solid(wardrobe.bottom, along)
    cloth *= (1 - 0.12 * (np.abs(np.mod(angle, np.pi)) < 0.35))[:, None]
    return np.where((along < wardrobe.trousers)[:, None], cloth, _solid(wardrobe.skin, along))


def _head(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    colours = _solid(wardrobe.skin, along)
    front = np.abs(np.mod(angle, 2 * np.pi) - np.pi / 2)
    eyes = (np.abs(along - 0.54) < 0.045) & (np.abs(front - 0.39) < 0.2)
    mouth = (np.abs(along - 0.3) < 0.04) & (front < 0.3)
    scalp = (along > 0.74 - 0.1 * (front > 1.2)) | ((front > 1.5) & (along > 0.35))
    colours[eyes] *= 0.6
    colours[mouth] *= (0.8, 0.6, 0.6)
    colours[scalp] = wardrobe.hat or wardrobe.hair
    return colours


def _hair(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    colours = _solid(wardrobe.hat or wardrobe.hair, along)
    if wardrobe.hat:
        colours[along < 0.5] = wardrobe.hair
    colours *= (0.9 + 0.14 * np.sin(7 * angle))[:, None]
    return colours


def _foot(wardrobe: Wardrobe, _along: Float32, angle: Float32) -> Float32:
    return _mixed(np.sin(angle) > 0.55, (60, 58, 56), wardrobe.shoes)


def _hand(wardrobe: Wardrobe, along: Float32, _angle: Float32) -> Float32:
    return _solid(wardrobe.skin, along)


def _neck(wardrobe: Wardrobe, along: Float32, _angle: Float32) -> Float32:
    return _solid(wardrobe.skin, along)


def _skirt(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    if wardrobe.coat:
        colours = _solid(wardrobe.top, along)
        colours[np.abs(np.mod(angle, 2 * np.pi) - 1.5 * np.pi) < 0.16] *= 0.6
        return colours
    colours = _solid(wardrobe.bottom, along)
    colours *= (0.88 + 0.12 * np.cos(9 * angle))[:, None]
    return colours


def _bag(wardrobe: Wardrobe, along: Float32, angle: Float32) -> Float32:
    colours = _solid(wardrobe.bag, along)
    colours[np.abs(along - 0.62) < 0.06] *= 0.7
    colours *= (0.9 + 0.1 * np.cos(2 * angle))[:, None]
    return colours


_PAINTERS = {
    "torso": _torso, "neck": _neck, "head": _head, "hair": _hair, "leg": _leg, "foot": _foot, "arm": _arm,
    "hand": _hand, "skirt": _skirt, "bag": _bag,
}  # fmt: skip
