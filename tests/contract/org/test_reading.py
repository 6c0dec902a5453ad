"""Reading an org: nothing missed, nothing read for nothing, and true bookmarks wherever the reading is cut short."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from sfsync.clock import ManualClock, seeded
from sfsync.errors import OrgUnavailable, SchemaDrift
from sfsync.mirror.translate import Bookmark, derived_key
from sfsync.org.extract import extract
from sfsync.org.poll import readers
from sfsync.org.preflight import preflight
from tests.contract.org.reached import Reached, seen_of

SECONDS = 1
MINUTES = 60
HOURS = 3600
CASE = "Case"
PACK = "Maintenance_Pack__c"
SUMMARY = "Weekly_Summary__c"


@pytest.fixture
def small(reached: Reached) -> Reached:
    """An org whose pages hold 200 rows."""
    reached.page_rows = 200
    reached.session = reached.connect()
    return reached


def ids_of(pages: Any, sobject: str = CASE) -> set[str]:
    return {seen.sf_id for seen in seen_of(pages, sobject)}


# --- cost -------------------------------------------------------------------------------------------


def test_a_quiet_org_with_seven_mapped_objects_costs_one_call(reached: Reached) -> None:
    reached.cases(5)
    reached.sync()
    for _ in range(3):
        reached.later(15 * MINUTES)
        before = reached.calls()
        pages = reached.sync()
        assert reached.calls() - before == 1
        assert {page.object for page in pages} == set(reached.mappings.by_object)


def test_the_first_sync_of_a_small_org_costs_three_calls(reached: Reached) -> None:
    reached.cases(5)
    reached.sync()
    assert reached.calls() == 3


def test_a_thousand_changed_rows_over_four_objects_cost_one_call(reached: Reached) -> None:
    cases = reached.cases(250)
    entries = [
        {"Case__c": case, "Work_Date__c": "2026-11-16", "Minutes__c": 30, "Category__c": "Corrective"} for case in cases
    ]
    reached.org.insert("Time_Entry__c", entries)
    reached.org.insert(
        "Maintenance_Estimate__c", [{"Case__c": case, "Minutes__c": 60, "Status__c": "Draft"} for case in cases]
    )
    packs = reached.org.insert(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(250)])
    reached.sync()
    reached.later(HOURS)
    for sobject, values in (
        (CASE, {"Subject": "changed"}),
        ("Time_Entry__c", {"Minutes__c": 45}),
        ("Maintenance_Estimate__c", {"Minutes__c": 90}),
        (PACK, {"Extension_Requested__c": True}),
    ):
        for sf_id in reached.org.storage.rows(f'SELECT "Id" FROM "{sobject}" LIMIT 250'):
            reached.org.update(sobject, sf_id[0], values)
    reached.later()
    before = reached.calls()
    pages = reached.sync()
    assert sum(len(page.seen) for page in pages) == 1_000
    assert reached.calls() - before == 1
    assert ids_of(pages, PACK) == set(packs)


def test_pages_of_one_query_are_read_five_to_a_call(small: Reached) -> None:
    small.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(1_234)])
    before = small.calls()
    pages = small.sync()
    assert len(ids_of(pages, PACK)) == 1_234
    # 2 describes and first pages, 1 for the two objects beyond five, 6 more pages in 2 calls
    assert small.calls() - before == 5


def test_only_mapped_fields_are_asked_for(reached: Reached) -> None:
    checked = preflight(reached.session, reached.mappings, {}, reached.ids())
    reader = readers(reached.mappings, checked.seen, reached.ids(), reached.session.user_id)[CASE]
    mapped = {line.api for line in reached.mappings.by_object[CASE].fields.values()}
    system = {"Id", "SystemModstamp", "CreatedDate", "IsDeleted", "LastModifiedBy.Username", "MasterRecordId"}
    assert set(reader.columns) == mapped | system | {"Sfsync_Revision__c"}


# --- changes ----------------------------------------------------------------------------------------


def test_an_edit_is_seen_with_its_author_and_a_time(reached: Reached) -> None:
    (case,) = reached.cases(1)
    reached.sync()
    reached.later()
    reached.org.update(CASE, case, {"Maint_Priority__c": "P1"})
    reached.later()
    (seen,) = seen_of(reached.sync(), CASE)
    assert seen.wire["priority"] == "P1"
    assert seen.modified_by == "admin@acme.example"


def test_a_record_born_in_the_org_gets_the_key_derived_from_its_id(reached: Reached) -> None:
    (case,) = reached.cases(1)
    (seen,) = seen_of(reached.sync(), CASE)
    assert seen.key == derived_key("ca", reached.session.organization_id, case)


def test_a_key_that_is_none_of_ours_is_not_believed(reached: Reached) -> None:
    ours, theirs = reached.org.insert(PACK, [{"Sfsync_Key__c": "pk:ours"}, {"Sfsync_Key__c": "SO-1234"}])
    keys = {seen.sf_id: seen.key for seen in seen_of(reached.sync(), PACK)}
    assert keys[ours] == "pk:ours"
    assert keys[theirs] == derived_key("pk", reached.session.organization_id, theirs)


def test_a_watched_object_is_read_when_it_changes(reached: Reached) -> None:
    """Weekly summaries are not among the five queried: ``updated`` names them, and they are read by id."""
    (summary,) = reached.org.insert(SUMMARY, {"Name": "2026-W46", "Sfsync_Key__c": "ws:2026-W46"})
    reached.sync()
    reached.later(HOURS)
    reached.org.update(SUMMARY, summary, {"Read_By_Client__c": True})
    reached.later()
    before = reached.calls()
    (seen,) = seen_of(reached.sync(), SUMMARY)
    assert seen.wire["read_by_client"] is True
    assert reached.calls() - before == 2
    reached.later(2 * MINUTES)
    before = reached.calls()
    assert seen_of(reached.sync(), SUMMARY) == []
    assert reached.calls() - before == 1


def test_a_watched_object_is_read_though_our_clock_was_put_back(reached: Reached) -> None:
    (summary,) = reached.org.insert(SUMMARY, {"Name": "2026-W46", "Sfsync_Key__c": "ws:2026-W46"})
    reached.sync()
    reached.later(HOURS)
    reached.org.update(SUMMARY, summary, {"Read_By_Client__c": True})
    reached.org.clock = ManualClock(reached.clock.now() + timedelta(minutes=1))
    reached.clock.set(reached.clock.now() - timedelta(hours=2))
    ids = reached.ids()
    reached.session = reached.connect()  # another run with the token of the one before: it has not heard the org yet
    checked = preflight(reached.session, reached.mappings, reached.bookmarks, ids)
    pages = list(extract(reached.session, reached.mappings, reached.bookmarks, ids, checked))
    assert [seen.wire["read_by_client"] for seen in seen_of(pages, SUMMARY)] == [True]


def test_many_changes_of_a_watched_object_are_all_read(reached: Reached) -> None:
    rows = [{"Name": f"week {n}", "Sfsync_Key__c": f"ws:{n}"} for n in range(700)]
    reached.sync()
    reached.later()
    reached.org.insert(SUMMARY, rows)
    reached.later()
    assert len(ids_of(reached.sync(), SUMMARY)) == 700


@pytest.mark.parametrize(
    "text",
    ["NA", "None", "null", "00123", "'", "\\", '"quoted"', "a,b;c", "two\nlines", "ăâîșț ñ 漢字", "🙂", "a" * 255],
)
def test_text_arrives_byte_for_byte(reached: Reached, text: str) -> None:
    reached.org.insert(CASE, {"Subject": text})
    (seen,) = seen_of(reached.sync(), CASE)
    assert seen.wire["subject"] == text


# --- late commits and ties --------------------------------------------------------------------------


@pytest.mark.parametrize("age", [1 * SECONDS, 5 * SECONDS, 90 * SECONDS, 10 * MINUTES, 20 * MINUTES, 2 * HOURS])
def test_a_row_that_becomes_visible_with_an_old_stamp_is_read(reached: Reached, age: int) -> None:
    reached.sync()
    reached.later()
    held = reached.org.hold()
    with reached.org.within(held):
        (late,) = reached.cases(1)
    step = max(1, age // 4)
    for _ in range(4):
        reached.later(step)
        reached.cases(1)
        assert late not in ids_of(reached.sync())
    reached.org.commit_held(held)
    reached.later()
    assert late in ids_of(reached.sync())


def test_a_late_row_of_a_watched_object_is_read(reached: Reached) -> None:
    reached.sync()
    reached.later()
    held = reached.org.hold()
    with reached.org.within(held):
        (late,) = reached.org.insert(SUMMARY, [{"Name": "late", "Sfsync_Key__c": "ws:late"}])
    for _ in range(5):
        reached.later(10 * MINUTES)
        assert seen_of(reached.sync(), SUMMARY) == []
    reached.org.commit_held(held)
    reached.later()
    assert ids_of(reached.sync(), SUMMARY) == {late}


def test_a_bookmark_waits_for_the_oldest_transaction(reached: Reached) -> None:
    reached.sync()
    reached.later()
    began = reached.clock.now()
    held = reached.org.hold()
    reached.later(HOURS)
    reached.sync()
    assert all(bookmark.read_to is not None and bookmark.read_to <= began for bookmark in reached.bookmarks.values())
    reached.org.commit_held(held)
    reached.later()
    reached.sync()
    assert all(bookmark.read_to == reached.clock.now() for bookmark in reached.bookmarks.values())


def test_a_bookmark_never_goes_back(reached: Reached) -> None:
    reached.sync()
    high = reached.bookmarks[CASE].read_to
    reached.clock.set(reached.clock.now() - timedelta(minutes=5))
    reached.sync()
    assert reached.bookmarks[CASE].read_to == high


def test_five_thousand_rows_in_one_second_are_all_read_across_page_ends(small: Reached) -> None:
    small.sync()
    small.later()
    made = small.org.insert(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(5_000)])
    small.later()
    assert ids_of(small.sync(), PACK) == set(made)


def test_a_tie_with_the_newest_second_is_not_lost(reached: Reached) -> None:
    reached.sync()
    reached.later()
    (first,) = reached.cases(1)
    assert ids_of(reached.sync()) == {first}
    (tied,) = reached.cases(1)
    reached.later()
    assert tied in ids_of(reached.sync())


def test_a_row_stamped_just_before_an_empty_poll_is_not_lost(reached: Reached) -> None:
    reached.sync()
    reached.later()
    held = reached.org.hold()
    with reached.org.within(held):
        (late,) = reached.cases(1)
    reached.later(3)
    reached.sync()
    reached.org.commit_held(held)
    reached.later()
    assert late in ids_of(reached.sync())


# --- the whole life of a record ---------------------------------------------------------------------


@pytest.mark.parametrize("sobject", [CASE, SUMMARY])
def test_a_record_is_followed_into_the_recycle_bin_and_back(reached: Reached, sobject: str) -> None:
    values: dict[str, Any] = {"Name": "w", "Sfsync_Key__c": "ws:w"} if sobject == SUMMARY else {"Subject": "s"}
    (sf_id,) = reached.org.insert(sobject, values)
    reached.sync()
    reached.later()
    reached.org.delete(sobject, sf_id)
    reached.later()
    (seen,) = seen_of(reached.sync(), sobject)
    assert seen.deleted
    reached.later(HOURS)
    reached.org.undelete(sf_id)
    reached.later()
    (seen,) = seen_of(reached.sync(), sobject)
    assert not seen.deleted


@pytest.mark.parametrize("sobject", [CASE, SUMMARY])
def test_a_hard_delete_is_found_and_confirmed_by_id(reached: Reached, sobject: str) -> None:
    values: dict[str, Any] = {"Name": "w", "Sfsync_Key__c": "ws:w"} if sobject == SUMMARY else {"Subject": "s"}
    (sf_id,) = reached.org.insert(sobject, values)
    reached.sync()
    reached.later(HOURS)
    reached.org.delete(sobject, sf_id, hard=True)
    reached.later()
    (page,) = [page for page in reached.sync() if page.object == sobject]
    assert [gone for gone, _ in page.hard_deleted] == [sf_id]
    reached.later(HOURS)
    before = reached.calls()
    assert all(page.hard_deleted == () for page in reached.sync())
    assert reached.calls() - before == 1


def test_a_record_that_lost_a_merge_names_its_winner(reached: Reached) -> None:
    first, second = reached.cases(2)
    reached.sync()
    reached.later()
    reached.org.merge(CASE, first, [second])
    reached.later()
    loser = next(seen for seen in seen_of(reached.sync(), CASE) if seen.sf_id == second)
    assert loser.deleted
    assert loser.merged_into == first


def test_a_permission_that_was_lost_is_never_taken_for_deletions(reached: Reached) -> None:
    reached.cases(3)
    reached.sync()
    reached.later()
    reached.org.storage.db.execute('DELETE FROM "PermissionSetAssignment"')
    reached.org.access_changed()
    reached.later(2 * MINUTES)
    with pytest.raises(SchemaDrift) as drift:
        reached.sync()
    assert any("is missing, or hidden" in problem for problem in drift.value.problems)


# --- events -----------------------------------------------------------------------------------------


def test_the_history_of_a_case_comes_with_it(reached: Reached) -> None:
    (case,) = reached.cases(1)
    reached.later()
    reached.org.update(CASE, case, {"Status": "Working", "Maint_Priority__c": "P1"})
    reached.org.insert("CaseComment", {"ParentId": case, "CommentBody": "On it", "IsPublished": True})
    reached.org.insert("CaseComment", {"ParentId": case, "CommentBody": "internal", "IsPublished": False})
    (seen,) = seen_of(reached.sync(), CASE)
    changes = {(e.kind, e.field, e.old, e.new) for e in seen.events}
    assert ("field", "status", "New", "Working") in changes
    assert ("field", "priority", "P2", "P1") in changes
    assert [e.kind for e in seen.events].count("comment") == 1
    assert {e.by for e in seen.events} == {"admin@acme.example"}
    assert not any(e.by_service for e in seen.events)
    assert all(e.case == seen.key for e in seen.events)


def test_what_our_own_user_did_is_marked_as_the_services(reached: Reached) -> None:
    (case,) = reached.cases(1)
    reached.org.update(CASE, case, {"SLA_Status__c": "On track"}, user=reached.org.integration_id)
    (seen,) = seen_of(reached.sync(), CASE)
    (event,) = [e for e in seen.events if e.field == "sla_status"]
    assert event.by_service


def test_a_published_comment_is_seen_though_nobody_edits_the_case(reached: Reached) -> None:
    (case,) = reached.cases(1)
    reached.sync()
    reached.later(HOURS)
    reached.org.insert("CaseComment", {"ParentId": case, "CommentBody": "On it", "IsPublished": True})
    reached.later()
    (seen,) = seen_of(reached.sync(), CASE)
    assert [e.kind for e in seen.events] == ["comment"]


# --- cut short --------------------------------------------------------------------------------------


def test_a_read_that_was_cut_short_goes_on_behind_its_last_page(small: Reached) -> None:
    small.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(900)])
    small.later()
    ids = small.ids()
    checked = preflight(small.session, small.mappings, small.bookmarks, ids)
    pages = extract(small.session, small.mappings, small.bookmarks, ids, checked)
    for page in islice(pages, 3):
        small.absorb(page)
    absorbed = sum(1 for sobject, _ in small.records if sobject == PACK)
    assert 0 < absorbed < 900
    assert small.bookmarks[PACK].read_to is None
    again = small.sync()
    assert len(ids_of(again, PACK)) == 900 - absorbed
    assert sum(1 for sobject, _ in small.records if sobject == PACK) == 900
    assert small.bookmarks[PACK].checkpoint == ""


def test_wherever_a_read_is_cut_the_next_one_completes_it(small: Reached) -> None:
    """Kill after every page in turn, with people at work in between: the mirror ends equal to the org."""
    small.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(900)])
    dice = seeded("cut")
    for cut in range(12):
        small.later(30)
        for row in small.org.storage.rows('SELECT "Id" FROM "Maintenance_Pack__c" ORDER BY "Id" LIMIT 3'):
            small.org.update(PACK, row[0], {"Extension_Requested__c": dice.random() < 0.5})
        ids = small.ids()
        checked = preflight(small.session, small.mappings, small.bookmarks, ids)
        pages = extract(small.session, small.mappings, small.bookmarks, ids, checked)
        for page in islice(pages, cut):
            small.absorb(page)
    small.later()
    small.sync()
    stored = {
        r[0]: bool(r[1])
        for r in small.org.storage.rows('SELECT "Id", "Extension_Requested__c" FROM "Maintenance_Pack__c"')
    }
    mirrored = {seen.sf_id: seen.wire["extension_requested"] for (o, _), seen in small.records.items() if o == PACK}
    assert mirrored == stored


def test_a_lost_locator_is_no_lost_page(small: Reached) -> None:
    small.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(2_900)])
    small.later()
    ids = small.ids()
    session = small.connect()
    checked = preflight(session, small.mappings, small.bookmarks, ids)
    found: set[str] = set()
    for number, page in enumerate(extract(session, small.mappings, small.bookmarks, ids, checked)):
        found |= ids_of([page], PACK)
        if number in (2, 4):
            small.org.cursors.clear()
    assert len(found) == 2_900


def test_a_row_that_changes_while_pages_are_read_skips_no_other(small: Reached) -> None:
    """Its new stamp is ahead of its place: a checkpoint taken from it would pass over its neighbours."""
    start = small.clock.now() - timedelta(hours=10)
    rows = [
        {
            "Sfsync_Key__c": f"pk:{n:05d}",
            "SystemModstamp": (start + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for n in range(900)
    ]
    made = small.org.seed_rows(PACK, rows)
    ids = small.ids()
    checked = preflight(small.session, small.mappings, small.bookmarks, ids)
    pages = extract(small.session, small.mappings, small.bookmarks, ids, checked)
    while True:
        page = next(pages)
        small.absorb(page)
        if page.object == PACK:
            break
    small.later()
    small.org.update(PACK, made[399], {"Extension_Requested__c": True})  # the last row of the second page
    small.absorb(next(pages))
    pages.close()
    small.sync()
    assert {seen.sf_id for (o, _), seen in small.records.items() if o == PACK} == set(made)


def test_an_outage_in_the_middle_leaves_a_true_bookmark(small: Reached) -> None:
    small.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(1_900)])
    small.faults({"kind": "unavailable", "path": "composite", "calls": range(3, 60)})
    with pytest.raises(OrgUnavailable):
        small.sync()
    small.faults()
    small.later(HOURS)
    small.sync()
    assert sum(1 for sobject, _ in small.records if sobject == PACK) == 1_900


# --- Bulk -------------------------------------------------------------------------------------------


def test_a_large_first_load_goes_by_bulk_and_resumes_where_it_was_killed(small: Reached) -> None:
    rows = [{"Subject": f"Case {n}", "Description": "x", "Maint_Priority__c": "P3"} for n in range(5_500)]
    made = small.org.seed_rows(CASE, rows)
    small.org.update(CASE, made[17], {"Status": "Working"})
    small.session = small.connect(bulk_above_rows=5_000)
    small.later(HOURS)
    ids = small.ids()
    checked = preflight(small.session, small.mappings, small.bookmarks, ids)
    pages = extract(small.session, small.mappings, small.bookmarks, ids, checked)
    absorbed = 0
    while absorbed < 2_000:
        page = next(pages)
        absorbed += len(page.seen)
        small.absorb(page)
    pages.close()
    assert '"job"' in small.bookmarks[CASE].checkpoint
    small.later()
    jobs = small.session.calls.by_kind.get("jobs/query", 0)
    again = small.sync()
    cases = [seen for seen in seen_of(again, CASE) if seen.wire]
    assert len(cases) == 5_500 - absorbed
    assert {seen.sf_id for (o, _), seen in small.records.items() if o == CASE} == set(made)
    assert small.session.calls.by_kind["jobs/query"] > jobs
    events = [event for seen in seen_of(again, CASE) for event in seen.events]
    assert ("status", "New", "Working") in {(e.field, e.old, e.new) for e in events}
    assert small.bookmarks[CASE].checkpoint == ""
    small.later(HOURS)
    before = small.calls()
    small.sync()
    assert small.calls() - before == 1


def test_bulk_and_rest_show_the_same_records(reached: Reached) -> None:
    texts = ["NA", "None", "00123", "#N/A", 'say "hi"', "a,b", "two\nlines", "ăâîșț", "🙂"]
    rows = [{"Subject": text, "Maint_Priority__c": "P1", "Maint_Paused__c": n % 2 == 0} for n, text in enumerate(texts)]
    reached.org.insert(CASE, rows)
    reached.later()
    by_rest = {seen.sf_id: seen for seen in seen_of(reached.sync(), CASE)}
    reached.bookmarks.clear()
    reached.session = reached.connect(bulk_above_rows=1)
    by_bulk = {seen.sf_id: seen for seen in seen_of(reached.sync(), CASE) if seen.wire}
    assert reached.session.calls.by_kind["jobs/query"] > 0
    assert {i: (s.wire, s.stamp, s.created_at, s.key, s.modified_by) for i, s in by_bulk.items()} == {
        i: (s.wire, s.stamp, s.created_at, s.key, s.modified_by) for i, s in by_rest.items()
    }


def test_a_hard_delete_is_found_beside_a_large_read(reached: Reached) -> None:
    made = reached.cases(30)
    reached.later(HOURS)
    reached.sync()
    reached.later(HOURS)
    reached.session = reached.connect(bulk_above_rows=10)
    for sf_id in made[:20]:
        reached.org.update(CASE, sf_id, {"Subject": "changed"})
    reached.org.delete(CASE, made[25], hard=True)
    reached.org.delete(CASE, made[3])
    reached.later()
    pages = [page for page in reached.sync() if page.object == CASE]
    assert [gone for page in pages for gone, _ in page.hard_deleted] == [made[25]]
    assert {s.sf_id for s in seen_of(pages, CASE) if s.deleted} == {made[3]}
    assert reached.session.calls.by_kind["jobs/query"]


@pytest.mark.parametrize("kind", ["job_stuck", "job_failed"])
def test_a_query_job_that_comes_to_nothing_is_replaced_by_pages(reached: Reached, kind: str) -> None:
    made = set(reached.cases(30))
    reached.later(HOURS)
    reached.session = reached.connect(bulk_above_rows=10)
    reached.faults({"kind": kind})
    pages = reached.sync()
    assert {seen.sf_id for seen in seen_of(pages, CASE) if seen.wire} == made
    assert reached.bookmarks[CASE].checkpoint == ""
    assert reached.bookmarks[CASE].read_to is not None


@pytest.mark.parametrize("kind", ["reset_after", "cut_body", "unavailable", "session"])
@pytest.mark.parametrize("k", range(1, 8))
def test_a_bulk_load_survives_a_fault_at_any_of_its_calls(reached: Reached, kind: str, k: int) -> None:
    made = set(reached.cases(30))
    reached.later(HOURS)
    reached.session = reached.connect(bulk_above_rows=10)
    reached.faults({"kind": kind, "path": "jobs", "calls": [k]})
    pages = reached.sync()
    assert reached.org.faults.rules[0].struck == 1
    assert {seen.sf_id for seen in seen_of(pages, CASE) if seen.wire} == made
    assert reached.bookmarks[CASE].checkpoint == ""


# --- drift ------------------------------------------------------------------------------------------


def test_describes_are_asked_again_only_when_they_changed(reached: Reached) -> None:
    reached.sync()
    reached.later(HOURS)
    ids = reached.ids()
    assert preflight(reached.session, reached.mappings, reached.bookmarks, ids).described == ()


def test_a_mapping_that_changed_is_checked_though_the_org_did_not(reached: Reached) -> None:
    reached.sync()
    bookmark = reached.bookmarks[CASE]
    reached.bookmarks[CASE] = Bookmark(CASE, bookmark.read_to, "", bookmark.schema_seen.replace("|", "|0", 1))
    reached.later(HOURS)
    checked = preflight(reached.session, reached.mappings, reached.bookmarks, reached.ids())
    assert CASE in checked.described


# --- a walk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_after_a_random_walk_of_people_the_mirror_equals_the_org(seed: int) -> None:
    reached = Reached()
    dice = seeded(f"walk {seed}")
    alive: dict[str, set[str]] = {CASE: set(reached.cases(3)), SUMMARY: set()}
    binned: dict[str, set[str]] = {CASE: set(), SUMMARY: set()}
    held: list[Any] = []
    for step in range(60):
        reached.later(dice.choice([0, 1, 1, 5, 60, 900]))
        sobject = dice.choice([CASE, CASE, SUMMARY])
        act = dice.choice(["new", "edit", "edit", "delete", "undelete", "hard", "hold", "commit", "sync", "sync"])
        some = sorted(alive[sobject])
        if act == "new":
            values = {"Subject": f"s{step}"} if sobject == CASE else {"Name": "w", "Sfsync_Key__c": f"ws:{step}"}
            alive[sobject] |= set(reached.org.insert(sobject, values))
        elif act == "edit" and some:
            field = "Subject" if sobject == CASE else "Client_Comment__c"
            reached.org.update(sobject, dice.choice(some), {field: f"edit {step}"})
        elif act in ("delete", "hard") and some:
            gone = dice.choice(some)
            reached.org.delete(sobject, gone, hard=act == "hard")
            alive[sobject].discard(gone)
            if act == "delete":
                binned[sobject].add(gone)
        elif act == "undelete" and binned[sobject]:
            back = dice.choice(sorted(binned[sobject]))
            reached.org.undelete(back)
            binned[sobject].discard(back)
            alive[sobject].add(back)
        elif act == "hold" and not held:
            held.append(reached.org.hold())
            with reached.org.within(held[0]):
                reached.org.insert(CASE, {"Subject": f"held {step}"})
        elif act == "commit" and held:
            reached.org.commit_held(held.pop())
            alive[CASE] = {r[0] for r in reached.org.storage.rows('SELECT "Id" FROM "Case" WHERE "IsDeleted" = 0')}
        elif act == "sync":
            reached.sync()
    for one in held:
        reached.org.commit_held(one)
    reached.later(5 * MINUTES)
    reached.sync()
    for sobject, column, name in ((CASE, "Subject", "subject"), (SUMMARY, "Client_Comment__c", "client_comment")):
        rows = reached.org.storage.rows(f'SELECT "Id", "{column}" FROM "{sobject}" WHERE "IsDeleted" = 0')
        mirrored = {s.sf_id: s.wire[name] for (o, _), s in reached.records.items() if o == sobject and not s.deleted}
        assert mirrored == {r[0]: r[1] for r in rows}, f"seed {seed}"
