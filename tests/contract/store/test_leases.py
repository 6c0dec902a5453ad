"""One run an org at a time, and a run that lost its org cannot commit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import psycopg
import pytest

from sfsync.clock import ManualClock
from sfsync.errors import LeaseLost, StoreRefused
from sfsync.mirror.translate import Bookmark, Page
from sfsync.store.lease import Hold, Lease
from tests.contract.store.conftest import NOW


def page() -> Page:
    return Page("Case", (), Bookmark("Case", NOW), hard_deleted=(("500000000000001AAA", NOW),))


def quiet(at: datetime = NOW) -> Page:
    return Page("Case", (), Bookmark("Case", at))


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


def test_the_bookmark_of_a_page_that_brought_nothing_moves_with_the_next_transaction(
    store, mappings, database_url
) -> None:
    room = store.room("acme", "acme", mappings, store.acquire("acme", "acme", "a run"))
    room.absorb(quiet(), [])
    assert store.room("acme", "acme", mappings).bookmarks() == {}
    room.absorb(page(), [])
    assert store.room("acme", "acme", mappings).bookmarks()["Case"].read_to == NOW
    room.absorb(quiet(NOW + timedelta(hours=1)), [])
    room.facts(NOW)
    assert store.room("acme", "acme", mappings).bookmarks()["Case"].read_to == NOW + timedelta(hours=1)
    room.absorb(quiet(NOW + timedelta(hours=2)), [])
    expire(database_url)
    store.acquire("acme", "acme", "second")
    with pytest.raises(LeaseLost):
        room.facts(NOW)
    assert store.room("acme", "acme", mappings).bookmarks()["Case"].read_to == NOW + timedelta(hours=1)


def test_a_stage_lets_the_lease_last_and_a_run_that_lost_its_org_shows_none(store, database_url) -> None:
    lease = store.acquire("acme", "acme", "first")
    run = store.begin_run("acme", "acme", NOW)
    expire(database_url)
    store.stage("acme", run, "extract", lease)
    assert store.acquire("acme", "acme", "second") is None, "it was renewed"
    expire(database_url)
    store.acquire("acme", "acme", "second")
    with pytest.raises(LeaseLost):
        store.stage("acme", run, "plan", lease)
    assert [row.stage for row in store.runs("acme")] == ["extract"]


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


# --- what a run knows of its own lease --------------------------------------------------------------------------


class Held:
    """A hold on a clock that is moved by hand, and on a database that takes its time."""

    def __init__(self, seconds: int) -> None:
        self.clock = ManualClock(NOW)
        self.renewed = 0
        self.renewing_takes = 0.0
        self.hold = Hold(
            Lease("acme", "acme", 1), seconds, renew=self.renew, monotonic=self.clock.monotonic, asked_at=0.0
        )

    def renew(self, lease: Lease) -> None:
        self.renewed += 1
        self.clock.advance(self.renewing_takes)


def test_a_request_that_writes_is_outlived_by_the_lease_by_ten_seconds() -> None:
    held = Held(60)
    for _ in range(200):
        allowed = held.hold.for_writing()
        assert held.hold.remaining > allowed + 10
        held.clock.advance(1)
    assert 5 <= held.renewed <= 11, "it is renewed when it is needed and not each time"


@pytest.mark.parametrize("seconds", [1, 2, 5, 40, 60, 600])
def test_a_short_lease_shortens_the_wait_for_an_answer(seconds: int) -> None:
    held = Held(seconds)
    held.clock.advance(seconds * 0.9)
    allowed = held.hold.for_writing()
    assert 0 < allowed <= 30
    assert held.hold.remaining - allowed >= min(10, seconds / 6)


def test_nothing_is_written_when_renewing_took_so_long_that_the_lease_may_end_first() -> None:
    held = Held(60)
    held.clock.advance(45)
    held.renewing_takes = 20.5
    with pytest.raises(LeaseLost, match="too long"):
        held.hold.for_writing()


def test_a_lease_is_dated_from_before_it_was_asked_for() -> None:
    held = Held(60)
    held.renewing_takes = 7
    held.hold.renew()
    assert held.hold.remaining == 53


def test_a_lease_is_renewed_once_a_third_of_it_has_passed() -> None:
    held = Held(60)
    held.clock.advance(19)
    held.hold.stay()
    assert held.renewed == 0
    held.clock.advance(2)
    held.hold.stay()
    assert held.renewed == 1
