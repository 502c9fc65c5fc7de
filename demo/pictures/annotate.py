"""Videos with everybody's box and id on the exact frame in which they were seen."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from demo.pictures.canvas import Canvas, Point
from demo.pictures.colours import person_colour, person_name
from demo.recording import NOBODY, CameraRecord, Recording, Ticks
from orchestrator.errors import SpotOnError
from orchestrator.values import Bool, Float64

SAME_FRAME_S = 0.002
"""Two presentation times closer than this are one frame's; rounding in JSON and time bases stays far below."""
TRAIL_S = 1.5
"""How much of a person's way stays drawn behind them."""
ENCODER = {"preset": "superfast", "crf": "23"}

OnFrame = Callable[[], None]
"""Called after each frame from the thread that drew it; what it raises stops the drawing."""


class PictureError(SpotOnError):
    """A picture cannot be made: a frame that was reported is not in its file."""


def annotate(recording: Recording, folder: Path, on_frame: OnFrame = lambda: None) -> dict[str, Path]:
    """Writes ``folder/<camera>.mp4`` (H.264, yuv420p, index first) for every camera, side by side.

    Frame k of a video is the k-th processed frame of its camera.

    Raises:
        PictureError: a reported presentation time has no frame in the fetched file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cameras = [camera for camera in recording.cameras.values() if len(camera.ticks)]
    with ThreadPoolExecutor(os.cpu_count(), "annotate") as pool:
        jobs = {
            camera.camera_id: pool.submit(_annotate_camera, recording, camera, folder, on_frame) for camera in cameras
        }
        return {camera: job.result() for camera, job in jobs.items()}


def annotated_frame(recording: Recording, camera: CameraRecord, frame: int) -> av.VideoFrame:
    """One processed frame of a camera, drawn on; ``frame`` is a global frame index.

    Raises:
        PictureError: the camera gave no such frame.
    """
    frames = camera.ticks.frames
    rows = (frames > frame - TRAIL_S * recording.rate) & (frames <= frame)
    last = deque(_drawn_frames(recording, replace(camera, ticks=_select(camera.ticks, rows))), maxlen=1)
    if not last or last[0][0] != frame:
        raise PictureError(f"camera {camera.camera_id} gave no frame {frame}")
    return last[0][1]


def _annotate_camera(recording: Recording, camera: CameraRecord, folder: Path, on_frame: OnFrame) -> Path:
    path = folder / f"{camera.camera_id}.mp4"
    part = path.with_suffix(".part")
    rate = Fraction(recording.rate).limit_denominator(1001)
    first = int(camera.ticks.frames[0])
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as sink:
        stream = None
        for frame_index, frame in _drawn_frames(recording, camera):
            if stream is None:
                stream = _open_stream(sink, frame, rate)
            frame.pts, frame.time_base = frame_index - first, 1 / rate
            sink.mux(stream.encode(frame))
            on_frame()
        if stream is not None:
            sink.mux(stream.encode())
    part.replace(path)
    return path


def _open_stream(sink: av.container.OutputContainer, frame: av.VideoFrame, rate: Fraction) -> av.VideoStream:
    stream = sink.add_stream("libx264", rate=rate, options=ENCODER)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
    context.time_base, context.thread_count = 1 / rate, 1
    context.colorspace, context.color_range = frame.colorspace, frame.color_range
    return stream


def _drawn_frames(recording: Recording, camera: CameraRecord) -> Iterator[tuple[int, av.VideoFrame]]:
    """Every processed frame of one camera with its global index, drawn on; all of the first one's size."""
    painter = _Painter(recording, camera)
    size: tuple[int, int] | None = None
    for file, path in zip(camera.media, camera.paths, strict=True):
        ticks = _select(camera.ticks, camera.ticks.batches == file.batch)
        for tick, frame in _frames_of_ticks(path, ticks):
            size = size or (frame.width & ~1, frame.height & ~1)
            canvas = Canvas.of(frame, *size)
            painter.paint(canvas, int(ticks.frames[tick]), size[0] / frame.width, size[1] / frame.height)
            drawn = av.VideoFrame.from_ndarray(canvas.pixels, "yuv420p")
            drawn.colorspace, drawn.color_range = frame.colorspace, frame.color_range
            yield int(ticks.frames[tick]), drawn


def _frames_of_ticks(path: Path, ticks: Ticks) -> Iterator[tuple[int, av.VideoFrame]]:
    """The frame that each tick [K] showed, by presentation time; a frame that several ticks showed comes again."""
    tick, times = 0, ticks.media_time_s
    with av.open(str(path)) as source:
        video = source.streams.video[0]
        video.thread_type = "NONE"
        for frame in source.decode(video):
            if tick == len(times):
                return
            while tick < len(times) and frame.time is not None and abs(times[tick] - frame.time) < SAME_FRAME_S:
                yield tick, frame
                tick += 1
    if tick < len(times):
        raise PictureError(f"{path.name} has no frame at {times[tick]:.4f} s, where people were reported")


class _Painter:
    """Draws what one camera saw, frame by frame in order."""

    def __init__(self, recording: Recording, camera: CameraRecord) -> None:
        self._camera = camera
        self._people = recording.people
        self._rate = recording.rate
        self._seen = camera.sightings
        self._trails: dict[int, deque[Point]] = {}
        self._trail_length = max(2, round(TRAIL_S * recording.rate))

    def paint(self, canvas: Canvas, frame: int, scale_x: float, scale_y: float) -> None:
        first, last = np.searchsorted(self._seen.frames, (frame, frame + 1))
        boxes = self._seen.boxes[first:last] * np.array([scale_x, scale_y, scale_x, scale_y])
        people = self._seen.people[first:last].tolist()
        tracks = self._seen.track_ids[first:last].tolist()
        self._draw_trails(canvas, boxes, people, tracks)
        for box, person in zip(boxes.tolist(), people, strict=True):
            canvas.box(box, person_colour(person))
        for box, person in zip(boxes.tolist(), people, strict=True):
            name = "?" if person == NOBODY else person_name(self._people[person])
            canvas.tag(name, (round(box[0]) - canvas.line // 2, round(box[1])), person_colour(person))
        minutes, seconds = divmod(frame / self._rate, 60)
        canvas.caption(f"{self._camera.camera_id}  {int(minutes):02d}:{seconds:04.1f}")

    def _draw_trails(self, canvas: Canvas, boxes: Float64, people: list[int], tracks: list[int]) -> None:
        self._trails = {track: self._trails.get(track, deque(maxlen=self._trail_length)) for track in tracks}
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).round().astype(int).tolist()
        for track, person, (x, y) in zip(tracks, people, feet, strict=True):
            trail = self._trails[track]
            trail.append((x, y))
            if len(trail) > 1:
                canvas.path(trail, person_colour(person))


def _select(ticks: Ticks, rows: Bool) -> Ticks:
    return Ticks(ticks.frames[rows], ticks.batches[rows], ticks.media_time_s[rows])
