"""An object's describe against its mapping: what differs, and what the object can do.

Values in, values out. This module may not know how a describe is got. It keeps one law: a field that is missing or
hidden is a problem to be told, never a null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sfsync.mapping import MappedField, ObjectMapping
from sfsync.org.refresh import formulas_digest

REVISION = "Sfsync_Revision__c"
"""The number that only grows, by which the org itself refuses a stale writer; on every record we write."""

_TYPES: dict[str, frozenset[str]] = {
    "text": frozenset("string email phone url textarea picklist combobox encryptedstring".split()),
    "textarea": frozenset(("textarea", "string")),
    "longtext": frozenset(("textarea",)),
    "integer": frozenset(("int", "double")),
    "decimal": frozenset(("double", "currency", "percent", "int")),
    "hours": frozenset(("double", "currency", "int")),
    "date": frozenset(("date",)),
    "datetime": frozenset(("datetime",)),
    "checkbox": frozenset(("boolean",)),
    "picklist": frozenset(("picklist", "combobox", "string")),
    "lookup": frozenset(("reference",)),
    "user": frozenset(("reference",)),
    "autonumber": frozenset(("string",)),
}
_NUMBERS = frozenset(("integer", "decimal", "hours"))


@dataclass(frozen=True, slots=True)
class ObjectSeen:
    """What was found of an object: when its describe changed, against which mapping, and what it can do."""

    changed: str
    """HTTP date to send as If-Modified-Since."""
    fingerprint: str
    """Of the mapping and API version that the describe was checked against."""
    revision: bool = False
    """It has Sfsync_Revision__c."""
    merges: bool = False
    """It has MasterRecordId."""
    authored: bool = True
    """LastModifiedBy can be asked."""
    formulas: str = ""
    """Digest of the mapped formulas as the org defines them."""

    def as_text(self) -> str:
        """Return the form that a bookmark keeps."""
        flags = "".join(f for f, on in (("r", self.revision), ("m", self.merges), ("a", self.authored)) if on)
        return f"{self.changed}|{self.fingerprint}|{flags}|{self.formulas}"

    @classmethod
    def from_text(cls, text: str) -> ObjectSeen | None:
        """Return what :meth:`as_text` wrote, or None for anything else."""
        parts = text.split("|")
        if len(parts) != 4 or not parts[0]:
            return None
        return cls(parts[0], parts[1], "r" in parts[2], "m" in parts[2], "a" in parts[2], parts[3])


def fingerprint(mapping: ObjectMapping, api_version: str) -> str:
    """Return a digest of everything in ``mapping`` that a describe is checked against."""
    lines = [api_version, mapping.object, mapping.key or "", mapping.whose, repr(mapping.events)]
    lines += [repr((f.name, f.api, f.type, f.owner, f.formula, f.required)) for f in mapping.fields.values()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def capabilities(mapping: ObjectMapping, describe: Mapping[str, Any], changed: str, print_: str) -> ObjectSeen:
    """Return what the object of ``describe`` can do."""
    fields = {str(f.get("name", "")).lower(): f for f in describe.get("fields", ())}
    revision = fields.get(REVISION.lower())
    return ObjectSeen(
        changed,
        print_,
        revision=bool(revision and revision.get("updateable")),
        merges="masterrecordid" in fields,
        authored="lastmodifiedbyid" in fields,
        formulas=formulas_digest(mapping, fields),
    )


def problems(mapping: ObjectMapping, describe: Mapping[str, Any]) -> list[str]:
    """Return every difference between ``mapping`` and the object's describe that would lose or refuse data."""
    fields = {str(f.get("name", "")).lower(): f for f in describe.get("fields", ())}
    found = [f"{mapping.object} {text}" for text in _object_problems(mapping, describe)]
    for line in mapping.fields.values():
        seen = fields.get(line.api.lower())
        texts = ["is missing, or hidden from the integration user"] if seen is None else _field_problems(line, seen)
        found += [f"{mapping.object}.{line.api} {text}" for text in texts]
    if mapping.key is not None:
        seen = fields.get(mapping.key.lower())
        texts = ["is missing, or hidden from the integration user"] if seen is None else _key_problems(seen)
        found += [f"{mapping.object}.{mapping.key} {text}" for text in texts]
    revision = fields.get(REVISION.lower())
    if revision is not None and not revision.get("updateable"):
        found.append(f"{mapping.object}.{REVISION} may not be written by the integration user")
    return found


def _object_problems(mapping: ObjectMapping, describe: Mapping[str, Any]) -> Iterator[str]:
    if not describe.get("queryable", True):
        yield "may not be queried"
    writes = any(line.writable for line in mapping.fields.values())
    if writes and not describe.get("updateable", True):
        yield "may not be updated by the integration user"
    if writes and mapping.key is not None and not describe.get("createable", True):
        yield "may not be created by the integration user"
    children = {str(c.get("relationshipName") or "") for c in describe.get("childRelationships", ())}
    if children:
        for wanted in (mapping.events.history, mapping.events.comments, mapping.events.emails):
            if wanted and wanted not in children:
                yield f"shows no child relationship {wanted}"


def _field_problems(line: MappedField, seen: Mapping[str, Any]) -> Iterator[str]:
    kind, type_ = line.type.kind, str(seen.get("type"))
    if type_ not in _TYPES.get(kind, frozenset()):
        yield f"has type {type_}, the mapping says {kind}"
        return
    if line.writable and kind != "autonumber" and not (seen.get("updateable") or seen.get("createable")):
        yield "may not be written by the integration user"
    if line.writable and line.type.length and kind != "autonumber" and int(seen.get("length") or 0) < line.type.length:
        yield f"holds {seen.get('length')} characters, the mapping says {line.type.length}"
    if kind in _NUMBERS and type_ != "int":
        scale = int(seen.get("scale") or 0)
        if scale != line.type.scale and (line.writable or scale > line.type.scale):
            yield f"has {scale} decimal places, the mapping says {line.type.scale}"
        whole = int(seen.get("precision") or 18) - scale
        if line.writable and whole < line.type.precision - line.type.scale:
            yield f"has {whole} digits before the point, the mapping says {line.type.precision - line.type.scale}"
    if kind == "picklist" and line.writable and seen.get("restrictedPicklist"):
        active = {str(v.get("value")) for v in seen.get("picklistValues", ()) if v.get("active", True)}
        if missing := [v for v in line.type.values if v not in active]:
            yield f"does not offer {', '.join(missing)}"
    targets = [str(t) for t in seen.get("referenceTo", ())]
    wanted = "User" if kind == "user" else line.type.target
    if kind in ("lookup", "user") and targets and wanted not in targets:
        yield f"points to {', '.join(targets)}, the mapping says {wanted}"


def _key_problems(seen: Mapping[str, Any]) -> Iterator[str]:
    wanted = {
        "externalId": "is no external id",
        "unique": "is not unique",
        "caseSensitive": "ignores case",
        "createable": "may not be written by the integration user",
    }
    for flag, text in wanted.items():
        if not seen.get(flag):
            yield text
