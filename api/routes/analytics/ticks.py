"""What was seen in a task, tick by tick: its messages told again from history, under the names that hold now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from api.access.rules import AccessDep
from api.dependencies import ServicesDep
from api.problems import problem_responses
from orchestrator.events import CameraPayload, TrackingPayload, TrackPayload
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


@router.get("/tasks/{task_id}/ticks", response_model=TicksPage, responses=problem_responses(404, 422, 503))
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
    return {
        "global_frame_index": tick.frame,
        "scene_id": task.environment_id,
        "timestamp_processed_utc": task.updated_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sub_video_batch_index_of_frame": tick.batch,
        "cameras": {camera: _camera(tick, camera) for camera in cameras},
    }


def _camera(tick: StoredTick, camera_id: str) -> CameraPayload:
    if camera_id not in tick.media_times_s:
        return {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []}
    return {
        "image_source": f"{tick.tick:06d}.jpg",
        "frame_index_in_sub_video": tick.tick,
        "media_time_s": tick.media_times_s[camera_id],
        "tracks": [_track(row) for row in tick.tracks.get(camera_id, [])],
    }


def _track(row: TrackRow) -> TrackPayload:
    place = None if row.map_x is None or row.map_y is None else [round(row.map_x, 3), round(row.map_y, 3)]
    return {
        "track_id": row.track_id,
        "global_id": row.global_id,
        "bbox_xyxy": [round(value, 2) for value in row.bbox],
        "confidence": round(row.confidence, 4),
        "class_id": 1,
        "map_coords": place,
    }
