"""Literals of a statement as SQL parameters, by the type of the field they are compared with.

It may not know clauses or tables. The one law: a literal of the wrong kind is refused with the org's own words, never
coerced by the database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from sfsync.localorg import ids
from sfsync.localorg.soql import periods
from sfsync.localorg.soql.text import malformed, refused, unescaped
from sfsync.localorg.soql.tree import Value

ID_TYPES = frozenset({"id", "reference"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})
_EXACT = 2**53
_EPOCH = date(1970, 1, 1)
_WANTED = {
    "boolean": ("boolean",),
    "int": ("number",),
    "double": ("number",),
    "percent": ("number",),
    "currency": ("number", "currency"),
    "date": ("date", "period"),
    "day": ("date", "period"),
    "datetime": ("datetime", "period"),
    "time": ("time",),
}
_SHOWN = {
    "datetime": "dateTime",
    "day": "date",
    "reference": "id",
    "picklist": "string",
    "textarea": "string",
    "combobox": "string",
}

Scalar = str | int | float


@dataclass(frozen=True, slots=True)
class Range:
    """A half-open range that a relative date stands for; ``first`` and ``after`` are stored forms."""

    first: Scalar
    after: Scalar


class Literals:
    """Reads the literals of one statement for one user."""

    def __init__(self, text: str, now: datetime, zone: tzinfo) -> None:
        self.text = text
        self.zone = zone
        self.today = periods.local_date(now, zone)

    def read(self, value: Value, kind: str, name: str, at: int) -> Scalar | Range | None:
        """Return the stored form of ``value`` for a field of describe type ``kind``; None for null.

        ``name`` and ``at`` are the field's, for the refusal of a value of another kind.
        """
        if value.kind == "null":
            return None
        wanted = _WANTED.get(kind, ("string",))
        if value.kind not in wanted:
            shown = _SHOWN.get(kind, kind)
            quotes = "should be enclosed in quotes" if wanted == ("string",) else "should not be enclosed in quotes"
            message = f"value of filter criterion for field '{name}' must be of type {shown} and {quotes}"
            raise refused("INVALID_FIELD", self.text, at, message)
        if kind in ID_TYPES:
            return self._id(value, at)
        if kind == "boolean":
            return int(value.text == "true")
        if kind in NUMBER_TYPES:
            return self._number(value)
        if kind == "date":
            return self._date(value)
        if kind == "day":
            return self._day_number(value)
        if kind == "datetime":
            return self._datetime(value)
        if kind == "time":
            return f"{value.text[:8]}.000Z"
        return self.string(value) or None

    def string(self, value: Value) -> str:
        """Return the characters of a string literal."""
        return well_formed(unescaped(value.text, self.text, value.at))

    def _id(self, value: Value, at: int) -> Scalar | None:
        written = self.string(value)
        if not written:
            return None
        found = ids.to_long(written)
        if found is None:
            raise refused("INVALID_QUERY_FILTER_OPERATOR", self.text, at, f"invalid ID field: {written}")
        return found

    @staticmethod
    def _number(value: Value) -> Scalar:
        number = float(value.text[3:] if value.kind == "currency" else value.text)
        return int(number) if number.is_integer() and abs(number) < _EXACT else number

    def _date(self, value: Value) -> Scalar | Range:
        if value.kind == "date":
            return self._day(value).isoformat()
        first, after = self._period(value)
        return Range(first.isoformat(), after.isoformat())

    def _day_number(self, value: Value) -> Scalar | Range:
        if value.kind == "date":
            return (self._day(value) - _EPOCH).days
        first, after = self._period(value)
        return Range((first - _EPOCH).days, (after - _EPOCH).days)

    def _datetime(self, value: Value) -> Scalar | Range:
        if value.kind == "datetime":
            return self._instant(value)
        first, after = self._period(value)
        return Range(periods.midnight(first, self.zone), periods.midnight(after, self.zone))

    def _period(self, value: Value) -> tuple[date, date]:
        try:
            first, after = periods.period(value.text, value.count, self.today)
        except (OverflowError, ValueError):
            raise malformed(self.text, value.at, f"Invalid date literal: {value.text}:{value.count}") from None
        return self._in_calendar(first, value), self._in_calendar(after, value)

    def _day(self, value: Value) -> date:
        try:
            day = date.fromisoformat(value.text)
        except ValueError:
            raise malformed(self.text, value.at, f"Invalid date: {value.text}") from None
        return self._in_calendar(day, value)

    def _instant(self, value: Value) -> int:
        written = re.sub(r"\.\d+", "", value.text.upper())  # stored instants are whole seconds
        try:
            instant = datetime.fromisoformat(written)
        except ValueError:
            raise malformed(self.text, value.at, f"Invalid dateTime: {value.text}") from None
        self._in_calendar(instant.date(), value)
        return int(instant.timestamp())

    def _in_calendar(self, day: date, value: Value) -> date:
        if not periods.FIRST_DAY <= day <= periods.LAST_DAY:
            raise malformed(self.text, value.at, f"Date or dateTime out of range: {value.text}")
        return day


def well_formed(text: str) -> str:
    """Return ``text`` with pairs of surrogates joined and lone ones replaced, so that it can be stored."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
