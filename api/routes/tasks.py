"""Processing tasks: start, list, status, control."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query

from api.access.audit import audited
from api.access.rules import COSTLY, OPERATOR, VIEWER, Access, AccessDep
from api.dependencies import ServicesDep
from api.models import (
    MEDIA_EXAMPLE,
    Action,
    ControlAnswer,
    ControlRequest,
    StartAnswer,
    StartRequest,
    StatusAnswer,
    TaskPage,
    TicketAnswer,
)
from api.problems import BODY_PROBLEMS, UnusableRequestError, example, problem_responses
from orchestrator.errors import EventLogError
from orchestrator.events import (
    EventLog,
    FocusChanged,
    FocusPayload,
    MediaPayload,
    MediaUrl,
    Message,
    StatusUpdate,
    media_path,
)
from orchestrator.history.sub_videos import StoredSubVideo, sub_videos_of_task
from orchestrator.tasks import Place, Task, TaskStore

logger = logging.getLogger(__name__)
router = APIRouter(tags=["tasks"])
"""Each route states who may use it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"([0-9]{1,16}):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""Microseconds since 1970 at which a task was created, and its id."""


@router.post(
    "/start",
    status_code=202,
    dependencies=[audited("start"), OPERATOR, COSTLY],
    responses=problem_responses(404, 429, 503, *BODY_PROBLEMS),
)
async def start(body: StartRequest, services: ServicesDep, access: AccessDep) -> StartAnswer:
    """Queues the recording of an environment for processing."""
    environment = access.environment(body.environment_id)
    cameras = environment.select(body.cameras)
    chosen = None if body.cameras is None else [camera.id for camera in cameras]
    task = await services.database.start_task(environment.id, chosen, body.start_batch, body.end_batch)
    access.note(f"task {task.id} of {environment.id}")
    return StartAnswer(
        task_id=task.id,
        message=f"queued: {environment.name}, {', '.join(camera.id for camera in cameras)}",
        status_url=f"/api/v1/processing-tasks/{task.id}/status",
        websocket_url=access.ticketed(f"/ws/tracking/{task.id}", task),
    )


@router.get("", dependencies=[VIEWER], responses=problem_responses(422, 503))
async def page(
    services: ServicesDep,
    access: AccessDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=64, description="The `next` of the page before.")] = None,
) -> TaskPage:
    """Tasks, newest first. Pages neither repeat nor miss one that was there from the start, whatever comes or goes."""
    tasks = await services.database.store.page(limit + 1, _place(before), access.scope)
    more = len(tasks) > limit
    tasks = tasks[:limit]
    return TaskPage(tasks=[StatusAnswer.of(task) for task in tasks], next=_next(tasks[-1]) if more else None)


def _next(last: Task) -> str:
    return f"{(last.created_at - _EPOCH) // timedelta(microseconds=1)}:{last.id}"


def _place(before: str | None) -> Place | None:
    if before is None:
        return None
    found = _PLACE.fullmatch(before)
    if found is None:
        raise UnusableRequestError("'before' is not the 'next' of a page")
    return _EPOCH + timedelta(microseconds=int(found[1])), found[2]


@router.get("/{task_id}/status", dependencies=[VIEWER], responses=problem_responses(404, 503))
async def status(task_id: str, access: AccessDep) -> StatusAnswer:
    """How far a task is."""
    return StatusAnswer.of(await access.task(task_id))


@router.get("/{task_id}/media", dependencies=[VIEWER], responses=example([MEDIA_EXAMPLE]) | problem_responses(404, 503))
async def media(task_id: str, services: ServicesDep, access: AccessDep) -> list[MediaPayload]:
    """The sub-videos of a task, batch by batch: what its `media_available` messages said, for as long as it is known.

    Empty for a task that was processed before they were written down.
    """
    task = await access.task(task_id)
    files = await sub_videos_of_task(services.database.history, task.id)
    return [
        MediaPayload(sub_video_batch_index=batch, media_urls=tuple(_media_url(access, task, each) for each in of_batch))
        for batch, of_batch in groupby(files, key=lambda each: each.batch)
    ]


@router.post("/{task_id}/ticket", dependencies=[VIEWER], responses=problem_responses(404, 503))
async def ticket(task_id: str, access: AccessDep) -> TicketAnswer:
    """Where to follow a task from a page, which cannot send headers with a WebSocket; anew for every connection."""
    task = await access.task(task_id)
    return TicketAnswer(websocket_url=access.ticketed(f"/ws/tracking/{task.id}", task))


@router.post(
    "/{task_id}/control",
    dependencies=[audited("control"), OPERATOR],
    responses=problem_responses(404, 409, 503, *BODY_PROBLEMS),
)
async def control(task_id: str, body: ControlRequest, services: ServicesDep, access: AccessDep) -> ControlAnswer:
    """Pauses, resumes or cancels a task, or marks the person that its viewers follow."""
    await access.task(task_id)
    access.note(str(body.action))
    task = await _apply(services.database.store, task_id, body)
    await _announce(services.events, task, body)
    return ControlAnswer.of(task)


def _media_url(access: Access, task: Task, file: StoredSubVideo) -> MediaUrl:
    return MediaUrl(
        camera_id=file.camera_id,
        sub_video_filename=file.filename,
        url=access.ticketed(media_path(task.id, task.environment_id, file.camera_id, file.filename), task),
        start_global_frame_index=file.first_frame,
        num_frames_in_sub_video=file.frames,
        fps=file.rate,
        start_time_s=file.start_time_s,
    )


async def _apply(store: TaskStore, task_id: str, body: ControlRequest) -> Task:
    match body.action:
        case Action.PAUSE:
            return await store.pause(task_id)
        case Action.RESUME:
            return await store.resume(task_id)
        case Action.CANCEL:
            return await store.cancel(task_id)
        case Action.FOCUS_TRACK | Action.CLEAR_FOCUS:
            return await store.focus(task_id, body.focus)


async def _announce(events: EventLog, task: Task, body: ControlRequest) -> None:
    """Tells worker and viewers. The database has the new state already, and the worker looks there in any case."""
    message: Message = StatusUpdate.of(task)
    if body.action in {Action.FOCUS_TRACK, Action.CLEAR_FOCUS}:
        message = FocusChanged(payload=FocusPayload(global_id=task.focus_global_id))
    try:
        await events.ring(task.id)
        await events.publish(task.id, message)
    except EventLogError as error:
        logger.warning("%s of task %s could not be announced: %s", body.action, task.id, error)
