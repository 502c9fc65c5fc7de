"""Answers about history, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_TASK_ID = "5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a"
GlobalId = Annotated[str, Field(examples=["5f0c6a4e-3"])]
Bbox = Annotated[tuple[float, float, float, float], Field(description="xyxy, px of the source frame.")]


class TrajectoryPoint(BaseModel):
    """Where a camera saw a person at one tick."""

    time: datetime
    task_id: str = Field(examples=[_TASK_ID])
    camera_id: str = Field(examples=["c01"])
    track_id: int
    global_frame_index: int
    media_time_s: float = Field(description="Presentation time of the frame within its sub-video.")
    map_x: float | None = Field(description="Metres; null where the camera has no homography.")
    map_y: float | None
    bbox: Bbox
    confidence: float
    speed_mps: float | None = Field(description="Metres a second, over about a second around this tick.")


class TimeInCamera(BaseModel):
    """How long a camera saw a person."""

    camera_id: str = Field(examples=["c01"])
    seconds: float
    first_time: datetime
    last_time: datetime


class TimeInZone(BaseModel):
    """How long a person was in a zone of the site file."""

    zone_id: str = Field(examples=["entrance"])
    visits: int
    seconds: float


class TrajectorySummary(BaseModel):
    """What the sightings come to, before they are simplified."""

    sightings: int
    seconds: float = Field(description="In view of any camera; once where several see the person together.")
    distance_m: float = Field(description="Metres walked in view; what lies between sightings is not guessed.")
    mean_speed_mps: float | None
    max_speed_mps: float | None
    cameras: list[TimeInCamera]
    zones: list[TimeInZone]


class TrajectoryAnswer(BaseModel):
    """A person's way, merged across cameras, in time order; empty for an id that nobody has."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "global_person_id": "5f0c6a4e-3",
                    "points": [
                        {
                            "time": "2026-01-05T09:00:00Z",
                            "task_id": _TASK_ID,
                            "camera_id": "c01",
                            "track_id": 7,
                            "global_frame_index": 0,
                            "media_time_s": 0.0,
                            "map_x": 12.5,
                            "map_y": 3.1,
                            "bbox": [412.0, 220.5, 480.0, 431.0],
                            "confidence": 0.93,
                            "speed_mps": 1.2,
                        }
                    ],
                    "summary": {
                        "sightings": 1,
                        "seconds": 0.04,
                        "distance_m": 0.0,
                        "mean_speed_mps": 1.2,
                        "max_speed_mps": 1.2,
                        "cameras": [
                            {
                                "camera_id": "c01",
                                "seconds": 0.04,
                                "first_time": "2026-01-05T09:00:00Z",
                                "last_time": "2026-01-05T09:00:00Z",
                            }
                        ],
                        "zones": [{"zone_id": "entrance", "visits": 1, "seconds": 0.04}],
                    },
                    "next": None,
                }
            ]
        }
    )

    global_person_id: str
    points: list[TrajectoryPoint]
    summary: TrajectorySummary
    next: datetime | None = Field(description="The `from` of what did not fit into this answer; null at the end.")


class Stretch(BaseModel):
    """One track of a person: when a camera began to see them and when it last did."""

    camera_id: str = Field(examples=["c01"])
    track_id: int
    first_frame: int = Field(description="Global frame index.")
    last_frame: int = Field(description="Inclusive.")
    first_time: datetime
    last_time: datetime


class PersonAnswer(BaseModel):
    """Somebody, and when each camera saw them."""

    global_id: GlobalId
    first_frame: int
    last_frame: int
    cameras: list[str] = Field(description="In the order in which they first saw the person.")
    sightings: list[Stretch] = Field(description="In time order; those of different cameras may overlap.")


class PeoplePage(BaseModel):
    """The people of a task, in the order in which they were first seen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "people": [
                        {
                            "global_id": "5f0c6a4e-3",
                            "first_frame": 0,
                            "last_frame": 120,
                            "cameras": ["c01"],
                            "sightings": [
                                {
                                    "camera_id": "c01",
                                    "track_id": 7,
                                    "first_frame": 0,
                                    "last_frame": 120,
                                    "first_time": "2026-01-05T09:00:00Z",
                                    "last_time": "2026-01-05T09:00:05.217Z",
                                }
                            ],
                        }
                    ],
                    "next": None,
                }
            ]
        }
    )

    people: list[PersonAnswer]
    next: str | None = Field(description="The `after` of the next page; null at the end.")


class HeatmapAnswer(BaseModel):
    """Person-seconds on a grid over the map; somebody whom several cameras see together counts once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "environment_id": "campus",
                    "task_id": None,
                    "cell_m": 0.5,
                    "origin": [-2.0, 3.5],
                    "columns": 3,
                    "rows": 2,
                    "seconds": [[0.0, 1.3, 0.4], [0.0, 7.9, 0.0]],
                    "total_seconds": 9.6,
                    "outside_seconds": 0.0,
                }
            ]
        }
    )

    environment_id: str
    task_id: str | None
    cell_m: float = Field(description="Side of a cell, metres.")
    origin: tuple[float, float] = Field(description="Map position of the outer corner of `seconds[0][0]`, metres.")
    columns: int = Field(description="Along x.")
    rows: int = Field(description="Along y.")
    seconds: list[list[float]] = Field(description="Row by row, from the origin on: `seconds[row][column]`.")
    total_seconds: float
    outside_seconds: float = Field(description="Left out because they lie far from everything else.")


class SimilarSighting(BaseModel):
    """One track of somebody who looks like that, and its most similar look."""

    person: int = Field(description="From 1, the most similar first; the tracks of one person share it.")
    global_id: str | None = Field(description="Null for a track that nobody has named yet.", examples=["5f0c6a4e-3"])
    task_id: str
    environment_id: str
    camera_id: str
    track_id: int
    similarity: float = Field(description="Cosine.")
    first_time: datetime
    last_time: datetime
    first_frame: int = Field(description="Global frame index.")
    last_frame: int = Field(description="Inclusive.")
    time: datetime = Field(description="Of the most similar look.")
    global_frame_index: int
    media_time_s: float
    bbox: Bbox


class SearchAnswer(BaseModel):
    """The most similar people's sightings: best person first, then their best track."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "clip_reid:1",
                    "alike_from": 0.65,
                    "sightings": [
                        {
                            "person": 1,
                            "global_id": "5f0c6a4e-3",
                            "task_id": _TASK_ID,
                            "environment_id": "campus",
                            "camera_id": "c01",
                            "track_id": 7,
                            "similarity": 0.87,
                            "first_time": "2026-01-05T09:00:00Z",
                            "last_time": "2026-01-05T09:00:05.217Z",
                            "first_frame": 0,
                            "last_frame": 120,
                            "time": "2026-01-05T09:00:02Z",
                            "global_frame_index": 46,
                            "media_time_s": 2.0,
                            "bbox": [412.0, 220.5, 480.0, 431.0],
                        }
                    ],
                }
            ]
        }
    )

    model: str = Field(description="Whose embeddings were compared: name and version.")
    alike_from: float = Field(description="Cosine from which on the server takes two looks for one person's.")
    sightings: list[SimilarSighting]


class OccupancyBucket(BaseModel):
    """One stretch of time, of one camera or of all together."""

    time: datetime = Field(description="When it begins.")
    camera_id: str | None = Field(description="Null for the whole environment.")
    mean: float = Field(description="People in view at a time, over the whole stretch.")
    peak: int | None = Field(description="Most people at one tick; null with `means_only`.")
    people: int | None = Field(description="Different people; null with `means_only`.")


class OccupancyAnswer(BaseModel):
    """Stretches in which anybody was seen, in time order; those that are left out are empty."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "environment_id": "campus",
                    "task_id": None,
                    "bucket_s": 60,
                    "buckets": [
                        {"time": "2026-01-05T09:00:00Z", "camera_id": None, "mean": 3.4, "peak": 6, "people": 9}
                    ],
                }
            ]
        }
    )

    environment_id: str
    task_id: str | None
    bucket_s: float
    buckets: list[OccupancyBucket]


class ZoneDwell(BaseModel):
    """What happened in one zone."""

    zone_id: str = Field(examples=["entrance"])
    name: str
    polygon: list[tuple[float, float]] = Field(description="Corners, metres.")
    people: int
    visits: int
    seconds: float = Field(description="Of all visits together.")
    longest_seconds: float


class ZoneVisit(BaseModel):
    """Somebody in a zone."""

    zone_id: str = Field(examples=["entrance"])
    task_id: str
    global_id: str | None
    time: datetime = Field(description="When they came in, or into view.")
    seconds: float


class ZonesAnswer(BaseModel):
    """Dwell in the zones of the site file; empty where it draws none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "environment_id": "campus",
                    "task_id": _TASK_ID,
                    "zones": [
                        {
                            "zone_id": "entrance",
                            "name": "Entrance",
                            "polygon": [[0, 0], [4, 0], [4, 3]],
                            "people": 1,
                            "visits": 1,
                            "seconds": 12.4,
                            "longest_seconds": 12.4,
                        }
                    ],
                    "visits": [
                        {
                            "zone_id": "entrance",
                            "task_id": _TASK_ID,
                            "global_id": "5f0c6a4e-3",
                            "time": "2026-01-05T09:00:00Z",
                            "seconds": 12.4,
                        }
                    ],
                    "truncated": False,
                }
            ]
        }
    )

    environment_id: str
    task_id: str | None
    zones: list[ZoneDwell]
    visits: list[ZoneVisit] = Field(description="In time order.")
    truncated: bool = Field(description="Whether there were more visits than `limit`; `zones` counts them all.")


class LineCrossings(BaseModel):
    """How often one line was crossed; left and right are as seen from its first point."""

    line_id: str = Field(examples=["door"])
    name: str
    points: list[tuple[float, float]] = Field(description="Metres.")
    to_left: int
    to_right: int


class CrossingEvent(BaseModel):
    """Somebody crosses a line."""

    line_id: str = Field(examples=["door"])
    direction: Literal["to_left", "to_right"]
    time: datetime
    task_id: str
    global_id: str | None
    map_x: float
    map_y: float


class CrossingsAnswer(BaseModel):
    """Crossings of the lines of the site file; empty where it draws none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "environment_id": "campus",
                    "task_id": _TASK_ID,
                    "lines": [
                        {"line_id": "door", "name": "Door", "points": [[0, 0], [2, 0]], "to_left": 1, "to_right": 0}
                    ],
                    "crossings": [
                        {
                            "line_id": "door",
                            "direction": "to_left",
                            "time": "2026-01-05T09:00:00Z",
                            "task_id": _TASK_ID,
                            "global_id": "5f0c6a4e-3",
                            "map_x": 1.1,
                            "map_y": 0.1,
                        }
                    ],
                    "truncated": False,
                }
            ]
        }
    )

    environment_id: str
    task_id: str | None
    lines: list[LineCrossings]
    crossings: list[CrossingEvent] = Field(description="In time order.")
    truncated: bool = Field(description="Whether there were more crossings than `limit`; `lines` counts them all.")
