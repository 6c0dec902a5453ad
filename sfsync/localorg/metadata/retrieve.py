"""Retrieval: the files of what was deployed, as an org gives them back; and the lists of what is there.

It may not know SOAP or REST. It keeps one law: a file it gives can be deployed again and changes nothing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata.kinds import CHILDREN, KINDS, NAMESPACE, NONE_HERE, PREFIXES
from sfsync.localorg.metadata.state import Kept, MetadataState, state_of
from sfsync.localorg.xmltree import Element, pretty

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class FileProperties:
    """One component as lists show it."""

    kind: str
    name: str
    file: str
    id: str
    created_at: datetime
    created_by: str
    modified_at: datetime
    modified_by: str


@dataclass(slots=True)
class Retrieval:
    """A retrieve call and its result; it has ended when it is made."""

    id: str
    data: bytes
    files: list[FileProperties]
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(file, problem) of what was asked for and is not there."""


def retrieve(
    org: LocalOrg, actor: Actor, wanted: Mapping[str, Sequence[str]], version: str, *, single_package: bool = True
) -> Retrieval:
    """Return the zip of the wanted components: type to full names, ``*`` for all custom ones."""
    state = state_of(org)
    chosen: dict[tuple[str, str], Kept] = {}
    problems: list[tuple[str, str]] = []
    listed: dict[str, list[str]] = {}
    for kind, names in wanted.items():
        if kind not in KINDS and kind not in CHILDREN and kind not in NONE_HERE:
            raise ApiError(400, "INVALID_TYPE", f"Unknown type name '{kind}' specified in package.xml")
        for name in sorted(_spread(state, kind, names)):
            found = _found(org, state, kind, name)
            if not found:
                problems.append(("package.xml", f"Entity of type '{kind}' named '{name}' cannot be found"))
            else:
                listed.setdefault(kind, []).append(name)
            chosen.update({(k.kind, k.name): k for k in found})
    top = "" if single_package else "unpackaged/"
    files = {f"{top}{path}": data for path, data in _files(chosen.values())}
    files[f"{top}package.xml"] = pretty(_manifest(listed, version), NAMESPACE)
    made = Retrieval(org.ids.one("09S"), _zipped(files), [properties(k, top) for k in chosen.values()], problems)
    state.retrievals[made.id] = made
    return made


def _spread(state: MetadataState, kind: str, names: Sequence[str]) -> set[str]:
    chosen = {n for n in names if n != "*"}
    if "*" in names:
        chosen |= {k.name for k in state.kept.values() if k.kind == kind}
    return chosen


def _found(org: LocalOrg, state: MetadataState, kind: str, name: str) -> list[Kept]:
    kept = state.kept.get((kind, name))
    if kind != "CustomObject":
        return [] if kept is None else [kept]
    children = state.children(name)
    if kept is None and (children or org.schema.get(name) is not None):
        kept = standing(org, name)
    return [] if kept is None else [kept, *children]


def standing(org: LocalOrg, name: str) -> Kept:
    """Return what an org shows of a standard object that nobody deployed anything of."""
    since = org.now()
    return Kept("CustomObject", name, Element("CustomObject", NAMESPACE), "", since, org.admin_id, since, org.admin_id)


def whole_object(state: MetadataState, kept: Kept) -> Element:
    """Return a CustomObject with everything inside it, as its file has it: elements in alphabetical order."""
    by_kind = {child: element for element, child, _ in KINDS["CustomObject"].children}
    inside = [
        _renamed(child.element, by_kind[child.kind]) for child in state.children(kept.name) if child.kind in by_kind
    ]
    children = [c for c in kept.element.children if c.name != "fullName"] + inside
    children.sort(key=lambda c: (c.name, c.value("fullName")))
    return Element("CustomObject", NAMESPACE, "", {}, children)


def _renamed(element: Element, name: str) -> Element:
    full_name = element.value("fullName")
    if element.name == name and "." not in full_name:
        return element
    children = [
        Element("fullName", NAMESPACE, c.text.strip().rpartition(".")[2]) if c.name == "fullName" else c
        for c in element.children
    ]
    return Element(name, NAMESPACE, "", {}, children)


def _files(chosen: Iterable[Kept]) -> Iterator[tuple[str, bytes]]:
    objects: dict[str, list[Kept]] = {}
    for kept in chosen:
        if kept.kind == "CustomObject" or kept.kind in CHILDREN:
            objects.setdefault(kept.name.partition(".")[0], []).append(kept)
        else:
            kind = KINDS[kept.kind]
            yield f"{kind.folder}/{kept.name}.{kind.suffix}", pretty(kept.element, NAMESPACE)
    for name, parts in objects.items():
        state = MetadataState(kept={(k.kind, k.name): k for k in parts})
        own = next((k for k in parts if k.kind == "CustomObject"), None)
        first = parts[0]
        shell = own or Kept(
            "CustomObject", name, Element("CustomObject"), "", first.created_at, "", first.modified_at, ""
        )
        yield f"objects/{name}.object", pretty(whole_object(state, shell), NAMESPACE)


def _manifest(listed: Mapping[str, Sequence[str]], version: str) -> Element:
    types = [
        Element(
            "types",
            children=[*(Element("members", text=n) for n in sorted(names)), Element("name", text=kind)],
        )
        for kind, names in sorted(listed.items())
    ]
    return Element("Package", NAMESPACE, "", {}, [*types, Element("version", text=version)])


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[path])
    return buffer.getvalue()


def properties(kept: Kept, top: str = "") -> FileProperties:
    """Return a component as lists show it."""
    holder = CHILDREN.get(kept.kind, (KINDS.get(kept.kind), ""))[0]
    name = kept.name.partition(".")[0] if kept.kind in CHILDREN else kept.name
    file = f"{top}{holder.folder}/{name}.{holder.suffix}" if holder else kept.name
    return FileProperties(
        kept.kind, kept.name, file, kept.id, kept.created_at, kept.created_by, kept.modified_at, kept.modified_by
    )


def listed(org: LocalOrg, kind: str) -> list[FileProperties]:
    """Return every component of a type; for CustomObject the standard objects too. ApiError for an unknown type."""
    if kind in NONE_HERE:
        return []
    if kind not in PREFIXES:
        raise ApiError(400, "INVALID_TYPE", f"INVALID_TYPE: Unknown type:{kind}")
    state = state_of(org)
    found = [properties(k) for k in state.kept.values() if k.kind == kind]
    if kind == "CustomObject":
        names = {p.name for p in found}
        found += [
            properties(standing(org, o.name))
            for o in org.schema
            if o.layoutable and not o.custom and o.name not in names
        ]
    return sorted(found, key=lambda p: p.name)
