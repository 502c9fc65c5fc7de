"""The hard scene: market squares in a row, as many as the cameras need, with alleys between them that no camera sees.

Square and alley follow each other from west to east. A wall with one gap stands on each side of an alley; one gap is
in the north and the other in the south, so that who changes squares is out of sight for some twenty seconds. Where
things stand and how the cameras are set follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from demo.site.camera import Camera, Look
from demo.site.people import draw_people
from demo.site.scene import Exit, Ground, Light, Place, Recording, Scene, SiteCamera
from demo.site.scenes.furniture import BRICK, FACADE, OFFICE, bench, column, kiosk, planter, stall
from demo.site.solids import Box, Rgb, Solid

_WIDE, _DEEP = 24.0, 16.0
"""Size of a square, metres."""
_PITCH = 36.0
"""From one square to the next."""
_ALLEY = 6.0
"""How far west of a square the middle of its alley lies."""
_SOUTH, _NORTH = -5.5, 21.5
"""Where people can be."""
_NORTH_GAP, _SOUTH_GAP = 17.0, -1.0
"""Where the gap of a wall begins; it goes on to the end of the ground."""
_CAMERAS_A_SQUARE = 3
_CORNERS = (("south-west", 0.3, -3.5), ("south-east", 23.7, -3.5), ("north", 12.0, 19.5))
_PAINTS: tuple[Rgb, ...] = ((176, 62, 54), (66, 110, 150), (214, 196, 150), (84, 128, 84), (206, 140, 60))


_THINGS = ("kiosk", "stall", "stall", "stall", "stall", "bench", "bench", "planter", "planter", "column")
_REACH = {"kiosk": 1.6, "stall": 1.35, "bench": 0.95, "planter": 0.85, "column": 0.65}
"""From the middle of each kind of thing to its farthest corner, metres."""
_PASSAGE = 1.6
"""Between any two things; people who meet in less than that have no way past each other."""


@dataclass(frozen=True)
class _Circle:
    """Ground that is taken."""

    x: float
    y: float
    reach: float


@dataclass(frozen=True)
class _Square:
    """One square: where it begins in the west, and its cameras."""

    west: float
    cameras: tuple[SiteCamera, ...]


def market(seed: int, recording: Recording) -> Scene:
    """The scene for a seed and sizes; with three cameras or more there are at least two squares."""
    rng = np.random.default_rng([seed, 8])  # not that of the people: they stay the same whatever stands around them
    squares = _squares(recording.cameras or 6, rng)
    solids, places = _walls(squares), _hidden_places(squares)
    for square in squares:
        things, stops = _furnished(square, rng)
        solids, places = solids + things, places + stops
    return Scene(
        name="market",
        title="Demo market",
        seed=seed,
        fps=recording.fps or 12,
        sub_video_seconds=recording.sub_video_seconds or 10.0,
        sub_videos=recording.sub_videos or 6,
        bounds=(-_ALLEY - 3.0, _SOUTH, squares[-1].west + _PITCH - 3.0, _NORTH),
        cameras=tuple(camera for square in squares for camera in square.cameras),
        solids=tuple(solids),
        places=tuple(places),
        start_areas=_start_areas(squares),
        people=tuple(draw_people(np.random.default_rng([seed, 1]), recording.people or 24, alike=0.5)),
        light=Light(sun=(-0.3, -0.5, 0.8), direct=0.5),
        ground=Ground(paving=(150.0, 147.0, 144.0), joint=0.8, slab=0.45),
        overlaps=tuple(pair for square in squares for pair in combinations(_ids(square), 2)),
        exits=tuple(rule for west, east in pairwise(squares) for rule in _exits(west, east)),
    )


def _squares(cameras: int, rng: np.random.Generator) -> list[_Square]:
    """Squares for so many cameras, spread as evenly as possible."""
    count = max(1 if cameras < _CAMERAS_A_SQUARE else 2, -(-cameras // _CAMERAS_A_SQUARE))
    squares, first = [], 0
    for index in range(count):
        share = (cameras - first) // (count - index)
        west = index * _PITCH
        squares.append(_Square(west, tuple(_camera(first + corner, corner, west, rng) for corner in range(share))))
        first += share
    return squares


def _camera(number: int, corner: int, west: float, rng: np.random.Generator) -> SiteCamera:
    """A camera at a corner that looks across its square; no two are set alike."""
    name, x, y = _CORNERS[corner]
    yaw = np.degrees(np.arctan2(0.45 * _DEEP - y, _WIDE / 2 - x)) + rng.uniform(-4, 4)
    curved = number % 3 == 2
    look = Look(
        exposure=float(rng.uniform(0.84, 1.06)),
        white_balance=(float(rng.uniform(0.93, 1.07)), 1.0, float(rng.uniform(0.9, 1.08))),
        contrast=float(rng.uniform(0.92, 1.08)),
        blur_px=float(rng.uniform(0.5, 0.9)),
        noise=float(rng.uniform(1.2, 2.8)),
    )
    camera = Camera(
        f"c{number + 1:02d}",
        (west + x, y, float(rng.uniform(3.2, 5.0))),
        float(yaw),
        float(rng.uniform(12, 15.5)),
        float(rng.uniform(860, 920) if curved else rng.uniform(950, 1120)),
        k1=-0.07 if curved else 0.0,
        k2=0.007 if curved else 0.0,
        look=look,
    )
    title = f"Square {round(west / _PITCH) + 1} {name}"
    return SiteCamera(camera, title, f"market/{camera.camera_id}", homography_inline=number % 2 == 0)


def _ids(square: _Square) -> list[str]:
    return [each.camera.camera_id for each in square.cameras]


def _walls(squares: list[_Square]) -> list[Solid]:
    """The houses around everything, and the walls of the alleys."""
    end = squares[-1].west + _PITCH
    middle, half = end / 2 - _ALLEY, end / 2 + 12
    walls: list[Solid] = [
        Box(middle, _NORTH + 5.5, half, 3.0, 10.0, FACADE),
        Box(middle, -15.0, half, 3.0, 9.0, OFFICE),
        Box(-_ALLEY - 4.0, 6.0, 0.75, 19.0, 7.0, BRICK),
        Box(end - 2.0, 6.0, 0.75, 19.0, 7.0, BRICK),
    ]
    for square in squares:
        walls.append(_wall(square.west - 2.0, _SOUTH_GAP, _NORTH + 3.0))
        walls.append(_wall(square.west + _WIDE + 2.0, -12.0, _NORTH_GAP))
    return walls


def _wall(x: float, south: float, north: float) -> Solid:
    return Box(x, (south + north) / 2, 0.75, (north - south) / 2, 7.0, BRICK)


def _hidden_places(squares: list[_Square]) -> list[Place]:
    """Two in each alley, where people stay out of sight for a while."""
    alleys = [square.west - _ALLEY for square in squares] + [squares[-1].west + _PITCH - _ALLEY]
    return [Place(x, y, 5.0, 0.7) for x in alleys for y in (3.0, 12.0)]


def _furnished(square: _Square, rng: np.random.Generator) -> tuple[list[Solid], list[Place]]:
    """What stands on a square, and where people stop between it."""
    taken: list[_Circle] = []
    things: list[Solid] = []
    for kind in _THINGS:
        spot = _free_spot(rng, _REACH[kind], _PASSAGE, taken)
        if spot:
            taken.append(spot)
            things += _thing(kind, square.west + spot.x, spot.y, rng)
    stops: list[Place] = []
    for _ in range(8):
        spot = _free_spot(rng, 0.0, 1.1, taken)
        if spot:
            taken.append(spot)
            stops.append(Place(square.west + spot.x, spot.y, float(rng.uniform(2, 6))))
    return things, stops


def _thing(kind: str, x: float, y: float, rng: np.random.Generator) -> list[Solid]:
    yaw, paint = float(rng.uniform(-20, 20)), _PAINTS[int(rng.integers(len(_PAINTS)))]
    if kind == "stall":
        return stall(x, y, yaw + 90 * float(rng.integers(2)), paint)
    if kind == "bench":
        return bench(x, y, yaw)
    if kind == "planter":
        return planter(x, y)
    return column(x, y, paint) if kind == "column" else kiosk(x, y, yaw, paint)


def _free_spot(rng: np.random.Generator, reach: float, apart: float, taken: list[_Circle]) -> _Circle | None:
    """A circle on the square with ``apart`` metres between it and all that are taken; None where none is found."""
    for _ in range(200):
        x, y = rng.uniform((2.0, 1.5), (_WIDE - 2.0, _DEEP - 1.5)).tolist()
        if all(np.hypot(x - other.x, y - other.y) > reach + other.reach + apart for other in taken):
            return _Circle(x, y, reach)
    return None


def _start_areas(squares: list[_Square]) -> tuple[tuple[float, float, float, float], ...]:
    """Most people begin on the squares, some out of sight."""
    on_squares = [(square.west + 2, 1.0, square.west + _WIDE - 2, _DEEP - 1) for square in squares]
    in_alleys = [(square.west - _ALLEY - 2, 0.0, square.west - _ALLEY + 2, _DEEP) for square in squares[1:]]
    return (*on_squares, *on_squares, *on_squares, *in_alleys)


def _exits(west: _Square, east: _Square) -> list[Exit]:
    """Who leaves the western square by its north gap comes out of the eastern one's south gap, and back."""
    doors = (
        (west, (west.west + _WIDE + 1.0, _NORTH_GAP + 2.0)),
        (east, (east.west - 1.0, _SOUTH_GAP - 2.0)),
    )
    rules = []
    for (square, door), (other, far_door) in (doors, doors[::-1]):
        leaving, arriving = _nearest_view(square, door), _nearest_view(other, far_door)
        rules.append(Exit(leaving.camera_id, _quadrant(leaving, door), arriving.camera_id))
    return rules


def _nearest_view(square: _Square, spot: tuple[float, float]) -> Camera:
    """The camera of a square whose axis points closest to a spot."""

    def off_axis(camera: Camera) -> float:
        bearing = np.arctan2(spot[1] - camera.position[1], spot[0] - camera.position[0])
        return float(-np.cos(bearing - np.radians(camera.yaw_deg)))

    return min((each.camera for each in square.cameras), key=off_axis)


def _quadrant(camera: Camera, spot: tuple[float, float]) -> str:
    pixels, _ = camera.project(np.array([*spot, 0.0], np.float32))
    vertical = "upper" if pixels[1] < camera.height / 2 else "lower"
    return f"{vertical}_{'left' if pixels[0] < camera.width / 2 else 'right'}"
