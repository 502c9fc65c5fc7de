"""Who looks like this."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.access.audit import audited
from api.access.rules import COSTLY, Access, AccessDep
from api.bodies import read_body
from api.dependencies import ServicesDep
from api.models import TEXT
from api.problems import BODY_PROBLEMS, NotFoundError, problem_responses
from api.routes.analytics.models import SearchAnswer, SimilarSighting
from api.routes.analytics.scope import span
from api.services import Services
from orchestrator.history.search import Where, look_of, similar
from orchestrator.inference.protocols import ModelId
from orchestrator.values import Float32

MAX_BODY_BYTES = 12 * 2**20

router = APIRouter()
Id = Annotated[str, Field(max_length=128, pattern=TEXT)]


class SearchRequest(BaseModel):
    """Whom to search for, and where. JSON, or a form when there is an image."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"global_id": "5f0c6a4e-3", "environment_id": "campus", "limit": 10}]}
    )

    global_id: Id | None = Field(None, description="Somebody who was seen; without an image.")
    environment_id: Id | None = Field(None, description="Only there.")
    task_id: Id | None = Field(None, description="Only in this task.")
    camera_id: Annotated[list[Id], Field(max_length=64)] | None = Field(None, description="Only by these cameras.")
    start: datetime | None = Field(None, alias="from", description="In view at this time or later.")
    end: datetime | None = Field(None, alias="to", description="In view before this time.")
    limit: int = Field(10, ge=1, le=100, description="People in the answer.")
    min_similarity: float = Field(0.0, ge=-1, le=1, description="Cosine below which somebody is left out.")


class _Search(SearchRequest):
    """As it arrives."""

    image: bytes | None = None

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        if (self.image is None) == (self.global_id is None):
            raise ValueError("either an image or a global_id is needed")
        return self


def _request_body() -> dict[str, Any]:
    schema = SearchRequest.model_json_schema()
    image = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP that one person fills."}
    form = {**schema, "properties": {"image": image, **schema["properties"]}, "required": ["image"]}
    form.pop("examples")
    content = {
        "application/json": {"schema": {**schema, "required": ["global_id"]}, "example": schema["examples"][0]},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/search",
    dependencies=[audited("search"), COSTLY],
    max_body_size=MAX_BODY_BYTES,
    openapi_extra=_request_body(),
    responses=problem_responses(404, 502, 503, *BODY_PROBLEMS),
)
async def search(request: Request, services: ServicesDep, access: AccessDep) -> SearchAnswer:
    """Sightings of the people most similar to an image of a person, or to somebody who was seen; best first."""
    asked = await read_body(request, _Search, MAX_BODY_BYTES)
    access.note("an image" if asked.global_id is None else f"person {asked.global_id}")
    where = await _where(access, asked)
    model, look = await _look(services, access, asked)
    found = await similar(services.database.history, model, look, where, asked.limit, asked.min_similarity)
    return SearchAnswer(
        model=str(model),
        alike_from=services.settings.reid_similarity,
        sightings=[SimilarSighting.model_validate(each, from_attributes=True) for each in found],
    )


async def _where(access: Access, asked: _Search) -> Where:
    start, end = span(asked.start, asked.end)
    environments = access.scope
    if asked.environment_id is not None:
        environment = access.environment(asked.environment_id)
        environment.select(asked.camera_id)
        environments = [environment.id]
    task_id = None if asked.task_id is None else (await access.task(asked.task_id)).id
    return Where(environments, task_id, asked.camera_id, start, end)


async def _look(services: Services, access: Access, asked: _Search) -> tuple[ModelId, Float32]:
    if asked.image is not None:
        return await services.looks.embed(asked.image)
    assert asked.global_id is not None
    found = await look_of(services.database.history, asked.global_id, access.scope)
    if found is None or not np.any(found[1]):
        raise NotFoundError(f"nobody with the global id {asked.global_id!r} has been looked at")
    return found
