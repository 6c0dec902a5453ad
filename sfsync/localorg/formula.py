"""Formulas as validation rules, evaluated in Python; ``formula_sql`` has formula fields, ``formula_tree`` the language.

It may not know records, users or the database; a situation is handed in. It keeps one law: a formula means the same in
a rule and in a field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sfsync.localorg import ids
from sfsync.localorg.formula_sql import as_number, number_text, rounded, sql_expression, sql_functions
from sfsync.localorg.formula_tree import DAY_SECONDS, FormulaError, Node, check, parse
from sfsync.localorg.schema import Field, Schema, SObject
from sfsync.localorg.values import datetime_text


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
        return start + sign * days * DAY_SECONDS
    return (date.fromisoformat(start) + timedelta(days=math.floor(sign * days))).isoformat()


def _days_between(kind: str, left: Any, right: Any) -> float | None:
    if left is None or right is None:
        return None
    if kind == "datetime":
        return float((left - right) / DAY_SECONDS)
    return float((date.fromisoformat(left) - date.fromisoformat(right)).days)


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
        "VALUE": lambda s: as_number(parts[0](s)),
        "LEN": lambda s: float(len(parts[0](s) or "")),
        "LEFT": lambda s: (parts[0](s) or "")[: max(0, int(parts[1](s) or 0))],
        "RIGHT": lambda s: (t := parts[0](s) or "")[max(0, len(t) - int(parts[1](s) or 0)) :],
        "MID": lambda s: (parts[0](s) or "")[int(parts[1](s)) - 1 :][: int(parts[2](s))],
        "UPPER": lambda s: (parts[0](s) or "").upper(),
        "LOWER": lambda s: (parts[0](s) or "").lower(),
        "TRIM": lambda s: (parts[0](s) or "").strip(),
        "FIND": lambda s: float((parts[1](s) or "").find(w) + 1) if (w := parts[0](s)) else 0.0,
        "CONTAINS": lambda s: (parts[1](s) or "") in (parts[0](s) or ""),
        "BEGINS": lambda s: (parts[0](s) or "").startswith(parts[1](s) or ""),
        "SUBSTITUTE": lambda s: (parts[0](s) or "").replace(parts[1](s) or "", parts[2](s) or ""),
        "REGEX": lambda s: re.fullmatch(parts[1](s) or "", parts[0](s) or "") is not None,
        "ISNUMBER": lambda s: as_number(parts[0](s)) is not None,
        "ABS": lambda s: None if (n := parts[0](s)) is None else abs(n),
        "ROUND": lambda s: rounded(parts[0](s), parts[1](s)),
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
        return datetime_text(int(value))[:19].replace("T", " ") + "Z"
    return str(value)


def _date_value(kind: str, value: Any, zone_date: Callable[[int], str]) -> str | None:
    if value is None or value == "":
        return None
    return zone_date(int(value)) if kind == "datetime" else str(value)[:10]


__all__ = ["FormulaError", "Situation", "check", "rule_function", "sql_expression", "sql_functions"]
