"""Transactions: one a call, for one client, as a role that sees nothing else.

May not know tables or records. It keeps one law: every error leaves as one of three: try again (nothing is known
to be wrong), stop (we have a bug), or the lease is lost; and a COMMIT whose answer was lost is settled first.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sfsync.clock import SystemClock, token
from sfsync.errors import SettingsError, SfsyncError, StoreError, StoreRefused, StoreUnavailable
from sfsync.store.protection import SETTING

SERVICE_ROLE = "sfsync_service"

TRY_AGAIN = ("08", "25P03", "40", "53", "55P03", "57")
"""Classes and codes of SQLSTATE after which the same transaction may succeed: connection, stood still too long in a
transaction, serialisation and deadlock, resources, lock timeout, cancelled or shut down."""

RESTED_SECONDS = 10.0
"""A connection that was not used for longer is asked whether it still lives before it is used. Before that it is enough
that its server has said nothing: one that goes away says so, and a run need not ask before each of its transactions."""

# Set inside the transaction and gone with it, in one round trip: a pooled connection carries nobody's client (B7).
_BEGIN = text(
    "SELECT set_config('timezone', 'UTC', true), set_config('lock_timeout', '10s', true), "
    "set_config('statement_timeout', '60s', true), set_config('idle_in_transaction_session_timeout', '60s', true), "
    f"set_config('{SETTING}', :client, true), set_config('role', :role, true)"
)
_REMEMBER = text("INSERT INTO operation (client, op_id) VALUES (:client, :op)")
# Waits for the lost transaction if it is still running; a row back means that it never committed and now never can.
_CLAIM = text("INSERT INTO operation (client, op_id) VALUES (:client, :op) ON CONFLICT DO NOTHING RETURNING 1")


class Database:
    """One PostgreSQL database; connections are made when needed and kept few."""

    def __init__(self, url: str, *, role: str = SERVICE_ROLE, pool_size: int = 4) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise SettingsError("store.url is no URL; it looks like postgresql://user@host/database") from None
        if parsed.get_backend_name() not in ("postgresql", "postgres"):
            raise SettingsError(f"store.url names {parsed.get_backend_name()}; the store is PostgreSQL")
        self.role = role
        pool = {"poolclass": NullPool} if pool_size == 0 else {"pool_size": pool_size}
        self.engine: Engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 10}, **pool
        )
        if pool_size:
            _look_after_rest(self.engine)

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """Run one transaction as the user of the URL: for upgrades and checks only."""
        with self._named_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self, client: str = "") -> Iterator[Connection]:
        """Run one read-only transaction that sees one instant; only ``client``'s rows are visible."""
        with self._named_errors(), self.engine.connect() as connection:
            snapshot = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with snapshot.begin():
                snapshot.execute(_BEGIN, {"client": client, "role": self.role})
                yield snapshot

    @contextmanager
    def writing(self, client: str) -> Iterator[Connection]:
        """Run one transaction for ``client``; afterwards all of it is in force, or none of it.

        Raises StoreUnavailable when it may be tried again, StoreRefused when a constraint says that we have a bug.
        """
        operation = token()
        with self._named_errors(), self.engine.connect() as connection:
            transaction = connection.begin()
            try:
                connection.execute(_BEGIN, {"client": client, "role": self.role})
                connection.execute(_REMEMBER, {"client": client, "op": operation})
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as lost:
                if not lost.connection_invalidated or not self.happened(client, operation):
                    raise

    @contextmanager
    def marking(self, client: str) -> Iterator[Connection]:
        """Run one transaction for ``client`` that may happen twice: whether an unanswered COMMIT did is not settled."""
        with self._named_errors(), self.engine.connect() as connection, connection.begin():
            connection.execute(_BEGIN, {"client": client, "role": self.role})
            yield connection

    @contextmanager
    def writing_house(self) -> Iterator[Connection]:
        """Run one transaction on names, schedules and states, which no client owns; it sees no client's rows."""
        with self._named_errors(), self.engine.connect() as connection, connection.begin():
            connection.execute(_BEGIN, {"client": "", "role": self.role})
            yield connection

    def happened(self, client: str, operation: str) -> bool:
        """Return whether a transaction whose COMMIT was not answered is in force; if not, it never will be."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(_BEGIN, {"client": client, "role": self.role})
            return connection.execute(_CLAIM, {"client": client, "op": operation}).first() is None

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except SfsyncError:
            raise
        except DBAPIError as bad:
            raise _named(bad) from bad
        except SQLAlchemyError as bad:
            raise StoreRefused(f"the store refused: {bad}") from bad


def _look_after_rest(engine: Engine) -> None:
    """Replace a connection whose server went away while it rested; one that breaks in use is an error."""
    monotonic = SystemClock().monotonic

    def rest(_: Any, record: Any) -> None:
        record.info["rests_since"] = monotonic()

    def look(driver: Any, record: Any, _: Any) -> None:
        waiting = select.poll()
        rested = monotonic() - record.info.get("rests_since", monotonic())
        try:
            waiting.register(driver.fileno(), select.POLLIN)
            if rested >= RESTED_SECONDS or waiting.poll(0):
                engine.dialect.do_ping(driver)
        except (psycopg.Error, ValueError) as gone:
            raise InvalidatePoolError("the server went away") from gone

    event.listen(engine, "checkin", rest)
    event.listen(engine, "checkout", look)


def _named(bad: DBAPIError) -> StoreError:
    state = getattr(bad.orig, "sqlstate", None)
    first = str(bad.orig).strip().splitlines()
    said = first[0] if first else type(bad.orig).__name__
    if state is None and isinstance(bad.orig, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(f"the store cannot be reached: {said}")
    if state is not None and state.startswith(TRY_AGAIN):
        return StoreUnavailable(f"the store asks to be tried again: {said}")
    return StoreRefused(f"the store refused: {said}")
