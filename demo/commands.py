"""What ``python -m demo`` does with its words: one function for each command, and how failures end."""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from rich.console import Console

from demo.arguments import DEMO, TRAINING, parser, sizes
from demo.console import Reporter, reporter_for
from demo.servers.errors import ServersError, StoppedBySignalError
from orchestrator.errors import SpotOnError

HELP = ("-h", "--help")
PROGRAM = "python -m demo"


def run_command(words: list[str]) -> int:
    """Does what the words say, ``demo`` where they name no command; returns the exit status of ``demo.__main__``.

    Raises ``KeyboardInterrupt`` where Ctrl-C comes before there is anything to stop.
    """
    if words and words[0] in TRAINING:
        return _train(words)
    if not words or (words[0].startswith("-") and words[0] not in HELP):
        words = [DEMO, *words]
    options = parser().parse_args(words)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        with reporter_for(console) as reporter:
            asyncio.run(_chosen(options, reporter, terminal=console.is_terminal))
    except StoppedBySignalError as stopped:
        print(f"{PROGRAM}: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except (SpotOnError, ServersError, ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


def _chosen(options: argparse.Namespace, reporter: Reporter, *, terminal: bool) -> Coroutine[Any, Any, object]:
    from demo import run  # takes seconds, which --help and a misspelt word need not
    from demo.servers.signals import until_signal

    state = options.state
    if options.command == "contact-sheet":
        return until_signal(run.contact_sheet(state, options.seed, options.out, reporter))
    if options.command == "run":
        return run.run(
            run.RunOptions(
                state, options.site, options.videos, options.environment, options.model_repository,
                serve=terminal and not options.no_serve,
            ),
            reporter,
        )  # fmt: skip
    simulated = run.DemoOptions(state, options.scene, options.seed, options.profile, sizes=sizes(options))
    if options.command == "render":
        return until_signal(run.render_alone(simulated, options.out, reporter))
    if options.command == "up":
        return run.demo(simulated, reporter, task=False)
    return run.demo(replace(simulated, serve=terminal and not options.no_serve), reporter)


def _train(words: list[str]) -> int:
    """Hands over to the programs of ``demo.training``, which import torch."""
    sys.argv = [PROGRAM, *(words[1:] if words[0] == "train" else words)]
    runpy.run_module("demo.training", run_name="__main__", alter_sys=False)
    return 0
