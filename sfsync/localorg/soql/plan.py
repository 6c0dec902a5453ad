"""What a compiled statement is: the SQL of each step and the shape of its records.

Plain values between the compiler and the executor; they may not know the grammar. The one law: the same plan, the same
keys and the same rows give the same records, however the answer is cut into pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sfsync.localorg.soql.render import Leaf, Shape
from sfsync.localorg.soql.values import Scalar
from sfsync.localorg.storage import quoted


class Kind(StrEnum):
    """What the rows of an answer are."""

    ROWS = "rows"
    GROUPS = "groups"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class GroupingSets:
    """A ROLLUP or CUBE: ``groups`` is what is grouped by, each of ``sets`` the places of those that one answer keeps.

    Columns, HAVING and ``order`` (SQL and direction of each term) say ``shown(place)`` for something grouped by, which
    is null in a subtotal over it, and ``summed(place)`` for whether the row is one.
    """

    groups: tuple[str, ...]
    sets: tuple[frozenset[int], ...]
    order: tuple[tuple[str, str], ...]

    @staticmethod
    def shown(place: int) -> str:
        """What stands for the value of a group until the set is known; no SQL reads like this."""
        return f"\x01{place}\x01"

    @staticmethod
    def summed(place: int) -> str:
        """What stands for GROUPING() of a group until the set is known."""
        return f"\x02{place}\x02"

    def filled(self, sql: str, kept: frozenset[int]) -> str:
        """Return ``sql`` for the answer that is grouped by the groups at ``kept``."""
        for place, group in enumerate(self.groups):
            there = place in kept
            sql = sql.replace(self.shown(place), group if there else "NULL").replace(
                self.summed(place), "0" if there else "1"
            )
        return sql

    def sql(self, columns: list[str], source: str, having: str) -> str:
        """The rows of all answers, in order: as asked, else every subtotal behind the rows it is over."""
        order = self.order
        if not order:
            places = range(len(self.groups))
            order = tuple((write(n), "") for n in places for write in (self.summed, self.shown))
        named = [*columns, *(sql for sql, _ in order)]
        answers = []
        for kept in self.sets:
            written = ", ".join(f"{self.filled(sql, kept)} AS c{n}" for n, sql in enumerate(named))
            grouped = ", ".join(self.groups[n] for n in sorted(kept)) or "NULL"
            condition = self.filled(having, kept) or "1"
            answers.append(f"SELECT {written} FROM {source} GROUP BY {grouped} HAVING {condition}")
        shown = ", ".join(f"c{n}" for n in range(len(columns)))
        terms = ", ".join(f"c{len(columns) + n}{direction}" for n, (_, direction) in enumerate(order))
        return f"SELECT {shown} FROM ({' UNION ALL '.join(answers)}) ORDER BY {terms}"


@dataclass(slots=True)
class Plan:
    """One SELECT: where its rows come from, in which order, and what is made of them."""

    kind: Kind
    object_name: str
    table_alias: str
    columns: list[str]
    joins: str
    where: str
    order: str
    shape: Shape
    leaves: list[tuple[str, Leaf]]
    parameters: dict[str, Scalar]
    group: str = ""
    having: str = ""
    sets: GroupingSets | None = None
    limit: int | None = None
    offset: int = 0
    children: list[ChildPlan] = field(default_factory=list)
    purpose: tuple[str, ...] = ()
    include_deleted: bool = False

    @property
    def from_sql(self) -> str:
        """The tables, with every join that any step needs."""
        return f"{quoted(self.object_name)} AS {self.table_alias}{self.joins}"

    @property
    def alive(self) -> str:
        """The condition that hides the recycle bin."""
        return "1" if self.include_deleted else f'{self.table_alias}."IsDeleted" = 0'

    def rows_sql(self) -> str:
        """The rows themselves, in order."""
        return self._sql(", ".join(self.columns))

    def keys_sql(self) -> str:
        """One text of all ids of the answer, a line each, in order; null when there are none."""
        chosen = self._sql(f'{self.table_alias}."Id" AS id')
        return f"SELECT group_concat(id, '\n') FROM ({chosen})"

    def keyed_sql(self, columns: str) -> str:
        """``columns`` of the rows whose ids are in the JSON list ``:keys``, in the order of that list."""
        return (
            f"SELECT {columns} FROM json_each(:keys) AS page CROSS JOIN "
            f'{quoted(self.object_name)} AS {self.table_alias} ON {self.table_alias}."Id" = page.value{self.joins} '
            f"WHERE {self.alive}"
        )

    def count_sql(self) -> str:
        """The number of rows of the answer."""
        if self.limit is None and not self.offset:
            return f"SELECT COUNT(*) FROM {self.from_sql} WHERE {self.where}"
        return f"SELECT COUNT(*) FROM ({self._sql('1')})"

    def _sql(self, columns: str) -> str:
        if self.sets is not None:
            sql = self.sets.sql(self.columns, f"{self.from_sql} WHERE {self.where}", self.having)
        else:
            sql = f"SELECT {columns} FROM {self.from_sql} WHERE {self.where}"
            if self.group:
                sql += f" GROUP BY {self.group}"
            if self.having:
                sql += f" HAVING {self.having}"
            if self.order:
                sql += f" ORDER BY {self.order}"
        if self.limit is not None or self.offset:
            sql += f" LIMIT {-1 if self.limit is None else self.limit} OFFSET {self.offset}"
        return sql


@dataclass(slots=True)
class ChildPlan:
    """A subquery over the children of the rows: ``link`` is the child's lookup to the parent, ``slot`` its place."""

    plan: Plan
    link: str
    slot: int

    def sql(self) -> str:
        """The children of the parents in the JSON list ``:parents``: first the parent's id, then the columns."""
        plan = self.plan
        columns = ", ".join(plan.columns)
        wanted = f"{plan.where} AND {self.link} IN (SELECT value FROM json_each(:parents))"
        order = plan.order or f"{plan.table_alias}.rowid"
        if plan.limit is None and not plan.offset:
            return f"SELECT {self.link}, {columns} FROM {plan.from_sql} WHERE {wanted} ORDER BY {order}"
        last = plan.offset + (plan.limit if plan.limit is not None else 2**53)
        named = ", ".join(f"{sql} AS c{index}" for index, sql in enumerate(plan.columns))
        names = ", ".join(f"c{index}" for index in range(len(plan.columns)))
        return (
            f"SELECT parent, {names} FROM (SELECT {self.link} AS parent, {named}, ROW_NUMBER() OVER "
            f"(PARTITION BY {self.link} ORDER BY {order}) AS place FROM {plan.from_sql} WHERE {wanted}) "
            f"WHERE place > {plan.offset} AND place <= {last} ORDER BY place"
        )
