"""What every task of a worker shares: connections and models, opened once at start and passed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from orchestrator.events import EventLog
from orchestrator.history.pool import Pool, open_pool
from orchestrator.history.schema import ensure_schema
from orchestrator.homography import Homography, load_homographies
from orchestrator.inference.client import Inference, open_inference
from orchestrator.media import VideoCache, VideoSource, open_video_source
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings
from orchestrator.site import Site, load_site
from orchestrator.tasks import TaskStore
from orchestrator.tracking.factory import create_tracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running worker."""

    settings: Settings
    site: Site
    homographies: dict[str, dict[str, Homography]]
    """By environment, then camera; cameras without a usable homography are absent."""
    pool: Pool
    store: TaskStore
    events: EventLog
    source: VideoSource
    cache: VideoCache
    inference: Inference
    metrics: Metrics


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Loads the site, connects to every server, warms the models up; yields when all of it is ready.

    Raises:
        SpotOnError: a part cannot be had; names it.
    """
    site = load_site(settings.site_file)
    homographies = {name: load_homographies(environment) for name, environment in site.environments.items()}
    most_cameras = max(len(environment.cameras) for environment in site.environments.values())
    await asyncio.to_thread(create_tracker, settings, "warm-up", settings.target_fps)  # its import takes seconds
    logger.info("tracker: BoxMOT's %s, %s", settings.tracker, "C++" if settings.tracker_backend == "cpp" else "Python")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings))
        await ensure_schema(pool)
        events = await stack.enter_async_context(EventLog.open(settings))
        source = await stack.enter_async_context(open_video_source(settings))
        inference = await stack.enter_async_context(open_inference(settings, most_cameras))
        logger.info("models ready: %s, %s", inference.detector.model, inference.embedder.model)
        yield Services(
            settings=settings,
            site=site,
            homographies=homographies,
            pool=pool,
            store=TaskStore(pool),
            events=events,
            source=source,
            cache=VideoCache(settings, source),
            inference=inference,
            metrics=Metrics(),
        )
