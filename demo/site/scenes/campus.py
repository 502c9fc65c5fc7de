"""The default scene: a plaza seen by three cameras and, past a building, a courtyard seen by a fourth."""

from __future__ import annotations

import numpy as np

from demo.site.camera import Camera, Look
from demo.site.people import draw_people
from demo.site.scene import Exit, Ground, Light, Place, Recording, Scene, SiteCamera
from demo.site.scenes.furniture import BRICK, CONCRETE, DARK_LEAVES, FACADE, OFFICE, bench, kiosk, planter, tree
from demo.site.solids import Box, Material, Pillar, Solid


def campus(seed: int, recording: Recording) -> Scene:
    """A plaza seen by three cameras and, past a building, a courtyard seen by a fourth."""
    rng = np.random.default_rng([seed, 1])
    return Scene(
        name="campus",
        title="Demo campus",
        seed=seed,
        fps=recording.fps or 12,
        sub_video_seconds=recording.sub_video_seconds or 10.0,
        sub_videos=recording.sub_videos or 4,
        bounds=(-9.0, -6.0, 52.0, 24.0),
        cameras=_campus_cameras(),
        solids=_campus_solids(),
        places=_CAMPUS_PLACES,
        start_areas=((4, 3, 20, 14), (5, 2, 18, 12), (2, 1, 18, 14), (32, 2, 44, 12)),
        people=tuple(draw_people(rng, recording.people or 10)),
        light=Light(),
        ground=Ground(lawns=((3, 15.5, 22, 30), (-30, -30, 70, -7), (33, 13.5, 60, 30), (-30, 10, -6, 40))),
        overlaps=(("c01", "c02"), ("c01", "c03"), ("c02", "c03")),
        exits=(Exit("c01", "upper_right", "c05"), Exit("c05", "upper_right", "c02")),
    )


def _campus_cameras() -> tuple[SiteCamera, ...]:
    warm = Look(exposure=1.03, white_balance=(1.05, 1.0, 0.93), blur_px=0.6, noise=1.6)
    cool = Look(exposure=0.93, white_balance=(0.95, 1.0, 1.08), contrast=0.95, blur_px=0.75, noise=2.2)
    crisp = Look(exposure=1.0, contrast=1.08, blur_px=0.5, noise=1.2)
    dim = Look(exposure=0.85, white_balance=(1.03, 1.01, 0.92), blur_px=0.85, noise=2.6)
    return (
        SiteCamera(
            Camera("c01", (-2.5, -3.0, 3.8), 40.0, 14.0, 1120.0, look=warm),
            "Plaza south-west", "video_s37/c01", True,
        ),
        SiteCamera(
            Camera("c02", (25.0, -3.0, 4.4), 137.0, 15.0, 1080.0, look=cool),
            "Plaza south-east", "video_s37/c02", False,
        ),
        SiteCamera(
            Camera("c03", (12.0, 18.0, 3.4), -92.0, 16.0, 900.0, k1=-0.06, k2=0.006, look=crisp),
            "Plaza north", "video_s37/c03", True,
        ),
        SiteCamera(Camera("c05", (46.5, 13.0, 3.1), 220.0, 13.0, 980.0, look=dim), "Courtyard", "video_s37/c05", False),
    )  # fmt: skip


_CAMPUS_PLACES = (
    Place(4.5, 3.0, 3.0), Place(8.5, 9.0, 4.0), Place(15.0, 4.5, 3.0), Place(19.5, 3.0, 3.0), Place(19.0, 10.0, 4.0),
    Place(12.0, 12.6, 3.0), Place(10.5, 3.5, 3.0), Place(15.0, 9.5, 3.0),
    Place(35.0, 4.5, 3.0), Place(40.5, 8.5, 4.0), Place(37.5, 9.5, 3.0), Place(41.0, 1.5, 2.0),
    Place(1.0, 21.0, 1.0, 0.6), Place(24.0, 16.0, 1.0, 0.5),
    Place(-7.8, 12.0, 1.5, 2.0), Place(-7.0, -3.0, 1.5, 2.0), Place(33.0, 20.0, 1.5, 2.0), Place(49.5, -3.0, 1.5, 2.0),
)  # fmt: skip
"""The last four are seen by no camera: people go there and come back."""


def _campus_solids() -> tuple[Solid, ...]:
    buildings: list[Solid] = [
        Box(28.0, 13.0, 2.2, 9.0, 10.0, BRICK),
        Box(12.0, 34.0, 24.0, 3.0, 13.0, FACADE),
        Box(-18.0, 14.0, 3.0, 16.0, 11.0, OFFICE),
        Box(15.0, -22.0, 30.0, 3.0, 12.0, OFFICE),
        Box(44.0, 26.0, 14.0, 3.0, 9.0, FACADE),
        Box(62.0, 4.0, 3.0, 20.0, 12.0, BRICK),
    ]
    pillars: list[Solid] = [Pillar(7.0, 6.5, 0.28, 3.2, CONCRETE), Pillar(17.0, 7.2, 0.28, 3.2, CONCRETE)]
    signs: list[Solid] = [Box(12.6, 6.6, 0.9, 0.09, 2.0, Material("plain", (52, 84, 120)), yaw_deg=25)]
    return (
        *buildings, *pillars, *signs,
        *bench(10.5, 11.0, 8), *bench(16.5, 12.0, -10), *bench(3.0, 9.0, 85), *bench(38.5, 6.5, 30),
        *planter(5.0, 12.2), *planter(20.5, 6.8), *planter(13.5, 2.0), *planter(35.0, 8.6), *planter(42.8, 6.0),
        *tree(1.5, 17.5), *tree(7.5, 20.0), *tree(18.0, 18.2), *tree(22.6, 13.6), *tree(38.0, 15.5),
        *kiosk(-5.0, 10.4, 8, (84, 110, 96)), *tree(-5.5, 1.0), *tree(46.0, -4.8),
        Box(8.0, -5.2, 5.0, 0.3, 1.0, DARK_LEAVES), Box(38.0, -5.0, 4.0, 0.35, 1.1, DARK_LEAVES),
    )  # fmt: skip
