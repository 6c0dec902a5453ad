"""Connections whose answers end in time: the read timeout bounds the whole answer and not each piece of it.

A server that sends a byte a second never meets a socket's own timeout, neither in its headers nor in its body. This
module may not know what is sent. It keeps one law: a wait has an end that was fixed when it began.
"""

from __future__ import annotations

import http.client
import io
import socket
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from sfsync.clock import Clock

IDLE_SECONDS = 60.0
"""Longest silence inside an answer, however much time it has in all."""


class _Until(io.RawIOBase):
    """Reads from a socket until an instant of the clock."""

    def __init__(self, inner: Any, sock: socket.socket, clock: Clock, until: float) -> None:
        super().__init__()
        self._inner, self._socket, self._clock, self._until = inner, sock, clock, until

    def readable(self) -> bool:
        """Return True: it is read from."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come; TimeoutError when the time is over or nothing comes for too long."""
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(min(left, IDLE_SECONDS))
        read: int | None = self._inner.readinto(buffer)
        return read

    def close(self) -> None:
        """Close what it reads from."""
        self._inner.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose socket is read until an instant."""

    def __init__(self, sock: socket.socket, *args: Any, clock: Clock, until: float, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        inner = self.fp.detach()
        self.fp = io.BufferedReader(_Until(inner, sock, clock, until))


class BoundedAdapter(HTTPAdapter):
    """A network adapter whose read timeout is for the whole answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__(pool_maxsize=4, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        """Make the pools with connections that are bounded."""
        clock = self._clock

        class Plain(HTTPConnection):
            def getresponse(self) -> Any:
                _bound(self, clock)
                return super().getresponse()

        class Secure(HTTPSConnection):
            def getresponse(self) -> Any:
                _bound(self, clock)
                return super().getresponse()

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _bound(connection: Any, clock: Clock) -> None:
    total = connection.timeout
    if isinstance(total, int | float):
        connection.response_class = partial(_Answer, clock=clock, until=clock.monotonic() + total)
