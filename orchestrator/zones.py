"""Zones and lines on an environment's map, as the site file draws them."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import shapely
from pydantic import BaseModel, ConfigDict, Field, field_validator

Place = tuple[float, float]
"""Metres on the map."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Zone(_Model):
    """An area in which people dwell."""

    name: str = ""
    """The id where the file gives none."""
    polygon: Annotated[tuple[Place, ...], Field(min_length=3, max_length=1000)]
    """Its corners in order; the last is joined to the first."""

    @field_validator("polygon")
    @classmethod
    def _check(cls, value: tuple[Place, ...]) -> tuple[Place, ...]:
        _refuse_infinite(value)
        shape = shapely.Polygon(value)
        if not shape.is_valid:
            raise ValueError(f"polygon is not simple: {shapely.is_valid_reason(shape)}")
        if not shape.area > 0:
            raise ValueError("polygon has no area")
        return value

    @property
    def shape(self) -> shapely.Polygon:
        """The area, metres."""
        return shapely.Polygon(self.polygon)


class Line(_Model):
    """A line that people cross; its two sides are left and right of somebody who walks from its first point on."""

    name: str = ""
    """The id where the file gives none."""
    points: Annotated[tuple[Place, ...], Field(min_length=2, max_length=1000)]

    @field_validator("points")
    @classmethod
    def _check(cls, value: tuple[Place, ...]) -> tuple[Place, ...]:
        _refuse_infinite(value)
        if any(first == second for first, second in itertools.pairwise(value)):
            raise ValueError("points repeat one another")
        return value


def _refuse_infinite(places: tuple[Place, ...]) -> None:
    if not all(math.isfinite(value) for place in places for value in place):
        raise ValueError("a value is not a finite number")
