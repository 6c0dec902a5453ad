"""From when to when a pack is valid, and its extension (VAL-1..3, PK-7..9)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.mapping import load_plans
from sfsync.policy import Policy
from sfsync.records import Pack
from sfsync.rules.validity import add_months, expires_at, last_valid_on, lot_of, refuse_extension
from sfsync.rules.weeks import Week, end_of_day, local_day, start_of_day

PACKS = load_plans().packs
DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))
ZONES = st.sampled_from(["Europe/Bucharest", "America/Argentina/Buenos_Aires", "America/Santiago", "Asia/Beirut"])


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("plan", "activated", "extended", "last"),
    [
        ("starter", "2026-11-21", False, "2027-02-21"),
        ("starter", "2026-11-30", False, "2027-02-28"),  # V-03
        ("flexi", "2026-08-31", False, "2027-02-28"),  # V-04
        ("flexi", "2026-08-31", True, "2027-05-31"),  # V-05: from the activation day, clamped once
        ("pro", "2028-02-29", False, "2029-02-28"),  # V-06
        ("pro", "2026-11-21", True, "2028-05-21"),  # V-07
    ],
)
def test_the_last_valid_day_is_counted_in_months(plan: str, activated: str, extended: bool, last: str) -> None:
    assert last_valid_on(day(activated), PACKS[plan], extended=extended) == day(last)


def test_one_day_less_is_a_matter_of_contract() -> None:
    assert last_valid_on(day("2026-11-21"), PACKS["starter"], inclusive=False) == day("2027-02-20")


@pytest.mark.parametrize(
    ("last", "zone", "end"),
    [
        ("2027-02-21", "Europe/Bucharest", "2027-02-21T22:00:00+00:00"),  # V-01
        ("2027-02-21", "America/Argentina/Buenos_Aires", "2027-02-22T03:00:00+00:00"),  # V-02
        ("2027-03-28", "Europe/Bucharest", "2027-03-28T21:00:00+00:00"),  # V-08
    ],
)
def test_a_pack_ends_at_the_clients_midnight(last: str, zone: str, end: str) -> None:
    assert expires_at(day(last), zone) == datetime.fromisoformat(end)


def test_a_minute_before_midnight_in_buenos_aires_is_in_time() -> None:  # V-09
    last, zone = day("2027-02-21"), "America/Argentina/Buenos_Aires"
    assert local_day(datetime(2027, 2, 22, 2, 59, tzinfo=UTC), zone) == last
    assert datetime(2027, 2, 22, 2, 59, tzinfo=UTC) < expires_at(last, zone)


@given(DAYS, st.integers(0, 60))
def test_months_keep_the_day_or_take_the_last_one(start: date, months: int) -> None:
    end = add_months(start, months)
    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == months
    assert end.day == start.day or (end.day < start.day and (end + timedelta(days=1)).day == 1)


@given(DAYS, ZONES)
def test_days_follow_each_other_without_gap_or_overlap(on: date, zone: str) -> None:
    start, end = start_of_day(on, zone), end_of_day(on, zone)
    assert start < end == start_of_day(on + timedelta(days=1), zone)
    assert local_day(start, zone) == on
    assert local_day(end - timedelta(seconds=1), zone) == on
    assert local_day(start - timedelta(seconds=1), zone) == on - timedelta(days=1)


@given(DAYS, ZONES)
def test_a_week_has_seven_days_whatever_its_hours(on: date, zone: str) -> None:  # WK-1
    week = Week.of(on)
    assert week.holds(on)
    assert Week.parse(str(week)) == week
    assert week.hours(zone) in (167, 168, 169)
    assert week.bounds(zone)[1] == week.shifted(1).bounds(zone)[0]


@pytest.mark.parametrize("text", ["2026-47", "2025-W53", "2026-W54", "W47", "2026-W7"])
def test_a_week_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Week.parse(text)


def test_a_week_closes_at_the_local_hour_of_the_contract() -> None:
    week = Week.parse("2026-W47")
    assert week.closes_at("America/Argentina/Buenos_Aires", "Mon 06:00").isoformat() == "2026-11-23T09:00:00+00:00"
    assert week.closes_at("Europe/Bucharest", "Tue 00:30").isoformat() == "2026-11-23T22:30:00+00:00"


@pytest.mark.parametrize(
    ("plan", "last", "asked", "extended", "grace", "why"),
    [
        ("flexi", "2027-05-21", "2027-05-21", False, 0, ""),  # V-10
        ("flexi", "2027-05-21", "2027-02-01", True, 0, "already_extended"),  # V-11
        ("starter", "2027-02-21", "2027-01-10", False, 0, "plan_not_extendable"),  # V-12
        ("pro", "2027-11-21", "2027-11-22", False, 0, "lot_expired"),  # V-13
        ("pro", "2027-11-21", "2027-11-22", False, 1, ""),
    ],
)
def test_an_extension_is_granted_once_and_in_time(
    plan: str, last: str, asked: str, extended: bool, grace: int, why: str
) -> None:
    assert refuse_extension(PACKS[plan], day(last), day(asked), extended=extended, grace_days=grace) == why


def test_a_pack_is_usable_when_it_is_paid_for() -> None:  # PK-12
    draft = Pack(key="p", plan="Flexi", packs_bought=5)
    assert lot_of(draft, PACKS, Policy(), day("2026-11-21")) is None


def test_days_of_a_planned_pack_are_computed_and_those_of_a_courtesy_pack_kept() -> None:
    flexi = Pack(key="p", plan="Flexi", packs_bought=5, activated_on=day("2026-11-21"), last_valid_on=day("2030-01-01"))
    lot = lot_of(flexi, PACKS, Policy(), day("2026-11-21"))
    assert lot is not None
    assert (lot.minutes, lot.last_valid_on) == (2400, day("2027-05-21"))
    gift = Pack(
        key="g", plan="Courtesy", bought_minutes=20, activated_on=day("2026-11-21"), last_valid_on=day("2026-12-21")
    )
    lot = lot_of(gift, PACKS, Policy(), day("2026-11-21"))
    assert lot is not None
    assert (lot.minutes, lot.last_valid_on, lot.courtesy) == (20, day("2026-12-21"), True)


def test_an_extension_once_granted_is_not_taken_back_by_a_later_look() -> None:
    pack = Pack(
        key="p",
        plan="Flexi",
        packs_bought=5,
        activated_on=day("2026-01-21"),
        extension_requested=True,
        extended=True,
        extension_requested_on=day("2026-09-01"),
    )
    lot = lot_of(pack, PACKS, Policy(), day("2026-11-21"))
    assert lot is not None
    assert (lot.refusal, lot.last_valid_on, lot.extended_on) == ("", day("2026-10-21"), day("2026-07-21"))
