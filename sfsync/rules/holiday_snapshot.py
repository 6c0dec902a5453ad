"""A client's holidays as published: explicit dates with a version and a fingerprint (CAL-4, CAL-6).

Pure: the list of a country is given, from ``sfsync.calendar_source`` at publication and from the store at work.
It keeps one law: a calendar changes only by a new version; what a newer library says is proposed, never applied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sfsync.policy import Cover, HolidayChoice, Window
from sfsync.rules.calendar import Calendar, calendar_of


@dataclass(frozen=True, slots=True)
class HolidaySnapshot:
    """One published version of a client's holidays."""

    version: int
    published_at: datetime
    source: str
    """Where the national list came from: ``holidays 0.109 AR`` or ``none``."""
    first_year: int
    last_year: int
    """The years the list was made for; outside them no holiday is known."""
    days: Mapping[date, str] = field(default_factory=dict)
    half_days: Mapping[date, tuple[Window, ...]] = field(default_factory=dict)
    confirmed_through_year: int | None = None
    """Later years are provisional: decrees may still add days. None: there is no list that could change."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the days and half days: equal if and only if the calendars behave alike."""
        data = self.as_data()
        body = json.dumps([data["days"], data["half_days"]], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(body.encode()).hexdigest()

    def as_data(self) -> dict[str, Any]:
        """Return the snapshot in JSON's own types, for the store and for the client's org."""
        return {
            "version": self.version,
            "published_at": self.published_at.isoformat(),
            "source": self.source,
            "first_year": self.first_year,
            "last_year": self.last_year,
            "days": {day.isoformat(): self.days[day] for day in sorted(self.days)},
            "half_days": {
                day.isoformat(): [[window.open, window.close] for window in self.half_days[day]]
                for day in sorted(self.half_days)
            },
            "confirmed_through_year": self.confirmed_through_year,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HolidaySnapshot:
        """Return the snapshot that ``as_data`` gave."""
        return cls(
            version=data["version"],
            published_at=datetime.fromisoformat(data["published_at"]),
            source=data["source"],
            first_year=data["first_year"],
            last_year=data["last_year"],
            days={date.fromisoformat(day): name for day, name in data["days"].items()},
            half_days={
                date.fromisoformat(day): tuple(Window(open=a, close=b) for a, b in windows)
                for day, windows in data["half_days"].items()
            },
            confirmed_through_year=data["confirmed_through_year"],
        )


@dataclass(frozen=True, slots=True)
class DayChange:
    """A day on which two versions differ."""

    day: date
    change: str
    """``added``, ``removed``, ``half day added``, ``half day removed`` or ``half day changed``."""
    name: str


def publish(
    choice: HolidayChoice,
    listed: Mapping[date, str],
    *,
    first_year: int,
    last_year: int,
    version: int,
    source: str,
    published_at: datetime,
) -> HolidaySnapshot:
    """Return the snapshot of a client's choice: the national list, less what is excluded, plus what is included.

    A year is provisional unless the choice confirms it; without a word on it the year of publication is the
    last confirmed one (part 3 of the contract).
    """
    days = {
        day: name for day, name in listed.items() if first_year <= day.year <= last_year and day not in choice.exclude
    }
    days.update(choice.include)
    confirmed = choice.confirmed_through_year
    if confirmed is None and choice.lists:
        confirmed = published_at.year
    return HolidaySnapshot(
        version=version,
        published_at=published_at,
        source=source,
        first_year=first_year,
        last_year=last_year,
        days=days,
        half_days=dict(choice.half_days),
        confirmed_through_year=None if confirmed is None else min(confirmed, last_year),
    )


def useless_excludes(choice: HolidayChoice, listed: Mapping[date, str]) -> list[date]:
    """Return excluded dates that the national list does not have: a typing error, or a list that changed."""
    years = {day.year for day in listed}
    return sorted(day for day in choice.exclude if day.year in years and day not in listed)


def differences(old: HolidaySnapshot, new: HolidaySnapshot) -> list[DayChange]:
    """Return the days on which two versions differ, in the years both know; a new name is no difference."""
    first, last = max(old.first_year, new.first_year), min(old.last_year, new.last_year)
    found: list[DayChange] = []
    for day in {*old.days, *new.days, *old.half_days, *new.half_days}:
        if not first <= day.year <= last:
            continue
        if (day in old.days) != (day in new.days):
            change, days = ("added", new.days) if day in new.days else ("removed", old.days)
            found.append(DayChange(day, change, days[day]))
        before, after = old.half_days.get(day), new.half_days.get(day)
        if before != after:
            change = "half day " + ("added" if before is None else "removed" if after is None else "changed")
            found.append(DayChange(day, change, ""))
    return sorted(found, key=lambda change: (change.day, change.change))


def calendars(covers: Mapping[str, Cover], time_zone: str, snapshot: HolidaySnapshot | None) -> dict[str, Calendar]:
    """Return the calendar of every cover for a client's zone and published holidays, by the cover's key.

    ``None`` gives calendars without holidays. Raises ``PolicyError`` for an unknown zone.
    """
    return {
        key: calendar_of(
            cover,
            time_zone,
            holidays=snapshot.days if snapshot else None,
            half_days=snapshot.half_days if snapshot else None,
            confirmed_through_year=snapshot.confirmed_through_year if snapshot else None,
        )
        for key, cover in covers.items()
    }
