"""A Salesforce org as a table in memory, for histories by the ten thousand: stamps, commits, locks, refusals.

It may not know the store. It keeps one law: what a real org may do at its worst moment, this one does whenever the
history asks for it. Instants are whole seconds since the history began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sfsync.errors import OrgUnavailable, SchemaDrift
from sfsync.mapping import FieldType, MappedField, Mappings, ObjectMapping
from sfsync.mirror.plan import Change, Outcome, Result
from sfsync.mirror.translate import KEY_FIELD, Bookmark, Ids, Page, Seen, derived_key
from sfsync.records import Case, Pack, TimeEntry


def _line(name: str, kind: str, owner: str, on_conflict: str = "org") -> MappedField:
    return MappedField(
        name, name, FieldType.parse(kind), owner, name, "", False, False, on_conflict, None, None,  # type: ignore[arg-type]
    )  # fmt: skip


def _mapping(name: str, record: type, prefix: str, key: str | None, *lines: MappedField) -> ObjectMapping:
    return ObjectMapping(
        name, name, record, name, name, prefix, key, None, "", None, {line.name: line for line in lines},  # type: ignore[arg-type]
    )  # fmt: skip


MAPPINGS = Mappings(
    {
        "Pack": _mapping(
            "Pack", Pack, "pk", "Key",
            _line("bought", "integer(9)", "service"), _line("balance", "integer(9)", "service"),
            _line("remark", "text(80)", "org"),
        ),
        "Case": _mapping(
            "Case", Case, "ca", None,
            _line("subject", "text(80)", "org"), _line("note", "text(80)", "shared", "org"),
            _line("tag", "text(80)", "shared", "store"), _line("logged", "integer(9)", "service"),
            _line("serial", "integer(9)", "service"), _line("breached", "checkbox", "service"),
        ),
        "Entry": _mapping(
            "Entry", TimeEntry, "te", "Key",
            _line("case", "lookup(Case)", "org"), _line("minutes", "integer(5)", "org"),
            _line("state", "text(20)", "service"), _line("pack", "lookup(Pack)", "service"),
        ),
    }
)  # fmt: skip
"""The standard shape cut to one field of each kind of owner and type that behaves in its own way."""

EMPTY = {name: dict.fromkeys(mapping.fields) for name, mapping in MAPPINGS.by_object.items()}
for _fields in EMPTY.values():
    if "breached" in _fields:
        _fields["breached"] = False  # type: ignore[assignment]


class OrgRow:
    """One record as the org holds it."""

    __slots__ = ("by", "created", "deleted", "external", "fields", "id", "lock", "object", "revision", "stamp")

    def __init__(self, sf_id: str, name: str, fields: dict[str, Any], now: int) -> None:
        self.id, self.object, self.fields = sf_id, name, fields
        self.external: str | None = None
        self.stamp = self.created = now
        self.deleted = False
        self.revision = 0
        self.by = "person"
        self.lock: Held | None = None

    def copy(self) -> OrgRow:
        """Return the same row with fields of its own."""
        new = OrgRow(self.id, self.object, dict(self.fields), self.stamp)
        new.external, new.created, new.deleted = self.external, self.created, self.deleted
        new.revision, new.by = self.revision, self.by
        return new


class Held:
    """A transaction that is open: stamped when written, seen when committed, its rows locked until then."""

    __slots__ = ("began", "commit_at", "images")

    def __init__(self, began: int, commit_at: int) -> None:
        self.began, self.commit_at = began, commit_at
        self.images: dict[str, OrgRow] = {}


class ModelOrg:
    """One org; ``covers`` says whether it tells up to when it is complete (latestDateCovered)."""

    ALWAYS_COVERS = False

    def __init__(self, name: str, clock: Clock, *, covers: bool, page: int, chunk: int) -> None:
        self.name, self.clock, self.page, self.chunk = name, clock, page, chunk
        self.covers = covers or self.ALWAYS_COVERS
        self.organization_id = f"00D{name}"
        self.rows: dict[str, OrgRow] = {}
        self.by_key: dict[str, str] = {}
        self.held: list[Held] = []
        self.gone: list[tuple[str, str, int]] = []
        self.fates: list[str] = []
        self.drifted = False
        self.shown: set[Any] = set()
        """Every shared value that people could have seen."""
        self.service_wrote: Callable[[OrgRow, str, Any, Any], None] = lambda *_: None
        self.derived: dict[str, str] = {}
        self._next = 0

    # --- people -------------------------------------------------------------------------------------

    def create(self, name: str, values: Mapping[str, Any], held: Held | None = None) -> OrgRow:
        """A person creates a record."""
        row = self._new(name, {**EMPTY[name], **values})
        if held is None:
            self.rows[row.id] = row
        else:
            held.images[row.id] = row
        self._show(row)
        return row

    def edit(self, row: OrgRow, values: Mapping[str, Any], held: Held | None = None) -> bool:
        """A person edits a record; False if somebody else keeps it locked."""
        target = self._writable(row, held)
        if target is None:
            return False
        target.fields.update(values)
        target.stamp, target.by = self.clock.now, "person"
        self._show(target)
        return True

    def delete(self, row: OrgRow, *, deleted: bool = True, held: Held | None = None) -> bool:
        """A person deletes a record, or brings it back."""
        target = self._writable(row, held)
        if target is None or target.deleted == deleted:
            return False
        if not deleted and row.external and self._by_key(row.external) is not None:
            return False  # the key is unique among the living
        target.deleted, target.stamp = deleted, self.clock.now
        if target.external and not deleted:
            self.by_key[target.external] = target.id
        return True

    def purge(self, row: OrgRow) -> bool:
        """The recycle bin is emptied."""
        everybody = [*self.rows.values(), *(image for held in self.held for image in held.images.values())]
        if row.lock is not None or any(row.id in (r.fields.get("case"), r.fields.get("pack")) for r in everybody):
            return False
        del self.rows[row.id]
        if self.by_key.get(row.external or "") == row.id:
            del self.by_key[row.external or ""]
        self.gone.append((row.object, row.id, self.clock.now))
        return True

    def hold(self, seconds: int) -> Held:
        """Open a transaction that commits later."""
        held = Held(self.clock.now, self.clock.now + seconds)
        self.held.append(held)
        return held

    def settle_due(self, *, everything: bool = False) -> None:
        """Commit the transactions whose time has come."""
        if not self.held:
            return
        for held in [h for h in self.held if everything or h.commit_at <= self.clock.now]:
            self.held.remove(held)
            for sf_id, image in held.images.items():
                image.lock = None
                self.rows[sf_id] = image

    def _writable(self, row: OrgRow, held: Held | None) -> OrgRow | None:
        if row.lock is not None and row.lock is not held:
            return None
        if held is None:
            return row
        image = held.images.get(row.id)
        if image is None:
            image = held.images[row.id] = row.copy()
            row.lock = image.lock = held
        return image

    def _new(self, name: str, fields: dict[str, Any]) -> OrgRow:
        self._next += 1
        return OrgRow(f"{name[0]}{self.name}{self._next:04d}", name, fields, self.clock.now)

    def _show(self, row: OrgRow) -> None:
        if row.object == "Case":
            self.shown.add(row.fields["note"])
            self.shown.add(row.fields["tag"])

    # --- the service --------------------------------------------------------------------------------

    def apply(self, mappings: Mappings, change: Change) -> Outcome:
        """Carry out one change of the service, or refuse it as an org does."""
        row = self.rows.get(change.sf_id) if change.sf_id else self._by_key(change.key)
        if row is None and change.sf_id:
            return Outcome(change, Result.MOVED, code="NOT_FOUND")
        if row is None and self._held_key(change.key):
            return Outcome(change, Result.LATER, code="DUPLICATE_VALUE")
        if row is not None:
            refused = self._refusal(row, change)
            if refused is not None:
                return refused
        values = {}
        for name, value in change.fields.items():
            if isinstance(value, str) and value.startswith("key:"):
                parent = self._by_key(value[4:])
                if parent is None:
                    return Outcome(change, Result.LATER, code="INVALID_CROSS_REFERENCE_KEY")
                value = parent.id
            values[name] = value
        created = row is None
        if row is None:
            row = self._new(change.object, dict(EMPTY[change.object]))
            row.external = change.key
            self.rows[row.id] = row
            self.by_key[change.key] = row.id
        for name, value in values.items():
            if name == KEY_FIELD:
                self._rekey(row, value)
                continue
            self.service_wrote(row, name, row.fields[name], value)
            row.fields[name] = value
        row.revision = max(row.revision, change.revision)
        row.stamp, row.by = self.clock.now, "service"
        self._show(row)
        return Outcome(change, Result.DONE, row.id, created)

    def _rekey(self, row: OrgRow, key: str | None) -> None:
        if self.by_key.get(row.external or "") == row.id:
            del self.by_key[row.external or ""]
        row.external = key
        if key is not None:
            self.by_key[key] = row.id

    def _refusal(self, row: OrgRow, change: Change) -> Outcome | None:
        if row.deleted:
            return Outcome(change, Result.MOVED, code="ENTITY_IS_DELETED")
        if row.lock is not None:
            return Outcome(change, Result.LATER, code="UNABLE_TO_LOCK_ROW")
        if self.newer(row, change):
            return Outcome(change, Result.MOVED, code="REVISION")
        if row.fields.get("subject") == "poison" or row.fields.get("remark") == "poison":
            return Outcome(change, Result.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION")
        if self.decided(row, change):
            return Outcome(change, Result.MOVED, code="SHARED_VALUE_MOVED")
        return None

    def newer(self, row: OrgRow, change: Change) -> bool:
        """The validation rule of the package: a revision never falls."""
        return change.revision < row.revision

    def decided(self, row: OrgRow, change: Change) -> bool:
        """The validation rule on shared fields: the service replaces only what it has seen."""
        return any(name in ("note", "tag") and row.fields[name] != change.before.get(name) for name in change.fields)

    def _by_key(self, key: str) -> OrgRow | None:
        sf_id = self.by_key.get(key)
        row = self.rows.get(sf_id) if sf_id else None
        return None if row is None or row.deleted else row

    def _held_key(self, key: str) -> bool:
        return any(image.external == key for held in self.held for image in held.images.values())


class Clock:
    """The one clock of a history, in whole seconds."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 1_000_000


class ModelSession:
    """One run's way to the org; does what ``sfsync.org`` does, call by call."""

    OVERLAP = 900

    def __init__(self, org: ModelOrg, point: Callable[[str], None]) -> None:
        self.org, self._point = org, point
        self.name = org.name
        self.calls = 0

    @property
    def organization_id(self) -> str:
        """The organisation that was reached."""
        return self.org.organization_id

    def _call(self, what: str) -> str:
        """Make one API call: what happens to it, in the words of the local org's faults."""
        self._point(what)
        self.org.settle_due()
        self.calls += 1
        fates = self.org.fates
        return fates.pop(0) if fates else "ok"

    def _read(self, what: str) -> None:
        for _ in range(3):
            if self._call(what) in ("ok", "swallowed"):
                return
        raise OrgUnavailable("no answer")

    def counted(self) -> Mapping[str, int]:
        """Say nothing of how many records there are."""
        return {}

    def count(self, sobjects: Iterable[str]) -> Mapping[str, int]:
        """Say nothing of how many records there are."""
        return {}

    def check(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> None:
        """Raise SchemaDrift if the mapping does not fit."""
        if self.org.drifted:
            self._read("describe")
            raise SchemaDrift(self.name, ["Case.note is missing"])

    # --- reading ------------------------------------------------------------------------------------

    def upto(self) -> int:
        """How far a bookmark may move: the org's clock at the first answer, and its word for what is complete."""
        org = self.org
        began = [held.began for held in org.held] if org.covers else []
        return min([org.clock.now, *began])

    def since(self, mark: Bookmark | None) -> int | None:
        """From which stamp on rows are read."""
        return None if mark is None or mark.read_to is None else mark.read_to - self.OVERLAP  # type: ignore[operator, return-value]

    def finished(self, mark: Bookmark | None, upto: Any, stamps: list[int]) -> Any:
        """Where the bookmark stands once everything was absorbed; it never goes back."""
        before = mark.read_to if mark is not None else None
        return upto if before is None else max(before, upto)

    def wanted(self, row: OrgRow, since: int | None, place: tuple[int, str] | None) -> bool:
        """Whether a row belongs to the read."""
        if place is not None:
            return (row.stamp, row.id) > place
        return since is None or row.stamp >= since

    def pages(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> Iterator[Page]:
        """Yield what changed, page by page."""
        self._read("poll")
        org, size = self.org, self.org.page
        began, upto_now = org.clock.now, self.upto()
        work = []
        for name in mappings.by_object:
            mark = bookmarks.get(name)
            upto, place = upto_now, None
            if mark is not None and mark.checkpoint:
                kept, stamp, sf_id = mark.checkpoint.split("|")
                upto, place = int(kept), (int(stamp), sf_id)
            since = self.since(mark)
            rows = [row for row in org.rows.values() if row.object == name and self.wanted(row, since, place)]
            rows.sort(key=lambda r: (r.stamp, r.id))
            queue = [row.id for row in rows]
            first, rest = [self._seen(i, ids) for i in queue[:size]], queue[size:]
            gone = ()
            if mark is not None and mark.read_to is not None:
                floor = mark.read_to // 60 * 60  # type: ignore[operator]
                gone = tuple((i, at) for o, i, at in org.gone if o == name and at >= floor)
            work.append((name, mark, upto, first, rest, gone))
        silent = self._silent(bookmarks)
        for name, mark, upto, shown, rest, gone in work:
            before = mark.read_to if mark is not None else None
            stamps: list[int] = []
            told: set[str] = set()
            while rest:
                shown = [seen for seen in shown if seen is not None]
                told.update(s.sf_id for s in shown)
                stamps += [s.stamp for s in shown]  # type: ignore[misc]
                placed = [s for s in shown if s.stamp < began]  # type: ignore[operator]
                point = mark.checkpoint if mark is not None else ""
                if placed:
                    point = f"{upto}|{placed[-1].stamp}|{placed[-1].sf_id}"
                mark = Bookmark(name, before, point)
                yield Page(name, tuple(shown), mark)
                self._read("page")
                shown, rest = [self._seen(i, ids) for i in rest[:size]], rest[size:]
            shown = [seen for seen in shown if seen is not None]
            told.update(s.sf_id for s in shown)
            stamps += [s.stamp for s in shown]  # type: ignore[misc]
            last = Bookmark(name, self.finished(bookmarks.get(name), upto, stamps))
            by_id = [self._seen(i, ids) for i in silent.get(name, ()) if i not in told]
            shown += [seen for seen in by_id if seen is not None]
            yield Page(name, tuple(shown), last, gone)  # type: ignore[arg-type]

    def _silent(self, bookmarks: Mapping[str, Bookmark]) -> Mapping[str, tuple[str, ...]]:
        """What was confirmed and no read has shown, object by object: it is looked up by its id."""
        silent = {name: mark.silent for name, mark in bookmarks.items() if mark.silent}
        if silent:
            self._read("by id")
        return silent

    def _seen(self, sf_id: str, ids: Ids) -> Seen | None:
        row = self.org.rows.get(sf_id)
        if row is None:
            return None
        key = row.external or ids.to_key.get(sf_id)
        if key is None:
            key = self.org.derived.get(sf_id)
            if key is None:
                prefix = MAPPINGS.by_object[row.object].prefix
                key = self.org.derived[sf_id] = derived_key(prefix, self.organization_id, sf_id)
        return Seen(
            row.object, sf_id, key, dict(row.fields), row.stamp, row.created, row.deleted, None, row.revision, (),  # type: ignore[arg-type]
            row.by,
        )  # fmt: skip

    # --- writing ------------------------------------------------------------------------------------

    def write(self, mappings: Mappings, changes: Iterable[Change]) -> Iterator[Outcome]:
        """Carry out changes: one outcome each, a lost answer asked for again."""
        todo = list(changes)
        stopped = False
        for start in range(0, len(todo), self.org.chunk):
            chunk = todo[start : start + self.org.chunk]
            outcomes: list[Outcome] | None = None
            for _ in range(0 if stopped else 2):
                fate = self._call("write")
                if fate == "before":
                    continue
                done = [self._done(change, mappings, fate) for change in chunk]
                self._point("answer")
                if fate != "after":
                    outcomes = done
                    break
            if outcomes is None:
                stopped = True
                outcomes = [Outcome(change, Result.LATER, code="UNKNOWN_OUTCOME") for change in chunk]
            yield from self.answered(outcomes)

    def _done(self, change: Change, mappings: Mappings, fate: str) -> Outcome:
        """Carry a change out; one that is swallowed is confirmed, and nothing happens."""
        swallowed = fate == "swallowed" and change.sf_id is not None
        return Outcome(change, Result.DONE, change.sf_id) if swallowed else self.org.apply(mappings, change)

    def answered(self, outcomes: list[Outcome]) -> list[Outcome]:
        """What the caller is told of the rows."""
        return outcomes
