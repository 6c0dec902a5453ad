"""What every pack, case, estimate and entry of one client shows, and the postings that make it so.

    outcome = settle(LedgerFacts(packs, cases, estimates, entries), postings, terms, plans, now)

The allocation is told again from the facts (``replay``) and posted as the difference to what stands
(``postings``), so that a rebuilt store comes to the same balances and a second settling posts nothing.
A ``Book`` keeps the told story and goes back only as far as a change reaches.

May not know stores, orgs or languages. It keeps one law: a balance is a fold over append-only postings,
and no minute is lost or counted twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from sfsync.policy import ClientTerms, Plans
from sfsync.records import Case, Estimate, Finding, Pack, PackStatus, Posting, PostingKind, TimeEntry
from sfsync.rules import figures, marks
from sfsync.rules.figures import AccountFigures, CaseFigures, EntryOutcome, EstimateOutcome, PackFigures
from sfsync.rules.intake import Event, Intake, LedgerFacts, acts_of
from sfsync.rules.marks import CaseMark, Mark, NeedsMore
from sfsync.rules.postings import ACT, Line, Standing, Target, difference, standing
from sfsync.rules.replay import ANY, Replay
from sfsync.rules.validity import COURTESY
from sfsync.rules.weeks import end_of_day, local_day, start_of_day

__all__ = ["Book", "LedgerFacts", "LedgerOutcome", "move", "settle"]


NOT_ENTRIES = ("expire:", "fixed:", ACT)
"""Starts of sources that are no time entry; the key of a pack is the source of its purchase."""


@dataclass(frozen=True, slots=True)
class LedgerOutcome:
    """What a settling says. After a first settling of everything; of a ``Book`` later only of what changed."""

    postings: tuple[Posting, ...]
    """New ones, in an order in which no pack dips below zero; commit all of them or none."""
    new_packs: tuple[Pack, ...]
    """Courtesy packs to create, in the store and in the org (COR-2); their postings are included."""
    entries: Mapping[str, EntryOutcome]
    cases: Mapping[str, CaseFigures]
    estimates: Mapping[str, EstimateOutcome]
    packs: Mapping[str, PackFigures]
    """Every pack, drafts and deleted ones too."""
    account: AccountFigures
    reservations: Mapping[str, Mapping[str, int]]
    """Case to pack to reserved minutes (APR-1)."""
    findings: tuple[Finding, ...]
    next_due_at: datetime | None
    """The next instant at which time alone changes something here."""


def settle(
    facts: LedgerFacts, postings: Iterable[Posting], terms: ClientTerms, plans: Plans, now: datetime
) -> LedgerOutcome:
    """Return what should be posted and shown at ``now``; ``facts`` are all records of one client.

    Pure and idempotent: with its own postings and packs added it posts nothing. The order of arrival has no
    say. An entry that is not among the facts any more is taken back.
    """
    return Book(facts, postings, terms, plans).settle(now)


def move(
    source: tuple[LedgerFacts, Iterable[Posting], ClientTerms],
    target: tuple[LedgerFacts, Iterable[Posting], ClientTerms],
    entry: TimeEntry,
    plans: Plans,
    now: datetime,
) -> tuple[LedgerOutcome, LedgerOutcome]:
    """Move an entry from one client to another: the reversal there and the posting here (COR-1).

    Both outcomes belong in one transaction.
    """
    (left, left_postings, left_terms), (right, right_postings, right_terms) = source, target
    staying = {key: each for key, each in left.entries.items() if key != entry.key}
    left = LedgerFacts(left.packs, left.cases, left.estimates, staying, left.funding)
    right = LedgerFacts(right.packs, right.cases, right.estimates, {**right.entries, entry.key: entry}, right.funding)
    return (
        settle(left, left_postings, left_terms, plans, now),
        settle(right, right_postings, right_terms, plans, now),
    )


@dataclass(slots=True)
class _Touched:
    """What a settling must look at again."""

    entries: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)
    estimates: set[str] = field(default_factory=set)


class Book:
    """One client's ledger, told up to now, that can learn a change and go back only as far as it reaches.

    A book counts what ``settle`` returned as posted. Whoever fails to commit that, or finds that the store
    holds another number of postings than ``posted``, drops the book and opens a new one.
    """

    def __init__(self, facts: LedgerFacts, postings: Iterable[Posting], terms: ClientTerms, plans: Plans) -> None:
        """Take in all facts of one client and all of its postings; nothing is told before ``settle``."""
        postings = list(postings)
        self.posted = len(postings)
        """Postings of this client that the book knows of."""
        self.terms = terms
        self._standing: dict[str, Standing] = {}
        self._expiries: dict[str, set[str]] = {}
        """Pack to the sources under which expiry was posted for it."""
        self._bought: set[str] = set()
        """Sources under which a purchase was posted: keys of packs."""
        self._absorb(standing(postings))
        self.intake = Intake(terms, plans, date.min, drawn={p.pack for p in postings if _draws(p)})
        self.replay = Replay(self.intake, remember=True)
        self._future: set[Event] = set()
        self._stale: set[Event] = set()
        self._fresh: set[Event] = set()
        self._touched = _Touched(
            entries={key for key in self._standing if not key.startswith(NOT_ENTRIES)} - self._bought,
            cases={key.removeprefix("fixed:") for key in self._standing if key.startswith("fixed:")},
        )
        self._now: datetime | None = None
        self._everything = True
        self._mark: Mark | None = None
        """Where the story was taken up; None: at its first day."""
        self._shown: frozenset[str] = frozenset()
        self._changed: set[str] | None = None
        """Entries that changed, when the story was taken up at a mark."""
        self.marked: list[tuple[Mark, dict[str, CaseMark]]] = []
        """Places of the told story from which it can be taken up, each with the cases that changed since the last."""
        self._marked_at: list[int] = []
        self.change(
            packs=facts.packs,
            cases=facts.cases,
            estimates=facts.estimates,
            entries=facts.entries,
            funding=facts.funding,
            acts=acts_of(postings),
        )

    @classmethod
    def take_up(
        cls,
        mark: Mark,
        told: Mapping[str, CaseMark],
        facts: LedgerFacts,
        postings: Iterable[Posting],
        terms: ClientTerms,
        plans: Plans,
        now: datetime,
        *,
        shown: frozenset[str],
        changed: Mapping[str, frozenset[str]],
        beyond: Iterable[str] = (),
        drawn: Iterable[str] = (),
    ) -> Book:
        """Return a book whose story goes on at ``mark``, with the records of the cases that are ``shown``, whole.

        ``postings`` are those of these records, every expiry and every act; ``beyond`` are the cases that the story as
        it was told last wrote on after the mark (all among those shown); ``drawn`` the packs that work was taken from
        though they were deleted. Raises NeedsMore if what is shown was told otherwise up to the mark.
        """
        book = cls(LedgerFacts(), postings, terms, plans)
        book._mark, book._shown, book._everything = mark, shown, False
        book._changed = set(changed.get("TimeEntry", ()))
        intake = book.intake
        intake.drawn |= set(drawn)
        intake.today = local_day(now, terms.time_zone)
        _, fresh = intake.take(
            packs=facts.packs,
            cases=facts.cases,
            estimates=facts.estimates,
            entries=facts.entries,
            funding=facts.funding,
            acts=acts_of(postings),
        )
        differs = marks.first_difference(intake, mark, told)
        if differs is not None:
            raise NeedsMore(before=differs)
        fresh |= book._fresh
        marks.restore(book.replay, mark, told.values())
        book.replay.partial = True
        book._fresh, book._stale = {event for event in fresh if event > mark.last}, set()
        cases = set(changed.get("Case", ()))
        for key in changed.get("TimeEntry", ()):
            cases.add(facts.entries[key].case or "" if key in facts.entries else "")
            cases |= {each.case for each in told.values() if key in each.works}
        for key in changed.get("Estimate", ()):
            cases.add(facts.estimates[key].case or "" if key in facts.estimates else "")
            cases |= {each.case for each in told.values() if key in each.decisions}
        entries = set(changed.get("TimeEntry", ()))
        cases |= set(beyond)
        for case in cases:
            entries |= intake.entries_of.get(case, set())
            entries |= told[case].works.keys() if case in told else set()
        book._touched = _Touched(entries, cases, set(changed.get("Estimate", ())))
        return book

    def change(
        self,
        *,
        packs: Mapping[str, Pack | None] | None = None,
        cases: Mapping[str, Case | None] | None = None,
        estimates: Mapping[str, Estimate | None] | None = None,
        entries: Mapping[str, TimeEntry | None] | None = None,
        funding: Mapping[str, str] | None = None,
        acts: Mapping[str, Posting] | None = None,
    ) -> None:
        """Learn new values of records; None says that a record belongs to this client no more."""
        touched = self._touched
        for key in entries or {}:
            touched.entries.add(key)
            self._touch_cases_of(self.intake.entries.get(key), (entries or {})[key])
        for key in estimates or {}:
            touched.estimates.add(key)
            self._touch_cases_of(self.intake.estimates.get(key), (estimates or {})[key])
        for key in (*(cases or ()), *(funding or ())):
            touched.cases.add(key)
        for key, case in (cases or {}).items():
            before = self.intake.cases.get(key)
            if (before.category if before else None) != (case.category if case else None):
                touched.entries |= self.intake.entries_of.get(key, set())
        self.intake.drawn |= {act.pack for act in (acts or {}).values()}
        old, new = self.intake.take(
            packs=packs, cases=cases, estimates=estimates, entries=entries, funding=funding, acts=acts
        )
        self._stale |= old - self._fresh
        self._fresh -= old
        self._fresh |= new

    def _touch_cases_of(self, *records: TimeEntry | Estimate | None) -> None:
        self._touched.cases |= {record.case or "" for record in records if record is not None}

    def settle(self, now: datetime) -> LedgerOutcome:
        """Tell what is new up to ``now`` and return what changed by it; what is posted counts as posted."""
        given: list[Pack] = []
        postings: list[Posting] = []
        touched = self._touched
        dated = self.intake.dated(local_day(now, self.terms.time_zone))
        if dated:
            self.change(packs=dated)
        while True:
            first = self._mark is None and all(source.startswith(ACT) for source in self._standing)
            self._tell(now, touched)
            targets = self._targets(touched)
            corrected = {} if first else self._corrected(targets)
            new = difference(self._standing, targets, now)
            if first:
                new = self._as_it_happened(new, now)
            self._absorb(standing(new, self._standing))
            self.intake.drawn |= {p.pack for p in new if _draws(p)}
            postings += new
            self.posted += len(new)
            courtesy = self._courtesy(corrected, new, now)
            if not courtesy:
                break
            given += courtesy
            self.change(packs={pack.key: pack for pack in courtesy})
        everything, self._everything = self._everything, False
        self._touched = _Touched()
        return self._outcome(tuple(postings), tuple(given), touched, everything, now)

    # telling

    def _tell(self, now: datetime, touched: _Touched) -> None:
        self._future -= self._stale
        if self._now is not None and now < self._now:
            undone = {e for e in self.replay.told if e.by_calendar and e.at > now} - self._stale
            self._future |= undone
            self._stale |= undone
        self._now = now
        candidates = self._fresh | self._future
        due = {event for event in candidates if event.at <= now or not event.by_calendar}
        self._future = candidates - due
        reach = due | self._stale
        if not reach:
            return
        first = min(reach)
        if self._mark is not None and first <= self._mark.last:
            raise NeedsMore(before=first)
        self._note(first, touched)
        again = (set(self.replay.rewind(first)) - self._stale) | due
        self._stale, self._fresh = set(), set()
        self._tell_and_mark(sorted(again), now)
        self._note(first, touched)
        lacking = self.replay.lacking | (touched.cases - self._shown if self._mark is not None else set())
        if lacking:
            raise NeedsMore(cases=lacking - {ANY}, whole=ANY in lacking)

    def _tell_and_mark(self, events: list[Event], now: datetime) -> None:
        """Tell events, and note every so often where the packs stand; never ahead of the clock."""
        replay = self.replay
        while self.marked and self._marked_at[-1] > replay.written:
            self.marked.pop()
            self._marked_at.pop()
        begun = (self._mark.number if self._mark is not None else 0) + len(replay.told)
        total, told = begun + len(events), 0
        while told < len(events):
            place = marks.next_place(begun + told, total)
            part = events[told : place - begun]
            replay.tell(part)
            told += len(part)
            if begun + told == place and part[-1].at <= now:
                since = self._marked_at[-1] if self._marked_at else 0
                cases = marks.touched_cases(replay, self.intake, since)
                last = part[-1]
                self.marked.append(
                    (
                        marks.cut(replay, self.intake, place, last),
                        {case: marks.cut_case(replay, self.intake, case, last) for case in sorted(cases)},
                    )
                )
                self._marked_at.append(replay.written)

    @property
    def taken_up_at(self) -> int:
        """Return the number of the mark at which the story was taken up; 0 for its first day."""
        return self._mark.number if self._mark is not None else 0

    @property
    def tail(self) -> frozenset[str]:
        """Return the cases that the story wrote on after its last mark."""
        since = self._marked_at[-1] if self._marked_at else 0
        return frozenset(marks.touched_cases(self.replay, self.intake, since))

    @property
    def length(self) -> int:
        """Return how many events the story has."""
        return self.taken_up_at + len(self.replay.told)

    def _note(self, first: Event, touched: _Touched) -> None:
        """Note what the events from ``first`` on have written."""
        replay = self.replay
        notes = {id(replay.shares): touched.entries, id(replay.rulings): touched.estimates}
        for values in (replay.approved, replay.used, replay.closed_on, replay.approval):
            notes[id(values)] = touched.cases
        for values, key, _ in replay.written_since(first):
            note = notes.get(id(values))
            if note is not None:
                note.add(key)

    # posting

    def _targets(self, touched: _Touched) -> dict[str, Target]:
        targets: dict[str, Target] = {}
        replay, intake = self.replay, self.intake
        for key in sorted(intake.lots, key=lambda key: (intake.lots[key].activated_on, key)):
            lot = intake.lots[key]
            if key in replay.valid:
                kind = PostingKind.COURTESY if lot.courtesy else PostingKind.PURCHASE
                targets[key] = Target((Line(key, lot.minutes, lot.activated_on, kind),))
        for key in sorted(self._bought - targets.keys()):
            targets[key] = Target((), "withdrawn")
        works = intake.works
        gone = sorted(key for key in touched.entries if key not in works)
        present = sorted((works[key].posted_at, key) for key in touched.entries if key in works)
        for key in (*gone, *(key for _, key in present)):
            target = self._entry_target(key)
            if target.lines or key in self._standing:
                targets[key] = target
        for case in sorted(touched.cases):
            source = f"fixed:{case}"
            if replay.fixed.get(case) or source in self._standing:
                targets[source] = self._fixed_target(case)
        for key in sorted({*intake.packs, *self._expiries}):
            pool = replay.pool.get(key, {})
            wanted = {f"expire:{key}:{day}": Line(key, -pool[day], day, PostingKind.EXPIRE) for day in sorted(pool)}
            for source in sorted({*wanted, *self._expiries.get(key, ())}):
                targets[source] = Target((wanted[source],) if source in wanted else (), "")
        return targets

    def _entry_target(self, key: str) -> Target:
        work, share = self.intake.works.get(key), self.replay.shares.get(key)
        before = self._standing.get(key)
        stands = before.lines if before is not None else ()
        if work is None or share is None:
            return Target((), "deleted")
        entry, case = self.intake.entries[key], self.intake.cases.get(work.case)
        category = entry.category or (case.category if case is not None else None)
        lines = tuple(
            Line(leg.pack, -leg.minutes, leg.effective_on, PostingKind.CONSUME, work.case or None, category)
            for leg in share.legs
        )
        if not stands:
            reason = ""
        elif lines[: len(stands)] == stands:
            reason = "released"
        elif sum(line.minutes for line in lines) != sum(line.minutes for line in stands):
            reason = "corrected"
        else:
            reason = "moved"
        return Target(lines, reason)

    def _fixed_target(self, case: str) -> Target:
        record, fixed = self.intake.cases.get(case), self.replay.fixed.get(case, {})
        category = record.category if record is not None else None
        lots, valid = self.intake.lots, self.replay.valid
        places = sorted(fixed, key=lambda place: (lots[place[0]].burn_key(valid[place[0]]), place[1]))
        lines = (Line(lot, -fixed[lot, day], day, PostingKind.ADJUSTMENT, case, category) for lot, day in places)
        return Target(tuple(lines), "fixed price")

    def _as_it_happened(self, new: list[Posting], now: datetime) -> list[Posting]:
        """Book each posting of a first settling at the instant of what caused it, in that order.

        A client taken over with a history, or read again after the store was lost, has its past where it was:
        past balances can be asked for, and weeks long closed are not taken for news (WK-5).
        """
        zone, lots, shares = self.terms.time_zone, self.intake.lots, self.replay.shares

        def happened_at(p: Posting) -> datetime:
            if p.source in lots:
                return start_of_day(p.effective_on, zone)
            share = shares.get(p.source)
            return end_of_day(p.effective_on, zone) if share is None else share.legs[p.leg].at

        booked = [replace(p, booked_at=min(now, happened_at(p))) for p in new]
        return sorted(booked, key=lambda p: p.booked_at)

    def _absorb(self, stands: Mapping[str, Standing]) -> None:
        for source, each in stands.items():
            self._standing[source] = each
            if any(line.kind in (PostingKind.PURCHASE, PostingKind.COURTESY) for line in each.lines):
                self._bought.add(source)
            elif source.startswith("expire:"):
                self._expiries.setdefault(source[7:].rpartition(":")[0], set()).add(source)

    def _corrected(self, targets: Mapping[str, Target]) -> dict[str, int]:
        """Return pack to the minutes that entries give back to it because they became shorter or went.

        Minutes that only move, because something was learned late or a rounding is shared out anew, are
        not among them: entries that are rounded together are weighed together.
        """
        change: dict[Hashable, dict[str, int]] = {}
        shorter: dict[Hashable, int] = {}
        for source, target in targets.items():
            before = self._standing.get(source)
            stood = before.lines if before is not None else ()
            if stood == target.lines or source.startswith(NOT_ENTRIES) or source in self._bought:
                continue
            work = self.intake.works.get(source)
            counts = work is not None and not work.verdict
            group: Hashable = self.intake.group_of(work) if work is not None and counts else source
            billed = work.billed if work is not None and counts else 0
            shorter[group] = shorter.get(group, 0) - sum(line.minutes for line in stood) - billed
            packs = change.setdefault(group, {})
            for line in (*(line._replace(minutes=-line.minutes) for line in stood), *target.lines):
                packs[line.pack] = packs.get(line.pack, 0) + line.minutes
        back: dict[str, int] = {}
        for group, packs in change.items():
            for pack, minutes in packs.items():
                part = min(minutes, shorter[group])
                if part > 0:
                    back[pack] = back.get(pack, 0) + part
                    shorter[group] -= part
        return back

    def _courtesy(self, corrected: Mapping[str, int], new: list[Posting], now: datetime) -> list[Pack]:
        """Return the courtesy packs for minutes that corrections gave back to packs already ended (COR-2)."""
        if not corrected or self.terms.policy.courtesy_days == 0:
            return []
        back: dict[str, int] = {}
        lapsed: dict[str, int] = {}
        why: dict[str, list[str]] = {}
        for p in new:
            if p.kind in (PostingKind.REVERSAL, PostingKind.CONSUME):
                back[p.pack] = back.get(p.pack, 0) + p.minutes
                why.setdefault(p.pack, []).append(f"{p.source}#{p.source_version}")
            elif p.kind in (PostingKind.EXPIRE, PostingKind.EXPIRE_REVERSAL):
                lapsed[p.pack] = lapsed.get(p.pack, 0) - p.minutes
        packs = []
        today = local_day(now, self.terms.time_zone)
        for key in sorted(corrected):
            minutes = min(corrected[key], back.get(key, 0), lapsed.get(key, 0))
            if minutes > 0 and self.replay.dead.get(key):
                packs.append(self._courtesy_pack(self.intake.packs[key], minutes, sorted(set(why[key])), today))
        return packs

    def _courtesy_pack(self, of: Pack, minutes: int, why: list[str], today: date) -> Pack:
        name = hashlib.sha256("\n".join(["courtesy", of.key, *why]).encode()).hexdigest()[:32]
        last = today + timedelta(days=self.terms.policy.courtesy_days)
        return Pack(
            key=f"pk:{name}",
            account=of.account,
            plan=COURTESY,
            bought_minutes=minutes,
            currency=of.currency,
            activated_on=today,
            last_valid_on=last,
            original_last_valid_on=last,
            purchase_seq=0,
            status=PackStatus.ACTIVE,
        )

    # showing

    def _outcome(
        self, postings: tuple[Posting, ...], given: tuple[Pack, ...], touched: _Touched, everything: bool, now: datetime
    ) -> LedgerOutcome:
        intake, replay = self.intake, self.replay
        cases = (
            set(touched.cases)
            | {intake.works[key].case for key in touched.entries if key in intake.works}
            | {intake.estimates[key].case or "" for key in touched.estimates if key in intake.estimates}
        )
        entries = set(touched.entries)
        for case in cases:
            entries |= set(replay.waiting.get(case, ()))
        if everything:
            cases |= intake.cases.keys() | intake.estimates_of.keys()
            entries |= set(intake.entries)
        view = figures.View(intake, replay, now)
        cases |= {intake.estimates[key].case or "" for key in view.open_estimates}  # they expire by themselves
        estimates = {*touched.estimates, *view.open_estimates}
        for case in cases:
            estimates |= intake.estimates_of.get(case, set())
        cases &= intake.cases.keys()
        account = view.account()
        shown_estimates = {k: view.estimate(k, account) for k in sorted(estimates) if k in intake.estimates}
        packs = view.packs()
        return LedgerOutcome(
            postings=postings,
            new_packs=given,
            entries={key: view.entry(key) for key in sorted(entries) if key in intake.entries},
            cases={key: view.case(key) for key in sorted(cases)},
            estimates=shown_estimates,
            packs=packs,
            account=account,
            reservations={case: {lot: parts[lot] for lot in sorted(parts)} for case, parts in replay.parts.items()},
            findings=tuple(
                view.findings(sorted(entries), sorted(cases), shown_estimates, packs, given, days_of=self._changed)
            ),
            next_due_at=self._next_due_at(view, now),
        )

    def _next_due_at(self, view: figures.View, now: datetime) -> datetime | None:
        ends = [end_of_day(day, self.terms.time_zone) for day in view.open_until()]
        return min((at for at in (*(event.at for event in self._future), *ends) if at > now), default=None)


def _draws(posting: Posting) -> bool:
    """Return whether a posting keeps its pack in the ledger for good: work on it, or an act of a person."""
    if posting.source.startswith(ACT):
        return True
    return posting.minutes < 0 and posting.kind in (PostingKind.CONSUME, PostingKind.ADJUSTMENT)
