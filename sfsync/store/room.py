"""What one run of the line needs of the store: one client, one org, one transaction a call.

May not know Salesforce or the rules' meaning. It keeps one law: every writing transaction first proves that this
run still holds its org, and what belongs together moves together (bookmark and data, postings and what they paid for).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, func, or_, select, text, true

from sfsync.errors import StoreRefused, StoreUnavailable
from sfsync.mapping import Mappings
from sfsync.mirror.merge import Link, Merged
from sfsync.mirror.plan import Outcome, Plan, Result, Unplannable
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen
from sfsync.records import CaseEvent, Values
from sfsync.rules.evaluate import Ask, Evaluation, Facts
from sfsync.store import local
from sfsync.store.connection import Database
from sfsync.store.contract import apply, lock_version, read_clocks, read_facts, set_version
from sfsync.store.first import Sheet, is_first, lay_out, put_first, sheets
from sfsync.store.forms import any_of, staged
from sfsync.store.lease import Lease, prove
from sfsync.store.outcomes import THIS_LINK, pairs, postpone, quarantine, settle_done
from sfsync.store.pages import News, hear_echoes, log_conflicts, move_bookmark, put_records, without_doubles
from sfsync.store.story import keep_marks, read_part
from sfsync.store.tables import bookmark, client, link, org

MAX_ATTEMPTS = 8
"""A change that was begun this often and never ended goes to quarantine: it may be what kills the worker (P15)."""

MERGES_FOLLOWED = 8
"""How many winners that were merged themselves a lookup is followed through."""


BEHIND_ROWS = 1_000
"""Pages of a first load with this many records are put in force while the next one is read and merged."""

_LINK = tuple(link.c[f.name] for f in fields(Link))
_REMOTE, _AGREED = (_LINK.index(link.c[name]) for name in ("remote", "agreed"))


def _link(row: Sequence[Any]) -> Link:
    """Return the link in a row; where nothing else is written, all that the org shows is agreed."""
    values = list(row)
    if values[_AGREED] is None:
        values[_AGREED] = values[_REMOTE]
    return Link(*values)


class OrgRoom:
    """One org's place in the store; implements what ``sync.Room`` asks for.

    Without a lease it only reads. One object serves one run: it remembers what it handed out.
    """

    beside = True
    """A page may be put in force by another thread, on a connection of its own."""

    def __init__(
        self,
        database: Database,
        client: str,
        org: str,
        mappings: Mappings,
        lease: Lease | None = None,
        beside: Iterable[str] = (),
    ) -> None:
        self._beside = tuple(beside)
        """The client's other orgs, without which its records are half known."""
        self._database, self._client, self._org = database, client, org
        self._mappings, self._lease = mappings, lease
        self._scope = {"client": client, "org": org}
        self._pin: str | None = None
        self._facts_version: int | None = None
        self._telling: str | None = None
        self._merged_version: int | None = None
        self._unknown: bool | None = None
        """Nothing is remembered of any record asked for since the last page."""
        self._ours: tuple[int, int] | None = None
        """The client's version before the first and after the last of the pages behind which nobody else changed it."""
        self._behind: ThreadPoolExecutor | None = None
        self._under_way: list[tuple[Future[None], frozenset[str]]] = []
        """Pages that are being put in force, in their order, with the ids and keys of their records."""
        self._examined: dict[tuple[str, str], int] = {}
        self._quiet: list[Page] = []
        """Pages that brought nothing: their bookmarks move with the next transaction."""

    # --- reading --------------------------------------------------------------------------------

    def bookmarks(self) -> Mapping[str, Bookmark]:
        """Return how far each object has been read."""
        self._move_quiet()
        with self._reading() as connection:
            rows = connection.execute(select(bookmark).where(bookmark.c.org == self._org)).mappings().all()
            silent = connection.execute(
                select(link.c.object, link.c.sf_id)
                .join(bookmark, (bookmark.c.org == link.c.org) & (bookmark.c.object == link.c.object))
                .where(link.c.org == self._org, link.c.echo_after < bookmark.c.read_to, ~link.c.deleted)
                .order_by(link.c.sf_id)
            )
            unseen: dict[str, list[str]] = defaultdict(list)
            for row in silent:
                unseen[row.object].append(row.sf_id)
            return {
                row["object"]: Bookmark(
                    row["object"],
                    row["read_to"],
                    row["checkpoint"],
                    row["schema_seen"],
                    row["refreshed_at"],
                    tuple(unseen.get(row["object"], ())),
                )
                for row in rows
            }

    def ids(self, sf_ids: Iterable[str], keys: Iterable[str]) -> Ids:
        """Return the pairs of id and key known for any of ``sf_ids`` or ``keys`` in this org.

        A key whose record was merged into another stands for that one from then on.
        """
        wanted_ids, wanted_keys = list(sf_ids), list(keys)
        if self._pin is not None and not wanted_ids and not wanted_keys:
            return Ids(self._pin)
        with self._reading((*wanted_ids, *wanted_keys)) as connection:
            if self._pin is None:  # a pin never changes
                self._pin = connection.scalar(
                    select(org.c.organization_id).where(org.c.client == self._client, org.c.org == self._org)
                )
            found = Ids(self._pin or "")
            for column, wanted in ((link.c.sf_id, wanted_ids), (link.c.key, wanted_keys)):
                if wanted:
                    found.update(pairs(connection, self._org, column, wanted))
            if wanted_keys:
                found.gone, into = self._gone(connection, wanted_keys)
                found.to_id.update(into)
        return found

    def _gone(self, connection: Connection, keys: list[str]) -> tuple[set[str], dict[str, str]]:
        """Return which of ``keys`` this org deleted for good, and the id of the winner for those that were merged.

        A winner may have been merged or deleted since: the last of the chain decides.
        """
        query = select(link.c.sf_id, link.c.key, link.c.merged_into).where(link.c.org == self._org, link.c.deleted)
        rows = connection.execute(query.where(link.c.key == any_of(keys))).all()
        into = {row.key: row.merged_into for row in rows if row.merged_into}
        gone = {row.key for row in rows if not row.merged_into}
        for _ in range(MERGES_FOLLOWED if into else 0):
            ended = connection.execute(query.where(link.c.sf_id == any_of(list(into.values())))).all()
            ends = {row.sf_id: row.merged_into for row in ended}
            gone.update(key for key, winner in into.items() if not ends.get(winner, winner))
            into = {key: ends.get(winner, winner) for key, winner in into.items() if ends.get(winner, winner)}
            if not ends:
                break
        return gone, into

    def memories(self, object_name: str, keys: Iterable[str]) -> Mapping[str, tuple[Link | None, Values | None]]:
        """Return link and local values of each key that has either."""
        wanted = list(keys)
        if not wanted:
            return {}  # most pages of a quiet poll are empty
        kind = self._mappings.by_object[object_name].record
        where = (link.c.org == self._org, link.c.object == object_name, link.c.key == any_of(wanted))
        links: dict[str, Link] = {}
        values: dict[str, Values] = {}
        with self._reading(wanted) as connection:
            now = select(client.c.version).where(client.c.client == self._client)
            if len(wanted) >= BEHIND_ROWS:  # most large pages are of a first load, and one question says so
                now = now.add_columns(or_(exists().where(*where), local.any_there(kind, wanted)))
            else:
                now = now.add_columns(true())
            self._merged_version, something = connection.execute(now).one_or_none() or (None, True)
            if something:
                links = {one.key: one for one in map(_link, connection.execute(select(*_LINK).where(*where)))}
                values = local.read_values(connection, kind, wanted)
        self._unknown = self._unknown is not False and not links and not values
        return {key: (links.get(key), values.get(key)) for key in wanted if key in links or key in values}

    def linked(self) -> Mapping[str, int]:
        """Return how many live records of each object this org is known to hold."""
        query = (
            select(link.c.object, func.count())
            .where(link.c.org == self._org, link.c.sf_id.is_not(None), ~link.c.deleted)
            .group_by(link.c.object)
        )
        with self._reading() as connection:
            return dict(connection.execute(query).all())

    def facts(self, now: datetime, ask: Ask | None = None) -> Facts | None:
        """Return what the rules must look at, or None when nothing was touched and nothing has come due.

        With ``ask`` only what a change can reach, where a mark of the ledger's story allows it. Of a client with
        several orgs the rules say nothing before each was read once, or is paused.
        """
        self._telling = ask.telling if ask is not None else None
        self._move_quiet()
        with self._reading() as connection:
            state = connection.execute(select(client).where(client.c.client == self._client)).one()
            if state.evaluated_version is None and self._half_read(connection):
                return None
            due = state.next_due_at is not None and state.next_due_at <= now
            if state.evaluated_version is not None and state.version <= state.evaluated_version and not due:
                return None
            self._facts_version = state.version
            if state.evaluated_version is None:
                return read_facts(connection, None)
            touched = local.changed_since(connection, state.evaluated_version)
            cases = local.due_cases(connection, now)
            by_time = state.ledger_due_at is not None and state.ledger_due_at <= now
            if not any(touched.values()) and not by_time:
                return read_clocks(connection, cases)
            touched["Case"] = touched.get("Case", frozenset()) | frozenset(cases)
            if ask is not None:
                weeks = {"weeks_due_at": state.weeks_due_at, "news_at": state.news_at}
                part = read_part(connection, ask, touched, now, **weeks)
                if part is not None:
                    return part
            return read_facts(connection, touched)

    def _half_read(self, connection: Connection) -> bool:
        """Return whether another org of the client is still to be read: what is known is not the whole."""
        if not self._beside:
            return False
        mine = (org.c.client == self._client, org.c.org.in_(self._beside), org.c.state == "active")
        unread = select(org.c.org).where(*mine, org.c.last_success_at.is_(None)).limit(1)
        return connection.execute(unread).first() is not None

    def unsettled(self, now: datetime) -> list[tuple[Link, Values]]:
        """Return links that may differ from the local values and are not waiting in quarantine."""
        objects = list(self._mappings.by_object)
        query = (
            select(link.c.touched, *_LINK)
            .where(
                link.c.org == self._org,
                link.c.touched > link.c.settled,
                link.c.state == "ready",
                (link.c.next_try_at.is_(None)) | (link.c.next_try_at <= now),
                link.c.object == any_of(objects),
            )
            .order_by(link.c.object, link.c.key)
        )
        with self._reading() as connection:
            rows = [(touched, _link(row)) for touched, *row in connection.execute(query)]
            by_object: dict[str, list[str]] = defaultdict(list)
            for _, one in rows:
                by_object[one.object].append(one.key)
            values = {
                name: local.read_values(connection, self._mappings.by_object[name].record, keys)
                for name, keys in by_object.items()
            }
        self._examined = {(one.object, one.key): touched for touched, one in rows}
        return [(one, values[one.object][one.key]) for _, one in rows if one.key in values[one.object]]

    # --- for an audit ---------------------------------------------------------------------------

    def links(self, object_name: str) -> Iterator[Link]:
        """Yield every link of an object, as one instant saw them, without holding them all."""
        query = select(*_LINK).where(link.c.org == self._org, link.c.object == object_name).order_by(link.c.key)
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=2000).execute(query):
                yield _link(row)

    def waiting(self) -> int:
        """Return how many records may still have to be written to the org, quarantined ones included."""
        query = (
            select(func.count())
            .select_from(link)
            .where(link.c.org == self._org, (link.c.touched > link.c.settled) | (link.c.state == "quarantined"))
            .where(link.c.object == any_of(list(self._mappings.by_object)))
        )
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    # --- TRANSACTION 1 --------------------------------------------------------------------------

    def absorb(self, page: Page, merged: Iterable[tuple[Seen, Merged]]) -> None:
        """Leave local rows, links, events, conflicts and the bookmark as the page shows them, all or nothing.

        Of a first load that may still be under way on return: pages are put in force one after the other, what is read
        of a record waits for its page, and ``rest`` waits for the last. The bookmark of a last page that brings nothing
        waits for the next transaction: most pages of a poll are such. Raises, perhaps only from ``rest``,
        StoreUnavailable if the client changed since ``memories`` returned what the page was merged with (B3).
        """
        news, version = list(merged), self._merged_version
        mapping = self._mappings.by_object[page.object]
        written = sheets(mapping, news) if self._unknown and is_first(page, mapping, news) else []
        self._unknown = None
        if self._under_way and not page.seen and not page.hard_deleted:
            self._begin(page, news, version, written)
            return
        if not self.beside or page.bookmark.read_to is not None or len(page.seen) < BEHIND_ROWS:
            self._wait()
            self._absorb(page, news, version, written)
            return
        self._wait(most=1)
        self._begin(page, news, version, written)

    def rest(self) -> None:
        """Return when every page is in force, its bookmark too; raises what kept the last one from it."""
        try:
            self._move_quiet()
        finally:
            if self._behind is not None:
                self._behind.shutdown()
                self._behind = None

    def _begin(self, page: Page, news: News, version: int | None, written: list[Sheet]) -> None:
        """Put a page in force behind those that are under way, and beside whatever the caller does next.

        What is written of it is laid out while the page before is put in force.
        """
        if self._behind is None:
            self._behind = ThreadPoolExecutor(2, "absorb")
        before = [one for one, _ in self._under_way]

        def turn() -> None:
            for earlier in before:
                earlier.result()  # nothing is put in force behind a page that is not

        gone = (sf_id for sf_id, _ in page.hard_deleted)
        names = frozenset((*(s.sf_id for s in page.seen), *(s.key for s in page.seen), *gone))
        self._under_way.append((self._behind.submit(self._absorb, page, news, version, written, turn), names))

    def _wait(self, *, most: int = 0) -> None:
        """Return when not more than so many pages are under way; raises what kept one from being put in force."""
        while len(self._under_way) > most:
            page, _ = self._under_way.pop(0)
            try:
                page.result()
            except BaseException:
                self._under_way.clear()  # their turn does not come
                raise

    def _absorb(
        self,
        page: Page,
        news: News,
        merged_version: int | None,
        written: list[Sheet],
        turn: Callable[[], None] = lambda: None,
    ) -> None:
        events = [event for seen in page.seen for event in seen.events]
        if not (news or events or page.hard_deleted or page.bookmark.checkpoint):
            turn()
            self._quiet.append(page)
            return
        if written:
            with suppress(StoreRefused):  # two records with one key or one id: the page is looked through
                self._put(page, news, events, merged_version, written, turn)
                return
        self._put(page, news, events, merged_version, [], turn)

    def _put(
        self,
        page: Page,
        news: News,
        events: list[CaseEvent],
        merged_version: int | None,
        written: list[Sheet],
        turn: Callable[[], None],
    ) -> None:
        """Put a page in force in one transaction; what is ``written`` already is not compared with what is there.

        Raises StoreRefused then if two of its records have one key or one id.
        """
        moved, scope, mapping = None, self._scope, self._mappings.by_object[page.object]
        stages: list[str] = []

        def begin(connection: Connection) -> None:
            stages.extend(lay_out(connection, mapping, written))
            turn()

        with self._writing(begin) as connection:
            self._put_quiet(connection)
            if not written:
                news = without_doubles(connection, scope, page.object, news)
            if news or events or page.hard_deleted:
                before = lock_version(connection, self._client)
                if any(one.local for _, one in news) and not self._alone(merged_version, before):
                    raise StoreUnavailable(f"client {self._client} changed while its records were merged; read again")
                for sheet, stage in zip(written, stages, strict=True):
                    put_first(connection, scope, mapping, sheet, stage, before + 1)
                if written:
                    local.add_events(connection, scope["client"], events, before + 1)
                if written or put_records(connection, scope, self._mappings, page, news, events, before + 1):
                    moved = before + 1
                    set_version(connection, self._client, moved)
            log_conflicts(connection, scope, news)
            if not written:
                hear_echoes(connection, scope, page)
            move_bookmark(connection, scope, page.bookmark)
        self._quiet.clear()
        if moved is not None:
            since = self._ours[0] if self._ours and self._ours[1] == moved - 1 else moved - 1
            self._ours = (since, moved)

    def _alone(self, merged_version: int | None, now: int) -> bool:
        """Return whether only pages of this run changed the client since the version that a page was merged with."""
        if merged_version in (None, now):
            return True
        return self._ours is not None and self._ours[0] <= merged_version and self._ours[1] == now

    def _move_quiet(self) -> None:
        self._wait()
        if self._quiet:
            with self._writing() as connection:
                self._put_quiet(connection)
            self._quiet.clear()

    def _put_quiet(self, connection: Connection) -> None:
        for page in self._quiet:
            hear_echoes(connection, self._scope, page)
            move_bookmark(connection, self._scope, page.bookmark)

    # --- TRANSACTION 2 --------------------------------------------------------------------------

    def record(self, evaluation: Evaluation, now: datetime) -> None:
        """Leave what the rules said in force, all or nothing, and the facts they looked at as looked at.

        Raises StoreUnavailable if the facts changed since ``facts`` returned them, StoreRefused for an overdraw.
        """
        if self._facts_version is None:
            raise StoreRefused("record() without facts(): the rules speak about what they were shown")
        with self._writing() as connection:
            version = lock_version(connection, self._client)
            if version != self._facts_version:
                raise StoreUnavailable(f"client {self._client} changed while the rules looked at it; evaluate again")
            apply(connection, self._client, self._mappings, evaluation, now, version, looked_at=True)
            if not evaluation.clocks_only:
                keep_marks(connection, self._client, evaluation, self._telling or "")
            connection.execute(
                text(
                    "UPDATE client SET evaluated_version = :version, "
                    "ledger_due_at = CASE WHEN :clocks_only THEN ledger_due_at ELSE CAST(:due AS timestamptz) END, "
                    "weeks_due_at = CASE WHEN :clocks_only THEN weeks_due_at ELSE CAST(:weeks AS timestamptz) END, "
                    "news_at = CASE WHEN :clocks_only THEN news_at ELSE CAST(:news AS timestamptz) END "
                    "WHERE client = :client"
                ),
                {
                    "version": version,
                    "due": evaluation.next_due_at,
                    "weeks": evaluation.weeks_due_at,
                    "news": evaluation.news_at,
                    "clocks_only": evaluation.clocks_only,
                    "client": self._client,
                },
            )
            connection.execute(
                text("UPDATE client SET next_due_at = least(ledger_due_at, :clock) WHERE client = :client"),
                {"clock": local.next_clock_at(connection), "client": self._client},
            )
        self._facts_version = None

    # --- TRANSACTION 3 --------------------------------------------------------------------------

    def begin(self, plan: Plan, now: datetime) -> None:
        """Note before the first call that these changes are about to be tried, and that the rest needs nothing.

        The revision of each change is taken here, so whoever plans after this plans a higher one and a late write of
        this run is refused by the org (I9). What needs nothing is equal on both sides: that is what they agree on.

        A change that was begun ``MAX_ATTEMPTS`` times without an end is not tried again: it goes to quarantine and the
        next plan leaves it out.
        """
        wanted = {(change.object, change.key) for change in plan.changes}
        wanted |= {(refused.object, refused.key) for refused in plan.refused}
        rows = [(*name, touched, name in wanted) for name, touched in self._examined.items()]
        if not rows:
            return
        columns = {"object": "TEXT", "key": "TEXT", "touched": "BIGINT", "wanted": "BOOLEAN"}
        scope = self._scope
        with self._writing() as connection, staged(connection, columns, rows) as stage:
            connection.execute(
                text(
                    "UPDATE link l SET attempts = CASE WHEN s.wanted THEN l.attempts + 1 ELSE 0 END, "
                    "settled = CASE WHEN s.wanted THEN l.settled ELSE greatest(l.settled, s.touched) END, "
                    "revision = CASE WHEN s.wanted THEN l.revision + 1 ELSE l.revision END, "
                    "agreed = CASE WHEN s.wanted OR l.deleted THEN l.agreed END "
                    f"FROM {stage} s WHERE {THIS_LINK}"
                ),
                scope,
            )
            killers = connection.execute(
                text(f"SELECT l.object, l.key FROM link l JOIN {stage} s ON {THIS_LINK} WHERE l.attempts >= :bound"),
                {**scope, "bound": MAX_ATTEMPTS},
            ).all()
            for object_name, key in killers:
                quarantine(
                    connection, self._scope, object_name, key, "out", "", "NEVER_ENDED",
                    f"begun {MAX_ATTEMPTS} times and never ended", "look at what this record does to a worker", now,
                )  # fmt: skip

    def settle(self, outcomes: Iterable[Outcome], refused: Iterable[Unplannable], now: datetime) -> None:
        """Leave what the org accepted as remote and agreed, refusals in quarantine, the rest to be tried again."""
        answered = list(outcomes)
        with self._writing() as connection:
            done = [one for one in answered if one.result is Result.DONE]
            if done:
                settle_done(connection, self._scope, self._mappings, done, self._examined)
            postpone(connection, self._scope, [o for o in answered if o.result in (Result.LATER, Result.MOVED)], now)
            for outcome in answered:
                if outcome.result is Result.REJECTED:
                    change = outcome.change
                    quarantine(
                        connection,
                        self._scope,
                        change.object,
                        change.key,
                        "out",
                        "",
                        outcome.code,
                        outcome.message,
                        outcome.advice,
                        now,
                    )
            for one in refused:
                quarantine(
                    connection, self._scope, one.object, one.key, "out", one.field, "CANNOT_HOLD", one.reason,
                    "correct the value, or the field's type in the mapping", now,
                )  # fmt: skip

    # --- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _reading(self, names: Iterable[str] | None = None) -> Iterator[Connection]:
        """Read, of all or only of records with these ids and keys; what is being put in force of them comes first."""
        if names is None or any(not known.isdisjoint(names) for _, known in self._under_way):
            self._wait()
        with self._database.reading(self._client) as connection:
            yield connection

    @contextmanager
    def _writing(self, begin: Callable[[Connection], None] = lambda _: None) -> Iterator[Connection]:
        """Run one transaction of this run; what ``begin`` does comes before the lease is proven and held."""
        if self._lease is None:
            raise StoreRefused(f"org {self._org}: this run may look but not change anything: it holds no lease")
        with self._database.writing(self._client) as connection:
            begin(connection)
            prove(connection, self._lease)
            yield connection
