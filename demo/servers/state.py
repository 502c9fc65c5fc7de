"""The state directory of a stack: one user at a time, its credentials, logs, and the servers' own folders."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from demo.servers.errors import StateInUseError

LEAVING_TIMEOUT_S = 20.0
POLL_S = 0.1
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory


@dataclass(frozen=True)
class Credentials:
    """Generated once for each state directory, kept in a file that only its owner may read."""

    postgres_password: str
    redis_password: str
    s3_access_key_id: str
    s3_secret_access_key: str
    shm_prefix: str
    """What the names of all shared memory of this stack begin with."""

    @classmethod
    def generate(cls) -> Credentials:
        """New random ones, of characters that need no quoting in a URL or a configuration file."""
        return cls(
            postgres_password=secrets.token_hex(16),
            redis_password=secrets.token_hex(16),
            s3_access_key_id=secrets.token_hex(10).upper(),
            s3_secret_access_key=secrets.token_hex(20),
            shm_prefix=f"spoton-{secrets.token_hex(4)}",
        )


class StateDirectory:
    """A folder that one run at a time may use, from ``acquire`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Takes the lock and empties the logs of the run before.

        A run that was killed may still be ending its servers: that is waited for, a run that is alive is not.

        Raises:
            StateInUseError: another run uses the directory.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("a+")
        try:
            self._take(lock)
        except BaseException:
            lock.close()
            raise
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        self.logs.mkdir(exist_ok=True)
        for log in self.logs.glob("*.log"):
            log.unlink()

    def release(self) -> None:
        """Lets the lock go; without effect when it is not held."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def lock_fd(self) -> int:
        """The descriptor of the held lock, for a child that must hold it too."""
        if self._lock is None:
            raise StateInUseError(f"{self.path} was not acquired")
        return self._lock.fileno()

    def folder(self, name: str) -> Path:
        """A folder of a server's own, made for the owner alone when it is not there."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def credentials(self) -> Credentials:
        """Those of this directory, generated at first use."""
        path = self.path / "credentials.json"
        if path.exists():
            return Credentials(**json.loads(path.read_text()))
        credentials = Credentials.generate()
        write_private(path, json.dumps(asdict(credentials), indent=2))
        return credentials

    def _take(self, lock: IO[str]) -> None:
        deadline = time.monotonic() + LEAVING_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = self._owner(lock)
                if _is_running(owner) or time.monotonic() > deadline:
                    raise StateInUseError(f"{self.path} is in use by process {owner}: stop that run first") from None
                time.sleep(POLL_S)
            else:
                return

    @staticmethod
    def _owner(lock: IO[str]) -> int:
        lock.seek(0)
        return int(lock.read().strip() or 0)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, all of it or nothing."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _is_running(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()
