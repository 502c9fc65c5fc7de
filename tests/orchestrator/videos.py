"""Video files made for a test."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from orchestrator.values import UInt8


def picture(number: int, size_hw: tuple[int, int]) -> UInt8:
    """A picture that tells its number: a grey level of its own, and a bright quarter at the top left."""
    pixels = np.full((*size_hw, 3), 40 + 5 * number % 160, np.uint8)
    pixels[: size_hw[0] // 2, : size_hw[1] // 2] = 230
    return pixels


def write_video(
    path: Path,
    frames: int = 24,
    fps: int = 12,
    size_hw: tuple[int, int] = (96, 160),
    *,
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    movflags: str = "faststart",
    pictures: Sequence[UInt8] | None = None,
) -> Path:
    """Writes a video whose frame n is ``picture(n)``; ``pts`` in units of 1 / (12 * fps) s make its rate variable."""
    with av.open(path, "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = size_hw
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 12 * fps)
        for number in range(frames):
            pixels = picture(number, size_hw) if pictures is None else pictures[number]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = 12 * number if pts is None else pts[number]
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded_times(path: Path) -> list[float]:
    """Presentation times of the frames that the decoder really gives, in seconds."""
    with av.open(path) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def packet_ends(path: Path) -> list[int]:
    """Offset of the first byte after each coded frame."""
    with av.open(path) as container:
        return [packet.pos + packet.size for packet in container.demux(video=0) if packet.pos is not None]


def cut(path: Path, share: float) -> int:
    """Keeps the first ``share`` of a file's bytes; returns how many those are."""
    content = path.read_bytes()
    kept = int(len(content) * share)
    path.write_bytes(content[:kept])
    return kept


def turn_display(path: Path) -> Path:
    """Says in an mp4's track header that its picture is shown turned clockwise by 90 degrees."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def delay_start(path: Path, edit: int) -> Path:
    """Changes the media time at which an mp4's only edit begins, in units of the media's time scale."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"elst") + 4 + 8
    content[entry + 4 : entry + 8] = struct.pack(">i", edit)
    path.write_bytes(content)
    return path
