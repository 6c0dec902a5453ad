"""One mapping line as one field of the org.

It may not know permission sets or pages. It keeps one law: a standard field is never deployed, and what is deployed
says in its description who owns it.
"""

from __future__ import annotations

from sfsync.mapping import FieldType, MappedField, Mappings, ObjectMapping
from sfsync.metadata.xmltext import Element, leaf, tree

REVISION = "Sfsync_Revision__c"
_FORMULA_PRECISION = 18
_LONGEST_PLAIN_TEXTAREA = 255
_VISIBLE_LINES = 5
_KEY_LENGTH, _KEY_LENGTH_IN_HUB = 64, 128
"""In a hub the client's name stands in front."""


def deployed(mapping: ObjectMapping) -> list[MappedField]:
    """Return the mapped fields that are brought to the org, in the order of the mapping file."""
    return [f for f in mapping.fields.values() if not f.standard]


def written(mapping: ObjectMapping) -> bool:
    """Return whether the service writes records of this object."""
    return any(f.writable for f in mapping.fields.values())


def own_fields(mapping: ObjectMapping) -> list[Element]:
    """Return the fields sfsync needs for itself on this object: the key, and the revision if the service writes it."""
    made = []
    if mapping.key is not None:
        made.append(
            tree(
                "fields",
                fullName=mapping.key,
                caseSensitive=True,
                description="sfsync owner=service. Names this record for ever; every create is an upsert on it.",
                externalId=True,
                inlineHelpText="Kept by the maintenance service.",
                label="Sfsync Key",
                length=_KEY_LENGTH_IN_HUB if mapping.client else _KEY_LENGTH,
                required=False,
                type="Text",
                unique=True,
            )
        )
    if written(mapping):
        made.append(
            tree(
                "fields",
                fullName=REVISION,
                description="sfsync owner=service. Grows with each write; a validation rule refuses an older one.",
                inlineHelpText="Kept by the maintenance service.",
                label="Sfsync Revision",
                precision=18,
                required=False,
                scale=0,
                type="Number",
            )
        )
    return made


def custom_field(field: MappedField, mapping: ObjectMapping, mappings: Mappings) -> Element:
    """Return the CustomField element of a mapping line, its parts in the order of the WSDL."""
    kind = field.type
    number = kind.kind in ("integer", "decimal", "hours")
    calculated = field.formula is not None
    lookup = _target(kind)
    return tree(
        "fields",
        fullName=field.api,
        defaultValue=_default(field),
        deleteConstraint=None if lookup is None else ("Restrict" if field.required else "SetNull"),
        description=f"sfsync owner={field.owner}",
        displayFormat=kind.format or None,
        formula=field.formula,
        formulaTreatBlanksAs="BlankAsBlank" if calculated else None,
        inlineHelpText=field.help or None,
        label=field.label,
        length=kind.length if kind.kind in ("text", "longtext") and not calculated else None,
        precision=(_FORMULA_PRECISION if calculated else kind.precision) if number else None,
        referenceTo=lookup,
        relationshipLabel=mapping.plural if lookup else None,
        relationshipName=relationship_name(field, mapping, mappings) if lookup else None,
        required=None if calculated or kind.kind in ("checkbox", "autonumber", "longtext") else field.required,
        scale=kind.scale if number else None,
        trackHistory=True if field.history else None,
        type=_api_type(kind),
        valueSet=_value_set(kind) if kind.kind == "picklist" else None,
        visibleLines=_VISIBLE_LINES if kind.kind == "longtext" else None,
    )


def name_field(mapping: ObjectMapping) -> Element:
    """Return the nameField element of a custom object."""
    kind = mapping.name_type or FieldType("text", length=80)
    mapped = next((f for f in mapping.fields.values() if f.api == "Name"), None)
    return tree(
        "nameField",
        displayFormat=kind.format or None,
        label=mapped.label if mapped else mapping.label,
        trackHistory=True if mapped and mapped.history else None,
        type="AutoNumber" if kind.kind == "autonumber" else "Text",
    )


def relationship_name(field: MappedField, mapping: ObjectMapping, mappings: Mappings) -> str:
    """Return the name under which the target lists this object's rows; unique among all lookups to that target.

    The plural of the object; a second lookup to the same target, or another object with the same plural, gets the
    field's name in front.
    """
    target = _target(field.type)
    for other in mappings:
        for candidate in deployed(other):
            if _target(candidate.type) != target or other.plural != mapping.plural:
                continue
            plain = mapping.plural.replace(" ", "_")
            first = other.object == mapping.object and candidate.api == field.api
            return plain if first else f"{field.api.removesuffix('__c')}_{plain}"
    raise AssertionError("a field is always among those of its own mapping")


def _target(kind: FieldType) -> str | None:
    if kind.kind == "user":
        return "User"
    return kind.target if kind.kind == "lookup" else None


def _default(field: MappedField) -> str | None:
    if field.type.kind == "checkbox" and field.formula is None:
        return field.default or "false"
    return field.default


def _api_type(kind: FieldType) -> str:
    if kind.kind == "textarea":
        return "TextArea" if kind.length <= _LONGEST_PLAIN_TEXTAREA else "LongTextArea"
    return {
        "text": "Text",
        "longtext": "LongTextArea",
        "integer": "Number",
        "decimal": "Number",
        "hours": "Number",
        "date": "Date",
        "datetime": "DateTime",
        "checkbox": "Checkbox",
        "picklist": "Picklist",
        "user": "Lookup",
        "lookup": "Lookup",
        "autonumber": "AutoNumber",
    }[kind.kind]


def _value_set(kind: FieldType) -> Element:
    values = [
        Element("value", children=[leaf("fullName", v), leaf("default", False), leaf("label", v)]) for v in kind.values
    ]
    return tree("valueSet", restricted=True, definition=[tree("valueSetDefinition", sorted=False, values=values)])
