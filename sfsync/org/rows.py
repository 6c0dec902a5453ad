"""Rows of an org as records seen: what to select, and how a row of JSON or CSV is read.

This module may not know how rows travel. It keeps one law: a value that cannot be read is left out with a word in the
log, and never becomes null.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

from sfsync.mapping import FieldType, ObjectMapping
from sfsync.mirror.translate import (
    Ids,
    Seen,
    Untranslatable,
    Wire,
    derived_key,
    long_id,
    parse_instant,
    selected,
    wire_from_csv,
    wire_from_json,
)
from sfsync.org.schema import REVISION, ObjectSeen
from sfsync.org.soql import Select, compare, either
from sfsync.org.whose import only_ours, own_key
from sfsync.records import ECHO, CaseEvent

log = logging.getLogger("sfsync.org")

ORDER = ("SystemModstamp", "Id")
_KEY = re.compile(r"[a-z]{2,4}:[A-Za-z0-9][A-Za-z0-9:._\-]{0,79}")
_SYSTEM_USER = re.compile(r"^[a-z]+@00d[a-z0-9]{12,15}$", re.IGNORECASE)
"""Automation's own users (``autoproc@00d..``, ``cloud@00d..``): their mail domain is the org's id."""
_TEXT = frozenset(("text", "textarea", "longtext", "picklist", "autonumber"))
_NO_FIELDS: Mapping[str, Any] = {}

Convert = Callable[[Any], Wire]


@dataclass(frozen=True, slots=True)
class EventSource:
    """One kind of child rows: how they are asked for below their record, and alone in bulk."""

    kind: str
    relationship: str
    child: str
    """The object that holds them."""
    parent: str
    """Its lookup to the record."""
    above: str
    """The relationship of that lookup, for conditions on the record."""
    fields: tuple[str, ...]
    where: str

    def below(self) -> Select:
        """Return the child subquery."""
        return Select(self.fields, self.relationship, self.where)


def event_sources(mapping: ObjectMapping) -> tuple[EventSource, ...]:
    """Return the child rows that ``mapping`` wants, the field history first."""
    made = []
    base = ("Id", "CreatedDate", "CreatedById", "CreatedBy.Username")
    custom = mapping.object.endswith("__c")
    if mapping.events.history:
        tracked = [f.api for f in mapping.fields.values() if f.history]
        child = mapping.object.removesuffix("__c") + "__History" if custom else f"{mapping.object}History"
        parent, above = ("ParentId", "Parent") if custom else (f"{mapping.object}Id", mapping.object)
        where = either(*(compare("Field", "=", api) for api in tracked)) if tracked else ""
        fields = (*base, "Field", "OldValue", "NewValue")
        made.append(EventSource("field", mapping.events.history, child, parent, above, fields, where))
    if mapping.events.comments:
        where = compare("IsPublished", "=", True)
        made.append(EventSource("comment", mapping.events.comments, "CaseComment", "ParentId", "Parent", base, where))
    if mapping.events.emails:
        where = compare("Incoming", "=", False)
        made.append(EventSource("email", mapping.events.emails, "EmailMessage", "ParentId", "Parent", base, where))
    return tuple(made)


class RowReader:
    """Reads rows of one object of one org."""

    def __init__(self, mapping: ObjectMapping, seen: ObjectSeen, ids: Ids, user_id: str) -> None:
        self.mapping = mapping
        self.seen = seen
        self.sources = event_sources(mapping)
        self._ids = ids
        self._user_id = user_id
        self._local_names = {f.api: f.name for f in mapping.fields.values()}
        self._json: list[tuple[str, str, Convert, Wire]] = [
            (f.name, f.api, _reader(f.type, wire_from_json), wire_from_json(f.type, None)) for f in selected(mapping)
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything selected, each once: the mapped fields and what every record needs."""
        extra = ["Id", "SystemModstamp", "CreatedDate", "IsDeleted"]
        extra += ["LastModifiedBy.Username"] if self.seen.authored else []
        extra += [self.mapping.key] if self.mapping.key else []
        extra += [self.mapping.whose] if self.mapping.whose else []
        extra += [REVISION] if self.seen.revision else []
        extra += ["MasterRecordId"] if self.seen.merges else []
        return tuple(dict.fromkeys([*extra, *(f.api for f in selected(self.mapping))]))

    def select(self, *conditions: str, events: bool = True) -> Select:
        """Return the query for the rows that meet ``conditions``, in the order of (SystemModstamp, Id).

        In a hub only this client's rows are asked for.
        """
        children = tuple(s.below() for s in self.sources) if events else ()
        ours = only_ours(self.mapping)
        return Select(self.columns, self.mapping.object, order=ORDER, children=children).having(ours, *conditions)

    # --- JSON ---------------------------------------------------------------------------------------

    def from_json(self, row: Mapping[str, Any], children: Callable[[str, Mapping[str, Any]], Any]) -> Seen:
        """Return the record in a row of a query answer.

        ``children(relationship, value)`` gives all rows of a child subquery, further pages included.
        """
        wire: dict[str, Wire] = {}
        for name, api, convert, empty in self._json:
            try:
                value = row[api]
                wire[name] = empty if value is None else convert(value)
            except (KeyError, Untranslatable) as bad:
                self._left_out(name, row.get("Id"), bad)
        author = row.get("LastModifiedBy")
        sf_id = long_id(str(row["Id"]))
        about = _along(row, self.mapping.whose)
        key = self._key(sf_id, row.get(self.mapping.key) if self.mapping.key else None, about)
        return Seen(
            object=self.mapping.object,
            sf_id=sf_id,
            key=key,
            wire=wire,
            stamp=_instant(str(row["SystemModstamp"])),
            created_at=_instant(str(row["CreatedDate"])) if row.get("CreatedDate") else None,
            deleted=bool(row.get("IsDeleted")),
            merged_into=row.get("MasterRecordId") or None,
            revision=int(row.get(REVISION) or 0),
            events=self._events(key, row, children) if self.sources else (),
            modified_by=str((author or _NO_FIELDS).get("Username") or ""),
        )

    def _events(
        self, key: str, row: Mapping[str, Any], children: Callable[[str, Mapping[str, Any]], Any]
    ) -> tuple[CaseEvent, ...]:
        found: list[CaseEvent] = []
        for source in self.sources:
            value = row.get(source.relationship)
            if value:
                found += [self.event(source, key, child) for child in children(source.relationship, value)]
        found.sort(key=lambda e: (e.at, e.event_id))
        return tuple(found)

    def event(self, source: EventSource, key: str, row: Mapping[str, Any]) -> CaseEvent:
        """Return the event in one child row (JSON form)."""
        username = str((row.get("CreatedBy") or _NO_FIELDS).get("Username") or "")
        api = str(row.get("Field") or "")
        ours = row.get("CreatedById") == self._user_id
        front = f"{self._ids.organization_id[:15]}/" if self.mapping.client else ""  # two orgs may use one id
        return CaseEvent(
            case=key,
            event_id=f"{front}{row['Id']}",
            kind=ECHO if ours and source.kind == "field" and self.mapping.mirrored else source.kind,
            field=self._local_names.get(api, api) if source.kind == "field" else "",
            old=_shown(row.get("OldValue")),
            new=_shown(row.get("NewValue")),
            at=_instant(str(row["CreatedDate"])),
            by=username,
            by_service=ours or bool(_SYSTEM_USER.match(username)),
        )

    # --- CSV ----------------------------------------------------------------------------------------

    def from_csv(self, header: Sequence[str]) -> Callable[[Sequence[Sequence[str]]], list[Seen]]:
        """Return a reader of rows below ``header``, many at once; Untranslatable if a wanted column is not there."""
        at = {name.lower(): index for index, name in enumerate(header)}
        missing = [c for c in self.columns if c.lower() not in at]
        if missing:
            raise Untranslatable(f"the file has no column {', '.join(missing)}")
        lines = selected(self.mapping)
        names = [f.name for f in lines]
        readers = [(at[f.api.lower()], _column_reader(f.type)) for f in lines]

        def read(rows: Sequence[Sequence[str]]) -> list[Seen]:
            cells = list(zip(*rows, strict=True)) or [()] * len(header)
            nothing = [""] * len(rows)

            def column(name: str | None, *, selected: object = True) -> Sequence[str]:
                return cells[at[name.lower()]] if name and selected else nothing

            values = [convert(cells[index]) for index, convert in readers]
            each = zip(*values, strict=True) if values else repeat((), len(rows))
            wires: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in each]
            for name in (n for n, found in zip(names, values, strict=True) if Untranslatable in set(map(type, found))):
                for row, wire in zip(rows, wires, strict=True):
                    if isinstance(wire[name], Untranslatable):
                        self._left_out(name, row[at["id"]], wire.pop(name))
            sf_ids, stamps, created = column("Id"), column("SystemModstamp"), column("CreatedDate")
            instants = {cell: _instant(cell) for cell in {*stamps, *filter(None, created)}}
            deleted = {cell: cell.lower() == "true" for cell in set(column("IsDeleted"))}
            revisions = column(REVISION, selected=self.seen.revision)
            numbers = {cell: int(float(cell or 0)) for cell in set(revisions)}
            return list(
                map(
                    Seen,
                    repeat(self.mapping.object),
                    sf_ids,
                    map(self._key, sf_ids, column(self.mapping.key), column(self.mapping.whose)),
                    wires,
                    map(instants.__getitem__, stamps),
                    map(instants.get, created),
                    map(deleted.__getitem__, column("IsDeleted")),
                    (winner or None for winner in column("MasterRecordId", selected=self.seen.merges)),
                    map(numbers.__getitem__, revisions),
                    repeat(()),
                    column("LastModifiedBy.Username", selected=self.seen.authored),
                )
            )

        return read

    # --- keys ---------------------------------------------------------------------------------------

    def _key(self, sf_id: str, external: Any, about: Any = None) -> str:
        """Return the record's key: the one it is known by, else the external id if it is one of ours, else derived.

        A record known before keeps its key, whatever a person wrote into the key field since. In a hub a row must
        first prove to be this client's: SafetyStop otherwise.
        """
        text = str(external or "")
        if self.mapping.client:
            text = own_key(self.mapping, sf_id, text, str(about or ""))
        known = self._ids.to_key.get(sf_id)
        if known is not None:
            return known
        if text and text.startswith(self.mapping.prefix + ":") and _KEY.fullmatch(text) is not None:
            return text
        return derived_key(self.mapping.prefix, self._ids.organization_id, sf_id)

    def key_of(self, sf_id: str, external: str, about: str = "") -> str:
        """Return the key of a record of which only the id and the external ids were read."""
        return self._key(sf_id, external, about)

    def _left_out(self, name: str, sf_id: object, bad: Exception) -> None:
        why = "it was not in the answer" if isinstance(bad, KeyError) else str(bad)
        log.warning("%s %s: field %s left out: %s", self.mapping.object, sf_id, name, why)


def _along(row: Mapping[str, Any], path: str) -> Any:
    """Return the value at the end of a path such as ``Case__r.Sfsync_Key__c``; None where it breaks off."""
    value: Any = row if path else None
    for part in path.split("."):
        value = (value or {}).get(part)
    return value


@lru_cache(maxsize=4096)
def _instant(text: str) -> datetime:
    """Return :func:`parse_instant` of ``text``, by a short way for the two forms that Salesforce writes."""
    if text[19:] in (".000+0000", ".000Z") and text[10:11] == "T":
        try:
            return datetime.fromisoformat(f"{text[:19]}+00:00")
        except ValueError:
            pass
    return parse_instant(text)


def _shown(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _reader(kind: FieldType, general: Callable[[FieldType, Any], Wire]) -> Convert:
    """Return ``general`` for one field type, with a short way for the plain cases that gives the same values."""
    if kind.kind in _TEXT:
        return _text_json
    if kind.kind == "datetime":

        def instant(value: Any) -> Wire:
            if isinstance(value, str) and value[19:] in (".000+0000", ".000Z") and value[10:11] == "T":
                return f"{value[:19]}Z"
            return general(kind, value)

        return instant
    if kind.kind in ("lookup", "user"):

        def reference(value: Any) -> Wire:
            if isinstance(value, str) and len(value) == 18 and value.isascii() and value.isalnum():
                return value
            return general(kind, value)

        return reference
    if kind.kind == "checkbox":

        def box(value: Any) -> Wire:
            return value if value is True or value is False else general(kind, value)

        return box
    return lambda value: general(kind, value)


def _column_reader(kind: FieldType) -> Callable[[Sequence[str]], Sequence[Any]]:
    """Return a reader of a column of CSV; in place of a cell that cannot be read stands the Untranslatable of it."""
    if kind.kind in _TEXT:
        return _texts
    convert = _reader(kind, wire_from_csv)

    def one(cell: str) -> Any:
        try:
            return convert(cell) if cell else wire_from_csv(kind, cell)
        except Untranslatable as bad:
            return bad

    def read(cells: Sequence[str]) -> Sequence[Any]:
        if (
            references
            and {*map(len, cells)} <= {0, 18}
            and (together := "".join(cells)).isascii()
            and together.isalnum()
        ):
            return _texts(cells)
        known = {cell: one(cell) for cell in set(cells)}  # most columns hold few different cells
        return [known[cell] for cell in cells]

    references = kind.kind in ("lookup", "user")
    return read


def _texts(cells: Sequence[str]) -> Sequence[str | None]:
    return [cell or None for cell in cells]


def _text_json(value: Any) -> Wire:
    return None if value is None else (str(value) or None)
