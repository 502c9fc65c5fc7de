"""One colour and one short name a person, the same in every picture."""

from __future__ import annotations

import colorsys

from demo.recording import NOBODY

Rgb = tuple[int, int, int]

NOBODY_COLOUR: Rgb = (205, 205, 205)
DISTINCT: tuple[Rgb, ...] = (
    (230, 75, 60),
    (40, 130, 220),
    (35, 165, 95),
    (245, 165, 35),
    (150, 80, 200),
    (20, 180, 190),
    (235, 90, 165),
    (140, 100, 60),
    (130, 185, 30),
    (95, 105, 225),
    (190, 60, 95),
    (60, 140, 125),
)
GOLDEN_RATIO = 0.618034
"""Steps of this share of the colour circle never come close to an earlier one soon."""


def person_colour(person: int) -> Rgb:
    """The colour of a person by index into ``Recording.people``; grey for ``NOBODY``."""
    if person == NOBODY:
        return NOBODY_COLOUR
    if person < len(DISTINCT):
        return DISTINCT[person]
    turn = person * GOLDEN_RATIO % 1.0
    level = 0.95 if person % 2 else 0.72
    red, green, blue = colorsys.hsv_to_rgb(turn, 0.72, level)
    return round(red * 255), round(green * 255), round(blue * 255)


def person_name(global_id: str) -> str:
    """What a label shows: the part of a global id that differs between the people of one task."""
    return global_id.rsplit("-", 1)[-1]


def is_bright(colour: Rgb) -> bool:
    """Whether black text reads better on it than white (relative luminance, BT.709 weights)."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] > 140
