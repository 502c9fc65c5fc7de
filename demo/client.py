"""A client of SpotOn that uses what every client has: REST, the WebSocket, and media by Range requests.

Every call has a deadline. A dropped WebSocket is taken up again from the last ``seq``.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import websockets
from websockets.asyncio.client import ClientConnection

from demo.recording import FINAL_STATES, CameraRecord, ContractError, MediaFile, Recording, Timings, Transcript
from orchestrator.errors import SpotOnError

API = "/api/v1"
PIECE_BYTES = 1 << 20
FETCHES_AT_ONCE = 4
RATE_WINDOW_S = 10.0
"""Frames a second are averaged over this time."""
RECONNECT_PAUSE_S = 0.2
UNFINISHED = frozenset({"QUEUED", "INITIALIZING", "DOWNLOADING", "PROCESSING"})
"""States in which a worker takes a task up; a paused one waits for whoever paused it."""
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class ClientError(SpotOnError):
    """The server did not do what was asked of it, or not in time."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that each thing may take."""

    call_s: float = 15.0
    healthy_s: float = 180.0
    silence_s: float = 120.0
    """Between two messages of a running task."""
    reconnect_s: float = 30.0
    """From a lost connection to the next message."""
    media_s: float = 300.0
    """One sub-video."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far a task is."""

    step: str
    batches_done: int
    batches_total: int
    frames: int
    """All cameras together."""
    ticks: int
    ticks_total: int | None
    """None until the first batch is announced; a guess while later batches are not."""
    frames_per_second: float
    seconds_left: float | None


OnProgress = Callable[[TaskProgress], None]


class SpotOnClient:
    """Talks to one server; an async context manager."""

    def __init__(self, base_url: str, deadlines: Deadlines | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._base_url = httpx.URL(base_url)
        self._http = httpx.AsyncClient(base_url=self._base_url, timeout=self._deadlines.call_s, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def wait_healthy(self) -> Mapping[str, Any]:
        """Waits until ``/health`` says healthy and returns its answer.

        Raises:
            ClientError: not healthy before the deadline; names the parts that are not up.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._deadlines.healthy_s
        while True:
            answer = await self._health()
            missing = not_up(answer)
            if not missing:
                return answer
            if loop.time() >= until:
                raise ClientError(f"not healthy after {self._deadlines.healthy_s:.0f} s: {', '.join(missing)}")
            await asyncio.sleep(0.25)

    async def start(
        self,
        environment_id: str,
        cameras: Sequence[str] | None = None,
        start_batch: int | None = None,
        end_batch: int | None = None,
    ) -> str:
        """Starts a task and returns its id.

        Raises:
            ClientError: the server refused; carries its reason.
        """
        body = {"environment_id": environment_id, "cameras": cameras, "start_batch": start_batch}
        body["end_batch"] = end_batch
        request = {name: value for name, value in body.items() if value is not None}
        answer = await self._call("POST", f"{API}/processing-tasks/start", json=request)
        return str(answer["task_id"])

    async def status(self, task_id: str) -> Mapping[str, Any]:
        """The status answer of a task."""
        return await self._call("GET", f"{API}/processing-tasks/{task_id}/status")

    async def cancel_unfinished(self) -> list[Mapping[str, Any]]:
        """Cancels every task that is queued or under way; returns the status answers of before.

        Raises:
            ClientError: the server refused; carries its reason.
        """
        unfinished = [task async for task in self._tasks() if task["status"] in UNFINISHED]
        for task in unfinished:
            try:
                await self._call("POST", f"{API}/processing-tasks/{task['task_id']}/control", json={"action": "cancel"})
            except ClientError:
                if (await self.status(task["task_id"]))["status"] not in FINAL_STATES:
                    raise
        return unfinished

    async def run(self, environment_id: str, media_dir: Path, on_progress: OnProgress = lambda _: None) -> Recording:
        """Starts a task, follows it to its end and fetches every sub-video into ``media_dir/<camera>/``.

        Raises:
            ClientError: the task failed, or something took too long.
            ContractError: the server broke the wire contract.
        """
        began = time.monotonic()
        task_id = await self.start(environment_id)
        follower = _Follower(self._base_url, task_id, self._deadlines, on_progress)
        fetcher = _MediaFetcher(self._http, media_dir, self._deadlines)
        try:
            await follower.follow(fetcher.request)
            if follower.transcript.status["status"] != "COMPLETED":
                raise ClientError(_failure(follower.transcript.status))
            recording = follower.recording(environment_id, began)
            paths = await fetcher.finish()
        finally:
            fetcher.cancel()
        return replace(
            recording, cameras={name: _with_paths(camera, paths) for name, camera in recording.cameras.items()}
        )

    async def _tasks(self) -> AsyncIterator[Mapping[str, Any]]:
        before: str | None = None
        while True:
            page = await self._call("GET", f"{API}/processing-tasks", params={"before": before} if before else {})
            for task in page["tasks"]:
                yield task
            if not (before := page["next"]):
                return

    async def _health(self) -> Mapping[str, Any]:
        try:
            answer = (await self._http.get("/health")).json()
        except (httpx.HTTPError, ValueError) as error:
            return {"status": f"the API does not answer ({type(error).__name__})"}
        return answer if isinstance(answer, dict) else {"status": "no JSON object"}

    async def _call(self, method: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            response = await self._http.request(method, path, **arguments)
            answer: Mapping[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ClientError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.is_error:
            reason = answer.get("detail") or answer.get("title")
            raise ClientError(f"{method} {path}: {response.status_code}: {reason}")
        return answer


def not_up(health: Mapping[str, Any]) -> list[str]:
    """What ``/health`` says is missing, in words; empty when all is well."""
    if health.get("status") == "healthy" and all(value is not False for value in health.values()):
        return []
    missing = [name for name, value in health.items() if value is False]
    for name, component in (health.get("components") or {}).items():
        if component.get("status") not in {"healthy", "ok", "up"}:
            missing.append(f"{name}: {component.get('detail') or component.get('status')}")
    return missing or [str(health.get("status"))]


class _Follower:
    """Follows one task over the WebSocket, through lost connections, to its final status."""

    def __init__(self, base_url: httpx.URL, task_id: str, deadlines: Deadlines, on_progress: OnProgress) -> None:
        self.transcript = Transcript(task_id)
        scheme = "wss" if base_url.scheme == "https" else "ws"
        self._url = f"{base_url.copy_with(scheme=scheme)}".rstrip("/") + f"/ws/tracking/{task_id}"
        self._deadlines = deadlines
        self._on_progress = on_progress
        self._reconnects = 0
        self._first_tick: float | None = None
        self._last_tick = 0.0
        self._ended = 0.0
        self._recent: deque[tuple[float, int, int]] = deque()

    async def follow(self, on_media: Callable[[MediaFile], None]) -> None:
        """Returns after the final status; ``on_media`` is told of every sub-video as it is announced.

        Raises:
            ClientError: refused, silent for too long, or not reachable again in time.
            ContractError: the server broke the wire contract.
        """
        lost_at: float | None = None
        while True:
            position = self.transcript.last_seq
            reason = await self._attempt(on_media)
            now = time.monotonic()
            if reason is None:
                break
            lost_at = now if lost_at is None or self.transcript.last_seq > position else lost_at
            if now - lost_at > self._deadlines.reconnect_s:
                raise ClientError(f"no connection to {self._url} for {self._deadlines.reconnect_s:.0f} s: {reason}")
            self._reconnects += 1
            await asyncio.sleep(RECONNECT_PAUSE_S)
        self._ended = now

    def recording(self, environment_id: str, began: float) -> Recording:
        first = self._first_tick if self._first_tick is not None else self._ended
        timings = Timings(first - began, max(self._last_tick - first, 0.0), self._ended - began)
        return self.transcript.recording(environment_id, timings, self._reconnects)

    async def _attempt(self, on_media: Callable[[MediaFile], None]) -> str | None:
        """One connection, for as long as it holds: None after the final status, else why it ended."""
        try:
            await self._listen(on_media)
        except websockets.InvalidStatus as error:
            code = error.response.status_code
            if 400 <= code < 500:
                body = (error.response.body or b"").decode(errors="replace")
                raise ClientError(f"the WebSocket was refused with {code}: {body[:300]}") from error
            return f"the WebSocket answered {code}"
        except (OSError, TimeoutError, websockets.ConnectionClosed, websockets.InvalidHandshake) as error:
            return None if self.transcript.is_final else f"{type(error).__name__}: {error}"
        return None

    async def _listen(self, on_media: Callable[[MediaFile], None]) -> None:
        url = f"{self._url}?since={self.transcript.last_seq}"
        limits = {"open_timeout": self._deadlines.call_s, "close_timeout": 2.0, "ping_timeout": self._deadlines.call_s}
        async with websockets.connect(url, max_size=None, proxy=None, **limits) as socket:  # type: ignore[arg-type]
            while not self.transcript.is_final:
                self._take(await self._receive(socket), on_media)

    async def _receive(self, socket: ClientConnection) -> str | bytes:
        try:
            async with asyncio.timeout(self._deadlines.silence_s):
                return await socket.recv()
        except TimeoutError:
            step = self.transcript.status.get("current_step")
            raise ClientError(f"no message for {self._deadlines.silence_s:.0f} s; the last step was: {step}") from None

    def _take(self, raw: str | bytes, on_media: Callable[[MediaFile], None]) -> None:
        try:
            message = json.loads(raw)
        except ValueError as error:
            raise ContractError(f"a message is no JSON: {error}") from error
        before, announced = self.transcript.ticks, len(self.transcript.media)
        self.transcript.feed(message)
        if len(self.transcript.media) > announced:
            for file in self.transcript.media[max(self.transcript.media)]:
                on_media(file)
        if self.transcript.ticks > before:
            self._last_tick = time.monotonic()
            self._first_tick = self._first_tick or self._last_tick
        self._report()

    def _report(self) -> None:
        transcript, now = self.transcript, time.monotonic()
        self._recent.append((now, transcript.ticks, transcript.frames))
        while now - self._recent[0][0] > RATE_WINDOW_S:
            self._recent.popleft()
        then, ticks, frames = self._recent[0]
        seconds = max(now - then, 1e-3)
        total, pace = transcript.ticks_expected, (transcript.ticks - ticks) / seconds
        self._on_progress(
            TaskProgress(
                step=str(transcript.status.get("current_step") or "waiting"),
                batches_done=transcript.batches_done,
                batches_total=int(transcript.status.get("total_sub_video_batches") or 0),
                frames=transcript.frames,
                ticks=transcript.ticks,
                ticks_total=total,
                frames_per_second=(transcript.frames - frames) / seconds,
                seconds_left=(total - transcript.ticks) / pace if total is not None and pace > 0 else None,
            )
        )


class _MediaFetcher:
    """Fetches announced sub-videos beside the WebSocket, in pieces, and checks that they are whole."""

    def __init__(self, http: httpx.AsyncClient, folder: Path, deadlines: Deadlines) -> None:
        self._http, self._folder, self._deadlines = http, folder, deadlines
        self._gate = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._tasks: dict[MediaFile, asyncio.Task[Path]] = {}

    def request(self, file: MediaFile) -> None:
        self._tasks[file] = asyncio.create_task(self._fetch(file))

    async def finish(self) -> dict[MediaFile, Path]:
        paths = await asyncio.gather(*self._tasks.values())
        return dict(zip(self._tasks, paths, strict=True))

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _fetch(self, file: MediaFile) -> Path:
        if Path(file.filename).name != file.filename or Path(file.camera_id).name != file.camera_id:
            raise ContractError(f"{file.camera_id}/{file.filename} is no plain file name")
        path = self._folder / file.camera_id / file.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            async with self._gate, asyncio.timeout(self._deadlines.media_s):
                await self._fetch_pieces(file.url, part)
        except TimeoutError:
            raise ClientError(f"{file.url}: not fetched within {self._deadlines.media_s:.0f} s") from None
        except httpx.HTTPError as error:
            raise ClientError(f"{file.url}: {type(error).__name__}: {error}") from error
        part.replace(path)
        return path

    async def _fetch_pieces(self, url: str, target: Path) -> None:
        head = await self._http.head(url)
        if head.status_code != httpx.codes.OK:
            raise ClientError(f"HEAD {url}: {head.status_code}")
        size, etag = int(head.headers["Content-Length"]), head.headers["ETag"]
        with target.open("wb") as sink:
            for start in range(0, size, PIECE_BYTES):
                last = min(start + PIECE_BYTES, size) - 1
                headers = {"Range": f"bytes={start}-{last}", "If-Range": etag}
                response = await self._http.get(url, headers=headers)
                _check_piece(response, (start, last, size))
                sink.write(response.content)


def _check_piece(response: httpx.Response, asked: tuple[int, int, int]) -> None:
    """``asked``: first byte, last byte, size of the whole."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        raise ContractError(f"{response.url}: {response.status_code} in answer to a Range request")
    said = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if said is None or tuple(int(value) for value in said.groups()) != asked:
        header = response.headers.get("Content-Range")
        raise ContractError(
            f"{response.url}: Content-Range {header!r}, asked for bytes {asked[0]}-{asked[1]}/{asked[2]}"
        )
    if len(response.content) != asked[1] - asked[0] + 1:
        raise ContractError(f"{response.url}: {len(response.content)} bytes in the piece {said.group()}")


def _with_paths(camera: CameraRecord, paths: Mapping[MediaFile, Path]) -> CameraRecord:
    return replace(camera, paths=tuple(paths[file] for file in camera.media))


def _failure(status: Mapping[str, Any]) -> str:
    details = status.get("details")
    reason = details.get("error") if isinstance(details, Mapping) else details
    return f"the task ended as {status['status']}: {reason or status.get('current_step')}"
