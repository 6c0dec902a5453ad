"""Who acts and what they may see and change: profiles, permission sets, field permissions.

It may not know HTTP or how records are written. It keeps one law: a field or object that a user is not permitted to
see does not exist for that user, in describe, in queries and in writes alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.localorg.schema import FieldPermission, ObjectPermission, Schema
from sfsync.localorg.storage import Storage

ADMIN_PROFILE = "System Administrator"
EVERYTHING = ObjectPermission(True, True, True, True, True, True)
NOTHING = ObjectPermission()
# Setup objects that people without administration rights may read but not change.
READ_ONLY_SETUP = frozenset(
    """Organization User UserRole Profile PermissionSet PermissionSetAssignment ObjectPermissions FieldPermissions Group
    GroupMember QueueSobject RecordType BusinessHours Holiday CaseStatus AssignmentRule
    CustomNotificationType""".split()
)


@dataclass(slots=True)
class Actor:
    """The user in whose name a request runs; ``schema`` is the schema as this user sees it."""

    user_id: str
    username: str
    name: str
    profile: str
    admin: bool
    zone: ZoneInfo
    schema: Schema
    objects: Mapping[str, ObjectPermission]
    fields: Mapping[tuple[str, str], FieldPermission]
    custom_permissions: frozenset[str]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def may(self, object_name: str) -> ObjectPermission:
        """Return what this user may do with an object."""
        return EVERYTHING if self.admin else self.objects.get(object_name, NOTHING)

    def may_edit(self, object_name: str, field_name: str) -> bool:
        """Return whether this user may change a field that the schema lets be changed."""
        if self.admin:
            return True
        granted = self.fields.get((object_name, field_name))
        return granted is None or granted.editable


def load_actor(
    storage: Storage, schema: Schema, user_id: str, custom_grants: Mapping[str, frozenset[str]]
) -> Actor | None:
    """Return the actor for a user, or None when there is no such user.

    ``custom_grants`` maps a permission set's id to the custom permissions it carries.
    """
    user = storage.image("User", user_id)
    if user is None:
        return None
    profile = storage.rows('SELECT "Name" FROM "Profile" WHERE "Id" = ?', (user["ProfileId"],))
    profile_name = profile[0][0] if profile else ""
    admin = profile_name == ADMIN_PROFILE
    assigned = [
        row[0]
        for row in storage.rows(
            'SELECT "PermissionSetId" FROM "PermissionSetAssignment" WHERE "AssigneeId" = ? AND "IsDeleted" = 0',
            (user_id,),
        )
    ]
    attributes = {f"user.{k.lower()}": v for k, v in user.items()}
    attributes |= {"profile.name": profile_name, "profile.id": user["ProfileId"]}
    objects, fields = ({}, {}) if admin else _granted(storage, schema, assigned)
    granted: set[str] = set()
    for each in custom_grants if admin else assigned:
        granted |= custom_grants.get(each, frozenset())
    visible = schema if admin else schema.restricted(_visible(schema, objects, fields))
    if admin:
        # An administrator sees everything, but holds a custom permission only when a permission set gives it.
        granted = {p for each in assigned for p in custom_grants.get(each, frozenset())}
    return Actor(
        user_id,
        user["Username"],
        user["Name"],
        profile_name,
        admin,
        ZoneInfo(user["TimeZoneSidKey"]),
        visible,
        objects,
        fields,
        frozenset(granted),
        attributes,
    )


def _granted(
    storage: Storage, schema: Schema, assigned: list[str]
) -> tuple[dict[str, ObjectPermission], dict[tuple[str, str], FieldPermission]]:
    objects: dict[str, ObjectPermission] = {}
    for each in schema:
        if not each.custom:
            objects[each.name] = (
                ObjectPermission(read=True, view_all=True) if each.name in READ_ONLY_SETUP else EVERYTHING
            )
    fields: dict[tuple[str, str], FieldPermission] = {
        (o.name, f.name): FieldPermission() for o in schema for f in o.fields.values() if f.custom and f.permissionable
    }
    marks = ",".join("?" * len(assigned))
    for name, read, create, edit, delete, view_all, modify_all in storage.rows(
        'SELECT "SobjectType", "PermissionsRead", "PermissionsCreate", "PermissionsEdit", "PermissionsDelete", '
        '"PermissionsViewAllRecords", "PermissionsModifyAllRecords" FROM "ObjectPermissions" '
        f'WHERE "ParentId" IN ({marks})',
        assigned,
    ):
        known = schema.get(name)
        if known is None:
            continue
        before = objects.get(known.name, NOTHING)
        objects[known.name] = ObjectPermission(
            before.read or bool(read),
            before.create or bool(create),
            before.edit or bool(edit),
            before.delete or bool(delete),
            before.view_all or bool(view_all),
            before.modify_all or bool(modify_all),
        )
        if known.history_object:
            objects[known.history_object] = ObjectPermission(read=bool(read))
    for qualified, read, edit in storage.rows(
        f'SELECT "Field", "PermissionsRead", "PermissionsEdit" FROM "FieldPermissions" WHERE "ParentId" IN ({marks})',
        assigned,
    ):
        object_name, _, field_name = str(qualified).partition(".")
        known = schema.get(object_name)
        found = None if known is None else known.field(field_name)
        if known is None or found is None:
            continue
        key = (known.name, found.name)
        had = fields.get(key, FieldPermission())
        fields[key] = FieldPermission(had.readable or bool(read) or bool(edit), had.editable or bool(edit))
    return objects, fields


def _visible(
    schema: Schema, objects: Mapping[str, ObjectPermission], fields: Mapping[tuple[str, str], FieldPermission]
) -> dict[str, frozenset[str] | None]:
    visible: dict[str, frozenset[str] | None] = {}
    for each in schema:
        if not objects.get(each.name, NOTHING).read:
            continue
        hidden = {n for n in each.fields if (p := fields.get((each.name, n))) is not None and not p.readable}
        visible[each.name] = frozenset(each.fields) - hidden if hidden else None
    return visible
