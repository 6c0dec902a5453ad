"""Complaints 23 to 30: limits that were hit, and calls that were wasted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests

from sfsync.errors import OrgBusy
from sfsync.localorg.faults import Faults
from sfsync.mirror.plan import Change, Outcome, Result
from tests.complaints.scene import CASE, DAY, HOUR, MINUTE, PACK, alive, between, bodies, equal, quiet, refusal
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


def packs(count: int) -> list[Change]:
    return [Change(PACK, f"pk:{n:05d}", None, {"plan": "Pro", "bought_minutes": "8.00"}) for n in range(count)]


def changed(outcomes: list[Outcome]) -> list[Change]:
    return [Change(o.change.object, o.change.key, o.sf_id, {"used_minutes": "0.50"}, revision=2) for o in outcomes]


def known(reached: Reached) -> set[str]:
    return {seen.sf_id for (o, _), seen in reached.records.items() if o == CASE}


def test_complaint_23_a_used_up_day_is_no_success_and_loses_no_place(stage: Stage) -> None:
    cases = {stage.case(Subject=str(n)) for n in range(20)}
    stage.org.faults = Faults.of([{"kind": "daily_limit", "path": "composite", "calls": list(range(2, 50))}])
    with pytest.raises(OrgBusy):
        stage.runtime.sync("acme")
    [run] = stage.runtime.store.runs("acme", "acme", limit=1)
    assert (run.state, alive(stage, CASE)) == ("failed", set())
    [row] = stage.runtime.store.orgs()
    assert row.state != "paused", "a limit passes by itself"
    stage.org.faults = Faults()
    quiet(stage)
    assert alive(stage, CASE) == cases
    equal(stage)


def test_complaint_23_a_limit_in_the_middle_of_a_read_keeps_what_was_read(reached: Reached) -> None:
    made = set(reached.cases(2_400))
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later(HOUR)
    reached.faults({"kind": "daily_limit", "path": "composite", "calls": list(range(5, 90))})
    with pytest.raises(OrgBusy):
        reached.sync()
    kept = known(reached)
    assert 0 < len(kept) < 2_400
    assert reached.bookmarks[CASE].read_to is None, "the bookmark claims what was not read"
    reached.faults()
    reached.later(DAY)
    assert not any(seen.sf_id in kept for page in reached.sync() for seen in page.seen), "read again"
    assert known(reached) == made


def test_complaint_24_a_day_of_polls_starts_no_bulk_job(reached: Reached) -> None:
    cases = reached.cases(30)
    for n in range(96):
        reached.later(15 * MINUTE)
        reached.org.update(CASE, cases[n % 30], {"Subject": f"{n}"})
        reached.sync()
    assert not any("/jobs/" in entry.path for entry in reached.org.journal.entries)
    assert reached.calls() <= 100


def test_complaint_25_without_bulk_jobs_left_the_load_goes_by_pages_and_returns_to_bulk_later(
    reached: Reached,
) -> None:
    made = set(reached.cases(60))
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=20)
    spent = "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10000)"

    def refuse(request: requests.PreparedRequest) -> requests.Response | None:
        started = request.method == "POST" and str(request.url).endswith("/jobs/query")
        return refusal(request, "LIMIT_EXCEEDED", spent) if started else None

    adapter.before = refuse
    reached.sync()
    assert known(reached) == made
    assert reached.bookmarks[CASE].checkpoint == ""
    reached.later(DAY)
    for case in made:
        reached.org.update(CASE, case, {"Subject": "changed"})
    reached.later()
    adapter = between(reached, bulk_above_rows=20)
    reached.sync()
    assert sum(url.endswith("/jobs/query") for _, url, _ in adapter.sent), "the way by Bulk was given up for good"
    assert {seen.wire["subject"] for (o, _), seen in reached.records.items() if o == CASE} == {"changed"}


def test_complaint_26_long_empty_times_cost_no_more_calls_than_short_ones(reached: Reached) -> None:
    reached.org.seed_rows(CASE, [{"Subject": "old", "SystemModstamp": "2009-03-01T08:00:00Z"}])
    reached.sync()
    first = reached.calls()
    assert first <= 3, "seventeen empty years were asked for in windows"
    for days in (1, 10, 25):
        reached.later(days * DAY)
        reached.session = reached.connect()  # the session of days ago has ended
        reached.tokens.save("acme", replace(reached.session.login(), access_token=""))
        reached.session = reached.connect()
        reached.sync()
        assert reached.calls() == 1


def test_complaint_27_no_collection_is_larger_than_200_rows(reached: Reached) -> None:
    reached.sync()
    adapter = between(reached)
    made = reached.write(packs(701))
    reached.write(changed(made))
    sizes = [
        len(sub["body"]["records"])
        for body in bodies(adapter, "POST", "/composite")
        for sub in body["compositeRequest"]
        if "records" in (sub.get("body") or {})
    ]
    assert max(sizes) <= 200
    assert sum(sizes) >= 1_400
    assert {o.result for o in made} == {Result.DONE}


def test_complaint_28_three_hundred_changed_rows_are_one_call(reached: Reached) -> None:
    reached.sync()
    made = reached.write(packs(300))
    before = reached.calls()
    assert {o.result for o in reached.write(changed(made))} == {Result.DONE}
    assert reached.calls() - before == 1


def test_complaint_29_one_request_is_under_way_at_a_time_and_a_refusal_for_too_many_passes(reached: Reached) -> None:
    reached.cases(500)
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later()
    adapter = between(reached)
    under_way: list[int] = [0, 0]

    def enter(request: requests.PreparedRequest) -> None:
        under_way[0] += 1
        under_way[1] = max(under_way)

    def leave(request: requests.PreparedRequest, answer: requests.Response) -> None:
        under_way[0] -= 1

    adapter.before, adapter.after = enter, leave
    reached.faults({"kind": "concurrent_limit", "path": "composite", "calls": [2, 3]})
    reached.sync()
    assert reached.org.faults.rules[0].struck == 2
    assert under_way == [0, 1]
    assert len(known(reached)) == 500


def test_complaint_30_many_runs_of_many_workers_log_in_once(stage: Stage) -> None:
    for _ in range(6):
        stage.runtime.sync("acme")
        stage.later(minutes=15)
    stage.runtime.audit("acme")
    assert sum("oauth2/token" in entry.path for entry in stage.org.journal.entries) == 1
