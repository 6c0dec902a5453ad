"""How long one change takes in a large ledger, alone and through the store: 10,000 cases and 50,000 time entries."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time

import pytest

from sfsync.clock import seeded
from sfsync.mapping import load_mappings, load_plans
from sfsync.policy import ClientTerms
from sfsync.records import Case, Estimate, EstimateStatus, Pack, Record, TimeEntry
from sfsync.rules.evaluate import Ask, Contract, Evaluation, asking, evaluate
from sfsync.rules.ledger import Book, LedgerFacts
from sfsync.store.store import Store

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
        ends = at + timedelta(days=rng.randint(2, 20))
        closed = ends if number < CASES - 200 and ends <= NOW else None
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


@pytest.mark.bench
def test_one_changed_case_of_a_large_client_through_the_store(database_url: str) -> None:
    facts, mappings, contract = large(), load_mappings(), Contract(TERMS, PLANS, {})
    store = Store(database_url)
    store.add_org("large", "large")
    room = store.room("large", "large", mappings, store.acquire("large", "large", "bench", 36_000))
    everything = [*facts.packs.values(), *facts.cases.values(), *facts.estimates.values(), *facts.entries.values()]
    store.amend("large", mappings, Evaluation(created=everything), NOW)

    def looked(now: datetime, whole: bool = False) -> dict[str, int]:
        """Evaluate as the line does; return milliseconds by what they went to."""
        took = {"read": 0, "rules": 0, "write": 0, "rules' processor": 0, "looks": 0}
        ask: Ask | None = asking(contract, now)
        while ask is not None:
            begun = perf_counter()
            found = room.facts(now, replace(ask, whole=whole or ask.whole))
            read, worked = perf_counter(), process_time()
            assert found is not None
            said = evaluate(contract, found, now)
            ask = said.ask
            took["read"] += round(1000 * (read - begun))
            took["rules"] += round(1000 * (perf_counter() - read))
            took["rules' processor"] += round(1000 * (process_time() - worked))
            took["looks"] += 1
        begun = perf_counter()
        room.record(said, now)
        took["write"] += round(1000 * (perf_counter() - begun))
        return took

    first = looked(NOW)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"\nload of the machine: {load}; every look is a cold worker's: nothing is kept in it")  # noqa: T201
    print(f"store, everything for the first time, weeks issued: {first} ms")  # noqa: T201
    newest, open_case = f"T{CASES - 1}.4", f"C{CASES - 50}"

    def change(what: str, number: int) -> Record:
        if what == "corrected entry":
            return replace(facts.entries[newest], worked_minutes=20 + number)
        if what == "new entry":
            return TimeEntry(key=f"N{number}", case=open_case, worked_on=NOW.date(), worked_minutes=30, created_at=now)
        if what == "entry of 20 days ago corrected":
            return replace(facts.entries[f"T{CASES - 288}.1"], worked_minutes=20 + number)
        return replace(facts.cases[f"C{CASES - 100 + number}"], is_closed=True, closed_at=now)

    now, medians = NOW, {}
    for what in ("corrected entry", "new entry", "closed case", "entry of 20 days ago corrected"):
        times = []
        for number in range(9):
            now += timedelta(minutes=1)
            store.amend("large", mappings, Evaluation(created=[change(what, number)]), now)
            times.append(looked(now))
        times.sort(key=lambda took: took["read"] + took["rules"] + took["write"])
        middle = times[len(times) // 2]
        medians[what] = middle["read"] + middle["rules"] + middle["write"]
        print(f"store, {what}: median {medians[what]} ms {middle}, worst {times[-1]}")  # noqa: T201
    now += timedelta(minutes=1)
    store.amend("large", mappings, Evaluation(created=[change("new entry", 99)]), now)
    again = looked(now, whole=True)
    whole = again["read"] + again["rules"] + again["write"]
    for what, median in medians.items():
        print(f"store, everything again {whole} ms {again}: {whole // max(1, median)} times {what}")  # noqa: T201
    assert max(medians.values()) < whole
    store.close()
