"""The messages to clients, as the wire contract has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, SkipValidation
from pydantic_core import to_json
from typing_extensions import TypedDict

from orchestrator.tasks import Task, TaskStatus
from orchestrator.values import Bool, Identities, Tracks


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Message(_Model):
    """One message to clients; ``payload`` is what the contract says for its ``type``."""

    type: str

    def head(self) -> bytes:
        """The message as JSON, up to where its ``seq`` goes."""
        return self.model_dump_json().encode()[:-1]

    def wire(self, seq: int) -> bytes:
        """The whole message as it goes to clients."""
        return complete(self.head(), seq)

    def position(self) -> tuple[str, int] | None:
        """A counter's name and this message's place on it; a message not above the last one's place is a repeat."""
        return None

    def batch(self) -> int | None:
        """The sub-video batch that this message shows to be under way."""
        return None


class StatusPayload(_Model):
    """The status answer of a task."""

    task_id: str
    status: TaskStatus
    progress: float
    current_step: str
    details: dict[str, Any]
    environment_id: str
    cameras: tuple[str, ...] | None = None
    """Those that were chosen; null for all of the environment."""
    created_at: datetime
    updated_at: datetime
    total_sub_video_batches: int | None
    completed_sub_video_batches: int
    processed_frames: int

    @classmethod
    def of(cls, task: Task) -> Self:
        """The status of a task as it is stored."""
        values = {name: getattr(task, name) for name in cls.model_fields if name != "task_id"}
        return cls(task_id=task.id, **values)


class StatusUpdate(Message):
    """How far the task is."""

    type: Literal["status_update"] = "status_update"
    payload: StatusPayload

    @classmethod
    def of(cls, task: Task) -> Self:
        """The message that tells a task's stored status."""
        return cls(payload=StatusPayload.of(task))


class MediaUrl(_Model):
    """Where one camera's sub-video is, and how its frames are counted (at the processing rate)."""

    camera_id: str
    sub_video_filename: str
    url: str
    start_global_frame_index: int
    num_frames_in_sub_video: int
    fps: float
    start_time_s: float
    """Presentation time of the first frame within the file."""


class MediaPayload(_Model):
    """The sub-videos of one batch."""

    sub_video_batch_index: int
    media_urls: tuple[MediaUrl, ...]


class MediaAvailable(Message):
    """A batch's sub-videos can be played."""

    type: Literal["media_available"] = "media_available"
    payload: MediaPayload

    def position(self) -> tuple[str, int]:
        """Once a batch."""
        return "media", self.payload.sub_video_batch_index


class TrackPayload(TypedDict):
    """One person in one frame."""

    track_id: int
    global_id: str | None
    bbox_xyxy: list[float]
    """px of the source frame."""
    confidence: float
    class_id: int
    map_coords: list[float] | None
    """Metres."""


class CameraPayload(TypedDict):
    """One camera at one tick; the three frame fields are null where it is absent or has ended."""

    image_source: str | None
    frame_index_in_sub_video: int | None
    media_time_s: float | None
    """Presentation time within the file."""
    tracks: list[TrackPayload]


class TrackingPayload(TypedDict):
    """All cameras of the environment at one tick."""

    global_frame_index: int
    scene_id: str
    timestamp_processed_utc: str
    sub_video_batch_index_of_frame: int
    cameras: dict[str, CameraPayload]


class TrackingUpdate(Message):
    """One tick. Its payload is built by this process alone, so it is written as it is and not validated."""

    type: Literal["tracking_update"] = "tracking_update"
    payload: Annotated[TrackingPayload, SkipValidation]

    def head(self) -> bytes:
        """As for every message, at half the cost of a walk through the payload's types."""
        return b'{"type":"tracking_update","payload":' + to_json(self.payload, inf_nan_mode="null")

    def position(self) -> tuple[str, int]:
        """Once a tick."""
        return "frame", self.payload["global_frame_index"]

    def batch(self) -> int:
        """The batch of the tick."""
        return self.payload["sub_video_batch_index_of_frame"]


class BatchPayload(_Model):
    """Names a batch."""

    sub_video_batch_index: int


class BatchProcessingComplete(Message):
    """Every tick of a batch was sent and stored."""

    type: Literal["batch_processing_complete"] = "batch_processing_complete"
    payload: BatchPayload

    def position(self) -> tuple[str, int]:
        """Once a batch."""
        return "complete", self.payload.sub_video_batch_index


class Correction(_Model):
    """A track, or a stretch of it, belongs to somebody else than was said, whatever its single ticks said."""

    from_global_id: str | None
    """What the track was called last."""
    to_global_id: str | None
    """Nobody is known where it is null."""
    camera_id: str
    track_id: int
    from_frame: int
    to_frame: int
    """Inclusive."""


class CorrectionsPayload(_Model):
    """What a second look at the recording changed."""

    corrections: tuple[Correction, ...]


class IdentityCorrected(Message):
    """Identities told earlier have to be replaced."""

    type: Literal["identity_corrected"] = "identity_corrected"
    payload: CorrectionsPayload

    def position(self) -> tuple[str, int]:
        """Once a task: the second pass comes to the same corrections when a resumed worker does it again."""
        return "corrected", 0


class FocusPayload(_Model):
    """Who is followed; None for nobody."""

    global_id: str | None


class FocusChanged(Message):
    """Somebody else is followed now."""

    type: Literal["focus_changed"] = "focus_changed"
    payload: FocusPayload


class LostPayload(_Model):
    """The messages that a client can no longer have, by ``seq``, both inclusive."""

    first_seq: int
    last_seq: int | None
    """None where the whole log is gone, so that nobody knows."""


class MessagesLost(Message):
    """The log's bound or life-time was passed before the client came; told to that client alone, never stored."""

    type: Literal["messages_lost"] = "messages_lost"
    payload: LostPayload


def media_path(task_id: str, environment_id: str, camera_id: str, filename: str) -> str:
    """Where the API serves a sub-video of a task."""
    return f"/api/v1/media/tasks/{task_id}/environments/{environment_id}/cameras/{camera_id}/sub_videos/{filename}"


def track_payloads(tracks: Tracks, identities: Identities) -> list[TrackPayload]:
    """The tracks of one camera as clients get them: boxes to 0.01 px, map positions to the millimetre."""
    places = identities.map_xy.round(3)
    known: Bool = np.asarray(np.isfinite(places).all(axis=1))
    columns = zip(
        tracks.track_ids.tolist(),
        identities.global_ids,
        tracks.boxes.astype(np.float64).round(2).tolist(),
        tracks.scores.astype(np.float64).round(4).tolist(),
        places.tolist(),
        known.tolist(),
        strict=True,
    )
    return [
        track_payload(track_id, global_id, box, score, place if on_map else None)
        for track_id, global_id, box, score, place, on_map in columns
    ]


def track_payload(
    track_id: int, global_id: str | None, box: list[float], score: float, place: list[float] | None
) -> TrackPayload:
    """One person in one frame; numbers are rounded already."""
    return {
        "track_id": track_id,
        "global_id": global_id,
        "bbox_xyxy": box,
        "confidence": score,
        "class_id": 1,
        "map_coords": place,
    }


def camera_payload(batch_tick: int, media_time_s: float, tracks: list[TrackPayload]) -> CameraPayload:
    """A camera that gave a frame at a tick of its batch."""
    return {
        "image_source": f"{batch_tick:06d}.jpg",
        "frame_index_in_sub_video": batch_tick,
        "media_time_s": media_time_s,
        "tracks": tracks,
    }


def absent_camera() -> CameraPayload:
    """A camera that gave no frame."""
    return {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []}


def tracking_payload(
    frame: int, environment_id: str, batch: int, processed: datetime, cameras: dict[str, CameraPayload]
) -> TrackingPayload:
    """One tick of all cameras; ``processed`` in UTC."""
    return {
        "global_frame_index": frame,
        "scene_id": environment_id,
        "timestamp_processed_utc": processed.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sub_video_batch_index_of_frame": batch,
        "cameras": cameras,
    }


def complete(head: bytes, seq: int) -> bytes:
    """The whole message, from its ``head`` and its place in the log."""
    return head + b',"seq":%d}' % seq
