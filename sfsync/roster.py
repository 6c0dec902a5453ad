"""What is due and who may do it: orgs that owe a run, an audit or a look at their calendar.

Everything is read from the store's ``tick`` table and the orgs' own rows, in a number of questions that does not grow
with the orgs. May not know how a run or an audit is done. It keeps one law: what is due stays due until it has ended
well, so whoever is killed, late or asked twice costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from sfsync import schedule
from sfsync.clock import Clock
from sfsync.errors import LeaseLost, SfsyncError, TurnOver
from sfsync.logs import logger
from sfsync.mapping import Client
from sfsync.org.budget import Budget
from sfsync.settings import OrgSettings, Settings
from sfsync.store.fleet import Fleet
from sfsync.store.store import OrgRow, Store
from sfsync.sync import Report

log = logger("roster")

TURN_SECONDS = 240
"""A run that a worker does for longer than this goes to the end of the line, between two pages."""
NUDGES_A_TICK = 500
"""More orgs than this are not nudged at once; the next tick goes on with those that wait longest."""
RUNS = ("nightly", "between", "deadline", "rest")
"""What can make an org owe a run: a name of the tick table is one of these, a colon, and the org."""
AUDIT, CALENDAR = "audit", "calendar"
CHECKS_A_TICK = 20
"""More audits and looks at calendars than this are not nudged at once: they come after the runs."""

LONGEST_RETRY = timedelta(minutes=30)
"""An org that keeps failing is tried at least this often."""
CHECK_AGAIN = timedelta(hours=1)
"""An audit or a look at a calendar that failed is done again after this."""
CALENDAR_CHECK = "mon 06:00"
"""When the published holidays of each client are compared with the newest list, in the client's zone."""
SPREAD_SECONDS = 7200
"""Weekly work of many orgs begins within this time and not in one second."""


class Work(Protocol):
    """What the roster needs of whoever does the work."""

    settings: Settings
    store: Store
    fleet: Fleet
    clock: Clock

    def client_name(self, org: str) -> str:
        """Return the name of the client whose org this is."""
        ...

    def client(self, name: str) -> Client:
        """Return a client's terms and mappings."""
        ...

    def org(self, name: str) -> OrgSettings:
        """Return the settings of an org."""
        ...

    def home_unread(self, org: str) -> str | None:
        """Return the client's own org if ``org`` is its part of a hub and must wait for that one."""
        ...

    def budget(self, org: str) -> Budget:
        """Return what is known of an org's API calls."""
        ...

    def sync(self, org: str, *, turn_seconds: float | None = None, nightly: bool = False) -> Report:
        """Run the line over one org."""
        ...

    def audit(self, org: str) -> Any:
        """Compare an org with the store and keep the certificate."""
        ...

    def check_calendar(self, client: str) -> int:
        """Compare a client's published holidays with the newest list and keep how many days differ."""
        ...


class Roster:
    """Whose turn it is."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._written: dict[str, datetime] = {}
        """The newest grid point of each name that this process saw in the store: it need not ask for it again."""

    # --- what is due ------------------------------------------------------------------------------

    def due(self, limit: int = NUDGES_A_TICK) -> list[str]:
        """Write down every grid point that has passed; return at most ``limit`` orgs that owe a run, longest first."""
        now = self._work.clock.now()
        self._work.fleet.beat(now)
        self._write_down(now)
        owing: dict[str, set[str]] = {}
        for name in self._work.fleet.due(RUNS, now):
            kind, _, org = name.partition(":")
            owing.setdefault(org, set()).add(kind)
        states = self._states()
        return [
            org
            for org, kinds in owing.items()
            if org in states and not _must_wait(states[org], kinds, now) and self._may_run(states[org], now)
        ][:limit]

    def checks(self, limit: int = CHECKS_A_TICK) -> list[tuple[str, str]]:
        """Return at most ``limit`` audits and looks at calendars that are owed, as (kind, org), longest first."""
        now = self._work.clock.now()
        owing = [name.partition(":") for name in self._work.fleet.due((AUDIT, CALENDAR), now)]
        states = self._states() if owing else {}
        return [(kind, org) for kind, _, org in owing if org in states and self._may_run(states[org], now)][:limit]

    def sweep(self) -> list[str]:
        """Make every org due whose client has a deadline that has come; return those that may run."""
        now = self._work.clock.now()
        clients = set(self._work.store.due_clients(now))
        orgs = [org for org in self._work.settings.orgs if self._work.client_name(org) in clients]
        if not orgs:
            return []
        self._work.fleet.write_ticks((f"deadline:{org}", now.replace(second=0)) for org in orgs)
        states = self._states()
        return [org for org in orgs if org in states and self._may_run(states[org], now)]

    # --- doing it ---------------------------------------------------------------------------------

    def sync_if_due(self, org: str, turn_seconds: float | None = TURN_SECONDS) -> Report | None:
        """Sync ``org`` if it owes a run and nobody is at it; one run answers every grid point that was missed.

        A run whose turn is over has answered them too, and owes the rest from now on, behind all others.
        """
        now = self._work.clock.now()
        owed = self._owed(org, RUNS, now)
        nightly = f"nightly:{org}" in owed
        if owed and self._work.home_unread(org):
            return None
        if not owed or self._work.budget(org).left(self._work.org(org).api_share, now, nightly=nightly) == 0:
            return None
        report = None
        try:
            report = self._work.sync(org, turn_seconds=turn_seconds, nightly=nightly)
        except LeaseLost:
            return None
        except TurnOver:
            now = self._work.clock.now()
            owed.pop(f"rest:{org}", None)
            self._work.fleet.put_off(f"rest:{org}", now)
        self._finish(owed)
        return report

    def check_if_due(self, kind: str, org: str) -> bool:
        """Audit an org, or look at its client's calendar, if that is owed; return whether it was done.

        One that fails is owed again after an hour, so that it takes no worker's time for ever.
        """
        now = self._work.clock.now()
        owed = self._owed(org, (kind,), now)
        if not owed:
            return False
        try:
            if kind == AUDIT:
                self._work.audit(org)
            else:
                self._work.check_calendar(self._work.client_name(org))
        except LeaseLost:
            return False
        except Exception:
            self._work.fleet.try_again(f"{kind}:{org}", now, now + CHECK_AGAIN)
            raise
        self._finish(owed)
        return True

    def _owed(self, org: str, kinds: tuple[str, ...], now: datetime) -> dict[str, datetime]:
        """Return what ``org`` owes of these kinds, if it may be worked on."""
        if org not in self._work.settings.orgs:
            return {}
        owed = self._work.fleet.owed([f"{kind}:{org}" for kind in kinds], now)
        row = self._work.store.org(self._work.client_name(org), org) if owed else None
        if row is None or _must_wait(row, {name.partition(":")[0] for name in owed}, now):
            return {}
        return owed if self._may_run(row, now) else {}

    def _finish(self, owed: Mapping[str, datetime]) -> None:
        for name, at in owed.items():
            self._work.store.finish_ticks(name, at, self._work.clock.now())

    # --- inside -----------------------------------------------------------------------------------

    def _states(self) -> dict[str, OrgRow]:
        return {row.org: row for row in self._work.store.orgs()}

    def _write_down(self, now: datetime) -> None:
        points = {p.name: p.due_at for org in self._work.settings.orgs for p in self._points(org, now)}
        fresh = {name: at for name, at in points.items() if self._written.get(name) != at}
        if fresh:
            self._work.fleet.write_ticks(fresh.items())
            self._written |= fresh

    def _points(self, org: str, now: datetime) -> Iterator[schedule.Due]:
        """Yield the newest grid points of an org; an org whose client's file is wrong has none and stops nobody."""
        settings = self._work.settings.orgs[org]
        try:
            zone = self._work.client(self._work.client_name(org)).terms.time_zone
        except SfsyncError as bad:
            log.warning("org left out", org=org, error=type(bad).__name__)
            return
        yield schedule.nightly(f"nightly:{org}", settings.nightly, zone, now)
        offset = schedule.spread(org, settings.every_minutes * 60)
        yield schedule.every(f"between:{org}", settings.every_minutes, now, offset)
        late = schedule.spread(org, SPREAD_SECONDS)
        yield schedule.weekly(f"{AUDIT}:{org}", settings.audit, zone, now, late)
        if settings.role == "client":
            yield schedule.weekly(f"{CALENDAR}:{org}", CALENDAR_CHECK, zone, now, late)

    def _may_run(self, row: OrgRow, now: datetime) -> bool:
        """An org that is paused, being worked on, or waiting after failures is left alone."""
        if row.org not in self._work.settings.orgs or row.state == "paused" or row.holder is not None:
            return False
        died = row.running_since is not None  # nobody holds the org, so its worker is dead
        if died and not row.failed_runs:
            return True  # one death is taken over at once; an org that kills its workers waits like one that fails
        failures = row.failed_runs + died
        ended_at = row.running_since or row.failed_at
        if not failures or ended_at is None:
            return True
        first = timedelta(seconds=self._work.settings.schedule.retry_seconds)
        wait: timedelta = min(LONGEST_RETRY, first * 2 ** min(failures - 1, 16))
        return ended_at + wait <= now


def _must_wait(row: OrgRow, kinds: set[str], now: datetime) -> bool:
    """In-between polls of an org that is short of API calls wait; nightly work, deadlines and checks do not."""
    return row.waits_until is not None and now < row.waits_until and not kinds - {"between", "rest"}
