"""The plain baseline: what most who need identities over several cameras put together first.

BoxMOT's own BotSort in each camera; a track that begins takes the name of the nearest person on the map whom another
camera sees at that tick within ``NEAR_M``, else of the person whose one average embedding is the most like its first
look, over the Re-ID threshold, else a new one. One track of a camera a person at a time; names stay. Whoever stands
outside the environment's area is not looked at, as in SpotOn.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from boxmot.structures import Boxes, Detections
from boxmot.trackers.factory import create_tracker
from boxmot.trackers.specs import TrackerSpec
from boxmot.utils import logger as boxmot_logger

from benchmarks.accuracy.associations import Found, found_tracks, homographies_of, places_of
from benchmarks.accuracy.scene import Scene
from orchestrator.homography import Homography
from orchestrator.polygons import inside
from orchestrator.recorded.associate import Recording
from orchestrator.recorded.detections import DetectionFile
from orchestrator.settings import Settings
from orchestrator.tracking.botsort import botsort_options
from orchestrator.values import Float64, Int64

NEAR_M = 1.0


@dataclass(slots=True)
class _People:
    """Who is known."""

    similarity: float
    names: dict[tuple[str, int], int] = field(default_factory=dict)
    """Person of (camera, track)."""
    look_sum: dict[int, Float64] = field(default_factory=dict)
    places: dict[tuple[int, str], tuple[int, Float64]] = field(default_factory=dict)
    """Tick and place of (person, camera) when last seen there."""

    def name(self, tick: int, camera: str, track: int, place: Float64, look: Float64) -> int:
        """The person of a track that is seen now."""
        key = (camera, track)
        if key not in self.names:
            self.names[key] = self._recognise(tick, camera, place, look)
        person = self.names[key]
        self.look_sum[person] = self.look_sum.get(person, np.zeros(len(look))) + look
        self.places[person, camera] = tick, place
        return person

    def _recognise(self, tick: int, camera: str, place: Float64, look: Float64) -> int:
        taken = {person for (person, name), (last, _) in self.places.items() if name == camera and last >= tick - 1}
        near: dict[int, float] = {}
        for (person, name), (last, other) in self.places.items():
            if name != camera and last >= tick - 1 and person not in taken:
                near[person] = min(near.get(person, np.inf), float(np.linalg.norm(place - other)))
        near = {person: distance for person, distance in near.items() if distance <= NEAR_M}
        if near:
            return min(near, key=lambda person: near[person])
        alike = {person: _cosine(look, total) for person, total in self.look_sum.items() if person not in taken}
        best = max(alike, key=lambda person: alike[person], default=None)
        if best is not None and alike[best] >= self.similarity:
            return best
        return len(self.look_sum) + 1


def baseline(scene: Scene) -> Found:
    """Tracks and names of the plain baseline."""
    homographies = homographies_of(scene)
    recording = _inside_area(scene, homographies)
    rows_of = {
        name: np.searchsorted(scene.ticks_of(file.frames), np.arange(recording.ticks + 1))
        for name, file in recording.files.items()
    }
    trackers = {name: _Tracker(scene.settings, recording.rate, file) for name, file in recording.files.items()}
    places = {name: places_of(homographies.get(name), file.boxes) for name, file in recording.files.items()}
    people = _People(scene.settings.reid_similarity)
    found: dict[str, list[tuple[int, int, int]]] = {name: [] for name in recording.files}
    for tick in range(recording.ticks):
        for name, file in recording.files.items():
            for track, row in trackers[name].update(tick, *rows_of[name][tick : tick + 2]):
                look = file.embeddings[row].astype(np.float64)
                found[name].append((row, track, people.name(tick, name, track, places[name][row], look)))
            _drop_doubles(found[name], int(rows_of[name][tick]))
    return {
        name: found_tracks(homographies.get(name), file, scene.ticks_of(file.frames), *_columns(found[name]))
        for name, file in recording.files.items()
    }


def _inside_area(scene: Scene, homographies: Mapping[str, Homography]) -> Recording:
    """The recording without detections of people outside the area, where there is one."""
    area, files = scene.environment.area, dict(scene.recording.files)
    for name, file in files.items():
        if area is not None and name in homographies:
            kept = inside(places_of(homographies[name], file.boxes), area)
            columns = ("frames", "boxes", "scores", "embeddings")
            files[name] = replace(file, **{column: getattr(file, column)[kept] for column in columns})
    return replace(scene.recording, files=files)


def _drop_doubles(found: list[tuple[int, int, int]], begin: int) -> None:
    """Takes the name from the later of two tracks that share one at the tick whose rows begin at ``begin``."""
    seen: set[int] = set()
    now = next((index for index in range(len(found) - 1, -1, -1) if found[index][0] < begin), -1) + 1
    for index in sorted(range(now, len(found)), key=lambda index: found[index][1]):
        row, track, person = found[index]
        found[index] = (row, track, 0 if person in seen else person)
        seen.add(person)


class _Tracker:
    """BoxMOT's BotSort over one camera's file."""

    def __init__(self, settings: Settings, rate: float, file: DetectionFile) -> None:
        boxmot_logger.setLevel(logging.WARNING)
        self._file = file
        self._embedded = file.embeddings.shape[1] > 0
        options = botsort_options(settings, rate, with_embeddings=self._embedded) | {"variable_dt": False}
        self._engine: Any = create_tracker(TrackerSpec("botsort", options=tuple(sorted(options.items()))))

    def update(self, tick: int, begin: int, end: int) -> list[tuple[int, int]]:
        """Track ids and rows of the file."""
        file = self._file
        looks = file.embeddings[begin:end].copy()
        if self._embedded:
            looks[~looks.any(axis=1)] = looks.shape[1] ** -0.5
        found = self._engine.update(
            Detections(
                Boxes(torch.from_numpy(file.boxes[begin:end].astype(np.float32))),
                torch.from_numpy(file.scores[begin:end].astype(np.float32)),
                torch.zeros(end - begin, dtype=torch.int64),
                str(tick),
                embeddings=torch.from_numpy(looks) if self._embedded else None,
            )
        )
        rows = found.detection_indices.numpy() + begin
        return list(zip(found.track_ids.numpy().tolist(), rows.tolist(), strict=True))


def _columns(rows: list[tuple[int, int, int]]) -> tuple[Int64, Int64, Int64]:
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]


def _cosine(look: Float64, total: Float64) -> float:
    length = float(np.linalg.norm(look) * np.linalg.norm(total))
    return float(look @ total) / length if length > 0 else -1.0
