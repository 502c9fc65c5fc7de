"""What was seen in a task, tick by tick: its messages told again from history, under the names that hold now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from api.access.rules import AccessDep
from api.dependencies import ServicesDep
from api.models import TICK_EXAMPLE
from api.problems import example, problem_responses
from orchestrator.events import (
    CameraPayload,
    TrackingPayload,
    TrackPayload,
    absent_camera,
    camera_payload,
    track_payload,
    tracking_payload,
)
from orchestrator.history.queries import TrackRow
from orchestrator.history.sub_videos import StoredTick, ticks_of_task
from orchestrator.tasks import Task, TaskStatus

router = APIRouter()


class TicksPage(BaseModel):
    """Some ticks of a task, in order."""

    ticks: list[TrackingPayload] = Field(
        description="As the payload of `tracking_update`; `timestamp_processed_utc` is when the task last changed."
    )
    next: int | None = Field(description="The `from_frame` of the next page; null where nothing more is stored.")


@router.get(
    "/tasks/{task_id}/ticks",
    response_model=TicksPage,
    responses=example({"ticks": [TICK_EXAMPLE], "next": 363}) | problem_responses(404, 422, 503),
)
async def ticks(
    task_id: str,
    services: ServicesDep,
    access: AccessDep,
    from_frame: Annotated[int, Query(ge=0, lt=2**31, description="Global frame index.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="Ticks in one answer.")] = 240,
) -> Response:
    """What `tracking_update` said of each tick, names corrected; those of a batch under way may be yet to come."""
    task = await access.task(task_id)
    cameras = access.environment(task.environment_id).cameras
    whole = task.status is TaskStatus.COMPLETED
    found, following = await ticks_of_task(services.database.history, task.id, from_frame, limit, whole=whole)
    page = {"ticks": [_payload(task, tick, list(cameras)) for tick in found], "next": following}
    return Response(to_json(page), media_type="application/json")


def _payload(task: Task, tick: StoredTick, cameras: list[str]) -> TrackingPayload:
    seen = {camera: _camera(tick, camera) for camera in cameras}
    return tracking_payload(tick.frame, task.environment_id, tick.batch, task.updated_at, seen)


def _camera(tick: StoredTick, camera_id: str) -> CameraPayload:
    if camera_id not in tick.media_times_s:
        return absent_camera()
    tracks = [_track(row) for row in tick.tracks.get(camera_id, [])]
    return camera_payload(tick.tick, tick.media_times_s[camera_id], tracks)


def _track(row: TrackRow) -> TrackPayload:
    place = None if row.map_x is None or row.map_y is None else [round(row.map_x, 3), round(row.map_y, 3)]
    box = [round(value, 2) for value in row.bbox]
    return track_payload(row.track_id, row.global_id, box, round(row.confidence, 4), place)
