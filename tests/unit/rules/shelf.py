"""Where marks of a ledger's story are put down and taken up again, as a store does it, in plain data.

May not know the rules beyond what they ask for. It keeps one law: nothing but what was put down is taken up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sfsync.policy import ClientTerms
from sfsync.records import Case, Estimate, Pack, Posting, Record, TimeEntry
from sfsync.rules.intake import Event, LedgerFacts
from sfsync.rules.ledger import Book, LedgerOutcome
from sfsync.rules.marks import NeedsMore, case_data, case_of, kept, mark_data, mark_of
from tests.unit.rules.histories import PLANS

OPEN = ("Sent", "Question")


@dataclass
class Shelf:
    """One client's marks."""

    marks: dict[int, tuple[Event, str]] = field(default_factory=dict)
    cases: dict[str, dict[int, str]] = field(default_factory=dict)
    told_in: dict[str, set[str]] = field(default_factory=dict)
    tail: frozenset[str] = frozenset()
    taken_up: int = 0
    whole: int = 0

    def settle(
        self,
        records: Mapping[str, Record],
        postings: list[Posting],
        terms: ClientTerms,
        now: datetime,
        changed: set[str],
    ) -> LedgerOutcome:
        """Return what a book says that takes the story up as late as it may."""
        before: datetime | None = None
        wanted: frozenset[str] = frozenset()
        while True:
            chosen = self._mark(before, now)
            if chosen is None or not postings:
                self.whole += 1
                book = Book(_facts(records), postings, terms, PLANS)
                outcome = book.settle(now)
                break
            try:
                book = self._open(chosen, records, postings, terms, now, changed, wanted)
                outcome = book.settle(now)
            except NeedsMore as more:
                if more.whole:
                    before = datetime.min.replace(tzinfo=now.tzinfo)
                elif more.before is not None:
                    before = min(before, more.before.at) if before else more.before.at
                if not (more.whole or more.before or more.cases - wanted):
                    raise RuntimeError("nothing new is asked for") from more
                wanted |= more.cases
                continue
            self.taken_up += 1
            break
        self._put_down(book)
        return outcome

    def _mark(self, before: datetime | None, now: datetime) -> int | None:
        fit = [n for n, (last, _) in self.marks.items() if last.at <= now and (before is None or last.at < before)]
        return max(fit, default=None)

    def _open(
        self,
        number: int,
        records: Mapping[str, Record],
        postings: list[Posting],
        terms: ClientTerms,
        now: datetime,
        changed: set[str],
        wanted: frozenset[str],
    ) -> Book:
        last, text = self.marks[number]
        mark = mark_of(number, last, json.loads(text))
        beyond = self.tail | {case for case, rows in self.cases.items() if max(rows, default=0) > number}
        needed = set(mark.cases) | wanted | beyond
        at = last.at
        for key in changed:
            record = records[key]
            needed |= self.told_in.get(key, set())
            if isinstance(record, TimeEntry | Estimate):
                needed.add(record.case or "")
            if isinstance(record, Case):
                needed.add(key)
        for record in records.values():
            if isinstance(record, TimeEntry) and (record.created_at is None or record.created_at >= at):
                needed.add(record.case or "")
            if isinstance(record, Case) and record.closed_at is not None and record.closed_at >= at:
                needed.add(record.key)
            if isinstance(record, Estimate):
                instants = [i for i in (record.decided_at, record.sent_at, record.created_at) if i is not None]
                if record.status in OPEN or not instants or max(instants) >= at:
                    needed.add(record.case or "")
        while True:
            inside = [r for r in records.values() if isinstance(r, TimeEntry) and (r.case or "") in needed]
            targets = {r.correction_of for r in inside if r.correction_of}
            names = {r.key for r in inside}
            more = {
                r.case or ""
                for r in records.values()
                if isinstance(r, TimeEntry) and (r.key in targets or r.correction_of in names | targets)
            }
            if more <= needed:
                break
            needed |= more
        shown = {
            key: r
            for key, r in records.items()
            if isinstance(r, Pack)
            or (isinstance(r, Case) and key in needed)
            or (isinstance(r, TimeEntry | Estimate) and (r.case or "") in needed)
        }
        told = {}
        for case in needed:
            rows = {n: text for n, text in self.cases.get(case, {}).items() if n <= number}
            if rows:
                told[case] = case_of(case, json.loads(rows[max(rows)]))
        sources = {*shown, *(key for each in told.values() for key in each.works), *(f"fixed:{c}" for c in needed)}
        known = [p for p in postings if p.source in sources or p.source.startswith(("expire:", "act:"))]
        kinds = {"Case": Case, "TimeEntry": TimeEntry, "Estimate": Estimate}
        return Book.take_up(
            mark,
            told,
            _facts(shown),
            known,
            terms,
            PLANS,
            now,
            shown=frozenset(needed),
            changed={
                name: frozenset(key for key in changed if isinstance(records[key], kind))
                for name, kind in kinds.items()
            },
            beyond=beyond,
            drawn={p.pack for p in postings if p.minutes < 0 and p.kind in ("consume", "adjustment")},
        )

    def _put_down(self, book: Book) -> None:
        base = book.taken_up_at
        self.marks = {n: held for n, held in self.marks.items() if n <= base}
        self.cases = {case: {n: text for n, text in rows.items() if n <= base} for case, rows in self.cases.items()}
        for mark, cases in book.marked:
            self.marks[mark.number] = (mark.last, json.dumps(mark_data(mark)))
            for case, told in cases.items():
                assert case_of(case, json.loads(json.dumps(case_data(told)))) == told
                self.cases.setdefault(case, {})[mark.number] = json.dumps(case_data(told))
                for key in (*told.works, *told.decisions):
                    self.told_in.setdefault(key, set()).add(case)
        self.marks = {n: held for n, held in self.marks.items() if kept(n, book.length)}
        self.tail = book.tail


def _facts(records: Mapping[str, Record]) -> LedgerFacts:
    def of(kind: type) -> dict[str, Any]:
        return {key: record for key, record in records.items() if isinstance(record, kind)}

    return LedgerFacts(of(Pack), of(Case), of(Estimate), of(TimeEntry))
