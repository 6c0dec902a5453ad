"""The store: who there is, whose turn it is, what happened, and a room for each run.

May not know Salesforce or the rules. It keeps one law: a transaction a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select, text
from sqlalchemy.dialects.postgresql import distinct_on

from sfsync.clock import token
from sfsync.errors import StoreRefused, WrongOrg
from sfsync.mapping import Mappings
from sfsync.mirror.compare import Certificate
from sfsync.records import Milestone, Posting
from sfsync.rules.evaluate import Evaluation, Facts
from sfsync.store import lease as leases
from sfsync.store import local, schema
from sfsync.store import runs as books
from sfsync.store.connection import SERVICE_ROLE, Database
from sfsync.store.contract import apply, link_all, lock_version, read_facts, set_version
from sfsync.store.forms import from_json
from sfsync.store.lease import Lease
from sfsync.store.rehearsal import RehearsalRoom, rehearse
from sfsync.store.room import OrgRoom
from sfsync.store.tables import (
    api_use,
    bookmark,
    calendar_snapshot,
    certificate,
    client,
    conflict,
    finding,
    link,
    org,
    org_lease,
    pack_balance,
    quarantine,
    run,
    tick,
)

LEASE_SECONDS = 60
CALLS_KEPT_DAYS = 32
"""The budget looks back a day; the rest is for a person who wonders about last month."""
NEWER = "excluded.said_at >= coalesce(a.said_at, excluded.said_at)"
TICKS_KEPT_DAYS = 7


@dataclass(frozen=True, slots=True)
class OrgRow:
    """One org as the store knows it."""

    client: str
    org: str
    role: str
    organization_id: str | None
    state: str
    """``active`` or ``paused``."""
    reason: str
    since: datetime
    last_success_at: datetime | None
    waits_until: datetime | None = None
    """In-between polls wait until then, because the org's API calls must last."""
    last_ms: int | None = None
    """How long the newest run that ended well took."""
    running_since: datetime | None = None
    """When the run that has not ended yet began; with no holder, its worker died."""
    failed_runs: int = 0
    """Runs that failed or were lost since one ended well."""
    failed_at: datetime | None = None
    """When the newest of them ended."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """Sums over all runs that ended well."""
    holder: str | None = None
    """Who works on it at this moment."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of the line over one org."""

    client: str
    run: str
    seq: int
    """Runs are numbered in the order in which they began: many begin in one second."""
    org: str
    state: str
    """``running``, ``done``, ``failed`` or ``lost``."""
    stage: str
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Calls:
    """One org's API calls, hour by hour."""

    hours: tuple[tuple[datetime, int], ...] = ()
    """Begin of the hour and our calls in it, oldest first."""
    used: int | None = None
    """By everybody in 24 hours, in the org's own words."""
    allowed: int | None = None
    said_at: datetime | None = None
    """When the org said so."""

    @property
    def ours(self) -> int:
        """Our calls in all of these hours."""
        return sum(calls for _, calls in self.hours)


class Store:
    """One PostgreSQL database with everything sfsync remembers."""

    def __init__(self, url: str, *, service_role: str | None = None, pool_size: int = 4) -> None:
        self._database = Database(url, role=service_role or SERVICE_ROLE, pool_size=pool_size)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # --- the schema -----------------------------------------------------------------------------

    def upgrade(self) -> str:
        """Leave the database at the newest schema, protected; return its name. Safe to call at any time, by anybody."""
        with self._database.owner() as connection:
            schema.upgrade(connection, self._database.role)
        return schema.head()

    def at_head(self) -> bool:
        """Return whether the schema is the newest one; one cheap query."""
        with self._database.owner() as connection:
            return schema.current(connection) == schema.head()

    def check(self) -> list[str]:
        """Return what is wrong with the database, one sentence each; empty when all is well."""
        with self._database.owner() as connection:
            at = schema.current(connection)
            if at is None:
                return ["the store is empty: sfsync db upgrade"]
            if at != schema.head():
                return [f"the store is at schema {at}, this sfsync needs {schema.head()}: sfsync db upgrade"]
            return schema.differences(connection)

    def server(self) -> str:
        """Return the server's version, such as ``18.6``."""
        with self._database.owner() as connection:
            return str(connection.scalar(text("SELECT current_setting('server_version')"))).split(" ")[0]

    # --- clients and orgs -----------------------------------------------------------------------

    def add_client(self, name: str) -> None:
        """Leave a client of this name in the store."""
        with self._database.writing_house() as connection:
            connection.execute(
                text("INSERT INTO client (client) VALUES (:client) ON CONFLICT DO NOTHING"), {"client": name}
            )

    def add_org(
        self, client_name: str, org_name: str, *, role: str = "client", organization_id: str | None = None
    ) -> None:
        """Leave an org in the store, its client too; an organisation that is given is pinned for good."""
        self.add_client(client_name)
        with self._database.writing_house() as connection:
            connection.execute(
                text(
                    "INSERT INTO org (client, org, role) VALUES (:client, :org, :role) "
                    "ON CONFLICT (client, org) DO UPDATE SET role = excluded.role WHERE org.role <> excluded.role"
                ),
                {"client": client_name, "org": org_name, "role": role},
            )
        if organization_id is not None:
            self.pin(client_name, org_name, organization_id)

    def pin(self, client_name: str, org_name: str, organization_id: str) -> None:
        """Pin the organisation at the first login; WrongOrg if another one is pinned, here or by another client."""
        with self._database.writing_house() as connection:
            pinned = connection.scalar(
                text("SELECT organization_id FROM org WHERE client = :client AND org = :org FOR UPDATE"),
                {"client": client_name, "org": org_name},
            )
            if pinned == organization_id:
                return
            if pinned is not None:
                raise WrongOrg(
                    f"org {org_name} is pinned to organisation {pinned}, and its credentials reach {organization_id}",
                    advice="correct the credentials; after a refresh of the org connect it under another name",
                )
            both = select(org.c.client, org.c.org, org.c.role).where(org.c.organization_id == organization_id)
            mine = connection.scalar(select(org.c.role).where(org.c.client == client_name, org.c.org == org_name))
            for other in connection.execute(both):
                if "client" in (mine, other.role):  # only the parts of a hub may share an organisation
                    known = f"org {other.org} of client {other.client}"
                    raise WrongOrg(
                        f"organisation {organization_id} is already {known if other.role == 'client' else 'a hub'}",
                        advice="connect another organisation; only a hub holds records of several clients",
                    )
            connection.execute(
                text("UPDATE org SET organization_id = :pin WHERE client = :client AND org = :org"),
                {"pin": organization_id, "client": client_name, "org": org_name},
            )

    def link_all(self, client_name: str, org_name: str, mappings: Mappings) -> None:
        """Leave a link to this org for every living record of the client, so that the next plan looks at all."""
        with self._database.writing(client_name) as connection:
            link_all(connection, client_name, org_name, mappings)

    def orgs(self) -> list[OrgRow]:
        """Return every org of every client, by name."""
        return self._orgs()

    def org(self, client_name: str, org_name: str) -> OrgRow | None:
        """Return one org; None if there is none of this name."""
        return next(iter(self._orgs(org.c.client == client_name, org.c.org == org_name)), None)

    def _orgs(self, *which: Any) -> list[OrgRow]:
        held = and_(
            org_lease.c.client == org.c.client,
            org_lease.c.org == org.c.org,
            org_lease.c.expires_at > func.clock_timestamp(),
        )
        query = select(org, org_lease.c.holder).outerjoin_from(org, org_lease, held).where(*which)
        query = query.order_by(org.c.org, org.c.client)
        with self._database.reading() as connection:
            return [OrgRow(**row) for row in connection.execute(query).mappings()]

    def pause(self, client_name: str, org_name: str, reason: str) -> None:
        """Leave the org paused, with the reason a person reads; nothing is synced until it is resumed."""
        self._set_state(client_name, org_name, "paused", reason)

    def resume(self, client_name: str, org_name: str) -> None:
        """Leave the org active."""
        self._set_state(client_name, org_name, "active", "")

    def _set_state(self, client_name: str, org_name: str, state: str, reason: str) -> None:
        with self._database.writing_house() as connection:
            done = connection.execute(
                text(
                    "UPDATE org SET since = CASE WHEN state = :state THEN since ELSE now() END, state = :state, "
                    "reason = :reason WHERE client = :client AND org = :org"
                ),
                {"state": state, "reason": reason, "client": client_name, "org": org_name},
            )
            if done.rowcount == 0:
                raise StoreRefused(f"there is no org {org_name} of client {client_name} in the store")

    def due_clients(self, now: datetime) -> list[str]:
        """Return the clients whose rules change their mind by themselves at or before ``now``."""
        with self._database.reading() as connection:
            query = select(client.c.client).where(client.c.next_due_at <= now).order_by(client.c.next_due_at)
            return list(connection.scalars(query))

    # --- one run ---------------------------------------------------------------------------------

    def acquire(self, client_name: str, org_name: str, holder: str, seconds: int = LEASE_SECONDS) -> Lease | None:
        """Return the lease on an org, or None while somebody else holds it."""
        with self._database.writing_house() as connection:
            return leases.acquire(connection, client_name, org_name, holder, seconds)

    def renew(self, lease: Lease, seconds: int = LEASE_SECONDS) -> None:
        """Let the lease last from now; LeaseLost if somebody took the org over."""
        with self._database.writing_house() as connection:
            leases.renew(connection, lease, seconds)

    def release(self, lease: Lease) -> None:
        """Let anybody take the org at once."""
        with self._database.writing_house() as connection:
            leases.release(connection, lease)

    def room(
        self,
        client_name: str,
        org_name: str,
        mappings: Mappings,
        lease: Lease | None = None,
        beside: Iterable[str] = (),
    ) -> OrgRoom:
        """Return what one run of the line needs; without a lease it can only look.

        ``beside`` names the client's other orgs, without which its records are half known.
        """
        return OrgRoom(self._database, client_name, org_name, mappings, lease, beside)

    def rehearse(
        self, client_name: str, org_name: str, mappings: Mappings, beside: Iterable[str] = ()
    ) -> AbstractContextManager[RehearsalRoom]:
        """Return a context with a room in which a run can be tried; nothing of it stays."""
        return rehearse(self._database, client_name, org_name, mappings, beside)

    def begin_run(self, client_name: str, org_name: str, now: datetime) -> str:
        """Return the name of a new run; one that was left running by a worker that died is now ``lost``."""
        name = token(8)
        with self._database.writing(client_name) as connection:
            books.begin(connection, client_name, org_name, name, now)
        return name

    def stage(
        self, client_name: str, name: str, stage: str, lease: Lease | None = None, seconds: int = LEASE_SECONDS
    ) -> None:
        """Show which stage a run is in, and let its lease last from now; LeaseLost if somebody took the org over."""
        with self._database.marking(client_name) as connection:
            if lease is not None:
                leases.renew(connection, lease, seconds)
            connection.execute(text("UPDATE run SET stage = :stage WHERE run = :run"), {"stage": stage, "run": name})

    def end_run(
        self, client_name: str, name: str, now: datetime, *, counts: Mapping[str, Any] | None = None, error: str = ""
    ) -> None:
        """Leave the run done, with what it counted, or failed with the error a person reads.

        LeaseLost if it is not running any more, because somebody took its org over.
        """
        with self._database.writing(client_name) as connection:
            books.end(connection, client_name, name, now, counts or {}, error)

    def runs(self, client_name: str, org_name: str | None = None, limit: int = 20) -> list[RunRow]:
        """Return the newest runs of a client, newest first."""
        query = select(run).order_by(run.c.seq.desc()).limit(limit)
        if org_name is not None:
            query = query.where(run.c.org == org_name)
        with self._database.reading(client_name) as connection:
            rows = connection.execute(query).mappings()
            return [RunRow(**{**row, "counts": from_json(row["counts"])}) for row in rows]

    # --- the schedule -----------------------------------------------------------------------------

    def write_tick(self, name: str, due_at: datetime) -> bool:
        """Write down that ``name`` was due at a grid point; return False if somebody did already."""
        with self._database.writing_house() as connection:
            return (
                connection.execute(
                    text("INSERT INTO tick (name, due_at) VALUES (:name, :due_at) ON CONFLICT DO NOTHING"),
                    {"name": name, "due_at": due_at},
                ).rowcount
                == 1
            )

    def due_ticks(self) -> dict[str, datetime]:
        """Return what is written down and not done: each name with its newest grid point, oldest first."""
        query = (
            select(tick.c.name, func.max(tick.c.due_at))
            .where(tick.c.done_at.is_(None))
            .group_by(tick.c.name)
            .order_by(func.min(tick.c.due_at), tick.c.name)
        )
        with self._database.reading() as connection:
            return dict(connection.execute(query).all())

    def finish_ticks(self, name: str, up_to: datetime, now: datetime, keep_days: int = TICKS_KEPT_DAYS) -> None:
        """Leave every grid point of ``name`` up to ``up_to`` done: one run answers all that were missed."""
        with self._database.writing_house() as connection:
            connection.execute(
                text("UPDATE tick SET done_at = :now WHERE name = :name AND due_at <= :up_to AND done_at IS NULL"),
                {"name": name, "up_to": up_to, "now": now},
            )
            connection.execute(
                text(
                    "DELETE FROM tick WHERE name = :name AND done_at < CAST(:now AS timestamptz) - "
                    "make_interval(days => :days) AND due_at < (SELECT max(due_at) FROM tick WHERE name = :name)"
                ),
                {"name": name, "now": now, "days": keep_days},
            )

    # --- API calls ----------------------------------------------------------------------------------

    def add_calls(
        self,
        client_name: str,
        org_name: str,
        ours: int,
        at: datetime,
        *,
        used: int | None = None,
        allowed: int | None = None,
        said_at: datetime | None = None,
    ) -> Calls:
        """Add ``ours`` to the hour of ``at``, and what the org said of everybody's; return what all workers spent.

        Hours older than ``CALLS_KEPT_DAYS`` are forgotten.
        """
        said_at = (said_at or at) if used is not None else None
        hour_at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        with self._database.writing(client_name) as connection:
            connection.execute(
                text(
                    "INSERT INTO api_use AS a (client, org, hour_at, ours, used, allowed, said_at) "
                    "VALUES (:client, :org, :hour_at, :ours, :used, :allowed, :said_at) "
                    "ON CONFLICT (client, org, hour_at) DO UPDATE SET ours = a.ours + excluded.ours, "
                    f"used = CASE WHEN {NEWER} THEN excluded.used ELSE a.used END, "
                    f"allowed = CASE WHEN {NEWER} THEN excluded.allowed ELSE a.allowed END, "
                    "said_at = greatest(a.said_at, excluded.said_at)"
                ),
                {
                    "client": client_name, "org": org_name, "hour_at": hour_at, "ours": ours, "used": used,
                    "allowed": allowed, "said_at": said_at,
                },
            )  # fmt: skip
            forgotten = api_use.c.hour_at < hour_at - timedelta(days=CALLS_KEPT_DAYS)
            connection.execute(api_use.delete().where(api_use.c.org == org_name, forgotten))
            return read_calls(connection, org_name, hour_at - timedelta(hours=24))

    def calls(self, client_name: str, org_name: str, since: datetime) -> Calls:
        """Return the calls of the hours that began at ``since`` or later, and what the org said last, whenever."""
        with self._database.reading(client_name) as connection:
            return read_calls(connection, org_name, since)

    def let_wait(self, client_name: str, org_name: str, until: datetime | None) -> None:
        """Leave the org's in-between polls waiting until then; None: they are due as ever."""
        with self._database.writing_house() as connection:
            where = (org.c.client == client_name, org.c.org == org_name)
            connection.execute(org.update().where(*where).values(waits_until=until))

    # --- what a person asks for ---------------------------------------------------------------------

    def facts(self, client_name: str) -> Facts:
        """Return everything the store holds of a client, as of one instant."""
        with self._database.reading(client_name) as connection:
            return read_facts(connection, None)

    def postings(self, client_name: str, pack: str | None = None) -> tuple[Posting, ...]:
        """Return the postings in the order they were booked."""
        with self._database.reading(client_name) as connection:
            return local.read_postings(connection, pack)

    def chain(self, client_name: str) -> list[str]:
        """Return the hash kept with each posting, in the order they were booked."""
        with self._database.reading(client_name) as connection:
            return local.read_chain(connection)

    def balances(self, client_name: str) -> dict[str, int]:
        """Return each pack's balance in minutes, as the database keeps it."""
        with self._database.reading(client_name) as connection:
            query = select(pack_balance.c.pack, pack_balance.c.balance_minutes).order_by(pack_balance.c.pack)
            return dict(connection.execute(query).all())

    def milestones(self, client_name: str, cases: Iterable[str] | None = None) -> dict[str, tuple[Milestone, ...]]:
        """Return each case's milestones."""
        with self._database.reading(client_name) as connection:
            return local.read_milestones(connection, cases)

    def quarantined(self, client_name: str) -> list[dict[str, Any]]:
        """Return what waits in quarantine, oldest first."""
        return self._rows(client_name, quarantine, quarantine.c.since, quarantine.c.key)

    def conflicts(self, client_name: str) -> list[dict[str, Any]]:
        """Return conflicts and hand edits, oldest first; ``kind`` tells which."""
        return self._rows(client_name, conflict, conflict.c.seen_at, conflict.c.key, conflict.c.field)

    def findings(self, client_name: str) -> list[dict[str, Any]]:
        """Return what the rules found, oldest first."""
        rows = self._rows(client_name, finding, finding.c.first_seen_at, finding.c.digest)
        return [{**row, "details": from_json(row["details"])} for row in rows]

    def _rows(self, client_name: str, table: Table, *order: Any) -> list[dict[str, Any]]:
        with self._database.reading(client_name) as connection:
            return [dict(row) for row in connection.execute(select(table).order_by(*order)).mappings()]

    def keep_certificate(self, made: Certificate) -> str:
        """Leave what an audit found in the store; return its digest."""
        digest = made.digest()
        with self._database.writing(made.client) as connection:
            connection.execute(
                certificate.insert().values(
                    client=made.client,
                    org=made.org,
                    at=made.at,
                    equal=made.equal,
                    content=made.content(),
                    digest=digest,
                )
            )
        return digest

    def certificates(self, client_name: str, org_name: str, limit: int = 20) -> list[dict[str, Any]]:
        """Return the newest audits of an org, newest first."""
        query = select(certificate).where(certificate.c.org == org_name).order_by(certificate.c.at.desc()).limit(limit)
        with self._database.reading(client_name) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    # --- what a person does -------------------------------------------------------------------------

    def amend(self, client_name: str, mappings: Mappings, said: Evaluation, now: datetime) -> None:
        """Put in force what a person of the consultancy says, such as a bought pack; the rules will look at it."""
        with self._database.writing(client_name) as connection:
            version = lock_version(connection, client_name) + 1
            apply(connection, client_name, mappings, said, now, version, looked_at=False)
            set_version(connection, client_name, version)

    def retry(self, client_name: str, org_name: str, object_name: str, key: str) -> bool:
        """Let a record out of quarantine to be tried again by the next run; return False if it is not there."""
        with self._database.writing(client_name) as connection:
            named = {"client": client_name, "org": org_name, "object": object_name, "key": key}
            there = connection.execute(
                text(
                    "DELETE FROM quarantine WHERE client = :client AND org = :org AND object = :object AND key = :key"
                ),
                named,
            ).rowcount
            connection.execute(
                text(
                    "UPDATE link SET state = 'ready', touched = touched + 1, attempts = 0, next_try_at = NULL "
                    "WHERE client = :client AND org = :org AND object = :object AND key = :key"
                ),
                named,
            )
            return bool(there)

    def rewind(self, client_name: str, org_name: str, to: datetime | None) -> None:
        """Read the org again from ``to``, or from its beginning: always safe: absorbing twice changes nothing."""
        with self._database.writing(client_name) as connection:
            where = [bookmark.c.client == client_name, bookmark.c.org == org_name]
            if to is None:
                connection.execute(bookmark.delete().where(*where))
            else:
                moved = {"read_to": func.least(bookmark.c.read_to, to), "checkpoint": ""}
                connection.execute(bookmark.update().where(*where).values(moved))

    def replan(self, client_name: str, org_name: str) -> None:
        """Let the next run look at every link, as if nothing were known to be settled: it must plan the same writes."""
        with self._database.writing(client_name) as connection:
            scope = (link.c.client == client_name, link.c.org == org_name)
            connection.execute(link.update().where(*scope).values(touched=link.c.touched + 1))

    def keep_calendar_check(self, client_name: str, differs: int, now: datetime) -> None:
        """Leave in the store how many published holidays differ from the newest list."""
        with self._database.writing_house() as connection:
            checked = client.update().where(client.c.client == client_name)
            connection.execute(checked.values(calendar_checked_at=now, calendar_differs=differs))

    def evaluate_again(self, client_name: str) -> None:
        """Let the rules of the next run look at everything."""
        with self._database.writing_house() as connection:
            connection.execute(client.update().where(client.c.client == client_name).values(evaluated_version=None))

    # --- calendars ----------------------------------------------------------------------------------

    def snapshots(self, client_name: str) -> dict[int, dict[date, str]]:
        """Return the newest published holidays of each year: workers read these and never the library."""
        query = (
            select(calendar_snapshot)
            .ext(distinct_on(calendar_snapshot.c.year))
            .order_by(calendar_snapshot.c.year, calendar_snapshot.c.version.desc())
        )
        with self._database.reading(client_name) as connection:
            rows = connection.execute(query).mappings()
            return {r["year"]: {date.fromisoformat(d): n for d, n in r["days"].items()} for r in rows}

    def publish_snapshot(
        self, client_name: str, year: int, days: Mapping[date, str], *, source: str, digest: str, now: datetime
    ) -> int:
        """Leave a new version of a year's holidays in force, unless the newest has this digest; return its version."""
        with self._database.writing(client_name) as connection:
            lock_version(connection, client_name)
            newest = connection.execute(
                select(calendar_snapshot.c.version, calendar_snapshot.c.digest)
                .where(calendar_snapshot.c.year == year)
                .order_by(calendar_snapshot.c.version.desc())
                .limit(1)
            ).first()
            if newest is not None and newest.digest == digest:
                return int(newest.version)
            version = newest.version + 1 if newest else 1
            connection.execute(
                calendar_snapshot.insert().values(
                    client=client_name,
                    year=year,
                    version=version,
                    days={day.isoformat(): name for day, name in sorted(days.items())},
                    source=source,
                    digest=digest,
                    taken_at=now,
                )
            )
            return int(version)


def read_calls(connection: Connection, org_name: str, since: datetime) -> Calls:
    """Return the calls of the hours that began at ``since`` or later, and what the org said last, whenever."""
    mine = api_use.c.org == org_name
    hours = select(api_use.c.hour_at, api_use.c.ours).where(mine, api_use.c.hour_at >= since)
    newest = select(api_use.c.used, api_use.c.allowed, api_use.c.said_at).where(mine, api_use.c.said_at.is_not(None))
    said = connection.execute(newest.order_by(api_use.c.hour_at.desc()).limit(1)).first()
    spent = tuple((row.hour_at, int(row.ours)) for row in connection.execute(hours.order_by(api_use.c.hour_at)))
    return Calls(spent, *said) if said else Calls(spent)
