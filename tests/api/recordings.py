"""A recording that was never processed: its videos, and the messages and rows that a worker would have left of it.

Nine cameras, two sub-videos each; every picture carries its global frame index as black and white blocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from orchestrator.events import (
    BatchPayload,
    BatchProcessingComplete,
    EventLog,
    MediaAvailable,
    MediaPayload,
    MediaUrl,
    StatusUpdate,
    TrackingUpdate,
    media_path,
    track_payloads,
)
from orchestrator.history.pool import open_pool
from orchestrator.history.schema import ensure_schema
from orchestrator.history.sub_videos import SubVideoTicks
from orchestrator.history.writer import HistoryWriter
from orchestrator.inference.protocols import ModelId
from orchestrator.settings import Settings
from orchestrator.tasks import Task, TaskStatus, TaskStore
from orchestrator.values import Float32, Frame, Identities, Tracks, UInt8
from tests.orchestrator.videos import write_video

CAMERAS = tuple(f"k{number}" for number in range(1, 10))
FPS, TICKS, BATCHES = 12, 36, 2
SIZE_HW = (180, 320)
BITS, BLOCK = 7, 32
RECORDED_FROM = datetime(2026, 1, 5, 9, tzinfo=UTC)
WALKER, SITTER = 1, 2
"""Their track ids in every camera, and the ends of their global ids."""


def write_site(folder: Path) -> Path:
    """Videos under ``folder / "videos"``, each too large for one piece; gives the site file."""
    noise = np.random.default_rng(7).integers(0, 255, (12, *SIZE_HW, 3), np.uint8)
    for batch in range(BATCHES):
        pictures = [numbered(frame, noise) for frame in range(batch * TICKS, (batch + 1) * TICKS)]
        made = folder / f"made_{batch}.mp4"
        write_video(made, TICKS, FPS, SIZE_HW, pictures=pictures, options={"preset": "ultrafast", "g": "12"})
        for camera in CAMERAS:
            target = folder / "videos" / camera / f"sub_video_{batch + 1:02d}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(made)
    points = {
        "image_points": [[0, 0], [320, 0], [320, 180], [0, 180]],
        "map_points": [[0, 0], [8, 0], [8, 6], [0, 6]],
    }
    cameras = {camera: {"prefix": camera, "homography": points} for camera in CAMERAS}
    court = {"name": "The court", "recorded_from": RECORDED_FROM, "cameras": cameras}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump({"environments": {"court": court}}, sort_keys=False))
    return path


def numbered(frame: int, noise: UInt8) -> UInt8:
    """A picture that shows a number below as blocks, the lowest bit at the left, and above what packs badly."""
    pixels = noise[frame % len(noise)].copy()
    bits = np.array([255 * (frame >> bit & 1) for bit in range(BITS)], np.uint8)
    pixels[SIZE_HW[0] // 2 :, : BITS * BLOCK] = bits.repeat(BLOCK)[None, :, None]
    return pixels


@dataclass(frozen=True)
class Outcome:
    """What one camera saw at one tick."""

    camera_id: str
    tracks: Tracks
    identities: Identities
    embeddings: Float32


def seen(task: Task, camera: str, frame: int) -> Outcome:
    """The walker passes one camera after the other, three seconds in each; the sitter is in k1 all the time."""
    enters = 4 * CAMERAS.index(camera)
    rows = []
    if enters <= frame < enters + TICKS:
        at = frame - enters
        rows.append((WALKER, [20 + 6 * at, 30, 50 + 6 * at, 110], (0.5 + at / 6, 3.0)))
    if camera == "k1":
        rows.append((SITTER, [240, 60, 280, 150], (6.5, 1.5)))
    ids = np.array([track for track, *_ in rows], np.int64)
    boxes = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
    places = np.array([place for *_, place in rows], np.float64).reshape(-1, 2)
    tracks = Tracks(ids, boxes, np.full(len(rows), 0.9, np.float32), np.arange(len(rows)))
    names = [person(task, track) for track, *_ in rows]
    return Outcome(camera, tracks, Identities(names, places), np.eye(4, dtype=np.float32)[ids])


def person(task: Task, track: int) -> str:
    """The global id of the walker or the sitter."""
    return f"{task.id[:8]}-{track}"


def media(task: Task, batch: int) -> MediaPayload:
    """The files of one batch."""
    name = f"sub_video_{batch + 1:02d}.mp4"
    return MediaPayload(
        sub_video_batch_index=batch,
        media_urls=tuple(
            MediaUrl(
                camera_id=camera,
                sub_video_filename=name,
                url=media_path(task.id, "court", camera, name),
                start_global_frame_index=batch * TICKS,
                num_frames_in_sub_video=TICKS,
                fps=FPS,
                start_time_s=0.0,
            )
            for camera in CAMERAS
        ),
    )


class Worker:
    """Says and stores what a worker would of one task, as far as it is told to go on."""

    def __init__(self, task: Task, store: TaskStore, log: EventLog, writer: HistoryWriter) -> None:
        self.task, self._store, self.log, self._writer = task, store, log, writer

    async def enter(self, status: TaskStatus, **report: object) -> None:
        """Moves the task on and says so."""
        self.task = await self._store.advance(self.task.id, status, **report)
        await self.log.publish(self.task.id, StatusUpdate.of(self.task))

    async def begin(self, batch: int) -> None:
        """Announces the files of a batch."""
        await self.enter(TaskStatus.PROCESSING, current_step=f"processing sub-video batch {batch}")
        await self.log.publish(self.task.id, MediaAvailable(payload=media(self.task, batch)))
        etags = {camera: f"{self.task.id} {camera}" for camera in CAMERAS}
        await self._writer.begin_batch(batch, batch * TICKS, FPS, etags)
        times = [round(tick / FPS, 6) for tick in range(TICKS)]
        name = f"sub_video_{batch + 1:02d}.mp4"
        files = [SubVideoTicks(camera, name, 0.0, times) for camera in CAMERAS]
        await self._writer.announce(batch, batch * TICKS, FPS, files)

    async def ticks(self, frames: range) -> None:
        """Says and stores some ticks of a batch that has begun."""
        for frame in frames:
            await self._tick(frame)

    async def complete(self, batch: int) -> None:
        """Ends a batch."""
        names = {(camera, track): person(self.task, track) for camera, track in self._tracks()}
        await self._writer.checkpoint(batch, (batch + 1) * TICKS, b"", names)
        payload = BatchPayload(sub_video_batch_index=batch)
        await self.log.publish(self.task.id, BatchProcessingComplete(payload=payload))
        await self.enter(TaskStatus.DOWNLOADING)

    async def process(self) -> None:
        """The whole recording, to the end."""
        for batch in range(BATCHES):
            await self.begin(batch)
            await self.ticks(range(batch * TICKS, (batch + 1) * TICKS))
            await self.complete(batch)
        await self.enter(TaskStatus.PROCESSING)
        await self.enter(TaskStatus.COMPLETED, current_step="completed", progress=1.0)

    async def _tick(self, frame: int) -> None:
        batch, tick = divmod(frame, TICKS)
        outcomes = [seen(self.task, camera, frame) for camera in CAMERAS]
        frames = [Frame(camera, tick, tick / FPS, np.zeros((2, 2, 3), np.uint8)) for camera in CAMERAS]
        payload = {
            "global_frame_index": frame,
            "scene_id": "court",
            "timestamp_processed_utc": "2026-01-05T10:00:00.000Z",
            "sub_video_batch_index_of_frame": batch,
            "cameras": {
                outcome.camera_id: {
                    "image_source": f"{tick:06d}.jpg",
                    "frame_index_in_sub_video": tick,
                    "media_time_s": round(tick / FPS, 6),
                    "tracks": track_payloads(outcome.tracks, outcome.identities),
                }
                for outcome in outcomes
            },
        }
        await self.log.publish(self.task.id, TrackingUpdate(payload=payload))
        await self._writer.add(frame, frames, outcomes)

    def _tracks(self) -> Iterator[tuple[str, int]]:
        yield "k1", SITTER
        yield from ((camera, WALKER) for camera in CAMERAS)


@asynccontextmanager
async def worker(settings: Settings, cameras: Sequence[str] | None = None) -> AsyncIterator[Worker]:
    """A worker that has just taken a new task, of all cameras or of those that were chosen."""
    async with open_pool(settings) as pool, EventLog.open(settings) as log:
        await ensure_schema(pool)
        store = TaskStore(pool)
        task = await store.create("court", max_active=1000, cameras=cameras)
        task = await store.advance(task.id, TaskStatus.INITIALIZING)
        async with HistoryWriter(pool, task, ModelId("person_reid", "1"), recorded_from=RECORDED_FROM) as writer:
            found = Worker(task, store, log, writer)
            await found.enter(TaskStatus.DOWNLOADING)
            yield found
