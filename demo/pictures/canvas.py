"""Drawing on a frame as decoders give it, straight onto its Y, U and V planes: no pixel changes its colour space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import av
import cv2
import numpy as np

from demo.pictures.colours import Rgb, is_bright
from orchestrator.values import UInt8

FONT = cv2.FONT_HERSHEY_DUPLEX
BLACK, WHITE = 16, 235
Point = tuple[int, int]


class Canvas:
    """A yuv420p frame to draw on; sizes of lines and text follow its height."""

    def __init__(self, pixels: UInt8) -> None:
        """``pixels``: [height * 3 / 2, width], the three planes one after another; drawn on in place."""
        self.pixels = pixels
        self.height, self.width = pixels.shape[0] * 2 // 3, pixels.shape[1]
        flat, luma, chroma = pixels.reshape(-1), self.height * self.width, self.height * self.width // 4
        half = (self.height // 2, self.width // 2)
        self._luma = flat[:luma].reshape(self.height, self.width)
        self._chroma = (
            flat[luma : luma + chroma].reshape(half),
            flat[luma + chroma : luma + 2 * chroma].reshape(half),
        )
        self.line = max(1, round(self.height / 320))
        self._text_scale = self.height / 1150

    @classmethod
    def of(cls, frame: av.VideoFrame, width: int, height: int) -> Canvas:
        """A copy of a decoded frame, scaled to an even size where it has another one."""
        if (frame.width, frame.height, frame.format.name) != (width, height, "yuv420p"):
            frame = frame.reformat(width, height, "yuv420p")
        return cls(np.ascontiguousarray(frame.to_ndarray()))

    def box(self, box: Sequence[float], colour: Rgb) -> None:
        """The outline of ``x1, y1, x2, y2`` px."""
        left, top, right, bottom = (round(value) for value in box)
        luma, *chroma = _yuv(colour)
        cv2.rectangle(self._luma, (left, top), (right, bottom), luma, self.line, cv2.LINE_AA)
        for plane, value in zip(self._chroma, chroma, strict=True):
            cv2.rectangle(plane, (left // 2, top // 2), (right // 2, bottom // 2), value, max(1, self.line // 2))

    def path(self, points: Iterable[Point], colour: Rgb) -> None:
        """A line through points, px."""
        line = np.array(list(points), np.int32)
        luma, *chroma = _yuv(colour)
        cv2.polylines(self._luma, [line], False, luma, self.line, cv2.LINE_AA)
        for plane, value in zip(self._chroma, chroma, strict=True):
            cv2.polylines(plane, [line // 2], False, value, max(1, self.line // 2))

    def tag(self, text: str, corner: Point, colour: Rgb) -> None:
        """Text on a filled field that stands on ``corner`` (its lower left, px), moved inside the frame."""
        width, height, rise = self._text_size(text)
        left = min(max(corner[0], 0), self.width - width)
        bottom = max(corner[1], height)
        self._fill(left, bottom - height, width, height, colour)
        ink = BLACK if is_bright(colour) else WHITE
        self._write(text, (left + rise, bottom - rise), ink)

    def caption(self, text: str) -> None:
        """Text on a dark field in the upper left corner."""
        width, height, rise = self._text_size(text)
        self._fill(0, 0, width, height, (28, 30, 34))
        self._write(text, (rise, height - rise), WHITE)

    def _fill(self, left: int, top: int, width: int, height: int, colour: Rgb) -> None:
        luma, *chroma = _yuv(colour)
        self._luma[top : top + height, left : left + width] = luma
        for plane, value in zip(self._chroma, chroma, strict=True):
            plane[top // 2 : (top + height + 1) // 2, left // 2 : (left + width + 1) // 2] = value

    def _text_size(self, text: str) -> tuple[int, int, int]:
        """Width and height of a field around the text, and its margin, px."""
        (width, height), _ = cv2.getTextSize(text, FONT, self._text_scale, 1)
        margin = max(2, round(self.height / 144))
        return width + 2 * margin, height + 2 * margin, margin

    def _write(self, text: str, origin: Point, ink: int) -> None:
        cv2.putText(self._luma, text, origin, FONT, self._text_scale, ink, 1, cv2.LINE_AA)


@lru_cache(maxsize=256)
def _yuv(colour: Rgb) -> tuple[int, int, int]:
    """Limited-range Y, Cb, Cr (ITU-R BT.709)."""
    red, green, blue = (value / 255 for value in colour)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        round(16 + 219 * luma),
        round(128 + 224 * (blue - luma) / 1.8556),
        round(128 + 224 * (red - luma) / 1.5748),
    )
