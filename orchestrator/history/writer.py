"""Writes a task's history while it runs: blocks of rows by COPY in the background, a checkpoint at every batch's end.

A row is keyed by task, camera, track and time. What an attempt stored after its last checkpoint is removed when the
next one begins there, and an attempt that was replaced can store nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Self

from psycopg import sql

from orchestrator.correction import NamedStretch, StoredTracks
from orchestrator.errors import IllegalTransitionError, SpotOnError
from orchestrator.history.buffer import Block, RowBuffer
from orchestrator.history.files import store_files
from orchestrator.history.partitions import PARTITIONED_TABLES, days_between, ensure_days
from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.history.recording import load_tracks
from orchestrator.history.rows import (
    DETECTION_COLUMNS,
    EMBEDDING_COLUMNS,
    CameraOutcome,
    Clock,
    detections_copy,
    embeddings_copy,
)
from orchestrator.history.search import ensure_index
from orchestrator.history.sub_videos import SubVideoTicks, store_sub_videos
from orchestrator.history.tracklets import Spans, Tracklet, rewrite_tracklets, store_tracklets
from orchestrator.inference.protocols import ModelId
from orchestrator.tasks import Task
from orchestrator.values import Frame

BLOCK_ROWS = 50_000
"""Rows that are written together; smaller blocks cost more a row (29,000 rows/s in blocks of 50): each is a commit."""
BUFFER_ROWS = 100_000
"""Rows that may wait; then ``add`` waits for the database."""
FLUSH_S = 1.0
"""Rows wait no longer than this for a block to fill."""

_LOCK_ATTEMPT = "SELECT attempt FROM tasks WHERE id = %s FOR SHARE"
_LOAD_CHECKPOINT = "SELECT next_batch, next_frame, state FROM checkpoints WHERE task_id = %s"
_LIFT_LIMIT = "SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)"
"""TimescaleDB refuses to delete more than 100,000 compressed rows at once; without it this sets what nobody reads."""
_SAVE_CHECKPOINT = """
INSERT INTO checkpoints (task_id, next_batch, next_frame, state) VALUES (%s, %s, %s, %s)
ON CONFLICT (task_id) DO UPDATE SET next_batch = EXCLUDED.next_batch, next_frame = EXCLUDED.next_frame,
    state = EXCLUDED.state, saved_at = clock_timestamp()"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a task goes on."""

    next_batch: int
    next_frame: int
    state: bytes


class HistoryWriter:
    """The history of one attempt at one task; used as a context manager.

    Args:
        pool: the database.
        task: as its attempt began; its ``attempt`` is what the rows are written under.
        model: which model the embeddings come from.
        recorded_from: when frame 0 was; a naive time is UTC; None for when the task was created.
        embedding_window: of this many ticks, each track's embedding is stored once, at its most confident.
    """

    def __init__(
        self,
        pool: Pool,
        task: Task,
        model: ModelId,
        *,
        recorded_from: datetime | None = None,
        embedding_window: int = 10,
    ) -> None:
        origin = recorded_from or task.created_at
        self._pool, self._task, self._model = pool, task, model
        self._origin = origin if origin.tzinfo else origin.replace(tzinfo=UTC)
        self._buffer = RowBuffer(embedding_window)
        self._spans = Spans()
        self._clock: Clock | None = None
        self._batch: _Batch | None = None
        self._days: frozenset[date] = frozenset()
        self._is_indexed = False
        self._storing = asyncio.Lock()
        self._block_full = asyncio.Event()
        self._background: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        self._background = asyncio.create_task(self._write_blocks(), name=f"history of {self._task.id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._background is not None
        try:
            if not isinstance(error, asyncio.CancelledError):
                await self._flush_at_end(error)
        finally:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)

    async def load_checkpoint(self) -> Checkpoint | None:
        """Where the task goes on; None for at its beginning.

        Raises:
            HistoryError: the database does not answer.
        """
        async with transaction(self._pool, "read a checkpoint") as connection:
            cursor = await connection.execute(_LOAD_CHECKPOINT, (self._task.id,))
            row = await cursor.fetchone()
        return None if row is None else Checkpoint(*row)

    async def begin_batch(self, batch_index: int, first_frame: int, rate: float, etags: Mapping[str, str]) -> None:
        """Makes ready for a batch; before the first one, removes what a former attempt left behind its checkpoint.

        Args:
            batch_index: which batch.
            first_frame: its first global frame index.
            rate: ticks a second, the same for all batches of a task.
            etags: by camera, of which file each had in this batch.

        Raises:
            HistoryError: the database does not answer.
            IllegalTransitionError: another attempt has taken over.
        """
        self._batch = _Batch(batch_index, first_frame, etags)
        if self._clock is not None:
            return
        self._clock = Clock(self._origin, rate)
        start = self._clock.time_of(first_frame)
        async with transaction(self._pool, f"begin batch {batch_index}") as connection:
            await self._require_lease(connection)
            await connection.execute(_LIFT_LIMIT)
            for table in PARTITIONED_TABLES:
                statement = sql.SQL("DELETE FROM {} WHERE task_id = %s AND time >= %s").format(sql.Identifier(table))
                cursor = await connection.execute(statement, (self._task.id, start))
                if cursor.rowcount > 0:
                    logger.info("removed %d unfinished rows of %s", cursor.rowcount, table)

    async def announce(
        self, batch_index: int, first_frame: int, rate: float, sub_videos: Sequence[SubVideoTicks]
    ) -> None:
        """Writes down which files a batch has, so that it can be watched when its messages are gone.

        Raises:
            HistoryError: the database does not answer.
            IllegalTransitionError: another attempt has taken over.
        """
        first_time = Clock(self._origin, rate).time_of(first_frame)
        async with transaction(self._pool, f"announce batch {batch_index}") as connection:
            await self._require_lease(connection)
            await store_sub_videos(connection, self._task.id, batch_index, first_frame, first_time, rate, sub_videos)

    async def add(self, tick: int, frames: Sequence[Frame], results: Sequence[CameraOutcome]) -> None:
        """Takes in one tick, its frames and results row by row; waits only while too many rows wait to be written.

        Raises:
            HistoryError: rows could not be stored, now or in the background.
            IllegalTransitionError: another attempt has taken over.
        """
        self._raise_failure()
        for frame, result in zip(frames, results, strict=True):
            self._buffer.add(tick, frame.media_time_s, result)
        if self._buffer.rows >= BLOCK_ROWS:
            self._block_full.set()
        if self._buffer.rows >= BUFFER_ROWS:
            await self.flush()

    async def flush(self) -> None:
        """Returns when all rows so far are stored; raises as ``add`` does."""
        self._raise_failure()
        async with self._storing:
            await self._store()

    async def checkpoint(
        self, batch_index: int, next_frame: int, state: bytes, bindings: Mapping[Tracklet, str | None]
    ) -> None:
        """Ends a batch: its last rows, its tracklets and where to go on are stored together or not at all.

        Args:
            batch_index: the batch that is done.
            next_frame: first global frame index of the next one.
            state: what the pipeline needs to go on.
            bindings: the global id of every track so far; None while unknown.

        Raises:
            HistoryError: the database does not answer; the former checkpoint stands.
            IllegalTransitionError: another attempt has taken over.
        """
        self._raise_failure()
        async with self._storing:
            await self._store(_End(batch_index + 1, next_frame, state, bindings))

    async def load_tracks(self, camera_ids: Sequence[str], step: int) -> dict[str, StoredTracks]:
        """What is stored of each camera's tracks, every ``step``-th tick and the ends; looks of this attempt's model.

        Raises:
            HistoryError: the database does not answer.
        """
        await self.flush()
        return {name: await load_tracks(self._pool, self._task.id, name, step, self._model) for name in camera_ids}

    async def rename(self, rate: float, stretches: Sequence[NamedStretch]) -> None:
        """Replaces the names of all the task's tracks in one transaction; harmless when repeated.

        Args:
            rate: ticks a second.
            stretches: all tracks, those of one in the order of time.

        Raises:
            HistoryError: the database does not answer; the former names stand.
            IllegalTransitionError: another attempt has taken over.
        """
        async with transaction(self._pool, "rewrite identities") as connection:
            await self._require_lease(connection)
            await rewrite_tracklets(connection, self._task.id, Clock(self._origin, rate), stretches)

    async def _write_blocks(self) -> None:
        while self._failure is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._block_full.wait()
            self._block_full.clear()
            with suppress(SpotOnError):  # the next call of the pipeline raises it
                await self.flush()

    async def _flush_at_end(self, error: BaseException | None) -> None:
        try:
            await self.flush()
        except SpotOnError as lost:
            if error is None:
                raise
            logger.warning("the last rows are lost: %s", lost)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _store(self, end: _End | None = None) -> None:
        """Stores what waits; with it, at a batch's end, the checkpoint. What fails is lost, so nothing may follow."""
        try:
            if end is not None:
                self._buffer.end_batch()
            block = self._buffer.take()
            if (span := block.frames()) is not None:
                await self._make_partitions(*span)
            if block.looks and not self._is_indexed:
                await ensure_index(self._pool, block.looks[0].embeddings.shape[1])
                self._is_indexed = True
            if span is not None or end is not None:
                await self._commit(block, end)
        except Exception as error:
            self._failure = error
            raise

    async def _commit(self, block: Block, end: _End | None) -> None:
        self._spans.add(block.sightings)
        async with transaction(self._pool, "store history") as connection:
            await self._require_lease(connection)
            await self._copy(connection, block)
            if end is not None:
                await self._end_batch(connection, end)
        if end is not None:
            self._spans.clear()

    async def _make_partitions(self, first: int, last: int) -> None:
        start, end = self._ticking.time_of(first), self._ticking.time_of(last)
        if not days_between(start, end) <= self._days:
            self._days |= await ensure_days(self._pool, start, end)

    async def _copy(self, connection: Connection, block: Block) -> None:
        clock, task_id = self._ticking, self._task.id
        if block.sightings:
            pieces = detections_copy(task_id, clock, block.sightings)
            await _copy_into(connection, "detections", DETECTION_COLUMNS, pieces)
        if block.looks:
            pieces = embeddings_copy(task_id, clock, self._model, block.looks)
            await _copy_into(connection, "embeddings", EMBEDDING_COLUMNS, pieces)

    async def _end_batch(self, connection: Connection, end: _End) -> None:
        await store_tracklets(connection, self._task.id, self._ticking, self._spans, end.bindings)
        if (batch := self._batch) is not None:
            first, last = self._ticking.time_of(batch.first_frame), self._ticking.time_of(end.next_frame)
            await store_files(connection, self._task.id, batch.index, batch.etags, first, last)
        await connection.execute(_SAVE_CHECKPOINT, (self._task.id, end.next_batch, end.next_frame, end.state))

    async def _require_lease(self, connection: Connection) -> None:
        """Holds the task's row until the commit: a new attempt waits that long, so its clean-up misses nothing."""
        row = await (await connection.execute(_LOCK_ATTEMPT, (self._task.id,))).fetchone()
        if row != (self._task.attempt,):
            raise IllegalTransitionError(f"task {self._task.id}: attempt {self._task.attempt} was replaced by another")

    @property
    def _ticking(self) -> Clock:
        if self._clock is None:
            raise RuntimeError("begin_batch comes before the first rows")
        return self._clock


@dataclass(frozen=True, slots=True)
class _Batch:
    index: int
    first_frame: int
    etags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _End:
    next_batch: int
    next_frame: int
    state: bytes
    bindings: Mapping[Tracklet, str | None]


async def _copy_into(connection: Connection, table: str, columns: Sequence[str], pieces: Iterable[bytes]) -> None:
    statement = sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)").format(
        table=sql.Identifier(table), columns=sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            await copy.write(piece)
