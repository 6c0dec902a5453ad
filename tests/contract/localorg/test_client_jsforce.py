"""jsforce 3, a client written elsewhere, against the HTTPS face: login, deploy, describe, records, bulk, errors.

It is installed by npm from the lock file beside its script, once for each state of that file. Where there is no node,
or npm cannot fetch, the test says so and is skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.mapping import load_mappings
from sfsync.metadata import generate, zip_package
from tests.contract.localorg.metadata_world import box_package

HERE = Path(__file__).parent / "clients" / "jsforce"
INSTALL_SECONDS, SESSION_SECONDS = 300, 180
NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)


def installed() -> Path:
    """Return a folder in which jsforce is installed; skip with the reason where that cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine, so jsforce cannot be run")
    lock = (HERE / "package-lock.json").read_bytes()
    home = Path(tempfile.gettempdir()) / f"sfsync-tests-{os.geteuid()}-jsforce-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (home / "ready").exists():
        home.mkdir(mode=0o700, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, home / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                command, cwd=home, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install jsforce within {INSTALL_SECONDS} seconds")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"npm cannot install jsforce here: {last}")
        (home / "ready").touch()
    return home


@pytest.mark.slow
def test_jsforce_cannot_tell_the_difference(tmp_path: Path) -> None:
    home = installed()
    org = LocalOrg("acme", clock=ManualClock(NOW))
    package, broken = tmp_path / "package.zip", tmp_path / "broken.zip"
    package.write_bytes(zip_package(generate(load_mappings())))
    broken.write_bytes(box_package("<fields><fullName>A__c</fullName><label>A</label><type>Text</type></fields>"))
    with running(prepare(tmp_path / "org", orgs=(org,))) as line:
        environment = {
            **os.environ,
            "NODE_EXTRA_CA_CERTS": line["ca_file"],
            "ORG_LINE": json.dumps(line),
            "PACKAGE_ZIP": str(package),
            "BROKEN_ZIP": str(broken),
            "CLIENT_HOME": str(home),
            "TODAY": "2026-11-20",
        }
        done = subprocess.run(
            ["node", str(HERE / "session.js")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SESSION_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["login"] == {"organizationId": org.org_id, "instance": line["url"]}
    assert seen["identity"] == "admin@acme.example"
    assert seen["deploy"]["status"] == "Succeeded"
    assert seen["components"] == seen["deploy"]["total"] + 1
    assert seen["deployRest"] == "Succeeded"
    assert seen["failures"] == [["Box__c.A__c", "Must specify 'length' for a CustomField of type Text"]]
    assert seen["describe"]
    assert seen["global"]
    assert "CustomObject" in seen["metadataTypes"]
    assert "sfsync_Service" in seen["listed"]
    assert seen["read"] == "Time Entry"
    assert seen["retrieved"] == 1
    assert seen["created"] == [True]
    assert seen["tooling"] == 1
    assert seen["toolingCreate"] is True
    assert seen["retrieve"] == "Äcme “quoted” & co"
    assert seen["upsert"] == [True, True]
    assert (seen["entry"]["Minutes__c"], seen["entry"]["Hours__c"]) == (45, 0.75)
    assert seen["entry"]["Case__r"]["Account"]["Name"] == "Äcme “quoted” & co"
    assert seen["collection"] == 450
    assert seen["destroyed"] == 250
    assert seen["bulk"] == [2500, 0, 0]
    assert seen["bulkQuery"] == 2500
    assert seen["fetched"] == [2701, 2701]
    assert seen["bulkOld"] == [True]
    assert seen["errors"] == [
        "INVALID_FIELD",
        "REQUIRED_FIELD_MISSING",
        "NOT_FOUND",
        "sf:INVALID_TYPE",
        "INVALID_LOGIN",
    ]
