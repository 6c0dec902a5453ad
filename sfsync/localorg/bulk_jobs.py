"""Bulk jobs and how they advance: uploads in internal batches, queries into a file.

It may not know HTTP. It keeps one law: a job moves only when it is polled or when the org's clock has moved, always by
the same steps, so that every state can be seen and every run can be repeated.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from sfsync.clock import seeded
from sfsync.localorg import ids, soql
from sfsync.localorg.access import Actor
from sfsync.localorg.bulk_rows import (
    DELIMITERS,
    LINE_ENDINGS,
    BatchRefused,
    Columns,
    Upload,
    columns_of,
    each_line,
    error_text,
    open_upload,
    write,
)
from sfsync.localorg.errors import ApiError, not_found
from sfsync.localorg.records import Options
from sfsync.localorg.schema import SObject

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg
    from sfsync.localorg.storage import Storage

BATCH_ROWS = 10_000
EXTRACT_ROWS = 5_000
EXTRACT_STEP_ROWS = 100_000
DAY_SECONDS = 86_400
KEPT_SECONDS = 7 * DAY_SECONDS
MAX_DAILY_BATCHES = 15_000
MAX_DAILY_QUERIES = 10_000
IN_MEMORY_BYTES = 4 * 1024 * 1024
ENDED = frozenset({"JobComplete", "Failed", "Aborted"})
_ALL_BATCHES_SPENT = "ExceededQuota : ApiBatchItems Limit exceeded."


@dataclass(slots=True)
class Job:
    """What every job has: who made it, when, in which form, and where it stands."""

    id: str
    operation: str
    object_name: str
    creator: str
    created_at: int
    version: str
    kind: str  # V2Ingest, V2Query or Classic
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    state: str = "Open"
    changed_at: int = 0
    advanced_at: int = 0
    processed: int = 0
    failed: int = 0
    steps: int = 0
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the job will not move any more."""
        return self.state in ENDED

    @property
    def separators(self) -> tuple[str, str]:
        """The delimiter and the line ending as text."""
        return DELIMITERS[self.delimiter], LINE_ENDINGS[self.line_ending]


@dataclass(slots=True)
class IngestJob(Job):
    """An upload: its text until it is read, then the result files, which grow batch by batch."""

    external: str | None = None
    assignment_rule: str | None = None
    data: bytes | None = None
    upload: Upload | None = None
    upload_header: list[str] = field(default_factory=list)
    columns: Columns | None = None
    succeeded_parts: list[str] = field(default_factory=list)
    failed_parts: list[str] = field(default_factory=list)
    unprocessed: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class QueryJob(Job):
    """A query: its statement, then its rows in a file with the place of every row."""

    statement: str = ""
    extract: soql.Extract | None = None
    header: bytes = b""
    read: int = 0
    file: IO[bytes] | None = None
    places: array[int] = field(default_factory=lambda: array("Q", [0]))

    @property
    def rows(self) -> int:
        """The number of rows in the file."""
        return len(self.places) - 1

    def part(self, start: int, count: int) -> bytes:
        """Return rows [start:start + count) with the header in front."""
        if self.file is None:
            return self.header
        end = min(start + count, self.rows)
        self.file.seek(self.places[start])
        return self.header + self.file.read(self.places[end] - self.places[start])

    def __del__(self) -> None:
        """Give the file back."""
        if self.file is not None:
            self.file.close()


class Jobs:
    """The Bulk jobs of one org."""

    def __init__(self, org: LocalOrg) -> None:
        self._org = ref(org)  # the org outlives its jobs, and must not be kept by them
        self.batch_rows = BATCH_ROWS
        self.max_daily_batches = MAX_DAILY_BATCHES
        self.max_daily_queries = MAX_DAILY_QUERIES
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._batches: deque[int] = deque()
        self._queries: deque[int] = deque()

    @property
    def org(self) -> LocalOrg:
        """The org whose jobs these are."""
        found = self._org()
        if found is None:
            raise RuntimeError("the org of these jobs is gone")
        return found

    # Keeping

    def add(self, job: Job) -> None:
        """Keep a new job."""
        job.changed_at = job.advanced_at = job.created_at
        self._jobs[job.id] = job

    def get(self, job_id: str, kind: str) -> Job:
        """Return the job with this id (15 or 18 characters); NOT_FOUND when there is none, or it is too old."""
        self.forget_old()
        found = next((self._jobs[i] for i in (job_id, *self._long(job_id)) if i in self._jobs), None)
        if found is None or found.kind != kind:
            raise not_found()
        return found

    @staticmethod
    def _long(job_id: str) -> tuple[str, ...]:
        long = ids.to_long(job_id)
        return () if long is None else (long,)

    def all(self) -> list[Job]:
        """Return every job, newest first."""
        self.forget_old()
        return list(reversed(self._jobs.values()))

    def remove(self, job: Job) -> None:
        """Forget a job and its files."""
        if isinstance(job, QueryJob) and job.file is not None:
            job.file.close()
        self._jobs.pop(job.id, None)

    def forget_old(self) -> None:
        """Remove the jobs that an org does not keep any longer (facts 4.3)."""
        oldest = self.org.now_seconds() - KEPT_SECONDS
        for job in [each for each in self._jobs.values() if each.created_at < oldest]:
            self.remove(job)

    # Allocations

    def batches_spent(self) -> int:
        """Return the batches of the last 24 hours."""
        return self._within_a_day(self._batches)

    def queries_spent(self) -> int:
        """Return the query jobs of the last 24 hours."""
        return self._within_a_day(self._queries)

    def spend_batch(self) -> bool:
        """Count a batch; False when the day's allocation is used up."""
        if self.batches_spent() >= self.max_daily_batches:
            return False
        self._batches.append(self.org.now_seconds())
        self.org.used["DailyBulkApiBatches"] = len(self._batches)
        return True

    def spend_query(self) -> None:
        """Count a query job; ApiError when the day's allocation is used up."""
        if self.queries_spent() >= self.max_daily_queries:
            raise ApiError(400, "EXCEEDEDQUOTA", "ExceededQuota : DailyBulkV2QueryJobs Limit exceeded.")
        self._queries.append(self.org.now_seconds())
        self.org.used["DailyBulkV2QueryJobs"] = len(self._queries)

    def _within_a_day(self, stamps: deque[int]) -> int:
        since = self.org.now_seconds() - DAY_SECONDS
        while stamps and stamps[0] <= since:
            stamps.popleft()
        return len(stamps)

    # Moving

    def advance(self, job: Job) -> None:
        """Move a job by one step, and by one more for every second that passed since it last moved.

        UploadComplete becomes InProgress without any work, so that both can be seen; then each step does one internal
        batch of an upload, or reads a part of a query.
        """
        now = self.org.now_seconds()
        steps = 1 + max(0, now - job.advanced_at)
        job.advanced_at = now
        while steps and job.state in ("UploadComplete", "InProgress"):
            if self.org.faults.rules and self.org.faults.on_job("job_stuck", job.object_name):
                return
            steps -= 1
            self._step(job)

    def finish(self, job: Job) -> None:
        """Move a job to its end at once."""
        while job.state in ("UploadComplete", "InProgress"):
            self._step(job)

    def set_state(self, job: Job, state: str, error: str | None = None) -> None:
        """Put a job into a state."""
        job.state, job.error, job.changed_at = state, error, self.org.now_seconds()

    def _step(self, job: Job) -> None:
        if job.state == "UploadComplete":
            self.set_state(job, "InProgress")
            return
        job.steps += 1
        try:
            if isinstance(job, IngestJob):
                self._ingest(job)
            elif isinstance(job, QueryJob):
                self._query(job)
        except BatchRefused as refused:
            self._leave(job)
            self.set_state(job, "Failed", str(refused))
        except ApiError as refused:
            self.set_state(job, "Failed", f"{refused.code} : {refused.message}")

    def _ingest(self, job: IngestJob) -> None:
        actor = self.org.actor(job.creator)
        if job.upload is None or job.columns is None:
            delimiter, _ = job.separators
            job.upload = open_upload(job.data or b"", delimiter, job.line_ending)
            job.upload_header = job.upload.header
            job.columns = columns_of(job.upload.header, self._seen(actor, job.object_name), job.operation)
        rows = job.upload.take(self.batch_rows)
        if rows:
            if not self.spend_batch():
                job.unprocessed += rows
                raise BatchRefused(_ALL_BATCHES_SPENT)
            fails = self.org.faults.rules and self.org.faults.on_job("job_failed", job.object_name)
            if fails:
                job.unprocessed += rows
                raise BatchRefused("InternalServerError : The job failed after some of its batches were processed")
            self._batch(job, actor, job.columns, rows)
        if len(rows) < self.batch_rows:
            self.set_state(job, "JobComplete")
            job.data = job.upload = None

    def _batch(self, job: IngestJob, actor: Actor, columns: Columns, rows: list[list[str]]) -> None:
        options = Options(assign=job.assignment_rule or False)
        records = [columns.record(row) for row in rows]
        outcomes = write(self.org, actor, job.object_name, job.operation, job.external, records, options)
        good: list[list[str]] = []
        bad: list[list[str]] = []
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.success:
                good.append([outcome.id or "", "true" if outcome.created else "false", *row])
            else:
                bad.append([outcome.id or "", error_text(outcome), *row])
        # Result files are in no order a client may count on (facts 4.2).
        chance = seeded(f"{self.org.seed}/{job.id}/{job.steps}")
        for found, parts in ((good, job.succeeded_parts), (bad, job.failed_parts)):
            chance.shuffle(found)
            if found:
                text = _with_quoted_front(found, *job.separators)
                parts.insert(chance.randint(0, len(parts)), text)
        job.processed += len(rows)
        job.failed += len(bad)

    def _leave(self, job: Job) -> None:
        """Keep the rows that a job did not come to, for its unprocessed records."""
        if not isinstance(job, IngestJob):
            return
        try:
            if job.upload is None:
                job.upload = open_upload(job.data or b"", job.separators[0], None)
                job.upload_header = job.upload.header
            job.unprocessed += job.upload.pending
            while rows := job.upload.take(self.batch_rows):
                job.unprocessed += rows
        except BatchRefused:
            pass  # what can not be read can not be given back row by row
        job.data = None

    def abort(self, job: Job) -> None:
        """End a job where it stands; what was written stays written."""
        self._leave(job)
        self.set_state(job, "Aborted")

    def _seen(self, actor: Actor, object_name: str) -> SObject:
        found = actor.schema.get(object_name)
        if found is None:
            raise BatchRefused(f"InvalidBatch : Entity '{object_name}' is not supported by the Bulk API.")
        return found

    def _query(self, job: QueryJob) -> None:
        org = self.org
        actor = org.actor(job.creator)
        with org.running_as(actor):
            if job.extract is None:
                plan = soql.compile_soql(job.statement, view_of(org, actor, job), bulk=True)
                delimiter, line_ending = job.separators
                job.extract = soql.Extract(
                    org.storage.db, plan, delimiter=delimiter, line_ending=line_ending, shuffle=org.seed
                )
                job.header = job.extract.header.encode()
            if job.file is None:
                job.file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed with the job
            end = min(job.read + EXTRACT_STEP_ROWS, len(job.extract))
            while job.read < end:
                lines = [each.encode() for each in job.extract.lines(org.storage.db, job.read, EXTRACT_ROWS)]
                job.file.write(b"".join(lines))
                place = job.places[-1]
                for line in lines:
                    place += len(line)
                    job.places.append(place)
                job.read += EXTRACT_ROWS
        job.processed = job.rows
        if org.faults.rules and org.faults.on_job("job_failed", job.object_name):
            raise BatchRefused("InternalServerError : The job failed after some of its rows were read")
        if job.read >= len(job.extract):
            job.extract = None
            self.set_state(job, "JobComplete")


def _with_quoted_front(rows: list[list[str]], delimiter: str, line_ending: str) -> str:
    """Rows with the two columns of the org in quotes and the client's own as they need (facts 4.2)."""
    rest = each_line([row[2:] for row in rows], delimiter, line_ending)
    lines = []
    for row, line in zip(rows, rest, strict=True):
        told = row[1].replace('"', '""')
        lines.append(f'"{row[0]}"{delimiter}"{told}"{delimiter}{line}')
    return "".join(lines)


def view_of(org: LocalOrg, actor: Actor, job: QueryJob) -> soql.View:
    """Return the view a query job has of the org."""
    return soql.View(
        schema=actor.schema,
        everything=org.schema,
        now=org.now(),
        zone=actor.zone,
        user_id=actor.user_id,
        include_deleted=job.operation == "queryAll",
        version=job.version,
        shuffle=org.seed,
    )


_BY_ORG: WeakKeyDictionary[Storage, Jobs] = WeakKeyDictionary()


def jobs_of(org: LocalOrg) -> Jobs:
    """Return the jobs of an org, the same every time until it is reset."""
    found = _BY_ORG.get(org.storage)
    if found is None:
        found = _BY_ORG[org.storage] = Jobs(org)
    return found
