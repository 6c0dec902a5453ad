"""Deploying metadata into an org by the Metadata API over REST, and granting the permission set it brings.

May not know what is deployed. It keeps one law: all of a package is in force afterwards, or none of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sfsync.clock import token
from sfsync.errors import CheckFailed, OrgUnavailable
from sfsync.org.session import OrgSession
from sfsync.org.soql import Select, compare, query_path

POLL_SECONDS = 1.0
LONGEST_DEPLOY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy did."""

    job: str
    components: int
    check_only: bool


def deploy(session: OrgSession, package: bytes, *, check_only: bool = False) -> Deployed:
    """Deploy the zipped ``package`` and wait until the org is done.

    Raises CheckFailed with the org's own words for each component that was refused; then nothing of it
    is in force. OrgUnavailable if the org does not finish.
    """
    options = {"rollbackOnError": True, "singlePackage": True, "checkOnly": check_only, "testLevel": "NoTestRun"}
    boundary = token()
    asked = session.request(
        "POST",
        "metadata/deployRequest",
        data=_multipart(boundary, {"deployOptions": options}, package),
        content_type=f"multipart/form-data; boundary={boundary}",
        timeout=120,
    )
    job = str(asked.body["id"])
    started = session.clock.monotonic()
    while True:
        result: dict[str, Any] = session.read(f"metadata/deployRequest/{job}?includeDetails=true").body["deployResult"]
        if result["done"]:
            break
        if session.clock.monotonic() - started > LONGEST_DEPLOY_SECONDS:
            raise OrgUnavailable(f"org {session.name}: deploy {job} has not ended after {LONGEST_DEPLOY_SECONDS:.0f} s")
        session.clock.sleep(POLL_SECONDS)
    if not result["success"]:
        raise CheckFailed(f"org {session.name} refuses the deploy: {'; '.join(_failures(result))}")
    return Deployed(job, int(result["numberComponentsDeployed"]), check_only)


def _failures(result: dict[str, Any]) -> list[str]:
    failures = (result.get("details") or {}).get("componentFailures") or []
    rows = [failures] if isinstance(failures, dict) else failures
    said = [f"{row.get('fullName')}: {row.get('problem')}" for row in rows[:20]]
    return said or [str(result.get("errorMessage") or result.get("status"))]


def _multipart(boundary: str, options: dict[str, Any], package: bytes) -> bytes:
    def part(name: str, kind: str, body: bytes, file: str = "") -> bytes:
        named = f'; filename="{file}"' if file else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\nContent-Type: {kind}\r\n\r\n'
        return head.encode() + body + b"\r\n"

    return (
        part("entity_content", "application/json", json.dumps(options).encode())
        + part("file", "application/zip", package, "package.zip")
        + f"--{boundary}--\r\n".encode()
    )


def grant(session: OrgSession, permission_set: str, username: str) -> bool:
    """Give ``username`` the permission set; return False if the user has it, CheckFailed if either is unknown."""
    set_id = _one(session, "PermissionSet", compare("Name", "=", permission_set))
    user_id = _one(session, "User", compare("Username", "=", username))
    for what, name, found in (("permission set", permission_set, set_id), ("user", username, user_id)):
        if not found:
            raise CheckFailed(f"org {session.name} has no {what} {name!r}")
    held = Select(("Id",), "PermissionSetAssignment").having(
        compare("PermissionSetId", "=", set_id), compare("AssigneeId", "=", user_id)
    )
    if session.read(query_path(held, all_rows=False)).body["records"]:
        return False
    session.request(
        "POST", "sobjects/PermissionSetAssignment", json_body={"PermissionSetId": set_id, "AssigneeId": user_id}
    )
    return True


def _one(session: OrgSession, sobject: str, condition: str) -> str | None:
    rows = session.read(query_path(Select(("Id",), sobject).having(condition), all_rows=False)).body["records"]
    return str(rows[0]["Id"]) if rows else None
