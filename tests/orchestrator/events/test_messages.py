"""The messages have the shape that the wire contract gives them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from orchestrator.events import (
    BatchPayload,
    BatchProcessingComplete,
    Correction,
    CorrectionsPayload,
    FocusChanged,
    FocusPayload,
    IdentityCorrected,
    MediaAvailable,
    MediaPayload,
    MediaUrl,
    Message,
    StatusUpdate,
    TrackingUpdate,
    track_payloads,
)
from orchestrator.tasks import Task, TaskStatus
from orchestrator.values import Identities, Tracks

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TASK = Task(
    id="5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a",
    environment_id="campus",
    cameras=None,
    start_batch=None,
    end_batch=None,
    status=TaskStatus.PROCESSING,
    progress=0.5,
    current_step="processing sub-video batch 1",
    details={"absent": {"c02": [1]}},
    focus_global_id=None,
    total_sub_video_batches=4,
    completed_sub_video_batches=2,
    processed_frames=960,
    attempt=1,
    created_at=NOON,
    updated_at=NOON,
)
TRACKS = Tracks(
    np.array([3, 4]),
    np.array([[1.239, 2, 3, 4], [5, 6, 7, 8]], np.float32),
    np.array([0.91234, 0.5], np.float32),
    np.array([1, 0]),
)
IDENTITIES = Identities(["5f0c6a4e-1", None], np.array([[12.34567, -3.0], [np.nan, np.nan]]))


def sent(message: Message, seq: int = 7) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(message.wire(seq))
    assert set(decoded) == {"type", "payload", "seq"}
    assert decoded["seq"] == seq
    return decoded


def test_status_update_is_the_status_answer() -> None:
    message = sent(StatusUpdate.of(TASK))

    assert message["type"] == "status_update"
    assert message["payload"] == {
        "task_id": TASK.id,
        "status": "PROCESSING",
        "progress": 0.5,
        "current_step": "processing sub-video batch 1",
        "details": {"absent": {"c02": [1]}},
        "environment_id": "campus",
        "cameras": None,
        "created_at": "2026-01-05T12:00:00Z",
        "updated_at": "2026-01-05T12:00:00Z",
        "total_sub_video_batches": 4,
        "completed_sub_video_batches": 2,
        "processed_frames": 960,
    }


def test_a_track_has_every_key_and_null_where_nothing_is_known() -> None:
    assert track_payloads(TRACKS, IDENTITIES) == [
        {
            "track_id": 3,
            "global_id": "5f0c6a4e-1",
            "bbox_xyxy": [1.24, 2.0, 3.0, 4.0],
            "confidence": 0.9123,
            "class_id": 1,
            "map_coords": [12.346, -3.0],
        },
        {
            "track_id": 4,
            "global_id": None,
            "bbox_xyxy": [5.0, 6.0, 7.0, 8.0],
            "confidence": 0.5,
            "class_id": 1,
            "map_coords": None,
        },
    ]


def test_tracking_update_is_written_as_it_was_built() -> None:
    payload: dict[str, Any] = {
        "global_frame_index": 130,
        "scene_id": "campus",
        "timestamp_processed_utc": "2026-01-05T12:00:00Z",
        "sub_video_batch_index_of_frame": 1,
        "cameras": {
            "c01": {
                "image_source": "000010.jpg",
                "frame_index_in_sub_video": 10,
                "media_time_s": 10 / 12,
                "tracks": track_payloads(TRACKS, IDENTITIES),
            },
            "c02": {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []},
        },
    }
    message = TrackingUpdate(payload=payload)

    assert sent(message)["payload"] == payload
    assert (message.position(), message.batch()) == (("frame", 130), 1)


@pytest.mark.parametrize(
    ("message", "kind", "payload"),
    [
        (
            MediaAvailable(
                payload=MediaPayload(
                    sub_video_batch_index=2,
                    media_urls=(
                        MediaUrl(
                            camera_id="c01",
                            sub_video_filename="sub_video_03.mp4",
                            url="/api/v1/media/x",
                            start_global_frame_index=240,
                            num_frames_in_sub_video=120,
                            fps=12.0,
                            start_time_s=0.0,
                        ),
                    ),
                )
            ),
            "media_available",
            {
                "sub_video_batch_index": 2,
                "media_urls": [
                    {
                        "camera_id": "c01",
                        "sub_video_filename": "sub_video_03.mp4",
                        "url": "/api/v1/media/x",
                        "start_global_frame_index": 240,
                        "num_frames_in_sub_video": 120,
                        "fps": 12.0,
                        "start_time_s": 0.0,
                    }
                ],
            },
        ),
        (
            BatchProcessingComplete(payload=BatchPayload(sub_video_batch_index=2)),
            "batch_processing_complete",
            {"sub_video_batch_index": 2},
        ),
        (
            IdentityCorrected(
                payload=CorrectionsPayload(
                    corrections=(
                        Correction(
                            from_global_id="a-1",
                            to_global_id="a-2",
                            camera_id="c01",
                            track_id=3,
                            from_frame=0,
                            to_frame=9,
                        ),
                    )
                )
            ),
            "identity_corrected",
            {
                "corrections": [
                    {
                        "from_global_id": "a-1",
                        "to_global_id": "a-2",
                        "camera_id": "c01",
                        "track_id": 3,
                        "from_frame": 0,
                        "to_frame": 9,
                    }
                ]
            },
        ),
        (FocusChanged(payload=FocusPayload(global_id=None)), "focus_changed", {"global_id": None}),
    ],
)
def test_the_other_messages(message: Message, kind: str, payload: dict[str, Any]) -> None:
    assert sent(message) == {"type": kind, "payload": payload, "seq": 7}


def test_no_track_is_an_empty_list() -> None:
    assert track_payloads(Tracks.empty(), Identities([], np.zeros((0, 2)))) == []
