"""Where people spend their time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import ServicesDep
from api.problems import problem_responses
from api.routes.analytics.models import HeatmapAnswer
from api.routes.analytics.scope import ScopeDep
from orchestrator.history.heatmap import heatmap as add_up

router = APIRouter()


@router.get("/heatmap", responses=problem_responses(404, 422, 503))
async def heatmap(
    services: ServicesDep,
    scope: ScopeDep,
    cell_m: Annotated[float, Query(ge=0.05, le=100, description="Side of a cell, metres.")] = 0.5,
) -> HeatmapAnswer:
    """Person-seconds on a grid over the map: of a task, or of an environment, where a file that was processed twice
    counts once, by the latest task that completed.
    """
    found = await add_up(services.database.history, scope, cell_m)
    rows, columns = found.seconds.shape
    return HeatmapAnswer(
        environment_id=scope.environment_id,
        task_id=scope.task_id,
        cell_m=found.cell_m,
        origin=found.origin,
        columns=columns,
        rows=rows,
        seconds=found.seconds.round(3).tolist(),
        total_seconds=round(float(found.seconds.sum()) + found.outside_s, 3),
        outside_seconds=round(found.outside_s, 3),
    )
