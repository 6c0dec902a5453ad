"""The line end to end: what a client, a consultant and the consultancy see after a sync."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.clock import seeded
from sfsync.errors import AccessDenied, PlanMoved, SafetyStop, WrongOrg
from sfsync.mirror.plan import plan_data, plan_of
from sfsync.org.tokens import MemoryTokens
from sfsync.records import Adjustment
from sfsync.rules.evaluate import Evaluation
from sfsync.rules.postings import posting_of
from tests.e2e.stage import CLIENT, CONSULTANT, Stage, iso


def settled(stage: Stage) -> None:
    """Sync until nothing is left to say."""
    for _ in range(4):
        report = stage.sync()
        stage.later(minutes=20)
    assert (report.wrote, report.absorbed) == (0, 0)


def test_a_second_sync_with_no_change_writes_nothing_and_costs_one_call(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 360))
    stage.log(case, 90)
    settled(stage)
    again = stage.sync()
    assert (again.wrote, again.absorbed, again.refused, again.calls, again.evaluated) == (0, 0, 0, 1, False)


def test_an_approval_reserves_and_work_turns_the_reservation_into_deduction(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    estimate = stage.estimate(case, 360)
    stage.sync()
    assert stage.shown("Maintenance_Estimate__c", estimate)["Balance_After__c"] == 34.0
    stage.approve(estimate)
    stage.sync()
    [pack] = stage.rows("Maintenance_Pack__c")
    assert (pack["Hours_Remaining__c"], pack["Hours_Reserved__c"], pack["Hours_Free__c"]) == (40.0, 6.0, 34.0)
    entry = stage.log(case, 90)
    stage.sync()
    [pack] = stage.rows("Maintenance_Pack__c")
    assert (pack["Hours_Remaining__c"], pack["Hours_Reserved__c"], pack["Hours_Free__c"]) == (38.5, 4.5, 34.0)
    shown = stage.shown("Time_Entry__c", entry)
    assert (shown["State__c"], shown["Pack__c"]) == ("Counted", pack["Id"])
    [account] = stage.rows("Maintenance_Account__c")
    assert (account["Balance_Hours__c"], account["Reserved_Hours__c"], account["Free_Hours__c"]) == (38.5, 4.5, 34.0)
    assert stage.shown("Case", case)["Maint_Minutes_Logged__c"] == 90


def test_a_decision_taken_down_for_the_client_reaches_the_org_and_reserves(stage: Stage) -> None:
    stage.buy("flexi", 5)
    estimate = stage.estimate(stage.case(), 360)
    stage.sync()
    [key] = stage.runtime.store.facts("acme").estimates
    values = {"status": "Approved", "decided_at": stage.clock.now()}
    said = Evaluation(fields={("Estimate", key): values})
    stage.runtime.store.amend("acme", stage.runtime.client("acme").mappings, said, stage.clock.now())
    settled(stage)
    assert stage.shown("Maintenance_Estimate__c", estimate)["Status__c"] == "Approved"
    [pack] = stage.rows("Maintenance_Pack__c")
    assert (pack["Hours_Remaining__c"], pack["Hours_Reserved__c"]) == (40.0, 6.0)
    assert stage.runtime.store.quarantined("acme") == []


def test_work_without_an_approval_is_held_and_the_consultant_is_told_on_the_entry(stage: Stage) -> None:
    stage.buy("flexi", 5)
    entry = stage.log(stage.case(), 90)
    stage.sync()
    shown = stage.shown("Time_Entry__c", entry)
    assert shown["State__c"] == "Waiting for approval"
    assert shown["Sync_Message__c"] == "No approved estimate covers this case. 1.50 h wait."
    [account] = stage.rows("Maintenance_Account__c")
    assert account["Balance_Hours__c"] == 40.0


def test_an_unanswered_case_is_breached_with_the_computed_instant_and_not_the_sweeps(stage: Stage) -> None:
    case = stage.case(Maint_Priority__c="P1")
    opened_at = stage.clock.now()
    stage.sync()
    shown = stage.shown("Case", case)
    assert (shown["SLA_Status__c"], shown["SLA_Target_Minutes__c"]) == ("On track", 120)
    assert datetime.fromtimestamp(shown["SLA_Due_At__c"], UTC) == opened_at.replace(hour=opened_at.hour + 2)
    stage.later(hours=9)
    stage.sync()
    shown = stage.shown("Case", case)
    assert (shown["SLA_Status__c"], shown["SLA_Breached__c"]) == ("Breached", 1)
    [milestone] = [m for m in stage.runtime.store.milestones("acme").popitem()[1] if m.clock == "ack"]
    assert milestone.breached_at == opened_at.replace(hour=opened_at.hour + 2)


def test_a_case_that_a_consultant_answers_in_time_is_met_even_if_we_look_much_later(stage: Stage) -> None:
    case = stage.case(Maint_Priority__c="P1")
    stage.later(minutes=30)
    answered_at = stage.clock.now()
    stage.org.update("Case", case, {"Status": "Working"}, user=CONSULTANT.format("acme"))
    stage.later(days=3)
    stage.sync()
    shown = stage.shown("Case", case)
    assert (shown["SLA_Status__c"], shown["SLA_Breached__c"]) == ("Met", 0)
    assert datetime.fromtimestamp(shown["SLA_Met_At__c"], UTC) == answered_at


def test_a_change_by_the_client_does_not_acknowledge_a_case(stage: Stage) -> None:
    case = stage.case(Maint_Priority__c="P1")
    stage.later(minutes=30)
    stage.org.update("Case", case, {"Status": "Working"}, user=CLIENT.format("acme"))
    stage.sync()
    assert stage.shown("Case", case)["SLA_Status__c"] == "On track"


def test_a_deleted_time_entry_gives_its_minutes_back_by_a_reversing_posting(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 360))
    entry = stage.log(case, 90)
    stage.sync()
    stage.org.delete("Time_Entry__c", entry)
    stage.sync()
    kinds = [(p.kind.value, p.minutes) for p in stage.runtime.store.postings("acme")]
    assert kinds == [("purchase", 2400), ("consume", -90), ("reversal", 90)]
    stage.org.undelete(entry)
    stage.sync()
    [pack] = stage.rows("Maintenance_Pack__c")
    assert pack["Hours_Remaining__c"] == 38.5
    assert stage.shown("Time_Entry__c", entry)["State__c"] == "Counted"


def test_a_hand_edit_of_a_balance_is_put_back_and_on_record(stage: Stage) -> None:
    stage.buy("flexi", 5)
    settled(stage)
    [pack] = stage.rows("Maintenance_Pack__c")
    # The validation rule of the package refuses people; this is what an administrator can still do.
    stage.org.seed_rows  # noqa: B018  documents the way in
    with stage.org.storage.unit():
        now = stage.org.now_seconds()
        stage.org.storage.update(
            "Maintenance_Pack__c", ["Hours_Remaining__c", "SystemModstamp"], [(99.0, now, pack["Id"])]
        )
    report = stage.sync()
    assert report.hand_edits == 1
    [pack] = stage.rows("Maintenance_Pack__c")
    assert pack["Hours_Remaining__c"] == 40.0
    [edit] = stage.runtime.store.conflicts("acme")
    assert (edit["kind"], edit["field"], edit["lost"], edit["kept"]) == (
        "hand_edit", "remaining_minutes", "99.00", "40.00",
    )  # fmt: skip


def test_people_may_not_edit_what_the_service_owns(stage: Stage) -> None:
    from sfsync.localorg.errors import ApiError

    stage.buy("flexi", 5)
    stage.sync()
    [pack] = stage.rows("Maintenance_Pack__c")
    with pytest.raises(ApiError):
        stage.org.update("Maintenance_Pack__c", pack["Id"], {"Hours_Remaining__c": 99}, user=CONSULTANT.format("acme"))


def test_a_store_that_was_lost_is_rebuilt_from_the_org_alone_with_the_same_balances(stage: Stage) -> None:
    random = seeded(7)
    stage.buy("starter", 2, key="pk:a")
    stage.buy("flexi", 5, key="pk:b")
    cases = [stage.case(Maint_Priority__c=random.choice(("P1", "P2", "P3"))) for _ in range(6)]
    entries = []
    for case in cases:
        stage.approve(stage.estimate(case, random.randrange(60, 600, 30)))
        stage.sync()
        for _ in range(4):
            entries.append(stage.log(case, random.randrange(15, 200, 5)))
            stage.later(hours=1)
        stage.sync()
    stage.org.delete("Time_Entry__c", entries[3])
    stage.org.update("Time_Entry__c", entries[5], {"Minutes__c": 45})
    stage.org.update("Case", cases[0], {"Status": "Closed"}, user=CONSULTANT.format("acme"))
    settled(stage)
    by_hand(stage, "Refund", "pk:b", -200)
    by_hand(stage, "Adjustment", "pk:a", 25)
    settled(stage)
    assert sorted(row["Minutes__c"] for row in stage.rows("Pack_Adjustment__c")) == [-200, 25]
    before = stage.runtime.store.balances("acme")
    told = sorted(stage.runtime.store.postings("acme"), key=lambda p: (p.source, p.source_version, p.leg))
    shown = [stage.rows(name) for name in ("Maintenance_Pack__c", "Time_Entry__c", "Case", "Maintenance_Account__c")]
    wipe(stage)
    settled(stage)
    assert stage.runtime.store.balances("acme") == before
    again = sorted(stage.runtime.store.postings("acme"), key=lambda p: (p.source, p.source_version, p.leg))
    acts = [p for p in again if p.source.startswith("act:")]
    assert acts == [p for p in told if p.source.startswith("act:")]
    assert len(acts) == 2
    after = [stage.rows(name) for name in ("Maintenance_Pack__c", "Time_Entry__c", "Case", "Maintenance_Account__c")]
    assert after == shown, "rebuilding the store changed something in the org"


def by_hand(stage: Stage, kind: str, pack: str, minutes: int) -> None:
    """The desk gives minutes or takes them."""
    act = Adjustment(
        key=f"pa:{kind}", pack=pack, kind=kind, minutes=minutes, effective_on=stage.today(),
        booked_at=stage.clock.now(), reference=f"{kind}-1", reason="agreed",
    )  # fmt: skip
    posting = posting_of(act)
    assert posting is not None
    said = Evaluation(created=[act], postings=[posting])
    stage.runtime.store.amend("acme", stage.runtime.client("acme").mappings, said, stage.clock.now())


def wipe(stage: Stage) -> None:
    """Lose the store."""
    import psycopg

    stage.runtime.close()
    with psycopg.connect(stage.url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
            "AND relname <> 'alembic_version'"
        ).fetchall()
        statements = "; ".join(f'DELETE FROM "{name}"' for (name,) in names)
        connection.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {statements}; COMMIT".encode())
    stage.runtime = stage.open()


def test_credentials_that_reach_another_organisation_stop_before_anything_is_read(stage: Stage) -> None:
    stage.sync()
    pinned = stage.org.org_id
    stage.org.org_id = "00D000000000009AAA"
    stage.runtime._tokens = MemoryTokens()
    try:
        with pytest.raises(WrongOrg, match="pinned"):
            stage.runtime.sync("acme")
    finally:
        stage.org.org_id = pinned
    [row] = stage.runtime.store.orgs()
    assert row.state == "paused"
    with pytest.raises(AccessDenied, match="paused"):
        stage.runtime.sync("acme")


def test_a_mass_delete_stops_before_any_hour_is_reversed(stage: Stage) -> None:
    stage.buy("pro", 15)
    case = stage.case()
    stage.approve(stage.estimate(case, 6000))
    entries = [stage.log(case, 10) for _ in range(130)]
    stage.sync()
    balances = stage.runtime.store.balances("acme")
    for entry in entries:
        stage.org.delete("Time_Entry__c", entry)
    with pytest.raises(SafetyStop, match="130 of 130 Time_Entry__c records"):
        stage.runtime.sync("acme")
    assert stage.runtime.store.balances("acme") == balances
    stage.runtime.store.resume("acme", "acme")
    stage.runtime.sync("acme", confirmed=True)
    assert sum(stage.runtime.store.balances("acme").values()) == 7200


def test_a_plan_shows_what_a_sync_would_do_and_changes_nothing(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    before = stage.rows("Case")
    preview = stage.runtime.plan("acme")
    planned = {(c.object, c.key) for c in preview.plan.changes}
    assert ("Maintenance_Pack__c", "pk:1") in planned
    assert len(planned) == 3
    assert stage.rows("Case") == before
    assert stage.runtime.store.facts("acme").cases == {}
    report = stage.sync()
    assert report.wrote == len(preview.plan.changes)
    assert stage.shown("Case", case)["SLA_Status__c"] == "On track"


def test_an_edit_in_the_org_while_we_work_is_not_overwritten(stage: Stage) -> None:
    estimate = stage.estimate(stage.case(), 60, Sent_At__c=iso(stage.clock.now()))
    stage.sync()
    stage.org.update(
        "Maintenance_Estimate__c", estimate, {"Client_Comment__c": "please wait"}, user=CLIENT.format("acme")
    )
    stage.sync()
    assert stage.shown("Maintenance_Estimate__c", estimate)["Client_Comment__c"] == "please wait"
    assert stage.runtime.store.conflicts("acme") == []


def test_a_closed_week_is_issued_once_and_revised_when_late_work_arrives(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case(Maint_Category__c="Corrective")
    stage.approve(stage.estimate(case, 360))
    stage.log(case, 90, Category__c="Corrective")
    settled(stage)
    assert stage.rows("Weekly_Summary__c") == []
    stage.later(days=7)
    settled(stage)
    [week] = stage.rows("Weekly_Summary__c")
    assert (week["Iso_Week__c"], week["Revision__c"], week["Status__c"]) == ("2026-W47", 1, "Published")
    assert (week["Opening_Hours__c"], week["Bought_Hours__c"], week["Minutes_Used__c"]) == (0.0, 40.0, 90)
    assert (week["Balance_Hours__c"], week["Reserved_Hours__c"], week["Free_Hours__c"]) == (38.5, 4.5, 34.0)
    work = [line for line in stage.rows("Weekly_Summary_Line__c") if line["Kind__c"] == "Work"]
    assert [(line["Minutes__c"], line["Case__c"]) for line in work] == [(90, case)]
    stage.log(case, 30, on=stage.today() - timedelta(days=5))
    stage.sync()
    stage.later(days=1)
    settled(stage)
    [week] = stage.rows("Weekly_Summary__c")
    assert (week["Revision__c"], week["Status__c"], week["Minutes_Used__c"]) == (2, "Revised", 120)
    assert week["Headline__c"].startswith("Revised by -0.50 h")


def test_an_agreed_plan_is_carried_out_exactly_or_not_at_all(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    agreed = plan_of(json.loads(json.dumps(plan_data(stage.runtime.plan("acme").plan))))
    stage.org.update("Case", case, {"Maint_Priority__c": "P1"}, user=CLIENT.format("acme"))
    with pytest.raises(PlanMoved, match=r"1 thing\(s\) moved: Case .* moved: .*due_at.*target_minutes"):
        stage.runtime.sync("acme", agreed=agreed)
    assert stage.rows("Maintenance_Pack__c") == [], "a plan that moved wrote something"
    agreed = plan_of(json.loads(json.dumps(plan_data(stage.runtime.plan("acme").plan))))
    report = stage.runtime.sync("acme", agreed=agreed)
    assert report.wrote == len(agreed.changes) == 3


def test_a_deadline_that_comes_is_noticed_without_reading_the_ledger(stage: Stage) -> None:
    stage.buy("flexi", 5)
    stage.log(stage.case(Maint_Priority__c="P4"), 30)
    case = stage.case(Maint_Priority__c="P1")
    settled(stage)
    room = stage.runtime.store.room("acme", "acme", stage.runtime.client("acme").mappings)
    assert room.facts(stage.clock.now()) is None
    stage.later(hours=9)
    assert stage.runtime.roster.sweep() == ["acme"]
    facts = room.facts(stage.clock.now())
    assert facts is not None
    assert facts.clocks_only
    assert [stage.shown("Case", case)["CaseNumber"]] == [c.number for c in facts.cases.values() if c.priority == "P1"]
    assert facts.entries == {}
    report = stage.sync()
    assert report.evaluated
    assert stage.shown("Case", case)["SLA_Breached__c"] == 1
    stage.later(minutes=1)
    assert stage.runtime.roster.sweep() == []
    [account] = stage.rows("Maintenance_Account__c")
    assert account["Balance_Hours__c"] == 40.0


def test_a_decision_made_between_our_read_and_our_write_is_not_overwritten(stage: Stage) -> None:
    case = stage.case()
    old = stage.estimate(case, 60)
    stage.sync()
    stage.later(minutes=20)
    stage.estimate(case, 90, Version__c=2)

    def decide(step: str) -> None:
        if step == "write back":  # everything was read and planned: version 1 is about to become Superseded
            stage.approve(old)

    stage.runtime.sync("acme", step=decide)
    assert stage.shown("Maintenance_Estimate__c", old)["Status__c"] == "Approved"
    stage.later(minutes=20)
    stage.sync()
    assert stage.shown("Maintenance_Estimate__c", old)["Status__c"] == "Approved"
