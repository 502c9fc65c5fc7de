"""REST and media against real PostgreSQL, Valkey and SeaweedFS."""

from __future__ import annotations

import asyncio
import socket

import httpx
import psycopg
import pytest

from api.problems import MEDIA_TYPE
from api.routes.media import VideoResponse
from orchestrator.events import EventLog
from orchestrator.media import VideoCache
from tests.api.relay import relay

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
START = "/api/v1/processing-tasks/start"


async def start(client, **body):
    answer = await client.post(START, json={"environment_id": "campus", **body})
    assert answer.status_code == 202, answer.text
    return answer.json()


def media(task_id, file="sub_video_01.mp4", camera="c01", environment="campus"):
    return f"/api/v1/media/tasks/{task_id}/environments/{environment}/cameras/{camera}/sub_videos/{file}"


async def test_a_task_from_start_to_status(client, database):
    answer = await start(client)
    assert answer["websocket_url"] == f"/ws/tracking/{answer['task_id']}"
    status = (await client.get(answer["status_url"])).json()
    assert status["task_id"] == answer["task_id"]
    assert (status["status"], status["progress"], status["environment_id"]) == ("QUEUED", 0.0, "campus")
    assert {"current_step", "details", "created_at", "updated_at", "total_sub_video_batches"} <= status.keys()
    async with await psycopg.AsyncConnection.connect(database) as connection:
        jobs = await (await connection.execute("SELECT args FROM procrastinate_jobs")).fetchall()
    assert ({"task_id": answer["task_id"]},) in jobs


async def test_both_spellings_answer_alike(client):
    task = (await start(client))["task_id"]
    answers = [await client.get(f"/api/v1/{name}/{task}/status") for name in ("processing-tasks", "processing_tasks")]
    assert answers[0].json() == answers[1].json()


async def test_too_many_tasks(client, serve, live):
    await start(client)
    async with serve(live(max_active_tasks=1)) as strict:
        answer = await strict.post(START, json={"environment_id": "campus"})
    assert (answer.status_code, answer.headers["content-type"]) == (429, MEDIA_TYPE)
    assert int(answer.headers["retry-after"]) > 0


async def test_the_list_is_paged_newest_first(client, database):
    ids = [(await start(client))["task_id"] for _ in range(3)]
    first = (await client.get("/api/v1/processing-tasks", params={"limit": 2})).json()
    assert [task["task_id"] for task in first["tasks"]] == [ids[2], ids[1]]
    await start(client)
    async with await psycopg.AsyncConnection.connect(database) as connection:  # as retention does
        await connection.execute("DELETE FROM tasks WHERE id = %s", (ids[1],))
    last = (await client.get("/api/v1/processing-tasks", params={"limit": 2, "before": first["next"]})).json()
    assert last["tasks"][0]["task_id"] == ids[0]
    everything = (await client.get("/api/v1/processing-tasks", params={"limit": 200})).json()
    assert everything["next"] is None
    assert (await client.get("/api/v1/processing-tasks", params={"limit": 0})).status_code == 422


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "before", ["", "1", NOBODY, f"x:{NOBODY}", f"-1:{NOBODY}", f"²:{NOBODY}", "1:\0", f"{9**20}:x"]
)
async def test_a_place_that_no_page_gave_is_refused(client, before):
    answer = await client.get("/api/v1/processing-tasks", params={"before": before})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)


@pytest.mark.parametrize("task_id", [NOBODY, "not-a-uuid", "%27%20OR%201=1"])
async def test_an_unknown_task_is_404_everywhere(client, task_id):
    await start(client)
    for answer in (
        await client.get(f"/api/v1/processing-tasks/{task_id}/status"),
        await client.post(f"/api/v1/processing-tasks/{task_id}/control", json={"action": "pause"}),
        await client.get(media(task_id)),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA_TYPE)


async def test_control_moves_the_state_rings_and_tells(client, live):
    task = (await start(client))["task_id"]
    control = f"/api/v1/processing-tasks/{task}/control"
    async with EventLog.open(live()) as log, log.doorbell(task) as bell:
        for action, state in (("pause", "PAUSED"), ("resume", "QUEUED"), ("cancel", "CANCELLED")):
            answer = await client.post(control, json={"action": action})
            assert (answer.status_code, answer.json()["status"]) == (200, state)
            assert await bell.wait(2)
        said = await log.read(task, 0, 0.0, 10)
    assert [message.type for message in said] == ["status_update"] * 3
    for action in ("pause", "resume", "cancel", "clear_focus"):
        refused = await client.post(control, json={"action": action})
        assert (refused.status_code, refused.headers["content-type"]) == (409, MEDIA_TYPE)
        assert "CANCELLED" in refused.json()["detail"]


async def test_focus_is_stored_and_told(client, live):
    task = (await start(client))["task_id"]
    control = f"/api/v1/processing-tasks/{task}/control"
    focused = await client.post(control, json={"action": "focus_track", "global_id": "abc-1"})
    assert focused.json()["focus_global_id"] == "abc-1"
    cleared = await client.post(control, json={"action": "clear_focus", "global_id": "abc-1"})
    assert cleared.json()["focus_global_id"] is None
    async with EventLog.open(live()) as log:
        said = await log.read(task, 0, 0.0, 10)
    assert [message.type for message in said] == ["focus_changed"] * 2
    assert b'"global_id":"abc-1"' in said[0].body


async def test_media_whole_and_in_parts(client, folder):
    task = (await start(client))["task_id"]
    content = (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()
    whole = await client.get(media(task))
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["cache-control"] == "private"
    assert "last-modified" not in whole.headers
    etag = whole.headers["etag"]

    part = await client.get(media(task), headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    tail = await client.get(media(task), headers={"Range": "bytes=-5", "If-Range": etag})
    assert (tail.status_code, tail.content) == (206, content[-5:])
    changed = await client.get(media(task), headers={"Range": "bytes=-5", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, content)
    beyond = await client.get(media(task), headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["content-type"]) == (416, MEDIA_TYPE)
    assert beyond.headers["content-range"] == f"bytes */{len(content)}"
    nonsense = await client.get(media(task), headers={"Range": "bytes=9-1"})
    assert (nonsense.status_code, len(nonsense.content)) == (200, len(content))
    piece = await client.get(media(task), headers={"Range": "bytes=7-"}, params={"piece": 65536})
    assert (piece.status_code, piece.content) == (206, content[7 : 7 + 65536])
    assert piece.headers["content-range"] == f"bytes 7-{7 + 65536 - 1}/{len(content)}"
    several = await client.get(media(task), headers={"Range": "bytes=0-9,100-109,999999-"})
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert content[100:110] in several.content
    fresh = await client.get(media(task), headers={"If-None-Match": etag})
    assert (fresh.status_code, fresh.content, fresh.headers["etag"]) == (304, b"", etag)
    assert (await client.get(media(task), headers={"If-Match": '"other"'})).status_code == 412
    lines = [("If-None-Match", '"other"'), ("If-None-Match", etag)]
    assert (await client.get(media(task), headers=lines)).status_code == 304


async def test_sent_video_is_counted(client):
    async def sent():
        (line,) = [
            x for x in (await client.get("/metrics")).text.splitlines() if x.startswith("spoton_api_media_bytes_t")
        ]
        return float(line.split()[1])

    task, before = (await start(client))["task_id"], await sent()
    await client.get(media(task), headers={"Range": "bytes=0-4999"})
    assert await sent() == before + 5000


async def test_head_says_what_get_would_without_fetching(client, folder, home):
    task = (await start(client))["task_id"]
    size = (folder / "video_s37/c01/sub_video_02.mp4").stat().st_size
    head = await client.head(media(task, "sub_video_02.mp4"), headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.content, int(head.headers["content-length"])) == (200, b"", size)
    assert not list((home / "cache").glob("*sub_video_02*.mp4"))
    whole = await client.get(media(task, "sub_video_02.mp4"))
    assert whole.headers["etag"] == head.headers["etag"]
    assert whole.headers["content-type"] == head.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        media("{task}", "sub_video_09.mp4"),
        media("{task}", "..%2Fc02%2Fsub_video_01.mp4"),
        media("{task}", "%2e%2e%2f%2e%2e%2fsecret.mp4"),
        media("{task}", "..%5C..%5Csecret.mp4"),
        media("{task}", "%2Fetc%2Fpasswd"),
        media("{task}", "sub_video_01.mp4%00"),
        media("{task}", "sub_video_01.mp4", camera=".."),
        media("{task}", "sub_video_01.mp4", camera="c09"),
        media("{task}", "sub_video_01.mp4", camera="c09", environment="factory"),
        media("{task}", "sub_video_01.mp4", environment="..%2Fcampus"),
        media("..%2F{task}", "sub_video_01.mp4"),
        media("{task}", "sub_video_03.mp4"),
    ],
)
async def test_nothing_outside_the_task_s_own_files(client, path):
    task = (await start(client, cameras=["c01"], end_batch=2))["task_id"]
    answer = await client.get(path.format(task=task))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert b"nobody may read this" not in answer.content


async def test_many_who_ask_at_once_cause_one_fetch(live, serve, folder, tmp_path):
    async with serve(live(cache_dir=tmp_path)) as client:
        task = (await start(client))["task_id"]
        answers = await asyncio.gather(*(client.get(media(task)) for _ in range(20)))
    content = (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()
    assert all(answer.content == content for answer in answers)
    assert len(list(tmp_path.glob("*.mp4"))) == 1


async def test_a_file_evicted_between_finding_and_sending_is_fetched_again(live, serve, tmp_path, monkeypatch):
    holds = []
    hold = VideoCache.hold

    def evicting(cache, path):
        holds.append(path)
        if len(holds) == 1:
            path.unlink()
        return hold(cache, path)

    monkeypatch.setattr(VideoCache, "hold", evicting)
    async with serve(live(cache_dir=tmp_path)) as client:
        task = (await start(client))["task_id"]
        answer = await client.get(media(task), headers={"Range": "bytes=0-99"})
    assert (answer.status_code, len(answer.content), len(holds)) == (206, 100, 2)


async def test_a_file_evicted_while_it_is_sent_arrives_whole(live, serve, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(VideoResponse, "chunk_size", 1000)
    async with serve(live(cache_dir=tmp_path, cache_max_gib=1e-9, cache_grace_s=0)) as client:
        task = (await start(client))["task_id"]
        async with client.stream("GET", media(task)) as answer:
            pieces = answer.aiter_bytes()
            received = await anext(pieces)
            other = await client.get(media(task, "sub_video_02.mp4"))  # its arrival makes the cache evict
            assert other.status_code == 200
            received += b"".join([piece async for piece in pieces])
    assert received == (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()


async def test_a_server_that_redirects_sends_what_it_holds_and_signs_for_the_rest(live, serve, s3, folder):
    async with serve(live(**s3.settings(), media_delivery="redirect")) as client:
        task = (await start(client))["task_id"]
        content = (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()
        await upload(s3, "video_s37/c02/sub_video_01.mp4", content)
        away = await client.get(media(task, camera="c02"))
        assert (away.status_code, away.content, away.headers["cache-control"]) == (307, b"", "no-store")
        assert s3.secret_access_key not in away.headers["location"]
        part = await client.get(away.headers["location"], headers={"Range": "bytes=7-"})
        assert (part.status_code, part.content) == (206, content[7:])
        assert part.headers["content-type"] == "video/mp4"
        unsigned = await client.get(away.headers["location"].partition("?")[0])
        assert unsigned.status_code == 403
    async with serve(live(**s3.settings(), media_delivery="serve")) as client:
        assert (await client.get(media(task, camera="c02"))).status_code == 200
    async with serve(live(**s3.settings(), media_delivery="redirect")) as client:
        assert (await client.get(media(task, camera="c02"))).content == content


async def test_media_out_of_a_bucket(live, serve, s3, folder):
    async with serve(live(**s3.settings())) as client:
        task = (await start(client))["task_id"]
        content = (folder / "video_s37/c01/sub_video_01.mp4").read_bytes()
        missing = await client.get(media(task))
        assert missing.status_code == 404
        await upload(s3, "video_s37/c02/sub_video_01.mp4", content)
        part = await client.get(media(task, camera="c02"), headers={"Range": "bytes=7-"})
        assert (part.status_code, part.content) == (206, content[7:])
        health = (await client.get("/health")).json()
        assert health["components"]["object_store"]["status"] == "up"


async def upload(s3, key, content):
    from aiobotocore.session import get_session

    options = {
        "endpoint_url": s3.endpoint_url,
        "region_name": s3.region,
        "aws_access_key_id": s3.access_key_id,
        "aws_secret_access_key": s3.secret_access_key,
    }
    async with get_session().create_client("s3", **options) as store:
        await store.put_object(Bucket=s3.bucket, Key=key, Body=content)


async def test_health_is_degraded_without_worker_and_models(client, live):
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    states = {name: component["status"] for name, component in health["components"].items()}
    assert (states["postgres"], states["redis"], states["worker"], states["detector"]) == ("up", "up", "down", "down")
    async with EventLog.open(live()) as log:
        await log.beat("w1", {"models_warm": True}, 5)
    await asyncio.sleep(1.1)
    assert (await client.get("/health")).json()["components"]["worker"]["status"] == "up"


async def test_a_trajectory_of_nobody_is_empty(client):
    task = (await start(client))["task_id"]
    answer = await client.get("/api/v1/analytics_data/trajectory/nobody-1", params={"task_id": task})
    assert (answer.status_code, answer.json()["points"]) == (200, [])
    wrong = await client.get("/api/v1/analytics_data/trajectory/x", params={"from": "yesterday"})
    assert wrong.status_code == 422


async def test_servers_that_come_late_are_used_as_soon_as_they_are_there(live, serve, database):
    address = psycopg.conninfo.conninfo_to_dict(database)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    late = psycopg.conninfo.make_conninfo(database, port=port)
    async with serve(live(postgres_dsn=late, postgres_timeout_s=1.0)) as client:
        assert (await client.get("/health")).json()["status"] == "unhealthy"
        assert (await client.post(START, json={"environment_id": "campus"})).status_code == 503
        async with relay(port, address["host"], int(address["port"])):
            for _ in range(200):
                answer = await client.post(START, json={"environment_id": "campus"})
                if answer.status_code == 202:
                    break
                await asyncio.sleep(0.1)
    assert answer.status_code == 202


async def test_httpx_does_not_tidy_the_tricks_away():
    assert b"%2e%2e%2f" in httpx.URL("http://test/a/%2e%2e%2fsecret").raw_path
