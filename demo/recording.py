"""What a task said over the WebSocket, checked message by message and kept as columns.

``Transcript`` takes the messages in the order of arrival and refuses whatever breaks the contract: a gap in ``seq``, a
tick that is lost, repeated or out of order, a batch that ends early, a camera that is left out. ``Recording`` is the
result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.errors import SpotOnError
from orchestrator.values import Bool, Float32, Float64, Int64

NOBODY = -1
"""Code of a track whose global id is not known."""
FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
REPLAYED = frozenset({"status_update", "media_available"})
"""What the server may send again, under its old ``seq``, to bring a reconnecting client into step."""


class ContractError(SpotOnError):
    """The server sent something that the wire contract forbids."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One camera's sub-video of one batch as the server announced it."""

    camera_id: str
    batch: int
    """Sub-video batch index, from 0."""
    filename: str
    url: str
    """Relative to the server."""
    first_frame: int
    """Global frame index of its first frame."""
    frames: int
    """Frames at the processing rate."""
    fps: float
    """The processing rate."""
    start_time_s: float


@dataclass(frozen=True, slots=True)
class Ticks:
    """The frames of one camera that were processed, in order."""

    frames: Int64
    """[K] global frame index."""
    batches: Int64
    """[K] sub-video batch index."""
    media_time_s: Float64
    """[K] presentation time within the sub-video."""

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Sightings:
    """People seen by one camera, in order of frames."""

    frames: Int64
    """[N] global frame index."""
    track_ids: Int64
    """[N]."""
    people: Int64
    """[N] index into ``Recording.people``; ``NOBODY`` while unknown."""
    boxes: Float32
    """[N, 4] xyxy, px of the source frame."""
    confidences: Float32
    """[N]."""
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, rows: Bool | Int64) -> Sightings:
        """The rows chosen by a mask [N] or by indices."""
        columns = (self.frames, self.track_ids, self.people, self.boxes, self.confidences, self.map_xy)
        return Sightings(*(column[rows] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class CameraRecord:
    """Everything that came for one camera."""

    camera_id: str
    ticks: Ticks
    sightings: Sightings
    media: tuple[MediaFile, ...]
    """In order of batches; a batch from which the camera is absent has none."""
    paths: tuple[Path, ...] = ()
    """The fetched files, row by row with ``media``."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds as the client saw them."""

    until_first_tick_s: float
    """From the start call to the first tick."""
    ticks_s: float
    """From the first tick to the last."""
    total_s: float
    """From the start call to the final status."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished task, identity corrections applied."""

    task_id: str
    environment_id: str
    cameras: Mapping[str, CameraRecord]
    people: tuple[str, ...]
    """Global ids in order of first sight."""
    ticks: int
    """Ticks over all batches; each came once and in order."""
    batches: int
    corrections: int
    """Identity corrections that were applied."""
    status: Mapping[str, Any]
    """Payload of the final ``status_update``."""
    timings: Timings
    reconnects: int = 0

    @property
    def frames(self) -> int:
        """Frames processed, all cameras together."""
        return sum(len(camera.ticks) for camera in self.cameras.values())

    @property
    def rate(self) -> float:
        """Ticks a second of recording."""
        return next(file.fps for camera in self.cameras.values() for file in camera.media)


class _Columns:
    """One camera's rows while they come in."""

    def __init__(self) -> None:
        self.ticks: list[tuple[int, int, float]] = []
        self.rows: list[tuple[int, int, int, float]] = []
        self.boxes: list[Sequence[float]] = []
        self.positions: list[Sequence[float]] = []

    def build_ticks(self) -> Ticks:
        table = np.array(self.ticks, np.float64).reshape(-1, 3)
        return Ticks(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2])

    def build_sightings(self) -> Sightings:
        table = np.array(self.rows, np.float64).reshape(-1, 4)
        return Sightings(
            frames=table[:, 0].astype(np.int64),
            track_ids=table[:, 1].astype(np.int64),
            people=table[:, 2].astype(np.int64),
            boxes=np.array(self.boxes, np.float32).reshape(-1, 4),
            confidences=table[:, 3].astype(np.float32),
            map_xy=np.array(self.positions, np.float64).reshape(-1, 2),
        )


class Transcript:
    """The messages of one task so far."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.last_seq = 0
        self.ticks = 0
        self.batches_done = 0
        self.status: Mapping[str, Any] = {}
        self.media: dict[int, tuple[MediaFile, ...]] = {}
        self._first_frame: int | None = None
        self._open_batch: int | None = None
        self._cameras: dict[str, _Columns] | None = None
        self._codes: dict[str, int] = {}
        self._corrections: list[Mapping[str, Any]] = []

    @property
    def is_final(self) -> bool:
        """Whether the last status is one that ends a task."""
        return self.status.get("status") in FINAL_STATES

    @property
    def frames(self) -> int:
        """Frames processed so far, all cameras together."""
        return sum(len(columns.ticks) for columns in (self._cameras or {}).values())

    @property
    def ticks_expected(self) -> int | None:
        """Ticks over all batches, as far as the batches announced so far let one guess; None before the first."""
        known = [max(file.frames for file in files) for files in self.media.values() if files]
        total = int(self.status.get("total_sub_video_batches") or 0)
        if not known or not total:
            return None
        return sum(known) + max(total - len(known), 0) * known[-1]

    def feed(self, message: Mapping[str, Any]) -> None:
        """Takes the next message.

        Raises:
            ContractError: the message breaks the contract; says which and how.
        """
        try:
            kind, seq = str(message["type"]), message["seq"]
            if seq is None or not self._is_news(kind, int(seq)):
                return
            handler = self._handlers().get(kind)
            if handler is not None:
                handler(message["payload"])
        except (KeyError, TypeError, ValueError) as error:
            name = message.get("type") if isinstance(message, Mapping) else message
            raise ContractError(f"malformed {name} message: {type(error).__name__}: {error}") from error

    def recording(self, environment_id: str, timings: Timings, reconnects: int) -> Recording:
        """The finished task.

        Raises:
            ContractError: a camera showed one track twice in one frame.
        """
        media = sorted((file for files in self.media.values() for file in files), key=lambda file: file.batch)
        sightings = {camera: columns.build_sightings() for camera, columns in (self._cameras or {}).items()}
        for camera, seen in sightings.items():
            _refuse_repeats(camera, seen)
        for correction in self._corrections:
            self._correct(sightings, correction)
        cameras = {
            camera: CameraRecord(
                camera,
                columns.build_ticks(),
                sightings[camera],
                tuple(file for file in media if file.camera_id == camera),
            )
            for camera, columns in (self._cameras or {}).items()
        }
        return Recording(
            task_id=self.task_id,
            environment_id=environment_id,
            cameras=cameras,
            people=tuple(self._codes),
            ticks=self.ticks,
            batches=self.batches_done,
            corrections=len(self._corrections),
            status=self.status,
            timings=timings,
            reconnects=reconnects,
        )

    def _handlers(self) -> Mapping[str, Any]:
        return {
            "status_update": self._take_status,
            "media_available": self._take_media,
            "tracking_update": self._take_tick,
            "batch_processing_complete": self._take_batch_end,
            "identity_corrected": self._take_corrections,
        }

    def _is_news(self, kind: str, seq: int) -> bool:
        if seq == self.last_seq + 1:
            self.last_seq = seq
            return True
        if seq <= self.last_seq and kind in REPLAYED:
            return False
        raise ContractError(f"{kind} with seq {seq} came after seq {self.last_seq}")

    def _take_status(self, payload: Mapping[str, Any]) -> None:
        self.status = payload

    def _take_media(self, payload: Mapping[str, Any]) -> None:
        batch = int(payload["sub_video_batch_index"])
        if batch in self.media:
            raise ContractError(f"batch {batch} was announced twice")
        self.media[batch] = tuple(_media_file(batch, entry) for entry in payload["media_urls"])
        self._open_batch = batch

    def _take_tick(self, payload: Mapping[str, Any]) -> None:
        frame, batch = int(payload["global_frame_index"]), int(payload["sub_video_batch_index_of_frame"])
        self._check_order(frame, batch)
        cameras: Mapping[str, Any] = payload["cameras"]
        if self._cameras is None:
            self._cameras = {camera: _Columns() for camera in cameras}
        if cameras.keys() != self._cameras.keys():
            raise ContractError(f"frame {frame} lists cameras {sorted(cameras)}, not {sorted(self._cameras)}")
        for camera, entry in cameras.items():
            self._take_camera(self._cameras[camera], frame, batch, entry)
        self.ticks += 1

    def _check_order(self, frame: int, batch: int) -> None:
        if batch not in self.media or batch != self._open_batch:
            raise ContractError(f"frame {frame} belongs to batch {batch}, which is not open")
        if self._first_frame is None:
            self._first_frame = min(file.first_frame for file in self.media[batch])
        expected = self._first_frame + self.ticks
        if frame != expected:
            raise ContractError(f"frame {frame} came where frame {expected} was due")

    def _take_camera(self, columns: _Columns, frame: int, batch: int, entry: Mapping[str, Any]) -> None:
        tracks = entry["tracks"]
        if entry["frame_index_in_sub_video"] is None:
            if tracks:
                raise ContractError(f"frame {frame}: tracks of a camera that gave no frame")
            return
        columns.ticks.append((frame, batch, float(entry["media_time_s"])))
        for track in tracks:
            person = self._code(track["global_id"])
            columns.rows.append((frame, int(track["track_id"]), person, float(track["confidence"])))
            columns.boxes.append(track["bbox_xyxy"])
            position = track["map_coords"]
            columns.positions.append((np.nan, np.nan) if position is None else position)

    def _take_batch_end(self, payload: Mapping[str, Any]) -> None:
        batch = int(payload["sub_video_batch_index"])
        if batch != self._open_batch or self._first_frame is None:
            raise ContractError(f"batch {batch} ended, but it was not open")
        due = max(file.first_frame + file.frames for file in self.media[batch])
        if self._first_frame + self.ticks != due:
            raise ContractError(f"batch {batch} ended at frame {self._first_frame + self.ticks}, not at frame {due}")
        self._open_batch = None
        self.batches_done += 1

    def _take_corrections(self, payload: Mapping[str, Any]) -> None:
        self._corrections.extend(payload["corrections"])

    def _correct(self, sightings: dict[str, Sightings], correction: Mapping[str, Any]) -> None:
        seen = sightings[correction["camera_id"]]
        rows = seen.track_ids == int(correction["track_id"])
        rows &= (seen.frames >= int(correction["from_frame"])) & (seen.frames <= int(correction["to_frame"]))
        seen.people[rows] = self._code(correction["to_global_id"])

    def _code(self, global_id: str | None) -> int:
        return NOBODY if global_id is None else self._codes.setdefault(global_id, len(self._codes))


def _media_file(batch: int, entry: Mapping[str, Any]) -> MediaFile:
    return MediaFile(
        camera_id=str(entry["camera_id"]),
        batch=batch,
        filename=str(entry["sub_video_filename"]),
        url=str(entry["url"]),
        first_frame=int(entry["start_global_frame_index"]),
        frames=int(entry["num_frames_in_sub_video"]),
        fps=float(entry["fps"]),
        start_time_s=float(entry["start_time_s"]),
    )


def _refuse_repeats(camera: str, seen: Sightings) -> None:
    pairs = np.stack([seen.frames, seen.track_ids], axis=1)
    if len(np.unique(pairs, axis=0)) != len(pairs):
        raise ContractError(f"camera {camera} showed one track twice in one frame")
