"""What looks like an accident stops one org and asks: an org that was emptied or reset, more writes than a bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from sfsync.errors import SafetyStop
from sfsync.sync import Bounds, missing
from tests.complaints.scene import ACCOUNT, CASE, ENTRY, ESTIMATE, LINE, PACK, SUMMARY, answered, between_stage, quiet
from tests.e2e.stage import Stage


def emptied(stage: Stage, *objects: str) -> None:
    """Take every record away as an org does that is truncated or set back: no bin, no name in the list of deletes."""
    with stage.org.storage.unit():
        for sobject in objects:
            stage.org.storage.remove(sobject, [str(row["Id"]) for row in stage.rows(sobject)])


def worked(stage: Stage, entries: int = 8) -> None:
    stage.buy("pro", 15)
    case = stage.case()
    stage.approve(stage.estimate(case, 6_000))
    for _ in range(entries):
        stage.log(case, 10)
    quiet(stage)


def stopped(stage: Stage, words: str) -> None:
    """Demand that a run stops, pauses the org with these words, moves no hour and writes nothing."""
    balances, records = stage.runtime.store.balances("acme"), stage.rows(ENTRY)
    with pytest.raises(SafetyStop, match=words):
        stage.runtime.sync("acme")
    [row] = stage.runtime.store.orgs()
    assert row.state == "paused"
    assert "--confirm" in row.reason
    assert stage.runtime.store.balances("acme") == balances
    assert stage.rows(ENTRY) == records


def test_an_org_that_was_emptied_under_the_same_id_is_noticed_by_the_next_poll(stage: Stage) -> None:
    worked(stage)
    emptied(stage, PACK, ACCOUNT, CASE, ENTRY, ESTIMATE, SUMMARY, LINE)
    stopped(stage, "0 of 8 Time_Entry__c")


def test_one_large_object_that_was_emptied_is_noticed_and_a_small_one_is_left_to_the_audit(stage: Stage) -> None:
    worked(stage, entries=130)
    emptied(stage, ESTIMATE)
    assert stage.sync().refused == 0
    emptied(stage, ENTRY)
    stopped(stage, "only 0 of 130 Time_Entry__c records and names no deletion")


def test_an_operator_who_knows_repairs_and_goes_on(stage: Stage) -> None:
    worked(stage, entries=130)
    emptied(stage, ENTRY)
    stopped(stage, "130 Time_Entry__c")
    with pytest.raises(SafetyStop):
        stage.runtime.audit("acme", repair=True)
    stage.runtime.audit("acme", repair=True, confirmed=True)
    stage.runtime.store.resume("acme", "acme")
    quiet(stage)
    assert sum(stage.runtime.store.balances("acme").values()) == 15 * 480, "the hours of entries that are gone are back"


def test_counting_costs_a_quiet_poll_nothing_and_a_doubt_one_call(stage: Stage) -> None:
    worked(stage, entries=130)
    stage.later(minutes=30)
    assert stage.sync().calls == 1
    adapter = between_stage(stage)
    emptied(stage, ENTRY)
    adapter.sent.clear()
    with pytest.raises(SafetyStop):
        stage.runtime.sync("acme")
    assert len([url for _, url, _ in adapter.sent if "/services/data/" in url]) == 2


def test_an_org_that_tells_no_counts_is_polled_all_the_same(stage: Stage) -> None:
    worked(stage)
    stage.later(minutes=30)
    adapter = between_stage(stage)

    def refuse(request: requests.PreparedRequest, answer: requests.Response) -> None:
        body = answer.json()
        for sub in body.get("compositeResponse", ()) if isinstance(body, dict) else ():
            if isinstance(sub["body"], dict) and "sObjects" in sub["body"]:
                sub["httpStatusCode"], sub["body"] = 404, [{"errorCode": "NOT_FOUND", "message": "not in here"}]
        answered(answer, answer.status_code, body)

    adapter.after = refuse
    assert stage.sync().calls == 1


def test_deleting_all_of_a_small_org_is_a_question_too(stage: Stage) -> None:
    worked(stage)
    for sobject in (LINE, SUMMARY, ENTRY, ESTIMATE, CASE, PACK, ACCOUNT):
        for row in stage.rows(sobject):
            if stage.org.get(sobject, row["Id"]) is not None:
                stage.org.delete(sobject, row["Id"])
    with pytest.raises(SafetyStop, match="every one of"):
        stage.runtime.sync("acme")


@pytest.mark.parametrize(
    ("there", "shown", "lost"),
    [
        ({"Case": 1_000}, {"Case": 801}, {}),
        ({"Case": 1_000}, {"Case": 799}, {"Case": 799}),
        ({"Case": 99, "Pack": 1}, {"Case": 0, "Pack": 1}, {}),
        ({"Case": 99, "Pack": 1}, {"Case": 0, "Pack": 0}, {"Case": 0, "Pack": 0}),
        ({"Case": 9}, {"Case": 0}, {}),
        ({"Case": 1_000}, {}, {}),
        ({"Case": 1_000}, {"Case": 5_000}, {}),
    ],
)
def test_what_counts_as_missing(there: dict[str, int], shown: dict[str, int], lost: dict[str, int]) -> None:
    assert missing(there, shown, Bounds()) == lost


# --- more writes than a bound -------------------------------------------------------------------------


def by_hand(stage: Stage) -> None:
    stage.runtime.sync("acme")


def agreed(stage: Stage) -> None:
    stage.runtime.sync("acme", agreed=stage.runtime.plan("acme").plan)


def between(stage: Stage) -> None:
    stage.later(minutes=30)
    assert "acme" in stage.runtime.roster.due()
    stage.runtime.roster.sync_if_due("acme")


def nightly(stage: Stage) -> None:
    stage.later(days=1)
    assert "acme" in stage.runtime.roster.due()
    stage.runtime.roster.sync_if_due("acme")


def deadline(stage: Stage) -> None:
    stage.runtime.fleet.write_ticks([("deadline:acme", stage.clock.now())])
    stage.runtime.roster.sync_if_due("acme")


@pytest.mark.parametrize("run", [by_hand, agreed, between, nightly, deadline])
def test_more_writes_than_the_bound_stop_every_kind_of_run(
    tmp_path: Path, database_url: str, run: Callable[[Stage], None]
) -> None:
    stage = Stage(tmp_path, database_url, max_changes=20)
    stage.deploy()
    stage.sync()
    for org in stage.runtime.roster.due():
        stage.runtime.roster.sync_if_due(org)
    for _ in range(25):
        stage.case()
    with pytest.raises(SafetyStop, match="more than the bound of 20"):
        run(stage)
    assert stage.runtime.store.orgs()[0].state == "paused"
    assert {row["SLA_Status__c"] for row in stage.rows(CASE)} == {None}
    assert stage.runtime.sync("acme", confirmed=True).wrote >= 25
    assert stage.runtime.store.orgs()[0].state == "active"
    stage.runtime.close()
