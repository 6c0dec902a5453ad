"""A room in which a run can be tried and nothing of it stays: what ``sfsync plan`` works in.

May not know what is tried. It keeps one law: everything happens in one transaction, and it is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from sfsync.mapping import Mappings
from sfsync.store.connection import Database
from sfsync.store.room import OrgRoom

LONGEST_IDLE = "600s"
"""A plan reads its org inside the transaction: the one place where we wait for HTTP with a transaction open."""


class RehearsalRoom(OrgRoom):
    """Does what a room does, on one connection that never commits."""

    beside = False

    def __init__(
        self,
        connection: Connection,
        database: Database,
        client: str,
        org: str,
        mappings: Mappings,
        beside: Iterable[str] = (),
    ) -> None:
        super().__init__(database, client, org, mappings, beside=beside)
        self._connection = connection

    @contextmanager
    def _reading(self, names: Iterable[str] | None = None) -> Iterator[Connection]:
        yield self._connection

    @contextmanager
    def _writing(self, begin: Callable[[Connection], None] = lambda _: None) -> Iterator[Connection]:
        with self._connection.begin_nested():
            begin(self._connection)
            yield self._connection
            self._connection.exec_driver_sql("DISCARD TEMP")  # what ends with a transaction elsewhere


@contextmanager
def rehearse(
    database: Database, client: str, org: str, mappings: Mappings, beside: Iterable[str] = ()
) -> Iterator[RehearsalRoom]:
    """Yield a room whose every change is gone afterwards; other clients' work is not held up."""
    with database.writing(client) as connection:
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_IDLE}'"))
        inner = connection.begin_nested()
        try:
            yield RehearsalRoom(connection, database, client, org, mappings, beside)
        finally:
            inner.rollback()
