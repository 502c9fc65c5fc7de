"""Health for people and orchestrators, and metrics for Prometheus; without prefix and without login."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access.rules import PUBLIC
from api.dependencies import ServicesDep
from api.models import HealthAnswer
from api.problems import example, problem_response, problem_responses

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(services: ServicesDep) -> HealthAnswer:
    """Whether the system can do its work, and which part is missing where it cannot; always 200."""
    return await services.health.report()


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", responses=example({"status": "alive"}))
async def live() -> dict[str, str]:
    """200 while this process answers at all."""
    return {"status": "alive"}


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", responses=example({"status": "ready"}) | problem_responses(503))
async def ready(request: Request, services: ServicesDep) -> Response:
    """200 once every server is reachable and every model has answered a warm-up request, 503 before."""
    missing = await services.health.missing()
    if not missing:
        return Response('{"status":"ready"}', media_type="application/json")
    detail = "; ".join(f"{name} is {component.status}: {component.detail}" for name, component in missing.items())
    return problem_response(503, "not-ready", "Not ready", detail, request.url.path, headers={"Retry-After": "1"})


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=Response)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus text."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
