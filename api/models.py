"""Request and response bodies of the REST API, with examples."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.events import StatusPayload
from orchestrator.zones import Line, Zone

TEXT = r"^[^\x00]+$"
"""Text that a database can hold."""
_TASK_ID = "5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a"


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")


class StartRequest(_Request):
    """What to process."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"environment_id": "campus"}]})

    environment_id: str = Field(min_length=1, max_length=64)
    cameras: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="Left out: all of them.")
    start_batch: int | None = Field(None, ge=0, le=1_000_000, description="First sub-video batch, from 0.")
    end_batch: int | None = Field(None, ge=1, le=1_000_000, description="One past the last sub-video batch.")

    @model_validator(mode="after")
    def _check_batches(self) -> Self:
        if self.end_batch is not None and self.end_batch <= (self.start_batch or 0):
            raise ValueError("end_batch has to lie above start_batch")
        return self


class StartAnswer(BaseModel):
    """Where to follow the task."""

    task_id: str = Field(examples=[_TASK_ID])
    message: str
    status_url: str = Field(examples=[f"/api/v1/processing-tasks/{_TASK_ID}/status"])
    websocket_url: str = Field(examples=[f"/ws/tracking/{_TASK_ID}"])


class TicketAnswer(BaseModel):
    """Where to follow a task, with a ticket where access control is on; the task's media take the same ticket."""

    websocket_url: str = Field(examples=[f"/ws/tracking/{_TASK_ID}"])


MEDIA_EXAMPLE = {
    "sub_video_batch_index": 0,
    "media_urls": [
        {
            "camera_id": "c01",
            "sub_video_filename": "sub_video_01.mp4",
            "url": f"/api/v1/media/tasks/{_TASK_ID}/environments/campus/cameras/c01/sub_videos/sub_video_01.mp4",
            "start_global_frame_index": 0,
            "num_frames_in_sub_video": 690,
            "fps": 23.0,
            "start_time_s": 0.0,
        }
    ],
}
TICK_EXAMPLE = {
    "global_frame_index": 123,
    "scene_id": "campus",
    "timestamp_processed_utc": "2026-01-05T09:00:21.345Z",
    "sub_video_batch_index_of_frame": 0,
    "cameras": {
        "c01": {
            "image_source": "000123.jpg",
            "frame_index_in_sub_video": 123,
            "media_time_s": 5.347826,
            "tracks": [
                {
                    "track_id": 7,
                    "global_id": "5f0c6a4e-3",
                    "bbox_xyxy": [412.0, 220.5, 480.0, 431.0],
                    "confidence": 0.93,
                    "class_id": 1,
                    "map_coords": [12.5, 3.1],
                }
            ],
        },
        "c02": {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []},
    },
}


STATUS_EXAMPLE: dict[str, Any] = {
    "task_id": _TASK_ID,
    "status": "PROCESSING",
    "progress": 0.42,
    "current_step": "batch 2 of 4",
    "details": {"absent": "camera c05 has no sub_video_02.mp4"},
    "environment_id": "campus",
    "cameras": ["c01", "c05"],
    "created_at": "2026-01-05T09:00:00Z",
    "updated_at": "2026-01-05T09:00:21Z",
    "total_sub_video_batches": 4,
    "completed_sub_video_batches": 1,
    "processed_frames": 812,
}


class StatusAnswer(StatusPayload):
    """How far a task is: what ``status_update`` tells too."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATUS_EXAMPLE]})


class TaskPage(BaseModel):
    """Tasks, newest first."""

    tasks: list[StatusAnswer]
    next: str | None = Field(description="The `before` of the next page; null at the end.")


class Action(StrEnum):
    """What can be done to a task."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FOCUS_TRACK = "focus_track"
    CLEAR_FOCUS = "clear_focus"


class ControlRequest(_Request):
    """What to do to a task."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "pause"}, {"action": "focus_track", "global_id": "5f0c6a4e-3"}]}
    )

    action: Action
    global_id: str | None = Field(None, max_length=128, pattern=TEXT, description="Whom to follow, for `focus_track`.")

    @model_validator(mode="after")
    def _check_focus(self) -> Self:
        if self.action is Action.FOCUS_TRACK and self.global_id is None:
            raise ValueError("focus_track needs a global_id")
        return self

    @property
    def focus(self) -> str | None:
        """Whom to follow after the action."""
        return self.global_id if self.action is Action.FOCUS_TRACK else None


class ControlAnswer(StatusAnswer):
    """The state after the action."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATUS_EXAMPLE | {"focus_global_id": "5f0c6a4e-3"}]})

    focus_global_id: str | None


class EnvironmentAnswer(BaseModel):
    """One environment of the site file."""

    environment_id: str = Field(examples=["campus"])
    name: str
    recorded_from: datetime | None
    cameras: list[str] = Field(examples=[["c01", "c02"]])
    overlaps: list[tuple[str, str]]
    zones: dict[str, Zone] = Field(description="Areas of the map in which dwell is counted; metres.")
    lines: dict[str, Line] = Field(description="Lines of the map whose crossings are counted; metres.")


class CameraAnswer(BaseModel):
    """One camera, as far as its video can be read."""

    camera_id: str = Field(examples=["c01"])
    name: str
    prefix: str = Field(examples=["video_s37/c01"])
    has_homography: bool
    resolution: tuple[int, int] | None = Field(description="Width and height, px; null when the video cannot be read.")
    fps: float | None = Field(description="Frames a second; null when the video cannot be read.")
    sub_videos: int | None = Field(description="Number of sub-videos; null when they cannot be listed.")
    problem: str | None = Field(description="Why something above is null.")


class ComponentState(StrEnum):
    """Whether a part can be used now."""

    UP = "up"
    WARMING = "warming"
    DOWN = "down"


class Component(BaseModel):
    """One part that the system needs."""

    status: ComponentState
    detail: str


_PARTS = {
    "postgres": "PostgreSQL 18.1",
    "redis": "answers",
    "object_store": "bucket spoton: 4 sub-videos of camera c01",
    "detector": "person_detector version 1",
    "reid": "person_reid version 1",
}


class HealthAnswer(BaseModel):
    """Whether the system can do its work."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "degraded",
                    "detector_model_loaded": True,
                    "prototype_tracker_loaded (reid_model)": True,
                    "prototype_tracker_loaded": True,
                    "homography_matrices_precomputed": True,
                    "components": {
                        **{name: {"status": "up", "detail": detail} for name, detail in _PARTS.items()},
                        "worker": {"status": "down", "detail": "no worker has reported lately"},
                    },
                }
            ]
        }
    )

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="unhealthy: tasks cannot be started or followed; degraded: something else is missing."
    )
    detector_model_loaded: bool = Field(description="Triton reports it ready and it answered a warm-up request.")
    reid_model_loaded: bool = Field(
        serialization_alias="prototype_tracker_loaded (reid_model)", description="The same for the Re-ID model."
    )
    prototype_tracker_loaded: bool = Field(description="The same again: some clients read this spelling.")
    homography_matrices_precomputed: bool
    components: dict[str, Component]
