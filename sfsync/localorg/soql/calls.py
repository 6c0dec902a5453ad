"""Calls of functions in a statement to SQL: aggregates, date functions, toLabel, convertCurrency.

It may not know clauses. The one law: the same text gives the same SQL, so that what is grouped by can be recognised
where it is selected.
"""

from __future__ import annotations

from datetime import tzinfo

from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import COMPOUND_TYPES, Field
from sfsync.localorg.soql import functions
from sfsync.localorg.soql.conditions import Parameters
from sfsync.localorg.soql.scope import Found, Scope
from sfsync.localorg.soql.text import malformed, refused
from sfsync.localorg.soql.tree import Call, Operand, Path


def is_aggregate(call: Call) -> bool:
    """True for COUNT, SUM, AVG, MIN, MAX and COUNT_DISTINCT, in any case."""
    return call.name.upper() in functions.AGGREGATES


def has_aggregate(call: Call) -> bool:
    """True for an aggregate and for what is made of one, as in FORMAT(MIN(Amount))."""
    return is_aggregate(call) or any(isinstance(each, Call) and has_aggregate(each) for each in call.args)


class Calls:
    """The functions of one SELECT."""

    def __init__(self, text: str, scope: Scope, parameters: Parameters, zone: tzinfo) -> None:
        self.text = text
        self.scope = scope
        self.parameters = parameters
        self.zone = zone
        self._known: dict[str, tuple[str, str]] = {}

    def aggregate(self, call: Call) -> tuple[str, str]:
        """SQL and type of an aggregate over a field; ApiError when the field does not take it."""
        name = call.name.upper()
        if len(call.args) != 1 or not isinstance(call.args[0], Path):
            raise malformed(self.text, call.at, f"unexpected token: '{call.name}'")
        found = self.scope.find(call.args[0])
        made = functions.aggregate_sql(name, found.sql, found.field) if self._aggregatable(name, found.field) else None
        if made is None:
            message = f"field {found.name} does not support aggregate operator {name}"
            raise refused("MALFORMED_QUERY", self.text, call.at, message)
        return made

    @staticmethod
    def _aggregatable(name: str, one: Field) -> bool:
        return (one.aggregatable or name == "COUNT") and one.type not in (*COMPOUND_TYPES, "base64")

    def scalar(self, call: Call) -> tuple[str, str]:
        """SQL and type of a date function, toLabel or convertCurrency; the same text gives the same SQL."""
        key = str(call).lower()
        if key not in self._known:
            self._known[key] = self._new(call)
        return self._known[key]

    def _new(self, call: Call) -> tuple[str, str]:
        name = call.name.upper()
        inner = call.args[0] if len(call.args) == 1 else None
        if inner is None:
            raise self.foreign(call)
        if name in functions.CALENDAR:
            operand, kind = self._date_operand(inner)
            made = functions.calendar_sql(name, operand, kind)
            if made is None:
                message = f"{call.name} can not be used on {inner}: it is not a date or dateTime field"
                raise refused("INVALID_FIELD", self.text, call.at, message)
            return made
        if name == "TOLABEL" and isinstance(inner, Path):
            found = self.shown(call, inner)
            return functions.label_sql(found.sql, found.field, self.parameters) + " COLLATE NOCASE", "string"
        if name == "CONVERTCURRENCY" and isinstance(inner, Path):
            found = self.shown(call, inner)
            return found.sql, found.field.type
        raise self.foreign(call)

    def shown(self, call: Call, inner: Path) -> Found:
        """Return the field that toLabel, FORMAT or convertCurrency is about; INVALID_FIELD when it is of no use."""
        found, name = self.scope.find(inner), call.name.upper()
        kind = found.field.type
        if name == "CONVERTCURRENCY" and kind != "currency":
            message = f"convertCurrency can only be used on currency fields: {found.name}"
            raise refused("INVALID_FIELD", self.text, call.at, message)
        if kind in (*COMPOUND_TYPES, "base64") or (name == "TOLABEL" and not found.field.is_text):
            message = f"{call.name} can not be used on {found.name}, which is a {kind} field"
            raise refused("INVALID_FIELD", self.text, call.at, message)
        return found

    def _date_operand(self, inner: Operand) -> tuple[str, str]:
        if isinstance(inner, Path):
            found = self.scope.find(inner)
            return found.sql, found.field.type
        if inner.name.upper() != "CONVERTTIMEZONE" or len(inner.args) != 1 or not isinstance(inner.args[0], Path):
            raise self.foreign(inner)
        found = self.scope.find(inner.args[0])
        if found.field.type != "datetime":
            raise refused("INVALID_FIELD", self.text, inner.at, f"convertTimezone needs a dateTime field: {found.name}")
        zone = self.parameters.bind(str(self.zone))
        return f"soql_local({found.sql}, {zone})", "datetime"

    def foreign(self, call: Call) -> ApiError:
        """The refusal of a function that does not stand for a value here."""
        return malformed(self.text, call.at, f"unexpected token: '{call.name}'")
