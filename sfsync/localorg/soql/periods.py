"""SOQL's relative dates (TODAY, LAST_N_DAYS:n, THIS_FISCAL_QUARTER ..) as ranges of calendar days.

It may not know fields or SQL. The one law: a period is a half-open range of local dates, and only its edges are
turned into instants, in the running user's zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as day_time

FIRST_DAY = date(1700, 1, 1)
LAST_DAY = date(4000, 12, 31)
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def period(name: str, count: int | None, today: date) -> tuple[date, date]:
    """Return the first day of the period and the first day after it; raise OverflowError when it leaves the calendar.

    ``today`` is the running user's date; weeks begin on Sunday; the fiscal year is the calendar year.
    LAST_N_DAYS:n covers today and n days before it; the other LAST_N periods leave the current unit out (facts 5.2).
    """
    name = name.replace("FISCAL_", "")
    if name in ("YESTERDAY", "TODAY", "TOMORROW"):
        first = today + timedelta(days=("YESTERDAY", "TODAY", "TOMORROW").index(name) - 1)
        return first, first + timedelta(days=1)
    if name == "LAST_90_DAYS":
        name, count = "LAST_N_DAYS", 90
    if name == "NEXT_90_DAYS":
        name, count = "NEXT_N_DAYS", 90
    if count is None:
        which, unit = name.split("_", 1)
        offset = {"LAST": -1, "THIS": 0, "NEXT": 1}[which]
        return _unit(unit, today, offset), _unit(unit, today, offset + 1)
    if name.endswith("_AGO"):
        unit = name.removeprefix("N_").removesuffix("S_AGO")
        return _unit(unit, today, -count), _unit(unit, today, 1 - count)
    which, _, units = name.split("_", 2)
    unit = units.removesuffix("S")
    if unit == "DAY":
        if which == "LAST":
            return today - timedelta(days=count), today + timedelta(days=1)
        return today + timedelta(days=1), today + timedelta(days=count + 1)
    if which == "LAST":
        return _unit(unit, today, -count), _unit(unit, today, 0)
    return _unit(unit, today, 1), _unit(unit, today, count + 1)


def _unit(unit: str, today: date, offset: int) -> date:
    """The first day of the unit that lies ``offset`` units from today's."""
    if unit == "DAY":
        return today + timedelta(days=offset)
    if unit == "WEEK":
        sunday = today - timedelta(days=(today.weekday() + 1) % 7)
        return sunday + timedelta(weeks=offset)
    size = _MONTHS[unit]
    months = today.year * 12 + (today.month - 1) // size * size + offset * size
    if not date.min.year <= months // 12 <= date.max.year:
        raise OverflowError("the period leaves the calendar")
    return date(months // 12, months % 12 + 1, 1)


def midnight(day: date, zone: tzinfo) -> int:
    """Return the unix second at which ``day`` begins in ``zone``."""
    return int(datetime.combine(day, day_time(), zone).astimezone(UTC).timestamp())


def local_date(instant: datetime, zone: tzinfo) -> date:
    """Return the date of ``instant`` on a wall in ``zone``."""
    return instant.astimezone(zone).date()
