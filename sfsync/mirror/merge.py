"""Three memories of a record become new local values.

*local* is what the store holds, *remote* what the org shows now, *agreed* what both last had in
common. This module may not know where any of them is kept. It keeps one law: a change by a person is
either in effect or among the conflicts, never gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sfsync.mapping import MappedField, ObjectMapping
from sfsync.mirror.translate import (
    KEY_FIELD,
    LOCAL,
    MISSING,
    Ids,
    Seen,
    Untranslatable,
    Wire,
    key_field_value,
    same,
    to_local,
    to_wire,
)
from sfsync.records import Value, Values, unchanging


@unchanging
class Link:
    """What is remembered of one record in one org."""

    object: str
    key: str
    sf_id: str | None = None
    remote: Mapping[str, Wire] = field(default_factory=dict)
    agreed: Mapping[str, Wire] = field(default_factory=dict)
    stamp: datetime | None = None
    deleted: bool = False
    revision: int = 0
    merged_into: str | None = None
    unheard: Mapping[str, Wire] = field(default_factory=dict)
    """What a write replaced that the org confirmed and no read has shown yet."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed a field since they agreed; both values are kept."""

    object: str
    key: str
    field: str
    kept: Wire
    lost: Wire
    winner: str
    """``org`` or ``store``."""
    seen_at: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class HandEdit:
    """A person changed a field that the service owns; it will be put back."""

    object: str
    key: str
    field: str
    found: Wire
    ours: Wire
    by: str = ""


@unchanging
class Merged:
    """What one seen record does to the store."""

    local: dict[str, Value]
    """Fields whose local value changes; empty when nothing does."""
    link: Link
    conflicts: tuple[Conflict, ...] = ()
    hand_edits: tuple[HandEdit, ...] = ()
    new: bool = False
    relinked: bool = False
    """The link itself says something new: another stamp, deletion, values."""
    older: bool = False
    """This org has held the record for longer than the store knew: it was born here, or earlier here."""

    @property
    def changed(self) -> bool:
        """True if the store must write anything."""
        return self.new or self.relinked or self.older or bool(self.local)


def merge(
    mapping: ObjectMapping, seen: Seen, link: Link | None, local: Values | None, ids: Ids, prefixes: Mapping[str, str]
) -> Merged:
    """Return what ``seen`` changes, given the ``link`` and the ``local`` values (None for a new record).

    ``prefixes`` gives each looked-up object the prefix of its keys. A record seen with an older
    stamp than the link remembers changes nothing: it is a late copy of the past (IDM-1).
    """
    if link is None and local is None and seen.miskeyed is None:
        return _first(mapping, seen, ids, prefixes)
    if link is not None and link.stamp is not None and seen.stamp < link.stamp:
        return Merged({}, link)
    if link is not None and link.sf_id and seen.deleted and seen.sf_id != link.sf_id and not link.deleted:
        return Merged({}, link)  # what lies in the bin says nothing about the living record that carries its key now
    agreed = dict(link.agreed) if link else {}
    changes: dict[str, Value] = {}
    conflicts: list[Conflict] = []
    edits: list[HandEdit] = []
    for name, line in mapping.fields.items():
        if name not in seen.wire:
            continue
        theirs = seen.wire[name]
        ours = _ours(line, local, ids)
        common = agreed.get(name, MISSING)
        unheard = link is not None and name in link.unheard
        if link is not None and unheard and same(line.type, theirs, link.unheard[name]):
            common = _as_if_never_written(link, seen, theirs)
        verdict = _decide(line, ours, theirs, common)
        if unheard and verdict == "take" and line.owner == "shared":
            verdict = "take and log"  # perhaps nobody ever saw what this replaces
        if verdict in ("take", "take and log"):
            changes[name] = to_local(line.type, theirs, ids, prefixes.get(line.type.target, ""))
        if verdict in ("take and log", "keep and log"):
            took = verdict == "take and log"
            kept, lost = (theirs, ours) if took else (ours, theirs)
            conflicts.append(
                Conflict(
                    mapping.object, seen.key, name, kept, lost, "org" if took else "store", seen.stamp, seen.modified_by
                )
            )
        if verdict == "put back":
            edits.append(HandEdit(mapping.object, seen.key, name, theirs, ours, seen.modified_by))
        else:
            agreed[name] = theirs
    if local is not None:
        changes = {n: v for n, v in changes.items() if n not in local or local[n] != v}
    remote = {**(link.remote if link else {}), **seen.wire}
    remote.pop(KEY_FIELD, None)
    if seen.miskeyed is not None:
        remote[KEY_FIELD] = seen.miskeyed or None
        if link is None or link.remote.get(KEY_FIELD, MISSING) != remote[KEY_FIELD]:
            right = key_field_value(mapping, seen.key, seen.sf_id, ids.organization_id)
            edits.append(
                HandEdit(mapping.object, seen.key, str(mapping.key), remote[KEY_FIELD], right, seen.modified_by)
            )
    now_linked = Link(
        object=mapping.object,
        key=seen.key,
        sf_id=seen.sf_id,
        remote=remote,
        agreed=agreed,
        stamp=seen.stamp,
        deleted=seen.deleted,
        revision=max(seen.revision, link.revision if link else 0),
        merged_into=seen.merged_into,
    )
    return Merged(
        changes,
        now_linked,
        tuple(conflicts),
        tuple(edits),
        new=local is None,
        relinked=now_linked != link,
        older=mapping.mirrored and local is not None and _older(seen, local),
    )


def _as_if_never_written(link: Link, seen: Seen, theirs: Wire) -> Wire:
    """Return what both last had in common, where the org shows what a write replaced that it had confirmed.

    If nothing else happened to the record, the write never was. If something did, nobody knows whether a person took
    the write back, so nothing is in common and neither value is lost.
    """
    return theirs if seen.stamp == link.stamp else MISSING


def _older(seen: Seen, local: Values) -> bool:
    known = local.get("created_at")
    return seen.created_at is not None and (not isinstance(known, datetime) or seen.created_at < known)


def _first(mapping: ObjectMapping, seen: Seen, ids: Ids, prefixes: Mapping[str, str]) -> Merged:
    """Return what a record does that neither side remembers: all of it is taken, and nothing can be in conflict.

    The same as the whole table below would say; a first load is nothing else, so it is said without asking field by
    field.
    """
    memory = seen.wire
    local: dict[str, Value] = dict(memory)
    for name, kind in mapping.converted:
        value = memory.get(name)
        if value is not None:
            form = LOCAL.get(kind.kind)
            local[name] = form(value) if form else to_local(kind, value, ids, prefixes.get(kind.target, ""))
    link = Link(
        mapping.object, seen.key, seen.sf_id, memory, memory, seen.stamp, seen.deleted, seen.revision, seen.merged_into
    )
    return Merged(local, link, new=True, relinked=True)


def _ours(line: MappedField, local: Values | None, ids: Ids) -> Wire:
    if local is None or line.name not in local:
        return MISSING  # type: ignore[no-any-return]
    try:
        return to_wire(line.type, local[line.name], ids)
    except Untranslatable:
        return MISSING  # type: ignore[no-any-return]


def _decide(line: MappedField, ours: Wire, theirs: Wire, agreed: Wire) -> str:
    """Return ``take``, ``keep``, ``put back``, ``take and log`` or ``keep and log``.

    The whole decision table: owner first, then who moved since both agreed.
    """
    if line.owner == "org" or ours is MISSING:
        return "take"
    if same(line.type, ours, theirs):
        return "keep"
    they_moved = agreed is MISSING or not same(line.type, theirs, agreed)
    we_moved = agreed is MISSING or not same(line.type, ours, agreed)
    if line.owner == "service":
        return "put back" if they_moved and agreed is not MISSING else "keep"
    if not they_moved:
        return "keep"
    if not we_moved:
        return "take"
    return "keep and log" if line.on_conflict == "store" else "take and log"
