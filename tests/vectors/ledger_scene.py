"""A small stage for worked cases of the ledger: acts in the order of their days, settled one after the other.

Builds records from a vector's words and lets the real ledger settle after every act, the way nightly runs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.policy import ClientTerms, Plans, Policy
from sfsync.records import Case, Estimate, EstimateStatus, Pack, Posting, PostingKind, TimeEntry
from sfsync.rules.ledger import LedgerFacts, LedgerOutcome, settle
from sfsync.rules.postings import Books, act, books, dips
from sfsync.rules.validity import last_valid_on
from sfsync.rules.weeks import local_day

ZONE = "Europe/Bucharest"
UNSAID = object()


def instant_day(text: str, zone: str) -> date:
    """Return a day that is given as one, or as an instant of it."""
    return date.fromisoformat(text) if len(text) == 10 else local_day(datetime.fromisoformat(text), zone)


class Words:
    """A mapping of a vector whose every key must be taken."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        """Hold the values of one place in a vector."""
        self._values, self._where = dict(values), where

    def take(self, key: str, default: Any = UNSAID) -> Any:
        """Return a value and count it as read."""
        if key not in self._values and default is UNSAID:
            raise AssertionError(f"{self._where}: {key} is missing")
        return self._values.pop(key, default)

    def day(self, *keys: str, default: date | None = None) -> date | None:
        """Return the first value given under these keys as a day."""
        found = [text for text in [self.take(key, None) for key in keys] if text is not None]
        return instant_day(found[0], ZONE) if found else default

    def done(self) -> None:
        """Raise if a key was not taken."""
        assert not self._values, f"{self._where}: unknown keys {sorted(self._values)}"


@dataclass
class Scene:
    """The records of one client, what was posted, and what each settling said."""

    policy: Policy
    plans: Plans
    zone: str = ZONE
    packs: dict[str, Pack] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    entries: dict[str, TimeEntry] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    outcome: LedgerOutcome | None = None
    last: tuple[Posting, ...] = ()
    ticks: int = 0

    def at(self, day: date) -> datetime:
        """Return a fresh instant on a local day: noon and some seconds, later each time."""
        self.ticks += 1
        noon = datetime.combine(day, time(12), tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
        return noon + timedelta(seconds=self.ticks)

    def facts(self) -> LedgerFacts:
        """Return the records as the ledger takes them."""
        return LedgerFacts(self.packs, self.cases, self.estimates, self.entries)

    def terms(self) -> ClientTerms:
        """Return the client's terms."""
        return ClientTerms(client="c", name="Client", time_zone=self.zone, policy=self.policy)

    def settle(self, day: date) -> LedgerOutcome:
        """Settle at a fresh instant of a day and keep what is posted; twice must post nothing more."""
        self.outcome = settle(self.facts(), self.postings, self.terms(), self.plans, self.at(day))
        self.postings += self.outcome.postings
        self.last = self.outcome.postings
        self.packs.update({pack.key: pack for pack in self.outcome.new_packs})
        again = settle(self.facts(), self.postings, self.terms(), self.plans, self.at(day))
        assert again.postings == (), "settling twice posts twice"
        assert books(self.postings).sound
        assert not dips(self.postings), "a balance was negative in between"
        return self.outcome

    # acts

    def lot(self, words: Mapping[str, Any], seq: int) -> None:
        """Add a pack with minutes and days of its own, or those of its plan."""
        w = Words(words, "lot")
        key, plan, packs = w.take("lot"), w.take("plan", None), w.take("packs", None)
        minutes = w.take("minutes", None) if packs is not None else w.take("minutes")
        activated, last = w.day("activated_on"), w.day("last_valid_day", "last_valid_on")
        assert last is not None or plan is not None, f"lot {key}: neither a last valid day nor a plan"
        if plan is not None and activated is not None and last is not None:
            offer, same = self.plans.packs[plan], self.policy.validity_inclusive
            if last != last_valid_on(activated, offer, inclusive=same):
                plan = None  # the lot says otherwise than its plan: what it says counts
        if minutes is None:
            minutes = packs * (480 if plan is None else self.plans.packs[plan].minutes_per_pack)
        self.packs[key] = Pack(
            key=key,
            plan=plan.capitalize() if plan else None,
            bought_minutes=minutes,
            activated_on=activated,
            last_valid_on=last,
            purchase_seq=w.take("seq", w.take("purchase_seq", seq)),
        )
        w.done()

    def purchase(self, words: Mapping[str, Any], today: date) -> str:
        """Buy packs of a plan; return the key."""
        w = Words(words, "purchase")
        plan, activated = w.take("plan"), w.day("activated_on", "on", default=today)
        key = w.take("lot", None) or w.take("id", None) or f"{plan}-{len(self.packs) + 1}"
        assert plan in self.plans.packs, f"purchase: no plan is called {plan}"
        self.packs[key] = Pack(
            key=key,
            plan=plan.capitalize(),
            packs_bought=w.take("packs"),
            activated_on=activated,
            purchase_seq=len(self.packs) + 1,
        )
        w.done()
        return str(key)

    def extend(self, key: str, day: date) -> None:
        """Ask for the extension of a pack."""
        self.packs[key] = replace(self.packs[key], extension_requested=True, extension_requested_on=day)

    def refund(self, minutes: Mapping[str, int], day: date) -> None:
        """Take minutes back against money (REF-1)."""
        taken = {lot: -each for lot, each in minutes.items() if each}
        name = f"refund-{len(self.postings)}"
        self.postings += act(name, PostingKind.REFUND, taken, on=day, now=self.at(day), reason="refund")

    def case(self, key: str, **values: Any) -> None:
        """Make sure a case is there, with these values."""
        self.cases[key] = replace(self.cases.get(key) or Case(key=key), **values)

    def approve(self, case: str, minutes: int, day: date, version: int | None = None) -> str:
        """Let the client approve an estimate; the same version of a case again is the same record."""
        self.case(case)
        known = [e for e in self.estimates.values() if e.case == case]
        version = version if version is not None else len(known) + 1
        key = f"{case}/v{version}"
        if key not in self.estimates:
            at = self.at(day)
            self.estimates[key] = Estimate(
                key=key,
                case=case,
                version=version,
                estimated_minutes=minutes,
                status=EstimateStatus.APPROVED,
                sent_at=at,
                decided_at=at,
            )
        return key

    def reject(self, case: str, day: date) -> None:
        """Let the client reject one more estimate of a case."""
        version = 1 + sum(e.case == case for e in self.estimates.values())
        at = self.at(day)
        self.estimates[f"{case}/v{version}"] = Estimate(
            key=f"{case}/v{version}",
            case=case,
            version=version,
            estimated_minutes=1,
            status=EstimateStatus.REJECTED,
            sent_at=at,
            decided_at=at,
        )

    def work(
        self,
        key: str,
        minutes: int,
        worked_on: date,
        posted_on: date,
        case: str | None = None,
        category: str | None = None,
    ) -> None:
        """Log a time entry, or change the minutes of one that is there."""
        if key in self.entries:
            self.entries[key] = replace(self.entries[key], worked_minutes=minutes, deleted=False)
            return
        if case:
            self.case(case)
        self.entries[key] = TimeEntry(
            key=key,
            case=case,
            worked_on=worked_on,
            worked_minutes=minutes,
            category=category.capitalize() if category else None,
            created_at=self.at(posted_on),
        )

    def close(self, case: str, day: date) -> None:
        """Close a case."""
        self.case(case, is_closed=True, closed_at=self.at(day))

    # what is seen

    def said(self) -> LedgerOutcome:
        """Return what the last settling said."""
        assert self.outcome is not None
        return self.outcome

    def books(self) -> Books:
        """Return the sums of everything posted."""
        return books(self.postings)

    def sum_of(self, *kinds: PostingKind, last: bool = False) -> int:
        """Return the minutes posted under these kinds, in all or in the last settling."""
        return sum(p.minutes for p in (self.last if last else self.postings) if p.kind in kinds)
