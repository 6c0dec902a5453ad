"""List views: those that were deployed, and which columns and rows each of them shows.

It may not know HTML. It keeps one law: a filter it does not understand is named, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfsync.localorg.metadata.state import state_of
from sfsync.localorg.schema import COMPOUND_TYPES, LONGEST_FILTERABLE_TEXT, Field, SObject
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.access import Actor
    from sfsync.localorg.org import LocalOrg

MOST_COLUMNS = 8
_FIRST = {
    "Account": "Name Type Industry Phone OwnerId CreatedDate",
    "Contact": "Name AccountId Email Phone Title CreatedDate",
    "Case": "CaseNumber Subject Status Priority AccountId OwnerId CreatedDate",
    "User": "Name Username Email ProfileId IsActive TimeZoneSidKey",
}
SYSTEM_FIELDS = frozenset(
    "Id IsDeleted MasterRecordId OwnerId CreatedById CreatedDate LastModifiedById LastModifiedDate SystemModstamp "
    "LastViewedDate LastReferencedDate LastActivityDate".split()
)
# What list views call standard fields, where it is not the field's own name in capitals with underscores.
_CALLED = {
    "owner.alias": "OwnerId",
    "core.users.alias": "OwnerId",
    "created_date": "CreatedDate",
    "createdby_user": "CreatedById",
    "createdby_user.alias": "CreatedById",
    "last_update": "LastModifiedDate",
    "updatedby_user": "LastModifiedById",
    "updatedby_user.alias": "LastModifiedById",
    "account.name": "AccountId",
    "contact.name": "ContactId",
    "cases.created_date": "CreatedDate",
    "cases.last_update": "LastModifiedDate",
}
_COMPARISONS = {
    "equals": "=",
    "notequal": "!=",
    "lessthan": "<",
    "greaterthan": ">",
    "lessorequal": "<=",
    "greaterorequal": ">=",
}
_LIKE = {"contains": "%{}%", "notcontain": "%{}%", "startswith": "{}%"}


@dataclass(frozen=True, slots=True)
class ListView:
    """A list view as it is shown: its name and label, its columns, its SOQL condition, what it could not take along."""

    name: str
    label: str
    columns: tuple[Field, ...]
    where: str = ""
    left_out: tuple[str, ...] = ()


def list_views(org: LocalOrg, actor: Actor, sobject: SObject) -> list[ListView]:
    """Return the list views that were deployed for an object, in that order, as a user sees them."""
    start = f"{sobject.name}."
    found = [k for k in state_of(org).kept.values() if k.kind == "ListView" and k.name.startswith(start)]
    return [_made(k.name.removeprefix(start), k.element, actor, sobject) for k in found]


def everything(sobject: SObject) -> ListView:
    """Return the view of all rows of an object with its first columns."""
    return ListView("", f"All {sobject.label_plural}", first_columns(sobject))


def first_columns(sobject: SObject, without: str | None = None) -> tuple[Field, ...]:
    """Return the fields that are looked at first: the name, then those that people fill in."""
    wanted = _FIRST.get(sobject.name)
    if wanted is not None:
        named = [f for n in wanted.split() if n != without and (f := sobject.fields.get(n)) is not None]
        if named:
            return tuple(named)
    name = sobject.name_field
    others = [f for f in sobject.fields.values() if f is not name and f.name != without and _fits(f)]
    first = [f for f in (name, *others) if f is not None][: MOST_COLUMNS - 1]
    stamp = sobject.fields.get("CreatedDate") or sobject.fields.get("SystemModstamp")
    return tuple([*first, stamp] if stamp is not None else first) or (sobject.fields["Id"],)


def _fits(field: Field) -> bool:
    long_text = field.type == "textarea" and field.length > LONGEST_FILTERABLE_TEXT
    return field.name not in SYSTEM_FIELDS and field.type not in {*COMPOUND_TYPES, "base64"} and not long_text


def _made(name: str, element: Element, actor: Actor, sobject: SObject) -> ListView:
    columns: list[Field] = []
    conditions: list[str] = []
    left_out: list[str] = []
    for called in element.values("columns"):
        found = _field(sobject, called)
        if found is None:
            left_out.append(f"column {called}")
        elif found not in columns:
            columns.append(found)
    for each in element.all("filters"):
        condition = _condition(sobject, each)
        if condition is None:
            left_out.append(f"filter {each.value('field')} {each.value('operation')} {each.value('value')}")
        else:
            conditions.append(condition)
    if element.value("booleanFilter"):
        conditions, left_out = [], [*left_out, f"filter logic {element.value('booleanFilter')}"]
    if element.value("filterScope").lower() == "mine":
        conditions.append(f"OwnerId = '{actor.user_id}'")
    return ListView(
        name, element.value("label") or name, tuple(columns) or first_columns(sobject), " AND ".join(conditions),
        tuple(left_out),
    )  # fmt: skip


def _field(sobject: SObject, called: str) -> Field | None:
    if called.upper() == "NAME":
        return sobject.name_field
    known = sobject.field(called) or sobject.field(_CALLED.get(called.lower(), ""))
    return known or sobject.field(called.rpartition(".")[2].replace("_", ""))


def _condition(sobject: SObject, filtered: Element) -> str | None:
    field = _field(sobject, filtered.value("field"))
    operation = filtered.value("operation").lower()
    values = [v.strip() for v in filtered.value("value").split(",")]
    if field is None or not field.filterable:
        return None
    if operation in _LIKE:
        tests = [f"{field.name} LIKE {_text(_LIKE[operation].format(_unwild(v)))}" for v in values]
        joined = f"({' OR '.join(tests)})"
        return f"(NOT {joined})" if operation == "notcontain" else joined
    sign = _COMPARISONS.get(operation)
    literals = [_literal(field, v) for v in values]
    if sign is None or None in literals:
        return None
    joiner = " AND " if sign == "!=" else " OR "
    return f"({joiner.join(f'{field.name} {sign} {literal}' for literal in literals)})"


def _literal(field: Field, value: str) -> str | None:
    """The value as SOQL writes it; None when it is none of this type."""
    if not value:
        return "null"
    if field.type == "boolean":
        return {"1": "true", "true": "true", "0": "false", "false": "false"}.get(value.lower())
    if field.is_number:
        return value if value.lstrip("-").replace(".", "", 1).isdigit() and value.isascii() else None
    if field.type in ("date", "datetime", "time"):
        return value if value.replace("_", "").replace(":", "").replace("-", "").isalnum() and value.isascii() else None
    return _text(value)


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _unwild(value: str) -> str:
    return value.replace("%", "\\%").replace("_", "\\_")


def layout_sections(org: LocalOrg, sobject: SObject) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Return (label, field names) of each section of the page layout that was deployed for an object."""
    kept = state_of(org).kept.values()
    found = next((k for k in kept if k.kind == "Layout" and k.name.partition("-")[0] == sobject.name), None)
    if found is None:
        return ()
    return [
        (section.value("label"), tuple(e.value("field") for e in section.walk() if e.name == "layoutItems"))
        for section in found.element.all("layoutSections")
    ]
