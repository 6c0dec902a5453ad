"""What an org says about itself over REST: versions, limits, counts, describes; and what it accepts or refuses whole.

It may not know rows. It keeps one law: what is not modelled is refused by a route of its own, so that it is listed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import orjson

from sfsync.localorg.describe import global_describe, object_describe
from sfsync.localorg.errors import ApiError, not_modelled
from sfsync.localorg.face import JSON, NEWEST, OLDEST, Call, Response, Routes, json_response
from sfsync.localorg.rest import http_date, visible

routes = Routes()
DATA = "/services/data/{version}"


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


# Actions


@routes.on("POST", DATA + "/actions/standard/customNotificationAction", "Send a custom notification (journaled)")
def notify(call: Call) -> Response:
    """Accept notifications and keep them in the journal."""
    answers = []
    inputs = call.json_object().get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) for i in inputs):
        raise ApiError(400, "INVALID_API_INPUT", "inputs: a list of objects is required")
    for wanted in inputs:
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
