"""``/ws/tracking/{task_id}``: a task's messages, replayed from a position and then live.

Messages go out as they are stored; only the URLs of media get a ticket where access is on. A task that does not exist,
a ``since`` that is no number, or one WebSocket too many of a client's is refused before the handshake with an HTTP
problem (404, 422, 429). Close codes: 1000 after the final ``status_update``, 1008 when token or ticket have expired or
were revoked, 1013 for a client that reads too slowly (it comes back with ``since``), while Redis is away, or when Redis
has lost the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.access.connections import Open
from api.access.principal import NotLoggedInError
from api.access.rules import WATCHER, Access, AccessDep
from api.dependencies import ServicesDep
from api.fanout import PAGE_MESSAGES, BegunAnewError, Message, SlowClientError, Subscription
from api.problems import problem_response, response_of
from api.services import Services
from orchestrator.errors import SpotOnError
from orchestrator.tasks import Task

SEND_DEADLINE_S = 30.0
"""A client that takes longer than this for one message reads too slowly or is gone."""
CLOSE_DEADLINE_S = 10.0
RECHECK_S = 2.5
"""With what is remembered of a token it takes five seconds at most until one that is revoked is seen out."""
NORMAL, POLICY_VIOLATION, TRY_AGAIN_LATER = 1000, 1008, 1013
PONG = json.dumps({"type": "pong", "payload": {}, "seq": None})
"""Not part of the task's sequence, so without a number."""

logger = logging.getLogger(__name__)
router = APIRouter(dependencies=[WATCHER])


@router.websocket("/ws/tracking/{task_id}")
async def track(websocket: WebSocket, task_id: str, services: ServicesDep, access: AccessDep) -> None:
    """Sends a task's messages until it ends or the client leaves."""
    path = websocket.url.path
    since = websocket.query_params.get("since")
    if since is not None and not _is_sequence_number(since):
        detail = f"/query/since: {since!r} is not a sequence number"
        await websocket.send_denial_response(
            problem_response(422, "malformed-request", "Malformed request", detail, path)
        )
        return
    with ExitStack() as open_until_the_end:
        try:
            open_until_the_end.enter_context(services.connections.held(Open.WEBSOCKET, websocket))
            task = await access.task(task_id)
            first, position = await services.log.start(task, None if since is None else int(since))
        except SpotOnError as error:
            await websocket.send_denial_response(response_of(error, path))
            return
        await websocket.accept()
        open_until_the_end.enter_context(services.metrics.websocket_clients.track_inprogress())
        await _Follower(websocket, services, access, task, position).run(first)


def _is_sequence_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


class _Follower:
    """One connection: how far it has been brought in the log."""

    def __init__(self, websocket: WebSocket, services: Services, access: Access, task: Task, position: int) -> None:
        self._websocket, self._services, self._access = websocket, services, access
        self._task, self._task_id, self._position = task, task.id, position

    async def run(self, first: Iterable[Message]) -> None:
        """Sends and listens until either ends."""
        running = {asyncio.create_task(work) for work in (self._send_all(first), self._listen(), self._see_out())}
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in running:
                task.cancel()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _send_all(self, first: Iterable[Message]) -> None:
        try:
            code, reason = NORMAL, "the task has ended"
            if not await self._send(first):
                subscription = await self._catch_up()
                if subscription is not None:
                    await self._follow(subscription)
        except WebSocketDisconnect:
            return
        except (SlowClientError, TimeoutError):
            self._services.metrics.websocket_slow.inc()
            code, reason = TRY_AGAIN_LATER, f"reading too slowly; come back with since={self._position}"
        except BegunAnewError:
            code, reason = TRY_AGAIN_LATER, f"the message log was lost; come back with since={self._position}"
        except SpotOnError as error:
            logger.warning("a client of task %s is sent away: %s", self._task_id, error)
            code, reason = TRY_AGAIN_LATER, f"messages cannot be read now; come back with since={self._position}"
        await self._close(code, reason)

    async def _send(self, messages: Iterable[Message]) -> bool:
        """Sends in order; True once the final message has gone out."""
        for message in messages:
            text = self._access.ticketed_media(message.text, self._task) if message.media else message.text
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._websocket.send_text(text)
            self._position = max(self._position, message.seq)
            self._services.metrics.websocket_messages.inc()
            if message.final:
                return True
        return False

    async def _catch_up(self) -> Subscription | None:
        """Reads the log up to its end and joins the task's feed there; None if the task ended on the way."""
        while True:
            page = await self._services.log.read(self._task_id, self._position, 0.0, PAGE_MESSAGES)
            if await self._send(page):
                return None
            if len(page) < PAGE_MESSAGES:
                subscription = self._services.fanout.join(self._task_id, self._position)
                if subscription is not None:
                    return subscription

    async def _follow(self, subscription: Subscription) -> None:
        try:
            while not await self._send(await subscription.take()):
                pass
        finally:
            await self._services.fanout.leave(self._task_id, subscription)

    async def _listen(self) -> None:
        """Answers pings until the client leaves; everything else that it says is ignored."""
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if _is_ping(event.get("text")):
                await self._websocket.send_text(PONG)

    async def _see_out(self) -> None:
        """Closes when what the client came with is no longer good: it has expired, or was revoked."""
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await self._services.authentication.principal_of(self._websocket, self._task_id)
            except NotLoggedInError as error:
                await self._close(POLICY_VIOLATION, str(error))
                return
            except SpotOnError:
                continue  # who cannot be asked about is let stay

    async def _close(self, code: int, reason: str) -> None:
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._websocket.close(code, reason)


def _is_ping(text: str | None) -> bool:
    try:
        message = json.loads(text or "null")
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"
