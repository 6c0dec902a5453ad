"""A deploy's zip as a list of components, each with its file and line.

It may not know the org's schema. It keeps one law: the zip is hostile; its size, its number of files and its names are
bounded before anything is unpacked.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sfsync.localorg.metadata.kinds import BY_FOLDER, CHILDREN, KINDS, NONE_HERE
from sfsync.localorg.xmltree import Element, XmlError, parse

MOST_FILES = 10_000
MOST_BYTES = 400 * 1024 * 1024
_MANIFEST = "package.xml"
_REMOVALS = ("destructiveChangesPre.xml", "destructiveChanges.xml", "destructiveChangesPost.xml")


@dataclass(slots=True)
class Component:
    """One component of a deploy: its type, full name, file, content and place; ``removal`` when it is to go."""

    kind: str
    name: str
    file: str
    element: Element
    removal: bool = False
    line: int | None = None
    column: int | None = None
    parent: str | None = None
    """Name of the CustomObject whose file holds it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem of the package itself or of a component, as DeployMessage reports it."""

    kind: str
    name: str
    file: str
    problem: str
    line: int | None = None
    column: int | None = None
    warning: bool = False


@dataclass(slots=True)
class Package:
    """What a zip asks for: components in file order, removals before and after them, and what is wrong with it."""

    version: str = ""
    components: list[Component] = field(default_factory=list)
    removals_before: list[Component] = field(default_factory=list)
    removals_after: list[Component] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class BadZip(ValueError):
    """The zip cannot be read at all; its text says why."""


def read_zip(data: bytes) -> dict[str, bytes]:
    """Return the files of a zip by path; BadZip when it is broken, too big or names paths outside itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [e for e in archive.infolist() if not e.is_dir()]
            if len(entries) > MOST_FILES:
                raise BadZip(f"Maximum number of files in zip exceeded: {MOST_FILES}")
            if sum(e.file_size for e in entries) > MOST_BYTES:
                raise BadZip(f"Maximum size of request reached. Maximum size of request is {MOST_BYTES} bytes.")
            for entry in entries:
                if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
                    raise BadZip(f"Invalid file name in zip: {entry.filename}")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as bad:
        raise BadZip("Not a valid zip file") from bad


def read_package(data: bytes, *, allow_missing: bool = False, auto_update: bool = False) -> Package:
    """Return what the zip asks for; problems of the package are in its ``refusals``.

    The package may lie at the root or below one folder. BadZip when the zip cannot be read.
    """
    files = read_zip(data)
    manifests = sorted((p for p in files if p.rpartition("/")[2] == _MANIFEST), key=lambda p: p.count("/"))
    package = Package()
    if not manifests:
        package.refusals.append(Refusal("", _MANIFEST, _MANIFEST, "No package.xml found"))
        return package
    shallowest = manifests[0].count("/")
    for manifest in (m for m in manifests if m.count("/") == shallowest):
        top = manifest[: -len(_MANIFEST)]
        inside = {path.removeprefix(top): content for path, content in files.items() if path.startswith(top)}
        _read_one(package, top, inside, allow_missing, auto_update)
    return package


def _read_one(package: Package, top: str, files: dict[str, bytes], allow_missing: bool, auto_update: bool) -> None:
    try:
        manifest = parse(files[_MANIFEST])
    except XmlError as bad:
        package.refusals.append(
            Refusal("", _MANIFEST, top + _MANIFEST, f"Error parsing file: {bad}", bad.line, bad.column)
        )
        return
    package.version = manifest.value("version") or package.version
    wanted = _listed(manifest)
    for kind in wanted:
        if kind not in KINDS and kind not in CHILDREN and kind not in NONE_HERE:
            package.refusals.append(
                Refusal("", _MANIFEST, top + _MANIFEST, f"Unknown type name '{kind}' specified in package.xml")
            )
    found: set[tuple[str, str]] = set()
    for path in sorted(files):
        if (
            path == _MANIFEST
            or path in _REMOVALS
            or path.endswith("-meta.xml")
            or path.rpartition("/")[2].startswith(".")
        ):
            continue
        for component in _components(package, top, path, files[path]):
            found.add((component.kind, component.name))
            if auto_update or _is_listed(wanted, component):
                package.components.append(component)
            else:
                package.refusals.append(
                    Refusal(
                        component.kind,
                        component.name,
                        component.file,
                        "Not in package.xml",
                        component.line,
                        component.column,
                    )
                )
    for kind, names in wanted.items():
        for name in sorted(names - {"*"}):
            if (kind, name) not in found and not allow_missing and kind in KINDS.keys() | CHILDREN.keys() | NONE_HERE:
                problem = (
                    f"An object '{name}' of type {kind} was named in package.xml, but was not found in zipped directory"
                )
                package.refusals.append(Refusal(kind, name, top + _MANIFEST, problem))
    for file in _REMOVALS:
        if file in files:
            gone = package.removals_before if file == _REMOVALS[0] else package.removals_after
            gone.extend(_removals(package, top + file, files[file]))


def _listed(manifest: Element) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for types in manifest.all("types"):
        wanted.setdefault(types.value("name"), set()).update(types.values("members"))
    return wanted


def _is_listed(wanted: dict[str, set[str]], component: Component) -> bool:
    """Whether the manifest covers a component; in a deployment ``*`` covers standard objects too."""
    names = wanted.get(component.kind, set())
    if component.name in names or "*" in names:
        return True
    parents = wanted.get("CustomObject", set())
    return component.parent is not None and (component.parent in parents or "*" in parents)


def _components(package: Package, top: str, path: str, data: bytes) -> Iterator[Component]:
    folder, _, file_name = path.rpartition("/")
    file = top + path
    kind = BY_FOLDER.get(folder.partition("/")[0])
    if kind is None or not file_name.endswith(f".{kind.suffix}"):
        problem = (
            f"not modelled: the kind of metadata in {path}" if folder else "File is not in a folder of a known type"
        )
        package.refusals.append(Refusal("", path, file, problem))
        return
    name = path.removeprefix(kind.folder + "/").removesuffix(f".{kind.suffix}")
    try:
        root = parse(data)
    except XmlError as bad:
        package.refusals.append(Refusal(kind.name, name, file, f"Error parsing file: {bad}", bad.line, bad.column))
        return
    if root.name != kind.name:
        problem = f"Error parsing file: Element {root.name} invalid at this location in type {kind.name}"
        package.refusals.append(Refusal(kind.name, name, file, problem, root.line, root.column))
        return
    by_element = {element: child for element, child, _ in kind.children}
    own = Element(root.name, root.namespace, "", {}, [c for c in root.children if c.name not in by_element])
    inner = [child for child in root.children if child.name in by_element]
    if kind.name != "CustomObject" or name.endswith("__c") or own.children or not inner:
        yield Component(kind.name, name, file, own if inner else root)
    for child in inner:
        full_name = f"{name}.{child.value('fullName')}"
        yield Component(by_element[child.name], full_name, file, child, False, child.line, child.column, name)


def _removals(package: Package, file: str, data: bytes) -> Iterator[Component]:
    try:
        root = parse(data)
    except XmlError as bad:
        package.refusals.append(
            Refusal("", file.rpartition("/")[2], file, f"Error parsing file: {bad}", bad.line, bad.column)
        )
        return
    for kind, names in _listed(root).items():
        for name in sorted(names):
            if name == "*":
                package.refusals.append(
                    Refusal(kind, name, file, "Wildcard (*) is not allowed in destructiveChanges.xml")
                )
                continue
            yield Component(kind, name, file, Element(kind), removal=True)
