"""The ledger over random years of a client: nothing is lost, and the order of arrival has no say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sfsync.clock import seeded
from sfsync.records import Posting, PostingKind, Record, TimeEntry
from sfsync.rules import marks
from sfsync.rules.intake import acts_of
from sfsync.rules.ledger import Book, LedgerOutcome, settle
from sfsync.rules.postings import act, balances, books, chain, dips, verify
from sfsync.rules.summary import statements
from sfsync.rules.weeks import Week, local_day
from tests.unit.rules.histories import FIRST, PLANS, History, facts_of, history
from tests.unit.rules.shelf import Shelf

BATCHES = range(10)
PER_BATCH = 140  # 2,800 histories in all: half of them with edits, half in two orders of arrival
FULL_EVERY = 4


def told(history: History, *, also_full: bool = False) -> tuple[LedgerOutcome, list[Posting], dict[str, Record]]:
    """Let a history happen run by run; check every run; return the last outcome of everything."""
    records: dict[str, Record] = {}
    postings: list[Posting] = []
    shown: dict[str, dict[str, object]] = {"entries": {}, "cases": {}, "estimates": {}}
    book = Book(facts_of({}), (), history.terms, PLANS)
    for now, batch in history.arrivals:
        records.update({record.key: record for record in batch})
        facts = facts_of({record.key: record for record in batch})
        book.change(packs=facts.packs, cases=facts.cases, estimates=facts.estimates, entries=facts.entries)
        outcome = book.settle(now)
        if also_full:
            same(outcome, settle(facts_of(records), postings, history.terms, PLANS, now), shown)
        postings += outcome.postings
        records.update({pack.key: pack for pack in outcome.new_packs})
        assert book.settle(now).postings == (), "settling twice posts twice"
    last = history.arrivals[-1][0] + timedelta(days=1)
    final = settle(facts_of(records), postings, history.terms, PLANS, last)
    return final, [*postings, *final.postings], records


def same(part: LedgerOutcome, whole: LedgerOutcome, shown: dict[str, dict[str, object]]) -> None:
    """Check that the incremental form says what the full one does, and that what it did not show did not change."""
    assert part.postings == whole.postings
    assert part.new_packs == whole.new_packs
    assert part.account == whole.account
    assert part.reservations == whole.reservations
    assert part.packs == whole.packs
    assert part.next_due_at == whole.next_due_at
    for name, known in shown.items():
        known.update(getattr(part, name))
        assert known == getattr(whole, name), name


def sound(history: History, outcome: LedgerOutcome, postings: list[Posting]) -> None:
    """Check what must hold of any ledger at any time."""
    sums = books(postings)
    assert sums.error == 0
    assert sums.negative == {}
    assert dips(postings) == []
    fold = balances(postings)
    for key, pack in outcome.packs.items():
        assert fold.get(key, 0) == pack.remaining_minutes, f"{key}: the balance is the fold of its postings"
        assert 0 <= pack.reserved_minutes <= pack.remaining_minutes
        assert min(pack.used_minutes, pack.expired_minutes, pack.available_minutes) >= 0
        assert pack.bought_minutes == pack.used_minutes + pack.expired_minutes + pack.remaining_minutes
    if history.terms.policy.overdraw == "block":
        assert outcome.account.balance_minutes == sum(fold.values())
        assert outcome.account.available_minutes >= 0
    assert outcome.account.available_minutes == outcome.account.balance_minutes - outcome.account.reserved_minutes
    for entry in outcome.entries.values():
        parts = entry.counted_minutes + entry.waiting_minutes + entry.uncovered_minutes + entry.refused_minutes
        assert parts == entry.billed_minutes, f"{entry.key}: no minute is lost or counted twice"
    for reserved in outcome.reservations.values():
        assert min(reserved.values()) > 0
    weeks = [Week.of(FIRST).shifted(number) for number in range(-1, 100)]
    last = history.arrivals[-1][0] + timedelta(days=1)
    made = statements(postings, weeks, last, history.terms.time_zone, history.terms.policy)
    for before, after in zip(made, made[1:], strict=False):
        assert before.closing_minutes == after.opening_minutes, f"{before.week}: a closing is the next opening"
    assert made[-1].closing_minutes == sums.balance


@pytest.mark.parametrize("batch", BATCHES)
def test_minutes_are_conserved_and_no_pack_dips_below_zero_whatever_happens(batch: int) -> None:
    for seed in range(batch * PER_BATCH, (batch + 1) * PER_BATCH):
        told_one = history(seed, seeded(f"ledger {seed}"), edits=True)
        try:
            outcome, postings, records = told(told_one, also_full=seed % FULL_EVERY == 0)
            sound(told_one, outcome, postings)
            drawn_only_when_valid(told_one, outcome, records)
            rebuilt(told_one, outcome, postings, records)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {wrong}") from wrong
    print(f"\nledger: {PER_BATCH} histories, seeds {batch * PER_BATCH} to {(batch + 1) * PER_BATCH - 1}")  # noqa: T201


def drawn_only_when_valid(history: History, outcome: LedgerOutcome, records: dict[str, Record]) -> None:
    """LED-3: the work date lies in the days of the pack or the grace of a reservation, or before a purchase."""
    grace = timedelta(days=history.terms.policy.reservation_grace_days)
    for entry in outcome.entries.values():
        worked = records[entry.key]
        assert isinstance(worked, TimeEntry)
        for leg in entry.legs:
            last = outcome.packs[leg.pack].last_valid_on
            assert last is not None
            assert worked.worked_on is not None
            assert worked.worked_on <= last + grace
            assert leg.effective_on >= worked.worked_on


def rebuilt(history: History, outcome: LedgerOutcome, postings: list[Posting], records: dict[str, Record]) -> None:
    """Deleting the store and reading the org again comes to the same figures and balances."""
    last = history.arrivals[-1][0] + timedelta(days=1)
    again = settle(facts_of(records), (), history.terms, PLANS, last)
    assert balances(again.postings) == {key: m for key, m in balances(postings).items() if key in records}
    assert again.new_packs == ()
    assert again.packs == outcome.packs
    assert again.entries == outcome.entries
    assert again.cases == outcome.cases
    assert again.account == outcome.account
    assert again.reservations == outcome.reservations
    assert books(again.postings).expired == books(postings).expired
    assert books(again.postings).consumed == books(postings).consumed


@pytest.mark.parametrize("batch", range(3))
def test_refunds_by_hand_leave_the_books_sound_whatever_turns_up_later(batch: int) -> None:
    for seed in range(batch * 60, (batch + 1) * 60):
        rng = seeded(f"refunds {seed}")
        one = history(seed, rng, edits=True)
        records: dict[str, Record] = {}
        postings: list[Posting] = []
        book = Book(facts_of({}), (), one.terms, PLANS)
        for number, (now, batch_of) in enumerate(one.arrivals):
            records.update({record.key: record for record in batch_of})
            facts = facts_of({record.key: record for record in batch_of})
            book.change(packs=facts.packs, cases=facts.cases, estimates=facts.estimates, entries=facts.entries)
            outcome = book.settle(now)
            whole = settle(facts_of(records), postings, one.terms, PLANS, now)
            assert whole.postings == outcome.postings, f"seed {seed}"
            assert whole.packs == outcome.packs, f"seed {seed}"
            postings += outcome.postings
            records.update({pack.key: pack for pack in outcome.new_packs})
            free = {key: pack.available_minutes for key, pack in outcome.packs.items() if pack.available_minutes > 0}
            live = [key for key in free if records[key].key in balances(postings)]
            if live and rng.random() < 0.4:
                pack = rng.choice(live)
                minutes = rng.randint(1, free[pack])
                on = local_day(now, one.terms.time_zone)
                done = act(f"{seed}-{number}", PostingKind.REFUND, {pack: -minutes}, on=on, now=now, reason="asked for")
                postings += done
                book.change(acts=acts_of(done))
            assert books(postings).sound, f"seed {seed}"
            assert dips(postings) == [], f"seed {seed}"


@pytest.mark.parametrize("batch", BATCHES)
def test_the_order_in_which_records_arrive_has_no_say(batch: int) -> None:
    for seed in range(batch * PER_BATCH, (batch + 1) * PER_BATCH):
        rng = seeded(f"arrival {seed}")
        given = history(seed, rng, edits=False)
        runs = [now for now, _ in given.arrivals]
        shuffled = History(seed, given.terms, given.records)
        shuffled.arrivals = sorted([(rng.choice(runs), [record]) for record in given.records], key=lambda run: run[0])
        shuffled.arrivals.append((runs[-1], []))
        try:
            outcome, postings, records = told(shuffled)
            assert set(records) == {record.key for record in given.records}, "nothing was corrected: no courtesy"
            rebuilt(shuffled, outcome, postings, records)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {wrong}") from wrong


def test_a_changed_posting_breaks_the_chain_where_it_was_changed() -> None:
    _, postings, _ = told(history(3, seeded("chain 3"), edits=True))
    hashes = chain(postings)
    assert verify(postings, hashes) is None
    for index in range(len(postings)):
        forged = [*postings]
        forged[index] = replace(forged[index], minutes=forged[index].minutes + 1)
        assert verify(forged, hashes) == index
    assert verify(postings[:-1], hashes) == len(postings) - 1
    assert chain(postings[2:], hashes[1]) == hashes[2:]


@pytest.mark.parametrize("batch", BATCHES)
def test_a_story_taken_up_at_a_mark_is_the_story_told_from_its_first_day(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = 1 + batch % 4
    monkeypatch.setattr(marks, "SPACING", ((every, 2 * every), (2 * every, 6 * every)))
    monkeypatch.setattr(marks, "WIDE", 8 * every)
    taken_up = whole = 0
    for seed in range(batch * 40, (batch + 1) * 40):
        rng = seeded(f"marks {seed}")
        one = history(seed, rng, edits=True)
        shelf, records, postings = Shelf(), dict[str, Record](), list[Posting]()
        shown: dict[str, dict[str, object]] = {"entries": {}, "cases": {}, "estimates": {}}
        for number, (now, arrived) in enumerate(one.arrivals):
            records.update({record.key: record for record in arrived})
            part = shelf.settle(records, postings, one.terms, now, {record.key for record in arrived})
            full = settle(facts_of(records), postings, one.terms, PLANS, now)
            try:
                same(part, full, shown)
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}, run {number}: {wrong}") from wrong
            postings += part.postings
            records.update({pack.key: pack for pack in part.new_packs})
            assert books(postings).sound, f"seed {seed}"
            free = {key: pack.available_minutes for key, pack in part.packs.items() if pack.available_minutes > 0}
            if free and rng.random() < 0.2:
                pack = rng.choice(sorted(free))
                given = {pack: -rng.randint(1, free[pack])}
                on = local_day(now, one.terms.time_zone)
                postings += act(f"{seed}-{number}", PostingKind.REFUND, given, on=on, now=now, reason="asked for")
        taken_up, whole = taken_up + shelf.taken_up, whole + shelf.whole
    print(f"\nmarks: {taken_up} settlings were taken up at a mark, {whole} told from the first day")  # noqa: T201
    assert taken_up > 100, "the marks were hardly used: this proves nothing"
