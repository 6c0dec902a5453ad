"""When an SLA clock runs: cover seconds between two instants, and the instant a number of them later.

May not know cases, plans or where holidays come from: it is given windows, a zone and a set of dates.
It keeps one law: everything is a position on one line of whole cover seconds in UTC, so a DST day
needs no special case (CLK-1, CLK-4).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from sfsync.errors import PolicyError
from sfsync.policy import Cover, Weekday, Window

WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_MARGIN_YEARS = 1
"""Years built on either side of what was asked, so that a second question rarely builds again."""

_HORIZON_YEARS = 60
"""How far ahead a target may end before the cover is called one that never opens."""

_FIRST_YEAR, _LAST_YEAR = 1971, 9900


def _year_start(year: int) -> int:
    return (date(year, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY


_LOWEST, _HIGHEST = _year_start(_FIRST_YEAR), _year_start(_LAST_YEAR)

Spans: TypeAlias = tuple[tuple[int, int], ...]
"""Half-open spans of one local day in seconds after midnight, ascending."""

_Table: TypeAlias = tuple[int, int, list[int], list[int], list[int], list[int]]
"""``(low, high, edges, base, full, days)``: what is known of the instants in ``[low, high)``.

``edges`` are the openings and closings in turn. With ``i`` of them at or before ``t``, the position of ``t``
is ``base[i] + t`` when ``i`` is odd (in cover) and ``base[i]`` when it is even. ``full[n]`` is the position
at the n-th closing, ``days[n]`` the number of edges up to the n-th UTC midnight after ``low``.
"""


def seconds_of(instant: datetime) -> int:
    """Return whole seconds since 1970-01-01T00:00Z, the fraction of a second cut off (CLK-1).

    Raises ``ValueError`` for a naive instant.
    """
    if instant.tzinfo is None:
        raise ValueError(f"an instant is aware, {instant.isoformat()} is not")
    elapsed = instant - EPOCH
    return elapsed.days * DAY + elapsed.seconds


def instant_of(seconds: int) -> datetime:
    """Return the UTC instant ``seconds`` after 1970-01-01T00:00Z."""
    return EPOCH + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of cover inside one local day, as an explanation shows it."""

    on: date
    starts_at: datetime
    ends_at: datetime

    @property
    def seconds(self) -> int:
        """Whole cover seconds of the stretch."""
        return seconds_of(self.ends_at) - seconds_of(self.starts_at)


class Calendar:
    """The cover of one client: weekly windows in a zone, less holidays and half days.

    Immutable in meaning; the table behind the answers grows on first use of a year. Instants are
    epoch seconds in the ``_s`` methods, which are the fast ones, and aware datetimes in the others.
    """

    __slots__ = ("_table", "_weekly", "_zone", "confirmed_through_year", "half_days", "holidays", "label", "time_zone")

    def __init__(
        self,
        weekly: Mapping[Weekday, Sequence[Window]],
        time_zone: str,
        *,
        holidays: Mapping[date, str] | None = None,
        half_days: Mapping[date, Sequence[Window]] | None = None,
        confirmed_through_year: int | None = None,
        label: str = "",
    ) -> None:
        self._weekly: tuple[Spans, ...] = tuple(_spans(weekly.get(day, ())) for day in WEEKDAYS)
        if not any(self._weekly):
            raise PolicyError(f"cover {label!r} has no window: its clock would never run")
        try:
            self._zone = ZoneInfo(time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise PolicyError(f"no time zone is called {time_zone!r}") from error
        self.time_zone = time_zone
        self.label = label
        self.holidays: Mapping[date, str] = dict(holidays or {})
        """Local dates without cover and their names (CAL-3)."""
        self.half_days: Mapping[date, Spans] = {day: _spans(windows) for day, windows in (half_days or {}).items()}
        """Local dates whose cover is cut down to these spans."""
        self.confirmed_through_year = confirmed_through_year
        self._table: _Table = (0, 0, [], [0], [], [])

    # ---------------------------------------------------------------- the fast face: epoch seconds

    def between_s(self, start: int, end: int) -> int:
        """Return the cover seconds in ``[start, end)``; negative if ``end`` is earlier (CLK-3)."""
        low, high, edges, base, _, days = self._table
        if not (low <= start < high and low <= end < high):
            low, high, edges, base, _, days = self._reach(min(start, end), max(start, end))
        first, last = (start - low) // 86_400, (end - low) // 86_400
        i = bisect_right(edges, start, days[first], days[first + 1])
        j = bisect_right(edges, end, days[last], days[last + 1])
        return (base[j] + end if j & 1 else base[j]) - (base[i] + start if i & 1 else base[i])

    def add_s(self, start: int, seconds: int) -> int:
        """Return the earliest instant at or after ``start`` with ``seconds`` more cover used (CLK-2).

        A target that ends with a window is therefore due at the closing instant, never at the next
        opening. ``seconds`` may be 0, which gives ``start``. Raises ``ValueError`` for a negative number
        and ``PolicyError`` when the cover does not open for so long within sixty years.
        """
        low, high, edges, base, full, days = self._table
        if not low <= start < high:
            low, high, edges, base, full, days = self._reach(start, start)
        if seconds <= 0:
            if seconds == 0:
                return start
            raise ValueError(f"a clock runs forward, {seconds} seconds would run it backward")
        day = (start - low) // 86_400
        i = bisect_right(edges, start, days[day], days[day + 1])
        position = (base[i] + start if i & 1 else base[i]) + seconds
        near = (i >> 1) + 16  # most targets end within a few windows, which spares half of the search
        if near < len(full) and position <= full[near]:
            return position - base[2 * bisect_left(full, position, i >> 1, near) + 1]
        j = bisect_left(full, position, i >> 1)
        if j == len(full):
            return self._add_beyond(start, seconds)
        return position - base[2 * j + 1]

    def next_open_s(self, instant: int) -> int:
        """Return the earliest instant at or after ``instant`` that lies in cover (CAL-2)."""
        low, high, edges, _, _, _ = self._table
        if not low <= instant < high:
            low, high, edges, _, _, _ = self._reach(instant, instant)
        i = bisect_right(edges, instant)
        if i & 1:
            return instant
        return edges[i] if i < len(edges) else self._add_beyond(instant, 1) - 1

    def is_open_s(self, instant: int) -> bool:
        """Return whether the second that begins at ``instant`` is a cover second (CAL-1)."""
        low, high, edges, _, _, _ = self._table
        if not low <= instant < high:
            low, high, edges, _, _, _ = self._reach(instant, instant)
        return bisect_right(edges, instant) & 1 == 1

    # ---------------------------------------------------------------- the same for datetimes

    def between(self, start: datetime, end: datetime) -> int:
        """Return the cover seconds in ``[start, end)`` (CLK-3)."""
        return self.between_s(seconds_of(start), seconds_of(end))

    def add(self, start: datetime, seconds: int) -> datetime:
        """Return the earliest instant with ``seconds`` more cover used; see ``add_s`` (CLK-2)."""
        return instant_of(self.add_s(seconds_of(start), seconds))

    def next_open(self, instant: datetime) -> datetime:
        """Return the earliest instant at or after ``instant`` that lies in cover (CAL-2)."""
        return instant_of(self.next_open_s(seconds_of(instant)))

    def is_open(self, instant: datetime) -> bool:
        """Return whether ``instant`` lies in cover; a window's closing instant does not (CAL-1)."""
        return self.is_open_s(seconds_of(instant))

    # ---------------------------------------------------------------- days, for business-day targets and explanations

    def local(self, instant: datetime) -> datetime:
        """Return ``instant`` in the zone of the contract (X-25)."""
        return instant.astimezone(self._zone)

    def windows_on(self, day: date) -> Spans:
        """Return the cover of a local date as seconds after midnight of the clock on the wall (CAL-3, CAL-7).

        A half day can only shorten the cover: what it names is cut with the windows of the weekday.
        """
        if day in self.holidays:
            return ()
        windows = self._weekly[day.weekday()]
        half = self.half_days.get(day)
        if half is None:
            return windows
        cut = ((max(a, c), min(b, d)) for a, b in windows for c, d in half)
        return tuple(sorted((start, end) for start, end in cut if start < end))

    def at_local(self, day: date, seconds: int) -> datetime:
        """Return the UTC instant of a wall time of a local date; ``seconds`` may be 86,400 for 24:00.

        In a DST gap the instant of the jump is meant, in an overlap the first pass.
        """
        return instant_of(_wall_to_utc((day.toordinal() - _EPOCH_ORDINAL) * DAY + seconds, self._zone))

    def business_day_after(self, day: date) -> date:
        """Return the first local date after ``day`` that has cover."""
        for ahead in range(1, _HORIZON_YEARS * 366):
            found = day + timedelta(days=ahead)
            if self.windows_on(found):
                return found
        raise PolicyError(f"cover {self.label!r} has no day after {day}")

    @property
    def full_day_seconds(self) -> int:
        """Cover seconds of the longest weekday without DST: what "one business day" means (X-20)."""
        return max(sum(end - start for start, end in windows) for windows in self._weekly)

    @property
    def round_the_clock(self) -> bool:
        """Whether the cover never closes (SLA-T5)."""
        return all(windows == ((0, DAY),) for windows in self._weekly) and not self.holidays and not self.half_days

    def stretches(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """Yield the cover between two instants, cut at the midnights of the contract's zone."""
        a, z = seconds_of(start), seconds_of(end)
        if a >= z:
            return
        _, _, edges, _, _, _ = self._reach(a, z)
        first = bisect_right(edges, a) // 2 * 2
        for opens, closes in zip(edges[first::2], edges[first + 1 :: 2], strict=True):
            if opens >= z:
                return
            left, right = max(opens, a), min(closes, z)
            while left < right:
                day = self.local(instant_of(left)).date()
                midnight = seconds_of(self.at_local(day + timedelta(days=1), 0))
                upto = min(right, midnight) if midnight > left else right
                yield Stretch(day, instant_of(left), instant_of(upto))
                left = upto

    def holidays_between(self, start: datetime, end: datetime) -> list[tuple[date, str]]:
        """Return the holidays that took cover away between two instants, in order, with their names."""
        first, last = self.local(start).date(), self.local(end).date()
        return sorted(
            (day, name) for day, name in self.holidays.items() if first <= day <= last and self._weekly[day.weekday()]
        )

    # ---------------------------------------------------------------- the table

    def _reach(self, first: int, last: int) -> _Table:
        """Make the table cover ``[first, last]`` and return it."""
        low, high = self._table[0], self._table[1]
        if low <= first and last < high:
            return self._table
        if first < _LOWEST or last >= _HIGHEST:
            raise ValueError(f"calendars reach from {_FIRST_YEAR} to {_LAST_YEAR}")
        from_year, to_year = instant_of(first).year - _MARGIN_YEARS, instant_of(last).year + _MARGIN_YEARS
        if low < high:
            from_year, to_year = min(from_year, instant_of(low).year), max(to_year, instant_of(high).year - 1)
        # One assignment: a reader in another thread sees the old table or the new one, never a mixture.
        self._table = self._build(max(_LOWEST, _year_start(from_year)), min(_HIGHEST, _year_start(to_year + 1)))
        return self._table

    def _build(self, low: int, high: int) -> _Table:
        """Return the table of ``[low, high)``."""
        edges: list[int] = []
        for opens, closes, offset in _offsets(self._zone, low, high):
            for number in range((opens + offset) // DAY, (closes - 1 + offset) // DAY + 1):
                midnight = number * DAY - offset
                for open_s, close_s in self.windows_on(date.fromordinal(_EPOCH_ORDINAL + number)):
                    start, end = max(midnight + open_s, opens), min(midnight + close_s, closes)
                    if start >= end:
                        continue
                    if edges and start == edges[-1]:
                        edges[-1] = end
                    else:
                        edges += (start, end)
        base, full, position = [0], [], 0
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            base.append(position - start)
            position += end - start
            base.append(position)
            full.append(position)
        days = [bisect_right(edges, midnight) for midnight in range(low, high + DAY, DAY)]
        return low, high, edges, base, full, days

    def _add_beyond(self, start: int, seconds: int) -> int:
        """Do the work of ``add_s`` when the answer lies behind the table's end."""
        year = instant_of(start).year
        for years in (2, 8, _HORIZON_YEARS):
            last = min(_year_start(year + years), _HIGHEST) - 1
            self._reach(start, last)
            if self.between_s(start, last) >= seconds:
                return self.add_s(start, seconds)
        raise PolicyError(f"cover {self.label!r} does not open for {seconds} s within {_HORIZON_YEARS} years")


def calendar_of(
    cover: Cover,
    time_zone: str,
    *,
    holidays: Mapping[date, str] | None = None,
    half_days: Mapping[date, Sequence[Window]] | None = None,
    confirmed_through_year: int | None = None,
) -> Calendar:
    """Return the calendar of a cover of ``plans.yaml`` in a client's zone.

    A cover that says ``holidays: false`` runs through holidays and half days (X-26).
    """
    return Calendar(
        cover.weekly,
        time_zone,
        holidays=holidays if cover.holidays else None,
        half_days=half_days if cover.holidays else None,
        confirmed_through_year=confirmed_through_year if cover.holidays else None,
        label=cover.label,
    )


def _spans(windows: Sequence[Window]) -> Spans:
    """Return windows in seconds after midnight, ascending, joined where they touch."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted((_clock(window.open), _clock(window.close)) for window in windows):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return tuple(spans)


def _clock(text: str) -> int:
    """Return seconds after midnight of HH:MM; 24:00 is the next midnight (CAL-1)."""
    return int(text[:2]) * 3600 + int(text[3:]) * 60


def _offset_at(zone: ZoneInfo, instant: int) -> int:
    """Return the zone's offset east of UTC in seconds at an instant."""
    offset = instant_of(instant).astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always knows
    return offset.days * DAY + offset.seconds


def _offsets(zone: ZoneInfo, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(from, to, offset)`` in UTC: the stretches in which the zone keeps one offset.

    Offsets are compared day by day and a change is then searched to the second; no zone changes twice
    within a day and comes back to where it was.
    """
    start, offset = low, _offset_at(zone, low)
    for day in range(low + DAY, high + DAY, DAY):
        then = _offset_at(zone, day)
        if then != offset:
            before, after = day - DAY, day
            while after - before > 1:
                middle = (before + after) // 2
                if _offset_at(zone, middle) == offset:
                    before = middle
                else:
                    after = middle
            if after < high:
                yield start, after, offset
                start, offset = after, then
    yield start, high, offset


def _wall_to_utc(local: int, zone: ZoneInfo) -> int:
    """Return the first instant at which the zone's clocks show ``local`` or, in a gap, jump over it.

    ``local`` is a wall time in seconds after 1970-01-01T00:00 of the same wall.
    """
    before, after = _offset_at(zone, local - DAY), _offset_at(zone, local + DAY)
    for offset in sorted({before, after}, reverse=True):
        if _offset_at(zone, local - offset) == offset:
            return local - offset
    # In a gap: the jump is the last second of the old offset plus one.
    low, high = local - max(before, after), local - min(before, after)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
