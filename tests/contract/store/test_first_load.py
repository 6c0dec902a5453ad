"""A first load: pages are put in force beside the reading of the next, and rows are copied in as text."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sfsync.errors import StoreUnavailable
from sfsync.mapping import load_mappings
from sfsync.mirror.merge import merge
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen
from sfsync.store import room as rooms
from sfsync.store.forms import staged
from sfsync.store.tables import RECORD_TABLES
from tests.contract.store.conftest import NOW, say
from tests.contract.store.test_room import a_case


@pytest.fixture
def first(room: Any, mappings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what absorbs a page of a first load, however small, as the line does."""
    monkeypatch.setattr("sfsync.store.room.BEHIND_ROWS", 1)
    mapping = mappings.by_object["Case"]

    def absorb(*seen: Seen, row: int = 1) -> None:
        memories = room.memories("Case", [s.key for s in seen])
        ids = room.ids((), ())
        merged = [(s, merge(mapping, s, *memories.get(s.key, (None, None)), ids, {})) for s in seen]
        room.absorb(Page("Case", seen, Bookmark("Case", checkpoint=f"row {row}")), merged)

    return absorb


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds pages back until it is set."""
    opened = threading.Event()
    put_first = rooms.put_first

    def held(*given: Any) -> None:
        assert opened.wait(30)
        put_first(*given)

    monkeypatch.setattr(rooms, "put_first", held)
    return opened


def test_while_a_page_is_put_in_force_others_are_read_and_its_own_records_wait_for_it(
    first: Any, room: Any, gate: threading.Event
) -> None:
    first(a_case(1))
    assert room.memories("Case", ["ca:2"]) == {}
    assert room.ids([a_case(3).sf_id], ["ca:3"]).to_key == {}
    gate.set()
    assert room.memories("Case", ["ca:1"])["ca:1"][0].sf_id == a_case(1).sf_id
    assert room.bookmarks()["Case"].checkpoint == "row 1"


def test_a_parent_that_is_being_put_in_force_is_waited_for(first: Any, room: Any, gate: threading.Event) -> None:
    first(a_case(1))
    threading.Timer(0.05, gate.set).start()
    assert room.ids([a_case(1).sf_id], ()).to_key == {a_case(1).sf_id: "ca:1"}


def test_our_own_page_before_is_no_stranger_and_all_are_in_force_at_rest(
    first: Any, room: Any, store: Any, gate: threading.Event
) -> None:
    first(a_case(1))
    threading.Timer(0.05, gate.set).start()
    for number in range(2, 6):
        first(a_case(number), row=number)
    room.rest()
    assert set(store.facts("acme").cases) == {f"ca:{number}" for number in range(1, 6)}
    assert room.bookmarks()["Case"].checkpoint == "row 5"


def test_a_page_merged_with_what_somebody_changed_is_not_kept_and_rest_says_so(
    first: Any, room: Any, store: Any, mappings: Any, gate: threading.Event
) -> None:
    memories = room.memories

    def read_and_overtaken(name: str, keys: Any) -> Any:
        found = memories(name, keys)
        store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
        return found

    room.memories = read_and_overtaken
    gate.set()
    first(a_case(1))
    with pytest.raises(StoreUnavailable, match="changed while its records were merged"):
        room.rest()
    room.rest()
    assert store.facts("acme").cases == {}
    assert "Case" not in room.bookmarks()


def test_behind_a_page_that_could_not_be_put_in_force_no_bookmark_moves(
    first: Any, room: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_have_come = threading.Event()

    def broken(*_: Any, **__: Any) -> None:
        assert all_have_come.wait(30)
        raise StoreUnavailable("the store went away")

    with monkeypatch.context() as patched:
        patched.setattr("sfsync.store.room.put_first", broken)
        first(a_case(1))
        first(row=2)
        room.absorb(Page("Case", (), Bookmark("Case", read_to=NOW)), [])
        all_have_come.set()
        with pytest.raises(StoreUnavailable, match="went away"):
            room.rest()
    room.rest()
    assert store.facts("acme").cases == {}
    assert "Case" not in room.bookmarks()


def test_one_id_under_two_keys_is_set_aside_and_the_rest_of_its_page_is_in_force(
    first: Any, room: Any, store: Any, mappings: Any, gate: threading.Event
) -> None:
    gate.set()
    first(a_case(1))
    first(a_case(2), replace(a_case(1), key="ca:forged"), a_case(3), row=2)
    room.rest()
    assert set(store.facts("acme").cases) == {"ca:1", "ca:2", "ca:3"}
    assert [row["code"] for row in store.quarantined("acme")] == ["KEY_NOT_UNIQUE"]
    assert room.bookmarks()["Case"].checkpoint == "row 2"


def test_one_key_under_two_ids_in_a_page_is_set_aside_too(
    first: Any, room: Any, store: Any, gate: threading.Event
) -> None:
    gate.set()
    first(a_case(1), replace(a_case(2), key="ca:1"), a_case(3))
    room.rest()
    assert set(store.facts("acme").cases) == {"ca:1", "ca:3"}
    assert [row["code"] for row in store.quarantined("acme")] == ["KEY_NOT_UNIQUE"]


def test_pages_without_a_record_take_their_turn_behind_the_one_that_is_being_put_in_force(
    first: Any, room: Any, gate: threading.Event
) -> None:
    first(a_case(1))
    first(row=7)
    assert len(room._under_way) == 2
    room.absorb(Page("Case", (), Bookmark("Case", read_to=NOW)), [])
    gate.set()
    assert room.bookmarks()["Case"] == Bookmark("Case", read_to=NOW)


def test_what_was_agreed_with_an_org_is_all_that_it_showed_until_something_else_is_written(
    first: Any, room: Any, store: Any, gate: threading.Event
) -> None:
    gate.set()
    first(a_case(1))
    [(link, _)] = room.memories("Case", ["ca:1"]).values()
    assert link.agreed == link.remote
    with store._database.reading("acme") as connection:
        assert connection.exec_driver_sql("SELECT agreed FROM link").scalars().all() == [None]


TEXTS = [
    "",
    "a\tb",
    "\\",
    "\\N",
    "\\.",
    "a\\nb",
    "line\nline\r\n",
    "\x02",
    "a\x02b",
    '"quoted"',
    "é 🙂",
    "\x7f\x01",
    "NULL",
]


def test_rows_are_copied_byte_for_byte_whatever_stands_in_them(store: Any) -> None:
    at = datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC)
    rows = [
        [text, other, n, n % 2 == 0, Decimal("1.50"), date(2026, 1, 2), at, [text, "b"]]
        for n, text in enumerate(TEXTS)
        for other in (None, text)
    ]
    columns = dict(
        zip(
            "abcdefgh",
            ("TEXT", "TEXT", "BIGINT", "BOOLEAN", "NUMERIC", "DATE", "TIMESTAMPTZ", "TEXT[]"),
            strict=True,
        )
    )
    with store._database.writing("acme") as connection, staged(connection, columns, rows, joined=False) as stage:
        found = connection.exec_driver_sql(f"SELECT * FROM {stage}").all()
    assert [list(row) for row in found] == rows


@pytest.mark.parametrize("rows", [[], [[""]], [[""], [""]], [["a"]]])
def test_as_many_rows_are_copied_as_there_are_be_they_empty(store: Any, rows: list[list[str]]) -> None:
    with store._database.writing("acme") as connection, staged(connection, {"a": "TEXT"}, rows) as stage:
        found = connection.exec_driver_sql(f"SELECT * FROM {stage}").all()
    assert [list(row) for row in found] == rows


def test_what_the_store_has_no_form_for_is_refused_before_it_is_sent(store: Any) -> None:
    with (
        pytest.raises(ValueError, match="no form"),
        store._database.writing("acme") as connection,
        staged(connection, {"a": "TEXT"}, [[object()]]),  # type: ignore[list-item]
    ):
        raise AssertionError("it was sent")


def a_page_of(name: str, mappings: Any) -> tuple[Seen, ...]:
    """Records of an object with every field, with one field less, deleted, and with texts of every kind."""
    mapping = mappings.by_object[name]
    samples = {
        "lookup": "500000000000999EAA", "user": "005000000000001EAA", "checkbox": True, "integer": 7, "hours": "1.25",
        "decimal": "12.50", "date": "2026-11-20", "datetime": "2026-11-20T10:00:00Z",
    }  # fmt: skip

    def seen(number: int, words: str, *, without: str = "", deleted: bool = False) -> Seen:
        wire = {f.name: samples.get(f.type.kind, words or None) for f in mapping.fields.values() if f.name != without}
        key = f"{mapping.prefix}:{number}"
        created = NOW - timedelta(days=number)
        return Seen(name, f"a00{number:012d}EAA", key, wire, NOW, created, deleted, revision=number)

    last = next(reversed(mapping.fields))
    texts = [seen(10 + n, words) for n, words in enumerate(TEXTS)]
    return (*texts, seen(1, "x", without=last), seen(2, "y", deleted=True), seen(3, "half \ud83d a pair"))


@pytest.mark.parametrize("name", [mapping.object for mapping in load_mappings()])
def test_a_page_that_nothing_is_remembered_of_leaves_what_looking_through_it_would(
    name: str, store: Any, mappings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    for client, short in (("quick", True), ("careful", False)):
        store.add_org(client, client, organization_id=f"00D{client:0>12}EAA")
        room = store.room(client, client, mappings, store.acquire(client, client, "a test"))
        if not short:
            monkeypatch.setattr(rooms, "is_first", lambda *_: False)
        seen = a_page_of(name, mappings)
        assert room.memories(name, [s.key for s in seen]) == {}
        merged = [
            (s, merge(mappings.by_object[name], s, None, None, Ids("00D000000000001EAA"), {"Case": "ca"})) for s in seen
        ]
        room.absorb(Page(name, seen, Bookmark(name, checkpoint="row 1")), merged)
        room.rest()
        with store._database.reading(client) as connection:
            record = RECORD_TABLES[mappings.by_object[name].record].name
            tables = [
                connection.exec_driver_sql(f'SELECT to_jsonb(t) FROM "{table}" t ORDER BY t.key').scalars().all()
                for table in (record, "link")
            ]
        shown.append([{k: v for k, v in row.items() if k not in ("client", "org")} for rows in tables for row in rows])
    assert len(shown[0]) == 2 * len(a_page_of(name, mappings))
    assert shown[0] == shown[1]


def test_a_page_that_waits_for_its_turn_keeps_nobody_from_renewing_the_lease(
    first: Any, room: Any, store: Any, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = threading.Semaphore(0)
    lay_out = rooms.lay_out

    def counted(*given: Any) -> Any:
        found = lay_out(*given)
        laid_out.release()
        return found

    monkeypatch.setattr(rooms, "lay_out", counted)
    first(a_case(1))
    first(a_case(2), row=2)
    assert laid_out.acquire(timeout=30)
    assert laid_out.acquire(timeout=30)
    with store._database.writing("acme") as connection:
        held = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'org_lease'"
        holders = connection.exec_driver_sql(f"{held} AND l.mode = 'RowShareLock'").scalar_one()
    assert holders <= 1, "two transactions that take turns would never let a renewal in between"
    gate.set()
    room.rest()
    assert set(store.facts("acme").cases) == {"ca:1", "ca:2"}


def test_pages_on_their_way_are_no_strangers_to_the_third_but_a_change_between_them_is(
    first: Any, room: Any, store: Any, mappings: Any, gate: threading.Event
) -> None:
    gate.set()
    memories, read = room.memories, {}
    for number in (1, 2, 3):
        read[number] = memories("Case", [f"ca:{number}"])
    version = room._merged_version
    room.memories = lambda *_: {}
    for number in (1, 2):
        room._merged_version, room._unknown = version, True
        first(a_case(number), row=number)
    room._merged_version, room._unknown = version, True
    first(a_case(3), row=3)
    room._wait()
    assert set(store.facts("acme").cases) == {"ca:1", "ca:2", "ca:3"}
    store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    room._merged_version, room._unknown = version, True
    first(a_case(4), row=4)
    with pytest.raises(StoreUnavailable, match="changed while its records were merged"):
        room.rest()
    assert "ca:4" not in store.facts("acme").cases
