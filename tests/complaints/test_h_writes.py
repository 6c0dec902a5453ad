"""Complaints 60 to 63: twins, ids without a row, writes that changed nothing, and rows that failed in silence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import requests

from sfsync.localorg.faults import Faults
from sfsync.mirror.plan import Change, Result
from tests.complaints.scene import (
    ACCOUNT,
    CASE,
    ENTRY,
    HOUR,
    LINE,
    PACK,
    answered,
    between,
    between_stage,
    equal,
    quiet,
)
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


def packs(count: int) -> list[Change]:
    return [Change(PACK, f"pk:{n:05d}", None, {"plan": "Pro", "bought_minutes": "8.00"}) for n in range(count)]


@pytest.fixture
def ready(reached: Reached) -> Reached:
    """An org that was read once."""
    reached.sync()
    reached.later(HOUR)
    return reached


@pytest.mark.parametrize("kind", ["reset_after", "timeout_after", "cut_body", "late_commit", "duplicate"])
def test_complaint_60_a_create_whose_answer_was_lost_makes_no_twin(stage: Stage, kind: str) -> None:
    quiet(stage)
    stage.buy("flexi", 5)
    stage.org.faults = Faults.of([{"kind": kind, "path": "composite|sobjects", "calls": [2]}])
    report = stage.sync()
    assert stage.org.faults.rules[0].struck == 1
    stage.org.faults = Faults()
    quiet(stage)
    assert report.refused == 0
    assert [row["Sfsync_Key__c"] for row in stage.rows(PACK)] == ["pk:1"]
    assert len(stage.rows(ACCOUNT)) == 1
    equal(stage)


def test_complaint_61_every_outcome_names_its_row_and_its_id_though_some_rows_fail(ready: Reached) -> None:
    changes = packs(350)
    bad = {3, 4, 199, 200, 349}
    for n in bad:
        changes[n] = Change(PACK, f"pk:{n:05d}", None, {"plan": "Nonsense"})
    outcomes = ready.write(changes)
    keys = dict(ready.org.storage.rows(f'SELECT "Id", "Sfsync_Key__c" FROM "{PACK}"'))
    assert Counter(o.change.key for o in outcomes) == Counter(c.key for c in changes)
    assert {o.sf_id: o.change.key for o in outcomes if o.result is Result.DONE} == keys
    refused = [o for o in outcomes if o.result is Result.REJECTED]
    assert {o.change.key for o in refused} == {f"pk:{n:05d}" for n in bad}
    assert all(o.sf_id is None and "Nonsense" in o.message and o.advice for o in refused)


@pytest.mark.parametrize("found_by", ["polls", "audit"])
def test_complaint_62_a_write_that_was_confirmed_and_changed_nothing_is_found_and_done_again(
    stage: Stage, found_by: str
) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    quiet(stage)
    stage.later(hours=2)
    entry = stage.log(case, 90)
    adapter = between_stage(stage)
    swallowed: list[Any] = []

    def swallow(request: requests.PreparedRequest) -> requests.Response | None:
        body = adapter.sent[-1][2] or {}
        if swallowed or request.method != "PATCH" or "records" not in body:
            return None
        swallowed.append(body["records"])
        made = requests.Response()
        made.request, made.url = request, str(request.url)
        return answered(made, 200, [{"id": row["id"], "success": True, "errors": []} for row in body["records"]])

    adapter.before = swallow
    assert stage.sync().wrote > 0
    assert swallowed
    assert stage.shown(ENTRY, entry)["State__c"] != "Counted", "the write was to be swallowed"
    if found_by == "audit":
        certificate, _ = stage.runtime.audit("acme", repair=True)
        assert {d.field for d in certificate.differences} >= {"remaining_minutes"}
        stage.later(minutes=1)
        quiet(stage)
    for _ in range(4):
        stage.sync()
        stage.later(minutes=20)
    assert [stage.sync().calls for _ in range(2)] == [1, 1], "what came back is not looked up again"
    assert stage.rows(PACK)[0]["Hours_Remaining__c"] == 38.5
    assert stage.shown(ENTRY, entry)["State__c"] == "Counted"
    equal(stage)


def test_complaint_63_a_refused_row_is_reported_and_quarantined_with_the_orgs_own_words(stage: Stage) -> None:
    from sfsync.localorg.schema import SchemaChange, ValidationRule

    stage.buy("flexi", 5)
    quiet(stage)
    words = "Minutes are closed for this month"
    rule = ValidationRule("Closed", "NOT(ISBLANK(TEXT(State__c)))", words)
    stage.org.schema_change(SchemaChange(rules=[(ENTRY, rule)]))
    stage.later(minutes=5)
    case = stage.case()
    entry = stage.log(case, 10)
    reports = [stage.sync() for _ in range(4)]
    assert sum(report.refused for report in reports) > 0
    [kept] = stage.runtime.store.quarantined("acme")
    assert words in str(kept)
    assert kept["object"] == ENTRY
    assert stage.shown(CASE, case)["SLA_Status__c"] == "On track", "the other rows did not go on"
    assert stage.runtime.audit("acme")[0].waiting == 1
    assert stage.shown(ENTRY, entry)["Minutes__c"] == 10


def test_complaint_63_a_lookup_that_is_set_on_create_is_changed_and_cleared_too(ready: Reached) -> None:
    first, second = ready.org.insert(ACCOUNT, [{"Name": n, "Sfsync_Key__c": f"acc:{n}"} for n in ("a", "b")])

    def account() -> str | None:
        return ready.org.storage.rows(f'SELECT "Maintenance_Account__c" FROM "{PACK}"')[0][0]  # type: ignore[no-any-return]

    for revision, (value, expected) in enumerate([("key:acc:a", first), ("key:acc:b", second), (None, None)], 1):
        [outcome] = ready.write([Change(PACK, "pk:1", None, {"plan": "Pro", "account": value}, revision=revision)])
        assert outcome.result is Result.DONE
        assert account() == expected


@pytest.mark.parametrize("way", ["one", "guarded", "composite", "bulk"])
@pytest.mark.parametrize("kept", [True, False], ids=["as it is sent", "without the header"])
def test_complaint_63_no_owner_is_blanked_or_changed_by_a_write(
    ready: Reached, way: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An assignment rule is active in this org; without our header (and Bulk has none) it would take every case."""
    assert ready.org.storage.rows('SELECT "Active" FROM "AssignmentRule" WHERE "SobjectType" = \'Case\'') == [(1,)]
    cases = ready.cases(1 if way in ("one", "guarded") else 12)
    owners = 'SELECT "Id", "OwnerId" FROM "Case" ORDER BY "Id"'
    before = ready.org.storage.rows(owners)
    queue = ready.org.assignment[0].owner_id
    assert queue not in {owner for _, owner in before}
    ready.later(HOUR)
    adapter = between(ready)
    if way == "bulk":
        monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 1)
    if not kept:
        adapter.before = _without_the_header
        monkeypatch.setattr("sfsync.org.transport.NO_ASSIGNMENT", {})
    changes = [Change(CASE, f"ca:{n}", sf_id, {"breached": True}) for n, sf_id in enumerate(cases)]
    stamps = {cases[0]: ready.clock.now()} if way == "guarded" else {}
    assert {o.result for o in ready.write(changes, unless_changed=stamps, still_seconds=0)} == {Result.DONE}
    after = ready.org.storage.rows(owners)
    if kept or way == "bulk":
        assert after == before
    else:
        assert {owner for _, owner in after} == {queue}, "the rule is not active: this test would prove nothing"
    assert "OwnerId" not in str(adapter.sent)


def _without_the_header(request: requests.PreparedRequest) -> None:
    request.headers.pop("Sforce-Auto-Assign", None)


def test_complaint_63_a_row_whose_parent_was_refused_is_not_written_without_it(ready: Reached) -> None:
    parent = Change(PACK, "pk:1", None, {"plan": "Nonsense"})
    child = Change(ENTRY, "te:1", ready.org.insert(ENTRY, entry(ready))[0], {"pack": "key:pk:1", "state": "Counted"})
    results = {o.change.key: o.result for o in ready.write([child, parent])}
    assert results == {"pk:1": Result.REJECTED, "te:1": Result.LATER}
    assert ready.org.storage.rows(f'SELECT "Pack__c" FROM "{ENTRY}"') == [(None,)]
    assert ready.org.storage.rows(f'SELECT count(*) FROM "{LINE}"') == [(0,)]


def entry(ready: Reached) -> dict[str, Any]:
    return {"Case__c": ready.cases(1)[0], "Minutes__c": 5, "Work_Date__c": "2026-11-16"}
