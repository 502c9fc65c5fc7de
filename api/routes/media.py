"""The sub-videos of a task, as players want them: in ranges, with an entity tag."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, RedirectResponse
from starlette.types import Message, Receive, Scope, Send

from api import ranges
from api.access.connections import Open
from api.access.rules import WATCHER, Access, AccessDep
from api.dependencies import ServicesDep
from api.problems import NotFoundError, problem_response, problem_responses
from api.services import Services
from orchestrator.media import SubVideo

MEDIA_TYPE = "video/mp4"
_CHUNK_BYTES = 256 * 1024
_SMALLEST_PIECE = 64 * 1024
_PATH = "/media/tasks/{task_id}/environments/{environment_id}/cameras/{camera_id}/sub_videos/{file}"

_VIDEO: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": _VIDEO},
    206: {"description": "The ranges asked for.", "content": {**_VIDEO, "multipart/byteranges": {}}},
    304: {"description": "The client has it already."},
    307: {"description": "It is at the signed URL in Location."},
}

Fetch = Callable[[], Awaitable[Path]]
"""Puts the file into the cache unless it is there."""

router = APIRouter(tags=["media"], dependencies=[WATCHER])


class VideoResponse(FileResponse):
    """A cached file, whole or in part; the request's own conditions and ranges have been judged before."""

    chunk_size = _CHUNK_BYTES

    def __init__(
        self, services: Services, path: Path, fetch: Fetch, headers: Mapping[str, str], part: str | None
    ) -> None:
        super().__init__(path, headers=headers, media_type=MEDIA_TYPE)
        self._services, self._file, self._fetch, self._part = services, path, fetch, part

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """The length alone: the cache touches its files, so that their times say nothing about the video."""
        self.headers["content-length"] = str(stat_result.st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file or the part of it that was asked for; it stays in the cache meanwhile."""
        judged = MutableHeaders(raw=[item for item in scope["headers"] if item[0] not in {b"range", b"if-range"}])
        if self._part is not None:
            judged["range"] = self._part

        async def counted(message: Message) -> None:
            self._services.metrics.media_bytes.inc(len(message.get("body", b"")))
            await send(message)

        held = self._services.connections.held(Open.VIDEO, HTTPConnection(scope))
        with held, await self._cached():
            await super().__call__({**scope, "headers": judged.raw}, receive, counted)

    async def _cached(self) -> ExitStack:
        stack = ExitStack()
        while True:
            try:
                stack.enter_context(self._services.cache.hold(self._file))
            except FileNotFoundError:  # evicted since it was found
                await self._fetch()
            else:
                return stack


@router.get(_PATH, response_class=Response, responses=_ANSWERS | problem_responses(404, 412, 416, 422, 429, 502, 503))
async def sub_video(
    request: Request,
    services: ServicesDep,
    access: AccessDep,
    task_id: str,
    environment_id: str,
    camera_id: str,
    file: str,
    piece: Annotated[
        int | None,
        Query(
            ge=_SMALLEST_PIECE,
            le=2**40,
            description="Most bytes in one answer to a Range, so that many videos share few connections.",
        ),
    ] = None,
) -> Response:
    """One sub-video of a task: 200, 206 for a Range, 304 for a client that has it already; 307 to a signed URL of the
    object store where the server is set to redirect for what it does not hold.
    """
    found = await _find(services, access, task_id, environment_id, camera_id, file)
    headers = _headers(found)
    selection = ranges.select(_joined(request.headers), headers["etag"], found.size)
    refusal = _refusal(request, selection, headers, found.size)
    if refusal is not None:
        return refusal
    if services.settings.media_delivery == "redirect" and not services.cache.has(environment_id, found):
        url = await services.source.signed_url(found, services.settings.signed_url_ttl_s)
        return RedirectResponse(url, headers={"cache-control": "no-store"})
    fetch = partial(services.cache.path_of, environment_id, found)
    if isinstance(selection, ranges.Part) and piece is not None:
        selection = selection.at_most(piece)
    part = selection.header if isinstance(selection, ranges.Part) else None
    return VideoResponse(services, await fetch(), fetch, headers, part)


@router.head(_PATH, include_in_schema=False)
async def sub_video_head(
    request: Request,
    services: ServicesDep,
    access: AccessDep,
    task_id: str,
    environment_id: str,
    camera_id: str,
    file: str,
) -> Response:
    """What a GET would say, without fetching the file from the object store."""
    found = await _find(services, access, task_id, environment_id, camera_id, file)
    headers = _headers(found)
    selection = ranges.select(_joined(request.headers), headers["etag"], found.size, ranges=False)
    refusal = _refusal(request, selection, headers, found.size)
    if refusal is not None:
        return refusal
    return Response(media_type=MEDIA_TYPE, headers={**headers, "content-length": str(found.size)})


async def _find(
    services: Services, access: Access, task_id: str, environment_id: str, camera_id: str, file: str
) -> SubVideo:
    task = await access.task(task_id)
    if task.environment_id != environment_id:
        raise NotFoundError(f"task {task.id} is not in environment {environment_id!r}")
    environment = services.site.environment(environment_id)
    return await services.listings.of_task(task, environment, camera_id, file)


def _joined(headers: Headers) -> dict[str, str]:
    """A header that comes in several lines means the same as one with a list (RFC 9110, section 5.3)."""
    return {name: ", ".join(headers.getlist(name)) for name in dict(headers)}


def _headers(found: SubVideo) -> dict[str, str]:
    """The entity tag is the object store's, so that it is the same in every process that serves the file."""
    etag = found.etag.strip('"')
    return {"etag": f'"{etag}"', "cache-control": "private", "accept-ranges": "bytes"}


def _refusal(request: Request, selection: ranges.Selection, headers: dict[str, str], size: int) -> Response | None:
    path = request.url.path
    if isinstance(selection, ranges.NotModified):
        return Response(status_code=304, headers=headers)
    if isinstance(selection, ranges.PreconditionFailed):
        detail = f"the file is not {request.headers['if-match']} but {headers['etag']}"
        return problem_response(412, "precondition-failed", "Precondition failed", detail, path)
    if isinstance(selection, ranges.Unsatisfiable):
        detail = f"{request.headers['range']!r} asks for nothing in a file of {size} bytes"
        end = {**headers, "content-range": f"bytes */{size}"}
        return problem_response(416, "range-not-satisfiable", "Range not satisfiable", detail, path, headers=end)
    return None
