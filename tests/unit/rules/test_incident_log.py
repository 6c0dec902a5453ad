"""A real service desk under our plans: every incident evaluated, and the figures found again without our code."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise

import businesstimedelta
import pytest
import pytz

from sfsync.calendar_source import listed_holidays
from sfsync.mapping import load_plans
from sfsync.policy import HolidayChoice
from sfsync.rules.sla import SlaOutcome, evaluate_case
from sfsync.rules.sla_explain import derive
from sfsync.rules.sla_report import acknowledgements
from sfsync.rules.sla_simulate import PastCase, simulate, variants_of
from tests.unit.rules.incident_log import (
    LOG,
    NOW,
    PLANS,
    ZONE,
    calendars,
    evaluate,
    incidents,
    instant,
    table,
    terms,
    twenty,
)

pytestmark = pytest.mark.skipif(
    not LOG.exists(), reason="the service desk's event log is third-party data and lies beside the project, not in it"
)


@cache
def evaluated(plan: str) -> list[tuple[PastCase, SlaOutcome]]:
    plans = load_plans()
    covers = calendars(plans)
    return [(past, evaluate(past, plan, plans, covers)) for past in incidents()]


@cache
def hours(opens: int, closes: int) -> businesstimedelta.Rules:
    """Return a cover as the other library knows it, with Argentina's holidays."""
    zone = pytz.timezone(ZONE)
    days = businesstimedelta.WorkDayRule(
        start_time=time(opens), end_time=time(closes), working_days=[0, 1, 2, 3, 4], tz=zone
    )
    closed = listed_holidays(HolidayChoice(country="AR"), range(2015, 2018))
    return businesstimedelta.Rules([days, businesstimedelta.HolidayRule(closed, tz=zone)])


HOURS = {"9-18": (9, 18), "8-20": (8, 20)}


def first_leaving_new() -> dict[str, datetime]:
    """Return when each incident left New, read straight from the file."""
    seen: dict[str, datetime] = {}
    with LOG.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["incident_state"] != "New":
                at = max(instant(row["opened_at"]), instant(row["sys_updated_at"]))
                seen[row["number"]] = min(at, seen.get(row["number"], at))
    return seen


def unchanged(past: PastCase, outcome: SlaOutcome) -> bool:
    """Return whether the incident kept one priority until it was acknowledged."""
    return not outcome.reckonings[0].changes and outcome.milestones[0].priority == past.case.priority


@pytest.mark.parametrize("plan", PLANS)
def test_every_incident_is_acknowledged_when_it_left_new(plan: str) -> None:
    left = first_leaving_new()
    assert len(evaluated(plan)) == len(left) == 890
    assert {past.case.key: outcome.milestones[0].met_at for past, outcome in evaluated(plan)} == left


@pytest.mark.parametrize("plan", ["silver", "gold"])
def test_due_times_and_used_time_are_those_of_a_second_library(plan: str) -> None:
    target = load_plans().sla[plan].targets["P3"]
    rules = hours(*HOURS[target.cover])
    covers = calendars(load_plans())
    checked = 0
    for past, outcome in evaluated(plan)[::2]:
        found = outcome.milestones[0]
        if found.priority != "P3" or not unchanged(past, outcome):
            continue
        due = found.started_at + businesstimedelta.BusinessTimeDelta(rules, seconds=found.target_seconds)
        assert covers[target.cover].between(due.astimezone(UTC), found.due_at) == 0, past.case.key
        assert found.met_at is not None
        if found.met_at - found.started_at < timedelta(days=10):
            used = rules.difference(found.started_at, found.met_at)
            assert found.used_seconds == used.hours * 3600 + used.seconds, past.case.key
            assert (found.breached_at is not None) == (found.used_seconds > found.target_seconds), past.case.key
        checked += 1
    assert checked > 300


def test_round_the_clock_targets_are_plain_arithmetic() -> None:
    checked = 0
    for past, outcome in evaluated("platinum"):
        found = outcome.milestones[0]
        if found.priority == "P1" and unchanged(past, outcome):
            assert found.met_at is not None
            assert found.due_at == found.started_at + timedelta(hours=1)
            assert (found.breached_at is not None) == (found.met_at > found.due_at)
            checked += 1
    assert checked >= 5


MINUTES = {"silver": (240, 540, 540, 540), "gold": (120, 240, 240, 240), "platinum": (60, 60, 60, 60)}
WINDOW = {"silver": (9, 18), "gold": (8, 20), "platinum": (8, 20)}


def walked(plan: str, priority: str, start: datetime, closed: frozenset[str]) -> datetime:
    """Return when the target is used up, minute by minute on the wall of Buenos Aires, straight from the offer."""
    left = MINUTES[plan][int(priority[1]) - 1]
    if plan == "platinum" and priority == "P1":
        return start + timedelta(minutes=left)
    opens, closes = WINDOW[plan]
    at = start
    while left:
        local = at.astimezone(pytz.timezone(ZONE))
        if local.weekday() < 5 and opens <= local.hour < closes and local.date().isoformat() not in closed:
            left -= 1
        at += timedelta(minutes=1)
    return at


def priorities(number: str) -> list[tuple[datetime, str]]:
    """Return the priorities of an incident with the instant of each, read straight from the file."""
    found: list[tuple[datetime, str]] = []
    with LOG.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["number"] == number]
    for row in sorted(rows, key=lambda row: instant(row["sys_updated_at"])):
        priority = f"P{row['priority'][0]}"
        if not found:
            found.append((instant(row["opened_at"]), f"P{rows[0]['priority'][0]}"))
        if found[-1][1] != priority:
            found.append((instant(row["sys_updated_at"]), priority))
    return found


def test_twenty_due_times_are_those_of_a_walk_from_minute_to_minute() -> None:
    """The twenty that ``python -m tests.unit.rules.incident_log`` explains; changes by PRI-1 and PRI-3."""
    listed = listed_holidays(HolidayChoice(country="AR"), range(2015, 2018))
    closed = frozenset(day.isoformat() for day in listed)
    plans = load_plans()
    covers = calendars(plans)
    left = first_leaving_new()
    for past, plan in twenty(list(incidents())):
        found = evaluate(past, plan, plans, covers).milestones[0]
        (opened, priority), *changes = priorities(past.case.key)
        due = walked(plan, priority, opened, closed)
        for at, new in changes:
            if at > min(left[past.case.key], due):
                break  # answered or breached before: nothing moves any more (PRI-4, PRI-5)
            if new < priority:
                due = min(due, walked(plan, new, at, closed))
            else:
                due = max(due, walked(plan, new, opened, closed))
            priority = new
        print(f"{past.case.key} {plan:8} {priority} opened {opened:%Y-%m-%d %H:%M}Z due {due:%Y-%m-%d %H:%M}Z")  # noqa: T201
        assert found.priority == priority, past.case.key
        assert found.due_at == due, past.case.key


@pytest.mark.parametrize("plan", PLANS)
def test_each_explanation_adds_up(plan: str) -> None:
    plans = load_plans()
    covers = calendars(plans)
    for _, outcome in evaluated(plan):
        for reckoning in outcome.reckonings:
            found = derive(reckoning, plans.sla[plan], covers)
            assert sum(line.seconds for line in found.lines) == found.limit_seconds
            assert len(str(outcome.fields["explained"])) <= 255


@pytest.mark.parametrize("plan", PLANS)
def test_no_upgrade_breached_by_itself_and_no_breach_was_cleared(plan: str) -> None:
    changed = 0
    for past, outcome in evaluated(plan):
        for reckoning in outcome.reckonings:
            for change in reckoning.changes:
                assert reckoning.milestone.breached_at is None or change.at <= reckoning.milestone.breached_at
                changed += 1
        for one, other in pairwise([r.milestone for r in outcome.reckonings]):
            assert one.cycle + 1 == other.cycle, past.case.key
            assert one.met_at is not None
            assert one.met_at <= other.started_at
    assert changed > 0


def test_the_table_counts_every_clock_once() -> None:
    rows = list(table([past for past, _ in evaluated("silver")]))
    for plan in PLANS:
        figures = [f for name, f, _, _ in rows if name == plan]
        cycles = sum(len(outcome.milestones) for _, outcome in evaluated(plan))
        assert sum(f.in_time + f.breached + f.waiting for f in figures) == cycles == 900
        assert [f.waiting for f in figures] == [0, 0, 0, 0]


def test_evaluating_again_on_what_was_recorded_changes_nothing() -> None:
    plans = load_plans()
    covers = calendars(plans)
    for past, first in evaluated("gold")[:200]:
        again = evaluate_case(
            past.case,
            past.events,
            terms=terms("gold"),
            plans=plans,
            covers=covers,
            previous=first.milestones,
            now=NOW + timedelta(days=30),
        )
        assert again.milestones == first.milestones
        assert again.findings == ()
        assert again.fields == first.fields


def test_other_modes_are_simulated_on_the_desks_past() -> None:
    plans = load_plans()
    rows = simulate(
        [past for past, _ in evaluated("silver")],
        variants=variants_of(terms("silver")),
        plans=plans,
        covers=calendars(plans),
        now=NOW,
    )
    late = Counter[str]()
    for row in rows:
        late[row.variant] += row.figures.breached
    recorded = acknowledgements(m for _, outcome in evaluated("silver") for m in outcome.milestones)
    assert late["present"] == sum(f.breached for f in recorded.values())
    assert late["breach_basis=wall"] > late["present"]  # answers at night after a due time at closing
    assert late["priority_change=retroactive"] >= late["present"]
    assert late["business_day_mode=end_of_next_business_day"] < late["present"]
