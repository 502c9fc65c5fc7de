"""The messages that a run sends of itself, made from what the stages hand over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from orchestrator.association import CameraResult
from orchestrator.batch import BatchReader, CameraFile
from orchestrator.correction import NamedStretch
from orchestrator.events import (
    Correction,
    MediaAvailable,
    MediaPayload,
    MediaUrl,
    TrackingUpdate,
    absent_camera,
    camera_payload,
    media_path,
    track_payloads,
    tracking_payload,
)
from orchestrator.history.sub_videos import SubVideoTicks
from orchestrator.site import Environment
from orchestrator.tasks import Task
from orchestrator.values import Frame


def media_available(
    task: Task, batch_index: int, first_tick: int, rate: float, files: Sequence[CameraFile], reader: BatchReader
) -> MediaAvailable:
    """Where the files of a batch are; frames are counted in ticks of ``rate`` a second."""
    urls = (
        MediaUrl(
            camera_id=file.camera_id,
            sub_video_filename=file.sub_video.filename,
            url=media_path(task.id, task.environment_id, file.camera_id, file.sub_video.filename),
            start_global_frame_index=first_tick,
            num_frames_in_sub_video=reader.ticks_of(file.camera_id),
            fps=rate,
            start_time_s=file.probe.start_time_s,
        )
        for file in files
    )
    return MediaAvailable(payload=MediaPayload(sub_video_batch_index=batch_index, media_urls=tuple(urls)))


def sub_video_ticks(files: Sequence[CameraFile], reader: BatchReader) -> list[SubVideoTicks]:
    """The same files as history keeps them."""
    return [
        SubVideoTicks(
            file.camera_id, file.sub_video.filename, file.probe.start_time_s, reader.media_times_of(file.camera_id)
        )
        for file in files
    ]


def tracking_update(
    environment: Environment,
    batch_index: int,
    global_tick: int,
    batch_tick: int,
    frames: Sequence[Frame],
    results: Sequence[CameraResult],
) -> TrackingUpdate:
    """One tick as clients get it: all cameras of the environment, those without a frame as nulls."""
    cameras = {camera_id: absent_camera() for camera_id in environment.cameras}
    for frame, result in zip(frames, results, strict=True):
        tracks = track_payloads(result.tracks, result.identities)
        cameras[frame.camera_id] = camera_payload(batch_tick, round(frame.media_time_s, 6), tracks)
    return TrackingUpdate(
        payload=tracking_payload(global_tick, environment.id, batch_index, datetime.now(UTC), cameras)
    )


def corrections_of(stretches: Sequence[NamedStretch], renamed: Collection[tuple[str, int]]) -> tuple[Correction, ...]:
    """What clients have to rename: the stretches whose name is another than the one they were told.

    Args:
        stretches: all of the recording.
        renamed: (camera id, track id) of tracks that were told under several names before.
    """
    return tuple(
        Correction(
            from_global_id=item.before,
            to_global_id=item.global_id,
            camera_id=item.camera_id,
            track_id=item.track_id,
            from_frame=item.first_frame,
            to_frame=item.last_frame,
        )
        for item in stretches
        if item.global_id != item.before or (item.camera_id, item.track_id) in renamed
    )
