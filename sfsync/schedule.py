"""When each org is due: the last grid point that has passed.

Pure arithmetic over settings, zone and ``now``. The store's ``tick`` table, which has one row a grid
point, is the authority; whoever asks first writes the row, so two beats or none lose nothing. This
module may not know the store. It keeps one law: a local time that a DST day skips or repeats gives
exactly one grid point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zlib import crc32
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Due:
    """One grid point: at ``due_at`` the job ``name`` had to begin."""

    name: str
    due_at: datetime


def nightly(name: str, clock_time: str, zone: str, now: datetime) -> Due:
    """Return the newest nightly grid point at or before ``now``.

    ``clock_time`` is local wall time such as ``23:10``. A time that a DST gap skips happens as
    much later as the gap is long; one that an overlap repeats happens the first time.
    """
    tz = ZoneInfo(zone)
    day = now.astimezone(tz).date()
    while (at := _instant(day, time.fromisoformat(clock_time), tz)) > now:
        day -= timedelta(days=1)
    return Due(name, at)


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def weekly(name: str, when: str, zone: str, now: datetime, offset_seconds: int = 0) -> Due:
    """Return the newest weekly grid point at or before ``now``.

    ``when`` is a local day and wall time such as ``sun 03:30``; the point lies ``offset_seconds`` behind it. What a
    DST night does to a nightly grid point it does to this one.
    """
    tz = ZoneInfo(zone)
    weekday, _, clock_time = when.partition(" ")
    day = now.astimezone(tz).date()
    day -= timedelta(days=(day.weekday() - WEEKDAYS.index(weekday)) % 7)
    while (at := _instant(day, time.fromisoformat(clock_time), tz) + timedelta(seconds=offset_seconds)) > now:
        day -= timedelta(days=7)
    return Due(name, at)


def _instant(day: date, clock_time: time, tz: ZoneInfo) -> datetime:
    return datetime.combine(day, clock_time, tz).replace(fold=0).astimezone(UTC)


def every(name: str, minutes: int, now: datetime, offset_seconds: int = 0) -> Due:
    """Return the newest grid point at or before ``now`` of a job that runs every ``minutes``.

    ``offset_seconds`` moves the grid, so that many orgs do not start in the same second.
    """
    step = minutes * 60
    seconds = int(now.timestamp()) - offset_seconds % step
    return Due(name, datetime.fromtimestamp(seconds - seconds % step + offset_seconds % step, UTC))


def spread(name: str, over_seconds: int) -> int:
    """Return a number of seconds below ``over_seconds`` that is always the same for ``name``."""
    return crc32(name.encode()) % over_seconds
