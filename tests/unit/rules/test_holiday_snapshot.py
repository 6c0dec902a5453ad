"""Holidays as published versions: include, exclude, half days, drift proposed and never applied."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from sfsync.calendar_source import drift, listed_holidays, make_snapshot, source_name
from sfsync.errors import PolicyError
from sfsync.policy import Cover, HolidayChoice, Window
from sfsync.rules.holiday_snapshot import (
    DayChange,
    HolidaySnapshot,
    calendars,
    differences,
    publish,
    useless_excludes,
)
from tests.vectors.registry import CONTRACT

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ARGENTINA = HolidayChoice(country="AR")
PAPAL_VISIT = date(2026, 11, 9)


def published(choice: HolidayChoice, listed: dict[date, str], version: int = 1) -> HolidaySnapshot:
    return publish(choice, listed, first_year=2026, last_year=2028, version=version, source="a list", published_at=NOW)


@pytest.mark.parametrize(("country", "calendar"), [("AR", "AR-9-18"), ("RO", "RO-9-18")])
def test_the_national_list_is_the_one_the_contract_was_written_with(country: str, calendar: str) -> None:
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))["meta"]["calendars"][calendar]["holidays"]
    found = listed_holidays(HolidayChoice(country=country), range(2026, 2029))
    assert sorted(day.isoformat() for day in found) == contract


def test_a_client_excludes_bridge_days_and_includes_its_own() -> None:
    bridges = {date(2026, 3, 23): "bridge", date(2026, 7, 10): "bridge", date(2026, 12, 7): "bridge"}
    choice = HolidayChoice(country="AR", exclude=bridges, include={date(2026, 9, 13): "System administrators' day"})
    days = make_snapshot(choice, first_year=2026, number=1, now=NOW).days
    assert not bridges.keys() & days.keys()
    assert days[date(2026, 9, 13)] == "System administrators' day"


def test_names_are_in_the_countrys_own_language_whatever_the_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    for spoken in ("C.UTF-8", "en_US.UTF-8", "ro_RO.UTF-8"):
        for name in ("LANGUAGE", "LC_ALL", "LANG"):
            monkeypatch.setenv(name, spoken)
        assert listed_holidays(ARGENTINA, [2027])[date(2027, 1, 1)] == "Año Nuevo"
        assert listed_holidays(HolidayChoice(country="RO"), [2027])[date(2027, 12, 1)] == "Ziua Națională a României"


def test_a_contract_may_take_the_holidays_of_several_places_together() -> None:
    both = HolidayChoice(country="AR", also=({"country": "ES", "subdivision": "CT"}, {"country": "RO"}))
    found = listed_holidays(both, [2027])
    alone = [listed_holidays(HolidayChoice(country=c, subdivision=s), [2027]) for c, s in [("AR", None), ("RO", None)]]
    assert found.keys() > alone[0].keys() | alone[1].keys()
    assert date(2027, 9, 11) in found, "the day of Catalonia alone"
    assert found[date(2027, 1, 1)] == alone[0][date(2027, 1, 1)], "the contract's own list names what several have"
    assert source_name(both).endswith(" AR public, ES-CT public, RO public")
    without = HolidayChoice(country="AR", also=({"country": "RO"},), exclude={date(2027, 1, 24): "we work"})
    days = make_snapshot(without, first_year=2027, number=1, now=NOW).days
    assert date(2027, 1, 24) not in days
    assert date(2027, 12, 1) in days, "the national day of Romania"


def test_an_exclude_that_excludes_nothing_is_noticed() -> None:
    choice = HolidayChoice(country="AR", exclude={date(2026, 3, 22): "typing error", date(2026, 3, 23): "bridge"})
    assert useless_excludes(choice, listed_holidays(choice, [2026])) == [date(2026, 3, 22)]


def test_without_a_country_there_are_only_the_included_days() -> None:
    choice = HolidayChoice(include={date(2026, 12, 31): "closed"})
    found = make_snapshot(choice, first_year=2026, number=1, now=NOW)
    assert dict(found.days) == {date(2026, 12, 31): "closed"}
    assert found.confirmed_through_year is None
    assert found.source == "none"


def test_a_country_the_list_does_not_know_is_refused() -> None:
    with pytest.raises(PolicyError, match="no holidays are known for XX public"):
        listed_holidays(HolidayChoice(country="XX"), [2026])
    with pytest.raises(PolicyError, match="AR-ZZ"):
        listed_holidays(HolidayChoice(country="AR", subdivision="ZZ"), [2026])


def test_a_snapshot_notes_its_source() -> None:
    assert source_name(HolidayChoice(country="AR", subdivision="B")).startswith("holidays 0.")
    assert source_name(HolidayChoice(country="AR", subdivision="B")).endswith("AR-B public")


def test_later_years_are_provisional_until_confirmed() -> None:
    assert published(ARGENTINA, {}).confirmed_through_year == 2026
    assert published(ARGENTINA.model_copy(update={"confirmed_through_year": 2027}), {}).confirmed_through_year == 2027
    assert published(ARGENTINA.model_copy(update={"confirmed_through_year": 2099}), {}).confirmed_through_year == 2028


def test_a_snapshot_survives_being_stored() -> None:
    choice = HolidayChoice(country="AR", half_days={date(2026, 12, 24): (Window(open="09:00", close="13:00"),)})
    found = make_snapshot(choice, first_year=2026, number=3, now=NOW)
    assert HolidaySnapshot.from_data(json.loads(json.dumps(found.as_data()))) == found


def test_the_fingerprint_changes_with_the_days_and_with_nothing_else() -> None:
    one = published(ARGENTINA, {PAPAL_VISIT: "x"})
    assert published(ARGENTINA, {PAPAL_VISIT: "x"}, version=2).fingerprint == one.fingerprint
    assert published(ARGENTINA, {}).fingerprint != one.fingerprint


def test_differences_name_added_removed_and_half_days_and_ignore_new_names() -> None:
    half = (Window(open="09:00", close="13:00"),)
    old = published(ARGENTINA, {PAPAL_VISIT: "a", date(2026, 12, 25): "Navidad"})
    new = published(
        ARGENTINA.model_copy(update={"half_days": {date(2026, 12, 24): half}}),
        {date(2026, 12, 25): "Christmas", date(2026, 12, 7): "bridge"},
    )
    assert differences(old, new) == [
        DayChange(PAPAL_VISIT, "removed", "a"),
        DayChange(date(2026, 12, 7), "added", "bridge"),
        DayChange(date(2026, 12, 24), "half day added", ""),
    ]
    assert differences(new, new) == []


def test_differences_judge_only_years_both_versions_know() -> None:
    old = publish(ARGENTINA, {}, first_year=2026, last_year=2026, version=1, source="x", published_at=NOW)
    assert differences(old, published(ARGENTINA, {date(2027, 1, 1): "Año Nuevo"})) == []


def test_a_newer_list_is_proposed_and_changes_nothing() -> None:
    newest = listed_holidays(ARGENTINA, range(2026, 2029))
    older = {day: name for day, name in newest.items() if day != PAPAL_VISIT}
    kept = published(ARGENTINA, older)
    (proposed,) = drift(ARGENTINA, kept, now=NOW)
    assert (proposed.day, proposed.change) == (PAPAL_VISIT, "added")
    assert PAPAL_VISIT not in kept.days


def test_a_cover_that_ignores_holidays_gets_none() -> None:
    window = (Window(open="09:00", close="18:00"),)
    covers = {
        "9-18": Cover(label="Mon-Fri 9-18", weekly={"mon": window}),
        "night": Cover(label="night", weekly={"mon": window}, holidays=False),
    }
    made = calendars(covers, "America/Argentina/Buenos_Aires", published(ARGENTINA, {PAPAL_VISIT: "x"}))
    assert made["9-18"].windows_on(PAPAL_VISIT) == ()
    assert made["night"].windows_on(PAPAL_VISIT) == ((9 * 3600, 18 * 3600),)
    assert calendars(covers, "UTC", None)["9-18"].holidays == {}
