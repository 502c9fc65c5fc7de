"""The worker: takes tasks from the queue, one at a time unless told otherwise, and runs each to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

import cv2
from prometheus_client import start_http_server

from orchestrator.control import TaskControl
from orchestrator.errors import EventLogError, IllegalTransitionError, SpotOnError, TaskCancelledError
from orchestrator.history.retention import keep_to_policy
from orchestrator.log import bind
from orchestrator.pipeline import Pipeline
from orchestrator.progress import Progress
from orchestrator.queue import consume, create_queue
from orchestrator.services import Services, open_services
from orchestrator.settings import Settings
from orchestrator.tasks import Task, TaskStatus

logger = logging.getLogger(__name__)

TAKEN_OVER = "TAKEN_OVER"
"""How an attempt ends whose task another worker has taken; beside the final states, for the metrics alone."""


async def run_worker(settings: Settings) -> None:
    """Serves the queue until SIGTERM or SIGINT; a task under way then stops and is taken up again by the next worker.

    Raises:
        SpotOnError: the site file or a server cannot be used at start; names it.
    """
    cv2.setNumThreads(1)  # decoding and cropping have threads of their own
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    start = asyncio.create_task(_serve(settings))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (start, stopped):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await start


async def _serve(settings: Settings) -> None:
    async with open_services(settings) as services:
        queue = create_queue(settings, partial(process, services))
        async with queue.open_async(), _beside(_beat(services)), _beside(_forget(services)):
            if settings.worker_metrics_port:
                start_http_server(settings.worker_metrics_port, settings.worker_metrics_host, services.metrics.registry)
            logger.info("worker ready: environments %s", ", ".join(services.site.environments))
            await consume(queue, settings)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Does something as long as the block runs."""
    doing = asyncio.create_task(work)
    try:
        yield
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


async def _forget(services: Services) -> None:
    """Keeps history for as long as the settings say."""
    if (days := services.settings.history_retention_days) is not None:
        await keep_to_policy(services.pool, days)


async def _beat(services: Services) -> None:
    """Tells the API that a worker with warm models is alive."""
    interval_s = services.settings.worker_heartbeat_s
    worker_id = f"{socket.gethostname()}-{os.getpid()}"
    inference = services.inference
    info = {
        "detector": asdict(inference.detector.model),
        "reid_model": asdict(inference.embedder.model),
        "models_warm": True,
        "environments": list(services.site.environments),
    }
    while True:
        try:
            await services.events.beat(worker_id, info, ttl_s=3 * interval_s)
        except EventLogError as error:
            logger.warning("cannot tell that this worker is alive: %s", error)
        await asyncio.sleep(interval_s)


async def process(services: Services, task_id: str) -> None:
    """Runs one task to its end and stores how it ended. A broken task never takes the worker down.

    Raises:
        SpotOnError: a passing failure, or its end could not be stored; the queue brings the task back some times, and
            it goes on from its last checkpoint.
    """
    with bind(task=task_id):
        task = await services.store.get(task_id)
        progress = Progress(services.store, services.events, task)
        if task.is_final:
            await progress.say()
            return
        outcome = await _run(services, task, progress)
        services.metrics.tasks.labels(outcome).inc()
        logger.info("ended: %s", outcome)


async def _run(services: Services, task: Task, progress: Progress) -> str:
    control = TaskControl(services.store, services.events, task.id)
    try:
        async with control.watching():
            await control.gate()
            begun = await progress.begin("listing sub-videos", _recorded_from(services, task))
            await Pipeline(services, begun, control, progress).run()
    except TaskCancelledError:
        await progress.say_stored()
        return TaskStatus.CANCELLED
    except IllegalTransitionError as error:
        logger.warning("left to another worker: %s", error)
        return TAKEN_OVER
    except SpotOnError as error:
        if error.retryable:
            await _say_interrupted(progress, error)
            raise
        logger.error("failed: %s", error)  # noqa: TRY400 (the sentence is the whole story)
        return await _fail(progress, error, str(error))
    except Exception as error:
        logger.exception("failed by a defect")
        return await _fail(progress, error, f"internal error: {error}")
    return TaskStatus.COMPLETED


def _recorded_from(services: Services, task: Task) -> datetime:
    """When frame 0 was, as far as the site file knows: when the task was created otherwise."""
    environment = services.site.environments.get(task.environment_id)
    return (environment and environment.recorded_from) or task.created_at


async def _say_interrupted(progress: Progress, error: SpotOnError) -> None:
    logger.warning("interrupted: %s", error)
    with suppress(SpotOnError):
        await progress.note(details={"interrupted": str(error)})


async def _fail(progress: Progress, error: Exception, sentence: str) -> str:
    details = {"error": sentence, "error_type": type(error).__name__}
    try:
        await progress.enter(TaskStatus.FAILED, current_step="failed", details=details)
    except TaskCancelledError:
        await progress.say_stored()
        return TaskStatus.CANCELLED
    except IllegalTransitionError as refusal:
        logger.warning("left to another worker: %s", refusal)
        return TAKEN_OVER
    return TaskStatus.FAILED
