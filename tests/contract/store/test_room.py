"""The three transactions of a run, with the real merge and the real plan between them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.errors import StoreRefused, StoreUnavailable
from sfsync.mirror.merge import Merged, merge
from sfsync.mirror.plan import Outcome, Plan, Result, Unplannable, plan
from sfsync.mirror.translate import Bookmark, Page, Seen
from sfsync.records import Case, CaseEvent, Finding, Milestone, TimeEntry
from sfsync.rules.evaluate import Evaluation
from tests.contract.store.conftest import NOW, book, say

LATER = NOW + timedelta(hours=1)


class Line:
    """The stages of the line around one room, as far as the store can see them."""

    def __init__(self, room, mappings) -> None:
        self.room, self.mappings = room, mappings

    def read(self, *seen: Seen, object_name: str = "Case", at: datetime = NOW, **page) -> list[Merged]:
        memories = self.room.memories(object_name, [s.key for s in seen])
        ids = self.room.ids((), ())
        mapping = self.mappings.by_object[object_name]
        merged = [(s, merge(mapping, s, *memories.get(s.key, (None, None)), ids, {})) for s in seen]
        news = [(s, m) for s, m in merged if m.changed]
        self.room.absorb(Page(object_name, seen, Bookmark(object_name, at), **page), news)
        return [m for _, m in news]

    def plan(self, now: datetime = NOW) -> Plan:
        made = plan(self.mappings, self.room.unsettled(now), self.room.ids((), ()))
        self.room.begin(made, now)
        return made

    def settle(self, changes, result: Result = Result.DONE, now: datetime = NOW, **said) -> None:
        given = {"code": "", **said}
        self.room.settle([Outcome(c, result, c.sf_id or new_id(c.key), **given) for c in changes], (), now)

    def rules(self, evaluation: Evaluation | None = None, now: datetime = NOW):
        facts = self.room.facts(now)
        if facts is not None:
            self.room.record(evaluation or Evaluation(), now)
        return facts


@pytest.fixture
def line(room, mappings) -> Line:
    return Line(room, mappings)


def writes(changes):
    """What is written; each attempt has a revision of its own."""
    return [replace(change, revision=0) for change in changes]


def new_id(key: str) -> str:
    return "a00" + key.encode().hex()[-12:].rjust(12, "0") + "EAA"


def a_case(number: int, *, stamp: datetime = NOW, **wire) -> Seen:
    return Seen(
        "Case",
        f"500{number:012d}EAA",
        f"ca:{number}",
        {
            "number": f"{number:08d}",
            "subject": "Printer",
            "priority": "P2",
            "status": "New",
            "sla_status": None,
            **wire,
        },
        stamp,
        created_at=NOW - timedelta(days=1),
    )


def an_event(number: int, case: int = 1) -> CaseEvent:
    return CaseEvent(
        case=f"ca:{case}",
        event_id=f"h{number}",
        kind="field",
        field="status",
        old="New",
        new="Working",
        at=NOW,
        by="ana",
    )


# --- absorbing ----------------------------------------------------------------------------------


def test_what_an_org_showed_is_local_and_remembered_and_the_bookmark_moved_with_it(line, store) -> None:
    line.read(a_case(1), a_case(2, priority=None))
    facts = store.facts("acme")
    assert facts.cases["ca:1"].priority == "P2"
    assert facts.cases["ca:2"].priority is None
    assert facts.cases["ca:1"].created_at == NOW - timedelta(days=1)
    link, values = line.room.memories("Case", ["ca:1"])["ca:1"]
    assert link.sf_id == "500000000000001EAA"
    assert link.remote["subject"] == link.agreed["subject"] == values["subject"] == "Printer"
    assert line.room.bookmarks()["Case"].read_to == NOW
    assert line.room.linked() == {"Case": 2}


def test_a_field_nobody_has_shown_is_absent_and_a_null_field_is_null(line) -> None:
    line.read(a_case(1, priority=None))
    _, values = line.room.memories("Case", ["ca:1"])["ca:1"]
    assert values["priority"] is None
    assert "description" not in values
    line.read(a_case(1, stamp=LATER, origin="Phone"))
    _, values = line.room.memories("Case", ["ca:1"])["ca:1"]
    assert values["origin"] == "Phone"
    assert values["priority"] == "P2"
    assert "description" not in values


def test_reading_an_unchanged_record_again_changes_nothing_for_anybody(line) -> None:
    line.read(a_case(1))
    line.rules()
    line.plan()
    assert line.read(a_case(1)) == []
    assert line.room.facts(NOW) is None
    assert line.room.unsettled(NOW) == []


def test_a_record_of_which_only_the_stamp_moved_is_nothing_to_the_rules(line) -> None:
    line.read(a_case(1))
    line.rules()
    assert len(line.read(a_case(1, stamp=LATER))) == 1
    assert line.room.facts(NOW) is None


def test_only_what_changed_is_shown_to_the_rules_as_touched(line) -> None:
    line.read(a_case(1), a_case(2))
    assert line.rules().touched is None
    line.read(a_case(2, stamp=LATER, subject="Scanner"))
    facts = line.rules()
    assert facts.touched == {"Case": {"ca:2"}}
    assert set(facts.cases) == {"ca:1", "ca:2"}


def test_a_new_event_touches_its_case_once(line) -> None:
    seen = replace(a_case(1), events=(an_event(1), an_event(2)))
    line.read(seen)
    line.rules()
    line.read(seen)
    assert line.room.facts(NOW) is None
    line.read(replace(seen, events=(an_event(2), an_event(3))))
    facts = line.rules()
    assert facts.touched == {"Case": {"ca:1"}}
    assert [event.event_id for event in facts.events["ca:1"]] == ["h1", "h2", "h3"]


def test_a_bookmark_never_goes_back_by_itself(line, store) -> None:
    line.read(at=LATER)
    line.read(at=NOW)
    assert line.room.bookmarks()["Case"].read_to == LATER
    store.rewind("acme", "acme", NOW)
    assert line.room.bookmarks()["Case"].read_to == NOW
    store.rewind("acme", "acme", None)
    assert line.room.bookmarks() == {}


def test_a_deleted_record_stays_as_a_tombstone_and_may_come_back(line, store) -> None:
    line.read(a_case(1))
    line.rules()
    line.read(replace(a_case(1, stamp=LATER), deleted=True))
    assert line.rules().touched == {"Case": {"ca:1"}}
    assert store.facts("acme").cases["ca:1"].deleted
    assert line.room.linked() == {}
    line.read(a_case(1, stamp=LATER + timedelta(hours=1)))
    assert not store.facts("acme").cases["ca:1"].deleted


def test_a_record_gone_for_good_is_buried_once(line, store) -> None:
    line.read(a_case(1), a_case(2))
    line.rules()
    for _ in range(2):
        line.read(hard_deleted=(("500000000000001EAA", LATER), ("500000000000099EAA", LATER)))
    assert line.rules().touched == {"Case": {"ca:1"}}
    assert {k for k, c in store.facts("acme").cases.items() if c.deleted} == {"ca:1"}
    assert line.room.facts(NOW) is None


def test_a_key_that_another_record_carries_now_is_not_buried_with_the_old_one(line, store) -> None:
    line.read(a_case(1))
    [old] = [link.sf_id for link in line.room.links("Case")]
    line.read(replace(a_case(1, stamp=LATER), sf_id="500000000000077EAA"))
    line.read(hard_deleted=((old, LATER),))
    assert not store.facts("acme").cases["ca:1"].deleted
    [link] = line.room.links("Case")
    assert (link.sf_id, link.deleted) == ("500000000000077EAA", False)


def test_a_buried_record_that_is_shown_again_lives_and_a_loser_of_a_merge_stays_one(line, store) -> None:
    line.read(a_case(1), a_case(2))
    ids = {link.key: link.sf_id for link in line.room.links("Case")}
    line.read(replace(a_case(2, stamp=LATER), deleted=True, merged_into=ids["ca:1"]))
    line.read(hard_deleted=((ids["ca:1"], LATER), (ids["ca:2"], LATER)))
    line.read(a_case(1, stamp=LATER))
    cases = store.facts("acme").cases
    assert {key: case.deleted for key, case in cases.items()} == {"ca:1": False, "ca:2": True}
    assert {link.key: link.merged_into for link in line.room.links("Case")} == {"ca:1": None, "ca:2": ids["ca:1"]}


def test_an_edited_key_is_set_aside_and_the_rest_goes_on(line, store) -> None:
    line.read(a_case(1))
    line.read(replace(a_case(1, stamp=LATER), key="ca:stolen"), a_case(2, stamp=LATER))
    assert set(store.facts("acme").cases) == {"ca:1", "ca:2"}
    [row] = store.quarantined("acme")
    assert (row["code"], row["direction"]) == ("KEY_NOT_UNIQUE", "in")
    assert "ca:1 to ca:stolen" in row["message"]


def test_two_records_with_one_key_are_not_merged_into_one(line, store) -> None:
    line.read(a_case(1), replace(a_case(2), key="ca:1"))
    assert store.facts("acme").cases["ca:1"].number == "00000001"
    assert len(store.quarantined("acme")) == 1


def test_conflicts_and_hand_edits_are_kept_with_both_values(line, store) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    line.settle(line.plan().changes)
    line.read(a_case(1, stamp=LATER, sla_status="Met"))
    [edit] = store.conflicts("acme")
    assert (edit["kind"], edit["kept"], edit["lost"]) == ("hand_edit", "On track", "Met")
    [back] = line.plan().changes
    assert back.fields == {"sla_status": "On track"}


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "é\udfff", "𝄞\0"])
def test_text_that_postgresql_cannot_hold_stops_no_page(line, store, text: str) -> None:
    line.read(a_case(1, subject=text), a_case(2))
    assert store.facts("acme").cases["ca:1"].subject == text.replace("\0", "␀").replace("\ud800", "�").replace(
        "\udfff", "�"
    )


def test_mirrored_fields_that_no_rule_reads_keep_their_type(line, mappings) -> None:
    entry = Seen(
        "Time_Entry__c",
        "a01000000000001EAA",
        "te:1",
        {"worked_minutes": 90, "hours": "1.50", "worked_on": "2026-11-20"},
        NOW,
    )
    line.read(entry, object_name="Time_Entry__c")
    _, values = line.room.memories("Time_Entry__c", ["te:1"])["te:1"]
    assert str(values["hours"]) == "1.50"
    assert values["worked_on"].isoformat() == "2026-11-20"


# --- recording ----------------------------------------------------------------------------------


def test_what_the_rules_say_is_in_force_together(line, store) -> None:
    line.read(a_case(1))
    finding = Finding(code="Breach", record="ca:1", message="late", details={"minutes": 5})
    said = replace_lists(
        say(book(480), packs=("pk:1",)), fields={("Case", "ca:1"): {"sla_status": "On track"}}, findings=[finding]
    )
    line.rules(said)
    facts = store.facts("acme")
    assert facts.cases["ca:1"].sla_status == "On track"
    assert facts.packs["pk:1"].plan == "Flexi"
    assert store.balances("acme") == {"pk:1": 480}
    [kept] = store.findings("acme")
    assert kept["details"] == {"minutes": 5}


def replace_lists(evaluation: Evaluation, **changes) -> Evaluation:
    for name, value in changes.items():
        setattr(evaluation, name, value)
    return evaluation


def test_a_refused_overdraw_leaves_nothing_of_what_was_said(line, store) -> None:
    line.read(a_case(1))
    said = replace_lists(say(book(-1), packs=("pk:1",)), fields={("Case", "ca:1"): {"sla_status": "Met"}})
    with pytest.raises(StoreRefused):
        line.rules(said)
    facts = store.facts("acme")
    assert facts.packs == {}
    assert facts.cases["ca:1"].sla_status is None
    assert line.room.facts(NOW) is not None, "what was not recorded is looked at again"


def test_the_rules_do_not_look_again_at_what_they_wrote_themselves(line) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    assert line.room.facts(NOW) is None


def test_the_rules_look_at_the_ledger_when_its_next_instant_comes(line, store) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(next_due_at=LATER))
    assert line.room.facts(LATER - timedelta(seconds=1)) is None
    assert store.due_clients(NOW) == []
    assert store.due_clients(LATER) == ["acme"]
    facts = line.room.facts(LATER)
    assert set(facts.cases) == {"ca:1"}
    assert not facts.clocks_only


def test_when_only_clocks_have_come_due_their_cases_are_read_and_nothing_else(line, store) -> None:
    line.read(a_case(1), a_case(2))
    line.rules(Evaluation(milestones=[a_milestone(warn_at=())]))
    due = LATER + timedelta(seconds=2)
    assert line.room.facts(due - timedelta(seconds=1)) is None
    assert store.due_clients(due) == ["acme"]
    facts = line.room.facts(due)
    assert facts.clocks_only
    assert set(facts.cases) == {"ca:1"}
    assert facts.touched == {"Case": frozenset({"ca:1"})}


def test_what_was_said_of_facts_that_changed_meanwhile_is_not_put_in_force(line, store, mappings) -> None:
    line.read(a_case(1))
    line.room.facts(NOW)
    store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    with pytest.raises(StoreUnavailable, match="evaluate again"):
        line.room.record(Evaluation(fields={("Case", "ca:1"): {"sla_status": "Met"}}), NOW)
    assert store.facts("acme").cases["ca:1"].sla_status is None


def test_the_rules_speak_only_of_records_that_are_there(line) -> None:
    line.read(a_case(1))
    with pytest.raises(StoreRefused, match="ca:9"):
        line.rules(Evaluation(fields={("Case", "ca:9"): {"sla_status": "Met"}}))


def a_milestone(**changes) -> Milestone:
    given = {
        "case": "ca:1", "clock": "ack", "cycle": 1, "plan": "Gold", "priority": "P1", "target_seconds": 7200,
        "started_at": NOW, "clock_starts_at": NOW, "due_at": LATER, "breach_at": LATER + timedelta(seconds=1),
        "warn_at": ((50, NOW + timedelta(minutes=30)), (90, NOW + timedelta(minutes=54))),
    }  # fmt: skip
    return Milestone(**{**given, **changes})


def test_a_milestone_is_read_as_it_was_written(line, store) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(milestones=[a_milestone()]))
    assert store.milestones("acme") == {"ca:1": (a_milestone(),)}


def test_a_breach_is_recorded_once_at_its_computed_instant(line, store, database_url) -> None:
    line.read(a_case(1))
    for breached_at in (LATER, LATER + timedelta(days=1)):
        line.rules(Evaluation(milestones=[a_milestone(breached_at=breached_at, warned_percent=90)]))
        line.read(a_case(1, stamp=LATER, subject=str(breached_at)))
    assert store.milestones("acme")["ca:1"][0].breached_at == LATER


def test_a_breach_that_the_history_contradicts_is_withdrawn(line, store) -> None:
    line.read(a_case(1))
    for breached_at in (LATER, None):
        line.rules(Evaluation(milestones=[a_milestone(breached_at=breached_at, warned_percent=90)]))
        line.read(a_case(1, stamp=LATER, subject=str(breached_at)))
    assert store.milestones("acme")["ca:1"][0].breached_at is None


def test_a_finding_is_kept_once_however_often_it_is_found(line, store) -> None:
    for round_ in range(3):
        line.read(a_case(1, subject=str(round_), stamp=NOW + timedelta(minutes=round_)))
        line.rules(Evaluation(findings=[Finding(code="Overrun", record="ca:1", message="20 minutes over")]))
    assert len(store.findings("acme")) == 1


# --- planning and settling ----------------------------------------------------------------------


def test_a_record_made_here_is_planned_for_every_org_of_its_client(line, store, mappings) -> None:
    store.add_org("acme", "second")
    line.read(a_case(1))
    line.rules(say(packs=("pk:1",)))
    assert [(c.object, c.key) for c in line.plan().changes] == [("Maintenance_Pack__c", "pk:1")]
    other = store.room("acme", "second", mappings)
    assert ("Maintenance_Pack__c", "pk:1") in [(link.object, link.key) for link, _ in other.unsettled(NOW)]


def test_a_key_stands_for_the_winner_of_a_merge_and_for_nothing_once_its_record_is_deleted(line) -> None:
    line.read(a_case(1), a_case(2))
    winner = a_case(2).sf_id
    line.read(replace(a_case(1, stamp=LATER), deleted=True, merged_into=winner))
    assert line.room.ids((), ["ca:1"]).to_id == {"ca:1": winner}
    line.read(replace(a_case(2, stamp=LATER), deleted=True))
    assert line.room.ids((), ["ca:2"]).gone == {"ca:2"}


def test_the_rules_say_nothing_before_every_org_of_a_client_was_read_once_or_is_paused(line, store) -> None:
    store.add_org("acme", "acme@hub", role="hub")
    line.read(a_case(1))
    both = store.room("acme", "acme", line.mappings, beside=["acme@hub"])
    assert both.facts(NOW) is None
    store.pause("acme", "acme@hub", "not reachable yet")
    assert both.facts(NOW) is not None
    store.resume("acme", "acme@hub")
    store.end_run("acme", store.begin_run("acme", "acme@hub", NOW), NOW)
    assert both.facts(NOW) is not None


def test_what_the_org_accepted_is_remembered_and_not_planned_again(line) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track", "due_at": LATER}}))
    changes = line.plan().changes
    line.settle(changes)
    assert line.plan().changes == ()
    link, _ = line.room.memories("Case", ["ca:1"])["ca:1"]
    assert link.remote["due_at"] == link.agreed["due_at"] == "2026-11-20T11:00:00Z"
    assert link.revision == changes[0].revision


def test_a_confirmed_write_is_asked_for_until_a_read_shows_it_or_the_page_with_what_was_looked_up_has_come(
    line,
) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    line.settle(line.plan().changes)
    assert line.room.bookmarks()["Case"].silent == ()
    line.read(a_case(2, stamp=LATER), at=LATER)
    assert line.room.bookmarks()["Case"].silent == (a_case(1).sf_id,)
    line.read(a_case(3, stamp=LATER), at=LATER)  # a page in the middle does not move the bookmark
    assert line.room.bookmarks()["Case"].silent == (a_case(1).sf_id,)
    line.read(at=LATER + timedelta(minutes=1))
    assert line.room.bookmarks()["Case"].silent == ()


def test_what_the_org_accepted_and_does_not_show_is_still_ours_and_written_again(line) -> None:
    estimates = "Maintenance_Estimate__c"
    sent = Seen(estimates, new_id("es:1"), "es:1", {"status": "Sent"}, NOW - timedelta(minutes=2))
    line.read(sent, object_name=estimates)
    line.rules(Evaluation(fields={("Estimate", "es:1"): {"status": "Withdrawn"}}))
    line.settle(line.plan().changes)
    link, _ = line.room.memories(estimates, ["es:1"])["es:1"]
    assert (link.remote["status"], link.unheard) == ("Withdrawn", {"status": "Sent"})
    [merged] = line.read(sent, object_name=estimates)
    assert (merged.local, merged.conflicts) == ({}, ())
    link, _ = line.room.memories(estimates, ["es:1"])["es:1"]
    assert (link.remote["status"], link.unheard) == ("Sent", {})
    assert [change.fields for change in line.plan().changes] == [{"status": "Withdrawn"}]


def test_planning_everything_again_gives_the_same_writes(line, store) -> None:
    line.read(a_case(1), a_case(2))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    owed = line.plan().changes
    assert [c.key for c in owed] == ["ca:1"]
    store.replan("acme", "acme")
    assert writes(line.plan().changes) == writes(owed)
    line.settle(owed)
    store.replan("acme", "acme")
    assert line.plan().changes == ()


def test_a_created_record_gets_its_id_and_lookups_to_it_get_resolved(line, mappings) -> None:
    line.read(a_case(1))
    entry = TimeEntry(key="te:1", case="ca:1", worked_minutes=30, pack="pk:1")
    said = say(book(480), packs=("pk:1",))
    said.created.append(entry)
    line.rules(said)
    changes = line.plan().changes
    assert {c.object for c in changes} == {"Maintenance_Pack__c", "Time_Entry__c"}
    [drawn] = [c for c in changes if c.object == "Time_Entry__c"]
    assert drawn.fields["pack"] == "key:pk:1"
    line.settle(changes)
    link, _ = line.room.memories("Time_Entry__c", ["te:1"])["te:1"]
    assert link.remote["pack"] == new_id("pk:1")
    assert line.room.ids((), ["pk:1"]).to_id == {"pk:1": new_id("pk:1")}


def test_a_lookup_whose_parent_is_not_known_yet_stays_owed(line) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(created=[TimeEntry(key="te:1", pack="pk:unborn")]))
    line.settle(line.plan().changes)
    [again] = line.plan().changes
    assert again.fields == {"pack": "key:pk:unborn"}


def test_a_change_made_while_the_org_was_written_to_is_not_lost(line, store, mappings) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    changes = line.plan().changes
    store.amend("acme", mappings, Evaluation(fields={("Case", "ca:1"): {"sla_status": "Met"}}), NOW)
    line.settle(changes)
    [owed] = line.plan().changes
    assert owed.fields == {"sla_status": "Met"}


def test_a_refused_record_waits_in_quarantine_and_the_rest_goes_on(line, store) -> None:
    line.read(a_case(1), a_case(2))
    line.rules(Evaluation(fields={("Case", f"ca:{n}"): {"sla_status": "On track"} for n in (1, 2)}))
    bad, good = line.plan().changes
    line.settle(
        [bad], Result.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="Region", advice="ask the admin"
    )
    line.settle([good])
    assert line.plan().changes == ()
    [row] = store.quarantined("acme")
    assert (row["key"], row["code"], row["message"], row["tries"]) == (
        "ca:1",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "Region",
        1,
    )


def test_a_record_leaves_quarantine_when_a_person_says_so_or_when_it_changes(line, store) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    for way_out in (
        lambda: store.retry("acme", "acme", "Case", "ca:1"),
        lambda: line.read(a_case(1, stamp=LATER, subject="Scanner")),
    ):
        changes = line.plan().changes
        line.settle(changes, Result.REJECTED, code="X", message="no", advice="")
        assert line.plan().changes == ()
        way_out()
        assert writes(line.plan().changes) == writes(changes)
    line.settle(changes)
    assert store.quarantined("acme") == []


def test_a_value_that_the_org_cannot_hold_waits_in_quarantine(line, store) -> None:
    line.read(a_case(1))
    line.rules()
    line.room.settle((), [Unplannable("Case", "ca:1", "explained", "too long")], NOW)
    [row] = store.quarantined("acme")
    assert (row["code"], row["field"]) == ("CANNOT_HOLD", "explained")


def test_what_is_to_be_tried_later_waits_longer_each_time_but_never_more_than_an_hour(line) -> None:
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    now, waits = NOW, []
    for _ in range(10):
        line.settle(line.plan(now).changes, Result.LATER, now, code="UNABLE_TO_LOCK_ROW")
        wait = timedelta(0)
        while not line.room.unsettled(now + wait):
            wait += timedelta(seconds=30)
        waits.append(wait)
        now += wait
    assert waits[:4] == [timedelta(seconds=s) for s in (30, 60, 120, 240)]
    assert waits[-1] == timedelta(hours=1)


def test_a_change_that_is_begun_and_never_ends_goes_to_quarantine(line, store) -> None:
    line.read(a_case(1), a_case(2))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    rounds = 0
    while line.plan().changes:
        rounds += 1
        assert rounds < 20
    assert rounds == 8
    assert [row["code"] for row in store.quarantined("acme")] == ["NEVER_ENDED"]


def test_a_change_elsewhere_is_owed_to_the_clients_other_orgs(line, store, mappings) -> None:
    store.add_org("acme", "hub", role="hub")
    hub = Line(store.room("acme", "hub", mappings, store.acquire("acme", "hub", "another")), mappings)
    hub.read(a_case(1))
    hub.plan()
    assert hub.room.unsettled(NOW) == []
    line.read(a_case(1))
    line.read(a_case(1, stamp=LATER, subject="Scanner"))
    assert [link.key for link, _ in hub.room.unsettled(NOW)] == ["ca:1"]


def test_every_record_reads_back_as_it_was_made(line, store) -> None:
    case = Case(
        key="ca:7", created_at=NOW, number="7", subject="Ünïcode ✓ 'quotes' \\ \t\n", is_closed=False, closed_at=NOW,
        target_minutes=0, due_at=datetime(2026, 3, 29, 1, 30, tzinfo=UTC), extra={"x": None, "n": 5, "t": "a"},
    )  # fmt: skip
    line.read()
    line.rules(Evaluation(created=[case]))
    assert store.facts("acme").cases == {"ca:7": case}
