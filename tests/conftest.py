"""What every test stands on: no way out of the machine, one PostgreSQL a session, a fresh database a test.

May not know what is tested. It keeps one law: a test that needs the network beyond loopback fails at the call.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Derandomised, so that a red suite is red for everybody; `--hypothesis-profile=explore` looks further and prints its seed.
settings.register_profile(
    "house",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", derandomize=False, max_examples=2000, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("house")

LOOPBACK_NAMES = {None, "", "localhost", "ip6-localhost", b"localhost", b""}


class OutsideCallError(RuntimeError):
    """A test tried to leave the machine."""


def stays_here(host: object) -> bool:
    """Return whether a host is this machine: a loopback address, an unspecified one, or a name of it."""
    if host in LOOPBACK_NAMES:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _guard(call: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not stays_here(address[0]):
            raise OutsideCallError(f"a test may not connect to {address[0]}")
        return call(self, address)

    return guarded


@pytest.fixture(autouse=True, scope="session")
def no_way_out() -> Iterator[None]:
    """Refuse every connection and name look-up beyond loopback, for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _guard(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guard(socket.socket.connect_ex))
        resolve = socket.getaddrinfo

        def guarded_resolve(host: Any, *rest: Any, **more: Any) -> Any:
            if not stays_here(host):
                raise OutsideCallError(f"a test may not look up {host!r}")
            return resolve(host, *rest, **more)

        patch.setattr(socket, "getaddrinfo", guarded_resolve)
        yield
