"""Which part of history a request asks about: query parameters that several routes share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query

from api.access.rules import Access, AccessDep
from api.problems import NotFoundError, UnusableRequestError
from orchestrator.history.scope import Scope

Start = Annotated[datetime | None, Query(alias="from", description="Earliest time, inclusive; UTC unless it says.")]
End = Annotated[datetime | None, Query(alias="to", description="Latest time, exclusive; UTC unless it says.")]
TaskId = Annotated[str | None, Query(max_length=64, description="One task alone, all of it.")]
EnvironmentId = Annotated[
    str | None,
    Query(
        max_length=64,
        description="All files of an environment that were processed, each by the latest task that completed.",
    ),
]


def span(start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Both ends with a time zone.

    Raises:
        UnusableRequestError: nothing lies between them.
    """
    start, end = _in_utc(start), _in_utc(end)
    if start is not None and end is not None and end <= start:
        raise UnusableRequestError("'to' has to lie after 'from'")
    return start, end


async def scope_of(
    access: AccessDep,
    environment_id: EnvironmentId = None,
    task_id: TaskId = None,
    start: Start = None,
    end: End = None,
) -> Scope:
    """The scope that a request names.

    Raises:
        UnusableRequestError: it names neither environment nor task, or no time.
        UnknownEnvironmentError, UnknownTaskError: what it names is not there, or is not theirs.
        NotFoundError: the task is of another environment.
    """
    start, end = span(start, end)
    if task_id is not None:
        return await _of_task(access, environment_id, task_id, start, end)
    if environment_id is None:
        raise UnusableRequestError("environment_id or task_id is needed")
    return Scope(access.environment(environment_id).id, None, start, end)


ScopeDep = Annotated[Scope, Depends(scope_of)]


async def _of_task(
    access: Access, environment_id: str | None, task_id: str, start: datetime | None, end: datetime | None
) -> Scope:
    task = await access.task(task_id)
    if environment_id not in {None, task.environment_id}:
        raise NotFoundError(f"task {task.id} is not in environment {environment_id!r}")
    return Scope(task.environment_id, task.id, start, end)


def _in_utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
