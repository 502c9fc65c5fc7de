"""``python -m demo``: the whole of SpotOn on one machine, on a simulated site or on your own recordings."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main(words: list[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0, 1 after a failure, 128 + signal when a signal ended it
    before it served: while it serves, a signal is the normal end.
    """
    try:
        from demo.commands import run_command  # takes seconds, in which Ctrl-C may come

        return run_command(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
