"""Sub-videos in an S3 bucket of any vendor.

A body that breaks off is not retried by botocore, so that size and ETag are checked here and tries are counted here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import NoCredentialsError

from orchestrator.errors import SettingsError, StorageAccessError, StorageError
from orchestrator.media.s3_errors import TRANSPORT_ERRORS, storage_error
from orchestrator.media.source import SubVideo, sub_video_index
from orchestrator.settings import Settings

_LOG = logging.getLogger(__name__)
_CHUNK: Final = 1 << 20
_TRIES: Final = 4
_FIRST_PAUSE_S: Final = 0.25
_MD5_ETAG = re.compile(r"[0-9a-f]{32}")

_Answer = TypeVar("_Answer")


class S3VideoSource:
    """Reads ``s3://{bucket}/{prefix}/sub_video_01.mp4`` and so on; opened by ``open``."""

    def __init__(self, client: Any, signer: Any, exit_stack: AsyncExitStack, settings: Settings) -> None:
        self._client = client
        self._signer = signer
        self._exit_stack = exit_stack
        self._bucket = settings.s3_bucket
        self._timeout_s = settings.s3_timeout_s
        endpoint = settings.s3_endpoint_url
        self._endpoint = f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}" if endpoint else "AWS"

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Makes the clients; speaks to nobody yet."""
        exit_stack = AsyncExitStack()
        options = _client_options(settings)
        client = signer = await exit_stack.enter_async_context(get_session().create_client("s3", **options))
        if settings.s3_public_endpoint_url is not None:
            options["endpoint_url"] = str(settings.s3_public_endpoint_url)
            signer = await exit_stack.enter_async_context(get_session().create_client("s3", **options))
        return cls(client, signer, exit_stack, settings)

    @property
    def location(self) -> str:
        """Bucket and endpoint."""
        return f"bucket {self._bucket!r} at {self._endpoint}"

    async def list_sub_videos(self, camera_id: str, prefix: str) -> tuple[SubVideo, ...]:
        """See ``VideoSource``; each page of the listing is answered within ``s3_timeout_s``."""
        folder = f"{prefix.strip('/')}/"

        async def list_all() -> list[dict[str, Any]]:
            return await self._list_objects(folder)

        objects = await self._retrying(list_all, f"listing {folder!r} in {self.location}")
        found = (_describe(camera_id, folder, item) for item in objects)
        return tuple(sorted((item for item in found if item is not None), key=lambda item: item.index))

    async def fetch(self, sub_video: SubVideo, target: Path) -> None:
        """See ``VideoSource``; a transfer that stands still for ``s3_timeout_s`` is broken off."""

        async def download() -> None:
            await self._download(sub_video, target)

        await self._retrying(download, f"fetching {sub_video.key!r} from {self.location}")

    async def signed_url(self, sub_video: SubVideo, ttl_s: float) -> str:
        """See ``VideoSource``; computed here, without a call."""
        request = {"Bucket": self._bucket, "Key": sub_video.key, "ResponseContentType": "video/mp4"}
        try:
            url: str = await self._signer.generate_presigned_url("get_object", Params=request, ExpiresIn=round(ttl_s))
        except NoCredentialsError as error:
            raise StorageAccessError(f"{self.location}: no credentials to sign a URL with") from error
        return url

    async def close(self) -> None:
        """Closes the connections."""
        await self._exit_stack.aclose()

    async def _list_objects(self, folder: str) -> list[dict[str, Any]]:
        objects: list[dict[str, Any]] = []
        request = {"Bucket": self._bucket, "Prefix": folder, "Delimiter": "/"}
        while True:
            async with asyncio.timeout(self._timeout_s):
                page = await self._client.list_objects_v2(**request)
            objects += page.get("Contents", [])
            if not page.get("IsTruncated"):
                return objects
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def _download(self, sub_video: SubVideo, target: Path) -> None:
        async with asyncio.timeout(self._timeout_s):
            answer = await self._client.get_object(Bucket=self._bucket, Key=sub_video.key)
        digest = hashlib.md5(usedforsecurity=False)
        received = 0
        async with answer["Body"] as body:
            if answer["ETag"].strip('"') != sub_video.etag or answer["ContentLength"] != sub_video.size:
                raise StorageAccessError(f"{sub_video.key!r} in {self.location} was changed after it was listed")
            with target.open("wb") as file:
                while chunk := await self._next_chunk(body):
                    received += len(chunk)
                    await asyncio.to_thread(_append, file, digest.update, chunk)
        encrypted = "kms" in str(answer.get("ServerSideEncryption", "")) or "SSECustomerAlgorithm" in answer
        self._check(sub_video, received, None if encrypted else digest.hexdigest())

    async def _next_chunk(self, body: Any) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            chunk: bytes = await body.read(_CHUNK)
            return chunk

    def _check(self, sub_video: SubVideo, received: int, md5: str | None) -> None:
        if received != sub_video.size:
            raise StorageError(f"{sub_video.key!r}: {received} of {sub_video.size} bytes arrived from {self.location}")
        if md5 is not None and _MD5_ETAG.fullmatch(sub_video.etag) and md5 != sub_video.etag:
            raise StorageError(f"{sub_video.key!r} arrived damaged from {self.location}: its MD5 is not its ETag")

    async def _retrying(self, call: Callable[[], Awaitable[_Answer]], doing: str) -> _Answer:
        pause_s = _FIRST_PAUSE_S
        for tries_left in reversed(range(_TRIES)):
            try:
                return await call()
            except (StorageError, *TRANSPORT_ERRORS) as error:
                problem = storage_error(error, doing, self._timeout_s)
                if not problem.retryable or not tries_left:
                    raise problem from error
                _LOG.warning("%s; trying again in %.2g s", problem, pause_s)
            await asyncio.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last try returns or raises")


def _client_options(settings: Settings) -> dict[str, Any]:
    secret = settings.s3_secret_access_key
    if (settings.s3_access_key_id is None) != (secret is None):
        raise SettingsError("SPOTON_S3_ACCESS_KEY_ID and SPOTON_S3_SECRET_ACCESS_KEY go together; one is missing")
    return {
        "endpoint_url": str(settings.s3_endpoint_url) if settings.s3_endpoint_url else None,
        "region_name": settings.s3_region,
        "aws_access_key_id": settings.s3_access_key_id,
        "aws_secret_access_key": secret.get_secret_value() if secret else None,
        "config": AioConfig(
            connect_timeout=settings.s3_timeout_s,
            read_timeout=settings.s3_timeout_s,
            retries={"total_max_attempts": 1},
            signature_version="s3v4",  # of signed URLs too, which otherwise get the older one
            s3={"addressing_style": "path"} if settings.s3_endpoint_url else {},
        ),
    }


def _describe(camera_id: str, folder: str, item: dict[str, Any]) -> SubVideo | None:
    filename = item["Key"].removeprefix(folder)
    index = sub_video_index(filename)
    if index is None:
        return None
    return SubVideo(camera_id, index, item["Key"], filename, item["Size"], item["ETag"].strip('"'))


def _append(file: BinaryIO, update_digest: Callable[[bytes], None], chunk: bytes) -> None:
    file.write(chunk)
    update_digest(chunk)
