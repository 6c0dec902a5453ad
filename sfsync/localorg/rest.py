"""REST for single records: create, read, update, upsert and delete, by id and by external id.

It may not know SQL beyond reading one row. It keeps one law: names are taken in any case and given back in theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sfsync.localorg import formula, ids
from sfsync.localorg.describe import global_describe
from sfsync.localorg.errors import ApiError, malformed_id, not_found
from sfsync.localorg.face import (
    Call,
    Response,
    Routes,
    error_response,
    json_response,
)
from sfsync.localorg.records import Options, SaveResult
from sfsync.localorg.schema import Field, SObject
from sfsync.localorg.storage import quoted
from sfsync.localorg.values import rest_renderer

if TYPE_CHECKING:
    from sfsync.localorg.access import Actor
    from sfsync.localorg.org import LocalOrg

routes = Routes()
DATA = "/services/data/{version}"
_ADDRESS_PARTS = ("city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street")


# Rows


def http_date(text: str | None) -> int | None:
    """Return the unix seconds of an HTTP date, or None."""
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


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
    return _update(call, sobject, given)


def _update(call: Call, sobject: SObject, given: str) -> Response:
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
    match, differing = call.header("if-match"), call.header("if-none-match")
    if unmodified is None and match is None and differing is None:
        return None
    row = live_row(call.org, sobject, record_id)
    if unmodified is not None:
        until = http_date(unmodified)
        if until is None:
            raise ApiError(400, "INVALID_HEADER", f"invalid If-Unmodified-Since: {unmodified}")
        if (row.get("LastModifiedDate") or 0) > until:
            return Response(412)
    if sobject.name == "Account":
        if match is not None and _etag(row) not in match.replace("-gzip", ""):
            return Response(412)
        if differing is not None and _etag(row) in differing.replace("-gzip", ""):
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
    if sobject.parent(name) is not None:
        return _read(call, *_parent_of(call, sobject, row, name))
    child = call.actor.schema.child(sobject.name, name)
    if child is None:
        raise not_found()
    below = visible(call.actor, child.child)
    rows = call.org.storage.rows(
        f'SELECT "Id" FROM {quoted(below.name)} WHERE {quoted(child.field)} = ? AND "IsDeleted" = 0 ORDER BY "Id"',
        (record_id,),
    )
    asked = call.request.query.get("fields")
    names = asked.split(",") if asked else None
    records = [shown(call, below, live_row(call.org, below, i), names) for (i,) in rows]
    return json_response({"totalSize": len(records), "done": True, "records": records})


def _parent_of(call: Call, sobject: SObject, row: Mapping[str, Any], name: str) -> tuple[SObject, str]:
    """Return the object and id that a relationship of a row leads to; NOT_FOUND when it leads nowhere."""
    lookup = sobject.parent(name)
    target_id = row.get(lookup.name) if lookup else None
    target = call.actor.schema.by_prefix(target_id[:3]) if target_id else None
    if target is None or target_id is None:
        raise not_found(f"The requested resource does not exist: {name}")
    return target, target_id


def _parent_named(call: Call, sobject: SObject) -> tuple[SObject, str] | None:
    """Return where ``/{id}/{relationship}`` leads; None when the path says an external id and its value."""
    given, name = call.args["key"], call.args["value"]
    if not ids.looks_like_id(given) or sobject.field(given) is not None or sobject.parent(name) is None:
        return None
    return _parent_of(call, sobject, live_row(call.org, sobject, record_id_of(sobject, given)), name)


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


@routes.on(
    "PATCH",
    DATA + "/sobjects/{object}/{key}/{value}",
    "Upsert by external id; change the parent a relationship leads to",
)
def upsert(call: Call) -> Response:
    """Create or change the record with this external id: 201, 200 (204 before v46) or 300 (facts 2.5)."""
    sobject = visible(call.actor, call.args["object"])
    parent = _parent_named(call, sobject)
    if parent is not None:
        return _update(call, *parent)
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


@routes.on(
    "DELETE", DATA + "/sobjects/{object}/{key}/{value}", "Delete by external id, or the parent a relationship leads to"
)
def delete_by(call: Call) -> Response:
    """Delete the record with this external id."""
    sobject = visible(call.actor, call.args["object"])
    parent = _parent_named(call, sobject)
    if parent is not None:
        only(call.org.removal.delete(call.actor, [(parent[0].name, parent[1])]))
        return Response(204)
    external = call.org.records.external_field(call.actor, sobject.name, call.args["key"])
    record_id = _one_match(call, sobject, external, call.args["value"])
    only(call.org.removal.delete(call.actor, [(sobject.name, record_id)]))
    return Response(204)


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
