"""Memory that client and server share: regions of POSIX shared memory, and pools that hand them out.

A region is locked (``flock``) for as long as its owner lives, so that what a killed process left is recognised in any
process or container that sees the same ``/dev/shm``.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import numpy as np

from orchestrator.errors import InferenceError
from orchestrator.values import UInt8

_SHM: Final = Path("/dev/shm")  # noqa: S108 - POSIX shared memory itself, named by random keys


class Region:
    """A block of bytes that requests are written to."""

    def __init__(self, name: str, data: UInt8, file: int | None) -> None:
        """``name`` is the key in ``/dev/shm`` and the server's name for it; ``file`` is None for private memory."""
        self.name = name
        self.data = data
        """[bytes] flat, writable."""
        self._file = file

    @property
    def is_shared(self) -> bool:
        """False where the bytes must travel with each request."""
        return self._file is not None

    @classmethod
    def private(cls, size: int) -> Self:
        """Memory of this process alone."""
        return cls("", np.zeros(size, np.uint8), None)

    @classmethod
    def shared(cls, prefix: str, size: int) -> Self:
        """A new region named ``{prefix}-{pid}-{random}``, with all its pages reserved.

        Raises:
            InferenceError: no room in ``/dev/shm``, or it cannot be written.
        """
        name = f"{prefix}-{os.getpid()}-{secrets.token_hex(6)}"
        path = _SHM / f".{name}"
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InferenceError(f"no shared memory: {path}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.posix_fallocate(file, 0, size)
            data = np.frombuffer(mmap.mmap(file, size), np.uint8)
            path.rename(_SHM / name)  # only now may others see it, locked as it is
            return cls(name, data, file)
        except OSError as error:
            path.unlink()
            os.close(file)
            room = "is too small" if error.errno == errno.ENOSPC else f"failed: {error.strerror}"
            raise InferenceError(f"no shared memory: {_SHM} {room} ({size / 2**20:.0f} MiB more are needed)") from error

    def close(self) -> None:
        """Removes the name; the pages go when the last view of ``data`` does. Harmless when repeated."""
        if self._file is not None:
            (_SHM / self.name).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def sweep_abandoned(prefix: str) -> list[str]:
    """Removes the regions of killed processes with this prefix; returns their names."""
    swept = []
    for path in _SHM.glob(f"{prefix}-*-*"):
        with suppress(FileNotFoundError, PermissionError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            swept.append(path.name)
    return swept


class Slot:
    """A region seen as a batch of images."""

    def __init__(self, region: Region, shape: tuple[int, int, int, int]) -> None:
        self.region = region
        self.images: UInt8 = region.data.reshape(shape)
        """[N, H, W, 3] RGB, writable."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return int(self.images[0].nbytes)


class SlotPool:
    """A fixed number of slots; whoever wants one while all are taken waits."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._free: asyncio.LifoQueue[Slot] = asyncio.LifoQueue()
        self._taken: set[int] = set()
        for slot in slots:
            self._free.put_nowait(slot)

    async def acquire(self) -> Slot:
        """The slot given back last, whose pages are warmest."""
        slot = await self._free.get()
        self._taken.add(id(slot))
        return slot

    def release(self, slot: Slot) -> None:
        """Gives a slot back; harmless when repeated."""
        if id(slot) in self._taken:
            self._taken.remove(id(slot))
            self._free.put_nowait(slot)
