from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from demo.pictures.annotate import PictureError, annotate, annotated_frame
from demo.pictures.colours import DISTINCT, person_colour, person_name
from demo.recording import NOBODY, CameraRecord, MediaFile, Recording, Sightings, Ticks, Timings

RATE = 10
WIDTH, HEIGHT = 160, 96


def write_video(path: Path, frames: int) -> None:
    """Frame k is grey of level 40 + 5 k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            pixels = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            pixels[:HEIGHT] = 40 + 5 * index
            frame = av.VideoFrame.from_ndarray(pixels, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode())


def recording_of(folder: Path, frames: int, shown: list[int]) -> Recording:
    """Two sub-videos of ``frames`` frames; of each, ``shown`` were processed and hold one person on the right."""
    media, paths, ticks = [], [], []
    for batch in range(2):
        path = folder / "c01" / f"sub_video_{batch + 1:02d}.mp4"
        write_video(path, frames)
        first = batch * len(shown)
        media.append(MediaFile("c01", batch, path.name, "/", first, len(shown), float(RATE), 0.0))
        paths.append(path)
        ticks += [(first + tick, batch, frame / RATE) for tick, frame in enumerate(shown)]
    table = np.array(ticks, np.float64)
    count = len(table)
    frames_column = table[:, 0].astype(np.int64)
    seen = Sightings(
        frames=frames_column,
        track_ids=np.ones(count, np.int64),
        people=np.where(np.arange(count) < 1, NOBODY, 0),
        boxes=np.tile(np.array([100, 30, 140, 90], np.float32), (count, 1)),
        confidences=np.ones(count, np.float32),
        map_xy=np.zeros((count, 2)),
    )
    camera = CameraRecord("c01", Ticks(frames_column, table[:, 1].astype(np.int64), table[:, 2]), seen, tuple(media))
    camera = CameraRecord(camera.camera_id, camera.ticks, camera.sightings, camera.media, tuple(paths))
    timings = Timings(0, 1, 1)
    return Recording("task", "campus", {"c01": camera}, ("abcd1234-1",), count, 2, 0, {}, timings)


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="yuv420p") for frame in source.decode(video=0)]


def test_every_processed_frame_is_there_with_its_own_picture(tmp_path: Path) -> None:
    recording = recording_of(tmp_path, 8, shown=[0, 2, 4, 6])
    drawn: list[int] = []
    paths = annotate(recording, tmp_path / "out", lambda: drawn.append(1))
    frames = decode(paths["c01"])
    assert len(frames) == len(drawn) == 8
    background = [int(np.median(frame[60:96, :60])) for frame in frames]
    assert background == pytest.approx([40, 50, 60, 70] * 2, abs=3)


def test_boxes_have_the_persons_colour(tmp_path: Path) -> None:
    recording = recording_of(tmp_path, 4, shown=[0, 1, 2, 3])
    frame = annotated_frame(recording, recording.cameras["c01"], 5).to_ndarray(format="rgb24")
    edge = frame[60, 99:102].reshape(-1, 3).astype(int)
    assert np.abs(edge - np.array(DISTINCT[0])).sum(axis=1).min() < 60
    inside = frame[50, 115:125].astype(int)
    assert (inside.max(axis=1) - inside.min(axis=1)).max() < 30


def test_video_plays_everywhere(tmp_path: Path) -> None:
    path = annotate(recording_of(tmp_path, 4, shown=[0, 1, 2, 3]), tmp_path / "out")["c01"]
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", Fraction(RATE))
    head = path.read_bytes()
    assert 0 < head.find(b"moov") < head.find(b"mdat")


def test_presentation_time_without_a_frame_is_an_error(tmp_path: Path) -> None:
    recording = recording_of(tmp_path, 4, shown=[0, 1, 9])
    with pytest.raises(PictureError, match=r"sub_video_01.mp4 has no frame at 0.9000 s"):
        annotate(recording, tmp_path / "out")


def test_colours_and_names_of_people() -> None:
    colours = {person_colour(person) for person in range(NOBODY, 60)}
    assert len(colours) == 61
    assert person_name("0c1d22aa-17") == "17"
