"""All orgs at once: what is due, and the figures that watching needs, in as few statements as there can be.

May not know what is done with them. It keeps one law: what belongs to a client is read in a transaction of that client;
only names, schedules and states are read across clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import Connection, case, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from sfsync.records import Case, ClientAccount
from sfsync.store.connection import Database
from sfsync.store.store import Store, read_calls
from sfsync.store.tables import RECORD_TABLES, pack_balance, quarantine, run, tick

HEARTBEAT = "heartbeat"
"""Name of the grid point that says: a beat was sent and a worker took it."""


@dataclass(frozen=True, slots=True)
class OrgFigures:
    """What one org's runs and records look like from outside."""

    last_seconds: float | None
    """How long the newest run that ended well took."""
    failed_runs: int
    """Runs that failed since one ended well."""
    records: Mapping[str, int]
    """Sums over all runs of what they counted: read, absorbed, wrote, created, refused, later, conflicts."""
    quarantined: Mapping[str, int]
    """Records in quarantine by the org's error code."""
    calls: int
    """Our API calls of the day."""
    used: int | None
    """Everybody's API calls of the day, in the org's own words."""
    allowed: int | None


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """What one client has left and what is open."""

    free_minutes: int
    open_cases: Mapping[tuple[str, str], int]
    """Open cases by (priority, SLA status)."""
    breached: Mapping[str, int]
    """Open cases with a recorded breach, by priority."""


AT_ONCE = 5000
"""Grid points a statement; PostgreSQL takes 65,535 values in one."""

COUNTED = ("read", "absorbed", "wrote", "created", "refused", "later", "conflicts")


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

    def waiting(self) -> dict[str, datetime]:
        """Return since when each org has been due, oldest first."""
        org = func.split_part(tick.c.name, ":", 2)
        query = (
            select(org, func.min(tick.c.due_at))
            .where(tick.c.done_at.is_(None))
            .group_by(org)
            .order_by(func.min(tick.c.due_at), org)
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

    def give_way(self, client: str, name: str, now: datetime) -> None:
        """Leave a run done that goes on in another one; the org has not been synced in full by it."""
        with self._database.writing(client) as connection:
            connection.execute(
                run.update().where(run.c.run == name).values(state="done", stage="gave way", ended_at=now)
            )

    def heartbeat(self) -> datetime | None:
        """Return when somebody last asked what is due; None if nobody ever did."""
        with self._database.reading() as connection:
            at: datetime | None = connection.scalar(select(func.max(tick.c.due_at)).where(tick.c.name == HEARTBEAT))
            return at

    # --- figures ----------------------------------------------------------------------------------

    def org(self, client: str, org: str, day_on: date) -> OrgFigures:
        """Return one org's figures as of one instant."""
        with self._database.reading(client) as connection:
            mine = run.c.org == org
            newest = connection.execute(
                select(run.c.seq, run.c.started_at, run.c.ended_at)
                .where(mine, run.c.state == "done")
                .order_by(run.c.seq.desc())
                .limit(1)
            ).first()
            failed = select(func.count()).where(mine, run.c.state == "failed")
            if newest is not None:
                failed = failed.where(run.c.seq > newest.seq)
            use = read_calls(connection, org, datetime.combine(day_on, time(), UTC))
            return OrgFigures(
                last_seconds=(newest.ended_at - newest.started_at).total_seconds() if newest else None,
                failed_runs=connection.scalar(failed) or 0,
                records=_sums(connection, org),
                quarantined=dict(
                    connection.execute(
                        select(quarantine.c.code, func.count())
                        .where(quarantine.c.org == org)
                        .group_by(quarantine.c.code)
                    ).all()
                ),
                calls=use.ours,
                used=use.used,
                allowed=use.allowed,
            )

    def client(self, client: str) -> ClientFigures:
        """Return one client's figures as of one instant."""
        cases, account = RECORD_TABLES[Case], RECORD_TABLES[ClientAccount]
        with self._database.reading(client) as connection:
            balance = connection.scalar(select(func.coalesce(func.sum(pack_balance.c.balance_minutes), 0))) or 0
            reserved = connection.scalar(
                select(func.coalesce(func.sum(account.c.reserved_minutes), 0)).where(~account.c.deleted)
            )
            counted = connection.execute(
                select(
                    func.coalesce(cases.c.priority, ""),
                    func.coalesce(cases.c.sla_status, ""),
                    func.count(),
                    func.sum(case((cases.c.breached, 1), else_=0)),
                )
                .where(~cases.c.deleted, cases.c.is_closed.is_distinct_from(True))
                .group_by(text("1"), text("2"))
            ).all()
        breached: dict[str, int] = {}
        for priority, _, _, late in counted:
            breached[priority] = breached.get(priority, 0) + int(late)
        return ClientFigures(
            free_minutes=int(balance) - int(reserved or 0),
            open_cases={(priority, status): count for priority, status, count, _ in counted},
            breached=breached,
        )


def _sums(connection: Connection, org: str) -> dict[str, int]:
    columns = [func.coalesce(func.sum(run.c.counts[name].as_integer()), 0).label(name) for name in COUNTED]
    row = connection.execute(select(*columns).where(run.c.org == org, run.c.state == "done")).one()
    return {name: int(value) for name, value in row._mapping.items()}
