"""``python -m orchestrator``: serves tasks, or associates detections that are there already."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from orchestrator import log
from orchestrator.errors import SpotOnError
from orchestrator.settings import env_example, load_settings

EXIT_INCOMPLETE = 3
"""Some cameras were left out."""


def main() -> int:
    """Exit status: 0 done or stopped on request, 1 it cannot be done, 3 done without some cameras; told in words."""
    arguments = _parser().parse_args()
    try:
        status: int = arguments.run(arguments)
    except SpotOnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("worker", help="serve tasks until told to stop").set_defaults(run=_worker)
    commands.add_parser("settings", help="print the text of .env.example").set_defaults(run=_settings)
    associate = commands.add_parser(
        "associate",
        help="tracks, map positions and identities out of detection files",
        description="Tracks, map positions and identities out of detection files, one a camera, in MOTChallenge's form "
        "(<camera>.txt or <camera>/det/det.txt), with or without an .npy of embeddings beside each. Writes "
        "<camera>.txt with global ids, and map.txt with frame,id,x,y. Every SPOTON_ setting holds.",
    )
    associate.add_argument("--site", type=Path, required=True, help="the site file: cameras and their homographies")
    associate.add_argument("--detections", type=Path, required=True, help="folder of the detection files")
    associate.add_argument("--out", type=Path, required=True, help="folder to write to")
    associate.add_argument("--environment", help="of the site file; may be left out where it has one")
    associate.add_argument("--fps", type=float, help="ticks a second (default: target_fps, or what seqinfo.ini says)")
    associate.add_argument(
        "--second-pass",
        action=argparse.BooleanOptionalAction,
        help="correct identities over the whole recording (default: as SPOTON_SECOND_PASS says)",
    )
    associate.set_defaults(run=_associate)
    return parser


def _worker(_: argparse.Namespace) -> int:
    import uvloop

    from orchestrator.worker import run_worker

    settings = load_settings()
    log.configure(settings.log_level)
    uvloop.run(run_worker(settings))
    return 0


def _settings(_: argparse.Namespace) -> int:
    print(env_example(), end="")
    return 0


def _associate(arguments: argparse.Namespace) -> int:
    from orchestrator.recorded import associate, results
    from orchestrator.site import load_site

    chosen = {} if arguments.second_pass is None else {"second_pass": arguments.second_pass}
    settings = load_settings(**chosen)
    log.configure(settings.log_level)
    environment = associate.choose_environment(load_site(arguments.site), arguments.environment)
    recording, problems = associate.read_recording(
        environment, arguments.detections, settings.target_fps, arguments.fps
    )
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    results.write(arguments.out, recording, associate.associate(settings, environment, recording))
    return EXIT_INCOMPLETE if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
