from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from orchestrator.errors import SettingsError, StorageAccessError, StorageError
from orchestrator.media import S3VideoSource, SubVideo, open_video_source
from orchestrator.settings import Settings, load_settings

CONTENT = bytes(range(256)) * 512
ETAG = hashlib.md5(CONTENT).hexdigest()
KEY = "video_s37/c01/sub_video_01.mp4"
SUB_VIDEO = SubVideo("c01", 1, KEY, "sub_video_01.mp4", len(CONTENT), ETAG)
SECRET = "not-to-be-told"


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr("orchestrator.media.s3._FIRST_PAUSE_S", 0.01)


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings_for(port: int, **more: object) -> Settings:
    return load_settings(
        s3_endpoint_url=f"http://127.0.0.1:{port}",
        s3_access_key_id="AKIAEXAMPLE",
        s3_secret_access_key=SECRET,
        s3_bucket="videos",
        **{"s3_timeout_s": 5.0, **more},
    )


def answer(body: bytes = CONTENT, *, promise: int | None = None, etag: str = ETAG, status: str = "200 OK") -> bytes:
    head = f'HTTP/1.1 {status}\r\nContent-Length: {promise or len(body)}\r\nETag: "{etag}"\r\nConnection: close\r\n\r\n'
    return head.encode() + body


def refusal(status: str, code: str) -> bytes:
    return answer(f"<Error><Code>{code}</Code></Error>".encode(), status=status)


@asynccontextmanager
async def listening(converse: Conversation) -> AsyncIterator[int]:
    """A port that holds the same conversation on each connection; in the end all of them are over."""
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await converse(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    async with asyncio.timeout(10):
        await asyncio.gather(*(task for task in serving if task), return_exceptions=True)


@asynccontextmanager
async def store_that_answers(answers: Sequence[bytes | None]) -> AsyncIterator[tuple[int, list[str]]]:
    """A port that gives one answer a connection, the last one again and again; None never answers."""
    requests: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        chosen = answers[min(len(requests), len(answers)) - 1]
        if chosen is None:
            await reader.read()
        else:
            writer.write(chosen)
            await writer.drain()

    async with listening(converse) as port:
        yield port, requests


async def fetch(port: int, target, sub_video=SUB_VIDEO, **more) -> None:
    async with open_video_source(settings_for(port, **more)) as source:
        await source.fetch(sub_video, target)


class TestFaults:
    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            (answer(CONTENT[:1000], promise=len(CONTENT)), "broke off"),
            (answer(CONTENT[:-1] + b"?"), "damaged"),
            (refusal("503 Slow Down", "SlowDown"), "503 SlowDown"),
        ],
        ids=["truncated", "damaged", "overloaded"],
    )
    async def test_a_bad_transfer_is_tried_again(self, tmp_path, quick_retries, caplog, broken, said):
        caplog.set_level(logging.WARNING)
        async with store_that_answers([broken, broken, answer()]) as (port, requests):
            await fetch(port, tmp_path / "v")
        assert (tmp_path / "v").read_bytes() == CONTENT
        assert len(requests) == 3
        assert said in caplog.text

    async def test_a_transfer_that_stays_bad_is_an_error(self, tmp_path, quick_retries):
        async with store_that_answers([answer(CONTENT[:1000], promise=len(CONTENT))]) as (port, requests):
            with pytest.raises(StorageError, match=rf"{KEY}.*bucket 'videos' at http://127.0.0.1:{port}") as caught:
                await fetch(port, tmp_path / "v")
        assert caught.value.retryable
        assert len(requests) == 4

    async def test_an_etag_of_parts_is_compared_as_it_is(self, tmp_path):
        etag = f"{ETAG}-3"
        sub_video = SubVideo("c01", 1, KEY, "sub_video_01.mp4", len(CONTENT), etag)
        async with store_that_answers([answer(etag=etag)]) as (port, _):
            await fetch(port, tmp_path / "v", sub_video)
        assert (tmp_path / "v").read_bytes() == CONTENT

    async def test_an_object_changed_after_the_listing_is_an_error(self, tmp_path, quick_retries):
        async with store_that_answers([answer(etag="0" * 32)]) as (port, _):
            with pytest.raises(StorageError, match="changed after it was listed"):
                await fetch(port, tmp_path / "v")

    @pytest.mark.parametrize(
        ("refused", "said"),
        [
            (refusal("403 Forbidden", "InvalidAccessKeyId"), r"credentials are wrong \(InvalidAccessKeyId\)"),
            (refusal("403 Forbidden", "SignatureDoesNotMatch"), "credentials are wrong"),
            (refusal("403 Forbidden", "AccessDenied"), "access is denied"),
            (refusal("404 Not Found", "NoSuchBucket"), "no such bucket"),
            (refusal("404 Not Found", "NoSuchKey"), "no such object"),
        ],
    )
    async def test_a_refusal_is_final_and_says_why(self, tmp_path, refused, said):
        async with store_that_answers([refused]) as (port, requests):
            with pytest.raises(StorageAccessError, match=said) as caught:
                await fetch(port, tmp_path / "v")
        assert len(requests) == 1
        assert SECRET not in str(caught.value)

    async def test_nobody_listens(self, tmp_path, quick_retries):
        async with store_that_answers([]) as (port, _):
            pass
        with pytest.raises(StorageError, match=f"http://127.0.0.1:{port}: the endpoint cannot be reached"):
            await fetch(port, tmp_path / "v")

    async def test_silence_is_bounded(self, tmp_path, quick_retries):
        async with store_that_answers([None]) as (port, _):
            async with asyncio.timeout(5):
                with pytest.raises(StorageError, match=r"no answer within 0.1 s"):
                    await fetch(port, tmp_path / "v", s3_timeout_s=0.1)

    async def test_a_stall_in_the_body_is_bounded(self, tmp_path, quick_retries):
        stalled = answer(CONTENT[:5000], promise=len(CONTENT)).replace(b"Connection: close", b"Connection: keep-alive")

        async def stall(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(stalled)
            await reader.read()

        async with listening(stall) as port, asyncio.timeout(5):
            with pytest.raises(StorageError, match=r"no answer within 0.1 s"):
                await fetch(port, tmp_path / "v", s3_timeout_s=0.1)

    async def test_half_of_the_credentials_is_refused(self):
        with pytest.raises(SettingsError, match="SPOTON_S3_SECRET_ACCESS_KEY"):
            await S3VideoSource.open(load_settings(s3_access_key_id="AKIAEXAMPLE"))


@pytest.mark.servers
class TestRealStore:
    @pytest.fixture
    async def source(self, s3):
        async with s3.create_client() as client:
            for name in (
                "sub_video_02.mp4",
                "sub_video_01.mp4",
                "sub_video_10.mp4",
                "notes.txt",
                "old/sub_video_03.mp4",
            ):
                await client.put_object(Bucket=s3.bucket, Key=f"video_s37/c01/{name}", Body=CONTENT + name.encode())
            await client.put_object(Bucket=s3.bucket, Key="video_s37/c011/sub_video_04.mp4", Body=b"another camera's")
        async with open_video_source(load_settings(**s3.settings())) as source:
            yield source

    async def test_the_listing_is_in_order_and_of_this_camera_alone(self, source):
        listing = await source.list_sub_videos("c01", "video_s37/c01")
        assert [item.index for item in listing] == [1, 2, 10]
        assert listing[2].filename == "sub_video_10.mp4"
        assert listing[2].key == "video_s37/c01/sub_video_10.mp4"
        assert listing[2].size == len(CONTENT) + 16

    async def test_what_is_fetched_is_what_was_put(self, source, tmp_path):
        listing = await source.list_sub_videos("c01", "/video_s37/c01/")
        await source.fetch(listing[0], tmp_path / "v")
        assert (tmp_path / "v").read_bytes() == CONTENT + b"sub_video_01.mp4"

    async def test_an_upload_in_parts_is_fetched(self, source, s3, tmp_path):
        part = bytes(5 << 20)
        key = "video_s37/c02/sub_video_01.mp4"
        async with s3.create_client() as client:
            upload = await client.create_multipart_upload(Bucket=s3.bucket, Key=key)
            common = {"Bucket": s3.bucket, "Key": key, "UploadId": upload["UploadId"]}
            etags = [
                (await client.upload_part(PartNumber=number, Body=body, **common))["ETag"]
                for number, body in ((1, part), (2, b"the end"))
            ]
            parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
            await client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **common)
        (sub_video,) = await source.list_sub_videos("c02", "video_s37/c02")
        await source.fetch(sub_video, tmp_path / "v")
        assert (tmp_path / "v").read_bytes() == part + b"the end"

    async def test_an_empty_prefix_is_an_empty_listing(self, source):
        assert await source.list_sub_videos("c09", "video_s14/c09") == ()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"s3_secret_access_key": "wrong"}, "credentials are wrong"),
            ({"s3_access_key_id": "nobody"}, "credentials are wrong"),
            ({"s3_bucket": "no-such-bucket-here"}, "no such bucket"),
        ],
    )
    async def test_refusals(self, s3, wrong, said):
        async with open_video_source(load_settings(**{**s3.settings(), **wrong})) as source:
            with pytest.raises(StorageAccessError, match=said):
                await source.list_sub_videos("c01", "video_s37/c01")
