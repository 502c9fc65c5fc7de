"""Crops of the people in a user's own video, as a Re-ID model will see them: what its int8 scales are measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
from av.error import FFmpegError
from numpy.typing import NDArray

from export.reid import CROP_HW
from export.verify import letterbox

SURE = 0.5
"""Score from which a detection is taken for a person."""

UInt8 = NDArray[np.uint8]


class CalibrationError(ValueError):
    """A video cannot be read, or there is nobody in it."""


def crops_from_videos(videos: Sequence[Path], detector: Path, count: int) -> UInt8:
    """At most ``count`` crops [M, 256, 128, 3] RGB, spread over frames taken evenly from all ``videos``.

    ``detector`` is an exported detector; it runs on the CPU. Raises ``CalibrationError``.
    """
    session = _detector(detector)
    crops: list[UInt8] = []
    frames_a_video = max(1, -(-count // len(videos)))
    for video in videos:
        for frame in frames_of(video, frames_a_video):
            crops.extend(_people(session, frame))
    if not crops:
        raise CalibrationError(f"nobody is seen in {', '.join(map(str, videos))}")
    chosen = np.linspace(0, len(crops) - 1, min(count, len(crops))).round().astype(int)
    return np.stack([crops[at] for at in chosen])


def frames_of(video: Path, count: int) -> Iterator[UInt8]:
    """At most ``count`` frames [h, w, 3] RGB, evenly spaced in time. Raises ``CalibrationError``."""
    try:
        with av.open(str(video), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            if stream.duration is None or stream.time_base is None:
                raise CalibrationError(f"{video}: its length is unknown")
            start = stream.start_time or 0
            last = -1
            for at in range(count):
                wanted = start + stream.duration * (2 * at + 1) // (2 * count)
                container.seek(wanted, stream=stream)
                frame = next((frame for frame in container.decode(stream) if _ends_after(frame, wanted)), None)
                if frame is not None and frame.pts is not None and frame.pts > last:
                    last = frame.pts
                    yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    except (FFmpegError, IndexError) as error:
        raise CalibrationError(f"{video}: not a readable video: {error}") from error


def _ends_after(frame: av.VideoFrame, wanted: int) -> bool:
    return frame.pts is not None and frame.pts + (frame.duration or 1) > wanted


def _detector(path: Path) -> onnxruntime.InferenceSession:
    session = open_onnx(path)
    if [tensor.name for tensor in session.get_inputs()] != ["images"]:
        raise CalibrationError(f"{path}: not an exported detector: its input is not 'images'")
    return session


def open_onnx(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU with as many threads as cores, or as told.

    Raises ``CalibrationError`` for a file that is no model; ``FileNotFoundError``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base but this
        raise CalibrationError(f"{path}: not a readable ONNX file: {' '.join(str(error).split())[:150]}") from error


def _people(session: onnxruntime.InferenceSession, frame: UInt8) -> Iterator[UInt8]:
    """Crops [256, 128, 3], cut from the pixels of the video."""
    height, width = session.get_inputs()[0].shape[1:3]
    boxes, scores = session.run(["boxes", "scores"], {"images": letterbox(frame, (height, width))[None]})
    scale = min(height / frame.shape[0], width / frame.shape[1])
    for left, top, right, bottom in (boxes[0][scores[0] > SURE] / scale).round().astype(int):
        pixels = frame[max(top, 0) : bottom, max(left, 0) : right]
        if pixels.size:
            crop = cv2.resize(pixels, (CROP_HW[1], CROP_HW[0]), interpolation=cv2.INTER_LINEAR)
            yield crop.astype(np.uint8, copy=False)
