"""The clocks of a case: what starts and stops them, when they warn and breach, what the case shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from sfsync.rules.sla import breached, next_due_at, waive
from tests.unit.rules.stories import (
    COVERS,
    Story,
    at,
    codes,
    cover,
    plan,
)

# --- start and stop ----------------------------------------------------------------------------------------


def test_the_clock_starts_at_creation_and_is_due_when_the_target_is_used() -> None:
    found = Story().ack("24T11:00")
    assert (found.started_at, found.clock_starts_at, found.due_at) == (at("24T10:00"), at("24T10:00"), at("24T14:00"))
    assert (found.plan, found.priority, found.target_seconds, found.cycle) == ("silver", "P1", 14_400, 1)
    assert found.met_at is None
    assert found.breached_at is None


def test_an_earlier_received_at_is_kept_and_a_later_one_is_not() -> None:
    story = Story()
    story.case = replace(story.case, received_at=at("24T09:30"))
    assert story.ack().started_at == at("24T09:30")
    story.case = replace(story.case, received_at=at("24T11:30"))
    assert story.ack().started_at == at("24T10:00")


def test_a_public_comment_of_the_consultancy_acknowledges() -> None:
    found = Story().comment("24T12:30").ack()
    assert (found.met_at, found.used_seconds, found.breached_at) == (at("24T12:30"), 9_000, None)


def test_an_outbound_mail_acknowledges() -> None:
    assert Story().row("24T12:00", "email").ack().met_at == at("24T12:00")


def test_leaving_new_acknowledges() -> None:
    assert Story().status("24T11:00", "Working").ack().met_at == at("24T11:00")


def test_a_case_taken_up_in_the_second_it_was_opened_is_acknowledged_then() -> None:
    found = Story().status("24T10:00", "Working").ack()
    assert (found.met_at, found.used_seconds) == (at("24T10:00"), 0)


def test_the_field_acknowledges() -> None:
    story = Story().comment("24T12:30")
    story.case = replace(story.case, acknowledged_at=at("24T11:15"))
    assert story.ack().met_at == at("24T11:15")


def test_the_first_human_act_counts_whatever_its_kind() -> None:
    assert Story().comment("24T12:30").status("24T11:00", "Working").row("24T13:00", "email").ack().met_at == at(
        "24T11:00"
    )


def test_automation_never_acknowledges() -> None:
    story = Story().row("24T10:00:05", "email", "bot@ours", service=True).status("24T10:01", "Working", service=True)
    assert story.ack("24T10:30").met_at is None
    assert story.comment("24T12:30").ack().met_at == at("24T12:30")


def test_the_clients_own_comment_does_not_acknowledge() -> None:
    assert Story().comment("24T10:05", "someone@client").ack("24T10:30").met_at is None


def test_a_change_that_the_org_does_not_attribute_counts_only_under_the_default_pattern() -> None:
    story = Story().comment("24T10:05", by="")
    assert story.ack("24T10:30").met_at is None
    story.policy = story.policy.model_copy(update={"consultant_usernames": ("*",)})
    assert story.ack("24T10:30").met_at == at("24T10:05")


def test_a_case_closed_unanswered_stops_its_clock_and_is_reported() -> None:
    story = Story().status("24T12:00", "Closed", service=True)
    outcome = story.evaluate()
    assert outcome.milestones[0].met_at == at("24T12:00")
    assert codes(outcome) == ["ClosedUnanswered"]
    assert codes(story.evaluate(previous=outcome.milestones)) == []


def test_a_closing_without_a_row_is_taken_from_the_record() -> None:
    story = Story()
    story.case = replace(story.case, status="Cancelled", is_closed=True, closed_at=at("24T12:00"))
    assert story.ack().met_at == at("24T12:00")


# --- breach ------------------------------------------------------------------------------------------------


def test_exactly_at_the_deadline_is_in_time_and_a_second_later_is_not() -> None:
    assert Story().comment("24T14:00").ack().breached_at is None
    late = Story().comment("24T14:00:01").ack()
    assert (late.breached_at, late.used_seconds) == (at("24T14:00"), 14_401)


def test_an_answer_outside_cover_after_a_due_time_at_closing_is_in_time() -> None:
    story = Story(created="24T14:00").comment("24T20:00")
    found = story.ack()
    assert (found.due_at, found.breach_at, found.breached_at) == (at("24T18:00"), at("25T09:00"), None)


def test_the_wall_basis_breaches_that_answer() -> None:
    assert Story(created="24T14:00", breach_basis="wall").comment("24T20:00").ack().breached_at == at("24T18:00")


def test_an_unanswered_case_is_breached_after_the_last_second_in_time() -> None:
    story = Story(created="24T14:00")
    flags = [story.evaluate(now).fields["breached"] for now in ("24T18:00", "25T09:00", "25T09:00:01")]
    assert flags == [False, False, True]
    assert story.ack("25T09:00:01").breached_at == at("25T09:00")


def test_a_late_sweep_records_the_computed_instant_and_a_second_one_says_nothing_new() -> None:
    first = Story().evaluate("25T02:00")
    assert first.milestones[0].breached_at == at("24T14:00")
    assert codes(first) == ["Breach"]
    second = Story().evaluate("26T02:00", first.milestones)
    assert second.milestones == first.milestones
    assert codes(second) == []
    assert second.fields == first.fields


def test_an_answer_after_a_breach_ends_the_clock_and_keeps_the_breach() -> None:
    story = Story()
    first = story.evaluate("24T15:00")
    found = story.comment("24T16:00").ack(previous=first.milestones)
    assert (found.met_at, found.used_seconds, found.breached_at) == (at("24T16:00"), 21_600, at("24T14:00"))


def test_a_breach_is_waived_with_a_reason_and_stays_a_breach() -> None:
    story = Story()
    found = waive(story.ack("24T15:00"), " agreed by phone ")
    assert found.waived_reason == "agreed by phone"
    outcome = story.comment("24T16:00").evaluate(previous=[found])
    assert outcome.milestones[0].waived_reason == "agreed by phone"
    assert outcome.fields["breached"] is True
    assert "Waived: agreed by phone." in str(outcome.fields["explained"])


def test_a_waiver_needs_a_breach_and_a_reason() -> None:
    with pytest.raises(ValueError, match="no recorded breach"):
        waive(Story().ack("24T11:00"), "why not")
    with pytest.raises(ValueError, match="needs a reason"):
        waive(Story().ack("24T15:00"), "  ")


def test_an_answer_in_time_that_was_read_late_withdraws_the_breach() -> None:
    story = Story()
    swept = story.evaluate("24T15:00")
    outcome = story.comment("24T13:50").evaluate("25T02:00", swept.milestones)
    assert outcome.milestones[0].breached_at is None
    assert codes(outcome) == ["BreachWithdrawn"]


# --- warnings and the sweep ----------------------------------------------------------------------------------


def test_warnings_are_at_their_share_of_the_target() -> None:
    story = Story(created="20T16:30")
    story.covers = {"9-18": cover("09:00", "18:00", holidays={date(2026, 11, 23): "Soberanía"})}
    found = story.ack("20T17:00")
    assert found.warn_at == ((50, at("24T09:30")), (75, at("24T10:30")), (90, at("24T11:06")))


def test_a_mark_falls_on_a_whole_second_rounded_down() -> None:  # 33 % of 61 minutes are 1207.8 seconds
    story = Story(plan(P1=("9-18", 61)), thresholds_pct=(33,))
    assert story.ack("24T10:00").warn_at == ((33, at("24T10:20:07")),)


def test_of_the_marks_that_have_passed_only_the_highest_is_told_and_once() -> None:
    story = Story()
    first = story.evaluate("24T13:10")
    assert [f.details["percent"] for f in first.findings] == [75]
    assert codes(story.evaluate("24T13:20", first.milestones)) == []
    third = story.evaluate("24T13:36", first.milestones)
    assert [f.details["percent"] for f in third.findings] == [90]


def test_nothing_is_warned_of_once_answered_or_breached() -> None:
    assert codes(Story().comment("24T13:50").evaluate()) == []
    assert codes(Story().evaluate("24T15:00")) == ["Breach"]


def test_the_status_goes_from_on_track_to_at_risk_to_breached() -> None:
    story = Story()
    seen = [story.evaluate(now).fields["sla_status"] for now in ("24T10:00", "24T12:59", "24T13:00", "24T14:01")]
    assert seen == ["On track", "On track", "At risk", "Breached"]
    assert story.comment("24T14:30").evaluate().fields["sla_status"] == "Breached"
    assert Story().comment("24T13:30").evaluate().fields["sla_status"] == "Met"


def test_the_sweep_is_asked_for_at_each_mark_and_one_second_after_the_last_in_time() -> None:
    story, now, previous, asked = Story(), "24T10:00", (), []
    while True:
        outcome = story.evaluate(now, previous)
        if outcome.next_due_at is None:
            break
        asked.append(outcome.next_due_at)
        now = outcome.next_due_at.astimezone(COVERS["9-18"].local(outcome.next_due_at).tzinfo).strftime("%dT%H:%M:%S")
        previous = outcome.milestones
    assert asked == [at("24T12:00"), at("24T13:00"), at("24T13:36"), at("24T14:00:01")]
    assert previous[0].breached_at is None
    assert outcome.milestones[0].breached_at == at("24T14:00")


def test_between_two_asked_instants_the_fields_do_not_change() -> None:
    story = Story()
    for since, until in (("24T10:00", "24T11:59:59"), ("24T12:00", "24T12:59:59"), ("24T13:36", "24T14:00")):
        assert story.evaluate(since).fields == story.evaluate(until).fields


def test_a_stopped_or_breached_clock_asks_for_nothing() -> None:
    assert Story().comment("24T11:00").evaluate("24T11:30").next_due_at is None
    assert Story().evaluate("24T15:00").next_due_at is None
    assert next_due_at([], at("24T15:00")) is None


def test_a_stored_clock_tells_by_itself_whether_it_is_breached() -> None:
    found = Story().ack("24T11:00")
    assert [breached(found, at(now)) for now in ("24T14:00", "24T14:00:01")] == [False, True]


# --- fields -----------------------------------------------------------------------------------------------------------


def test_the_case_shows_its_newest_cycle_and_any_breach_of_the_past() -> None:
    story = Story().comment("24T15:00").status("25T12:00", "Closed").status("26T10:00", "Reopened", "x@client")
    fields = story.evaluate("26T10:30").fields
    assert (fields["due_at"], fields["met_at"], fields["sla_status"]) == (at("26T14:00"), None, "On track")
    assert fields["breached"] is True
    assert fields["target_minutes"] == 240
