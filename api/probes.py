"""How each component is asked whether it can do its work."""

from __future__ import annotations

from collections.abc import Mapping

from api.database import Database
from api.health import DETECTOR, OBJECT_STORE, POSTGRES, REDIS, REID, WORKER, Probe, down, up, warming
from api.model_probe import ModelProbe
from api.models import Component
from orchestrator.events import EventLog
from orchestrator.media import VideoSource
from orchestrator.site import Site


def probes_of(
    site: Site, database: Database, events: EventLog, source: VideoSource, models: ModelProbe
) -> Mapping[str, Probe]:
    """One probe for each component, by name."""
    camera = next(camera for environment in site.environments.values() for camera in environment.cameras.values())

    async def postgres() -> Component:
        return up(await database.check())

    async def redis() -> Component:
        await events.ping()
        return up("answers")

    async def object_store() -> Component:
        listing = await source.list_sub_videos(camera.id, camera.prefix)
        return up(f"{source.location}: {len(listing)} sub-videos of camera {camera.id}")

    async def worker() -> Component:
        workers = await events.workers()
        if not workers:
            return down("no worker has reported lately")
        return up(f"{len(workers)} at work") if any(_is_warm(info) for info in workers) else warming("loading models")

    return {
        POSTGRES: postgres,
        REDIS: redis,
        OBJECT_STORE: object_store,
        DETECTOR: models.detector,
        REID: models.reid,
        WORKER: worker,
    }


def _is_warm(info: Mapping[str, object]) -> bool:
    return bool(info.get("models_warm", False))
