"""The clocks of a case: what starts and stops them, what moves a due time, what stays recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sfsync.errors import PolicyError
from sfsync.policy import ClientTerms, Plans, Policy, SlaPlan, Target, Window
from sfsync.records import Case, CaseEvent, Milestone
from sfsync.rules.calendar import WEEKDAYS, Calendar
from sfsync.rules.history import ordered, read_history
from sfsync.rules.sla import NOT_APPLICABLE, SlaOutcome, breached, evaluate_case, next_due_at, waive

ZONE = "America/Argentina/Buenos_Aires"
WEEK = WEEKDAYS[:5]


def at(text: str) -> datetime:
    """Return an instant written as day and Argentine time: ``24T10:00`` of November 2026."""
    return datetime.fromisoformat(f"2026-11-{text}-03:00").astimezone(UTC)


def cover(open_: str, close: str, days: Sequence[Any] = WEEK, **more: Any) -> Calendar:
    return Calendar({day: (Window(open=open_, close=close),) for day in days}, ZONE, label=f"{open_}-{close}", **more)


COVERS = {"9-18": cover("09:00", "18:00"), "8-20": cover("08:00", "20:00"), "24x7": cover("00:00", "24:00", WEEKDAYS)}


def plan(**targets: tuple[str, int] | tuple[str, int, int]) -> SlaPlan:
    """Return a plan of P1=(cover, minutes[, minutes to resolve])."""
    return SlaPlan(
        name="Silver",
        channels=("Portal", "Email"),
        targets={
            priority: Target(cover=t[0], acknowledge_minutes=t[1], resolve_minutes=t[2] if len(t) > 2 else None)
            for priority, t in targets.items()
        },
    )


SILVER = plan(P1=("9-18", 240), P2=("9-18", 540), P3=("9-18", 540), P4=("9-18", 540))
PLATINUM = plan(P1=("24x7", 60), P2=("8-20", 60))
RESOLVING = plan(P1=("8-20", 120, 960), P3=("8-20", 240, 960))


class Story:
    """A case told step by step, evaluated as the nightly run would."""

    def __init__(
        self, promised: SlaPlan = SILVER, priority: str = "P1", created: str = "24T10:00", **policy: Any
    ) -> None:
        self.plan = promised
        self.policy = Policy(consultant_usernames=("*@ours",), **policy)
        self.case = Case(key="ca1", created_at=at(created), status="New", priority=priority)
        self.rows: list[CaseEvent] = []
        self.covers = COVERS

    def row(self, when: str, kind: str, by: str = "ana@ours", *, service: bool = False, **change: Any) -> Story:
        event = CaseEvent(
            case="ca1",
            event_id=f"{len(self.rows):03}",
            kind=kind,
            field=change.get("field", ""),
            old=change.get("old"),
            new=change.get("new"),
            at=at(when),
            by=by,
            by_service=service,
        )
        self.rows.append(event)
        return self

    def set(self, when: str, name: str, new: str, by: str = "ana@ours", **more: Any) -> Story:
        """Change a field now: history row and record."""
        old = getattr(self.case, name)
        self.case = replace(self.case, **{name: new})
        return self.row(when, "field", by, field=name, old=str(old), new=new, **more)

    def status(self, when: str, new: str, by: str = "ana@ours", **more: Any) -> Story:
        return self.set(when, "status", new, by, **more)

    def comment(self, when: str, by: str = "ana@ours", **more: Any) -> Story:
        return self.row(when, "comment", by, **more)

    def evaluate(self, now: str = "30T12:00", previous: Sequence[Milestone] = (), **more: Any) -> SlaOutcome:
        return evaluate_case(
            self.case,
            more.pop("rows", self.rows),
            terms=more.pop(
                "terms", ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="silver", policy=self.policy)
            ),
            plans=more.pop("plans", plans(self.plan)),
            covers=self.covers,
            previous=previous,
            now=at(now),
            **more,
        )

    def ack(self, now: str = "30T12:00", previous: Sequence[Milestone] = ()) -> Milestone:
        return next(m for m in reversed(self.evaluate(now, previous).milestones) if m.clock == "ack")

    def resolution(self, now: str = "30T12:00") -> Milestone:
        return next(m for m in self.evaluate(now).milestones if m.clock == "resolution")


def plans(silver: SlaPlan, **others: SlaPlan) -> Plans:
    return Plans(packs={}, covers={}, sla={}).model_copy(update={"sla": {"silver": silver, **others}})


def codes(outcome: SlaOutcome) -> list[str]:
    return [finding.code for finding in outcome.findings]


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


def with_holiday(story: Story, *days: int) -> None:
    story.covers = {"9-18": cover("09:00", "18:00", holidays={date(2026, 11, day): "decreed" for day in days})}


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


# --- fields -----------------------------------------------------------------------------------------------------------


def test_the_case_shows_its_newest_cycle_and_any_breach_of_the_past() -> None:
    story = Story().comment("24T15:00").status("25T12:00", "Closed").status("26T10:00", "Reopened", "x@client")
    fields = story.evaluate("26T10:30").fields
    assert (fields["due_at"], fields["met_at"], fields["sla_status"]) == (at("26T14:00"), None, "On track")
    assert fields["breached"] is True
    assert fields["target_minutes"] == 240
