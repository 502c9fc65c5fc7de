"""Which processes work in a folder: how tests see that nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path


def processes_of(folder: Path) -> dict[int, str]:
    """Pids and command lines of the processes that work below a folder or name it in their arguments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = process.joinpath("cwd").readlink()
        except OSError:
            continue
        here = where.is_relative_to(folder) or str(folder) in arguments
        if here and arguments and int(process.name) != os.getpid():
            found[int(process.name)] = arguments
    return found
