"""What the store costs: a page absorbed, facts read, postings booked, a plan settled. Figures, with generous bounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sfsync.mapping import Mappings, load_mappings
from sfsync.mirror.merge import merge
from sfsync.mirror.plan import Outcome, Result, plan
from sfsync.mirror.translate import Bookmark, Page, Seen
from sfsync.records import Pack, Posting, PostingKind
from sfsync.rules.evaluate import Evaluation
from sfsync.store.room import OrgRoom
from sfsync.store.store import Store

pytestmark = pytest.mark.bench
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ROWS = 10_000


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url)
    made.add_org("acme", "acme", organization_id="00D000000000001EAA")
    yield made
    made.close()


@pytest.fixture
def room(store: Store) -> OrgRoom:
    return store.room("acme", "acme", load_mappings(), store.acquire("acme", "acme", "bench", seconds=3600))


def cases(mappings: Mappings, stamp: datetime, subject: str) -> list[Seen]:
    wire = dict.fromkeys(mappings["case"].fields)
    return [
        Seen(
            "Case",
            f"500{n:012d}EAA",
            f"ca:{n}",
            {
                **wire,
                "number": f"{n:08d}",
                "subject": f"{subject} {n}",
                "status": "New",
                "priority": "P3",
                "breached": False,
            },
            stamp,
            created_at=NOW,
        )
        for n in range(ROWS)
    ]


def timed(what: str, call: Callable[[], Any], bound_ms: int, rounds: int = 1) -> Any:
    """Print the median of a call and fail beyond a bound that only a blunder reaches."""
    took, result = [], None
    for _ in range(rounds):
        begun = time.perf_counter()
        result = call()
        took.append((time.perf_counter() - begun) * 1000)
    median = statistics.median(took)
    print(f"\n  {what:58} {median:9.1f} ms")  # noqa: T201
    assert median < bound_ms
    return result


def test_a_client_of_ten_thousand_cases(store: Store, room: OrgRoom) -> None:
    mappings = load_mappings()

    def absorb(stamp: datetime, subject: str) -> None:
        page = cases(mappings, stamp, subject)
        memories = timed("read 10,000 memories", lambda: room.memories("Case", [s.key for s in page]), 3000)
        ids = room.ids((), ())
        merged = [(s, merge(mappings["case"], s, *memories.get(s.key, (None, None)), ids, {})) for s in page]
        shown = Page("Case", tuple(page), Bookmark("Case", stamp))
        timed("absorb 10,000 rows, 26 fields, local and links", lambda: room.absorb(shown, merged), 6000)

    absorb(NOW, "Printer")
    absorb(NOW + timedelta(hours=1), "Scanner")
    facts = timed("read the facts of 10,000 cases", lambda: room.facts(NOW), 3000)
    assert len(facts.cases) == ROWS
    said = Evaluation(fields={("Case", f"ca:{n}"): {"sla_status": "On track", "due_at": NOW} for n in range(ROWS)})
    timed("record 2 computed fields of 10,000 cases", lambda: room.record(said, NOW), 6000)
    owed = timed("read 10,000 unsettled links with their values", lambda: room.unsettled(NOW), 3000)
    todo = timed("plan 10,000 changes (pure)", lambda: plan(mappings, owed, room.ids((), ())), 3000)
    assert len(todo.changes) == ROWS
    timed("begin 10,000 changes", lambda: room.begin(todo, NOW), 3000)
    outcomes = [Outcome(change, Result.DONE, change.sf_id) for change in todo.changes]
    timed("settle 10,000 outcomes", lambda: room.settle(outcomes, (), NOW), 6000)
    assert timed("unsettled, when nothing is", lambda: room.unsettled(NOW), 100, rounds=20) == []
    assert timed("facts, when nothing was touched", lambda: room.facts(NOW), 100, rounds=20) is None
    quiet = Page("Case", (), Bookmark("Case", NOW + timedelta(hours=2)))
    timed("absorb an empty page", lambda: (room.absorb(quiet, []), room.facts(NOW)), 100, rounds=20)


def test_ten_thousand_postings(store: Store) -> None:
    mappings = load_mappings()

    def posting(n: int, minutes: int, kind: PostingKind) -> Posting:
        return Posting(
            pack=f"pk:{n % 10}", minutes=minutes, kind=kind, effective_on=NOW.date(), booked_at=NOW, source=f"te:{n}",
            source_version=1, leg=0,
        )  # fmt: skip

    bought = Evaluation(
        created=[Pack(key=f"pk:{n}") for n in range(10)],
        postings=[posting(n, 100_000, PostingKind.PURCHASE) for n in range(10)],
    )
    store.amend("acme", mappings, bought, NOW)
    drawn = Evaluation(postings=[posting(n + 10, -7, PostingKind.CONSUME) for n in range(ROWS)])
    timed("book 10,000 postings on 10 packs", lambda: store.amend("acme", mappings, drawn, NOW), 5000)
    timed("book them again, to no effect", lambda: store.amend("acme", mappings, drawn, NOW), 5000)
    assert sum(store.balances("acme").values()) == 1_000_000 - 7 * ROWS
    one = iter(range(ROWS + 10, ROWS + 1000))
    timed(
        "book one posting",
        lambda: store.amend("acme", mappings, Evaluation(postings=[posting(next(one), -7, PostingKind.CONSUME)]), NOW),
        200,
        rounds=50,
    )


def test_leases(store: Store) -> None:
    def hold() -> None:
        lease = store.acquire("acme", "acme", "bench")
        assert lease is not None
        store.release(lease)

    timed("acquire and release a lease", hold, 200, rounds=50)
