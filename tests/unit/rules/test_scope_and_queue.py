"""What pays for work, how urgent a request is, and in which order work is taken up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.mapping import load_plans
from sfsync.policy import Policy
from sfsync.records import Category, Pack, PackStatus, Priority
from sfsync.rules.queue import Waiting, lane_of, queue_order
from sfsync.rules.scope import ACTIVITIES, EXCLUDED, INCLUDED, WORK_TYPES, Funding, Scope, decide_scope, priority_of

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def scope(work: str, *, sla: bool = False, pack: bool = False, minutes: int | None = None, **policy: int) -> Scope:
    return decide_scope(
        work, has_sla=sla, has_pack=pack, policy=Policy.model_validate(policy), estimated_minutes=minutes
    )


def test_there_are_four_categories_of_five_activities_and_no_two_share_a_name() -> None:
    assert {category: len(names) for category, names in ACTIVITIES.items()} == dict.fromkeys(Category, 5)
    assert len(WORK_TYPES) == 20 + len(INCLUDED) + len(EXCLUDED)


@pytest.mark.parametrize("work", [*INCLUDED, *(name for names in ACTIVITIES.values() for name in names)])
def test_work_that_the_plan_includes_never_consumes_a_pack(work: str) -> None:
    assert scope(work, sla=True, pack=True).funding is Funding.INCLUDED


@pytest.mark.parametrize("work", list(EXCLUDED))
def test_new_work_is_offered_from_the_pack_before_a_quote(work: str) -> None:
    found = scope(work, sla=True, pack=True)
    assert (found.funding, found.fallback) == (Funding.PACK_WITH_ESTIMATE, Funding.QUOTE)
    assert scope(work, sla=True).funding is Funding.QUOTE


def test_adapting_what_exists_is_pack_work() -> None:
    found = scope("adapt_integration", pack=True)
    assert (found.funding, found.category) == (Funding.PACK, Category.ADAPTIVE)


def test_without_a_contract_everything_needs_a_quote() -> None:
    assert {scope(work).funding for work in WORK_TYPES} == {Funding.QUOTE}


def test_a_contract_may_bound_what_a_simple_evolution_is() -> None:
    bound = {"simple_evolution_max_minutes": 240}
    assert scope("simple_evolution", sla=True, minutes=240, **bound).funding is Funding.INCLUDED
    found = scope("simple_evolution", sla=True, pack=True, minutes=241, **bound)
    assert (found.funding, str(found.reason)) == (
        Funding.PACK_WITH_ESTIMATE,
        "An evolution above 4.00 h is an additional service.",
    )
    assert scope("incident", sla=True, minutes=9999, **bound).funding is Funding.INCLUDED


def test_every_decision_has_a_reason() -> None:
    for work in WORK_TYPES:
        for sla in (True, False):
            for pack in (True, False):
                assert str(scope(work, sla=sla, pack=pack).reason).endswith(".")


def test_names_are_read_as_people_write_them() -> None:
    assert scope("New Development", sla=True).work_type == "new_development"
    assert scope("external-integration", sla=True).work_type == "new_integration"
    with pytest.raises(ValueError, match="no kind of work is called 'gardening'"):
        scope("gardening")


def test_the_most_urgent_answer_decides_the_priority() -> None:
    assert priority_of(["question"]) is Priority.P4
    assert priority_of(["question", "essential_function_affected", "minor_problem"]) is Priority.P2
    with pytest.raises(ValueError, match="not sunshine"):
        priority_of(["data_loss", "sunshine"])
    with pytest.raises(ValueError, match="not nothing"):
        priority_of([])


def waiting(case: str, priority: str = "P3", due: int | None = 10, lane: int | None = 3, age: int = 0) -> Waiting:
    due_at = None if due is None else START + timedelta(hours=due)
    return Waiting(case, priority, due_at, lane, START - timedelta(hours=age))


def order(*cases: Waiting) -> list[str]:
    assert queue_order(reversed(cases)) == queue_order(cases)
    return [one.case for one in queue_order(cases)]


def test_p1_comes_first_then_due_time_then_lane_then_age() -> None:
    assert order(waiting("late", "P1", 99), waiting("soon", "P3", 1)) == ["late", "soon"]
    assert order(waiting("p2", "P2", 5), waiting("p4", "P4", 1)) == ["p4", "p2"]
    assert order(waiting("starter", lane=3), waiting("pro", lane=1)) == ["pro", "starter"]
    assert order(waiting("new", age=1), waiting("old", age=2)) == ["old", "new"]


def test_cases_without_a_target_or_a_pack_come_after_those_with_one() -> None:
    assert order(waiting("none", due=None), waiting("late", due=99)) == ["late", "none"]
    assert order(waiting("no pack", lane=None), waiting("starter")) == ["starter", "no pack"]


def test_the_best_active_pack_gives_the_lane() -> None:
    plans = load_plans().packs
    packs = [
        Pack(key="1", plan="Starter", status=PackStatus.ACTIVE),
        Pack(key="2", plan="Flexi", status=PackStatus.ACTIVE),
        Pack(key="3", plan="Pro", status=PackStatus.EXPIRED),
        Pack(key="4", plan="Courtesy", status=PackStatus.ACTIVE),
    ]
    assert lane_of(packs, plans) == 2
    assert lane_of(packs[2:], plans) is None
