"""How long one change takes in a large client's ledger: 10,000 cases and 50,000 time entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

import pytest

from sfsync.clock import seeded
from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms
from sfsync.records import Case, Estimate, EstimateStatus, Pack, TimeEntry
from sfsync.rules.ledger import Book, LedgerFacts

CASES, ENTRIES_A_CASE = 10_000, 5
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
NOW = START + timedelta(minutes=100 * CASES, days=1)
PLANS = load_plans()
TERMS = ClientTerms(client="large", name="Large", time_zone="Europe/Bucharest")


def large() -> LedgerFacts:
    rng = seeded("a large client")
    packs = {}
    for number in range(60):
        on = (START + timedelta(days=12 * number)).date()
        packs[f"P{number}"] = Pack(key=f"P{number}", plan="Pro", packs_bought=100, activated_on=on, purchase_seq=number)
    cases, estimates, entries = {}, {}, {}
    for number in range(CASES):
        key, at = f"C{number}", START + timedelta(minutes=100 * number)
        closed = at + timedelta(days=rng.randint(2, 20)) if number < CASES - 200 else None
        cases[key] = Case(key=key, category="Corrective", is_closed=closed is not None, closed_at=closed, created_at=at)
        estimates[f"{key}/1"] = Estimate(
            key=f"{key}/1",
            case=key,
            version=1,
            estimated_minutes=300,
            status=EstimateStatus.APPROVED,
            sent_at=at,
            decided_at=at + timedelta(hours=5),
        )
        for part in range(ENTRIES_A_CASE):
            worked = at + timedelta(hours=6 + rng.randint(0, 40))
            entry = f"T{number}.{part}"
            entries[entry] = TimeEntry(
                key=entry,
                case=key,
                worked_on=worked.date(),
                worked_minutes=rng.choice([15, 30, 60, 90]),
                created_at=worked,
                consultant=f"u{rng.randint(0, 9)}",
            )
    return LedgerFacts(packs, cases, estimates, entries)


def milliseconds(act: Callable[[int], None]) -> list[int]:
    times = []
    for number in range(21):
        begun = process_time()
        act(number)
        times.append(round(1000 * (process_time() - begun)))
    return sorted(times)


@pytest.mark.bench
def test_one_changed_case_of_a_large_client_takes_at_most_20_ms() -> None:
    facts = large()
    begun = process_time()
    book = Book(facts, (), TERMS, PLANS)
    first = book.settle(NOW)
    whole = process_time() - begun
    assert len(facts.entries) == CASES * ENTRIES_A_CASE
    assert len(first.postings) > CASES * ENTRIES_A_CASE

    newest, open_case = f"T{CASES - 1}.4", f"C{CASES - 50}"

    def correct(number: int) -> None:
        book.change(entries={newest: replace(facts.entries[newest], worked_minutes=20 + number)})
        assert book.settle(NOW).postings

    def log(number: int) -> None:
        entry = TimeEntry(key=f"N{number}", case=open_case, worked_on=NOW.date(), worked_minutes=30, created_at=NOW)
        book.change(entries={entry.key: entry})
        assert entry.key in book.settle(NOW).entries

    def close(number: int) -> None:
        key = f"C{CASES - 100 + number}"
        book.change(cases={key: replace(facts.cases[key], is_closed=True, closed_at=NOW)})
        assert key in book.settle(NOW).cases

    medians = {}
    for name, act in (("corrected entry", correct), ("new entry", log), ("closed case", close)):
        times = milliseconds(act)
        medians[name] = times[len(times) // 2]
        print(f"ledger, {name}: median {medians[name]} ms, worst {times[-1]} ms of processor time")  # noqa: T201
    print(f"ledger, everything from nothing: {whole:.1f} s of processor time")  # noqa: T201
    assert max(medians.values()) <= 20
