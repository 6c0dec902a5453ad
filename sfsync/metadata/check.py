"""The proof of a package without an org: each file against Salesforce's published types, each reference between files.

It may not know mappings: it judges any package of the kinds that sfsync ships, also one edited by hand. It keeps one
law: what an org is known to refuse is a problem here, with the file and the line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sfsync.metadata.formulas import names_in, permissions_in
from sfsync.metadata.limits import field_problems, object_problems
from sfsync.metadata.shapes import shapes
from sfsync.metadata.xmltext import Element, XmlError, parse

FOLDERS = {
    "applications": ("app", "CustomApplication"),
    "customPermissions": ("customPermission", "CustomPermission"),
    "layouts": ("layout", "Layout"),
    "objects": ("object", "CustomObject"),
    "quickActions": ("quickAction", "QuickAction"),
    "permissionsets": ("permissionset", "PermissionSet"),
    "tabs": ("tab", "CustomTab"),
}
"""Folder of a package to the suffix and the type of its files."""

INSIDE_OBJECT = {
    "fields": "CustomField",
    "listViews": "ListView",
    "recordTypes": "RecordType",
    "validationRules": "ValidationRule",
}
"""Elements of a CustomObject that are components of their own."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something an org would refuse, or that Salesforce's types do not allow; ``line`` is 1-based, 0 for the file."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        """Return ``path:line: message``."""
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


def contents(path: str, root: Element) -> list[tuple[str, str]]:
    """Return (type, full name) of each component that the file brings; nothing for ``package.xml`` and unknown kinds.

    A standard object is itself a component only when the file sets something of the object, not only its fields.
    """
    folder, _, name = path.rpartition("/")
    if folder not in FOLDERS:
        return []
    name = name.removesuffix(f".{FOLDERS[folder][0]}")
    if folder != "objects":
        return [(FOLDERS[folder][1], name)]
    found = [
        (INSIDE_OBJECT[child.tag], f"{name}.{child.value('fullName')}")
        for child in root.children
        if child.tag in INSIDE_OBJECT
    ]
    if name.endswith("__c") or any(child.tag not in INSIDE_OBJECT for child in root.children):
        found.insert(0, ("CustomObject", name))
    return found


def check(files: Mapping[str, bytes]) -> list[Problem]:
    """Return every problem of the package ``files`` (path to bytes), sorted; an empty list is the proof."""
    problems: list[Problem] = []
    roots: dict[str, Element] = {}
    for path, data in files.items():
        try:
            roots[path] = parse(data)
        except XmlError as bad:
            problems.append(Problem(path, bad.line, str(bad)))
            continue
        problems.extend(Problem(path, line, message) for line, message in _kind(path, roots[path]))
        problems.extend(Problem(path, line, message) for line, message in shapes().problems(roots[path]))
    problems.extend(_Package(roots).problems())
    return sorted(set(problems))


def _kind(path: str, root: Element) -> Iterator[tuple[int, str]]:
    folder, _, name = path.rpartition("/")
    if not folder and (name == "package.xml" or name.startswith("destructiveChanges")):
        if root.tag != "Package":
            yield root.line, f"holds <{root.tag}>, not <Package>"
    elif folder not in FOLDERS:
        yield 0, "no kind of metadata that sfsync ships lives here"
    else:
        suffix, kind = FOLDERS[folder]
        if not name.endswith(f".{suffix}"):
            yield 0, f"files in {folder}/ end in .{suffix}"
        if root.tag != kind:
            yield root.line, f"holds <{root.tag}>, but files in {folder}/ hold <{kind}>"


class _Package:
    """The parsed package, and what its files say about each other."""

    def __init__(self, roots: Mapping[str, Element]) -> None:
        self._roots = roots
        self._objects: dict[str, Element] = {}
        self._fields: dict[str, dict[str, Element]] = {}
        self._names: dict[str, set[str]] = defaultdict(set)
        for path, root in roots.items():
            for kind, name in contents(path, root):
                self._names[kind].add(name)
            if path.startswith("objects/"):
                name = path.removeprefix("objects/").removesuffix(".object")
                self._objects[name] = root
                self._fields[name] = {f.value("fullName"): f for f in root.all("fields")}

    def problems(self) -> Iterator[Problem]:
        """Yield the problems between files and those of single fields and objects."""
        yield from self._manifest()
        for name, root in self._objects.items():
            path = f"objects/{name}.object"
            for line, message in (*object_problems(name, root), *self._object(name, root)):
                yield Problem(path, line, message)
        yield from self._relationship_names()
        for path, root in self._roots.items():
            found: Iterable[tuple[int, str]] = ()
            if path.startswith("permissionsets/"):
                found = self._permission_set(root)
            elif path.startswith("layouts/"):
                found = self._layout(path, root)
            elif path.startswith("quickActions/"):
                found = self._action(path, root)
            elif path.startswith("tabs/"):
                found = self._tab(path, root)
            elif path.startswith("applications/"):
                found = self._app(root)
            for line, message in found:
                yield Problem(path, line, message)

    def _manifest(self) -> Iterator[Problem]:
        manifest = self._roots.get("package.xml")
        if manifest is None:
            yield Problem("package.xml", 0, "is missing")
            return
        listed: Counter[tuple[str, str]] = Counter()
        for types in manifest.all("types"):
            for member in types.all("members"):
                listed[types.value("name"), member.text] += 1
                if member.text not in self._names[types.value("name")]:
                    yield Problem("package.xml", member.line, f"no file brings {types.value('name')} {member.text}")
        for kind, name in sorted((k, n) for k, names in self._names.items() for n in names):
            if listed[kind, name] != 1:
                times = "not" if not listed[kind, name] else f"{listed[kind, name]} times"
                yield Problem("package.xml", 0, f"{kind} {name} is {times} listed")

    def _object(self, name: str, root: Element) -> Iterator[tuple[int, str]]:
        for field in root.all("fields"):
            yield from field_problems(field)
            target = field.value("referenceTo")
            if target.endswith("__c") and target not in self._objects:
                yield field.line, f"{field.value('fullName')} refers to {target}, which no file brings"
            if field.value("trackHistory") == "true" and root.value("enableHistory") != "true":
                yield field.line, f"{field.value('fullName')} is tracked, but {name} does not enable its history"
            for tag in ("formula", "defaultValue"):
                yield from self._formula(name, field.find(tag))
        for rule in root.all("validationRules"):
            yield from self._formula(name, rule.find("errorConditionFormula"))
            shown = rule.value("errorDisplayField")
            if shown and not self._has(name, shown):
                yield rule.line, f"{rule.value('fullName')} shows its message at {shown}, which {name} does not have"
        for view in root.all("listViews"):
            for column in [*view.all("columns"), *(f for one in view.all("filters") for f in one.all("field"))]:
                if not self._has(name, column.text):
                    view_name = view.value("fullName")
                    yield column.line, f"list view {view_name} names {column.text}, which {name} does not have"

    def _formula(self, name: str, holder: Element | None) -> Iterator[tuple[int, str]]:
        if holder is None:
            return
        for path in names_in(holder.text):
            here = name
            for step in path[:-1]:
                field = self._fields.get(here, {}).get(f"{step.removesuffix('__r')}__c")
                if field is None:
                    yield holder.line, f"the formula follows {step}, which {here} does not have"
                    break
                here = field.value("referenceTo")
            else:
                if not self._has(here, path[-1]):
                    yield holder.line, f"the formula names {path[-1]}, which {here} does not have"
        for permission in permissions_in(holder.text):
            if permission not in self._names["CustomPermission"]:
                yield holder.line, f"the formula asks for $Permission.{permission}, which no file brings"

    def _has(self, name: str, field: str) -> bool:
        """Return whether the object has the field; a standard field of any object is believed."""
        return not field.endswith("__c") or field in self._fields.get(name, {})

    def _relationship_names(self) -> Iterator[Problem]:
        seen: dict[tuple[str, str], str] = {}
        for name in self._objects:
            for field in self._fields[name].values():
                if not field.value("referenceTo"):
                    continue
                mine = f"{name}.{field.value('fullName')}"
                called = field.value("relationshipName")
                key = field.value("referenceTo"), called.lower()
                if seen.setdefault(key, mine) != mine:
                    message = f"{mine} and {seen[key]} give {key[0]} the same relationship {called}"
                    yield Problem(f"objects/{name}.object", field.line, message)

    def _permission_set(self, root: Element) -> Iterator[tuple[int, str]]:
        for given in root.all("fieldPermissions"):
            name, _, field_name = given.value("field").partition(".")
            field = self._fields.get(name, {}).get(field_name)
            if field is None:
                if field_name.endswith("__c") or field_name == "Name":
                    yield given.line, f"no CustomField named {given.value('field')} found"
                continue
            if field.value("required") == "true" or field.value("type") == "MasterDetail":
                yield given.line, f"{given.value('field')} is required, so everybody has it: it cannot stand here"
            if given.value("editable") == "true":
                if field.find("formula") is not None or field.value("type") in ("AutoNumber", "Summary"):
                    yield given.line, f"{given.value('field')} is computed by the org: it cannot be editable"
                if given.value("readable") != "true":
                    yield given.line, f"{given.value('field')} is editable but not readable"
        yield from self._object_rights(root)
        for tag, inner, kind in (
            ("customPermissions", "name", "CustomPermission"),
            ("applicationVisibilities", "application", "CustomApplication"),
            ("tabSettings", "tab", "CustomTab"),
        ):
            for given in root.all(tag):
                if given.value(inner) not in self._names[kind] and not given.value(inner).startswith("standard-"):
                    yield given.line, f"no {kind} named {given.value(inner)} found"

    def _object_rights(self, root: Element) -> Iterator[tuple[int, str]]:
        rights = {given.value("object"): given for given in root.all("objectPermissions")}
        for name, given in rights.items():
            if name.endswith("__c") and name not in self._objects:
                yield given.line, f"no CustomObject named {name} found"
            have = {child.tag for child in given.children if child.text == "true"}
            for right, needed in _RIGHTS_NEED.items():
                if right in have and not needed <= have:
                    yield given.line, f"{name}: {right} needs {', '.join(sorted(needed - have))}"
        for given in root.all("fieldPermissions"):
            name = given.value("field").partition(".")[0]
            if given.value("readable") == "true" and name not in rights:
                yield given.line, f"{given.value('field')} is readable, but the object {name} is not"

    def _layout(self, path: str, root: Element) -> Iterator[tuple[int, str]]:
        name = path.removeprefix("layouts/").partition("-")[0]
        if name not in self._objects:
            yield root.line, f"no CustomObject named {name} found"
            return
        placed: Counter[str] = Counter()
        for item in (e for e in root.walk() if e.tag == "layoutItems"):
            field = item.value("field")
            placed[field] += 1
            if not self._has(name, field):
                yield item.line, f"shows {field}, which {name} does not have"
            if placed[field] > 1:
                yield item.line, f"shows {field} twice"
        for button in (e for e in root.walk() if e.tag == "platformActionListItems"):
            ours = button.value("actionType") == "QuickAction"
            if (
                ours
                and "." in button.value("actionName")
                and button.value("actionName") not in self._names["QuickAction"]
            ):
                yield button.line, f"no QuickAction named {button.value('actionName')} found"
        needed = {"Name", *(n for n, f in self._fields[name].items() if f.value("required") == "true")}
        for field in sorted(needed - placed.keys()):
            yield root.line, f"does not show {field}, which is required"
        for listed in root.all("relatedLists"):
            child, _, field = listed.value("relatedList").partition(".")
            found = self._fields.get(child, {}).get(field)
            if found is None or found.value("referenceTo") != name:
                yield listed.line, f"lists {listed.value('relatedList')}, which does not point at {name}"
            for column in listed.all("fields"):
                if not self._has(child, column.text):
                    yield column.line, f"lists the column {column.text}, which {child} does not have"

    def _action(self, path: str, root: Element) -> Iterator[tuple[int, str]]:
        on = path.removeprefix("quickActions/").partition(".")[0]
        target = root.value("targetObject") or on
        for name in (on, target):
            if name.endswith("__c") and name not in self._objects:
                yield root.line, f"no CustomObject named {name} found"
        for item in (e for e in root.walk() if e.tag in ("field", "targetParentField")):
            if not self._has(target, item.text):
                yield item.line, f"names {item.text}, which {target} does not have"
        parent = root.find("targetParentField")
        field = self._fields.get(target, {}).get(parent.text) if parent is not None else None
        if parent is not None and field is not None and field.value("referenceTo") != on:
            yield parent.line, f"{parent.text} does not point at {on}"

    def _tab(self, path: str, root: Element) -> Iterator[tuple[int, str]]:
        name = path.removeprefix("tabs/").removesuffix(".tab")
        if root.value("customObject") == "true" and name not in self._objects:
            yield root.line, f"no CustomObject named {name} found"

    def _app(self, root: Element) -> Iterator[tuple[int, str]]:
        for tab in root.all("tabs"):
            if tab.text not in self._names["CustomTab"] and not tab.text.startswith("standard-"):
                yield tab.line, f"no CustomTab named {tab.text} found"


_RIGHTS_NEED = {
    "allowCreate": {"allowRead"},
    "allowEdit": {"allowRead"},
    "allowDelete": {"allowRead", "allowEdit"},
    "viewAllRecords": {"allowRead"},
    "modifyAllRecords": {"allowRead", "allowEdit", "allowDelete", "viewAllRecords"},
}
