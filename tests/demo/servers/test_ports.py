"""Ports that nobody else is given."""

import socket

import pytest

from demo.servers.ports import LOOPBACK, first_free_port, free_port_with_offset, free_ports


def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen()
    return listener


def test_a_server_can_listen_on_every_port_at_once():
    listeners = [listen(port) for port in free_ports(8)]
    assert len({listener.getsockname()[1] for listener in listeners}) == 8
    for listener in listeners:
        listener.close()


def test_the_kernel_gives_a_reserved_port_to_nobody_else():
    reserved = set(free_ports(20))
    others = [socket.socket() for _ in range(200)]
    for other in others:
        other.bind((LOOPBACK, 0))
    assert reserved.isdisjoint(other.getsockname()[1] for other in others)
    for other in others:
        other.close()


def test_the_first_free_port_passes_over_a_taken_one():
    with listen(0) as taken:
        port = taken.getsockname()[1]
        assert first_free_port(port) > port
        with pytest.raises(OSError, match=f"no free port between {port} and {port}"):
            first_free_port(port, count=1)


def test_a_pair_of_ports_is_free():
    port = free_port_with_offset(1)
    listen(port).close()
    listen(port + 1).close()
