"""One run an org at a time, and a run that lost its org cannot commit."""

from __future__ import annotations

import threading

import psycopg
import pytest

from sfsync.errors import LeaseLost, StoreRefused
from sfsync.mirror.translate import Bookmark, Page
from tests.contract.store.conftest import NOW


def page() -> Page:
    return Page("Case", (), Bookmark("Case", NOW))


def expire(database_url: str) -> None:
    with psycopg.connect(database_url) as owner:
        owner.execute("UPDATE org_lease SET expires_at = now() - interval '1 second'")


def test_nobody_gets_an_org_that_somebody_holds(store) -> None:
    assert store.acquire("acme", "acme", "first") is not None
    assert store.acquire("acme", "acme", "second") is None
    assert [row.holder for row in store.orgs()] == ["first"]


def test_an_org_is_free_once_its_run_has_released_it(store) -> None:
    first = store.acquire("acme", "acme", "first")
    store.release(first)
    second = store.acquire("acme", "acme", "second")
    assert second.token == first.token + 1


def test_a_lease_that_ran_out_is_taken_over_with_a_greater_token(store, database_url) -> None:
    first = store.acquire("acme", "acme", "first")
    expire(database_url)
    second = store.acquire("acme", "acme", "second")
    assert second.token > first.token
    with pytest.raises(LeaseLost):
        store.renew(first)


def test_a_run_that_lost_its_org_cannot_commit_anything(store, mappings, database_url) -> None:
    frozen = store.room("acme", "acme", mappings, store.acquire("acme", "acme", "frozen"))
    frozen.absorb(page(), [])
    expire(database_url)
    assert store.acquire("acme", "acme", "second") is not None
    for write in (lambda: frozen.absorb(page(), []), lambda: frozen.settle((), (), NOW)):
        with pytest.raises(LeaseLost):
            write()


def test_a_release_after_a_takeover_changes_nothing(store, database_url) -> None:
    first = store.acquire("acme", "acme", "first")
    expire(database_url)
    store.acquire("acme", "acme", "second")
    store.release(first)
    assert store.acquire("acme", "acme", "third") is None


def test_a_run_without_a_lease_can_only_look(store, mappings) -> None:
    looking = store.room("acme", "acme", mappings)
    assert looking.bookmarks() == {}
    with pytest.raises(StoreRefused, match="holds no lease"):
        looking.absorb(page(), [])


def test_a_takeover_waits_for_a_commit_that_has_proved_its_lease(store, database_url) -> None:
    """FOR SHARE on the lease row orders the two without trusting any clock."""
    lease = store.acquire("acme", "acme", "first")
    expire(database_url)
    done = threading.Event()
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT 1 FROM org_lease WHERE token = %s FOR SHARE", [lease.token])
        taking = threading.Thread(target=lambda: (store.acquire("acme", "acme", "second"), done.set()))
        taking.start()
        assert not done.wait(0.2)
        holder.commit()
        assert done.wait(5)
        taking.join()


def test_only_one_of_many_gets_the_org(store) -> None:
    got: list[object] = []
    racers = [
        threading.Thread(target=lambda n=n: got.append(store.acquire("acme", "acme", f"racer {n}"))) for n in range(6)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sum(lease is not None for lease in got) == 1
