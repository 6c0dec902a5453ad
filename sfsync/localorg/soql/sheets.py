"""Pages whose columns the database writes: one row of SQL is a whole page of records or of CSV lines.

A page of 2,000 records is made of some 30,000 cells, and handing them to Python one by one would take most of its time.
So the database gives each column as one JSON list, whose text is cut into cells at its commas, and the cells are joined
row by row with what is the same in every row. It may not know which rows are asked for. The one law: the text is, byte
for byte, what ``render`` makes of the same rows; what cannot keep to that has no sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, ClassVar

import orjson

from sfsync.localorg.soql.render import Instants, Kids, Leaf, Shape

# What the statement answers: first the number of rows, then the lists.
Lists = Sequence[Any]
Cells = Callable[[Lists], Iterable[str]]
_REALS = frozenset({"double", "currency", "percent"})
_ONLY_RENDERED = frozenset({"address", "location", "base64", "day"})


class _Sheet:
    """Gathers the lists to select, and how the cells of each are written."""

    instants: ClassVar[Instants]
    booleans: ClassVar[dict[int | None, str]]

    def __init__(self) -> None:
        self._lists = {"count(*)": 0}

    @property
    def columns(self) -> str:
        """What to select, aggregated over the rows of a page."""
        return ", ".join(self._lists)

    def value(self, value: Any) -> str:
        """Return a cell as it is written by hand."""
        raise NotImplementedError

    def _place(self, sql: str) -> int:
        return self._lists.setdefault(f"json_group_array({sql})", len(self._lists))

    def _column(self, sql: str, cut: Callable[[str, int], list[str]]) -> Cells:
        """Cells of a list that ``cut`` makes of its text and length; one cell stands for a column that is all the same.

        Often a column is: nothing is in it, or nobody else has created the rows.
        """
        place = self._place(sql)

        def cells(lists: Lists) -> Iterable[str]:
            count, found = lists[0], lists[place]
            first = found[1 : found.find(",")]
            if count and found.endswith(f"{first}]") and found == f"[{','.join(repeat(first, count))}]":
                return repeat(cut(f"[{first}]", 1)[0], count)
            return cut(found, count)

        return cells

    def _each(self, sql: str, write: Callable[[Any], str]) -> Cells:
        return self._column(sql, lambda found, _: list(map(write, orjson.loads(found))))

    def _leaf(self, leaf: Leaf, sql: str) -> Cells:
        if leaf.function is not None:
            shown = leaf.function
            return self._each(sql, lambda found: self.value(shown(found)))
        if leaf.kind == "datetime":
            return self._each(sql, self.instants.__getitem__)
        if leaf.kind == "boolean":
            return self._each(sql, self.booleans.__getitem__)
        if leaf.kind in _REALS:  # a list would keep 15 digits of it
            return self._each(f"quote({sql})", lambda found: self.value(None if found == "NULL" else float(found)))
        return self._text(sql)

    def _text(self, sql: str) -> Cells:
        raise NotImplementedError


class JsonSheet(_Sheet):
    """Records as REST shows them, with commas between."""

    instants = Instants('"', '.000+0000"', "null")
    booleans: ClassVar = {0: "false", 1: "true", None: "null"}

    def __init__(self, shape: Shape, columns: Sequence[str], version: str) -> None:
        super().__init__()
        self._base = f"/services/data/v{version}/sobjects/"
        self._records = self._object(shape, columns)

    def text(self, lists: Lists) -> str:
        """Return the page that the one row of the statement stands for."""
        return ",".join(self._records(lists)) if lists[0] else ""

    def value(self, value: Any) -> str:
        """Return a value as JSON."""
        return orjson.dumps(value).decode()

    def _text(self, sql: str) -> Cells:
        def cut(found: str, count: int) -> list[str]:
            cells = found[1:-1].split(",")
            return cells if len(cells) == count else [self.value(each) for each in orjson.loads(found)]

        return self._column(sql, cut)

    def _object(self, shape: Shape, columns: Sequence[str]) -> Cells:
        url, place = self._url(shape, columns)
        front = f'{{"attributes":{{"type":{self.value(shape.shown_type or shape.types[0][0])},"url":"{url}'
        members: list[tuple[str, Cells]] = []
        before = '"},'
        for key, member in shape.members.items():
            if isinstance(member, Leaf):
                members.append((f"{before}{self.value(key)}:", self._leaf(member, columns[member.index])))
            elif isinstance(member, Shape):
                members.append((f"{before}{self.value(key)}:", self._object(member, columns)))
            before = ","
        back = "}" if members else '"}}'

        def records(lists: Lists) -> list[str]:
            count = lists[0]
            ids = lists[place][1:-1].replace('"', "").split(",")
            beside: list[Iterable[str]] = [repeat(front, count), ids]
            for same, cells in members:
                beside += [repeat(same, count), cells(lists)]
            found = ["".join(row) for row in zip(*beside, repeat(back, count), strict=True)]
            if "null" not in ids:
                return found
            return [each if there != "null" else there for each, there in zip(found, ids, strict=True)]

        return records

    def _url(self, shape: Shape, columns: Sequence[str]) -> tuple[str, int]:
        """What the URLs of an object begin with, and the list of how they go on; null where there is no object."""
        if len(shape.types) == 1:
            name, index = shape.types[0]
            return f"{self._base}{name}/", self._place(columns[index])
        known = [(_sql(f"{name}/"), columns[index]) for name, index in shape.types]
        parts = " ".join(f"WHEN {key} IS NOT NULL THEN {name} || {key}" for name, key in known)
        return self._base, self._place(f"CASE {parts} END")


def json_sheet(shape: Shape, columns: Sequence[str], version: str) -> JsonSheet | None:
    """Return how to have a page of records of ``shape`` as JSON; None where only cells will do."""
    return JsonSheet(shape, columns, version) if _can_be_written(shape) else None


def _can_be_written(member: Leaf | Kids | Shape) -> bool:
    if isinstance(member, Leaf):
        return member.function is None and member.kind not in _ONLY_RENDERED
    if isinstance(member, Kids) or not member.types or member.variants:
        return False
    return all(map(_can_be_written, member.members.values()))


class CsvSheet(_Sheet):
    """Rows as lines of Bulk CSV: every cell in quotes, instants end in ``.000Z``, a null is an empty cell.

    A text in a JSON list is such a cell already, unless something in it had to be escaped.
    """

    instants = Instants('"', '.000Z"', '""')
    booleans: ClassVar = {0: '"false"', 1: '"true"', None: '""'}

    def __init__(self, leaves: Sequence[Leaf], columns: Sequence[str], delimiter: str, line_ending: str) -> None:
        super().__init__()
        self._delimiter, self._line_ending = delimiter, line_ending
        self._cells = [self._leaf(leaf, columns[leaf.index]) for leaf in leaves]

    def lines(self, lists: Lists) -> list[str]:
        """Return the lines, with their ends, that the one row of the statement stands for."""
        delimiter, end = self._delimiter, self._line_ending
        rows = zip(*(cells(lists) for cells in self._cells), strict=True)
        return [delimiter.join(row) + end for row in rows]

    def value(self, value: Any) -> str:
        """Return a value in quotes, with its own quotes doubled."""
        text = "" if value is None else str(value).replace('"', '""')
        return f'"{text}"'

    def _text(self, sql: str) -> Cells:
        def cut(found: str, count: int) -> list[str]:
            cells = found[1:-1].split(",")
            if "\\" in found or len(cells) != count:
                return [self.value(each) for each in orjson.loads(found)]
            return cells

        return self._column(f"coalesce(CAST({sql} AS TEXT), '')", cut)


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
