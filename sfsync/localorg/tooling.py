"""The Tooling API over REST: queries on setup objects, and one component made, read, changed or deleted at a time.

It may not know how components are kept. It keeps one law: a component made here is the same as one that was deployed.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import orjson

from sfsync.localorg import ids, soql
from sfsync.localorg.describe import global_describe, object_describe
from sfsync.localorg.errors import ApiError, method_not_allowed, not_found
from sfsync.localorg.face import Call, Response, Routes, json_response
from sfsync.localorg.metadata import crud
from sfsync.localorg.metadata.kinds import NAMESPACE
from sfsync.localorg.metadata.state import Kept, state_of
from sfsync.localorg.query import _columns as columns_of
from sfsync.localorg.query import view_of
from sfsync.localorg.schema import Schema
from sfsync.localorg.tooling_rows import SCHEMA, as_json, filled
from sfsync.localorg.xmltree import Element

routes = Routes()
TOOLING = "/services/data/{version}/tooling"
_FROM = re.compile(r"\bfrom\s+(\w+)", re.IGNORECASE)
_PAGE = 50_000
_SHARED = frozenset(
    "Group Organization PermissionSet PermissionSetAssignment Profile RecordType User UserRole".lower().split()
)
_MADE_HERE = ("CustomField", "CustomObject", "ValidationRule", "Layout")


@routes.on("GET", TOOLING, "Resources of the Tooling API")
def resources(call: Call) -> Response:
    """List what the Tooling API has here."""
    base = f"{call.base}/tooling"
    return json_response({name: f"{base}/{name}" for name in ("query", "queryAll", "sobjects")})


@routes.on("GET", f"{TOOLING}/query", "SOQL on setup objects")
@routes.on("GET", f"{TOOLING}/queryAll", "SOQL on setup objects")
def query(call: Call) -> Response:
    """Answer a statement on setup objects, in one page."""
    statement = call.request.query.get("q")
    if statement is None:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    return json_response(_asked(call, statement))


def definitions(call: Call, statement: str) -> dict[str, Any]:
    """Return the answer of the data API to a statement on definitions, which are found there though not described."""
    found = _asked(call, statement)
    if "columnMetadata" in found:
        return found
    text = orjson.dumps(found["records"]).replace(b"/tooling/sobjects/", b"/sobjects/")
    return {"totalSize": found["totalSize"], "done": True, "records": orjson.loads(text)}


def _asked(call: Call, statement: str) -> dict[str, Any]:
    # A child subquery's FROM comes first in the text, so the object asked for is the last one outside parentheses.
    outside = _without_parentheses(statement)
    named = _FROM.search(outside)
    name = named[1].lower() if named else ""
    view = view_of(call, include_deleted=False, page_size=_PAGE)
    if name in _SHARED:
        return _answer(call, call.org.storage.db, statement, view)
    with closing(filled(call.org, call.actor, statement).db) as database:
        return _answer(call, database, statement, replace(view, schema=SCHEMA, everything=SCHEMA))


def _answer(call: Call, database: sqlite3.Connection, statement: str, view: soql.View) -> dict[str, Any]:
    result = soql.run(database, statement, view, page_size=_PAGE)
    if call.request.query.get("columns", "").lower() == "true":
        return columns_of(replace(call, user=replace(call.actor, schema=view.schema)), result)
    records = [_shown(each) for each in result.page(database, 0, _PAGE)]
    return {
        "size": len(records),
        "totalSize": result.total_size,
        "done": True,
        "queryLocator": None,
        "entityTypeName": result.object_name,
        "records": records,
    }


def _without_parentheses(text: str) -> str:
    while True:
        shorter = re.sub(r"\([^()]*\)", " ", text)
        if shorter == text:
            return text
        text = shorter


def _shown(record: Any) -> Any:
    """Return a record with Tooling URLs, and its ``Metadata`` as an object."""
    if isinstance(record, list):
        return [_shown(each) for each in record]
    if not isinstance(record, dict):
        return record
    made = {name: _shown(value) for name, value in record.items() if name != "attributes"}
    if isinstance(made.get("Metadata"), str):
        made["Metadata"] = orjson.loads(made["Metadata"])
    if "attributes" not in record:
        return made
    attributes = dict(record["attributes"])
    if "url" in attributes:
        attributes["url"] = attributes["url"].replace("/sobjects/", "/tooling/sobjects/")
    return {"attributes": attributes, **made}


@routes.on("GET", f"{TOOLING}/sobjects", "Describe of the Tooling API's objects")
def describe_all(call: Call) -> Response:
    """List the objects of the Tooling API."""
    return json_response(global_describe(_plain_schema(), f"{call.base}/tooling"))


@routes.on("GET", f"{TOOLING}/sobjects/{{name}}/describe", "Describe of one Tooling object")
def describe_one(call: Call) -> Response:
    """Describe one object of the Tooling API."""
    found = _plain_schema().get(call.args["name"])
    if found is None:
        raise not_found()
    return json_response(object_describe(_plain_schema(), found, f"{call.base}/tooling"))


def _plain_schema() -> Schema:
    return Schema(replace(o, tooling=False, fields=dict(o.fields)) for o in SCHEMA)


@routes.on("POST", f"{TOOLING}/sobjects/{{name}}", "Make one component")
def create(call: Call) -> Response:
    """Make a component from ``{"FullName": …, "Metadata": {…}}`` and answer 201 with its id."""
    body = call.json_object()
    full_name, metadata = body.get("FullName"), body.get("Metadata")
    if not isinstance(full_name, str) or not isinstance(metadata, dict):
        raise ApiError(
            400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [FullName, Metadata]", ["FullName", "Metadata"]
        )
    kind = _kind(call)
    _saved(call, kind, full_name, metadata, "create")
    made = state_of(call.org).kept[kind, full_name]
    return json_response({"id": made.id, "success": True, "errors": [], "warnings": [], "infos": []}, 201)


@routes.on("GET PATCH DELETE", f"{TOOLING}/sobjects/{{name}}/{{id}}", "Read, change or delete one component")
def one(call: Call) -> Response:
    """Read a component with its ``Metadata``, change it, or delete it."""
    kind = _kind(call)
    kept = _by_id(call, kind)
    if call.request.method == "GET":
        return json_response(_component(call, kept))
    if call.request.method == "PATCH":
        metadata = call.json_object().get("Metadata")
        if not isinstance(metadata, dict):
            raise ApiError(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", ["Metadata"])
        _saved(call, kind, kept.name, metadata, "update")
        return Response(204)
    (result,) = crud.delete(call.org, call.actor, kind, [kept.name])
    if not result.success:
        raise ApiError(400, result.code or "UNKNOWN_EXCEPTION", result.message or "", [])
    return Response(204)


def _kind(call: Call) -> str:
    found = next((k for k in _MADE_HERE if k.lower() == call.args["name"].lower()), None)
    if found is None:
        known = SCHEMA.get(call.args["name"])
        if known is None:
            raise not_found()
        raise method_not_allowed(call.request.method, "HEAD,GET")
    return found


def _by_id(call: Call, kind: str) -> Kept:
    wanted = ids.to_long(call.args["id"])
    for kept in state_of(call.org).kept.values():
        if kept.kind == kind and kept.id == wanted:
            return kept
    raise not_found()


def _saved(call: Call, kind: str, full_name: str, metadata: dict[str, Any], verb: str) -> None:
    children = [Element("fullName", NAMESPACE, full_name)]
    for name, value in metadata.items():
        children.extend(_elements(name, value))
    element = Element("metadata", NAMESPACE, "", {"type": kind}, children)
    (result,) = crud.save(call.org, call.actor, [element], verb)
    if not result.success:
        raise ApiError(400, result.code or "UNKNOWN_EXCEPTION", result.message or "", [])


def _elements(name: str, value: Any) -> list[Element]:
    if value is None:
        return []
    if isinstance(value, list):
        return [each for one in value for each in _elements(name, one)]
    if isinstance(value, dict):
        return [Element(name, NAMESPACE, "", {}, [e for k, v in value.items() for e in _elements(k, v)])]
    return [Element(name, NAMESPACE, str(value).lower() if isinstance(value, bool) else str(value))]


def _component(call: Call, kept: Kept) -> dict[str, Any]:
    url = f"{call.base}/tooling/sobjects/{kept.kind}/{kept.id}"
    local = kept.name.partition(".")[2] or kept.name
    name = {"ValidationRule": "ValidationName", "Layout": "Name"}.get(kept.kind, "DeveloperName")
    element = Element(kept.element.name, children=[c for c in kept.element.children if c.name != "fullName"])
    return {
        "attributes": {"type": kept.kind, "url": url},
        "Id": kept.id,
        name: local.removesuffix("__c"),
        "FullName": kept.name,
        "ManageableState": "unmanaged",
        "NamespacePrefix": None,
        "CreatedById": kept.created_by,
        "CreatedDate": kept.created_at.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "LastModifiedById": kept.modified_by,
        "LastModifiedDate": kept.modified_at.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Metadata": as_json(element),
    }
