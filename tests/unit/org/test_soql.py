"""SOQL text: names by pattern, values through one quoting function, nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.org import soql
from sfsync.org.soql import Select, Unquotable


def test_a_query_is_written_part_by_part() -> None:
    child = Select(("Id", "Field"), "Histories", soql.either("Field = 'A'", "Field = 'B'"))
    query = Select(("Id", "Owner.Name"), "Case", order=("SystemModstamp", "Id"), limit=10, children=(child,))
    assert str(query.having(soql.compare("IsClosed", "=", False))) == (
        "SELECT Id, Owner.Name, (SELECT Id, Field FROM Histories WHERE (Field = 'A' OR Field = 'B')) FROM Case"
        " WHERE IsClosed = false ORDER BY SystemModstamp, Id LIMIT 10"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (Decimal("1E+2"), "100"),
        (date(2026, 11, 21), "2026-11-21"),
        (datetime(2026, 11, 21, 20, 5, 6, tzinfo=UTC), "2026-11-21T20:05:06Z"),
        ("it's", "'it\\'s'"),
        ("back\\slash", "'back\\\\slash'"),
        ("two\nlines\r\t", "'two\\nlines\\r\\t'"),
        ("%_", "'%_'"),
    ],
)
def test_a_value_is_quoted_by_its_type(value: Any, text: str) -> None:
    assert soql.literal(value) == text


@pytest.mark.parametrize("value", ["a\x00b", Decimal("NaN"), Decimal("Infinity"), datetime(2026, 1, 1), object()])  # noqa: DTZ001
def test_what_soql_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(Unquotable):
        soql.literal(value)


@pytest.mark.parametrize("name", ["", "a b", "Id FROM User--", "Name'", "1x", "a..b", "x" * 81, "Näme"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Unquotable):
        soql.name(name)


@pytest.mark.parametrize(
    "text", ["", "https://evil.example/x", "500", "500AA00000000000A/", "../x", "5" * 17, "ß" * 15]
)
def test_an_id_that_is_none_never_reaches_a_path(text: str) -> None:
    with pytest.raises(Unquotable):
        soql.record_path("Case", text)


def test_a_key_is_encoded_whole_in_a_path() -> None:
    assert soql.key_path("A__c", "K__c", "a/b?c#d%e:f") == "sobjects/A__c/K__c/a%2Fb%3Fc%23d%25e%3Af"


def test_an_empty_list_matches_nothing_and_is_not_asked() -> None:
    with pytest.raises(Unquotable):
        soql.among("Id", [])


def test_a_statement_that_is_too_long_is_refused() -> None:
    with pytest.raises(Unquotable):
        str(Select(("Id",), "Case", soql.among("Subject", ["x" * 200] * 600)))


def test_a_window_is_written_with_its_zone() -> None:
    at = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    assert soql.replication_path("Case", "updated", at, at) == (
        "sobjects/Case/updated/?start=2026-11-21T20%3A00%3A00%2B00%3A00&end=2026-11-21T20%3A00%3A00%2B00%3A00"
    )


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_no_text_gets_out_of_its_quotes(text: str) -> None:
    """A reader that knows only the escapes finds the end of the literal at its end, and the text inside."""
    quoted = soql.literal(text)
    back = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", "\\": "\\"}
    read, at = "", 1
    while quoted[at] != "'":
        if quoted[at] == "\\":
            at += 1
            read += back[quoted[at]]
        else:
            read += quoted[at]
        at += 1
    assert at == len(quoted) - 1
    assert read == text
