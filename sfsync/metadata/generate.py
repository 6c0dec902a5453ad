"""Mappings in, files out: the whole source of a deployment, and every other file that is made from the mappings.

It may not know orgs or the network. It keeps one law: the same mappings give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from sfsync.mapping import Mappings, ObjectMapping, editor_schema, in_hub, load_mappings
from sfsync.metadata.actions import quick_actions
from sfsync.metadata.check import contents
from sfsync.metadata.fields import custom_field, deployed, name_field, own_fields
from sfsync.metadata.fieldspage import fields_page
from sfsync.metadata.packagepage import package_page
from sfsync.metadata.pages import APP, app, layouts, list_views, tabs
from sfsync.metadata.permissions import PEOPLE_CREATE, custom_permissions, permission_set, roles
from sfsync.metadata.rules import validation_rules
from sfsync.metadata.xmltext import NOTICE, Element, leaf, parse, render, tree

API_VERSION = "63.0"
"""The version of the WSDL the files are checked against; every org of that version or newer takes them."""

SOURCE = "mappings/salesforce"
HUB_SOURCE = "mappings/salesforce-hub"
UNINSTALL = "mappings/salesforce-uninstall"
COMMAND = "sfsync metadata generate"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def generate(mappings: Mappings) -> dict[str, bytes]:
    """Return the source of the deployment: path inside the package to bytes, ``package.xml`` first.

    Standard objects appear with our own fields, rules and list views only.
    """
    files: dict[str, Element] = {}
    for mapping in mappings:
        files[f"objects/{mapping.object}.object"] = _object(mapping, mappings)
    for name, element in custom_permissions().items():
        files[f"customPermissions/{name}.customPermission"] = element
    for role in roles(mappings):
        files[f"permissionsets/{role.name}.permissionset"] = permission_set(role, mappings)
    for name, element in layouts(mappings).items():
        files[f"layouts/{name}.layout"] = element
    for name, element in quick_actions(mappings).items():
        files[f"quickActions/{name}.quickAction"] = element
    for name, element in tabs(mappings).items():
        files[f"tabs/{name}.tab"] = element
    files[f"applications/{APP}.app"] = app(mappings)
    rendered = {path: render(files[path]) for path in sorted(files)}
    members: dict[str, list[str]] = {}
    for path, data in rendered.items():
        for kind, name in contents(path, parse(data)):
            members.setdefault(kind, []).append(name)
    return {"package.xml": render(_package(members)), **rendered}


def hub_of(mappings: Mappings) -> Mappings:
    """Return the mappings of a hub for its package, which is the same whoever its clients are."""
    return in_hub(mappings.declared, "client")


def _object(mapping: ObjectMapping, mappings: Mappings) -> Element:
    history = any(f.history for f in mapping.fields.values())
    fields = [*own_fields(mapping), *(custom_field(f, mapping, mappings) for f in deployed(mapping))]
    fields.sort(key=lambda f: f.value("fullName"))
    rules = validation_rules(mapping)
    if not mapping.custom:
        return tree(
            "CustomObject",
            enableHistory=True if history else None,
            fields=fields,
            listViews=list_views(mapping),
            validationRules=rules,
        )
    return tree(
        "CustomObject",
        deploymentStatus="Deployed",
        description=mapping.description or None,
        enableActivities=False,
        enableBulkApi=True,
        enableFeeds=False,
        enableHistory=history,
        enableReports=True,
        enableSearch=True,
        enableSharing=True,
        enableStreamingApi=True,
        fields=fields,
        label=mapping.label,
        listViews=list_views(mapping),
        nameField=name_field(mapping),
        pluralLabel=mapping.plural,
        # People's records must stay writable for the service, which owns none of them and may not modify all.
        sharingModel="ReadWrite" if mapping.name in PEOPLE_CREATE and not mapping.copy else "Private",
        validationRules=rules,
        visibility="Public",
    )


def _package(members: Mapping[str, list[str]]) -> Element:
    return tree(
        "Package",
        types=[
            tree("types", members=[leaf("members", name) for name in sorted(members[kind])], name=kind)
            for kind in sorted(members)
        ],
        version=API_VERSION,
    )


def uninstall(mappings: Mappings) -> dict[str, bytes]:
    """Return the package that takes everything out of an org again; records of our objects go with them.

    An empty ``package.xml`` and a ``destructiveChanges.xml`` that names what ``generate`` brings. Fields, rules and
    layouts of our own objects vanish with the object and are not named.
    """
    own = {m.object for m in mappings if m.custom}
    members: dict[str, list[str]] = {}
    for path, data in generate(mappings).items():
        if path == "package.xml":
            continue
        for kind, name in contents(path, parse(data)):
            parent = name.partition(".")[0] if kind not in ("CustomObject", "CustomTab") else ""
            if (kind == "CustomObject" and name not in own) or parent in own or kind == "Layout":
                continue
            members.setdefault(kind, []).append(name)
    return {"package.xml": render(_package({})), "destructiveChanges.xml": render(_package(members))}


def zip_package(files: Mapping[str, bytes]) -> bytes:
    """Return ``files`` as the zip that a deploy takes, ``package.xml`` at its root; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])
    return buffer.getvalue()


def generated_files(mappings: Mappings) -> dict[str, bytes]:
    """Return every file made from the mappings: path from the project's top to bytes. ``COMMAND`` writes them."""
    source = generate(mappings)
    schema = json.dumps(editor_schema(), indent=2, sort_keys=True) + "\n"
    return {
        **{f"{SOURCE}/{path}": data for path, data in source.items()},
        **{f"{HUB_SOURCE}/{path}": data for path, data in generate(hub_of(mappings)).items()},
        **{f"{UNINSTALL}/{path}": data for path, data in uninstall(mappings).items()},
        "mappings/mapping.schema.json": schema.encode(),
        "docs/fields.md": fields_page(mappings).encode(),
        "docs/package.md": package_page(source).encode(),
    }


def source_files() -> dict[str, str]:
    """Return the committed source of the standard mappings: path inside the package to text."""
    return {path: data.decode() for path, data in generate(load_mappings()).items()}


def field_docs() -> str:
    """Return the committed page of the standard mappings."""
    return fields_page(load_mappings())


def write(mappings: Mappings, directory: Path) -> list[str]:
    """Write every generated file under ``directory`` (the project's top) and return the paths that changed.

    Afterwards the folders of generated source hold nothing else that was generated: a file that carries our notice and
    is not made any more is removed. Files without the notice are left alone.
    """
    wanted = generated_files(mappings)
    changed = []
    for path, data in wanted.items():
        target = directory / path
        if not _holds(target, data):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            changed.append(path)
    for path in sorted(set(_present(directory)) - set(wanted)):
        (directory / path).unlink()
        changed.append(path)
    return sorted(changed)


def stale(mappings: Mappings, directory: Path) -> list[str]:
    """Return the generated paths under ``directory`` that are missing, differ, or are not made any more."""
    wanted = generated_files(mappings)
    differing = {path for path, data in wanted.items() if not _holds(directory / path, data)}
    return sorted(differing | (set(_present(directory)) - set(wanted)))


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _present(directory: Path) -> list[str]:
    """Return the paths of files with our notice in the folders of generated source."""
    mark = NOTICE.encode()
    return [
        found.relative_to(directory).as_posix()
        for folder in (SOURCE, HUB_SOURCE, UNINSTALL)
        for found in (directory / folder).rglob("*")
        if found.is_file() and mark in found.read_bytes()[:300]
    ]


def read_package(directory: Path) -> dict[str, bytes]:
    """Return the files of the package in ``directory``: path inside the package to bytes."""
    return {
        found.relative_to(directory).as_posix(): found.read_bytes()
        for found in sorted(directory.rglob("*"))
        if found.is_file() and not found.name.startswith(".")
    }
