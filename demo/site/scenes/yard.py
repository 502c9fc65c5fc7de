"""The easy scene: an open yard, two cameras that see the same ground, a few people in clothes that differ."""

from __future__ import annotations

import numpy as np

from demo.site.camera import Camera, Look
from demo.site.people import draw_distinct_people
from demo.site.scene import Ground, Light, Place, Recording, Scene, SiteCamera
from demo.site.scenes.furniture import BRICK, DARK_LEAVES, FACADE, OFFICE, bench, planter, tree
from demo.site.solids import Box, Solid

_PLACES = (
    Place(3.5, 3.0, 3.0), Place(12.5, 3.5, 3.0), Place(8.0, 7.0, 2.0), Place(4.0, 9.0, 3.0), Place(12.0, 9.5, 3.0),
    Place(8.0, 11.5, 3.0), Place(-6.5, -2.6, 1.5, 2.0), Place(22.5, -2.6, 1.5, 2.0),
)  # fmt: skip
"""The last two are seen by no camera: people go there and come back."""


def yard(seed: int, recording: Recording) -> Scene:
    """The scene for a seed and sizes."""
    rng = np.random.default_rng([seed, 1])
    return Scene(
        name="yard",
        title="Demo yard",
        seed=seed,
        fps=recording.fps or 12,
        sub_video_seconds=recording.sub_video_seconds or 10.0,
        sub_videos=recording.sub_videos or 3,
        bounds=(-8.0, -4.0, 24.0, 16.0),
        cameras=_cameras(),
        solids=_solids(),
        places=_PLACES,
        start_areas=((3, 2, 13, 11),),
        people=tuple(draw_distinct_people(rng, recording.people or 4)),
        light=Light(sun=(0.5, -0.35, 0.85)),
        ground=Ground(paving=(158.0, 146.0, 132.0), slab=0.5, lawns=((-30, 13.5, 50, 40), (-30, -30, 50, -4.5))),
        overlaps=(("c01", "c02"),),
        exits=(),
    )


def _cameras() -> tuple[SiteCamera, ...]:
    clear = Look(contrast=1.04, blur_px=0.5, noise=1.2)
    warm = Look(exposure=1.02, white_balance=(1.03, 1.0, 0.96), blur_px=0.55, noise=1.4)
    west = Camera("c01", (-1.5, -3.0, 4.0), 42.0, 13.0, 1120.0, look=clear)
    east = Camera("c02", (17.5, -3.0, 4.2), 138.0, 13.5, 1100.0, look=warm)
    return SiteCamera(west, "Yard west", "yard/c01", True), SiteCamera(east, "Yard east", "yard/c02", False)


def _solids() -> tuple[Solid, ...]:
    return (
        Box(8.0, 26.0, 22.0, 3.0, 10.0, FACADE),
        Box(-17.0, 6.0, 3.0, 16.0, 9.0, BRICK),
        Box(34.0, 6.0, 3.0, 16.0, 9.0, OFFICE),
        Box(8.0, 14.0, 6.0, 0.3, 0.9, DARK_LEAVES),
        *bench(6.0, 12.6, 0),
        *bench(10.0, 12.6, 0),
        *planter(1.0, 11.5),
        *planter(15.0, 11.5),
        *tree(-3.0, 17.0),
        *tree(19.0, 17.5),
        *tree(9.0, 19.0),
    )
