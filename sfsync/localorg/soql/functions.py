"""SOQL functions as SQL: aggregates, calendar buckets, labels and formats.

It may not know clauses. The one law: a function says which type it gives, so that filters and results treat its value
like a field's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from unicodedata import combining, normalize
from zoneinfo import ZoneInfo

from sfsync.localorg.schema import Field
from sfsync.localorg.soql.conditions import Parameters
from sfsync.localorg.soql.values import NUMBER_TYPES

AGGREGATES = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX", "COUNT_DISTINCT"})
_PARTS = {  # function -> (SQL over {month}, {day} ..., works on dates, works on datetimes)
    "CALENDAR_YEAR": ("CAST({part:%Y} AS INTEGER)", True),
    "CALENDAR_QUARTER": ("(CAST({part:%m} AS INTEGER) + 2) / 3", True),
    "CALENDAR_MONTH": ("CAST({part:%m} AS INTEGER)", True),
    "DAY_IN_MONTH": ("CAST({part:%d} AS INTEGER)", True),
    "DAY_IN_WEEK": ("CAST({part:%w} AS INTEGER) + 1", True),
    "DAY_IN_YEAR": ("CAST({part:%j} AS INTEGER)", True),
    "WEEK_IN_MONTH": ("(CAST({part:%d} AS INTEGER) - 1) / 7 + 1", True),
    "WEEK_IN_YEAR": ("(CAST({part:%j} AS INTEGER) - 1) / 7 + 1", True),
    "HOUR_IN_DAY": ("CAST({part:%H} AS INTEGER)", False),
}
CALENDAR = frozenset(_PARTS) | {"FISCAL_YEAR", "FISCAL_QUARTER", "FISCAL_MONTH", "DAY_ONLY"}
SHOWN = frozenset({"TOLABEL", "FORMAT", "CONVERTCURRENCY"})


@dataclass(frozen=True, slots=True)
class _Part:
    """Formats as the strftime call for the part its format spec names."""

    operand: str
    modifier: str

    def __format__(self, spec: str) -> str:
        return f"strftime('{spec}', {self.operand}{self.modifier})"


def calendar_sql(name: str, operand: str, kind: str) -> tuple[str, str] | None:
    """Return SQL and type of a date function over a date or datetime operand; None when it does not take that type.

    Datetimes are taken in UTC unless the operand was converted to the user's zone (facts 5.1). A day is the number of
    days since 1970, since grouping a million rows by text takes seconds.
    """
    if name == "DAY_ONLY":
        return (f"(({operand} - (({operand} % 86400) + 86400) % 86400) / 86400)", "day") if kind == "datetime" else None
    template, dates = _PARTS[name.replace("FISCAL_", "CALENDAR_")]
    if kind == "date" and dates:
        part = _Part(operand, "")
    elif kind == "datetime":
        part = _Part(operand, ", 'unixepoch'")
    else:
        return None
    return f"({template.format(part=part)})", "int"


def aggregate_sql(name: str, operand: str, one: Field) -> tuple[str, str] | None:
    """Return SQL and type of an aggregate over a field; None when the field's type does not take it."""
    if name == "COUNT":
        return f"COUNT({operand})", "int"
    if name == "COUNT_DISTINCT":
        return f"COUNT(DISTINCT {operand})", "int"
    if name in ("SUM", "AVG"):
        if one.type not in NUMBER_TYPES:
            return None
        kind = "int" if name == "SUM" and one.type == "int" else "double"
        return f"{name}({operand})", kind
    if one.type in ("boolean", "multipicklist", "base64", "time"):
        return None
    return f"{name}({operand})", one.type


def label_sql(operand: str, one: Field, parameters: Parameters) -> str:
    """Return SQL for the label of a picklist value; other text is its own label."""
    pairs = [(each.value, each.label) for each in one.picklist if each.value != each.label]
    if not pairs:
        return operand
    cases = " ".join(f"WHEN {parameters.bind(value)} THEN {parameters.bind(label)}" for value, label in pairs)
    return f"(CASE {operand} {cases} ELSE {operand} END)"


def listed_sql(operand: str, one: Field, parameters: Parameters) -> str:
    """Return SQL by which values of a picklist are in the order of the list, and others behind them."""
    places = " ".join(
        f"WHEN {parameters.bind(each.value)} THEN '{place:05}'" for place, each in enumerate(one.picklist)
    )
    return f"(CASE {operand} {places} ELSE '99999' || soql_sorted({operand}) END)"


def register(connection: sqlite3.Connection) -> None:
    """Give ``connection`` the functions that compiled statements call."""
    connection.create_function("soql_fold", 1, _fold, deterministic=True)
    connection.create_function("soql_sorted", 1, _sorted, deterministic=True)
    connection.create_function("soql_local", 2, _local_seconds, deterministic=True)


def _fold(text: object) -> str | None:
    return text.lower() if isinstance(text, str) else None


def _sorted(text: object) -> str | None:
    """The text by which another is sorted: letters without case, and those with a mark beside those without."""
    if not isinstance(text, str):
        return None
    if text.isascii():
        return text.lower()
    plain = "".join(c for c in normalize("NFKD", text.casefold()) if not combining(c))
    return f"{plain}\0{text.lower()}"


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4096)
def _offset_of_quarter_hour(quarter: int, zone: str) -> int:
    shift = datetime.fromtimestamp(quarter * 900, UTC).astimezone(_zone(zone)).utcoffset()
    return int(shift.total_seconds()) if shift else 0


def _local_seconds(instant: object, zone: str) -> int | None:
    """Seconds of the wall clock in ``zone`` at ``instant``; zones change at quarter hours since 1972."""
    if not isinstance(instant, int):
        return None
    return instant + _offset_of_quarter_hour(instant // 900, zone)


def shown(kind: str) -> Callable[[object], object]:
    """Return what FORMAT does to a value of describe type ``kind`` (English, United States)."""
    if kind in NUMBER_TYPES:
        return _number
    if kind == "date":
        return _date
    if kind == "datetime":
        return _datetime
    return lambda value: value


def _number(value: object) -> object:
    if not isinstance(value, int | float):
        return value
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"


def _date(value: object) -> object:
    if not isinstance(value, str):
        return value
    year, month, day = value.split("-")
    return f"{int(month)}/{int(day)}/{year}"


def _datetime(value: object) -> object:
    if not isinstance(value, int):
        return value
    instant = datetime.fromtimestamp(value, UTC)
    hour = instant.hour % 12 or 12
    half = "AM" if instant.hour < 12 else "PM"
    return f"{instant.month}/{instant.day}/{instant.year}, {hour}:{instant.minute:02} {half}"
