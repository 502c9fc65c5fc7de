"""How many people are in view over time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import ServicesDep
from api.problems import UnusableRequestError, problem_responses
from api.routes.analytics.models import OccupancyAnswer, OccupancyBucket
from api.routes.analytics.scope import ScopeDep
from orchestrator.history.occupancy import MINUTE_S, By, mean_of_cameras
from orchestrator.history.occupancy import occupancy as count

MAX_BUCKETS = 20_000

router = APIRouter()


@router.get("/occupancy", responses=problem_responses(404, 422, 503))
async def occupancy(
    services: ServicesDep,
    scope: ScopeDep,
    bucket_s: Annotated[float, Query(ge=0.1, le=31 * 86_400, description="Length of a stretch.")] = 60,
    by: By = By.ENVIRONMENT,
    means_only: Annotated[
        bool,
        Query(
            description="Of each camera, over whole minutes: quick over months, without peak and people; with "
            "TimescaleDB what was stored within the last minutes may be missing."
        ),
    ] = False,
) -> OccupancyAnswer:
    """People in view, stretch by stretch; somebody whom several cameras see at once counts once in the environment."""
    history = services.database.history
    if means_only:
        if by is not By.CAMERA or bucket_s % MINUTE_S:
            raise UnusableRequestError("means_only goes with by=camera and whole minutes")
        found = await mean_of_cameras(history, scope, round(bucket_s / MINUTE_S), MAX_BUCKETS + 1)
    else:
        found = await count(history, scope, bucket_s, by, MAX_BUCKETS + 1)
    if len(found) > MAX_BUCKETS:
        raise UnusableRequestError(f"that makes more than {MAX_BUCKETS} stretches; ask for longer ones or less time")
    return OccupancyAnswer(
        environment_id=scope.environment_id,
        task_id=scope.task_id,
        bucket_s=bucket_s,
        buckets=[OccupancyBucket.model_validate(each, from_attributes=True) for each in found],
    )
