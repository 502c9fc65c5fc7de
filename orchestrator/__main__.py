"""``python -m orchestrator worker`` serves tasks; ``settings`` prints the text of ``.env.example``."""

from __future__ import annotations

import argparse
import sys

import uvloop

from orchestrator import log
from orchestrator.errors import SpotOnError
from orchestrator.settings import env_example, load_settings
from orchestrator.worker import run_worker


def main() -> int:
    """Exit status: 0 stopped on request, 1 a part cannot be had at start, told in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator", description=__doc__)
    parser.add_argument("command", choices=["worker", "settings"])
    command = parser.parse_args().command
    if command == "settings":
        print(env_example(), end="")
        return 0
    try:
        settings = load_settings()
        log.configure(settings.log_level)
        uvloop.run(run_worker(settings))
    except SpotOnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
