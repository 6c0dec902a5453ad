"""How changes travel: parents first, nothing twice in a call, and as few calls as the rows allow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.mapping import load_mappings
from sfsync.mirror.plan import Change
from sfsync.org import transport
from sfsync.org.composite import pack
from sfsync.org.soql import Unquotable
from sfsync.org.transport import Chunk, Row

MAPPINGS = load_mappings()
PACK, ACCOUNT, CASE = "Maintenance_Pack__c", "Maintenance_Account__c", "Case"
SUMMARY, LINE = "Weekly_Summary__c", "Weekly_Summary_Line__c"
OBJECTS = [m.object for m in MAPPINGS if m.key]


def sf_id(number: int) -> str:
    return f"a0{number:013d}"


def rows_of(changes: Sequence[Change]) -> list[Row]:
    return transport.ordered([transport.row_of(c, MAPPINGS, {}) for c in changes], MAPPINGS)


def chunks_of(changes: Sequence[Change]) -> list[Chunk]:
    return transport.spread(transport.chunked(rows_of(changes), transport.COLLECTION))


def updates(count: int, sobject: str = PACK) -> list[Change]:
    return [Change(sobject, f"pk:{n}", sf_id(n), {"sync_message": "x"}) for n in range(count)]


def creates(count: int, sobject: str = PACK) -> list[Change]:
    return [Change(sobject, f"k:{sobject}:{n}", None, {}) for n in range(count)]


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (200, 1), (1_000, 1), (1_020, 1), (1_021, 2), (10_000, 10)])
def test_a_thousand_rows_fit_in_a_call(count: int, calls: int) -> None:
    assert transport.calls_for(chunks_of(updates(count))) == calls
    assert transport.calls_for(chunks_of(creates(count))) == calls


def test_updates_of_several_types_share_a_collection() -> None:
    changes = [Change(s, f"{s}:{n}", sf_id(i * 100 + n), {}) for i, s in enumerate(OBJECTS) for n in range(25)]
    assert len(chunks_of(changes)) == 1


def test_small_groups_of_creates_travel_as_single_rows_to_save_a_call() -> None:
    changes = [c for s in OBJECTS for c in creates(3, s)]
    assert transport.calls_for(chunks_of(changes)) == 1


def test_a_lookup_to_a_key_is_written_by_the_parents_external_id() -> None:
    row = transport.row_of(Change(PACK, "pk:1", None, {"account": "key:acc:1"}), MAPPINGS, {})
    assert row.body["Maintenance_Account__r"] == {"Sfsync_Key__c": "acc:1"}


def test_a_lookup_to_an_id_is_written_as_the_id() -> None:
    row = transport.row_of(Change(PACK, "pk:1", None, {"account": sf_id(1)}), MAPPINGS, {})
    assert row.body["Maintenance_Account__c"] == sf_id(1)


@pytest.mark.parametrize("bad", ["", "https://evil.example", "abc", "../../x"])
def test_a_change_with_a_wrong_id_goes_nowhere(bad: str) -> None:
    with pytest.raises(Unquotable):
        transport.row_of(Change(PACK, "pk:1", bad, {}), MAPPINGS, {})


def test_a_case_is_never_created() -> None:
    with pytest.raises(Unquotable):
        transport.row_of(Change(CASE, "ca:1", None, {}), MAPPINGS, {})


def test_many_rows_of_one_object_are_a_bulk_job_and_the_rest_travels_beside() -> None:
    changes = [*updates(7_000), *[Change(CASE, f"ca:{n}", sf_id(n), {"breached": True}) for n in range(50)]]
    batches = transport.batches(rows_of(changes))
    assert [(len(b.bulk), len(b.chunks)) for b in batches] == [(7_000, 0), (0, 50)]


def test_rows_that_a_bulk_job_depends_on_go_before_it() -> None:
    children = [Change(PACK, f"pk:{n}", None, {"account": "key:acc:1"}) for n in range(6_500)]
    batches = transport.batches(rows_of([*children, Change(ACCOUNT, "acc:1", None, {})]))
    assert [(len(b.bulk), len(b.chunks)) for b in batches] == [(0, 1), (6_500, 0)]


def test_a_bulk_file_leaves_alone_what_a_row_does_not_write() -> None:
    changes = [
        Change(PACK, "pk:1", sf_id(1), {"sync_message": None}),
        Change(PACK, "pk:2", sf_id(2), {"status": "Active", "extended": True}),
    ]
    header, cells, named_by = transport.csv_of(rows_of(changes), MAPPINGS)
    rows = [dict(zip(header, row, strict=True)) for row in cells]
    assert named_by == "Id"
    assert rows[0] == {
        "Id": sf_id(1), "Sync_Message__c": "#N/A", "Sfsync_Revision__c": "1", "Status__c": "", "Extended__c": "",
    }  # fmt: skip
    assert rows[1]["Sync_Message__c"] == ""
    assert rows[1]["Extended__c"] == "true"


@st.composite
def plans(draw: st.DrawFn) -> list[Change]:
    """Accounts, packs of them, summaries and their lines: created or updated, in any order, some twice."""
    changes: list[Change] = []
    for number in range(draw(st.integers(0, 3))):
        changes.append(Change(ACCOUNT, f"acc:{number}", draw(st.sampled_from([None, sf_id(number)])), {}))
    for number in range(draw(st.integers(0, 12))):
        parent = f"key:acc:{draw(st.integers(0, 3))}"
        changes.append(
            Change(PACK, f"pk:{number}", draw(st.sampled_from([None, sf_id(100 + number)])), {"account": parent})
        )
    for number in range(draw(st.integers(0, 6))):
        changes.append(Change(SUMMARY, f"ws:{number}", None, {"account": "key:acc:0"}))
        changes.append(Change(LINE, f"wl:{number}", None, {"summary": f"key:ws:{draw(st.integers(0, 6))}"}))
    changes += draw(st.lists(st.sampled_from(changes), max_size=3)) if changes else []
    return draw(st.permutations(changes))


@given(plans())
def test_no_record_is_sent_before_one_it_points_to_and_none_twice_in_a_request(changes: list[Change]) -> None:
    chunks = chunks_of(changes)
    sent = [row.change for chunk in chunks for row in chunk.rows]
    assert sorted(map(repr, sent)) == sorted(map(repr, changes))
    created = {c.key for c in changes if c.sf_id is None}
    seen: set[str] = set()
    for chunk in chunks:
        names = [(row.change.object, row.change.key) for row in chunk.rows]
        assert len(names) == len(set(names))
        assert len(chunk.rows) <= transport.COLLECTION
        for row in chunk.rows:
            for value in row.change.fields.values():
                parent = str(value).removeprefix("key:")
                assert parent not in created or parent in seen
        seen |= {row.change.key for row in chunk.rows if row.creates}
        assert len({row.creates for row in chunk.rows}) == 1
        if chunk.rows[0].creates:
            assert len({row.change.object for row in chunk.rows}) == 1


@given(plans())
def test_a_composite_never_holds_more_than_salesforce_takes(changes: list[Change]) -> None:
    subs = [transport.request(chunk) for chunk in chunks_of(changes)]
    for group in pack(subs):
        assert len(group) <= 25
        assert sum(subs[i].costly for i in group) <= 5
