"""Complaints 15 to 22: deletes that never arrived, and deletes that never happened."""

from __future__ import annotations

import logging

import pytest
import requests

from tests.complaints.scene import CASE, ENTRY, HOUR, LINE, alive, answered, between, equal, links, quiet
from tests.contract.org.reached import Reached, seen_of
from tests.e2e.stage import Stage


def worked(stage: Stage) -> list[str]:
    """Three entries of 30 minutes on an approved case, synced; return their ids."""
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    entries = [stage.log(case, 30) for _ in range(3)]
    quiet(stage)
    return entries


def balance(stage: Stage) -> int:
    return sum(stage.runtime.store.balances("acme").values())


def test_complaint_15_a_hard_delete_is_reflected_and_what_no_list_names_is_found_by_the_audit(stage: Stage) -> None:
    entries = worked(stage)
    stage.org.delete(ENTRY, entries[0], hard=True)
    quiet(stage)
    assert alive(stage, ENTRY) == set(entries[1:])
    with stage.org.storage.unit():
        stage.org.storage.remove(ENTRY, [entries[1]])  # gone without a trace
    quiet(stage)
    assert alive(stage, ENTRY) == set(entries[1:])
    certificate, _ = stage.runtime.audit("acme", repair=True)
    assert [d.sf_id for d in certificate.differences] == [entries[1]]
    stage.later(minutes=1)
    quiet(stage)
    assert balance(stage) == 2400 - 30
    equal(stage)


def test_complaint_16_an_object_whose_rows_are_only_ever_hard_deleted_is_followed(reached: Reached) -> None:
    made = reached.org.insert(LINE, [{"Sfsync_Key__c": f"wl:{n}", "Kind__c": "Work"} for n in range(6)])
    reached.sync()
    for gone in made[:5]:
        reached.later(HOUR)
        reached.org.delete(LINE, gone, hard=True)
        reached.later()
        reached.sync()
        assert gone not in {s.sf_id for s in reached.records.values()}
    assert {s.sf_id for (o, _), s in reached.records.items() if o == LINE} == {made[5]}


def test_complaint_17_a_delete_comes_with_the_next_poll_for_one_call(reached: Reached) -> None:
    cases = reached.cases(300)
    for _ in range(2):
        reached.sync()
        reached.later(HOUR)
    reached.org.delete(CASE, cases[7])
    reached.later()
    before = reached.calls()
    seen = seen_of(reached.sync(), CASE)
    assert [(one.sf_id, one.deleted) for one in seen] == [(cases[7], True)]
    assert reached.calls() - before == 1


def test_complaint_18_a_deleted_record_stays_as_a_tombstone_with_its_time(stage: Stage) -> None:
    entries = worked(stage)
    stage.later(hours=5)
    deleted_at = stage.clock.now()
    stage.org.delete(ENTRY, entries[0])
    quiet(stage)
    link = links(stage, ENTRY)[entries[0]]
    assert (link.deleted, link.stamp) == (True, deleted_at)
    assert link.remote["worked_minutes"] == 30, "its last values are gone"
    postings = stage.runtime.store.postings("acme")
    assert [(p.kind.value, p.minutes) for p in postings][-1] == ("reversal", 30)


def test_complaint_19_a_record_in_the_recycle_bin_can_come_back_as_it_was(stage: Stage) -> None:
    entries = worked(stage)
    before = links(stage, ENTRY)[entries[0]]
    stage.org.delete(ENTRY, entries[0])
    quiet(stage)
    assert entries[0] in links(stage, ENTRY)
    stage.org.undelete(entries[0])
    quiet(stage)
    after = links(stage, ENTRY)[entries[0]]
    assert (after.key, after.deleted, after.remote["worked_minutes"]) == (before.key, False, 30)
    assert balance(stage) == 2400 - 90
    equal(stage)


def test_complaint_20_after_an_outage_longer_than_the_orgs_memory_the_audit_finds_the_deletes(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    entries = worked(stage)
    stage.org.delete(ENTRY, entries[2], hard=True)
    stage.later(days=20)
    with caplog.at_level(logging.WARNING):
        quiet(stage)
    assert "run an audit" in caplog.text
    certificate, _ = stage.runtime.audit("acme", repair=True)
    assert {d.sf_id for d in certificate.differences} <= {entries[2]}
    stage.later(minutes=1)
    quiet(stage)
    assert alive(stage, ENTRY) == set(entries[:2])
    assert balance(stage) == 2400 - 60
    equal(stage)


@pytest.mark.parametrize("by", ["queried", "watched"])
def test_complaint_21_a_record_that_is_named_deleted_and_is_not_stays(reached: Reached, by: str) -> None:
    sobject = CASE if by == "queried" else LINE
    made = reached.cases(2) if sobject == CASE else reached.org.insert(LINE, [{"Sfsync_Key__c": "wl:1"}])
    reached.sync()
    reached.later(HOUR)
    adapter = between(reached)
    told: list[str] = []

    def tell(request: requests.PreparedRequest, answer: requests.Response) -> None:
        if not str(request.url).endswith("/composite"):
            return
        asked, body = adapter.sent[-1][2]["compositeRequest"], answer.json()
        for one, sub in zip(asked, body["compositeResponse"], strict=True):
            if f"/{sobject}/deleted/" in one["url"]:
                sub["body"]["deletedRecords"] = [{"id": made[0], "deletedDate": "2026-11-16T10:00:00.000+0000"}]
                told.append(made[0])
        answered(answer, answer.status_code, body)

    adapter.after = tell
    pages = reached.sync()
    assert told
    assert all(gone != made[0] for page in pages if page.object == sobject for gone, _ in page.hard_deleted)
    assert not any(seen.deleted for seen in seen_of(pages, sobject))
    assert made[0] in {seen.sf_id for seen in reached.records.values()}


def test_complaint_22_deleted_records_are_synced(line: Stage) -> None:
    entries = worked(line)
    line.org.delete(ENTRY, entries[0])
    line.org.delete(ENTRY, entries[1])
    line.org.undelete(entries[1])
    quiet(line)
    assert alive(line, ENTRY) == {entries[1], entries[2]}
    equal(line)
