"""What the contract says of clocks: plans, channels, new calendars, and what one business day is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from sfsync.errors import PolicyError
from sfsync.policy import ClientTerms
from sfsync.rules.sla import NOT_APPLICABLE
from tests.unit.rules.stories import (
    RESOLVING,
    SILVER,
    ZONE,
    Story,
    at,
    codes,
    cover,
    plan,
    plans,
    with_holiday,
)

# --- plans, channels, calendars ------------------------------------------------------------------------------


def test_a_client_without_a_plan_has_no_clock() -> None:
    terms = ClientTerms(client="acme", name="Acme", time_zone=ZONE)
    outcome = Story().evaluate(terms=terms)
    assert outcome.milestones == ()
    assert outcome.fields == NOT_APPLICABLE
    assert outcome.fields["sla_status"] == "Not applicable"


def test_a_case_that_is_no_request_or_is_deleted_has_no_clock() -> None:
    for change in ({"request": False}, {"deleted": True}):
        story = Story()
        story.case = replace(story.case, **change)
        assert story.evaluate().milestones == ()


def test_the_clocks_of_a_deleted_case_stop_and_its_breaches_stay() -> None:
    story = Story(RESOLVING).comment("24T15:00")
    before = story.evaluate("24T16:00")
    story.case = replace(story.case, deleted=True)
    after = story.evaluate("24T17:00", before.milestones)
    ack, resolution = after.milestones
    assert ack == before.milestones[0]
    assert ack.breached_at is not None
    assert (resolution.met_at, resolution.used_seconds, resolution.breached_at) == (at("24T17:00"), None, None)
    assert after.next_due_at is None
    assert story.evaluate("25T17:00", after.milestones).milestones == after.milestones
    story.case = replace(story.case, deleted=False)
    assert story.evaluate("25T17:00", after.milestones).milestones[1].met_at is None


def test_a_status_without_history_is_pointed_out_once() -> None:
    story = Story()
    story.case = replace(story.case, status="Working")
    first = story.evaluate("24T11:00")
    assert codes(first) == ["HistoryMissing"]
    assert codes(story.evaluate("24T11:10", first.milestones)) == []


def test_a_plan_that_does_not_exist_is_named() -> None:
    terms = ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="bronze")
    with pytest.raises(PolicyError, match="'bronze'"):
        Story().evaluate(terms=terms)


def test_a_cover_without_a_calendar_is_named() -> None:
    story = Story()
    story.covers = {}
    with pytest.raises(PolicyError, match="'9-18'"):
        story.evaluate()


def test_an_open_case_keeps_the_plan_it_was_opened_under_unless_asked() -> None:
    story = Story()
    before = story.evaluate("24T11:00")
    gold = plan(P1=("8-20", 120))
    terms = ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="gold")
    both = plans(SILVER, gold=gold)
    kept = story.evaluate("24T11:30", before.milestones, terms=terms, plans=both)
    assert kept.milestones[0].due_at == at("24T14:00")
    asked = story.evaluate("24T11:30", before.milestones, terms=terms, plans=both, replan=True)
    assert (asked.milestones[0].plan, asked.milestones[0].due_at) == ("gold", at("24T12:00"))
    assert "DueMoved" in codes(asked)


def test_a_case_runs_under_the_plan_in_force_when_it_was_opened() -> None:
    both = plans(SILVER, gold=plan(P1=("8-20", 120)))
    silver = next(key for key in both.sla if key != "gold")
    story = Story()
    opened = story.case.created_at
    assert opened is not None

    def terms(day: date) -> ClientTerms:
        return ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan=silver, sla_plan_from={day: "gold"})

    local = opened.astimezone(ZoneInfo(ZONE)).date()
    before, after = terms(local + timedelta(days=1)), terms(local)
    for run_at in ("24T11:00", "25T11:00"):  # a store that was lost and read again a day later says the same
        assert story.evaluate(run_at, terms=before, plans=both).milestones[0].plan == silver
        assert story.evaluate(run_at, terms=after, plans=both).milestones[0].plan == "gold"
    assert before.plan_at(opened + timedelta(days=1)) == "gold"
    ended = ClientTerms(client="a", name="A", time_zone=ZONE, sla_plan="gold", sla_plan_from={local: None})
    assert story.evaluate("24T11:00", terms=ended, plans=both).fields["sla_status"] == "Not applicable"


def test_a_channel_outside_the_plan_is_flagged_once_and_the_clock_runs() -> None:
    story = Story()
    story.case = replace(story.case, origin="Slack")
    first = story.evaluate("24T11:00")
    assert (first.channel_in_plan, codes(first)) == (False, ["ChannelOutsidePlan"])
    assert first.milestones[0].due_at == at("24T14:00")
    assert codes(story.evaluate("24T11:10", first.milestones)) == []


def test_a_channel_outside_the_plan_has_no_clock_where_the_contract_says_so() -> None:
    story = Story(channel_outside_plan="no_clock")
    story.case = replace(story.case, origin="Slack")
    assert story.evaluate().milestones == ()


@pytest.mark.parametrize(("origin", "in_plan"), [("Web", True), ("email", True), ("Phone", False), (None, None)])
def test_an_origin_is_read_as_the_channel_of_the_offer(origin: str | None, in_plan: bool | None) -> None:
    story = Story()
    story.case = replace(story.case, origin=origin)
    assert story.evaluate("24T11:00").channel_in_plan is in_plan


def test_a_new_holiday_moves_an_open_clock_and_tells_old_and_new() -> None:
    story = Story(created="20T16:30")
    before = story.evaluate("21T10:00")
    with_holiday(story, 23)
    outcome = story.evaluate("21T11:00", before.milestones)
    assert (before.milestones[0].due_at, outcome.milestones[0].due_at) == (at("23T11:30"), at("24T11:30"))
    (moved,) = outcome.findings
    assert moved.code == "DueMoved"
    assert moved.details["old"] == at("23T11:30").isoformat()


def test_a_new_holiday_leaves_a_closed_cycle_as_it_was() -> None:
    story = Story(created="20T16:30").comment("23T10:00")
    before = story.evaluate("23T11:00")
    with_holiday(story, 23)
    assert story.evaluate("24T11:00", before.milestones).milestones == before.milestones


def test_a_new_holiday_leaves_a_recorded_breach_as_it_was() -> None:
    story = Story(created="20T16:30")
    before = story.evaluate("23T12:00")
    assert before.milestones[0].breached_at == at("23T11:30")
    with_holiday(story, 23)
    outcome = story.evaluate("23T12:30", before.milestones)
    assert outcome.milestones == before.milestones
    assert codes(outcome) == []
    answered = story.comment("24T10:00").evaluate("24T11:00", before.milestones).milestones[0]
    assert (answered.breached_at, answered.due_at, answered.met_at) == (at("23T11:30"), at("23T11:30"), at("24T10:00"))


def test_a_due_time_in_an_unconfirmed_year_is_pointed_out_once() -> None:
    story = Story()
    story.covers = {"9-18": cover("09:00", "18:00", confirmed_through_year=2025)}
    first = story.evaluate("24T11:00")
    assert codes(first) == ["ProvisionalYear"]
    assert codes(story.evaluate("24T11:10", first.milestones)) == []


# --- one business day --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "created", "due"),
    [
        ("cover_minutes", "24T15:00", "25T15:00"),
        ("end_of_next_business_day", "24T15:00", "25T18:00"),
        ("end_of_next_business_day", "28T10:00", "30T18:00"),
        ("end_of_next_business_day", "24T19:00", "25T18:00"),
        ("same_time_next_business_day", "24T15:00", "25T15:00"),
        ("same_time_next_business_day", "26T19:00", "30T09:00"),
    ],
)
def test_one_business_day_has_three_readings(mode: str, created: str, due: str) -> None:
    assert Story(priority="P3", created=created, business_day_mode=mode).ack(created).due_at == at(due)


def test_other_targets_are_not_business_days() -> None:
    assert Story(business_day_mode="end_of_next_business_day").ack("24T11:00").due_at == at("24T14:00")


def test_a_business_day_is_breached_after_its_last_second() -> None:
    story = Story(priority="P3", created="24T15:00", business_day_mode="end_of_next_business_day")
    assert story.comment("25T18:00").ack().breached_at is None
    assert Story(priority="P3", created="24T15:00", business_day_mode="end_of_next_business_day").comment(
        "26T09:00:01"
    ).ack().breached_at == at("26T09:00")
