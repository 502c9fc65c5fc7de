"""Asks who somebody new may be: among the people whom the running task has forgotten, in Redis and in history.

Nothing waits for an answer: questions run beside the ticks, two at a time and each under a deadline, and what is not
known by then counts as nobody found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from orchestrator.errors import SpotOnError
from orchestrator.history.pool import Pool
from orchestrator.history.returning import last_seen_like
from orchestrator.history.rows import Clock
from orchestrator.identity.gallery import Gallery, Remembered
from orchestrator.identity.ids import global_id, person_of
from orchestrator.identity.returning import Forgotten, Newcomer
from orchestrator.inference.protocols import ModelId

DEADLINE_S = 5.0
"""Of one question."""
AT_ONCE = 2
WAITING = 32
"""Questions that may wait; those beyond are not asked."""
GALLERY_PEOPLE = 300
"""Forgotten people who are compared in Redis, the latest; history knows the others."""
CANDIDATES = 5
"""The most alike of each, who are then judged like people in memory."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose people are asked for."""

    task_id: str
    prefix: str
    """Begins the task's global ids."""
    model: ModelId
    camera_ids: Sequence[str]


class Recall:
    """The questions of one task; used as a context manager, which ends those under way."""

    def __init__(self, subject: Subject, gallery: Gallery, pool: Pool, similarity: float) -> None:
        self._subject, self._gallery, self._pool, self._similarity = subject, gallery, pool, similarity
        self._cameras = {camera_id: row for row, camera_id in enumerate(subject.camera_ids)}
        self._under_way: dict[asyncio.Task[list[Forgotten]], int] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for question in self._under_way:
            question.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def ask(self, newcomers: Sequence[Newcomer], known: Collection[int], clock: Clock) -> None:
        """Begins to ask; ``known`` are the people in memory, who are not meant."""
        for newcomer in newcomers:
            if len(self._under_way) < WAITING:
                self._under_way[asyncio.create_task(self._find(newcomer, frozenset(known), clock))] = newcomer.person

    def answers(self) -> dict[int, list[Forgotten]]:
        """What has come since the last call, by the newcomer's number."""
        done = [question for question in self._under_way if question.done()]
        return {self._under_way.pop(question): question.result() for question in done}

    async def _find(self, newcomer: Newcomer, known: frozenset[int], clock: Clock) -> list[Forgotten]:
        async with self._room:
            try:
                async with asyncio.timeout(DEADLINE_S):
                    recent = await self._in_gallery(newcomer, known, clock)
                    older = await self._in_history(newcomer, known | {each.person for each in recent})
            except (SpotOnError, TimeoutError) as error:
                logger.warning("cannot ask who person %d was before: %s", newcomer.person + 1, error or "too slow")
                return []
        return recent + older

    async def _in_gallery(self, newcomer: Newcomer, known: frozenset[int], clock: Clock) -> list[Forgotten]:
        ids = await self._gallery.ids(f"{self._subject.prefix}-")
        forgotten = [each for each in ids if person_of(each) not in known][:GALLERY_PEOPLE]
        people = [each for each in await self._gallery.views(forgotten) if self._are_comparable(each, newcomer)]
        likeness = [max(float(item.look.embedding @ newcomer.look) for item in person) for person in people]
        order = np.argsort([-each for each in likeness], kind="stable")[:CANDIDATES]
        return [self._of_views(people[row], clock) for row in order.tolist() if likeness[row] >= self._similarity]

    def _are_comparable(self, person: Sequence[Remembered], newcomer: Newcomer) -> bool:
        views = [item.look for item in person]
        return all(each.embedding.shape == newcomer.look.shape and each.camera_id in self._cameras for each in views)

    async def _in_history(self, newcomer: Newcomer, known: frozenset[int]) -> list[Forgotten]:
        subject = self._subject
        not_these = [global_id(subject.prefix, number) for number in known]
        found = await last_seen_like(
            self._pool, subject.task_id, subject.model, newcomer.look, not_these, CANDIDATES, self._similarity
        )
        return [
            Forgotten(
                person_of(each.global_id),
                each.looks,
                each.confidences,
                np.array([self._cameras[camera_id] for camera_id in each.camera_ids], np.int64),
                each.last_frame,
                self._cameras[each.last_camera_id],
                each.last_xy,
            )
            for each in found
        ]

    def _of_views(self, person: Sequence[Remembered], clock: Clock) -> Forgotten:
        latest = max(person, key=lambda item: item.time_s)
        return Forgotten(
            person_of(latest.look.global_id),
            np.stack([item.look.embedding for item in person]),
            np.array([item.look.quality for item in person]),
            np.array([self._cameras[item.look.camera_id] for item in person], np.int64),
            clock.frame_at(latest.time_s),
            self._cameras[latest.look.camera_id],
            latest.look.place or (np.nan, np.nan),
        )
