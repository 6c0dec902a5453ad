"""Bulk API 2.0 jobs: made, waited for, their CSV streamed and counted.

This module may not know what the rows mean. It keeps one law: a file that is cut, short or without its header is no
result; it is read again.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sfsync.errors import OrgBusy, OrgError, OrgUnavailable
from sfsync.org import faults
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.session import READ_ATTEMPTS, OrgSession
from sfsync.org.soql import record_id

log = logging.getLogger("sfsync.org")

csv.field_size_limit(16 * 1024 * 1024)
"""Long text areas hold up to 131,072 characters, each up to 4 bytes; Python's own limit is 131,072."""

READ_A_SECOND, WRITTEN_A_SECOND = 50_000, 5_000
"""Rows a query or an ingest job is expected to do; only decides when to look first."""
SHORTEST_LOOK = 1.0
LONGEST_LOOK = 30.0
GIVE_UP_SECONDS = 1800.0
"""A job that is not done by then, and ten times what was expected, is stuck: the other way is taken."""
ENDED = frozenset(("JobComplete", "Failed", "Aborted"))


class JobFailed(OrgBusy):
    """A Bulk job did not run to its end; what it committed stays committed."""


class JobStuck(JobFailed):
    """A Bulk job did not end in time; another one would hardly do better now."""


@dataclass(frozen=True, slots=True)
class Job:
    """A Bulk job as the org last showed it."""

    id: str
    state: str
    processed: int = 0
    failed: int = 0
    message: str = ""

    @classmethod
    def of(cls, body: Any) -> Job:
        """Return the job in an answer; OutcomeUnknown if it shows none."""
        if not isinstance(body, dict) or not body.get("id") or not body.get("state"):
            raise OutcomeUnknown("a Bulk job's answer shows no job")
        return cls(
            record_id(str(body["id"])),
            str(body["state"]),
            int(body.get("numberRecordsProcessed") or 0),
            int(body.get("numberRecordsFailed") or 0),
            str(body.get("errorMessage") or ""),
        )


def start_query(session: OrgSession, statement: str) -> Job:
    """Start a query job that also sees the recycle bin; a lost answer leaves an orphan that the org purges."""
    body = {"operation": "queryAll", "query": statement, "contentType": "CSV", "lineEnding": "LF"}
    return Job.of(session.request("POST", "jobs/query", json_body=body, attempts=READ_ATTEMPTS).body)


def wait_for(session: OrgSession, kind: str, job_id: str, seconds: float) -> Job:
    """Return job ``job_id`` (of ``jobs/<kind>``) once it has ended; each look is 1 API call.

    Looks first after ``seconds``, when it may be done, then at growing intervals. Raises JobStuck if it does not end.
    """
    until = session.clock.monotonic() + GIVE_UP_SECONDS + 10 * max(0.0, seconds)
    pause = seconds
    while True:
        if pause > 0:
            session.pause(min(LONGEST_LOOK, pause))
        job = Job.of(session.read(f"jobs/{kind}/{record_id(job_id)}").body)
        if job.state in ENDED:
            return job
        if session.clock.monotonic() > until:
            _abandon(session, kind, job)
            raise JobStuck(f"Bulk job {job_id} is stuck in {job.state}", advice="look at it in the org")
        pause = max(SHORTEST_LOOK, pause * 1.5)


@dataclass(slots=True)
class Results:
    """One page of a query job's results, being read."""

    header: list[str]
    rows: Iterator[list[str]]
    following: str
    """Locator of the next page; empty after the last."""


def results(session: OrgSession, job_id: str, locator: str, most: int) -> Results:
    """Open a page of at most ``most`` rows of a finished query job; 1 API call.

    Reading its rows to the end raises OutcomeUnknown if they are not as many as the org announced.
    """
    path = f"jobs/query/{record_id(job_id)}/results?maxRecords={most}"
    if locator:
        path += f"&locator={_safe(locator)}"
    answer = session.stream(path, headers={"Accept": "text/csv"})
    kind = (answer.headers.get("Content-Type") or "").split(";")[0].strip().lower()
    announced = answer.headers.get("Sforce-NumberOfRecords")
    following = answer.headers.get("Sforce-Locator")
    if kind != "text/csv" or announced is None or following is None:
        answer.close()
        raise OutcomeUnknown(f"Bulk results came as {kind or 'nothing'} without their count, or whether more follow")
    rows = read_csv(session.pieces(answer))
    header = next(rows, [])
    if not header:
        raise OutcomeUnknown("Bulk results came without a header")
    counted = _counted(rows, len(header), int(announced))
    return Results(header, counted, "" if following in ("", "null") else following)


def _counted(rows: Iterator[list[str]], width: int, announced: int) -> Iterator[list[str]]:
    count = 0
    for row in rows:
        if len(row) != width:
            raise OutcomeUnknown(f"row {count + 1} of Bulk results has {len(row)} cells, the header {width}")
        count += 1
        yield row
    if count != announced:
        raise OutcomeUnknown(f"Bulk results have {count} rows, {announced} were announced")


def _safe(locator: str) -> str:
    if not locator.replace("-", "").replace("_", "").replace("=", "").replace(".", "").isalnum():
        raise OutcomeUnknown("a Bulk locator does not look like one")
    return locator.replace("=", "%3D")


def read_csv(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    """Yield the rows of a CSV body as it comes: UTF-8, quoted by doubling; OutcomeUnknown if it breaks off in a row."""
    reader = csv.reader(chain.from_iterable(_lines(pieces)), strict=True)
    try:
        yield from reader
    except (csv.Error, UnicodeDecodeError) as bad:
        raise OutcomeUnknown(f"the CSV cannot be read: {bad}") from None


def _lines(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    """Yield the lines of each piece, line ends kept; a last line without its end is a body that was cut."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    rest = ""
    for piece in pieces:
        lines = (rest + decode(piece)).split("\n")
        rest = lines.pop()
        yield [line + "\n" for line in lines]
    rest += decode(b"", True)
    if rest:
        raise OutcomeUnknown("the CSV ends without the end of its last row")


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return CSV as Bulk ingest takes it: UTF-8, LF, quoted where needed."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)
    return text.getvalue().encode()


# --- ingest -----------------------------------------------------------------------------------------


def start_ingest(session: OrgSession, sobject: str, operation: str, key_field: str | None, content: bytes) -> Job:
    """Upload ``content`` as a job of its own and start it; 3 API calls.

    If the upload's answer is lost the job is aborted and made anew: nothing is processed before it is closed.
    """
    body = {"object": sobject, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
    if key_field is not None:
        body["externalIdFieldName"] = key_field
    for attempt in range(1, READ_ATTEMPTS + 1):
        job = Job.of(session.request("POST", "jobs/ingest", json_body=body, attempts=READ_ATTEMPTS).body)
        try:
            session.request("PUT", f"jobs/ingest/{job.id}/batches", data=content, content_type="text/csv")
        except OrgError as bad:
            _abandon(session, "ingest", job)
            if not isinstance(bad, OrgUnavailable) or attempt == READ_ATTEMPTS:
                raise
            session.wait(attempt)
            continue
        return _close(session, job)
    raise AssertionError("unreachable")


def _close(session: OrgSession, job: Job) -> Job:
    """Say that the upload is complete; if that answer is lost, the job itself tells whether it was heard."""
    path = f"jobs/ingest/{job.id}"
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            return Job.of(session.request("PATCH", path, json_body={"state": "UploadComplete"}, writes=True).body)
        except OrgUnavailable:
            if attempt == READ_ATTEMPTS:
                raise
            session.wait(attempt)
            now = Job.of(session.read(path).body)
            if now.state != "Open":
                return now
    raise AssertionError("unreachable")


def _abandon(session: OrgSession, kind: str, job: Job) -> None:
    try:
        session.request("PATCH", f"jobs/{kind}/{job.id}", json_body={"state": "Aborted"})
    except OrgError as bad:
        log.info("Bulk job %s is left open (%s); the org purges it", job.id, bad)


def rows_of_result(session: OrgSession, job_id: str, kind: str) -> list[dict[str, str]]:
    """Return the rows of ``successfulResults``, ``failedResults`` or ``unprocessedrecords``; 1 API call."""
    path = f"jobs/ingest/{record_id(job_id)}/{kind}"
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            rows = read_csv(session.pieces(session.stream(path, headers={"Accept": "text/csv"})))
            header = next(rows, [])
            return [dict(zip(header, row, strict=True)) for row in rows]
        except ValueError:
            problem: OrgError = OutcomeUnknown(f"{kind} of Bulk job {job_id} has rows of another width than its header")
        except OrgUnavailable as bad:
            problem = bad
        if attempt == READ_ATTEMPTS:
            raise problem
        session.wait(attempt)
    raise AssertionError("unreachable")


def failure(job: Job) -> JobFailed:
    """Return the error for a job that ended otherwise than complete."""
    fault = faults.fault_of_cell(job.message) if ":" in job.message else None
    code = fault.code if fault and fault.code in faults.RULES else ""
    return JobFailed(f"Bulk job {job.id} is {job.state}: {job.message or 'no reason given'}", code=code)
