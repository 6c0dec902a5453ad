"""Figures over many cases: the mean beside compliance, and other modes simulated on past cases."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from sfsync.policy import ClientTerms
from sfsync.records import Milestone
from sfsync.rules.sla import waive
from sfsync.rules.sla_report import acknowledgements
from sfsync.rules.sla_simulate import PastCase, moved_deadlines, simulate, variants_of
from tests.unit.rules.stories import COVERS, SILVER, ZONE, Story, at, plan, plans, with_holiday


def answered(*minutes: int) -> list[Milestone]:
    return [Story().comment(f"24T{10 + m // 60:02d}:{m % 60:02d}").ack() for m in minutes]


def test_the_mean_may_keep_the_target_while_a_case_does_not() -> None:
    figures = acknowledgements(answered(30, 60, 330))["P1"]
    assert (figures.answered, figures.in_time, figures.breached) == (3, 2, 1)
    assert (figures.mean_minutes, figures.mean_within_target) == (140, True)
    assert figures.compliance_pct == Decimal("66.67")


def test_the_mean_is_rounded_to_the_nearest_minute() -> None:
    assert acknowledgements(answered(10, 11))["P1"].mean_minutes == 11
    assert acknowledgements(answered(10, 10, 11))["P1"].mean_minutes == 10


def test_a_mean_exactly_at_the_target_keeps_it_and_a_minute_more_does_not() -> None:
    assert acknowledgements(answered(240, 240))["P1"].mean_within_target is True
    assert acknowledgements(answered(240, 242))["P1"].mean_within_target is False


def test_unanswered_cases_count_as_breached_or_waiting_and_never_in_the_mean() -> None:
    waiting, late = Story().ack("24T11:00"), Story().ack("24T15:00")
    figures = acknowledgements([waiting, late])["P1"]
    assert (figures.waiting, figures.breached, figures.answered) == (1, 1, 0)
    assert (figures.mean_minutes, figures.mean_within_target) == (None, None)
    assert figures.compliance_pct == Decimal("0.00")
    assert acknowledgements([waiting])["P1"].compliance_pct is None


def test_a_deleted_case_is_in_no_figure() -> None:
    story = Story()
    before = story.evaluate("24T11:00").milestones
    story.case = replace(story.case, deleted=True)
    dropped = story.evaluate("24T12:00", before).milestones
    figures = acknowledgements([*dropped, *answered(30)])["P1"]
    assert (figures.answered, figures.in_time, figures.waiting, figures.mean_minutes) == (1, 1, 0, 30)


def test_a_waived_breach_is_counted_as_both() -> None:
    figures = acknowledgements([waive(Story().ack("24T15:00"), "agreed")])["P1"]
    assert (figures.breached, figures.waived) == (1, 1)


def test_priorities_are_counted_apart_and_resolution_not_at_all() -> None:
    milestones = [*Story().comment("24T11:00").evaluate().milestones, Story(priority="P3").ack("24T11:00")]
    milestones.append(replace(milestones[0], clock="resolution"))
    assert {p: f.answered + f.waiting for p, f in acknowledgements(milestones).items()} == {"P1": 1, "P3": 1}


def terms(**policy: Any) -> ClientTerms:
    return ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="silver", policy=Story(**policy).policy)


def past(story: Story, key: str, **evaluated: Any) -> PastCase:
    case = replace(story.case, key=key)
    milestones = [replace(m, case=key) for m in story.evaluate(**evaluated).milestones] if evaluated else []
    return PastCase(case, [replace(row, case=key) for row in story.rows], milestones)


def test_the_alternatives_are_every_other_mode_on_its_own() -> None:
    assert list(variants_of(terms())) == [
        "present",
        "breach_basis=wall",
        "priority_change=retroactive",
        "priority_change=restart",
        "business_day_mode=end_of_next_business_day",
        "business_day_mode=same_time_next_business_day",
    ]
    assert "breach_basis=elapsed" in variants_of(terms(breach_basis="wall"))


def test_a_simulation_names_the_cases_another_mode_would_breach_or_save() -> None:
    two = plan(P1=("8-20", 120), P3=("8-20", 240))
    upgraded = Story(two, "P3", "24T09:00").set("24T12:00", "priority", "P1").comment("24T12:30")
    restarted = Story(two, "P3", "24T09:00").set("24T12:30", "priority", "P1").comment("24T13:30")
    rows = simulate(
        [past(upgraded, "a"), past(restarted, "b")],
        variants=variants_of(terms()),
        plans=plans(two),
        covers=COVERS,
        now=at("30T12:00"),
    )
    found = {row.variant: (row.figures.breached, row.newly_breached, row.no_longer_breached) for row in rows}
    assert found["present"] == (1, (), ())
    assert found["priority_change=retroactive"] == (2, ("a",), ())
    assert found["priority_change=restart"] == (0, (), ("b",))
    assert found["breach_basis=wall"] == (1, (), ())


def test_a_simulation_shows_what_the_wall_basis_costs() -> None:
    evening = Story(created="24T14:00").comment("24T20:00")
    rows = simulate(
        [past(evening, "a")], variants=variants_of(terms()), plans=plans(SILVER), covers=COVERS, now=at("30T12:00")
    )
    assert next(row for row in rows if row.variant == "breach_basis=wall").newly_breached == ("a",)


def test_a_preview_lists_open_deadlines_that_a_new_calendar_would_move_and_no_closed_ones() -> None:
    open_case, closed = Story(created="20T16:30"), Story(created="20T16:30").comment("20T17:00")
    cases = [past(open_case, "a", now="21T10:00"), past(closed, "b", now="21T10:00")]
    with_holiday(open_case, 23)
    (moved,) = moved_deadlines(cases, terms=terms(), plans=plans(SILVER), covers=open_case.covers, now=at("21T10:00"))
    assert (moved.case, moved.old_due_at, moved.new_due_at) == ("a", at("23T11:30"), at("24T11:30"))
