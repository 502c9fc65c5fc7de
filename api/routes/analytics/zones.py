"""Dwell in the zones of the site file, and crossings of its lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import APIRouter, Query

from api.access.rules import AccessDep
from api.dependencies import ServicesDep
from api.problems import problem_responses
from api.routes.analytics.models import (
    CrossingEvent,
    CrossingsAnswer,
    LineCrossings,
    ZoneDwell,
    ZonesAnswer,
    ZoneVisit,
)
from api.routes.analytics.scope import ScopeDep
from api.services import Services
from orchestrator.history.crossings import Crossing, Visit
from orchestrator.history.crossings import crossings as find_crossings
from orchestrator.history.crossings import visits as find_visits
from orchestrator.history.motion import motion
from orchestrator.history.paths import PersonPath, paths
from orchestrator.history.scope import Scope
from orchestrator.values import Float64
from orchestrator.zones import Line, Zone

router = APIRouter()
Limit = Annotated[int, Query(ge=0, le=10_000, description="Single events in the answer, the first ones in time.")]
EventT = TypeVar("EventT", ZoneVisit, CrossingEvent)


class _Earliest(Generic[EventT]):
    """The first events in time of any number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: list[EventT] = []
        self.total = 0

    def add(self, event: EventT) -> None:
        self.total += 1
        self._events.append(event)
        if len(self._events) > 2 * self._limit + 1000:
            self._events = self.found()

    def found(self) -> list[EventT]:
        return nsmallest(self._limit, self._events, key=lambda event: event.time)


@dataclass(slots=True)
class _Dwell:
    people: set[tuple[str, str]] = field(default_factory=set)
    visits: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, person: PersonPath, seconds: float) -> None:
        self.people.add((person.task_id, person.who))
        self.visits += 1
        self.seconds += seconds
        self.longest = max(self.longest, seconds)


@router.get("/zones", responses=problem_responses(404, 422, 503))
async def zones(services: ServicesDep, access: AccessDep, scope: ScopeDep, limit: Limit = 1000) -> ZonesAnswer:
    """How long people stayed in each zone; somebody who is back within a second has not left."""
    drawn = access.environment(scope.environment_id).zones
    dwell = {zone_id: _Dwell() for zone_id in drawn}
    events: _Earliest[ZoneVisit] = _Earliest(limit)
    async with aclosing(_people(services, scope, bool(drawn))) as people:
        async for person, xy in people:
            for zone_id, zone in drawn.items():
                for visit in find_visits(person.path, xy, zone):
                    event = _visit(zone_id, person, visit)
                    dwell[zone_id].add(person, event.seconds)
                    events.add(event)
    return ZonesAnswer(
        environment_id=scope.environment_id,
        task_id=scope.task_id,
        zones=[_dwell(zone_id, zone, dwell[zone_id]) for zone_id, zone in drawn.items()],
        visits=events.found(),
        truncated=events.total > limit,
    )


@router.get("/crossings", responses=problem_responses(404, 422, 503))
async def crossings(services: ServicesDep, access: AccessDep, scope: ScopeDep, limit: Limit = 1000) -> CrossingsAnswer:
    """Who crossed each line which way; a line counts as crossed once somebody is clear of it on the other side."""
    drawn = access.environment(scope.environment_id).lines
    counts = {line_id: {"to_left": 0, "to_right": 0} for line_id in drawn}
    events: _Earliest[CrossingEvent] = _Earliest(limit)
    async with aclosing(_people(services, scope, bool(drawn))) as people:
        async for person, xy in people:
            for line_id, line in drawn.items():
                for crossing in find_crossings(person.path, xy, line):
                    event = _crossing(line_id, person, crossing, xy)
                    counts[line_id][event.direction] += 1
                    events.add(event)
    return CrossingsAnswer(
        environment_id=scope.environment_id,
        task_id=scope.task_id,
        lines=[_line(line_id, line, counts[line_id]) for line_id, line in drawn.items()],
        crossings=events.found(),
        truncated=events.total > limit,
    )


async def _people(services: Services, scope: Scope, wanted: bool) -> AsyncGenerator[tuple[PersonPath, Float64], None]:
    """Everybody's path and its smoothed form [N, 2]; nobody where nothing is drawn on the map."""
    if not wanted:
        return
    async with aclosing(paths(services.database.history, scope)) as found:
        async for person in found:
            yield person, (await asyncio.to_thread(motion, person.path)).xy


def _time(person: PersonPath, index: int) -> datetime:
    return person.began + timedelta(seconds=float(person.path.times_s[index]))


def _visit(zone_id: str, person: PersonPath, visit: Visit) -> ZoneVisit:
    return ZoneVisit(
        zone_id=zone_id,
        task_id=person.task_id,
        global_id=person.global_id,
        time=_time(person, visit.first),
        seconds=round(visit.seconds(person.path, person.tick_s), 3),
    )


def _dwell(zone_id: str, zone: Zone, dwell: _Dwell) -> ZoneDwell:
    return ZoneDwell(
        zone_id=zone_id,
        name=zone.name or zone_id,
        polygon=list(zone.polygon),
        people=len(dwell.people),
        visits=dwell.visits,
        seconds=round(dwell.seconds, 3),
        longest_seconds=dwell.longest,
    )


def _crossing(line_id: str, person: PersonPath, crossing: Crossing, xy: Float64) -> CrossingEvent:
    direction: Literal["to_left", "to_right"] = "to_left" if crossing.to_left else "to_right"
    x, y = xy[crossing.at].round(3).tolist()
    return CrossingEvent(
        line_id=line_id,
        direction=direction,
        time=_time(person, crossing.at),
        task_id=person.task_id,
        global_id=person.global_id,
        map_x=x,
        map_y=y,
    )


def _line(line_id: str, line: Line, counts: dict[str, int]) -> LineCrossings:
    return LineCrossings(line_id=line_id, name=line.name or line_id, points=list(line.points), **counts)
