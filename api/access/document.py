"""What the OpenAPI document says of access: how to log in, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts

from api.access.rules import Rule
from api.access.tickets import PARAMETER
from api.problems import problem_responses

TOKEN, TICKET = "bearer", "ticket"
_SCHEMES = {
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token (`python -m api token create`), or a token of the OpenID Connect provider where "
        "one is set. Needed where access control is on.",
    },
    TICKET: {
        "type": "apiKey",
        "in": "query",
        "name": PARAMETER,
        "description": "For one task, as its WebSocket and media URLs come with it.",
    },
}


def stated_rules(app: FastAPI) -> Iterator[tuple[str, frozenset[str], list[Rule]]]:
    """Every route of our own: its path, its methods (none for a WebSocket), and the rules that it states."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute | APIWebSocketRoute):
            yield str(route.path), frozenset(route.methods or ()), list(_rules_of(route.dependant))


def describe_access(app: FastAPI, *, required: bool) -> None:
    """Adds to the application's OpenAPI document what each route asks for, and whether it insists on it."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(describe(), app, required)
        return describe()

    app.openapi = described  # type: ignore[method-assign]


def _complete(document: dict[str, Any], app: FastAPI, required: bool) -> None:
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, methods, rules in stated_rules(app):
        for method in methods:
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None and rules and rules[0].role is not None:
                ways = [TOKEN, TICKET] if rules[0].ticket else [TOKEN]
                operation["security"] = [*([] if required else [{}]), *({way: []} for way in ways)]
                for status, response in problem_responses(401, 403, 429).items():
                    operation["responses"].setdefault(str(status), response)


def _rules_of(dependant: Dependant) -> Iterator[Rule]:
    if isinstance(dependant.call, Rule):
        yield dependant.call
    for each in dependant.dependencies:
        yield from _rules_of(each)
