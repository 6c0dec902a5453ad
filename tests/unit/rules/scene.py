"""A client's records in few words, for examples of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms, Policy
from sfsync.records import Case, Estimate, EstimateStatus, Pack, Posting, PostingKind, TimeEntry
from sfsync.rules.ledger import LedgerFacts, LedgerOutcome, settle
from sfsync.rules.postings import books, dips

ZONE = "Europe/Bucharest"
PLANS = load_plans()


def day(text: str) -> date:
    """Return a day."""
    return date.fromisoformat(text)


def at(text: str, zone: str = ZONE) -> datetime:
    """Return the instant of local ``2026-11-20`` (noon) or ``2026-11-20 18:30``."""
    on, _, clock = text.partition(" ")
    return datetime.combine(day(on), time.fromisoformat(clock or "12:00"), tzinfo=ZoneInfo(zone)).astimezone(UTC)


@dataclass
class Client:
    """Records and postings of one client; ``settle`` runs the ledger and keeps what it posts."""

    policy: dict[str, Any] = field(default_factory=dict)
    packs: dict[str, Pack] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    entries: dict[str, TimeEntry] = field(default_factory=dict)
    funding: dict[str, str] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    zone: str = ZONE

    def terms(self) -> ClientTerms:
        """Return the terms."""
        return ClientTerms(client="c", name="C", time_zone=self.zone, policy=Policy(**self.policy))

    def facts(self) -> LedgerFacts:
        """Return the facts."""
        return LedgerFacts(self.packs, self.cases, self.estimates, self.entries, self.funding)

    def pack(self, key: str, minutes: int, activated: str, last: str, **more: Any) -> Client:
        """Add a pack with minutes and days of its own."""
        self.packs[key] = Pack(
            key=key, bought_minutes=minutes, activated_on=day(activated), last_valid_on=day(last), **more
        )
        return self

    def plan(self, key: str, plan: str, packs: int, activated: str, **more: Any) -> Client:
        """Add a pack of a plan."""
        self.packs[key] = Pack(key=key, plan=plan, packs_bought=packs, activated_on=day(activated), **more)
        return self

    def approve(self, case: str, minutes: int, on: str, version: int = 1, **more: Any) -> Client:
        """Let the client approve a version of a case's estimate."""
        self.cases.setdefault(case, Case(key=case))
        values = {"sent_at": at(on) - timedelta(hours=1), "decided_at": at(on), "status": EstimateStatus.APPROVED}
        self.estimates[f"{case}/{version}"] = Estimate(
            key=f"{case}/{version}", case=case, version=version, estimated_minutes=minutes, **{**values, **more}
        )
        return self

    def work(self, key: str, minutes: int, worked: str, case: str | None = None, **more: Any) -> Client:
        """Log time, on the day of the work if nothing else is said."""
        if case is not None:
            self.cases.setdefault(case, Case(key=case))
        values = {"created_at": at(worked)}
        self.entries[key] = TimeEntry(
            key=key, case=case, worked_on=day(worked), worked_minutes=minutes, **{**values, **more}
        )
        return self

    def change(self, key: str, **values: Any) -> Client:
        """Change an entry."""
        self.entries[key] = replace(self.entries[key], **values)
        return self

    def close(self, case: str, on: str) -> Client:
        """Close a case."""
        self.cases[case] = replace(self.cases[case], is_closed=True, closed_at=at(on))
        return self

    def settle(self, now: str) -> LedgerOutcome:
        """Run the ledger, keep what it posts, and check that the books balance."""
        outcome = settle(self.facts(), self.postings, self.terms(), PLANS, at(now))
        self.postings += outcome.postings
        self.packs.update({pack.key: pack for pack in outcome.new_packs})
        assert books(self.postings).sound
        assert dips(self.postings) == []
        return outcome


def drawn(outcome: LedgerOutcome, entry: str) -> list[tuple[str, int]]:
    """Return what an entry drew, pack by pack."""
    return [(leg.pack, leg.minutes) for leg in outcome.entries[entry].legs]


def posted(outcome: LedgerOutcome) -> list[tuple[str, str, int]]:
    """Return (kind, pack, minutes) of what a settling posted."""
    return [(p.kind.value, p.pack, p.minutes) for p in outcome.postings if p.kind != PostingKind.PURCHASE]


def left(outcome: LedgerOutcome) -> dict[str, int]:
    """Return the balance of each pack."""
    return {key: pack.remaining_minutes for key, pack in outcome.packs.items()}
