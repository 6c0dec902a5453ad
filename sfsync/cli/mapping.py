"""``sfsync mapping``: who owns a field, under which names, and what happens to its values on the way.

May not know orgs or the store. It keeps one law: what it says of a field is read from the line that declares it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, finish, show, talk
from sfsync.cli.rooms import Files, Mistyped, client_option, files, overlay_files, settings
from sfsync.errors import Exit

if TYPE_CHECKING:
    from sfsync.mapping import FieldType, MappedField, ObjectMapping

ON_THE_WAY = {
    "text": "kept byte for byte",
    "textarea": "kept byte for byte",
    "longtext": "kept byte for byte",
    "picklist": "kept as it is written",
    "autonumber": "given by the org, kept as text",
    "integer": "a whole number on both sides",
    "decimal": "an exact decimal on both sides",
    "hours": "hours with two places in the org, whole minutes in the store (RND-3)",
    "date": "a calendar day on both sides",
    "datetime": "an instant in UTC, to the second",
    "checkbox": "true or false; never empty in the org",
    "lookup": "the record's id in the org, its key in the store",
    "user": "the user's id on both sides",
}
OWNERS = {
    "org": "people in Salesforce; sfsync only reads it",
    "service": "sfsync; a change by hand is put back and counted",
    "shared": "both sides; merged three ways, the losing value stands in the conflicts",
}


@click.group()
def mapping() -> None:
    """Look at the mapped fields: one declaration a field, read by every stage."""


@mapping.command("list")
@client_option
@as_json
def list_objects(client: str | None, as_json: bool) -> None:
    """List the mapped objects and how many fields of each have which owner."""
    found = files().of(client)
    rows = [
        {
            "mapping": m.name,
            "object": m.object,
            "record": m.record.__name__,
            "fields": len(m.fields),
            **{owner: sum(f.owner == owner for f in m.fields.values()) for owner in OWNERS},
        }
        for m in found
    ]
    columns = ("Mapping", "Object", "Record", "Fields", "Org", "Service", "Shared")
    show(as_json, {"client": client, "objects": rows}, columns, [tuple(r.values()) for r in rows])


@mapping.command("show")
@click.argument("name", metavar="OBJECT")
@client_option
@as_json
def show_object(name: str, client: str | None, as_json: bool) -> None:
    """Show the fields of OBJECT (its mapping, its API name or its record)."""
    found = _object(files(), name, client)
    rows = [_field(found, f) for f in found.fields.values()]
    columns = ("Field", "API name", "Type", "Owner", "Help")
    data = {"client": client, "mapping": found.name, "object": found.object, "fields": rows}
    show(as_json, data, columns, [(r["field"], r["api"], r["type"], r["owner"], r["help"]) for r in rows])


@mapping.command()
@click.argument("field")
@client_option
@as_json
def explain(field: str, client: str | None, as_json: bool) -> None:
    """Explain FIELD: ``priority``, ``case.priority`` or ``Case.SLA_Due__c``."""
    known = files()
    found = _find(known, field, client)
    told = [{**_field(m, f), "declared": _place(m, f), "mapping": m.name, "object": m.object} for m, f in found]
    if as_json:
        emit({"client": client, "fields": told})
        return
    for one in told:
        click.echo(f"{one['mapping']}.{one['field']} = {one['object']}.{one['api']}")
        for label, text in (
            ("owner", f"{one['owner']}: {OWNERS[one['owner']]}"),
            ("type", f"{one['type']}: {one['on_the_way']}"),
            ("conflict", f"{one['on_conflict']} wins" if one["owner"] == "shared" else ""),
            ("kept in", one["kept_in"]),
            ("label", one["label"]),
            ("help", one["help"]),
            ("formula", one["formula"]),
            ("declared", one["declared"]),
        ):
            if text:
                click.echo(f"  {label:<9}{text}")


@mapping.command()
@as_json
def check(as_json: bool) -> None:
    """Check mappings, plans and every client overlay; name file, line and key of what is wrong."""
    from sfsync.errors import ConfigError
    from sfsync.mapping import load_client, load_mappings, load_plans

    found = settings()
    problems: list[str] = []
    clients = 0
    mappings = plans = None
    try:
        mappings = load_mappings(found.mappings_dir)
    except ConfigError as bad:
        problems.append(str(bad))
    try:
        plans = load_plans(found.mappings_dir)
    except ConfigError as bad:
        problems.append(str(bad))
    if mappings and plans:
        for path in overlay_files(found):
            clients += 1
            try:
                load_client(path, mappings, plans)
            except ConfigError as bad:
                problems.append(str(bad))
    if as_json:
        emit({"ok": not problems, "clients": clients, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        talk(f"{len(problems)} wrong" if problems else f"nothing wrong: mappings, plans, {clients} client(s)")
    finish(Exit.CHECK_FAILED if problems else Exit.OK)


@mapping.command()
def schema() -> None:
    """Print the JSON schema of a mapping file, for editors."""
    from sfsync.mapping import editor_schema

    click.echo(json.dumps(editor_schema(), indent=2, sort_keys=True, ensure_ascii=False))


def type_text(kind: FieldType) -> str:
    """Return a field's type as a mapping file writes it."""
    if kind.kind in ("text", "textarea", "longtext"):
        return f"{kind.kind}({kind.length})"
    if kind.kind == "integer":
        return f"integer({kind.precision})"
    if kind.kind in ("decimal", "hours"):
        return f"{kind.kind}({kind.precision},{kind.scale})"
    if kind.kind == "lookup":
        return f"lookup({kind.target})"
    if kind.kind == "picklist" and kind.values:
        return f"picklist[{', '.join(kind.values)}]"
    return f"autonumber({kind.format})" if kind.kind == "autonumber" else kind.kind


def _field(of: ObjectMapping, field: MappedField) -> dict[str, Any]:
    return {
        "field": field.name,
        "api": field.api,
        "type": type_text(field.type),
        "owner": field.owner,
        "on_conflict": field.on_conflict,
        "on_the_way": ON_THE_WAY[field.type.kind],
        "kept_in": f"{of.record.__name__}.{field.name}" if field.name in of.typed else "extra: no rule reads it",
        "required": field.required,
        "history": field.history,
        "formula": field.formula,
        "label": field.label,
        "help": field.help,
    }


def _object(known: Files, name: str, client: str | None) -> ObjectMapping:
    mappings = known.of(client)
    for one in mappings:
        if name.lower() in (one.name, one.object.lower(), one.record.__name__.lower()):
            return one
    raise Mistyped(f"there is no mapping {name!r}; there are {', '.join(mappings.objects)}")


def _find(known: Files, name: str, client: str | None) -> list[tuple[ObjectMapping, MappedField]]:
    prefix, _, wanted = name.rpartition(".")
    objects = [_object(known, prefix, client)] if prefix else list(known.of(client))
    found = [(m, f) for m in objects for f in m.fields.values() if wanted.lower() in (f.name, f.api.lower())]
    if not found:
        raise Mistyped(f"no mapping has a field {name!r}; list them with: sfsync mapping show OBJECT")
    return found


def _place(of: ObjectMapping, field: MappedField) -> str:
    """Return file and line of a field's declaration in the standard shape."""
    from sfsync.mapping import standard_directory

    file = f"{of.name}.yaml"
    path: Path = (settings().mappings_dir or standard_directory()) / file
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if re.match(rf"  {re.escape(field.name)}\s*:", line):
            return f"mappings/{file}:{number}"
    return f"mappings/{file}"
