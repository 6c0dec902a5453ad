"""The nouns of a write: its options and results, a row on its way, and the plan for an object and a user.

It may not know the database. It keeps one law: whatever does not depend on the rows is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfsync.localorg import formula
from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Field, SObject, ValidationRule
from sfsync.localorg.values import Coercion, coercion

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

Row = dict[str, Any]
Link = tuple[Field, str, Any]  # a lookup, the Object.Field it is matched on, and the value sought
AUDIT_FIELDS = frozenset(
    {"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp", "IsDeleted", "ClosedDate"}
)


@dataclass(slots=True)
class SaveResult:
    """What became of one record: its id, whether it was created, and the refusals when it failed."""

    id: str | None = None
    created: bool = False
    errors: list[ApiError] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether the record was saved."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is to be done.

    ``assign`` is True or False for the active assignment rule, or the id of one. ``audit`` lets the caller set system
    fields and ids (seeding). ``as_text`` says that values come from CSV, where the text ``#N/A`` is null.
    """

    all_or_none: bool = False
    assign: bool | str = True
    audit: bool = False


DEFAULT = Options()
PERSON = Options(all_or_none=True, assign=False)
SEED = Options(audit=True, assign=False)


class RolledBack(Exception):
    """Leaves a unit of work without keeping it."""


@dataclass(slots=True)
class Change:
    """A row on its way: what it was (None for an insert), what it will be, and which result it fills."""

    new: Row
    old: Row | None
    result: SaveResult

    def refuse(self, error: ApiError) -> None:
        """Add a refusal; the row will not be written."""
        self.result.errors.append(error)


class Plan:
    """Everything about writing one object as one user that does not depend on the rows."""

    def __init__(self, org: LocalOrg, actor: Actor, sobject: SObject, audit: bool) -> None:
        self.org, self.actor, self.sobject, self.audit = org, actor, sobject, audit
        self.visible = actor.schema.get(sobject.name) or sobject
        stored = sobject.stored_fields()
        self.columns = [f.name for f in stored] + ([] if "IsDeleted" in sobject.fields else ["IsDeleted"])
        self.template: Row = {"IsDeleted": 0}
        for each in stored:
            if each.type == "boolean":
                self.template[each.name] = int(bool(each.default))
            elif each.default is not None:
                self.template[each.name] = each.default
            elif not each.default_formula:
                self.template.update((each.name, v.value) for v in each.picklist if v.default and v.active)
        self.default_formulas = [
            (f.name, formula.rule_function(f.default_formula, org.schema, sobject), coercion(f, org.schema))
            for f in stored
            if f.default_formula
        ]
        self.required = [f.name for f in stored if f.required]
        self.lookups = [
            f for f in stored if f.type == "reference" and f.name not in ("CreatedById", "LastModifiedById")
        ]
        self.unique = [f for f in stored if f.unique]
        self.auto_numbers = [f for f in stored if f.auto_number]
        self.tracked = [f for f in stored if f.history_tracked] if sobject.history_enabled else []
        self.rules: list[tuple[ValidationRule, formula.Evaluation]] = [
            (r, formula.rule_function(r.formula, org.schema, sobject)) for r in sobject.rules if r.active
        ]
        self._writers: tuple[dict[str, tuple[str, Coercion]], dict[str, tuple[str, Coercion]]] = ({}, {})

    def writer(self, key: str, creating: bool) -> tuple[str, Coercion]:
        """Return the canonical name and the coercion of a field the client sent; ApiError when it may not be sent."""
        cached = self._writers[creating].get(key)
        if cached is None:
            cached = self._writers[creating][key] = self._resolve(key, creating)
        return cached

    def _resolve(self, key: str, creating: bool) -> tuple[str, Coercion]:
        found = self.visible.field(key)
        if found is None:
            message = f"No such column '{key}' on sobject of type {self.sobject.name}"
            raise ApiError(400, "INVALID_FIELD", message)
        name = found.name
        if self.audit and found.stored:
            return name, coercion(found, self.org.schema)
        allowed = found.createable if creating else found.updateable
        if not allowed or not self.actor.may_edit(self.sobject.name, name):
            verb = "create/update"
            message = (
                f"Unable to {verb} fields: {name}. Please check the security settings of this field and verify that it "
                "is read/write for your profile or permission set."
            )
            raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [name])
        return name, coercion(found, self.org.schema)

    def check_names(self, record: Mapping[str, Any]) -> None:
        """Raise INVALID_FIELD for the first name that this user does not see on the object."""
        for key, value in record.items():
            if key != "attributes" and not isinstance(value, Mapping) and self.visible.field(key) is None:
                self.writer(key, False)

    def prepare(self, record: Mapping[str, Any], creating: bool, links: list[Link]) -> Row:
        """Return the stored values of what a client sent; lookups by external id are put into ``links``."""
        row: Row = {}
        writers = self._writers[creating]
        for key, value in record.items():
            known = writers.get(key)
            if known is None:
                if key == "attributes":
                    continue
                if isinstance(value, Mapping):
                    self._by_external_id(key, value, creating, links)
                    continue
                known = self.writer(key, creating)
            name, coerce = known
            row[name] = coerce(value)
        return row

    def _by_external_id(self, key: str, value: Mapping[str, Any], creating: bool, links: list[Link]) -> None:
        lookup = self.visible.parent(key)
        if lookup is None:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{key}' on sobject of type {self.sobject.name}")
        self.writer(lookup.name, creating)
        attributes = value.get("attributes")
        named = attributes.get("type") if isinstance(attributes, Mapping) else None
        target = self.actor.schema.get(named if isinstance(named, str) else lookup.reference_to[-1])
        given = {k: v for k, v in value.items() if k != "attributes"}
        if target is None or len(given) != 1:
            raise ApiError(400, "INVALID_FIELD", f"Exactly one external id field is expected for {key}", [lookup.name])
        (field_name, sought), *_ = given.items()
        external = target.field(field_name)
        if external is None or not (external.external_id or external.id_lookup):
            message = f"Field name provided, {field_name} is not an External ID or indexed field for {target.name}"
            raise ApiError(400, "INVALID_FIELD", message)
        links.append((lookup, f"{target.name}.{external.name}", sought))


def folded(key: Field, value: Any) -> Any:
    """Return what two values of ``key`` have in common when the org takes them for the same."""
    return (
        value if key.case_sensitive or not isinstance(value, str) or key.type in ("id", "reference") else value.lower()
    )


def auto_number(pattern: str, number: int) -> str:
    """Return ``number`` in a display format such as ``PK-{0000}``; date parts of formats are not modelled."""
    front, _, rest = pattern.partition("{")
    zeros, _, back = rest.partition("}")
    return f"{front}{number:0{len(zeros)}d}{back}"


def rolled_back() -> ApiError:
    """Return what an innocent row gets when its call was all or nothing."""
    return ApiError(
        400,
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
        [],
    )


def raise_first(results: Sequence[SaveResult]) -> None:
    """Raise the first refusal that is not merely the consequence of another; nothing happens when there is none."""
    for each in results:
        for error in each.errors:
            if error.code != "ALL_OR_NONE_OPERATION_ROLLED_BACK":
                raise error
