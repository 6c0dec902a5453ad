"""Client-local days and ISO weeks as instants (WK-1, VAL-3).

May not know packs or summaries. It keeps one law: a day begins at the client's own midnight, so a week
has 167, 168 or 169 hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ISO_WEEK = re.compile(r"(\d{4})-W(\d{2})")


@lru_cache(maxsize=64)
def zone_called(name: str) -> ZoneInfo:
    """Return the IANA zone of that name; raise ``ZoneInfoNotFoundError`` for an unknown one."""
    return ZoneInfo(name)


@lru_cache(maxsize=65536)
def start_of_day(day: date, zone: str) -> datetime:
    """Return the instant, in UTC, at which a local day begins.

    Where a clock change skips midnight the day begins at the change; where midnight comes twice, at the first.
    """
    return datetime.combine(day, time(), tzinfo=zone_called(zone)).astimezone(UTC)


def end_of_day(day: date, zone: str) -> datetime:
    """Return the instant at which a local day has ended: the next local midnight (VAL-3)."""
    return start_of_day(day + timedelta(days=1), zone)


def local_day(instant: datetime, zone: str) -> date:
    """Return the local day an instant falls on."""
    return instant.astimezone(zone_called(zone)).date()


@dataclass(frozen=True, slots=True, order=True)
class Week:
    """An ISO week; compares by time."""

    monday: date

    def __post_init__(self) -> None:
        if self.monday.weekday() != 0:
            raise ValueError(f"{self.monday} is not a Monday")

    def __str__(self) -> str:
        """Return ``2026-W47``."""
        year, week, _ = self.monday.isocalendar()
        return f"{year}-W{week:02d}"

    @classmethod
    def of(cls, day: date) -> Week:
        """Return the week a day is in."""
        return cls(day - timedelta(days=day.weekday()))

    @classmethod
    def parse(cls, text: str) -> Week:
        """Read ``2026-W47``; raise ``ValueError`` for anything else, also for a week the year does not have."""
        match = _ISO_WEEK.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an ISO week such as 2026-W47")
        return cls(date.fromisocalendar(int(match[1]), int(match[2]), 1))

    @property
    def sunday(self) -> date:
        """Return the last day of the week."""
        return self.monday + timedelta(days=6)

    def shifted(self, weeks: int) -> Week:
        """Return the week so many weeks later, or earlier when negative."""
        return Week(self.monday + timedelta(weeks=weeks))

    def holds(self, day: date) -> bool:
        """Return whether a day is in this week."""
        return self.monday <= day <= self.sunday

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """Return the half-open range of instants of this week: two local midnights (WK-1)."""
        return start_of_day(self.monday, zone), end_of_day(self.sunday, zone)

    def hours(self, zone: str) -> int:
        """Return its length: 168, or 167 and 169 in the weeks of a clock change."""
        start, end = self.bounds(zone)
        return (end - start) // timedelta(hours=1)

    def closes_at(self, zone: str, close_local: str) -> datetime:
        """Return the instant at which the week is closed: the first ``Mon 06:00`` or so after it (X-31)."""
        name, clock = close_local.split()
        day = self.sunday + timedelta(days=1 + WEEKDAYS.index(name))
        return datetime.combine(day, time.fromisoformat(clock), tzinfo=zone_called(zone)).astimezone(UTC)
