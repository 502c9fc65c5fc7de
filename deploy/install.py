"""Builds the project's virtual environments from the locks; needs nothing but Python itself.

``python3 deploy/install.py app`` prints the path of a ready environment. Environments live outside the checkout, one
for each content of a lock and version of Python, so that every checkout with the same lock shares them:
``$SPOTON_ENVS`` or ``~/.cache/spoton/envs``. Two environments exist because the Triton wheel wants numpy < 2.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = Path(__file__).resolve().parent / "locks"
NAMES = ("app", "triton")
UV = "uv==0.13.9"
HEARTBEAT_S = 10.0


def envs_root() -> Path:
    """Where environments live: ``$SPOTON_ENVS`` or ``~/.cache/spoton/envs``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SPOTON_ENVS") or cache / "spoton" / "envs")


def env_path(name: str) -> Path:
    """The folder of one environment, named by the hash of its lock and the version of Python."""
    lock = LOCKS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return envs_root() / f"{name}-{digest}-py{sys.version_info.major}{sys.version_info.minor}"


def install(name: str) -> Path:
    """Builds the environment unless it is there; concurrent callers wait for one another.

    Raises ``subprocess.CalledProcessError`` when the installer fails; a half-built environment is never marked ready.
    """
    path = env_path(name)
    ready = path / ".ready"
    if ready.exists():
        return path
    with _alone(path):
        if not ready.exists():
            _build(name, path)
            ready.touch()
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process at a time build a folder of ``envs_root()``; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _build(name: str, path: Path) -> None:
    started = time.monotonic()
    shutil.rmtree(path, ignore_errors=True)
    _say(f"installing the '{name}' environment into {path} (once for each lock; some minutes)")
    venv.create(path, with_pip=False)
    uv = _uv()
    command = [str(uv), "pip", "sync", "--require-hashes", "--python", str(path / "bin" / "python")]
    with _Heartbeat(path, started):
        subprocess.run([*command, str(LOCKS / f"{name}.txt")], check=True, env=_uv_environment(), stdout=sys.stderr)
    _say(f"installed '{name}' in {time.monotonic() - started:.0f} s")


def _uv() -> Path:
    """The installer, in an environment of its own beside the others."""
    home = envs_root() / UV.replace("==", "-")
    uv = home / "bin" / "uv"
    with _alone(home):
        if not uv.exists():
            venv.create(home, with_pip=True, clear=True)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV]
            subprocess.run(pip, check=True, stdout=sys.stderr)
    return uv


def _uv_environment() -> dict[str, str]:
    """Hands uv, which does not read pip's configuration, the index and certificate that pip would use."""
    env = dict(os.environ)
    env.setdefault("UV_HTTP_TIMEOUT", "180")
    for key, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        query = [sys.executable, "-m", "pip", "config", "get", f"global.{key}"]
        found = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
        if found and not found.startswith("file:"):
            env.setdefault(variable, found)
    return env


class _Heartbeat:
    """Says how much is installed now and then, where there is no terminal to draw a bar on."""

    def __init__(self, path: Path, started: float) -> None:
        self._path, self._started = path, started
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        if not sys.stderr.isatty():
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_S):
            packages = sum(1 for _ in self._path.glob("lib/python*/site-packages/*.dist-info"))
            _say(f"  {time.monotonic() - self._started:.0f} s: {packages} packages in place")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Installs the environments named on the command line (all by default) and prints their paths.

    ``uv`` names the installer itself, with which ``make lock`` writes the locks anew.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # takes a running installer along
    names = sys.argv[1:] or list(NAMES)
    unknown = [name for name in names if name not in NAMES and names != ["uv"]]
    if unknown:
        _say(f"unknown environment {unknown[0]!r}: choose from {', '.join(NAMES)}")
        return 2
    for name in names:
        try:
            print(_uv() if name == "uv" else install(name))
        except subprocess.CalledProcessError as error:
            _say(f"cannot install '{name}': {error.cmd[0]} ended with {error.returncode}")
            return 1
        except KeyboardInterrupt:
            _say(f"interrupted while installing '{name}': the next run begins it anew")
            return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
