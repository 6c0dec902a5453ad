"""Bulk API 2.0: ingest and query jobs over REST (facts 4.1 to 4.4).

It may not know how rows are written or read. It keeps one law: the answer to a poll shows the state after one more step
of the job, and a result shows only what the job has done.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import orjson

from sfsync.localorg import soql
from sfsync.localorg.access import Actor
from sfsync.localorg.bulk_jobs import IngestJob, Job, QueryJob, jobs_of, view_of
from sfsync.localorg.bulk_rows import DELIMITERS, LINE_ENDINGS, each_line
from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call, Response, Routes, json_response
from sfsync.localorg.values import datetime_text

routes = Routes()
CSV = "text/csv;charset=UTF-8"
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
MOST_UPLOAD_BYTES = 150 * 1024 * 1024
JOBS_PER_PAGE = 1_000
ROWS_PER_RESULT = 50_000
PAGES_AT_ONCE = 5
_BASE = "/services/data/{version}/jobs"


# Ingest


@routes.on("POST", f"{_BASE}/ingest", "create a Bulk API 2.0 ingest job, with its data when multipart")
def create_ingest(call: Call) -> Response:
    """Answer with a new job: Open, or UploadComplete when its data came with it."""
    described, data = _created_from(call)
    actor, jobs = call.actor, jobs_of(call.org)
    operation = _one_of(described, "operation", OPERATIONS, None)
    if operation == "hardDelete" and not actor.admin:
        message = (
            "hardDelete operation requires special user profile permission, please contact your system administrator"
        )
        raise ApiError(400, "FEATURENOTENABLED", message)
    sobject = actor.schema.get(str(described.get("object") or ""))
    if sobject is None or not (sobject.createable or sobject.updateable):
        raise _bad_entity(str(described.get("object")))
    job = IngestJob(
        id=call.org.ids.one("750"),
        operation=operation,
        object_name=sobject.name,
        creator=actor.user_id,
        created_at=call.org.now_seconds(),
        version=call.version,
        kind="V2Ingest",
        external=_external(call, actor, sobject.name, operation, described),
        assignment_rule=described.get("assignmentRuleId"),
    )
    _formats(job, described)
    jobs.add(job)
    if data is not None:
        job.data = data
        jobs.set_state(job, "UploadComplete")
    return json_response(_shown(job, brief=True))


@routes.on("GET", f"{_BASE}/ingest", "list ingest jobs, a thousand at a time")
def list_ingest(call: Call) -> Response:
    """Answer with the ingest jobs that the org keeps, newest first."""
    return _listed(call, ("V2Ingest", "Classic"))


@routes.on("PUT", f"{_BASE}/ingest/{{job}}/batches", "upload the CSV of an ingest job, once")
def upload(call: Call) -> Response:
    """Keep the data of a job; 201 and nothing else."""
    job = _ingest(call)
    if job.state != "Open":
        raise _bad_state(f"The job is in state {job.state}; data can be uploaded to an Open job only")
    if job.data is not None:
        raise ApiError(
            400,
            "CLIENTINPUTERROR",
            f"ClientInputError : Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the "
            "current Job then create a new Job and make sure you only do 'PUT' once on a given Job.",
        )
    content_type = (call.header("content-type") or "text/csv").partition(";")[0].strip().lower()
    if content_type != "text/csv":
        raise ApiError(400, "UNSUPPORTED_MEDIA_TYPE", f"the content type must be text/csv, not {content_type}")
    if len(call.request.body) > MOST_UPLOAD_BYTES:
        raise ApiError(413, "REQUEST_ENTITY_TOO_LARGE", f"the content is larger than {MOST_UPLOAD_BYTES} bytes")
    job.data = call.request.body
    return Response(201)


@routes.on("PATCH", f"{_BASE}/ingest/{{job}}", "close (UploadComplete) or abort an ingest job")
def change_ingest(call: Call) -> Response:
    """Close or abort a job."""
    job, state = _ingest(call), call.json_object().get("state")
    if state == "UploadComplete" and job.state == "Open":
        jobs_of(call.org).set_state(job, "UploadComplete")
        job.advanced_at = call.org.now_seconds()
    elif state == "Aborted":
        _abort(call, job)
    elif state == "UploadComplete":
        raise _bad_state(f"Closing already {job.state} Job not allowed")
    else:
        raise _bad_state(f"The state of a job can be set to UploadComplete or Aborted, not to {state}")
    return json_response(_shown(job, brief=True))


@routes.on("GET", f"{_BASE}/ingest/{{job}}", "show an ingest job; it moves by one step")
def show_ingest(call: Call) -> Response:
    """Answer with the job after one more step."""
    job = _ingest(call)
    jobs_of(call.org).advance(job)
    return json_response(_shown(job))


@routes.on("DELETE", f"{_BASE}/ingest/{{job}}", "delete an ingest job that is closed")
def delete_ingest(call: Call) -> Response:
    """Forget a job."""
    return _deleted(call, _ingest(call))


@routes.on("GET", f"{_BASE}/ingest/{{job}}/successfulResults", "rows that were written, in any order")
def successful_results(call: Call) -> Response:
    """Answer with the rows that were written."""
    job = _ended(_ingest(call))
    return _result(job, ("sf__Id", "sf__Created"), job.succeeded_parts)


@routes.on("GET", f"{_BASE}/ingest/{{job}}/failedResults", "rows that were refused, with the reason")
def failed_results(call: Call) -> Response:
    """Answer with the rows that were refused."""
    job = _ended(_ingest(call))
    return _result(job, ("sf__Id", "sf__Error"), job.failed_parts)


@routes.on("GET", f"{_BASE}/ingest/{{job}}/unprocessedrecords", "rows that a failed or aborted job did not come to")
def unprocessed_records(call: Call) -> Response:
    """Answer with the rows that were not processed."""
    job = _ended(_ingest(call))
    return _result(job, (), each_line(job.unprocessed, *job.separators))


# Query


@routes.on("POST", f"{_BASE}/query", "create a Bulk API 2.0 query job")
def create_query(call: Call) -> Response:
    """Answer with a new query job; a statement that Bulk does not take is refused at once."""
    described, actor, jobs = call.json_object(), call.actor, jobs_of(call.org)
    operation = _one_of(described, "operation", ("query", "queryAll"), None)
    statement = described.get("query")
    if not isinstance(statement, str):
        raise ApiError(400, "INVALIDJOB", "InvalidJob : A query has to be specified")
    job = QueryJob(
        id=call.org.ids.one("750"),
        operation=operation,
        object_name="",
        creator=actor.user_id,
        created_at=call.org.now_seconds(),
        version=call.version,
        kind="V2Query",
        state="UploadComplete",
        statement=statement,
    )
    _formats(job, described)
    job.object_name = soql.compile_soql(statement, view_of(call.org, actor, job), bulk=True).object_name
    jobs.spend_query()
    jobs.add(job)
    return json_response(_shown(job, brief=True))


@routes.on("GET", f"{_BASE}/query", "list query jobs, a thousand at a time")
def list_query(call: Call) -> Response:
    """Answer with the query jobs that the org keeps, newest first."""
    return _listed(call, ("V2Query",))


@routes.on("GET", f"{_BASE}/query/{{job}}", "show a query job; it moves by one step")
def show_query(call: Call) -> Response:
    """Answer with the job after one more step."""
    job = _query(call)
    jobs_of(call.org).advance(job)
    return json_response(_shown(job))


@routes.on("PATCH", f"{_BASE}/query/{{job}}", "abort a query job")
def change_query(call: Call) -> Response:
    """Abort a job."""
    job, state = _query(call), call.json_object().get("state")
    if state != "Aborted":
        raise _bad_state(f"The state of a query job can be set to Aborted, not to {state}")
    _abort(call, job)
    return json_response(_shown(job, brief=True))


@routes.on("DELETE", f"{_BASE}/query/{{job}}", "delete a query job that has ended")
def delete_query(call: Call) -> Response:
    """Forget a job."""
    job = _query(call)
    if not job.ended:
        raise _bad_state(f"A query job in state {job.state} can not be deleted")
    return _deleted(call, job)


@routes.on("GET", f"{_BASE}/query/{{job}}/results", "rows of a query job, from a locator on")
def query_results(call: Call) -> Response:
    """Answer with rows; the locator of the last part is the text ``null``."""
    job = _completed(_query(call))
    start = _from_locator(call.request.query.get("locator"), job.rows)
    most = _positive(call.request.query.get("maxRecords"), "maxRecords") or ROWS_PER_RESULT
    count = min(most, job.rows - start)
    following = _locator(start + count) if start + count < job.rows else "null"
    headers = [("Content-Type", CSV), ("Sforce-NumberOfRecords", str(count)), ("Sforce-Locator", following)]
    return Response(200, job.part(start, count), headers)


@routes.on("GET", f"{_BASE}/query/{{job}}/resultPages", "URLs of the next parts of a query job, for parallel download")
def result_pages(call: Call) -> Response:
    """Answer with at most five URLs of parts."""
    job = _completed(_query(call))
    start = _from_locator(call.request.query.get("locator"), job.rows)
    base = f"{call.base}/jobs/query/{job.id}"
    starts = list(range(start, max(job.rows, start + 1), ROWS_PER_RESULT))
    pages = [
        {"resultUrl": f"{base}/results?locator={_locator(each)}&maxRecords={ROWS_PER_RESULT}"}
        for each in starts[:PAGES_AT_ONCE]
    ]
    body: dict[str, Any] = {"resultPages": pages, "done": len(starts) <= PAGES_AT_ONCE}
    if len(starts) > PAGES_AT_ONCE:
        body["nextRecordsUrl"] = f"{base}/resultPages?locator={_locator(starts[PAGES_AT_ONCE])}"
    return json_response(body)


# What both have


def _ingest(call: Call) -> IngestJob:
    job = jobs_of(call.org).get(call.args["job"], "V2Ingest")
    assert isinstance(job, IngestJob)
    return job


def _query(call: Call) -> QueryJob:
    job = jobs_of(call.org).get(call.args["job"], "V2Query")
    assert isinstance(job, QueryJob)
    if job.version != call.version:
        message = f"The job was created with API version {job.version}, not with {call.version}"
        raise ApiError(409, "VERSIONMISMATCH", message)
    return job


def _ended(job: IngestJob) -> IngestJob:
    if not job.ended:
        raise _bad_state(f"The results of a job in state {job.state} can not be retrieved")
    return job


def _completed(job: QueryJob) -> QueryJob:
    if job.state != "JobComplete":
        raise _bad_state(f"The results of a job in state {job.state} can not be retrieved")
    return job


def _abort(call: Call, job: Job) -> None:
    if job.ended:
        shown = "Completed" if job.state == "JobComplete" else job.state
        raise _bad_state(f"Aborting already {shown} Job not allowed")
    jobs_of(call.org).abort(job)


def _deleted(call: Call, job: Job) -> Response:
    if job.state in ("Open", "InProgress"):
        raise _bad_state(f"A job in state {job.state} can not be deleted")
    jobs_of(call.org).remove(job)
    return Response(204)


def _shown(job: Job, *, brief: bool = False) -> dict[str, Any]:
    """The job as JSON; a brief one, as create and close answer, has no counts."""
    shown: dict[str, Any] = {
        "id": job.id,
        "operation": job.operation,
        "object": job.object_name,
        "createdById": job.creator,
        "createdDate": datetime_text(job.created_at),
        "systemModstamp": datetime_text(job.changed_at),
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version),
    }
    if isinstance(job, IngestJob) and job.kind == "V2Ingest":
        if job.external:
            shown["externalIdFieldName"] = job.external
        if job.assignment_rule:
            shown["assignmentRuleId"] = job.assignment_rule
        if job.state == "Open":
            shown["contentUrl"] = f"services/data/v{job.version}/jobs/ingest/{job.id}/batches"
    shown |= {"lineEnding": job.line_ending, "columnDelimiter": job.delimiter}
    if brief:
        return shown
    busy = job.processed // 10 + (1 if job.steps else 0)
    shown |= {"jobType": job.kind, "numberRecordsProcessed": job.processed}
    if isinstance(job, IngestJob):
        shown |= {"numberRecordsFailed": job.failed, "apiActiveProcessingTime": busy, "apexProcessingTime": 0}
    shown |= {"retries": 0, "totalProcessingTime": busy}
    if job.error is not None:
        shown["errorMessage"] = job.error
    return shown


def _result(job: IngestJob, front: tuple[str, ...], parts: list[str]) -> Response:
    delimiter, line_ending = job.separators
    header = job.upload_header
    names = [f'"{name}"' for name in front]
    own = each_line([header], delimiter, "")[0] if header else ""
    first = delimiter.join([*names, own] if own else names)
    return Response(200, (first + line_ending + "".join(parts)).encode(), [("Content-Type", CSV)])


def _listed(call: Call, kinds: tuple[str, ...]) -> Response:
    query = call.request.query
    wanted = query.get("jobType")
    found = [j for j in jobs_of(call.org).all() if j.kind in kinds and (not wanted or j.kind.lower() == wanted.lower())]
    start = _from_locator(query.get("queryLocator"), len(found))
    page = found[start : start + JOBS_PER_PAGE]
    done = start + JOBS_PER_PAGE >= len(found)
    following = None if done else f"{call.base}/jobs/{_family(kinds)}?queryLocator={_locator(start + JOBS_PER_PAGE)}"
    records = [_shown(job, brief=True) | {"jobType": job.kind} for job in page]
    return json_response({"done": done, "records": records, "nextRecordsUrl": following})


def _family(kinds: tuple[str, ...]) -> str:
    return "query" if "V2Query" in kinds else "ingest"


def _created_from(call: Call) -> tuple[dict[str, Any], bytes | None]:
    """The description of a job, and its data when the request is multipart."""
    content_type = call.header("content-type") or ""
    if not content_type.lower().startswith("multipart/"):
        return call.json_object(), None
    message = message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + call.request.body, policy=HTTP
    )
    parts: dict[str, bytes] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        parts[str(name)] = payload if isinstance(payload, bytes) else b""
    if "job" not in parts or "content" not in parts:
        raise ApiError(
            400, "INVALIDJOB", "InvalidJob : A multipart request has a part called job and a part called content"
        )
    try:
        described = orjson.loads(parts["job"])
    except orjson.JSONDecodeError as problem:
        raise ApiError(
            400, "JSON_PARSER_ERROR", f"{problem} at [line:{problem.lineno}, column:{problem.colno}]"
        ) from None
    if not isinstance(described, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "The job part is required to be a JSON object")
    return described, parts["content"]


def _formats(job: Job, described: Mapping[str, Any]) -> None:
    _one_of(described, "contentType", ("CSV",), "CSV")
    job.delimiter = _one_of(described, "columnDelimiter", tuple(DELIMITERS), "COMMA")
    job.line_ending = _one_of(described, "lineEnding", tuple(LINE_ENDINGS), "LF")


def _one_of(described: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str | None) -> str:
    value = described.get(key)
    if value is None and default is not None:
        return default
    found = next((each for each in allowed if each.lower() == str(value).lower()), None)
    if found is None:
        shown = "is missing" if value is None else f"can not be {value}"
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : {key} {shown}; it is one of {', '.join(allowed)}")
    return found


def _external(call: Call, actor: Actor, object_name: str, operation: str, described: Mapping[str, Any]) -> str | None:
    name = described.get("externalIdFieldName")
    if operation != "upsert":
        return None
    if not isinstance(name, str) or not name:
        message = f"InvalidJob : External ID was blank for {object_name}. An External ID must be specified for upsert."
        raise ApiError(400, "INVALIDJOB", message)
    try:
        return call.org.records.external_field(actor, object_name, name).name
    except ApiError:
        message = (
            f"InvalidJob : Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field "
            f"for {object_name}"
        )
        raise ApiError(400, "INVALIDJOB", message) from None


def _bad_entity(name: str) -> ApiError:
    return ApiError(400, "INVALIDENTITY", f"Entity '{name}' is not supported by the Bulk API.")


def _bad_state(message: str) -> ApiError:
    return ApiError(400, "INVALIDJOBSTATE", message)


def _locator(start: int) -> str:
    return base64.urlsafe_b64encode(f"0:{start}".encode()).decode()


def _from_locator(locator: str | None, size: int) -> int:
    if not locator:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(locator.encode()).decode().removeprefix("0:"))
    except (ValueError, binascii.Error):
        start = -1
    if not 0 <= start <= size:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return start


def _positive(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ApiError(400, "INVALID_PARAMETER", f"{name} must be a positive number, not {text}")
    return int(text)
