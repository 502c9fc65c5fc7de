from __future__ import annotations

from pathlib import Path

import pytest

from demo.servers.seaweedfs import S3Access
from demo.upload import UploadError, ignored_videos, match_videos, upload
from orchestrator.site import Camera

CAMERAS = [
    Camera(id="c01", prefix="video/c01"),
    Camera(id="c02", prefix="video/c02"),
    Camera(id="c03", prefix="video/c03"),
]


def write(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_each_camera_takes_the_first_layout_that_it_finds(tmp_path: Path) -> None:
    numbered = write(tmp_path / "video/c01/sub_video_03.mp4")
    write(tmp_path / "c01/ignored.mp4")
    morning, noon = write(tmp_path / "c02/09-00.mp4"), write(tmp_path / "c02/12-00.mp4")
    alone = write(tmp_path / "c03.mp4")
    assert match_videos(CAMERAS, tmp_path) == {
        "c01": {"video/c01/sub_video_03.mp4": numbered},
        "c02": {"video/c02/sub_video_01.mp4": morning, "video/c02/sub_video_02.mp4": noon},
        "c03": {"video/c03/sub_video_01.mp4": alone},
    }


def test_camera_without_video_is_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "c02.mp4")
    assert list(match_videos(CAMERAS, tmp_path)) == ["c02"]
    with pytest.raises(UploadError, match=r"expected video/c01/sub_video_01.mp4, c01/\*.mp4 or c01.mp4"):
        match_videos(CAMERAS[:1], tmp_path)
    with pytest.raises(UploadError, match=r"no such folder: .*elsewhere"):
        match_videos(CAMERAS, tmp_path / "elsewhere")


def test_recordings_are_ordered_as_people_read_them_and_may_have_a_suffix_in_capitals(tmp_path: Path) -> None:
    nine, ten = write(tmp_path / "c01/9 am.MP4"), write(tmp_path / "c01/10 am.mp4")
    alone, numbered = write(tmp_path / "c02.Mp4"), write(tmp_path / "video/c03/sub_video_01.MP4")
    matched = match_videos(CAMERAS, tmp_path)
    assert list(matched["c01"].items()) == [("video/c01/sub_video_01.mp4", nine), ("video/c01/sub_video_02.mp4", ten)]
    assert matched["c02"] == {"video/c02/sub_video_01.mp4": alone}
    assert matched["c03"] == {"video/c03/sub_video_01.mp4": numbered}


def test_files_that_the_worker_would_pass_over_are_not_taken_but_told(tmp_path: Path) -> None:
    kept = write(tmp_path / "video/c01/sub_video_02.mp4")
    ignored = [write(tmp_path / "video/c01" / name) for name in ("sub_video_1.mp4", "sub_video_003.mp4", "end.mp4")]
    matched = match_videos(CAMERAS, tmp_path)
    assert matched == {"c01": {"video/c01/sub_video_02.mp4": kept}}
    assert set(ignored_videos(CAMERAS, tmp_path, matched)) == set(ignored)


@pytest.mark.servers
async def test_bucket_holds_what_the_folder_holds(tmp_path: Path, s3: S3Access) -> None:
    first, second = write(tmp_path / "1.mp4", b"one" * 1000), write(tmp_path / "2.mp4", b"two" * 1000)
    keys = {"video/c01/sub_video_01.mp4": first, "video/c01/sub_video_02.mp4": second}
    calls: list[tuple[int, int]] = []
    done = await upload(s3, ["video/c01"], keys, lambda *counts: calls.append(counts))
    assert (done.sent, done.kept, done.removed) == (2, 0, 0)
    assert calls == [(1, 2), (2, 2)]
    second.write_bytes(b"TWO" * 1000)
    again = await upload(s3, ["video/c01"], keys)
    assert (again.sent, again.kept, again.removed) == (1, 1, 0)
    fewer = await upload(s3, ["video/c01"], {"video/c01/sub_video_02.mp4": second})
    assert (fewer.sent, fewer.kept, fewer.removed) == (0, 1, 1)
    async with s3.create_client() as client:
        body = await client.get_object(Bucket=s3.bucket, Key="video/c01/sub_video_02.mp4")
        assert await body["Body"].read() == b"TWO" * 1000
