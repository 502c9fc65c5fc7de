"""Frames to H.264 files that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.reformatter import ColorRange, Colorspace

from orchestrator.values import UInt8


class VideoWriter:
    """One mp4: H.264, yuv420p, BT.709 limited range, index at the front; appears at its path when complete."""

    def __init__(self, path: Path, width: int, height: int, fps: int) -> None:
        self._path, self._partial = path, path.with_suffix(".partial.mp4")
        self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        stream = self._container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "crf": "24", "g": str(2 * fps)}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        stream.codec_context.color_range = 1
        stream.codec_context.colorspace = 1
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        self._stream, self._frames = stream, 0

    def write(self, rgb: UInt8) -> None:
        """Add a frame [H, W, 3]."""
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, self._frames = self._frames, self._frames + 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)
