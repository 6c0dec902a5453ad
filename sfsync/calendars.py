"""A client's cover calendars on its published holidays, and what a newer list of holidays would change.

Joins the store's snapshots with the holiday package. May not know orgs. It keeps one law: workers read
what a person published; a newer library only proposes (CAL-6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sfsync.calendar_source import YEARS_AHEAD, listed_holidays, source_name
from sfsync.language import language
from sfsync.mapping import Client
from sfsync.policy import ClientTerms, Plans
from sfsync.rules.calendar import Calendar, calendar_of
from sfsync.rules.evaluate import Contract, Facts
from sfsync.rules.holiday_snapshot import DayChange, HolidaySnapshot, publish
from sfsync.rules.sla_simulate import MovedDeadline, PastCase, moved_deadlines
from sfsync.store.store import Store

FIRST_YEAR = 2015
"""Cases as old as this are judged with the holidays of their year."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What publishing the newest list would change."""

    days: tuple[DayChange, ...]
    moved: tuple[MovedDeadline, ...]
    """Open clocks whose due time would move."""


class Calendars:
    """The calendars of every client."""

    def __init__(self, store: Store, plans: Plans) -> None:
        self._store, self._plans = store, plans
        self._contracts: dict[tuple[str, str, int], Contract] = {}

    def contract(self, client: Client, now: datetime) -> Contract:
        """Return what a client was promised, on its published holidays; a year nobody published is published once."""
        days = self._published(client.terms, now)
        name = (client.terms.client, repr(sorted(days)), now.year)
        if name not in self._contracts:
            covers = self._covers(client.terms, days, now)
            self._contracts[name] = Contract(client.terms, self._plans, covers, language(client.terms.languages[0]))
        return self._contracts[name]

    def proposal(self, client: Client, facts: Facts, now: datetime) -> Proposal:
        """Return how the newest list differs from what is published, and the open deadlines that would move."""
        terms = client.terms
        changes, newest = self._compared(terms, now)
        cases = [
            PastCase(case, facts.events.get(key, ()), facts.milestones.get(key, ()))
            for key, case in facts.cases.items()
        ]
        covers = self._covers(terms, newest, now)
        moved = moved_deadlines(cases, terms=terms, plans=self._plans, covers=covers, now=now) if changes else []
        return Proposal(tuple(changes), tuple(moved))

    def changes(self, terms: ClientTerms, now: datetime) -> tuple[DayChange, ...]:
        """Return the days on which the newest list differs from what is published."""
        return tuple(self._compared(terms, now)[0])

    def _compared(self, terms: ClientTerms, now: datetime) -> tuple[list[DayChange], dict[date, str]]:
        """Return how the newest list differs from what is published, and that list."""
        days = self._published(terms, now)
        newest: dict[date, str] = {}
        changes: list[DayChange] = []
        for year in self._years(now):
            fresh = self._fresh(terms, year, now)
            newest |= fresh.days
            old = {day: label for day, label in days.items() if day.year == year}
            for day in sorted({*old, *fresh.days}):
                if (day in old) != (day in fresh.days):
                    change = "added" if day in fresh.days else "removed"
                    changes.append(DayChange(day, change, fresh.days.get(day) or old[day]))
        return changes, newest

    def publish(self, client: Client, now: datetime) -> int:
        """Put the newest list in force for every year it changes; return how many years that were."""
        terms = client.terms
        before = self._store.snapshots(terms.client)
        changed = 0
        for year in self._years(now):
            fresh = self._fresh(terms, year, now)
            if set(fresh.days) != set(before.get(year, {})):
                self._store.publish_snapshot(
                    terms.client, year, fresh.days, source=fresh.source, digest=fresh.fingerprint, now=now
                )
                changed += 1
        if changed:
            self._store.evaluate_again(terms.client)
        return changed

    def _years(self, now: datetime) -> range:
        return range(FIRST_YEAR, now.year + YEARS_AHEAD + 1)

    def _published(self, terms: ClientTerms, now: datetime) -> dict[date, str]:
        published = self._store.snapshots(terms.client)
        for year in self._years(now):
            if year not in published:
                fresh = self._fresh(terms, year, now)
                self._store.publish_snapshot(
                    terms.client, year, fresh.days, source=fresh.source, digest=fresh.fingerprint, now=now
                )
                published[year] = dict(fresh.days)
        return {day: label for days in published.values() for day, label in days.items()}

    def _fresh(self, terms: ClientTerms, year: int, now: datetime) -> HolidaySnapshot:
        mine = {day: why for day, why in terms.holidays.include.items() if day.year == year}
        choice = terms.holidays.model_copy(update={"include": mine})
        return publish(
            choice,
            listed_holidays(choice, [year]),
            first_year=year,
            last_year=year,
            version=1,
            source=source_name(choice),
            published_at=now,
        )

    def _covers(self, terms: ClientTerms, days: dict[date, str], now: datetime) -> dict[str, Calendar]:
        choice = terms.holidays
        confirmed = choice.confirmed_through_year
        if confirmed is None and choice.country is not None:
            confirmed = now.year  # bridge days are decreed late each year: a later year is provisional until confirmed
        return {
            name: calendar_of(
                cover,
                terms.time_zone,
                holidays=days if cover.holidays else None,
                half_days=choice.half_days if cover.holidays else None,
                confirmed_through_year=confirmed,
            )
            for name, cover in self._plans.covers.items()
        }
