"""The derivation of a due time: complete, adding up, in three languages, and short enough for the field."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from sfsync.language import language
from sfsync.rules.language import ENGLISH
from sfsync.rules.sla_explain import SHORT_LENGTH, Derivation, derive, short_form
from tests.unit.rules.stories import RESOLVING, SILVER, Story, at, cover, plan

HOLIDAYS = {date(2026, 11, 23): "Día de la Soberanía Nacional"}


def derived(story: Story, now: str = "30T12:00", clock: str = "ack", **more: Any) -> Derivation:
    reckoning = next(r for r in story.evaluate(now, **more).reckonings if r.milestone.clock == clock)
    return derive(reckoning, story.plan, story.covers)


def over_the_weekend() -> Story:
    story = Story(created="20T16:30")
    story.covers = {"9-18": cover("09:00", "18:00", holidays=HOLIDAYS)}
    return story


def test_the_lines_add_up_to_the_target() -> None:
    found = derived(over_the_weekend(), "21T12:00")
    assert [line.seconds for line in found.lines if line.kind == "cover"] == [5_400, 9_000]
    assert sum(line.seconds for line in found.lines) == found.limit_seconds == 14_400


def test_a_derivation_tells_windows_holidays_and_the_due_time() -> None:
    assert derived(over_the_weekend(), "21T12:00").text(ENGLISH, "00001231").splitlines() == [
        "Case 00001231 · Silver P1 · target 4 h in 09:00-18:00, America/Argentina/Buenos_Aires",
        "             Opened Fri 20 Nov 2026 16:30.",
        "      +1:30  Fri 20 Nov 2026 16:30 to 18:00: 1 h 30 min used.",
        "             Mon 23 Nov 2026 is a holiday: Día de la Soberanía Nacional.",
        "      +2:30  Tue 24 Nov 2026 09:00 to 11:30: 2 h 30 min used.",
        "             Due Tue 24 Nov 2026 11:30.",
    ]


def test_spanish_and_romanian_say_the_same() -> None:
    found = derived(over_the_weekend(), "21T12:00")
    assert found.text(language("es"), "00001231").splitlines()[2:4] == [
        "      +1:30  El vie 20 nov 2026 16:30 a 18:00: consumo de 1 h 30 min.",
        "             El lun 23 nov 2026 es feriado: Día de la Soberanía Nacional.",
    ]
    assert found.text(language("ro"), "00001231").splitlines()[-1] == "             Termen: mar. 24 nov. 2026 11:30."


def test_a_case_from_outside_cover_says_when_its_clock_starts() -> None:
    text = derived(Story(created="21T12:00"), "21T13:00").text(ENGLISH)
    assert "Outside cover; the clock starts Mon 23 Nov 2026 09:00." in text


def test_pauses_are_told_with_their_cause_and_what_they_cost() -> None:
    story = Story(RESOLVING, created="24T10:00").status("24T11:00", "Waiting on Client").status("25T15:00", "Working")
    found = derived(story, clock="resolution")
    assert (
        "Paused from Tue 24 Nov 2026 11:00 to Wed 25 Nov 2026 15:00: Waiting on Client; 16 h of cover not counted."
        in found.text(ENGLISH)
    )
    assert sum(line.seconds for line in found.lines) == 960 * 60


def test_a_pause_that_goes_on_is_told() -> None:
    story = Story(RESOLVING, created="24T10:00").status("24T11:00", "Waiting on Client")
    assert "Paused since Tue 24 Nov 2026 11:00: Waiting on Client." in derived(story, clock="resolution").text(ENGLISH)


def test_a_change_of_priority_is_told_with_both_due_times() -> None:
    two = plan(P1=("8-20", 120), P3=("8-20", 240))
    story = Story(two, "P3", "24T09:00").set("24T09:30", "priority", "P1")
    text = derived(story, "24T10:00").text(ENGLISH)
    assert (
        "Priority P3 to P1 on Tue 24 Nov 2026 09:30: due Tue 24 Nov 2026 11:30 instead of Tue 24 Nov 2026 13:00."
        in text
    )
    late = Story(two, "P3", "24T09:00").set("24T12:00", "priority", "P1")
    assert "still due Tue 24 Nov 2026 13:00." in derived(late, "24T12:30").text(ENGLISH)


def test_an_answer_names_who_gave_it_and_a_breach_by_how_much() -> None:
    lines = derived(Story().comment("24T15:10")).text(ENGLISH).splitlines()
    assert lines[-2:] == [
        "             Answered Tue 24 Nov 2026 15:10 by ana@ours.",
        "             Breached by 1 h 10 min of cover.",
    ]


def test_an_unanswered_breach_tells_its_instant() -> None:
    assert derived(Story(created="24T14:00"), "25T12:00").lines[-1].sentence.render(str, ENGLISH.show) == (
        "Breached on Wed 25 Nov 2026 09:00."
    )


def test_a_half_day_is_told() -> None:
    story = Story(created="24T10:00")
    from sfsync.policy import Window

    story.covers = {
        "9-18": cover("09:00", "18:00", half_days={date(2026, 11, 24): (Window(open="09:00", close="12:00"),)})
    }
    found = derived(story, "24T11:00")
    assert "Tue 24 Nov 2026 is a half day." in found.text(ENGLISH)
    assert found.milestone.due_at == at("25T11:00")


def test_a_due_time_of_an_earlier_calendar_says_so() -> None:
    story = over_the_weekend()
    story.covers = {"9-18": cover("09:00", "18:00")}
    recorded = story.evaluate("23T12:00")
    story.covers = {"9-18": cover("09:00", "18:00", holidays=HOLIDAYS)}
    text = derived(story, "23T12:30", previous=recorded.milestones).text(ENGLISH)
    assert "Due Mon 23 Nov 2026 11:30." in text
    assert "Recorded under an earlier calendar; it is not reckoned again." in text


def test_the_data_is_json_and_names_every_instant_in_utc() -> None:
    data = derived(over_the_weekend().comment("24T11:00")).as_data()
    assert json.loads(json.dumps(data)) == data
    assert (data["started_at"], data["due_at"], data["met_at"]) == (
        "2026-11-20T19:30:00Z",
        "2026-11-24T14:30:00Z",
        "2026-11-24T14:00:00Z",
    )
    assert data["warn_at"]["90"] == "2026-11-24T14:06:00Z"
    holiday = next(line for line in data["lines"] if line["kind"] == "holiday")
    assert holiday["values"] == {"day": "2026-11-23", "name": "Día de la Soberanía Nacional"}


def short(story: Story, code: str = "en", now: str = "30T12:00") -> str:
    reckoning = story.evaluate(now).reckonings[0]
    return short_form(reckoning, story.plan, story.covers, language(code))


def test_the_short_form_is_one_line_in_the_clients_language() -> None:
    assert short(over_the_weekend(), now="21T12:00") == (
        "Silver P1: 4 h in 09:00-18:00. Closed: Día de la Soberanía Nacional (Mon 23 Nov 2026). "
        "Due Tue 24 Nov 2026 11:30."
    )
    assert short(Story().comment("24T12:00"), "es") == (
        "Silver P1: 4 h en 09:00-18:00. Vence el mar 24 nov 2026 14:00. Respondido el mar 24 nov 2026 12:00."
    )


def test_the_short_form_names_no_person() -> None:
    assert "ana" not in short(Story().comment("24T12:00"))


@pytest.mark.parametrize("code", ["en", "es", "ro"])
def test_the_short_form_always_fits_the_field_and_keeps_the_due_time(code: str) -> None:
    story = Story(plan(P1=("9-18", 240), P2=("9-18", 2400), P3=("9-18", 2400)), "P3", created="20T16:30")
    story.covers = {
        "9-18": cover("09:00", "18:00", holidays={date(2026, 11, n): f"holiday number {n}" for n in range(23, 29)})
    }
    for hour in range(10, 17):
        story.set(f"24T{hour}:00", "priority", "P2" if hour % 2 else "P3")
    said = short(story, code, "24T18:00")
    assert len(said) <= SHORT_LENGTH
    assert language(code).translate("Due {due}.").split("{")[0] in said


def test_the_field_of_the_case_is_the_short_form() -> None:
    story = Story(SILVER)
    assert story.evaluate("24T11:00").fields["explained"] == short(story, now="24T11:00")
    told = story.evaluate("24T11:00", language=language("ro")).fields["explained"]
    assert told == "Silver P1: 4 h în 09:00-18:00. Termen: mar. 24 nov. 2026 14:00."
