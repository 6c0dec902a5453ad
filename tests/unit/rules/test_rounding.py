"""Minutes as typed and as billed (RND-1..3)."""

from __future__ import annotations

from datetime import date
from decimal import InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.rules.rounding import long_days, minutes_of_hours, minutes_of_seconds, refused, rounded, rounded_group
from sfsync.rules.wording import decimal_hours

MODES = st.sampled_from(["up", "nearest", "down"])


def test_without_an_increment_minutes_stay_as_they_are() -> None:
    assert [rounded(each) for each in (0, 1, 7, 61, 1440)] == [0, 1, 7, 61, 1440]


@pytest.mark.parametrize(
    ("mode", "billed"),
    [("up", [0, 15, 15, 15, 30]), ("nearest", [0, 0, 15, 15, 15]), ("down", [0, 0, 0, 15, 15])],
)
def test_an_increment_rounds_by_its_mode(mode: str, billed: list[int]) -> None:
    assert [rounded(each, 15, mode) for each in (0, 7, 8, 15, 22)] == billed  # type: ignore[arg-type]


def test_a_half_goes_up_and_not_to_the_even_neighbour() -> None:
    assert [rounded(each, 10, "nearest") for each in (4, 5, 15, 25, 34)] == [0, 10, 20, 30, 30]


@given(st.lists(st.integers(0, 500), max_size=20), st.integers(1, 60), MODES)
def test_a_group_bills_its_rounded_sum_and_no_part_is_negative(raw: list[int], increment: int, mode: str) -> None:
    parts = rounded_group(raw, increment, mode)  # type: ignore[arg-type]
    assert sum(parts) == rounded(sum(raw), increment, mode)  # type: ignore[arg-type]
    assert all(part >= 0 for part in parts)


def test_seven_and_eight_minutes_of_one_day_are_a_quarter_of_an_hour() -> None:
    assert rounded_group([7, 8], 15) == [15, 0]


def test_seconds_are_rounded_up_once() -> None:
    assert [minutes_of_seconds(each) for each in (0, 1, 60, 61, 90)] == [0, 1, 1, 2, 2]


def test_decimal_hours_become_the_nearest_minute() -> None:
    hours = ("0.1", "0.25", "0.33", "1.75", "0.0083", "0.00833334")
    assert [minutes_of_hours(each) for each in hours] == [6, 15, 20, 105, 0, 1]
    assert [minutes_of_hours(each) for each in ("0.125", "0.375", "0.675")] == [8, 23, 41]  # halves go up
    with pytest.raises(InvalidOperation):
        minutes_of_hours("an hour")


@given(st.integers(0, 100_000))
def test_minutes_survive_being_shown_as_hours_with_two_places(minutes: int) -> None:
    assert minutes_of_hours(decimal_hours(minutes)) == minutes


def test_a_duration_of_nothing_is_refused() -> None:
    assert [refused(each) for each in (1, 0, -5, None)] == [
        "",
        "minutes_not_positive",
        "minutes_not_positive",
        "minutes_missing",
    ]
    with pytest.raises(ValueError, match="zero or more"):
        rounded(-1)


def test_more_than_a_day_on_a_day_is_flagged() -> None:
    on = date(2026, 11, 20)
    assert long_days([("ana", on, 1000), ("ana", on, 441), ("leo", on, 1440)]) == [("ana", on, 1441)]
