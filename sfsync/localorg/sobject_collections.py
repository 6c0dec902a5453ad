"""sObject Collections: up to 200 writes, or 2,000 reads, in one call.

It may not know SQL. It keeps one law: the answer stands in the order of the request, whatever became of each record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sfsync.localorg import ids
from sfsync.localorg.errors import ApiError, malformed_id, not_found
from sfsync.localorg.face import Call, Response, Routes, json_response
from sfsync.localorg.records import SaveResult, rolled_back
from sfsync.localorg.rest import live_row, save_options, shown, visible

routes = Routes()
DATA = "/services/data/{version}"
MOST_WRITTEN, MOST_READ, MOST_CHUNKS = 200, 2_000, 10


def saved(result: SaveResult, *, upsert: bool = False) -> dict[str, Any]:
    """Return the element of a collections answer for one record."""
    answer: dict[str, Any] = {}
    if result.id is not None:
        answer["id"] = result.id
    answer["success"] = result.success
    answer["errors"] = [e.as_save_error() for e in result.errors]
    if upsert:
        answer["created"] = result.created
    return answer


class _Undone(Exception):
    """Leaves a unit of work without keeping it."""


def _records(call: Call) -> tuple[list[dict[str, Any]], bool]:
    body = call.json_object()
    records = body.get("records")
    if not isinstance(records, list):
        raise ApiError(400, "INVALID_INPUT", "records: a list is required")
    if len(records) > MOST_WRITTEN:
        message = f"record limit reached. cannot submit more than {MOST_WRITTEN} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    for record in records:
        if not isinstance(record, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "each record is required to be a JSON object")
    return records, _truth(body.get("allOrNone", False))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _type_of(record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str):
        raise ApiError(400, "INVALID_FIELD", "attributes.type: an object type is required on every record", [])
    return kind


def _runs(call: Call, records: Sequence[dict[str, Any]]) -> list[tuple[str, list[int]]]:
    """Return the runs of one object type, in order, as (object, places); refuse more than ten."""
    runs: list[tuple[str, list[int]]] = []
    for place, record in enumerate(records):
        kind = _type_of(record)
        found = call.actor.schema.get(kind)
        if found is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        if not runs or runs[-1][0] != found.name:
            runs.append((found.name, []))
        runs[-1][1].append(place)
    if len(runs) > MOST_CHUNKS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"more than {MOST_CHUNKS} runs of different object types in one call")
    return runs


def _together(
    call: Call, count: int, all_or_none: bool, work: Callable[[list[SaveResult]], None], *, keep_ids: bool
) -> list[SaveResult]:
    results = [SaveResult() for _ in range(count)]
    try:
        with call.org.storage.unit():
            work(results)
            if all_or_none and any(r.errors for r in results):
                raise _Undone
    except _Undone:
        for each in results:
            if each.success:
                each.errors.append(rolled_back())
            if not keep_ids or each.created:
                each.id, each.created = None, False
    return results


@routes.on("POST", DATA + "/composite/sobjects", "Create up to 200 records")
def create(call: Call) -> Response:
    """Create records of one or several types."""
    records, all_or_none = _records(call)
    runs = _runs(call, records)

    def work(results: list[SaveResult]) -> None:
        for name, places in runs:
            some = call.org.records.insert(call.actor, name, [records[p] for p in places], save_options(call))
            for place, result in zip(places, some, strict=True):
                results[place] = result

    return json_response([saved(r) for r in _together(call, len(records), all_or_none, work, keep_ids=False)])


@routes.on("PATCH", DATA + "/composite/sobjects", "Update up to 200 records")
def update(call: Call) -> Response:
    """Change records of one or several types; each carries its id."""
    records, all_or_none = _records(call)
    runs = _runs(call, records)

    def work(results: list[SaveResult]) -> None:
        for name, places in runs:
            sobject = call.org.schema[name]
            wanted: list[tuple[str, dict[str, Any]]] = []
            kept: list[int] = []
            for place in places:
                key = next((k for k in records[place] if k.lower() == "id"), None)
                given = None if key is None else records[place][key]
                found = ids.to_long(given) if isinstance(given, str) else None
                if key is None or given is None:
                    results[place].errors.append(
                        ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
                    )
                elif found is None or (sobject.key_prefix and found[:3] != sobject.key_prefix):
                    results[place].errors.append(malformed_id(str(given)))
                else:
                    wanted.append((found, {k: v for k, v in records[place].items() if k != key}))
                    kept.append(place)
            some = call.org.records.update(call.actor, name, wanted, save_options(call))
            for place, result in zip(kept, some, strict=True):
                results[place] = result

    return json_response([saved(r) for r in _together(call, len(records), all_or_none, work, keep_ids=True)])


@routes.on("PATCH", DATA + "/composite/sobjects/{object}/{key}", "Upsert up to 200 records by external id")
def upsert(call: Call) -> Response:
    """Create or change records by the external id each carries; the field Id is taken too."""
    sobject = visible(call.actor, call.args["object"])
    records, all_or_none = _records(call)
    for record in records:
        if _type_of(record).lower() != sobject.name.lower():
            raise ApiError(400, "INVALID_TYPE", f"the records of an upsert are all of type {sobject.name}")

    def work(results: list[SaveResult]) -> None:
        some = call.org.records.upsert(call.actor, sobject.name, call.args["key"], records, save_options(call))
        results[:] = some

    results = _together(call, len(records), all_or_none, work, keep_ids=True)
    return json_response([saved(r, upsert=True) for r in results])


@routes.on("DELETE", DATA + "/composite/sobjects", "Delete up to 200 records")
def delete(call: Call) -> Response:
    """Delete records named by id, of any type."""
    given = [i.strip() for i in call.request.query.get("ids", "").split(",") if i.strip()]
    if not given:
        raise ApiError(400, "MISSING_ARGUMENT", "ids: at least one id is required")
    if len(given) > MOST_WRITTEN:
        message = f"record limit reached. cannot submit more than {MOST_WRITTEN} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    all_or_none = _truth(call.request.query.get("allOrNone", "false"))

    def work(results: list[SaveResult]) -> None:
        for place, one in enumerate(given):
            found = ids.to_long(one)
            sobject = None if found is None else call.actor.schema.by_prefix(found[:3])
            if found is None or sobject is None:
                results[place] = SaveResult(errors=[malformed_id(one)])
            else:
                results[place] = call.org.removal.delete(call.actor, [(sobject.name, found)])[0]

    return json_response([saved(r) for r in _together(call, len(given), all_or_none, work, keep_ids=True)])


@routes.on("GET POST", DATA + "/composite/sobjects/{object}", "Read up to 2,000 records by id")
def retrieve(call: Call) -> Response:
    """Answer with one element for each id, null where there is no such record."""
    sobject = visible(call.actor, call.args["object"])
    if call.request.method == "POST":
        body = call.json_object()
        wanted, names = body.get("ids", []), body.get("fields", [])
    else:
        query = call.request.query
        wanted, names = query.get("ids", "").split(","), [f for f in query.get("fields", "").split(",") if f]
    if not (_texts(wanted) and _texts(names)):
        raise ApiError(400, "JSON_PARSER_ERROR", "ids and fields are required to be lists of texts")
    if not names:
        raise ApiError(400, "MISSING_ARGUMENT", "fields: at least one field is required")
    if len(wanted) > MOST_READ:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot retrieve more than {MOST_READ} records")
    answer: list[dict[str, Any] | None] = []
    for one in wanted:
        found = ids.to_long(str(one))
        if found is None:
            raise malformed_id(str(one))
        try:
            answer.append(shown(call, sobject, live_row(call.org, sobject, found), names))
        except ApiError as error:
            if error.status != not_found().status:
                raise
            answer.append(None)
    return json_response(answer)
