"""Who may use a route. Every router, or each of its routes, states one of these among its dependencies.

``APIRouter(dependencies=[VIEWER])``; a test walks all routes and fails where none is stated. A rule says what role it
takes; which tasks and environments somebody sees, routes ask ``AccessDep``, never the stores themselves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.access.limits import Kind
from api.access.principal import ForbiddenError, Principal, Role
from api.access.tickets import add_ticket, add_to_media
from api.dependencies import services_of
from orchestrator.errors import UnknownEnvironmentError, UnknownTaskError
from orchestrator.site import Environment
from orchestrator.tasks import Task


@dataclass(frozen=True, slots=True)
class Rule:
    """The role that a route takes; None for a route that is open to everybody."""

    role: Role | None
    ticket: bool = False
    """Whether a ticket for the ``task_id`` in the path will do."""

    async def __call__(self, connection: HTTPConnection) -> None:
        """Lets the request pass, and remembers who sent it.

        Raises:
            NotLoggedInError: nobody that is known.
            ForbiddenError: somebody whose role is not enough.
            RateLimitedError: somebody who asks too often.
        """
        if self.role is None:
            return
        principal = await services_of(connection).authentication.principal_of(
            connection, connection.path_params["task_id"] if self.ticket else None
        )
        connection.state.principal = principal
        if not principal.role.covers(self.role):
            raise ForbiddenError(f"this takes the role of {self.role}; {principal.name} is {principal.role}")
        if not self.ticket:
            await _count(connection, Kind.REQUEST)


async def _count(connection: HTTPConnection, kind: Kind) -> None:
    services, principal = services_of(connection), connection.state.principal
    if services.authentication.tickets is not None:
        await services.limits.take(kind, principal.name)


async def _costly(connection: HTTPConnection) -> None:
    await _count(connection, Kind.COSTLY)


async def _costly_table(connection: HTTPConnection) -> None:
    if connection.query_params.get("format", "json") != "json":
        await _count(connection, Kind.COSTLY)


PUBLIC = Depends(Rule(None))
VIEWER = Depends(Rule(Role.VIEWER))
WATCHER = Depends(Rule(Role.VIEWER, ticket=True))
"""For what a page shows without being able to send headers: media and WebSockets of one task."""
OPERATOR = Depends(Rule(Role.OPERATOR))
COSTLY = Depends(_costly)
"""Beside one of these, for what takes long: it may be asked for less often."""
COSTLY_TABLE = Depends(_costly_table)
"""The same where JSON may be asked for as often as anything, and other formats are exports."""


class Access:
    """Tasks and environments as far as the asking one sees them; others are answered like those that do not exist."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.principal: Principal = connection.state.principal
        self._connection, self._services = connection, services_of(connection)

    @property
    def scope(self) -> Collection[str] | None:
        """Ids of the environments that queries have to keep to; None for no limit."""
        return self.principal.environments

    @property
    def environments(self) -> list[Environment]:
        """All environments of the site file that they see."""
        return [each for each in self._services.site.environments.values() if self.principal.sees(each.id)]

    def environment(self, environment_id: str) -> Environment:
        """One environment of the site file.

        Raises:
            UnknownEnvironmentError: there is none, or it is not theirs.
        """
        theirs = {each.id: each for each in self.environments}
        if environment_id not in theirs:
            raise UnknownEnvironmentError(f"no environment {environment_id!r}; there are {', '.join(theirs) or 'none'}")
        return theirs[environment_id]

    def note(self, what: str) -> None:
        """Adds to the row that this request gets in the audit log what its address does not say."""
        self._connection.state.audit_what = what

    def ticketed(self, url: str, task: Task) -> str:
        """A URL of the task's media or messages as it is sent to this client: with a ticket where access is on."""
        tickets = self._services.authentication.tickets
        return url if tickets is None else add_ticket(url, tickets.make(task, self.principal))

    def ticketed_media(self, text: str, task: Task) -> str:
        """A stored ``media_available`` as it is sent to this client."""
        tickets = self._services.authentication.tickets
        return text if tickets is None else add_to_media(text, tickets.make(task, self.principal))

    async def task(self, task_id: str) -> Task:
        """One task.

        Raises:
            UnknownTaskError: there is none, or it is not theirs.
        """
        task = await self._services.database.store.get(task_id)
        if not self.principal.sees(task.environment_id):
            raise UnknownTaskError(f"there is no task {task_id!r}")
        return task


def access_of(connection: HTTPConnection) -> Access:
    """What the sender of a request sees; the route's rule has run before."""
    return Access(connection)


AccessDep = Annotated[Access, Depends(access_of)]
