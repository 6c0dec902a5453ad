"""The first call of a run: everything that may have changed in an org, asked at once.

Up to five objects are queried; the others are watched through ``updated``, which is no query, so that a quiet org with
more than five mapped objects still costs one API call. This module may not know how records are read. It keeps one law:
a bookmark never passes the org's own word for what is complete (``latestDateCovered``), nor the org's clock at the
first answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.translate import Bookmark, Ids, Untranslatable, long_id, parse_instant
from sfsync.org.composite import MAX_COSTLY, MAX_SUBREQUESTS, Sub, SubAnswer, read_all
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.place import Place, since
from sfsync.org.rows import RowReader
from sfsync.org.schema import ObjectSeen
from sfsync.org.session import OrgSession
from sfsync.org.soql import query_path, replication_path

log = logging.getLogger("sfsync.org")

MINUTE = timedelta(minutes=1)
UPDATED_MEMORY = timedelta(days=29)
"""How far back ``updated`` is asked; Salesforce remembers 30 days."""
DELETED_MEMORY = timedelta(days=14, hours=23)
"""How far back ``deleted`` is asked; Salesforce remembers 15 days."""
AHEAD = "replication ahead of now"
COUNTS = "counts"


@dataclass(slots=True)
class Opening:
    """What the first call answered, by object."""

    at: datetime
    """No later than the org's clock when it began to look: what is committed from then on may be missing."""
    describes: dict[str, SubAnswer] = field(default_factory=dict)
    queries: dict[str, SubAnswer] = field(default_factory=dict)
    """First pages; a refused query is an answer too."""
    changed: dict[str, frozenset[str]] = field(default_factory=dict)
    """Ids that ``updated`` named, for objects that were watched and not queried."""
    deleted: dict[str, dict[str, datetime]] = field(default_factory=dict)
    """Ids that ``deleted`` named; to be confirmed before they are believed."""
    counts: dict[str, int] = field(default_factory=dict)
    """About how many live records of each object there are, in the org's own words; empty where it did not say."""
    complete_to: datetime | None = None
    """The least ``latestDateCovered``: a transaction older than this may still be running."""

    @property
    def upto(self) -> datetime:
        """How far the bookmarks may move once everything of this run was absorbed."""
        return self.at if self.complete_to is None else min(self.at, self.complete_to)


def readers(mappings: Mappings, seen: Mapping[str, ObjectSeen], ids: Ids, user_id: str) -> dict[str, RowReader]:
    """Return a reader for each mapped object, parents before children."""
    return {m.object: RowReader(m, seen[m.object], ids, user_id) for m in mappings if m.object in seen}


def describe_sub(mapping: ObjectMapping, seen: ObjectSeen | None) -> Sub:
    """Return the request for an object's describe, conditional if it was seen before."""
    headers = {"If-Modified-Since": seen.changed} if seen is not None else {}
    return Sub("GET", f"sobjects/{mapping.object}/describe", headers=headers, kind="describe")


def open_run(
    session: OrgSession,
    reading: Mapping[str, RowReader],
    bookmarks: Mapping[str, Bookmark],
    *,
    overlap: timedelta,
    describes: Sequence[Sub] = (),
) -> Opening:
    """Ask for everything that may have changed since the bookmarks; 1 API call for up to five queried objects.

    ``describes`` travel along, one for each of ``reading`` in its order, or none. If our clock turns out to be so far
    behind the org's that ``updated`` was asked about the past, all is asked once more.
    """
    now = session.org_now()
    queried = _queried(session, reading, bookmarks, now)
    subs: list[Sub] = []
    names: list[tuple[str, str]] = []

    def add(kind: str, sobject: str, sub: Sub) -> None:
        names.append((kind, sobject))
        subs.append(sub)

    for sobject in queried:
        statement = first_query(reading[sobject], bookmarks.get(sobject), overlap)
        add("query", sobject, Sub("GET", query_path(statement, all_rows=True), kind="query"))
    for sobject in reading:
        for kind in ("updated", "deleted"):
            window = _window(session, kind, bookmarks.get(sobject), now)
            watched = sobject not in queried and _watchable(session, sobject, bookmarks.get(sobject), now)
            if (kind == "deleted" or watched) and f"{kind} {sobject}" not in session.refused:
                add(kind, sobject, Sub("GET", replication_path(sobject, kind, *window), kind=kind))
    for sobject, sub in zip(reading, describes, strict=bool(describes)):
        add("describe", sobject, sub)
    if 1 < len(subs) < MAX_SUBREQUESTS and bookmarks and not {"composite", COUNTS} & session.refused:
        add("counts", "", Sub("GET", f"limits/recordCount?sObjects={','.join(reading)}"))
    answers = read_all(session, subs)
    opening = Opening(at=answers[0].at if answers else now)
    for (kind, sobject), answer in zip(names, answers, strict=True):
        opening.at = min(opening.at, answer.at)
        match kind:
            case "query":
                opening.queries[sobject] = answer
            case "describe":
                opening.describes[sobject] = answer
            case "counts":
                opening.counts = _counts(session, list(reading), answer)
            case _:
                _replicated(session, opening, kind, sobject, answer, bookmarks.get(sobject))
    behind = session.org_now() - now
    if behind > overlap and any(kind == "updated" for kind, _ in names):
        log.warning("%s: our clock is %s behind the org's; asked again by the org's clock", session.name, behind)
        return open_run(session, reading, bookmarks, overlap=overlap, describes=describes)
    return opening


def _counts(session: OrgSession, names: Sequence[str], answer: SubAnswer) -> dict[str, int]:
    """Return the org's estimates; it leaves out objects without a record. A refusal is done without."""
    rows = answer.body.get("sObjects") if answer.ok and isinstance(answer.body, dict) else None
    if not isinstance(rows, list):
        session.refused.add(COUNTS)
        return {}
    said = {str(row.get("name")): int(row.get("count") or 0) for row in rows}
    return {sobject: said.get(sobject, 0) for sobject in names}


def first_query(reader: RowReader, bookmark: Bookmark | None, overlap: timedelta) -> str:
    """Return the query with which reading an object begins: everything, or since the bookmark less the overlap."""
    place = Place.parse(bookmark.checkpoint if bookmark else "")
    return str(reader.select(*since(bookmark, place, overlap)))


def _queried(
    session: OrgSession, reading: Mapping[str, RowReader], bookmarks: Mapping[str, Bookmark], now: datetime
) -> list[str]:
    """Return the at most five objects to query: first those that cannot be watched, then those people write most."""
    loading = {s for s in reading if Place.parse(_checkpoint(bookmarks.get(s))).job}
    must = [s for s in reading if not _watchable(session, s, bookmarks.get(s), now)]
    lively = sorted(reading, key=lambda s: -_liveliness(reading[s].mapping))
    chosen = set([s for s in dict.fromkeys([*must, *lively]) if s not in loading][:MAX_COSTLY])
    return [s for s in reading if s in chosen]


def _liveliness(mapping: ObjectMapping) -> int:
    """How many fields of an object people write; one with events must be queried to read them along."""
    theirs = sum(line.owner != "service" and line.formula is None for line in mapping.fields.values())
    return theirs + 1000 * bool(mapping.events.history or mapping.events.comments)


def _checkpoint(bookmark: Bookmark | None) -> str:
    return bookmark.checkpoint if bookmark else ""


def _watchable(session: OrgSession, sobject: str, bookmark: Bookmark | None, now: datetime) -> bool:
    """True if ``updated`` can say what changed: it is offered, and remembers as far back as the bookmark."""
    if f"updated {sobject}" in session.refused or bookmark is None or bookmark.read_to is None:
        return False
    return bookmark.read_to > now - UPDATED_MEMORY


def _window(session: OrgSession, kind: str, bookmark: Bookmark | None, now: datetime) -> tuple[datetime, datetime]:
    """Return start and end in whole minutes: from the bookmark, which was complete, to just ahead of now."""
    minute = now.replace(second=0, microsecond=0)
    end = minute if AHEAD in session.refused else minute + 2 * MINUTE
    memory = UPDATED_MEMORY if kind == "updated" else DELETED_MEMORY
    start = bookmark.read_to if bookmark is not None and bookmark.read_to is not None else minute
    if start < now - memory:
        if kind == "deleted":
            log.warning("%s: deletes before %s are beyond the org's memory: run an audit", session.name, now - memory)
        start = now - memory
    return min(start.replace(second=0, microsecond=0), end - 2 * MINUTE), end


def _replicated(
    session: OrgSession, opening: Opening, kind: str, sobject: str, answer: SubAnswer, bookmark: Bookmark | None
) -> None:
    """Take an answer of ``updated`` or ``deleted`` into the opening; a refusal is remembered and done without."""
    if not answer.ok:
        answer = _asked_again(session, kind, sobject, answer, bookmark)
    if not answer.ok:
        log.warning("%s: %s %s refused: %s", session.name, sobject, kind, answer.fault.message)
        if answer.fault.code not in ("INVALID_REPLICATION_DATE", "EXCEEDED_ID_LIMIT"):
            session.refused.add(f"{kind} {sobject}")
        return
    body = answer.body
    if not isinstance(body, dict):
        raise OutcomeUnknown(f"{sobject} {kind}: the answer is no object")
    covered = _instant(body.get("latestDateCovered"))
    if covered is not None:
        opening.complete_to = covered if opening.complete_to is None else min(opening.complete_to, covered)
    if kind == "updated":
        opening.changed[sobject] = frozenset(long_id(str(i)) for i in body.get("ids") or ())
        return
    earliest = _instant(body.get("earliestDateAvailable"))
    if bookmark is not None and bookmark.read_to is not None and earliest is not None and earliest > bookmark.read_to:
        log.warning("%s: %s: deletes before %s were purged in the org: run an audit", session.name, sobject, earliest)
    gone = {}
    for row in body.get("deletedRecords") or ():
        gone[long_id(str(row["id"]))] = _instant(row.get("deletedDate")) or opening.at
    opening.deleted[sobject] = gone


def _asked_again(
    session: OrgSession, kind: str, sobject: str, answer: SubAnswer, bookmark: Bookmark | None
) -> SubAnswer:
    """Ask once more with the window ended now, in case this org accepts no end ahead of its clock."""
    if answer.fault.code != "INVALID_REPLICATION_DATE" or AHEAD in session.refused:
        return answer
    session.refused.add(AHEAD)
    window = _window(session, kind, bookmark, session.org_now())
    again = read_all(session, [Sub("GET", replication_path(sobject, kind, *window), kind=kind)])[0]
    if not again.ok:
        session.refused.discard(AHEAD)
    return again


def _instant(value: Any) -> datetime | None:
    try:
        return parse_instant(str(value)) if value else None
    except Untranslatable:
        return None
