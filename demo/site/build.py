"""Render a scene to disk: videos, site file, homography points and ground truth."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from demo.children import end_with_parent
from demo.site.backdrop import make_backdrop, make_ground
from demo.site.folder import SiteFiles, clear, describe, held, is_complete
from demo.site.render import FrameRenderer
from demo.site.scene import Scene, SiteCamera
from demo.site.truth import FrameTruth, mot_lines, surveyed_points, write_map
from demo.site.video import VideoWriter
from demo.site.walk import Trajectories, walk

Progress = Callable[[int, int], None]
"""Called now and then with the frames rendered so far and the frames there will be, over all cameras."""

_TEXEL = 0.025
"""Metres between samples of the ground."""
_MOST_TEXELS = 16e6
"""On a ground that would need more, the samples lie farther apart."""
_RECORDED_FROM = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class _Job:
    """One sub-video of one camera."""

    camera: int
    sub_video: int
    path: Path


@dataclass(frozen=True)
class _Recipe:
    """What rendering needs to know."""

    scene: Scene
    paths: Trajectories


def build_site(scene: Scene, out_dir: Path, progress: Progress | None = None, workers: int | None = None) -> SiteFiles:
    """Write the whole site under ``out_dir``, or reuse what this code already wrote there for the same scene.

    ``workers`` processes render, one per usable core by default; 1 renders in the calling process.
    Raises ``ValueError`` for a scene without room for its people, ``OSError`` where the folder cannot be written, holds
    what no rendering left, or is being rendered into by another process. What ``progress`` raises ends the rendering.
    """
    files, version = SiteFiles(out_dir), version_hash(scene)
    total = scene.frames * len(scene.cameras)
    progress = progress or (lambda _done, _total: None)
    with held(files):
        if is_complete(files, version):
            progress(total, total)
            return files
        clear(files)
        paths = walk(scene, lambda: progress(0, total))
        write_map(files.map_truth, paths)
        _write_site_file(files, scene)
        _render_all(files, scene, paths, progress, workers or _cores())
        describe(files, _description(scene, version))
    return files


def _description(scene: Scene, version: str) -> dict[str, Any]:
    return {
        "name": scene.name,
        "seed": scene.seed,
        "version": version,
        "fps": scene.fps,
        "frames": scene.frames,
        "frames_per_sub_video": scene.frames_per_sub_video,
        "sub_videos": scene.sub_videos,
        "people": len(scene.people),
        "cameras": [each.camera.camera_id for each in scene.cameras],
    }


def version_hash(scene: Scene) -> str:
    """A hash of the scene and of the code that renders it."""
    digest = hashlib.sha256(repr(asdict(scene)).encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        digest.update(str(source.relative_to(folder)).encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _write_site_file(files: SiteFiles, scene: Scene) -> None:
    cameras = {each.camera.camera_id: _camera_entry(files, scene, each) for each in scene.cameras}
    environment = {
        "name": scene.title,
        "recorded_from": _RECORDED_FROM,
        "cameras": cameras,
        "overlaps": [list(pair) for pair in scene.overlaps],
        "exits": [asdict(rule) for rule in scene.exits],
    }
    text = yaml.safe_dump(
        {"environments": {scene.name: environment}}, sort_keys=False, default_flow_style=None, width=120
    )
    files.site_file.write_text(text)


def _camera_entry(files: SiteFiles, scene: Scene, each: SiteCamera) -> dict[str, Any]:
    image_points, map_points = surveyed_points(scene, each.camera)
    homography: dict[str, Any]
    if each.homography_inline:
        homography = {
            "image_points": np.round(image_points.astype(float), 2).tolist(),
            "map_points": np.round(map_points.astype(float), 3).tolist(),
        }
    else:
        file = f"homography/{each.camera.camera_id}.npz"
        np.savez(files.root / file, image_points=image_points, map_points=map_points)
        homography = {"file": file}
    return {"name": each.name, "prefix": each.prefix, "homography": homography}


def _render_all(files: SiteFiles, scene: Scene, paths: Trajectories, progress: Progress, workers: int) -> None:
    jobs = _jobs(files, scene, workers)
    truths: dict[int, list[FrameTruth]] = {camera: [] for camera in range(len(scene.cameras))}
    total = scene.frames * len(scene.cameras)
    render = _rendered_here if workers == 1 else _rendered_in_processes
    for job, result in render(_Recipe(scene, paths), jobs, workers, lambda done: progress(done, total)):
        truths[job.camera].extend(result)
    for camera, each in enumerate(scene.cameras):
        ordered = sorted(truths[camera], key=lambda truth: truth.frame)
        whole, visible = mot_lines(ordered, each.camera.width, each.camera.height)
        files.camera_truth(each.camera.camera_id).write_text("\n".join(whole) + "\n")
        files.camera_visible_truth(each.camera.camera_id).write_text("\n".join(visible) + "\n")
    progress(total, total)


def _jobs(files: SiteFiles, scene: Scene, workers: int) -> list[_Job]:
    """All sub-videos, as many cameras side by side as there are workers: each then mostly prepares its own cameras."""
    jobs = []
    for first in range(0, len(scene.cameras), workers):
        for index, camera in itertools.product(range(scene.sub_videos), range(first, first + workers)):
            if camera < len(scene.cameras):
                folder = files.videos / scene.cameras[camera].prefix
                folder.mkdir(parents=True, exist_ok=True)
                jobs.append(_Job(camera, index, folder / f"sub_video_{index + 1:02d}.mp4"))
    return jobs


def _rendered_here(
    recipe: _Recipe, jobs: list[_Job], _workers: int, tick: Callable[[int], None]
) -> Iterator[tuple[_Job, list[FrameTruth]]]:
    studio, done = _Studio(recipe), itertools.count(1)
    for job in jobs:
        yield job, studio.render(job, lambda: tick(next(done)))


def _rendered_in_processes(
    recipe: _Recipe, jobs: list[_Job], workers: int, tick: Callable[[int], None]
) -> Iterator[tuple[_Job, list[FrameTruth]]]:
    context = multiprocessing.get_context("spawn")
    done: Synchronized[int] = context.Value("q", 0)
    stop = context.Event()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (recipe, done, stop)) as pool:
        with _without_ctrl_c():
            futures = {pool.submit(_render_in_worker, job): job for job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
                tick(done.value)
                for future in finished:
                    yield futures[future], future.result()
        except BrokenProcessPool:
            raise OSError("a process that was rendering was killed: is there enough memory?") from None
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started here never get SIGINT: Ctrl-C reaches every process of a terminal, the parent ends the pool."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Studio:
    """Renders jobs of one scene, keeping what stands still between them."""

    def __init__(self, recipe: _Recipe) -> None:
        scene = recipe.scene
        self._scene, self._paths = scene, recipe.paths
        x0, y0, x1, y1 = scene.bounds
        texel = max(_TEXEL, ((x1 - x0) * (y1 - y0) / _MOST_TEXELS) ** 0.5)
        self._ground = make_ground(scene.ground, scene.solids, scene.light, scene.bounds, texel, scene.seed)
        self._renderers: dict[int, FrameRenderer] = {}

    def render(self, job: _Job, tick: Callable[[], None]) -> list[FrameTruth]:
        """Render and encode one sub-video."""
        scene, camera = self._scene, self._scene.cameras[job.camera].camera
        renderer = self._renderer(job.camera)
        rng = np.random.default_rng([scene.seed, 6, job.camera, job.sub_video])
        first, truths = job.sub_video * scene.frames_per_sub_video, []
        with VideoWriter(job.path, camera.width, camera.height, scene.fps) as video:
            for frame in range(first, first + scene.frames_per_sub_video):
                motion = self._paths.at(frame)
                rendered = renderer.draw(motion, self._ground.sunlight(motion.xy), rng)
                video.write(rendered.rgb)
                truths.append(FrameTruth(frame, rendered.boxes, rendered.visible_boxes, rendered.visibility))
                tick()
        return truths

    def _renderer(self, index: int) -> FrameRenderer:
        if index not in self._renderers:
            scene, camera = self._scene, self._scene.cameras[index].camera
            backdrop = make_backdrop(camera, scene.solids, scene.light, self._ground, scene.seed)
            self._renderers[index] = FrameRenderer(camera, backdrop, scene.people, scene.light)
        return self._renderers[index]


@dataclass(frozen=True)
class _Worker:
    """What a worker process holds between jobs."""

    studio: _Studio
    done: Synchronized[int]
    """Frames rendered by all workers."""
    stop: Event
    """Set once nobody waits for the rest."""

    def tick(self) -> None:
        """Called after each frame."""
        if self.stop.is_set():
            raise _AbandonedError
        with self.done.get_lock():
            self.done.value += 1


class _AbandonedError(Exception):
    """Nobody waits for this sub-video any more."""


_worker: list[_Worker] = []
"""Empty but in worker processes."""


def _start_worker(recipe: _Recipe, done: Synchronized[int], stop: Event) -> None:
    end_with_parent()
    cv2.setNumThreads(1)
    _worker.append(_Worker(_Studio(recipe), done, stop))


def _render_in_worker(job: _Job) -> list[FrameTruth]:
    (worker,) = _worker
    return worker.studio.render(job, worker.tick)
