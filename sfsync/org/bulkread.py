"""A large read through Bulk query jobs, streamed, with a checkpoint after every page of rows.

First the records, then each kind of their events, because Bulk knows no child subqueries. This module may not know
where pages go. It keeps one law: a load that was killed goes on behind the last page that was absorbed, and no more
than one page is ever in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sfsync.errors import OrgError
from sfsync.mirror.translate import Bookmark, Page, Seen, parse_instant
from sfsync.org import bulk
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.place import Place, instant, since, written
from sfsync.org.rows import EventSource, RowReader
from sfsync.org.session import OrgSession
from sfsync.org.soql import Select, compare
from sfsync.org.whose import only_ours

log = logging.getLogger("sfsync.org")

PAGE_ROWS = 5_000
"""Rows of one page handed out: one transaction of the store."""
RESULT_ROWS = 250_000
"""Rows asked for in one results call: a million rows are four calls, streamed."""
MAX_RESTARTS = 3
_GONE = frozenset(("NOT_FOUND", "INVALIDJOB", "INVALIDJOBID", "INVALIDJOBSTATE", "INVALID_QUERY_LOCATOR"))


@dataclass(slots=True)
class Load:
    """One object's large read."""

    reader: RowReader
    bookmark: Bookmark
    upto: datetime
    place: Place
    overlap: timedelta
    expected: int
    """Rows the org counted."""
    started: dict[int, str] = field(default_factory=dict)
    """Jobs that run already, by part."""
    started_reading: float = 0.0

    @property
    def parts(self) -> int:
        """The records, and each kind of their events."""
        return 1 + len(self.reader.sources)

    def start(self, session: OrgSession) -> None:
        """Start the jobs of every part that is still to be read, so that they run side by side; 1 API call each."""
        for part in range(self.place.part, self.parts):
            if part != self.place.part or not self.place.job:
                self.started[part] = bulk.start_query(session, str(self._query(part))).id
        self.started_reading = session.clock.monotonic()

    def pages(self, session: OrgSession) -> Iterator[Page]:
        """Yield the object's pages; the last one moves the bookmark and clears the checkpoint."""
        upto = self.place.upto or written(self.upto)
        place = replace(self.place, upto=upto, stamp="", sf_id="")
        restarts = 0
        while place.part < self.parts:
            try:
                if not place.job:
                    known = self.started.pop(place.part, "")
                    job = known or bulk.start_query(session, str(self._query(place.part))).id
                    place = replace(place, job=job, locator="", row=0)
                    yield self._page((), place)
                for page, reached in self._results(session, place):
                    yield page
                    place = reached
                place = Place(upto=upto, part=place.part + 1)
            except (bulk.JobFailed, OutcomeUnknown, OrgError) as bad:
                restarts += 1
                if restarts > MAX_RESTARTS or not _worth_another(bad):
                    raise
                log.warning("%s: %s: the load goes on from its checkpoint", self.reader.mapping.object, bad)
                if not isinstance(bad, OutcomeUnknown):
                    place = Place(upto=upto, part=place.part)
                session.wait(restarts)
        yield Page(self.reader.mapping.object, (), self.finished())

    def finished(self) -> Bookmark:
        """Return the bookmark once everything of this load was absorbed; it never goes back."""
        before = self.bookmark.read_to
        done = instant(self.place.upto) if self.place.upto else self.upto
        refreshed_at = self.bookmark.refreshed_at or done
        read_to = max(before, done) if before else done
        return replace(self.bookmark, read_to=read_to, checkpoint="", refreshed_at=refreshed_at)

    def _page(self, seen: Sequence[Seen], place: Place) -> Page:
        name = self.reader.mapping.object
        return Page(name, tuple(seen), replace(self.bookmark, checkpoint=str(place)))

    def _query(self, part: int) -> Select:
        """Return the query of a part: no order, so that Salesforce may read in pieces."""
        records = self.reader.select(*since(self.bookmark, Place(), self.overlap), events=False)
        if part == 0:
            return replace(records, order=())
        source = self.reader.sources[part - 1]
        stamp, created = f"{source.above}.SystemModstamp", f"{source.above}.CreatedDate"
        mapping = self.reader.mapping
        key = [f"{source.above}.{path}" for path in (mapping.key, mapping.whose) if path]
        where = [
            only_ours(mapping, f"{source.above}."),
            source.where,
            compare(created, "<", instant(self.place.upto) if self.place.upto else self.upto),
        ]
        if self.bookmark.read_to is not None:
            where.append(compare(stamp, ">=", self.bookmark.read_to - self.overlap))
        return Select((*source.fields, source.parent, stamp, *key), source.child).having(*where)

    def _results(self, session: OrgSession, place: Place) -> Iterator[tuple[Page, Place]]:
        """Yield each page of a job's results from ``place`` on, with the place behind it."""
        if not place.locator and not place.row:
            ready = self.started_reading + max(bulk.SHORTEST_LOOK, self.expected / bulk.READ_A_SECOND)
            job = bulk.wait_for(session, "query", place.job, ready - session.clock.monotonic())
            if job.state != "JobComplete":
                raise bulk.failure(job)
        locator, skip = place.locator, place.row
        while True:
            found = bulk.results(session, place.job, locator, RESULT_ROWS)
            read = self._row_reader(place.part, found.header)
            rows = islice(found.rows, skip, None) if skip else found.rows
            row = skip
            for seen in _read_pages(rows, read):
                row += len(seen)
                here = replace(place, locator=locator, row=row)
                yield self._page(seen, here), here
            if not found.following:
                return
            locator, skip = found.following, 0

    def _row_reader(self, part: int, header: Sequence[str]) -> Callable[[Sequence[Sequence[str]]], list[Seen]]:
        if part == 0:
            return self.reader.from_csv(header)
        read = self._event_reader(self.reader.sources[part - 1], header)
        return lambda rows: [read(row) for row in rows]

    def _event_reader(self, source: EventSource, header: Sequence[str]) -> Callable[[Sequence[str]], Seen]:
        """Return a reader of event rows: each becomes a sight of its record that shows nothing but the event.

        Records created since this load began are left out: the next poll reads them with their events.
        """
        names = list(header)
        stamp = f"{source.above}.SystemModstamp"
        mapping = self.reader.mapping
        key_column, whose_column = (f"{source.above}.{path}" if path else "" for path in (mapping.key, mapping.whose))

        def read(row: Sequence[str]) -> Seen:
            cells: dict[str, Any] = dict(zip(names, row, strict=True))
            sf_id = cells[source.parent]
            key = self.reader.key_of(sf_id, cells.get(key_column, ""), cells.get(whose_column, ""))
            cells["CreatedBy"] = {"Username": cells.get("CreatedBy.Username", "")}
            event = self.reader.event(source, key, cells)
            return Seen(self.reader.mapping.object, sf_id, key, {}, parse_instant(cells[stamp]), events=(event,))

        return read


def _read_pages(
    rows: Iterator[list[str]], read: Callable[[Sequence[Sequence[str]]], list[Seen]]
) -> Iterator[list[Seen]]:
    while page := read(list(islice(rows, PAGE_ROWS))):  # while it waits to be asked for, no row of CSV is kept
        yield page


def _worth_another(bad: OrgError) -> bool:
    """Return whether another job may do better; where one hung for half an hour, pages are the shorter way."""
    if isinstance(bad, bulk.JobStuck):
        return False
    return isinstance(bad, bulk.JobFailed | OutcomeUnknown) or bad.code.upper() in _GONE
