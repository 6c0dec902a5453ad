"""Permission sets: who may see and change which field, derived from each field's owner.

It may not know pages beyond the name of the app. It keeps one law: nobody but the service may change a field whose
owner is the service, and nobody may delete.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfsync.mapping import MappedField, Mappings, ObjectMapping
from sfsync.metadata.fields import REVISION, deployed, written
from sfsync.metadata.pages import APP, TABS
from sfsync.metadata.rules import APPROVE, SERVICE
from sfsync.metadata.xmltext import Element, tree

STANDARD_PERMISSIONABLE: dict[str, dict[str, bool]] = {
    "Case": {"ClosedDate": False, "Description": True, "Origin": True, "Subject": True},
}
"""Standard fields that field permissions cover, and whether they can be edited; the others everybody sees."""

STANDS_ON: dict[str, tuple[str, ...]] = {"Case": ("Account", "Contact")}
"""Objects that must be readable before another may be: an org refuses the permission set otherwise."""

CLIENT_FIELDS: dict[str, frozenset[str] | None] = {
    "account": None,
    "pack": None,
    "summary": None,
    "case": frozenset({"request", "priority"}),
    "estimate": frozenset({"status", "reject_reason", "client_comment"}),
}
"""Fields of people that the client's approvers fill in, by mapping; None is all of them."""

CONSULTANT_FIELDS: dict[str, frozenset[str]] = {
    "case": frozenset({"priority", "category", "scope", "acknowledged_at", "paused", "pause_reason", "answer"}),
    "estimate": frozenset(
        {
            "case",
            "version",
            "category",
            "scope",
            "estimated_minutes",
            "what_we_will_do",
            "sent_at",
            "valid_until_on",
            "status",
        }
    ),
    "time_entry": frozenset(
        {"case", "consultant", "worked_on", "worked_minutes", "category", "description", "billable", "correction_of"}
        | {"internal_note"}
    ),
}
"""Fields of people that consultants fill in, by mapping."""

PEOPLE_CREATE = frozenset({"estimate", "time_entry"})
"""Mappings whose records are made by people in the org; all others come from the service."""


@dataclass(frozen=True, slots=True)
class Role:
    """A permission set: what its people are, and which custom permission they carry."""

    name: str
    label: str
    description: str
    permission: str | None = None
    api_user: bool = False


ROLES = (
    Role("sfsync_Client_Approver", "Maintenance: Client Approver", "Sees it all and decides on estimates.", APPROVE),
    Role("sfsync_Client_Viewer", "Maintenance: Client Viewer", "Sees packs, estimates, time and weekly summaries."),
    Role("sfsync_Consultant", "Maintenance: Consultant", "Works on cases, writes estimates and logs time."),
    Role(SERVICE, "Maintenance: Service", "The integration user of sfsync, and nobody else.", SERVICE, True),
)


def roles(mappings: Mappings) -> tuple[Role, ...]:
    """Return the roles of an org: no person of a client works in a hub."""
    hub = any(mapping.client for mapping in mappings)
    return tuple(role for role in ROLES if not (hub and role.name.startswith("sfsync_Client_")))


def custom_permissions() -> dict[str, Element]:
    """Return the custom permissions by name."""
    return {
        APPROVE: tree(
            "CustomPermission",
            description="May approve maintenance estimates, which reserves hours of a pack.",
            isLicensed=False,
            label="Approve maintenance estimates",
        ),
        SERVICE: tree(
            "CustomPermission",
            description="May change the fields that sfsync computes. For the integration user only.",
            isLicensed=False,
            label="Maintenance service",
        ),
    }


def permission_set(role: Role, mappings: Mappings) -> Element:
    """Return the permission set of ``role``, everything in it in alphabetical order.

    A required field, a name and a formula's edit right are left out: an org refuses the whole set for one of them.
    """
    objects: dict[str, tuple[bool, bool, bool]] = {}
    fields: dict[str, bool] = {}
    for mapping in mappings:
        objects[mapping.object] = _object_rights(role, mapping)
        for needed in STANDS_ON.get(mapping.object, ()):
            objects.setdefault(needed, (False, False, False))
        fields |= {f"{mapping.object}.{api}": editable for api, editable in _field_rights(role, mapping).items()}
    people = not role.api_user
    return tree(
        "PermissionSet",
        apps=[tree("applicationVisibilities", application=APP, visible=True)] if people else [],
        permissions=[tree("customPermissions", enabled=True, name=role.permission)] if role.permission else [],
        description=role.description,
        fields=[
            tree("fieldPermissions", editable=editable, field=name, readable=True)
            for name, editable in sorted(fields.items())
        ],
        hasActivationRequired=False,
        label=role.label,
        objects=[
            tree(
                "objectPermissions",
                allowCreate=create,
                allowDelete=False,
                allowEdit=edit,
                allowRead=True,
                modifyAllRecords=False,
                object=name,
                viewAllRecords=view_all,
            )
            for name, (create, edit, view_all) in sorted(objects.items())
        ],
        tabs=[tree("tabSettings", tab=m.object, visibility="Visible") for m in _tabbed(mappings)] if people else [],
        users=[tree("userPermissions", enabled=True, name="ApiEnabled")] if role.api_user else [],
    )


def _tabbed(mappings: Mappings) -> list[ObjectMapping]:
    return sorted((m for m in mappings if m.name in TABS and m.custom), key=lambda m: m.object)


def _object_rights(role: Role, mapping: ObjectMapping) -> tuple[bool, bool, bool]:
    """Return (create, edit, view all) on the object; everybody with the set may read it."""
    edits = any(_field_rights(role, mapping).values())
    if role.api_user:
        return mapping.key is not None, written(mapping), True
    creates = role.name == "sfsync_Consultant" and mapping.name in PEOPLE_CREATE and not mapping.copy
    return creates, edits or creates, mapping.custom


def _field_rights(role: Role, mapping: ObjectMapping) -> dict[str, bool]:
    """Return the API names of the fields that the set names, and whether its people may change them."""
    rights = {f.api: _may_edit(role, mapping, f) for f in deployed(mapping) if not f.required}
    if written(mapping):
        rights[REVISION] = role.api_user
    if mapping.key:
        rights[mapping.key] = role.api_user
    for api, can_be_edited in STANDARD_PERMISSIONABLE.get(mapping.object, {}).items():
        mapped = next((f for f in mapping.fields.values() if f.api == api), None)
        if mapped is not None:
            rights[api] = can_be_edited and role.api_user and mapped.writable
    return rights


def _may_edit(role: Role, mapping: ObjectMapping, field: MappedField) -> bool:
    if field.formula is not None or field.type.kind == "autonumber":
        return False
    if role.api_user:
        return field.writable or field.initial
    if field.owner == "service":
        return False
    if role.name == "sfsync_Consultant":
        return field.name in CONSULTANT_FIELDS.get(mapping.name, ())
    if role.name == "sfsync_Client_Approver" and mapping.name in CLIENT_FIELDS:
        theirs = CLIENT_FIELDS[mapping.name]
        return theirs is None or field.name in theirs
    return False
