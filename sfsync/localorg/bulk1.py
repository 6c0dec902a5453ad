"""Bulk API 1.0, as far as older clients need it: jobs of batches in CSV, XML and JSON (facts 4.6).

It may not know how rows are written or read. It keeps one law: a job is answered in the format of the request, a batch
in the format of its job, and results stand in the order of the upload.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sfsync.localorg import bulk1_formats as formats
from sfsync.localorg import soql
from sfsync.localorg.bulk_jobs import Job, jobs_of
from sfsync.localorg.bulk_rows import BatchRefused, write
from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import NEWEST, OLDEST, Call, Request, Response, Routes
from sfsync.localorg.records import Options
from sfsync.localorg.values import datetime_text

routes = Routes()
MOST_BATCH_BYTES = 10_000_000
CHUNK_ROWS, MOST_CHUNK_ROWS = 100_000, 250_000
QUERIES = frozenset({"query", "queryAll"})
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete", "query", "queryAll")
_BASE = "/services/async/{version}/job"
Body = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """One batch of a job: what was sent, where it stands, what came out."""

    id: str
    created_at: int
    request: bytes
    state: str = "Queued"
    message: str | None = None
    changed_at: int = 0
    advanced_at: int = 0
    processed: int = 0
    failed: int = 0
    result: bytes = b""
    results: dict[str, bytes] = field(default_factory=dict)
    chunk: list[str] | None = None  # the ids of a part that was cut by primary key


@dataclass(slots=True)
class ClassicJob(Job):
    """A job of API 1.0: Open, Closed, Aborted or Failed, while its batches run."""

    content_type: str = "XML"
    concurrency: str = "Parallel"
    external: str | None = None
    assignment_rule: str | None = None
    chunk_rows: int | None = None
    batches: dict[str, Batch] = field(default_factory=dict)


class Refusal(Exception):
    """A refusal in the words of API 1.0."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def _on(methods: str, path: str, summary: str) -> Callable[[Callable[[Call], Response]], Callable[[Call], Response]]:
    """Register a function of this face: its session, its API usage and its errors are API 1.0's own."""

    def register(function: Callable[[Call], Response]) -> Callable[[Call], Response]:
        def answered(call: Call) -> Response:
            try:
                _enter(call)
                with call.org.running_as(call.actor):
                    return function(call)
            except Refusal as refusal:
                return _refused(call.request, refusal)
            except BatchRefused as refusal:
                code, _, message = str(refusal).partition(" : ")
                return _refused(call.request, Refusal(code, message))
            except ApiError as error:
                return refused(call.request, error)

        routes.on(methods, _BASE + path, summary, session=False)(answered)
        return answered

    return register


def _enter(call: Call) -> None:
    version = call.args["version"].removesuffix(".0")
    if not version.isdigit() or not OLDEST <= int(version) <= NEWEST:
        raise Refusal("InvalidVersion", f"API version {call.args['version']} is not supported")
    call.version = f"{version}.0"
    try:
        call.user = call.org.actor(call.org.logins.user_of(call.token))
    except ApiError:
        raise Refusal("InvalidSessionId", "Invalid session id") from None
    if call.org.spent() >= call.org.daily_api_requests:
        raise Refusal("ExceededQuota", "TotalRequests Limit exceeded.")
    call.org.spend(1)


def refused(request: Request, error: ApiError) -> Response:
    """Return the refusal of a request to this API in its own words."""
    codes = {401: "InvalidSessionId", 403: "ExceededQuota", 404: "InvalidJob"}
    return _refused(request, Refusal(codes.get(error.status, error.code), error.message))


def _refused(request: Request, refusal: Refusal) -> Response:
    values = {"exceptionCode": refusal.code, "exceptionMessage": refusal.message}
    json = _json_asked(request)
    kind = formats.JSON if json else formats.XML
    return Response(refusal.status, formats.info("error", values, json=json), [("Content-Type", kind)])


# Jobs


@_on("POST", "", "create a Bulk API 1.0 job")
def create(call: Call) -> Response:
    """Answer 201 with a new job in state Open."""
    json = _json_asked(call.request)
    described = formats.read_job(call.request.body, json=json)
    operation = next((o for o in OPERATIONS if o.lower() == str(described.get("operation")).lower()), None)
    if operation is None:
        raise Refusal("InvalidJob", f"Unsupported operation: {described.get('operation')}")
    sobject = call.actor.schema.get(str(described.get("object")))
    if sobject is None:
        raise Refusal("InvalidEntity", f"Unable to find object: {described.get('object')}")
    content_type = str(described.get("contentType") or ("JSON" if json else "XML")).upper()
    if content_type not in formats.CONTENT_TYPES:
        raise Refusal("InvalidJob", f"Unsupported content type: {content_type}")
    now = call.org.now_seconds()
    job = ClassicJob(
        id=call.org.ids.one("750"),
        operation=operation,
        object_name=sobject.name,
        creator=call.actor.user_id,
        created_at=now,
        version=call.version,
        kind="Classic",
        content_type=content_type,
        concurrency="Serial" if str(described.get("concurrencyMode")) in ("Serial", "1") else "Parallel",
        external=_external(call, sobject.name, operation, described),
        assignment_rule=described.get("assignmentRuleId") or None,
        chunk_rows=_chunk_rows(call, operation),
    )
    jobs_of(call.org).add(job)
    return _job_answer(call, job, 201)


@_on("GET", "/{job}", "show a Bulk API 1.0 job; its batches move by one step")
def show(call: Call) -> Response:
    """Answer with the job."""
    job = _job(call)
    for batch in list(job.batches.values()):
        _advance(call, job, batch)
    return _job_answer(call, job)


@_on("POST", "/{job}", "close or abort a Bulk API 1.0 job")
def change(call: Call) -> Response:
    """Close or abort a job; batches that wait are not processed when it is aborted."""
    job = _job(call)
    state = str(formats.read_job(call.request.body, json=_json_asked(call.request)).get("state"))
    if state not in ("Closed", "Aborted"):
        raise Refusal("InvalidJobState", f"A job can be Closed or Aborted, not {state}")
    if job.state != "Open" and not (job.state == "Closed" and state == "Aborted"):
        raise Refusal("InvalidJobState", f"{state} is not possible for a job that is {job.state}")
    job.state, job.changed_at = state, call.org.now_seconds()
    if state == "Aborted":
        for batch in job.batches.values():
            if batch.state in ("Queued", "InProgress"):
                batch.state = "Not Processed"
    return _job_answer(call, job)


# Batches


@_on("POST", "/{job}/batch", "add a batch to a Bulk API 1.0 job")
def add_batch(call: Call) -> Response:
    """Answer 201 with a batch in state Queued."""
    job = _job(call)
    if job.state != "Open":
        raise Refusal("InvalidJobState", f"No batches can be added to a job that is {job.state}")
    if len(call.request.body) > MOST_BATCH_BYTES:
        raise Refusal("ClientInputError", f"The batch is larger than {MOST_BATCH_BYTES} bytes")
    if not jobs_of(call.org).spend_batch():
        raise Refusal("ExceededQuota", "ApiBatchItems Limit exceeded.")
    batch = _new_batch(call, job, call.request.body)
    return _batch_answer(job, batch, 201)


@_on("GET", "/{job}/batch", "list the batches of a Bulk API 1.0 job; each moves by one step")
def list_batches(call: Call) -> Response:
    """Answer with every batch."""
    job = _job(call)
    for batch in list(job.batches.values()):
        _advance(call, job, batch)
    json = job.content_type == "JSON"
    body = formats.infos("batchInfo", [_batch_values(job, each) for each in job.batches.values()], json=json)
    return Response(200, body, [("Content-Type", formats.JSON if json else formats.XML)])


@_on("GET", "/{job}/batch/{batch}", "show a batch of a Bulk API 1.0 job; it moves by one step")
def show_batch(call: Call) -> Response:
    """Answer with the batch after one more step."""
    job, batch = _batch(call)
    _advance(call, job, batch)
    return _batch_answer(job, batch)


@_on("GET", "/{job}/batch/{batch}/request", "what was sent as a batch of a Bulk API 1.0 job")
def batch_request(call: Call) -> Response:
    """Answer with the batch as it was sent."""
    job, batch = _batch(call)
    return Response(200, batch.request, [("Content-Type", formats.CONTENT_TYPES[job.content_type])])


@_on("GET", "/{job}/batch/{batch}/result", "outcomes of a DML batch, or the ids of a query batch's results")
def batch_result(call: Call) -> Response:
    """Answer with the outcomes in the order of the upload, or with a list of result ids."""
    job, batch = _batch(call)
    if batch.state not in ("Completed", "Failed"):
        raise Refusal("InvalidBatch", f"Batch not completed: it is {batch.state}")
    if job.operation in QUERIES:
        json = job.content_type == "JSON"
        kind = formats.JSON if json else formats.XML
        return Response(200, formats.result_list(list(batch.results), json=json), [("Content-Type", kind)])
    if batch.state == "Failed":
        raise Refusal("InvalidBatch", f"Batch failed: {batch.message}")
    return Response(200, batch.result, [("Content-Type", formats.CONTENT_TYPES[job.content_type])])


@_on("GET", "/{job}/batch/{batch}/result/{result}", "rows of a query batch")
def query_result(call: Call) -> Response:
    """Answer with the rows."""
    job, batch = _batch(call)
    found = batch.results.get(call.args["result"])
    if found is None:
        raise Refusal("InvalidBatch", f"No result with id {call.args['result']}")
    return Response(200, found, [("Content-Type", formats.QUERY_CONTENT_TYPES[job.content_type])])


# Running


def _new_batch(call: Call, job: ClassicJob, request: bytes, chunk: list[str] | None = None) -> Batch:
    now = call.org.now_seconds()
    batch = Batch(call.org.ids.one("751"), now, request, changed_at=now, advanced_at=now, chunk=chunk)
    job.batches[batch.id] = batch
    return batch


def _advance(call: Call, job: ClassicJob, batch: Batch) -> None:
    """Move a batch by one step, and by one more for every second since it last moved: Queued, InProgress, done."""
    now = call.org.now_seconds()
    steps = 1 + max(0, now - batch.advanced_at)
    batch.advanced_at = now
    while steps and batch.state in ("Queued", "InProgress"):
        if call.org.faults.rules and call.org.faults.on_job("job_stuck", job.object_name):
            return
        steps -= 1
        if batch.state == "Queued":
            batch.state = "InProgress"
            continue
        batch.state, batch.changed_at = "Completed", now
        try:
            if call.org.faults.rules and call.org.faults.on_job("job_failed", job.object_name):
                raise BatchRefused("InternalServerError : The batch failed")
            if job.operation in QUERIES:
                _query(call, job, batch)
            else:
                _write(call, job, batch)
        except BatchRefused as refusal:
            batch.state, batch.message = "Failed", str(refusal)
        except ApiError as error:
            batch.state, batch.message = "Failed", f"InvalidBatch : {error.code}: {error.message}"


def _write(call: Call, job: ClassicJob, batch: Batch) -> None:
    actor = call.org.actor(job.creator)
    sobject = actor.schema.get(job.object_name)
    if sobject is None:
        raise BatchRefused(f"InvalidEntity : Unable to find object: {job.object_name}")
    records = formats.read_records(batch.request, job.content_type, sobject, job.operation)
    options = Options(assign=job.assignment_rule or False)
    results = write(call.org, actor, job.object_name, job.operation, job.external, records, options)
    batch.processed, batch.failed = len(results), sum(not each.success for each in results)
    batch.result = formats.outcomes(results, job.content_type)


def _query(call: Call, job: ClassicJob, batch: Batch) -> None:
    org, actor = call.org, call.org.actor(job.creator)
    view = soql.View(
        schema=actor.schema,
        everything=org.schema,
        now=org.now(),
        zone=actor.zone,
        user_id=actor.user_id,
        include_deleted=job.operation == "queryAll",
        version=job.version,
    )
    with org.running_as(actor):
        plan = soql.compile_soql(batch.request.decode("utf-8", "replace"), view, bulk=True)
        if plan.object_name != job.object_name:
            raise BatchRefused(f"InvalidBatch : The query is on {plan.object_name}, the job on {job.object_name}")
        extract = soql.Extract(org.storage.db, plan, ids=batch.chunk)
        if job.chunk_rows is not None and batch.chunk is None:
            _cut(call, job, batch, extract.ids)
            return
        batch.processed = len(extract)
        batch.results[org.ids.one("752")] = _rows(call, job, extract)


def _rows(call: Call, job: ClassicJob, extract: soql.Extract) -> bytes:
    db, step = call.org.storage.db, 5_000
    starts = range(0, len(extract), step)
    if job.content_type == "CSV":
        if not len(extract):
            return formats.NO_RECORDS
        return (extract.header + "".join("".join(extract.lines(db, start, step)) for start in starts)).encode()
    records = [record for start in starts for record in extract.records(db, start, step, job.version)]
    if job.content_type == "JSON":
        return formats.query_json(records, frozenset(extract.instants))
    return formats.query_xml(records)


def _cut(call: Call, job: ClassicJob, batch: Batch, ids: list[str]) -> None:
    """Let batches over runs of ids stand for the one that was sent (primary key chunking)."""
    batch.state = "Not Processed"
    rows = job.chunk_rows or CHUNK_ROWS
    ordered = sorted(ids)
    for start in range(0, len(ordered), rows):
        jobs_of(call.org).spend_batch()
        _new_batch(call, job, batch.request, ordered[start : start + rows])


# What several have


def _json_asked(request: Request) -> bool:
    """Whether a job is answered as JSON: what the request is in, else what it accepts, else what the job holds."""
    content_type = request.headers.get("content-type", "").lower()
    if "json" in content_type:
        return True
    return "xml" not in content_type and "json" in request.headers.get("accept", "").lower()


def _job(call: Call) -> ClassicJob:
    try:
        job = jobs_of(call.org).get(call.args["job"], "Classic")
    except ApiError:
        raise Refusal("InvalidJob", f"Unable to find job for id: {call.args['job']}") from None
    assert isinstance(job, ClassicJob)
    return job


def _batch(call: Call) -> tuple[ClassicJob, Batch]:
    job = _job(call)
    found = job.batches.get(call.args["batch"])
    if found is None:
        raise Refusal("InvalidBatch", f"Unable to find batch for id: {call.args['batch']}")
    return job, found


def _external(call: Call, object_name: str, operation: str, described: Body) -> str | None:
    if operation != "upsert":
        return None
    name = described.get("externalIdFieldName")
    if not isinstance(name, str) or not name:
        message = f"External ID was blank for {object_name}. An External ID must be specified for upsert."
        raise Refusal("InvalidJob", message)
    try:
        return call.org.records.external_field(call.actor, object_name, name).name
    except ApiError:
        message = f"Field name provided, {name} does not match an External ID for {object_name}"
        raise Refusal("InvalidJob", message) from None


def _chunk_rows(call: Call, operation: str) -> int | None:
    header = (call.header("sforce-enable-pkchunking") or "").strip().lower()
    if operation not in QUERIES or header in ("", "false"):
        return None
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == "chunksize":
            if not value.strip().isdigit() or not 0 < int(value) <= MOST_CHUNK_ROWS:
                raise Refusal("InvalidJob", f"chunkSize is a number up to {MOST_CHUNK_ROWS}")
            return int(value)
    return CHUNK_ROWS


def _job_answer(call: Call, job: ClassicJob, status: int = 200) -> Response:
    json = _json_asked(call.request)
    states = [batch.state for batch in job.batches.values()]
    batches = list(job.batches.values())
    values = {
        "id": job.id,
        "operation": job.operation,
        "object": job.object_name,
        "createdById": job.creator,
        "createdDate": datetime_text(job.created_at),
        "systemModstamp": datetime_text(job.changed_at),
        "state": job.state,
        "externalIdFieldName": job.external,
        "assignmentRuleId": job.assignment_rule,
        "concurrencyMode": job.concurrency,
        "contentType": job.content_type,
        "numberBatchesQueued": states.count("Queued"),
        "numberBatchesInProgress": states.count("InProgress"),
        "numberBatchesCompleted": states.count("Completed"),
        "numberBatchesFailed": states.count("Failed"),
        "numberBatchesTotal": len(states),
        "numberRecordsProcessed": sum(batch.processed for batch in batches),
        "numberRetries": 0,
        "apiVersion": float(job.version) if json else job.version,
        "numberRecordsFailed": sum(batch.failed for batch in batches),
        "totalProcessingTime": 0,
        "apiActiveProcessingTime": 0,
        "apexProcessingTime": 0,
    }
    kind = formats.JSON if json else formats.XML
    return Response(status, formats.info("jobInfo", values, json=json), [("Content-Type", kind)])


def _batch_answer(job: ClassicJob, batch: Batch, status: int = 200) -> Response:
    json = job.content_type == "JSON"
    kind = formats.JSON if json else formats.XML
    return Response(status, formats.info("batchInfo", _batch_values(job, batch), json=json), [("Content-Type", kind)])


def _batch_values(job: ClassicJob, batch: Batch) -> Body:
    return {
        "id": batch.id,
        "jobId": job.id,
        "state": batch.state,
        "stateMessage": batch.message,
        "createdDate": datetime_text(batch.created_at),
        "systemModstamp": datetime_text(batch.changed_at),
        "numberRecordsProcessed": batch.processed,
        "numberRecordsFailed": batch.failed,
        "totalProcessingTime": 0,
        "apiActiveProcessingTime": 0,
        "apexProcessingTime": 0,
    }
