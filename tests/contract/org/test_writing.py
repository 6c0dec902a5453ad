"""Writing back: one outcome a change, the fewest calls, and the same end whatever is lost on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sfsync.errors import LeaseLost
from sfsync.mirror.plan import Change, Outcome, Result
from tests.contract.org.reached import Reached, seen_of

PACK = "Maintenance_Pack__c"
ACCOUNT = "Maintenance_Account__c"
CASE = "Case"
DONE = Result.DONE


def new_packs(count: int, start: int = 0, **fields: Any) -> list[Change]:
    return [
        Change(PACK, f"pk:{n:05d}", None, {"plan": "Pro", "bought_minutes": "8.00", **fields})
        for n in range(start, start + count)
    ]


def changed(outcomes: list[Outcome], revision: int = 2, **fields: Any) -> list[Change]:
    return [Change(o.change.object, o.change.key, o.sf_id, fields, revision=revision) for o in outcomes]


def results(outcomes: list[Outcome]) -> Counter[Result]:
    return Counter(o.result for o in outcomes)


def stored(reached: Reached, column: str, sobject: str = PACK) -> dict[str, Any]:
    key = "Sfsync_Key__c" if sobject != CASE else "Id"
    return {
        r[0]: r[1]
        for r in reached.org.storage.rows(f'SELECT "{key}", "{column}" FROM "{sobject}" WHERE "IsDeleted" = 0')
    }


def one_each(outcomes: list[Outcome], changes: list[Change]) -> bool:
    return Counter((o.change.object, o.change.key) for o in outcomes) == Counter((c.object, c.key) for c in changes)


@pytest.fixture
def ready(reached: Reached) -> Reached:
    """An org with three cases that was read once."""
    reached.cases(3)
    reached.sync()
    reached.later(3600)
    return reached


# --- cost -------------------------------------------------------------------------------------------


def test_one_row_costs_one_call_without_composite(ready: Reached) -> None:
    before = ready.calls()
    (outcome,) = ready.write(new_packs(1))
    assert (outcome.result, outcome.created) == (DONE, True)
    assert ready.calls() - before == 1
    assert "sobjects" in ready.session.calls.by_kind


def test_a_thousand_creates_cost_one_call(ready: Reached) -> None:
    before = ready.calls()
    outcomes = ready.write(new_packs(1_000))
    assert results(outcomes) == {DONE: 1_000}
    assert ready.calls() - before == 1


def test_a_thousand_updates_of_several_objects_cost_one_call(ready: Reached) -> None:
    made = ready.write(new_packs(994) + [Change(ACCOUNT, f"acc:{n}", None, {"name": str(n)}) for n in range(3)])
    cases = [Change(CASE, s.key, s.sf_id, {"breached": True}) for (o, _), s in ready.records.items() if o == CASE]
    accounts = [o for o in made if o.change.object == ACCOUNT]
    packs = [o for o in made if o.change.object == PACK]
    changes = [*changed(accounts, sla_plan="Gold"), *changed(packs, used_minutes="1.25"), *cases]
    before = ready.calls()
    outcomes = ready.write(changes)
    assert results(outcomes) == {DONE: 1_000}
    assert ready.calls() - before == 1
    assert set(stored(ready, "SLA_Breached__c", CASE).values()) == {1}


def test_ten_thousand_writes_cost_at_most_ten_calls(ready: Reached) -> None:
    before = ready.calls()
    made = ready.write(new_packs(10_000))
    assert results(made) == {DONE: 10_000}
    assert ready.calls() - before <= 10
    before = ready.calls()
    assert results(ready.write(changed(made, used_minutes="0.50"))) == {DONE: 10_000}
    assert ready.calls() - before <= 10
    assert set(stored(ready, "Hours_Used__c").values()) == {0.5}


# --- parents and children ---------------------------------------------------------------------------


def test_parents_are_written_before_the_children_that_name_them(ready: Reached) -> None:
    children = new_packs(250, account="key:acc:main")
    changes = [*children, Change(ACCOUNT, "acc:main", None, {"name": "Acme"})]
    before = ready.calls()
    outcomes = ready.write(changes)
    assert results(outcomes) == {DONE: 251}
    assert ready.calls() - before == 1
    (account,) = ready.org.storage.rows(f'SELECT "Id" FROM "{ACCOUNT}"')
    assert set(stored(ready, "Maintenance_Account__c").values()) == {account[0]}


def test_a_child_whose_parent_was_refused_waits(ready: Reached) -> None:
    parent = Change(ACCOUNT, "acc:main", None, {"sla_plan": "Tin"})
    (refused, child) = ready.write([parent, *new_packs(1, account="key:acc:main")])
    assert (refused.result, refused.code) == (Result.REJECTED, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert child.result is Result.LATER


def test_a_row_that_points_to_a_case_not_in_the_org_waits_without_a_call(ready: Reached) -> None:
    line = Change("Weekly_Summary_Line__c", "wl:1", None, {"case": "key:ca:elsewhere", "kind": "Work"})
    before = ready.calls()
    (outcome,) = ready.write([line])
    assert outcome.result is Result.LATER
    assert ready.calls() == before


# --- refusals ---------------------------------------------------------------------------------------


def test_one_bad_row_among_many_is_refused_and_the_rest_goes_on(ready: Reached) -> None:
    changes = new_packs(500)
    changes[137] = Change(PACK, "pk:00137", None, {"plan": "Nonsense"})
    outcomes = ready.write(changes)
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 499, Result.REJECTED: 1}
    (bad,) = [o for o in outcomes if o.result is Result.REJECTED]
    assert bad.change.key == "pk:00137"
    assert bad.message == "Type: bad value for restricted picklist field: Nonsense"
    assert bad.advice


def test_an_older_revision_is_refused_by_the_org_and_merged_again(ready: Reached) -> None:
    made = ready.write(new_packs(1))
    ready.write(changed(made, revision=7, used_minutes="2.00"))
    (late,) = ready.write(changed(made, revision=6, used_minutes="1.00"))
    assert (late.result, late.code) == (Result.MOVED, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    assert set(stored(ready, "Hours_Used__c").values()) == {2.0}


def test_a_record_in_the_recycle_bin_is_moved_and_not_made_again(ready: Reached) -> None:
    made = ready.write(new_packs(2))
    ready.org.delete(PACK, str(made[0].sf_id))
    outcomes = ready.write(changed(made, used_minutes="1.00"))
    assert [o.result for o in outcomes] == [Result.MOVED, DONE]
    (alone,) = ready.write(changed(made[:1], used_minutes="1.00"))
    assert alone.result is Result.MOVED
    assert len(stored(ready, "Id")) == 1


def test_null_clears_a_field_and_an_absent_one_is_left_alone(ready: Reached) -> None:
    made = ready.write(new_packs(2, sync_message="hello", status="Active"))
    ready.write(changed(made, sync_message=None))
    assert set(stored(ready, "Sync_Message__c").values()) == {None}
    assert set(stored(ready, "Status__c").values()) == {"Active"}


def test_the_same_record_twice_is_written_in_order(ready: Reached) -> None:
    made = ready.write(new_packs(1))
    changes = [*changed(made, 2, used_minutes="1.00"), *changed(made, 3, used_minutes="2.00")]
    outcomes = ready.write(changes)
    assert results(outcomes) == {DONE: 2}
    assert set(stored(ready, "Hours_Used__c").values()) == {2.0}


def test_writing_to_a_case_does_not_change_its_owner(ready: Reached) -> None:
    owners = stored(ready, "OwnerId", CASE)
    changes = [Change(CASE, s.key, s.sf_id, {"breached": True}) for (o, _), s in ready.records.items() if o == CASE]
    ready.write(changes[:1])
    ready.write(changes)
    assert stored(ready, "OwnerId", CASE) == owners
    sent = [entry for entry in ready.org.journal.entries if entry.method in ("PATCH", "POST")]
    assert sent


@pytest.mark.parametrize("text", ["NA", "None", "#N/A", "00123", "'", 'a "b", c', "two\nlines", "ăâîșț 🙂", "x" * 255])
def test_text_is_written_byte_for_byte(ready: Reached, text: str) -> None:
    made = ready.write(new_packs(2, sync_message=text))
    assert results(made) == {DONE: 2}
    assert set(stored(ready, "Sync_Message__c").values()) == {text}


@pytest.fixture
def tenth(ready: Reached, monkeypatch: pytest.MonkeyPatch) -> Reached:
    """Collections hold a tenth of what Salesforce takes, so that three calls are few rows."""
    monkeypatch.setattr("sfsync.org.transport.COLLECTION", 20)
    return ready


# --- locks, limits, outages -------------------------------------------------------------------------


def test_only_rows_that_met_a_lock_are_sent_again(ready: Reached) -> None:
    made = ready.write(new_packs(50))
    ready.faults({"kind": "row_lock", "record": made[7].sf_id, "times": 2})
    before = ready.calls()
    outcomes = ready.write(changed(made, used_minutes="1.00"))
    assert results(outcomes) == {DONE: 50}
    assert ready.calls() - before == 3


def test_a_lock_that_stays_leaves_the_row_for_later(ready: Reached) -> None:
    made = ready.write(new_packs(3))
    ready.faults({"kind": "row_lock", "record": made[1].sf_id})
    outcomes = ready.write(changed(made, used_minutes="1.00"))
    assert results(outcomes) == {DONE: 2, Result.LATER: 1}
    (locked,) = [o for o in outcomes if o.result is Result.LATER]
    assert locked.code == "UNABLE_TO_LOCK_ROW"


def test_a_used_up_limit_stops_cleanly_with_every_row_for_later(tenth: Reached) -> None:
    tenth.faults({"kind": "daily_limit", "path": "composite", "calls": [2, 3, 4]})
    changes = new_packs(250)
    outcomes = tenth.write(changes)
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 100, Result.LATER: 150}
    assert {o.code for o in outcomes if o.result is Result.LATER} == {"REQUEST_LIMIT_EXCEEDED"}


def test_the_budget_bounds_the_calls_of_a_run(tenth: Reached) -> None:
    changes = new_packs(250)
    outcomes = tenth.write(changes, calls=2)
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 200, Result.LATER: 50}
    assert {o.code for o in outcomes if o.result is Result.LATER} == {"API_BUDGET"}


def test_a_deadline_leaves_the_rest_for_later(ready: Reached) -> None:
    outcomes = ready.write(new_packs(10), deadline=ready.clock.monotonic())
    assert {o.code for o in outcomes} == {"DEADLINE"}


def test_each_request_that_writes_is_allowed_first_and_none_that_reads(ready: Reached) -> None:
    asked: list[int] = []
    ready.session.before_write = lambda: asked.append(ready.calls())
    ready.sync()
    assert asked == []
    before = ready.calls()
    ready.write(new_packs(1500))
    assert asked == list(range(before, ready.calls()))
    assert len(asked) > 1


def test_a_run_that_may_not_write_any_more_sends_nothing(ready: Reached) -> None:
    def lost() -> None:
        raise LeaseLost("another run has taken it over")

    ready.session.before_write = lost
    before = ready.calls()
    with pytest.raises(LeaseLost):
        ready.write(new_packs(3))
    assert ready.calls() == before
    assert stored(ready, "Plan__c") == {}


def test_a_request_that_writes_is_given_up_when_its_time_is_over(ready: Reached) -> None:
    ready.session.before_write = lambda: 30.0
    ready.faults({"kind": "slow", "path": "composite", "seconds": 100})
    began = ready.clock.monotonic()
    outcomes = ready.write(new_packs(300))
    assert results(outcomes) == {Result.LATER: 300}
    waited = ready.clock.monotonic() - began
    assert 4 * 30 <= waited < 4 * 30 + 10, "four tries, each for its thirty seconds"


def test_an_outage_leaves_every_row_for_later(ready: Reached) -> None:
    ready.faults({"kind": "unavailable"})
    outcomes = ready.write(new_packs(300))
    assert results(outcomes) == {Result.LATER: 300}


@pytest.mark.parametrize("kind", ["reset_after", "timeout_after", "cut_body", "server_error", "session", "duplicate"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_lost_answer_makes_no_twin_and_loses_no_outcome(tenth: Reached, kind: str, k: int) -> None:
    """The connection is cut after the org applied the k-th call: the same requests are sent again."""
    changes = [*new_packs(250, account="key:acc:main"), Change(ACCOUNT, "acc:main", None, {"name": "Acme"})]
    tenth.faults({"kind": kind, "path": "composite", "calls": [k]})
    outcomes = tenth.write(changes)
    assert tenth.org.faults.rules[0].struck == 1
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 251}
    rows = tenth.org.storage.rows(f'SELECT count(*), count(DISTINCT "Sfsync_Key__c") FROM "{PACK}"')
    assert rows == [(250, 250)]


def test_a_lost_answer_to_a_single_create_makes_no_twin(ready: Reached) -> None:
    ready.faults({"kind": "reset_after", "method": "PATCH", "calls": [1]})
    (outcome,) = ready.write(new_packs(1))
    assert outcome.result is DONE
    assert outcome.sf_id
    assert len(stored(ready, "Id")) == 1


# --- Bulk -------------------------------------------------------------------------------------------


@pytest.fixture
def few(ready: Reached, monkeypatch: pytest.MonkeyPatch) -> Reached:
    """Bulk begins at 100 rows."""
    monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 100)
    return ready


def test_bulk_and_composite_write_the_same(few: Reached) -> None:
    texts = ["NA", "None", "00123", 'a "b", c', "two\nlines", "ăâîșț 🙂", None]
    changes = [
        Change(PACK, f"pk:{n:05d}", None, {"plan": "Pro", "sync_message": texts[n % 7], "unit_price_amount": "12.30"})
        for n in range(210)
    ]
    outcomes = few.write([Change(ACCOUNT, "acc:main", None, {"name": "Acme"}), *changes])
    assert results(outcomes) == {DONE: 211}
    assert few.session.calls.by_kind["jobs/ingest"]
    assert stored(few, "Sync_Message__c") == {f"pk:{n:05d}": texts[n % 7] for n in range(210)}
    assert set(stored(few, "Unit_Price__c").values()) == {12.3}
    assert set(stored(few, "Sfsync_Revision__c").values()) == {1}


def test_rows_of_a_bulk_job_that_write_different_fields_leave_the_others_alone(few: Reached) -> None:
    made = few.write(new_packs(120, sync_message="keep", status="Active"))
    changes = [
        Change(PACK, o.change.key, o.sf_id, {"sync_message": None} if n % 2 else {"status": "Expired"}, revision=2)
        for n, o in enumerate(made)
    ]
    assert results(few.write(changes)) == {DONE: 120}
    assert Counter(stored(few, "Sync_Message__c").values()) == {"keep": 60, None: 60}
    assert Counter(stored(few, "Status__c").values()) == {"Active": 60, "Expired": 60}


def test_text_that_means_null_in_bulk_travels_by_composite(few: Reached) -> None:
    changes = [Change(PACK, f"pk:{n:05d}", None, {"sync_message": "#N/A" if n == 5 else "x"}) for n in range(150)]
    assert results(few.write(changes)) == {DONE: 150}
    assert stored(few, "Sync_Message__c")["pk:00005"] == "#N/A"


def test_refused_rows_of_a_bulk_job_are_told_apart(few: Reached) -> None:
    changes = new_packs(200)
    changes[50] = Change(PACK, "pk:00050", None, {"plan": "Nonsense"})
    outcomes = few.write(changes)
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 199, Result.REJECTED: 1}
    (bad,) = [o for o in outcomes if o.result is Result.REJECTED]
    assert (bad.change.key, bad.code) == ("pk:00050", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert all(o.sf_id for o in outcomes if o.result is DONE)


def test_a_failed_job_keeps_what_it_committed_and_the_rest_is_sent_again(few: Reached) -> None:
    few.faults({"kind": "job_failed", "times": 1})
    changes = new_packs(300)
    outcomes = few.write(changes)
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 300}
    assert len(stored(few, "Id")) == 300


@pytest.mark.parametrize("kind", ["reset_after", "cut_body", "unavailable", "session"])
@pytest.mark.parametrize("k", range(1, 7))
def test_a_bulk_job_survives_a_fault_at_any_of_its_calls(few: Reached, kind: str, k: int) -> None:
    changes = new_packs(150)
    changes[3] = Change(PACK, "pk:00003", None, {"plan": "Nonsense"})
    few.faults({"kind": kind, "path": "jobs", "calls": [k]})
    outcomes = few.write(changes)
    assert few.org.faults.rules[0].struck == 1
    assert one_each(outcomes, changes)
    assert results(outcomes) == {DONE: 149, Result.REJECTED: 1}
    assert len(stored(few, "Id")) == 149


# --- what people write too ---------------------------------------------------------------------------


def estimate(ready: Reached, count: int = 1) -> list[Change]:
    """Return changes to the status of estimates that people wrote an hour ago."""
    case = next(s.sf_id for (o, _), s in ready.records.items() if o == CASE)
    values = {"Case__c": case, "Minutes__c": 60, "Status__c": "Draft"}
    ready.org.insert("Maintenance_Estimate__c", [values] * count)
    ready.later(3600)
    return [
        Change(s.object, s.key, s.sf_id, {"status": "Expired"}, revision=1)
        for s in seen_of(ready.sync(), "Maintenance_Estimate__c")
    ]


def stamps(ready: Reached) -> dict[str, Any]:
    return {s.sf_id: s.stamp for (o, _), s in ready.records.items() if o == "Maintenance_Estimate__c"}


@pytest.mark.parametrize("count", [1, 30])
def test_a_record_that_a_person_changed_meanwhile_is_merged_again(ready: Reached, count: int) -> None:
    changes = estimate(ready, count)
    ready.org.update("Maintenance_Estimate__c", str(changes[0].sf_id), {"Status__c": "Withdrawn"})
    before = ready.calls()
    outcomes = ready.write(changes, unless_changed=stamps(ready))
    assert one_each(outcomes, changes)
    assert results(outcomes) == Counter({Result.MOVED: 1, DONE: count - 1})
    rows = ready.org.storage.rows('SELECT "Status__c", count(*) FROM "Maintenance_Estimate__c" GROUP BY 1')
    assert dict(rows) == ({"Withdrawn": 1, "Expired": count - 1} if count > 1 else {"Withdrawn": 1})
    assert ready.calls() - before == (1 if count == 1 else 2)


def test_a_record_that_a_person_changed_a_moment_ago_waits_without_a_call(ready: Reached) -> None:
    changes = estimate(ready)
    ready.org.update("Maintenance_Estimate__c", str(changes[0].sf_id), {"Minutes__c": 90})
    ready.later(5)
    ready.sync()
    before = ready.calls()
    (outcome,) = ready.write(changes, unless_changed=stamps(ready))
    assert outcome.result is Result.LATER
    assert ready.calls() == before
    ready.later(600)
    (outcome,) = ready.write(changes, unless_changed=stamps(ready))
    assert outcome.result is DONE


# --- echo -------------------------------------------------------------------------------------------


def test_what_was_written_comes_back_as_it_was_sent(ready: Reached) -> None:
    fields = {
        "plan": "Flexi", "bought_minutes": "40.00", "unit_price_amount": "400.00", "currency": "EUR",
        "activated_on": "2026-11-01", "extended": True, "purchase_seq": 12, "sync_message": "ok", "packs_bought": None,
    }  # fmt: skip
    ready.write([Change(PACK, "pk:one", None, fields)])
    ready.later()
    (seen,) = seen_of(ready.sync(), PACK)
    assert {name: seen.wire[name] for name in fields} == fields
    assert seen.key == "pk:one"
    assert seen.revision == 1
