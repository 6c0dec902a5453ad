"""The forms of a value on its way into and out of PostgreSQL, and the fast way in.

May not know what the values mean. It keeps one law: what is read equals what was written, or it was never
accepted; but for what PostgreSQL's text cannot hold, NUL and half a surrogate pair, which become visible signs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import count, islice
from types import NoneType
from typing import Any

import orjson
from sqlalchemy import Connection, Table, Text, any_, cast, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import NullType

from sfsync.records import Value

_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "$"
_numbers = count(1)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def clean(value: Any) -> Any:
    """Return ``value`` with NUL as U+2400 and half a surrogate pair as U+FFFD (D12)."""
    if type(value) is str:
        if "\0" in value:
            value = value.replace("\0", "\u2400")
        if not value.isascii():
            value = _SURROGATE.sub("\ufffd", value)
    return value


def to_json(values: Mapping[str, Any]) -> str:
    """Return values as JSON; decimals, dates and instants carry their type."""
    if _PLAIN.issuperset(map(type, values.values())):
        return wire_json(values)
    tagged = {clean(name): _tagged(value) for name, value in values.items()}
    try:
        return orjson.dumps(tagged).decode()
    except TypeError:  # a number of more than 64 bits
        return _encode(tagged)


_PLAIN = frozenset((str, int, bool, NoneType))
"""What is its own form in JSON."""


def value_json(value: Any) -> str:
    """Return one value in wire form as JSON."""
    return json.dumps(clean(value))


def wire_json(values: Mapping[str, Any]) -> str:
    """Return values in wire form as JSON; they are text, integers, booleans and null already."""
    try:
        written = orjson.dumps(values if type(values) is dict else dict(values)).decode()
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        written = "\\u0000"
    if "\\u0000" in written:
        written = _encode({clean(name): clean(value) for name, value in values.items()})
    return written


def from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that ``to_json`` was given."""
    return {name: _untagged(value) for name, value in stored.items()}


def _tagged(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case str():
            return clean(value)
        case Decimal() if value.is_finite():
            return {_TAG: "decimal", "v": str(value)}
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"{value!r} is no instant: it has no zone")
            return {_TAG: "instant", "v": value.astimezone(UTC).isoformat()}
        case date():
            return {_TAG: "date", "v": value.isoformat()}
        case list() | tuple():
            return [_tagged(one) for one in value]
        case Mapping():
            return {_TAG: "map", "v": {clean(str(k)): _tagged(v) for k, v in value.items()}}
    raise ValueError(f"the store has no form for {value!r}")


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value[_TAG]:
        case "decimal":
            return Decimal(value["v"])
        case "instant":
            return datetime.fromisoformat(value["v"])
        case "date":
            return date.fromisoformat(value["v"])
    return {k: _untagged(v) for k, v in value["v"].items()}


def any_of(values: Iterable[str]) -> Any:
    """Return what a column is compared with to be one of ``values``; for thousands of them, through an index."""
    # A bare parameter, read as an array once: the driver's own list takes ten times as long to write, and a text that
    # is cast is read again for every row.
    return any_(cast(literal(text_array(values), NullType()), ARRAY(Text)))


def text_array(values: Iterable[str]) -> str:
    """Return texts as the literal of a ``text[]``."""
    given = list(values)
    joined = "".join(given)
    if "\\" in joined or '"' in joined:
        given = [value.replace("\\", "\\\\").replace('"', '\\"') for value in given]
    return '{"' + '","'.join(given) + '"}' if given else "{}"


@contextmanager
def staged(
    connection: Connection,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Value | list[str]]],
    *,
    joined: bool = True,
) -> Iterator[str]:
    """Copy rows into a temporary table of these columns (name to SQL type) and yield its name, quoted for SQL.

    ``joined`` says that the statement joins it to others; one that only reads it whole needs no statistics.
    """
    name = stage(connection, columns, rows)
    if joined:  # without it the planner takes a few rows for thousands, and reads the whole table they are joined to
        connection.exec_driver_sql(f"ANALYZE {name}")
    yield name
    connection.exec_driver_sql(f"DROP TABLE {name}")


def stage(connection: Connection, columns: Mapping[str, str], rows: Iterable[Sequence[Value | list[str]]] | str) -> str:
    """Copy rows into a temporary table that ends with the transaction; return its name.

    The rows may be as ``lines`` writes them already.
    """
    name = f"stage_{next(_numbers)}"
    written = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ({written}) ON COMMIT DROP")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN (NULL E'\\x02')") as copy:
        if isinstance(rows, str):
            copy.write(rows)
        else:
            waiting = iter(rows)
            while block := list(islice(waiting, COPIED_AT_ONCE)):
                copy.write(lines(zip(*block, strict=True)))
    return name


COPIED_AT_ONCE = 1_000
"""Rows handed to the driver at a time."""
_NULL = "\x02"
"""Stands for null: a character that a text may hold too, but hardly ever does."""
_UNUSUAL = ("\\", "\n", "\r", "\t", _NULL, "\0")
_FORMS: dict[type, Callable[[Any], str]] = {
    bool: {True: "t", False: "f"}.__getitem__,
    int: str,
    Decimal: str,
    date: lru_cache(maxsize=8192)(date.isoformat),
    datetime: lru_cache(maxsize=8192)(datetime.isoformat),  # a record's instants are often one and the same
    list: lambda value: _escaped(text_array(map(clean, value))),
    str: lambda value: _escaped(clean(value)),
}


def lines(columns: Iterable[Sequence[Any]]) -> str:
    """Return rows, given by columns, as COPY reads them, a line each; their texts are made clean (D12).

    The driver does this value by value, at several times the cost; here a column is looked through as a whole.
    """
    return "\n".join([*map("\t".join, zip(*map(_column, columns), strict=True)), ""])


def _column(values: Sequence[Any]) -> Iterable[str]:
    """Return the values of one column as COPY reads them; most columns hold one type, and no text that is unusual."""
    kinds = set(map(type, values))
    some = NoneType in kinds
    kinds.discard(NoneType)
    if kinds == {str} and not _is_unusual("".join(filter(None, values) if some else values)):
        return [_NULL if value is None else value for value in values] if some else values
    form = _FORMS.get(next(iter(kinds)), _cell) if len(kinds) == 1 else _cell
    return [_NULL if value is None else form(value) for value in values] if some else map(form, values)


def _is_unusual(text: str) -> bool:
    return any(sign in text for sign in _UNUSUAL) or not (text.isascii() or _SURROGATE.search(text) is None)


def _cell(value: Any) -> str:
    form = _FORMS.get(type(value))
    if form is not None:
        return form(value)
    if isinstance(value, Enum):
        return _escaped(str(value.value))
    raise ValueError(f"the store has no form for {value!r}")


def _escaped(text: str) -> str:
    for sign, written in _ESCAPES:
        if sign in text:
            text = text.replace(sign, written)
    return text


_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), (_NULL, "\\x02"))


def sql_types(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Return the SQL type of each named column of a table, for ``staged``."""
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return {name: table.c[name].type.compile(dialect=dialect) for name in names}
