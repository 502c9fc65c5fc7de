"""``python -m orchestrator associate``: who is where, out of recorded detections.

Every tick of all cameras goes through the same ``Associator`` as in the live pipeline. Ticks are the frame numbers of
the files, divided by the step between them (files of every fifth frame have ticks 0, 1, 2, ...); a camera takes part in
every tick, with nobody where its file is silent. A camera whose file cannot be used is left out and named; the others
go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.association import Associator, CameraResult
from orchestrator.errors import DetectionFileError, SiteError
from orchestrator.homography import load_homographies
from orchestrator.intake import CameraInput
from orchestrator.recorded.detections import DetectionFile, find_file, read_file
from orchestrator.recorded.results import FoundTracks, collect
from orchestrator.recorded.second_pass import correct
from orchestrator.settings import Settings
from orchestrator.site import Camera, Environment, Site
from orchestrator.values import Detections, Int64

logger = logging.getLogger(__name__)

QUIET_S = 120.0
"""After this long nobody is waited for, be the tracker's buffer ever so short."""
TASK_ID = "recorded"
"""Begins the global ids; files hold their numbers alone."""
MAX_TICKS = 10_000_000
"""More than a hundred hours at 25 ticks a second: frame numbers that span more are taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The detections of all cameras on one clock."""

    cameras: tuple[Camera, ...]
    """Those whose files can be used, with their resolution."""
    files: Mapping[str, DetectionFile]
    first_frame: int
    step: int
    """Frame numbers a tick."""
    ticks: int
    rate: float
    """Ticks a second."""

    def frame_of(self, tick: int | Int64) -> int | Int64:
        """Frame numbers, as in the files."""
        return self.first_frame + tick * self.step

    def inputs(self) -> Iterator[list[CameraInput]]:
        """What all cameras gave, tick by tick; the very same list wherever they gave nothing."""
        frames = self.frame_of(np.arange(self.ticks + 1))
        cuts = {name: np.searchsorted(file.frames, frames) for name, file in self.files.items()}
        nothing = [_input(camera, self.files[camera.id], 0, 0) for camera in self.cameras]
        busy = np.any([np.diff(own) > 0 for own in cuts.values()], axis=0)
        for tick in range(self.ticks):
            yield (
                nothing
                if not busy[tick]
                else [
                    _input(camera, self.files[camera.id], *cuts[camera.id][tick : tick + 2]) for camera in self.cameras
                ]
            )


def choose_environment(site: Site, environment_id: str | None) -> Environment:
    """The named environment; the only one for None.

    Raises:
        SiteError: there are several to choose from; ``UnknownEnvironmentError`` where there is no such one.
    """
    if environment_id is not None:
        return site.environment(environment_id)
    if len(site.environments) > 1:
        raise SiteError(f"{site.path} has the environments {', '.join(site.environments)}: name one")
    return next(iter(site.environments.values()))


def read_recording(
    environment: Environment, folder: Path, fallback_rate: float, rate: float | None = None
) -> tuple[Recording, list[str]]:
    """Reads the files of all cameras, and says of each that is left out why.

    Args:
        environment: whose cameras; its ``target_fps`` is the rate unless ``rate`` is given.
        folder: where the files are.
        fallback_rate: ticks a second where nobody says.
        rate: ticks a second.

    Raises:
        DetectionFileError: no camera is left.
    """
    if not folder.is_dir():
        raise DetectionFileError(f"{folder} is no folder")
    files: dict[str, DetectionFile] = {}
    problems = []
    for camera_id in environment.cameras:
        try:
            files[camera_id] = _checked(read_file(find_file(folder, camera_id)), files)
        except DetectionFileError as error:
            problems.append(f"camera {camera_id} is left out: {error}")
    if not files:
        raise DetectionFileError("; ".join(problems))
    cameras = tuple(_with_resolution(environment.cameras[name], file) for name, file in files.items())
    step, first, ticks = _ticks([file.frames for file in files.values()], "all cameras")
    chosen = rate or environment.target_fps or next((file.rate for file in files.values() if file.rate), None)
    if chosen is None:
        logger.warning("nobody says how many ticks a second there are (--fps, target_fps): taking %g", fallback_rate)
    return Recording(cameras, files, first, step, ticks, chosen or fallback_rate), problems


def associate(settings: Settings, environment: Environment, recording: Recording) -> Mapping[str, FoundTracks]:
    """Tracks and names everybody; by camera id, with the names that tracks have in the end.

    These are the online association's, or with ``settings.second_pass`` those that the whole recording gives.
    """
    homographies = load_homographies(environment.model_copy(update={"cameras": {c.id: c for c in recording.cameras}}))
    associator = Associator(settings, environment, recording.cameras, homographies, recording.rate, TASK_ID)
    results = _run(
        associator, recording, round(max(QUIET_S * recording.rate, 2 * settings.lost_track_ticks(recording.rate)))
    )
    names = associator.bindings()
    found = collect(recording, results, names)
    if not settings.second_pass:
        return found
    cameras, rate = recording.cameras, recording.rate
    return correct(settings, environment, cameras, homographies, rate, results, found, names, TASK_ID)


def _run(associator: Associator, recording: Recording, quiet_ticks: int) -> list[Sequence[CameraResult]]:
    """The results of all ticks. After ``quiet_ticks`` without anybody, further ones are passed over."""
    results: list[Sequence[CameraResult]] = []
    silent = 0
    for tick, inputs in enumerate(recording.inputs()):
        silent = 0 if any(len(item.detections) for item in inputs) else silent + 1
        results.append(results[-1] if silent > quiet_ticks else associator.update(tick, inputs))
    return results


def _checked(file: DetectionFile, others: Mapping[str, DetectionFile]) -> DetectionFile:
    """The file, unless its frames span too much or its embeddings are of another length than those before it."""
    _ticks([file.frames], str(file.path))
    known = next((other for other in others.values() if other.embeddings.shape[1]), None)
    own = file.embeddings.shape[1]
    if known is not None and own not in {0, known.embeddings.shape[1]}:
        raise DetectionFileError(
            f"{file.path.with_suffix('.npy')}: embeddings of {own} values, "
            f"{known.embeddings.shape[1]} in {known.path.with_suffix('.npy')}"
        )
    return file


def _ticks(frames: Sequence[Int64], whose: str) -> tuple[int, int, int]:
    """Frame numbers a tick, the first frame number, and the number of ticks, which may be too many."""
    there = np.unique(np.concatenate(frames))
    step = int(np.gcd.reduce(np.diff(there))) if len(there) > 1 else 1
    first = int(there[0]) if len(there) else 0
    ticks = (int(there[-1]) - first) // step + 1 if len(there) else 0
    if ticks > MAX_TICKS:
        raise DetectionFileError(f"{whose}: frames {first} to {there[-1]} are {ticks} ticks, more than {MAX_TICKS}")
    return step, first, ticks


def _with_resolution(camera: Camera, file: DetectionFile) -> Camera:
    """The camera, with as large a frame as boxes reach where nobody says; as it is where there is no box either."""
    says = file.size_wh is not None or len(file) > 0
    return camera.model_copy(update={"resolution": file.extent_wh}) if says and not camera.resolution else camera


def _input(camera: Camera, file: DetectionFile, begin: int, end: int) -> CameraInput:
    best_first = begin + np.argsort(-file.scores[begin:end], kind="stable")
    width, height = camera.resolution or file.extent_wh
    boxes = np.clip(file.boxes[best_first], 0, (width, height, width, height))
    detections = Detections(boxes.astype(np.float32), file.scores[best_first].astype(np.float32))
    return CameraInput(camera.id, (height, width), detections, file.embeddings[best_first])
