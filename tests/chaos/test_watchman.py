"""The watchman of the chaos rounds sees what he is there to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request
from sfsync.localorg.org import LocalOrg
from sfsync.org.session import TURN_HEADER
from tests.chaos.ground import CLOCK, Watchman
from tests.e2e.stage import ZONE
from tests.orgs import deploy_into


@pytest.fixture
def org() -> LocalOrg:
    """An org with one case."""
    made = LocalOrg("acme", clock=ManualClock(CLOCK.now()), zone=ZONE)
    deploy_into(made)
    made.insert("Case", {"Subject": "Orders do not sync"})
    return made


def write(lease: str) -> Request:
    body = {"compositeRequest": [{"method": "PATCH", "url": "/x", "referenceId": "r0", "body": {}}]}
    headers = {TURN_HEADER.lower(): lease} if lease else {}
    url = "https://localhost/services/data/v66.0/composite"
    return Request.of("POST", url, headers, json.dumps(body).encode())


def test_the_watchman_sees_a_run_that_writes_after_a_later_one_did(org: LocalOrg) -> None:
    watchman = Watchman()
    for lease in ("1", "2", "2", "3"):
        watchman.before(org, write(lease))()
    assert (watchman.wrong, watchman.late) == ([], 0)
    watchman.before(org, write("2"))()
    assert (watchman.wrong, watchman.late) == ([], 1), "one that was refused has changed nothing"
    after = watchman.before(org, write("2"))
    case = org.storage.rows('SELECT "Id" FROM "Case"')[0][0]
    org.storage.db.execute('UPDATE "Case" SET "SLA_Status__c" = ? WHERE "Id" = ?', ("Met", case))
    after()
    assert len(watchman.wrong) == 1


def test_the_watchman_wants_every_write_to_name_its_lease(org: LocalOrg) -> None:
    watchman = Watchman()
    watchman.before(org, write(""))()
    assert len(watchman.wrong) == 1


def test_the_watchman_knows_what_writes(org: LocalOrg, tmp_path: Path) -> None:
    watchman = Watchman()
    read = {"compositeRequest": [{"method": "GET", "url": "/x", "referenceId": "r0"}]}
    base = "https://localhost/services/data/v66.0"
    for request in (
        Request.of("GET", f"{base}/query?q=SELECT", {}, b""),
        Request.of("POST", f"{base}/composite", {}, json.dumps(read).encode()),
        Request.of("POST", "https://localhost/services/oauth2/token", {}, b""),
    ):
        watchman.before(org, request)()
    assert (watchman.wrong, watchman.requests) == ([], 3)
    watchman.before(org, Request.of("PATCH", f"{base}/sobjects/Case/500", {}, b"{}"))()
    assert len(watchman.wrong) == 1
