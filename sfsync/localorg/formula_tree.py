"""The documented subset of the formula language: validation rules in Python, formula fields in SQL.

It may not know records, users or the database; a situation is handed in. It keeps one law: a formula that this subset
does not hold is refused when it is deployed, never guessed at when it is evaluated.

Supported: literals, fields and parent paths, ``$User``, ``$Profile``, ``$Permission``; ``+ - * / ^ &``,
``= == != <> < <= > >=``, ``&& || !``; and the functions in ``FUNCTIONS``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

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
    "FIND": (2, 2, "number"),
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
DAY_SECONDS = 86_400


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
