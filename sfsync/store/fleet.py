"""All orgs at once: what is due, and the figures that watching needs, in as few statements as there can be.

May not know what is done with them. It keeps one law: what belongs to a client is read in a transaction of that client;
only names, schedules and states are read across clients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from sfsync.store import runs as books
from sfsync.store.connection import Database
from sfsync.store.store import Store
from sfsync.store.tables import client, tick

HEARTBEAT = "heartbeat"
"""Name of the grid point that says: a beat was sent and a worker took it."""


@dataclass(slots=True)
class OrgFigures:
    """What one org's records look like from outside; what its runs came to stands in its row."""

    quarantined: dict[str, int] = field(default_factory=dict)
    """Records in quarantine by the org's error code."""
    calls: int = 0
    """Our API calls of the day."""
    used: int | None = None
    """Everybody's API calls of the day, in the org's own words."""
    allowed: int | None = None
    audited_at: datetime | None = None
    """When org and store were last compared."""
    differences: int = 0
    """Records that differed then."""


@dataclass(slots=True)
class ClientFigures:
    """What one client has left and what is open."""

    balance_minutes: int = 0
    reserved_minutes: int = 0
    open_cases: dict[tuple[str, str], int] = field(default_factory=dict)
    """Open cases by (priority, SLA status)."""
    breached: dict[str, int] = field(default_factory=dict)
    """Open cases with a recorded breach, by priority."""
    calendar_differs: int | None = None
    """Published holidays that differ from the newest list; None if nobody has looked yet."""

    @property
    def free_minutes(self) -> int:
        """Minutes left in all packs and not reserved."""
        return self.balance_minutes - self.reserved_minutes


AT_ONCE = 5000
"""Grid points a statement; PostgreSQL takes 65,535 values in one."""


class Fleet:
    """Questions about all orgs to one store."""

    def __init__(self, store: Store) -> None:
        self._database: Database = store._database

    # --- what is due ------------------------------------------------------------------------------

    def write_ticks(self, points: Iterable[tuple[str, datetime]]) -> int:
        """Write down grid points, each once whoever else does it too; return how many were new."""
        rows = [{"name": name, "due_at": due_at} for name, due_at in points]
        return sum(self._write(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE))

    def _write(self, rows: list[dict[str, Any]]) -> int:
        """Look before writing: nearly all of them stand there already, and an insert that does nothing still costs."""
        with self._database.writing_house() as connection:
            wanted = [(row["name"], row["due_at"]) for row in rows]
            there = select(tick.c.name, tick.c.due_at).where(tuple_(tick.c.name, tick.c.due_at).in_(wanted))
            known = {(name, due_at) for name, due_at in connection.execute(there)}
            fresh = [row for row in rows if (row["name"], row["due_at"]) not in known]
            return connection.execute(insert(tick).values(fresh).on_conflict_do_nothing()).rowcount if fresh else 0

    def owed(self, names: Iterable[str], now: datetime) -> dict[str, datetime]:
        """Return which of ``names`` are due and not done, each with its newest grid point."""
        query = (
            select(tick.c.name, func.max(tick.c.due_at))
            .where(tick.c.done_at.is_(None), tick.c.name.in_(list(names)), tick.c.due_at <= now)
            .group_by(tick.c.name)
        )
        with self._database.reading() as connection:
            return dict(connection.execute(query).all())

    def due(self, kinds: Iterable[str], now: datetime) -> dict[str, datetime]:
        """Return since when each name of these kinds has been due, oldest first; a kind stands before the colon."""
        query = (
            select(tick.c.name, func.min(tick.c.due_at))
            .where(
                tick.c.done_at.is_(None),
                tick.c.due_at <= now,
                func.split_part(tick.c.name, ":", 1).in_(list(kinds)),
            )
            .group_by(tick.c.name)
            .order_by(func.min(tick.c.due_at), tick.c.name)
        )
        with self._database.reading() as connection:
            return dict(connection.execute(query).all())

    def beat(self, now: datetime) -> None:
        """Write down that somebody asked what is due."""
        with self._database.writing_house() as connection:
            connection.execute(tick.delete().where(tick.c.name == HEARTBEAT, tick.c.due_at < now))
            connection.execute(insert(tick).values(name=HEARTBEAT, due_at=now, done_at=now).on_conflict_do_nothing())

    def put_off(self, name: str, now: datetime) -> None:
        """Leave ``name`` due since ``now`` and no earlier: whatever is due already comes before it."""
        with self._database.writing_house() as connection:
            connection.execute(tick.delete().where(tick.c.name == name, tick.c.done_at.is_(None)))
            again = insert(tick).values(name=name, due_at=now)
            connection.execute(again.on_conflict_do_update(index_elements=["name", "due_at"], set_={"done_at": None}))

    def try_again(self, name: str, now: datetime, at: datetime) -> None:
        """Leave what ``name`` owes to be done at ``at``, and not before."""
        with self._database.writing_house() as connection:
            connection.execute(
                tick.update()
                .where(tick.c.name == name, tick.c.done_at.is_(None), tick.c.due_at <= now)
                .values(done_at=now)
            )
            connection.execute(insert(tick).values(name=name, due_at=at).on_conflict_do_nothing())

    def give_way(self, client: str, name: str, now: datetime) -> None:
        """Leave a run done that goes on in another one; the org has not been synced in full by it."""
        with self._database.writing(client) as connection:
            books.give_way(connection, client, name, now)

    def heartbeat(self) -> datetime | None:
        """Return when somebody last asked what is due; None if nobody ever did."""
        with self._database.reading() as connection:
            at: datetime | None = connection.scalar(select(func.max(tick.c.due_at)).where(tick.c.name == HEARTBEAT))
            return at

    # --- figures ----------------------------------------------------------------------------------

    def figures(
        self, clients: Iterable[str], since: datetime
    ) -> tuple[dict[tuple[str, str], OrgFigures], dict[str, ClientFigures]]:
        """Return the figures of each (client, org) that has some and of each client: two questions, however many.

        API calls are counted from ``since`` on.
        """
        names = sorted(set(clients))
        orgs: dict[tuple[str, str], OrgFigures] = defaultdict(OrgFigures)
        found = {name: ClientFigures() for name in names}
        with self._database.reading() as connection:
            checked = select(client.c.client, client.c.calendar_differs).where(client.c.client.in_(names))
            for name, differs in connection.execute(checked):
                found[name].calendar_differs = differs
            for row in connection.execute(_FIGURES, {"clients": names, "since": since}):
                if row.of_org:
                    _put_org(orgs[row.of_client, row.of_org], row.what, row.one, row.figure)
                elif row.figure is not None:
                    _put_client(found[row.of_client], row.what, row.one, row.two, int(row.figure))
        return dict(orgs), found


_FIGURES = text("SELECT * FROM figures_of(CAST(:clients AS text[]), :since)")


def _put_org(figures: OrgFigures, what: str, code: str, figure: int | None) -> None:
    match what:
        case "quarantined":
            figures.quarantined[code] = figure or 0
        case "calls":
            figures.calls = figure or 0
        case "used":
            figures.used = figure
        case "allowed":
            figures.allowed = figure
        case "audited":
            figures.audited_at = None if figure is None else datetime.fromtimestamp(figure, UTC)
        case "differences":
            figures.differences = figure or 0


def _put_client(figures: ClientFigures, what: str, priority: str, status: str, figure: int) -> None:
    match what:
        case "balance":
            figures.balance_minutes = figure
        case "reserved":
            figures.reserved_minutes = figure
        case "open":
            figures.open_cases[priority, status] = figure
        case "breached":
            figures.breached[priority] = figures.breached.get(priority, 0) + figure
