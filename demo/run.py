"""The whole way, once: videos into the bucket, servers up, a client's task, and what it leaves.

``demo`` does it on the simulated site, which has ground truth; ``run`` on a user's own recordings. Preparations that do
not need each other go on side by side.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from demo.arguments import make_writable
from demo.client import SpotOnClient, TaskProgress
from demo.console import Reporter, Step
from demo.model_repository import SETTINGS, prepare_models
from demo.pictures.contact_sheet import save_contact_sheet
from demo.pictures.viewer import NoPictureError, save_viewer
from demo.recording import Recording
from demo.report import render
from demo.results import write_pictures, write_report
from demo.servers.stack import Stack
from demo.site.build import build_site
from demo.site.folder import SiteFiles
from demo.site.scene import PROFILES, Scene
from demo.site.scene import Recording as SceneSizes
from demo.site.scenes import SCENES, make_scene
from demo.truth import SiteTruth, load_truth
from demo.upload import ignored_videos, match_videos, upload
from orchestrator.errors import SpotOnError
from orchestrator.homography import load_homographies
from orchestrator.site import Environment, Site, load_site

GLIMPSE = SceneSizes(sub_videos=1, sub_video_seconds=6.0, fps=4)
"""What the contact sheet renders of every scene."""
LOG_LINES = 12
T = TypeVar("T")


class RunError(SpotOnError):
    """A run failed; carries the last log lines of the part that failed."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo can be told."""

    state: Path
    scene: str = "campus"
    seed: int = 1
    profile: str = "default"
    serve: bool = True
    """Keep serving afterwards until a signal comes."""
    sizes: SceneSizes = field(default_factory=SceneSizes)
    """What they say goes before the profile."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run on a user's own recordings can be told."""

    state: Path
    site_file: Path
    videos: Path
    environment: str | None = None
    """Needed where the site file has several."""
    model_repository: Path | None = None
    """A Triton model repository; the demo's models where None."""
    serve: bool = True


async def demo(options: DemoOptions, reporter: Reporter, *, task: bool = True) -> None:
    """The demo from nothing to its table; without ``task`` only the servers and the videos in their bucket.

    Raises:
        SpotOnError: what went wrong, fit to be shown; ``ServersError`` where a server is at fault.
        ValueError: there is no such scene or seed, or a size cannot be.
    """
    scene, files = scene_of(options)
    models, folder = options.state / "model_repository", options.state / "demo"
    async with Stack(options.state, files.site_file, models, settings=SETTINGS, on_event=reporter.say) as stack:
        await _together(
            _export_and_start_triton(stack, models, reporter),
            _render_and_upload(stack, scene, files, reporter),
        )
        await stack.start_spoton()
        if task:
            recording = await _follow(stack, scene.name, folder, reporter)
            truth = load_truth(files.root, scene.fps, scene.frames_per_sub_video)
            await _picture_of_the_viewer(stack, recording, folder, reporter)
            await _leave(recording, load_site(files.site_file).environment(scene.name), truth, folder, reporter)
        if options.serve:
            await _serve(stack, reporter)


async def run(options: RunOptions, reporter: Reporter) -> None:
    """The same on a user's own recordings, without ground truth.

    Raises:
        SpotOnError: what went wrong, fit to be shown; ``ServersError`` where a server is at fault.
    """
    environment = choose_environment(load_site(options.site_file), options.environment)
    load_homographies(environment)  # says what is wrong with one before anything starts
    files = _matched(environment, options.videos, reporter)
    folder = options.state / "run"
    own = options.model_repository
    models = own or options.state / "model_repository"
    settings = {} if own else SETTINGS
    async with Stack(options.state, options.site_file, models, settings=settings, on_event=reporter.say) as stack:
        await _together(
            stack.start_triton() if own else _export_and_start_triton(stack, models, reporter),
            _start_stores_and_upload(stack, environment, files, reporter),
        )
        await stack.start_spoton()
        recording = await _follow(stack, environment.id, folder, reporter)
        await _picture_of_the_viewer(stack, recording, folder, reporter)
        await _leave(recording, environment, None, folder, reporter)
        if options.serve:
            await _serve(stack, reporter)


def scene_of(options: DemoOptions) -> tuple[Scene, SiteFiles]:
    """The scene of the demo and where it is kept: other sizes, another folder.

    Raises:
        ValueError: there is no such scene or seed, or a size cannot be.
    """
    given = {name: size for name, size in asdict(options.sizes).items() if size is not None}
    scene = make_scene(options.scene, options.seed, replace(PROFILES[options.profile], **given))
    name = "-".join(
        [options.scene, options.profile, str(options.seed), *(f"{name}_{size:g}" for name, size in given.items())]
    )
    return scene, SiteFiles(options.state / "sites" / name)


async def render_site(scene: Scene, folder: Path, reporter: Reporter) -> SiteFiles:
    """Renders a scene into a folder unless it is there already."""
    with reporter.step(f"rendering {scene.title}", "frames") as step:
        return await _in_thread(step, lambda report: build_site(scene, folder, report))


async def render_alone(options: DemoOptions, out: Path | None, reporter: Reporter) -> None:
    """Renders the scene into ``out``, or where the demo would have it.

    Raises:
        OSError: the folder cannot be written, or holds what no rendering left.
        ValueError: there is no such scene or seed, or a size cannot be.
    """
    scene, files = scene_of(options)
    folder = out or files.root
    await render_site(scene, folder, reporter)
    reporter.say(f"site.yaml, videos and truth are in {folder}")


async def contact_sheet(state: Path, seed: int, out: Path, reporter: Reporter) -> None:
    """Writes a sheet of frames from all scenes with their true boxes; renders a few seconds of each first.

    Raises:
        OSError: the sheet cannot be written, which is known before anything is rendered.
        ValueError: there is no such seed.
    """
    await asyncio.to_thread(make_writable, out)
    sites = [scene_of(DemoOptions(state, name, seed, sizes=GLIMPSE)) for name in SCENES]
    for scene, files in sites:
        await render_site(scene, files.root, reporter)
    await asyncio.to_thread(save_contact_sheet, out, sites)
    reporter.say(f"contact sheet: {out}")


def choose_environment(site: Site, wanted: str | None) -> Environment:
    """The environment called ``wanted``, or the only one.

    Raises:
        UnknownEnvironmentError: there is none of that name.
        RunError: none is named and there are several.
    """
    if wanted is None and len(site.environments) > 1:
        raise RunError(f"{site.path} has the environments {', '.join(site.environments)}: name one by --environment")
    return site.environment(wanted or next(iter(site.environments)))


def _matched(environment: Environment, folder: Path, reporter: Reporter) -> dict[str, Path]:
    """Object key -> file; says which files are taken for which camera."""
    cameras = list(environment.cameras.values())
    matched = match_videos(cameras, folder)
    for path in ignored_videos(cameras, folder, matched):
        reporter.say(f"ignored: {path.relative_to(folder)}")
    for camera in cameras:
        names = ", ".join(str(path.relative_to(folder)) for path in matched.get(camera.id, {}).values())
        reporter.say(f"camera {camera.id}: {names or 'no video, absent'}")
    return _flat(matched)


def _flat(matched: Mapping[str, Mapping[str, Path]]) -> dict[str, Path]:
    return {key: path for videos in matched.values() for key, path in videos.items()}


async def _export_and_start_triton(stack: Stack, models: Path, reporter: Reporter) -> None:
    with reporter.step("exporting the demo's models"):
        await prepare_models(models)
    await stack.start_triton()


async def _render_and_upload(stack: Stack, scene: Scene, files: SiteFiles, reporter: Reporter) -> None:
    await _together(render_site(scene, files.root, reporter), stack.start_stores())
    environment = load_site(files.site_file).environment(scene.name)
    load_homographies(environment)
    videos = _flat(match_videos(list(environment.cameras.values()), files.videos))
    await _upload(stack, environment, videos, reporter)


async def _start_stores_and_upload(
    stack: Stack, environment: Environment, files: Mapping[str, Path], reporter: Reporter
) -> None:
    await stack.start_stores()
    await _upload(stack, environment, files, reporter)


async def _upload(stack: Stack, environment: Environment, files: Mapping[str, Path], reporter: Reporter) -> None:
    prefixes = [camera.prefix for camera in environment.cameras.values()]
    with reporter.step("uploading sub-videos", "files") as step:
        done = await upload(stack.bucket, prefixes, files, step.update)
    reporter.say(f"bucket {stack.bucket.bucket}: {done.sent} sub-videos sent, {done.kept} there before")


async def _follow(stack: Stack, environment_id: str, folder: Path, reporter: Reporter) -> Recording:
    """The task, as a client sees it."""
    try:
        async with SpotOnClient(stack.api.url) as client:
            with reporter.step("waiting until healthy"):
                await client.wait_healthy()
            for left in await client.cancel_unfinished():
                reporter.say(f"cancelled what an earlier run left unfinished: {of_task(left)}")
            with reporter.step("processing") as step:
                return await client.run(
                    environment_id,
                    folder / "media",
                    lambda progress: step.update(progress.ticks, progress.ticks_total, describe(progress)),
                )
    except SpotOnError as error:
        log = await asyncio.to_thread(_last_lines, stack.supervisor.log(stack.worker.name))
        raise RunError(f"{error}\nlast log lines of the worker:\n{log}") from error


def of_task(status: Mapping[str, Any]) -> str:
    """A task of somebody else in words."""
    return f"task {status['task_id']} of {status['environment_id']}, {status['status']} at {status['progress']:.0%}"


def describe(progress: TaskProgress) -> str:
    """A task's progress in words."""
    if progress.ticks == 0:
        return progress.step
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    done = f"batch {min(progress.batches_done + 1, progress.batches_total)} of {progress.batches_total}"
    return f"{done}, {progress.frames} frames, {progress.frames_per_second:.1f}/s{left}"


async def _leave(
    recording: Recording, environment: Environment, truth: SiteTruth | None, folder: Path, reporter: Reporter
) -> None:
    """Pictures first, so that the table is the last thing one sees."""
    with reporter.step("drawing", "frames") as step:
        await _in_thread(step, lambda report: write_pictures(recording, environment, truth, folder, report))
    with reporter.step("scoring" if truth else "counting"):
        report = await asyncio.to_thread(write_report, recording, truth, folder)
    reporter.show(render(report))
    reporter.say(f"annotated videos, map.png, poster.png and table.json are in {folder}")


async def _picture_of_the_viewer(stack: Stack, recording: Recording, folder: Path, reporter: Reporter) -> None:
    """What the viewer shows of the task, where a browser is installed."""
    try:
        with reporter.step("looking at it in the viewer"):
            await save_viewer(stack.api.url, recording.task_id, folder / "viewer.jpg")
    except NoPictureError as error:
        reporter.say(f"no viewer.jpg: {error}")


async def _serve(stack: Stack, reporter: Reporter) -> None:
    reporter.say(f"the viewer is at {stack.api.url} (/docs, /health, /metrics beside it) until Ctrl-C")
    await stack.serve()


async def _together(*work: Coroutine[Any, Any, object]) -> None:
    """Runs all at once; the first failure ends the others and is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _in_thread(step: Step, work: Callable[[Callable[[int, int], None]], T]) -> T:
    """Runs ``work`` in a thread with a progress callback, which raises once nobody waits for the result any more."""
    abandoned = threading.Event()

    def report(done: int, total: int) -> None:
        if abandoned.is_set():
            raise RunError("abandoned")
        step.update(done, total)

    try:
        return await asyncio.to_thread(work, report)
    finally:
        abandoned.set()


def _last_lines(log: Path) -> str:
    if not log.exists():
        return "(it has written none)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
