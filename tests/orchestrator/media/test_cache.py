from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import StorageError
from orchestrator.media import FolderVideoSource, SubVideo, VideoCache
from orchestrator.settings import load_settings

KIB = 1024


class CountingSource(FolderVideoSource):
    """A folder that counts its fetches and takes its time."""

    def __init__(self, folder: Path, pause_s: float = 0.0) -> None:
        super().__init__(folder)
        self.fetches = 0
        self.pause_s = pause_s
        self.go_on = asyncio.Event()

    async def fetch(self, sub_video: SubVideo, target: Path) -> None:
        self.fetches += 1
        await asyncio.to_thread(target.write_bytes, b"half")
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pause_s):
                await self.go_on.wait()
        await super().fetch(sub_video, target)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos" / "c01"
    folder.mkdir(parents=True)
    for index in (1, 2, 3):
        (folder / f"sub_video_{index:02d}.mp4").write_bytes(bytes([index]) * 100 * KIB)
    return tmp_path / "videos"


def cache_of(source, tmp_path, kib=1000, grace_s=0.0) -> VideoCache:
    gib = kib / (1 << 20)
    return VideoCache(load_settings(cache_dir=tmp_path / "cache", cache_max_gib=gib, cache_grace_s=grace_s), source)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.is_file())


async def test_a_file_is_fetched_once_however_many_ask(videos, tmp_path):
    source = CountingSource(videos, pause_s=0.1)
    (sub_video, *_) = await source.list_sub_videos("c01", "c01")
    caches = [cache_of(source, tmp_path) for _ in range(3)]
    paths = await asyncio.gather(*(cache.path_of("campus", sub_video) for cache in caches * 4))
    assert source.fetches == 1
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == bytes([1]) * 100 * KIB
    assert files(tmp_path) == [paths[0].name]


IN_ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from tests.orchestrator.media.test_cache import CountingSource, cache_of

async def main(folder):
    source = CountingSource(folder / "videos")
    (sub_video, *_) = await source.list_sub_videos("c01", "c01")
    print("asking", flush=True)
    await cache_of(source, folder).path_of("campus", sub_video)
    print(source.fetches)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_processes_share_one_fetch(videos, tmp_path):
    source = CountingSource(videos, pause_s=60)
    (sub_video, *_) = await source.list_sub_videos("c01", "c01")
    fetching = asyncio.create_task(cache_of(source, tmp_path).path_of("campus", sub_video))
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert await other.stdout.readline() == b"asking\n"
    await asyncio.sleep(0.2)
    assert other.returncode is None
    source.go_on.set()
    await fetching
    assert (await other.communicate())[0] == b"0\n"


async def test_a_changed_object_is_another_file(videos, tmp_path):
    source = CountingSource(videos)
    cache = cache_of(source, tmp_path)
    old = await cache.path_of("campus", (await source.list_sub_videos("c01", "c01"))[0])
    (videos / "c01" / "sub_video_01.mp4").write_bytes(b"new")
    new = await cache.path_of("campus", (await source.list_sub_videos("c01", "c01"))[0])
    assert old != new
    assert new.read_bytes() == b"new"
    assert old.stat().st_size == 100 * KIB


async def test_a_cached_file_of_another_size_is_fetched_again(videos, tmp_path):
    source = CountingSource(videos)
    cache = cache_of(source, tmp_path)
    (sub_video, *_) = await source.list_sub_videos("c01", "c01")
    path = await cache.path_of("campus", sub_video)
    path.write_bytes(b"broken")
    assert (await cache.path_of("campus", sub_video)).stat().st_size == sub_video.size


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_fetch_that_does_not_end_leaves_nothing(videos, tmp_path, how):
    source = CountingSource(videos, pause_s=10 if how == "cancelled" else 0)
    cache = cache_of(source, tmp_path)
    (sub_video, *_) = await source.list_sub_videos("c01", "c01")
    if how == "cancelled":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await cache.path_of("campus", sub_video)
    else:
        with pytest.raises(StorageError, match="changed after it was listed"):
            await cache.path_of("campus", replace(sub_video, etag="another"))
    assert files(tmp_path) == []


async def fill(cache, source):
    paths = []
    for age, sub_video in zip((300, 200, 100), await source.list_sub_videos("c01", "c01"), strict=True):
        paths.append(await cache.path_of("campus", sub_video))
        os.utime(paths[-1], (time.time() - age,) * 2)
    return paths


async def test_the_file_unused_for_longest_goes_first(videos, tmp_path):
    source = CountingSource(videos)
    paths = await fill(cache_of(source, tmp_path), source)
    await cache_of(source, tmp_path).path_of("campus", (await source.list_sub_videos("c01", "c01"))[0])
    cache_of(source, tmp_path, kib=250).evict()
    assert [path.exists() for path in paths] == [True, False, True]


async def test_a_file_that_is_held_stays(videos, tmp_path):
    source = CountingSource(videos)
    cache = cache_of(source, tmp_path)
    paths = await fill(cache, source)
    with cache.hold(paths[0]):
        cache_of(source, tmp_path, kib=150).evict()
        assert [path.exists() for path in paths] == [True, False, False]
    cache_of(source, tmp_path, kib=50).evict()
    assert files(tmp_path) == []


async def test_the_grace_period_is_kept_and_said(videos, tmp_path, caplog):
    source = CountingSource(videos)
    paths = await fill(cache_of(source, tmp_path), source)
    cache_of(source, tmp_path, kib=50, grace_s=150).evict()
    assert [path.exists() for path in paths] == [False, False, True]
    assert "above its limit" in caplog.text


async def test_what_a_killed_process_left_is_cleared_away(videos, tmp_path):
    cache = cache_of(CountingSource(videos), tmp_path)
    (tmp_path / "cache").mkdir()
    old, new = (tmp_path / "cache" / name for name in ("old.part", "new.part"))
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.evict()
    assert files(tmp_path) == ["new.part"]


async def test_a_cache_that_cannot_be_written_says_so(videos, tmp_path):
    source = CountingSource(videos)
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        await cache_of(source, tmp_path).path_of("campus", (await source.list_sub_videos("c01", "c01"))[0])
