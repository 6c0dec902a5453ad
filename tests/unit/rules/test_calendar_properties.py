"""The calendar against two other ways to count: a walk minute by minute in UTC, and businesstimedelta."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import businesstimedelta
import pytest
import pytz

from sfsync.clock import seeded
from sfsync.policy import Weekday, Window
from sfsync.rules.calendar import WEEKDAYS, Calendar, instant_of, seconds_of

SEED = 20261121
CASES_A_TABLE = 120
DAYS_AROUND = 4

# Zone, and a day of each kind: clocks forward, clocks back.
CLOCK_CHANGES = [
    ("Europe/Bucharest", date(2027, 3, 28)),
    ("Europe/Bucharest", date(2026, 10, 25)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Sydney", date(2026, 10, 4)),
    ("Australia/Sydney", date(2027, 4, 4)),
]
CALENDARS_A_DAY = 8


def hhmm(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def random_windows(chance: random.Random) -> tuple[Window, ...]:
    """Return up to three windows; often with edges in the small hours, where the clocks change."""
    kind = chance.randrange(8)
    if kind == 0:
        return ()
    if kind == 1:
        return (Window(open="00:00", close="24:00"),)
    edges = sorted(
        chance.sample(range(241), k=2) if kind < 4 else chance.sample(range(1441), k=2 * chance.randrange(1, 4))
    )
    return tuple(Window(open=hhmm(a), close=hhmm(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < 1440)


def random_calendar(chance: random.Random, zone: str, around: date) -> Calendar:
    weekly: dict[Weekday, tuple[Window, ...]] = {day: random_windows(chance) for day in WEEKDAYS}
    weekly[WEEKDAYS[around.weekday()]] = random_windows(chance) or (Window(open="01:30", close="03:30"),)
    days = [around + timedelta(days=n) for n in range(-DAYS_AROUND, DAYS_AROUND + 1)]
    holidays = {day: "holiday" for day in days if chance.randrange(8) == 0 and day != around}
    half_days = {day: (Window(open="00:30", close="12:00"),) for day in days if chance.randrange(8) == 0}
    return Calendar(weekly, zone, holidays=holidays, half_days=half_days, label=f"{zone} around {around}")


class Walk:
    """Which minutes are cover, found by asking the wall clock at each of them."""

    def __init__(self, calendar: Calendar, zone: str, around: date) -> None:
        info = ZoneInfo(zone)
        midnight = datetime.combine(around, time(), tzinfo=UTC)
        self.start = seconds_of(midnight - timedelta(days=DAYS_AROUND))
        first = datetime.combine(around - timedelta(days=DAYS_AROUND), time(), tzinfo=UTC)
        self.open = [
            self._is_cover(calendar, (first + timedelta(minutes=n)).astimezone(info))
            for n in range(2 * DAYS_AROUND * 1440)
        ]
        self.used = [0, *accumulate(60 * is_open for is_open in self.open)]

    @staticmethod
    def _is_cover(calendar: Calendar, local: datetime) -> bool:
        clock = local.hour * 3600 + local.minute * 60
        return any(a <= clock < b for a, b in calendar.windows_on(local.date()))

    @property
    def length(self) -> int:
        return 60 * len(self.open)

    def position(self, second: int) -> int:
        """Return the cover seconds before the n-th second of the walk."""
        minute, rest = divmod(second, 60)
        return self.used[minute] + (rest if rest and self.open[minute] else 0)

    def earliest(self, position: int) -> int | None:
        """Return the first second at which so much cover is used, or None beyond the walk."""
        minute = bisect_left(self.used, position) - 1
        return None if minute + 1 >= len(self.used) else minute * 60 + position - self.used[minute]


def walks() -> Iterator[tuple[Calendar, Walk, random.Random]]:
    chance = seeded(SEED)
    for zone, around in CLOCK_CHANGES:
        for _ in range(CALENDARS_A_DAY):
            calendar = random_calendar(chance, zone, around)
            yield calendar, Walk(calendar, zone, around), chance


def test_the_calendar_equals_a_minute_walk_in_utc_on_the_days_clocks_change() -> None:
    cases = 0
    for calendar, walk, chance in walks():
        for _ in range(CASES_A_TABLE):
            a, b = sorted(chance.sample(range(walk.length), k=2))
            expected = walk.position(b) - walk.position(a)
            told = f"seed {SEED}, {calendar.label}, case {cases}: {instant_of(walk.start + a)} {b - a} s"
            assert calendar.between_s(walk.start + a, walk.start + b) == expected, told
            if expected:
                due = walk.earliest(walk.position(a) + expected)
                assert due is not None
                assert calendar.add_s(walk.start + a, expected) == walk.start + due, told
                part = chance.randrange(1, expected + 1)
                due = walk.earliest(walk.position(a) + part)
                assert due is not None
                assert calendar.add_s(walk.start + a, part) == walk.start + due, told
            minute, rest = divmod(a, 60)
            assert calendar.is_open_s(walk.start + a) == walk.open[minute], told
            opening = next((n for n in range(minute, len(walk.open)) if walk.open[n]), None)
            if opening is not None:
                expected_open = walk.start + (a if opening == minute else opening * 60)
                assert calendar.next_open_s(walk.start + a) == expected_open, told
            assert rest == a % 60
            cases += 1
    print(f"\ncalendar: {cases} cases on {len(CLOCK_CHANGES)} days of clock changes, seed {SEED}")  # noqa: T201
    assert cases >= 5_000


def test_add_is_the_earliest_instant_and_undoes_between() -> None:
    for calendar, walk, chance in walks():
        for _ in range(20):
            a = walk.start + chance.randrange(walk.length)
            seconds = chance.randrange(1, 30 * 86_400)
            due = calendar.add_s(a, seconds)
            assert calendar.between_s(a, due) == seconds, f"seed {SEED}"
            assert calendar.between_s(a, due - 1) == seconds - 1, f"seed {SEED}: {due} is not the earliest"


def test_stretches_add_up_on_the_days_clocks_change() -> None:
    for calendar, walk, chance in walks():
        a, b = sorted(chance.sample(range(walk.length), k=2))
        begin, end = instant_of(walk.start + a), instant_of(walk.start + b)
        found = list(calendar.stretches(begin, end))
        assert sum(s.seconds for s in found) == calendar.between(begin, end), f"seed {SEED}"
        assert all(one.ends_at <= other.starts_at for one, other in pairwise(found))


@pytest.mark.parametrize("zone", ["America/Argentina/Buenos_Aires", "Europe/Bucharest"])
def test_the_calendar_agrees_with_businesstimedelta_where_both_close_at_night(zone: str) -> None:
    rule = businesstimedelta.WorkDayRule(
        start_time=time(9), end_time=time(18), working_days=[0, 1, 2, 3, 4], tz=pytz.timezone(zone)
    )
    hours = businesstimedelta.Rules([rule])
    calendar = Calendar({day: (Window(open="09:00", close="18:00"),) for day in WEEKDAYS[:5]}, zone)
    chance, first = seeded(SEED), datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(300):
        a = first + timedelta(seconds=chance.randrange(2 * 365 * 86_400))
        seconds = chance.randrange(1, 60 * 3600)
        due = a + businesstimedelta.BusinessTimeDelta(hours, seconds=seconds)
        # The other library may show the next opening; both are the same position.
        assert calendar.between(a, due.astimezone(UTC)) == seconds, f"seed {SEED}: {a}"
        found = hours.difference(a, calendar.add(a, seconds))
        assert found.hours * 3600 + found.seconds == seconds, f"seed {SEED}: {a}"
