"""Rows of the database to records of an answer: nested objects, as REST shows them.

It may not know SQL or the grammar. The one law: a shape is compiled once per statement into one comprehension over the
rows, because a page of 2,000 records must cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

Row = Sequence[Any]
Record = dict[str, Any]
RestRenderer = Callable[[Iterable[Row], list[dict[str, Any]]], list[Record]]
_EPOCH = date(1970, 1, 1)
_REMEMBERED = 100_000


class _Days(dict[int | None, str | None]):
    """Days since 1970 to dates, made when first asked for."""

    def __missing__(self, day: int) -> str:
        text = (_EPOCH + timedelta(days=day)).isoformat()
        self[day] = text
        return text


_DAYS = _Days({None: None})


class Instants(dict[int | None, Any]):
    """Unix seconds to the text of an instant, made when first asked for and forgotten when there are too many."""

    def __init__(self, prefix: str, suffix: str, null: str | None) -> None:
        super().__init__({None: null})
        self.prefix, self.suffix = prefix, suffix
        self.null = null

    def __missing__(self, seconds: int) -> str:
        if len(self) > _REMEMBERED:
            self.clear()
            self[None] = self.null
        day, second = divmod(seconds, 86_400)
        text = f"{self.prefix}{_DAYS[day]}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{self.suffix}"
        self[seconds] = text
        return text


_REST_INSTANTS = Instants("", ".000+0000", None)
_REST_BOOLEANS = {0: False, 1: True, None: None}


@dataclass(slots=True)
class Leaf:
    """A value at column ``index`` of the row; ``kind`` is a describe type, or ``format`` with a function."""

    kind: str
    index: int
    name: str = ""
    function: Callable[[Any], Any] | None = None
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Kids:
    """A child relationship: the answers of its subquery, by parent id."""

    slot: int


@dataclass(slots=True)
class Shape:
    """An object of the answer: where its id is, which type it is, and its members in order.

    ``types`` is empty for an aggregate row; ``shown_type`` differs from the URL's type for polymorphic parents.
    ``variants`` are the other faces a polymorphic parent may show (TYPEOF): the first whose id is not null is used.
    """

    types: tuple[tuple[str, int], ...] = ()
    shown_type: str | None = None
    members: dict[str, Leaf | Kids | Shape] = field(default_factory=dict)
    variants: tuple[Shape, ...] = ()


def compile_rest(shape: Shape, version: str, width: int) -> RestRenderer:
    """Return a function from rows of ``width`` cells (and the children of each slot, by parent id) to REST records."""
    names: dict[str, Any] = {
        "instants": _REST_INSTANTS,
        "days": _DAYS,
        "booleans": _REST_BOOLEANS,
        "address": _address,
    }
    base = f"/services/data/v{version}/sobjects/"
    body = _Source(names, base).object(shape)
    rest: RestRenderer = _function(f"lambda rows, kids: [{body} for {_cells(width)} in rows]", names)
    return rest


def _cells(width: int) -> str:
    return "(" + "".join(f"c{index}, " for index in range(width)) + ")"


def _function(source: str, names: dict[str, Any]) -> Any:
    # The source holds column numbers and names of the schema written with repr, never text of the statement.
    return eval(source, names)  # noqa: S307


class _Source:
    """Writes the expression for each part of a shape."""

    def __init__(self, names: dict[str, Any], base: str) -> None:
        self.names = names
        self.base = base

    def object(self, shape: Shape) -> str:
        if shape.variants:
            body = "None"
            for variant in reversed(shape.variants):
                body = f"{self.object(variant)} if c{variant.types[0][1]} is not None else {body}"
            return f"({body})"
        if len(shape.types) > 1:
            url = "None"
            for name, index in reversed(shape.types):
                url = f"{self.base + name + '/'!r}+c{index} if c{index} is not None else {url}"
            attributes = f"{{'type': {shape.shown_type!r}, 'url': {url}}}"
        elif shape.types:
            name, index = shape.types[0]
            attributes = f"{{'type': {shape.shown_type or name!r}, 'url': {self.base + name + '/'!r}+c{index}}}"
        else:
            attributes = "{'type': 'AggregateResult'}"
        members = "".join(f", {key!r}: {self.member(member, shape)}" for key, member in shape.members.items())
        return f"{{'attributes': {attributes}{members}}}"

    def member(self, member: Leaf | Kids | Shape, owner: Shape) -> str:
        if isinstance(member, Leaf):
            return self.leaf(member, owner)
        if isinstance(member, Kids):
            return f"kids[{member.slot}].get(c{owner.types[0][1]})"
        if member.variants:
            return self.object(member)
        some = " and ".join(f"c{index} is None" for _, index in member.types)
        return f"(None if {some} else {self.object(member)})"

    def leaf(self, leaf: Leaf, owner: Shape | None = None) -> str:
        value = f"c{leaf.index}"
        if leaf.function is not None:
            name = f"f{len(self.names)}"
            self.names[name] = leaf.function
            return f"{name}({value})"
        if leaf.kind == "boolean":
            return f"booleans[{value}]"
        if leaf.kind == "datetime":
            return f"instants[{value}]"
        if leaf.kind == "day":
            return f"days[{value}]"
        if leaf.kind in ("address", "location"):
            cells = ", ".join(f"({key!r}, c{index})" for key, index in leaf.parts)
            return f"address(({cells},))"
        if leaf.kind == "base64" and owner is not None:
            kind, index = owner.types[0]
            return f"({self.base + kind + '/'!r}+c{index}+{'/' + leaf.name!r} if {value} else None)"
        return value


def _address(parts: tuple[tuple[str, Any], ...]) -> Record | None:
    """A compound value; null when every part is."""
    found = dict(parts)
    return found if any(value is not None for value in found.values()) else None
