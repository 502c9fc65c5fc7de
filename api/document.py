"""The OpenAPI document's examples, as they are sent: the framework leaves out what is null in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel


def keep_nulls(app: FastAPI) -> None:
    """Gives the examples of the application's document their nulls back."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(describe(), app)
        return describe()

    app.openapi = described  # type: ignore[method-assign]


def _complete(document: dict[str, Any], app: FastAPI) -> None:
    for model in _models(BaseModel):
        extra = model.model_config.get("json_schema_extra")
        schema = document["components"]["schemas"].get(model.__name__)
        if schema is not None and isinstance(extra, dict) and "examples" in extra:
            schema["examples"] = extra["examples"]
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            for method in route.methods or ():
                operation = document["paths"].get(str(route.path), {}).get(method.lower(), {})
                _complete_answers(operation.get("responses", {}), route.original_route.responses)


def _complete_answers(told: dict[str, Any], stated: dict[int | str, dict[str, Any]]) -> None:
    for status, response in stated.items():
        for kind, content in response.get("content", {}).items():
            if "example" in content and str(status) in told:  # HEAD has no answers in the document
                told[str(status)]["content"][kind]["example"] = content["example"]


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Those of the API."""
    for model in base.__subclasses__():
        if model.__module__.startswith("api."):
            yield model
        yield from _models(model)
