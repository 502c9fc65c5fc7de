"""``python -m demo``: the whole of SpotOn on one machine, on a simulated site or on your own recordings."""

from __future__ import annotations

import argparse
import asyncio
import functools
import runpy
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.console import Reporter, reporter_for
from demo.run import PROFILES, DemoOptions, RunOptions, contact_sheet, demo, render_site, run, scene_of
from demo.servers.errors import ServersError, StoppedBySignalError
from demo.servers.signals import until_signal
from demo.site.scene import Recording, Scene
from demo.site.scenes import SCENES
from orchestrator.errors import SpotOnError

STATE = Path(".spoton")
INTERRUPTED = 130
HELP = ("-h", "--help")
DEMO = "demo"
TRAINING = ("train", "evaluate")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0, 1 after a failure, 128 + signal when a signal ended it
    before it served: while it serves, a signal is the normal end.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in TRAINING:
        return _train(words)
    if not words or (words[0].startswith("-") and words[0] not in HELP):
        words = [DEMO, *words]
    parser = _parser()
    options = parser.parse_args(words)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        with reporter_for(console) as reporter:
            asyncio.run(_chosen(options, reporter, serve=console.is_terminal and not options.no_serve))
    except StoppedBySignalError as stopped:
        print(f"{parser.prog}: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except (SpotOnError, ServersError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _chosen(options: argparse.Namespace, reporter: Reporter, *, serve: bool) -> Coroutine[Any, Any, object]:
    if options.command == "run":
        return run(
            RunOptions(
                options.state, options.site, options.videos, options.environment, options.model_repository, serve
            ),
            reporter,
        )
    if options.command == "up":
        return demo(_demo_options(options, serve=True), reporter, task=False)
    if options.command == "render":
        scene, files = scene_of(_demo_options(options, serve=False))
        return until_signal(_render(scene, options.out or files.root, reporter))
    if options.command == "contact-sheet":
        return until_signal(contact_sheet(options.state, options.seed, options.out, reporter))
    return demo(_demo_options(options, serve=serve), reporter)


async def _render(scene: Scene, folder: Path, reporter: Reporter) -> None:
    await render_site(scene, folder, reporter)
    reporter.say(f"site.yaml, videos and truth are in {folder}")


def _demo_options(options: argparse.Namespace, *, serve: bool) -> DemoOptions:
    sizes = Recording(options.people, options.cameras, options.sub_videos, options.seconds, options.fps, options.width)
    return DemoOptions(options.state, options.scene, options.seed, options.profile, serve, sizes)


def _train(words: list[str]) -> int:
    """Hands over to the programs of ``demo.training``, which import torch."""
    sys.argv = ["python -m demo", *(words[1:] if words[0] == "train" else words)]
    runpy.run_module("demo.training", run_name="__main__", alter_sys=False)
    return 0


def _scene_arguments() -> argparse.ArgumentParser:
    scene = argparse.ArgumentParser(add_help=False)
    scene.add_argument("--scene", default="campus", help="a scene by name, listed below (default: %(default)s)")
    scene.add_argument("--seed", type=int, default=1, help="another seed, other people (default: %(default)s)")
    scene.add_argument(
        "--profile", choices=PROFILES, default="default", help="short: 6 people, 2 sub-videos of 4 s a camera"
    )
    sizes = scene.add_argument_group("sizes", "each replaces what the scene or the profile says")
    sizes.add_argument("--people", type=int, metavar="N")
    sizes.add_argument("--cameras", type=int, metavar="N", help="the scene's first N; the market has any number")
    sizes.add_argument("--seconds", type=float, metavar="S", help="length of one sub-video")
    sizes.add_argument("--sub-videos", type=int, metavar="N", help="of each camera")
    sizes.add_argument("--fps", type=int, metavar="N", help="frames a second")
    sizes.add_argument("--width", type=int, metavar="W", help="of the frames, pixels (default: 1280)")
    return scene


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=Path, default=STATE, help="everything is kept here (default: %(default)s)")
    shared.add_argument("--no-serve", action="store_true", help="end after the table even on a terminal")
    scene = _scene_arguments()
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", title="commands; without one, the demo")
    simulated = functools.partial(
        commands.add_parser,
        parents=[shared, scene],
        epilog="scenes, from easy to hard:\n" + "\n".join(f"  {name:8} {SCENES[name].description}" for name in SCENES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulated(DEMO, help="the whole way on the simulated site")
    simulated("up", help="the demo's servers and videos, no task")
    render = simulated("render", help="the demo's videos and ground truth alone")
    render.add_argument("--out", type=Path, help="the folder to write")
    sheet = commands.add_parser("contact-sheet", parents=[shared], help="frames of all scenes with their true boxes")
    sheet.add_argument("--seed", type=int, default=1, help="another seed, other people (default: %(default)s)")
    sheet.add_argument("--out", type=Path, required=True, help="the JPEG to write")
    own = commands.add_parser("run", parents=[shared], help="the same stack on your own recordings")
    own.add_argument("--site", type=Path, required=True, help="your site file")
    own.add_argument(
        "--videos", type=Path, required=True, help="folder with <prefix>/sub_video_01.mp4 or <camera>/*.mp4"
    )
    own.add_argument("--environment", help="needed where the site file has several")
    own.add_argument("--model-repository", type=Path, help="a Triton model repository (default: the demo's models)")
    commands.add_parser("train", add_help=False, help="train the demo's models: train detector|reid --help")
    commands.add_parser("evaluate", add_help=False, help="measure the demo's models")
    return parser


if __name__ == "__main__":
    sys.exit(main())
