"""The API calls of an org: our share, the night's reserve, and a cadence that stretches before anything stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.org.budget import Budget, Usage, read_usage

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=18/15000", Usage(18, 15_000)),
        ("api-usage=25/15000; per-app-api-usage=17/250(appName=sfsync)", Usage(25, 15_000)),
        ("", None),
        (None, None),
        ("something=1/2", None),
    ],
)
def test_the_limit_header_is_read_in_both_forms(header: str | None, usage: Usage | None) -> None:
    assert read_usage(header) == usage


def test_nothing_is_bounded_before_the_org_has_spoken() -> None:
    assert Budget().left(0.2, NOON) is None


def test_by_day_the_nights_reserve_is_left_alone() -> None:
    budget = Budget().observe(Usage(0, 10_000), NOON)
    assert budget.left(0.2, NOON) == 1_500
    assert budget.left(0.2, NOON, nightly=True) == 2_000


def test_what_we_used_in_a_day_counts_and_comes_back_after_it() -> None:
    budget = Budget().observe(Usage(0, 10_000), NOON).spend(400, NOON)
    assert budget.left(0.2, NOON) == 1_100
    assert budget.left(0.2, NOON + timedelta(hours=25)) == 1_500


def test_people_come_first_whoever_used_the_rest() -> None:
    assert Budget().observe(Usage(7_900, 10_000), NOON).left(0.2, NOON) == 100
    assert Budget().observe(Usage(9_000, 10_000), NOON).left(0.2, NOON) == 0


def test_the_cadence_stretches_before_anything_stops() -> None:
    budget = Budget().observe(Usage(0, 10_000), NOON)
    assert budget.cadence(15, 1, 0.2, NOON) == 15
    tight = budget.spend(1_400, NOON - timedelta(hours=2))
    assert 15 < tight.cadence(15, 10, 0.2, NOON) <= 24 * 60
    spent = budget.spend(1_500, NOON - timedelta(hours=2))
    assert spent.cadence(15, 10, 0.2, NOON) == 23 * 60


def test_a_budget_that_others_used_up_is_asked_about_again_after_an_hour() -> None:
    budget = Budget().observe(Usage(9_500, 10_000), NOON)
    assert budget.left(0.2, NOON + timedelta(minutes=59)) == 0
    assert budget.cadence(15, 1, 0.2, NOON) == 60
    assert budget.left(0.2, NOON + timedelta(hours=1)) == 1, "nobody would ever hear that the others have stopped"


def test_the_wait_grows_as_the_calls_that_are_left_get_fewer() -> None:
    budget = Budget().observe(Usage(0, 1_000), NOON)
    waits = [budget.spend(spent, NOON - timedelta(hours=1)).cadence(15, 2, 0.3, NOON) for spent in range(0, 226, 15)]
    assert waits == sorted(waits)
    assert waits[0] == 15
    assert len(set(waits)) > 5
    assert waits[-1] == 24 * 60, "nothing is left by day: until the hour in which it was spent drops out"


@given(
    st.lists(st.tuples(st.integers(0, 60 * 72), st.integers(0, 500)), max_size=8),
    st.integers(0, 20_000),
    st.floats(0.01, 1),
)
def test_a_budget_is_never_negative_and_its_cadence_stays_between_the_usual_and_a_day(
    spent: list[tuple[int, int]], used: int, share: float
) -> None:
    budget = Budget().observe(Usage(used, 15_000), NOON)
    for minutes, calls in sorted(spent):
        budget = budget.spend(calls, NOON + timedelta(minutes=minutes))
    at = NOON + timedelta(minutes=60 * 72)
    left = budget.left(share, at)
    assert left is not None
    assert 0 <= left <= 15_000 * share
    assert 15 <= budget.cadence(15, 3, share, at) <= 24 * 60
