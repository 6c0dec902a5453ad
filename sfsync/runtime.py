"""The composition root: settings become a store, sessions, mappings, calendars and a clock.

The only place where rooms are joined; command line and tasks ask it for one thing each. This module
may not know SQL, Salesforce or the rules. It keeps one law: an org is synced by the one holder of its
lease, and by nobody while it is paused.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from sfsync.audit import audit, pages_of
from sfsync.calendars import Calendars
from sfsync.clock import Clock, SystemClock, token
from sfsync.errors import (
    AccessDenied,
    BudgetSpent,
    LeaseLost,
    Next,
    OrgBusy,
    Place,
    SettingsError,
    SfsyncError,
    StoreUnavailable,
    TurnOver,
    WrongOrg,
)
from sfsync.logs import logger
from sfsync.mapping import Client, Mappings, load_client, load_mappings, load_plans, standard_directory
from sfsync.metadata import generate, zip_package
from sfsync.mirror.compare import Certificate
from sfsync.mirror.plan import Plan
from sfsync.mirror.translate import Ids, long_id
from sfsync.org.budget import Budget, Usage
from sfsync.org.deploy import Deployed, deploy, grant
from sfsync.org.session import OrgSession
from sfsync.org.soql import query_path
from sfsync.org.tokens import FileTokens, MemoryTokens, TokenStore
from sfsync.reach import Reach
from sfsync.roster import Roster
from sfsync.rules.evaluate import Contract
from sfsync.settings import OrgSettings, Settings, load
from sfsync.store.embedded import EmbeddedPostgres
from sfsync.store.fleet import Fleet
from sfsync.store.lease import Hold, Lease
from sfsync.store.store import Calls, OrgRow, Store
from sfsync.sync import Bounds, Preview, Report, Vanishing, preview, sync_org, take_in

log = logger("runtime")

SERVICE_PERMISSION_SET = "sfsync_Service"
"""What the service's user is granted: exactly the mapped objects and fields."""

RUNS_LOOKED_AT = 9
"""What a run costs is the middle of what the last ones did, and of a quiet poll."""


class Runtime:
    """Everything that is needed to work: open it, ask for one thing, close it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        clock: Clock | None = None,
        tokens: TokenStore | None = None,
        adapter: Callable[[str], Any] = lambda org: None,
        server: EmbeddedPostgres | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock or SystemClock()
        self._tokens = tokens or FileTokens(settings.data_dir / "tokens")
        self._adapter = adapter
        self._server = server
        self.mappings = load_mappings(settings.mappings_dir)
        self.plans = load_plans(settings.mappings_dir)
        self._clients: dict[str, Client] = {}
        self.calendars = Calendars(store, self.plans)
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{token(4)}"
        self.fleet = Fleet(store)
        self.roster = Roster(self)
        self._add_orgs()

    def _add_orgs(self) -> None:
        """Leave every org of the settings in the store; those that are there as they should be cost nothing.

        A pin that the store contradicts stops that org's own sync and nothing else.
        """
        known = {(row.client, row.org): (row.role, row.organization_id) for row in self.store.orgs()}
        for name, org in self.settings.orgs.items():
            pin = long_id(org.organization_id) if org.organization_id else None
            role, pinned = known.get((self.client_name(name), name), (None, None))
            if role != org.role or pin not in (None, pinned):
                try:
                    self.store.add_org(self.client_name(name), name, role=org.role, organization_id=pin)
                except WrongOrg as wrong:
                    log.error("org is pinned to another organisation", org=name, error=type(wrong).__name__)

    @classmethod
    def open(cls, settings: Settings | None = None, clock: Clock | None = None) -> Runtime:
        """Return a runtime on the configured store, or on an embedded server where none is configured.

        Raises ConfigError before anything is started, StoreUnavailable if the store's schema is not the
        one this version needs.
        """
        # A page of a load makes 50,000 objects and drops them again without a cycle: to look for some in between, and
        # through everything that was imported, took a fifth of a load's time.
        gc.set_threshold(50_000, 20, 20)
        settings = settings or load()
        load_mappings(settings.mappings_dir)
        load_plans(settings.mappings_dir)
        server = None
        url = settings.store.url
        if url is None:
            server = EmbeddedPostgres(settings.data_dir)
            server.open()
            url = server.url
        store = Store(url, service_role=settings.store.service_role)
        try:
            if not store.at_head():
                if server is None:
                    raise StoreUnavailable("; ".join(store.check()))
                store.upgrade()
            return cls(settings, store, clock=clock, server=server)
        except BaseException:
            store.close()
            if server is not None:
                server.close()
            raise

    def close(self) -> None:
        """Close the store, and leave the embedded server to whoever still uses it."""
        self.store.close()
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Runtime:
        """Return the runtime itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the runtime."""
        self.close()

    # --- who there is ---------------------------------------------------------------------------

    def org(self, name: str) -> OrgSettings:
        """Return the settings of an org; SettingsError names those there are."""
        if name not in self.settings.orgs:
            known = ", ".join(sorted(self.settings.hubs.get(name, self.settings.orgs))) or "none yet"
            what = (
                f"{name} is a hub; name one part of it" if name in self.settings.hubs else f"there is no org {name!r}"
            )
            raise SettingsError(f"{what}; there are: {known}", Place("sfsync.toml", None, f"orgs.{name}"))
        return self.settings.orgs[name]

    def client_name(self, org: str) -> str:
        """Return the name of the client whose org this is."""
        return self.org(org).client or org

    def client(self, name: str) -> Client:
        """Return a client's terms and mappings; a ConfigError names the file that is missing or wrong."""
        if name not in self._clients:
            self._clients[name] = load_client(self._overlay(name), self.mappings, self.plans)
        return self._clients[name]

    def _overlay(self, name: str) -> Path:
        shapes = self.settings.mappings_dir or standard_directory()
        for directory in (self.settings.clients_dir, shapes / "clients"):
            if directory is not None and (directory / f"{name}.yaml").exists():
                return directory / f"{name}.yaml"
        wanted = (self.settings.clients_dir or shapes / "clients") / f"{name}.yaml"
        raise SettingsError(f"client {name!r} has no file", Place(str(wanted)))

    def mappings_of(self, org: str) -> Mappings:
        """Return what a client's records are in this org: its own, its own beside a hub, or its part of a hub."""
        client = self.client(self.client_name(org))
        if self.org(org).role == "hub":
            return client.hub
        return client.mirrored if self._hub_of(org) else client.mappings

    def beside(self, org: str) -> list[str]:
        """Return the other orgs of the client whose org this is."""
        client = self.client_name(org)
        return [name for name in self.settings.orgs if name != org and self.client_name(name) == client]

    def _hub_of(self, org: str) -> str | None:
        """Return the part of a hub of the client whose own org this is, if it has one."""
        client = self.client_name(org)
        return next((n for n, o in self.settings.orgs.items() if o.role == "hub" and o.client == client), None)

    def home_unread(self, org: str) -> str | None:
        """Return the client's own org if ``org`` is its part of a hub and nobody has read the client's own yet.

        A hub says something of records only; which records there are is known from the client's own org.
        """
        if self.org(org).role != "hub":
            return None
        client = self.client_name(org)
        homes = [name for name, one in self.settings.orgs.items() if one.role == "client"]
        home = next(name for name in homes if self.client_name(name) == client)
        return home if self._row(home).last_success_at is None else None

    def contract(self, name: str) -> Contract:
        """Return what a client was promised, on the published holidays of its calendar (CAL-6)."""
        return self.calendars.contract(self.client(name), self.clock.now())

    def session(self, org: str) -> OrgSession:
        """Return the way to an org, not logged in yet; the organisation that was pinned is demanded.

        Whoever asks for it closes it.
        """
        return self._session(org, self._tokens)

    def _session(self, org: str, tokens: TokenStore, **other: Any) -> OrgSession:
        settings, client = self.org(org), self.client_name(org)
        pinned = settings.organization_id or self._row(org).organization_id

        def share(calls: int, seen: Budget, at: datetime) -> Budget:
            said = seen.usage
            spent = self.store.add_calls(
                client,
                org,
                calls,
                at,
                used=said.used if said else None,
                allowed=said.allowed if said else None,
                said_at=seen.seen_at,
            )
            return _budget(spent)

        return OrgSession(
            org,
            settings.model_copy(update={"organization_id": pinned, **other}),
            clock=self.clock,
            tokens=tokens,
            adapter=self._adapter(org),
            budget=self.budget(org),
            share=share,
            seed=self.holder,
        )

    def budget(self, org: str) -> Budget:
        """Return the API calls of an org's last 24 hours, by all workers, and what the org last said it allows."""
        return _budget(self.store.calls(self.client_name(org), org, self.clock.now() - timedelta(hours=25)))

    def query(self, org: str, soql: str) -> list[dict[str, Any]]:
        """Return the records a query finds in an org, every page of them, for a person to look at."""
        path = query_path(soql, all_rows=False)
        found: list[dict[str, Any]] = []
        with closing(self.session(org)) as session:
            while path:
                page = session.read(path).body
                found += [{k: v for k, v in row.items() if k != "attributes"} for row in page["records"]]
                path = page.get("nextRecordsUrl", "")
        return found

    def _row(self, org: str) -> OrgRow:
        row = self.store.org(self.client_name(org), org)
        assert row is not None, "every org of the settings is in the store"
        return row

    def deploy_metadata(self, org: str, *, username: str | None = None, check_only: bool = False) -> Deployed:
        """Bring the standard objects and fields into an org and grant the service's permission set to its user.

        ``username`` is an administrator who deploys, through the same app; default: the configured user.
        Raises CheckFailed with the org's own words; then nothing of it is in force.
        """
        settings = self.org(org)
        mappings = self.mappings_of(org)
        session = self._session(org, MemoryTokens(), username=username or settings.username)
        with closing(session):
            done = deploy(session, zip_package(generate(mappings)), check_only=check_only)
            if not check_only and settings.username:
                grant(session, SERVICE_PERMISSION_SET, settings.username)
        return done

    # --- one run --------------------------------------------------------------------------------

    def sync(
        self,
        org: str,
        *,
        confirmed: bool = False,
        agreed: Plan | None = None,
        step: Callable[[str], None] = lambda _: None,
        turn_seconds: float | None = None,
        nightly: bool = False,
    ) -> Report:
        """Run the line over one org and return what was done; with a plan that was ``agreed``, exactly that.

        Raises LeaseLost while another run holds the org, AccessDenied while it is paused, and what the
        stages raise; an error that asks for it pauses the org. With ``turn_seconds`` a run that is still
        reading after so long raises TurnOver, and one that has no API calls left BudgetSpent; what it read is kept.
        A ``nightly`` run may use the calls that are kept for the night. The run is on record either way.
        """
        name = self.client_name(org)
        settings, mappings = self.org(org), self.mappings_of(org)
        row = self._row(org)
        if row.state == "paused" and not confirmed:
            raise AccessDenied(f"org {org} is paused: {row.reason}", advice=f"sfsync org resume {org}")
        if home := self.home_unread(org):
            raise OrgBusy(f"org {org} is read after the client's own org {home}; first: sfsync sync {home}")
        with self._held(name, org) as hold, self._paced(self.session(org), row, nightly) as session:
            run = self.store.begin_run(name, org, self.clock.now())
            reach = Reach(session, hold, self.clock, turn_seconds)
            began = self.clock.monotonic()

            def said(result: str, **more: Any) -> None:
                took = round((self.clock.monotonic() - began) * 1000)
                log.info("run ended", run=run, org=org, result=result, ms=took, **more)

            def stage(what: str) -> None:
                seconds = self.settings.store.lease_seconds
                hold.renew(lambda lease: self.store.stage(name, run, what, lease, seconds))
                step(what)

            try:
                if row.organization_id != session.organization_id:  # a pin never changes
                    self.store.pin(name, org, session.organization_id)
                if row.last_success_at is None:
                    self.store.link_all(name, org, mappings)
                report = sync_org(
                    reach,
                    self.store.room(name, org, mappings, hold.lease, self.beside(org)),
                    mappings,
                    self.contract(name),
                    now=self.clock.now(),
                    bounds=Bounds(settings.max_changes, settings.max_vanished_percent, confirmed=confirmed),
                    agreed=agreed,
                    step=stage,
                )
            except LeaseLost:
                said("lease lost")
                raise
            except TurnOver as over:
                self.fleet.give_way(name, run, self.clock.now())
                said("calls spent" if isinstance(over, BudgetSpent) else "turn over", api_calls=session.calls.api)
                raise
            except SfsyncError as bad:
                self.store.end_run(name, run, self.clock.now(), error=str(bad))
                said("failed", error=type(bad).__name__, code=getattr(bad, "code", ""), next=bad.next.value)
                if bad.next is Next.PAUSE_ORG:
                    self.store.pause(name, org, str(bad))
                raise
            except Exception as bug:  # its words may hold a record's, so they are not kept
                self.store.end_run(name, run, self.clock.now(), error=f"unexpected {type(bug).__name__}")
                said("failed", error=type(bug).__name__)
                raise
            self.store.end_run(name, run, self.clock.now(), counts=counts(report))
            said("done", api_calls=report.calls)
            if confirmed and row.state == "paused":
                self.store.resume(name, org)
            return report

    @contextmanager
    def _paced(self, session: OrgSession, row: OrgRow, nightly: bool) -> Iterator[OrgSession]:
        """Close the session in the end, and let in-between polls wait as long as the calls that are left demand."""
        session.nightly = nightly
        try:
            with closing(session):
                yield session
        finally:
            if session.calls.api or row.waits_until is not None or session.calls_left() == 0:
                minutes = self.cadence(row.org, session.budget)
                stretched = minutes > self.org(row.org).every_minutes
                until = self.clock.now() + timedelta(minutes=minutes) if stretched else None
                if until != row.waits_until:
                    self.store.let_wait(row.client, row.org, until)

    def calls(self, org: str) -> CallsShown:
        """Return how an org's API calls stand, by what the store knows; it costs none."""
        settings, now, known = self.org(org), self.clock.now(), self.budget(org)
        share = settings.api_share
        return CallsShown(
            ours=known.ours(now),
            share=known.share(share, nightly=True),
            left=known.left(share, now),
            left_for_the_night=known.left(share, now, nightly=True),
            used=known.usage.used if known.usage else None,
            allowed=known.usage.allowed if known.usage else None,
            said_at=known.seen_at,
            every_minutes=self.cadence(org, known),
            waits_until=self._row(org).waits_until,
        )

    def cadence(self, org: str, budget: Budget | None = None) -> int:
        """Return the minutes between two in-between polls of an org, as its API calls allow; it costs no call."""
        settings = self.org(org)
        runs = self.store.runs(self.client_name(org), org, limit=RUNS_LOOKED_AT)
        usual = sorted([1, *(int(run.counts["calls"]) for run in runs if run.counts.get("calls"))])
        calls = usual[(len(usual) - 1) // 2]
        known = self.budget(org) if budget is None else budget
        return known.cadence(settings.every_minutes, calls, settings.api_share, self.clock.now())

    def plan(self, org: str) -> Preview:
        """Return what ``sync`` would do now; nothing is changed, neither here nor in the org.

        Reads the org, which costs the API calls that the report counts. Raises what ``sync`` raises.
        """
        name = self.client_name(org)
        settings, mappings = self.org(org), self.mappings_of(org)
        with self._held(name, org) as hold, closing(self.session(org)) as session:
            reach = Reach(session, hold, self.clock)
            self.store.pin(name, org, session.organization_id)
            with self.store.rehearse(name, org, mappings, self.beside(org)) as room:
                return preview(
                    reach,
                    room,
                    mappings,
                    self.contract(name),
                    now=self.clock.now(),
                    bounds=Bounds(settings.max_changes, settings.max_vanished_percent, confirmed=True),
                )

    def audit(self, org: str, *, repair: bool = False, confirmed: bool = False) -> tuple[Certificate, str]:
        """Return the certificate that org and store are equal, or what differs, and the digest it is kept under.

        With ``repair`` what differs is read again and merged; the next sync writes what follows from it.
        """
        name = self.client_name(org)
        settings, mappings = self.org(org), self.mappings_of(org)
        with self._held(name, org) as hold, self._paced(self.session(org), self._row(org), True) as session:
            reach = Reach(session, hold, self.clock)
            self.store.pin(name, org, session.organization_id)
            room = self.store.room(name, org, mappings, hold.lease)
            bookmarks = room.bookmarks()
            ids = Ids(reach.organization_id)
            reach.check(mappings, bookmarks, ids)
            made, shown = audit(reach, room, mappings, client=name, name=org, now=self.clock.now())
            if repair:
                report = Report(org)
                bounds = Bounds(settings.max_changes, settings.max_vanished_percent, confirmed=confirmed)
                vanishing = Vanishing(room.linked())
                for page in pages_of(made, shown, mappings, bookmarks):
                    take_in(page, room, mappings, ids, bounds, report, vanishing)
                room.rest()
            return made, self.store.keep_certificate(made)

    def check_calendar(self, client: str) -> int:
        """Compare a client's published holidays with the newest list; return how many days differ, and keep it.

        Nothing is published: that is for a person (CAL-6).
        """
        now = self.clock.now()
        differs = len(self.calendars.changes(self.client(client).terms, now))
        self.store.keep_calendar_check(client, differs, now)
        return differs

    @contextmanager
    def _held(self, client: str, org: str) -> Iterator[Hold]:
        seconds = self.settings.store.lease_seconds
        asked_at = self.clock.monotonic()
        lease = self.store.acquire(client, org, self.holder, seconds)
        if lease is None:
            holder = self._row(org).holder or "another run"
            raise LeaseLost(
                f"org {org} is being synced by {holder}; wait until it ends, at most {seconds} s after a crash"
            )

        def renew(lease: Lease) -> None:
            self.store.renew(lease, seconds)

        try:
            yield Hold(lease, seconds, renew=renew, monotonic=self.clock.monotonic, asked_at=asked_at)
        finally:
            self.store.release(lease)


@dataclass(frozen=True, slots=True)
class CallsShown:
    """An org's API calls of 24 hours, for a person; None is what the org has not said yet."""

    ours: int
    """By all our workers."""
    share: int | None
    """What of the org's allowance is ours."""
    left: int | None
    """Of our share, by day."""
    left_for_the_night: int | None
    used: int | None
    """By everybody, in the org's own words."""
    allowed: int | None
    said_at: datetime | None
    every_minutes: int
    """Between two polls, as the calls that are left allow."""
    waits_until: datetime | None


def _budget(spent: Calls) -> Budget:
    known = spent.used is not None and spent.allowed is not None
    return Budget(Usage(spent.used or 0, spent.allowed or 0) if known else None, spent.said_at, spent.hours)


def counts(report: Report) -> dict[str, Any]:
    """Return the numbers of a report, as a run keeps them."""
    return {name: value for name, value in asdict(report).items() if name not in ("org", "details")}
