"""``python -m api`` serves the API until SIGTERM or SIGINT; ``python -m api token`` makes, lists and revokes tokens.

Exit status 2 when settings or site file are unusable.
"""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.access.commands import run_command
from api.app import create_app
from api.heads import BoundedHeads, QuietRefusals
from orchestrator.errors import SettingsError, SpotOnError
from orchestrator.log import configure
from orchestrator.settings import Settings, load_settings

EXIT_UNUSABLE = 2
PORTS_TRIED = 100
GRACE_S = 5
"""How long requests that are under way may take after the signal to stop."""
MAX_CLIENT_MESSAGE_BYTES = 64 * 1024


class _Server(uvicorn.Server):
    """Says where it listens once it does.

    What is there by then stays: the garbage collector is told to leave it alone, or its walk through all the modules
    would hold up every client for 150 ms again and again (measured with 500 clients).
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        if self.started and sockets:
            print(f"SpotOn API listens on {_url(sockets[0])}", flush=True)


def main(arguments: Sequence[str] = ()) -> int:
    """Runs the server, or a command where ``arguments`` name one; the return value is the exit status."""
    if arguments:
        return run_command(arguments)
    try:
        settings = load_settings()
        configure(settings.log_level)
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each failed try; api.database says it once
        app = create_app(settings)
        listener = bind(settings)
    except SpotOnError as error:
        print(f"spoton api: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    with listener:
        return _serve(app, listener, settings.api_trusted_proxies)


def bind(settings: Settings) -> socket.socket:
    """A socket on the API's port: the next free one where it is taken, unless the port was asked for by name.

    Raises:
        SettingsError: no such port can be had.
    """
    asked_for = "api_port" in settings.model_fields_set
    attempts = 1 if asked_for else PORTS_TRIED
    for port in range(settings.api_port, min(settings.api_port + attempts, 65536)):
        try:
            return _bind(settings.api_host, port, settings.client_stall_s)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"SPOTON_API_PORT: {port} cannot be used: {error.strerror}") from error
    raise SettingsError(f"SPOTON_API_PORT: {settings.api_port} on {settings.api_host} is taken")


def _bind(host: str, port: int, stall_s: float) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Of every connection: the system ends it where its other side takes nothing for as long, though it answers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * stall_s))
        listener.bind(address)
        listener.listen()  # only now does the port count as taken
    except OSError:
        listener.close()
        raise
    return listener


def server_config(app: FastAPI, proxies: Sequence[str]) -> uvicorn.Config:
    """How the API is served; ``proxies`` are those whose word on a client's address is taken."""
    return uvicorn.Config(
        app,
        http=BoundedHeads,
        ws=QuietRefusals,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(proxies),
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=MAX_CLIENT_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # costs each client's share of a core, to save bandwidth that is no concern here
    )


def _serve(app: FastAPI, listener: socket.socket, proxies: Sequence[str]) -> int:
    # uvicorn raises the signal that stopped it once more when it is done; this makes that a plain return.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    server = _Server(server_config(app, proxies))
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    logging.getLogger(__name__).info("stopped")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
