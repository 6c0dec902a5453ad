"""Changes to the org and outcomes back: exactly one for each change, whatever the org and the network do.

This module may not know why a change is wanted. It keeps one law: every request may be repeated with the same effect
(absolute values, upserts on our key), so a lost answer is asked for again and nothing is written twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sfsync.errors import Next, OrgBusy, OrgError, OrgUnavailable
from sfsync.mapping import Mappings
from sfsync.mirror.plan import Change, Outcome, Result
from sfsync.mirror.translate import long_id
from sfsync.org import bulk, composite, transport
from sfsync.org.composite import SubAnswer, pack
from sfsync.org.faults import Fault, OutcomeUnknown, Repeat, fault_of, fault_of_cell, understand
from sfsync.org.schema import REVISION
from sfsync.org.session import READ_ATTEMPTS, OrgSession
from sfsync.org.soql import Unquotable
from sfsync.org.transport import Chunk, NotYet, Row

log = logging.getLogger("sfsync.org")

MAX_ATTEMPTS = 6
"""Sendings of one row in one run; with the waits between them about a minute of somebody else's lock."""
SMALLER = {0: 1, 1: 1, 2: 4}
"""Part of a full collection by how often its rows were refused; a twentieth from the third refusal on."""
ONCE = frozenset(("DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"))
"""Codes after which one more upsert finds the record that won a race; a second refusal is real."""
MAX_REFUSALS = 30
"""Requests refused as a whole, one after the other, after which the search for the one bad row is given up."""
NOT_STILL = "somebody changed this record a moment ago; it is written when it has been still for a while"
LATE_WRITE = "somebody newer wrote this record; it is read and merged again"


def write_back(
    session: OrgSession,
    mappings: Mappings,
    changes: Iterable[Change],
    *,
    calls: int | None = None,
    deadline: float | None = None,
    unless_changed: Mapping[str, datetime] | None = None,
    still_seconds: int = 600,
) -> Iterator[Outcome]:
    """Carry out ``changes`` and yield exactly one outcome for each, as they become known.

    ``calls`` bounds the API calls (default: what the org's budget leaves us), ``deadline`` is a monotonic
    reading of the session's clock; rows beyond either are LATER. Never raises for what the org answers: an org that
    is gone in the middle leaves the rest LATER.

    ``unless_changed`` gives the stamp last seen of records (by id) in which people also write what we write. Such a
    record is written only if it is unchanged since (MOVED otherwise), and only once it has been still for
    ``still_seconds`` of the org's clock: the org compares whole seconds, and a transaction may last ten minutes.
    """
    work = _Work(session, mappings, list(changes), calls, deadline)
    work.unless_changed = {long_id(sf_id): stamp for sf_id, stamp in (unless_changed or {}).items()}
    work.still = timedelta(seconds=still_seconds)
    yield from work.run()


@dataclass(frozen=True, slots=True)
class _Files:
    """What an ended Bulk job says about its rows."""

    failed: list[dict[str, str]]
    succeeded: list[dict[str, str]]
    rest_is_done: bool
    """Every row of which nothing is said went through."""


@dataclass(slots=True)
class _Work:
    """One write-back."""

    session: OrgSession
    mappings: Mappings
    changes: list[Change]
    calls: int | None
    deadline: float | None
    unless_changed: dict[str, datetime] = field(default_factory=dict)
    still: timedelta = timedelta(0)
    spent_before: int = 0
    stopped: Outcome | None = None
    """Why nothing more is sent; a pattern for the outcomes of the rest."""
    again: list[Row] = field(default_factory=list)
    """Rows refused for a passing reason, to be sent once more."""
    waits: int = 0
    refusals: int = 0
    """Requests of several rows refused as a whole since the last row went through."""

    def run(self) -> Iterator[Outcome]:
        """Yield one outcome for each change."""
        self.spent_before = self.session.calls.api
        if self.calls is None:
            self.calls = self.session.calls_left()
        rows: list[Row] = []
        for change in self.changes:
            try:
                row = transport.row_of(change, self.mappings, self.session.schema)
                row.unless_changed = self.unless_changed.get(long_id(change.sf_id)) if change.sf_id else None
                if row.unless_changed is not None and self.session.org_now() - row.unless_changed < self.still:
                    yield Outcome(change, Result.LATER, change.sf_id, message=NOT_STILL)
                    continue
                rows.append(row)
            except NotYet as why:
                yield Outcome(change, Result.LATER, change.sf_id, message=str(why))
            except (Unquotable, ValueError) as bad:
                yield Outcome(change, Result.REJECTED, change.sf_id, code="MALFORMED_ID", message=str(bad))
        for batch in transport.batches(transport.ordered(rows, self.mappings)):
            if batch.bulk:
                yield from self._by_bulk(batch.bulk)
            else:
                yield from self._by_composite(batch.chunks)
        while self.again and self.stopped is None:
            self.waits += 1
            self.session.wait(self.waits)
            retried, self.again = self.again, []
            yield from self._by_composite(retried)
        for row in self.again:
            yield self._unsent(row)

    # --- composite ----------------------------------------------------------------------------------

    def _by_composite(self, rows: Sequence[Row]) -> Iterator[Outcome]:
        part = max((SMALLER.get(row.attempts, 20) for row in rows), default=1)
        most = max(1, transport.COLLECTION // part)
        waiting = deque(transport.spread(transport.chunked(rows, most)))
        while waiting:
            together = self._next(waiting)
            if self._may_not_send():
                for chunk in [*together, *waiting]:
                    yield from map(self._unsent, chunk.rows)
                return
            answers = self._send(together)
            if answers is None:  # the call was refused as a whole: find the bad part
                waiting.extendleft(Chunk(c.rows, lone=True) for c in reversed(together))
                continue
            for chunk, answer in zip(together, answers, strict=True):
                yield from self._understand(chunk, answer, waiting)

    def _next(self, waiting: deque[Chunk]) -> list[Chunk]:
        """Take the chunks of the next call off ``waiting``."""
        if waiting[0].lone:
            return [waiting.popleft()]
        several: list[Chunk] = []
        for chunk in waiting:
            if chunk.lone or len(several) == composite.MAX_SUBREQUESTS:
                break
            several.append(chunk)
        first = pack([transport.request(c) for c in several], [c.size for c in several])[0]
        return [waiting.popleft() for _ in first]

    def _send(self, chunks: Sequence[Chunk]) -> list[SubAnswer] | None:
        """Return an answer for each chunk, or None if the call with all of them was refused.

        Sets ``stopped`` (and answers that nothing was sent) if the org cannot be reached or pauses us.
        """
        subs = [transport.request(chunk) for chunk in chunks]
        try:
            if len(subs) > 1:
                return composite.send(self.session, subs, attempts=READ_ATTEMPTS)
            return [composite.alone(self.session, subs[0])]
        except OrgError as bad:
            failed_inside = bad.code == "UNKNOWN_EXCEPTION"
            if (isinstance(bad, OrgUnavailable) and not failed_inside) or not bad.code:
                return self._stop(bad, chunks)
            fault = understand(bad.code, bad.message)
            if fault.rule.repeat is Repeat.LATER or bad.next in (Next.PAUSE_ORG, Next.LOGIN_ONCE):
                return self._stop(bad, chunks)
            if len(subs) > 1:
                return None
            body = [{"errorCode": fault.code, "message": fault.message}]
            return [SubAnswer(500 if failed_inside else 400, body, {}, self.session.org_now())]

    def _stop(self, bad: OrgError, chunks: Sequence[Chunk]) -> list[SubAnswer]:
        """Send nothing more in this run; what was not answered for certain is planned again by the next."""
        unknown = isinstance(bad, OutcomeUnknown)
        change = chunks[0].rows[0].change
        self.stopped = Outcome(
            change, Result.LATER, code=bad.code or ("UNKNOWN_OUTCOME" if unknown else ""), message=bad.message,
            advice=bad.advice,
        )  # fmt: skip
        log.warning("%s: writing stopped: %s", self.session.name, bad)
        return [SubAnswer(0, None, {}, self.session.org_now()) for _ in chunks]

    def _may_not_send(self) -> bool:
        if self.stopped is not None:
            return True
        change = self.changes[0]
        if self.calls is not None and self.session.calls.api - self.spent_before >= self.calls:
            self.stopped = Outcome(
                change, Result.LATER, code="API_BUDGET", message="our share of the org's API calls is used up for now",
                advice="wait, or raise api_share",
            )  # fmt: skip
        elif self.deadline is not None and self.session.clock.monotonic() >= self.deadline:
            self.stopped = Outcome(change, Result.LATER, code="DEADLINE", message="the run's time was over")
        return self.stopped is not None

    def _unsent(self, row: Row) -> Outcome:
        why = self.stopped or Outcome(row.change, Result.LATER, message="not sent in this run")
        return Outcome(row.change, Result.LATER, row.change.sf_id, False, why.code, why.message, why.advice)

    # --- answers ------------------------------------------------------------------------------------

    def _understand(self, chunk: Chunk, answer: SubAnswer, waiting: deque[Chunk]) -> Iterator[Outcome]:
        if answer.status == 0:
            yield from map(self._unsent, chunk.rows)
        elif len(chunk.rows) == 1:
            yield from self._one(chunk.rows[0], answer)
        elif not answer.ok:
            yield from self._divide(chunk, waiting, answer.fault)
        elif not isinstance(answer.body, list) or len(answer.body) != len(chunk.rows):
            yield from self._divide(chunk, waiting, understand("UNKNOWN_EXCEPTION", "answers do not match the rows"))
        else:
            for row, result in zip(chunk.rows, answer.body, strict=True):
                yield from self._row_result(row, result)

    def _one(self, row: Row, answer: SubAnswer) -> Iterator[Outcome]:
        """Understand the answer to a record that was sent alone."""
        if answer.status == 412:
            code = "PRECONDITION_FAILED"
            yield Outcome(
                row.change, Result.MOVED, row.change.sf_id, False, code, "changed since it was read", LATE_WRITE
            )
        elif answer.status == 300:
            found = ", ".join(str(url).rsplit("/", 1)[-1] for url in answer.body or ())
            yield self._refused(row, understand("MULTIPLE_MATCHES", f"several records carry this key: {found}"))
        elif answer.ok:
            body: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
            yield self._done(row, body.get("id"), created=bool(body.get("created", answer.status == 201)))
        else:
            yield from self._fault(row, answer.fault)

    def _row_result(self, row: Row, result: Any) -> Iterator[Outcome]:
        if isinstance(result, dict) and result.get("success") is True:
            yield self._done(row, result.get("id"), created=bool(result.get("created")))
            return
        errors = result.get("errors") if isinstance(result, dict) else None
        fault = fault_of(errors) or understand("UNKNOWN_EXCEPTION", "the org gave no reason")
        yield from self._fault(row, fault)

    def _fault(self, row: Row, fault: Fault) -> Iterator[Outcome]:
        """Send the row once more if that can help; its outcome otherwise."""
        row.attempts += 1
        passing = fault.rule.repeat in (Repeat.SOON, Repeat.SMALLER) or fault.parent_missing
        most = 2 if fault.code in ONCE or fault.parent_missing else MAX_ATTEMPTS
        if passing and row.attempts < most:
            self.again.append(row)
        else:
            yield self._refused(row, fault)

    def _divide(self, chunk: Chunk, waiting: deque[Chunk], fault: Fault) -> Iterator[Outcome]:
        """Send the halves of a chunk that was refused as a whole, until the bad row stands alone."""
        if len(chunk.rows) == 1:
            yield from self._fault(chunk.rows[0], fault)
            return
        self.refusals += 1
        if self.refusals > MAX_REFUSALS:
            for row in chunk.rows:
                yield self._refused(row, fault)
            return
        if fault.rule.repeat is Repeat.SOON and chunk.attempts < 2:
            self.session.wait(chunk.attempts + 1)
            waiting.appendleft(Chunk(chunk.rows, chunk.lone, chunk.attempts + 1))
            return
        waiting.extendleft(reversed(chunk.halves()))

    def _done(self, row: Row, sf_id: Any, *, created: bool) -> Outcome:
        self.refusals = 0
        return Outcome(row.change, Result.DONE, str(sf_id or row.change.sf_id or "") or None, created)

    def _refused(self, row: Row, fault: Fault) -> Outcome:
        result, advice = fault.result, fault.rule.advice
        if REVISION in fault.fields:
            result, advice = Result.MOVED, LATE_WRITE
        elif fault.parent_missing:
            result, advice = Result.LATER, "it waits for the record it points to"
        return Outcome(row.change, result, row.change.sf_id, False, fault.code, fault.message, advice)

    # --- Bulk ---------------------------------------------------------------------------------------

    def _by_bulk(self, rows: list[Row]) -> Iterator[Outcome]:
        """Carry out rows of one object and operation by a Bulk job; what it leaves over goes by composite.

        Every result file is read before anything is concluded: a file that cannot be had leaves all rows undecided.
        """
        if self._may_not_send():
            yield from map(self._unsent, rows)
            return
        header, cells, named_by = transport.csv_of(rows, self.mappings)
        first = rows[0]
        operation = "upsert" if first.creates else "update"
        key_field = first.mapping.key if first.creates else None
        files: _Files | None = None
        try:
            content = bulk.write_csv(header, cells)
            started = bulk.start_ingest(self.session, first.change.object, operation, key_field, content)
            job = bulk.wait_for(self.session, "ingest", started.id, len(rows) / bulk.WRITTEN_A_SECOND)
            files = self._files(rows, job)
        except OrgUnavailable as bad:
            log.warning("%s: Bulk job lost: %s; its rows go by composite", self.session.name, bad)
        except OrgBusy as bad:
            if not isinstance(bad, bulk.JobFailed):
                self._stop(bad, [Chunk(rows)])
        except OrgError as bad:
            log.warning("%s: Bulk refused: %s; its rows go by composite", self.session.name, bad)
        if files is None:
            yield from self._by_composite(rows)
        else:
            yield from self._bulk_results(rows, files, named_by)

    def _files(self, rows: Sequence[Row], job: bulk.Job) -> _Files:
        """Read what an ended job says about its rows, as few files as decide each row."""
        complete = job.state == "JobComplete" and job.processed == len(rows)
        failed: list[dict[str, str]] = []
        if job.failed or not complete:
            failed = bulk.rows_of_result(self.session, job.id, "failedResults")
        told_apart = complete and len(failed) == job.failed
        if told_apart and not rows[0].creates:
            return _Files(failed, [], rest_is_done=True)
        return _Files(failed, bulk.rows_of_result(self.session, job.id, "successfulResults"), rest_is_done=False)

    def _bulk_results(self, rows: Sequence[Row], files: _Files, named_by: str) -> Iterator[Outcome]:
        """Match results to rows by the record's name; rows that no result names are sent again."""
        open_rows = {(r.external if r.creates else str(r.change.sf_id)): r for r in rows}
        for cells in files.failed:
            if (row := open_rows.pop(cells.get(named_by, ""), None)) is not None:
                yield from self._fault(row, fault_of_cell(cells.get("sf__Error", "")))
        for cells in files.succeeded:
            if (row := open_rows.pop(cells.get(named_by, ""), None)) is not None:
                created = cells.get("sf__Created", "").lower() == "true"
                yield self._done(row, cells.get("sf__Id"), created=created)
        rest = list(open_rows.values())
        if files.rest_is_done:
            for row in rest:
                yield self._done(row, None, created=False)
        elif rest:
            log.warning("%s: %d rows without a result go by composite", self.session.name, len(rest))
            yield from self._by_composite(rest)
