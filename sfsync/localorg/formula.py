"""The documented subset of the formula language: validation rules in Python, formula fields in SQL.

It may not know records, users or the database; a situation is handed in. It keeps one law: a formula that this subset
does not hold is refused when it is deployed, never guessed at when it is evaluated.

Supported: literals, fields and parent paths, ``$User``, ``$Profile``, ``$Permission``; ``+ - * / ^ &``,
``= == != <> < <= > >=``, ``&& || !``; and the functions in ``FUNCTIONS``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sfsync.localorg import ids
from sfsync.localorg.schema import NUMBER_TYPES, Field, Schema, SObject

PICKLIST_FUNCTIONS = frozenset(
    {"ISPICKVAL", "CASE", "TEXT", "ISBLANK", "ISCHANGED", "PRIORVALUE", "INCLUDES", "ISNULL"}
)
RULE_FUNCTIONS = frozenset({"ISNEW", "ISCHANGED", "PRIORVALUE"})
# name -> (fewest arguments, most arguments, kind of the result; None = kind of an argument)
FUNCTIONS: dict[str, tuple[int, int, str | None]] = {
    "AND": (1, 99, "boolean"),
    "OR": (1, 99, "boolean"),
    "NOT": (1, 1, "boolean"),
    "IF": (3, 3, None),
    "CASE": (4, 99, None),
    "ISNEW": (0, 0, "boolean"),
    "ISCHANGED": (1, 1, "boolean"),
    "PRIORVALUE": (1, 1, None),
    "ISBLANK": (1, 1, "boolean"),
    "ISNULL": (1, 1, "boolean"),
    "BLANKVALUE": (2, 2, None),
    "NULLVALUE": (2, 2, None),
    "ISPICKVAL": (2, 2, "boolean"),
    "INCLUDES": (2, 2, "boolean"),
    "TEXT": (1, 1, "text"),
    "VALUE": (1, 1, "number"),
    "LEN": (1, 1, "number"),
    "LEFT": (2, 2, "text"),
    "RIGHT": (2, 2, "text"),
    "MID": (3, 3, "text"),
    "UPPER": (1, 1, "text"),
    "LOWER": (1, 1, "text"),
    "TRIM": (1, 1, "text"),
    "CONTAINS": (2, 2, "boolean"),
    "BEGINS": (2, 2, "boolean"),
    "SUBSTITUTE": (3, 3, "text"),
    "REGEX": (2, 2, "boolean"),
    "ISNUMBER": (1, 1, "boolean"),
    "ABS": (1, 1, "number"),
    "ROUND": (2, 2, "number"),
    "FLOOR": (1, 1, "number"),
    "CEILING": (1, 1, "number"),
    "MOD": (2, 2, "number"),
    "MAX": (1, 99, "number"),
    "MIN": (1, 99, "number"),
    "SQRT": (1, 1, "number"),
    "TODAY": (0, 0, "date"),
    "NOW": (0, 0, "datetime"),
    "DATE": (3, 3, "date"),
    "DATEVALUE": (1, 1, "date"),
    "YEAR": (1, 1, "number"),
    "MONTH": (1, 1, "number"),
    "DAY": (1, 1, "number"),
    "CASESAFEID": (1, 1, "text"),
}
_TOKEN = re.compile(
    r"""\s+|/\*.*?\*/
    |(?P<number>\d+\.?\d*|\.\d+)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>\$?[A-Za-z_]\w*(?:\.\w+)*)
    |(?P<sign>&&|\|\||<>|!=|==|<=|>=|[-+*/^&=<>!(),])""",
    re.VERBOSE | re.DOTALL,
)
_BINDING = (
    ("||",),
    ("&&",),
    ("=", "==", "!=", "<>"),
    ("<", "<=", ">", ">="),
    ("&",),
    ("+", "-"),
    ("*", "/"),
    ("^",),
)
_DAY = 86_400


class FormulaError(Exception):
    """A formula that cannot be used; its text is what a deploy reports."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a formula: an ``operator`` (literal, path, or a function's or sign's name) over ``parts``."""

    operator: str
    kind: str
    parts: tuple[Node, ...] = ()
    value: Any = None
    fields: tuple[Field, ...] = ()


@dataclass(slots=True)
class Situation:
    """What a rule is asked about: the row after and before the write, who writes, and when."""

    new: Mapping[str, Any]
    old: Mapping[str, Any] | None
    now: int
    today: str
    user: Mapping[str, Any]
    permissions: frozenset[str]
    parent: Callable[[Mapping[str, Any], tuple[Field, ...]], Any]
    zone_date: Callable[[int], str]


def _kind_of(field: Field) -> str:
    if field.type in NUMBER_TYPES:
        return "number"
    if field.type in ("boolean", "date", "datetime", "time"):
        return field.type
    return "text"


class _Parser:
    def __init__(self, text: str, schema: Schema, sobject: SObject) -> None:
        self._schema, self._sobject = schema, sobject
        self._words: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise FormulaError(f"Syntax error.  Found '{text[at]}'")
            at = found.end()
            if found.lastgroup:
                self._words.append((found.lastgroup, found.group()))
        self._at = 0

    def whole(self) -> Node:
        node = self._binary(0)
        if self._at < len(self._words):
            raise FormulaError(f"Syntax error.  Extra '{self._words[self._at][1]}'")
        return node

    def _peek(self) -> str:
        return self._words[self._at][1] if self._at < len(self._words) else ""

    def _take(self, wanted: str | None = None) -> tuple[str, str]:
        if self._at >= len(self._words):
            raise FormulaError(f"Syntax error.  Missing '{wanted or 'expression'}'")
        word = self._words[self._at]
        if wanted is not None and word[1] != wanted:
            raise FormulaError(f"Syntax error.  Missing '{wanted}'")
        self._at += 1
        return word

    def _binary(self, level: int) -> Node:
        if level == len(_BINDING):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _BINDING[level] and self._words[self._at][0] == "sign":
            sign = self._take()[1]
            left = self._joined(sign, left, self._binary(level + 1))
        return left

    def _joined(self, sign: str, left: Node, right: Node) -> Node:
        for side in (left, right):
            _no_bare_picklist(side)
        sign = {"==": "=", "<>": "!=", "&&": "AND", "||": "OR"}.get(sign, sign)
        if sign in ("AND", "OR"):
            return Node(sign, "boolean", (left, right))
        if sign in ("=", "!=", "<", "<=", ">", ">="):
            kinds = {left.kind, right.kind} - {"null"}
            if len(kinds) > 1:
                raise FormulaError(
                    f"Incorrect parameter type for operator '{sign}'. Expected {left.kind.title()}, received "
                    f"{right.kind.title()}"
                )
            return Node(sign, "boolean", (left, right))
        if sign == "&" or (sign == "+" and left.kind == right.kind == "text"):
            return Node("&", "text", (left, right))
        dated = left.kind in ("date", "datetime")
        if sign == "-" and dated and right.kind == left.kind:
            return Node("-days", "number", (left, right))
        if sign in "+-" and dated and right.kind == "number":
            return Node(sign + left.kind, left.kind, (left, right))
        if sign == "+" and left.kind == "number" and right.kind in ("date", "datetime"):
            return Node(sign + right.kind, right.kind, (right, left))
        for side in (left, right):
            if side.kind not in ("number", "null"):
                raise FormulaError(
                    f"Incorrect parameter type for operator '{sign}'. Expected Number, received {side.kind.title()}"
                )
        return Node(sign, "number", (left, right))

    def _unary(self) -> Node:
        if self._peek() in ("-", "+", "!"):
            sign = self._take()[1]
            inner = self._unary()
            if sign == "!":
                return Node("NOT", "boolean", (inner,))
            return inner if sign == "+" else Node("negative", "number", (inner,))
        return self._primary()

    def _primary(self) -> Node:
        group, word = self._take()
        if group == "number":
            return Node("literal", "number", value=float(word))
        if group == "string":
            return Node("literal", "text", value=re.sub(r"\\(.)", r"\1", word[1:-1]))
        if word == "(":
            inner = self._binary(0)
            self._take(")")
            return inner
        if group != "name":
            raise FormulaError(f"Syntax error.  Found '{word}'")
        if self._peek() == "(":
            return self._call(word.upper())
        match word.upper():
            case "TRUE" | "FALSE":
                return Node("literal", "boolean", value=word.upper() == "TRUE")
            case "NULL":
                return Node("literal", "null")
        return self._path(word)

    def _path(self, word: str) -> Node:
        parts = word.split(".")
        if parts[0].startswith("$"):
            scope = parts[0].lower()
            if scope == "$permission":
                return Node("permission", "boolean", value=parts[-1])
            if scope in ("$user", "$profile") and len(parts) == 2:
                return Node("user", "text", value=f"{scope[1:]}.{parts[1]}")
            raise FormulaError(f"Field {word} does not exist. Check spelling.")
        here: SObject | None = self._sobject
        walked: list[Field] = []
        for part in parts[:-1]:
            lookup = None if here is None else here.parent(part)
            if lookup is None:
                raise FormulaError(f"Field {word} does not exist. Check spelling.")
            walked.append(lookup)
            here = self._schema.get(lookup.reference_to[-1]) if lookup.reference_to else None
        last = None if here is None else here.field(parts[-1])
        if last is None:
            raise FormulaError(f"Field {word} does not exist. Check spelling.")
        return Node("path", _kind_of(last), value=word, fields=(*walked, last))

    def _call(self, name: str) -> Node:
        rule = FUNCTIONS.get(name)
        if rule is None:
            raise FormulaError(f"Unknown function {name}. Check spelling.")
        self._take("(")
        parts: list[Node] = []
        while self._peek() != ")":
            if parts:
                self._take(",")
            parts.append(self._binary(0))
        self._take(")")
        fewest, most, kind = rule
        if not fewest <= len(parts) <= most:
            raise FormulaError(
                f"Incorrect number of parameters for function '{name}()'. Expected {fewest}, received {len(parts)}"
            )
        if name not in PICKLIST_FUNCTIONS:
            for part in parts:
                _no_bare_picklist(part)
        if name in ("ISCHANGED", "PRIORVALUE") and (parts[0].operator != "path" or len(parts[0].fields) != 1):
            raise FormulaError(f"Incorrect argument type for function '{name}()'.")
        if kind is None:
            chosen = {"IF": parts[1:], "CASE": [*parts[2:-1:2], parts[-1]]}.get(name, parts)
            kind = next((p.kind for p in chosen if p.kind != "null"), "null")
        return Node(name, kind, tuple(parts))


def _no_bare_picklist(node: Node) -> None:
    if node.operator == "path" and node.fields[-1].type in ("picklist", "multipicklist"):
        raise FormulaError(
            f"Field {node.value} is a picklist field. Picklist fields are only supported in certain functions."
        )


def parse(text: str, schema: Schema, sobject: SObject) -> Node:
    """Return the tree of a formula of ``sobject``; FormulaError when it is not in the subset."""
    return _Parser(text, schema, sobject).whole()


def check(text: str, schema: Schema, sobject: SObject, *, rule: bool = False) -> str:
    """Return the kind of a formula (text, number, boolean, date, datetime); raise FormulaError when it cannot be used.

    ``rule`` says that it is a validation rule, which must be boolean and may ask about the change.
    """
    tree = parse(text, schema, sobject)
    if rule and tree.kind != "boolean":
        raise FormulaError(
            f"Formula result is data type ({tree.kind.title()}), incompatible with expected data type (Boolean)."
        )
    if not rule:
        _no_bare_picklist(tree)
        _refuse_change_functions(tree)
    return tree.kind


def _refuse_change_functions(node: Node) -> None:
    if node.operator in RULE_FUNCTIONS:
        raise FormulaError(f"The {node.operator} function cannot be used in this type of formula")
    for part in node.parts:
        _refuse_change_functions(part)


# Rules: a tree to a Python function

Evaluation = Callable[[Situation], Any]


def rule_function(text: str, schema: Schema, sobject: SObject) -> Evaluation:
    """Return a function of a ``Situation`` that is true when the rule's formula is."""
    return _python(parse(text, schema, sobject))


def _blank(value: Any) -> bool:
    return value is None or value == ""


def _compare(sign: str, left: Any, right: Any) -> bool:
    left, right = (None if left == "" else left), (None if right == "" else right)
    if sign in ("=", "!="):
        return bool(left == right) is (sign == "=")
    if left is None or right is None:
        return False
    match sign:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right else None
        case _:
            return left**right


def _days_moved(kind: str, start: Any, days: Any, sign: int) -> Any:
    if start is None or days is None:
        return None
    if kind == "datetime":
        return start + sign * days * _DAY
    return (date.fromisoformat(start) + timedelta(days=math.floor(sign * days))).isoformat()


def _days_between(kind: str, left: Any, right: Any) -> float | None:
    if left is None or right is None:
        return None
    if kind == "datetime":
        return float((left - right) / _DAY)
    return float((date.fromisoformat(left) - date.fromisoformat(right)).days)


def number_text(value: Any) -> str:
    """Return a number as TEXT() shows it: no exponent, no trailing zeros."""
    if value is None:
        return ""
    return str(int(value)) if float(value) == int(value) else repr(float(value))


def _round(value: Any, places: Any) -> float | None:
    if value is None or places is None:
        return None
    factor = 10.0 ** int(places)
    return math.copysign(math.floor(abs(value) * factor + 0.5), value) / factor


def _as_number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _path_function(node: Node) -> Evaluation:
    *walked, last = node.fields
    is_boolean = last.type == "boolean"
    if not walked and last.stored:
        name = last.name
        if is_boolean:
            return lambda s: bool(s.new.get(name))
        return lambda s: s.new.get(name)
    path = node.fields
    if is_boolean:
        return lambda s: bool(s.parent(s.new, path))
    return lambda s: s.parent(s.new, path)


def _prior(name: str) -> Evaluation:
    return lambda s: s.new.get(name) if s.old is None else s.old.get(name)


def _python(node: Node) -> Evaluation:  # one flat table of the language; a class per function would hide it
    parts = [_python(p) for p in node.parts]
    kinds = [p.kind for p in node.parts]
    value, operator = node.value, node.operator
    if operator == "path":
        return _path_function(node)
    if operator in ("=", "!=", "<", "<=", ">", ">="):
        return lambda s: _compare(operator, parts[0](s), parts[1](s))
    if operator in ("+", "-", "*", "/", "^"):
        return lambda s: _arithmetic(operator, parts[0](s), parts[1](s))
    if operator in ("+date", "+datetime", "-date", "-datetime"):
        sign = 1 if operator[0] == "+" else -1
        return lambda s: _days_moved(kinds[0], parts[0](s), parts[1](s), sign)
    if operator in ("ISCHANGED", "PRIORVALUE"):
        name = node.parts[0].fields[0].name
        if operator == "PRIORVALUE":
            return _prior(name)
        return lambda s: s.old is not None and s.old.get(name) != s.new.get(name)
    table: dict[str, Evaluation] = {
        "literal": lambda s: value,
        "permission": lambda s: value in s.permissions,
        "user": lambda s: s.user.get(value.lower()),
        "negative": lambda s: None if (n := parts[0](s)) is None else -n,
        "&": lambda s: f"{parts[0](s) or ''}{parts[1](s) or ''}",
        "-days": lambda s: _days_between(kinds[0], parts[0](s), parts[1](s)),
        "AND": lambda s: all(p(s) for p in parts),
        "OR": lambda s: any(p(s) for p in parts),
        "NOT": lambda s: not parts[0](s),
        "IF": lambda s: parts[1](s) if parts[0](s) else parts[2](s),
        "CASE": lambda s: _case(parts, s),
        "ISNEW": lambda s: s.old is None,
        "ISBLANK": lambda s: _blank(parts[0](s)),
        "ISNULL": lambda s: _blank(parts[0](s)),
        "BLANKVALUE": lambda s: parts[1](s) if _blank(v := parts[0](s)) else v,
        "NULLVALUE": lambda s: parts[1](s) if _blank(v := parts[0](s)) else v,
        "ISPICKVAL": lambda s: _compare("=", parts[0](s), parts[1](s)),
        "INCLUDES": lambda s: parts[1](s) in (parts[0](s) or "").split(";"),
        "TEXT": lambda s: _text(kinds[0], parts[0](s)),
        "VALUE": lambda s: _as_number(parts[0](s)),
        "LEN": lambda s: float(len(parts[0](s) or "")),
        "LEFT": lambda s: (parts[0](s) or "")[: max(0, int(parts[1](s) or 0))],
        "RIGHT": lambda s: (t := parts[0](s) or "")[max(0, len(t) - int(parts[1](s) or 0)) :],
        "MID": lambda s: (parts[0](s) or "")[int(parts[1](s)) - 1 :][: int(parts[2](s))],
        "UPPER": lambda s: (parts[0](s) or "").upper(),
        "LOWER": lambda s: (parts[0](s) or "").lower(),
        "TRIM": lambda s: (parts[0](s) or "").strip(),
        "CONTAINS": lambda s: (parts[1](s) or "") in (parts[0](s) or ""),
        "BEGINS": lambda s: (parts[0](s) or "").startswith(parts[1](s) or ""),
        "SUBSTITUTE": lambda s: (parts[0](s) or "").replace(parts[1](s) or "", parts[2](s) or ""),
        "REGEX": lambda s: re.fullmatch(parts[1](s) or "", parts[0](s) or "") is not None,
        "ISNUMBER": lambda s: _as_number(parts[0](s)) is not None,
        "ABS": lambda s: None if (n := parts[0](s)) is None else abs(n),
        "ROUND": lambda s: _round(parts[0](s), parts[1](s)),
        "FLOOR": lambda s: None if (n := parts[0](s)) is None else float(math.floor(n)),
        "CEILING": lambda s: None if (n := parts[0](s)) is None else float(math.ceil(n)),
        "MOD": lambda s: None if (n := parts[0](s)) is None or not (d := parts[1](s)) else math.fmod(n, d),
        "SQRT": lambda s: None if (n := parts[0](s)) is None or n < 0 else math.sqrt(n),
        "MAX": lambda s: max((n for p in parts if (n := p(s)) is not None), default=None),
        "MIN": lambda s: min((n for p in parts if (n := p(s)) is not None), default=None),
        "TODAY": lambda s: s.today,
        "NOW": lambda s: s.now,
        "DATE": lambda s: date(int(parts[0](s)), int(parts[1](s)), int(parts[2](s))).isoformat(),
        "DATEVALUE": lambda s: _date_value(kinds[0], parts[0](s), s.zone_date),
        "YEAR": lambda s: None if (d := parts[0](s)) is None else float(d[:4]),
        "MONTH": lambda s: None if (d := parts[0](s)) is None else float(d[5:7]),
        "DAY": lambda s: None if (d := parts[0](s)) is None else float(d[8:10]),
        "CASESAFEID": lambda s: None if (i := parts[0](s)) is None else ids.to_long(i) or i,
    }
    return table[operator]


def _case(parts: Sequence[Evaluation], situation: Situation) -> Any:
    asked = parts[0](situation)
    for wanted, answer in zip(parts[1:-1:2], parts[2:-1:2], strict=True):
        if _compare("=", asked, wanted(situation)):
            return answer(situation)
    return parts[-1](situation)


def _text(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "number":
        return number_text(value)
    if kind == "datetime":
        from sfsync.localorg.values import datetime_text

        return datetime_text(int(value))[:19].replace("T", " ") + "Z"
    return str(value)


def _date_value(kind: str, value: Any, zone_date: Callable[[int], str]) -> str | None:
    if value is None or value == "":
        return None
    return zone_date(int(value)) if kind == "datetime" else str(value)[:10]


# Formula fields: a tree to SQL


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
            return f"(({p[0]} - {p[1]}) / {float(_DAY)})"
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
        return _as_number(text)

    def sf_right(text: Any, count: Any) -> str:
        whole = text or ""
        return str(whole[max(0, len(whole) - int(count or 0)) :])

    def sf_regex(text: Any, pattern: Any) -> int:
        return int(re.fullmatch(pattern or "", text or "") is not None)

    def sf_round(value: Any, places: Any) -> float | None:
        return _round(value, places)

    return {
        "sf_number_text": sf_number_text,
        "sf_value": sf_value,
        "sf_right": sf_right,
        "sf_regex": sf_regex,
        "sf_round": sf_round,
    }
