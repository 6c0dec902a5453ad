"""Deployments and lists as the API's answers show them: the same facts as XML for SOAP and as JSON for REST.

It may not know how anything is deployed. It keeps one law: element order is that of the published WSDL, because strict
clients read by it.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sfsync.localorg.metadata.crud import Saved
from sfsync.localorg.metadata.deploy import Deployment, DeployOptions, Message
from sfsync.localorg.metadata.kinds import KINDS
from sfsync.localorg.metadata.retrieve import FileProperties, Retrieval
from sfsync.localorg.xmltree import leaf, leaves, node

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg


def instant(at: datetime | None) -> str | None:
    """Return an instant as SOAP and deploy results write it."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _message_xml(tag: str, message: Message, at: datetime | None) -> str:
    return node(
        tag,
        leaves(
            ("changed", message.changed),
            ("columnNumber", message.column),
            ("componentType", message.kind),
            ("created", message.created),
            ("createdDate", instant(at)),
            ("deleted", message.deleted),
            ("fileName", message.file),
            ("fullName", message.name),
            ("id", message.id),
            ("lineNumber", message.line),
            ("problem", message.problem),
            ("problemType", _problem_type(message)),
            ("success", message.success),
        ),
    )


def _problem_type(message: Message) -> str | None:
    if message.problem is None:
        return None
    return "Warning" if message.warning else "Error"


def deploy_result_xml(deployment: Deployment, *, details: bool) -> str:
    """Return the inside of a DeployResult."""
    d = deployment
    inner = ""
    if details and d.done:
        inner = node(
            "details",
            *(_message_xml("componentFailures", m, d.completed_at) for m in d.failures),
            *(_message_xml("componentSuccesses", m, d.completed_at) for m in d.successes),
            node("runTestResult", leaves(("numFailures", 0), ("numTestsRun", 0), ("totalTime", "0.0"))),
        )
    return "".join(
        (
            leaves(
                ("canceledBy", d.canceled_by and d.canceled_by.user_id[:15]),
                ("canceledByName", d.canceled_by and d.canceled_by.name),
                ("checkOnly", d.options.check_only),
                ("completedDate", instant(d.completed_at)),
                ("createdBy", d.actor.user_id),
                ("createdByName", d.actor.name),
                ("createdDate", instant(d.created_at)),
            ),
            inner or leaf("details", None),
            leaves(
                ("done", d.done),
                ("errorMessage", d.error and d.error[1]),
                ("errorStatusCode", _status_code(d)),
                ("id", d.id),
                ("ignoreWarnings", d.options.ignore_warnings),
                ("lastModifiedDate", instant(d.modified_at)),
                ("numberComponentErrors", _errors(d)),
                ("numberComponentsDeployed", _deployed(d)),
                ("numberComponentsTotal", d.total if d.done else 0),
                ("numberTestErrors", 0),
                ("numberTestsCompleted", 0),
                ("numberTestsTotal", 0),
                ("rollbackOnError", d.options.rollback_on_error),
                ("runTestsEnabled", d.options.test_level not in ("NoTestRun",)),
                ("startDate", instant(d.started_at)),
                ("status", d.status),
                ("success", d.status in ("Succeeded", "SucceededPartial")),
            ),
        )
    )


def _status_code(deployment: Deployment) -> str | None:
    if deployment.error is None:
        return None
    # Strict clients know the published codes only.
    return {"INVALID_ZIP": "UNKNOWN_EXCEPTION"}.get(deployment.error[0], deployment.error[0])


def _errors(deployment: Deployment) -> int:
    return len(deployment.failures) if deployment.done else 0


def _deployed(deployment: Deployment) -> int:
    return deployment.deployed if deployment.done else 0


def _message_json(message: Message, at: datetime | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "changed": message.changed,
        "componentType": message.kind,
        "created": message.created,
        "createdDate": instant(at),
        "deleted": message.deleted,
        "fileName": message.file,
        "fullName": message.name,
        "id": message.id,
        "knownPackagingProblem": False,
        "problem": message.problem,
        "problemType": _problem_type(message),
        "requiresProductionTestRun": False,
        "success": message.success,
        "warning": message.warning,
    }
    if message.line is not None:
        made |= {"lineNumber": message.line, "columnNumber": message.column}
    return made


def deploy_result_json(deployment: Deployment, *, details: bool) -> dict[str, Any]:
    """Return a deployResult as REST gives it."""
    d = deployment
    tests = {
        "apexLogId": "", "codeCoverage": [], "codeCoverageWarnings": [], "failures": [], "flowCoverage": [],
        "flowCoverageWarnings": [], "numFailures": 0, "numTestsRun": 0, "successes": [], "totalTime": 0.0,
    }  # fmt: skip
    made: dict[str, Any] = {
        "checkOnly": d.options.check_only,
        "ignoreWarnings": d.options.ignore_warnings,
        "rollbackOnError": d.options.rollback_on_error,
        "status": d.status,
        "runTestsEnabled": d.options.test_level != "NoTestRun",
        "done": d.done,
        "id": d.id,
        "createdDate": instant(d.created_at),
        "startDate": instant(d.started_at),
        "lastModifiedDate": instant(d.modified_at),
        "completedDate": instant(d.completed_at),
        "errorStatusCode": d.error and d.error[0],
        "errorMessage": d.error and d.error[1],
        "stateDetail": None,
        "createdBy": d.actor.user_id,
        "createdByName": d.actor.name,
        "canceledBy": d.canceled_by and d.canceled_by.user_id,
        "canceledByName": d.canceled_by and d.canceled_by.name,
        "isRunTestsEnabled": None,
        "numberComponentErrors": _errors(d),
        "numberComponentsDeployed": _deployed(d),
        "numberComponentsTotal": d.total if d.done else 0,
        "numberTestErrors": 0,
        "numberTestsCompleted": 0,
        "numberTestsTotal": 0,
        "success": d.status in ("Succeeded", "SucceededPartial"),
        "details": None,
    }
    if details:
        made["details"] = {
            "componentFailures": [_message_json(m, d.completed_at) for m in d.failures],
            "componentSuccesses": [_message_json(m, d.completed_at) for m in d.successes],
            "allComponentMessages": [_message_json(m, d.completed_at) for m in d.messages],
            "retrieveResult": None,
            "runTestResult": tests,
        }
    return made


def options_json(options: DeployOptions) -> dict[str, Any]:
    """Return deployOptions as REST gives them."""
    return {
        "allowMissingFiles": options.allow_missing_files,
        "autoUpdatePackage": options.auto_update_package,
        "checkOnly": options.check_only,
        "ignoreWarnings": options.ignore_warnings,
        "performRetrieve": options.perform_retrieve,
        "purgeOnDelete": options.purge_on_delete,
        "rollbackOnError": options.rollback_on_error,
        "runTests": list(options.run_tests) or None,
        "singlePackage": options.single_package,
        "testLevel": options.test_level,
    }


def file_properties_xml(org: LocalOrg, tag: str, each: FileProperties) -> str:
    """Return a FileProperties element."""
    return node(
        tag,
        leaf("createdById", each.created_by),
        leaf("createdByName", org.actor(each.created_by).name),
        leaf("createdDate", instant(each.created_at)),
        leaf("fileName", each.file),
        leaf("fullName", each.name),
        leaf("id", each.id),
        leaf("lastModifiedById", each.modified_by),
        leaf("lastModifiedByName", org.actor(each.modified_by).name),
        leaf("lastModifiedDate", instant(each.modified_at)),
        leaf("manageableState", "unmanaged"),
        leaf("type", each.kind),
    )


def retrieve_result_xml(org: LocalOrg, retrieval: Retrieval, *, include_zip: bool) -> str:
    """Return the inside of a RetrieveResult."""
    return "".join(
        (
            leaf("done", True),
            *(file_properties_xml(org, "fileProperties", each) for each in retrieval.files),
            leaf("id", retrieval.id),
            *(node("messages", leaf("fileName", f), leaf("problem", p)) for f, p in retrieval.problems),
            leaf("status", "Succeeded"),
            leaf("success", True),
            leaf("zipFile", base64.b64encode(retrieval.data).decode() if include_zip else None),
        )
    )


def saved_xml(saved: Saved, *, upsert: bool = False) -> str:
    """Return a result of create, update, upsert or delete."""
    errors = ""
    if not saved.success:
        errors = node("errors", leaf("message", saved.message), leaf("statusCode", saved.code))
    created = leaf("created", saved.created) if upsert else ""
    return node("result", created, errors, leaf("fullName", saved.name), leaf("success", saved.success))


def described_xml() -> str:
    """Return the inside of a DescribeMetadataResult: the types this org knows."""
    kinds = [
        node(
            "metadataObjects",
            *(leaf("childXmlNames", child) for _, child, _ in kind.children),
            leaf("directoryName", kind.folder),
            leaf("inFolder", False),
            leaf("metaFile", False),
            leaf("suffix", kind.suffix),
            leaf("xmlName", kind.name),
        )
        for kind in sorted(KINDS.values(), key=lambda k: k.name)
    ]
    return "".join(
        (*kinds, leaf("organizationNamespace", None), leaf("partialSaveAllowed", True), leaf("testRequired", False))
    )
