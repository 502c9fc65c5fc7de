"""A tiny server of the wire contract, in this process, that can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

Message = dict[str, Any]
CAMERAS = ("c01", "c02")
RATE = 12.0
VIDEO = bytes(range(256)) * 10_000
"""Larger than one piece of the client."""


def status(state: str = "PROCESSING", **fields: Any) -> Message:
    payload = {"status": state, "current_step": "working", "total_sub_video_batches": 2, "details": {}, **fields}
    return {"type": "status_update", "payload": payload}


def media(batch: int, first: int, frames: int) -> Message:
    entries = [
        {
            "camera_id": camera,
            "sub_video_filename": f"sub_video_{batch + 1:02d}.mp4",
            "url": f"/media/{camera}/sub_video_{batch + 1:02d}.mp4",
            "start_global_frame_index": first,
            "num_frames_in_sub_video": frames,
            "fps": RATE,
            "start_time_s": 0.0,
        }
        for camera in CAMERAS
    ]
    return {"type": "media_available", "payload": {"sub_video_batch_index": batch, "media_urls": entries}}


def track(track_id: int, global_id: str | None, x: float) -> Message:
    position = None if global_id is None else [x / 10, 2.0]
    box = [x, 10.0, x + 20, 60.0]
    fields = {"track_id": track_id, "global_id": global_id, "bbox_xyxy": box, "confidence": 0.9, "class_id": 1}
    return {**fields, "map_coords": position}


def tick(frame: int, batch: int, within: int, absent: Iterable[str] = ()) -> Message:
    cameras = {
        camera: {
            "image_source": f"{within:06d}.jpg",
            "frame_index_in_sub_video": within,
            "media_time_s": within / RATE,
            "tracks": [track(1, "p-1", 10.0 + frame), track(2, None if frame < 2 else "p-2", 200.0)],
        }
        for camera in CAMERAS
    }
    nothing: Message = {"image_source": None, "frame_index_in_sub_video": None, "media_time_s": None, "tracks": []}
    payload = {"global_frame_index": frame, "sub_video_batch_index_of_frame": batch, "scene_id": "campus"}
    cameras |= {camera: dict(nothing) for camera in absent}
    return {"type": "tracking_update", "payload": {**payload, "cameras": cameras}}


def batch_end(batch: int) -> Message:
    return {"type": "batch_processing_complete", "payload": {"sub_video_batch_index": batch}}


def good_task() -> list[Message]:
    """Two batches of 3 and 2 ticks; the second camera ends one tick early."""
    return [
        status(),
        media(0, 0, 3),
        *(tick(k, 0, k) for k in range(3)),
        batch_end(0),
        media(1, 3, 2),
        tick(3, 1, 0),
        tick(4, 1, 1, absent=["c02"]),
        batch_end(1),
        status("COMPLETED"),
    ]


def numbered(messages: Iterable[Message]) -> list[Message]:
    return [{**message, "seq": seq} for seq, message in enumerate(messages, start=1)]


class FakeServer:
    """Serves one task; ``drop_after`` closes the first connections after that many messages each."""

    def __init__(self, messages: list[Message], drop_after: Iterable[int] = ()) -> None:
        self.messages = messages
        self.drop_after = list(drop_after)
        self.since: list[int] = []
        self.health: Callable[[int], Message] = lambda asked: {"status": "healthy", "detector_model_loaded": True}
        self.asked = 0
        self.spoil: Callable[[bytes], bytes] = lambda piece: piece
        self.ranges: list[str] = []
        self.url = ""
        self.tasks: list[Message] = []
        self.cancelled: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeServer]:
        routes = [
            Route("/health", self._health),
            Route("/api/v1/processing-tasks/start", self._start, methods=["POST"]),
            Route("/api/v1/processing-tasks", self._tasks),
            Route("/api/v1/processing-tasks/{task}/control", self._control, methods=["POST"]),
            Route("/api/v1/processing-tasks/{task}/status", self._status),
            Route("/media/{camera}/{file}", self._media, methods=["GET", "HEAD"]),
            WebSocketRoute("/ws/tracking/{task}", self._track),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=0, lifespan="off", log_level="critical", ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(server.serve())
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            yield self
        finally:
            server.should_exit = True
            await serving

    async def _health(self, request: Request) -> Response:
        self.asked += 1
        return JSONResponse(self.health(self.asked))

    async def _start(self, request: Request) -> Response:
        if (await request.json())["environment_id"] != "campus":
            return JSONResponse({"title": "Unknown environment", "detail": "no environment 'moon'"}, 404)
        return JSONResponse({"task_id": "task-1"}, 202)

    async def _tasks(self, request: Request) -> Response:
        """Two tasks a page."""
        first = int(request.query_params.get("before", 0))
        following = first + 2 if first + 2 < len(self.tasks) else None
        return JSONResponse({"tasks": self.tasks[first : first + 2], "next": following and str(following)})

    async def _control(self, request: Request) -> Response:
        """Refuses for a task named ``ended...``, which has just come to its end."""
        task_id = request.path_params["task"]
        if task_id.startswith("ended"):
            return JSONResponse({"title": "Illegal transition", "detail": f"task {task_id} is COMPLETED"}, 409)
        self.cancelled.append(f"{(await request.json())['action']} {task_id}")
        return JSONResponse({})

    async def _status(self, request: Request) -> Response:
        return JSONResponse({"status": "COMPLETED"})

    async def _media(self, request: Request) -> Response:
        headers = {"ETag": '"1"', "Content-Length": str(len(VIDEO))}
        if request.method == "HEAD":
            return Response(headers=headers)
        asked = request.headers["Range"]
        self.ranges.append(asked)
        first, last = (int(value) for value in asked.removeprefix("bytes=").split("-"))
        piece = self.spoil(VIDEO[first : last + 1])
        return Response(piece, 206, {"Content-Range": f"bytes {first}-{last}/{len(VIDEO)}", "ETag": '"1"'})

    async def _track(self, socket: WebSocket) -> None:
        await socket.accept()
        since = int(socket.query_params["since"])
        self.since.append(since)
        replayed = [message for message in self.messages if message["seq"] <= since and "media" in message["type"]]
        fresh = [message for message in self.messages if message["seq"] > since]
        budget = self.drop_after.pop(0) if self.drop_after else None
        await socket.send_text(json.dumps({"type": "pong", "payload": {}, "seq": None}))
        for message in replayed:
            await socket.send_text(json.dumps(message))
        for message in fresh[:budget]:
            await socket.send_text(json.dumps(message))
        await socket.close(1000 if budget is None else 1012)
