"""The REST face of deployments: ``/metadata/deployRequest``.

It may not know how a deployment is carried out. It keeps one law: the first JSON part and the first zip part of a
request count, whatever they are called, in whatever order.
"""

from __future__ import annotations

from typing import Any

import orjson

from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call, Response, Routes, json_response
from sfsync.localorg.files import parts_of
from sfsync.localorg.metadata.answers import deploy_result_json, options_json
from sfsync.localorg.metadata.deploy import Deployment, DeployOptions, cancel, find, quick, start

routes = Routes()
_ZIP_MARK = b"PK"


@routes.on("POST", "/services/data/{version}/metadata/deployRequest", "Deploy a zip (multipart), or a validated deploy")
def deploy(call: Call) -> Response:
    """Take a deployment and answer 201 with its id and options."""
    content_type = call.header("content-type") or ""
    if content_type.lower().startswith("multipart/"):
        settings, data = _parts(content_type, call.request.body)
        known = start(call.org, call.actor, data, _options(settings))
    else:
        validated = call.json_object().get("validatedDeployRequestId")
        if not isinstance(validated, str):
            raise ApiError(
                400, "INVALID_MULTIPART_REQUEST", "The request must be multipart/form-data with a JSON and a zip part"
            )
        known = quick(call.org, call.actor, validated)
    return json_response(
        {
            "id": known.id,
            "validatedDeployRequestId": known.validated,
            "deployOptions": options_json(known.options),
            "url": _url(call, known),
        },
        201,
    )


@routes.on("GET", "/services/data/{version}/metadata/deployRequest/{id}", "How a deployment stands")
def status(call: Call) -> Response:
    """Answer with the deployment's result; ``includeDetails`` adds its components."""
    details = call.request.query.get("includeDetails", "false").lower() == "true"
    return json_response(_answer(call, find(call.org, call.args["id"]), details))


@routes.on("PATCH", "/services/data/{version}/metadata/deployRequest/{id}", "Cancel a deployment")
def change(call: Call) -> Response:
    """Cancel a deployment that has not ended; 202."""
    wanted = call.json_object().get("deployResult")
    if not isinstance(wanted, dict) or wanted.get("status") not in ("Canceling", "Canceled"):
        raise ApiError(400, "INVALID_OPERATION", "the only change of a deployment is its status to Canceling")
    known = cancel(call.org, call.actor, call.args["id"])
    return json_response(_answer(call, known, False), 202)


def _answer(call: Call, known: Deployment, details: bool) -> dict[str, Any]:
    return {
        "id": known.id,
        "validatedDeployRequestId": known.validated,
        "deployResult": deploy_result_json(known, details=details),
        "deployOptions": options_json(known.options),
        "url": _url(call, known),
    }


def _url(call: Call, known: Deployment) -> str:
    root = call.world.instance_url(call.org, call.request)
    return f"{root}{call.base}/metadata/deployRequest/{known.id}?includeDetails=true"


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    settings: dict[str, Any] | None = None
    data: bytes | None = None
    for _, kind, content in parts_of(content_type, body):
        if content.startswith(_ZIP_MARK) and data is None:
            data = content
        elif settings is None and (kind == "application/json" or content.lstrip()[:1] == b"{"):
            try:
                settings = orjson.loads(content)
            except orjson.JSONDecodeError as bad:
                raise ApiError(400, "JSON_PARSER_ERROR", str(bad)) from None
        elif data is None:
            data = content
    if data is None:
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "The multipart request has no zip part")
    return settings if isinstance(settings, dict) else {}, data


_FLAGS = {
    "allowMissingFiles": "allow_missing_files",
    "autoUpdatePackage": "auto_update_package",
    "checkOnly": "check_only",
    "ignoreWarnings": "ignore_warnings",
    "performRetrieve": "perform_retrieve",
    "purgeOnDelete": "purge_on_delete",
    "rollbackOnError": "rollback_on_error",
    "singlePackage": "single_package",
}


def _options(settings: dict[str, Any]) -> DeployOptions:
    given = settings.get("deployOptions", settings)
    if not isinstance(given, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "deployOptions is not an object")
    made: dict[str, Any] = {}
    for name, field in _FLAGS.items():
        if given.get(name) is not None:
            made[field] = str(given[name]).lower() == "true"
    tests = given.get("runTests") or ()
    return DeployOptions(
        **made,
        test_level=str(given.get("testLevel") or "NoTestRun"),
        run_tests=(tests,) if isinstance(tests, str) else tuple(str(t) for t in tests),
    )
