"""``python -m benchmarks throughput``: figures, each against a ceiling of the same run. Never a test."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import throughput
from demo.console import reporter_for
from demo.run import PROFILES
from demo.servers.errors import ServersError, StoppedBySignalError
from orchestrator.errors import SpotOnError


def main() -> int:
    """Exit status: 0, 1 after a failure, 128 + signal when a signal ended it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmark", nargs="?", choices=["throughput"], default="throughput")
    parser.add_argument("--state", type=Path, default=Path(".spoton"), help="shared with the demo (%(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="default", help="the demo site's length")
    parser.add_argument("--rounds", type=positive, default=3, help="how often the pipeline runs (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    try:
        with reporter_for(Console(width=None if sys.stdout.isatty() else 120)) as reporter:
            asyncio.run(throughput.run(options.state, options.profile, options.rounds, options.out, reporter))
    except StoppedBySignalError as stopped:
        return stopped.exit_status
    except (SpotOnError, ServersError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def positive(word: str) -> int:
    """A whole number above zero; argparse calls it by its name in errors."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
