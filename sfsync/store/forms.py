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
from itertools import count
from types import NoneType
from typing import Any

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
    return _encode({clean(k): _tagged(v) for k, v in values.items()})


def value_json(value: Any) -> str:
    """Return one value in wire form as JSON."""
    return json.dumps(clean(value))


def wire_json(values: Mapping[str, Any]) -> str:
    """Return values in wire form as JSON; they are text, integers, booleans and null already."""
    written = _encode(values if type(values) is dict else dict(values))
    if "\\u0000" in written or (not written.isascii() and _SURROGATE.search(written)):
        written = _encode({name: clean(value) for name, value in values.items()})
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
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


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
    name = f"stage_{next(_numbers)}"
    written = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ({written}) ON COMMIT DROP")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN (NULL E'\\x02')") as copy:
        lines: list[str] = []
        for row in rows:
            lines.append(copy_line(row))
            if len(lines) == COPIED_AT_ONCE:
                copy.write("".join(lines))
                lines.clear()
        copy.write("".join(lines))
    if joined:  # without it the planner takes a few rows for thousands, and reads the whole table they are joined to
        connection.exec_driver_sql(f"ANALYZE {name}")
    yield name
    connection.exec_driver_sql(f"DROP TABLE {name}")


COPIED_AT_ONCE = 500
"""Rows handed to the driver at a time."""
_NULL = "\x02"
"""Stands for null in a line: a character that a text may hold too, but hardly ever does."""
_FORMS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: _NULL,
    bool: lambda value: "t" if value else "f",
    int: str,
    Decimal: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    list: lambda value: text_array(map(clean, value)),
}


def copy_line(row: Sequence[Any]) -> str:
    """Return a row as COPY reads it; its texts are made clean (D12).

    The driver does this value by value, at several times the cost; here a line is looked through as a whole, and only
    one that holds something unusual is made again cell by cell.
    """
    cells = [value if type(value) is str else _FORMS.get(type(value), _other)(value) for value in row]
    line = "\t".join(cells)
    usual = line.count("\t") == len(cells) - 1 and line.count(_NULL) == row.count(None) and "\0" not in line
    if not usual or not (line.isascii() or _SURROGATE.search(line) is None):
        pairs = zip(row, cells, strict=True)
        return "\t".join([_NULL if value is None else _escaped(clean(cell)) for value, cell in pairs]) + "\n"
    if "\\" in line or "\n" in line or "\r" in line:
        line = _one_line(line)
    return line + "\n"


def _other(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    raise ValueError(f"the store has no form for {value!r}")


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _escaped(text: str) -> str:
    return _one_line(text).replace("\t", "\\t").replace(_NULL, "\\x02")


def sql_types(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Return the SQL type of each named column of a table, for ``staged``."""
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return {name: table.c[name].type.compile(dialect=dialect) for name in names}
