"""A detector in int8: its backbone with the pyramid, which is nearly all the work, by scales from the user's own video.

The head that proposes, the hidden layers over a proposal, the predictor and all decoding stay in single precision: on
photos of people the layers over a proposal in int8 gained no time.

What it costs is measured on frames that were kept from the calibration. Whether it pays has to be: ONNX Runtime on a
CPU takes half as long again for the demo's detector, where each product has to be rounded on its way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from export.calibration import CalibrationError, UInt8, frames_of, open_onnx
from export.files import written_aside
from export.precision import LEAST_FRAMES
from export.quantise import HELD_OUT, input_of, write_int8
from export.reference import Found
from export.verify import SURE, Tolerance, Twins, letterbox

BACKBONE = "backbone."
"""What the names of its weights begin with."""
ALIKE = Tolerance(iou=0.8, score=0.1, share=1.0, cosine=1.0)
"""As far apart a detection still is the same to whoever looks at it; int8 is never as near as rounding to fp16 is."""


@dataclass(frozen=True, slots=True)
class DetectorCost:
    """What int8 does to the people found in frames that it was not calibrated on, and to the time in ONNX Runtime."""

    frames: int
    people: int
    """Detections of either model."""
    missing: int
    """Those without one that is ``ALIKE`` on the other side."""
    sure_missing: int
    """Those of them with a score above ``SURE``."""
    ms: float
    int8_ms: float
    """Milliseconds a frame on this machine's CPU, one at a time, measured in turns; the medians."""

    def __str__(self) -> str:
        return (
            f"{self.frames} frames kept apart: {self.missing} of {self.people} detections have no twin "
            f"(IoU above {ALIKE.iou}, score within {ALIKE.score}), {self.sure_missing} of them above {SURE}; "
            f"{self.int8_ms:.0f} ms a frame on this CPU, {self.ms:.0f} before"
        )


def quantise_detector(path: Path, videos: Sequence[Path], count: int, out: Path) -> DetectorCost:
    """Writes the detector at ``path`` in int8 to ``out``, calibrated on three in four of ``count`` frames.

    Args:
        path: an ONNX file of ``export.detector`` in fp32.
        videos: frames are taken evenly from all of them, and scaled as the server gets them.
        count: at least ``LEAST_FRAMES``.
        out: replaced by an atomic rename.

    Raises ``CalibrationError`` for too few frames, for nobody in them and for another model; ``OSError``.
    """
    if input_of(path) != "images":
        raise CalibrationError(f"{path}: not a detector: its input is not 'images'")
    before = open_onnx(path)
    height, width = before.get_inputs()[0].shape[1:3]
    frames = [letterbox(frame, (height, width)) for frame in _frames(videos, count)]
    if len(frames) < LEAST_FRAMES:
        raise CalibrationError(f"{len(frames)} frames were read; at least {LEAST_FRAMES} are needed")
    kept = frames[HELD_OUT - 1 :: HELD_OUT]
    used = (frame[None] for at, frame in enumerate(frames) if at % HELD_OUT != HELD_OUT - 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(out) as partial:
        write_int8(path, "images", used, partial, BACKBONE)
        cost = _cost(before, open_onnx(partial), kept)
        if not cost.people:
            raise CalibrationError(f"nobody is seen in {', '.join(map(str, videos))}")
    return cost


def _frames(videos: Sequence[Path], count: int) -> Iterator[UInt8]:
    for video in videos:
        yield from frames_of(video, -(-count // len(videos)))


def _cost(
    before: onnxruntime.InferenceSession, after: onnxruntime.InferenceSession, frames: Sequence[UInt8]
) -> DetectorCost:
    twins = Twins(ALIKE)
    times: tuple[list[float], list[float]] = ([], [])
    for frame in frames:
        expected, found = (_timed(session, frame, spent) for session, spent in zip((before, after), times, strict=True))
        twins.compare(expected, found)
        twins.compare(found, expected)
    parity = twins.parity(len(frames), 0, 1.0)
    ms, int8_ms = (float(np.median(spent)) * 1e3 for spent in times)
    return DetectorCost(len(frames), parity.people, parity.missing, parity.sure_missing, ms, int8_ms)


def _timed(session: onnxruntime.InferenceSession, frame: UInt8, times: list[float]) -> Found:
    start = time.perf_counter()
    boxes, scores = session.run(["boxes", "scores"], {"images": frame[None]})
    times.append(time.perf_counter() - start)
    real = scores[0] > 0
    return Found(boxes[0][real], scores[0][real])
