"""How fast the calendar counts, alone and against businesstimedelta in the same run."""

from __future__ import annotations

import time as stopwatch
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import businesstimedelta
import pytest
import pytz

from sfsync.calendar_source import listed_holidays
from sfsync.clock import seeded
from sfsync.mapping import load_plans
from sfsync.policy import HolidayChoice
from sfsync.rules.calendar import Calendar, calendar_of, instant_of, seconds_of

pytestmark = pytest.mark.bench

ZONE = "America/Argentina/Buenos_Aires"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
QUESTIONS = 40_000
ROUNDS = 25  # short rounds, so that one of them finds the machine quiet
ENOUGH = 500_000  # a second
TIMES_FASTER = 100


def silver() -> Calendar:
    holidays = listed_holidays(HolidayChoice(country="AR"), range(2025, 2029))
    return calendar_of(load_plans().covers["9-18"], ZONE, holidays=holidays)


def questions(count: int) -> list[tuple[int, int, int]]:
    """Return starts over two years, ends and cover seconds of up to two weeks."""
    chance, first = seeded(5), seconds_of(FIRST)
    found = []
    for _ in range(count):
        start = first + chance.randrange(2 * 365 * 86_400)
        found.append((start, start + chance.randrange(1, 14 * 86_400), chance.randrange(1, 60 * 3600)))
    return found


def best(run: Callable[[], None], count: int, rounds: int = ROUNDS) -> int:
    """Return how many a second the best of several rounds did."""
    fastest = 0.0
    for _ in range(rounds):
        begin = stopwatch.perf_counter()
        run()
        fastest = max(fastest, count / (stopwatch.perf_counter() - begin))
    return int(fastest)


def test_the_calendar_answers_half_a_million_questions_a_second() -> None:
    calendar, asked = silver(), questions(QUESTIONS)
    between, add = calendar.between_s, calendar.add_s
    between(asked[0][0], asked[0][1])

    def all_between() -> None:
        for start, end, _ in asked:
            between(start, end)

    def all_add() -> None:
        for start, _, seconds in asked:
            add(start, seconds)

    figures = {"between": best(all_between, QUESTIONS), "add": best(all_add, QUESTIONS)}
    print(f"\ncalendar: {figures} a second")  # noqa: T201 - a bench prints its figures
    assert min(figures.values()) >= ENOUGH


def test_the_calendar_is_a_hundred_times_faster_than_businesstimedelta() -> None:
    calendar, asked = silver(), questions(300)
    zone = pytz.timezone(ZONE)
    days = businesstimedelta.WorkDayRule(start_time=time(9), end_time=time(18), working_days=[0, 1, 2, 3, 4], tz=zone)
    holidays = businesstimedelta.HolidayRule(listed_holidays(HolidayChoice(country="AR"), range(2025, 2029)), tz=zone)
    rules = businesstimedelta.Rules([days, holidays])
    pairs = [(instant_of(start), instant_of(end), seconds) for start, end, seconds in asked]

    def theirs() -> None:
        for start, end, _ in pairs:
            rules.difference(start, end)

    def ours() -> None:
        for start, end, _ in pairs:
            calendar.between(start, end)

    ours()
    for start, end, _ in pairs[:50]:
        found = rules.difference(start, end)
        assert timedelta(hours=found.hours, seconds=found.seconds).total_seconds() == calendar.between(start, end)
    fast, slow = best(ours, len(pairs)), best(theirs, len(pairs), rounds=3)
    print(f"\nbetween, with datetimes: ours {fast} a second, businesstimedelta {slow}, {fast // slow} times")  # noqa: T201
    assert fast >= TIMES_FASTER * slow
