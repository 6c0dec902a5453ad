"""Cover calendars: windows, closing instants, holidays, half days, and the days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from sfsync.errors import PolicyError
from sfsync.policy import Cover, Weekday, Window
from sfsync.rules.calendar import WEEKDAYS, Calendar, calendar_of, instant_of, seconds_of

BUENOS_AIRES = "America/Argentina/Buenos_Aires"
BUCHAREST = "Europe/Bucharest"
NEW_YORK = "America/New_York"

HOUR = 3600


def windows(*spans: str) -> tuple[Window, ...]:
    """Return windows written as ``09:00-18:00``."""
    return tuple(Window(open=span.split("-")[0], close=span.split("-")[1]) for span in spans)


def weekly(*spans: str, days: str = "mon tue wed thu fri") -> dict[Weekday, tuple[Window, ...]]:
    return {day: windows(*spans) for day in WEEKDAYS if day in days.split()}


def every_day(*spans: str) -> dict[Weekday, tuple[Window, ...]]:
    return weekly(*spans, days=" ".join(WEEKDAYS))


def silver(**more: object) -> Calendar:
    return Calendar(weekly("09:00-18:00"), BUENOS_AIRES, label="Mon-Fri 9-18", **more)  # type: ignore[arg-type]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


TUESDAY = "2026-11-24"
WEDNESDAY = "2026-11-25"


# --- positions -------------------------------------------------------------------------------------------


def test_a_window_is_half_open() -> None:
    calendar = silver()
    assert calendar.is_open(at(f"{TUESDAY}T09:00-03:00"))
    assert calendar.is_open(at(f"{TUESDAY}T17:59:59-03:00"))
    assert not calendar.is_open(at(f"{TUESDAY}T18:00-03:00"))
    assert not calendar.is_open(at(f"{TUESDAY}T08:59:59-03:00"))


def test_a_target_that_ends_with_the_day_is_due_at_closing_not_at_the_next_opening() -> None:
    assert silver().add(at(f"{TUESDAY}T14:00-03:00"), 4 * HOUR) == at(f"{TUESDAY}T18:00-03:00")


def test_one_second_more_is_due_after_the_night() -> None:
    assert silver().add(at(f"{TUESDAY}T14:00-03:00"), 4 * HOUR + 1) == at(f"{WEDNESDAY}T09:00:01-03:00")


def test_outside_cover_the_clock_starts_at_the_next_opening() -> None:
    calendar = silver()
    assert calendar.next_open(at("2026-11-21T12:00-03:00")) == at("2026-11-23T09:00-03:00")
    assert calendar.next_open(at(f"{TUESDAY}T18:00-03:00")) == at(f"{WEDNESDAY}T09:00-03:00")
    assert calendar.next_open(at(f"{TUESDAY}T10:00:17-03:00")) == at(f"{TUESDAY}T10:00:17-03:00")


def test_no_time_added_is_the_same_instant_even_outside_cover() -> None:
    saturday = at("2026-11-21T12:00-03:00")
    assert silver().add(saturday, 0) == saturday


def test_a_clock_does_not_run_backward() -> None:
    with pytest.raises(ValueError, match="-1 seconds would run it backward"):
        silver().add(at(f"{TUESDAY}T10:00-03:00"), -1)


def test_between_is_negative_when_the_end_comes_first() -> None:
    early, late = at(f"{TUESDAY}T10:00-03:00"), at(f"{WEDNESDAY}T10:00-03:00")
    assert silver().between(late, early) == -silver().between(early, late) == -9 * HOUR


def test_sub_seconds_are_cut_off() -> None:
    a = at(f"{TUESDAY}T10:00-03:00")
    assert silver().between(a.replace(microsecond=999_999), a + timedelta(seconds=5)) == 5


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="an instant is aware"):
        seconds_of(datetime(2026, 11, 24, 10))  # noqa: DTZ001 - the point of the test


def test_seconds_and_instants_are_the_same_thing() -> None:
    for text in ("1970-01-01T00:00Z", "1999-12-31T23:59:59Z", "2026-11-24T10:00:17-03:00", "2099-02-28T12:00Z"):
        assert instant_of(seconds_of(at(text))) == at(text)


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    assert silver().add(at("2026-11-24T21:30+02:00"), 4 * HOUR) == at("2026-11-25T11:30-03:00")


# --- days ------------------------------------------------------------------------------------------------


def test_a_holiday_removes_the_whole_local_date() -> None:
    calendar = silver(holidays={date(2026, 11, 23): "Soberanía Nacional"})
    assert calendar.between(at("2026-11-23T00:00-03:00"), at("2026-11-24T00:00-03:00")) == 0
    assert calendar.add(at("2026-11-20T16:30-03:00"), 4 * HOUR) == at("2026-11-24T11:30-03:00")


def test_a_half_day_shortens_the_cover_and_never_lengthens_it() -> None:
    day = date(2026, 12, 24)
    calendar = silver(half_days={day: windows("08:00-13:00")})
    assert calendar.windows_on(day) == ((9 * HOUR, 13 * HOUR),)
    saturday = date(2026, 12, 26)
    assert silver(half_days={saturday: windows("09:00-13:00")}).windows_on(saturday) == ()


def test_a_holiday_on_a_half_day_stays_a_holiday() -> None:
    day = date(2026, 12, 24)
    assert silver(holidays={day: "x"}, half_days={day: windows("09:00-13:00")}).windows_on(day) == ()


def test_several_windows_a_day_are_allowed() -> None:
    calendar = Calendar(weekly("09:00-13:00", "14:00-18:00"), BUENOS_AIRES)
    assert calendar.add(at(f"{TUESDAY}T12:00-03:00"), 4 * HOUR) == at(f"{TUESDAY}T17:00-03:00")
    assert calendar.next_open(at(f"{TUESDAY}T13:00-03:00")) == at(f"{TUESDAY}T14:00-03:00")


def test_2400_is_the_next_midnight_and_round_the_clock_never_closes() -> None:
    calendar = Calendar(every_day("00:00-24:00"), BUENOS_AIRES)
    assert calendar.round_the_clock
    a = at("2026-11-28T23:15-03:00")
    assert calendar.add(a, HOUR) == a + timedelta(hours=1)
    assert calendar.between(a, a + timedelta(days=400)) == 400 * 86_400


def test_a_cover_without_holidays_runs_through_them() -> None:
    cover = Cover(label="24/7", weekly=every_day("00:00-24:00"), holidays=False)
    calendar = calendar_of(cover, BUENOS_AIRES, holidays={date(2026, 12, 25): "Navidad"}, confirmed_through_year=2026)
    assert calendar.add(at("2026-12-25T03:00-03:00"), HOUR) == at("2026-12-25T04:00-03:00")
    assert calendar.confirmed_through_year is None


def test_the_longest_day_of_a_cover_is_one_business_day() -> None:
    assert silver().full_day_seconds == 540 * 60
    assert (
        Calendar({"mon": windows("09:00-18:00"), "fri": windows("09:00-13:00")}, BUENOS_AIRES).full_day_seconds
        == 32_400
    )


def test_the_next_business_day_skips_weekend_and_holidays() -> None:
    calendar = silver(holidays={date(2026, 11, 23): "x"})
    assert calendar.business_day_after(date(2026, 11, 20)) == date(2026, 11, 24)


# --- the days on which clocks change -----------------------------------------------------------------------


def test_round_the_clock_runs_on_real_time_through_the_spring_gap() -> None:
    calendar = Calendar(every_day("00:00-24:00"), BUCHAREST)
    assert calendar.add(at("2027-03-28T02:30+02:00"), HOUR) == at("2027-03-28T04:30+03:00")


def test_round_the_clock_runs_on_real_time_through_the_autumn_overlap() -> None:
    calendar = Calendar(every_day("00:00-24:00"), BUCHAREST)
    assert calendar.add(at("2026-10-25T03:30+03:00"), HOUR) == at("2026-10-25T03:30+02:00")


def test_an_instant_is_the_same_in_every_zone() -> None:  # CLK-5: half past nine in Iasi is half past four there
    iasi, closing = datetime.fromisoformat(f"{TUESDAY}T21:30+02:00"), at(f"{TUESDAY}T18:00-03:00")
    assert silver().between(iasi, closing) == 90 * 60
    assert silver().add(iasi, 4 * HOUR) == at(f"{WEDNESDAY}T11:30-03:00")


def test_the_missing_hour_of_a_gap_is_no_cover() -> None:
    calendar = Calendar(every_day("02:00-05:00"), BUCHAREST)  # 03:00-04:00 does not exist on 28 March 2027
    midnight = calendar.at_local(date(2027, 3, 28), 0)
    assert calendar.between(midnight, midnight + timedelta(hours=23)) == 2 * HOUR


def test_a_window_inside_the_gap_never_opens() -> None:
    calendar = Calendar(every_day("03:00-04:00"), BUCHAREST)
    midnight = calendar.at_local(date(2027, 3, 28), 0)
    assert calendar.between(midnight, midnight + timedelta(hours=23)) == 0


def test_both_passes_of_an_overlap_count() -> None:
    calendar = Calendar(every_day("03:15-03:45"), BUCHAREST)
    midnight = calendar.at_local(date(2026, 10, 25), 0)
    assert calendar.between(midnight, midnight + timedelta(hours=25)) == HOUR
    found = [(s.starts_at, s.seconds) for s in calendar.stretches(midnight, midnight + timedelta(hours=25))]
    assert found == [(at("2026-10-25T03:15+03:00"), 1800), (at("2026-10-25T03:15+02:00"), 1800)]


def test_an_overlap_across_midnight_counts_both_evenings() -> None:
    # Sao Paulo put its clocks back from 24:00 to 23:00 on 17 February 2018.
    calendar = Calendar(every_day("23:00-24:00"), "America/Sao_Paulo")
    noon = calendar.at_local(date(2018, 2, 17), 12 * HOUR)
    assert calendar.between(noon, noon + timedelta(days=1)) == 2 * HOUR


def test_a_day_that_a_zone_skipped_has_no_cover() -> None:
    # Samoa had no 30 December 2011.
    calendar = Calendar(every_day("09:00-18:00"), "Pacific/Apia")
    a = calendar.at_local(date(2011, 12, 29), 12 * HOUR)
    assert calendar.between(a, calendar.at_local(date(2011, 12, 31), 12 * HOUR)) == 9 * HOUR


def test_a_zone_with_half_hour_clock_changes_is_exact() -> None:
    # Lord Howe Island moves its clocks by 30 minutes: 4 April 2027 has 24 h 30 min.
    calendar = Calendar(every_day("00:00-24:00"), "Australia/Lord_Howe")
    day = calendar.at_local(date(2027, 4, 4), 0)
    assert calendar.at_local(date(2027, 4, 5), 0) - day == timedelta(hours=24, minutes=30)
    assert sum(s.seconds for s in calendar.stretches(day, day + timedelta(days=1))) == 86_400


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        ((date(2027, 3, 14), 1 * HOUR), "2027-03-14T06:00Z"),
        ((date(2027, 3, 14), 2 * HOUR + 1800), "2027-03-14T07:00Z"),  # in the gap: the jump
        ((date(2026, 11, 1), 1 * HOUR + 1800), "2026-11-01T05:30Z"),  # twice: the first pass
        ((date(2026, 11, 1), 86_400), "2026-11-02T05:00Z"),
    ],
)
def test_a_wall_time_is_one_instant(wall: tuple[date, int], expected: str) -> None:
    assert Calendar(every_day("00:00-24:00"), NEW_YORK).at_local(*wall) == at(expected)


# --- reach and refusals --------------------------------------------------------------------------------------


def test_a_question_about_another_year_gives_the_same_answer_in_any_order() -> None:
    asked = [at("2016-03-01T12:00Z"), at("2030-06-01T12:00Z"), at("2026-11-24T13:00Z"), at("1999-01-04T13:00Z")]
    fresh = [silver().add(a, 100 * HOUR) for a in asked]
    calendar = silver()
    assert [calendar.add(a, 100 * HOUR) for a in asked] == fresh
    assert [calendar.add(a, 100 * HOUR) for a in reversed(asked)] == fresh[::-1]


def test_a_target_of_years_is_found_beyond_the_first_table() -> None:
    start = at("2026-11-23T09:00-03:00")
    calendar = silver()
    assert calendar.between(start, calendar.add(start, 3000 * 9 * HOUR)) == 3000 * 9 * HOUR


def test_the_turn_of_the_year_is_like_any_night() -> None:
    calendar = Calendar(every_day("00:00-24:00"), BUENOS_AIRES)
    a = at("2026-12-31T23:59:30-03:00")
    assert calendar.add(a, 60) == a + timedelta(seconds=60)


def test_a_cover_without_windows_is_refused() -> None:
    with pytest.raises(PolicyError, match="its clock would never run"):
        Calendar({}, BUENOS_AIRES, label="empty")


def test_a_cover_that_holidays_close_for_ever_is_named() -> None:
    mondays = {date(2026, 1, 5) + timedelta(weeks=n): "closed" for n in range(-60, 70 * 53)}
    calendar = Calendar(weekly("09:00-18:00", days="mon"), BUENOS_AIRES, holidays=mondays, label="shut")
    with pytest.raises(PolicyError, match="'shut' does not open"):
        calendar.add(at(f"{TUESDAY}T10:00-03:00"), 1)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(PolicyError, match="'Europe/Atlantis'"):
        Calendar(weekly("09:00-18:00"), "Europe/Atlantis")


def test_a_question_beyond_the_calendars_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="calendars reach from 1971"):
        silver().between_s(-1, 0)


# --- explanations ------------------------------------------------------------------------------------------


def test_stretches_add_up_to_between_and_end_at_midnight() -> None:
    calendar = Calendar(every_day("00:00-24:00"), BUCHAREST)
    a, b = at("2026-10-24T22:00+03:00"), at("2026-10-26T01:00+02:00")
    found = list(calendar.stretches(a, b))
    assert [s.on.day for s in found] == [24, 25, 26]
    assert [s.seconds for s in found] == [2 * HOUR, 25 * HOUR, HOUR]
    assert sum(s.seconds for s in found) == calendar.between(a, b)


def test_stretches_of_nothing_are_none() -> None:
    a = at(f"{TUESDAY}T10:00-03:00")
    assert list(silver().stretches(a, a)) == []


def test_only_holidays_that_took_cover_away_are_named() -> None:
    calendar = silver(holidays={date(2026, 11, 23): "Monday", date(2026, 11, 22): "Sunday", date(2026, 12, 8): "later"})
    found = calendar.holidays_between(at("2026-11-20T10:00-03:00"), at("2026-11-25T10:00-03:00"))
    assert found == [(date(2026, 11, 23), "Monday")]
