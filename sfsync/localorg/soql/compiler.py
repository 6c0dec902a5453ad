"""A parsed statement and a schema to a plan of SQL.

It may not know the database's rows or the answer's bytes. The one law: whatever the user may not see is refused here,
in the words of a real org, before any SQL runs.
"""

from __future__ import annotations

from dataclasses import replace

from sfsync.localorg.errors import ApiError, not_modelled
from sfsync.localorg.schema import SObject
from sfsync.localorg.soql import functions
from sfsync.localorg.soql.calls import Calls, has_aggregate, is_aggregate
from sfsync.localorg.soql.conditions import Conditions, Parameters, Term, field_term
from sfsync.localorg.soql.groups import Groups
from sfsync.localorg.soql.parser import parse
from sfsync.localorg.soql.plan import ChildPlan, Kind, Plan
from sfsync.localorg.soql.render import Kids, Leaf, Shape
from sfsync.localorg.soql.scope import Choice, Found, Scope, Table, View, alias_numbers, no_children, no_type
from sfsync.localorg.soql.text import malformed, refused
from sfsync.localorg.soql.tree import (
    Call,
    Children,
    Column,
    FieldGroup,
    Operand,
    Order,
    Path,
    Query,
    Typeof,
)
from sfsync.localorg.soql.values import ID_TYPES, Literals, well_formed

MAX_OFFSET = 2000
MAX_FIELDS_LIMIT = 200
MAX_SUBQUERIES = 20
MAX_LEVELS_DOWN = 5
_COMPOUND = frozenset({"address", "location"})
_LINK_FILTERS = frozenset({"Id", "ContentDocumentId", "LinkedEntityId"})


def compile_soql(text: str, view: View, *, bulk: bool = False) -> Plan:
    """Return the plan of ``text`` for ``view``; raise ApiError, shaped as an org does, when there is none.

    ``bulk`` refuses what a Bulk API query job does not take (facts 4.4).
    """
    text = well_formed(text)
    query = parse(text)
    return _Compiler(text, view, bulk).top(query)


class _Compiler:
    """Shared by all SELECTs of one statement."""

    def __init__(self, text: str, view: View, bulk: bool) -> None:
        self.text = text
        self.view = view
        self.bulk = bulk
        self.parameters = Parameters()
        self.literals = Literals(text, view.now, view.zone)
        self.prefixes = alias_numbers()
        self.subqueries = 0

    def top(self, query: Query) -> Plan:
        base = self.object(query.source)
        return _Select(self, query, base, level=0).plan()

    def object(self, path: Path) -> SObject:
        found = self.view.schema.get(str(path)) if len(path.parts) == 1 else None
        if found is None:
            raise no_type(self.text, str(path), path.at)
        if not found.queryable:
            message = f"entity type {found.name} does not support query"
            raise refused("INVALID_TYPE_FOR_OPERATION", self.text, path.at, message)
        return found

    def semi_join(self, outer: SObject, query: Query, left: Term) -> str:
        base = self.object(query.source)
        if base.name == outer.name and left.kind == "id":
            message = "The inner and outer selects should not be on the same object type"
            raise malformed(self.text, query.source.at, message)
        return _Select(self, query, base, level=0, inner=True).semi_join_sql()


class _Select:
    """One SELECT of a statement."""

    def __init__(
        self,
        compiler: _Compiler,
        query: Query,
        base: SObject,
        *,
        level: int,
        inner: bool = False,
        names: tuple[str, ...] = (),
    ) -> None:
        self.compiler = compiler
        self.text = compiler.text
        self.query = query
        self.base = base
        self.level = level
        self.inner = inner
        aliases = [query.alias] if query.alias else []
        self.scope = Scope(compiler.view, self.text, base, [*aliases, *names], next(compiler.prefixes))
        for path, alias in query.more_sources:
            self.scope.add_alias(path, alias)
        self.columns: list[str] = []
        self.leaves: list[tuple[str, Leaf]] = []
        self.children: list[ChildPlan] = []
        self.calls = Calls(self.text, self.scope, compiler.parameters, compiler.view.zone)
        self.groups = Groups(self.text, self.scope, self.calls, query.grouping)
        self.conditions = Conditions(
            self.text,
            compiler.literals,
            compiler.parameters,
            self.where_term,
            lambda inner_query, left: compiler.semi_join(base, inner_query, left),
        )

    # -- whole plans

    def plan(self) -> Plan:
        query = self.query
        self._check_clauses()
        calls = [item.what for item in query.items if isinstance(item, Column) and isinstance(item.what, Call)]
        aggregates = [call for call in calls if is_aggregate(call)]
        if any(call.name.upper() == "COUNT" and not call.args for call in aggregates):
            return self._count_plan()
        if query.grouping is not None or any(has_aggregate(call) for call in calls):
            return self._group_plan()
        return self._row_plan()

    def semi_join_sql(self) -> str:
        """The SQL of a sub-select: one id or reference field, nothing else."""
        query = self.query
        item = query.items[0]
        if len(query.items) != 1 or not isinstance(item, Column) or not isinstance(item.what, Path) or item.alias:
            message = "semi join sub-selects can only query a single ID or reference field"
            raise malformed(self.text, query.source.at, message)
        if query.grouping or query.order or query.limit is not None or query.offset is not None or query.having:
            message = "semi join sub-selects can not use GROUP BY, HAVING, ORDER BY, LIMIT or OFFSET"
            raise malformed(self.text, query.source.at, message)
        found = self.scope.find(item.what)
        if found.field.type not in ID_TYPES:
            message = f"The selected field '{found.name}' in the subquery must be an ID or reference field"
            raise malformed(self.text, item.what.at, message)
        where = self._where()
        return f"SELECT {found.sql} FROM {self.scope.from_sql} WHERE {where} AND {found.sql} IS NOT NULL"

    def _row_plan(self) -> Plan:
        query = self.query
        if query.having is not None:
            raise malformed(self.text, query.source.at, "having clause requires a group by clause")
        shape = Shape(types=((self.base.name, self._column(f'{self.scope.base.alias}."Id"')),))
        for item in query.items:
            match item:
                case Column():
                    self._select(shape, item)
                case Children():
                    self._child(shape, item)
                case Typeof():
                    self._typeof(shape, item)
                case FieldGroup():
                    self._field_group(shape, item)
        where = self._where()
        order = ["".join(self._order_sql(term)) for term in query.order]
        return self._finish(Kind.ROWS, shape, where, ", ".join([*order, *self._tie_order()]))

    def _count_plan(self) -> Plan:
        query = self.query
        if len(query.items) != 1 or query.grouping is not None:
            raise malformed(self.text, query.source.at, "COUNT() must be the only element in the select list")
        item = query.items[0]
        if isinstance(item, Column) and item.alias:
            raise malformed(self.text, query.source.at, "unexpected token: 'FROM'")
        return self._finish(Kind.COUNT, Shape(), self._where(), "")

    def _group_plan(self) -> Plan:
        query = self.query
        if query.grouping is None and (query.limit is not None or query.offset is not None):
            message = "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"
            raise malformed(self.text, query.source.at, message)
        if query.grouping is None and query.having is not None:
            raise malformed(self.text, query.source.at, "having clause requires a group by clause")
        self.groups.read()
        shape = Shape()
        unnamed = 0
        for item in query.items:
            if not isinstance(item, Column):
                raise malformed(self.text, item.at, "Only fields and functions can be selected in a grouped query")
            key, leaf = self._group_item(item)
            if key is None:
                key = f"expr{unnamed}"
                unnamed += 1
            if key.lower() in {known.lower() for known in shape.members}:
                raise malformed(self.text, item.what.at, f"duplicate alias: {key}")
            shape.members[key] = leaf
            self.leaves.append((key, leaf))
        where = self._where()
        having = ""
        if query.having is not None:
            self.conditions.term = self.having_term
            having = self.conditions.sql(query.having)
        order = [self._order_sql(term) for term in query.order]
        plan = self._finish(Kind.GROUPS, shape, where, ", ".join("".join(term) for term in order))
        plan.group, plan.having, plan.sets = ", ".join(self.groups.sql), having, self.groups.sets(order)
        return plan

    def _finish(self, kind: Kind, shape: Shape, where: str, order: str) -> Plan:
        query = self.query
        return Plan(
            kind=kind,
            object_name=self.base.name,
            table_alias=self.scope.base.alias,
            columns=self.columns,
            joins=self.scope.joins_sql(),
            where=where,
            order=order,
            shape=shape,
            leaves=self.leaves,
            parameters=self.compiler.parameters.values,
            limit=query.limit,
            offset=query.offset or 0,
            children=self.children,
            purpose=query.purpose,
            include_deleted=self.compiler.view.include_deleted,
        )

    def _check_clauses(self) -> None:
        query = self.query
        if query.all_rows:
            raise malformed(self.text, query.source.at, "ALL ROWS not allowed in this context")
        if query.offset is not None and query.offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message)
        if self.compiler.bulk:
            self._check_bulk()

    def _check_bulk(self) -> None:
        query = self.query
        for item in query.items:
            call = item.what if isinstance(item, Column) else None
            if not isinstance(item, Column) or (isinstance(call, Call) and has_aggregate(call)):
                raise self._not_in_bulk("aggregates, subqueries, TYPEOF and FIELDS()")
        if query.grouping is not None or query.offset is not None:
            raise self._not_in_bulk("GROUP BY and OFFSET")

    def _not_in_bulk(self, what: str) -> ApiError:
        return ApiError(400, "API_ERROR", f"{what} are not supported in Bulk Query")

    # -- WHERE

    def _where(self) -> str:
        view, base = self.compiler.view, self.scope.base
        parts = []
        if not view.include_deleted:
            # The plus keeps the planner off an index on IsDeleted where a better one may exist.
            plus = "+" if self.query.where is not None or self.query.order or self.level else ""
            parts.append(f'{plus}{base.alias}."IsDeleted" = 0')
        if self.query.scope not in (None, "everything"):
            parts.append(self._scope_sql())
        if self.query.where is not None:
            parts.append(self.conditions.sql(self.query.where))
        if self.base.name == "ContentDocumentLink" and not self.level:
            self._check_links()
        return " AND ".join(parts) or "1"

    def _scope_sql(self) -> str:
        owner = self.base.field("OwnerId")
        if self.query.scope != "mine" or owner is None or self.compiler.view.user_id is None:
            raise not_modelled(f"USING SCOPE {self.query.scope}", status=400, code="MALFORMED_QUERY")
        mine = self.compiler.parameters.bind(self.compiler.view.user_id)
        return f"{self.scope.sql(self.scope.base, owner)} = {mine}"

    def _check_links(self) -> None:
        if any(name in _LINK_FILTERS and operator in ("=", "in") for name, operator in self.conditions.filtered):
            return
        message = (
            "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or "
            "LinkedEntityId using the equals operator or multiple Id's using the IN operator."
        )
        raise ApiError(400, "MALFORMED_QUERY", message)

    def where_term(self, operand: Operand) -> Term:
        """The left side of a WHERE comparison."""
        if isinstance(operand, Path):
            return self._path_term(operand)
        if is_aggregate(operand):
            raise malformed(self.text, operand.at, f"Aggregate functions are not allowed in a where clause: {operand}")
        sql, kind = self.calls.scalar(operand)
        return Term(sql, kind, str(operand), operand.at)

    def having_term(self, operand: Operand) -> Term:
        """The left side of a HAVING comparison: an aggregate, or something grouped."""
        if isinstance(operand, Call) and is_aggregate(operand):
            sql, kind = self.calls.aggregate(operand)
            return Term(sql, kind, str(operand), operand.at)
        if isinstance(operand, Path):
            term, sql = self._path_term(operand), self.scope.find(operand).sql
            return replace(term, sql=term.sql.replace(sql, self.groups.shown(sql, operand)))
        if operand.name.upper() == "GROUPING":
            return Term(self.groups.summed(operand), "int", str(operand), operand.at)
        sql, kind = self.calls.scalar(operand)
        return Term(self.groups.shown(sql, operand), kind, str(operand), operand.at)

    def _path_term(self, path: Path) -> Term:
        found = self.scope.find(path)
        return field_term(found.sql, found.field, path)

    # -- ORDER BY

    def _order_sql(self, term: Order) -> tuple[str, str]:
        """What a term orders by, and its direction."""
        sql, may_be_missing = self._ordered(term.what)
        nulls_last = None if may_be_missing else term.nulls_last  # not honoured on a relationship that may be null
        if term.descending:
            return sql, f" DESC{'' if nulls_last else ' NULLS FIRST'}"
        return sql, " NULLS LAST" if nulls_last else ""

    def _ordered(self, what: Operand) -> tuple[str, bool]:
        """The SQL of what is ordered by, and whether it belongs to a parent that may be missing."""
        by_group = self.query.grouping is not None
        complaint = "Ordered field must be grouped or aggregated"
        if isinstance(what, Path):
            found = self.scope.find(what)
            if not found.field.sortable or found.field.type in _COMPOUND:
                message = f"field '{found.name}' can not be sorted in a query call"
                raise refused("INVALID_FIELD", self.text, what.at, message)
            sql = field_term(found.sql, found.field, what).sql
            if by_group:
                sql = sql.replace(found.sql, self.groups.shown(found.sql, what, complaint))
            indexed = found.field.unique or found.field.external_id  # and paged through by key: the index decides
            if found.field.type == "picklist" and found.field.picklist:
                sql = functions.listed_sql(sql, found.field, self.compiler.parameters)
            elif found.field.is_text and not found.field.case_sensitive and not indexed:
                sql = f"soql_sorted({sql})"
            return sql, found.owner is not self.scope.base and not _always_there(found.owner)
        if is_aggregate(what):
            if not by_group:
                raise malformed(self.text, what.at, f"Aggregates can only be ordered by in a grouped query: {what}")
            return self.calls.aggregate(what)[0], False
        if by_group and what.name.upper() == "GROUPING":
            return self.groups.summed(what), False
        sql, _ = self.calls.scalar(what)
        return (self.groups.shown(sql, what, complaint) if by_group else sql), False

    def _tie_order(self) -> list[str]:
        """What decides among rows that ORDER BY leaves equal; without ORDER BY the executor stirs what it has read."""
        seed = self.compiler.view.shuffle
        if seed is None or not self.query.order:
            return []
        ordered = {str(term.what).lower() for term in self.query.order}
        if "id" in ordered:
            return []
        row = f"{self.scope.base.alias}.rowid"
        return [f"(({row} + {seed % 65521}) * 2654435761) % 4294967291"]

    # -- the select list of rows

    def _select(self, shape: Shape, item: Column) -> None:
        if isinstance(item.what, Path):
            if item.alias is not None:
                raise malformed(self.text, item.what.at, "only aggregate expressions use field aliasing")
            found = self.scope.find(item.what)
            leaf = self._leaf(found, item.what.at)
        else:
            found, leaf = self._select_call(item.what)
        self._place(shape, found, leaf, item.what.at, item.alias)

    def _select_call(self, call: Call) -> tuple[Found, Leaf]:
        name = call.name.upper()
        inner = call.args[0] if len(call.args) == 1 else None
        if name not in functions.SHOWN or inner is None:
            raise self.calls.foreign(call)
        if isinstance(inner, Call):
            found, leaf = self._select_call(inner)
        else:
            found = self.calls.shown(call, inner)
            leaf = self._leaf(found, inner.at)
        if name == "TOLABEL":
            sql = functions.label_sql(found.sql, found.field, self.compiler.parameters)
            return found, Leaf("string", self._column(sql), found.name)
        if name == "FORMAT":
            return found, Leaf("string", leaf.index, found.name, functions.shown(found.field.type))
        return found, leaf

    def _leaf(self, found: Found, at: int) -> Leaf:
        one = found.field
        if one.type in _COMPOUND:
            if self.compiler.bulk:
                raise ApiError(400, "API_ERROR", "Selecting compound data not supported in Bulk Query")
            return self._compound(found, at)
        if one.type == "base64":
            if self.compiler.bulk:
                raise ApiError(400, "API_ERROR", "Selecting binary data is not supported in Bulk Query")
            return Leaf("base64", self._column(f"{found.sql} IS NOT NULL"), one.name)
        sql = found.sql
        if one.formula is not None and one.type in ("double", "currency", "percent"):
            sql = f"(CAST({sql} AS REAL) + 0.0)"  # a zero has no sign
        return Leaf(one.type, self._column(sql), one.name)

    def _compound(self, found: Found, at: int) -> Leaf:
        owner = found.owner
        if not isinstance(owner, Table):
            raise self.scope.no_column(found.name, "Name", at)
        stem = found.name.removesuffix("Address").removesuffix("__c")
        parts = []
        for part in owner.sobject.fields.values():
            if part.compound_name == found.name and part.stored:
                key = part.name.removesuffix("__s").removesuffix("__c").removeprefix(stem).lstrip("_")
                parts.append((key[:1].lower() + key[1:], self._column(self.scope.sql(owner, part))))
        return Leaf(found.field.type, 0, found.name, parts=tuple(sorted(parts)))

    def _place(self, shape: Shape, found: Found, leaf: Leaf, at: int, alias: str | None = None) -> None:
        """Put ``leaf`` into the nested object that the relationships walked lead to; with an alias, outside."""
        here, keys, name = shape, found.keys if alias is None else (), alias or found.name
        for depth, key in enumerate(keys):
            member = here.members.get(key)
            if not isinstance(member, Shape):
                member = self._parent_shape(found, depth)
                here.members[key] = member
            here = member
        if name in here.members:
            raise refused("INVALID_FIELD", self.text, at, f"duplicate field selected: {name}")
        here.members[name] = leaf
        self.leaves.append((".".join((*keys, name)), leaf))

    def _parent_shape(self, found: Found, depth: int) -> Shape:
        owner, _ = self.scope.relationship(Path(found.keys[: depth + 1], 0))
        if isinstance(owner, Choice):
            types = tuple((each.sobject.name, self._column(f'{each.alias}."Id"')) for each in owner.tables)
            return Shape(types=types, shown_type="Name")
        return Shape(types=((owner.sobject.name, self._column(f'{owner.alias}."Id"')),))

    def _field_group(self, shape: Shape, item: FieldGroup) -> None:
        limit = self.query.limit
        if item.group != "STANDARD" and (limit is None or limit > MAX_FIELDS_LIMIT):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {MAX_FIELDS_LIMIT}"
            raise malformed(self.text, item.at, message)
        for one in self.base.fields.values():
            if item.group == "ALL" or one.custom == (item.group == "CUSTOM"):
                found = self.scope.field_of(self.scope.base, one.name, (), item.at)
                self._place(shape, found, self._leaf(found, item.at), item.at)

    def _typeof(self, shape: Shape, item: Typeof) -> None:
        owner, keys = self.scope.relationship(item.relationship)
        if len(keys) != 1:
            raise self.scope.no_relationship(str(item.relationship), item.relationship.at)
        choice = owner if isinstance(owner, Choice) else None
        tables = owner.tables if isinstance(owner, Choice) else [owner]
        lookup = choice.lookup if choice else tables[0].lookup
        if lookup is None or not (lookup.polymorphic or lookup.name_pointing or choice):
            message = f"TYPEOF can only be used on a polymorphic relationship: {item.relationship}"
            raise malformed(self.text, item.relationship.at, message)
        variants = []
        left = {table.sobject.name: table for table in tables}
        for name, paths in item.whens:
            table = next((each for each in tables if each.sobject.name.lower() == name.lower()), None)
            if table is None:
                raise no_type(self.text, name, item.at)
            left.pop(table.sobject.name, None)
            variants.append(self._variant(table, table, keys, paths))
        variants += [self._variant(choice or table, table, keys, item.otherwise) for table in left.values()]
        if keys[0] in shape.members:
            raise refused("INVALID_FIELD", self.text, item.at, f"duplicate field selected: {keys[0]}")
        shape.members[keys[0]] = Shape(types=variants[0].types, variants=tuple(variants))

    def _variant(self, owner: Table | Choice, table: Table, keys: tuple[str, ...], paths: tuple[Path, ...]) -> Shape:
        variant = Shape(types=((table.sobject.name, self._column(f'{table.alias}."Id"')),))
        for path in paths:
            if len(path.parts) != 1:
                raise self.scope.no_relationship(path.parts[0], path.at)
            found = self.scope.field_of(owner, path.parts[0], keys, path.at)
            if found.name in variant.members:
                raise refused("INVALID_FIELD", self.text, path.at, f"duplicate field selected: {found.name}")
            variant.members[found.name] = self._leaf(found, path.at)
        return variant

    def _child(self, shape: Shape, item: Children) -> None:
        compiler, query = self.compiler, item.query
        compiler.subqueries += 1
        if compiler.subqueries > MAX_SUBQUERIES or self.level + 1 > MAX_LEVELS_DOWN:
            message = f"The query has more than {MAX_SUBQUERIES} child subqueries or {MAX_LEVELS_DOWN} levels of them"
            raise ApiError(400, "QUERY_TOO_COMPLICATED", message)
        parts = query.source.parts
        if len(parts) == 2 and parts[0].lower() in self.scope.names:
            parts = parts[1:]
        relation = compiler.view.schema.child(self.base.name, parts[0]) if len(parts) == 1 else None
        child = compiler.view.schema.get(relation.child) if relation else None
        link = child.field(relation.field) if child and relation else None
        if relation is None or child is None or link is None or relation.name is None:
            raise no_children(self.text, str(query.source), query.source.at)
        select = _Select(compiler, query, child, level=self.level + 1, names=(parts[0],))
        plan = select.plan()
        if plan.kind is not Kind.ROWS:
            raise malformed(self.text, item.at, "Aggregates are not allowed in a child subquery")
        if relation.name in shape.members:
            raise refused("INVALID_FIELD", self.text, item.at, f"duplicate field selected: {relation.name}")
        slot = len(self.children)
        self.children.append(ChildPlan(plan, select.scope.sql(select.scope.base, link), slot))
        shape.members[relation.name] = Kids(slot)

    # -- groups

    def _group_item(self, item: Column) -> tuple[str | None, Leaf]:
        """The key (None when the org numbers it) and the value of one selected thing of a grouped query."""
        what = item.what
        if isinstance(what, Path):
            found = self.scope.find(what)
            shown = self.groups.shown(found.sql, what)
            return item.alias or found.name, Leaf(found.field.type, self._column(shown), found.name)
        name = what.name.upper()
        if name in functions.AGGREGATES:
            sql, kind = self.calls.aggregate(what)
            return item.alias, Leaf(kind, self._column(sql))
        if name == "GROUPING":
            return item.alias, Leaf("int", self._column(self.groups.summed(what)))
        if name in functions.SHOWN and len(what.args) == 1:
            key, leaf = self._group_item(Column(what.args[0]))
            if name == "FORMAT":
                leaf = Leaf("string", leaf.index, leaf.name, functions.shown(leaf.kind))
            elif name == "TOLABEL" and isinstance(what.args[0], Path):
                found = self.scope.find(what.args[0])
                shown = self.groups.shown(found.sql, what)
                sql = functions.label_sql(shown, found.field, self.compiler.parameters)
                leaf = Leaf("string", self._column(sql), found.name)
            return item.alias or key, leaf
        sql, kind = self.calls.scalar(what)
        return item.alias, Leaf(kind, self._column(self.groups.shown(sql, what)))

    def _column(self, sql: str) -> int:
        """The index of ``sql`` in the row, added when it is new."""
        if sql in self.columns:
            return self.columns.index(sql)
        self.columns.append(sql)
        return len(self.columns) - 1


def _always_there(owner: Table | Choice) -> bool:
    """Whether a parent can not be missing: every lookup on the way is required."""
    here: Table | None = owner.parent if isinstance(owner, Choice) else owner
    if owner.lookup is None or owner.lookup.nillable:
        return owner.lookup is None
    while here is not None and here.lookup is not None:
        if here.lookup.nillable:
            return False
        here = here.parent
    return True
