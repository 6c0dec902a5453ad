"""Where the full layer lives: a real store, two local orgs with the standard metadata, and a way back to the beginning.

May not know what happens in a history. It keeps one law: after ``reset`` nothing of the history before is left, in the
orgs, in the store or in memory.
"""

from __future__ import annotations

import copy
import gc
import logging
import os
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests
import structlog
from psycopg._preparing import PrepareManager
from sqlalchemy import event

from sfsync.clock import Clock, ManualClock, seeded
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.org.inprocess import InProcess
from sfsync.org.tokens import MemoryTokens
from sfsync.roster import Roster
from sfsync.runtime import Runtime
from sfsync.store.embedded import EmbeddedPostgres
from sfsync.store.store import Store
from tests.e2e.stage import MONDAY, Stage
from tests.simulation.ground import Killed

Point = Callable[[str], None]
_silent: Point = lambda _: None  # noqa: E731


class _Prepared(PrepareManager):
    """What a connection has prepared stays prepared: the tables live longer than the histories.

    The driver forgets all of it at each rollback and each temporary table that goes, so hardly anything was ever
    prepared, and the server spent a third of its time reading the same statements again.
    """

    prepare_threshold = 1
    prepared_max = 1_000

    def clear(self) -> bool:
        """Forget nothing; the server itself plans again what has changed."""
        return False


class OrgClock:
    """An org's own clock: ours, and a little beside it."""

    def __init__(self, base: ManualClock) -> None:
        self.base, self.skew = base, 0

    def now(self) -> datetime:
        """Return the org's instant."""
        return self.base.now() + timedelta(seconds=self.skew)

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self.base.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.base.sleep(seconds)


class Process:
    """One worker's process: once it is dead, none of its ports does anything any more."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self.dead = False

    def at(self, name: str) -> None:
        """Stand before a side effect; a process that was killed does not come this far."""
        if self.dead:
            raise Killed
        try:
            self._point(name)
        except Killed:
            self.dead = True
            raise


class Wire(InProcess):
    """The network of one process: it may die before a request is sent, and before its answer is understood."""

    process: Process

    def send(self, request: requests.PreparedRequest, *rest: Any, **more: Any) -> requests.Response:
        """Answer a request."""
        name = f"{request.method} {str(request.url).partition('?')[0].rpartition('/')[2]}"
        self.process.at(f"send {name}")
        answer = super().send(request, *rest, **more)
        self.process.at(f"answer {name}")
        return answer


class Base:
    """The database of one process: it may die before a commit, and before it hears of it."""

    def __init__(self, database: Any, process: Process) -> None:
        self._database, self._process = database, process

    def __getattr__(self, name: str) -> Any:
        if name not in ("engine", "role", "close"):
            raise AttributeError(f"Database.{name} has no point at which a process may die: give it one here")
        return getattr(self._database, name)

    @contextmanager
    def writing(self, client: str) -> Iterator[Any]:
        """Run one transaction."""
        if self._process.dead:
            raise Killed
        with self._database.writing(client) as connection:
            yield connection
            self._process.at("commit")
        self._process.at("committed")

    @contextmanager
    def marking(self, client: str) -> Iterator[Any]:
        """Run one transaction that may happen twice."""
        if self._process.dead:
            raise Killed
        with self._database.marking(client) as connection:
            yield connection
            self._process.at("commit")
        self._process.at("committed")

    @contextmanager
    def writing_house(self) -> Iterator[Any]:
        """Run one transaction on what no client owns."""
        if self._process.dead:
            raise Killed
        with self._database.writing_house() as connection:
            yield connection
            self._process.at("commit")
        self._process.at("committed")

    @contextmanager
    def reading(self, client: str = "") -> Iterator[Any]:
        """Run one read-only transaction."""
        if self._process.dead:
            raise Killed
        with self._database.reading(client) as connection:
            yield connection


class _Snapshot:
    """An org as it was, to go back to."""

    def __init__(self, org: LocalOrg) -> None:
        self.rows = sqlite3.connect(":memory:", check_same_thread=False)
        org.storage.db.backup(self.rows)
        self.ids, self.numbers = org.ids.state(), dict(org._numbers)
        self.assignment = list(org.assignment)
        self.schema = org.schema.copy()
        self.grants, self.permissions = dict(org.custom_grants), set(org.custom_permissions)
        self.changed_at, self.log_begins_at = org.schema_changed_at, org.log_begins_at

    def restore(self, org: LocalOrg, seed: str) -> None:
        """Bring the org back."""
        self.rows.backup(org.storage.db)
        org.schema = self.schema.copy()
        org.custom_grants, org.custom_permissions = dict(self.grants), set(self.permissions)
        org.schema_changed_at, org.log_begins_at = self.changed_at, self.log_begins_at
        org.describes.clear()
        org.ids.restore(dict(self.ids))
        org._numbers = dict(self.numbers)
        org.assignment = list(self.assignment)
        org.random = seeded(seed)
        org.faults = Faults()
        org.storage.held.clear()
        org.storage._locks.clear()
        org.storage._next_held = 1
        org.journal.clear()
        org.logins.expire_all()
        org.used.clear()
        org.cursors.clear()
        org._usage, org._spent = deque(), 0
        org._closed = None
        org.access_changed()


class Place(Stage):
    """Two client orgs and one store, opened once for many histories."""

    def __init__(self, url: str | None = None, hub: str | None = None) -> None:
        self._quiet = (logging.getLogger("sfsync").level, structlog.get_config())
        logging.getLogger("sfsync").setLevel(logging.CRITICAL)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self._server: EmbeddedPostgres | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="sfsync-simulation-")
        if url is None:
            self._server = EmbeddedPostgres(Path(tempfile.gettempdir()) / "sfsync-simulation", durable=False)
            self._server.open()
            url = self._own_database(self._server, f"simulation_{hub or 'alone'}_{os.getpid()}")
        store = Store(url, pool_size=0)
        store.upgrade()
        store.close()
        self._owner = psycopg.connect(url, autocommit=True)
        super().__init__(Path(self._folder.name), url, "acme", "zeta", hub=hub)
        engine = self.runtime.store._database.engine
        engine.dispose()  # opening the runtime has used a connection already
        event.listen(engine, "connect", self._keep_prepared)
        self._clean = self._emptying()
        self._tables: list[tuple[str, str]] = self._owner.execute(
            "SELECT quote_ident(table_name), string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) "
            "FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER' "
            "AND table_name <> 'alembic_version' GROUP BY table_name ORDER BY table_name"
        ).fetchall()
        self.deploy()
        self.skewed: dict[str, OrgClock] = {}
        for name, org in self.orgs.items():
            org.clock = self.skewed[name] = OrgClock(self.clock)
        self._began = MONDAY + timedelta(hours=1)
        self._snapshots = {name: _Snapshot(org) for name, org in self.orgs.items()}
        for name in self.clients:
            self.runtime.contract(name)  # the holidays are published once; a reset leaves them
        self._clients = dict(self.runtime._clients)
        self._resets = 0
        gc.collect()
        gc.freeze()
        gc.disable()  # a third of the time went into looking through what never goes away

    @staticmethod
    def _keep_prepared(driver: Any, _: Any) -> None:
        driver._prepared = _Prepared()

    @staticmethod
    def _own_database(server: EmbeddedPostgres, name: str) -> str:
        with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
            left_over = "SELECT datname FROM pg_database WHERE datname LIKE 'simulation_%'"
            for (left,) in connection.execute(left_over).fetchall():
                if not Path(f"/proc/{left.rpartition('_')[2]}").exists():
                    connection.execute(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        return server.url_of(name)

    def _emptying(self) -> bytes:
        row = self._owner.execute(
            "SELECT string_agg(format('DELETE FROM %I', relname), '; ') FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace "
            "AND relname NOT IN ('alembic_version', 'calendar_snapshot', 'client', 'org')"
        ).fetchone()
        assert row is not None
        more = (
            "UPDATE client SET version = 0, evaluated_version = NULL, next_due_at = NULL; "
            "UPDATE org SET state = 'active', reason = '', last_success_at = NULL"
        )
        return f"BEGIN; SET LOCAL session_replication_role = replica; {row[0]}; {more}; COMMIT".encode()

    def reset(self, seed: str) -> None:
        """Bring everything back to the beginning."""
        self._resets += 1
        if self._resets % 50 == 0:
            gc.collect()
        self.clock.set(self._began)
        self.clock._elapsed = 0.0
        self.runtime._clients.update(self._clients)
        self.runtime._tokens = MemoryTokens()
        for name, org in self.orgs.items():
            self.skewed[name].skew = 0
            self._snapshots[name].restore(org, f"{name}/{seed}")
        self.wipe()
        self.pin()

    def pin(self) -> None:
        """Let the store know which organisations are meant, as it does once they were connected."""
        for part in self.runtime.settings.orgs:
            self.runtime.store.pin(self.runtime.client_name(part), part, self.local(part).org_id)

    def local(self, part: str) -> LocalOrg:
        """Return the org that a name of the settings reaches: its own, or the hub it is a part of."""
        return self.orgs[part.rpartition("@")[2]]

    def remember(self) -> Callable[[], None]:
        """Return a way back to this moment: what orgs and store hold, and the clock. Nothing may be half done."""
        now, elapsed = self.clock.now(), self.clock._elapsed
        clients = dict(self.runtime._clients)
        orgs = {name: _Snapshot(org) for name, org in self.orgs.items()}
        self._owner.execute("DROP SCHEMA IF EXISTS kept CASCADE; CREATE SCHEMA kept")
        back = []
        for table, columns in self._tables:
            self._owner.execute(f"CREATE TABLE kept.{table} AS SELECT {columns} FROM public.{table}".encode())
            back.append(
                f"DELETE FROM public.{table}; INSERT INTO public.{table} ({columns}) OVERRIDING SYSTEM VALUE "
                f"SELECT {columns} FROM kept.{table}"
            )
        again = f"BEGIN; SET LOCAL session_replication_role = replica; {'; '.join(back)}; COMMIT".encode()

        def recall() -> None:
            self.clock.set(now)
            self.clock._elapsed = elapsed
            self.runtime._clients.update(clients)
            for name, org in self.orgs.items():
                orgs[name].restore(org, f"{name}/again")
            self._owner.execute(again)

        return recall

    def wipe(self) -> None:
        """Lose everything the store remembers."""
        self._owner.execute(self._clean)

    def terms(self, name: str, **changes: Any) -> None:
        """Let a client's contract say something else from now on."""
        client = self.runtime.client(name)
        self.runtime._clients[name] = replace(client, terms=client.terms.model_copy(update=changes))

    def forget_lease(self, org: str) -> None:
        """Let the lease of an org run out, as it does a minute after its holder died."""
        self._owner.execute("UPDATE org_lease SET expires_at = '-infinity' WHERE org = %s", [org])

    def ask(self, sql: str, *given: Any) -> list[Any]:
        """Look into the store past every protection."""
        return self._owner.execute(sql.encode(), given).fetchall()

    def worker(self, point: Point = _silent) -> Runtime:
        """Return a runtime as a freshly started worker has it; it dies where ``point`` says."""
        process = Process(point)
        made = copy.copy(self.runtime)
        made.store = copy.copy(self.runtime.store)
        made.store._database = Base(self.runtime.store._database, process)  # type: ignore[assignment]
        made._tokens = MemoryTokens()
        made.holder = "worker"
        made.roster = Roster(made)

        def wire(_org: str) -> Wire:
            adapter = Wire(self.world, self.clock)
            adapter.process = process
            return adapter

        made._adapter = wire
        return made

    def close(self) -> None:
        """Close everything that was opened, and let the product speak again."""
        gc.enable()
        gc.unfreeze()
        level, speech = self._quiet
        logging.getLogger("sfsync").setLevel(level)
        structlog.configure(**speech)
        self.runtime.close()
        self._owner.close()
        if self._server is not None:
            self._server.close()
        self._folder.cleanup()


__all__ = ["Clock", "Place", "Point"]
