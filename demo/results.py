"""What a finished task leaves behind: annotated videos, the map, a poster, and the table."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from demo.pictures.annotate import annotate
from demo.pictures.floorplan import save_map
from demo.pictures.ground import View, views, walks
from demo.pictures.poster import save_poster
from demo.recording import Recording
from demo.report import Report, make_report, to_json
from demo.scores import score_site
from demo.truth import SiteTruth, cases
from orchestrator.homography import load_homographies
from orchestrator.site import Environment
from orchestrator.values import Float64

OnFrame = Callable[[int, int], None]
"""Called with the frames drawn and the frames there are, from any thread; what it raises stops the drawing."""


def write_report(recording: Recording, truth: SiteTruth | None, folder: Path) -> Report:
    """Scores the task where there is truth, writes ``folder/table.json`` and returns the report."""
    figures = None if truth is None else score_site(cases(recording, truth))
    report = make_report(recording, figures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(to_json(report))
    return report


def write_pictures(
    recording: Recording, environment: Environment, truth: SiteTruth | None, folder: Path, on_frame: OnFrame
) -> None:
    """Writes ``<camera>.mp4`` for every camera, ``map.png`` and ``poster.png``.

    Raises:
        PictureError: a frame that was reported is not in its file.
    """
    drawn = itertools.count(1)  # threads may share it
    annotate(recording, folder, lambda: on_frame(next(drawn), recording.frames))
    seen = _views(recording, environment)
    found = walks(recording)
    there = [] if truth is None else true_paths(recording, truth)
    save_map(folder / "map.png", found, recording.people, seen, there)
    save_poster(folder / "poster.png", recording, found, seen, there)


def true_paths(recording: Recording, truth: SiteTruth) -> list[Float64]:
    """Everybody's true path [K, 2] metres over the time that was processed."""
    shown = np.concatenate([truth.frames_of(camera) for camera in recording.cameras.values()])
    known = truth.map
    during = (known.frames >= shown.min(initial=0)) & (known.frames <= shown.max(initial=0))
    return [known.positions[during & (known.ids == person)] for person in np.unique(known.ids[during])]


def _views(recording: Recording, environment: Environment) -> dict[str, View]:
    sizes = {name: _frame_size(camera.paths[0]) for name, camera in recording.cameras.items() if camera.paths}
    return views(load_homographies(environment), sizes)


def _frame_size(path: Path) -> tuple[int, int]:
    """Height and width, px."""
    with av.open(str(path)) as source:
        context = source.streams.video[0].codec_context
        return context.height, context.width
