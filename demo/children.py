"""Child processes of multiprocessing that end with their parent, however it ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def end_with_parent(*_: object) -> None:
    """Called first thing in a child, with arguments that do not matter: DataLoader gives its workers their number."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or os.getppid() != parent.pid:
        os._exit(1)  # it ended before this process could be tied to it
