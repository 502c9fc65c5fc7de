"""One sub-video -> the frames of a batch's ticks, each with its exact presentation time.

Presentation times come from the container, edit list applied, as a browser's ``requestVideoFrameCallback`` reports
them. They are read without decoding, so that the ticks of every camera are known before the first frame is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from orchestrator.errors import VideoError
from orchestrator.mp4 import truncation_of
from orchestrator.scaling import write_letterbox
from orchestrator.values import Float64, Frame, Int64, UInt8

_UNSPECIFIED_COLORSPACE: Final = 2
_HD_HEIGHT: Final = 720
_SAME_INSTANT_S: Final = 1e-6
_QUARTER_TURNS: Final = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    -180: cv2.ROTATE_180,
    -90: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class VideoProbe:
    """What is known of a sub-video before it is decoded."""

    width: int
    """Pixels, as shown (a display rotation is applied)."""
    height: int
    fps: float
    """Mean rate over the whole file, frames a second."""
    frame_times_s: Float64
    """[F] presentation times in rising order, seconds, F >= 1."""
    rotation: int = 0
    """Degrees counter-clockwise that the display matrix turns the coded picture by: -180, -90, 0, 90 or 180."""

    @property
    def start_time_s(self) -> float:
        """Presentation time of the first frame."""
        return float(self.frame_times_s[0])


def probe(path: Path) -> VideoProbe:
    """Reads a video's geometry and presentation times; decodes only the first frame, to prove that it can be.

    Raises:
        VideoError: not a video, no video stream, no frames, an unreadable codec, or truncated; names the file.
    """
    with _naming(path), av.open(path, metadata_errors="ignore") as container:
        stream = _video_stream(container, path)
        _refuse_truncated(path, stream)
        first, pts = _scan(container, stream)
        _refuse_truncated(path, stream)  # the index of a fragmented file is whole only now
        if first is None or not pts:
            raise VideoError(path, f"its {stream.codec_context.name} stream has no frame that can be decoded")
        times = _seconds(pts, stream)
        turned = abs(first.rotation) == 90
        return VideoProbe(
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            fps=_mean_rate(times, stream),
            frame_times_s=times,
            rotation=first.rotation if first.rotation in _QUARTER_TURNS else 0,
        )


def processing_rate(fps: Sequence[float], target_fps: float) -> float:
    """Ticks a second: the highest camera rate divided by the whole stride that comes nearest to ``target_fps``."""
    highest = max(fps)
    return highest / max(1, round(highest / target_fps))


def frames_of_ticks(video: VideoProbe, rate: float) -> Int64:
    """[K] the source frame nearest to ``start + k / rate`` for each tick k before the video's end.

    The last frame lasts as long as a mean frame. Halfway between two frames the earlier one is taken.
    """
    times = video.frame_times_s
    duration = times[-1] - times[0] + 1 / video.fps
    ticks = times[0] + np.arange(max(1, math.ceil((duration - _SAME_INSTANT_S) * rate))) / rate
    midpoints = (times[1:] + times[:-1]) / 2
    return np.asarray(np.searchsorted(midpoints, ticks - _SAME_INSTANT_S), np.int64)


class FrameReader:
    """Decodes one sub-video forward and hands out the frames of its ticks; blocking, for one thread at a time."""

    def __init__(self, path: Path, camera_id: str, video: VideoProbe, frame_indices: Int64) -> None:
        """``frame_indices`` [K], never falling: the source frame of each tick.

        Raises:
            VideoError: the file cannot be opened.
        """
        self._path = path
        self._camera_id = camera_id
        self._video = video
        self._frame_indices = frame_indices
        self._wanted = np.zeros(len(video.frame_times_s), np.bool_)
        self._wanted[frame_indices] = True
        self._reformatter = VideoReformatter()
        self._current: Frame | None = None
        with _naming(path):
            self._container = av.open(path, metadata_errors="ignore")
        self._stream = _video_stream(self._container, path)
        self._decoded = self._decode()

    def read(self, tick: int, letterbox: UInt8 | None = None) -> Frame:
        """The frame of a tick; ticks are asked for in rising order, and one may be asked for again at once.

        ``letterbox`` [H, W, 3] (a view of shared memory) also receives the frame as the detector wants it.

        Raises:
            VideoError: the file breaks off or cannot be decoded there; names file and frame.
        """
        index = int(self._frame_indices[tick])
        if self._current is None or self._current.frame_index != index:
            self._current = self._advance_to(index)
        if letterbox is not None:
            write_letterbox(self._current.pixels, letterbox)
        return self._current

    def close(self) -> None:
        """Frees the decoder; harmless when repeated."""
        self._container.close()

    def _advance_to(self, index: int) -> Frame:
        try:
            found, picture = next(item for item in self._decoded if item[0] >= index)
        except StopIteration:
            raise self._broken(index, "the file ends before it") from None
        except FFmpegError as error:
            raise self._broken(index, error.strerror or str(error)) from error
        if found != index:
            raise self._broken(index, f"the decoder gave frame {found} instead")
        return Frame(self._camera_id, index, float(self._video.frame_times_s[index]), self._to_rgb(picture))

    def _decode(self) -> Iterator[tuple[int, VideoFrame]]:
        """Pictures with their frame index. Pictures that no tick wants and no other needs are not even decoded."""
        context = self._stream.codec_context
        needs_all = True
        for packet in self._container.demux(self._stream):
            needs_picture = packet.pts is None or self._is_wanted(packet.pts)
            if needs_picture != needs_all:
                context.skip_frame = "DEFAULT" if needs_picture else "NONREF"
                needs_all = needs_picture
            for picture in packet.decode():
                index = self._index_of(picture.pts)
                if index is not None:
                    yield index, picture

    def _is_wanted(self, pts: int) -> bool:
        index = self._index_of(pts)
        return index is not None and bool(self._wanted[index])

    def _index_of(self, pts: int | None) -> int | None:
        if pts is None:
            return None
        times = self._video.frame_times_s
        time_s = _seconds([pts], self._stream)[0]
        index = int(np.searchsorted(times, time_s - _SAME_INSTANT_S))
        return index if index < len(times) and times[index] - time_s < _SAME_INSTANT_S else None

    def _to_rgb(self, picture: VideoFrame) -> UInt8:
        """[height, width, 3] RGB, a view of the converted picture: one pass over the pixels, no copy."""
        assumed = Colorspace.ITU709 if picture.height >= _HD_HEIGHT else Colorspace.ITU601
        converted = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=assumed if picture.colorspace == _UNSPECIFIED_COLORSPACE else None,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        turn = _QUARTER_TURNS.get(self._video.rotation)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)

    def _broken(self, index: int, why: str) -> VideoError:
        total = len(self._video.frame_times_s)
        return VideoError(self._path, f"frame {index} of {total} (camera {self._camera_id}) cannot be decoded: {why}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise _unreadable(path, f"not a readable video: {error.strerror or error}") from error


def _unreadable(path: Path, otherwise: str) -> VideoError:
    cut = truncation_of(path) if path.is_file() else None
    return VideoError(path, otherwise if cut is None else f"truncated: {cut}")


def _refuse_truncated(path: Path, stream: VideoStream) -> None:
    cut = truncation_of(path, stream)
    if cut is not None:
        raise VideoError(path, f"truncated: {cut}")


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise _unreadable(path, "has no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise VideoError(path, "no decoder for its video codec")
    stream.codec_context.thread_type = "NONE"
    return stream


def _scan(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame | None, list[int]]:
    """The first picture that decodes, and the presentation times of all that will, in units of the time base."""
    first: VideoFrame | None = None
    pts: list[int] = []
    started = False
    for packet in container.demux(stream):
        if first is None:
            first = next(iter(packet.decode()), None)
        started = started or packet.is_keyframe
        if started and packet.pts is not None and not packet.is_discard:
            pts.append(packet.pts)
    return first, sorted(set(pts))


def _seconds(pts: Sequence[int], stream: VideoStream) -> Float64:
    base = _time_base(stream)
    return np.asarray(pts, np.int64) * base.numerator / base.denominator


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 1)


def _mean_rate(times: Float64, stream: VideoStream) -> float:
    """Frames a second over the file; a rate of the trade where the time base is too coarse to tell it apart."""
    if len(times) < 2:
        return float(stream.guessed_rate or 1)
    span = float(times[-1] - times[0])
    mean = (len(times) - 1) / span
    uncertainty = mean * float(_time_base(stream)) / span
    usual = (round(mean), round(mean * 1.001) / 1.001)
    return next((float(rate) for rate in usual if abs(rate - mean) <= uncertainty), mean)
