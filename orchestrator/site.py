"""The site file: environments, their cameras, and what is known about the place.

One YAML file::

    environments:
      campus:
        name: Campus                          # optional, the id where left out
        recorded_from: 2026-01-05T09:00:00Z   # optional, with its time zone
        sub_videos: 4                         # optional, discovered by listing where left out
        target_fps: 23                        # optional, the setting where left out
        cameras:
          c01:
            name: North gate                  # optional
            prefix: video_s37/c01             # optional, the id where left out
            resolution: [1280, 720]           # optional, px: for detections that come without their video
            homography:                       # optional: no map position without it
              image_points: [[x, y], ...]     # px of the source frame, at least 4
              map_points: [[X, Y], ...]       # metres
          c02:
            homography: {file: homography/c02.npz}   # the same two arrays; relative to the site file
          c03:
            calibration:                      # in place of points, for a camera whose matrix is known
              projection: [[...], ...]        # 3x4, world -> px; or image_to_map, or map_to_image: 3x3
              metres_per_unit: 0.01           # optional: of the calibration's world, 1 where left out
          c04:
            calibration: {projection: {file: cameras.npz, array: cam4}}   # or an .npy, without 'array'
        area: [[X, Y], ...]                   # optional: who stands outside this polygon of the map is not looked at
        overlaps: [[c01, c02]]
        exits:
          - {camera: c01, quadrant: upper_left, to: c05}
        zones:                                # optional: areas of the map in which dwell is counted
          entrance: {name: Entrance, polygon: [[X, Y], ...]}   # metres, at least 3 corners
        lines:                                # optional: lines of the map whose crossings are counted
          door: {name: Door, points: [[X, Y], [X, Y]]}         # left and right are as seen from the first point

Every fault is a ``SiteError`` with file, line and field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.errors import UnknownCameraError, UnknownEnvironmentError
from orchestrator.site_file import Fault, SiteFile
from orchestrator.values import Float64
from orchestrator.zones import Line, Zone

MIN_POINTS = 4
"""A homography has eight free values and a point pair fixes two."""
FLATNESS = 1e-3
"""Points whose spread across their main direction is below this share of the spread along it count as collinear."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
"""Ids end in paths and URLs."""
Point = tuple[float, float]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quadrant(StrEnum):
    """A quarter of a camera's image."""

    UPPER_LEFT = "upper_left"
    UPPER_RIGHT = "upper_right"
    LOWER_LEFT = "lower_left"
    LOWER_RIGHT = "lower_right"


class PointPairs(_Model):
    """Points in the image (px of the source frame) and the same points on the map (metres), pair by pair."""

    image_points: tuple[Point, ...]
    map_points: tuple[Point, ...]

    @model_validator(mode="after")
    def _check(self) -> PointPairs:
        count = len(self.image_points)
        if count != len(self.map_points):
            raise ValueError(f"{count} image_points but {len(self.map_points)} map_points")
        if count < MIN_POINTS:
            raise ValueError(f"{count} point pairs, at least {MIN_POINTS} are needed")
        for name, points in (("image_points", self.image_points), ("map_points", self.map_points)):
            if not all(math.isfinite(value) for point in points for value in point):
                raise ValueError(f"{name} holds a value that is not a finite number")
            if collinear(np.array(points, np.float64)):
                raise ValueError(f"{name} lie on one line")
        return self

    @property
    def is_placeholder(self) -> bool:
        """True where image and map points are equal: nobody has measured this camera yet."""
        return self.image_points == self.map_points

    @property
    def image(self) -> Float64:
        """[N, 2] px."""
        return np.array(self.image_points, np.float64)

    @property
    def map(self) -> Float64:
        """[N, 2] metres."""
        return np.array(self.map_points, np.float64)


Row3 = tuple[float, float, float]
Row4 = tuple[float, float, float, float]


class Calibration(_Model):
    """A camera's ground plane as a matrix: one of the three. The ground is the plane Z = 0 of the world."""

    image_to_map: tuple[Row3, Row3, Row3] | None = None
    """px -> map."""
    map_to_image: tuple[Row3, Row3, Row3] | None = None
    """map -> px."""
    projection: tuple[Row4, Row4, Row4] | None = None
    """World -> px, homogeneous (Hartley & Zisserman, eq. 6.1)."""
    metres_per_unit: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Of the matrix's map or world."""

    @model_validator(mode="after")
    def _check(self) -> Calibration:
        given = [matrix for matrix in (self.image_to_map, self.map_to_image, self.projection) if matrix is not None]
        if len(given) != 1:
            raise ValueError("one of image_to_map, map_to_image and projection is expected")
        if not np.isfinite(np.array(given[0])).all():
            raise ValueError("the matrix holds a value that is not a finite number")
        return self

    @property
    def ground(self) -> Float64:
        """[3, 3] px -> metres, of any scale and sign. Raises ``LinAlgError`` for a singular matrix."""
        if self.image_to_map is not None:
            matrix = np.array(self.image_to_map)
        else:
            given = np.array(self.map_to_image if self.projection is None else self.projection)
            matrix = np.linalg.inv(given if self.projection is None else given[:, [0, 1, 3]])
        return np.asarray(np.diag([self.metres_per_unit, self.metres_per_unit, 1.0]) @ matrix, np.float64)


class Camera(_Model):
    """One camera and where its sub-videos and its place on the map are found."""

    id: Identifier
    name: str = ""
    """The id where the file gives none."""
    prefix: str
    """Key prefix of its sub-videos in the object store, without a slash at either end; the id where the file gives
    none."""
    resolution: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None = None
    """Width and height, px, where no video tells them."""
    homography: PointPairs | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Camera:
        if self.homography is not None and self.calibration is not None:
            raise ValueError("either homography or calibration, not both")
        return self

    @field_validator("prefix")
    @classmethod
    def _safe_prefix(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in value:
            raise ValueError("prefix has to be a relative path without '..'")
        return "/".join(parts)


class ExitRule(_Model):
    """People who leave ``camera`` through ``quadrant`` of its image appear in ``to`` next."""

    camera: str
    quadrant: Quadrant
    to: str


class Environment(_Model):
    """Cameras that watch one place and share one map."""

    id: Identifier
    name: str = ""
    """The id where the file gives none."""
    recorded_from: AwareDatetime | None = None
    sub_videos: Annotated[int, Field(ge=1)] | None = None
    """Number of sub-videos a camera; None: found by listing."""
    target_fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    cameras: Annotated[dict[str, Camera], Field(min_length=1)]
    """By id, in the order of the file."""
    area: Annotated[tuple[Point, ...], Field(min_length=3)] | None = None
    """A polygon on the map, metres: who stands outside is not looked at. None: everybody is."""
    overlaps: tuple[tuple[str, str], ...] = ()
    exits: tuple[ExitRule, ...] = ()
    zones: dict[Identifier, Zone] = Field(default_factory=dict)
    """By id."""
    lines: dict[Identifier, Line] = Field(default_factory=dict)
    """By id."""

    @field_validator("area")
    @classmethod
    def _has_room(cls, value: tuple[Point, ...] | None) -> tuple[Point, ...] | None:
        if value is not None and (not np.isfinite(value).all() or collinear(np.array(value, np.float64))):
            raise ValueError("area has to be a polygon of finite points that do not lie on one line")
        return value

    def select(self, camera_ids: Sequence[str] | None) -> tuple[Camera, ...]:
        """The named cameras in the order of the file; all of them for None.

        Raises:
            UnknownCameraError: an id is not in this environment.
        """
        if camera_ids is None:
            return tuple(self.cameras.values())
        for camera_id in camera_ids:
            if camera_id not in self.cameras:
                known = ", ".join(self.cameras)
                raise UnknownCameraError(f"environment {self.id} has no camera {camera_id!r}, only {known}")
        return tuple(camera for camera in self.cameras.values() if camera.id in camera_ids)


class Site(_Model):
    """All environments of one site file."""

    environments: Annotated[dict[str, Environment], Field(min_length=1)]
    path: Path

    def environment(self, environment_id: str) -> Environment:
        """The environment with this id.

        Raises:
            UnknownEnvironmentError: the site file has none such.
        """
        if environment_id not in self.environments:
            known = ", ".join(self.environments)
            raise UnknownEnvironmentError(f"no environment {environment_id!r}; the site file has {known}")
        return self.environments[environment_id]


def load_site(path: Path) -> Site:
    """Reads and checks a site file together with the point files that it names.

    Raises:
        SiteError: the file cannot be read or used; the message names file, line and field, fault by fault.
    """
    file = SiteFile.read(path)
    for loc, key, entry in _named_entries(file.data):
        file.inject(loc, entry, {"id": key})
    for loc, entry in _cameras(file.data):
        entry.setdefault("prefix", loc[-1])
        if isinstance(entry.get("homography"), dict) and "file" in entry["homography"]:
            entry["homography"] = file.read_points((*loc, "homography"), entry["homography"])
        for key, value in _mappings(entry, "calibration"):
            entry["calibration"][key] = file.read_matrix((*loc, "calibration", key), value)
    file.inject((), file.data, {"path": path})
    site = file.validate(Site)
    file.refuse(_reference_faults(site))
    return _with_names(site)


def _named_entries(data: dict[str, Any]) -> list[tuple[tuple[str, ...], str, dict[str, Any]]]:
    entries = [(("environments", key), key, value) for key, value in _mappings(data, "environments")]
    return entries + [((*loc,), loc[-1], entry) for loc, entry in _cameras(data)]


def _cameras(data: dict[str, Any]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    return [
        (("environments", environment_id, "cameras", camera_id), camera)
        for environment_id, environment in _mappings(data, "environments")
        for camera_id, camera in _mappings(environment, "cameras")
    ]


def _mappings(data: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    entries = data.get(key)
    if not isinstance(entries, dict):
        return []
    return [(name, entry) for name, entry in entries.items() if isinstance(entry, dict)]


def _reference_faults(site: Site) -> list[Fault]:
    """Overlaps and exits that name cameras which are not there."""
    faults = []
    for environment in site.environments.values():
        loc = ("environments", environment.id)
        pairs = [(*loc, "overlaps", row) for row in range(len(environment.overlaps))]
        rules = [(*loc, "exits", row) for row in range(len(environment.exits))]
        named = list(zip(pairs, environment.overlaps, strict=True))
        named += [(at, (rule.camera, rule.to)) for at, rule in zip(rules, environment.exits, strict=True)]
        for at, ids in named:
            faults += [Fault(at, f"no camera {camera!r} here") for camera in ids if camera not in environment.cameras]
            if ids[0] == ids[1]:
                faults.append(Fault(at, f"camera {ids[0]!r} is paired with itself"))
    return faults


def _with_names(site: Site) -> Site:
    def named(camera: Camera) -> Camera:
        return camera if camera.name else camera.model_copy(update={"name": camera.id})

    environments = {
        key: environment.model_copy(
            update={
                "name": environment.name or environment.id,
                "cameras": {camera_id: named(camera) for camera_id, camera in environment.cameras.items()},
            }
        )
        for key, environment in site.environments.items()
    }
    return site.model_copy(update={"environments": environments})


def collinear(points: Float64) -> bool:
    """True where the points [N, 2] lie on one line, or all on one spot."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] <= FLATNESS * spread[0])
