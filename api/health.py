"""Whether every part can do its work now: asked side by side, each with a short deadline, remembered for a moment."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from api.models import Component, ComponentState, HealthAnswer
from orchestrator.errors import SpotOnError

PROBE_DEADLINE_S = 2.0
REMEMBER_S = 1.0
"""However many ask, the servers are asked once in this time."""

POSTGRES, REDIS, OBJECT_STORE = "postgres", "redis", "object_store"
DETECTOR, REID, WORKER = "detector", "reid", "worker"
_VITAL = frozenset({POSTGRES, REDIS})
"""Without these no task can be started or followed."""

logger = logging.getLogger(__name__)
Probe = Callable[[], Awaitable[Component]]


def up(detail: str) -> Component:
    """A part that can be used."""
    return Component(status=ComponentState.UP, detail=detail)


def warming(detail: str) -> Component:
    """A part that will be there in a moment."""
    return Component(status=ComponentState.WARMING, detail=detail)


def down(detail: str) -> Component:
    """A part that cannot be used."""
    return Component(status=ComponentState.DOWN, detail=detail)


class Health:
    """The state of the whole system, by component."""

    def __init__(self, probes: Mapping[str, Probe], *, homographies_computed: bool) -> None:
        self._probes = dict(probes)
        self._homographies_computed = homographies_computed
        self._asking = asyncio.Lock()
        self._known: dict[str, Component] = {}
        self._asked_at = float("-inf")

    async def components(self) -> dict[str, Component]:
        """Every component's state, at most ``REMEMBER_S`` old."""
        async with self._asking:
            if time.monotonic() - self._asked_at > REMEMBER_S:
                found = await asyncio.gather(*(_ask(probe) for probe in self._probes.values()))
                self._known = dict(zip(self._probes, found, strict=True))
                self._asked_at = time.monotonic()
            return self._known

    async def report(self) -> HealthAnswer:
        """The answer of ``/health``."""
        components = await self.components()
        reid_loaded = _is_up(components, REID)
        return HealthAnswer(
            status=self._verdict(components),
            detector_model_loaded=_is_up(components, DETECTOR),
            reid_model_loaded=reid_loaded,
            prototype_tracker_loaded=reid_loaded,
            homography_matrices_precomputed=self._homographies_computed,
            components=components,
        )

    async def missing(self) -> dict[str, Component]:
        """What keeps this process from being ready. A worker is not among it: it takes its work from a queue."""
        components = await self.components()
        return {
            name: component
            for name, component in components.items()
            if name != WORKER and component.status is not ComponentState.UP
        }

    def _verdict(self, components: Mapping[str, Component]) -> Literal["healthy", "degraded", "unhealthy"]:
        if any(not _is_up(components, name) for name in _VITAL & components.keys()):
            return "unhealthy"
        whole = all(_is_up(components, name) for name in components) and self._homographies_computed
        return "healthy" if whole else "degraded"


def _is_up(components: Mapping[str, Component], name: str) -> bool:
    return name in components and components[name].status is ComponentState.UP


async def _ask(probe: Probe) -> Component:
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            return await probe()
    except TimeoutError:
        return down(f"no answer within {PROBE_DEADLINE_S:g} s")
    except SpotOnError as error:
        return down(str(error))
    except Exception:
        logger.exception("a health probe failed by a defect")
        return down("the probe failed; the log says more")
