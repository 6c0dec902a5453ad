"""The records of one client as the ledger reads them: lots, decisions, work and closings, each with its instant.

May not know balances. It keeps one law: what happens when is taken from facts an org keeps for ever
(created, decided, closed, activated), never from the order in which they reached us.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple, TypeVar

from sfsync.policy import ClientTerms, Plans, Policy
from sfsync.records import Case, Estimate, EstimateStatus, Pack, PackStatus, Posting, TimeEntry
from sfsync.rules import rounding
from sfsync.rules.postings import ACT
from sfsync.rules.validity import Lot, lot_of
from sfsync.rules.weeks import local_day, start_of_day

V = TypeVar("V")

INCLUDED, PACK, QUOTE = "included", "pack", "quote"
"""How a case is paid for (SCP-1..3)."""

WAITING = frozenset({EstimateStatus.SENT, EstimateStatus.QUESTION})


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """Every record of one client that moves minutes, by key. All of them: what is missing is taken back."""

    packs: Mapping[str, Pack] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    entries: Mapping[str, TimeEntry] = field(default_factory=dict)
    funding: Mapping[str, str] = field(default_factory=dict)
    """Case key to ``included``, ``pack`` or ``quote`` (SCP-3); a case without a word is paid from packs."""


class Rank(IntEnum):
    """What comes first at one instant."""

    ACTIVATE = 0
    EXTEND = 1
    EXPIRE = 2
    LAPSE = 3
    DECIDE = 4
    WORK = 5
    CLOSE = 6
    ACT = 7


class Event(NamedTuple):
    """Something that happens to a ledger; events sort into the one order in which they are told."""

    at: datetime
    rank: Rank
    key: str

    @property
    def by_calendar(self) -> bool:
        """Return whether it happens by the passing of time, and so not before its instant."""
        return self.rank < Rank.DECIDE


class Work(NamedTuple):
    """A time entry as the ledger reads it."""

    key: str
    case: str
    posted_at: datetime
    worked_on: date
    billed: int
    verdict: str
    """Empty: drawn on packs. Otherwise why not, and the entry draws nothing."""


class Decision(NamedTuple):
    """A client's answer to an estimate, or the policy's own."""

    key: str
    case: str
    at: datetime
    day: date
    minutes: int
    approved: bool
    valid_until: date | None
    superseded_by: int
    """The version that had replaced it when it was decided, or 0 (EST-3)."""


class Closing(NamedTuple):
    """The close of a case."""

    at: datetime
    day: date


def sent_at(estimate: Estimate) -> datetime | None:
    """Return when an estimate went to the client; one that went without a note of when, went when it was made."""
    if estimate.sent_at is None and estimate.status not in (None, EstimateStatus.DRAFT):
        return estimate.created_at
    return estimate.sent_at


def valid_until(estimate: Estimate, policy: Policy, zone: str) -> date | None:
    """Return the last local day on which an estimate can be approved, or None if it was never sent (EST-2)."""
    if estimate.valid_until_on is not None:
        return estimate.valid_until_on
    sent = sent_at(estimate)
    return None if sent is None else local_day(sent, zone) + timedelta(days=policy.estimate_validity_days)


def acts_of(postings: Iterable[Posting]) -> dict[str, Posting]:
    """Return the postings that a person made, by ``source#leg``: facts like any record."""
    return {f"{p.source}#{p.source_version}.{p.leg}": p for p in postings if p.source.startswith(ACT)}


@dataclass(slots=True)
class Intake:
    """The facts of one client, indexed; ``take`` keeps the indexes and tells which events changed."""

    terms: ClientTerms
    plans: Plans
    today: date
    drawn: set[str] = field(default_factory=set)
    """Packs with work on them: they stay in the ledger though somebody deletes the record."""
    packs: dict[str, Pack] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    entries: dict[str, TimeEntry] = field(default_factory=dict)
    funding: dict[str, str] = field(default_factory=dict)
    acts: dict[str, Posting] = field(default_factory=dict)
    acted: dict[str, int] = field(default_factory=dict)
    """Pack to the sum of what persons gave or took by hand."""
    lots: dict[str, Lot] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    closings: dict[str, Closing] = field(default_factory=dict)
    entries_of: dict[str, set[str]] = field(default_factory=dict)
    estimates_of: dict[str, set[str]] = field(default_factory=dict)
    open_estimates: set[str] = field(default_factory=set)
    """Estimates that wait for the client, whatever their day."""
    corrections_of: dict[str, set[str]] = field(default_factory=dict)
    days: dict[tuple[str, date], set[str]] = field(default_factory=dict)
    """(consultant, day) to the entries that say so; an entry without a consultant stands alone."""
    groups: dict[tuple[str, date | str], set[str]] = field(default_factory=dict)
    """Entries that are rounded together (RND-2); empty with the scope ``entry``."""
    events: dict[tuple[str, str], tuple[Event, ...]] = field(default_factory=dict)
    """(kind, key) to the events it stands for now."""

    @property
    def policy(self) -> Policy:
        """Return the client's policy."""
        return self.terms.policy

    def take(
        self,
        *,
        packs: Mapping[str, Pack | None] | None = None,
        cases: Mapping[str, Case | None] | None = None,
        estimates: Mapping[str, Estimate | None] | None = None,
        entries: Mapping[str, TimeEntry | None] | None = None,
        funding: Mapping[str, str] | None = None,
        acts: Mapping[str, Posting] | None = None,
    ) -> tuple[set[Event], set[Event]]:
        """Learn new values (None: the record is gone); return (events that no longer hold, events to tell).

        An event whose meaning changed at the same instant is in both.
        """
        old: set[Event] = set()
        new: set[Event] = set()
        for key, pack in (packs or {}).items():
            _put(self.packs, key, pack)
        for act in (act for key, act in (acts or {}).items() if key not in self.acts):
            self.acted[act.pack] = self.acted.get(act.pack, 0) + act.minutes
        for key in dict.fromkeys([*(packs or ()), *(act.pack for act in (acts or {}).values())]):
            lot = self._lot(self.packs.get(key))
            self._hold("pack", self.lots, key, lot, self.pack_events(lot), old, new)
        for key, act in (acts or {}).items():
            self._hold("act", self.acts, key, act, (Event(act.booked_at, Rank.ACT, key),), old, new)
        entry_keys = set(entries or {})
        for key, entry in (entries or {}).items():
            entry_keys |= self._index_entry(key, entry)
        estimate_keys = set(estimates or {})
        for key, estimate in (estimates or {}).items():
            estimate_keys |= self._index_estimate(key, estimate)
        for case_key, fund in (funding or {}).items():
            if self.funding.get(case_key, PACK) != fund:
                entry_keys |= self.entries_of.get(case_key, set())
            self.funding[case_key] = fund
        for key, case in (cases or {}).items():
            before = self.cases.get(key)
            _put(self.cases, key, case)
            if (before.priority if before else None) != (case.priority if case else None):
                for entry_key in self.entries_of.get(key, ()):  # the emergency allowance may now hold, or no longer
                    events = self.events.get(("entry", entry_key), ())
                    old.update(events)
                    new.update(events)
            closing = self._closing(case)
            self._hold("case", self.closings, key, closing, _closing_events(key, closing), old, new)
        for key in estimate_keys:
            estimate = self.estimates.get(key)
            decision = None if estimate is None or estimate.deleted else self._decision(estimate)
            events = () if decision is None else (Event(decision.at, Rank.DECIDE, key),)
            self._hold("estimate", self.decisions, key, decision, events, old, new)
        self._refresh_entries(entry_keys, old, new)
        return old, new

    def dated(self, today: date) -> dict[str, Pack]:
        """Return the packs whose reading depends on ``today``: an extension asked for without a day."""
        self.today = today
        return {
            key: pack
            for key, pack in self.packs.items()
            if pack.extension_requested and not pack.extended and pack.extension_requested_on is None
        }

    def _hold(
        self,
        kind: str,
        values: dict[str, V],
        key: str,
        value: V | None,
        events: tuple[Event, ...],
        old: set[Event],
        new: set[Event],
    ) -> None:
        """Hold a value as the ledger reads it, and its events; one that reads as before changes nothing."""
        if values.get(key) == value:
            return
        _put(values, key, value)
        old.update(self.events.pop((kind, key), ()))
        if events:
            self.events[kind, key] = events
            new.update(events)

    # packs and cases

    def _lot(self, pack: Pack | None) -> Lot | None:
        if pack is None or (pack.key not in self.drawn and (pack.deleted or pack.status == PackStatus.CANCELLED)):
            return None
        lot = lot_of(pack, self.plans.packs, self.policy, self.today)
        taken = -self.acted.get(pack.key, 0)
        if lot is not None and taken > lot.minutes:  # what was paid back had been bought, whatever the record says now
            lot = replace(lot, minutes=taken)
        return lot

    def pack_events(self, lot: Lot | None) -> tuple[Event, ...]:
        """Return what happens to a pack by the calendar."""
        if lot is None:
            return ()
        zone, grace = self.terms.time_zone, self.policy.reservation_grace_days
        events = [Event(start_of_day(lot.activated_on, zone), Rank.ACTIVATE, lot.key)]
        if lot.extended_on is not None:
            events.append(Event(start_of_day(lot.extended_on, zone), Rank.EXTEND, lot.key))
        for last in sorted({lot.original_on, lot.last_valid_on}):
            after = last + timedelta(days=1)
            events.append(Event(start_of_day(after, zone), Rank.EXPIRE, lot.key))
            if grace:
                events.append(Event(start_of_day(after + timedelta(days=grace), zone), Rank.LAPSE, lot.key))
        return tuple(events)

    def _closing(self, case: Case | None) -> Closing | None:
        if case is None or case.closed_at is None or case.is_closed is False:
            return None
        return Closing(case.closed_at, local_day(case.closed_at, self.terms.time_zone))

    # estimates

    def _index_estimate(self, key: str, estimate: Estimate | None) -> set[str]:
        siblings: set[str] = set()
        for each in (self.estimates.get(key), estimate):
            if each is not None:
                of_case = self.estimates_of.setdefault(each.case or "", set())
                siblings |= of_case
                of_case.discard(key)
        if estimate is not None:
            self.estimates_of[estimate.case or ""].add(key)
        _put(self.estimates, key, estimate)
        if estimate is not None and estimate.status in WAITING and not estimate.deleted:
            self.open_estimates.add(key)
        else:
            self.open_estimates.discard(key)
        return siblings

    def _decision(self, estimate: Estimate) -> Decision | None:
        at, zone, minutes = estimate.decided_at, self.terms.time_zone, estimate.estimated_minutes or 0
        status = estimate.status
        small = 0 < minutes < self.policy.auto_approve_below_minutes
        sent = sent_at(estimate)
        if small and sent is not None and status in (EstimateStatus.SENT, EstimateStatus.APPROVED):
            status, at = EstimateStatus.APPROVED, sent  # sending it is enough
        at = at or sent or estimate.created_at
        if status not in (EstimateStatus.APPROVED, EstimateStatus.REJECTED) or at is None or minutes <= 0:
            return None
        newer = [
            other.version or 0
            for other in (self.estimates[key] for key in self.estimates_of.get(estimate.case or "", ()))
            if (other.version or 0) > (estimate.version or 0)
            and not other.deleted
            and (other_sent := sent_at(other)) is not None
            and other_sent <= at
        ]
        return Decision(
            key=estimate.key,
            case=estimate.case or "",
            at=at,
            day=local_day(at, zone),
            minutes=minutes,
            approved=status == EstimateStatus.APPROVED,
            valid_until=valid_until(estimate, self.policy, zone),
            superseded_by=max(newer, default=0),
        )

    # entries

    def _index_entry(self, key: str, entry: TimeEntry | None) -> set[str]:
        """Move an entry between the indexes; return the keys of the entries it speaks of or spoke of."""
        related: set[str] = set()
        for each, present in ((self.entries.get(key), False), (entry, True)):
            if each is None:
                continue
            change = set.add if present else set.discard
            change(self.entries_of.setdefault(each.case or "", set()), key)
            if each.worked_on is not None:
                change(self.days.setdefault((each.consultant or key, each.worked_on), set()), key)
            if each.correction_of and each.correction_of != key:
                change(self.corrections_of.setdefault(each.correction_of, set()), key)
                related |= {each.correction_of} | self.corrections_of[each.correction_of]
        _put(self.entries, key, entry)
        return related

    def _refresh_entries(self, keys: set[str], old: set[Event], new: set[Event]) -> None:
        if self.policy.rounding_scope == "entry":
            for key in keys:
                work = self._work(key)
                if work is not None and not work.verdict:
                    billed = rounding.rounded(work.billed, self.policy.increment, self.policy.rounding)
                    work = work._replace(billed=billed)
                self._hold_work(key, work, old, new)
            return
        regroup: set[tuple[str, date | str]] = set()
        for key in keys:
            before, work = self.works.get(key), self._work(key)
            if before is not None:
                self.groups.get(self.group_of(before), set()).discard(key)
                regroup.add(self.group_of(before))
            if work is not None and not work.verdict:
                self.groups.setdefault(self.group_of(work), set()).add(key)
                regroup.add(self.group_of(work))
            else:
                self._hold_work(key, work, old, new)
        for group in regroup:
            works = [work for key in self.groups.get(group, ()) if (work := self._work(key)) is not None]
            works.sort(key=lambda work: (work.posted_at, work.key))
            shares = rounding.rounded_group([w.billed for w in works], self.policy.increment, self.policy.rounding)
            for work, billed in zip(works, shares, strict=True):
                self._hold_work(work.key, work._replace(billed=billed), old, new)

    def _hold_work(self, key: str, work: Work | None, old: set[Event], new: set[Event]) -> None:
        events = () if work is None else (Event(work.posted_at, Rank.WORK, key),)
        self._hold("entry", self.works, key, work, events, old, new)

    def group_of(self, work: Work) -> tuple[str, date | str]:
        """Return what an entry is rounded together with: its case and day or week, or itself alone (RND-2)."""
        scope = self.policy.rounding_scope
        if scope == "entry":
            return work.case, work.key
        return work.case, work.worked_on - timedelta(days=work.worked_on.weekday() if scope == "case_week" else 0)

    def _work(self, key: str) -> Work | None:
        """Return an entry as the ledger reads it, minutes not yet rounded; None for a deleted one."""
        entry = self.entries.get(key)
        if entry is None or entry.deleted or entry.worked_on is None:
            return None
        zone = self.terms.time_zone
        posted_at = entry.created_at or start_of_day(entry.worked_on, zone)
        case = entry.case or ""
        verdict = rounding.refused(entry.worked_minutes)
        if not verdict and self._corrected(key):
            verdict = "corrected"
        elif not verdict and entry.worked_on > local_day(posted_at, zone) + timedelta(days=1):
            verdict = "worked_ahead"
        elif not verdict and entry.billable is False:
            verdict = "not_billable"
        elif not verdict and self.funding.get(case, PACK) != PACK:
            verdict = self.funding[case]
        return Work(key, case, posted_at, entry.worked_on, entry.worked_minutes or 0, verdict)

    def _corrected(self, key: str) -> bool:
        """Return whether a later entry stands in this one's place, or a younger sibling corrects the same one."""
        if any(not self.entries[other].deleted for other in self.corrections_of.get(key, ())):
            return True
        target = self.entries[key].correction_of
        if not target or target == key:
            return False
        siblings = [self.entries[other] for other in self.corrections_of.get(target, ())]
        newest = max((e for e in siblings if not e.deleted), key=lambda e: (e.created_at is None, e.created_at, e.key))
        return newest.key != key


def _closing_events(case: str, closing: Closing | None) -> tuple[Event, ...]:
    return () if closing is None else (Event(closing.at, Rank.CLOSE, case),)


def _put(values: dict[str, V], key: str, value: V | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
