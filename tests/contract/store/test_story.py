"""A story taken up in the store: what a change can reach is read, and what is said of it is said of everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.clock import seeded
from sfsync.mapping import Mappings, load_mappings
from sfsync.policy import ClientTerms
from sfsync.records import Case, Pack, Record, TimeEntry
from sfsync.rules import marks
from sfsync.rules.evaluate import Contract, Evaluation, Facts, asking, evaluate
from sfsync.rules.postings import books, dips
from sfsync.store import story
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


def shown_at_marks(store: Store, client: str) -> dict[int, dict[str, object]]:
    """Return what each mark of a client shows of each case: its own row, or that of the mark before."""
    rows = (
        'SELECT DISTINCT ON (m.number, c."case") m.number, c."case", c.state FROM ledger_mark m '
        'JOIN ledger_case c ON c.client = m.client AND c.mark <= m.number ORDER BY m.number, c."case", c.mark DESC'
    )
    shown: dict[int, dict[str, object]] = {}
    with store._database.reading(client) as connection:
        for number, case, state in connection.exec_driver_sql(rows):
            shown.setdefault(number, {})[case] = state
        kept = connection.exec_driver_sql("SELECT count(*) FROM ledger_case").scalar_one()
    return {**shown, -1: {"rows": kept}}


def log_one_by_one(store: Store, mappings: Mappings, client: str) -> None:
    """Let work arrive entry by entry, on three cases in turn."""
    contract = contract_of(ClientTerms(client=client, name=client, time_zone="Europe/Bucharest"))
    store.add_org(client, client)
    room = store.room(client, client, mappings, store.acquire(client, client, "test", 3600))
    now = datetime(2026, 11, 2, 9, tzinfo=UTC)
    begun: list[Record] = [
        Pack(key="pk:1", plan="Flexi", packs_bought=5, activated_on=now.date(), purchase_seq=1),
        *(Case(key=f"ca:{n}", created_at=now) for n in range(3)),
    ]
    for number in range(24):
        now += timedelta(minutes=10)
        entry = TimeEntry(
            key=f"te:{number}", case=f"ca:{number % 3}", worked_on=now.date(), worked_minutes=5, created_at=now
        )
        store.amend(client, mappings, Evaluation(created=[*begun, entry]), now)
        begun = []
        said, facts, looks = reckoned(room, contract, now)
        assert (facts.part is not None, looks) == (number > 0, 1)
        room.record(said, now)


def test_thinning_leaves_every_mark_that_stays_what_it_was(
    store: Store, mappings: Mappings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "SPACING", ((1, 2), (2, 8)))
    monkeypatch.setattr(marks, "WIDE", 8)
    log_one_by_one(store, mappings, "thin")
    monkeypatch.setattr(story, "kept", lambda number, total: True)
    log_one_by_one(store, mappings, "whole")
    thin, whole = shown_at_marks(store, "thin"), shown_at_marks(store, "whole")
    rows = [shown.pop(-1)["rows"] for shown in (thin, whole)]
    assert thin.keys() < whole.keys()
    assert rows[0] < rows[1], "nothing was thinned"  # type: ignore[operator]
    for number, cases in thin.items():
        assert cases == whole[number], number


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
