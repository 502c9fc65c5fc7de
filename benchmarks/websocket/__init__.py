"""Delay and loss with hundreds of WebSocket clients on one API process, beside a bare server that only sends."""

from benchmarks.websocket.benchmark import add_arguments, run

__all__ = ["add_arguments", "run"]
