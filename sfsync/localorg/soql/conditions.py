"""WHERE and HAVING to SQL conditions and parameters.

It may not know result shapes. The one law: every condition is two-valued as in SOQL (a null is unequal to everything,
NOT turns false into true), and every value travels as a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Field
from sfsync.localorg.soql.text import like_pattern, malformed, refused
from sfsync.localorg.soql.tree import (
    Comparison,
    Condition,
    Includes,
    InList,
    InSelect,
    Joined,
    Not,
    Operand,
    Path,
    Query,
    Value,
)
from sfsync.localorg.soql.values import ID_TYPES, NUMBER_TYPES, Literals, Range, Scalar, well_formed

MAX_SEMI_JOINS = 2
_ORDERED = frozenset({"<", "<=", ">", ">="})
_BOUNDED = NUMBER_TYPES | ID_TYPES | {"date", "datetime"}
_UNTEXTUAL = NUMBER_TYPES | {"boolean", "date", "datetime", "time"}


@dataclass(frozen=True, slots=True)
class Term:
    """The left side of a comparison: its SQL, the describe type it compares as, and the name messages use."""

    sql: str
    kind: str
    name: str
    at: int
    case_sensitive: bool = False
    filterable: bool = True


class Parameters:
    """The values of a statement, by the names its SQL uses for them."""

    def __init__(self) -> None:
        self.values: dict[str, Scalar] = {}

    def bind(self, value: Scalar) -> str:
        """Remember ``value`` and return the placeholder that stands for it."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def bind_all(self, values: list[Scalar]) -> str:
        """Remember ``values`` and return their placeholders, separated by commas."""
        return ", ".join([self.bind(value) for value in values])


class Conditions:
    """Compiles the conditions of one SELECT; values go into the statement's ``parameters``."""

    def __init__(
        self,
        text: str,
        literals: Literals,
        parameters: Parameters,
        term: Callable[[Operand], Term],
        semi_join: Callable[[Query, Term], str],
    ) -> None:
        self.text = text
        self.literals = literals
        self.term = term
        self.semi_join = semi_join
        self.bind = parameters.bind
        self.bind_all = parameters.bind_all
        self.semi_joins = 0
        self.filtered: list[tuple[str, str]] = []  # (field name, operator) of every comparison, for restrictions

    def sql(self, condition: Condition, *, under_or: bool = False) -> str:
        """Return the SQL of ``condition``."""
        match condition:
            case Joined(word, items):
                parts = [self.sql(item, under_or=under_or or word == "OR") for item in items]
                joined = _balanced(parts, word)
                return f"({' AND '.join([joined, *self._implied(items)])})" if word == "OR" else joined
            case Not(item):
                return f"(({self.sql(item, under_or=under_or)}) IS NOT TRUE)"
            case Comparison():
                return self._comparison(condition)
            case InList():
                return self._in_list(condition)
            case Includes():
                return self._includes(condition)
            case InSelect():
                return self._in_select(condition, under_or)

    def _implied(self, items: tuple[Condition, ...]) -> list[str]:
        """Bounds that every branch of an OR sets, such as those of ``a > x OR (a = x AND b > y)``.

        They change no answer; with them the database can start in an index instead of reading a table from its start.
        """
        found = []
        for signs, sign, edge in ((("=", ">", ">="), ">=", min), (("=", "<", "<="), "<=", max)):
            branches = [self._bounds(item, signs, first=sign == ">=") for item in items]
            for name in branches[0]:
                if all(name in branch for branch in branches):
                    term = branches[0][name][0]
                    found.append(f"{term.sql} {sign} {self.bind(edge(branch[name][1] for branch in branches))}")
        return found

    def _bounds(self, item: Condition, signs: tuple[str, ...], *, first: bool) -> dict[str, tuple[Term, Scalar]]:
        """The fields that a branch bounds, each with its bound; text is left out, since it is not ordered by byte."""
        found: dict[str, tuple[Term, Scalar]] = {}
        for each in item.items if isinstance(item, Joined) and item.word == "AND" else (item,):
            if not isinstance(each, Comparison) or each.operator not in signs or not isinstance(each.left, Path):
                continue
            term = self.term(each.left)
            if term.kind not in _BOUNDED:
                continue
            value = self.literals.read(each.value, term.kind, term.name, term.at)
            if isinstance(value, Range):
                value = value.first if first else value.after
            if value is not None:
                found[str(each.left).lower()] = (term, value)
        return found

    def _left(self, operand: Operand, operator: str) -> Term:
        term = self.term(operand)
        if not term.filterable:
            message = f"field '{term.name}' can not be filtered in a query call"
            raise refused("INVALID_FIELD", self.text, term.at, message)
        self.filtered.append((term.name, operator))
        return term

    def _comparison(self, item: Comparison) -> str:
        left = self._left(item.left, item.operator)
        if item.operator == "like":
            return self._like(left, item.value)
        if item.operator in _ORDERED and left.kind in ("boolean", "multipicklist"):
            raise self._bad_operator(left)
        value = self.literals.read(item.value, left.kind, left.name, left.at)
        if value is None:
            return self._null(left, item.operator)
        if isinstance(value, Range):
            return self._range(left, item.operator, value)
        if isinstance(value, str) and not value.isascii() and left.kind not in _UNTEXTUAL and not left.case_sensitive:
            return self._folded(left, item.operator, value)
        sign = "IS NOT" if item.operator == "!=" else item.operator
        return f"{left.sql} {sign} {self.bind(value)}"

    def _null(self, left: Term, operator: str) -> str:
        if operator in _ORDERED:
            return f"({left.sql} IS NULL AND 0)"
        if left.kind == "boolean":  # a null stands for false
            return f"{left.sql} {operator} 0"
        return f"{left.sql} IS {'NOT ' if operator == '!=' else ''}NULL"

    def _range(self, left: Term, operator: str, value: Range) -> str:
        if operator in ("=", "!="):
            inside = self._within(left, value)
            return inside if operator == "=" else f"({inside} IS NOT TRUE)"
        edge = value.first if operator in ("<", ">=") else value.after
        return f"{left.sql} {'<' if operator in ('<', '<=') else '>='} {self.bind(edge)}"

    def _within(self, left: Term, value: Range) -> str:
        return f"({left.sql} >= {self.bind(value.first)} AND {left.sql} < {self.bind(value.after)})"

    def _folded(self, left: Term, operator: str, value: str) -> str:
        sign = "IS NOT" if operator == "!=" else operator
        return f"soql_fold({left.sql}) {sign} {self.bind(value.lower())}"

    def _like(self, left: Term, value: Value) -> str:
        if left.kind in _UNTEXTUAL or left.kind in ID_TYPES or left.kind == "multipicklist":
            raise self._bad_operator(left)
        if value.kind == "null":
            return f"{left.sql} IS NULL"
        if value.kind != "string":
            self.literals.read(value, "string", left.name, left.at)  # refuses it in the usual words
        pattern = well_formed(like_pattern(value.text, self.text, value.at))
        if left.case_sensitive:
            return f"{left.sql} GLOB {self.bind(_glob(pattern))}"
        if pattern.isascii():
            return f"{left.sql} LIKE {self.bind(pattern)} ESCAPE '\\'"
        return f"soql_fold({left.sql}) LIKE {self.bind(pattern.lower())} ESCAPE '\\'"

    def _in_list(self, item: InList) -> str:
        left = self._left(item.left, "in")
        values = [self.literals.read(value, left.kind, left.name, left.at) for value in item.values]
        if left.kind == "boolean":  # a null stands for false
            values = [0 if value is None else value for value in values]
        if any(isinstance(value, Range) for value in values):
            return self._in_ranges(left, item.negated, values)
        has_null = any(value is None for value in values)
        plain = [value for value in values if isinstance(value, str | int | float)]
        sql = left.sql
        if left.kind not in _UNTEXTUAL and not left.case_sensitive and not all(str(v).isascii() for v in plain):
            sql = f"soql_fold({sql})"
            plain = [str(value).lower() for value in plain]
        inside = f"{sql} IN ({self.bind_all(plain)})"
        if has_null:
            inside = f"({inside} OR {left.sql} IS NULL)"
        return f"(({inside}) IS NOT TRUE)" if item.negated else inside

    def _in_ranges(self, left: Term, negated: bool, values: list[Scalar | Range | None]) -> str:
        parts = []
        for value in values:
            if value is None:
                parts.append(f"{left.sql} IS NULL")
            elif isinstance(value, Range):
                parts.append(self._within(left, value))
            else:
                parts.append(f"{left.sql} = {self.bind(value)}")
        joined = _balanced(parts, "OR")
        return f"({joined} IS NOT TRUE)" if negated else joined

    def _includes(self, item: Includes) -> str:
        left = self._left(item.left, "includes")
        if left.kind != "multipicklist":
            message = "includes and excludes operators are only valid on multipicklist fields"
            raise refused("INVALID_QUERY_FILTER_OPERATOR", self.text, left.at, message)
        parts = []
        for value in item.values:
            if value.kind == "null":
                parts.append(f"{left.sql} IS NULL")
                continue
            if value.kind != "string":
                self.literals.read(value, "string", left.name, left.at)
            wanted = [part.strip() for part in self.literals.string(value).split(";") if part.strip()]
            if not wanted:
                parts.append(f"{left.sql} IS NULL")
                continue
            parts.append(_balanced([self._has(left, each) for each in wanted], "AND"))
        joined = _balanced(parts, "OR")
        return f"({joined} IS NOT TRUE)" if item.negated else joined

    def _has(self, left: Term, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        sql = left.sql if value.isascii() else f"soql_fold({left.sql})"
        return f"(';' || {sql} || ';') LIKE {self.bind(f'%;{escaped.lower()};%')} ESCAPE '\\'"

    def _in_select(self, item: InSelect, under_or: bool) -> str:
        if under_or:
            at = item.left.at
            raise malformed(self.text, at, "Semi join sub-selects are not allowed with the 'OR' operator")
        self.semi_joins += 1
        if self.semi_joins > MAX_SEMI_JOINS:
            message = f"maximum of {MAX_SEMI_JOINS} semi join sub-selects are allowed in a query"
            raise malformed(self.text, item.left.at, message)
        left = self._left(item.left, "in")
        if left.kind not in ID_TYPES:
            message = f"The left operand '{left.name}' of a semi-join must be an ID or reference field"
            raise malformed(self.text, item.left.at, message)
        inside = f"{left.sql} IN ({self.semi_join(item.query, left)})"
        return f"(({inside}) IS NOT TRUE)" if item.negated else inside

    def _bad_operator(self, left: Term) -> ApiError:
        kind = "id" if left.kind in ID_TYPES else left.kind
        return refused("INVALID_QUERY_FILTER_OPERATOR", self.text, left.at, f"invalid operator on {kind} field")


def field_term(sql: str, one: Field, path: Path) -> Term:
    """Return the term of a plain field; formula text ignores case like stored text."""
    collate = " COLLATE NOCASE" if one.formula is not None and one.is_text and not one.case_sensitive else ""
    filterable = one.filterable and one.type not in ("base64", "address", "location")
    return Term(sql + collate, one.type, one.name, path.at, one.case_sensitive, filterable)


def _balanced(parts: list[str], word: str) -> str:
    """Join by ``word`` as a balanced tree: the database bounds the depth of an expression."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], word)} {word} {_balanced(parts[middle:], word)})"


def _glob(pattern: str) -> str:
    """A LIKE pattern as a GLOB pattern, which minds case."""
    found: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            index += 1
            char = pattern[index]
            found.append(f"[{char}]" if char in "*?[" else char)
        elif char in "%_":
            found.append("*" if char == "%" else "?")
        else:
            found.append(f"[{char}]" if char in "*?[" else char)
        index += 1
    return "".join(found)
