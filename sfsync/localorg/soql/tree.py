"""The nouns of a parsed SOQL statement.

Plain frozen values that the parser makes and the compiler reads. They may not know the schema, the
database or the user. The one law: every node that can be wrong carries the offset where it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted name such as ``Account.Owner.Name``, as written."""

    parts: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments: aggregates, date functions, toLabel and the like."""

    name: str
    args: tuple[Operand, ...]
    at: int

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


Operand = Path | Call


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. ``kind`` is string, number, boolean, null, date, datetime, time, period, currency or bind.

    ``text`` is the literal as written (for a string: the part between the quotes, escapes untouched);
    ``count`` is the n of a period such as ``LAST_N_DAYS:n``.
    """

    kind: str
    text: str
    at: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator value``; the operator is one of = != < <= > >= like."""

    left: Operand
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class InList:
    """``left [NOT] IN (values)``."""

    left: Operand
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class InSelect:
    """``left [NOT] IN (SELECT ..)``: a semi-join or an anti-join."""

    left: Operand
    query: Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Includes:
    """``left INCLUDES|EXCLUDES (values)`` on a multi-select picklist."""

    left: Operand
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of a condition."""

    item: Condition


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions joined by one word, AND or OR; the parser refuses a mixture."""

    word: str
    items: tuple[Condition, ...]


Condition = Comparison | InList | InSelect | Includes | Not | Joined


@dataclass(frozen=True, slots=True)
class Column:
    """A field or a function in the select list, with its alias when one was written."""

    what: Operand
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Children:
    """A parent-to-child subquery in the select list."""

    query: Query
    at: int


@dataclass(frozen=True, slots=True)
class Typeof:
    """``TYPEOF rel WHEN T THEN fields .. ELSE fields END``."""

    relationship: Path
    whens: tuple[tuple[str, tuple[Path, ...]], ...]
    otherwise: tuple[Path, ...]
    at: int


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """``FIELDS(ALL|STANDARD|CUSTOM)``."""

    group: str
    at: int


Item = Column | Children | Typeof | FieldGroup


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY; ``nulls_last`` is None when it was not written."""

    what: Operand
    descending: bool
    nulls_last: bool | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """GROUP BY; ``kind`` is plain, rollup or cube."""

    kind: str
    items: tuple[Operand, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Query:
    """A whole SELECT statement, or a subquery."""

    items: tuple[Item, ...]
    source: Path
    alias: str | None = None
    more_sources: tuple[tuple[Path, str], ...] = ()
    scope: str | None = None
    where: Condition | None = None
    grouping: Grouping | None = None
    having: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None
    purpose: tuple[str, ...] = field(default=())
    all_rows: bool = False
