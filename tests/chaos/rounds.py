"""One round of chaos: people work, processes die, orgs go down; then it is quiet, and everything must be as promised.

What a round does is drawn from its seed; when each thing hits a process is the machine's. May not know how processes
are started. It keeps one law: nothing is looked at before it is quiet, and then everything is.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sfsync.cli.ledger import _verified
from sfsync.cli.rooms import Opened
from sfsync.clock import seeded
from sfsync.errors import LeaseLost, SfsyncError
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.sync import Report
from tests.chaos.ground import CLOCK, LEASE_SECONDS, ORGS, WORKERS, Ground

QUIET_SECONDS = 90
"""Longest wait until everything is done once nothing is broken any more; a loaded machine is slow."""

OUTAGES = (
    {"kind": "unavailable", "path": ".*", "times": 6},
    {"kind": "reset_before", "path": ".*", "times": 4},
    {"kind": "reset_after", "method": "POST", "path": "/composite", "times": 3},
    {"kind": "cut_body", "path": "/composite", "times": 2},
    {"kind": "server_error", "path": ".*", "probability": 0.5, "times": 4},
    {"kind": "duplicate", "method": "POST", "path": "/composite", "times": 2},
    {"kind": "slow", "path": ".*", "seconds": 0.7, "times": 4},
    {"kind": "timeout_after", "method": "POST", "path": "/composite", "times": 1},
    {"kind": "session", "path": ".*", "times": 1},
)


class BrokenPromise(AssertionError):
    """What was found once it was quiet."""


@dataclass(slots=True)
class Memory:
    """What earlier rounds saw and no later one may find changed."""

    breaches: dict[tuple[str, str, str, int, str], datetime] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)
    """How often each thing was done."""


def live(ground: Ground, seed: int, memory: Memory) -> list[str]:
    """Live the round of ``seed`` and return what was done; BrokenPromise says what does not hold afterwards."""
    dice = seeded(f"chaos {seed}")
    done = [*_people(ground, dice), *_nudge(ground)]
    done += _trouble(ground, dice)
    _heal(ground)
    _settle(ground)
    _look(ground, memory)
    for one in done:
        memory.did[one.split(" ")[0]] += 1
    return done


# --- people -------------------------------------------------------------------------------------------------------


def _people(ground: Ground, dice: random.Random) -> list[str]:
    done = []
    for org in ground.orgs.values():
        with org.lock:
            for _ in range(dice.randint(1, 4)):
                act = dice.choice([_late_case, _work, _old_work, _less_work, _priority, _close, _estimate])
                act(org, dice)
                done.append(f"{act.__name__[1:]} {org.name}")
    return done


def _all(org: LocalOrg, sobject: str) -> list[str]:
    rows = org.storage.rows(f'SELECT "Id" FROM "{sobject}" WHERE "IsDeleted" = 0 ORDER BY "Id"')
    return [str(row[0]) for row in rows]


def _some(org: LocalOrg, dice: random.Random, sobject: str) -> str:
    return dice.choice(_all(org, sobject))


def _late_case(org: LocalOrg, dice: random.Random) -> None:
    """A case that was opened days ago and nobody has answered: it is in breach when it is first read."""
    opened = CLOCK.now() - timedelta(hours=dice.randint(30, 200))
    row = {
        "Subject": f"Nobody answers {dice.randint(1, 10**6)}", "Maint_Priority__c": dice.choice(["P1", "P2", "P3"]),
        "Maint_Request__c": True, "Status": "New", "CreatedDate": opened.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "LastModifiedDate": CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "SystemModstamp": CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    org.seed_rows("Case", [row])


def _work(org: LocalOrg, dice: random.Random, days_ago: int = 0) -> None:
    day = (CLOCK.now() - timedelta(days=days_ago)).date().isoformat()
    row = {
        "Minutes__c": dice.randint(5, 60),
        "Work_Date__c": day,
        "Description__c": "Work",
        "Category__c": "Corrective",
    }
    org.insert("Time_Entry__c", {"Case__c": _some(org, dice, "Case"), **row}, user=f"consultant1@{org.name}.example")


def _old_work(org: LocalOrg, dice: random.Random) -> None:
    """Work of a week that is closed: its summary is revised."""
    _work(org, dice, days_ago=dice.randint(7, 14))


def _less_work(org: LocalOrg, dice: random.Random) -> None:
    """An entry is deleted; after many rounds none may be left, and work goes on."""
    if _all(org, "Time_Entry__c"):
        org.delete("Time_Entry__c", _some(org, dice, "Time_Entry__c"))
    else:
        _work(org, dice)


def _priority(org: LocalOrg, dice: random.Random) -> None:
    org.update("Case", _some(org, dice, "Case"), {"Maint_Priority__c": dice.choice(["P1", "P2", "P3", "P4"])})


def _close(org: LocalOrg, dice: random.Random) -> None:
    org.update("Case", _some(org, dice, "Case"), {"Status": "Closed"}, user=f"consultant1@{org.name}.example")


def _estimate(org: LocalOrg, dice: random.Random) -> None:
    sent = CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    row = {"Case__c": _some(org, dice, "Case"), "Minutes__c": 30 * dice.randint(1, 8), "Version__c": 1}
    row |= {"Status__c": "Sent", "Sent_At__c": sent, "What_We_Will_Do__c": "As discussed.", "Category__c": "Corrective"}
    made = org.insert("Maintenance_Estimate__c", row, user=f"consultant1@{org.name}.example")[0]
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Approved"}, user=f"client1@{org.name}.example")


# --- trouble ------------------------------------------------------------------------------------------------------


def _nudge(ground: Ground) -> list[str]:
    """Leave every org due; the beat finds it."""
    now = CLOCK.now()
    for name in ORGS:
        ground.runtime.store.write_tick(f"deadline:{name}", now)
    return []


def _trouble(ground: Ground, dice: random.Random) -> list[str]:
    """Do what was drawn, each thing as soon as the orgs have seen some more requests."""
    kinds: list[tuple[Callable[[Ground, random.Random], str], int]] = [
        (_kill_worker, 4), (_kill_main, 1), (_kill_beat, 2), (_kill_broker, 2), (_crash_store, 2), (_outage, 4),
        (_freeze, 3), (_cut_leases, 1),
    ]  # fmt: skip
    done = []
    for kind in dice.choices([kind for kind, _ in kinds], [weight for _, weight in kinds], k=dice.randint(1, 3)):
        seen, wanted = ground.watchman.requests, dice.randint(1, 5)
        ground.until(lambda s=seen, w=wanted: ground.watchman.requests >= s + w, seconds=1.5)  # type: ignore[misc]
        done.append(kind(ground, dice))
    return done


def _kill_worker(ground: Ground, dice: random.Random) -> str:
    name = f"worker{dice.randrange(WORKERS)}"
    ground.kill(name)
    return f"kill {name}"


def _kill_main(ground: Ground, dice: random.Random) -> str:
    name = f"worker{dice.randrange(WORKERS)}"
    ground.kill_main(name)
    return f"kill_main {name}"


def _kill_beat(ground: Ground, dice: random.Random) -> str:
    ground.kill("beat")
    return "kill_beat"


def _kill_broker(ground: Ground, dice: random.Random) -> str:
    ground.restart_broker()
    return "kill_broker"


def _crash_store(ground: Ground, dice: random.Random) -> str:
    ground.restart_store()
    return "crash_store"


def _outage(ground: Ground, dice: random.Random) -> str:
    org, plan = dice.choice(list(ground.orgs.values())), dice.choice(OUTAGES)
    with org.lock:
        org.faults = Faults.of({"seed": dice.randint(0, 10**6), "rules": [plan]})
    return f"outage {org.name} {plan['kind']}"


def _freeze(ground: Ground, dice: random.Random) -> str:
    """A worker stands still until its lease has run out and somebody else has had its orgs; then it wakes."""
    name = f"worker{dice.randrange(WORKERS)}"
    ground.signal(name, signal.SIGSTOP)
    began = CLOCK.monotonic()
    ground.until(lambda: CLOCK.monotonic() > began + LEASE_SECONDS + 0.5, seconds=LEASE_SECONDS + 5)
    ground.signal(name, signal.SIGCONT)
    return f"freeze {name}"


def _cut_leases(ground: Ground, dice: random.Random) -> str:
    """Every lease ends at this moment, whatever its holder believes: as after a clock that jumped."""
    ground.server._run_sql("UPDATE org_lease SET expires_at = '-infinity'", "sfsync")
    return "cut_leases"


def _heal(ground: Ground) -> None:
    for org in ground.orgs.values():
        with org.lock:
            org.faults = Faults()
    ground.bury()
    ground.keep_alive()


# --- quiet --------------------------------------------------------------------------------------------------------


def _settle(ground: Ground) -> None:
    """Return once every org has been synced by the workers since it became quiet, with nobody at work."""
    since = CLOCK.now()
    _nudge(ground)

    def settled() -> bool:
        try:
            rows = {row.org: row for row in ground.runtime.store.orgs()}
            owed = ground.runtime.fleet.due(("nightly", "between", "deadline", "rest"), CLOCK.now())
        except SfsyncError:
            return False
        return not owed and all(
            row.last_success_at is not None and row.last_success_at >= since and row.holder is None
            for row in (rows[name] for name in ORGS)
        )

    if not ground.until(settled, QUIET_SECONDS):
        states = [(r.org, r.state, r.failed_runs, r.holder, r.reason) for r in ground.runtime.store.orgs()]
        raise BrokenPromise(f"it was quiet and not everything was done: {states}\n{ground.tail()}")


def _synced(ground: Ground, name: str) -> Report:
    """Sync an org from here, after whoever is at it."""
    got: list[Report] = []

    def tried() -> bool:
        try:
            got.append(ground.runtime.sync(name))
        except LeaseLost:
            return False
        return True

    if not ground.until(tried, QUIET_SECONDS):
        raise BrokenPromise(f"{name} is never free")
    return got[0]


def _look(ground: Ground, memory: Memory) -> None:
    if ground.watchman.wrong:
        raise BrokenPromise(f"two runs at once: {ground.watchman.wrong}")
    for name, org in ground.orgs.items():
        report = next((r for r in (_synced(ground, name) for _ in range(3)) if not (r.wrote or r.absorbed)), None)
        if report is None:
            raise BrokenPromise(f"{name}: there is always something left to write")
        _look_at_audit(ground, name)
        _look_at_ledger(ground, name)
        with org.lock:
            _look_at_summaries(ground, org)
        _look_at_breaches(ground, org, memory)


def _look_at_audit(ground: Ground, name: str) -> None:
    made: list[object] = []

    def tried() -> bool:
        try:
            certificate, _ = ground.runtime.audit(name)
        except LeaseLost:
            return False
        if not certificate.equal or certificate.waiting:
            made.append(certificate)
        return True

    if not ground.until(tried, QUIET_SECONDS) or made:
        raise BrokenPromise(
            f"{name}: org and store differ: {made}; quarantined: {ground.runtime.store.quarantined(name)}"
        )


def _look_at_ledger(ground: Ground, name: str) -> None:
    if problems := _verified(Opened(ground.runtime), name, None)["problems"]:
        raise BrokenPromise(f"{name}: {problems}")


def _look_at_summaries(ground: Ground, org: LocalOrg) -> None:
    """Each closed week has one summary, and each of its lines is there once."""
    rows = org.storage.rows('SELECT "Iso_Week__c" FROM "Weekly_Summary__c" WHERE "IsDeleted" = 0')
    weeks = Counter(str(week) for (week,) in rows)
    facts = ground.runtime.store.facts(org.name)
    wanted = Counter(one.iso_week for one in facts.summaries.values() if not one.deleted)
    if weeks != wanted or set(weeks.values()) != {1} or len(weeks) < 2:
        raise BrokenPromise(f"{org.name}: summaries {dict(weeks)}, and the store has {dict(wanted)}")
    lines = org.count("Weekly_Summary_Line__c")
    known = sum(not line.deleted for line in facts.lines.values())
    if lines != known:
        raise BrokenPromise(f"{org.name}: {lines} lines of summaries, and the store has {known}")


def _look_at_breaches(ground: Ground, org: LocalOrg, memory: Memory) -> None:
    """Each breach that has come is recorded, once, at its computed instant, and never moves."""
    now = CLOCK.now()
    facts = ground.runtime.store.facts(org.name)
    for case, marks in ground.runtime.store.milestones(org.name).items():
        for mark in marks:
            name = (org.name, case, mark.clock, mark.cycle, mark.priority)
            known = memory.breaches.get(name)
            if known is not None and mark.breached_at not in (None, known):
                raise BrokenPromise(f"{name}: the breach of {known} has moved to {mark.breached_at}")
            if mark.breached_at is not None:
                memory.breaches[name] = mark.breached_at
            running = mark.met_at is None and mark.paused_since is None and mark.waived_reason is None
            closed = case in facts.cases and (facts.cases[case].is_closed or facts.cases[case].deleted)
            if running and not closed and mark.breach_at < now - timedelta(minutes=1) and mark.breached_at is None:
                raise BrokenPromise(f"{name}: was due at {mark.breach_at} and no breach is recorded")
    told = Counter(
        (one["record"], str(one["details"]["clock"]), str(one["details"]["cycle"]), one["at"])
        for one in ground.runtime.store.findings(org.name)
        if one["code"] == "Breach"
    )
    if twice := [one for one, times in told.items() if times > 1]:
        raise BrokenPromise(f"{org.name}: told twice of the breach of {twice}")
