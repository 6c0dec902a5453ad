"""Plans to answers: the first page, later pages, child lists, CSV rows.

It may not know HTTP or who keeps a result between calls. The one law: the ids of a long answer are fixed at the
first call, and the values are read when a page is (facts 2.9).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from typing import Any, TypeVar

from sfsync.localorg.errors import ApiError
from sfsync.localorg.ids import LONG
from sfsync.localorg.soql import functions
from sfsync.localorg.soql.compiler import compile_soql
from sfsync.localorg.soql.plan import ChildPlan, Kind, Plan
from sfsync.localorg.soql.render import Record, RestRenderer, Row, compile_csv, compile_rest
from sfsync.localorg.soql.scope import View

log = logging.getLogger("sfsync.localorg")
T = TypeVar("T")
PAGE = 2000
_NO_MORE = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"


class Result:
    """The answer to one statement: ``total_size`` and its records, page by page.

    Of an answer longer than a page it holds no rows, only ids (18 bytes each), and it stays usable until the objects it
    reads are dropped.
    """

    def __init__(self, plan: Plan, view: View, total_size: int) -> None:
        self.plan = plan
        self.view = view
        self.total_size = total_size
        self._ids = ""
        self._whole: list[Row] | None = None
        self._renderers: dict[int, RestRenderer] = {}

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
        if self._whole is not None:
            rows: Iterable[Row] = self._whole[start : start + size]
        else:
            wanted = self._ids[start * LONG : (start + size) * LONG]
            rows = _keyed(connection, self.plan, [wanted[at : at + LONG] for at in range(0, len(wanted), LONG)])
        return self._render(connection, self.plan, list(rows))

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
        rest = Result(child.plan, self.view, len(found))
        rest._ids = "".join(ids)
        url = self.view.next_url(rest, size)
        return {"totalSize": len(found), "done": False, "nextRecordsUrl": url, "records": found[:size]}


def run(connection: sqlite3.Connection, text: str, view: View, *, page_size: int = PAGE) -> Result:
    """Return the answer to ``text`` for ``view``; raise ApiError when an org would refuse it.

    An answer of at most ``page_size`` rows is read now; of a longer one only the ids are.
    """
    plan = compile_soql(text, view)
    if plan.kind is Kind.COUNT:
        return Result(plan, view, execute(connection, plan.count_sql(), plan.parameters).fetchone()[0])
    if plan.limit == 0:
        result = Result(plan, view, 0)
        result._whole = []
        return result
    limit = plan.limit
    probe = page_size + 1 if limit is None else min(limit, page_size + 1)
    plan.limit = probe
    try:
        rows = execute(connection, plan.rows_sql(), plan.parameters).fetchall()
    finally:
        plan.limit = limit
    if len(rows) > page_size:
        if plan.kind is Kind.GROUPS:
            raise ApiError(400, "EXCEEDED_ID_LIMIT", _NO_MORE)
        ids = [row[0] for row in execute(connection, plan.keys_sql(), plan.parameters)]
        result = Result(plan, view, len(ids))
        result._ids = "".join(_stirred(ids, plan, view.shuffle))
        return result
    result = Result(plan, view, len(rows))
    result._whole = _stirred(rows, plan, view.shuffle)
    return result


def _stirred(rows: list[T], plan: Plan, seed: int | None) -> list[T]:
    """The rows of an answer without ORDER BY in an order that no client may count on; a sort would cost too much."""
    if seed is None or plan.order or plan.kind is not Kind.ROWS:
        return rows
    step = 3 + seed % 5
    return [row for start in range(step) for row in rows[step - 1 - start :: step]]


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
        if ids is None:
            ids = [row[0] for row in execute(connection, plan.keys_sql(), plan.parameters)]
        self.ids = _stirred(ids, plan, shuffle)
        self.header = delimiter.join(f'"{name}"' for name, _ in plan.leaves) + line_ending
        leaves = [leaf for _, leaf in plan.leaves]
        self._lines = compile_csv(leaves, len(plan.columns), delimiter, line_ending)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @property
    def instants(self) -> list[str]:
        """The dotted names of the datetime fields."""
        return [name for name, leaf in self.plan.leaves if leaf.kind == "datetime"]

    def lines(self, connection: sqlite3.Connection, start: int, size: int) -> list[str]:
        """Return the rows [start:start + size) as lines with their ends; rows deleted meanwhile are missing."""
        return self._lines(_keyed(connection, self.plan, self.ids[start : start + size]))

    def records(self, connection: sqlite3.Connection, start: int, size: int, version: str) -> list[Record]:
        """Return the rows [start:start + size) as REST records."""
        render = compile_rest(self.plan.shape, version, len(self.plan.columns))
        return render(_keyed(connection, self.plan, self.ids[start : start + size]), [])


def _keyed(connection: sqlite3.Connection, plan: Plan, ids: list[str]) -> list[Row]:
    """The rows with these ids, in their order."""
    parameters = plan.parameters | {"keys": json.dumps(ids)}
    found = {row[0]: row for row in execute(connection, plan.keyed_sql(), parameters)}
    return [found[one] for one in ids if one in found]


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
