"""Carrying out a schema change: tables, columns, rules, record types and permission sets.

It may not know metadata files or HTTP. It keeps one law: it only carries out; the org keeps it all or nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfsync.localorg import formula, ids
from sfsync.localorg.errors import ApiError
from sfsync.localorg.saving import SEED, auto_number, raise_first
from sfsync.localorg.schema import Field, PermissionSet, SchemaChange, SObject
from sfsync.localorg.standard import custom_object, history_object, open_references
from sfsync.localorg.storage import quoted

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg


# An object shows this field from its first record type on.
_RECORD_TYPE_ID = Field(
    "RecordTypeId",
    "reference",
    "Record Type ID",
    length=18,
    reference_to=("RecordType",),
    relationship_name="RecordType",
)


class SchemaChanges:
    """Changes the schema of one org."""

    def __init__(self, org: LocalOrg) -> None:
        self.org = org
        self._next_object = 0

    def apply(self, change: SchemaChange) -> None:
        """Apply a change; the caller keeps it all or nothing."""
        for new in change.objects:
            self._put_object(new)
        for object_name, new_field in change.fields:
            self._put_field(object_name, new_field)
        for object_name, record_type in change.record_types:
            owner = self._known(object_name)
            owner.record_types = (
                *(r for r in owner.record_types if r.developer_name != record_type.developer_name),
                record_type,
            )
            if owner.field("RecordTypeId") is None:
                self._put_field(owner.name, _RECORD_TYPE_ID)
            self._record_type_row(
                owner, record_type.id, record_type.label, record_type.developer_name, record_type.active
            )
        for object_name, rule in change.rules:
            owner = self._known(object_name)
            owner.rules = (*(r for r in owner.rules if r.name != rule.name), rule)
        for object_name, rule_name in change.removed_rules:
            owner = self._known(object_name)
            owner.rules = tuple(r for r in owner.rules if r.name != rule_name)
        for object_name, field_name in change.removed_fields:
            owner = self._known(object_name)
            gone = owner.field(field_name)
            if gone is not None:
                self.org.storage.drop_column(owner.name, gone)
                self.org.schema.drop_field(owner.name, gone.name)
        for name in change.removed_objects:
            owner = self._known(name)
            self.org.storage.drop(owner.name)
            self.org.schema.drop(owner.name)
            if owner.history_object:
                self.org.storage.drop(owner.history_object)
                self.org.schema.drop(owner.history_object)
        self.org.custom_permissions |= set(change.custom_permissions)
        for each in change.permission_sets:
            self._put_permission_set(each)
        for name in change.removed_permission_sets:
            self._remove_permission_set(name)
        open_references(self.org.schema)
        self._check_formulas(change)

    def _known(self, name: str) -> SObject:
        found = self.org.schema.get(name)
        if found is None:
            raise ApiError(400, "INVALID_TYPE", f"no CustomObject named {name} found")
        return found

    def _put_object(self, new: SObject) -> None:
        old = self.org.schema.get(new.name)
        if old is not None:
            old.label, old.label_plural, old.description = new.label, new.label_plural, new.description
            old.rules = (*(r for r in old.rules if r.name not in {n.name for n in new.rules}), *new.rules)
            old.sharing_model, old.searchable, old.feed_enabled = new.sharing_model, new.searchable, new.feed_enabled
            for each in new.fields.values():
                self._put_field(old.name, each)
            self._history(old, new.history_enabled or old.history_enabled)
            return
        prefix = new.key_prefix or self._free_prefix()
        made = custom_object(new.name, new.label, new.label_plural, prefix, new.fields.get("Name"))
        controlled = any(f.master_detail for f in new.fields.values()) or new.sharing_model == "ControlledByParent"
        if controlled:
            made.drop("OwnerId")
        for each in new.fields.values():
            if each.name not in made.fields and not (each.name == "OwnerId" and controlled):
                made.put(each)
        made = replace(new, key_prefix=prefix, fields=made.fields, custom=True)
        self.org.schema.put(made)
        self.org.storage.create(made)
        self._history(made, new.history_enabled)

    def _history(self, owner: SObject, enabled: bool) -> None:
        owner.history_enabled = enabled
        if enabled and owner.history_object is None:
            history = history_object(owner)
            self.org.schema.put(history)
            self.org.storage.create(history)
            owner.history_object = history.name

    def _free_prefix(self) -> str:
        while True:
            prefix = "a" + ids.base62(self._next_object, 2)
            self._next_object += 1
            if self.org.schema.by_prefix(prefix) is None:
                return prefix

    def _put_field(self, object_name: str, new: Field) -> None:
        owner = self._known(object_name)
        old = owner.field(new.name)
        self.org.storage.put_column(owner.name, new, old)
        self.org.schema.put_field(owner.name, new)
        if old is None and new.stored and new.default is not None:
            value = int(new.default) if new.type == "boolean" else new.default
            self.org.storage.db.execute(f"UPDATE {quoted(owner.name)} SET {quoted(new.name)} = ?", (value,))
        if old is None and new.auto_number:
            rows = self.org.storage.rows(f'SELECT "Id" FROM {quoted(owner.name)} ORDER BY "Id"')
            first = self.org.take_numbers(f"{owner.name}.{new.name}", len(rows))
            numbered = [(auto_number(new.auto_number, n), i) for n, (i,) in enumerate(rows, first)]
            self.org.storage.update(owner.name, [new.name], numbered)

    def _check_formulas(self, change: SchemaChange) -> None:
        named = {o.name for o in change.objects} | {n for n, _ in change.fields} | {n for n, _ in change.rules}
        for name in sorted(named):
            owner = self.org.schema.get(name)
            if owner is None:
                continue
            try:
                for rule in owner.rules:
                    formula.check(rule.formula, self.org.schema, owner, rule=True)
                for each in owner.fields.values():
                    if each.formula is not None:
                        formula.check(each.formula, self.org.schema, owner)
                        formula.sql_expression(self.org.schema, owner, each, "t")
            except formula.FormulaError as problem:
                raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", f"{owner.name}: {problem}") from problem

    def _record_type_row(
        self, owner: SObject, record_type_id: str, label: str, developer_name: str, active: bool
    ) -> None:
        row = {"Name": label, "DeveloperName": developer_name, "SobjectType": owner.name, "IsActive": active}
        if self.org.storage.image("RecordType", record_type_id) is None:
            raise_first(self.org.records.insert(self.org.admin, "RecordType", [{**row, "Id": record_type_id}], SEED))
        else:
            values = [(label, developer_name, int(active), record_type_id)]
            self.org.storage.update("RecordType", ["Name", "DeveloperName", "IsActive"], values)

    def _put_permission_set(self, new: PermissionSet) -> None:
        set_id = self.org.permission_set_id(new.name)
        row = {"Name": new.name, "Label": new.label, "Description": new.description}
        if set_id is None:
            set_id = self.org.seed_rows("PermissionSet", [row])[0]
        else:
            self.org.storage.update("PermissionSet", ["Label", "Description"], [(new.label, new.description, set_id)])
        for object_name in ("ObjectPermissions", "FieldPermissions"):
            rows = self.org.storage.rows(f'SELECT "Id" FROM {quoted(object_name)} WHERE "ParentId" = ?', (set_id,))
            self.org.storage.remove(object_name, [r[0] for r in rows])
        self.org.seed_rows(
            "ObjectPermissions",
            [
                {
                    "ParentId": set_id,
                    "SobjectType": name,
                    "PermissionsRead": p.read,
                    "PermissionsCreate": p.create,
                    "PermissionsEdit": p.edit,
                    "PermissionsDelete": p.delete,
                    "PermissionsViewAllRecords": p.view_all,
                    "PermissionsModifyAllRecords": p.modify_all,
                }
                for name, p in new.objects.items()
            ],
        )
        self.org.seed_rows(
            "FieldPermissions",
            [
                {
                    "ParentId": set_id,
                    "SobjectType": name.partition(".")[0],
                    "Field": name,
                    "PermissionsRead": p.readable,
                    "PermissionsEdit": p.editable,
                }
                for name, p in new.fields.items()
            ],
        )
        self.org.custom_grants[set_id] = new.custom_permissions

    def _remove_permission_set(self, name: str) -> None:
        set_id = self.org.permission_set_id(name)
        if set_id is not None:
            self.org.delete("PermissionSet", set_id)
            self.org.custom_grants.pop(set_id, None)
