"""A store with one client and one org, and the few things its tests need to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from sfsync.mapping import Mappings, load_mappings
from sfsync.records import Pack, Posting, PostingKind
from sfsync.rules.evaluate import Evaluation
from sfsync.store.room import OrgRoom
from sfsync.store.store import Store

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
PIN = "00D000000000001EAA"


@pytest.fixture(scope="session")
def mappings() -> Mappings:
    return load_mappings()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, pool_size=2)
    made.add_org("acme", "acme", organization_id=PIN)
    yield made
    made.close()


@pytest.fixture
def room(store: Store, mappings: Mappings) -> OrgRoom:
    """A room whose run holds the org."""
    return store.room("acme", "acme", mappings, store.acquire("acme", "acme", "a test"))


@pytest.fixture
def as_service(database_url: str) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """Open a transaction as the service role for a client, the way the store does."""
    opened = []

    def enter(client: str) -> psycopg.Connection[Any]:
        connection = psycopg.connect(database_url)
        opened.append(connection)
        connection.execute(
            "SELECT set_config('role', 'sfsync_service', true), set_config('app.client', %s, true)", [client]
        )
        return connection

    yield enter
    for connection in opened:
        connection.close()


def book(minutes: int, source: str = "order-1", *, pack: str = "pk:1", version: int = 1, leg: int = 0) -> Posting:
    """A posting with everything that does not matter filled in."""
    return Posting(
        pack=pack,
        minutes=minutes,
        kind=PostingKind.PURCHASE if minutes > 0 else PostingKind.CONSUME,
        effective_on=date(2026, 11, 20),
        booked_at=NOW,
        source=source,
        source_version=version,
        leg=leg,
    )


def say(*postings: Posting, packs: tuple[str, ...] = ()) -> Evaluation:
    """What the rules say: packs created, then postings booked."""
    return Evaluation(created=[Pack(key=key, plan="Flexi") for key in packs], postings=list(postings))
