"""Files that are whole or not there: written aside, flushed to the disk, renamed.

Whoever writes a file aside holds a lock on it (``flock``), which ends with the process, however that ends, and is seen
from other containers too. So what a killed writer left is told from what somebody is writing, and swept.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write what becomes ``path`` at the end of the block, and is gone after an error in it.

    What killed writers of ``path`` left beside it goes first. Raises ``OSError`` at once where ``path`` cannot be
    written; one of the block's that names no file gets the name of ``path``.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    clear_partial(path.parent, f".{glob.escape(path.name)}.*.part")
    partial, held = _open_aside(path)
    with held, _named(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Closing a file on a full disk raises too, and names nothing."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _open_aside(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside ``path``, locked."""
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        held = partial.open("xb")
        fcntl.flock(held, fcntl.LOCK_EX)
        if partial.exists():
            return partial, held
        held.close()  # swept before it was locked


def write_file(path: Path, content: bytes) -> None:
    """By an atomic rename, and not at all where the file says so already: a new date makes a server load it again."""
    if path.is_file() and path.read_bytes() == content:
        return
    partial = path.with_name(f".{path.name}.part")
    try:
        write_flushed(partial, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    flush_folder(path.parent)


def write_flushed(path: Path, source: Path | bytes) -> None:
    """Writes bytes, or copies a file, down to the disk; an ``OSError`` names ``path``."""
    with _named(path), path.open("wb") as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as original:
                shutil.copyfileobj(original, file, 2**20)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Makes renames in ``folder`` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_partial(folder: Path, pattern: str = ".*.part") -> None:
    """Removes what killed writers left half-written in ``folder``, and nothing that is being written."""
    for partial in folder.glob(pattern):
        if partial.is_dir():
            shutil.rmtree(partial)
        elif not _is_held(partial):
            partial.unlink(missing_ok=True)


def _is_held(partial: Path) -> bool:
    try:
        with partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
