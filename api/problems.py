"""Every error of the API as an RFC 9457 problem: ``application/problem+json``."""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from api.access.limits import RateLimitedError
from api.access.principal import ForbiddenError, NotLoggedInError
from api.middleware import HttpMiddleware
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
_OF_THE_TEXT = frozenset({"content-type", "content-length"})
_MEANS_JSON = re.compile(r"application/([\w.+-]+\+)?json", re.IGNORECASE)

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


class TextProblems(HttpMiddleware):
    """ASGI middleware: an error that the framework says in text (a body that is too long, an origin that may not ask)
    is said as a problem.
    """

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Message | None = None
        text = b""

        async def told(message: Message) -> None:
            nonlocal refusal, text
            if message["type"] == "http.response.start" and _is_plain_refusal(message):
                refusal = message
            elif refusal is None:
                await send(message)
            else:
                text += message.get("body", b"")
                if not message.get("more_body", False):
                    await _retold(refusal, text.decode(), scope["path"])(scope, receive, send)

        await self._app(scope, receive, told)


def _is_plain_refusal(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] >= http.HTTPStatus.BAD_REQUEST and kind.startswith("text/plain")


def _retold(start: Message, text: str, path: str) -> JSONResponse:
    status = http.HTTPStatus(start["status"])
    detail = "the body of the request is longer than this route takes" if status == _TOO_LARGE else text
    headers = [(name, value) for name, value in Headers(raw=start["headers"]).items() if name not in _OF_THE_TEXT]
    return problem_response(status, _kind_of(status.phrase), status.phrase, detail, path, headers=dict(headers))


class Defects(HttpMiddleware):
    """ASGI middleware: what nobody foresaw is a problem like any other, and gets the headers of all answers, where the
    framework would answer it outside of all middleware. What breaks an answer off that has begun stays an error.
    """

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if begun:
                raise
            logger.exception("%s %s failed by a defect", scope["method"], scope["path"])
            detail = "the server failed on this request; its log says more"
            await problem_response(500, "internal", "Internal error", detail, scope["path"])(scope, receive, send)


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem: its own, the framework's, and those that nobody foresaw."""
    app.add_exception_handler(SpotOnError, _on_spoton_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(Defects)
    app.router.default = _no_such_path


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` argument of a route that can answer with these problems, for the OpenAPI page."""
    return {
        status: {
            "description": http.HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }


def example(value: Any) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` argument of a route whose JSON answer looks like this, for the OpenAPI page."""
    return {200: {"content": {"application/json": {"example": value}}}}


BODY_PROBLEMS = (400, 408, 413, 415, 422)
"""What can be wrong with the body of a request, whatever it is for."""


async def _on_spoton_error(request: Request, error: Exception) -> JSONResponse:
    """Also for a WebSocket that is refused before its handshake, for which Starlette has no type."""
    assert isinstance(error, SpotOnError)
    response = response_of(error, request.url.path)
    if response.status_code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s: %s", request.scope.get("method", "WebSocket"), request.url.path, error)
    return response


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if error.body is not None and _MEANS_JSON.fullmatch(kind) is None and _is_about_all_of_the_body(error):
        instead = f"not {kind}" if kind else "and the request has no Content-Type that says so"
        detail = f"the body has to be application/json, {instead}"
        return problem_response(415, "unsupported-media-type", "Unsupported Media Type", detail, request.url.path)
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
    return problem_response(
        error.status_code, _kind_of(phrase), phrase, detail, request.url.path, headers=error.headers
    )


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":  # which the framework would refuse without a word
        detail = f"WebSocket {scope['path']}: not found"
        await problem_response(404, "not-found", "Not Found", detail, scope["path"])(scope, receive, send)
        return
    raise HTTPException(404)


def _kind_of(phrase: str) -> str:
    return phrase.lower().replace(" ", "-").replace("'", "")


def _is_about_all_of_the_body(error: RequestValidationError) -> bool:
    return [item["loc"] for item in error.errors()] == [("body",)]


def _message(item: Mapping[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
