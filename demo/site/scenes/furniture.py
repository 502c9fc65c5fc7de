"""What scenes are furnished with: materials, benches, planters, trees, what stands on a market."""

from __future__ import annotations

import numpy as np

from demo.site.solids import Box, Ellipsoid, Material, Pillar, Rgb, Solid

CONCRETE = Material("plain", (172, 168, 160))
BRICK = Material("brick", (150, 92, 74), (186, 176, 164))
FACADE = Material("facade", (196, 188, 172), (74, 92, 112))
OFFICE = Material("facade", (150, 158, 166), (62, 82, 104))
WOOD = Material("wood", (132, 96, 62))
LEAVES = Material("leaves", (70, 98, 48))
DARK_LEAVES = Material("leaves", (58, 84, 52))
METAL = Material("plain", (84, 88, 94))


def bench(x: float, y: float, yaw: float) -> list[Solid]:
    """A bench with a back; ``yaw`` in degrees."""
    back = np.radians(yaw + 90)
    return [
        Box(x, y, 0.9, 0.24, 0.08, WOOD, base=0.4, yaw_deg=yaw),
        Box(x, y, 0.7, 0.16, 0.4, METAL, yaw_deg=yaw),
        Box(
            x + 0.24 * float(np.cos(back)), y + 0.24 * float(np.sin(back)), 0.9, 0.04, 0.4, WOOD, base=0.5, yaw_deg=yaw
        ),
    ]


def planter(x: float, y: float) -> list[Solid]:
    """A bush in a box, waist-high."""
    return [Box(x, y, 0.6, 0.6, 0.6, CONCRETE), Ellipsoid(x, y, 0.85, 0.6, 0.55, LEAVES)]


def tree(x: float, y: float) -> list[Solid]:
    """A tree of five metres; people pass under it."""
    trunk = Pillar(x, y, 0.17, 2.8, Material("wood", (92, 74, 58)))
    crowns = ((0, 0, 4.0, 1.6, 1.3), (0.7, 0.4, 3.6, 1.1, 0.9), (-0.8, -0.2, 3.7, 1.1, 0.9))
    return [trunk, *(Ellipsoid(x + dx, y + dy, z, r, h, LEAVES) for dx, dy, z, r, h in crowns)]


def stall(x: float, y: float, yaw: float, cloth: Rgb) -> list[Solid]:
    """A market stall: a table under an awning on four poles."""
    turn = np.radians(yaw)
    across, along = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = [across * (1.1 * i) + along * (0.6 * j) for i in (-1, 1) for j in (-1, 1)]
    return [
        Box(x, y, 1.15, 0.65, 0.85, WOOD, yaw_deg=yaw),
        *(Pillar(x + float(dx), y + float(dy), 0.035, 2.3, METAL) for dx, dy in corners),
        Box(x, y, 1.35, 0.85, 0.12, Material("plain", cloth), base=2.3, yaw_deg=yaw, blocks=False),
    ]


def column(x: float, y: float, poster: Rgb) -> list[Solid]:
    """An advertising column, taller than people."""
    return [Pillar(x, y, 0.55, 2.6, Material("plain", poster)), Pillar(x, y, 0.65, 0.2, METAL, base=2.6, blocks=False)]


def kiosk(x: float, y: float, yaw: float, paint: Rgb) -> list[Solid]:
    """A closed booth with a flat roof."""
    return [
        Box(x, y, 1.2, 1.0, 2.4, Material("wood", paint), yaw_deg=yaw),
        Box(x, y, 1.45, 1.25, 0.15, CONCRETE, base=2.4, yaw_deg=yaw, blocks=False),
    ]
