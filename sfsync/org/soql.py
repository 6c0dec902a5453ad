"""SOQL text and record URLs from names and values that were checked first.

This module may not know who asks or what for. It keeps one law: a name matches a pattern, a value goes through one
quoting function, and nothing else ever becomes part of a query or of a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias
from urllib.parse import quote

Literal: TypeAlias = None | bool | int | Decimal | str | date | datetime

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(?:\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}")
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_LOCATOR = re.compile(r"[A-Za-z0-9_.\-]{1,200}")
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_TO_ESCAPE = re.compile(r"[\\'\n\r\t\b\f]")

MAX_STATEMENT = 100_000
"""Characters of one SOQL statement that Salesforce accepts."""


class Unquotable(ValueError):
    """A name, an id or a value that must not become part of a query or a path."""


def name(text: str) -> str:
    """Return ``text`` if it is an API name or a dotted path of them; Unquotable otherwise."""
    if not _NAME.fullmatch(text):
        raise Unquotable(f"{text!r} is no API name")
    return text


def record_id(text: str) -> str:
    """Return ``text`` if it has the form of a record id (15 or 18 characters); Unquotable otherwise."""
    if not _ID.fullmatch(text):
        raise Unquotable(f"{text!r} is no record id")
    return text


def literal(value: Literal) -> str:
    """Return a value as SOQL text; Unquotable for what SOQL cannot say (NUL, NaN, an instant without a zone)."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            if not value.is_finite():
                raise Unquotable(f"{value} is no number")
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                raise Unquotable(f"{value!r} has no zone")
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
        case str():
            if "\x00" in value:
                raise Unquotable("SOQL has no NUL character")
            return "'" + _TO_ESCAPE.sub(lambda m: _ESCAPES[m[0]], value) + "'"
    raise Unquotable(f"{value!r} has no SOQL form")


def compare(field: str, operator: str, value: Literal) -> str:
    """Return ``field operator value`` as a condition."""
    if operator not in ("=", "!=", "<", "<=", ">", ">="):
        raise Unquotable(f"{operator!r} is no operator")
    return f"{name(field)} {operator} {literal(value)}"


def among(field: str, values: Iterable[Literal]) -> str:
    """Return ``field IN (...)``; Unquotable for an empty list, which SOQL does not have."""
    quoted = ", ".join(literal(v) for v in values)
    if not quoted:
        raise Unquotable(f"{field} IN () matches nothing: do not ask")
    return f"{name(field)} IN ({quoted})"


def every(*conditions: str) -> str:
    """Return the conditions joined by AND; one with an OR in it must come from :func:`either`."""
    return " AND ".join(c for c in conditions if c)


def either(*conditions: str) -> str:
    """Return the conditions joined by OR, in parentheses."""
    return "(" + " OR ".join(conditions) + ")"


def after(stamp: datetime, last_id: str) -> str:
    """Return the condition for rows behind ``(stamp, last_id)`` in the order of (SystemModstamp, Id)."""
    same = f"({compare('SystemModstamp', '=', stamp)} AND {compare('Id', '>', record_id(last_id))})"
    return either(compare("SystemModstamp", ">", stamp), same)


@dataclass(frozen=True, slots=True)
class Select:
    """One query, built part by part; ``str()`` of it is the statement."""

    fields: tuple[str, ...]
    source: str
    where: str = ""
    order: tuple[str, ...] = ()
    limit: int | None = None
    children: tuple[Select, ...] = ()

    def having(self, *conditions: str) -> Select:
        """Return this query with ``conditions`` added to its WHERE."""
        return replace(self, where=every(self.where, *conditions))

    def __str__(self) -> str:
        """Return the SOQL text."""
        parts = [name(f) for f in self.fields] + [f"({child})" for child in self.children]
        text = f"SELECT {', '.join(parts)} FROM {name(self.source)}"
        if self.where:
            text += f" WHERE {self.where}"
        if self.order:
            text += f" ORDER BY {', '.join(name(f) for f in self.order)}"
        if self.limit is not None:
            text += f" LIMIT {int(self.limit)}"
        if len(text) > MAX_STATEMENT:
            raise Unquotable(f"the statement has {len(text)} characters, Salesforce takes {MAX_STATEMENT}")
        return text


# --- paths below /services/data/vXX/ ----------------------------------------------------------------


def query_path(statement: Select | str, *, all_rows: bool) -> str:
    """Return the path of a query; with ``all_rows`` it also sees the recycle bin."""
    return f"{'queryAll' if all_rows else 'query'}?q={quote(str(statement), safe='')}"


def record_path(sobject: str, sf_id: str) -> str:
    """Return the path of one record by its id."""
    return f"sobjects/{name(sobject)}/{record_id(sf_id)}"


def key_path(sobject: str, key_field: str, key: str) -> str:
    """Return the path of one record by its external id, percent-encoded."""
    if not key or "\x00" in key:
        raise Unquotable("an external id is not empty")
    return f"sobjects/{name(sobject)}/{name(key_field)}/{quote(key, safe='')}"


def replication_path(sobject: str, kind: str, start: datetime, end: datetime) -> str:
    """Return the path of ``updated`` or ``deleted`` between two instants."""
    if kind not in ("updated", "deleted"):
        raise Unquotable(f"{kind!r} is neither updated nor deleted")
    window = "&".join(
        f"{edge}={quote(at.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S+00:00'), safe='')}"
        for edge, at in (("start", start), ("end", end))
    )
    return f"sobjects/{name(sobject)}/{kind}/?{window}"


def locator(next_records_url: str) -> str:
    """Return the locator at the end of a ``nextRecordsUrl``; Unquotable if it does not look like one."""
    text = next_records_url.rsplit("/", 1)[-1]
    if not _LOCATOR.fullmatch(text):
        raise Unquotable(f"{next_records_url!r} ends in no query locator")
    return text


def chunked(values: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """Return ``values`` in runs of at most ``size``."""
    return (values[start : start + size] for start in range(0, len(values), size))
