"""Who was seen in a task, and when by which camera."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.access.rules import AccessDep
from api.dependencies import ServicesDep
from api.problems import UnusableRequestError, problem_responses
from api.routes.analytics.models import PeoplePage, PersonAnswer, Stretch
from orchestrator.history.people import Person, people_of_task

router = APIRouter()


@router.get("/tasks/{task_id}/people", responses=problem_responses(404, 422, 503))
async def people(
    task_id: str,
    services: ServicesDep,
    access: AccessDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[str | None, Query(max_length=200, description="The `next` of the page before.")] = None,
) -> PeoplePage:
    """The people of a task in the order in which they were first seen; those of a batch under way are yet to come."""
    task = await access.task(task_id)
    found = await people_of_task(services.database.history, task.id, limit + 1, _place(after))
    page = [_answer(person) for person in found[:limit]]
    more = len(found) > limit
    return PeoplePage(people=page, next=f"{page[-1].first_frame}:{page[-1].global_id}" if more else None)


def _place(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    frame, separator, global_id = after.partition(":")
    if not separator or not frame.isascii() or not frame.isdigit() or int(frame) >= 2**31 or "\0" in global_id:
        raise UnusableRequestError("'after' is not the 'next' of a page")
    return int(frame), global_id


def _answer(person: Person) -> PersonAnswer:
    stretches = person.stretches
    return PersonAnswer(
        global_id=person.global_id,
        first_frame=stretches[0].first_frame,
        last_frame=max(stretch.last_frame for stretch in stretches),
        cameras=list(dict.fromkeys(stretch.camera_id for stretch in stretches)),
        sightings=[Stretch.model_validate(stretch, from_attributes=True) for stretch in stretches],
    )
