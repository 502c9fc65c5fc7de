"""What every request shares: built once at start and passed in. No server has to be up for that.

A server that is down costs the requests that need it a 503 and shows in ``/health``; it is used as soon as it is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from api.access.authentication import Authentication
from api.access.connections import Connections
from api.access.limits import Limits
from api.cameras import CameraCatalogue
from api.database import Database
from api.fanout import Fanout
from api.health import Health
from api.listings import Listings
from api.looks import LookModel
from api.metrics import ApiMetrics
from api.model_probe import ModelProbe
from api.probes import probes_of
from api.task_log import TaskLog
from orchestrator.events import EventLog
from orchestrator.homography import Homography
from orchestrator.media import VideoCache, VideoSource, open_video_source
from orchestrator.settings import Settings
from orchestrator.site import Site


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running API process."""

    settings: Settings
    site: Site
    database: Database
    events: EventLog
    log: TaskLog
    fanout: Fanout
    source: VideoSource
    listings: Listings
    cache: VideoCache
    cameras: CameraCatalogue
    health: Health
    metrics: ApiMetrics
    looks: LookModel
    authentication: Authentication
    limits: Limits
    connections: Connections


@asynccontextmanager
async def open_services(
    settings: Settings,
    site: Site,
    homographies: Mapping[str, Mapping[str, Homography]],
    metrics: ApiMetrics,
) -> AsyncIterator[Services]:
    """Builds the services and frees them at the end; ``homographies`` by environment, then camera.

    Raises:
        SettingsError: the settings do not say where videos are.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings))
        events = await stack.enter_async_context(EventLog.open(settings))
        source = await stack.enter_async_context(open_video_source(settings))
        models = await stack.enter_async_context(ModelProbe.open(settings))
        looks = await stack.enter_async_context(LookModel.open(settings))
        limits = await stack.enter_async_context(Limits.open(settings))
        log = TaskLog(events, database.store)
        fanout = Fanout(log, log.final_status)
        stack.push_async_callback(fanout.close)
        listings, cache = Listings(source), VideoCache(settings, source)
        cameras = CameraCatalogue(listings, cache, homographies)
        stack.push_async_callback(cameras.close)
        probes = probes_of(site, database, events, source, models)
        yield Services(
            settings=settings,
            site=site,
            database=database,
            events=events,
            log=log,
            fanout=fanout,
            source=source,
            listings=listings,
            cache=cache,
            cameras=cameras,
            health=Health(probes, homographies_computed=homographies.keys() == site.environments.keys()),
            metrics=metrics,
            looks=looks,
            authentication=Authentication(settings, database.tokens, limits),
            limits=limits,
            connections=Connections(settings),
        )
