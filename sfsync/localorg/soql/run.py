"""Plans to answers: the first page, later pages, child lists, CSV rows.

It may not know HTTP or who keeps a result between calls. The one law: the ids of a long answer are fixed at the
first call, and the values are read when a page is (facts 2.9).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any

import orjson

from sfsync.localorg.errors import ApiError
from sfsync.localorg.ids import LONG
from sfsync.localorg.soql import functions
from sfsync.localorg.soql.compiler import compile_soql
from sfsync.localorg.soql.plan import ChildPlan, Kind, Plan
from sfsync.localorg.soql.render import Record, RestRenderer, Row, compile_rest
from sfsync.localorg.soql.scope import View
from sfsync.localorg.soql.sheets import CsvSheet, JsonSheet, json_sheet

log = logging.getLogger("sfsync.localorg")
PAGE = 2000
_NO_MORE = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"


class Keys:
    """The ids of an answer, given as lines of one text and kept as that (19 bytes each) when all are of one length.

    With a ``seed`` they are in an order that no client may count on; a sort would cost too much.
    """

    def __init__(self, lines: str, seed: int | None = None) -> None:
        ends = lines.count("\n")
        of_one_length = lines[LONG :: LONG + 1] == "\n" * ends and len(lines) == ends + LONG * (ends + 1)
        self._lines = lines if of_one_length else ""
        self._ids = lines.split("\n") if lines and not of_one_length else []
        count = len(self._ids) or (ends + 1 if lines else 0)
        step = 1 if seed is None else 3 + seed % 5
        self._runs = [range(step - 1 - start, count, step) for start in range(step)]

    def __len__(self) -> int:
        """Return the number of ids."""
        return sum(map(len, self._runs))

    def window(self, start: int, size: int) -> list[str]:
        """Return the ids [start:start + size)."""
        found: list[str] = []
        lines, width, before = self._lines, LONG + 1, 0
        for run in self._runs:
            wanted = run[max(0, start - before) : max(0, start + size - before)]
            before += len(run)
            if lines:
                places = range(wanted.start * width, wanted.stop * width, wanted.step * width)
                found += [lines[at : at + LONG] for at in places]
            else:
                found += [self._ids[at] for at in wanted]
        return found


class Result:
    """The answer to one statement: ``total_size`` and its records, page by page.

    Of records it holds only the ids, and it stays usable until the objects it reads are dropped.
    """

    def __init__(self, plan: Plan, view: View, total_size: int, keys: Keys) -> None:
        self.plan = plan
        self.view = view
        self.total_size = total_size
        self._keys = keys
        self._groups: list[Row] = []
        self._renderers: dict[int, RestRenderer] = {}
        self._sheet: JsonSheet | None = None

    def __len__(self) -> int:
        """Return the number of records that pages can give (none for COUNT())."""
        return 0 if self.plan.kind is Kind.COUNT else self.total_size

    @property
    def object_name(self) -> str:
        """The canonical name of the object in FROM."""
        return self.plan.object_name

    @property
    def purpose(self) -> tuple[str, ...]:
        """What FOR asked for: any of view, reference, update."""
        return self.plan.purpose

    @property
    def columns(self) -> list[str]:
        """The flat names of what was selected, in order (``Account.Name``, ``expr0``)."""
        return [name for name, _ in self.plan.leaves]

    def page(self, connection: sqlite3.Connection, start: int = 0, size: int = PAGE) -> list[Record]:
        """Return the records [start:start + size) as REST shows them; COUNT() has none."""
        if self.plan.kind is Kind.COUNT:
            return []
        if self.plan.kind is Kind.GROUPS:
            return self._render(connection, self.plan, self._groups[start : start + size])
        columns = ", ".join(self.plan.columns)
        return self._render(
            connection, self.plan, _keyed(connection, self.plan, columns, self._keys.window(start, size))
        )

    def page_json(self, connection: sqlite3.Connection, start: int = 0, size: int = PAGE) -> orjson.Fragment:
        """Return what ``page`` does as the text of a JSON list, which takes half the time."""
        plan = self.plan
        if plan.kind is Kind.ROWS and self._sheet is None:
            self._sheet = json_sheet(plan.shape, plan.columns, self.view.version)
        if self._sheet is None:
            return orjson.Fragment(orjson.dumps(self.page(connection, start, size)))
        (row,) = _keyed(connection, plan, self._sheet.columns, self._keys.window(start, size))
        return orjson.Fragment(f"[{self._sheet.text(row)}]")

    def _render(self, connection: sqlite3.Connection, plan: Plan, rows: list[Row]) -> list[Record]:
        kids = [self._children(connection, each, [row[0] for row in rows]) for each in plan.children]
        renderer = self._renderers.get(id(plan))
        if renderer is None:
            renderer = self._renderers[id(plan)] = compile_rest(plan.shape, self.view.version, len(plan.columns))
        return renderer(rows, kids)

    def _children(self, connection: sqlite3.Connection, child: ChildPlan, parents: list[str]) -> dict[str, Any]:
        parameters = child.plan.parameters | {"parents": json.dumps(parents)}
        rows = execute(connection, child.sql(), parameters).fetchall()
        records = self._render(connection, child.plan, [row[1:] for row in rows])
        lists: dict[str, tuple[list[str], list[Record]]] = {}
        for row, record in zip(rows, records, strict=True):
            ids, found = lists.setdefault(row[0], ([], []))
            ids.append(row[1])
            found.append(record)
        return {parent: self._child_list(child, ids, found) for parent, (ids, found) in lists.items()}

    def _child_list(self, child: ChildPlan, ids: list[str], found: list[Record]) -> dict[str, Any]:
        size = self.view.child_page
        if self.view.next_url is None or len(found) <= size:
            return {"totalSize": len(found), "done": True, "records": found}
        rest = Result(child.plan, self.view, len(found), Keys("\n".join(ids)))
        url = self.view.next_url(rest, size)
        return {"totalSize": len(found), "done": False, "nextRecordsUrl": url, "records": found[:size]}


def run(connection: sqlite3.Connection, text: str, view: View, *, page_size: int = PAGE) -> Result:
    """Return the answer to ``text`` for ``view``; raise ApiError when an org would refuse it.

    Which rows it has is settled now; of grouped rows there may be ``page_size``, and they are read now.
    """
    plan = compile_soql(text, view)
    if plan.kind is Kind.COUNT:
        count = execute(connection, plan.count_sql(), plan.parameters).fetchone()[0]
        return Result(plan, view, count, Keys(""))
    if plan.kind is Kind.ROWS:
        keys = _keys(connection, plan, view.shuffle)
        return Result(plan, view, len(keys), keys)
    rows = execute(connection, plan.rows_sql(), plan.parameters).fetchmany(page_size + 1)
    if len(rows) > page_size:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", _NO_MORE)
    result = Result(plan, view, len(rows), Keys(""))
    result._groups = rows
    return result


def _keys(connection: sqlite3.Connection, plan: Plan, seed: int | None) -> Keys:
    """The ids of a plan's rows; without ORDER BY they are stirred by the seed."""
    text = execute(connection, plan.keys_sql(), plan.parameters).fetchone()[0]
    return Keys(text or "", None if plan.order else seed)


class Extract:
    """The rows of a Bulk query as lines of CSV: which rows is fixed now, values are read when lines are asked for.

    ``ids`` takes the place of the query's own choice of rows; ``shuffle`` is as in the view.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        plan: Plan,
        *,
        delimiter: str = ",",
        line_ending: str = "\n",
        ids: list[str] | None = None,
        shuffle: int | None = None,
    ) -> None:
        self.plan = plan
        self._keys = _keys(connection, plan, shuffle) if ids is None else Keys("\n".join(ids))
        self.header = delimiter.join(f'"{name}"' for name, _ in plan.leaves) + line_ending
        self._sheet = CsvSheet([leaf for _, leaf in plan.leaves], plan.columns, delimiter, line_ending)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._keys)

    @property
    def ids(self) -> list[str]:
        """The ids of the rows, in their order."""
        return self._keys.window(0, len(self))

    @property
    def instants(self) -> list[str]:
        """The dotted names of the datetime fields."""
        return [name for name, leaf in self.plan.leaves if leaf.kind == "datetime"]

    def lines(self, connection: sqlite3.Connection, start: int, size: int) -> list[str]:
        """Return the rows [start:start + size) as lines with their ends; rows deleted meanwhile are missing."""
        (row,) = _keyed(connection, self.plan, self._sheet.columns, self._keys.window(start, size))
        return self._sheet.lines(row)

    def records(self, connection: sqlite3.Connection, start: int, size: int, version: str) -> list[Record]:
        """Return the rows [start:start + size) as REST records."""
        render = compile_rest(self.plan.shape, version, len(self.plan.columns))
        columns = ", ".join(self.plan.columns)
        return render(_keyed(connection, self.plan, columns, self._keys.window(start, size)), [])


def _keyed(connection: sqlite3.Connection, plan: Plan, columns: str, ids: list[str]) -> list[Row]:
    """The rows with these ids, in their order; those deleted meanwhile are missing."""
    parameters = plan.parameters | {"keys": orjson.dumps(ids).decode()}
    return execute(connection, plan.keyed_sql(columns), parameters).fetchall()


def execute(connection: sqlite3.Connection, sql: str, parameters: dict[str, Any]) -> sqlite3.Cursor:
    """Run a compiled statement; raise QUERY_TOO_COMPLICATED when the database's own bounds refuse it."""
    if "soql_" in sql:
        functions.register(connection)
    try:
        return connection.execute(sql, parameters)
    except (sqlite3.OperationalError, OverflowError) as refusal:
        log.warning("a statement exceeds the database: %s", refusal)
        message = "Query is either selecting too many fields or the filter conditions are too complicated."
        raise ApiError(400, "QUERY_TOO_COMPLICATED", message) from refusal
