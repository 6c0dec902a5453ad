"""Pages whose text the database writes: one row of SQL is a whole page of records or of CSV lines.

A page of 2,000 records is made of some 30,000 cells, and handing them to Python one by one would take most of its time.
So the database writes the page as JSON and leaves holes for what it cannot write as REST does (instants, numbers with a
fraction), whose values come beside it as lists. It may not know which rows are asked for. The one law: the text is what
``render`` makes of the same rows; what cannot keep to that has no sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sfsync.localorg.soql.render import Instants, Leaf, Shape

Filling = Callable[[list[Any]], list[str]]
# Ends the name of a member that is a hole. Nothing else in JSON can read like this: a quote inside of a text has a
# backslash before it, and one that ends a text has no colon behind it.
_MARK = "\x7f"
_JSON_HOLE, _CSV_HOLE = f'{_MARK}":0', f'{{"{_MARK}":0}}'
_SEAM = "\x02"  # between two calls whose lists are one; a control character is never bare in JSON
_JSON_INSTANTS = Instants('":"', '.000+0000"', '":null')
_CSV_INSTANTS = Instants('"', '.000Z"', '""')
_REALS = frozenset({"double", "currency", "percent"})
_ONLY_RENDERED = frozenset({"address", "location", "base64", "day"})
_MOST_ARGUMENTS = 120  # of a function of the database


@dataclass(slots=True)
class Sheet:
    """``columns`` is what to select, aggregated over the rows of a page: the text with holes, and a list for each."""

    columns: str
    fillings: list[Filling]
    hole: str

    def text(self, row: Sequence[str | None]) -> str:
        """Return the page that the one row of the statement stands for."""
        text, *lists = row
        if not text:
            return ""
        if _SEAM in text:
            text = text.replace(f"}}{_SEAM}{{", ",").replace(f"]{_SEAM}[", ",")
        parts = text.split(self.hole)
        holes = 2 * len(self.fillings)
        pieces = [""] * (2 * len(parts) - 1)
        pieces[::2] = parts
        for place, (fill, values) in enumerate(zip(self.fillings, lists, strict=True)):
            pieces[2 * place + 1 :: holes] = fill(orjson.loads(values or "[]"))
        return "".join(pieces)


# REST


def json_sheet(shape: Shape, columns: Sequence[str], version: str) -> Sheet | None:
    """Return how to have a page of records of ``shape`` as JSON, with commas between; None where only cells will do."""
    if len(shape.types) != 1 or shape.variants:
        return None
    base = f"/services/data/v{version}/sobjects/"
    name, at = shape.types[0]
    front = f'":{{"type":"{shape.shown_type or name}","url":"{base}{name}/'
    pairs = [f"'attributes{_MARK}', 0"]
    lists = [f"json_group_array({columns[at]})"]
    fillings: list[Filling] = [lambda ids: [f'{front}{each}"}}' for each in ids]]
    for key, member in shape.members.items():
        hole = _hole(member, columns)
        if hole is not None:
            pairs.append(f"{_sql_text(key + _MARK)}, 0")
            lists.append(hole[0])
            fillings.append(hole[1])
            continue
        sql = _json_sql(member, columns, base)
        if sql is None:
            return None
        pairs.append(f"{_sql_text(key)}, {sql}")
    record = _joined("json_object", pairs, _MOST_ARGUMENTS // 2)
    return Sheet(f"group_concat({record}), {', '.join(lists)}", fillings, _JSON_HOLE)


def _hole(member: object, columns: Sequence[str]) -> tuple[str, Filling] | None:
    if not isinstance(member, Leaf) or member.function is not None:
        return None
    if member.kind == "datetime":
        return f"json_group_array({columns[member.index]})", lambda found: [_JSON_INSTANTS[each] for each in found]
    if member.kind in _REALS:
        return f"json_group_array(quote({columns[member.index]}))", _json_reals
    return None


def _json_reals(found: list[str]) -> list[str]:
    return ['":null' if each == "NULL" else f'":{float(each)!r}' for each in found]


def _json_sql(member: object, columns: Sequence[str], base: str) -> str | None:
    """The SQL of a member's value inside of json_object, or None when the database cannot write it as REST does."""
    if isinstance(member, Leaf):
        if member.function is not None or member.kind in _ONLY_RENDERED | _REALS:
            return None
        sql = columns[member.index]
        if member.kind == "boolean":
            return f"CASE {sql} WHEN 1 THEN json('true') WHEN 0 THEN json('false') END"
        if member.kind == "datetime":
            return f"strftime('%Y-%m-%dT%H:%M:%S.000+0000', {sql}, 'unixepoch')"
        return sql
    if not isinstance(member, Shape) or not member.types or member.variants:
        return None
    known = [(name, columns[index]) for name, index in member.types]
    urls = " ".join(f"WHEN {sql} IS NOT NULL THEN {_sql_text(base + name + '/')} || {sql}" for name, sql in known)
    shown = _sql_text(member.shown_type or known[0][0])
    pairs = [f"'attributes', json_object('type', {shown}, 'url', CASE {urls} END)"]
    for key, each in member.members.items():
        written = _json_sql(each, columns, base)
        if written is None:
            return None
        pairs.append(f"{_sql_text(key)}, {written}")
    if 2 * len(pairs) > _MOST_ARGUMENTS:
        return None
    there = " OR ".join(f"{sql} IS NOT NULL" for _, sql in known)
    return f"CASE WHEN {there} THEN json_object({', '.join(pairs)}) END"


# Bulk


class CsvSheet:
    """Rows as lines of Bulk CSV: every cell in quotes, instants end in ``.000Z``, a null is an empty cell.

    A JSON list of texts without its brackets is such a line already, unless the delimiter is another one or something
    in it had to be escaped.
    """

    def __init__(self, leaves: Sequence[Leaf], columns: Sequence[str], delimiter: str, line_ending: str) -> None:
        self._delimiter, self._line_ending = delimiter, line_ending
        cells: list[str] = []
        lists: list[str] = []
        fillings: list[Filling] = []
        for leaf in leaves:
            sql = columns[leaf.index]
            hole = _csv_hole(leaf, sql)
            if hole is not None:
                cells.append(f"json_object('{_MARK}', 0)")
                lists.append(hole[0])
                fillings.append(hole[1])
            elif leaf.kind == "boolean":
                cells.append(f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE '' END")
            else:
                cells.append(f"coalesce(CAST({sql} AS TEXT), '')")
        line = _joined("json_array", cells, _MOST_ARGUMENTS)
        self._sheet = Sheet(", ".join([f"group_concat({line}, char(10))", *lists]), fillings, _CSV_HOLE)

    @property
    def columns(self) -> str:
        """What to select, aggregated over the rows."""
        return self._sheet.columns

    def lines(self, row: Sequence[str | None]) -> list[str]:
        """Return the lines, with their ends, that the one row of the statement stands for."""
        text, end = self._sheet.text(row), self._line_ending
        if not text:
            return []
        if self._delimiter != ",":
            return [self._again(each) for each in text.split("\n")]
        return [each[1:-1] + end if "\\" not in each else self._again(each) for each in text.split("\n")]

    def _again(self, line: str) -> str:
        cells = (cell.replace('"', '""') for cell in orjson.loads(line))
        return self._delimiter.join(f'"{cell}"' for cell in cells) + self._line_ending


def _csv_hole(leaf: Leaf, sql: str) -> tuple[str, Filling] | None:
    shown = leaf.function
    if shown is not None:
        return f"json_group_array({sql})", lambda found: [_json_text(shown(each)) for each in found]
    if leaf.kind == "datetime":
        return f"json_group_array({sql})", lambda found: [_CSV_INSTANTS[each] for each in found]
    if leaf.kind in _REALS:
        return f"json_group_array(quote({sql}))", _csv_reals
    return None


def _csv_reals(found: list[str]) -> list[str]:
    return ['""' if each == "NULL" else f'"{float(each)!r}"' for each in found]


def _json_text(value: Any) -> str:
    return orjson.dumps("" if value is None else str(value)).decode()


def _joined(function: str, arguments: list[str], most: int) -> str:
    """A call of json_object or json_array that may have more arguments than the database takes at once."""
    runs = [", ".join(arguments[at : at + most]) for at in range(0, len(arguments), most)]
    return f" || '{_SEAM}' || ".join(f"{function}({run})" for run in runs)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
