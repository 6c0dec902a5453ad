"""Places in the told story of a ledger from which it can be told on, without what lies before.

A ``Mark`` holds the packs after some event; a ``CaseMark`` one case's minutes there, and the facts as they were read.
Both become plain data and come back equal. May not know stores. It keeps one law: a story taken up at a mark is the
story told from its first day, or it is refused (``NeedsMore``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sfsync.policy import ClientTerms, Plans
from sfsync.records import Priority
from sfsync.rules.intake import Closing, Decision, Event, Intake, Rank, Work
from sfsync.rules.replay import Leg, Replay, Ruling, Share
from sfsync.rules.validity import Lot

TELLING = 1
"""Counted up when the rules tell the same facts otherwise: marks of an earlier telling are of no use then."""

SPACING = ((8, 64), (32, 1024))
"""(events between two marks, how far back from the end): a change tells again what came after the mark before it, and
most changes are new; each number is a multiple of the one before."""
WIDE = 1024
"""Events between two marks further back than that."""


class NeedsMore(Exception):
    """What was shown is not enough to tell on: go back before an event, or show more cases. Never leaves the rules."""

    def __init__(self, *, before: Event | None = None, cases: Iterable[str] = (), whole: bool = False) -> None:
        super().__init__()
        self.before, self.cases, self.whole = before, frozenset(cases), whole


@dataclass(frozen=True, slots=True)
class Mark:
    """The packs of a client after ``last``, the ``number``-th event of its story."""

    number: int
    last: Event
    lots: Mapping[str, Lot]
    acts: int
    """How many acts of persons were told."""
    free: Mapping[str, int]
    held: Mapping[str, int]
    pool: Mapping[str, Mapping[date, int]]
    valid: Mapping[str, date]
    dead: Mapping[str, bool]
    moved: Mapping[str, int]
    parts: Mapping[str, Mapping[str, int]]
    """Case to its reservation."""
    uncovered: Mapping[str, int]
    unfunded: Mapping[str, int]
    totals: Mapping[str, int]
    cases: frozenset[str]
    """Cases that minutes coming free may reach: always shown."""


@dataclass(frozen=True, slots=True)
class CaseMark:
    """One case there: its minutes, and the facts as they were read when they were told."""

    case: str
    urgent: bool
    approved: int | None
    used: int | None
    closed_on: date | None
    approval: str | None
    released: Mapping[str, int]
    fixed: Mapping[tuple[str, date], int]
    works: Mapping[str, Work]
    shares: Mapping[str, Share]
    decisions: Mapping[str, Decision]
    rulings: Mapping[str, Ruling]
    closing: Closing | None


def digest(terms: ClientTerms, plans: Plans) -> str:
    """Return what the telling depends on besides the facts, as a hash."""
    said = f"{TELLING}\n{terms.model_dump_json()}\n{plans.model_dump_json()}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def next_place(position: int, total: int) -> int:
    """Return the first place after ``position`` at which a story of ``total`` events is marked."""
    return min(-(-max(position + 1, total - reach) // every) * every for every, reach in (*SPACING, (WIDE, total)))


def kept(number: int, total: int) -> bool:
    """Return whether a mark stays when the story has grown to ``total`` events."""
    return number % WIDE == 0 or any(number % every == 0 and total - number <= reach for every, reach in SPACING)


# cutting


def cut(replay: Replay, intake: Intake, number: int, last: Event) -> Mark:
    """Return the packs as they stand after ``last``."""
    reached = {intake.works[key].case for key in replay.uncovered}
    reached |= {intake.decisions[key].case for key in replay.unfunded}
    return Mark(
        number=number,
        last=last,
        lots=dict(intake.lots),
        acts=sum(Event(act.booked_at, Rank.ACT, key) <= last for key, act in intake.acts.items()),
        free=dict(replay.free),
        held=dict(replay.held),
        pool={lot: dict(days) for lot, days in replay.pool.items() if days},
        valid=dict(replay.valid),
        dead=dict(replay.dead),
        moved=dict(replay.moved),
        parts={case: dict(parts) for case, parts in replay.parts.items() if parts},
        uncovered=dict(replay.uncovered),
        unfunded=dict(replay.unfunded),
        totals=dict(replay.totals),
        cases=frozenset(reached),
    )


def cut_case(replay: Replay, intake: Intake, case: str, last: Event) -> CaseMark:
    """Return one case as it stands after ``last``."""
    record = intake.cases.get(case)
    works = {
        key: work
        for key in sorted(intake.entries_of.get(case, ()))
        if (work := intake.works.get(key)) is not None and _work_event(work) <= last
    }
    decisions = {
        key: decision
        for key in sorted(intake.estimates_of.get(case, ()))
        if (decision := intake.decisions.get(key)) is not None and _decision_event(decision) <= last
    }
    closing = intake.closings.get(case)
    return CaseMark(
        case=case,
        urgent=record is not None and record.priority == Priority.P1,
        approved=replay.approved.get(case),
        used=replay.used.get(case),
        closed_on=replay.closed_on.get(case),
        approval=replay.approval.get(case),
        released=dict(replay.released.get(case, {})),
        fixed=dict(replay.fixed.get(case, {})),
        works=works,
        shares={key: replay.shares[key] for key in works if key in replay.shares},
        decisions=decisions,
        rulings={key: replay.rulings[key] for key in decisions if key in replay.rulings},
        closing=closing if closing is not None and _closing_event(case, closing) <= last else None,
    )


def touched_cases(replay: Replay, intake: Intake, since: int) -> set[str]:
    """Return the cases that what was written since a length of the journal is about."""
    by_case = {id(values) for values in (replay.approved, replay.used, replay.closed_on, replay.approval)}
    shares, rulings = id(replay.shares), id(replay.rulings)
    found: set[str] = set()
    for values, key, _ in replay.written_from(since):
        name = id(values)
        if name in by_case:
            found.add(key)
        elif name == shares:
            found.add(intake.works[key].case)
        elif name == rulings:
            found.add(intake.decisions[key].case)
    return found


# taking up


def restore(replay: Replay, mark: Mark, told: Iterable[CaseMark]) -> None:
    """Leave ``replay``, which told nothing yet, where the story stood at ``mark``; of cases those that are given."""
    for name in ("free", "held", "valid", "dead", "moved", "uncovered", "unfunded", "totals"):
        getattr(replay, name).update(getattr(mark, name))
    replay.pool.update({lot: dict(days) for lot, days in mark.pool.items()})
    replay.parts.update({case: dict(parts) for case, parts in mark.parts.items()})
    replay.burn["order"] = tuple(sorted(mark.lots[lot].burn_key(valid) for lot, valid in mark.valid.items()))
    for each in told:
        for name in ("approved", "used", "closed_on", "approval"):
            value = getattr(each, name)
            if value is not None:
                getattr(replay, name)[each.case] = value
        for name in ("released", "fixed"):
            if getattr(each, name):
                getattr(replay, name)[each.case] = dict(getattr(each, name))
        replay.shares.update(each.shares)
        replay.rulings.update(each.rulings)
        waiting = {key: share.waiting for key, share in each.shares.items() if share.waiting}
        if waiting:
            replay.waiting[each.case] = waiting


def first_difference(intake: Intake, mark: Mark, told: Mapping[str, CaseMark]) -> Event | None:
    """Return the earliest event up to the mark that was told of other facts than these, or None."""
    events = {event for event in _differences(intake, mark, told) if event <= mark.last}
    return min(events, default=None)


def _differences(intake: Intake, mark: Mark, told: Mapping[str, CaseMark]) -> Iterator[Event]:
    lots = {**mark.lots, **intake.lots}
    for key in lots:
        before, after = mark.lots.get(key), intake.lots.get(key)
        if before != after:
            for lot in (before, after):
                yield from intake.pack_events(lot)
    acts = [Event(act.booked_at, Rank.ACT, key) for key, act in intake.acts.items()]
    if sum(event <= mark.last for event in acts) != mark.acts:
        yield from acts
    works = {key: work for each in told.values() for key, work in each.works.items()}
    for key in works.keys() | intake.works.keys():
        was, now = works.get(key), intake.works.get(key)
        if was != now:
            yield from (_work_event(work) for work in (was, now) if work is not None)
    decisions = {key: decision for each in told.values() for key, decision in each.decisions.items()}
    for key in decisions.keys() | intake.decisions.keys():
        one, two = decisions.get(key), intake.decisions.get(key)
        if one != two:
            yield from (_decision_event(decision) for decision in (one, two) if decision is not None)
    for case in told.keys() | intake.closings.keys():
        closed = told[case].closing if case in told else None
        closes = intake.closings.get(case)
        if closed != closes:
            yield from (_closing_event(case, each) for each in (closed, closes) if each is not None)
    if intake.policy.emergency_allowance_minutes:
        for case, each in told.items():
            record = intake.cases.get(case)
            if each.urgent != (record is not None and record.priority == Priority.P1):
                yield from map(_work_event, each.works.values())


def _work_event(work: Work) -> Event:
    return Event(work.posted_at, Rank.WORK, work.key)


def _decision_event(decision: Decision) -> Event:
    return Event(decision.at, Rank.DECIDE, decision.key)


def _closing_event(case: str, closing: Closing) -> Event:
    return Event(closing.at, Rank.CLOSE, case)


# plain data


def mark_data(mark: Mark) -> dict[str, Any]:
    """Return a mark without its number and last event, as data that JSON holds."""
    return {
        "lots": {key: [_plain(getattr(lot, f.name)) for f in fields(Lot)] for key, lot in mark.lots.items()},
        "acts": mark.acts,
        "pool": {lot: {day.isoformat(): minutes for day, minutes in days.items()} for lot, days in mark.pool.items()},
        "valid": {lot: day.isoformat() for lot, day in mark.valid.items()},
        "parts": {case: dict(parts) for case, parts in mark.parts.items()},
        "cases": sorted(mark.cases),
        **{name: dict(getattr(mark, name)) for name in _COUNTS},
    }


_COUNTS = ("free", "held", "dead", "moved", "uncovered", "unfunded", "totals")
_LOT_DAYS = frozenset({"activated_on", "original_on", "last_valid_on", "extended_on"})


def mark_of(number: int, last: Event, data: Mapping[str, Any]) -> Mark:
    """Return the mark that ``mark_data`` was given."""
    return Mark(
        number=number,
        last=last,
        lots={key: _lot(values) for key, values in data["lots"].items()},
        acts=data["acts"],
        pool={lot: {date.fromisoformat(day): m for day, m in days.items()} for lot, days in data["pool"].items()},
        valid={lot: date.fromisoformat(day) for lot, day in data["valid"].items()},
        parts=data["parts"],
        cases=frozenset(data["cases"]),
        **{name: data[name] for name in _COUNTS},
    )


def _lot(values: list[Any]) -> Lot:
    named: dict[str, Any] = dict(zip((f.name for f in fields(Lot)), values, strict=True))
    for name in _LOT_DAYS:
        named[name] = _day(named[name])
    return Lot(**named)


def case_data(told: CaseMark) -> dict[str, Any]:
    """Return a case as data that JSON holds; what is empty is left out."""
    found = {
        "urgent": told.urgent,
        "approved": told.approved,
        "used": told.used,
        "closed_on": _plain(told.closed_on),
        "approval": told.approval,
        "released": dict(told.released),
        "fixed": [[lot, day.isoformat(), minutes] for (lot, day), minutes in told.fixed.items()],
        "works": [[_plain(value) for value in work] for work in told.works.values()],
        "shares": {
            key: [[[_plain(value) for value in leg] for leg in share.legs], *share[1:]]
            for key, share in told.shares.items()
        },
        "decisions": [[_plain(value) for value in decision] for decision in told.decisions.values()],
        "rulings": {key: list(ruling) for key, ruling in told.rulings.items()},
        "closing": [_plain(value) for value in told.closing] if told.closing is not None else None,
    }
    return {name: value for name, value in found.items() if value not in (None, False, {}, [])}


def case_of(case: str, data: Mapping[str, Any]) -> CaseMark:
    """Return the case that ``case_data`` was given."""
    works = [
        Work(key, of, datetime.fromisoformat(at), date.fromisoformat(on), billed, verdict)
        for key, of, at, on, billed, verdict in data.get("works", ())
    ]
    decisions = [
        Decision(key, of, datetime.fromisoformat(at), date.fromisoformat(day), minutes, approved, _day(until), by)
        for key, of, at, day, minutes, approved, until, by in data.get("decisions", ())
    ]
    closing = data.get("closing")
    return CaseMark(
        case=case,
        urgent=data.get("urgent", False),
        approved=data.get("approved"),
        used=data.get("used"),
        closed_on=_day(data.get("closed_on")),
        approval=data.get("approval"),
        released=data.get("released", {}),
        fixed={(lot, date.fromisoformat(day)): minutes for lot, day, minutes in data.get("fixed", ())},
        works={work.key: work for work in works},
        shares={
            key: Share(
                tuple(
                    Leg(pack, minutes, date.fromisoformat(on), datetime.fromisoformat(at))
                    for pack, minutes, on, at in legs
                ),
                *rest,
            )
            for key, (legs, *rest) in data.get("shares", {}).items()
        },
        decisions={decision.key: decision for decision in decisions},
        rulings={key: Ruling(*values) for key, values in data.get("rulings", {}).items()},
        closing=Closing(datetime.fromisoformat(closing[0]), date.fromisoformat(closing[1])) if closing else None,
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
