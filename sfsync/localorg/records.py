"""Writing records: insert, update and upsert of many rows at once, with everything an org checks.

It may not know HTTP. It keeps one law: a row is refused for the reason a real org gives, and a refused row leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sfsync.localorg import behaviours, formula, ids
from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError
from sfsync.localorg.saving import (
    DEFAULT,
    Change,
    Link,
    Options,
    Plan,
    RolledBack,
    Row,
    SaveResult,
    auto_number,
    folded,
    rolled_back,
)
from sfsync.localorg.schema import LONGEST_FILTERABLE_TEXT, Field
from sfsync.localorg.storage import MAX_VARIABLES, chunks, quoted
from sfsync.localorg.values import coercion, csv_text

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg


_HISTORY_KINDS = {
    "picklist": "DynamicEnum",
    "reference": "EntityId",
    "boolean": "Boolean",
    "double": "Double",
    "currency": "Currency",
    "percent": "Percent",
    "int": "Integer",
    "date": "DateOnly",
    "datetime": "DateTime",
    "textarea": "TextArea",
}


class Records:
    """The record layer of one org."""

    def __init__(self, org: LocalOrg) -> None:
        self.org = org
        self._plans: dict[tuple[str, str, bool], Plan] = {}

    def forget_plans(self) -> None:
        """Make every plan anew; called when the schema or permissions change."""
        self._plans.clear()

    def plan(self, actor: Actor, object_name: str, audit: bool = False) -> Plan:
        """Return the plan for writing an object as a user; NOT_FOUND when the user does not see the object."""
        key = (actor.user_id, object_name.lower(), audit)
        found = self._plans.get(key)
        if found is None:
            visible = actor.schema.get(object_name)
            if visible is None:
                raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
            found = self._plans[key] = Plan(self.org, actor, self.org.schema[object_name], audit)
        return found

    # Public operations

    def insert(
        self, actor: Actor, object_name: str, records: Sequence[Mapping[str, Any]], options: Options = DEFAULT
    ) -> list[SaveResult]:
        """Create records; every element of the answer stands at the place of its record."""
        plan = self.plan(actor, object_name, options.audit)
        self._permitted(plan, "create")
        return self._run(
            plan,
            options,
            lambda results: self._insert(plan, list(zip(records, results, strict=True)), options),
            len(records),
        )

    def update(
        self,
        actor: Actor,
        object_name: str,
        records: Sequence[tuple[str, Mapping[str, Any]]],
        options: Options = DEFAULT,
    ) -> list[SaveResult]:
        """Change records given as (id, values); values not given stay as they are."""
        plan = self.plan(actor, object_name, options.audit)
        self._permitted(plan, "edit")
        return self._run(
            plan,
            options,
            lambda results: self._update(
                plan, [(i, r, s) for (i, r), s in zip(records, results, strict=True)], options
            ),
            len(records),
        )

    def upsert(
        self,
        actor: Actor,
        object_name: str,
        external: str,
        records: Sequence[Mapping[str, Any]],
        options: Options = DEFAULT,
    ) -> list[SaveResult]:
        """Create or change records by an external id (or Id), whose value each record carries."""
        plan = self.plan(actor, object_name, options.audit)
        key = self.external_field(actor, object_name, external)
        return self._run(
            plan, options, lambda results: self._upsert(plan, key, records, results, options), len(records)
        )

    def external_field(self, actor: Actor, object_name: str, name: str) -> Field:
        """Return the field that upsert may match on; NOT_FOUND when it is not an external id."""
        visible = actor.schema.get(object_name)
        if visible is None:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        found = visible.field(name)
        if found is None or not (found.external_id or found.id_lookup or found.name == "Id"):
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise ApiError(404, "NOT_FOUND", message)
        return found

    def matches(self, object_name: str, key: Field, values: Iterable[Any]) -> dict[Any, list[str]]:
        """Return the ids of live rows by the value of ``key``; text is folded unless the field minds case."""
        found: dict[Any, list[str]] = {}
        column, table = quoted(key.name), quoted(object_name)
        wanted = list(values)
        # The database itself ignores the case of ASCII letters only; of others it is asked the slow way.
        beyond = [v for v in wanted if isinstance(v, str) and not v.isascii() and folded(key, v) is not v]
        for name, sought in ((column, wanted), (f"soql_fold({column})", [folded(key, v) for v in beyond])):
            for some in chunks(sought, MAX_VARIABLES):
                marks = ",".join("?" * len(some))
                sql = f'SELECT {column}, "Id" FROM {table} WHERE {name} IN ({marks}) AND "IsDeleted" = 0'
                for value, record_id in self.org.storage.db.execute(sql, some):
                    known = found.setdefault(folded(key, value), [])
                    if record_id not in known:
                        known.append(record_id)
        return found

    # The steps

    def _permitted(self, plan: Plan, verb: str) -> None:
        allowed = plan.actor.may(plan.sobject.name)
        able = {"create": plan.sobject.createable, "edit": plan.sobject.updateable}[verb]
        if plan.audit or (getattr(allowed, verb) and able):
            return
        if not able:
            raise ApiError(
                400,
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                f"entity type {plan.sobject.name} does not support {'create' if verb == 'create' else 'update'}",
            )
        raise ApiError(
            403, "INSUFFICIENT_ACCESS_OR_READONLY", f"insufficient access rights on object: {plan.sobject.name}"
        )

    def _run(
        self, plan: Plan, options: Options, work: Callable[[list[SaveResult]], None], count: int
    ) -> list[SaveResult]:
        results = [SaveResult() for _ in range(count)]
        try:
            with self.org.storage.unit():
                work(results)
                if options.all_or_none and any(r.errors for r in results):
                    raise RolledBack
        except RolledBack:
            for each in results:
                if each.success:
                    each.errors.append(rolled_back())
                    if each.created:
                        each.id = None
                    each.created = False
        return results

    def _insert(self, plan: Plan, given: list[tuple[Mapping[str, Any], SaveResult]], options: Options) -> None:
        now, actor = self.org.now_seconds(), plan.actor
        links: list[Link] = []
        pending: list[tuple[Row, Link]] = []
        changes: list[Change] = []
        user_id = actor.user_id
        fresh = {
            name: value
            for name, value in (
                ("CreatedDate", now),
                ("CreatedById", user_id),
                ("LastModifiedDate", now),
                ("LastModifiedById", user_id),
                ("SystemModstamp", now),
                ("OwnerId", user_id),
            )
            if name in plan.sobject.fields
        }
        base = plan.template | fresh
        for record, result in given:
            try:
                sent = plan.prepare(record, True, links)
            except ApiError as error:
                result.errors.append(error)
                links.clear()
                continue
            row = base.copy()
            row.update(sent)
            for name in fresh.keys() & sent.keys():
                if row[name] is None:
                    row[name] = fresh[name]  # a null for what the org fills in by itself means the org's value
            if links:
                pending += [(row, link) for link in links]
                links.clear()
            changes.append(Change(row, None, result))
            if options.audit:
                for stamp in ("LastModifiedDate", "SystemModstamp"):
                    if stamp in fresh and stamp not in sent and sent.get("CreatedDate") is not None:
                        row[stamp] = row["CreatedDate"]
        changes = self._linked(plan, pending, changes)
        for change in changes:
            for name, evaluate, coerce in plan.default_formulas:
                if change.new.get(name) is None:
                    change.new[name] = coerce(evaluate(self.situation(plan, change, now)))
        behaviours.before_insert(self.org, plan.sobject, changes, options, actor)
        changes = self._checked(plan, changes, now)
        supply = self.org.ids.many(plan.sobject.key_prefix or "000", len(changes))
        called = plan.sobject.fields.get("Name")
        named_by_id = plan.sobject.custom and called is not None and not called.auto_number
        for change in changes:
            chosen = change.new.get("Id")
            change.new["Id"] = change.result.id = chosen or next(supply)
            change.result.created = True
            if named_by_id and change.new.get("Name") is None:
                change.new["Name"] = change.new["Id"][: ids.SHORT]
        for each in plan.auto_numbers:
            self._number(plan, each, changes)
        # Columns that no row of this call fills are left to be null: most rows fill a fraction of a wide table.
        filled: set[str] = set().union(*(change.new.keys() for change in changes))
        columns = [c for c in plan.columns if c in filled]
        rows = [tuple(map(change.new.get, columns)) for change in changes]
        if rows:
            self.org.storage.insert(plan.sobject.name, columns, rows, columns.index("Id"))
        behaviours.after_insert(self.org, plan.sobject, changes, actor)
        if plan.tracked and not options.audit:
            self._write_history(plan, [(c, "created", None, None) for c in changes], now)

    def _update(self, plan: Plan, given: list[tuple[str, Mapping[str, Any], SaveResult]], options: Options) -> None:
        now, actor, storage = self.org.now_seconds(), plan.actor, self.org.storage
        existing = storage.by_ids(plan.sobject.name, [i for i, _, _ in given], plan.columns)
        links: list[Link] = []
        pending: list[tuple[Row, Link]] = []
        changes: list[Change] = []
        seen: set[str] = set()
        for record_id, record, result in given:
            result.id = record_id
            try:
                old = self._writable(plan, record_id, existing, seen)
                sent = plan.prepare(record, False, links)
            except ApiError as error:
                result.errors.append(error)
                links.clear()
                continue
            row = {**old, **sent}
            if links:
                pending += [(row, link) for link in links]
                links.clear()
            if not options.audit:
                row["LastModifiedDate"], row["LastModifiedById"], row["SystemModstamp"] = now, actor.user_id, now
            elif "SystemModstamp" not in sent:
                row["SystemModstamp"] = now
            changes.append(Change(row, old, result))
        changes = self._linked(plan, pending, changes)
        behaviours.before_update(self.org, plan.sobject, changes, options, actor)
        changes = self._checked(plan, changes, now)
        self._write_changes(plan, changes)
        behaviours.after_update(self.org, plan.sobject, changes, actor)
        if plan.tracked and not options.audit:
            self._track(plan, changes, now)

    def _writable(self, plan: Plan, record_id: str, existing: Mapping[str, tuple[Any, ...]], seen: set[str]) -> Row:
        values = existing.get(record_id)
        if values is None:
            raise ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        old = dict(zip(plan.columns, values, strict=True))
        if old["IsDeleted"]:
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        locked = self.org.storage.locked(record_id)
        if locked or (
            self.org.faults.rules and self.org.faults.on_row(plan.sobject.name, record_id, plan.actor.user_id)
        ):
            raise self.org.storage.lock_error(record_id)
        if record_id in seen:
            raise ApiError(400, "DUPLICATE_VALUE", f"duplicate id in list: {record_id}", [])
        seen.add(record_id)
        return old

    def _write_changes(self, plan: Plan, changes: list[Change]) -> None:
        groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for change in changes:
            old = change.old or {}
            names = tuple(n for n in plan.columns if change.new.get(n) != old.get(n))
            groups.setdefault(names, []).append((*(change.new.get(n) for n in names), change.new["Id"]))
        for names, rows in groups.items():
            if names:
                self.org.storage.update(plan.sobject.name, names, rows)

    def _upsert(
        self, plan: Plan, key: Field, records: Sequence[Mapping[str, Any]], results: list[SaveResult], options: Options
    ) -> None:
        coerce = coercion(key, self.org.schema)
        values: list[Any] = []
        bodies: list[dict[str, Any]] = []
        for record, result in zip(records, results, strict=True):
            name = next((k for k in record if k.lower() == key.name.lower()), None)
            values.append(None)
            bodies.append({k: v for k, v in record.items() if k != name})
            try:
                values[-1] = None if name is None else coerce(record[name])
                if values[-1] is None and key.name != "Id":
                    message = f"{key.name} not specified"
                    raise ApiError(400, "MISSING_ARGUMENT", message, [])
            except ApiError as error:
                result.errors.append(error)
        matched = self.matches(plan.sobject.name, key, [v for v in values if v is not None])
        creates: list[tuple[Mapping[str, Any], SaveResult]] = []
        updates: list[tuple[str, Mapping[str, Any], SaveResult]] = []
        seen: set[Any] = set()
        for body, value, result in zip(bodies, values, results, strict=True):
            if result.errors:
                continue
            mark = folded(key, value)
            if value is not None and mark in seen:
                result.errors.append(
                    ApiError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [key.name])
                )
                continue
            seen.add(mark)
            found = matched.get(mark, []) if value is not None else []
            if len(found) > 1:
                message = f"{key.name}: more than one record found for external id field: {found}"
                result.errors.append(ApiError(300, "DUPLICATE_VALUE", message, found))
            elif found:
                updates.append((found[0], body, result))
            elif key.name == "Id" and value is not None:
                result.errors.append(ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []))
            else:
                creates.append((body if key.name == "Id" else {**body, key.name: value}, result))
        if creates:
            self._permitted(plan, "create")
            self._insert(plan, creates, options)
        if updates:
            self._permitted(plan, "edit")
            self._update(plan, updates, options)

    # Checks

    def _linked(self, plan: Plan, pending: list[tuple[Row, Link]], changes: list[Change]) -> list[Change]:
        if not pending:
            return changes
        by_target: dict[str, list[tuple[Row, Field, Any]]] = {}
        for row, (lookup, target, sought) in pending:
            by_target.setdefault(target, []).append((row, lookup, sought))
        failed: dict[int, ApiError] = {}
        for target, asked in by_target.items():
            object_name, _, field_name = target.partition(".")
            key = self.org.schema[object_name].fields[field_name]
            coerce = coercion(key, self.org.schema)
            stored = [None if s is None else coerce(s) for _, _, s in asked]
            found = self.matches(object_name, key, {v for v in stored if v is not None})
            for (row, lookup, sought), value in zip(asked, stored, strict=True):
                if value is None:
                    row[lookup.name] = None
                    continue
                hits = found.get(folded(key, value), [])
                if len(hits) == 1:
                    row[lookup.name] = hits[0]
                    continue
                problem = "not found for" if not hits else "matches more than one record in"
                where = f"field {field_name} in entity {object_name}"
                message = f"Foreign key external ID: {str(sought).lower()} {problem} {where}"
                failed[id(row)] = ApiError(400, "INVALID_FIELD", message, [])
        for change in changes:
            error = failed.get(id(change.new))
            if error is not None:
                change.refuse(error)
        return [c for c in changes if not c.result.errors]

    def _checked(self, plan: Plan, changes: list[Change], now: int) -> list[Change]:
        for change in changes:
            missing = [n for n in plan.required if change.new.get(n) is None]
            if missing and (change.old is None or any(change.old.get(n) is not None for n in missing)):
                shown = ", ".join(missing)
                change.refuse(
                    ApiError(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{shown}]", missing)
                )
        self._check_lookups(plan, changes)
        alive = [c for c in changes if not c.result.errors]
        for rule, broken in plan.rules:
            for change in alive:
                if broken(self.situation(plan, change, now)):
                    where = [] if rule.error_field is None else [rule.error_field]
                    change.refuse(ApiError(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, where))
        for each in plan.unique:
            self._check_unique(plan, each, [c for c in alive if not c.result.errors])
        return [c for c in changes if not c.result.errors]

    def _check_lookups(self, plan: Plan, changes: list[Change]) -> None:
        for lookup in plan.lookups:
            name = lookup.name
            sent = {
                value
                for c in changes
                if (value := c.new.get(name)) is not None and (c.old is None or c.old.get(name) != value)
            }
            if not sent:
                continue
            wrong = self._dangling(lookup, sent)
            if not wrong:
                continue
            for change in changes:
                code = wrong.get(change.new.get(name))
                if code is not None and (change.old is None or change.old.get(name) != change.new[name]):
                    message = "entity is deleted" if code == "ENTITY_IS_DELETED" else "invalid cross reference id"
                    change.refuse(ApiError(400, code, message, [name]))

    def _dangling(self, lookup: Field, sent: set[str]) -> dict[str | None, str]:
        """Return the error code of every id that a lookup may not point to: no such row, or a deleted one."""
        wrong: dict[str | None, str] = dict.fromkeys(sent, "INVALID_CROSS_REFERENCE_KEY")
        targets: dict[str, list[str]] = {}
        for value in sent:
            targets.setdefault(self._target(lookup, value), []).append(value)
        for target, values in targets.items():
            if target:
                for record_id, (deleted,) in self.org.storage.by_ids(target, values, ["IsDeleted"]).items():
                    if deleted:
                        wrong[record_id] = "ENTITY_IS_DELETED"
                    else:
                        del wrong[record_id]
        return wrong

    def _target(self, lookup: Field, value: str) -> str:
        if len(lookup.reference_to) == 1:
            return lookup.reference_to[0] if lookup.reference_to[0] in self.org.schema else ""
        found = self.org.schema.by_prefix(value[:3])
        return "" if found is None else found.name

    def _check_unique(self, plan: Plan, each: Field, changes: list[Change]) -> None:
        touched = [
            c
            for c in changes
            if c.new.get(each.name) is not None and (c.old is None or c.old.get(each.name) != c.new[each.name])
        ]
        if not touched:
            return
        if self.org.storage.held:
            for change in touched:
                holder = self.org.storage.held_value(plan.sobject.name, each.name, change.new[each.name])
                if holder is not None and holder != change.new.get("Id"):
                    change.refuse(self.org.storage.lock_error(holder))
        taken = self.matches(plan.sobject.name, each, [c.new[each.name] for c in touched])
        mine: dict[Any, str] = {}
        for change in touched:
            mark = folded(each, change.new[each.name])
            own = change.new.get("Id")
            others = [i for i in taken.get(mark, []) if i != own]
            if others or mark in mine:
                other = others[0][: ids.SHORT] if others else mine[mark]
                message = f"duplicate value found: {each.name} duplicates value on record with id: {other}"
                change.refuse(ApiError(400, "DUPLICATE_VALUE", message, []))
            else:
                mine[mark] = "<unknown>"

    def situation(self, plan: Plan, change: Change, now: int) -> formula.Situation:
        """Return what a formula may ask about a row on its way."""
        actor = plan.actor
        return formula.Situation(
            change.new,
            change.old,
            now,
            self.org.date_in(actor.zone, now),
            actor.attributes,
            actor.custom_permissions,
            self.parent_value,
            lambda unix: self.org.date_in(actor.zone, unix),
        )

    def parent_value(self, row: Mapping[str, Any], path: tuple[Field, ...]) -> Any:
        """Return the value at the end of a parent path, or of a formula of the row itself, from committed rows."""
        *walked, last = path
        here: Mapping[str, Any] | None = row
        for lookup in walked:
            record_id = None if here is None else here.get(lookup.name)
            target = None if record_id is None else self._target(lookup, record_id)
            here = self.org.storage.image(target, record_id) if target and record_id else None
            if here is not None and here["IsDeleted"]:
                here = None
        if here is None:
            return None
        if last.stored:
            return here.get(last.name)
        owner = self.org.schema[walked[-1].reference_to[-1]] if walked else None
        if owner is None or "Id" not in here:
            return None
        sql = formula.sql_expression(self.org.schema, owner, last, "t")
        found = self.org.storage.rows(f'SELECT {sql} FROM {quoted(owner.name)} t WHERE t."Id" = ?', (here["Id"],))
        return found[0][0] if found else None

    # Numbers and history

    def _number(self, plan: Plan, each: Field, changes: list[Change]) -> None:
        wanted = [c for c in changes if c.new.get(each.name) is None]
        first = self.org.take_numbers(f"{plan.sobject.name}.{each.name}", len(wanted))
        for number, change in enumerate(wanted, first):
            change.new[each.name] = auto_number(each.auto_number or "{0}", number)

    def _track(self, plan: Plan, changes: list[Change], now: int) -> None:
        found = []
        for change in changes:
            for each in plan.tracked:
                before, after = (change.old or {}).get(each.name), change.new.get(each.name)
                if before != after:
                    found.append((change, each.name, before, after))
        if found:
            self._write_history(plan, found, now)

    def _write_history(self, plan: Plan, entries: list[tuple[Change, str, Any, Any]], now: int) -> None:
        name = plan.sobject.history_object
        if name is None:
            return
        history = self.org.schema[name]
        key = next(f.name for f in history.fields.values() if f.reference_to == (plan.sobject.name,))
        rows = []
        supply = self.org.ids.many(history.key_prefix or "017", len(entries))
        for (change, field_name, before, after), record_id in zip(entries, supply, strict=True):
            kept = field_name in plan.sobject.fields
            tracked = plan.sobject.fields[field_name] if kept else None
            long_text = tracked is not None and tracked.type == "textarea" and tracked.length > LONGEST_FILTERABLE_TEXT
            shown = [None, None] if long_text else [self._shown(tracked, v) for v in (before, after)]
            kind = "Text" if tracked is None else _HISTORY_KINDS.get(tracked.type, "Text")
            rows.append((record_id, 0, change.new["Id"], plan.actor.user_id, now, field_name, kind, shown[0], shown[1]))
        columns = ["Id", "IsDeleted", key, "CreatedById", "CreatedDate", "Field", "DataType", "OldValue", "NewValue"]
        self.org.storage.insert(name, columns, rows, 0)

    def _shown(self, tracked: Field | None, value: Any) -> str | None:
        return None if tracked is None or value is None else csv_text(tracked, value)[:255]


__all__ = ["DEFAULT", "Change", "Options", "Records", "SaveResult", "auto_number", "rolled_back"]
