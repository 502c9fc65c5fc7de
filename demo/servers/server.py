"""What the supervisor needs to know of a server."""

from __future__ import annotations

from typing import Protocol

from demo.servers.process import Command


class Server(Protocol):
    """One part of the stack."""

    @property
    def name(self) -> str:
        """Short and unique: the name of the log file."""

    @property
    def title(self) -> str:
        """The name that a user knows it by."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the servers that must be ready before this one starts, where they run in the same stack."""

    @property
    def start_timeout_s(self) -> float:
        """How long it may take from preparation to readiness."""

    @property
    def address(self) -> str:
        """Where it listens, for a user to read; empty where it does not."""

    async def prepare(self) -> Command:
        """Makes what the server needs on disk, picks its ports, and says how to start it."""

    async def is_ready(self) -> bool:
        """One try, with a deadline of its own: True once clients can use the server; False or an OSError before."""

    def leftovers(self) -> tuple[str, ...]:
        """Absolute glob patterns of files outside the state directory that may stay behind after a kill."""

    def clear_up(self) -> None:
        """Removes what else a killed server leaves; called when its process has ended."""
