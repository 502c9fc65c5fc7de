"""``python -m benchmarks``: figures, each against a ceiling or a peer of the same run. Never a test."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Protocol

from rich.console import Console

from benchmarks import (
    accuracy,
    detector,
    export,
    history,
    identity,
    reid,
    rendering,
    search,
    second_pass,
    throughput,
    websocket,
)
from demo.console import Reporter, reporter_for
from demo.servers.errors import ServersError, StoppedBySignalError
from orchestrator.errors import SpotOnError


class Benchmark(Protocol):
    """A module of this package; the first line of its docstring says what it measures."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares its options."""

    async def run(self, options: argparse.Namespace, reporter: Reporter) -> None:
        """Measures, shows a table and writes what the options say; raises ``SpotOnError`` or ``ServersError``."""


BENCHMARKS: dict[str, Benchmark] = {
    "accuracy": accuracy,
    "detector": detector,
    "export": export,
    "history": history,
    "identity": identity,
    "reid": reid,
    "rendering": rendering,
    "search": search,
    "second-pass": second_pass,
    "throughput": throughput,
    "websocket": websocket,
}


def main() -> int:
    """Exit status: 0, 1 after a failure, 128 + signal when a signal ended it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for name, benchmark in BENCHMARKS.items():
        summary = (benchmark.__doc__ or "").partition("\n\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        benchmark.add_arguments(command)
        command.set_defaults(benchmark=benchmark)
    options = parser.parse_args()
    try:
        with reporter_for(Console(width=None if sys.stdout.isatty() else 120)) as reporter:
            asyncio.run(options.benchmark.run(options, reporter))
    except StoppedBySignalError as stopped:
        return stopped.exit_status
    except (SpotOnError, ServersError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
