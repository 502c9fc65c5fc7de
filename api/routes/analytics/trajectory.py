"""Where a person went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from api.access.audit import audited
from api.access.rules import COSTLY_TABLE, Access, AccessDep
from api.dependencies import ServicesDep
from api.download import Download
from api.models import TEXT
from api.problems import problem_responses
from api.routes.analytics.models import TimeInCamera, TimeInZone, TrajectoryAnswer, TrajectoryPoint, TrajectorySummary
from api.routes.analytics.scope import End, Start, TaskId, span
from api.tabular import TableFormat, encode
from orchestrator.errors import UnknownEnvironmentError
from orchestrator.history import queries
from orchestrator.history.crossings import visits
from orchestrator.history.motion import MapPath, Motion, motion, simplify
from orchestrator.history.queries import Rows, TrackRow
from orchestrator.values import Bool, Float64, Int64
from orchestrator.zones import Zone

MAX_POINTS = 100_000
_PIECE_POINTS = 500

router = APIRouter()


class TrajectoryFormat(StrEnum):
    """Which form."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_CONTENT = {
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}


@router.get(
    "/trajectory/{global_person_id}",
    dependencies=[audited("export", list(TableFormat)), COSTLY_TABLE],
    response_model=TrajectoryAnswer,
    responses={200: {"content": _CONTENT}, **problem_responses(404, 422, 503)},
)
async def trajectory(
    global_person_id: Annotated[str, Path(max_length=128, pattern=TEXT, examples=["5f0c6a4e-3"])],
    services: ServicesDep,
    access: AccessDep,
    task_id: TaskId = None,
    start: Start = None,
    end: End = None,
    output: Annotated[TrajectoryFormat, Query(alias="format")] = TrajectoryFormat.JSON,
    simplify_m: Annotated[
        float | None, Query(gt=0, le=100, description="JSON: leave out points that say nothing new, to so many metres.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POINTS, description="JSON: sightings in one answer.")] = MAX_POINTS,
) -> Response:
    """Where a person was seen, in time order, merged across cameras; CSV and Parquet hold every sighting as it is."""
    start, end = span(start, end)
    if task_id is not None:
        task_id = (await access.task(task_id)).id
    pool = services.database.history
    if output is not TrajectoryFormat.JSON:
        table = TableFormat(output)
        blocks = queries.trajectory(pool, global_person_id, task_id, start, end, access.scope)
        return await Download.start(encode(blocks, table), table.media_type, f"trajectory.{table}")
    found = queries.trajectory(pool, global_person_id, task_id, start, end, access.scope)
    rows, following = _whole_ticks(await _first(found, limit), limit)
    return await respond(global_person_id, rows, simplify_m, following, await _zones(access, rows))


async def respond(
    global_id: str, rows: Rows, simplify_m: float | None, following: datetime | None, zones: Mapping[str, Zone]
) -> StreamingResponse:
    """As JSON, made in a thread while it is sent: a long one would hold up every other client for seconds."""
    answer, points = await asyncio.to_thread(_answer, global_id, rows, simplify_m, following, zones)
    return StreamingResponse(_json(answer, points), media_type="application/json")


async def _json(answer: TrajectoryAnswer, points: Iterator[TrajectoryPoint]) -> AsyncGenerator[bytes, None]:
    yield answer.model_dump_json(exclude={"points"}).removesuffix("}").encode() + b',"points":['
    separator = b""
    while piece := await asyncio.to_thread(_piece, points):
        yield separator + piece
        separator = b","
    yield b"]}"


def _piece(points: Iterator[TrajectoryPoint]) -> bytes:
    return b",".join(point.model_dump_json().encode() for point in islice(points, _PIECE_POINTS))


async def _first(found: AsyncGenerator[Rows, None], limit: int) -> list[TrackRow]:
    """At least one row more than ``limit``, where there are so many."""
    first: list[TrackRow] = []
    async with aclosing(found) as blocks:
        async for rows in blocks:
            first += rows
            if len(first) > limit:
                break
    return first


def _whole_ticks(rows: list[TrackRow], limit: int) -> tuple[Rows, datetime | None]:
    """What fits, in whole ticks but at least one of them, and the time of the tick after."""
    if len(rows) <= limit:
        return rows, None
    starts = [0, *(index for index in range(1, len(rows)) if rows[index].time != rows[index - 1].time)]
    end = max(next((start for start in reversed(starts) if start <= limit), 0), *starts[1:2])
    return (rows[:end], rows[end].time) if end else (rows, None)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Sightings [N] in time order."""

    times_s: Float64
    path: MapPath
    motion: Motion
    tick_of: Int64
    """[N] index into the path; -1 for a sighting without a place."""

    @classmethod
    def of(cls, rows: Rows) -> _Columns:
        """Their path, and the motion along it."""
        first = rows[0].time
        times_s = np.array([(row.time - first).total_seconds() for row in rows])
        xy = np.array([(row.map_x, row.map_y) for row in rows], np.float64)
        placed: Bool = np.asarray(np.isfinite(xy).all(axis=1))
        path = MapPath.of(times_s, xy)
        tick_of = np.full(len(rows), -1, np.int64)
        if len(path):
            starts = times_s[placed][0] + path.times_s
            tick_of[placed] = np.searchsorted(starts, times_s[placed] + 1e-9, side="right") - 1
        return cls(times_s, path, motion(path), tick_of)


async def _zones(access: Access, rows: Rows) -> dict[str, Zone]:
    """The zones on the map that the sightings are on; those of the first task, should an id be of several."""
    if not rows:
        return {}
    task = await access.task(rows[0].task_id)
    try:
        return access.environment(task.environment_id).zones
    except UnknownEnvironmentError:  # the site file does not have it any more
        return {}


def _answer(
    global_id: str, rows: Rows, simplify_m: float | None, following: datetime | None, zones: Mapping[str, Zone]
) -> tuple[TrajectoryAnswer, Iterator[TrajectoryPoint]]:
    """All but the points, and those one by one."""
    if not rows:
        nothing = TrajectorySummary(
            sightings=0, seconds=0, distance_m=0, mean_speed_mps=None, max_speed_mps=None, cameras=[], zones=[]
        )
        return TrajectoryAnswer(global_person_id=global_id, points=[], summary=nothing, next=None), iter(())
    columns = _Columns.of(rows)
    kept = range(len(rows)) if simplify_m is None else _kept(columns, simplify_m)
    speeds = np.append(columns.motion.speeds, np.nan)[columns.tick_of]  # -1 takes the NaN at the end
    summary = _summary(rows, columns, zones)
    answer = TrajectoryAnswer(global_person_id=global_id, points=[], summary=summary, next=following)
    return answer, (_point(rows[index], float(speeds[index])) for index in kept)


def _kept(columns: _Columns, tolerance_m: float) -> Sequence[int]:
    """One sighting for each place that is kept."""
    keep = np.append(simplify(columns.path, tolerance_m), False)
    first_of_tick = np.r_[True, np.diff(columns.tick_of) != 0]
    kept: list[int] = np.flatnonzero(keep[columns.tick_of] & first_of_tick).tolist()
    return kept


def _point(row: TrackRow, speed: float) -> TrajectoryPoint:
    return TrajectoryPoint(
        time=row.time,
        task_id=row.task_id,
        camera_id=row.camera_id,
        track_id=row.track_id,
        global_frame_index=row.global_frame_index,
        media_time_s=row.media_time_s,
        map_x=row.map_x,
        map_y=row.map_y,
        bbox=row.bbox,
        confidence=row.confidence,
        speed_mps=None if np.isnan(speed) else round(speed, 3),
    )


def _summary(rows: Rows, columns: _Columns, zones: Mapping[str, Zone]) -> TrajectorySummary:
    tick_s = _tick_s(rows)
    moving = columns.motion.speeds[np.isfinite(columns.motion.speeds)]
    cameras: dict[str, list[TrackRow]] = {}
    for row in rows:
        cameras.setdefault(row.camera_id, []).append(row)
    return TrajectorySummary(
        sightings=len(rows),
        seconds=round(_ticks(rows) * tick_s, 3),
        distance_m=round(columns.motion.distance(columns.path), 3),
        mean_speed_mps=round(float(moving.mean()), 3) if len(moving) else None,
        max_speed_mps=round(float(moving.max()), 3) if len(moving) else None,
        cameras=[
            TimeInCamera(
                camera_id=camera_id,
                seconds=round(_ticks(seen) * tick_s, 3),
                first_time=seen[0].time,
                last_time=seen[-1].time,
            )
            for camera_id, seen in cameras.items()
        ],
        zones=[_time_in_zone(zone_id, zone, columns, tick_s) for zone_id, zone in zones.items()],
    )


def _time_in_zone(zone_id: str, zone: Zone, columns: _Columns, tick_s: float) -> TimeInZone:
    found = visits(columns.path, columns.motion.xy, zone)
    seconds = sum(visit.seconds(columns.path, tick_s) for visit in found)
    return TimeInZone(zone_id=zone_id, visits=len(found), seconds=round(seconds, 3))


def _ticks(rows: Rows) -> int:
    return len({(row.task_id, row.global_frame_index) for row in rows})


def _tick_s(rows: Rows) -> float:
    """Seconds from one tick to the next; 0 where a single tick cannot tell."""
    first = rows[0]
    last = next(row for row in reversed(rows) if row.task_id == first.task_id)
    frames = last.global_frame_index - first.global_frame_index
    return (last.time - first.time).total_seconds() / frames if frames else 0.0
