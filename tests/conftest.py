"""What every test stands on: no way out of the machine, one PostgreSQL a session, a fresh database a test.

May not know what is tested. It keeps one law: a test that needs the network beyond loopback fails at the call.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Derandomised, so that a red suite is red for everybody;
# `--hypothesis-profile=explore` looks further and prints its seed.
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of the most slow tests: a file stays in one process, and the last one is waited for."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


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


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

SCHEMA_SOURCES = ("sfsync/records.py", "sfsync/store")
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """One embedded server, shared by every process that tests at this moment; the last one out stops it.

    Its place is the same every time, so a run that was killed leaves nothing that the next one does not use and stop.
    """
    from sfsync.store.embedded import EmbeddedPostgres

    home = Path(tempfile.gettempdir()) / f"sfsync-tests-{os.geteuid()}"
    with EmbeddedPostgres(home, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: Any) -> str:
    """Return the name of a database at the newest schema, made once for each state of the schema's sources."""
    import psycopg

    from sfsync.store.store import Store

    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for source in SCHEMA_SOURCES:
        found = root / source
        for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            digest.update(path.read_bytes())
    name = f"schema_{digest.hexdigest()[:16]}"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # until this connection closes
        databases = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
        for stale in databases:
            if stale.startswith("test_") and not _alive(int(stale.split("_")[1])):
                connection.execute(f'DROP DATABASE IF EXISTS "{stale}" WITH (FORCE)'.encode())
        if name not in databases:
            for old in [old for old in databases if old.startswith("schema_")][:-12]:
                connection.execute(f'DROP DATABASE IF EXISTS "{old}"'.encode())
            connection.execute("DROP DATABASE IF EXISTS half_made WITH (FORCE)")
            connection.execute("CREATE DATABASE half_made")
            store = Store(postgres.url_of("half_made"), pool_size=0)
            store.upgrade()
            store.close()
            connection.execute(f"ALTER DATABASE half_made RENAME TO {name}".encode())
    return name


@pytest.fixture
def own_database_url(postgres: Any, template_database: str) -> Iterator[str]:
    """The URL of an empty database for a test that changes its schema; costs a copy of the whole database."""
    with _copied(postgres, template_database) as (name, _):
        yield postgres.url_of(name)


@pytest.fixture(scope="session")
def _shared_database(postgres: Any, template_database: str) -> Iterator[tuple[str, Any]]:
    """One database a process, and a connection of the owner that empties it between tests."""
    with _copied(postgres, template_database) as (name, connect):
        connection = connect()
        tables = connection.execute(
            "SELECT string_agg(format('DELETE FROM %I', relname), '; ') FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
        ).fetchone()[0]
        # A replica's triggers and foreign keys rest, so even postings go; 24 deletes take a millisecond.
        empty = f"BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL lock_timeout = '5s'; {tables}; COMMIT"
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield postgres.url_of(name), lambda: (connection.execute(others), connection.execute(empty.encode()))
        connection.close()


@pytest.fixture
def database_url(_shared_database: tuple[str, Any]) -> str:
    """The URL of a database at the newest schema with nothing in it; whoever is still connected is cut off first."""
    url, empty = _shared_database
    empty()
    return url


@contextmanager
def _copied(postgres: Any, template: str) -> Iterator[tuple[str, Any]]:
    import psycopg

    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield name, lambda: psycopg.connect(postgres.url_of(name), autocommit=True, application_name="between tests")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
