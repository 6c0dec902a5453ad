"""Complaints 56 to 59: tokens that were used up, swapped or left to end in the middle of a load."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from sfsync.org.tokens import FileTokens
from tests.complaints.scene import CASE, HOUR, PACK, between, refusal
from tests.contract.org.reached import Reached


def known(reached: Reached) -> set[str]:
    return {seen.sf_id for (o, _), seen in reached.records.items() if o == CASE}


def test_complaint_56_workers_that_find_the_token_ended_at_once_redeem_the_next_one_once(
    reached: Reached, tmp_path: Path
) -> None:
    reached.app.rotate_refresh_tokens = True
    given = reached.org.logins.issue_refresh_token(reached.org.integration_id, "client")
    reached.tokens = FileTokens(tmp_path / "tokens")
    workers = [reached.connect(refresh_token=SecretStr(given)) for _ in range(4)]
    for worker in workers:
        worker.read("limits")
    before = sum(worker.calls.logins for worker in workers)
    reached.org.logins.expire_all()
    failed: list[BaseException] = []
    start = threading.Barrier(len(workers))

    def work(number: int) -> None:
        try:
            start.wait(timeout=30)
            workers[number].read("limits")
        except BaseException as bad:
            failed.append(bad)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failed == []
    assert sum(worker.calls.logins for worker in workers) - before == 1
    kept = FileTokens(tmp_path / "tokens").load("acme")
    assert kept is not None
    assert [kept.refresh_token] == list(reached.org.logins.refresh_tokens), "the newest token is not the one on disk"


@pytest.mark.parametrize("code", ["INVALID_JWT_FORMAT", "INVALID_AUTH_HEADER"])
def test_complaint_57_a_token_that_is_refused_in_mid_load_is_replaced_and_the_load_goes_on(
    reached: Reached, code: str
) -> None:
    made = set(reached.cases(900))
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later(HOUR)
    adapter = between(reached)
    refused: list[str] = []

    def refuse(request: requests.PreparedRequest) -> requests.Response | None:
        token = str(request.headers.get("Authorization"))
        if len(adapter.sent) > 3 and "/services/data/" in str(request.url) and (not refused or token in refused):
            refused.append(token)
            reached.org.logins.expire_all()
            return refusal(request, code, "the token is no token", status=401)
        return None

    adapter.before = refuse
    reached.sync()
    assert refused
    assert known(reached) == made


@pytest.mark.parametrize("k", range(1, 8))
def test_complaint_58_a_token_that_ends_between_two_files_of_a_load_spoils_neither(
    reached: Reached, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.bulkread.RESULT_ROWS", 20)
    made = set(reached.cases(90))
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=50)
    reached.faults({"kind": "session", "path": "jobs/query", "calls": [k]})
    reached.sync()
    assert reached.org.faults.rules[0].struck == 1
    assert known(reached) == made
    assert reached.session.calls.logins == 2


@pytest.mark.parametrize("k", range(1, 6))
def test_complaint_59_an_upload_survives_the_end_of_its_session(
    reached: Reached, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sfsync.mirror.plan import Change, Result

    monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 10)
    reached.sync()
    changes = [Change(PACK, f"pk:{n}", None, {"plan": "Pro"}) for n in range(40)]
    reached.faults({"kind": "session", "path": "jobs/ingest", "calls": [k]})
    outcomes = reached.write(changes)
    assert reached.org.faults.rules[0].struck == 1
    assert {o.result for o in outcomes} == {Result.DONE}
    assert reached.org.count(PACK) == 40
