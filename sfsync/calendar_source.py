"""National holidays from the ``holidays`` package: asked at publication and by the drift check, never at work.

The only module that knows the package. It changes under us (decrees, corrections), which is why what it says
becomes a ``HolidaySnapshot`` that a person publishes (CAL-6). It keeps one law: same version, same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from importlib.metadata import version

from sfsync.errors import PolicyError
from sfsync.policy import HolidayChoice, HolidayList
from sfsync.rules.holiday_snapshot import DayChange, HolidaySnapshot, differences, publish

YEARS_AHEAD = 2
"""A snapshot reaches this many years beyond its publication."""


def listed_holidays(choice: HolidayChoice, years: Iterable[int]) -> dict[date, str]:
    """Return the union of the lists of a choice; no country: no holidays (X-27).

    Names are in each country's own language; a day that several lists have carries the name of the first. Raises
    ``PolicyError`` for what the package does not know.
    """
    wanted = list(years)
    found: dict[date, str] = {}
    for each in reversed(choice.lists):
        found.update(_listed(each, wanted))
    return dict(sorted(found.items()))


def _listed(one: HolidayList, years: list[int]) -> dict[date, str]:
    import holidays  # a twentieth of a second, paid at publication only

    # Left to itself the package reads the language off the machine: names would differ from worker to worker.
    language = getattr(getattr(holidays, one.country, None), "default_language", None)
    try:
        found = holidays.country_holidays(
            one.country, subdiv=one.subdivision, years=years, categories=one.categories, language=language
        )
    except (NotImplementedError, ValueError) as error:
        raise PolicyError(f"no holidays are known for {one.where} {'/'.join(one.categories)}: {error}") from error
    return dict(found.items())


def source_name(choice: HolidayChoice) -> str:
    """Return what a snapshot notes as its source: package, version, and of each list country and categories."""
    if not choice.lists:
        return "none"
    asked = ", ".join(f"{each.where} {'/'.join(each.categories)}" for each in choice.lists)
    return f"holidays {version('holidays')} {asked}"


def make_snapshot(choice: HolidayChoice, *, first_year: int, number: int, now: datetime) -> HolidaySnapshot:
    """Return what would be published ``now``: from ``first_year`` to two years ahead."""
    last_year = now.year + YEARS_AHEAD
    return publish(
        choice,
        listed_holidays(choice, range(first_year, last_year + 1)),
        first_year=first_year,
        last_year=last_year,
        version=number,
        source=source_name(choice),
        published_at=now,
    )


def drift(choice: HolidayChoice, published: HolidaySnapshot, *, now: datetime) -> list[DayChange]:
    """Return how the installed package differs from what is published: a proposal for a person (CAL-6)."""
    newest = make_snapshot(choice, first_year=published.first_year, number=published.version + 1, now=now)
    return differences(published, newest)
