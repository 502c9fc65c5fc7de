"""Small finished tasks, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from demo.recording import CameraRecord, MediaFile, Recording, Sightings, Ticks, Timings

RATE = 12.0


def sightings(frames: Any, people: Any, boxes: Any = None, map_xy: Any = None) -> Sightings:
    frames = np.asarray(frames, np.int64)
    people = np.asarray(people, np.int64)
    count = len(frames)
    return Sightings(
        frames=frames,
        track_ids=people + 10,
        people=people,
        boxes=np.zeros((count, 4), np.float32) if boxes is None else np.asarray(boxes, np.float32),
        confidences=np.ones(count, np.float32),
        map_xy=np.full((count, 2), np.nan) if map_xy is None else np.asarray(map_xy, np.float64),
    )


def camera(name: str, seen: Sightings, frames_per_batch: int, batches: int = 1, rate: float = RATE) -> CameraRecord:
    frames = np.arange(frames_per_batch * batches)
    media = tuple(
        MediaFile(
            name, batch, f"sub_video_{batch + 1:02d}.mp4", "/", batch * frames_per_batch, frames_per_batch, rate, 0.0
        )
        for batch in range(batches)
    )
    ticks = Ticks(frames, frames // frames_per_batch, frames % frames_per_batch / rate)
    return CameraRecord(name, ticks, seen, media, tuple(Path(file.filename) for file in media))


def recording(*cameras: CameraRecord, people: int = 2, details: dict[str, Any] | None = None) -> Recording:
    return Recording(
        task_id="abcd1234",
        environment_id="campus",
        cameras={each.camera_id: each for each in cameras},
        people=tuple(f"abcd1234-{person + 1}" for person in range(people)),
        ticks=max(len(each.ticks) for each in cameras),
        batches=max(len(each.media) for each in cameras),
        corrections=0,
        status={"status": "COMPLETED", "details": details or {}},
        timings=Timings(1.0, 2.0, 4.0),
    )
