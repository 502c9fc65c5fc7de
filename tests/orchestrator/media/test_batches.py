from __future__ import annotations

import pytest

from orchestrator.errors import NoVideoError, StorageAccessError
from orchestrator.media import FolderVideoSource, plan_batches
from orchestrator.site import Camera, Environment


def environment(**more) -> Environment:
    cameras = {name: Camera(id=name, prefix=f"video_s37/{name}") for name in ("c01", "c02")}
    return Environment(id="campus", cameras=cameras, **more)


@pytest.fixture
def folder(tmp_path):
    for name in ("c01/sub_video_01.mp4", "c01/sub_video_02.mp4", "c02/sub_video_02.mp4", "c02/sub_video_04.mp4"):
        path = tmp_path / "video_s37" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    return tmp_path


async def plan(folder, place=None, **more):
    place = place or environment()
    return await plan_batches(FolderVideoSource(folder), place, place.select(None), **more)


def present(batches):
    return {batch.index: [name for name, item in batch.sub_videos.items() if item is not None] for batch in batches}


async def test_batch_i_holds_sub_video_i_plus_1_and_gaps_are_absences(folder):
    batches = await plan(folder)
    assert present(batches) == {0: ["c01"], 1: ["c01", "c02"], 2: [], 3: ["c02"]}
    assert list(batches[2].sub_videos) == ["c01", "c02"]
    assert batches[3].sub_videos["c02"].key == "video_s37/c02/sub_video_04.mp4"


@pytest.mark.parametrize(
    ("start", "end", "indices"), [(None, 2, [0, 1]), (1, None, [1, 2, 3]), (1, 2, [1]), (0, 99, [0, 1, 2, 3])]
)
async def test_a_range_is_zero_based_with_its_end_exclusive(folder, start, end, indices):
    assert list(present(await plan(folder, start_batch=start, end_batch=end))) == indices


async def test_the_site_file_may_fix_the_number(folder):
    assert list(present(await plan(folder, environment(sub_videos=2)))) == [0, 1]


async def test_nothing_at_all_names_environment_prefixes_and_place(tmp_path):
    with pytest.raises(NoVideoError) as caught:
        await plan(tmp_path)
    for said in ("'campus'", "video_s37/c01/", "video_s37/c02/", str(tmp_path)):
        assert said in str(caught.value)


async def test_a_range_beyond_the_end_says_what_there_is(folder):
    with pytest.raises(NoVideoError, match="batches 7 to the end: the last number there is 4"):
        await plan(folder, start_batch=7)


async def test_a_prefix_may_not_lead_out_of_the_folder(folder):
    with pytest.raises(StorageAccessError, match="leads out"):
        await FolderVideoSource(folder / "video_s37").list_sub_videos("c01", "../../etc")
