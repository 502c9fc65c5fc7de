"""Every error of the API as an RFC 9457 problem: ``application/problem+json``."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.limits import RateLimitedError
from api.access.principal import ForbiddenError, NotLoggedInError
from orchestrator.errors import (
    HistoryError,
    IllegalTransitionError,
    ModelContractError,
    NoVideoError,
    SpotOnError,
    StorageAccessError,
    TooManyTasksError,
    UnknownCameraError,
    UnknownEnvironmentError,
    UnknownTaskError,
    VideoError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""What a client is told to wait where trying again can help."""

_TOO_LARGE = 413

logger = logging.getLogger(__name__)


class FieldFault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON Pointer into the body, or the parameter's place and name.")
    detail: str


class Problem(BaseModel):
    """The body of every error (RFC 9457)."""

    type: str = Field(examples=["urn:spoton:problem:unknown-task"])
    title: str = Field(examples=["Unknown task"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no task 5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a"])
    instance: str = Field(description="Path of the request.")
    errors: list[FieldFault] | None = Field(None, description="Fault by fault, for a request that is malformed.")


class NotFoundError(SpotOnError):
    """The address is well-formed but nothing is there; the message says what."""


class UnusableRequestError(SpotOnError):
    """Every part of the request is well-formed, but not together; the message says why."""


_KINDS: dict[type[SpotOnError], tuple[int, str, str]] = {
    NotLoggedInError: (401, "not-logged-in", "Not logged in"),
    ForbiddenError: (403, "forbidden", "Not allowed"),
    UnknownTaskError: (404, "unknown-task", "Unknown task"),
    UnknownEnvironmentError: (404, "unknown-environment", "Unknown environment"),
    UnknownCameraError: (404, "unknown-camera", "Unknown camera"),
    NotFoundError: (404, "not-found", "Not found"),
    NoVideoError: (404, "no-video", "No video"),
    UnusableRequestError: (422, "malformed-request", "Malformed request"),
    IllegalTransitionError: (409, "illegal-transition", "Not possible in this state"),
    RateLimitedError: (429, "rate-limited", "Too many requests"),
    TooManyTasksError: (429, "too-many-tasks", "Too many tasks"),
    StorageAccessError: (502, "object-store-refuses", "The object store refuses"),
    VideoError: (502, "unreadable-video", "Unreadable video"),
    ModelContractError: (502, "model-contract", "A model does not fit"),
    HistoryError: (503, "database-unavailable", "The database is unavailable"),
}


def problem_of(error: SpotOnError) -> tuple[int, str, str]:
    """HTTP status, kind and title of an error, by the closest entry along its ancestry."""
    for ancestor in type(error).__mro__:
        if ancestor in _KINDS:
            return _KINDS[ancestor]
    if error.retryable:
        return 503, "unavailable", "A server that is needed is unavailable"
    return 500, "internal", "Internal error"


def problem_response(
    status: int,
    kind: str,
    title: str,
    detail: str,
    instance: str,
    *,
    errors: Sequence[FieldFault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response for one problem; ``instance`` is the path of the request."""
    problem = Problem(
        type=f"urn:spoton:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        errors=list(errors) if errors is not None else None,
    )
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status, headers=dict(headers) if headers else None, media_type=MEDIA_TYPE)


def response_of(error: SpotOnError, instance: str) -> JSONResponse:
    """The response for an error of SpotOn's tree, with Retry-After where trying again can help."""
    status, kind, title = problem_of(error)
    wait_s = error.retry_after_s if isinstance(error, RateLimitedError) else RETRY_AFTER_S
    headers = {"Retry-After": str(wait_s)} if error.retryable else {}
    if status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="SpotOn"'
    return problem_response(status, kind, title, str(error), instance, headers=headers)


class SizeProblems:
    """ASGI middleware: a body that is too long is refused with a problem, where the framework would say it in text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def told(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == _TOO_LARGE:
                replaced = True
                detail = "the body of the request is longer than this route takes"
                await problem_response(413, "too-large", "Too large", detail, scope["path"])(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, told)


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem: its own, the framework's, and those that nobody foresaw."""
    app.add_exception_handler(SpotOnError, _on_spoton_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unforeseen)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` argument of a route that can answer with these problems, for the OpenAPI page."""
    return {
        status: {
            "description": http.HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }


async def _on_spoton_error(request: Request, error: Exception) -> JSONResponse:
    """Also for a WebSocket that is refused before its handshake, for which Starlette has no type."""
    assert isinstance(error, SpotOnError)
    response = response_of(error, request.url.path)
    if isinstance(request, WebSocket):
        await request.send_denial_response(response)
        return response
    if response.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
    return response


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [
        FieldFault(pointer="/" + "/".join(_escaped(part) for part in item["loc"]), detail=_message(item))
        for item in error.errors()
    ]
    detail = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)
    return problem_response(422, "malformed-request", "Malformed request", detail, request.url.path, errors=faults)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = http.HTTPStatus(error.status_code).phrase
    detail = str(error.detail)
    if detail == phrase:
        detail = f"{request.method} {request.url.path}: {phrase.lower()}"
    kind = phrase.lower().replace(" ", "-")
    return problem_response(error.status_code, kind, phrase, detail, request.url.path, headers=error.headers)


async def _on_unforeseen(request: Request, _error: Exception) -> JSONResponse:
    detail = "the server failed on this request; its log says more"
    return problem_response(500, "internal", "Internal error", detail, request.url.path)


def _message(item: Mapping[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
