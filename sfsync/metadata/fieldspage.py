"""docs/fields.md: every mapped field for a reader, made from the mappings.

It may not know the org. It keeps one law: it says nothing that no mapping line says.
"""

from __future__ import annotations

from sfsync.mapping import FieldType, MappedField, Mappings, ObjectMapping

_OWNERS = {
    "org": "people in Salesforce; sfsync only reads it",
    "service": "sfsync; a change by hand is put back",
    "shared": "both sides; merged three ways",
}


def fields_page(mappings: Mappings) -> str:
    """Return the page, ending in one line feed; the same text for the same mappings."""
    total = sum(len(m.fields) for m in mappings)
    lines = [
        "# Fields",
        "",
        "<!-- Generated from mappings/*.yaml by: sfsync metadata generate. Do not edit. -->",
        "",
        f"{total} fields of {len(mappings.objects)} objects. The owner says who may change a field:",
        "",
        *(f"- **{owner}**: {meaning}." for owner, meaning in _OWNERS.items()),
        "",
        "Fields without `__c` are Salesforce's own and are never deployed. Two more fields come with the package:",
        "`Sfsync_Key__c`, the external id that makes every create an upsert, and `Sfsync_Revision__c`, which only",
        "grows.",
        "",
    ]
    for mapping in mappings:
        lines += _section(mapping)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(mapping: ObjectMapping) -> list[str]:
    about = [mapping.description] if mapping.description else []
    facts = [f"Mapping `{mapping.name}`", f"record `{mapping.record.__name__}`", f"keys begin with `{mapping.prefix}:`"]
    if mapping.key:
        facts.append(f"external id `{mapping.key}`")
    events = [n for n in (mapping.events.history, mapping.events.comments, mapping.events.emails) if n]
    if events:
        facts.append("read with it: " + ", ".join(f"`{n}`" for n in events))
    return [
        f"## {mapping.label} (`{mapping.object}`)",
        "",
        " ".join([*about, "; ".join(facts) + "."]),
        "",
        "| field | API name | type | owner | about |",
        "|---|---|---|---|---|",
        *(_row(field) for field in mapping.fields.values()),
        "",
    ]


def _row(field: MappedField) -> str:
    notes = [field.label if field.label.endswith((".", "?")) else f"{field.label}."]
    if field.help:
        notes.append(field.help if field.help.endswith((".", "?")) else f"{field.help}.")
    if field.formula:
        notes.append(f"Formula: `{field.formula}`.")
    if field.default:
        notes.append(f"Default: `{field.default}`.")
    if field.required:
        notes.append("Required.")
    if field.history:
        notes.append("History is tracked.")
    if field.owner == "shared":
        notes.append(f"On conflict: {field.on_conflict}.")
    cells = (f"`{field.name}`", f"`{field.api}`", _type(field.type), field.owner, " ".join(notes))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(kind: FieldType) -> str:
    if kind.kind in ("text", "textarea", "longtext"):
        return f"{kind.kind}({kind.length})"
    if kind.kind == "integer":
        return f"integer({kind.precision})"
    if kind.kind in ("decimal", "hours"):
        return f"{kind.kind}({kind.precision},{kind.scale})"
    if kind.kind == "lookup":
        return f"lookup(`{kind.target}`)"
    if kind.kind == "autonumber":
        return f"autonumber({kind.format})"
    if kind.kind == "picklist" and kind.values:
        return "picklist: " + ", ".join(kind.values)
    return kind.kind
