"""Files that are whole or not there: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write what becomes ``path`` at the end of the block, and is gone after an error in it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
    with path.open("wb") as file:
        try:
            if isinstance(source, bytes):
                file.write(source)
            else:
                with source.open("rb") as original:
                    shutil.copyfileobj(original, file, 2**20)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            error.filename = error.filename or str(path)
            raise


def flush_folder(folder: Path) -> None:
    """Makes renames in ``folder`` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_partial(folder: Path) -> None:
    """Removes what a killed writer left half-written in ``folder``."""
    for partial in folder.glob(".*.part"):
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
