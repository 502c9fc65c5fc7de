"""PostgreSQL refuses to run as root: ways to run it as somebody else when that is who we are."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from demo.servers.errors import MissingPartError

NOBODY = 65534
CHECK_TIMEOUT_S = 10.0

NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Looks like user 1000 from the inside and stays root from the outside, so that every path remains readable."""

OTHER_USER = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",
)
"""Another user who may still walk through root's folders: for containers that forbid user namespaces.

Without the securebit access(2), by which ``initdb`` looks for its programs, would not count the capability.
"""


@cache
def wrapper() -> tuple[str, ...]:
    """What to put before a command that must not run as root; empty for an ordinary user.

    Raises:
        MissingPartError: we are root and the system allows no way of being somebody else.
    """
    if os.geteuid() != 0:
        return ()
    for candidate in (NAMESPACE, OTHER_USER):
        if _works(candidate):
            return candidate
    raise MissingPartError(
        "PostgreSQL does not run as root, and neither 'unshare --user' nor 'setpriv' (package util-linux) works here: "
        "run this as an ordinary user"
    )


def hand_over(folder: Path) -> None:
    """Gives a folder and all in it to the user that ``wrapper`` turns into."""
    owner = NOBODY if wrapper() == OTHER_USER else os.geteuid()
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_uid != owner:
            os.chown(path, owner, -1, follow_symlinks=False)


def _works(command: tuple[str, ...]) -> bool:
    try:
        check = subprocess.run(
            [*command, "id", "-u"], capture_output=True, timeout=CHECK_TIMEOUT_S, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return check.returncode == 0 and check.stdout.strip() != "0"
