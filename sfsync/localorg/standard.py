"""The standard objects of a fresh org, read from our own compact restatement in ``data/``.

It may not know records or users. It keeps one law: what is said about an object is said once, in the data files.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import available_timezones

from sfsync.localorg.schema import (
    LONGEST_FILTERABLE_TEXT,
    UNGROUPABLE_TYPES,
    Field,
    OnDelete,
    PicklistValue,
    Schema,
    SObject,
)

FILES = ("crm.json", "support.json", "platform.json")
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?")
_ADDRESS = (
    ("Street", "textarea", {"length": 255, "plain_textarea": True}),
    ("City", "string", {"length": 40}),
    ("State", "string", {"length": 80}),
    ("PostalCode", "string", {"length": 20}),
    ("Country", "string", {"length": 80}),
    ("Latitude", "double", {"precision": 18, "scale": 15, "groupable": False}),
    ("Longitude", "double", {"precision": 18, "scale": 15, "groupable": False}),
    ("GeocodeAccuracy", "picklist", {"length": 40, "restricted": True}),
)
_ACCURACY = (
    "Address",
    "NearAddress",
    "Block",
    "Street",
    "ExtendedZip",
    "Zip",
    "Neighborhood",
    "City",
    "County",
    "State",
    "Unknown",
)
_ADDRESS_LABELS = {"State": "State/Province", "PostalCode": "Zip/Postal Code", "GeocodeAccuracy": "Geocode Accuracy"}
_MUCH_TEXT = LONGEST_FILTERABLE_TEXT
_ADMINISTRATIVE = frozenset(
    """Organization UserRole Profile PermissionSet PermissionSetAssignment ObjectPermissions FieldPermissions Group
    GroupMember QueueSobject RecordType ContentDocument ContentVersion ContentDocumentLink CustomNotificationType
    CaseStatus AssignmentRule BusinessHours Holiday Attachment CaseComment""".split()
)


@cache
def zones() -> tuple[PicklistValue, ...]:
    """Return the time zones a user can have."""
    return tuple(PicklistValue(z) for z in sorted(available_timezones()) if "/" in z and not z.startswith("Etc/"))


def _system(name: str, kind: str, label: str, **more: Any) -> Field:
    given: dict[str, Any] = {
        "createable": False,
        "updateable": False,
        "nillable": False,
        "defaulted_on_create": True,
        "aggregatable": True,
        "groupable": kind != "datetime",
    } | more
    return Field(name, kind, label, **given)


def system_fields(kind: str, label: str = "") -> list[Field]:
    """Return the system fields that the data files call ``@id``, ``@deleted``, ``@created`` and so on."""
    user = {"length": 18, "reference_to": ("User",)}
    match kind:
        case "@id":
            return [_system("Id", "id", label or "Record ID", length=18, id_lookup=True)]
        case "@deleted":
            return [_system("IsDeleted", "boolean", "Deleted", default=False, aggregatable=False)]
        case "@created":
            return [
                _system("CreatedDate", "datetime", "Created Date"),
                _system("CreatedById", "reference", "Created By ID", relationship_name="CreatedBy", **user),
            ]
        case "@modified":
            return [
                _system("LastModifiedDate", "datetime", "Last Modified Date"),
                _system(
                    "LastModifiedById", "reference", "Last Modified By ID", relationship_name="LastModifiedBy", **user
                ),
            ]
        case "@stamp":
            return [_system("SystemModstamp", "datetime", "System Modstamp")]
        case "@viewed":
            return [
                _system("LastViewedDate", "datetime", "Last Viewed Date", nillable=True, defaulted_on_create=False),
                _system(
                    "LastReferencedDate", "datetime", "Last Referenced Date", nillable=True, defaulted_on_create=False
                ),
            ]
        case _:
            raise ValueError(f"no system fields are called {kind}")


def _address(prefix: str) -> list[Field]:
    bare = prefix in ("", "-")
    front = "" if bare else prefix
    name = f"{front}Address"
    made = []
    for part, kind, attributes in _ADDRESS:
        label = _ADDRESS_LABELS.get(part, part)
        values = tuple(PicklistValue(v) for v in _ACCURACY) if kind == "picklist" else ()
        made.append(
            Field(
                f"{front}{part}",
                kind,
                f"{front} {label}".strip(),
                compound_name=name,
                permissionable=prefix != "-",
                extra_type_info="plaintextarea" if kind == "textarea" else None,
                picklist=values,
                **attributes,  # type: ignore[arg-type]
            )
        )
    made.append(
        Field(
            name,
            "address",
            f"{front} Address".strip(),
            createable=False,
            updateable=False,
            sortable=False,
            groupable=False,
            aggregatable=False,
            permissionable=prefix != "-",
        )
    )
    return made


def _value(text: str) -> PicklistValue:
    default = text.endswith("*")
    value, _, label = text.removesuffix("*").partition("|")
    return PicklistValue(value, label, default=default)


def _size(kind: str, inside: str | None) -> dict[str, Any]:
    if inside is None:
        return {}
    match kind:
        case "reference":
            return {"length": 18, "reference_to": tuple(inside.split(","))}
        case "int":
            return {"digits": int(inside)}
        case "double" | "currency" | "percent":
            precision, scale = inside.split(",")
            return {"precision": int(precision), "scale": int(scale)}
        case _:
            return {"length": int(inside)}


def _field(name: str, written: str, label: str, flags: str = "", extras: dict[str, Any] | None = None) -> Field:
    parsed = _TYPE.fullmatch(written)
    if parsed is None:
        raise ValueError(f"{name}: {written} is not a type")
    kind, inside = parsed[1], parsed[2]
    more, words = extras or {}, set(flags.split())
    values = tuple(_value(v) for v in more.get("values", ()))
    if name == "TimeZoneSidKey":
        chosen = {v.value for v in values if v.default}
        values = tuple(replace(v, default=v.value in chosen) for v in zones())
    chosen_default = next((v.value for v in values if v.default), None)
    read_only, long_text = "ro" in words or "auto" in words, kind == "textarea"
    size = _size(kind, inside)
    much = long_text and size.get("length", 0) > _MUCH_TEXT
    attributes: dict[str, Any] = size | {
        "createable": not read_only,
        "updateable": not read_only and "co" not in words,
        "nillable": not words & {"req", "must", "auto"} and kind != "boolean",
        "defaulted_on_create": bool(words & {"def", "auto"}) or kind == "boolean",
        "permissionable": "per" in words or not (read_only or words & {"nop", "req"}),
        "filterable": not words & {"nos", "nof"} and not much and kind != "base64",
        "sortable": "nos" not in words and (not much or "nof" in words) and kind not in ("base64", "multipicklist"),
        "groupable": "nog" not in words and (kind not in UNGROUPABLE_TYPES or (long_text and not much)),
        "aggregatable": kind not in ("boolean", "base64") and (not much or "nof" in words),
        "byte_length": more.get("bytes"),
        "name_field": "name" in words,
        "id_lookup": "lookup" in words,
        "unique": "unique" in words,
        "restricted": "restricted" in words,
        "history_tracked": "hist" in words,
        "search_prefilterable": "pre" in words,
        "plain_textarea": "plain" in words,
        "extra_type_info": more.get("extra") or ("plaintextarea" if "plain" in words else None),
        "picklist": values,
        "default": False if kind == "boolean" and "default" not in more else more.get("default", chosen_default),
        "auto_number": more.get("auto"),
        "formula": more.get("formula"),
        "compound_name": more.get("compound"),
        "relationship_name": more.get("rel"),
        "child_relationship_name": more.get("kids"),
        "on_delete": OnDelete(more.get("delete", "SetNull" if "kids" in more or kind == "reference" else "Nothing")),
    }
    polymorphic = len(attributes.get("reference_to", ())) > 1 or attributes.get("reference_to") == ("*",)
    return Field(name, kind, label, name_pointing=polymorphic, polymorphic=polymorphic, **attributes)


def _object(raw: dict[str, Any]) -> SObject:
    fields: list[Field] = []
    for written in raw["fields"]:
        head = written[0]
        if head == "@address":
            fields += _address(written[1])
        elif head.startswith("@"):
            fields += system_fields(*written)
        else:
            fields.append(_field(*written))
    writable = not raw.get("readonly", False)
    in_bin = any(f.name == "IsDeleted" for f in fields)
    return SObject(
        name=raw["name"],
        label=raw["label"],
        label_plural=raw["plural"],
        key_prefix=raw["prefix"],
        fields={f.name: f for f in fields},
        createable=writable and raw.get("create", True),
        updateable=writable,
        deletable=writable and raw.get("delete", True),
        undeletable=in_bin,
        replicateable=True,
        mergeable=raw.get("merge", False),
        history_enabled=raw.get("history", False),
        feed_enabled=raw.get("feed", False),
        layoutable=raw["name"] not in _ADMINISTRATIVE,
        mru_enabled=raw["name"] not in _ADMINISTRATIVE,
        searchable=raw["name"] not in _ADMINISTRATIVE,
        triggerable=raw["name"] not in _ADMINISTRATIVE,
    )


def history_object(parent: SObject) -> SObject:
    """Return the object that keeps the field history of ``parent``: ``CaseHistory``, ``Pack__History``."""
    if parent.custom:
        name, key, rel, kids = parent.name.removesuffix("__c") + "__History", "ParentId", "Parent", "Histories"
        label = f"History: {parent.label}"
    else:
        name, key, rel, kids = f"{parent.name}History", f"{parent.name}Id", parent.name, "Histories"
        label = f"{parent.label} History"
    text = {"createable": False, "updateable": False, "length": 255}
    fields = [
        *system_fields("@id", f"{label} ID"),
        *system_fields("@deleted"),
        Field(
            key,
            "reference",
            f"{parent.label} ID",
            length=18,
            createable=False,
            updateable=False,
            nillable=False,
            reference_to=(parent.name,),
            relationship_name=rel,
            child_relationship_name=kids,
            on_delete=OnDelete.CASCADE,
        ),
        *reversed(system_fields("@created")),
        Field("Field", "picklist", "Changed Field", nillable=False, **text),  # type: ignore[arg-type]
        Field("DataType", "picklist", "Datatype", nillable=True, **(text | {"length": 40})),  # type: ignore[arg-type]
        Field("OldValue", "string", "Old Value", filterable=False, sortable=False, groupable=False, **text),  # type: ignore[arg-type]
        Field("NewValue", "string", "New Value", filterable=False, sortable=False, groupable=False, **text),  # type: ignore[arg-type]
    ]
    prefix = {"Case": "000", "Account": "017", "Contact": "017"}.get(parent.name, "017")
    return SObject(
        name,
        label,
        label,
        prefix,
        fields={f.name: f for f in fields},
        createable=False,
        updateable=False,
        deletable=False,
        undeletable=False,
        layoutable=False,
        searchable=False,
        triggerable=False,
        mru_enabled=False,
        associate_parent=parent.name,
        associate_type="History",
        custom=parent.custom,
    )


def custom_object(
    name: str, label: str, label_plural: str, key_prefix: str | None, name_field: Field | None = None
) -> SObject:
    """Return a custom object that has only its system fields, in the order describe gives them."""
    called = name_field or Field(
        "Name",
        "string",
        f"{label} Name",
        length=80,
        name_field=True,
        id_lookup=True,
        defaulted_on_create=True,
    )
    fields = [
        *system_fields("@id"),
        Field(
            "OwnerId",
            "reference",
            "Owner ID",
            length=18,
            nillable=False,
            defaulted_on_create=True,
            reference_to=("Group", "User"),
            relationship_name="Owner",
            name_pointing=True,
            polymorphic=True,
        ),
        *system_fields("@deleted"),
        replace(called, name="Name", name_field=True, id_lookup=True),
        *system_fields("@created"),
        *system_fields("@modified"),
        *system_fields("@stamp"),
        *system_fields("@viewed"),
    ]
    return SObject(name, label, label_plural, key_prefix, custom=True, fields={f.name: f for f in fields})


def open_references(schema: Schema) -> None:
    """Let every lookup that may point anywhere (``ContentDocumentLink.LinkedEntityId``) name today's objects."""
    anywhere = [*(o.name for o in schema if o.layoutable and o.key_prefix), "User", "Organization"]
    names = tuple(dict.fromkeys(anywhere))
    for each in list(schema):
        for one in list(each.fields.values()):
            if one.name in ("LinkedEntityId", "FirstPublishLocationId"):
                schema.put_field(each.name, replace(one, reference_to=names))


def standard_schema() -> Schema:
    """Return the objects of a fresh org, the caller's own to change."""
    return _read_once().copy()


@cache
def _read_once() -> Schema:
    schema = Schema()
    for file in FILES:
        raw = json.loads(resources.files("sfsync.localorg").joinpath("data", file).read_text("utf-8"))
        for one in raw["objects"]:
            schema.put(_object(one))
    for each in list(schema):
        if each.history_enabled:
            history = history_object(each)
            schema.put(history)
            each.history_object = history.name
    open_references(schema)
    return schema
