"""Taking records away and bringing them back: delete with its cascade, recycle bin, undelete, merge.

It may not know HTTP. It keeps one law: what a delete took along comes back with it, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError, malformed_id
from sfsync.localorg.records import Options, SaveResult, rolled_back
from sfsync.localorg.schema import OnDelete, SObject
from sfsync.localorg.storage import quoted

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

MOST_LOSERS = 2


@dataclass
class Merged(SaveResult):
    """What a merge did; ``related`` are the ids of the children that moved."""

    related: list[str] = field(default_factory=list)


class _Refused(Exception):
    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error


class Removal:
    """Deletes, undeletes and merges of one org."""

    def __init__(self, org: LocalOrg) -> None:
        self.org = org
        org.storage.db.execute(
            'CREATE TABLE IF NOT EXISTS "_bin" (root TEXT, object TEXT, id TEXT, field TEXT, parent TEXT)'
        )
        org.storage.db.execute('CREATE INDEX IF NOT EXISTS "_bin_root" ON "_bin" (root)')

    def delete(
        self, actor: Actor, wanted: Sequence[tuple[str, str]], *, all_or_none: bool = False, hard: bool = False
    ) -> list[SaveResult]:
        """Delete records given as (object, id); ``hard`` skips the recycle bin and takes rows out of it too."""
        results = [SaveResult(id=i) for _, i in wanted]
        try:
            with self.org.storage.unit():
                for (object_name, record_id), result in zip(wanted, results, strict=True):
                    try:
                        with self.org.storage.unit():
                            self._delete_one(actor, object_name, record_id, hard)
                    except _Refused as refused:
                        result.errors.append(refused.error)
                if all_or_none and any(r.errors for r in results):
                    raise _Refused(rolled_back())
        except _Refused:
            for each in results:
                if each.success:
                    each.errors.append(rolled_back())
        if any(object_name in _ACCESS for object_name, _ in wanted):
            self.org.access_changed()
        return results

    def _delete_one(self, actor: Actor, object_name: str, record_id: str, hard: bool) -> None:
        sobject = actor.schema.get(object_name)
        if sobject is None:
            raise _Refused(ApiError(404, "NOT_FOUND", "The requested resource does not exist"))
        if not sobject.deletable:
            raise _Refused(
                ApiError(
                    400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {sobject.name} does not support delete"
                )
            )
        if not actor.may(sobject.name).delete:
            raise _Refused(
                ApiError(
                    403, "INSUFFICIENT_ACCESS_OR_READONLY", f"insufficient access rights on object id: {record_id}"
                )
            )
        if sobject.key_prefix and record_id[:3] != sobject.key_prefix:
            raise _Refused(malformed_id(record_id))
        image = self.org.storage.image(sobject.name, record_id)
        if image is None:
            raise _Refused(ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []))
        if image["IsDeleted"] and not hard:
            raise _Refused(ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", []))
        whole = self.org.schema[sobject.name]
        self._remove(actor, whole, [record_id], record_id, hard)

    def _remove(self, actor: Actor, sobject: SObject, wanted: list[str], root: str, hard: bool) -> None:
        storage, now = self.org.storage, self.org.now_seconds()
        for record_id in wanted:
            if storage.locked(record_id):
                raise _Refused(storage.lock_error(record_id))
        marks = ",".join("?" * len(wanted))
        for child in self.org.schema.children(sobject.name):
            below = self.org.schema[child.child]
            if not below.fields[child.field].stored or child.on_delete is OnDelete.NOTHING:
                continue
            found = storage.rows(
                f'SELECT "Id", {quoted(child.field)} FROM {quoted(below.name)} '
                f'WHERE {quoted(child.field)} IN ({marks}) AND "IsDeleted" = 0',
                wanted,
            )
            if not found:
                continue
            if child.on_delete is OnDelete.RESTRICT:
                raise _Refused(self._restricted(sobject, below, wanted[0], [i for i, _ in found]))
            if child.on_delete is OnDelete.CASCADE:
                self._remove(actor, below, [i for i, _ in found], root, hard)
                continue
            self._sever(below, child.field, found, root, now, hard)
        if hard or not sobject.has_bin:
            storage.remove(sobject.name, wanted)
            storage.forget_deletion(sobject.name, wanted)
            storage.log_deletion(sobject.name, wanted, now, hard=True)
            return
        names = [
            n for n in ("IsDeleted", "LastModifiedDate", "LastModifiedById", "SystemModstamp") if n in sobject.fields
        ]
        values = {"IsDeleted": 1, "LastModifiedDate": now, "LastModifiedById": actor.user_id, "SystemModstamp": now}
        storage.update(sobject.name, names, [(*(values[n] for n in names), i) for i in wanted])
        storage.log_deletion(sobject.name, wanted, now)
        self._note(root, sobject.name, [(i, None, None) for i in wanted])

    def _sever(
        self, below: SObject, field_name: str, found: list[tuple[Any, ...]], root: str, now: int, hard: bool
    ) -> None:
        names = [field_name, "SystemModstamp"] if "SystemModstamp" in below.fields else [field_name]
        values = [None, now][: len(names)]
        for record_id, _ in found:
            if self.org.storage.locked(record_id):
                raise _Refused(self.org.storage.lock_error(record_id))
        self.org.storage.update(below.name, names, [(*values, i) for i, _ in found])
        if not hard:
            self._note(root, below.name, [(i, field_name, parent) for i, parent in found])

    def _note(self, root: str, object_name: str, rows: list[tuple[str, str | None, str | None]]) -> None:
        self.org.storage.db.executemany(
            'INSERT INTO "_bin" (root, object, id, field, parent) VALUES (?,?,?,?,?)',
            [(root, object_name, i, f, p) for i, f, p in rows],
        )

    def _restricted(self, sobject: SObject, below: SObject, record_id: str, found: list[str]) -> ApiError:
        name_field = sobject.name_field
        name = record_id
        if name_field is not None and name_field.stored:
            image = self.org.storage.image(sobject.name, record_id) or {}
            name = image.get(name_field.name) or record_id
        message = (
            f"Your attempt to delete {name} could not be completed because it is associated with the following "
            f"{below.label_plural.lower()}.: {', '.join(i[:15] for i in found[:5])}\n"
        )
        return ApiError(400, "DELETE_FAILED", message, [])

    def undelete(self, actor: Actor, wanted: Sequence[str]) -> list[SaveResult]:
        """Bring records back from the recycle bin, with what their deletion took along."""
        results = [SaveResult(id=i) for i in wanted]
        storage = self.org.storage
        for record_id, result in zip(wanted, results, strict=True):
            sobject = actor.schema.by_prefix(record_id[:3])
            image = None if sobject is None else storage.image(sobject.name, record_id)
            if sobject is None or image is None:
                result.errors.append(ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []))
                continue
            entries = storage.rows('SELECT object, id, field, parent FROM "_bin" WHERE root = ?', (record_id,))
            if not image["IsDeleted"] or not entries:
                result.errors.append(ApiError(400, "UNDELETE_FAILED", "Entity is not in the recycle bin", []))
                continue
            now = self.org.now_seconds()
            with storage.unit():
                for object_name, one, field_name, parent in entries:
                    below = self.org.schema.get(object_name)
                    if below is None:
                        continue
                    if field_name is None:
                        columns = ["IsDeleted", "SystemModstamp"] if "SystemModstamp" in below.fields else ["IsDeleted"]
                        storage.update(object_name, columns, [(*[0, now][: len(columns)], one)])
                        storage.forget_deletion(object_name, [one])
                    elif below.field(field_name) is not None:
                        row = storage.image(object_name, one)
                        if row is not None and row[field_name] is None:
                            storage.update(object_name, [field_name], [(parent, one)])
                storage.db.execute('DELETE FROM "_bin" WHERE root = ?', (record_id,))
        return results

    def merge(
        self,
        actor: Actor,
        object_name: str,
        master: str,
        losers: Sequence[str],
        values: Mapping[str, Any] | None = None,
    ) -> Merged:
        """Merge up to two records into ``master``: children move to it, the losers point to it and are deleted.

        ``values`` are then set on the master. All of it is done, or nothing.
        """
        result = Merged(id=master)
        try:
            with self.org.storage.unit():
                self._merge(actor, self.org.schema[object_name], master, losers, result)
                if values:
                    (saved,) = self.org.records.update(actor, object_name, [(master, values)], Options(assign=False))
                    if saved.errors:
                        raise _Refused(saved.errors[0])
        except _Refused as refused:
            result.errors.append(refused.error)
            result.related.clear()
        return result

    def _merge(self, actor: Actor, sobject: SObject, master: str, losers: Sequence[str], result: Merged) -> None:
        storage, now = self.org.storage, self.org.now_seconds()
        name = sobject.name
        if not (sobject.mergeable or name == "Case") or not 0 < len(losers) <= MOST_LOSERS or master in losers:
            raise _Refused(ApiError(400, "INVALID_OPERATION", f"cannot merge {len(losers)} records of {name}", []))
        if not (actor.may(name).edit and actor.may(name).delete):
            message = f"insufficient access rights on object id: {master}"
            raise _Refused(ApiError(403, "INSUFFICIENT_ACCESS_OR_READONLY", message))
        for record_id in (master, *losers):
            image = storage.image(name, record_id)
            if image is None or image["IsDeleted"]:
                raise _Refused(ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []))
            if storage.locked(record_id):
                raise _Refused(storage.lock_error(record_id))
        for loser in losers:
            for child in self.org.schema.children(name):
                below = self.org.schema[child.child]
                own = child.field == "MasterRecordId" or below.name == sobject.history_object
                if own or not below.fields[child.field].stored:
                    continue  # a loser keeps its own history
                rows = storage.rows(
                    f'SELECT "Id" FROM {quoted(below.name)} WHERE {quoted(child.field)} = ? AND "IsDeleted" = 0',
                    (loser,),
                )
                names = [child.field, "SystemModstamp"] if "SystemModstamp" in below.fields else [child.field]
                storage.update(below.name, names, [(*[master, now][: len(names)], i) for (i,) in rows])
                result.related.extend(i for (i,) in rows)
            storage.update(name, ["MasterRecordId"], [(master, loser)])
            self._remove(actor, sobject, [loser], loser, hard=False)
        storage.update(
            name, ["LastModifiedDate", "LastModifiedById", "SystemModstamp"], [(now, actor.user_id, now, master)]
        )

    def empty_bin(self, actor: Actor, wanted: Sequence[str]) -> list[SaveResult]:
        """Remove records that are in the recycle bin for good."""
        results = []
        for record_id in wanted:
            sobject = self.org.schema.by_prefix(record_id[:3])
            image = None if sobject is None else self.org.storage.image(sobject.name, record_id)
            if sobject is None or image is None or not image["IsDeleted"]:
                refusal = ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "Entity is not in the recycle bin", [])
                results.append(SaveResult(id=record_id, errors=[refusal]))
                continue
            results += self.delete(actor, [(sobject.name, record_id)], hard=True)
        return results


_ACCESS = frozenset({"PermissionSetAssignment", "ObjectPermissions", "FieldPermissions", "PermissionSet", "User"})
