"""What history knows of people."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.access.rules import VIEWER, AccessDep
from api.dependencies import ServicesDep
from api.models import TrajectoryAnswer, TrajectoryPoint
from api.problems import problem_responses
from orchestrator.history import queries

router = APIRouter(prefix="/analytics_data", tags=["analytics"], dependencies=[VIEWER])


@router.get("/trajectory/{global_person_id}", responses=problem_responses(404, 422, 503))
async def trajectory(
    global_person_id: str,
    services: ServicesDep,
    access: AccessDep,
    task_id: str | None = None,
    start: Annotated[datetime | None, Query(alias="from", description="Earliest time, inclusive.")] = None,
    end: Annotated[datetime | None, Query(alias="to", description="Latest time, exclusive.")] = None,
) -> TrajectoryAnswer:
    """Where a person was seen, in time order, merged across cameras; no points for an id that nobody has."""
    if task_id is not None:
        task_id = (await access.task(task_id)).id
    found = queries.trajectory(services.database.pool, global_person_id, task_id, start, end, access.scope)
    async with aclosing(found):
        points = [TrajectoryPoint.model_validate(point, from_attributes=True) async for point in found]
    return TrajectoryAnswer(global_person_id=global_person_id, points=points)
