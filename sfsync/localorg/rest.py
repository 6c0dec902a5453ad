"""REST for single records and for what an org says about itself: versions, limits, describe, rows, replication.

It may not know SQL beyond reading one row. It keeps one law: names are taken in any case and given back in theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from sfsync.localorg import formula, ids
from sfsync.localorg.describe import global_describe, object_describe
from sfsync.localorg.errors import ApiError, malformed_id, not_found, not_modelled
from sfsync.localorg.face import (
    JSON,
    NEWEST,
    OLDEST,
    Call,
    Response,
    Routes,
    error_response,
    json_response,
)
from sfsync.localorg.records import Options, SaveResult
from sfsync.localorg.schema import Field, SObject
from sfsync.localorg.storage import quoted
from sfsync.localorg.values import datetime_text, parse_datetime, rest_renderer

if TYPE_CHECKING:
    from sfsync.localorg.access import Actor
    from sfsync.localorg.org import LocalOrg

routes = Routes()
DATA = "/services/data/{version}"
MOST_DAYS_UPDATED, MOST_DAYS_DELETED = 30, 15
MOST_REPLICATED = 600_000
_SEASONS = ("Winter", "Spring", "Summer")
_ADDRESS_PARTS = ("city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street")


# What the org says about itself


def _label(version: int) -> str:
    # v52 was Summer '21; there are three releases a year.
    season, year = (version - 53) % 3, 22 + (version - 53) // 3
    return f"{('Winter', 'Spring', 'Summer')[season]} '{year}"


@routes.on("GET", "/services/data", "API versions", session=False, cost=0)
def versions(call: Call) -> Response:
    """List the versions, oldest first; no session is needed."""
    return json_response(
        [{"label": _label(n), "url": f"/services/data/v{n}.0", "version": f"{n}.0"} for n in range(OLDEST, NEWEST + 1)]
    )


@routes.on("GET", DATA, "Resources of a version")
def resources(call: Call) -> Response:
    """List the resources of a version."""
    base = call.base
    names = (
        "sobjects",
        "query",
        "queryAll",
        "composite",
        "limits",
        "actions",
        "jobs",
        "tooling",
        "recent",
        "metadata",
        "process",
    )
    found = {name: f"{base}/{name}" for name in names}
    identity = f"{call.world.login_url(call.request)}/id/{call.org.org_id}/{call.actor.user_id}"
    return json_response(found | {"identity": identity})


@routes.on("GET", DATA + "/limits", "Limits")
def limits(call: Call) -> Response:
    """Say how much of each allocation is left."""
    org = call.org
    total = org.daily_api_requests
    untouched = {
        "DailyBulkApiBatches": 15_000,
        "DailyBulkV2QueryJobs": 10_000,
        "DailyBulkV2QueryFileStorageMB": 976_562,
        "DailyAsyncApexExecutions": 250_000,
        "DailyGenericStreamingApiEvents": 10_000,
        "DailyStreamingApiEvents": 10_000,
        "DailyDeliveredPlatformEvents": 10_000,
        "HourlyPublishedPlatformEvents": 50_000,
        "DailyWorkflowEmails": 1_000,
        "DataStorageMB": 1_024,
        "FileStorageMB": 10_240,
        "HourlyAsyncReportRuns": 1_200,
        "HourlyDashboardRefreshes": 200,
        "HourlyTimeBasedWorkflow": 500,
        "MassEmail": 10,
        "SingleEmail": 15,
    }
    answer: dict[str, Any] = {"DailyApiRequests": {"Max": total, "Remaining": max(0, total - org.spent())}}
    answer |= {name: {"Max": most, "Remaining": most - org.used.get(name, 0)} for name, most in untouched.items()}
    answer["PermissionSets"] = {"Max": 1_500, "Remaining": 1_499, "CreateCustom": {"Max": 1_000, "Remaining": 999}}
    return json_response(answer)


@routes.on("GET", DATA + "/limits/recordCount", "Approximate record counts")
def record_count(call: Call) -> Response:
    """Count the rows of objects; those without rows are left out."""
    asked = call.request.query.get("sObjects")
    names = [n.strip() for n in asked.split(",")] if asked else [o.name for o in call.actor.schema if o.queryable]
    found = []
    for name in sorted(names, key=str.lower):
        sobject = call.actor.schema.get(name)
        count = call.org.count(sobject.name) if sobject is not None else 0
        if sobject is not None and count:
            found.append({"count": count, "name": sobject.name})
    return json_response({"sObjects": found})


# Describe


def _described(call: Call, key: str, build: Any) -> Response:
    """Answer from the cache of this user's describes, or 304 when nothing changed since the client's copy."""
    org = call.org
    stamp = org.schema_changed_at
    since = http_date(call.header("if-modified-since"))
    if since is not None and stamp <= since:
        return Response(304, b"", [("Last-Modified", formatdate(stamp, usegmt=True))])
    cache_key = (call.actor.user_id, call.version, key)
    found = org.describes.get(cache_key)
    if found is None or found[0] != org.access_version:
        body = orjson.dumps(build())
        tag = '"' + hashlib.md5(body, usedforsecurity=False).hexdigest() + '"'
        found = org.describes[cache_key] = (org.access_version, body, tag)
    if found[2] in (call.header("if-none-match") or "").replace("-gzip", ""):
        return Response(304, b"", [("ETag", found[2])])
    headers = [("Content-Type", JSON), ("Last-Modified", formatdate(stamp, usegmt=True)), ("ETag", found[2])]
    return Response(200, found[1], headers)


@routes.on("GET", DATA + "/sobjects", "Describe global")
def describe_global(call: Call) -> Response:
    """Describe all objects briefly."""
    return _described(call, "", lambda: global_describe(call.actor.schema, call.base))


@routes.on("GET", DATA + "/sobjects/{object}/describe", "Describe an object")
def describe(call: Call) -> Response:
    """Describe one object fully."""
    sobject = visible(call.actor, call.args["object"])
    return _described(call, sobject.name, lambda: object_describe(call.actor.schema, sobject, call.base))


@routes.on("GET", DATA + "/sobjects/{object}/describe/{part}", "Layouts and the like (refused)")
@routes.on("GET", DATA + "/sobjects/{object}/describe/{part}/{id}", "Layouts and the like (refused)")
def describe_part(call: Call) -> Response:
    """Refuse layouts, compact layouts and approval layouts."""
    raise not_modelled(f"describe/{call.args['part']} of {call.args['object']}")


# Rows


def visible(actor: Actor, name: str) -> SObject:
    """Return an object as a user sees it; NOT_FOUND when the user does not."""
    found = actor.schema.get(name)
    if found is None or found.tooling:
        raise not_found()
    return found


def record_id_of(sobject: SObject, given: str) -> str:
    """Return the 18-character id in a path; MALFORMED_ID when it is not an id of this object."""
    found = ids.to_long(given)
    if found is None or (sobject.key_prefix and found[:3] != sobject.key_prefix):
        raise malformed_id(given)
    return found


def save_options(call: Call, *, all_or_none: bool = False) -> Options:
    """Return how this request wants its writes done (Sforce-Auto-Assign)."""
    wanted = (call.header("sforce-auto-assign") or "TRUE").strip()
    assign: bool | str = wanted if ids.looks_like_id(wanted) else wanted.upper() != "FALSE"
    return Options(all_or_none=all_or_none, assign=assign)


def only(results: list[SaveResult]) -> SaveResult:
    """Return the result of a write of one record; its first refusal is raised."""
    result = results[0]
    if result.errors:
        raise result.errors[0]
    return result


def created(call: Call, sobject: SObject, record_id: str, **more: Any) -> Response:
    """Return the 201 of a new record."""
    where = f"{call.base}/sobjects/{sobject.name}/{record_id}"
    body = {"id": record_id, "success": True, "errors": []} | more
    return json_response(body, 201, [("Location", where)])


@routes.on("GET", DATA + "/sobjects/{object}", "Basic information about an object")
def basic(call: Call) -> Response:
    """Answer with the brief describe and the recent items (none are kept)."""
    sobject = visible(call.actor, call.args["object"])
    described = global_describe(call.actor.schema, call.base)["sobjects"]
    return json_response({"objectDescribe": next(d for d in described if d["name"] == sobject.name), "recentItems": []})


@routes.on("POST", DATA + "/sobjects/{object}", "Create a record")
@routes.on("POST", DATA + "/sobjects/{object}/Id", "Create a record by the upsert route")
def create(call: Call) -> Response:
    """Create one record from JSON, or from a multipart body that carries a file."""
    sobject = visible(call.actor, call.args["object"])
    if (call.header("content-type") or "").startswith("multipart/form-data"):
        from sfsync.localorg.files import multipart_record

        record = multipart_record(call, sobject)
    else:
        record = call.json_object()
    _no_id(record)
    result = only(call.org.records.insert(call.actor, sobject.name, [record], save_options(call)))
    return created(call, sobject, result.id or "")


def _no_id(record: Mapping[str, Any]) -> None:
    if any(k.lower() == "id" for k in record):
        message = "The Id field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message, ["Id"])


@routes.on("GET", DATA + "/sobjects/{object}/{id}", "Read a record")
def read(call: Call) -> Response:
    """Answer with a record: all fields, or those asked for."""
    sobject = visible(call.actor, call.args["object"])
    given = call.args["id"]
    if not ids.looks_like_id(given):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {given}")
    return _read(call, sobject, record_id_of(sobject, given))


def _read(call: Call, sobject: SObject, record_id: str) -> Response:
    row = live_row(call.org, sobject, record_id)
    since = http_date(call.header("if-modified-since"))
    until = http_date(call.header("if-unmodified-since"))
    changed = row.get("LastModifiedDate") or row.get("SystemModstamp") or 0
    if until is not None and changed > until:
        return Response(412, b"", [])
    if since is not None and changed <= since:
        return Response(304, b"", [])
    headers: list[tuple[str, str]] = []
    if sobject.name == "Account":
        tag = _etag(row)
        if tag in (call.header("if-none-match") or "").replace("-gzip", ""):
            return Response(304, b"", [("ETag", tag)])
        wanted = call.header("if-match")
        if wanted is not None and tag not in wanted.replace("-gzip", ""):
            return Response(412, b"", [])
        headers.append(("ETag", tag))
    if changed:
        headers.append(("Last-Modified", formatdate(changed, usegmt=True)))
    asked = call.request.query.get("fields")
    return json_response(shown(call, sobject, row, asked.split(",") if asked else None), headers=headers)


def _etag(row: Mapping[str, Any]) -> str:
    text = f"{row['Id']}{row.get('SystemModstamp')}{sorted((k, str(v)) for k, v in row.items())}"
    return '"' + hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + '"'


def live_row(org: LocalOrg, sobject: SObject, record_id: str) -> dict[str, Any]:
    """Return a row that is not deleted; NOT_FOUND otherwise."""
    row = org.storage.image(sobject.name, record_id)
    if row is None or row["IsDeleted"]:
        raise not_found()
    return row


def shown(call: Call, sobject: SObject, row: Mapping[str, Any], names: list[str] | None) -> dict[str, Any]:
    """Return a row as REST shows it: attributes first, then all fields or those named (Id always with them)."""
    fields: list[Field] = list(sobject.fields.values())
    if names is not None:
        fields = []
        for name in (n.strip() for n in names if n.strip()):
            found = sobject.field(name)
            if found is None:
                raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            fields.append(found)
        if not any(f.name == "Id" for f in fields):
            fields.append(sobject.fields["Id"])
    url = f"{call.base}/sobjects/{sobject.name}/{row['Id']}"
    answer: dict[str, Any] = {"attributes": {"type": sobject.name, "url": url}}
    for each in fields:
        answer[each.name] = _shown_value(call, sobject, each, row, url)
    return answer


def _shown_value(call: Call, sobject: SObject, each: Field, row: Mapping[str, Any], url: str) -> Any:
    if each.formula is not None:
        whole = call.org.schema[sobject.name]
        sql = formula.sql_expression(call.org.schema, whole, each, "t")
        found = call.org.storage.rows(f'SELECT {sql} FROM {quoted(sobject.name)} t WHERE t."Id" = ?', (row["Id"],))
        value = found[0][0] if found else None
    elif not each.stored:
        return compound(sobject, each, row)
    else:
        value = row.get(each.name)
    if value is None:
        return None
    if each.type == "base64":
        return f"{url}/{each.name}"
    render = rest_renderer(each)
    return value if render is None else render(value)


def compound(sobject: SObject, each: Field, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an address made of its parts; None when every part is empty."""
    front = each.name.removesuffix("Address")
    parts = {p: row.get(front + p[0].upper() + p[1:]) for p in _ADDRESS_PARTS}
    return parts if any(v is not None for v in parts.values()) else None


@routes.on("PATCH", DATA + "/sobjects/{object}/{id}", "Update a record")
def update(call: Call) -> Response:
    """Change one record."""
    sobject = visible(call.actor, call.args["object"])
    given = call.args["id"]
    if not ids.looks_like_id(given):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {given}")
    record = call.json_object()
    _no_id(record)
    # A real org looks at the names of the fields before it looks at the id (recorded).
    call.org.records.plan(call.actor, sobject.name).check_names(record)
    record_id = record_id_of(sobject, given)
    refused = _precondition(call, sobject, record_id)
    if refused is not None:
        return refused
    only(call.org.records.update(call.actor, sobject.name, [(record_id, record)], save_options(call)))
    return Response(204)


def _precondition(call: Call, sobject: SObject, record_id: str) -> Response | None:
    unmodified = call.header("if-unmodified-since")
    match = call.header("if-match")
    if unmodified is None and match is None:
        return None
    row = live_row(call.org, sobject, record_id)
    if unmodified is not None:
        until = http_date(unmodified)
        if until is None:
            raise ApiError(400, "INVALID_HEADER", f"invalid If-Unmodified-Since: {unmodified}")
        if (row.get("LastModifiedDate") or 0) > until:
            return Response(412)
    if match is not None and sobject.name == "Account" and _etag(row) not in match.replace("-gzip", ""):
        return Response(412)
    return None


@routes.on("DELETE", DATA + "/sobjects/{object}/{id}", "Delete a record")
def delete(call: Call) -> Response:
    """Delete one record into the recycle bin."""
    sobject = visible(call.actor, call.args["object"])
    given = call.args["id"]
    if not ids.looks_like_id(given):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {given}")
    record_id = record_id_of(sobject, given)
    only(call.org.removal.delete(call.actor, [(sobject.name, record_id)]))
    return Response(204)


# By external id, relationship or blob


@routes.on("GET", DATA + "/sobjects/{object}/{key}/{value}", "Read by external id; follow a relationship; fetch a blob")
def read_by(call: Call) -> Response:
    """Answer with the record an external id or a relationship leads to, or with the bytes of a blob field."""
    sobject = visible(call.actor, call.args["object"])
    key, value = call.args["key"], call.args["value"]
    if ids.looks_like_id(key) and sobject.field(key) is None:
        return _followed(call, sobject, record_id_of(sobject, key), value)
    external = call.org.records.external_field(call.actor, sobject.name, key)
    return _read(call, sobject, _one_match(call, sobject, external, value))


def _followed(call: Call, sobject: SObject, record_id: str, name: str) -> Response:
    row = live_row(call.org, sobject, record_id)
    blob = sobject.field(name)
    if blob is not None and blob.type == "base64":
        data = row.get(blob.name)
        return Response(200, data or b"", [("Content-Type", "application/octetstream")])
    lookup = sobject.parent(name)
    if lookup is not None:
        target_id = row.get(lookup.name)
        target = None if target_id is None else call.actor.schema.by_prefix(target_id[:3])
        if target is None or target_id is None:
            raise not_found(f"The requested resource does not exist: {name}")
        return _read(call, target, target_id)
    child = call.actor.schema.child(sobject.name, name)
    if child is None:
        raise not_found()
    below = visible(call.actor, child.child)
    rows = call.org.storage.rows(
        f'SELECT "Id" FROM {quoted(below.name)} WHERE {quoted(child.field)} = ? AND "IsDeleted" = 0 ORDER BY "Id"',
        (record_id,),
    )
    records = [shown(call, below, live_row(call.org, below, i), None) for (i,) in rows]
    return json_response({"totalSize": len(records), "done": True, "records": records})


def _one_match(call: Call, sobject: SObject, external: Field, value: str) -> str:
    from sfsync.localorg.values import coercion

    stored = coercion(external, call.org.schema)(value)
    found = [i for group in call.org.records.matches(sobject.name, external, [stored]).values() for i in group]
    if len(found) > 1:
        raise ApiError(
            300, "MULTIPLE_CHOICES", "more than one", [f"{call.base}/sobjects/{sobject.name}/{i}" for i in found]
        )
    if not found:
        raise not_found()
    return found[0]


@routes.on("PATCH", DATA + "/sobjects/{object}/{key}/{value}", "Upsert by external id")
def upsert(call: Call) -> Response:
    """Create or change the record with this external id: 201, 200 (204 before v46) or 300 (facts 2.5)."""
    sobject = visible(call.actor, call.args["object"])
    external = call.org.records.external_field(call.actor, sobject.name, call.args["key"])
    record = call.json_object()
    _no_id(record)
    if any(k.lower() == external.name.lower() for k in record):
        message = f"The {external.name} field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message, [external.name])
    modern = float(call.version) >= 46
    if call.request.query.get("updateOnly", "").lower() == "true":
        _one_match(call, sobject, external, call.args["value"])
    whole = record | {external.name: call.args["value"]}
    results = call.org.records.upsert(call.actor, sobject.name, external.name, [whole], save_options(call))
    error = results[0].errors[0] if results[0].errors else None
    if error is not None and error.status == 300:
        return json_response([f"{call.base}/sobjects/{sobject.name}/{i}" for i in error.fields or []], 300)
    result = only(results)
    if result.created:
        return created(call, sobject, result.id or "", **({"created": True} if modern else {}))
    if not modern:
        return Response(204)
    return json_response({"id": result.id, "success": True, "errors": [], "created": False})


@routes.on("DELETE", DATA + "/sobjects/{object}/{key}/{value}", "Delete by external id")
def delete_by(call: Call) -> Response:
    """Delete the record with this external id."""
    sobject = visible(call.actor, call.args["object"])
    external = call.org.records.external_field(call.actor, sobject.name, call.args["key"])
    record_id = _one_match(call, sobject, external, call.args["value"])
    only(call.org.removal.delete(call.actor, [(sobject.name, record_id)]))
    return Response(204)


# Replication


def http_date(text: str | None) -> int | None:
    """Return the unix seconds of an HTTP date, or None."""
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _window(call: Call, most_days: int) -> tuple[SObject, int, int]:
    sobject = visible(call.actor, call.args["object"])
    if not sobject.replicateable:
        raise ApiError(400, "INVALID_TYPE", f"entity {sobject.name} is not replicateable")
    bounds = []
    for name in ("start", "end"):
        given = call.request.query.get(name)
        found = None if given is None else parse_datetime(given.replace(" ", "+"))
        if found is None:
            raise ApiError(
                400, "MALFORMED_QUERY" if given else "MISSING_ARGUMENT", f"{name}: a date and time is required: {given}"
            )
        bounds.append(found // 60 * 60)
    start, end = bounds
    now = call.org.now_seconds()
    if end <= start:
        raise ApiError(
            400, "INVALID_REPLICATION_DATE", "endDate must be at least one minute greater than the startDate"
        )
    if start < now - most_days * 86_400:
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"startDate cannot be more than {most_days} days ago")
    if start > now:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must not be in the future")
    return sobject, start, end


def latest_covered(org: LocalOrg, end: int) -> int:
    """Return the instant up to which a window is complete: nothing older can still commit (facts 2.10)."""
    bounds = [end, org.now_seconds()]
    if org.storage.oldest_open is not None:
        bounds.append(org.storage.oldest_open)
    return min(bounds)


@routes.on("GET", DATA + "/sobjects/{object}/updated", "Ids changed in a window")
def updated(call: Call) -> Response:
    """List the live records that changed in [start, end), and how far that is complete."""
    sobject, start, end = _window(call, MOST_DAYS_UPDATED)
    stamp = sobject.stamp_field or "CreatedDate"
    rows = call.org.storage.rows(
        f'SELECT "Id" FROM {quoted(sobject.name)} '
        f'WHERE {quoted(stamp)} >= ? AND {quoted(stamp)} < ? AND "IsDeleted" = 0 '
        f"LIMIT {MOST_REPLICATED + 1}",
        (start, end),
    )
    found = [r[0] for r in rows]
    _not_too_many(found)
    call.org.random.shuffle(found)
    return json_response({"ids": found, "latestDateCovered": datetime_text(latest_covered(call.org, end))})


@routes.on("GET", DATA + "/sobjects/{object}/deleted", "Ids deleted in a window")
def deleted(call: Call) -> Response:
    """List the records deleted in [start, end), hard deletes too, and how far that is complete."""
    sobject, start, end = _window(call, MOST_DAYS_DELETED)
    rows = call.org.storage.rows(
        'SELECT id, max(deleted_at) FROM "_deleted" WHERE object = ? AND deleted_at >= ? AND deleted_at < ? '
        f"GROUP BY id LIMIT {MOST_REPLICATED + 1}",
        (sobject.name, start, end),
    )
    _not_too_many(rows)
    call.org.random.shuffle(rows)
    earliest = max(call.org.log_begins_at, call.org.now_seconds() - MOST_DAYS_DELETED * 86_400)
    return json_response(
        {
            "deletedRecords": [{"id": i, "deletedDate": datetime_text(at)} for i, at in rows],
            "earliestDateAvailable": datetime_text(earliest),
            "latestDateCovered": datetime_text(latest_covered(call.org, end)),
        }
    )


def _not_too_many(found: list[Any]) -> None:
    if len(found) > MOST_REPLICATED:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"more than {MOST_REPLICATED} ids; ask for a shorter window")


# Actions


@routes.on("POST", DATA + "/actions/standard/customNotificationAction", "Send a custom notification (journaled)")
def notify(call: Call) -> Response:
    """Accept notifications and keep them in the journal."""
    answers = []
    for wanted in call.json_object().get("inputs", []):
        missing = [n for n in ("customNotifTypeId", "recipientIds", "title", "body") if not wanted.get(n)]
        if missing:
            message = f"Missing required input parameter: {missing[0]}"
            problem = {"statusCode": "INVALID_API_INPUT", "message": message, "fields": []}
            answers.append(
                {
                    "actionName": "customNotificationAction",
                    "errors": [problem],
                    "isSuccess": False,
                    "outputValues": None,
                }
            )
            continue
        at = datetime.fromtimestamp(call.org.now_seconds(), UTC).isoformat()
        call.org.journal.notifications.append({"at": at, "by": call.actor.user_id, **wanted})
        answers.append(
            {
                "actionName": "customNotificationAction",
                "errors": None,
                "isSuccess": True,
                "outputValues": {"SuccessMessage": "Your custom notification is processed successfully."},
            }
        )
    failed = any(not a["isSuccess"] for a in answers)
    return json_response(answers, 400 if failed else 200)


_REFUSED = (
    "search",
    "parameterizedSearch",
    "recent",
    "analytics",
    "chatter",
    "wave",
    "theme",
    "tabs",
    "appMenu",
    "quickActions",
    "process",
    "knowledgeManagement",
    "support",
    "commerce",
    "connect",
    "consent",
    "ui-api",
    "event",
    "licensing",
)


def _refuse(call: Call) -> Response:
    raise not_modelled(f"{call.request.method} {call.request.path}")


for _name in _REFUSED:
    for _template in (f"{DATA}/{_name}", f"{DATA}/{_name}/{{remaining:rest}}"):
        routes.on("GET POST PATCH PUT DELETE", _template, "refused")(_refuse)


__all__ = [
    "created",
    "error_response",
    "live_row",
    "only",
    "record_id_of",
    "routes",
    "save_options",
    "shown",
    "visible",
]
