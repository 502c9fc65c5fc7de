"""What the site file says, and what the videos say about the cameras."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from api.access.rules import VIEWER, AccessDep
from api.dependencies import ServicesDep
from api.models import CameraAnswer, EnvironmentAnswer
from api.problems import problem_responses
from orchestrator.site import Environment

router = APIRouter(prefix="/config", tags=["config"], dependencies=[VIEWER])


@router.get("/environments")
async def environments(access: AccessDep) -> list[EnvironmentAnswer]:
    """The environments of the site file."""
    return [_environment(environment) for environment in access.environments]


@router.get("/environments/{environment_id}/cameras", responses=problem_responses(404))
async def cameras(environment_id: str, services: ServicesDep, access: AccessDep) -> list[CameraAnswer]:
    """The cameras of an environment; resolution and rate are those of the first sub-video."""
    environment = access.environment(environment_id)
    found = environment.cameras.values()
    return list(await asyncio.gather(*(services.cameras.describe(environment, camera) for camera in found)))


def _environment(environment: Environment) -> EnvironmentAnswer:
    return EnvironmentAnswer(
        environment_id=environment.id,
        name=environment.name,
        recorded_from=environment.recorded_from,
        cameras=list(environment.cameras),
        overlaps=list(environment.overlaps),
        zones=environment.zones,
        lines=environment.lines,
    )
