"""Values keep their meaning on the way to an org and back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.mapping import FieldType
from sfsync.mirror.translate import (
    BULK_NULL,
    Ids,
    Untranslatable,
    long_id,
    parse_instant,
    to_local,
    to_wire,
    wire_from_csv,
    wire_from_json,
    wire_to_csv,
    wire_to_json,
)

IDS = Ids("00D000000000001AAA", {"a01000000000001AAA": "te:1"}, {"te:1": "a01000000000001AAA"})
HOURS = FieldType.parse("hours(9,2)")
TEXT = FieldType.parse("text(255)")


@given(st.integers(min_value=-400_000, max_value=400_000))
def test_minutes_survive_the_way_through_hours_with_two_places(minutes: int) -> None:
    assert to_local(HOURS, to_wire(HOURS, minutes, IDS), IDS) == minutes


def test_a_third_of_an_hour_is_shown_as_a_third_and_counted_as_twenty_minutes() -> None:
    assert to_wire(HOURS, 20, IDS) == "0.33"
    assert to_local(HOURS, wire_from_json(HOURS, Decimal("0.33")), IDS) == 20


def test_the_number_that_goes_into_json_is_the_number_that_was_meant() -> None:
    assert wire_to_json(HOURS, "0.33") == float("0.33")
    assert wire_to_json(FieldType.parse("decimal(18,2)"), "1234567890123456.78") == "1234567890123456.78"


@pytest.mark.parametrize(
    "text", ["NA", "None", "N/A", "null", "00123", "1e5", 'a "quoted" line', "two\nlines", "ñ ș ț 漢 😀"]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert to_local(TEXT, wire_from_json(TEXT, text), IDS) == text
    assert wire_from_csv(TEXT, text) == text
    assert wire_to_csv(to_wire(TEXT, text, IDS)) == text


def test_an_empty_cell_is_null_when_read_and_null_is_spelled_out_when_written() -> None:
    assert wire_from_csv(TEXT, "") is None
    assert wire_to_csv(None) == BULK_NULL


def test_a_checkbox_is_never_null() -> None:
    box = FieldType.parse("checkbox")
    assert to_wire(box, None, IDS) is False
    assert wire_from_csv(box, "") is False
    assert wire_from_csv(box, "true") is True
    assert wire_to_csv(True) == "true"


@pytest.mark.parametrize("bad", ["a\x00b", "half a \ud800 pair"])
def test_text_that_cannot_be_kept_is_refused_with_the_reason(bad: str) -> None:
    with pytest.raises(Untranslatable, match=r"NUL|surrogate"):
        to_wire(TEXT, bad, IDS)


def test_text_is_never_cut_in_silence() -> None:
    with pytest.raises(Untranslatable, match="300 characters, the field holds 255"):
        to_wire(TEXT, "x" * 300, IDS)


def test_a_value_with_more_places_than_the_field_is_refused_and_not_rounded() -> None:
    with pytest.raises(Untranslatable, match="decimal places"):
        to_wire(FieldType.parse("decimal(16,2)"), Decimal("1.005"), IDS)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", "abc"])
def test_what_is_no_number_is_refused(bad: str) -> None:
    with pytest.raises(Untranslatable):
        wire_from_json(HOURS, bad)


def test_instants_are_read_with_any_zone_and_kept_in_utc_to_the_second() -> None:
    want = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    for text in (
        "2026-11-21T20:00:00.000+0000",
        "2026-11-21T20:00:00Z",
        "2026-11-21T17:00:00-03:00",
        "2026-11-21T20:00:00.999Z",
    ):
        assert parse_instant(text) == want


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(Untranslatable, match="no zone"):
        parse_instant("2026-11-21T20:00:00")


def test_a_day_is_not_an_instant_and_an_instant_is_not_a_day() -> None:
    with pytest.raises(Untranslatable):
        to_wire(FieldType.parse("date"), datetime(2026, 1, 1, tzinfo=UTC), IDS)
    assert to_wire(FieldType.parse("date"), date(2026, 1, 1), IDS) == "2026-01-01"


def test_a_lookup_is_a_key_here_and_an_id_there() -> None:
    lookup = FieldType.parse("lookup(Time_Entry__c)")
    assert to_wire(lookup, "te:1", IDS) == "a01000000000001AAA"
    assert to_local(lookup, "a01000000000001AAA", IDS) == "te:1"


def test_a_parent_that_is_not_in_the_org_yet_is_named_by_its_key() -> None:
    lookup = FieldType.parse("lookup(Time_Entry__c)")
    assert to_wire(lookup, "te:new", IDS) == "key:te:new"
    assert to_local(lookup, "key:te:new", IDS) == "te:new"


def test_short_ids_become_long_ones_with_the_right_checksum() -> None:
    # Public examples of the two forms of one id.
    assert long_id("0050900000Bf63S") == "0050900000Bf63SAAR"
    assert long_id("750Tn000004ZoR3IAK") == "750Tn000004ZoR3IAK"
    with pytest.raises(Untranslatable):
        long_id("https://elsewhere")


@pytest.mark.parametrize(
    "bad", ["text", "text(x)", "decimal(2,3)", "decimal(19,2)", "lookup", "float", "text(5", "picklist(a)"]
)
def test_a_type_that_does_not_exist_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        FieldType.parse(bad)
