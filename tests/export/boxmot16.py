"""BoxMOT 16.0.11 in a folder of its own, and what its Re-ID networks answer: an implementation to be held against.

``boxmot16.txt`` pins the packages by hash; it comes from ``boxmot16.in`` with the options of ``make lock`` and
``--no-deps``. They are installed once, beside the environments.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import install

HERE = Path(__file__).parent
LOCK = HERE / "boxmot16.txt"
INSTALL_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 300.0


def write_answers(folder: Path) -> None:
    """Runs ``boxmot16_reference.py`` into ``folder``; skips the test where BoxMOT cannot be had."""
    command = [sys.executable, str(HERE / "boxmot16_reference.py"), str(_packages()), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr[-2000:]


def _packages() -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = install.envs_root() / f"boxmot16-{digest}-py{version.replace('.', '')}"
    if folder.exists():
        return folder
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        _pip_install(partial, version)
        partial.rename(folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines() or [str(error)]
        pytest.skip(f"BoxMOT 16.0.11 cannot be installed here: {said[-1]}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _pip_install(folder: Path, version: str) -> None:
    find = [sys.executable, str(Path(install.__file__)), "uv"]
    uv = subprocess.run(find, capture_output=True, check=True, timeout=INSTALL_TIMEOUT_S).stdout.decode().strip()
    pip = [str(Path(uv).with_name("python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    exact = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--python-version", version]
    patience = ["--timeout", "20", "--retries", "1"]
    command = [*pip, *exact, *patience, "--target", str(folder), "-r", str(LOCK)]
    subprocess.run(command, capture_output=True, check=True, timeout=INSTALL_TIMEOUT_S)
