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
        "The column *with a hub* is about clients whose consultants work in an org of their own: where people write",
        "the field, while the other org shows a copy; *alone* means that it stands in that org and in no other. A",
        "field that is only there for clients with a hub says so. Without a hub people of both sides write in the",
        "client's org.",
        "",
        "Fields without `__c` are Salesforce's own and are never deployed. Two more fields come with the package:",
        "`Sfsync_Key__c`, the external id that makes every create an upsert, and `Sfsync_Revision__c`, which only",
        "grows.",
        "",
    ]
    for mapping in mappings:
        lines += _section(mapping, mappings.declared.get(mapping.name, mapping))
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(mapping: ObjectMapping, declared: ObjectMapping) -> list[str]:
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
        "| field | API name | type | owner | with a hub | about |",
        "|---|---|---|---|---|---|",
        *(_row(field) for field in declared.fields.values()),
        "",
    ]


def _row(field: MappedField) -> str:
    notes = [field.label if field.label.endswith((".", "?")) else f"{field.label}."]
    if field.help:
        notes.append(field.help if field.help.endswith((".", "?")) else f"{field.help}.")
    if field.only == "mirrored":
        notes.append("Only with a hub.")
    if field.formula:
        notes.append(f"Formula: `{field.formula}`.")
    if field.default:
        notes.append(f"Default: `{field.default}`.")
    if field.required:
        notes.append("Required.")
    if field.history:
        notes.append("History is tracked.")
    api = f"`{field.api}`" + (f", in a hub `{field.hub_api}`" if field.hub_api else "")
    cells = (f"`{field.name}`", api, _type(field.type), field.owner, _beside(field), " ".join(notes))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _beside(field: MappedField) -> str:
    """Return what becomes of a field where the client's records are in two orgs."""
    if field.only == "copy":
        return "on a copy alone"
    if field.only in ("client", "hub"):
        return f"{field.only} alone"
    if field.owner == "service":
        return "service"
    if field.formula is not None:
        return "each computes it"
    if field.people == "both":
        return f"both write; {field.on_conflict} wins"
    if field.type.kind in ("autonumber", "user"):
        return f"{field.people} alone"
    return f"{field.people} writes"


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
