"""Reading values: the short way gives what the general way gives, and what cannot be read is left out."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.mapping import FieldType, load_mappings
from sfsync.mirror.translate import Ids, Untranslatable, wire_from_csv, wire_from_json
from sfsync.org.rows import RowReader, _column_reader, _reader, event_sources
from sfsync.org.schema import ObjectSeen

MAPPINGS = load_mappings()
KINDS = [
    FieldType.parse(text)
    for text in (
        "text(255)", "textarea(255)", "longtext(4000)", "picklist", "date", "datetime", "checkbox", "integer(5)",
        "hours(9,2)", "decimal(9,2)", "lookup(Case)", "user", "autonumber(X-{0})",
    )
]  # fmt: skip
ID18 = "500HJ0000000001YAA"
JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
    st.text(max_size=20),
    st.sampled_from([ID18, ID18[:15], "2026-11-21", "2026-11-21T20:00:00.000+0000", "2026-11-21T20:00:00.000Z"]),
)
CSV = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(["", "true", "false", "1.50", "1e3", "-0", "-0.0", "٣", ID18, "2026-11-21T20:00:00.000Z"]),
)


def answer(call: Any, *given: Any) -> Any:
    try:
        return call(*given)
    except Untranslatable as bad:
        return type(bad)


@given(st.sampled_from(KINDS), JSON)
def test_the_short_way_through_json_gives_the_same(kind: FieldType, value: Any) -> None:
    short = answer(_reader(kind, wire_from_json), value)
    general = answer(wire_from_json, kind, value)
    assert short == general


@given(st.sampled_from(KINDS), st.lists(CSV, min_size=1, max_size=6))
def test_a_column_of_csv_gives_what_each_of_its_cells_gives_alone(kind: FieldType, cells: list[str]) -> None:
    found = [type(one) if isinstance(one, Untranslatable) else one for one in _column_reader(kind)([*cells, *cells])]
    assert found == 2 * [answer(wire_from_csv, kind, cell) for cell in cells]


def test_a_cell_that_cannot_be_read_is_left_out_of_its_row_and_of_no_other(caplog: pytest.LogCaptureFixture) -> None:
    header = list(reader().columns)
    [name] = [line.name for line in MAPPINGS.by_object["Time_Entry__c"].fields.values() if line.api == "Minutes__c"]
    row = dict.fromkeys(header, "") | {
        "Id": ID18, "SystemModstamp": "2026-11-21T20:00:00.000Z", "IsDeleted": "false", "Minutes__c": "45",
    }  # fmt: skip
    rows = [list(one.values()) for one in (row, row | {"Minutes__c": "many"}, row)]
    with caplog.at_level(logging.WARNING, "sfsync.org"):
        found = reader().from_csv(header)(rows)
    assert [one.wire.get(name, "not read") for one in found] == [45, "not read", 45]
    assert [one.wire.keys() - {name} for one in found] == 3 * [found[0].wire.keys() - {name}]
    assert f"{ID18}: field {name} left out" in caplog.text
    assert reader().from_csv(header)([]) == []


def test_rows_of_which_no_field_is_mapped_are_records_all_the_same() -> None:
    mapping = replace(MAPPINGS.by_object["Time_Entry__c"], fields={})
    bare = RowReader(mapping, ObjectSeen("", ""), Ids("00DHJ0000000001YAA"), "005HJ0000000001YAA")
    cells = {"Id": ID18, "SystemModstamp": "2026-11-21T20:00:00.000Z", "IsDeleted": "TRUE"}
    header = list(bare.columns)
    [found] = bare.from_csv(header)([[cells.get(name, "") for name in header]])
    assert (found.sf_id, found.wire, found.deleted, found.created_at) == (ID18, {}, True, None)


def test_a_row_without_its_stamp_is_refused() -> None:
    header = list(reader().columns)
    with pytest.raises(Untranslatable, match="no date-time"):
        reader().from_csv(header)([["" for _ in header]])


def reader(sobject: str = "Time_Entry__c") -> RowReader:
    seen = ObjectSeen("", "", revision=True)
    return RowReader(MAPPINGS.by_object[sobject], seen, Ids("00DHJ0000000001YAA"), "005HJ0000000001YAA")


def row(**values: Any) -> dict[str, Any]:
    api = {line.api: None for line in MAPPINGS.by_object["Time_Entry__c"].fields.values()}
    base = {"Id": ID18, "SystemModstamp": "2026-11-21T20:00:00.000+0000", "CreatedDate": "2026-11-21T20:00:00.000+0000"}
    return {**api, **base, **values}


def test_a_field_that_is_not_in_the_answer_is_absent_and_not_null(caplog: pytest.LogCaptureFixture) -> None:
    given_row = row(Minutes__c=Decimal("30.0"))
    del given_row["Category__c"]
    with caplog.at_level(logging.WARNING):
        seen = reader().from_json(given_row, lambda _n, _v: [])
    assert "category" not in seen.wire
    assert seen.wire["worked_minutes"] == 30
    assert "field category left out" in caplog.text


def test_a_value_that_cannot_be_read_is_absent_and_the_record_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    seen = reader().from_json(row(Minutes__c="NaN", Description__c="d"), lambda _n, _v: [])
    assert "worked_minutes" not in seen.wire
    assert seen.wire["description"] == "d"
    assert "left out" in caplog.text


def test_the_history_of_a_case_asks_for_its_tracked_fields_alone() -> None:
    (history, comments) = event_sources(MAPPINGS.by_object["Case"])
    tracked = [line.api for line in MAPPINGS.by_object["Case"].fields.values() if line.history]
    assert str(history.below()) == (
        "SELECT Id, CreatedDate, CreatedById, CreatedBy.Username, Field, OldValue, NewValue FROM Histories WHERE ("
        + " OR ".join(f"Field = '{api}'" for api in tracked)
        + ")"
    )
    assert str(comments.below()).endswith("FROM CaseComments WHERE IsPublished = true")


@pytest.mark.parametrize(
    ("username", "ours"),
    [
        ("integration@acme.example", False),
        ("autoproc@00dhj0000000001yaa", True),
        ("cloud@00dhj0000000001", True),
        ("ana@00d.example", False),
    ],
)
def test_automations_own_users_are_no_people(username: str, ours: bool) -> None:
    source = event_sources(MAPPINGS.by_object["Case"])[0]
    child = {
        "Id": "017HJ0000000001YAA", "CreatedDate": "2026-11-21T20:00:00.000+0000", "CreatedById": "005HJ0000000009YAA",
        "CreatedBy": {"Username": username}, "Field": "Status", "OldValue": "New", "NewValue": "Closed",
    }  # fmt: skip
    event = reader("Case").event(source, "ca:1", child)
    assert (event.by_service, event.field, event.old, event.new) == (ours, "status", "New", "Closed")


def test_a_file_without_a_wanted_column_is_refused() -> None:
    with pytest.raises(Untranslatable, match="Minutes__c"):
        reader().from_csv([c for c in reader().columns if c != "Minutes__c"])
