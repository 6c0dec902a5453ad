"""What an operator looks at: figures counted in the database, so that a screen costs the same for a client of any size.

May not know orgs or rules. It keeps one law: a question reads, one client a transaction, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select, text

from sfsync.records import Case, CaseEvent, ClientAccount, Estimate, EstimateStatus, SlaStatus
from sfsync.store import local, schema
from sfsync.store.connection import Database
from sfsync.store.forms import from_json
from sfsync.store.store import RunRow, Store
from sfsync.store.tables import RECORD_TABLES, bookmark, link, milestone, pack_balance, quarantine, run


@dataclass(frozen=True, slots=True)
class Figures:
    """One client at a glance."""

    balance_minutes: int
    reserved_minutes: int
    open_cases: int
    at_risk: int
    breached: int
    """Open cases with a recorded breach."""
    waiting_estimates: int
    quarantined: int
    unsettled: int
    """Records that an org may still have to be told about."""
    low_balance: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one object of an org has been read."""

    object: str
    read_to: datetime | None
    records: int
    """Living records that this org is known to hold."""


class Reads:
    """Questions of an operator to one store."""

    def __init__(self, store: Store) -> None:
        self._database: Database = store._database

    def schema(self) -> tuple[str | None, str]:
        """Return the schema this database is at, None for an empty one, and the newest there is."""
        with self._database.owner() as connection:
            return schema.current(connection), schema.head()

    def figures(self, client: str) -> Figures:
        """Return one client's figures as of one instant; all zero for a client without records."""
        case, account, estimate = RECORD_TABLES[Case], RECORD_TABLES[ClientAccount], RECORD_TABLES[Estimate]
        living = and_(~case.c.deleted, case.c.is_closed.is_distinct_from(True))
        with self._database.reading(client) as connection:
            cases = connection.execute(
                select(
                    func.count(),
                    func.count().filter(case.c.sla_status == SlaStatus.AT_RISK.value),
                    func.count().filter(case.c.breached),
                ).where(living)
            ).one()
            row = connection.execute(
                select(account.c.reserved_minutes, account.c.low_balance).where(~account.c.deleted).limit(1)
            ).first()
            return Figures(
                balance_minutes=int(
                    connection.scalar(select(func.coalesce(func.sum(pack_balance.c.balance_minutes), 0))) or 0
                ),
                reserved_minutes=(row.reserved_minutes if row else None) or 0,
                open_cases=cases[0],
                at_risk=cases[1],
                breached=cases[2],
                waiting_estimates=connection.scalar(
                    select(func.count()).where(
                        ~estimate.c.deleted,
                        estimate.c.status.in_([EstimateStatus.SENT.value, EstimateStatus.QUESTION.value]),
                    )
                )
                or 0,
                quarantined=connection.scalar(select(func.count()).select_from(quarantine)) or 0,
                unsettled=connection.scalar(
                    select(func.count()).where(link.c.touched > link.c.settled, link.c.state == "ready")
                )
                or 0,
                low_balance=bool(row and row.low_balance),
            )

    def readings(self, client: str, org: str) -> list[Reading]:
        """Return how far each object of the org has been read, by object."""
        known = (
            select(link.c.object, func.count().label("records"))
            .where(link.c.org == org, link.c.sf_id.is_not(None), ~link.c.deleted)
            .group_by(link.c.object)
            .subquery()
        )
        query = (
            select(bookmark.c.object, bookmark.c.read_to, func.coalesce(known.c.records, 0))
            .outerjoin_from(bookmark, known, known.c.object == bookmark.c.object)
            .where(bookmark.c.org == org)
            .order_by(bookmark.c.object)
        )
        with self._database.reading(client) as connection:
            return [Reading(*row) for row in connection.execute(query)]

    def run(self, client: str, name: str) -> RunRow | None:
        """Return the client's run called ``name``, which may be cut to its first characters; None if there is none."""
        query = select(run).where(run.c.run.startswith(name, autoescape=True)).order_by(run.c.seq.desc()).limit(1)
        with self._database.reading(client) as connection:
            row = connection.execute(query).mappings().first()
            return RunRow(**{**row, "counts": from_json(row["counts"])}) if row else None

    def running_cases(self, client: str) -> list[str]:
        """Return the keys of open cases with an acknowledgement clock that nobody stopped, most urgent first."""
        case = RECORD_TABLES[Case]
        query = (
            select(milestone.c.case)
            .join(case, and_(case.c.client == milestone.c.client, case.c.key == milestone.c.case))
            .where(milestone.c.clock == "ack", milestone.c.met_at.is_(None), ~case.c.deleted)
            .order_by(milestone.c.due_at, milestone.c.case)
        )
        with self._database.reading(client) as connection:
            return list(dict.fromkeys(connection.scalars(query)))

    def cases(self, client: str, keys: Iterable[str]) -> dict[str, Case]:
        """Return the cases of these keys, by key."""
        with self._database.reading(client) as connection:
            return local.read_records(connection, Case, keys)

    def events(self, client: str, case: str) -> tuple[CaseEvent, ...]:
        """Return the history of one case in the order of (instant, id)."""
        with self._database.reading(client) as connection:
            return local.read_events(connection, [case]).get(case, ())

    def case_called(self, client: str, name: str) -> str | None:
        """Return the key of the case with this number, key or org id; None if there is none, the newest if several."""
        case = RECORD_TABLES[Case]
        query = (
            select(case.c.key)
            .outerjoin(link, and_(link.c.client == case.c.client, link.c.object == "Case", link.c.key == case.c.key))
            .where(
                or_(
                    case.c.number == name, case.c.key == name, link.c.sf_id == name, func.left(link.c.sf_id, 15) == name
                )
            )
            .order_by(case.c.created_at.desc().nulls_last(), case.c.key)
            .limit(1)
        )
        with self._database.reading(client) as connection:
            return connection.scalar(query)


def settle_as_is(store: Store, client: str, org: str, object_name: str, key: str) -> None:
    """Leave a refused record out of quarantine and out of the plan until either side changes it again."""
    named = {"client": client, "org": org, "object": object_name, "key": key}
    with store._database.writing(client) as connection:
        where = "WHERE client = :client AND org = :org AND object = :object AND key = :key"
        connection.execute(text(f"DELETE FROM quarantine {where}"), named)
        connection.execute(
            text(f"UPDATE link SET state = 'ready', settled = touched, attempts = 0, next_try_at = NULL {where}"), named
        )
