"""Scenes in MOTChallenge's published form, by the path of a folder.

A sequence is a folder with ``seqinfo.ini``, ``det/det.txt`` and ``gt/gt.txt``. The folder is one sequence, or holds
several: each is a scene by itself, unless a ``site.yaml`` beside them says which of them are cameras of one place;
their ids are then the same people's. ``det/det.npy`` may hold embeddings, row by row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.accuracy.scene import BoxTruth, Scene
from benchmarks.accuracy.truth import read_rows
from demo.scores import BoxTable
from orchestrator.errors import DetectionFileError
from orchestrator.recorded.associate import Recording, choose_environment, read_recording
from orchestrator.settings import Settings
from orchestrator.site import Environment, load_site
from orchestrator.values import Bool

PUBLISHED = "published detections"
SITE_FILE, INFO_FILE = "site.yaml", "seqinfo.ini"
PEDESTRIAN = 1
NEITHER = (2, 7, 8, 12)
"""Classes whose boxes are neither a miss nor, when found, wrong: on a vehicle, static, distractor, reflection."""
CLASS_COLUMNS = 9
"""Files of MOT16 and later have a class and a visibility; older ones have three columns of places instead."""


def read_scenes(folder: Path) -> list[Scene]:
    """The scenes of a folder.

    Raises:
        DetectionFileError: it holds no sequence, or one that cannot be used.
        SiteError: its site file cannot be used.
    """
    settings = Settings(_env_file=None)
    if (folder / SITE_FILE).is_file():
        environment = choose_environment(load_site(folder / SITE_FILE), None)
        return [_scene(folder.name, folder, environment, settings)]
    sequences = (
        [folder] if (folder / INFO_FILE).is_file() else sorted(path.parent for path in folder.glob("*/seqinfo.ini"))
    )
    if not sequences:
        raise DetectionFileError(f"{folder}: no {INFO_FILE}, neither here nor one folder below")
    return [_scene(path.name, path.parent, _alone(path.name), settings) for path in sequences]


def _alone(name: str) -> Environment:
    """One camera without a map."""
    return Environment.model_validate({"id": name, "cameras": {name: {"id": name, "prefix": name}}})


def _scene(name: str, folder: Path, environment: Environment, settings: Settings) -> Scene:
    recording, problems = read_recording(environment, folder, settings.target_fps)
    if problems:
        raise DetectionFileError("; ".join(problems))
    truth = {camera.id: _truth(folder / camera.id / "gt" / "gt.txt", recording) for camera in recording.cameras}
    return Scene(name, 0, PUBLISHED, settings, environment, recording, truth, None)


def _truth(path: Path, recording: Recording) -> BoxTruth:
    """Pedestrians; those that MOTChallenge leaves out of the count as people who cannot be seen."""
    rows = read_rows(path, 7)
    classes = rows[:, 7] if rows.shape[1] == CLASS_COLUMNS else np.full(len(rows), PEDESTRIAN)
    ticks, uneven = np.divmod(rows[:, 0].astype(np.int64) - recording.first_frame, recording.step)
    counted: Bool = (classes == PEDESTRIAN) & (rows[:, 6] != 0)
    kept = (counted | np.isin(classes, NEITHER)) & (uneven == 0) & (ticks >= 0) & (ticks < recording.ticks)
    boxes = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
    table = BoxTable(ticks, rows[:, 1].astype(np.int64), boxes).select(kept)
    return BoxTruth(table, counted[kept].astype(np.float64), np.full((len(table), 2), np.nan))
