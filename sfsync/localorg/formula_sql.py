"""Formula fields: a formula's tree to SQL, evaluated whenever a row is read.

It may not know rows or users. It keeps one law: an expression has no parameters, so that it can stand anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from sfsync.localorg.formula_tree import DAY_SECONDS, FormulaError, Node, parse
from sfsync.localorg.schema import NUMBER_TYPES, Field, Schema, SObject


def number_text(value: Any) -> str:
    """Return a number as TEXT() shows it: no exponent, no trailing zeros."""
    if value is None:
        return ""
    return str(int(value)) if float(value) == int(value) else repr(float(value))


def rounded(value: Any, places: Any) -> float | None:
    if value is None or places is None:
        return None
    factor = 10.0 ** int(places)
    return math.copysign(math.floor(abs(value) * factor + 0.5), value) / factor


def as_number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def sql_expression(schema: Schema, sobject: SObject, field: Field, alias: str) -> str:
    """Return SQL for the value of formula ``field`` of the row that ``alias`` names, in its stored form.

    Parent values are read by scalar subqueries; a deleted parent counts as no parent. Numbers are rounded to the
    field's scale. The expression has no parameters and never contains a semicolon or a placeholder.
    """
    if field.formula is None:
        raise ValueError(f"{field.name} is not a formula")
    tree = parse(field.formula, schema, sobject)
    sql = _Sql(schema, sobject, alias, field.formula_blank_as_zero).of(tree)
    if field.type in NUMBER_TYPES:
        sql = f"round({sql}, {field.scale})"
        return f"CAST({sql} AS INTEGER)" if field.type == "int" else sql
    if field.type == "boolean":
        return f"coalesce({sql}, 0)"
    if tree.kind == "text":
        return f"nullif({sql}, '')"
    return sql


class _Sql:
    def __init__(self, schema: Schema, sobject: SObject, alias: str, blank_as_zero: bool) -> None:
        self._schema, self._owner, self._alias, self._blank_as_zero = schema, sobject, alias, blank_as_zero

    def of(self, node: Node) -> str:
        match node.operator:
            case "literal":
                return _sql_literal(node.value)
            case "path":
                return self._path(node)
            case "permission":
                return f"sf_permitted({_sql_literal(node.value)})"
            case "user":
                return f"sf_user({_sql_literal(node.value.lower())})"
            case "CASE":
                return self._case(node)
        parts = [self.of(p) for p in node.parts]
        kinds = [p.kind for p in node.parts]
        return _sql_call(node.operator, parts, kinds)

    def _case(self, node: Node) -> str:
        asked = self.of(node.parts[0])
        arms = " ".join(
            f"WHEN {asked} IS {self.of(w)} THEN {self.of(a)}"
            for w, a in zip(node.parts[1:-1:2], node.parts[2:-1:2], strict=True)
        )
        return f"(CASE {arms} ELSE {self.of(node.parts[-1])} END)"

    def _path(self, node: Node) -> str:
        *walked, last = node.fields
        sql = self._step(self._alias, tuple(walked), last)
        return f"coalesce({sql}, 0)" if self._blank_as_zero and node.kind == "number" else sql

    def _step(self, alias: str, walked: tuple[Field, ...], last: Field) -> str:
        if not walked:
            if last.formula is not None:
                return f"({sql_expression(self._schema, self._owner, last, alias)})"
            return f'{alias}."{last.name}"'
        lookup, rest = walked[0], walked[1:]
        target = self._schema[lookup.reference_to[-1]]
        below = alias + "_p"
        outer, self._owner = self._owner, target
        inner = self._step(below, rest, last)
        self._owner = outer
        return (
            f'(SELECT {inner} FROM "{target.name}" {below} WHERE {below}."Id" = {alias}."{lookup.name}" '
            f'AND {below}."IsDeleted" = 0)'
        )


def _sql_literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    return "'" + str(value).replace("'", "''").replace("\x00", "") + "'"


def _sql_call(operator: str, p: list[str], kinds: list[str]) -> str:
    if operator in ("=", "!="):
        sides = [f"nullif({s}, '')" if k == "text" else s for s, k in zip(p, kinds, strict=True)]
        return f"({sides[0]} IS {'NOT ' if operator == '!=' else ''}{sides[1]})"
    if operator in ("<", "<=", ">", ">="):
        return f"coalesce({p[0]} {operator} {p[1]}, 0)"
    if operator in ("AND", "OR"):
        return "(" + f" {operator} ".join(f"coalesce({s}, 0)" for s in p) + ")"
    if operator in ("MAX", "MIN"):
        return p[0] if len(p) == 1 else f"{operator.lower()}({', '.join(p)})"
    if operator == "DATEVALUE":
        return f"sf_zone_date({p[0]})" if kinds[0] == "datetime" else f"substr({p[0]}, 1, 10)"
    if operator == "TEXT":
        if kinds[0] == "number":
            return f"sf_number_text({p[0]})"
        return (
            f"strftime('%Y-%m-%d %H:%M:%SZ', {p[0]}, 'unixepoch')"
            if kinds[0] == "datetime"
            else f"coalesce({p[0]}, '')"
        )
    if operator == "-days":
        if kinds[0] == "datetime":
            return f"(({p[0]} - {p[1]}) / {float(DAY_SECONDS)})"
        return f"(julianday({p[0]}) - julianday({p[1]}))"
    shapes = {
        "+": "({0} + {1})",
        "-": "({0} - {1})",
        "*": "({0} * {1})",
        "/": "({0} / nullif(CAST({1} AS REAL), 0))",
        "^": "pow({0}, {1})",
        "&": "(coalesce({0}, '') || coalesce({1}, ''))",
        "negative": "(-{0})",
        "+date": "date({0}, CAST({1} AS INTEGER) || ' days')",
        "-date": "date({0}, -CAST({1} AS INTEGER) || ' days')",
        "+datetime": "CAST({0} + {1} * 86400 AS INTEGER)",
        "-datetime": "CAST({0} - {1} * 86400 AS INTEGER)",
        "NOT": "(NOT coalesce({0}, 0))",
        "IF": "(CASE WHEN {0} THEN {1} ELSE {2} END)",
        "ISBLANK": "(nullif({0}, '') IS NULL)",
        "ISNULL": "(nullif({0}, '') IS NULL)",
        "BLANKVALUE": "coalesce(nullif({0}, ''), {1})",
        "NULLVALUE": "coalesce(nullif({0}, ''), {1})",
        "ISPICKVAL": "(nullif({0}, '') IS nullif({1}, ''))",
        "INCLUDES": "(instr(';' || coalesce({0}, '') || ';', ';' || {1} || ';') > 0)",
        "VALUE": "sf_value({0})",
        "LEN": "length(coalesce({0}, ''))",
        "LEFT": "substr({0}, 1, {1})",
        "RIGHT": "sf_right({0}, {1})",
        "MID": "substr({0}, {1}, {2})",
        "UPPER": "upper({0})",
        "LOWER": "lower({0})",
        "TRIM": "trim({0})",
        "FIND": "CASE WHEN nullif({0}, '') IS NULL THEN 0 ELSE instr(coalesce({1}, ''), {0}) END",
        "CONTAINS": "(instr(coalesce({0}, ''), {1}) > 0)",
        "BEGINS": "(substr(coalesce({0}, ''), 1, length({1})) = {1})",
        "SUBSTITUTE": "replace({0}, {1}, {2})",
        "REGEX": "sf_regex({0}, {1})",
        "ISNUMBER": "(sf_value({0}) IS NOT NULL)",
        "ABS": "abs({0})",
        "ROUND": "sf_round({0}, {1})",
        "FLOOR": "floor({0})",
        "CEILING": "ceil({0})",
        "MOD": "mod({0}, {1})",
        "SQRT": "sqrt({0})",
        "TODAY": "sf_today()",
        "NOW": "sf_now()",
        "DATE": "printf('%04d-%02d-%02d', {0}, {1}, {2})",
        "YEAR": "CAST(substr({0}, 1, 4) AS REAL)",
        "MONTH": "CAST(substr({0}, 6, 2) AS REAL)",
        "DAY": "CAST(substr({0}, 9, 2) AS REAL)",
        "CASESAFEID": "{0}",
    }
    if operator not in shapes:
        raise FormulaError(f"The {operator} function cannot be used in this type of formula")
    return shapes[operator].format(*p)


def sql_functions() -> dict[str, Callable[..., Any]]:
    """Return the SQL functions that expressions call, apart from those that depend on the user and the clock."""

    def sf_number_text(value: Any) -> str:
        return number_text(value)

    def sf_value(text: Any) -> float | None:
        return as_number(text)

    def sf_right(text: Any, count: Any) -> str:
        whole = text or ""
        return str(whole[max(0, len(whole) - int(count or 0)) :])

    def sf_regex(text: Any, pattern: Any) -> int:
        return int(re.fullmatch(pattern or "", text or "") is not None)

    def sf_round(value: Any, places: Any) -> float | None:
        return rounded(value, places)

    return {
        "sf_number_text": sf_number_text,
        "sf_value": sf_value,
        "sf_right": sf_right,
        "sf_regex": sf_regex,
        "sf_round": sf_round,
    }
