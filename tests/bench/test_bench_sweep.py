"""A sweep over many open clocks: what it reads, and how long the store takes to find it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time

import pytest

from sfsync.mapping import load_mappings
from sfsync.records import Case, Milestone
from sfsync.rules.evaluate import Evaluation
from sfsync.store.store import Store

OPEN, DUE, ROUNDS = 100_000, 100, 9
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.bench
def test_a_sweep_of_100_000_open_cases_reads_the_100_that_are_due(database_url: str) -> None:
    store, mappings = Store(database_url), load_mappings()
    store.add_org("acme", "acme", organization_id="00D000000000001EAA")
    cases = [Case(key=f"ca:{n}", number=f"{n:08d}", created_at=NOW - timedelta(hours=3)) for n in range(OPEN)]
    marks = [
        Milestone(
            case=case.key, clock="ack", cycle=1, plan="gold", priority="P2", target_seconds=14_400,
            started_at=NOW - timedelta(hours=3), clock_starts_at=NOW - timedelta(hours=3),
            due_at=NOW + timedelta(seconds=n // DUE), breach_at=NOW + timedelta(seconds=n // DUE),
        )
        for n, case in enumerate(cases)
    ]  # fmt: skip
    store.amend("acme", mappings, Evaluation(created=list(cases)), NOW)
    room = store.room("acme", "acme", mappings, store.acquire("acme", "acme", "bench"))
    room.facts(NOW)
    room.record(Evaluation(milestones=marks), NOW)
    took, worked = [], []
    for _ in range(ROUNDS):
        began, busy = perf_counter(), process_time()
        clients = store.due_clients(NOW + timedelta(seconds=1))
        facts = room.facts(NOW + timedelta(seconds=1))
        took.append(perf_counter() - began)
        worked.append(process_time() - busy)
        assert clients == ["acme"]
        assert facts is not None
        assert facts.clocks_only
        assert len(facts.cases) == DUE
    load, best, busy = os.getloadavg()[0], min(took) * 1000, min(worked) * 1000
    print(f"\nsweep: {OPEN:,} open cases, {len(facts.cases)} read, best {best:.1f} ms of {ROUNDS}, ", end="")  # noqa: T201
    print(f"{busy:.1f} ms of it our processor time; load of the machine {load:.1f}")  # noqa: T201
    store.close()
