"""Names in a statement to columns of tables: object aliases, parent paths, polymorphic parents, formulas.

It may not know clauses or results. The one law: a field the schema at hand does not show does not exist, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from sfsync.localorg import formula
from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Field, Schema, SObject
from sfsync.localorg.soql.text import refused
from sfsync.localorg.soql.tree import Path
from sfsync.localorg.storage import quoted

MAX_HOPS = 5
MAX_RELATIONSHIPS = 55
_NAME_FIELDS = (
    "Id",
    "Name",
    "Type",
    "FirstName",
    "LastName",
    "Email",
    "Phone",
    "Title",
    "Username",
    "Alias",
    "IsActive",
    "ProfileId",
    "UserRoleId",
    "RecordTypeId",
)
_NAME_PARENTS = frozenset({"profile", "userrole", "recordtype"})
_ADVICE = "Please reference your WSDL or the describe call for the appropriate names."


@dataclass(frozen=True, slots=True)
class View:
    """Who asks, when, and what they may see.

    ``schema`` is the schema as the running user sees it and ``everything`` the whole one (formulas read fields that the
    user may not); ``now`` is the org's instant, ``zone`` the user's zone; ``include_deleted`` makes a query a queryAll;
    ``version`` goes into the URLs of the answer; ``shuffle`` orders ties by that seed where the statement leaves the
    order open; ``next_url`` gives the URL under which the rest of a long child list is continued.
    """

    schema: Schema
    now: datetime
    zone: tzinfo
    everything: Schema | None = None
    user_id: str | None = None
    include_deleted: bool = False
    version: str = "61.0"
    shuffle: int | None = None
    next_url: Callable[[Any, int], str] | None = None
    child_page: int = 2000

    @property
    def whole(self) -> Schema:
        """The schema that formulas are evaluated in."""
        return self.everything or self.schema


@dataclass(slots=True)
class Table:
    """One occurrence of an object in FROM: the base, or a parent reached over ``lookup``."""

    alias: str
    sobject: SObject
    lookup: Field | None = None
    parent: Table | None = None


@dataclass(slots=True)
class Choice:
    """A polymorphic parent: one left-joined table per object it may be."""

    lookup: Field
    parent: Table
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """What a path stands for: SQL for its value, the field it is, the relationships walked, and where it lives."""

    sql: str
    field: Field
    keys: tuple[str, ...]
    owner: Table | Choice

    @property
    def name(self) -> str:
        """The field's canonical name."""
        return self.field.name


class Scope:
    """The tables of one SELECT, joined as paths ask for them."""

    def __init__(self, view: View, text: str, base: SObject, aliases: list[str], prefix: str) -> None:
        self.view = view
        self.text = text
        self.prefix = prefix
        self.base = Table(f"{prefix}0", base)
        self.names: dict[str, tuple[str, ...]] = {name.lower(): () for name in (base.name, *aliases)}
        self.aliases = {alias.lower() for alias in aliases}
        self._joined: dict[tuple[str, ...], Table | Choice] = {}
        self._narrow: dict[tuple[tuple[str, ...], str], Table] = {}
        self._sql: list[str] = []

    def add_alias(self, path: Path, alias: str) -> None:
        """Make ``alias`` stand for a parent path, as in ``FROM Contact c, c.Account a``."""
        parts = self._without_base(path.parts)
        self._walk(parts, path.at)
        self.names[alias.lower()] = tuple(part.lower() for part in parts)
        self.aliases.add(alias.lower())

    @property
    def from_sql(self) -> str:
        """The FROM list: the base table and every join asked for so far."""
        return f"{quoted(self.base.sobject.name)} AS {self.base.alias}" + "".join(self._sql)

    def joins_sql(self) -> str:
        """The joins alone."""
        return "".join(self._sql)

    # -- resolution

    def find(self, path: Path) -> Found:
        """Return what ``path`` stands for; raise INVALID_FIELD when the user's schema does not have it."""
        parts = self._without_base(path.parts)
        owner, keys = self._walk(parts[:-1], path.at)
        return self.field_of(owner, parts[-1], keys, path.at)

    def field_of(self, owner: Table | Choice, name: str, keys: tuple[str, ...], at: int) -> Found:
        """Return the field ``name`` of a joined table."""
        if isinstance(owner, Choice):
            return self._choice_field(owner, name, keys, at)
        one = owner.sobject.field(name)
        if one is None:
            raise self.no_column(name, owner.sobject.name, at)
        return Found(self.sql(owner, one), one, keys, owner)

    def sql(self, table: Table, one: Field) -> str:
        """Return the SQL for a field of a table."""
        if one.formula is not None:
            whole = self.view.whole
            return f"({formula.sql_expression(whole, whole[table.sobject.name], one, table.alias)})"
        return f"{table.alias}.{quoted(one.name)}"

    def narrowed(self, choice: Choice, keys: tuple[str, ...], object_name: str, at: int) -> Table:
        """Return the table of a polymorphic parent for one object type, as TYPEOF .. WHEN asks."""
        for table in choice.tables:
            if table.sobject.name.lower() == object_name.lower():
                return table
        raise self.no_type(object_name, at)

    def relationship(self, path: Path) -> tuple[Table | Choice, tuple[str, ...]]:
        """Return the table(s) a path of relationships leads to, and its canonical names."""
        return self._walk(self._without_base(path.parts), path.at)

    def _without_base(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        first = parts[0].lower()
        if len(parts) == 1 or first not in self.names:
            return parts
        if first not in self.aliases and self.base.sobject.parent(first) is not None:
            return parts  # a relationship that is called like the object itself
        return self.names[first] + parts[1:]

    def _walk(self, parts: tuple[str, ...], at: int) -> tuple[Table | Choice, tuple[str, ...]]:
        if len(parts) > MAX_HOPS:
            message = f"Relationship path has more than {MAX_HOPS} levels: {'.'.join(parts)}"
            raise refused("INVALID_FIELD", self.text, at, message)
        owner: Table | Choice = self.base
        keys: tuple[str, ...] = ()
        for part in parts:
            table = _with_relationship(owner, part)
            lookup = table.sobject.parent(part) if table else None
            if table is None or lookup is None or lookup.relationship_name is None:
                raise self.no_relationship(part, at)
            keys = (*keys, lookup.relationship_name)
            known = self._joined.get(keys)
            if known is None:
                known = self._join(table, lookup, at)
                self._joined[keys] = known
            owner = known
        return owner, keys

    def _join(self, parent: Table, lookup: Field, at: int) -> Table | Choice:
        targets = [self.view.schema.get(name) for name in lookup.reference_to]
        seen = [target for target in targets if target is not None]
        if not seen:
            raise self.no_relationship(lookup.relationship_name or "", at)
        tables = [self._join_one(parent, lookup, target) for target in seen]
        if len(self._sql) > MAX_RELATIONSHIPS:
            message = f"The query selects more than {MAX_RELATIONSHIPS} parent relationships"
            raise ApiError(400, "QUERY_TOO_COMPLICATED", message)
        return tables[0] if len(lookup.reference_to) == 1 else Choice(lookup, parent, tables)

    def _join_one(self, parent: Table, lookup: Field, target: SObject) -> Table:
        table = Table(f"{self.prefix}{len(self._sql) + 1}", target, lookup, parent)
        link = self.sql(parent, lookup)
        self._sql.append(f' LEFT JOIN {quoted(target.name)} AS {table.alias} ON {table.alias}."Id" = {link}')
        return table

    def _choice_field(self, choice: Choice, name: str, keys: tuple[str, ...], at: int) -> Found:
        canonical = next((known for known in _NAME_FIELDS if known.lower() == name.lower()), None)
        if canonical is None:
            raise self.no_column(name, "Name", at)
        if canonical == "Type":
            cases = " ".join(
                f"WHEN {table.alias}.\"Id\" IS NOT NULL THEN '{_type_shown(table.sobject.name)}'"
                for table in choice.tables
            )
            return Found(f"(CASE {cases} END COLLATE NOCASE)", _TYPE, keys, choice)
        values = []
        model: Field | None = None
        for table in choice.tables:
            one = table.sobject.name_field if canonical == "Name" else table.sobject.field(canonical)
            if one is not None:
                model = model or one
                values.append(self.sql(table, one))
        if model is None:
            raise self.no_column(name, "Name", at)
        sql = values[0] if len(values) == 1 else f"(COALESCE({', '.join(values)}) COLLATE NOCASE)"
        shown = model if model.name == canonical else Field(name=canonical, type="string", length=model.length)
        return Found(sql, shown, keys, choice)

    # -- refusals

    def no_column(self, name: str, object_name: str, at: int) -> ApiError:
        """The answer for a field that does not exist, or that the user may not see."""
        message = (
            f"No such column '{name}' on entity '{object_name}'. If you are attempting to use a custom field, be sure "
            f"to append the '__c' after the custom field name. {_ADVICE}"
        )
        return refused("INVALID_FIELD", self.text, at, message)

    def no_relationship(self, name: str, at: int) -> ApiError:
        """The answer for a parent relationship that does not exist."""
        message = (
            f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
            f"relationship, be sure to append the '__r' after the custom relationship name. {_ADVICE}"
        )
        return refused("INVALID_FIELD", self.text, at, message)

    def no_type(self, name: str, at: int) -> ApiError:
        """The answer for an object that does not exist."""
        return no_type(self.text, name, at)


def _with_relationship(owner: Table | Choice, part: str) -> Table | None:
    """The table whose lookup ``part`` names; of a polymorphic parent only what its Name object has."""
    if isinstance(owner, Table):
        return owner
    if part.lower() not in _NAME_PARENTS:
        return None
    return next((table for table in owner.tables if table.sobject.parent(part) is not None), None)


def no_type(text: str, name: str, at: int) -> ApiError:
    """Return the answer for an object that does not exist, or that the user may not see."""
    message = (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
        f"the '__c' after the entity name. {_ADVICE}"
    )
    return refused("INVALID_TYPE", text, at, message)


def no_children(text: str, name: str, at: int) -> ApiError:
    """Return the answer for a child relationship that does not exist."""
    message = (
        f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a custom "
        f"relationship, be sure to append the '__r' after the custom relationship name. {_ADVICE}"
    )
    return refused("INVALID_TYPE", text, at, message)


def alias_numbers() -> Iterator[str]:
    """Yield the alias prefixes of the SELECTs of one statement: a, b, c, .., aa, ab, .."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    size = 1
    while True:
        for index in range(len(letters) ** size):
            name = ""
            for _ in range(size):
                index, place = divmod(index, len(letters))
                name = letters[place] + name
            yield f"q_{name}"
        size += 1


def _type_shown(object_name: str) -> str:
    """The text of ``Owner.Type``: people read a group that owns records as a queue."""
    return "Queue" if object_name == "Group" else object_name


_TYPE = Field(name="Type", type="picklist", length=40, sortable=True, groupable=False)
