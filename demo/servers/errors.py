"""What can go wrong with the servers of the stack; every message is fit to be shown to a user."""

from __future__ import annotations


class ServersError(Exception):
    """Anything that ``demo.servers`` raises on purpose."""


class MissingPartError(ServersError):
    """A server's program, or something it needs from the system, is not installed; says how to get it."""


class StateInUseError(ServersError):
    """Another run holds the state directory."""


class ServerStartError(ServersError):
    """A server could not be prepared, or was not ready before its deadline; carries its last log lines."""

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        super().__init__(_with_log(f"{name}: {reason}", log_tail))
        self.name, self.log_tail = name, log_tail


class ServerDiedError(ServersError):
    """A server ended without being told to; carries its exit status and last log lines."""

    def __init__(self, name: str, returncode: int, log_tail: str = "") -> None:
        how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with status {returncode}"
        super().__init__(_with_log(f"{name} {how}", log_tail))
        self.name, self.returncode, self.log_tail = name, returncode, log_tail


class StoppedBySignalError(ServersError):
    """SIGINT, SIGTERM or SIGHUP asked for the end; raised once everything has stopped."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """The status by which shells know a program that a signal ended."""
        return 128 + self.signum


def _with_log(text: str, log_tail: str) -> str:
    return f"{text}; its last log lines:\n{log_tail}" if log_tail else text
