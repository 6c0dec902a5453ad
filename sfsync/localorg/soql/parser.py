"""SOQL text to a tree: a hand-written descent over the grammar of facts section 5.

It may not know the schema, the user or the database. The one law: what it accepts, an org accepts as
syntax; everything else is a MALFORMED_QUERY that points at the token it could not use.
"""

from __future__ import annotations

import re

from sfsync.localorg.errors import ApiError, not_modelled
from sfsync.localorg.soql.text import MAX_STRING, Token, foreign, malformed, tokens
from sfsync.localorg.soql.tree import (
    Call,
    Children,
    Column,
    Comparison,
    Condition,
    FieldGroup,
    Grouping,
    Includes,
    InList,
    InSelect,
    Item,
    Joined,
    Not,
    Operand,
    Order,
    Path,
    Query,
    Typeof,
    Value,
)

MAX_DEPTH = 60  # a bound on nesting, far above what an org accepts, far below the interpreter's stack
_CLAUSES = frozenset({"USING", "WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "ALL", "UPDATE"})
_RESERVED = (_CLAUSES - {"FOR", "ALL", "UPDATE"}) | {
    *("AND", "ASC", "DESC", "EXCLUDES", "FROM", "IN", "INCLUDES", "LIKE", "NOT", "NULL", "NULLS", "OR", "SELECT"),
}
_OPERATORS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_SIMPLE = frozenset({"YESTERDAY", "TODAY", "TOMORROW", "LAST_90_DAYS", "NEXT_90_DAYS"})
_SPANS = frozenset({"WEEK", "MONTH", "QUARTER", "YEAR", "FISCAL_QUARTER", "FISCAL_YEAR"})
_UNITS = frozenset(f"{span}S" for span in {"DAY", *_SPANS})
_UNMODELLED = frozenset({"DISTANCE", "GEOLOCATION"})  # they take numbers and words, which no other function does
_ZONED = re.compile(r"(?:[Zz]|[+-]\d\d:?\d\d)$")
PERIODS = _SIMPLE | {f"{which}_{span}" for which in ("LAST", "THIS", "NEXT") for span in _SPANS}
COUNTED_PERIODS = {f"{which}_N_{unit}" for which in ("LAST", "NEXT") for unit in _UNITS} | {
    f"N_{unit}_AGO" for unit in _UNITS
}
_SCOPES = frozenset({"DELEGATED", "EVERYTHING", "MINE", "MINEANDMYGROUPS", "MY_TERRITORY", "MY_TEAM_TERRITORY", "TEAM"})


def parse(text: str) -> Query:
    """Return the tree of one statement; raise ApiError MALFORMED_QUERY when it is not SOQL."""
    if not text.strip():
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    found = tokens(text)
    if found[0].upper != "SELECT":
        raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: {found[0].text}")
    parser = _Parser(text, found)
    query = parser.query()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return query


class _Parser:
    """One pass over the tokens; each method reads one rule of the grammar."""

    def __init__(self, text: str, found: list[Token]) -> None:
        self.text = text
        self.tokens = found
        self.index = 0
        self.token = found[0]
        self.depth = 0

    # -- clauses

    def query(self) -> Query:
        self._descend()
        self._word("SELECT")
        items = self._items()
        self._word("FROM")
        source = self._path()
        alias = self._source_alias()
        more = []
        while self._take(","):
            path = self._path()
            more.append((path, self._source_alias() or path.parts[-1]))
        scope = self._scope()
        where = self._condition() if self._take_word("WHERE") else None
        self._with()
        grouping = self._grouping()
        having = self._condition() if self._take_word("HAVING") else None
        order = self._order()
        limit = self._count() if self._take_word("LIMIT") else None
        offset = self._count() if self._take_word("OFFSET") else None
        purpose, all_rows = self._tail()
        self.depth -= 1
        return Query(
            items=tuple(items),
            source=source,
            alias=alias,
            more_sources=tuple(more),
            scope=scope,
            where=where,
            grouping=grouping,
            having=having,
            order=order,
            limit=limit,
            offset=offset,
            purpose=purpose,
            all_rows=all_rows,
        )

    def _items(self) -> list[Item]:
        items = [self._item()]
        while self._take(","):
            items.append(self._item())
        return items

    def _item(self) -> Item:
        at = self.token.at
        if self._take("("):
            query = self.query()
            self._close()
            return Children(query, at)
        if self.token.upper == "TYPEOF" and self._peek().kind == "word" and self._peek().upper != "FROM":
            return self._typeof()
        if self.token.upper == "FIELDS" and self._peek().text == "(":
            return self._field_group()
        what = self._operand()
        alias = None
        if self.token.kind == "word" and self.token.upper not in _RESERVED:
            if not isinstance(what, Path) or self._peek().text in (",", "FROM") or self._peek().upper == "FROM":
                alias = self._name()
            else:
                raise self.unexpected()
        return Column(what, alias)

    def _field_group(self) -> FieldGroup:
        at = self.token.at
        self._advance()
        self._advance()
        group = self.token
        if group.upper not in ("ALL", "STANDARD", "CUSTOM"):
            raise self.unexpected()
        self._advance()
        self._close()
        return FieldGroup(group.upper, at)

    def _typeof(self) -> Typeof:
        at = self.token.at
        self._advance()
        relationship = self._path()
        whens: list[tuple[str, tuple[Path, ...]]] = []
        otherwise: tuple[Path, ...] = ()
        while self._take_word("WHEN"):
            name = self._name()
            self._word("THEN")
            whens.append((name, self._paths()))
        if not whens:
            raise self.unexpected()
        if self._take_word("ELSE"):
            otherwise = self._paths()
        self._word("END")
        return Typeof(relationship, tuple(whens), otherwise, at)

    def _paths(self) -> tuple[Path, ...]:
        paths = [self._path()]
        while self._take(","):
            paths.append(self._path())
        return tuple(paths)

    def _source_alias(self) -> str | None:
        self._take_word("AS")
        if self.token.kind != "word" or self.token.upper in _RESERVED or self._clause_starts():
            return None
        following = self._peek()
        if following.kind not in ("end",) and following.text not in (",", ")") and following.upper not in _CLAUSES:
            raise self.unexpected()  # an org names the word itself, not the one after it
        return self._name()

    def _clause_starts(self) -> bool:
        word, following = self.token.upper, self._peek()
        if word == "FOR":
            return following.upper in ("VIEW", "REFERENCE", "UPDATE")
        if word == "ALL":
            return following.upper == "ROWS"
        if word == "UPDATE":
            return following.upper in ("TRACKING", "VIEWSTAT")
        return False

    def _scope(self) -> str | None:
        if not self._take_word("USING"):
            return None
        self._word("SCOPE")
        if self.token.upper not in _SCOPES:
            raise self.unexpected()
        return self._name().lower()

    def _with(self) -> None:
        while self._take_word("WITH"):
            if self.token.upper not in ("SECURITY_ENFORCED", "USER_MODE", "SYSTEM_MODE"):
                raise self.unexpected()
            self._advance()

    def _grouping(self) -> Grouping | None:
        at = self.token.at
        if not self._take_word("GROUP"):
            return None
        self._word("BY")
        kind = "plain"
        if self.token.upper in ("ROLLUP", "CUBE") and self._peek().text == "(":
            kind = self.token.upper.lower()
            self._advance()
            self._advance()
        items = [self._operand()]
        while self._take(","):
            items.append(self._operand())
        if kind != "plain":
            self._close()
        return Grouping(kind, tuple(items), at)

    def _order(self) -> tuple[Order, ...]:
        if not self._take_word("ORDER"):
            return ()
        self._word("BY")
        terms = [self._order_term()]
        while self._take(","):
            terms.append(self._order_term())
        return tuple(terms)

    def _order_term(self) -> Order:
        what = self._operand()
        descending = False
        if self._take_word("DESC"):
            descending = True
        else:
            self._take_word("ASC")
        nulls_last = None
        if self._take_word("NULLS"):
            if self._take_word("LAST"):
                nulls_last = True
            else:
                self._word("FIRST")
                nulls_last = False
        return Order(what, descending, nulls_last)

    def _tail(self) -> tuple[tuple[str, ...], bool]:
        purpose: list[str] = []
        all_rows = False
        while True:
            if self._take_word("FOR"):
                if self.token.upper not in ("VIEW", "REFERENCE", "UPDATE"):
                    raise self.unexpected()
                purpose.append(self._name().lower())
            elif self.token.upper == "ALL" and self._peek().upper == "ROWS":
                self._advance()
                self._advance()
                all_rows = True
            elif self.token.upper == "UPDATE" and self._peek().upper in ("TRACKING", "VIEWSTAT"):
                self._advance()
                self._advance()
            else:
                return tuple(purpose), all_rows

    # -- conditions

    def _condition(self) -> Condition:
        self._descend()
        items = [self._term()]
        word = self.token.upper
        if word in ("AND", "OR"):
            while self._take_word(word):
                items.append(self._term())
            if self.token.upper in ("AND", "OR"):
                raise malformed(self.text, self.token.at, f"unexpected token: {self.token.text}")
        self.depth -= 1
        return items[0] if len(items) == 1 else Joined(word, tuple(items))

    def _term(self) -> Condition:
        self._descend()
        try:
            if self._take_word("NOT"):
                return Not(self._term())
            if self._take("("):
                inner = self._condition()
                self._close()
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Condition:
        left = self._operand()
        operator = _OPERATORS.get(self.token.text)
        if operator is not None:
            self._advance()
            return Comparison(left, operator, self._value())
        if self._take_word("LIKE"):
            return Comparison(left, "like", self._value())
        if self.token.upper in ("INCLUDES", "EXCLUDES"):
            negated = self.token.upper == "EXCLUDES"
            self._advance()
            self._open()
            return Includes(left, self._values(), negated)
        negated = self._take_word("NOT")
        self._word("IN")
        if self.token.text == ":":
            raise malformed(self.text, self.token.at, "Bind variables only allowed in Apex code")
        self._open()
        if self.token.upper == "SELECT":
            query = self.query()
            self._close()
            return InSelect(left, query, negated)
        return InList(left, self._values(), negated)

    def _values(self) -> tuple[Value, ...]:
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._close()
        return tuple(values)

    def _value(self) -> Value:
        token = self.token
        kind = token.kind
        if kind == "string":
            self._advance()
            if len(token.text) - 2 > MAX_STRING:
                raise malformed(self.text, token.at, f"String literal exceeds {MAX_STRING} characters")
            return Value("string", token.text[1:-1], token.at)
        if kind == "datetime" and not _ZONED.search(token.text):
            raise foreign(self.text, token.at + len(token.text))
        if kind in ("number", "date", "datetime", "time", "currency"):
            self._advance()
            return Value(kind, token.text, token.at)
        if token.text == ":":
            raise malformed(self.text, token.at, "Bind variables only allowed in Apex code")
        if kind == "word":
            return self._word_value(token)
        raise self.unexpected()

    def _word_value(self, token: Token) -> Value:
        word = token.upper
        if word in ("TRUE", "FALSE"):
            self._advance()
            return Value("boolean", word.lower(), token.at)
        if word == "NULL":
            self._advance()
            return Value("null", word, token.at)
        if word in PERIODS:
            self._advance()
            return Value("period", word, token.at)
        if word in COUNTED_PERIODS:
            self._advance()
            if not self._take(":"):
                raise self.unexpected()
            return Value("period", word, token.at, self._count())
        if len(word) > 3 and word[:3].isalpha() and word[3:].isdigit():
            self._advance()
            return Value("currency", token.text, token.at)
        raise self.unexpected()

    # -- names

    def _operand(self) -> Operand:
        at = self.token.at
        self._descend()
        path = self._path()
        if path.parts[0].upper() in _UNMODELLED and self.token.text == "(":
            raise not_modelled(f"the SOQL function {path.parts[0]}", status=400, code="MALFORMED_QUERY")
        if len(path.parts) == 1 and self._take("("):
            args: list[Operand] = []
            if not self._take(")"):
                args.append(self._operand())
                while self._take(","):
                    args.append(self._operand())
                self._close()
            self.depth -= 1
            return Call(path.parts[0], tuple(args), at)
        self.depth -= 1
        return path

    def _path(self) -> Path:
        at = self.token.at
        parts = [self._name()]
        while self._take("."):
            parts.append(self._name())
        return Path(tuple(parts), at)

    def _name(self) -> str:
        if self.token.kind != "word" or self.token.upper in ("SELECT", "FROM", "WHERE"):
            raise self.unexpected()
        name = self.token.text
        self._advance()
        return name

    def _count(self) -> int:
        if self.token.kind != "number" or not self.token.text.isdigit() or len(self.token.text) > 10:
            raise self.unexpected()
        count = int(self.token.text)
        self._advance()
        return count

    # -- tokens

    def _advance(self) -> None:
        self.index += 1
        self.token = self.tokens[self.index]

    def _peek(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def _take(self, sign: str) -> bool:
        if self.token.kind == "sign" and self.token.text == sign:
            self._advance()
            return True
        return False

    def _take_word(self, word: str) -> bool:
        if self.token.upper == word:
            self._advance()
            return True
        return False

    def _word(self, word: str) -> None:
        if not self._take_word(word):
            raise self.unexpected()

    def _open(self) -> None:
        if not self._take("("):
            raise malformed(self.text, self.token.at, f"expecting a left parentheses, found '{self.token.text}'")

    def _close(self) -> None:
        if not self._take(")"):
            raise malformed(self.text, self.token.at, f"expecting a right parentheses, found '{self.token.text}'")

    def _descend(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ApiError(400, "QUERY_TOO_COMPLICATED", "Query is either selecting too many fields or is too nested")

    def unexpected(self) -> ApiError:
        """The refusal of the token at hand."""
        return malformed(self.text, self.token.at, f"unexpected token: '{self.token.text}'")
