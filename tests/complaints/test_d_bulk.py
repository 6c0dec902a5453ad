"""Complaints 31 to 43: Bulk jobs that failed, hung or lost rows, and rows that others had locked."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from sfsync.localorg.faults import Faults
from sfsync.mirror.plan import Change, Outcome, Result
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from tests.complaints.scene import ACCOUNT, CASE, ENTRY, HOUR, PACK, between, bodies, equal, quiet, refusal
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


def packs(count: int, **fields: Any) -> list[Change]:
    given = {"plan": "Pro", "bought_minutes": "8.00", **fields}
    return [Change(PACK, f"pk:{n:05d}", None, given) for n in range(count)]


def changed(outcomes: list[Outcome]) -> list[Change]:
    return [Change(o.change.object, o.change.key, o.sf_id, {"used_minutes": "0.50"}, revision=2) for o in outcomes]


def known(reached: Reached) -> set[str]:
    return {seen.sf_id for (o, _), seen in reached.records.items() if o == CASE}


def stored(reached: Reached, column: str) -> dict[str, Any]:
    return dict(reached.org.storage.rows(f'SELECT "Sfsync_Key__c", "{column}" FROM "{PACK}" WHERE "IsDeleted" = 0'))


def once_each(outcomes: list[Outcome], changes: list[Change]) -> bool:
    return Counter(o.change.key for o in outcomes) == Counter(c.key for c in changes)


@pytest.fixture
def ready(reached: Reached) -> Reached:
    """An org that was read once."""
    reached.sync()
    reached.later(HOUR)
    return reached


@pytest.fixture
def few(ready: Reached, monkeypatch: pytest.MonkeyPatch) -> Reached:
    """Bulk ingest begins at 50 rows."""
    monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 50)
    return ready


def test_complaint_31_a_job_that_is_stuck_is_left_and_the_rows_are_read_by_pages(reached: Reached) -> None:
    made = set(reached.cases(60))
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=20)
    reached.faults({"kind": "job_stuck"})
    began = reached.clock.now()
    reached.sync()
    assert reached.org.faults.rules[0].struck
    assert known(reached) == made
    assert (reached.clock.now() - began).total_seconds() < HOUR, "waited for more than one such job"


def too_slow(reached: Reached, message: str) -> Callable[[requests.PreparedRequest, requests.Response], None]:
    """Refuse every query of cases that asks for all of them at once."""
    from tests.complaints.scene import answered

    def refuse(request: requests.PreparedRequest, answer: requests.Response) -> None:
        if not str(request.url).endswith("/composite"):
            return
        asked, given = adapter.sent[-1][2]["compositeRequest"], answer.json()
        for one, got in zip(asked, given["compositeResponse"], strict=True):
            if "FROM%20Case" in one["url"] and "LIMIT" not in one["url"] and "queryAll" in one["url"]:
                got |= {"httpStatusCode": 400, "body": [{"errorCode": "QUERY_TIMEOUT", "message": message}]}
        answered(answer, answer.status_code, given)

    adapter = between(reached)
    adapter.after = refuse
    return refuse


def test_complaint_32_a_query_that_times_out_is_read_in_steps_by_id_even_within_one_second(reached: Reached) -> None:
    stamp = "2026-11-15T10:00:00Z"
    made = set(reached.org.seed_rows(CASE, [{"Subject": str(n), "SystemModstamp": stamp} for n in range(2_300)]))
    reached.later(HOUR)
    too_slow(reached, "Your query request was running for too long.")
    reached.sync()
    assert known(reached) == made


def test_complaint_33_a_load_that_was_killed_uses_the_job_that_has_finished(reached: Reached) -> None:
    made = set(reached.cases(60))
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=20)
    ids = reached.ids()
    checked = preflight(reached.session, reached.mappings, reached.bookmarks, ids)
    pages = extract(reached.session, reached.mappings, reached.bookmarks, ids, checked)
    while "job" not in (reached.bookmarks[CASE].checkpoint if CASE in reached.bookmarks else ""):
        reached.absorb(next(pages))
    pages.close()
    assert known(reached) == set()
    adapter = between(reached, bulk_above_rows=20)
    reached.sync()
    again = [b["query"] for m, url, b in adapter.sent if m == "POST" and url.endswith("jobs/query")]
    assert not any("FROM Case " in f"{query} " for query in again), "the records' job was started again"
    assert known(reached) == made


def test_complaint_34_one_row_needs_no_job_and_no_waiting(ready: Reached) -> None:
    adapter = between(ready, bulk_above_rows=1)
    before = ready.clock.monotonic()
    [outcome] = ready.write(packs(1))
    ready.cases(1)
    ready.sync()
    assert outcome.result is Result.DONE
    assert not any("/jobs/" in url for _, url, _ in adapter.sent)
    assert ready.clock.monotonic() == before


@pytest.mark.parametrize("message", ["exceeded the time limit", "Tiempo de espera agotado", ""])
def test_complaint_35_a_time_out_is_known_by_its_code_whatever_its_words(reached: Reached, message: str) -> None:
    made = set(reached.cases(30))
    reached.later(HOUR)
    too_slow(reached, message)
    reached.sync()
    assert known(reached) == made


def test_complaint_36_rows_that_a_job_did_not_process_are_sent_and_not_called_failed(
    few: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = packs(120)
    few.faults({"kind": "job_failed", "times": 1})
    outcomes = few.write(changes)
    assert few.org.faults.rules[0].struck == 1
    assert once_each(outcomes, changes)
    assert {o.result for o in outcomes} == {Result.DONE}
    assert len(stored(few, "Id")) == 120


def test_complaint_37_the_rows_of_one_parent_travel_together(ready: Reached) -> None:
    cases = ready.cases(8)
    entries = ready.org.insert(
        ENTRY, [{"Case__c": cases[n % 8], "Minutes__c": 5, "Work_Date__c": "2026-11-16"} for n in range(400)]
    )
    adapter = between(ready)
    changes = [
        Change(ENTRY, f"te:{n}", entry, {"sync_message": "x"}, parent=cases[n % 8]) for n, entry in enumerate(entries)
    ]
    assert {o.result for o in ready.write(changes)} == {Result.DONE}
    parent = {entry: cases[n % 8] for n, entry in enumerate(entries)}
    sent = [
        parent[row["id"]]
        for body in bodies(adapter, "POST", "/composite")
        for sub in body["compositeRequest"]
        for row in sub["body"]["records"]
    ]
    assert len(sent) == 400
    assert len([key for key, _ in itertools.groupby(sent)]) == 8, "rows of one parent lie apart and can lock each other"


def test_complaint_38_only_the_rows_that_met_a_lock_are_sent_again(ready: Reached) -> None:
    made = ready.write(packs(100))
    adapter = between(ready)
    for locked in (made[3], made[70]):
        ready.org.faults.rules += Faults.of([{"kind": "row_lock", "record": locked.sf_id, "times": 2}]).rules
    outcomes = ready.write(changed(made))
    assert {o.result for o in outcomes} == {Result.DONE}
    ids = Counter(row for body in [b for _, _, b in adapter.sent if b] for row in _ids(body))
    assert set(ids) == {o.sf_id for o in made}
    sent_again = {sf_id for sf_id, count in ids.items() if count > 1}
    by_path = {o.sf_id for o in made if any(f"/{o.sf_id}" in url for _, url, _ in adapter.sent)}
    assert sent_again | by_path == {made[3].sf_id, made[70].sf_id}


def _ids(body: Any) -> list[str]:
    """Return the ids of the records in a composite body or a collection."""
    found = []
    for sub in body.get("compositeRequest", [{"body": body, "url": ""}]):
        inner = sub.get("body") or {}
        found += [row["id"] for row in inner.get("records", ())]
        if not inner.get("records") and "/sobjects/" in sub["url"]:
            found.append(sub["url"].rsplit("/", 1)[-1])
    return found


def test_complaint_39_locks_on_a_third_of_many_rows_lose_none(ready: Reached) -> None:
    made = ready.write(packs(1_500))
    ready.org.faults = Faults.of({"seed": 39, "rules": [{"kind": "row_lock", "probability": 0.37}]})
    changes = changed(made)
    outcomes = ready.write(changes)
    assert ready.org.faults.rules[0].struck > 500
    assert once_each(outcomes, changes)
    assert {o.result for o in outcomes} <= {Result.DONE, Result.LATER}
    late = {o.change.key for o in outcomes if o.result is Result.LATER}
    assert len(late) < 30, "6 tries leave 0.37 ** 6 of them: 4 rows"
    assert {key for key, hours in stored(ready, "Hours_Used__c").items() if hours != 0.5} == late
    ready.faults()
    assert {o.result for o in ready.write([c for c in changes if c.key in late])} <= {Result.DONE}
    assert set(stored(ready, "Hours_Used__c").values()) == {0.5}


def test_complaint_40_results_in_any_order_are_matched_by_our_key(few: Reached) -> None:
    changes = packs(90)
    changes[40] = Change(PACK, "pk:00040", None, {"plan": "Nonsense"})
    outcomes = few.write(changes)
    assert few.session.calls.by_kind["jobs/ingest"]
    keys = {r[0]: r[1] for r in few.org.storage.rows(f'SELECT "Id", "Sfsync_Key__c" FROM "{PACK}"')}
    done = [o for o in outcomes if o.result is Result.DONE]
    assert {o.sf_id: o.change.key for o in done} == keys
    assert [o.change.key for o in outcomes if o.result is Result.REJECTED] == ["pk:00040"]
    assert [o.change.key for o in done] != sorted(o.change.key for o in done), "the org's order said nothing"


def test_complaint_41_a_refused_row_is_refused_once_and_never_among_the_done(few: Reached) -> None:
    changes = packs(80)
    for n in (0, 33, 79):
        changes[n] = Change(PACK, f"pk:{n:05d}", None, {"plan": "Nonsense"})
    for _ in range(2):  # the whole run is repeated, as after a crash
        outcomes = few.write(changes)
        assert once_each(outcomes, changes)
        assert {o.change.key for o in outcomes if o.result is Result.REJECTED} == {"pk:00000", "pk:00033", "pk:00079"}
        assert len(stored(few, "Id")) == 77
    assert few.org.storage.rows(f'SELECT count(*) FROM "{PACK}"') == [(77,)]


def test_complaint_42_an_object_that_bulk_does_not_serve_is_read_by_pages_and_the_others_by_bulk(
    reached: Reached,
) -> None:
    made = set(reached.cases(60))
    reached.org.insert(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(60)])
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=20)

    def refuse(request: requests.PreparedRequest) -> requests.Response | None:
        body = adapter.sent[-1][2] or {}
        if " FROM Case" in body.get("query", ""):
            return refusal(request, "INVALIDENTITY", "Entity 'Case' is not supported by the Bulk API.")
        return None

    adapter.before = refuse
    reached.sync()
    assert known(reached) == made
    assert sum(o == PACK for o, _ in reached.records) == 60
    assert any("/jobs/query/" in url for _, url, _ in adapter.sent), "Bulk was given up for every object"


def test_complaint_43_a_run_ends_although_the_last_words_of_its_job_were_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 3)
    for n in range(5):
        stage.buy("flexi", 1, key=f"pk:{n}")
    stage.org.faults = Faults.of([{"kind": "timeout_after", "path": "jobs/ingest/[^/]+$", "method": "GET", "times": 2}])
    report = stage.sync()
    assert stage.org.faults.rules[0].struck == 2
    stage.org.faults = Faults()
    [run] = stage.runtime.store.runs("acme", "acme", limit=1)
    assert (run.state, report.later, report.created) == ("done", 0, 6)
    assert len(stage.rows(PACK)) == 5
    assert len(stage.rows(ACCOUNT)) == 1
    quiet(stage)
    equal(stage)
