"""The guard that keeps tests on the machine, tried from the inside."""

from __future__ import annotations

import socket

import pytest


def test_a_test_cannot_connect_beyond_loopback() -> None:
    with socket.socket() as out, pytest.raises(RuntimeError, match="may not connect"):
        out.connect(("192.0.2.1", 443))


def test_a_test_cannot_look_up_a_foreign_name() -> None:
    with pytest.raises(RuntimeError, match="may not look up"):
        socket.getaddrinfo("login.salesforce.com", 443)


def test_loopback_works() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
