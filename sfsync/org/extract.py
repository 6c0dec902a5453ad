"""Everything that changed in an org, page by page, each page with the bookmark that is true once it was absorbed.

This module may not know what the records mean or where they are kept. It keeps one law: no record is skipped, however
long its transaction ran and wherever the reading was cut short; what is read twice is read twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sfsync.errors import OrgBusy, RecordMoved, RecordRejected, SchemaDrift
from sfsync.mapping import Mappings
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen, long_id
from sfsync.org import bulk, bulkread, paging, poll, refresh, soql
from sfsync.org.ahead import ahead
from sfsync.org.composite import Sub, SubAnswer, read_all
from sfsync.org.paging import Pager, Row
from sfsync.org.place import Place, instant, since, written
from sfsync.org.preflight import Preflight
from sfsync.org.rows import RowReader
from sfsync.org.session import OrgSession
from sfsync.org.soql import among, query_path

log = logging.getLogger("sfsync.org")

BY_ID = 200
"""Records asked for by id in one query."""


@dataclass(slots=True)
class _Reading:
    """One object being read."""

    reader: RowReader
    bookmark: Bookmark
    """As it was when the run began, with the schema that preflight saw."""
    upto: datetime
    place: Place
    pager: Pager
    asked: bool = False
    """The first page was asked for."""
    watched: frozenset[str] | None = None
    """What ``updated`` named, where the object was watched and not queried."""
    gone: dict[str, datetime] = field(default_factory=dict)
    """What ``deleted`` named and nothing confirms yet."""
    silent: set[str] = field(default_factory=set)
    """What we wrote, with the org's word for it, and no read has shown."""
    by_id: list[Row] = field(default_factory=list)
    hard_deleted: list[tuple[str, datetime]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.reader.mapping.object

    def finished(self) -> Bookmark:
        """The bookmark once everything of this run was absorbed; it never goes back."""
        before = self.bookmark.read_to
        upto = instant(self.place.upto) if self.place.upto else self.upto
        refreshed_at = self.bookmark.refreshed_at or upto
        read_to = max(before, upto) if before else upto
        return replace(self.bookmark, read_to=read_to, checkpoint="", refreshed_at=refreshed_at)

    def behind(self, last: tuple[datetime, str]) -> Bookmark:
        """The bookmark once everything up to the row ``last`` was absorbed."""
        place = Place(upto=self.place.upto or written(self.upto), stamp=written(last[0]), sf_id=last[1])
        return replace(self.bookmark, checkpoint=str(place))


def extract(
    session: OrgSession,
    mappings: Mappings,
    bookmarks: Mapping[str, Bookmark],
    ids: Ids,
    checked: Preflight,
    *,
    overlap: timedelta | None = None,
) -> Iterator[Page]:
    """Yield what changed since ``bookmarks``, parents before children.

    Each page is to be absorbed in one transaction with its bookmark. The last page of an object moves its bookmark to
    what is complete by the org's own word; earlier pages carry a checkpoint from which a run that was cut short goes
    on. A quiet org costs no call beyond the one that preflight made. Raises OrgError; pages yielded before stay true.
    """
    try:
        yield from _extract(session, mappings, bookmarks, ids, checked, overlap)
    except RecordRejected as bad:  # a query that the org refuses although the describe was right
        raise SchemaDrift(session.name, [" ".join(bad.message.split())]) from None


def _extract(
    session: OrgSession,
    mappings: Mappings,
    bookmarks: Mapping[str, Bookmark],
    ids: Ids,
    checked: Preflight,
    overlap: timedelta | None,
) -> Iterator[Page]:
    overlap = overlap or timedelta(seconds=session.settings.overlap_seconds)
    reading = poll.readers(mappings, checked.seen, ids, session.user_id)
    opening = checked.opening or poll.open_run(session, reading, bookmarks, overlap=overlap)
    schema = checked.schema_seen
    work = [
        _begin(reader, replace(bookmarks.get(name) or Bookmark(name), schema_seen=schema[name]), opening, overlap)
        for name, reader in reading.items()
    ]
    for one in work:
        if one.name in checked.redefined and one.bookmark.read_to is not None:
            one.bookmark = replace(one.bookmark, refreshed_at=refresh.NEVER)
    _ask_first_pages(session, work)
    _ask_by_id(session, [one for one in work if one.pager.done and not one.place.job])
    loads = _start_loads(session, work, overlap)
    pages = _in_turn(session, work, loads, opening, overlap)
    yield from ahead(pages) if loads else pages


def _in_turn(
    session: OrgSession,
    work: Sequence[_Reading],
    loads: Mapping[str, bulkread.Load],
    opening: poll.Opening,
    overlap: timedelta,
) -> Iterator[Page]:
    """Yield the pages of one object after the other."""
    moved: dict[str, set[str]] = {}
    for position, one in enumerate(work):
        others = [o.pager for o in work[position + 1 :] if o.name not in loads]
        if one.name in loads:
            try:
                if one.gone or one.silent or one.by_id or one.hard_deleted:
                    yield _gone(session, one)
                yield from loads[one.name].pages(session)
                if not one.place.job:
                    continue
                one.bookmark = loads[one.name].finished()  # the job was an earlier run's: what changed since is next
            except bulk.JobFailed as bad:
                log.warning("%s: %s: its rows are read page by page", one.name, bad)
            _begin_again(session, one, opening, overlap)
        before = one.bookmark.read_to
        for page in _pages(session, one, others):
            yield page
            if before is not None:
                moved.setdefault(one.name, set()).update(s.sf_id for s in page.seen if s.stamp >= before)
        if before is not None:
            yield from _calculated(session, one, moved)


def _calculated(session: OrgSession, one: _Reading, moved: Mapping[str, set[str]]) -> Iterator[Page]:
    """Yield records whose calculated fields may have changed without a stamp, each under the bookmark that is true.

    Those whose parents moved in this run: a query for 200 parents, five to a call. All of them, where the cadence or a
    new formula asks for it: 2,000 records a page, five pages a call.
    """
    mapping, done = one.reader.mapping, one.finished()
    wanted = list(refresh.kin(mapping, moved))
    too_many = any(len(sf_ids) > refresh.KIN_MOST for _, sf_ids in wanted)
    if too_many or refresh.due(mapping, one.bookmark.refreshed_at, one.upto, session.settings.formula_hours):
        pager = Pager(one.reader.select(events=False), one.upto)
        pager.take([pager.first()], read_all(session, [pager.first()]))
        while pager.ready or not pager.done:
            if not pager.ready:
                paging.fetch(session, pager, ())
                continue
            yield Page(one.name, tuple(one.reader.from_json(row, _no_children) for row in pager.ready.popleft()), done)
        yield Page(one.name, (), replace(done, refreshed_at=one.upto))
        return
    asked = [among(api, part) for api, sf_ids in wanted for part in soql.chunked(sf_ids, BY_ID)]
    queries = [query_path(one.reader.select(condition, events=False), all_rows=True) for condition in asked]
    for answer in read_all(session, [Sub("GET", path, kind="query") for path in queries]):
        rows = _all_rows(session, answer)
        yield Page(one.name, tuple(one.reader.from_json(row, _no_children) for row in rows), done)


def _no_children(_relationship: str, _value: Row) -> Iterator[Row]:
    return iter(())


def _start_loads(session: OrgSession, work: Sequence[_Reading], overlap: timedelta) -> dict[str, bulkread.Load]:
    """Start the Bulk jobs of every large object, so that they run side by side; without Bulk it is read by pages."""
    loads = {}
    for one in work:
        if not _is_large(session, one):
            continue
        load = bulkread.Load(one.reader, one.bookmark, one.upto, one.place, overlap, one.pager.total)
        try:
            load.start(session)
        except (OrgBusy, RecordRejected, RecordMoved) as bad:
            if one.place.job or bad.code == "REQUEST_LIMIT_EXCEEDED":
                raise
            log.warning("%s: no Bulk job: %s: its rows are read page by page", one.name, bad)
            continue
        one.pager.ready.clear()
        loads[one.name] = load
    return loads


def _gone(session: OrgSession, one: _Reading) -> Page:
    """Return what was named deleted, looked up by id; the bookmark stays where it is."""

    def child_rows(_relationship: str, value: Row) -> Iterator[Row]:
        return paging.children(session, value)

    if one.gone or one.silent:
        _ask_by_id(session, [one])
    seen = tuple(one.reader.from_json(row, child_rows) for row in one.by_id)
    return Page(one.name, seen, one.bookmark, tuple(one.hard_deleted))


def _begin_again(session: OrgSession, one: _Reading, opening: poll.Opening, overlap: timedelta) -> None:
    """Read an object page by page from its bookmark, after or instead of a Bulk job."""
    one.place, one.by_id, one.hard_deleted = Place(), [], []
    one.asked, one.watched = False, None
    one.pager = Pager(one.reader.select(*since(one.bookmark, one.place, overlap)), opening.at)
    _ask_first_pages(session, [one])


def _is_large(session: OrgSession, one: _Reading) -> bool:
    return bool(one.place.job) or one.pager.total > session.settings.bulk_above_rows


def _begin(reader: RowReader, bookmark: Bookmark, opening: poll.Opening, overlap: timedelta) -> _Reading:
    name = reader.mapping.object
    place = Place.parse(bookmark.checkpoint)
    pager = Pager(reader.select(*since(bookmark, place, overlap)), opening.at)
    one = _Reading(reader, bookmark, opening.upto, place, pager, silent=set(bookmark.silent))
    if bookmark.read_to is not None:
        one.gone = dict(opening.deleted.get(name, {}))
    if name in opening.queries:
        pager.take([pager.first()], [opening.queries[name]])
        one.asked = True
    elif len(opening.changed.get(name, ())) <= BY_ID:
        one.watched = opening.changed.get(name)
    return one


def _ask_first_pages(session: OrgSession, work: Sequence[_Reading]) -> None:
    """Query the objects that the opening had no room for, five to a call."""
    late = [one for one in work if not one.asked and one.watched is None and not one.place.job]
    answers = read_all(session, [one.pager.first() for one in late])
    for one, answer in zip(late, answers, strict=True):
        one.pager.take([one.pager.first()], [answer])
        one.asked = True


def _ask_by_id(session: OrgSession, work: Sequence[_Reading]) -> None:
    """Read what ``updated`` and ``deleted`` named and no page shows, five queries to a call.

    What was named deleted and cannot be found by its id at all is gone for good (confirmed before it is believed).
    """
    asked: list[tuple[_Reading, list[str]]] = []
    for one in work:
        for rows in one.pager.ready:
            _forget_shown(one, rows)
        wanted = sorted({*(one.watched or ()), *one.gone, *one.silent})
        if one.silent:
            log.warning(
                "%s: %s: the org confirmed %d write(s) that no read has shown since: they are looked up by id",
                session.name, one.name, len(one.silent),
            )  # fmt: skip
        asked += [(one, list(part)) for part in soql.chunked(wanted, BY_ID)]
    answers = read_all(session, [_by_id(one, part) for one, part in asked])
    for (one, part), answer in zip(asked, answers, strict=True):
        rows = _all_rows(session, answer)
        one.by_id += rows
        found = {long_id(str(row["Id"])) for row in rows}
        one.hard_deleted += [(i, one.gone[i]) for i in part if i in one.gone and i not in found]
    for one in work:
        one.gone, one.silent = {}, set()


def _forget_shown(one: _Reading, rows: Sequence[Row]) -> None:
    """A record that a page shows needs no look-up by id, be it in the recycle bin or alive again."""
    if one.gone or one.silent:
        for row in rows:
            sf_id = long_id(str(row["Id"]))
            one.gone.pop(sf_id, None)
            one.silent.discard(sf_id)


def _by_id(one: _Reading, sf_ids: Sequence[str]) -> Sub:
    return Sub("GET", query_path(one.reader.select(among("Id", sf_ids)), all_rows=True), kind="query")


def _all_rows(session: OrgSession, answer: SubAnswer) -> list[Row]:
    rows, following = paging.rows_of(answer.checked().body)
    while following is not None:
        more, following = paging.rows_of(session.read(following).body)
        rows = [*rows, *more]
    return rows


def _pages(session: OrgSession, one: _Reading, others: Sequence[Pager]) -> Iterator[Page]:
    """Yield the pages of one object; the last one also shows what was read by id and moves the bookmark."""

    def child_rows(_relationship: str, value: Row) -> Iterator[Row]:
        return paging.children(session, value)

    held: list[Seen] = []
    reached = one.bookmark
    pager = one.pager
    while pager.ready or not pager.done:
        if not pager.ready:
            paging.fetch(session, pager, others)
            continue
        if held:
            yield Page(one.name, tuple(held), reached)
        rows = pager.ready.popleft()
        _forget_shown(one, rows)
        held = [one.reader.from_json(row, child_rows) for row in rows]
        last = pager.place_of(rows)
        reached = one.behind(last) if last is not None else reached
    if one.gone or one.silent:
        _ask_by_id(session, [one])
    shown = [*held, *(one.reader.from_json(row, child_rows) for row in one.by_id)]
    yield Page(one.name, tuple(shown), one.finished(), tuple(one.hard_deleted))
