"""getUpdated and getDeleted: what changed in a window, and how far that is complete.

It may not know how rows are written. It keeps one law: a window is never called complete while a transaction that
began inside it is still open.
"""

from __future__ import annotations

from typing import Any

from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call, Response, Routes, json_response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.rest import visible
from sfsync.localorg.schema import SObject
from sfsync.localorg.storage import quoted
from sfsync.localorg.values import datetime_text, parse_datetime

routes = Routes()
DATA = "/services/data/{version}"
MOST_DAYS_UPDATED, MOST_DAYS_DELETED = 30, 15
MOST_REPLICATED = 600_000


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
