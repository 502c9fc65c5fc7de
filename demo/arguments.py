"""What can be said on the command line of ``python -m demo``."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from demo.site.scene import PROFILES, Recording
from demo.site.scenes import SCENES

STATE = Path(".spoton")
DEMO = "demo"
TRAINING = ("train", "evaluate")
JPEG = (".jpg", ".jpeg")
NumberT = TypeVar("NumberT", int, float)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands but ``TRAINING``'s, which are only named."""
    shared, serving = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=folder, default=STATE, help="everything is kept here (default: %(default)s)")
    serving.add_argument("--no-serve", action="store_true", help="end after the table even on a terminal")
    scene = _scene_arguments()
    program = argparse.ArgumentParser(
        prog="python -m demo",
        description="The whole of SpotOn on one machine, on a simulated site or on your own recordings.",
    )
    commands = program.add_subparsers(dest="command", title="commands; without one, the demo")
    simulated = functools.partial(
        commands.add_parser,
        epilog="scenes, from easy to hard:\n" + "\n".join(f"  {name:8} {SCENES[name].description}" for name in SCENES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulated(DEMO, parents=[shared, serving, scene], help="the whole way on the simulated site")
    simulated("up", parents=[shared, scene], help="the demo's servers and videos, no task")
    render = simulated("render", parents=[shared, scene], help="the demo's videos and ground truth alone")
    render.add_argument("--out", type=folder, help="the folder to write (default: one below that of --state)")
    sheet = commands.add_parser("contact-sheet", parents=[shared], help="frames of all scenes with their true boxes")
    sheet.add_argument("--seed", type=int, default=1, help="another seed, other people (default: %(default)s)")
    sheet.add_argument("--out", type=jpeg, required=True, help="the JPEG to write")
    own = commands.add_parser("run", parents=[shared, serving], help="the same stack on your own recordings")
    own.add_argument("--site", type=Path, required=True, help="your site file")
    own.add_argument(
        "--videos", type=Path, required=True, help="folder with <prefix>/sub_video_01.mp4 or <camera>/*.mp4"
    )
    own.add_argument("--environment", help="needed where the site file has several")
    own.add_argument("--model-repository", type=Path, help="a Triton model repository (default: the demo's models)")
    commands.add_parser("train", add_help=False, help="train the demo's models: train detector|reid --help")
    commands.add_parser("evaluate", add_help=False, help="measure the demo's models")
    return program


def sizes(options: argparse.Namespace) -> Recording:
    """The sizes of a scene that were asked for."""
    return Recording(options.people, options.cameras, options.sub_videos, options.seconds, options.fps, options.width)


def folder(word: str) -> Path:
    """A folder that is there or can come to be."""
    path = Path(word)
    if not word or (path.exists() and not path.is_dir()):
        raise argparse.ArgumentTypeError(f"{word!r} is no folder")
    return path


def jpeg(word: str) -> Path:
    """A file that a JPEG may be written to."""
    path = Path(word)
    if path.suffix.lower() not in JPEG or path.is_dir():
        raise argparse.ArgumentTypeError(f"{word!r} does not name a file that ends in {' or '.join(JPEG)}")
    return path


def weights(word: str) -> Path:
    """A file that weights may be written to."""
    path = Path(word)
    if path.suffix != ".safetensors" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{word!r} does not name a file that ends in .safetensors")
    return path


def make_writable(file: Path) -> None:
    """Makes the folder of a file that is to be written; raises ``OSError`` where the file could not be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise PermissionError(f"{file} cannot be written")


def number(least: float, most: float) -> Callable[[str], float]:
    """A type of arguments: from ``least`` to ``most``."""
    return _between(float, "number", least, most, "g")


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type of arguments: a whole number from ``least`` to ``most``."""
    return _between(int, "whole number", least, most, "d")


def _between(
    read: Callable[[str], NumberT], name: str, least: NumberT, most: NumberT, form: str
) -> Callable[[str], NumberT]:
    def parse(word: str) -> NumberT:
        value = read(word)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{word} is not between {least:{form}} and {most:{form}}")
        return value

    parse.__name__ = name
    return parse


def _scene_arguments() -> argparse.ArgumentParser:
    scene = argparse.ArgumentParser(add_help=False)
    scene.add_argument("--scene", default="campus", help="a scene by name, listed below (default: %(default)s)")
    scene.add_argument("--seed", type=int, default=1, help="another seed, other people (default: %(default)s)")
    scene.add_argument(
        "--profile", choices=PROFILES, default="default", help="short: 6 people, 2 sub-videos of 4 s a camera"
    )
    group = scene.add_argument_group("sizes", "each replaces what the scene or the profile says")
    group.add_argument("--people", type=int, metavar="N")
    group.add_argument("--cameras", type=int, metavar="N", help="the scene's first N; the market has up to 99")
    group.add_argument("--seconds", type=float, metavar="S", help="length of one sub-video")
    group.add_argument("--sub-videos", type=int, metavar="N", help="of each camera")
    group.add_argument("--fps", type=int, metavar="N", help="frames a second")
    group.add_argument("--width", type=int, metavar="W", help="of the frames, pixels (default: 1280)")
    return scene
