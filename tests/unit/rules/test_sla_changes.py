"""What moves a due time: pauses, changes of priority, reopening; read from history in any order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sfsync.rules.history import ordered, read_history
from tests.unit.rules.stories import (
    COVERS,
    PLATINUM,
    RESOLVING,
    Story,
    at,
    codes,
    plan,
)

# --- pauses ----------------------------------------------------------------------------------------------------


def test_a_pause_moves_the_due_time_by_its_cover_seconds() -> None:
    story = Story(RESOLVING, created="24T10:00").status("24T11:00", "Waiting on Client").status("25T15:00", "Working")
    found = story.resolution()
    assert (found.due_at, found.paused_seconds) == (at("26T18:00"), 57_600)


def test_every_pause_counts_and_one_outside_cover_changes_nothing() -> None:
    story = Story(RESOLVING, created="24T08:00")
    for since, until in (("24T09:00", "24T10:00"), ("24T12:00", "24T15:00"), ("24T20:00", "25T08:00")):
        story.status(since, "Waiting on Client").status(until, "Working")
    found = story.resolution()
    assert (found.due_at, found.paused_seconds) == (at("25T16:00"), 14_400)


def test_a_pause_after_the_due_time_does_not_move_it() -> None:
    story = Story(RESOLVING, created="24T08:00").status("25T12:00", "Waiting on Client").status("25T13:00", "Working")
    found = story.resolution("25T13:30")
    assert found.due_at == at("25T12:00")
    assert found.breach_at == found.breached_at == at("25T13:00")


def test_a_case_resolved_straight_from_a_pause_closes_the_pause_first() -> None:
    story = Story(RESOLVING, created="24T08:00").status("24T18:00", "Waiting on Client").status("26T12:00", "Closed")
    found = story.resolution()
    assert (found.met_at, found.used_seconds, found.breached_at) == (at("26T12:00"), 36_000, None)


def test_a_case_resolved_with_its_pause_still_ticked_closes_the_pause_first() -> None:
    story = Story(RESOLVING, created="24T08:00").set("24T18:00", "paused", "True").status("26T12:00", "Closed")
    found = story.resolution()
    assert (found.met_at, found.used_seconds, found.breached_at) == (at("26T12:00"), 36_000, None)


def test_a_pause_over_a_change_of_priority_is_subtracted_once() -> None:
    story = (
        Story(RESOLVING, created="24T08:00").status("24T10:00", "Waiting on Client").set("24T11:00", "priority", "P3")
    )
    found = story.status("24T12:00", "Working").status("24T15:00", "Closed").resolution()
    assert (found.used_seconds, found.paused_seconds) == (5 * 3600, 2 * 3600)


def test_a_paused_clock_is_due_as_if_it_ran_on_and_neither_warns_nor_breaches() -> None:
    story = Story(RESOLVING, created="24T08:00").status("24T10:00", "Waiting on Client")
    outcome = story.evaluate("30T12:00")
    found = next(m for m in outcome.milestones if m.clock == "resolution")
    assert (found.paused_since, found.due_at, found.breached_at) == (at("24T10:00"), at("25T12:00"), None)
    assert [f for f in outcome.findings if f.details.get("clock") == "resolution"] == []
    assert story.evaluate("30T18:00", outcome.milestones).milestones == outcome.milestones


def test_a_breach_before_a_pause_is_a_breach() -> None:
    story = Story(RESOLVING, created="24T08:00").status("26T10:00", "Waiting on Client")
    assert story.resolution().breached_at == at("25T12:00")


def test_the_checkbox_pauses_the_resolution_clock_too() -> None:
    story = Story(RESOLVING, created="24T08:00").comment("24T08:30").set("24T09:00", "paused", "true")
    story.case = replace(story.case, paused=True)
    assert story.resolution("24T12:00").paused_since == at("24T09:00")
    story.set("24T11:00", "paused", "false")
    story.case = replace(story.case, paused=False)
    assert story.resolution("24T12:00").paused_seconds == 7_200


def test_a_pause_by_status_and_by_checkbox_at_once_counts_once() -> None:
    story = (
        Story(RESOLVING, created="24T08:00").status("24T09:00", "Waiting on Client").set("24T10:00", "paused", "true")
    )
    story.status("24T11:00", "Working").set("24T12:00", "paused", "false")
    story.case = replace(story.case, paused=False)
    assert story.resolution("24T13:00").paused_seconds == 3 * 3600


def test_the_acknowledgement_clock_has_no_pause_statuses_by_default() -> None:
    found = Story().status("24T11:00", "Waiting on Client", "someone@client").ack("24T12:00")
    assert (found.due_at, found.paused_since) == (at("24T14:00"), None)


def test_a_configured_status_pauses_the_acknowledgement_clock_and_does_not_acknowledge() -> None:
    story = (
        Story(ack_pause_statuses=("Info Missing",))
        .status("24T11:00", "Info Missing")
        .status("24T16:00", "New", "x@client")
    )
    found = story.ack("24T16:30")
    assert (found.met_at, found.due_at, found.paused_seconds) == (None, at("25T10:00"), 18_000)
    paused = Story(ack_pause_statuses=("Info Missing",)).status("24T11:00", "Info Missing")
    assert paused.evaluate("26T10:00").fields["sla_status"] == "Paused"


def test_the_checkbox_pauses_the_acknowledgement_clock_only_where_it_is_named() -> None:
    for statuses, due in (((), "24T14:00"), (("Paused",), "24T15:00")):
        story = Story(ack_pause_statuses=statuses).set("24T11:00", "paused", "true").set("24T12:00", "paused", "false")
        story.case = replace(story.case, paused=False)
        assert story.ack("24T12:30").due_at == at(due)


def test_one_cause_follows_another_and_both_are_told() -> None:
    story = (
        Story(RESOLVING, created="24T08:00")
        .status("24T09:00", "Waiting on Client")
        .status("24T10:00", "Awaiting Approval")
    )
    story.status("24T12:00", "Working")
    reckoning = next(r for r in story.evaluate().reckonings if r.milestone.clock == "resolution")
    assert [(p.cause, p.since) for p in reckoning.pauses] == [
        ("Waiting on Client", at("24T09:00")),
        ("Awaiting Approval", at("24T10:00")),
    ]
    assert reckoning.milestone.paused_seconds == 3 * 3600


# --- the order of history -----------------------------------------------------------------------------------


def test_rows_count_once_and_in_order_however_they_come() -> None:
    story = Story(RESOLVING, created="24T08:00").status("24T09:00", "Waiting on Client").status("24T10:00", "Working")
    story.set("24T10:30", "priority", "P3").comment("24T11:00").status("24T12:00", "Closed")
    straight = story.evaluate()
    shuffled = story.evaluate(rows=[*reversed(story.rows), *story.rows])
    assert shuffled == straight


def test_rows_of_one_instant_follow_their_old_and_new_values() -> None:
    story = Story()
    story.row("24T10:00", "field", field="status", old="Working", new="Closed")
    story.row("24T10:00", "field", field="status", old="New", new="Working")
    assert [row.new for row in ordered(story.rows)] == ["Working", "Closed"]


def test_of_the_rows_of_one_instant_the_one_that_leaves_the_value_in_force_is_first() -> None:
    story = Story(RESOLVING).status("24T11:00", "Waiting on Client")
    story.case = replace(story.case, status="Waiting on Client")
    story.row("24T12:00", "field", field="status", old="Working", new="Waiting on Client")
    story.row("24T12:00", "field", field="status", old="Waiting on Client", new="Working")
    assert [row.new for row in ordered(story.rows)][1:] == ["Working", "Waiting on Client"]
    assert story.resolution().paused_since == at("24T12:00")
    assert story.status("24T13:00", "Working").resolution().paused_seconds == 2 * 3600


def test_a_row_older_than_the_case_counts_from_its_beginning() -> None:
    assert Story().status("24T09:59:58", "Working").ack().met_at == at("24T10:00")
    assert Story().comment("24T09:59:58").ack().met_at == at("24T10:00")
    paused = Story(RESOLVING).status("24T09:00", "Waiting on Client").status("24T11:00", "Working")
    assert paused.resolution().paused_seconds == 3_600


def test_equal_statuses_collapse() -> None:
    story = (
        Story(RESOLVING)
        .status("24T11:00", "Waiting on Client")
        .row("24T12:00", "field", field="status", old="Waiting on Client", new="Waiting on Client")
    )
    history = read_history(story.case, story.rows, story.policy)
    assert [step.value for step in history.status] == ["New", "Waiting on Client"]


def test_an_unknown_priority_is_read_as_the_default() -> None:
    assert Story(priority="Urgent!").ack().priority == "P4"
    story = Story()
    story.case = replace(story.case, priority=None)
    assert story.ack().priority == "P4"


# --- priority changes ----------------------------------------------------------------------------------------


def test_an_upgrade_early_is_due_a_new_target_after_the_change() -> None:
    found = (
        Story(plan(P1=("8-20", 120), P3=("8-20", 240)), "P3", "24T09:00")
        .set("24T09:30", "priority", "P1")
        .ack("24T10:00")
    )
    assert (found.due_at, found.priority, found.target_seconds) == (at("24T11:30"), "P1", 7_200)


def test_an_upgrade_late_keeps_the_old_due_time() -> None:
    found = (
        Story(plan(P1=("8-20", 120), P3=("8-20", 240)), "P3", "24T09:00")
        .set("24T12:00", "priority", "P1")
        .ack("24T12:30")
    )
    assert found.due_at == at("24T13:00")


def test_an_upgrade_never_breaches_by_itself() -> None:
    two = plan(P1=("8-20", 120), P3=("8-20", 240))
    for minute in range(0, 241, 7):
        when = (at("24T09:00") + timedelta(minutes=minute)).astimezone(COVERS["8-20"].local(at("24T09:00")).tzinfo)
        story = Story(two, "P3", "24T09:00").set(when.strftime("%dT%H:%M"), "priority", "P1")
        assert story.ack(when.strftime("%dT%H:%M")).breached_at is None


def test_an_upgrade_to_round_the_clock_runs_from_the_change() -> None:
    found = Story(PLATINUM, "P2", "27T19:40").set("27T21:00", "priority", "P1").ack("27T21:30")
    assert found.due_at == at("27T22:00")


def test_an_upgrade_at_night_after_a_due_time_at_closing_breaches_by_the_new_clock() -> None:
    story = Story(PLATINUM, "P2", "27T19:00").set("27T21:00", "priority", "P1")
    found = story.ack("27T21:30")
    assert (found.due_at, found.breach_at) == (at("27T20:00"), at("27T22:00"))
    assert story.ack("27T22:00:01").breached_at == at("27T22:00")


def test_a_downgrade_before_the_breach_counts_the_new_target_from_creation() -> None:
    found = Story(plan(P1=("8-20", 120), P3=("8-20", 240))).set("24T11:00", "priority", "P3").ack("24T11:30")
    assert (found.due_at, found.priority) == (at("24T14:00"), "P3")


def test_a_downgrade_never_tightens_what_an_upgrade_left() -> None:
    three = plan(P1=("8-20", 240), P2=("8-20", 300), P3=("8-20", 540))
    story = Story(three, "P3", "24T09:00").set("24T15:00", "priority", "P1").set("24T15:30", "priority", "P2")
    assert story.ack("24T16:00").due_at == at("24T18:00")


def test_an_upgrade_taken_back_restores_the_first_due_time() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240)), "P3", "24T09:00")
    story.set("24T09:30", "priority", "P1").set("24T09:40", "priority", "P3")
    assert story.ack("24T10:00").due_at == at("24T13:00")


def test_a_change_between_equal_promises_moves_nothing() -> None:
    found = Story(priority="P2").set("24T12:00", "priority", "P3").ack("24T12:30")
    assert (found.due_at, found.priority) == (at("25T10:00"), "P3")


def test_retroactive_mode_may_be_breached_when_the_change_is_saved() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240)), "P3", "24T09:00", priority_change="retroactive")
    found = story.set("24T12:00", "priority", "P1").ack("24T12:00")
    assert found.due_at == found.breached_at == at("24T11:00")


def test_restart_mode_gives_the_full_new_target_from_the_change() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240)), "P3", "24T09:00", priority_change="restart")
    assert story.set("24T12:00", "priority", "P1").ack("24T12:30").due_at == at("24T14:00")


def test_a_breach_survives_a_downgrade_without_any_memory_of_it() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240))).set("24T12:30", "priority", "P3")
    found = story.ack("24T13:00")
    assert (found.due_at, found.breached_at, found.priority) == (at("24T12:00"), at("24T12:00"), "P1")


def test_a_change_in_the_last_second_in_time_still_counts() -> None:
    two = plan(P1=("8-20", 120), P3=("8-20", 240))
    assert Story(two).set("24T12:00", "priority", "P3").ack("24T13:00").due_at == at("24T14:00")
    assert Story(two).set("24T12:00:01", "priority", "P3").ack("24T13:00").due_at == at("24T12:00")


def test_a_mark_that_was_told_and_moved_is_not_asked_for_again() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240)))
    told = story.evaluate("24T11:10")
    assert [f.details["percent"] for f in told.findings] == [50]
    moved = story.set("24T11:15", "priority", "P3").evaluate("24T11:20", told.milestones)
    assert dict(moved.milestones[0].warn_at)[50] == at("24T12:00")
    assert moved.next_due_at == at("24T13:00")


def test_a_change_between_answer_and_due_time_touches_nothing() -> None:
    story = Story(plan(P1=("8-20", 60), P3=("8-20", 240)), "P3", "24T09:00").comment("24T10:00")
    before = story.ack()
    assert story.set("24T10:30", "priority", "P1").ack() == before


def test_a_change_after_the_answer_touches_nothing() -> None:
    story = Story(plan(P1=("8-20", 60), P3=("8-20", 240)), "P3", "24T09:00").comment("24T10:00")
    before = story.ack()
    assert story.set("24T15:00", "priority", "P1").ack() == before


def test_a_downgrade_before_the_recorded_breach_that_was_read_late_withdraws_it() -> None:
    story = Story(plan(P1=("8-20", 120), P3=("8-20", 240)))
    swept = story.evaluate("24T12:30")
    assert swept.milestones[0].breached_at == at("24T12:00")
    outcome = story.set("24T11:00", "priority", "P3").evaluate("24T13:00", swept.milestones)
    assert (outcome.milestones[0].breached_at, outcome.milestones[0].due_at) == (None, at("24T14:00"))
    assert "BreachWithdrawn" in codes(outcome)


def test_a_pause_before_the_recorded_breach_that_was_read_late_withdraws_it() -> None:
    story = Story(RESOLVING, created="24T08:00").comment("24T08:30")
    swept = story.evaluate("25T13:00")
    assert next(m for m in swept.milestones if m.clock == "resolution").breached_at == at("25T12:00")
    story.status("24T10:00", "Waiting on Client").status("24T15:00", "Working")
    outcome = story.evaluate("25T13:30", swept.milestones)
    assert next(m for m in outcome.milestones if m.clock == "resolution").breached_at is None


def test_a_priority_without_a_target_has_no_clock_until_it_gets_one() -> None:
    only = plan(P1=("8-20", 120))
    assert Story(only, "P3").evaluate().milestones == ()
    found = Story(only, "P3", "24T09:00").set("24T12:00", "priority", "P1").ack("24T12:30")
    assert found.due_at == at("24T14:00")


# --- cycles ----------------------------------------------------------------------------------------------------


def test_reopening_by_the_client_starts_a_second_cycle_and_keeps_the_first() -> None:
    story = Story().comment("24T10:30").status("25T12:00", "Closed")
    first = story.evaluate("25T13:00")
    story.status("30T17:00", "Working", "someone@client")
    outcome = story.evaluate("30T17:05", first.milestones)
    one, two = outcome.milestones
    assert one == first.milestones[0]
    assert (two.cycle, two.started_at, two.due_at) == (2, at("30T17:00"), at("30T09:00") + timedelta(days=1, hours=3))
    assert "Reopened" in codes(outcome)


def test_a_misclick_of_a_consultant_undone_in_time_starts_no_cycle() -> None:
    story = Story().comment("24T10:30").status("25T12:00", "Closed").status("25T12:15", "Working")
    assert len(story.evaluate().milestones) == 1
    slow = Story().comment("24T10:30").status("25T12:00", "Closed").status("25T12:15:01", "Working")
    assert len(slow.evaluate().milestones) == 2


def test_a_client_who_reopens_at_once_starts_a_cycle() -> None:
    story = Story().comment("24T10:30").status("25T12:00", "Closed").status("25T12:01", "Working", "someone@client")
    assert len(story.evaluate().milestones) == 2


def test_no_second_cycle_where_the_contract_has_none() -> None:
    story = Story(reopen="none").comment("24T10:30").status("25T12:00", "Closed").status("26T12:00", "New", "x@client")
    assert len(story.evaluate().milestones) == 1


def test_moving_a_reopened_case_on_acknowledges_its_cycle() -> None:
    story = Story().comment("24T10:30").status("25T12:00", "Closed").status("26T10:00", "Reopened", "x@client")
    assert story.ack("26T11:00").met_at is None
    assert story.status("26T11:30", "Working").ack("26T12:00").met_at == at("26T11:30")


def test_the_field_used_again_for_the_second_cycle_leaves_the_first_as_recorded() -> None:
    story = Story()
    story.case = replace(story.case, acknowledged_at=at("24T10:30"))
    first = story.evaluate("24T11:00")
    story.status("25T12:00", "Closed", service=True).status("26T10:00", "New", "x@client")
    story.case = replace(story.case, acknowledged_at=at("26T10:45"))
    one, two = story.evaluate("26T11:00", first.milestones).milestones
    assert one == first.milestones[0]
    assert two.met_at == at("26T10:45")


def test_the_resolution_clock_continues_after_reopening_without_the_closed_time() -> None:
    story = Story(RESOLVING, created="24T10:00").status("24T14:00", "Closed").status("26T10:00", "Working", "x@client")
    found = story.resolution()
    assert (found.cycle, found.due_at, found.paused_seconds) == (1, at("27T10:00"), 72_000)
