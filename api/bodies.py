"""Request bodies of a bounded size and time, as JSON or as a form, checked against a model."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from fastapi import UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as Upload
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from api.middleware import HttpMiddleware

ModelT = TypeVar("ModelT", bound=BaseModel)
MAX_FIELDS = 64
DEADLINE_S = 60.0
"""Within it a body has to be complete, a picture over a slow line too."""

__all__ = ["BodyDeadline", "UploadFile", "read_body"]


class BodyDeadline(HttpMiddleware):
    """ASGI middleware: a body that does not come is waited for no longer than ``DEADLINE_S``."""

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        whole = False

        async def received() -> Message:
            """The next message; behind the body comes only that the client has left."""
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                detail = f"the body was not complete within {DEADLINE_S:g} s"
                raise HTTPException(408, detail, {"Connection": "close"}) from None
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, received, send)


async def read_body(request: Request, model: type[ModelT], max_bytes: int) -> ModelT:
    """The body, out of ``application/json`` or ``multipart/form-data``; a file in a form is given as its bytes.

    Raises:
        HTTPException: 413 above ``max_bytes``, 415 for another type, 400 for a form that is malformed.
        RequestValidationError: it does not fit the model.
    """
    bounded = Request(request.scope, _Bounded(request, max_bytes).receive)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with bounded.form(max_files=1, max_fields=MAX_FIELDS) as form:
            data: Any = await _fields(form, model)
    elif kind == "application/json":
        data = _parse(await bounded.body())
    else:
        raise HTTPException(415, "the body has to be application/json or multipart/form-data")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_input=False)]
        raise RequestValidationError(faults) from None


class _Bounded:
    """Receives until there is too much."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        self._request, self._left, self._max_bytes = request, max_bytes, max_bytes

    async def receive(self) -> Message:
        """The next message of the request."""
        message = await self._request.receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"the body is larger than {self._max_bytes} bytes")
        return message


async def _fields(form: FormData, model: type[BaseModel]) -> dict[str, Any]:
    """Values by name, as a list where the model wants one; empty fields count as left out."""
    data: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        key = info.alias or name
        values = [await item.read() if isinstance(item, Upload) else item for item in form.getlist(key)]
        values = [item for item in values if item not in {"", b""}]
        if values:
            data[key] = values if "list" in str(info.annotation) else values[-1]
    return data


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestValidationError([{"loc": ("body",), "msg": f"no JSON: {error}", "type": "json_invalid"}]) from None
