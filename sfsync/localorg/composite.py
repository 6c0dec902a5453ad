"""Several requests in one: composite, batch, tree and graph.

It may not know what its requests mean. It keeps one law: composite costs one API call and can be taken back as a
whole; batch costs one for each of its requests and takes nothing back.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call, Response, Routes, error_response, json_response
from sfsync.localorg.records import SaveResult
from sfsync.localorg.rest import save_options, visible

routes = Routes()
DATA = "/services/data/{version}"
MOST_REQUESTS, MOST_QUERIES = 25, 5
MOST_NODES, MOST_GRAPHS, MOST_KINDS = 500, 75, 15
MOST_IN_TREE, MOST_LEVELS = 200, 5
_REFERENCE = re.compile(r"@\{([^}]*)\}")
_REFERENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_GRAPH_ID = re.compile(r"[A-Za-z0-9][^.]{0,39}")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_HEAVY = re.compile(r"/(query|queryAll)(/|\?|$)|/composite/sobjects", re.IGNORECASE)
_REFUSED_HEADERS = frozenset({"accept", "authorization", "content-type"})
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


class _Undone(Exception):
    """Leaves a unit of work without keeping it."""


class _Unresolved(Exception):
    """A reference without a value."""


def _looked_up(expression: str, answers: dict[str, Any]) -> Any:
    steps = _STEP.findall(expression)
    name = steps[0][0] if steps else ""
    if name not in answers:
        raise _Unresolved(f"Invalid reference specified. No value for {expression} found in {name}")
    value = answers[name]
    for key, index in steps[1:]:
        if key and isinstance(value, dict) and key in value:
            value = value[key]
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            raise _Unresolved(f"Invalid reference specified. No value for {expression} found in {name}")
    return value


def _filled(value: Any, answers: dict[str, Any]) -> Any:
    """Return ``value`` with its ``@{…}`` references replaced; a text that is one reference keeps the value's type."""
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return _looked_up(whole[1], answers)
        return _REFERENCE.sub(lambda m: str(_looked_up(m[1], answers)), value)
    if isinstance(value, list):
        return [_filled(v, answers) for v in value]
    if isinstance(value, dict):
        return {k: _filled(v, answers) for k, v in value.items()}
    return value


def _sub_answer(response: Response, reference: str) -> dict[str, Any]:
    kept = {k: v for k, v in response.headers if k in ("Location", "ETag", "Last-Modified")}
    body = orjson.loads(response.body) if response.body else None
    return {"body": body, "httpHeaders": kept, "httpStatusCode": response.status, "referenceId": reference}


def _halted(reference: str, message: str) -> dict[str, Any]:
    error = ApiError(400, "PROCESSING_HALTED", message)
    return {"body": [error.as_rest()], "httpHeaders": {}, "httpStatusCode": 400, "referenceId": reference}


def _checked_requests(call: Call, wanted: Any, most: int) -> list[dict[str, Any]]:
    if not isinstance(wanted, list) or not wanted:
        raise ApiError(400, "INVALID_INPUT", "compositeRequest: a list of subrequests is required")
    if len(wanted) > most:
        raise ApiError(400, "LIMIT_EXCEEDED", f"The request can't contain more than {most} operations")
    seen: set[str] = set()
    for each in wanted:
        if not isinstance(each, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "each subrequest is required to be a JSON object")
        reference, url, method = each.get("referenceId"), each.get("url"), each.get("method")
        if not isinstance(reference, str) or not _REFERENCE_ID.fullmatch(reference):
            message = (
                f"Provided referenceId ('{reference}') must start with a letter or a number, and it can contain only "
                "letters, numbers and underscores ('_')."
            )
            raise ApiError(400, "JSON_PARSER_ERROR", message)
        if reference in seen:
            raise ApiError(400, "JSON_PARSER_ERROR", f"Duplicate referenceId: '{reference}'")
        seen.add(reference)
        if not isinstance(url, str) or not isinstance(method, str):
            raise ApiError(400, "JSON_PARSER_ERROR", "method and url are required on every subrequest")
        sent = each.get("httpHeaders") or {}
        if not isinstance(sent, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "httpHeaders is required to be a JSON object")
        bad = {h.lower() for h in sent} & _REFUSED_HEADERS
        if bad:
            raise ApiError(400, "INVALID_HTTP_HEADER", f"httpHeaders may not contain {', '.join(sorted(bad))}")
    if sum(bool(_HEAVY.search(each["url"])) for each in wanted) > MOST_QUERIES:
        message = f"Cannot have more than {MOST_QUERIES} query or collections subrequests in one composite request"
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    return wanted


def _carry_out(call: Call, each: dict[str, Any], answers: dict[str, Any]) -> Response:
    try:
        url = _filled(each["url"], answers)
        body = _filled(each.get("body"), answers)
    except _Unresolved as problem:
        return error_response(ApiError(400, "PROCESSING_HALTED", str(problem)))
    if not str(url).startswith("/services/data/v"):
        return error_response(ApiError(404, "NOT_FOUND", "The requested resource does not exist"))
    if re.search(r"/composite/?(\?|$)|/composite/(batch|graph)", str(url)):
        message = "a composite request cannot be nested in another"
        return error_response(ApiError(400, "INVALID_INPUT", message))
    headers = {k.lower(): v for k, v in call.request.headers.items() if k.startswith("sforce-")}
    headers |= {k: str(v) for k, v in (each.get("httpHeaders") or {}).items()}
    payload = b"" if body is None else orjson.dumps(body)
    with_unit = call.org.storage
    try:
        with with_unit.unit():
            response = call.world.subrequest(call, each["method"].upper(), str(url), payload, headers)
            if response.status >= 400:
                raise _Undone
    except _Undone:
        pass
    return response


def _transaction(call: Call, wanted: list[dict[str, Any]], all_or_none: bool) -> tuple[list[dict[str, Any]], bool]:
    """Carry out subrequests in order; return their answers and whether all succeeded."""
    answers: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    failed_at: int | None = None
    try:
        with call.org.storage.unit():
            for place, each in enumerate(wanted):
                response = _carry_out(call, each, values)
                answers.append(_sub_answer(response, each["referenceId"]))
                if response.status < 300:
                    values[each["referenceId"]] = answers[-1]["body"]
                elif response.status >= 400 and failed_at is None:
                    failed_at = place
                    if all_or_none:
                        raise _Undone
    except _Undone:
        return [
            answers[place] if place == failed_at else _halted(each["referenceId"], _ROLLED_BACK)
            for place, each in enumerate(wanted)
        ], False
    return answers, failed_at is None


@routes.on("POST", DATA + "/composite", "Composite: up to 25 requests with references")
def composite(call: Call) -> Response:
    """Carry out subrequests as one API call; with allOrNone the first failure takes everything back."""
    body = call.json_object()
    wanted = _checked_requests(call, body.get("compositeRequest"), MOST_REQUESTS)
    answers, _ = _transaction(call, wanted, body.get("allOrNone") in (True, "true"))
    return json_response({"compositeResponse": answers})


@routes.on("GET", DATA + "/composite", "Composite resources")
def composite_resources(call: Call) -> Response:
    """List the composite resources."""
    base = f"{call.base}/composite"
    return json_response({n: f"{base}/{n}" for n in ("tree", "batch", "sobjects", "graph")})


@routes.on("POST", DATA + "/composite/graph", "Composite graphs")
def graph(call: Call) -> Response:
    """Carry out graphs, each all or none and independent of the others."""
    graphs = call.json_object().get("graphs")
    if not isinstance(graphs, list) or not graphs or len(graphs) > MOST_GRAPHS:
        raise ApiError(400, "INVALID_INPUT", f"graphs: a list of 1 to {MOST_GRAPHS} graphs is required")
    seen: set[str] = set()
    total, kinds = 0, set()
    for each in graphs:
        name = each.get("graphId") if isinstance(each, dict) else None
        if not isinstance(name, str) or not _GRAPH_ID.fullmatch(name) or name in seen:
            raise ApiError(400, "JSON_PARSER_ERROR", f"graphId '{name}' is missing, malformed or not unique")
        seen.add(name)
        nodes = _checked_requests(call, each.get("compositeRequest"), MOST_NODES)
        total += len(nodes)
        kinds |= {"/".join(n["url"].split("?")[0].split("/")[3:6]) for n in nodes}
    if total > MOST_NODES or len(kinds) > MOST_KINDS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"more than {MOST_NODES} nodes or {MOST_KINDS} different kinds of node")
    answers = []
    for each in graphs:
        found, well = _transaction(call, each["compositeRequest"], True)
        answers.append(
            {"graphId": each["graphId"], "graphResponse": {"compositeResponse": found}, "isSuccessful": well}
        )
    return json_response({"graphs": answers})


@routes.on("POST", DATA + "/composite/batch", "Batch: up to 25 independent requests")
def batch(call: Call) -> Response:
    """Carry out independent requests one after the other; each costs an API call."""
    body = call.json_object()
    wanted = body.get("batchRequests")
    if not isinstance(wanted, list) or not wanted or len(wanted) > MOST_REQUESTS:
        raise ApiError(400, "INVALID_INPUT", f"batchRequests: a list of 1 to {MOST_REQUESTS} requests is required")
    if not all(isinstance(each, dict) for each in wanted):
        raise ApiError(400, "JSON_PARSER_ERROR", "each request of a batch is required to be a JSON object")
    halt = body.get("haltOnError") in (True, "true")
    results: list[dict[str, Any]] = []
    stopped = False
    for each in wanted:
        if stopped:
            error = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing was halted by an earlier error")
            results.append({"statusCode": 412, "result": [error.as_rest()]})
            continue
        url = "/services/data/" + str(each.get("url", "")).removeprefix("/services/data/").lstrip("/")
        rich = each.get("richInput")
        payload = b"" if rich is None else orjson.dumps(rich)
        response = call.world.subrequest(
            call, str(each.get("method", "GET")).upper(), url, payload, dict(call.request.headers)
        )
        results.append(
            {"statusCode": response.status, "result": orjson.loads(response.body) if response.body else None}
        )
        stopped = halt and response.status >= 400
    call.cost = len(wanted)
    return json_response({"hasErrors": any(r["statusCode"] >= 400 for r in results), "results": results})


@routes.on("POST", DATA + "/composite/tree/{object}", "Tree: nested creates")
def tree(call: Call) -> Response:
    """Create records with their children, all or none."""
    sobject = visible(call.actor, call.args["object"])
    records = call.json_object().get("records")
    if not isinstance(records, list) or not records:
        raise ApiError(400, "INVALID_INPUT", "records: a list is required")
    made: list[tuple[str, SaveResult]] = []
    try:
        with call.org.storage.unit():
            _plant(call, sobject.name, records, None, made, 1)
            if any(r.errors for _, r in made):
                raise _Undone
    except _Undone:
        failed = [{"referenceId": n, "errors": [e.as_save_error() for e in r.errors]} for n, r in made if r.errors]
        return json_response({"hasErrors": True, "results": failed}, 400)
    return json_response({"hasErrors": False, "results": [{"referenceId": n, "id": r.id} for n, r in made]}, 201)


def _plant(
    call: Call,
    object_name: str,
    records: list[Any],
    parent: tuple[str, str] | None,
    made: list[tuple[str, SaveResult]],
    level: int,
) -> None:
    if level > MOST_LEVELS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"more than {MOST_LEVELS} levels of records")
    flat: list[dict[str, Any]] = []
    branches: list[list[tuple[str, str, list[Any]]]] = []
    for record in records:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        if not isinstance(attributes, dict) or "referenceId" not in attributes:
            raise ApiError(
                400, "INVALID_INPUT", "attributes.type and attributes.referenceId are required on every record"
            )
        plain: dict[str, Any] = {}
        below: list[tuple[str, str, list[Any]]] = []
        for key, value in record.items():
            if isinstance(value, dict) and isinstance(value.get("records"), list):
                child = call.actor.schema.child(object_name, key)
                if child is None:
                    raise ApiError(400, "INVALID_FIELD", f"No such column '{key}' on sobject of type {object_name}")
                below.append((child.child, child.field, value["records"]))
            elif key != "attributes":
                plain[key] = value
        if parent is not None:
            plain[parent[0]] = parent[1]
        flat.append(plain)
        branches.append(below)
        if len(made) + len(flat) > MOST_IN_TREE:
            raise ApiError(400, "LIMIT_EXCEEDED", f"more than {MOST_IN_TREE} records in one tree")
    results = call.org.records.insert(call.actor, object_name, flat, save_options(call))
    made += [(str(r["attributes"]["referenceId"]), s) for r, s in zip(records, results, strict=True)]
    for result, below in zip(results, branches, strict=True):
        for child_name, field_name, children in below:
            if result.id is not None and result.success:
                _plant(call, child_name, children, (field_name, result.id), made, level + 1)
