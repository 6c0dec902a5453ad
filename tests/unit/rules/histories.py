"""Random histories of one client's packs: what people could do in a year, from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms, Policy
from sfsync.records import Case, Estimate, EstimateStatus, Pack, Record, TimeEntry
from sfsync.rules.ledger import LedgerFacts

PLANS = load_plans()
ZONES = ("Europe/Bucharest", "America/Argentina/Buenos_Aires", "America/Santiago", "UTC")
FIRST = date(2026, 1, 5)
CATEGORIES = ("Evolutionary", "Preventive", "Adaptive", "Corrective", None)
KINDS: tuple[tuple[str, type[Record]], ...] = (
    ("packs", Pack),
    ("cases", Case),
    ("estimates", Estimate),
    ("entries", TimeEntry),
)


@dataclass
class History:
    """The records of one client in their last form, and the order in which versions of them arrive."""

    seed: int
    terms: ClientTerms
    records: list[Record] = field(default_factory=list)
    arrivals: list[tuple[datetime, list[Record]]] = field(default_factory=list)
    """Instants of runs and what each brings; a record may come again with other values."""


def facts_of(records: dict[str, Record]) -> LedgerFacts:
    """Return records by key as the ledger takes them."""
    split: dict[str, dict[str, Any]] = {
        name: {key: record for key, record in records.items() if isinstance(record, kind)} for name, kind in KINDS
    }
    return LedgerFacts(**split)


def history(seed: int, rng: Random, *, edits: bool) -> History:
    """Return a history; with ``edits`` people also change and delete entries after they were logged."""
    policy = Policy(
        approval_required=rng.random() < 0.6,
        deduction=rng.choice(["actual_capped", "actual_capped", "fixed"]),
        tolerance_pct=rng.choice([0, 0, 10]),
        emergency_allowance_minutes=rng.choice([0, 0, 45]),
        auto_approve_below_minutes=rng.choice([0, 0, 60]),
        reservation_grace_days=rng.choice([30, 30, 0, 5]),
        extension_grace_days=rng.choice([0, 0, 10]),
        overdraw=rng.choice(["block", "block", "block", "negative"]),
        overdraw_limit_minutes=rng.choice([0, 200]),
        increment=rng.choice([1, 1, 15]),
        rounding=rng.choice(["up", "nearest", "down"]),
        rounding_scope=rng.choice(["entry", "case_day", "case_week"]),
        courtesy_days=30,
    )
    terms = ClientTerms(client="c", name="Client", time_zone=rng.choice(ZONES), policy=policy)
    told = History(seed, terms)
    cases = [_case(rng, number) for number in range(rng.randint(1, 4))]
    told.records += [_pack(rng, number) for number in range(rng.randint(0, 5))]
    told.records += cases
    for case in cases:
        told.records += _estimates(rng, case)
    entries = [_entry(rng, number, cases) for number in range(rng.randint(1, 14))]
    for number, entry in enumerate(entries[1:], 1):
        if edits and rng.random() < 0.1:
            entries[number] = replace(entry, correction_of=rng.choice(entries[:number]).key)
        elif edits and rng.random() < 0.1:
            entries[number] = replace(entry, deleted=True)
    told.records += entries
    _arrive(told, rng, edits)
    return told


def _day(rng: Random, first: int, last: int) -> date:
    return FIRST + timedelta(days=rng.randint(first, last))


def _instant(rng: Random, day: date) -> datetime:
    """Return some instant around a day; often the very same one, so that ties are met."""
    hour = rng.choice([9, 9, 12, rng.randint(0, 23)])
    return datetime(day.year, day.month, day.day, hour, rng.choice([0, 0, 30]), tzinfo=UTC)


def _pack(rng: Random, number: int) -> Pack:
    activated = _day(rng, 0, 200)
    if rng.random() < 0.3:
        asked = rng.choice([None, activated + timedelta(days=rng.randint(0, 200))])
        return Pack(
            key=f"P{number}",
            plan=rng.choice(["Starter", "Flexi", "Pro"]),
            packs_bought=1,
            activated_on=activated,
            extension_requested=asked is not None,
            extension_requested_on=asked,
            purchase_seq=number,
        )
    return Pack(
        key=f"P{number}",
        bought_minutes=rng.choice([60, 240, 480, 480]),
        activated_on=activated,
        last_valid_on=activated + timedelta(days=rng.randint(0, 120)),
        purchase_seq=rng.choice([0, number]),
    )


def _case(rng: Random, number: int) -> Case:
    closed = _instant(rng, _day(rng, 30, 260)) if rng.random() < 0.6 else None
    return Case(
        key=f"C{number}",
        priority=rng.choice(["P1", "P3"]),
        category=rng.choice(CATEGORIES),
        is_closed=closed is not None,
        closed_at=closed,
    )


def _estimates(rng: Random, case: Case) -> list[Estimate]:
    made, day = [], _day(rng, 0, 150)
    for version in range(1, rng.randint(0, 3) + 1):
        sent, decided = day, day + timedelta(days=rng.choice([0, 1, 3, 20]))
        day = decided + timedelta(days=rng.randint(-2, 30))
        status = rng.choice(["Approved", "Approved", "Approved", "Rejected", "Sent", "Draft"])
        is_decided = status in ("Approved", "Rejected")
        made.append(
            Estimate(
                key=f"{case.key}/E{version}",
                case=case.key,
                version=version,
                estimated_minutes=rng.choice([30, 120, 240, 600]),
                sent_at=None if status == "Draft" else _instant(rng, sent),
                status=EstimateStatus(status),
                decided_at=_instant(rng, decided) if is_decided else None,
            )
        )
    return made


def _entry(rng: Random, number: int, cases: list[Case]) -> TimeEntry:
    worked = _day(rng, 0, 250)
    return TimeEntry(
        key=f"T{number:02d}",
        case=rng.choice([*cases, *cases, *cases, Case(key="")]).key or None,
        worked_on=worked,
        worked_minutes=rng.choice([0, 7, 20, 45, 60, 90, 200, 480]),
        category=rng.choice(CATEGORIES),
        billable=rng.random() > 0.05,
        created_at=_instant(rng, worked + timedelta(days=rng.choice([0, 0, 0, 1, 2, 20, 60]))),
    )


def _born(record: Record, zone_days: int = 0) -> date:
    """Return the first day on which a record can reach us."""
    if isinstance(record, Pack):
        return (record.activated_on or FIRST) + timedelta(days=zone_days)
    if isinstance(record, Estimate):
        at = record.decided_at or record.sent_at
        return at.date() if at else FIRST
    if isinstance(record, TimeEntry) and record.created_at is not None:
        return record.created_at.date()
    return FIRST


def _arrive(told: History, rng: Random, edits: bool) -> None:
    """Let every record arrive some time after it came to be, most at the next run, some very late."""
    due: dict[int, list[Record]] = {}
    for record in told.records:
        day = (_born(record) - FIRST).days + rng.choice([0, 0, 0, 1, 7, 40, 120])
        if edits and rng.random() < 0.3:
            due.setdefault(day, []).append(_earlier_form(record, rng))
            day += rng.choice([0, 1, 10, 60, 150])
        due.setdefault(day, []).append(record)
    for quiet in rng.sample(range(420), 2):
        due.setdefault(quiet, [])
    due.setdefault(600, [])
    runs: dict[int, list[Record]] = {}
    for day in sorted(due):
        runs.setdefault(-(-day // 14) * 14, []).extend(due[day])
    for day, records in runs.items():
        at = datetime(2026, 1, 5, 23, 30, tzinfo=UTC) + timedelta(days=day)
        told.arrivals.append((at, records))


def _earlier_form(record: Record, rng: Random) -> Record:
    """Return what a record may have said before somebody changed it."""
    if isinstance(record, TimeEntry):
        change = rng.choice(["minutes", "minutes", "case", "day"])
        if change == "minutes":
            return replace(record, worked_minutes=rng.choice([5, 100, 300, 480]), deleted=False)
        if change == "case":
            return replace(record, case=rng.choice(["C0", "C1", None]))
        return replace(record, worked_on=_day(rng, 0, 200))
    if isinstance(record, Pack):
        if record.packs_bought is not None:
            return replace(
                record, packs_bought=rng.choice([1, 2]), extension_requested=False, extension_requested_on=None
            )
        return replace(record, bought_minutes=rng.choice([30, 300, 600]))
    if isinstance(record, Case):
        return replace(record, is_closed=False, closed_at=None, priority="P3")
    if isinstance(record, Estimate):
        return replace(record, status=EstimateStatus.SENT, decided_at=None)
    return record
