"""The ground truth of a simulated site, laid beside what a task found.

A site folder holds ``truth/<camera>.txt`` in MOTChallenge's form (frame from 1 over the whole recording, person, x, y,
width, height of the full box clipped to the frame, 1, 1, visibility 0..1), beside it ``truth/<camera>_visible.txt``,
the same rows with the boxes of what is visible, which nothing here reads, and ``truth/map.csv`` (``frame,id,x,y``,
metres).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.recording import CameraRecord, Recording
from demo.scores import BoxTable, CameraCase
from orchestrator.values import Float64, Int64


@dataclass(frozen=True, slots=True)
class CameraTruth:
    """The true boxes of one camera, in order of frames."""

    table: BoxTable
    """Frames from 0 over the whole recording, at the camera's own rate; ids are people."""
    visibility: Float64
    """[N] 0..1."""


@dataclass(frozen=True, slots=True)
class MapTruth:
    """Where everybody was, in order of frames, then people."""

    frames: Int64
    """[N] from 0 over the whole recording."""
    ids: Int64
    """[N]."""
    positions: Float64
    """[N, 2] metres."""

    def look_up(self, frames: Int64, ids: Int64) -> Float64:
        """Positions [M, 2] of people [M] at frames [M]; NaN where there is none."""
        if not len(self.frames):
            return np.full((len(frames), 2), np.nan)
        base = int(max(self.ids.max(), ids.max(initial=0))) + 1
        keys, wanted = self.frames * base + self.ids, frames * base + ids
        rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        positions: Float64 = np.where((keys[rows] == wanted)[:, None], self.positions[rows], np.nan)
        return positions


@dataclass(frozen=True, slots=True)
class SiteTruth:
    """The ground truth of a whole site."""

    folder: Path
    fps: float
    """Frames a second of every camera."""
    frames_per_sub_video: int
    map: MapTruth

    def camera(self, camera_id: str) -> CameraTruth:
        """The true boxes of one camera; raises ``OSError`` where the site has no such camera."""
        lines = (self.folder / f"{camera_id}.txt").read_text().split()  # none where the camera saw nobody
        rows = np.array([line.split(",") for line in lines], np.float64).reshape(-1, 9)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        boxes = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
        return CameraTruth(BoxTable(rows[:, 0].astype(np.int64) - 1, rows[:, 1].astype(np.int64), boxes), rows[:, 8])

    def frames_of(self, record: CameraRecord) -> Int64:
        """Frame of the whole recording, from 0, that each processed tick [K] showed; from its presentation time."""
        starts = {file.batch: file.start_time_s for file in record.media}
        start = np.array([starts[batch] for batch in record.ticks.batches.tolist()])
        within = np.rint((record.ticks.media_time_s - start) * self.fps).astype(np.int64)
        frames: Int64 = record.ticks.batches * self.frames_per_sub_video + within
        return frames


def load_truth(site_dir: Path, fps: float, frames_per_sub_video: int) -> SiteTruth:
    """Reads the map positions; boxes are read camera by camera.

    Raises:
        OSError: a file is missing.
        ValueError: a file is malformed.
    """
    folder = site_dir / "truth"
    rows = np.loadtxt(folder / "map.csv", delimiter=",", skiprows=1, ndmin=2).reshape(-1, 4)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    positions = MapTruth(rows[:, 0].astype(np.int64) - 1, rows[:, 1].astype(np.int64), rows[:, 2:])
    return SiteTruth(folder, fps, frames_per_sub_video, positions)


def cases(recording: Recording, truth: SiteTruth) -> dict[str, CameraCase]:
    """Truth and result of every camera over the frames that were processed, frames numbered as in the recording."""
    return {camera: camera_case(record, truth) for camera, record in recording.cameras.items()}


def camera_case(record: CameraRecord, truth: SiteTruth) -> CameraCase:
    """Truth and result of one camera over the frames that were processed."""
    there = truth.camera(record.camera_id)
    shown = truth.frames_of(record)
    rows, ticks = _rows_of_ticks(there.table.frames, shown)
    table = BoxTable(record.ticks.frames[ticks], there.table.ids[rows], there.table.boxes[rows])
    seen = record.sightings
    return CameraCase(
        truth=table,
        visibility=there.visibility[rows],
        truth_xy=truth.map.look_up(shown[ticks], table.ids),
        found=BoxTable(seen.frames, seen.track_ids, seen.boxes.astype(np.float64)),
        identities=seen.people,
        found_xy=seen.map_xy,
    )


def _rows_of_ticks(frames: Int64, shown: Int64) -> tuple[Int64, Int64]:
    """Rows of a table sorted by frame that each tick shows: rows [P], ticks [P]."""
    first = np.searchsorted(frames, shown, "left")
    counts = np.searchsorted(frames, shown, "right") - first
    ticks = np.repeat(np.arange(len(shown)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + within, ticks
