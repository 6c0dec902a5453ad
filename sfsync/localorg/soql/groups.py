"""GROUP BY of one SELECT: what is grouped by, how it is shown, and the answers that a ROLLUP or CUBE adds up.

It may not know the select list or its order. The one law: only what is grouped by is shown beside an aggregate.
"""

from __future__ import annotations

from sfsync.localorg.soql.calls import Calls
from sfsync.localorg.soql.plan import GroupingSets
from sfsync.localorg.soql.scope import Scope
from sfsync.localorg.soql.text import malformed, refused
from sfsync.localorg.soql.tree import Call, Grouping, Operand

MOST_SUBTOTALS = 3


class Groups:
    """The things one SELECT is grouped by; ``sql`` is empty until ``read``."""

    def __init__(self, text: str, scope: Scope, calls: Calls, grouping: Grouping | None) -> None:
        self.text = text
        self.scope = scope
        self.calls = calls
        self.items = grouping.items if grouping else ()
        self.kind = grouping.kind if grouping else "plain"
        self.at = grouping.at if grouping else 0
        self.sql: list[str] = []

    def read(self) -> None:
        """Resolve what is grouped by; ApiError for what cannot be, or when there is too much of it."""
        if self.kind != "plain" and len(self.items) > MOST_SUBTOTALS:
            message = f"GROUP BY {self.kind.upper()} takes at most {MOST_SUBTOTALS} fields"
            raise malformed(self.text, self.at, message)
        self.sql = [self._resolved(each, check=True) for each in self.items]

    def _resolved(self, operand: Operand, *, check: bool = False) -> str:
        if isinstance(operand, Call):
            return self.calls.scalar(operand)[0]
        found = self.scope.find(operand)
        if check and not found.field.groupable:
            message = f"field '{found.name}' can not be grouped in a query call"
            raise refused("INVALID_FIELD", self.text, operand.at, message)
        return found.sql

    def shown(self, sql: str, what: Operand, complaint: str = "Field must be grouped or aggregated") -> str:
        """Return the SQL by which something that is grouped by is shown; ApiError when it is not grouped by."""
        if sql not in self.sql:
            raise malformed(self.text, what.at, f"{complaint}: {what}")
        return sql if self.kind == "plain" else GroupingSets.shown(self.sql.index(sql))

    def summed(self, call: Call) -> str:
        """Return the SQL of GROUPING(field): 1 in a subtotal over the field, else 0."""
        inner = call.args[0] if len(call.args) == 1 else None
        if self.kind == "plain" or inner is None:
            message = f"GROUPING needs a field of a GROUP BY ROLLUP or GROUP BY CUBE: {call}"
            raise malformed(self.text, call.at, message)
        sql = self._resolved(inner)
        self.shown(sql, inner)
        return GroupingSets.summed(self.sql.index(sql))

    def sets(self, order: list[tuple[str, str]]) -> GroupingSets | None:
        """Return the answers that a ROLLUP or CUBE is made of, the finest first; None when grouping is plain."""
        if self.kind == "plain":
            return None
        places = range(len(self.sql))
        if self.kind == "rollup":
            kept = [frozenset(places[:count]) for count in range(len(places), -1, -1)]
        else:
            kept = [frozenset(n for n in places if not mask >> n & 1) for mask in range(2 ** len(places))]
        return GroupingSets(tuple(self.sql), tuple(kept), tuple(order))
