"""The Metadata API's SOAP operations: an operation's element in, the elements of its response out.

It may not know envelopes or sessions. It keeps one law: what is not modelled is refused by name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING

from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata import answers, crud
from sfsync.localorg.metadata.deploy import Deployment, DeployOptions, cancel, find, quick, start
from sfsync.localorg.metadata.retrieve import Retrieval, listed, retrieve
from sfsync.localorg.metadata.state import state_of
from sfsync.localorg.xmltree import Element, leaf, leaves, node, rendered

if TYPE_CHECKING:
    from sfsync.localorg.soap import SoapCall

Operation = Callable[["SoapCall"], str]
MOST_QUERIES = 3


def deploy_options(element: Element | None) -> DeployOptions:
    """Return the options of a deploy element; booleans in any case, stray text ignored."""
    if element is None:
        return DeployOptions()
    return DeployOptions(
        allow_missing_files=element.flag("allowMissingFiles"),
        auto_update_package=element.flag("autoUpdatePackage"),
        check_only=element.flag("checkOnly"),
        ignore_warnings=element.flag("ignoreWarnings"),
        perform_retrieve=element.flag("performRetrieve"),
        purge_on_delete=element.flag("purgeOnDelete"),
        rollback_on_error=element.flag("rollbackOnError", True),
        single_package=element.flag("singlePackage"),
        test_level=element.value("testLevel") or "NoTestRun",
        run_tests=tuple(element.values("runTests")),
    )


def _any_case(element: Element, name: str) -> Element | None:
    return next((c for c in element.children if c.name.lower() == name.lower()), None)


def _zip(element: Element) -> bytes:
    given = _any_case(element, "ZipFile")
    try:
        return base64.b64decode("" if given is None else given.text, validate=False)
    except (binascii.Error, ValueError):
        raise ApiError(400, "UNKNOWN_EXCEPTION", "ZipFile is not base64") from None


def _async_result(deployment: Deployment) -> str:
    return node("result", leaf("done", False), leaf("id", deployment.id), leaf("state", "Queued"))


def _deploy(call: SoapCall) -> str:
    options = deploy_options(_any_case(call.operation, "DeployOptions"))
    return _async_result(start(call.org, call.actor, _zip(call.operation), options))


def _id_of(call: SoapCall, *names: str) -> str:
    for name in names:
        given = call.operation.value(name)
        if given:
            return given
    raise ApiError(400, "REQUIRED_FIELD_MISSING", f"Required field is missing: {names[0]}")


def _check_deploy(call: SoapCall) -> str:
    known = find(call.org, _id_of(call, "asyncProcessId", "id"))
    return node("result", answers.deploy_result_xml(known, details=call.operation.flag("includeDetails")))


def _cancel(call: SoapCall) -> str:
    known = cancel(call.org, call.actor, _id_of(call, "String", "asyncProcessId", "id"))
    return node("result", leaf("done", known.done), leaf("id", known.id))


def _quick(call: SoapCall) -> str:
    return leaf("result", quick(call.org, call.actor, _id_of(call, "validationId")).id)


def _retrieve(call: SoapCall) -> str:
    # One client calls it ``retrieveRequest``, another ``request``.
    request = next((c for c in call.operation.children if c.children), call.operation)
    if request.values("packageNames"):
        raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", f"No package named '{request.value('packageNames')}' found")
    wanted: dict[str, list[str]] = {}
    unpackaged = request.find("unpackaged")
    for types in (unpackaged or request).all("types"):
        wanted.setdefault(types.value("name"), []).extend(types.values("members"))
    version = (unpackaged.value("version") if unpackaged else "") or request.value("apiVersion") or call.version
    made = retrieve(call.org, call.actor, wanted, version, single_package=request.flag("singlePackage"))
    return node("result", leaf("done", False), leaf("id", made.id), leaf("state", "Queued"))


def _retrieval(call: SoapCall, wanted: str) -> Retrieval | None:
    return next((r for r in state_of(call.org).retrievals.values() if wanted in (r.id, r.id[:15])), None)


def _check_retrieve(call: SoapCall) -> str:
    wanted = _id_of(call, "asyncProcessId", "id")
    known = _retrieval(call, wanted)
    if known is None:
        raise ApiError(404, "INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {wanted}")
    include = call.operation.flag("includeZip", True)
    return node("result", answers.retrieve_result_xml(call.org, known, include_zip=include))


_STATES = {"Pending": "Queued", "InProgress": "InProgress", "Succeeded": "Completed", "SucceededPartial": "Completed"}


def _check_status(call: SoapCall) -> str:
    """The operation of old versions that one client still polls with, for deploys and retrieves alike."""
    wanted = _id_of(call, "asyncProcessId", "id")
    if _retrieval(call, wanted) is not None:
        return node("result", leaf("done", True), leaf("id", wanted), leaf("state", "Completed"))
    known = find(call.org, wanted)
    state = _STATES.get(known.status, "Error")
    return node("result", leaf("done", known.done), leaf("id", known.id), leaf("state", state))


def _describe(_call: SoapCall) -> str:
    return node("result", answers.described_xml())


def _list(call: SoapCall) -> str:
    queries = list(call.operation.all("queries"))
    if len(queries) > MOST_QUERIES:
        raise ApiError(400, "LIMIT_EXCEEDED", f"listMetadata: no more than {MOST_QUERIES} queries at once")
    found = [each for query in queries for each in listed(call.org, query.value("type"))]
    return "".join(answers.file_properties_xml(call.org, "result", each) for each in found)


def _saver(verb: str) -> Operation:
    def save(call: SoapCall) -> str:
        results = crud.save(call.org, call.actor, list(call.operation.all("metadata")), verb)
        return "".join(answers.saved_xml(each, upsert=verb == "upsert") for each in results)

    return save


def _read(call: SoapCall) -> str:
    kind = call.operation.value("type")
    records = [
        '<records xsi:nil="true"/>'
        if each is None
        else f'<records xsi:type="{kind}">{"".join(rendered(child) for child in each.children)}</records>'
        for each in crud.read(call.org, kind, call.operation.values("fullNames"))
    ]
    return node("result", *records)


def _delete(call: SoapCall) -> str:
    names = call.operation.values("fullNames")
    results = crud.delete(call.org, call.actor, call.operation.value("type"), names)
    return "".join(answers.saved_xml(each) for each in results)


def _rename(call: SoapCall) -> str:
    words = "not modelled: renameMetadata"
    errors = node("errors", leaves(("message", words), ("statusCode", "FUNCTIONALITY_NOT_ENABLED")))
    return node("result", errors, leaf("fullName", call.operation.value("oldFullName")), leaf("success", False))


OPERATIONS: dict[str, Operation] = {
    "deploy": _deploy,
    "checkDeployStatus": _check_deploy,
    "checkStatus": _check_status,
    "cancelDeploy": _cancel,
    "deployRecentValidation": _quick,
    "retrieve": _retrieve,
    "checkRetrieveStatus": _check_retrieve,
    "describeMetadata": _describe,
    "listMetadata": _list,
    "createMetadata": _saver("create"),
    "updateMetadata": _saver("update"),
    "upsertMetadata": _saver("upsert"),
    "readMetadata": _read,
    "deleteMetadata": _delete,
    "renameMetadata": _rename,
}
"""Operation to what carries it out; describeValueType and others are refused as not modelled."""
