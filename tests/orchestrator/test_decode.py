from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from orchestrator.decode import FrameReader, VideoProbe, frames_of_ticks, probe, processing_rate
from orchestrator.errors import VideoError
from tests.orchestrator.videos import cut, decoded_times, delay_start, packet_ends, picture, turn_display, write_video

B_FRAMES = {"bf": "3", "g": "12", "b-pyramid": "normal"}


def evenly(frames: int, fps: float, start: float = 0.0) -> VideoProbe:
    return VideoProbe(64, 64, fps, start + np.arange(frames) / fps)


def read_all(path: Path, rate: float) -> list[tuple[int, float]]:
    video = probe(path)
    indices = frames_of_ticks(video, rate)
    reader = FrameReader(path, "c01", video, indices)
    frames = [reader.read(tick) for tick in range(len(indices))]
    reader.close()
    return [(frame.frame_index, float(frame.pixels[-1, -1, 0])) for frame in frames]


class TestProbe:
    def test_geometry_and_rate(self, tmp_path):
        video = probe(write_video(tmp_path / "v.mp4", frames=24, fps=12, size_hw=(96, 160)))
        assert (video.width, video.height, video.fps, video.rotation) == (160, 96, 12.0, 0)
        assert video.start_time_s == 0.0

    @pytest.mark.parametrize("fps", [12, 25, 30])
    @pytest.mark.parametrize("suffix", ["mp4", "mkv"])
    def test_rate_is_exact_even_in_a_coarse_time_base(self, tmp_path, fps, suffix):
        assert probe(write_video(tmp_path / f"v.{suffix}", frames=40, fps=fps)).fps == fps

    def test_times_are_those_of_the_decoder_with_b_frames(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", options=B_FRAMES)
        with av.open(path) as container:
            assert any(packet.pts != packet.dts for packet in container.demux(video=0) if packet.pts is not None)
        assert probe(path).frame_times_s.tolist() == decoded_times(path)

    def test_times_are_those_of_the_decoder_at_a_variable_rate(self, tmp_path):
        steps = np.random.default_rng(7).integers(3, 40, 24)
        path = write_video(tmp_path / "v.mp4", pts=np.cumsum(steps).tolist(), options=B_FRAMES)
        times = probe(path).frame_times_s
        assert times.tolist() == decoded_times(path)
        assert np.diff(times).std() > 0.01

    def test_a_start_after_zero_is_kept(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", pts=[12 * n + 72 for n in range(24)])
        video = probe(path)
        assert video.start_time_s == pytest.approx(0.5)
        assert video.frame_times_s.tolist() == decoded_times(path)

    def test_frames_that_the_edit_list_cuts_off_do_not_count(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", options=B_FRAMES)
        with av.open(path) as container:
            scale = container.streams.video[0].time_base.denominator
        whole = probe(path)
        shortened = probe(delay_start(path, edit=scale // 2))
        assert len(shortened.frame_times_s) < len(whole.frame_times_s)
        assert shortened.frame_times_s.tolist() == decoded_times(path)
        assert shortened.start_time_s == pytest.approx(0, abs=1 / 12)

    def test_one_frame(self, tmp_path):
        video = probe(write_video(tmp_path / "v.mp4", frames=1))
        assert len(video.frame_times_s) == 1
        assert frames_of_ticks(video, 12.0).tolist() == [0]

    def test_display_rotation_is_applied(self, tmp_path):
        path = turn_display(write_video(tmp_path / "v.mp4", size_hw=(96, 160)))
        video = probe(path)
        assert (video.height, video.width) == (160, 96)
        reader = FrameReader(path, "c01", video, np.array([0]))
        pixels = reader.read(0).pixels
        reader.close()
        bright = pixels[..., 0] > 150
        assert pixels.shape == (160, 96, 3)
        assert bright[10:70, 58:86].all()
        assert not bright[10:70, 10:40].any()


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"no video at all " * 100, "not a readable video"),
            (b"", "empty"),
            (None, "No such file"),
        ],
    )
    def test_not_a_video(self, tmp_path, content, said):
        path = tmp_path / "clip.mp4"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(VideoError, match=f"clip.mp4.*{said}"):
            probe(path)

    def test_no_video_stream(self, tmp_path):
        with av.open(tmp_path / "sound.mp4", "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.rate = 8000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
        with pytest.raises(VideoError, match=r"sound.mp4: has no video stream"):
            probe(tmp_path / "sound.mp4")

    def test_unknown_codec(self, tmp_path):
        path = write_video(tmp_path / "v.mp4")
        path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
        with pytest.raises(VideoError, match=r"v.mp4: no decoder"):
            probe(path)

    def test_cut_in_the_pictures(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", options={"g": "1"})
        ends = packet_ends(path)
        kept = cut(path, 0.6)
        whole = sum(end <= kept for end in ends)
        assert 0 < whole < 24
        with pytest.raises(VideoError, match=f"v.mp4: truncated: {whole} of 24 frames can be read"):
            probe(path)

    def test_cut_in_a_fragment(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", options={"g": "6"}, movflags="frag_keyframe+empty_moov")
        assert len(probe(path).frame_times_s) == 24
        cut(path, 0.6)
        with pytest.raises(VideoError, match=r"v.mp4: truncated: \d+ of \d+ frames can be read"):
            probe(path)

    @pytest.mark.parametrize(("movflags", "share"), [("faststart", 0.1), ("", 0.5), ("", 0.9)])
    def test_cut_before_or_in_the_index(self, tmp_path, movflags, share):
        path = write_video(tmp_path / "v.mp4", movflags=movflags)
        cut(path, share)
        with pytest.raises(VideoError, match=r"truncated: 0 frames can be read, since its index \(moov\)"):
            probe(path)

    def test_a_file_damaged_after_it_was_probed(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", options={"g": "1"})
        video = probe(path)
        cut(path, 0.6)
        reader = FrameReader(path, "c07", video, frames_of_ticks(video, 12.0))
        with pytest.raises(VideoError, match=r"v.mp4: frame \d+ of 24 \(camera c07\) cannot be decoded"):
            [reader.read(tick) for tick in range(24)]
        reader.close()


class TestTicks:
    @pytest.mark.parametrize(
        ("fps", "target", "rate"),
        [([12.0], 23, 12.0), ([60.0, 25.0], 23, 20.0), ([25.0], 23, 25.0), ([30.0], 10, 10.0)],
    )
    def test_rate_is_a_whole_stride_of_the_highest(self, fps, target, rate):
        assert processing_rate(fps, target) == rate

    @pytest.mark.parametrize(
        ("frames", "fps", "stride"), [(24, 12.0, 1), (25, 30.0, 2), (301, 30000 / 1001, 3), (1, 25.0, 2)]
    )
    def test_equal_rates_give_every_stride_th_frame(self, frames, fps, stride):
        indices = frames_of_ticks(evenly(frames, fps, start=3.21), fps / stride)
        assert indices.tolist() == list(range(0, frames, stride))

    def test_a_slower_camera_repeats_frames_and_ends_when_it_ends(self):
        assert frames_of_ticks(evenly(4, 10.0), 20.0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]

    def test_the_nearest_frame_is_taken_at_a_variable_rate(self):
        video = VideoProbe(64, 64, 10.0, np.array([0.0, 0.04, 0.11, 0.28, 0.4]))
        assert frames_of_ticks(video, 10.0).tolist() == [0, 2, 3, 3, 4]


class TestFrameReader:
    @pytest.mark.parametrize("rate", [12.0, 6.0, 4.0, 24.0])
    def test_every_tick_gets_its_own_frame(self, tmp_path, rate):
        path = write_video(tmp_path / "v.mp4", options=B_FRAMES)
        found = read_all(path, rate)
        assert [index for index, _ in found] == frames_of_ticks(probe(path), rate).tolist()
        for index, grey in found:
            assert grey == pytest.approx(picture(index, (2, 2))[-1, -1, 0], abs=4)

    def test_skipping_unneeded_pictures_changes_no_pixel(self, tmp_path):
        noise = np.random.default_rng(3).integers(0, 255, (24, 24, 40, 3), np.uint8)
        pictures = [cv2.resize(sample, (160, 96)) for sample in noise]
        path = write_video(tmp_path / "v.mp4", options=B_FRAMES, pictures=pictures)
        video = probe(path)
        every, third = (FrameReader(path, "c", video, frames_of_ticks(video, rate)) for rate in (12.0, 4.0))
        for tick in range(8):
            assert np.array_equal(every.read(3 * tick).pixels, third.read(tick).pixels)
        every.close()
        third.close()

    def test_media_time_is_the_presentation_time(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", pts=[12 * n + 72 for n in range(24)])
        video = probe(path)
        reader = FrameReader(path, "c01", video, frames_of_ticks(video, 6.0))
        assert [reader.read(tick).media_time_s for tick in (0, 1, 5)] == pytest.approx([0.5, 0.5 + 1 / 6, 0.5 + 5 / 6])
        reader.close()

    def test_asking_twice_gives_the_frame_twice(self, tmp_path):
        path = write_video(tmp_path / "v.mp4")
        video = probe(path)
        reader = FrameReader(path, "c01", video, frames_of_ticks(video, 12.0))
        again = np.zeros((48, 48, 3), np.uint8)
        first = reader.read(3)
        assert reader.read(3, again) is first
        assert again[:28].any()
        reader.close()

    def test_the_letterbox_is_written_in_place(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", size_hw=(96, 160))
        video = probe(path)
        slot = np.full((2, 64, 80, 3), 7, np.uint8)
        reader = FrameReader(path, "c01", video, np.array([0]))
        frame = reader.read(0, slot[1])
        reader.close()
        assert (slot[0] == 7).all()
        assert (slot[1, 48:] == 0).all()
        assert np.array_equal(slot[1, :48], cv2.resize(frame.pixels, (80, 48), interpolation=cv2.INTER_AREA))

    def test_sizes_that_no_row_alignment_fits(self, tmp_path):
        path = write_video(tmp_path / "v.mp4", size_hw=(98, 162))
        reader = FrameReader(path, "c01", probe(path), np.array([2]))
        box = np.zeros((50, 100, 3), np.uint8)
        pixels = reader.read(0, box).pixels
        reader.close()
        assert pixels.shape == (98, 162, 3)
        assert pixels[40, 70] == pytest.approx(230, abs=3)
        assert pixels[90, 161] == pytest.approx(50, abs=3)
        assert box[48, 80] == pytest.approx(50, abs=3)

    @pytest.mark.parametrize(
        ("size_hw", "space", "yuv", "rgb"),
        [
            ((96, 160), 1, (63, 102, 240), (255, 0, 0)),
            ((96, 160), 6, (81, 90, 240), (255, 0, 0)),
            ((96, 160), 2, (81, 90, 240), (255, 0, 0)),
            ((720, 1280), 2, (63, 102, 240), (255, 0, 0)),
        ],
        ids=["bt709", "bt601", "untagged-sd", "untagged-hd"],
    )
    def test_colours_follow_the_matrix_of_the_file(self, tmp_path, size_hw, space, yuv, rgb):
        path = tmp_path / "v.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=12, options={"qp": "0"})
            stream.height, stream.width = size_hw
            stream.codec_context.colorspace = space
            frame = av.VideoFrame(size_hw[1], size_hw[0], "yuv420p")
            for plane, value in zip(frame.planes, yuv, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.colorspace = 0, space
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        reader = FrameReader(path, "c01", probe(path), np.array([0]))
        assert reader.read(0).pixels[10, 10] == pytest.approx(rgb, abs=2)
        reader.close()
