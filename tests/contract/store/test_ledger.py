"""The ledger as the database keeps it: once, for ever, and never below zero."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sfsync.errors import StoreRefused
from tests.contract.store.conftest import NOW, book, say

ENTER = "SELECT set_config('role', 'sfsync_service', true), set_config('app.client', 'acme', true)"
INSERT = (
    "INSERT INTO posting (client, source, source_version, leg, pack, minutes, kind, effective_on, booked_at, reason)"
)


@pytest.fixture
def ledger(store, mappings):
    """A client with one pack of 480 minutes; call it to book more."""

    def amend(*postings, packs=()):
        store.amend("acme", mappings, say(*postings, packs=packs), NOW)

    amend(book(480), packs=("pk:1", "pk:2"))
    return amend


def test_a_balance_is_the_sum_of_its_postings(store, ledger) -> None:
    ledger(book(-100, "te:1"), book(-30, "te:2"))
    assert store.balances("acme") == {"pk:1": 350}
    assert sum(p.minutes for p in store.postings("acme")) == 350


def test_a_pack_can_be_drawn_to_exactly_zero(store, ledger) -> None:
    ledger(book(-480, "te:1"))
    assert store.balances("acme") == {"pk:1": 0}


def test_the_database_refuses_an_overdraw_and_books_nothing_of_it(store, ledger) -> None:
    with pytest.raises(StoreRefused, match="no_overdraw"):
        ledger(book(480, "order-2", pack="pk:2"), book(-481, "te:1"))
    assert store.balances("acme") == {"pk:1": 480}
    assert len(store.postings("acme")) == 1


def test_the_same_fact_booked_twice_has_one_effect(store, ledger) -> None:
    for _ in range(3):
        ledger(book(-100, "te:1"))
    assert store.balances("acme") == {"pk:1": 380}


def test_the_same_fact_with_another_content_is_refused(store, ledger) -> None:
    ledger(book(-100, "te:1"))
    with pytest.raises(StoreRefused, match="booked differently"):
        ledger(book(-90, "te:1"))
    assert store.balances("acme") == {"pk:1": 380}


def test_a_reversal_and_its_replacement_are_judged_by_their_sum(store, ledger) -> None:
    ledger(book(-480, "te:1"))
    ledger(book(-470, "te:1", version=2, leg=1), book(480, "te:1", version=2, leg=0))
    assert store.balances("acme") == {"pk:1": 10}


def test_a_posting_that_moves_nothing_is_refused(ledger) -> None:
    with pytest.raises(StoreRefused, match="moves_minutes"):
        ledger(book(0, "te:1"))


def test_a_posting_needs_a_pack_that_exists(ledger) -> None:
    with pytest.raises(StoreRefused, match="fk_posting"):
        ledger(book(60, "order-9", pack="pk:nowhere"))


@pytest.mark.parametrize(
    "change", ["UPDATE posting SET minutes = 1", "DELETE FROM posting", "TRUNCATE posting", "TRUNCATE pack CASCADE"]
)
def test_a_posting_is_never_changed_or_removed_not_even_by_the_owner(ledger, database_url, change: str) -> None:
    with psycopg.connect(database_url) as owner, pytest.raises(psycopg.errors.RestrictViolation, match="LED-1"):
        owner.execute(change.encode())


def test_the_service_role_cannot_write_a_balance(ledger, as_service) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_service("acme").execute("UPDATE pack_balance SET balance_minutes = 9999")


def test_racing_writers_never_overdraw_and_lose_no_minute(store, ledger, as_service) -> None:
    """Eight writers without a lock on the client draw two packs in either order, repeating each other's facts."""
    ledger(book(480, "order-2", pack="pk:2"))
    connections = [as_service("acme") for _ in range(8)]
    answers: Counter[str] = Counter()

    def draw(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(100):
            entry = chance.randrange(120)
            legs = enumerate(("pk:1", "pk:2") if entry % 2 else ("pk:2", "pk:1"))
            rows = ", ".join(
                f"('acme', 'te:{entry}', 1, {leg}, '{pack}', -{1 + entry % 29}, 'consume', '2026-11-20', now(), '')"
                for leg, pack in legs
            )
            try:
                connections[seed].execute(f"{INSERT} VALUES {rows} ON CONFLICT DO NOTHING".encode())
                connections[seed].commit()
                answers["taken"] += 1
            except psycopg.errors.CheckViolation:
                connections[seed].rollback()
                answers["refused"] += 1
            connections[seed].execute(ENTER)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(draw, range(8)))
    for connection in connections:
        connection.rollback()
    booked = store.postings("acme")
    for pack, balance in store.balances("acme").items():
        assert balance == sum(p.minutes for p in booked if p.pack == pack) >= 0
    assert {p.source for p in booked if p.leg == 0 and p.minutes < 0} == {p.source for p in booked if p.leg == 1}
    assert answers["refused"] > 100, "the packs were not drawn empty: the test shows nothing"
