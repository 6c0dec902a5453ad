"""What is about to happen to a client's hours: expiring soon, at risk, empty (WK-2, WK-7).

May not know postings. It keeps one law: a forecast is arithmetic on the mean of four weeks, in whole minutes,
and says nothing when there is nothing to go by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sfsync.records import PackStatus
from sfsync.rules.figures import PackFigures

TRAILING_WEEKS = 4


def burn_a_week(used: Sequence[int]) -> int:
    """Return the mean of the last four weeks, nearest minute; fewer weeks if there were no more, 0 for none."""
    last = list(used)[-TRAILING_WEEKS:]
    return (2 * sum(last) + len(last)) // (2 * len(last)) if last else 0


def counted_to(sunday: date, burn: int, running: int) -> date:
    """Return the day from which a forecast counts: the last closed Sunday, and as far as the running week has burned.

    A client that uses its hours at its pace is told the same day all week, and one that rests too.
    """
    return sunday + timedelta(days=7 * min(max(0, running), burn) // burn if burn > 0 else 0)


def empty_on(available: int, burn: int, after: date) -> date | None:
    """Return the day on which the available minutes end at ``burn`` a week, counted from ``after``; None: never."""
    if burn <= 0:
        return None
    return after + timedelta(days=-(-max(0, available) * 7 // burn))


@dataclass(frozen=True, slots=True)
class Expiring:
    """A pack that ends soon with minutes on it."""

    pack: str
    minutes: int
    last_valid_on: date
    days_left: int


def expiring_soon(
    packs: Iterable[tuple[str, int, date | None]], week_end: date, within_days: int = 30
) -> list[Expiring]:
    """Return packs (key, minutes, last day) that end within so many days of a week's end, soonest first (WK-7)."""
    soon = [
        Expiring(key, minutes, last, (last - week_end).days)
        for key, minutes, last in packs
        if last is not None and minutes > 0 and 0 <= (last - week_end).days <= within_days
    ]
    return sorted(soon, key=lambda each: (each.last_valid_on, each.pack))


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Minutes of a pack that will lapse at the present pace."""

    pack: str
    minutes: int
    last_valid_on: date
    after_extension_minutes: int | None = None
    """What would lapse all the same if the one extension were asked for; None if there is none left."""
    ask_by: date | None = None
    """Last day on which the extension can be asked for."""


def at_risk(
    packs: Mapping[str, PackFigures], burn: int, after: date, extended_until: Mapping[str, date] | None = None
) -> list[AtRisk]:
    """Return the packs that will not be used up in time at ``burn`` minutes a week, in burn order.

    ``after`` is the last day whose work is in the figures: the Sunday of a closed week, or yesterday.
    ``extended_until`` holds the last day with the extension of each pack that may still ask for it.
    """
    live = {
        key: (pack.available_minutes, pack.last_valid_on)
        for key, pack in packs.items()
        if pack.status == PackStatus.ACTIVE and pack.available_minutes > 0 and pack.last_valid_on is not None
    }
    ends = {key: (minutes, last) for key, (minutes, last) in live.items() if last is not None}
    lapse = _lapse(ends, burn, after)
    found = []
    for key, minutes in lapse.items():
        if not minutes:
            continue
        until = (extended_until or {}).get(key)
        extended = None
        if until is not None:
            extended = _lapse({**ends, key: (ends[key][0], until)}, burn, after)[key]
        ask_by = ends[key][1] if until is not None else None
        found.append(AtRisk(key, minutes, ends[key][1], extended, ask_by))
    return found


def _lapse(ends: Mapping[str, tuple[int, date]], burn: int, after: date) -> dict[str, int]:
    """Return what is left of each pack on its last day when the one that ends first is burned first."""
    lapse, burned = {}, 0
    for key, (minutes, last) in sorted(ends.items(), key=lambda item: (item[1][1], item[0])):
        capacity = max(0, (last - after).days) * burn // 7
        used = min(minutes, max(0, capacity - burned))
        burned += used
        lapse[key] = minutes - used
    return lapse
