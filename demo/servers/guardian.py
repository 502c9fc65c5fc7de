"""Clears up after a supervisor that was killed: ``python -IS guardian.py``, with orders on standard input.

Orders are lines: ``watch PGID``, ``forget PGID``, ``sweep GLOB``, ``done``. When the input ends without ``done`` the
supervisor is dead: every watched process group is killed, what the globs match is removed, and only then is the
inherited lock of the state directory let go. It imports little, since every run pays for its start.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import sys
import time

GRACE_S = 5.0
POLL_S = 0.05


def main() -> None:
    """Reads orders until the supervisor ends; see the module's text."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    groups: set[int] = set()
    patterns: set[str] = set()
    for line in sys.stdin:
        order, _, value = line.rstrip("\n").partition(" ")
        if order == "done":
            return
        if order == "watch":
            groups.add(int(value))
        elif order == "forget":
            groups.discard(int(value))
        elif order == "sweep":
            patterns.add(value)
    end_groups(groups)
    for pattern in patterns:
        sweep(pattern)


def end_groups(groups: set[int]) -> None:
    """Lets the process groups follow the death signal that they already got, then kills what is left of them."""
    await_end(groups)
    for group in groups:
        kill(group)
    await_end(groups)


def await_end(groups: set[int]) -> None:
    """Waits until nothing of the groups runs, or ``GRACE_S`` are over."""
    deadline = time.monotonic() + GRACE_S
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def kill(group: int) -> None:
    """Kills what is left of a process group; nothing left is no fault."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def alive(group: int) -> bool:
    """Whether any process of the group still runs; one that waits to be reaped, perhaps forever, does not count."""
    for status in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207
        try:
            with open(status) as file:  # noqa: PTH123
                state, _, member_of = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state not in "ZX":
            return True
    return False


def sweep(pattern: str) -> None:
    """Removes the files that match; one that is already gone is no fault."""
    for path in glob.glob(pattern):  # noqa: PTH207
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108


if __name__ == "__main__":
    main()
