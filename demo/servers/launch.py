"""Becomes a server that does not outlive its parent: ``python -IS launch.py PARENT SIGNAL COMMAND...``.

Run as a script, as the last step before the server itself, because entering a user namespace or forking clears the
death signal that the kernel sends (prctl(2), PR_SET_PDEATHSIG) when the parent ends in whatever way.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks the kernel for the death signal, checks that the parent still lives, and becomes the command."""
    parent, death_signal, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise SystemExit("the parent ended before the server began")
    os.execvp(command[0], command)  # noqa: S606 - the whole purpose: no shell, same process


if __name__ == "__main__":
    main()
