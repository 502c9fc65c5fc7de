"""Free TCP ports on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65535


def free_ports(count: int) -> tuple[int, ...]:
    """``count`` distinct ports that the kernel gives to nobody else for the next minute.

    A connection made and closed leaves each port in TIME_WAIT: ``bind(0)`` of another process then passes it over,
    while a server, which sets SO_REUSEADDR, may take it. Two runs that start at once do not get the same port.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(_listener(0)) for _ in range(count)]
        for listener in listeners:
            _leave_in_time_wait(listener)
        return tuple(listener.getsockname()[1] for listener in listeners)


def free_port_with_offset(offset: int, attempts: int = 50) -> int:
    """A free port p for which p + ``offset`` is free too.

    Raises:
        OSError: no such pair was found.
    """
    for _ in range(attempts):
        port = free_ports(1)[0]
        if port + offset <= HIGHEST_PORT and _is_free(port + offset):
            return port
    raise OSError(f"no free pair of ports that lie {offset} apart")


def first_free_port(first: int, count: int = 100) -> int:
    """The first free port of ``count`` from ``first`` on.

    Raises:
        OSError: all of them are taken.
    """
    for port in range(first, first + count):
        if _is_free(port):
            return port
    raise OSError(f"no free port between {first} and {first + count - 1}")


def _is_free(port: int) -> bool:
    try:
        _listener(port).close()
    except OSError:
        return False
    return True


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def _leave_in_time_wait(listener: socket.socket) -> None:
    """The side that closes first keeps the connection's port in TIME_WAIT: here the listening side."""
    with socket.create_connection(listener.getsockname(), timeout=5.0) as client:
        accepted, _ = listener.accept()
        accepted.close()
        client.recv(1)
