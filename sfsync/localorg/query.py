"""Queries over REST: statements, pages and their locators.

It may not know how a statement is run. It keeps one law: a locator's ids are fixed when it is made, and it dies of age.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sfsync.localorg import soql
from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call, Response, Routes, json_response

routes = Routes()
DATA = "/services/data/{version}"
CURSOR_SECONDS = 2 * 86_400
SMALLEST_PAGE, LARGEST_PAGE = 200, 2_000
MOST_LONG_TEXT_ROWS = 200
MOST_CURSORS = 5_000
_DEFINITIONS = re.compile(r"\bfrom\s+(?:Entity|Field)Definition\b", re.IGNORECASE)  # asked for here and in Tooling
_BATCH = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Cursor:
    """The answer to a statement that a locator continues."""

    result: soql.Result
    user_id: str
    page_size: int
    expires_at: int


def page_size_of(call: Call) -> int:
    """Return the page size that Sforce-Query-Options asks for, within what an org gives."""
    found = _BATCH.search(call.header("sforce-query-options") or "")
    return LARGEST_PAGE if found is None else min(max(int(found[1]), SMALLEST_PAGE), LARGEST_PAGE)


def view_of(call: Call, *, include_deleted: bool, page_size: int = LARGEST_PAGE) -> soql.View:
    """Return who asks, when, and what they may see, for the SOQL engine."""
    org = call.org

    def next_url(result: Any, offset: int) -> str:
        return f"{call.base}/query/{_keep(call, result, page_size)}-{offset}"

    return soql.View(
        schema=call.actor.schema,
        everything=org.schema,
        now=org.now(),
        zone=call.actor.zone,
        user_id=call.actor.user_id,
        include_deleted=include_deleted,
        version=call.version,
        shuffle=org.seed,
        next_url=next_url,
    )


def _keep(call: Call, result: soql.Result, page_size: int) -> str:
    org = call.org
    locator = org.ids.one("01g")
    if len(org.cursors) >= MOST_CURSORS:
        del org.cursors[next(iter(org.cursors))]
    org.cursors[locator] = Cursor(result, call.actor.user_id, page_size, org.now_seconds() + CURSOR_SECONDS)
    return locator


@routes.on("GET", DATA + "/query", "SOQL query")
def query(call: Call) -> Response:
    """Answer a statement; deleted rows do not exist for it."""
    return _asked(call, include_deleted=False)


@routes.on("GET", DATA + "/queryAll", "SOQL query over deleted rows too")
def query_all(call: Call) -> Response:
    """Answer a statement; rows in the recycle bin exist for it."""
    return _asked(call, include_deleted=True)


def _asked(call: Call, *, include_deleted: bool) -> Response:
    statement = call.request.query.get("q")
    explained = call.request.query.get("explain")
    if explained is not None:
        return _explain(call, explained)
    if statement is None:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    if _DEFINITIONS.search(statement):
        from sfsync.localorg import tooling  # asks this module for its pages

        return json_response(tooling.definitions(call, statement))
    size = page_size_of(call)
    result = soql.run(
        call.org.storage.db, statement, view_of(call, include_deleted=include_deleted, page_size=size), page_size=size
    )
    if call.request.query.get("columns", "").lower() == "true":
        return json_response(_columns(call, result))
    return _page(call, result, 0, size, None)


def _page(call: Call, result: soql.Result, start: int, size: int, locator: str | None) -> Response:
    records = result.page_json(call.org.storage.db, start, size)
    done = start + size >= len(result)
    answer: dict[str, Any] = {"totalSize": result.total_size, "done": done}
    if not done:
        locator = locator or _keep(call, result, size)
        answer["nextRecordsUrl"] = f"{call.base}/query/{locator}-{start + size}"
    answer["records"] = records
    return json_response(answer)


@routes.on("GET", DATA + "/query/{locator}", "The next page of a query")
@routes.on("GET", DATA + "/queryAll/{locator}", "The next page of a query")
def more(call: Call) -> Response:
    """Answer with the page a locator names; INVALID_QUERY_LOCATOR when it is unknown, foreign or too old."""
    locator, _, offset = call.args["locator"].rpartition("-")
    kept = call.org.cursors.get(locator)
    if (
        kept is None
        or not offset.isdigit()
        or kept.user_id != call.actor.user_id
        or kept.expires_at <= call.org.now_seconds()
        or int(offset) >= max(1, len(kept.result))
    ):
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    asked = call.header("sforce-query-options")
    size = page_size_of(call) if asked else kept.page_size
    return _page(call, kept.result, int(offset), size, locator)


def _explain(call: Call, statement: str) -> Response:
    plan = soql.compile_soql(statement, view_of(call, include_deleted=False))
    sobject = call.org.schema[plan.object_name]
    cardinality = call.org.count(sobject.name)
    return json_response(
        {
            "plans": [
                {
                    "cardinality": cardinality,
                    "fields": [],
                    "leadingOperationType": "TableScan",
                    "notes": [],
                    "relativeCost": 1.0,
                    "sobjectCardinality": cardinality,
                    "sobjectType": sobject.name,
                }
            ],
            "sourceQuery": statement,
        }
    )


_COLUMN_KINDS = {
    "id": "Id",
    "reference": "Reference",
    "boolean": "Checkbox",
    "int": "Number",
    "double": "Number",
    "currency": "Currency",
    "percent": "Percent",
    "date": "Date",
    "datetime": "DateTime",
    "time": "Time",
    "picklist": "Picklist",
    "multipicklist": "MultiPicklist",
    "textarea": "TextArea",
    "email": "EMail",
    "phone": "Phone",
    "url": "Url",
}


def _columns(call: Call, result: soql.Result) -> dict[str, Any]:
    """Return the column metadata that ``columns=true`` asks for (the command line of Salesforce does)."""
    sobject = call.actor.schema[result.object_name]
    metadata = []
    for name in result.columns:
        here, last = sobject, name.split(".")[-1]
        for step in name.split(".")[:-1]:
            lookup = here.parent(step)
            target = None if lookup is None else call.actor.schema.get(lookup.reference_to[-1])
            here = here if target is None else target
        found = here.field(last)
        kind = "Number" if found is None else _COLUMN_KINDS.get(found.type, "Text")
        metadata.append(
            {
                "aggregate": found is None,
                "apexType": kind,
                "booleanType": kind == "Checkbox",
                "columnName": name,
                "custom": found is not None and found.custom,
                "displayName": last,
                "foreignKeyName": None,
                "insertable": found is not None and found.createable,
                "joinColumns": [],
                "numberType": kind == "Number",
                "textType": kind in ("Text", "TextArea", "Picklist"),
                "updatable": found is not None and found.updateable,
            }
        )
    return {
        "columnMetadata": metadata,
        "entityName": result.object_name,
        "groupBy": False,
        "idSelected": "Id" in result.columns,
        "keyPrefix": sobject.key_prefix,
    }
