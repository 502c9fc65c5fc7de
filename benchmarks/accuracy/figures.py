"""Scores of one answer to one scene: a camera at a time, across cameras by boxes, and on the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.associations import Found
from benchmarks.accuracy.scene import Scene
from demo.scores import (
    UNNAMED,
    BoxTable,
    CameraCase,
    TrackingFigures,
    place_similarity,
    rows_to_score,
    score_site,
    score_tracks,
)
from orchestrator.recorded.results import NOBODY, fuse

FIGURES = (
    "camera_hota",
    "camera_ass_a",
    "camera_idf1",
    "camera_mota",
    "camera_id_switches",
    "across_idf1",
    "across_hota",
    "ground_idf1",
    "ground_hota",
    "ground_mota",
    "ground_id_switches",
)


@dataclass(frozen=True, slots=True)
class SceneFigures:
    """What an answer reaches; None where the scene has no truth for it."""

    cameras: Mapping[str, TrackingFigures]
    """Each camera by itself, its boxes under their global ids."""
    tracks: Mapping[str, TrackingFigures]
    """The same under the ids of the camera's tracks."""
    across: TrackingFigures | None
    """By boxes: all cameras' frames laid end to end, ids shared."""
    ground: TrackingFigures | None
    """On the map, within 1 m; one place a person and tick."""

    def flat(self) -> dict[str, float]:
        """The figures of the table by name: means over the cameras, sums of switches; NaN where there are none."""
        own = list(self.cameras.values())
        return {
            "camera_hota": _mean([item.hota for item in own]),
            "camera_ass_a": _mean([item.ass_a for item in own]),
            "camera_idf1": _mean([item.idf1 for item in own]),
            "camera_mota": _mean([item.mota for item in own]),
            "camera_id_switches": sum(item.id_switches for item in own) if own else np.nan,
            "across_idf1": self.across.idf1 if self.across else np.nan,
            "across_hota": self.across.hota if self.across else np.nan,
            "ground_idf1": self.ground.idf1 if self.ground else np.nan,
            "ground_hota": self.ground.hota if self.ground else np.nan,
            "ground_mota": self.ground.mota if self.ground else np.nan,
            "ground_id_switches": self.ground.id_switches if self.ground else np.nan,
        }


def score(scene: Scene, found: Found) -> SceneFigures:
    """Scores an answer."""
    ground = _score_ground(scene, found)
    if not scene.boxes:
        return SceneFigures({}, {}, None, ground)
    cases = {name: _case(scene, name, found) for name in scene.boxes}
    site = score_site(cases)
    return SceneFigures(
        {name: item.identities for name, item in site.cameras.items()},
        {name: item.tracks for name, item in site.cameras.items()},
        site.across,
        ground,
    )


def _case(scene: Scene, name: str, found: Found) -> CameraCase:
    truth, tracks = scene.boxes[name], found[name]
    identities = np.where(tracks.people == NOBODY, UNNAMED, tracks.people)
    own = BoxTable(tracks.ticks, tracks.track_ids, tracks.boxes)
    return CameraCase(truth.table, truth.visibility, truth.map_xy, own, identities, tracks.map_xy)


def _score_ground(scene: Scene, found: Found) -> TrackingFigures | None:
    if scene.ground is None:
        return None
    truth, places = scene.ground.table, BoxTable(*fuse(found))
    true_rows, rows = rows_to_score(truth, ~scene.ground.scored, places, place_similarity)
    return score_tracks(truth.select(true_rows), places.select(rows), place_similarity)


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
