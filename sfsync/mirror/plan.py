"""The difference between what the store says and what the org shows, as ordered changes.

A pure function of the memories: nothing here remembers what is still owed (law 2). This module may
not know how changes travel. It keeps one law: only fields that the service may write, only where
they differ, parents before children.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.merge import Link
from sfsync.mirror.translate import (
    KEY_FIELD,
    Ids,
    Untranslatable,
    Wire,
    key_field_value,
    line_of,
    same,
    to_wire,
)
from sfsync.records import Values


@dataclass(frozen=True, slots=True)
class Change:
    """One record to be written, with only the fields that differ."""

    object: str
    key: str
    sf_id: str | None
    """None: the record is created by an upsert on its key."""
    fields: Mapping[str, Wire]
    """Mapped field name to the value to write; ``key:<key>`` in a lookup names a parent by its external id."""
    before: Mapping[str, Wire] = field(default_factory=dict)
    revision: int = 1
    parent: str = ""
    """Rows of one parent travel together, so that they do not lock each other out."""
    seen_at: datetime | None = None
    """The record's stamp when it was read, for a change that a newer edit by a person must stop."""

    @property
    def creates(self) -> bool:
        """True if the org does not have the record yet."""
        return self.sf_id is None


@dataclass(frozen=True, slots=True)
class Unplannable:
    """A value that the org cannot hold: this record waits in quarantine, the rest goes on."""

    object: str
    key: str
    field: str
    reason: str


class Result(StrEnum):
    """What became of a change."""

    DONE = "done"
    REJECTED = "rejected"
    """Refused for a reason that stays: quarantine."""
    LATER = "later"
    """Refused for a reason that passes: planned again by the next run."""
    MOVED = "moved"
    """The record is gone or was changed meanwhile: read and merged again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one answer to one change (H6): never fewer, never more."""

    change: Change
    result: Result
    sf_id: str | None = None
    created: bool = False
    code: str = ""
    message: str = ""
    """The org's own words."""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will write, in order."""

    changes: tuple[Change, ...] = ()
    refused: tuple[Unplannable, ...] = ()


def plan_data(plan: Plan) -> dict[str, object]:
    """Return a plan as plain data, for a file that a person reads and approves."""
    changes = [{k: v for k, v in asdict(change).items() if k != "seen_at"} for change in plan.changes]
    return {"changes": changes, "refused": [asdict(one) for one in plan.refused]}


def plan_of(data: Mapping[str, Any]) -> Plan:
    """Return the plan that ``plan_data`` gave; ValueError if it is not one."""
    try:
        return Plan(
            tuple(Change(**change) for change in data["changes"]), tuple(Unplannable(**one) for one in data["refused"])
        )
    except (KeyError, TypeError) as bad:
        raise ValueError(f"this is not a plan: {bad}") from None


def moved(agreed: Plan, now: Plan) -> list[str]:
    """Return what a plan made now does otherwise than the one that was agreed, one sentence each."""
    before = {(c.object, c.key): c for c in agreed.changes}
    after = {(c.object, c.key): c for c in now.changes}
    said = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        record = " ".join(name)
        if new is None:
            said.append(f"{record} needs no write any more")
        elif old is None:
            said.append(f"{record} was not planned: {', '.join(sorted(new.fields))}")
        elif dict(old.fields) != dict(new.fields) or dict(old.before) != dict(new.before):
            names = {n for n in {*old.fields, *new.fields} if (old.fields.get(n), old.before.get(n)) != (
                new.fields.get(n), new.before.get(n))}  # fmt: skip
            said.append(f"{record} moved: {', '.join(sorted(names))}")
    return said


def plan(mappings: Mappings, records: Iterable[tuple[Link, Values]], ids: Ids) -> Plan:
    """Return the changes that make the org show the store's values, parents before children.

    ``records`` are the links that may differ, each with the local values. A record that the org has
    deleted is left alone: nothing is resurrected without a person. A record is not brought to a further org while its
    mapping says so, nor where the record it needs to point to is not.
    """
    order = {mapping.object: index for index, mapping in enumerate(mappings)}
    records = list(records)
    carried = {str(link.remote[KEY_FIELD]) for link, _ in records if link.remote.get(KEY_FIELD)}
    changes: list[Change] = []
    refused: list[Unplannable] = []
    for link, local in records:
        mapping = mappings.by_object.get(link.object)
        if mapping is None or link.deleted or (link.sf_id is None and mapping.key is None):
            continue
        try:
            change = None if _stays_away(mapping, link, local) else _change(mapping, link, local, ids, carried)
        except _CannotHold as bad:
            refused.append(Unplannable(link.object, link.key, bad.field, str(bad)))
            continue
        if change is not None:
            changes.append(change)
    changes = _without_absent_parents(mappings, changes)
    changes.sort(key=lambda c: (order[c.object], c.parent, c.key))
    return Plan(tuple(changes), tuple(refused))


def _stays_away(mapping: ObjectMapping, link: Link, local: Values) -> bool:
    """Return whether a record that this org does not have must not be brought there."""
    return link.sf_id is None and any(local.get(name) in words for name, words in mapping.copied_unless.items())


def _without_absent_parents(mappings: Mappings, changes: list[Change]) -> list[Change]:
    """Return the changes without lookups to records that are not brought to this org.

    Such a lookup is null there, and a record that cannot be without it stays away, too.
    """
    kept = {change.key: change for change in changes}
    checked = {mapping.object for mapping in mappings if mapping.copied_unless}
    for change in changes if checked else ():
        mapping = mappings.by_object[change.object]
        absent = [
            name
            for name, value in change.fields.items()
            if mapping.lookups.get(name) in checked and str(value).startswith("key:") and str(value)[4:] not in kept
        ]
        if any(mapping.fields[name].required for name in absent):
            del kept[change.key]
        elif absent:
            fields = {name: value for name, value in change.fields.items() if name not in absent}
            kept[change.key] = replace(change, fields=fields)
    return [change for change in kept.values() if change.creates or change.fields]


class _CannotHold(Exception):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.field = name


def _change(mapping: ObjectMapping, link: Link, local: Values, ids: Ids, carried: set[str]) -> Change | None:
    fields: dict[str, Wire] = {}
    before: dict[str, Wire] = {}
    parent = ""
    for name, line in mapping.fields.items():
        if name not in local:
            continue
        if line.type.kind == "lookup" and local[name] and not parent:
            parent = str(local[name])
        written = line.writable or (line.initial and link.sf_id is None)
        if not written or line.type.kind == "autonumber":
            continue
        try:
            ours = to_wire(line.type, local[name], ids)
        except Untranslatable as bad:
            raise _CannotHold(name, str(bad)) from None
        theirs = link.remote.get(name, False if line.type.kind == "checkbox" else None)
        if not same(line.type, ours, theirs):
            fields[name] = ours
            before[name] = theirs
    if mapping.key and link.sf_id and KEY_FIELD in link.remote:
        theirs = link.remote[KEY_FIELD]
        right = key_field_value(mapping, link.key, link.sf_id, ids.organization_id)
        if right in carried and right != theirs:
            right = None  # another record carries it still: first both are emptied, then each gets its own
        if right != theirs:
            fields[KEY_FIELD], before[KEY_FIELD] = right, theirs
    if link.sf_id is None or fields:
        shared = any(line_of(mapping, name).owner == "shared" for name in fields)
        seen_at = link.stamp if shared else None
        return Change(link.object, link.key, link.sf_id, fields, before, link.revision + 1, parent, seen_at)
    return None
