"""Who walks the site: people drawn at random from builds, outfits and wardrobes."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from demo.site.body import Outfit
from demo.site.clothes import PATTERNS, Rgb, Wardrobe
from demo.site.gait import ArmPose, Build
from demo.site.spread import far_apart

_SKIN: tuple[Rgb, ...] = (
    (238, 203, 180),
    (224, 180, 150),
    (205, 155, 120),
    (172, 120, 85),
    (130, 86, 60),
    (92, 60, 44),
)
_HAIR: tuple[Rgb, ...] = ((30, 26, 24), (52, 38, 30), (84, 58, 38), (134, 96, 58), (190, 155, 100), (150, 148, 146))
_SUBDUED: tuple[Rgb, ...] = (
    (34, 36, 42), (48, 54, 74), (60, 72, 104), (86, 84, 82), (120, 112, 100), (164, 150, 124), (70, 62, 52),
    (52, 66, 54), (200, 196, 188), (96, 54, 48),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Everything about one person that does not change while they walk."""

    build: Build
    outfit: Outfit
    wardrobe: Wardrobe
    pace: float
    """Preferred walking speed, metres a second."""


def draw_people(rng: np.random.Generator, count: int, alike: float = 0.2) -> list[Person]:
    """``count`` different people; a share of ``alike`` copies the wardrobe of somebody else with small changes."""
    people: list[Person] = []
    for _ in range(count):
        if people and rng.random() < alike:
            people.append(_lookalike(rng, people[int(rng.integers(len(people)))]))
        else:
            people.append(draw_person(rng))
    return people


def draw_distinct_people(rng: np.random.Generator, count: int) -> list[Person]:
    """``count`` people whose clothes differ as much as those of many more people allow."""
    candidates = [draw_person(rng) for _ in range(8 * count)]
    clothes = np.array([(*each.wardrobe.top, *each.wardrobe.bottom) for each in candidates], np.float32)
    return [candidates[row] for row in far_apart(clothes, count, rng)]


def draw_person(rng: np.random.Generator) -> Person:
    """One person at random."""
    outfit, wardrobe = _dressed(rng)
    return Person(_build(rng, outfit), outfit, wardrobe, pace=float(rng.uniform(1.0, 1.6)))


def _lookalike(rng: np.random.Generator, model: Person) -> Person:
    """Somebody else in almost the same clothes: another build, other shoes and one more thing changed."""
    wardrobe = replace(model.wardrobe, shoes=_cloth(rng, 0.3), skin=_varied(rng, _SKIN, 8))
    change = rng.integers(3)
    if change == 0:
        wardrobe = replace(wardrobe, bottom=_cloth(rng, 0.2))
    elif change == 1:
        wardrobe = replace(wardrobe, hair=_varied(rng, _HAIR, 10), hat=None)
    else:
        wardrobe = replace(wardrobe, top_accent=_cloth(rng, 0.7))
    return Person(_build(rng, model.outfit), model.outfit, wardrobe, pace=float(rng.uniform(1.0, 1.6)))


def _build(rng: np.random.Generator, outfit: Outfit) -> Build:
    arms = [ArmPose.SWING, ArmPose.SWING]
    if outfit.bag == "handbag":
        arms[0] = ArmPose.CARRY
    elif rng.random() < 0.2:
        arms[0] = ArmPose.PHONE
    if rng.random() < 0.15:
        arms[1] = ArmPose.POCKET
    return Build(
        height=float(np.clip(rng.normal(1.71, 0.09), 1.5, 1.95)),
        girth=float(np.clip(rng.normal(1.0, 0.13), 0.82, 1.4)),
        shoulders=float(rng.uniform(0.92, 1.12)),
        hips=float(rng.uniform(0.92, 1.12)),
        stride=float(rng.uniform(0.92, 1.1)),
        arm_swing=float(rng.uniform(0.5, 1.4)),
        sway=float(rng.uniform(0.3, 2.0)),
        lean=float(rng.uniform(0.0, 0.12)),
        arms=(arms[0], arms[1]),
    )


def _dressed(rng: np.random.Generator) -> tuple[Outfit, Wardrobe]:
    style = rng.choice(["trousers", "trousers", "trousers", "shorts", "skirt", "dress", "coat"])
    skirt = {"skirt": rng.uniform(0.3, 0.85), "dress": rng.uniform(0.4, 0.8), "coat": rng.uniform(0.15, 0.6)}
    outfit = Outfit(
        loose=float(rng.uniform(0.95, 1.6)),
        skirt=float(skirt.get(style, 0.0)),
        flare=float(rng.uniform(1.1, 1.3) if style == "coat" else rng.uniform(1.15, 1.9)),
        hair=float(rng.choice([0.0, 0.1, 0.2, 0.3, 0.6, 1.0])),
        bag=str(rng.choice(["none", "none", "backpack", "shoulder", "handbag"])),
    )
    top, bottom = _cloth(rng, 0.6), _cloth(rng, 0.25)
    bare_legs = style in ("shorts", "skirt", "dress") and rng.random() < 0.7
    wardrobe = Wardrobe(
        skin=_varied(rng, _SKIN, 8), hair=_varied(rng, _HAIR, 10), top=top, top_accent=_accent(rng, top),
        bottom=top if style == "dress" else bottom, shoes=_cloth(rng, 0.3), bag=_cloth(rng, 0.5),
        pattern=str(rng.choice(PATTERNS)),
        sleeves=1.0 if style == "coat" else float(rng.choice([1.0, 1.0, 0.35, 0.3, 0.6])),
        trousers=float(rng.uniform(0.4, 0.55)) if style == "shorts" else (0.1 if bare_legs else 1.0),
        coat=style == "coat", hat=_cloth(rng, 0.5) if rng.random() < 0.15 else None,
    )  # fmt: skip
    return outfit, wardrobe


def _varied(rng: np.random.Generator, palette: tuple[Rgb, ...], spread: float) -> Rgb:
    base = np.array(palette[int(rng.integers(len(palette)))]) + rng.normal(0, spread, 3)
    red, green, blue = np.clip(base, 12, 245)
    return float(red), float(green), float(blue)


def _cloth(rng: np.random.Generator, vivid: float) -> Rgb:
    """A colour of cloth, strong with probability ``vivid``, subdued otherwise."""
    if rng.random() > vivid:
        return _varied(rng, _SUBDUED, 9)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.35, 0.95))
    return 20 + 215 * red, 20 + 215 * green, 20 + 215 * blue


def _accent(rng: np.random.Generator, base: Rgb) -> Rgb:
    """A second colour that can be told from the first."""
    for _ in range(8):
        colour = _cloth(rng, 0.5)
        if np.abs(np.subtract(colour, base)).sum() > 140:
            return colour
    return (235, 235, 230) if sum(base) < 380 else (28, 30, 36)
