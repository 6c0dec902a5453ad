"""A story taken up in the store: what a change can reach is read, and what is said of it is said of everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sfsync.clock import seeded
from sfsync.mapping import Mappings, load_mappings
from sfsync.policy import ClientTerms
from sfsync.rules import marks
from sfsync.rules.evaluate import Contract, Evaluation, Facts, asking, evaluate
from sfsync.rules.postings import books, dips
from sfsync.store.room import OrgRoom
from sfsync.store.store import Store
from tests.unit.rules.histories import PLANS, history

SEEDS = range(3)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url)
    yield made
    made.close()


@pytest.fixture
def mappings() -> Mappings:
    return load_mappings()


def contract_of(terms: ClientTerms) -> Contract:
    return Contract(terms, PLANS, {})


def reckoned(room: OrgRoom, contract: Contract, now: datetime) -> tuple[Evaluation, Facts, int]:
    """Let the rules look as the line lets them; return what they said, the facts of the last look, and the looks."""
    ask, looks = asking(contract, now), 0
    while True:
        facts = room.facts(now, ask)
        assert facts is not None
        said, looks = evaluate(contract, facts, now), looks + 1
        if said.ask is None:
            return said, facts, looks
        assert said.ask != ask, "the same is asked for again"
        ask = said.ask


def live(store: Store, mappings: Mappings, client: str, seed: int) -> tuple[int, int]:
    """Live through a history; return how many evaluations were taken up at a mark, and how many were whole."""
    one = history(seed, seeded(f"story {seed}"), edits=True)
    contract = contract_of(replace_client(one.terms, client))
    store.add_org(client, client)
    room = store.room(client, client, mappings, store.acquire(client, client, "test", 3600))
    parts = wholes = 0
    for number, (at, arrived) in enumerate(one.arrivals):
        for minutes, record in enumerate([*arrived, None, *arrived[:1]]):
            now = at + timedelta(minutes=5 * minutes)
            store.amend(client, mappings, Evaluation(created=[record] if record is not None else []), now)
            said, facts, _ = reckoned(room, contract, now)
            parts, wholes = parts + (facts.part is not None), wholes + (facts.part is None)
            if facts.part is not None:
                everything = replace(store.facts(client), touched=facts.touched)
                same(said, evaluate(contract, everything, now), f"seed {seed}, run {number} + {minutes}")
            room.record(said, now)
        postings = store.postings(client)
        assert books(postings).sound, f"seed {seed}, run {number}"
        assert dips(postings) == [], f"seed {seed}, run {number}"
    return parts, wholes


def same(part: Evaluation, whole: Evaluation, where: str) -> None:
    """Check that nothing differs but, harmlessly, a waking that comes too early."""
    assert part.postings == whole.postings, where
    assert part.fields == whole.fields, where
    assert part.created == whole.created, where
    assert part.milestones == whole.milestones, where
    assert {(f.code, f.record, f.message) for f in part.findings} <= {
        (f.code, f.record, f.message) for f in whole.findings
    }, where
    assert whole.weeks_due_at is not None, where
    assert part.weeks_due_at is not None, where
    assert part.weeks_due_at <= whole.weeks_due_at, where
    assert part.next_due_at is not None, where
    assert whole.next_due_at is None or part.next_due_at <= whole.next_due_at, where


def replace_client(terms: ClientTerms, client: str) -> ClientTerms:
    return terms.model_copy(update={"client": client})


def test_what_is_said_of_a_part_is_what_is_said_of_everything(
    store: Store, mappings: Mappings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "SPACING", ((2, 6), (4, 12)))
    monkeypatch.setattr(marks, "WIDE", 16)
    counts = [live(store, mappings, f"c{seed}", seed) for seed in SEEDS]
    parts, wholes = sum(p for p, _ in counts), sum(w for _, w in counts)
    print(f"\nseeds {SEEDS}: {parts} evaluations of a part, {wholes} of everything")  # noqa: T201
    assert parts > 10


def test_marks_of_one_client_are_not_seen_by_another(
    store: Store, mappings: Mappings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "SPACING", ((2, 64),))
    live(store, mappings, "acme", 0)
    store.add_org("zeta", "zeta")
    with store._database.reading("zeta") as connection:
        for table in ("ledger_mark", "ledger_case", "told_record"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0
    with store._database.reading("acme") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM ledger_case").scalar_one() > 0


def test_a_changed_contract_is_told_from_the_first_day(
    store: Store, mappings: Mappings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "SPACING", ((2, 64),))
    live(store, mappings, "acme", 0)
    one = history(0, seeded("story 0"), edits=True)
    now, arrived = one.arrivals[-1]
    store.amend("acme", mappings, Evaluation(created=arrived or [one.records[0]]), now)
    room = store.room("acme", "acme", mappings)
    contract = contract_of(replace_client(one.terms, "acme"))
    same = room.facts(now, asking(contract, now))
    other = one.terms.model_copy(update={"policy": one.terms.policy.model_copy(update={"tolerance_pct": 50})})
    changed = room.facts(now, asking(contract_of(replace_client(other, "acme")), now))
    assert same is not None
    assert changed is not None
    assert (same.part is not None, changed.part is None) == (True, True)
