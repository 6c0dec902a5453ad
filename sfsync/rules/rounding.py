"""From what was typed to the minutes that are billed (RND-1..3).

May not know packs or approvals. It keeps one law: raw minutes are kept; rounding makes a second figure
beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Mode = Literal["up", "nearest", "down"]


def rounded(minutes: int, increment: int = 1, mode: Mode = "up") -> int:
    """Return ``minutes`` as a multiple of ``increment``; with ``nearest`` a half goes up (RND-2)."""
    if minutes < 0:
        raise ValueError("only minutes of zero or more are rounded")
    if mode == "up":
        return -(-minutes // increment) * increment
    if mode == "down":
        return minutes // increment * increment
    return (2 * minutes + increment) // (2 * increment) * increment


def rounded_group(minutes: Sequence[int], increment: int = 1, mode: Mode = "up") -> list[int]:
    """Round the sum of entries that share a case and day or week; return what each entry adds (RND-2).

    The parts add up to the rounded sum; each is zero or more. 7 and 8 minutes at 15 give 15 and 0.
    """
    billed, total, before = [], 0, 0
    for raw in minutes:
        total += raw
        after = rounded(total, increment, mode)
        billed.append(after - before)
        before = after
    return billed


def minutes_of_seconds(seconds: int) -> int:
    """Return whole minutes, rounded up once at ingestion: 90 s are 2 min (RND-1)."""
    return -(-seconds // 60)


def minutes_of_hours(text: str) -> int:
    """Return the minutes of decimal hours, nearest minute: ``0.33`` is 20 (RND-3).

    Raises ``decimal.InvalidOperation`` if ``text`` is no number.
    """
    return int((Decimal(text) * 60).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def refused(minutes: int | None) -> str:
    """Return why a duration cannot be an entry, or an empty text: it must be more than zero (RND-1)."""
    if minutes is None:
        return "minutes_missing"
    return "minutes_not_positive" if minutes <= 0 else ""


def long_days(entries: Iterable[tuple[str, date, int]], limit: int = 1440) -> list[tuple[str, date, int]]:
    """Return each (person, day, minutes) whose sum is over ``limit``: flagged, not refused (RND-1)."""
    sums: dict[tuple[str, date], int] = {}
    for person, day, minutes in entries:
        sums[person, day] = sums.get((person, day), 0) + minutes
    return [(person, day, total) for (person, day), total in sorted(sums.items()) if total > limit]
