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
        return f"SELECT group_concat(id, char(10)) FROM ({chosen})"

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
