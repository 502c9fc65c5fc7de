"""Public data in the forms in which they are published; read from folders that are not part of the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.accuracy.scene import GroundTruth, Scene
from benchmarks.accuracy.truth import named, read_rows
from demo.scores import BoxTable
from orchestrator.errors import DetectionFileError
from orchestrator.recorded.associate import read_recording
from orchestrator.settings import Settings
from orchestrator.site import Environment

CMC_RATE = 4.0
CMC_SIZE_WH = (1920, 1024)
CMC_AREA = ((2.03, 0.0), (6.3, 0.0), (6.3, 3.41), (2.03, 3.41))
"""The part of the room in which its authors track, metres; people and reflections outside it have no truth."""
CMC_CAMERAS = ("cam1", "cam2", "cam3", "cam4")


class AbsentError(Exception):
    """The data are not where they are looked for; says where."""


def cmc1(data: Path, *, area: bool = True) -> Scene:
    """The CMC1 room: four cameras, published Faster R-CNN boxes, three people, truth on the map alone.

    Ong et al., A Bayesian Filter for Multi-view 3D Multi-object Tracking with Occlusion Handling, TPAMI 2022. Truth is
    where the middle of each body is, in metres. Without ``area`` whoever the cameras see is looked at, and the truth
    does not hold all of them.

    Raises:
        AbsentError: the folder is not there.
        DetectionFileError: a file in it is missing, or cannot be used.
    """
    folder = data / "cmc1"
    if not folder.is_dir():
        raise AbsentError(f"{folder} is not there")
    path = folder / "cam_projection_3x4.npz"
    with named(path), np.load(path) as projections:
        cameras = {
            name: {
                "id": name,
                "prefix": name,
                "resolution": CMC_SIZE_WH,
                "calibration": {"projection": projections[name].tolist()},
            }
            for name in CMC_CAMERAS
        }
    described = {"id": "cmc1", "target_fps": CMC_RATE, "cameras": cameras, "area": CMC_AREA if area else None}
    environment = Environment.model_validate(described)
    settings = Settings(_env_file=None)
    recording, problems = read_recording(environment, folder, CMC_RATE)
    if problems:
        raise DetectionFileError("; ".join(problems))
    rows = read_rows(folder / "GT_WORLD_CENTROID.txt", 9)
    ticks = (rows[:, 0].astype(np.int64) - recording.first_frame) // recording.step
    table = BoxTable(ticks, rows[:, 1].astype(np.int64), rows[:, 7:9])
    ground = GroundTruth(table, np.ones(len(table), np.bool_))
    name = "cmc1" if area else "cmc1, no area"
    return Scene(name, 0, "published Faster R-CNN", settings, environment, recording, {}, ground)
