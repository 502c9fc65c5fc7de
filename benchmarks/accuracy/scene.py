"""What accuracy is measured on: detections of several cameras, and who was really where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from demo.scores import MIN_VISIBILITY, BoxTable
from orchestrator.recorded.associate import Recording
from orchestrator.recorded.detections import DetectionFile
from orchestrator.settings import Settings
from orchestrator.site import Environment
from orchestrator.values import Bool, Float32, Float64, Int64


@dataclass(frozen=True, slots=True)
class BoxTruth:
    """The true boxes of one camera."""

    table: BoxTable
    """Frames are ticks; ids are people, shared by all cameras."""
    visibility: Float64
    """[N] 0..1."""
    map_xy: Float64
    """[N, 2] where each stands, metres; NaN where unknown."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Where people were on the map."""

    table: BoxTable
    """Frames are ticks; ``boxes`` are places [N, 2], metres."""
    scored: Bool
    """[N] False for who cannot be found at that tick, since no camera sees enough of them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Detections and truth of one recording."""

    name: str
    seed: int
    detections: str
    """Where they are from, in words."""
    settings: Settings
    environment: Environment
    recording: Recording
    boxes: Mapping[str, BoxTruth]
    """By camera; empty where only places on the map are known."""
    ground: GroundTruth | None

    def ticks_of(self, frames: Int64) -> Int64:
        """Ticks [N] of frame numbers [N] of the detections."""
        return np.asarray((frames - self.recording.first_frame) // self.recording.step, np.int64)

    @property
    def people(self) -> int:
        """How many there are."""
        tables = [truth.table for truth in self.boxes.values()] + ([self.ground.table] if self.ground else [])
        return len(np.unique(np.concatenate([table.ids for table in tables])))


def detection_file(
    camera_id: str, frames: Int64, boxes: Float64, scores: Float64, embeddings: Float32, size_wh: tuple[int, int]
) -> DetectionFile:
    """Detections that are in memory as if they had been read; rows in any order of frames."""
    order = np.argsort(frames, kind="stable")
    path = Path(f"{camera_id}.txt")
    return DetectionFile(path, frames[order], boxes[order], scores[order], embeddings[order], size_wh, None)


def seen_by_some(boxes: Mapping[str, BoxTruth], table: BoxTable) -> Bool:
    """[N] whether some camera sees enough of the person of each row of ``table`` at its tick to be scored."""
    seen = [truth.table.select(truth.visibility >= MIN_VISIBILITY) for truth in boxes.values()]
    keys = np.concatenate([np.zeros(0, np.int64), *(_keys(item) for item in seen)])
    return np.isin(_keys(table), keys)


def _keys(table: BoxTable) -> Int64:
    return np.asarray(table.frames * 2**31 + table.ids, np.int64)


def thinned(scene: Scene, step: int) -> Scene:
    """Every ``step``-th tick of the same recording, as a slower camera would have given it."""
    old = scene.recording
    files = {name: _thinned_file(file, step) for name, file in old.files.items()}
    recording = replace(old, files=files, ticks=-(-old.ticks // step), rate=old.rate / step)
    boxes = {}
    for name, truth in scene.boxes.items():
        kept = truth.table.frames % step == 0
        boxes[name] = BoxTruth(_thinned_table(truth.table, step), truth.visibility[kept], truth.map_xy[kept])
    ground = scene.ground
    if ground is not None:
        kept = ground.table.frames % step == 0
        ground = GroundTruth(_thinned_table(ground.table, step), ground.scored[kept])
    name = f"{scene.name} at {recording.rate:g} Hz"
    return replace(scene, name=name, recording=recording, boxes=boxes, ground=ground)


def _thinned_file(file: DetectionFile, step: int) -> DetectionFile:
    kept = file.frames % step == 0
    return replace(
        file,
        frames=file.frames[kept] // step,
        boxes=file.boxes[kept],
        scores=file.scores[kept],
        embeddings=file.embeddings[kept],
    )


def _thinned_table(table: BoxTable, step: int) -> BoxTable:
    kept = table.select(table.frames % step == 0)
    return BoxTable(kept.frames // step, kept.ids, kept.boxes)
