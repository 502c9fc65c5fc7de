"""The application: routes, errors, origins, and the life of its services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import websocket
from api.access.audit import AuditTrail
from api.access.document import describe_access
from api.access.headers import SecurityHeaders
from api.access.loopback import LoopbackOnly
from api.bodies import BodyDeadline
from api.document import keep_nulls
from api.metrics import ApiMetrics, RequestTimer
from api.problems import TextProblems, install_problem_handlers
from api.routes import analytics, config, docs, health, media, tasks, viewer
from api.services import open_services
from orchestrator.homography import load_homographies
from orchestrator.settings import Settings
from orchestrator.site import load_site

PREFIX = "/api/v1"
MAX_BODY_BYTES = 64 * 1024
"""Of a request; routes that take a picture say so themselves."""


def create_app(settings: Settings) -> FastAPI:
    """The API for these settings. The site file is read here; servers are connected to when the app starts.

    Raises:
        SiteError: the site file or a homography in it cannot be used.
    """
    site = load_site(settings.site_file)
    homographies = {name: load_homographies(environment) for name, environment in site.environments.items()}
    metrics = ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, site, homographies, metrics) as services:
            app.state.services = services
            yield

    app = FastAPI(title="SpotOn", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    install_problem_handlers(app)
    app.add_middleware(BodyDeadline)
    app.add_middleware(AuditTrail, log_of=lambda scope: scope["app"].state.services.database.audit)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["*"],
        expose_headers=["Accept-Ranges", "Content-Range", "ETag", "Retry-After"],
    )
    app.add_middleware(TextProblems)
    if settings.access == "off":
        app.add_middleware(LoopbackOnly, origins=settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestTimer, metrics=metrics)
    _add_routes(app)
    keep_nulls(app)
    describe_access(app, required=settings.access == "on")
    return app


def _add_routes(app: FastAPI) -> None:
    versioned = APIRouter(prefix=PREFIX, max_body_size=MAX_BODY_BYTES)
    versioned.include_router(tasks.router, prefix="/processing-tasks")
    versioned.include_router(tasks.router, prefix="/processing_tasks", include_in_schema=False)
    for router in (config.router, media.router, analytics.router):
        versioned.include_router(router)
    app.include_router(versioned)
    app.include_router(health.router)
    app.include_router(websocket.router)
    app.include_router(viewer.router)
    app.include_router(docs.router)


def _version() -> str:
    try:
        return version("spoton")
    except PackageNotFoundError:
        return "0"
