"""The line: one org, from org to store to org.

The only module that knows the order of the stages; no stage calls another. Killing the process
between any two steps is harmless: the bookmark moves with the data it covers, the plan is derived
again, creates are upserts on our key, and our own write coming back merges to "no change".

This module may not know SQL or Salesforce. It keeps one law: read, decide, do, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from sfsync.errors import PlanMoved, SafetyStop
from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.merge import Conflict, HandEdit, Link, Merged, merge
from sfsync.mirror.plan import Change, Outcome, Plan, Result, Unplannable, moved, plan
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen, derived_key
from sfsync.records import Values
from sfsync.rules.evaluate import Ask, Contract, Evaluation, Facts, asking, evaluate


class Org(Protocol):
    """What the line needs of an org; ``sfsync.org`` provides it."""

    @property
    def organization_id(self) -> str:
        """The organisation that was reached."""
        ...

    @property
    def name(self) -> str:
        """The org's name in the settings."""
        ...

    @property
    def calls(self) -> int:
        """API calls made so far by this session."""
        ...

    def check(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> None:
        """Raise SchemaDrift if the mapping does not fit the org; the first read may travel in the same call."""
        ...

    def pages(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> Iterable[Page]:
        """Yield what changed since the bookmarks, plus the overlap, parents before children."""
        ...

    def counted(self) -> Mapping[str, int]:
        """Return about how many live records of each object the org says it has; empty where it does not say."""
        ...

    def count(self, sobjects: Iterable[str]) -> Mapping[str, int]:
        """Return exactly how many live records of each object can be seen."""
        ...

    def write(self, mappings: Mappings, changes: tuple[Change, ...]) -> Iterable[Outcome]:
        """Carry out ``changes`` and yield exactly one outcome for each."""
        ...


class Room(Protocol):
    """What the line needs of the store: one client, one org, one transaction a call."""

    def bookmarks(self) -> Mapping[str, Bookmark]:
        """Return how far each object has been read."""
        ...

    def ids(self, sf_ids: Iterable[str], keys: Iterable[str]) -> Ids:
        """Return the pairs of id and key known for any of ``sf_ids`` or ``keys`` in this org."""
        ...

    def memories(self, object_name: str, keys: Iterable[str]) -> Mapping[str, tuple[Link | None, Values | None]]:
        """Return link and local values of each key that has either."""
        ...

    def absorb(self, page: Page, merged: Iterable[tuple[Seen, Merged]]) -> None:
        """TRANSACTION 1: local rows, links, events, conflicts and the bookmark move together.

        It may still be under way on return; what is read of a record of the page waits for it.
        """
        ...

    def rest(self) -> None:
        """Return when every page is in force, its bookmark too; raises what kept the last one from it."""
        ...

    def facts(self, now: datetime, ask: Ask | None = None) -> Facts | None:
        """Return what the rules must look at, or None when nothing was touched and nothing has come due.

        With ``ask`` only what a change can reach, where that is less than everything.
        """
        ...

    def record(self, evaluation: Evaluation, now: datetime) -> None:
        """TRANSACTION 2: postings, milestones, summaries, computed fields; what was touched is settled."""
        ...

    def unsettled(self, now: datetime) -> Iterable[tuple[Link, Values]]:
        """Return links that may differ from the local values and are not waiting in quarantine."""
        ...

    def begin(self, plan: Plan, now: datetime) -> None:
        """Note which changes are about to be tried: one that never ends is not tried for ever (P15)."""
        ...

    def settle(self, outcomes: Iterable[Outcome], refused: Iterable[Unplannable], now: datetime) -> None:
        """TRANSACTION 3: what the org accepted becomes remote and agreed; refusals go to quarantine."""
        ...

    def linked(self) -> Mapping[str, int]:
        """Return how many live records of each object this org is known to hold."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one run may do before an operator is asked."""

    max_changes: int = 50_000
    max_vanished_percent: int = 20
    min_vanished: int = 100
    """Fewer vanished records than this are never suspicious."""
    confirmed: bool = False


@dataclass(slots=True)
class Report:
    """What one run did; every number is a count of records but ``calls``."""

    org: str
    read: int = 0
    """Records the org showed, re-reads of the overlap included."""
    absorbed: int = 0
    """Records that brought the store something it did not know; our own writes coming back do not."""
    wrote: int = 0
    created: int = 0
    refused: int = 0
    later: int = 0
    conflicts: int = 0
    hand_edits: int = 0
    findings: int = 0
    calls: int = 0
    evaluated: bool = False
    details: list[HandEdit | Conflict | Unplannable | Outcome] = field(default_factory=list)


def sync_org(
    org: Org,
    room: Room,
    mappings: Mappings,
    contract: Contract,
    *,
    now: datetime,
    bounds: Bounds,
    agreed: Plan | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Report:
    """Bring org and store to agree; return what was done.

    With a plan that was ``agreed`` exactly that is written, or nothing: PlanMoved says what moved since.
    ``step`` is called with the name of each stage as it begins. Raises what the stages raise: an
    error leaves everything that was committed before it in force and nothing half-done.
    """
    report = Report(org.name)
    before = org.calls
    bookmarks = room.bookmarks()
    ids = Ids(org.organization_id)
    step("preflight")
    org.check(mappings, bookmarks, ids)
    step("extract")
    absorb(org, room, mappings, bookmarks, ids, bounds, report)
    step("evaluate")
    reckon(room, contract, now, report)
    step("plan")
    todo = planned(room, mappings, now, bounds)
    if agreed is not None and (differs := moved(agreed, todo)):
        raise PlanMoved(f"since the plan was made {len(differs)} thing(s) moved: {'; '.join(differs[:10])}")
    step("write back")
    carry_out(org, room, mappings, todo, now, report)
    report.calls = org.calls - before
    return report


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do: both directions, with what it would refuse."""

    report: Report
    plan: Plan
    evaluation: Evaluation | None


def preview(org: Org, room: Room, mappings: Mappings, contract: Contract, *, now: datetime, bounds: Bounds) -> Preview:
    """Return what ``sync_org`` would do with this room; the org is only read, and the caller throws the room away."""
    report = Report(org.name)
    before = org.calls
    bookmarks = room.bookmarks()
    ids = Ids(org.organization_id)
    org.check(mappings, bookmarks, ids)
    absorb(org, room, mappings, bookmarks, ids, bounds, report)
    evaluation = reckon(room, contract, now, report)
    todo = planned(room, mappings, now, bounds)
    report.calls = org.calls - before
    return Preview(report, todo, evaluation)


def absorb(
    org: Org,
    room: Room,
    mappings: Mappings,
    bookmarks: Mapping[str, Bookmark],
    ids: Ids,
    bounds: Bounds,
    report: Report,
) -> None:
    """Read what changed, merge it, and commit page by page together with the bookmark."""
    vanishing = Vanishing(room.linked())
    try:
        for page in org.pages(mappings, bookmarks, ids):
            before = bookmarks.get(page.object)
            first = before is None or before.read_to is None
            take_in(page, room, mappings, ids, bounds, report, vanishing, first=first)
    finally:
        room.rest()
    vanishing.compare(org, bounds)


def take_in(
    page: Page,
    room: Room,
    mappings: Mappings,
    ids: Ids,
    bounds: Bounds,
    report: Report,
    vanishing: Vanishing,
    *,
    first: bool = False,
) -> None:
    """Merge one page with what is remembered of its records, and commit it with its bookmark.

    ``first`` says that the object was never read to its end in this org.
    """
    prefixes = {mapping.object: mapping.prefix for mapping in mappings}
    mapping = mappings.by_object[page.object]
    page, memories = named(page, mapping, room, ids, vanishing)
    lookups = {str(s.wire[name]) for s in page.seen for name in mapping.lookups if s.wire.get(name)}
    held = {
        str(values[name]) for _, values in memories.values() if values for name in mapping.lookups if values.get(name)
    }
    gone = {sf_id for sf_id, _ in page.hard_deleted}
    near = room.ids(lookups | gone, held)
    ids.forget()
    ids.to_key.update(near.to_key)
    ids.to_id.update(near.to_id)
    ids.gone.update(near.gone)
    if mapping.client:  # the org names what was deleted of every client; what this one never had is not its loss
        page = replace(page, hard_deleted=tuple(one for one in page.hard_deleted if one[0] in near.to_key))
    vanishing.count(page, memories, bounds)
    report.read += len(page.seen)
    merged = []
    for seen in page.seen:
        link, local = memories.get(seen.key, (None, None))
        if mapping.client and not (first and mapping.copy):
            refuse_strangers(mapping, seen, local, ids)
        one = merge(mapping, seen, link, local, ids, prefixes)
        ids.add(seen.sf_id, seen.key)
        if one.conflicts or one.hand_edits:
            report.conflicts += len(one.conflicts)
            report.hand_edits += len(one.hand_edits)
            report.details += [*one.conflicts, *one.hand_edits]
        if one.changed:
            report.absorbed += one.new or bool(one.local) or (link is not None and link.deleted != seen.deleted)
            merged.append((seen, one))
    room.absorb(page, merged)


Memories = Mapping[str, tuple[Link | None, Values | None]]


def named(page: Page, mapping: ObjectMapping, room: Room, ids: Ids, vanishing: Vanishing) -> tuple[Page, Memories]:
    """Return the page with each record under the key it is known by, and what is remembered of these keys.

    A record is who its id says, whatever a person wrote into its key field: that is noted and put back. A record that
    nobody knows and that carries the key of a living one is known by its own, derived key.
    """
    if mapping.key is None:
        return page, room.memories(page.object, [s.key for s in page.seen])
    known = room.ids((s.sf_id for s in page.seen), ()).to_key if vanishing.known.get(page.object) else {}
    taken = {known[s.sf_id] for s in page.seen if s.sf_id in known and not s.deleted}
    seen = [] if known else list(page.seen)
    for one in page.seen if known else ():
        own = known.get(one.sf_id)
        if own is None and one.key in taken and not one.deleted:
            own = derived_key(mapping.prefix, ids.organization_id, one.sf_id)
        seen.append(_under(own or one.key, one, mapping, ids))
    memories = room.memories(page.object, [s.key for s in seen])
    if not known and not memories:
        return page, memories
    gone = {s.sf_id for s in seen if s.deleted} | {sf_id for sf_id, _ in page.hard_deleted}
    for at, one in enumerate(seen):
        link, _ = memories.get(one.key, (None, None))
        if link is None or link.sf_id in (None, one.sf_id) or link.deleted or one.deleted or link.sf_id in gone:
            continue
        seen[at] = _under(derived_key(mapping.prefix, ids.organization_id, one.sf_id), one, mapping, ids)
        memories = {**memories, **room.memories(page.object, [seen[at].key])}
    return replace(page, seen=tuple(seen)), memories


def _under(key: str, seen: Seen, mapping: ObjectMapping, ids: Ids) -> Seen:
    """Return ``seen`` under ``key``, noting what its key field holds if that is something else."""
    if key == seen.key:
        return seen
    derived = derived_key(mapping.prefix, ids.organization_id, seen.sf_id)
    held = "" if seen.key == derived else mapping.external(seen.key)
    return replace(seen, key=key, miskeyed=held)


def refuse_strangers(mapping: ObjectMapping, seen: Seen, local: Values | None, ids: Ids) -> None:
    """Raise SafetyStop for a row of a hub that does not hang together with what this client has.

    A copy is of a record that the client has; what consultants add is about a record that the client has. So a key that
    somebody edited in the hub moves nothing from one client to another. Only the first read of a hub takes copies of
    records that the client no longer has, as deleted ones: a store that was lost finds them there.
    """
    about = str(seen.wire.get(mapping.about) or "") if mapping.about else ""
    if (mapping.copy and local is None) or (about and about not in ids.to_key):
        raise SafetyStop(
            f"{mapping.object} {seen.sf_id} in the hub is not, or is not about, a record of {mapping.client}; nothing "
            "of it was stored. Correct it in the hub"
        )


@dataclass(slots=True)
class Vanishing:
    """How many records of each object vanished in this run, and how many there were."""

    known: Mapping[str, int]
    fresh: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    """Of all objects, and only what was known to be alive."""

    def count(self, page: Page, memories: Mapping[str, tuple[Link | None, Values | None]], bounds: Bounds) -> None:
        """Add a page's deletions; SafetyStop once they are more than anybody deletes on purpose (D4).

        Counted over the whole run, so that small pages hide nothing. What was already known to be deleted
        does not count again.
        """
        already = sum(1 for link, _ in memories.values() if link is not None and link.deleted)
        vanished = sum(seen.deleted for seen in page.seen) + len(page.hard_deleted) - already
        fresh = self.fresh[page.object] = self.fresh.get(page.object, 0) + max(0, vanished)
        known = self.known.get(page.object, 0)
        if bounds.confirmed:
            return
        everything = sum(self.known.values())
        alive = {key for key, (link, _) in memories.items() if link is not None and not link.deleted}
        self.lost += sum(seen.deleted and seen.key in alive for seen in page.seen) + min(known, len(page.hard_deleted))
        if self.lost >= everything >= SOMETHING:
            raise SafetyStop(
                f"every one of {everything} records of this org was deleted; nothing was written. Confirm with: "
                "sfsync sync ORG --confirm"
            )
        if fresh < bounds.min_vanished:
            return
        if fresh * 100 > known * bounds.max_vanished_percent:
            raise SafetyStop(
                f"{fresh} of {known} {page.object} records were deleted at once; no hour was reversed and nothing was "
                "written. Confirm with: sfsync sync ORG --confirm"
            )

    def compare(self, org: Org, bounds: Bounds) -> None:
        """SafetyStop if the org has far fewer records than were there less those it says were deleted (D4).

        Emptied, truncated or reset, an org names none of what is gone. Its estimate came with the first call of the
        run; only where that looks wrong it is asked to count.
        """
        if bounds.confirmed:
            return
        there = {name: count - self.fresh.get(name, 0) for name, count in self.known.items()}
        doubtful = missing(there, org.counted(), bounds)
        lost = missing(there, org.count(doubtful), bounds) if doubtful else {}
        if lost:
            said = ", ".join(f"{shown} of {there[name]} {name}" for name, shown in lost.items())
            raise SafetyStop(
                f"the org shows only {said} records and names no deletion: it was emptied or reset, or they are hidden "
                "from the integration user. No hour was moved and nothing was written. Look with: sfsync audit run "
                "ORG; if it is right so: sfsync audit run ORG --repair --confirm, then sfsync org resume ORG"
            )


def missing(there: Mapping[str, int], shown: Mapping[str, int], bounds: Bounds) -> dict[str, int]:
    """Return the objects of which far too few are shown, with how many are; an object of which nothing is said is not.

    Too few are fewer than the bound allows of one object, or none at all of all objects together.
    """
    said = {name: count for name, count in there.items() if name in shown and count > 0}
    if sum(said.values()) >= SOMETHING and not any(shown[name] for name in said):
        return dict.fromkeys(said, 0)
    return {
        name: shown[name]
        for name, count in said.items()
        if count - shown[name] >= bounds.min_vanished
        and (count - shown[name]) * 100 > count * bounds.max_vanished_percent
    }


SOMETHING = 10
"""An org with fewer records than this may be emptied without a question."""


def reckon(room: Room, contract: Contract, now: datetime, report: Report) -> Evaluation | None:
    """Apply the rules to what was touched or has come due, and commit what they say."""
    ask: Ask | None = asking(contract, now)
    while ask is not None:
        facts = room.facts(now, ask)
        if facts is None:
            return None
        evaluation = evaluate(contract, facts, now)
        ask = evaluation.ask
    room.record(evaluation, now)
    report.evaluated = True
    report.findings = len(evaluation.findings)
    return evaluation


def planned(room: Room, mappings: Mappings, now: datetime, bounds: Bounds) -> Plan:
    """Return what is to be written; SafetyStop if it is more than the bound."""
    records = list(room.unsettled(now))
    keys = {str(v[name]) for link, v in records for name in mappings.by_object[link.object].lookups if v.get(name)}
    todo = plan(mappings, records, room.ids((), keys))
    if len(todo.changes) > bounds.max_changes and not bounds.confirmed:
        raise SafetyStop(
            f"this run would write {len(todo.changes)} records, more than the bound of {bounds.max_changes}; "
            "nothing was written. Look with: sfsync plan ORG; go on with: sfsync sync ORG --confirm"
        )
    return todo


def carry_out(org: Org, room: Room, mappings: Mappings, todo: Plan, now: datetime, report: Report) -> None:
    """Write the plan to the org and commit each outcome, chunk by chunk."""
    report.refused += len(todo.refused)
    report.details += todo.refused
    room.begin(todo, now)
    if todo.refused:
        room.settle((), todo.refused, now)
    chunk: list[Outcome] = []
    for outcome in org.write(mappings, todo.changes) if todo.changes else ():
        chunk.append(outcome)
        _count(outcome, report)
        if len(chunk) >= SETTLE_ROWS:
            room.settle(chunk, (), now)
            chunk = []
    if chunk:
        room.settle(chunk, (), now)


SETTLE_ROWS = 1000
"""One composite call writes 1,000 rows: a crash repeats at most that many idempotent upserts."""


def _count(outcome: Outcome, report: Report) -> None:
    match outcome.result:
        case Result.DONE:
            report.wrote += 1
            report.created += outcome.created
        case Result.REJECTED:
            report.refused += 1
            report.details.append(outcome)
        case _:
            report.later += 1
            report.details.append(outcome)
