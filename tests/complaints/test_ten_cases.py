"""The ten cases in which known products lose or change records, and what else may come between; all on the whole line.

Each is run by pages and by Bulk jobs. After a quiet moment the audit must say: no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sfsync.clock import seeded
from sfsync.errors import SchemaDrift
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import Field, SchemaChange
from sfsync.mirror.compare import Kind
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from tests.complaints.scene import ACCOUNT, CASE, ENTRY, HOUR, MINUTE, PACK, TEXTS, alive, equal, links, quiet, wire
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


def used_bulk(stage: Stage) -> bool:
    return any("/jobs/query" in entry.path for entry in stage.org.journal.entries)


def by_bulk(stage: Stage) -> bool:
    return stage.more.get("bulk_above_rows") == 1


def worked(stage: Stage, entries: int = 3) -> tuple[str, list[str]]:
    """A client with a pack, an approved case and some work, synced."""
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    made = [stage.log(case, 30) for _ in range(entries)]
    quiet(stage)
    return case, made


def balance(stage: Stage) -> int:
    return sum(stage.runtime.store.balances("acme").values())


# --- the ten ----------------------------------------------------------------------------------------


def test_case_1_texts_that_read_like_nothing_are_kept(line: Stage) -> None:
    made = {line.case(Subject=text): text for text in ("NA", "None", "N/A", "null", "nan", "#N/A", "NULL", "-")}
    quiet(line)
    assert wire(links(line, CASE), "subject") == made
    assert used_bulk(line) == by_bulk(line)
    equal(line)


def test_case_2_leading_zeros_line_ends_quotes_and_unicode_are_kept(line: Stage) -> None:
    made = {line.case(Subject=text): text for text in TEXTS}
    quiet(line)
    assert wire(links(line, CASE), "subject") == made
    assert {case.subject for case in line.runtime.store.facts("acme").cases.values()} == set(TEXTS)
    assert used_bulk(line) == by_bulk(line)
    equal(line)


def late(stage: Stage, age: int) -> None:
    """A consultant's long transaction: stamped now, visible ``age`` seconds later, with syncs in between."""
    case, _ = worked(stage)
    held = stage.org.hold()
    with stage.org.within(held):
        entry = stage.log(case, 60)
    for _ in range(2):
        stage.clock.advance(age / 2)
        stage.log(case, 1)  # somebody else commits at once and pushes the newest stamp ahead
        stage.runtime.sync("acme")
        assert entry not in links(stage, ENTRY)
    stage.org.commit_held(held)
    quiet(stage)
    assert entry in alive(stage, ENTRY)
    assert balance(stage) == 2400 - 3 * 30 - 2 - 60
    equal(stage)


def test_case_3_a_row_that_becomes_visible_with_a_stamp_90_seconds_old_is_read(line: Stage) -> None:
    late(line, 90)


def test_case_4_a_row_that_becomes_visible_with_a_stamp_20_minutes_old_is_read(line: Stage) -> None:
    late(line, 20 * MINUTE)


def test_a_row_that_becomes_visible_with_a_stamp_2_hours_old_is_read(line: Stage) -> None:
    late(line, 2 * HOUR)


def test_case_5_a_tie_with_the_newest_second_is_read(line: Stage) -> None:
    case, _ = worked(line)
    first = line.log(case, 10)
    line.runtime.sync("acme")
    assert first in alive(line, ENTRY)
    tied = line.log(case, 20)
    stamps = {line.shown(ENTRY, entry)["SystemModstamp"] for entry in (first, tied)}
    assert by_bulk(line) or len(stamps) == 1, "waiting for jobs takes time; pages take none"
    quiet(line)
    assert {first, tied} <= alive(line, ENTRY)
    equal(line)


def test_case_6_a_row_stamped_3_seconds_before_an_empty_poll_is_read(line: Stage) -> None:
    case, _ = worked(line)
    line.later(hours=3)
    held = line.org.hold()
    with line.org.within(held):
        entry = line.log(case, 20)
    line.clock.advance(3)
    assert line.runtime.sync("acme").absorbed == 0
    line.org.commit_held(held)
    quiet(line)
    assert entry in alive(line, ENTRY)
    equal(line)


def test_case_7_a_soft_delete_is_seen_and_gives_the_minutes_back(line: Stage) -> None:
    _, entries = worked(line)
    line.org.delete(ENTRY, entries[1])
    quiet(line)
    assert alive(line, ENTRY) == {entries[0], entries[2]}
    assert balance(line) == 2400 - 60
    equal(line)


def test_case_8_an_undelete_is_seen_and_counts_again(line: Stage) -> None:
    _, entries = worked(line)
    line.org.delete(ENTRY, entries[1])
    quiet(line)
    line.org.undelete(entries[1])
    quiet(line)
    assert alive(line, ENTRY) == set(entries)
    assert balance(line) == 2400 - 90
    equal(line)


def test_case_9_a_hard_delete_is_seen_and_gives_the_minutes_back(line: Stage) -> None:
    case, entries = worked(line)
    line.later(hours=1)
    line.org.delete(ENTRY, entries[0], hard=True)
    for _ in range(2):
        line.log(case, 30)  # something else to read beside it
    quiet(line)
    assert entries[0] not in alive(line, ENTRY)
    assert balance(line) == 2400 - 4 * 30
    equal(line)


def test_case_10_a_formula_that_changes_without_a_stamp_is_found_and_repaired(line: Stage) -> None:
    _, entries = worked(line)
    before = {entry: line.shown(ENTRY, entry)["SystemModstamp"] for entry in entries}
    hours = line.org.schema[ENTRY].fields["Hours__c"]
    line.org.schema.put_field(ENTRY, replace(hours, formula="Minutes__c / 30"))
    line.org.access_changed()
    certificate, _ = line.runtime.audit("acme", repair=True)
    assert {(d.sf_id, d.kind, d.field) for d in certificate.differences} == {
        (entry, Kind.CHANGED, "hours") for entry in entries
    }
    assert {entry: line.shown(ENTRY, entry)["SystemModstamp"] for entry in entries} == before
    quiet(line)
    assert {str(value) for value in wire(links(line, ENTRY), "hours").values()} == {"1.00"}
    equal(line)


# --- many at once -----------------------------------------------------------------------------------


def in_one_second(org: LocalOrg) -> list[str]:
    stamp = (org.now() - timedelta(minutes=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return org.seed_rows(CASE, [{"Subject": f"{n}", "SystemModstamp": stamp} for n in range(5_000)])


def test_5000_rows_of_one_second_are_all_read_across_page_ends(stage: Stage) -> None:
    made = in_one_second(stage.org)
    assert stage.runtime.sync("acme").read >= 5_000
    assert alive(stage, CASE) == set(made)
    assert stage.runtime.audit("acme")[0].differences == ()


def test_5000_rows_of_one_second_are_all_read_by_bulk(reached: Reached) -> None:
    made = in_one_second(reached.org)
    reached.session = reached.connect(bulk_above_rows=1_000)
    reached.sync()
    assert reached.session.calls.by_kind["jobs/query"]
    assert {seen.sf_id for (sobject, _), seen in reached.records.items() if sobject == CASE} == set(made)


# --- a schema that moves ----------------------------------------------------------------------------


def half_read(reached: Reached, by: str, patch: pytest.MonkeyPatch) -> set[str]:
    """Leave a first load of 600 cases in its middle; return their ids."""
    made = set(reached.cases(600))
    reached.later(HOUR)
    reached.page_rows = 200
    patch.setattr("sfsync.org.bulkread.PAGE_ROWS", 200)
    reached.session = reached.connect(bulk_above_rows=100 if by == "bulk" else 20_000)
    ids = reached.ids()
    checked = preflight(reached.session, reached.mappings, reached.bookmarks, ids)
    pages = extract(reached.session, reached.mappings, reached.bookmarks, ids, checked)
    while not any(sobject == CASE for sobject, _ in reached.records):
        reached.absorb(next(pages))
    pages.close()
    assert 0 < sum(sobject == CASE for sobject, _ in reached.records) < 600
    assert ("job" in reached.bookmarks[CASE].checkpoint) == (by == "bulk")
    return made


@pytest.mark.parametrize("by", ["pages", "bulk"])
def test_a_field_added_in_mid_load_loses_no_row(reached: Reached, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = half_read(reached, by, monkeypatch)
    added = Field("Client_Note__c", "string", "Client Note", length=80)
    reached.org.schema_change(SchemaChange(fields=[(CASE, added)]))
    reached.later(2 * MINUTE)
    reached.sync()
    assert {seen.sf_id for (sobject, _), seen in reached.records.items() if sobject == CASE} == made
    assert reached.bookmarks[CASE].checkpoint == ""


@pytest.mark.parametrize("by", ["pages", "bulk"])
def test_a_field_removed_in_mid_load_pauses_and_loses_no_row(
    reached: Reached, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = half_read(reached, by, monkeypatch)
    before = (dict(reached.bookmarks), dict(reached.records))
    category = reached.org.schema[CASE].fields["Maint_Category__c"]
    reached.org.schema_change(SchemaChange(removed_fields=[(CASE, "Maint_Category__c")]))
    reached.later(2 * MINUTE)
    with pytest.raises(SchemaDrift, match="Maint_Category__c"):
        reached.sync()
    assert (reached.bookmarks, reached.records) == before
    reached.org.schema_change(SchemaChange(fields=[(CASE, category)]))
    reached.later(2 * MINUTE)
    reached.sync()
    assert {seen.sf_id for (sobject, _), seen in reached.records.items() if sobject == CASE} == made


# --- a walk of people -------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "seed"), [("pages", 1), ("pages", 2), ("pages", 3), ("bulk", 4), ("bulk", 5)])
def test_after_a_random_walk_of_people_the_audit_finds_no_difference(
    staged: Callable[..., Stage], by: str, seed: int
) -> None:
    """The seed of a walk stands in the name of its test."""
    stage = staged(bulk_above_rows=3) if by == "bulk" else staged()
    dice = seeded(f"complaints {seed}")
    stage.buy("flexi", 9)
    cases = [stage.case() for _ in range(2)]
    for case in cases:
        stage.approve(stage.estimate(case, 600))
    living: dict[str, set[str]] = {CASE: set(cases), ENTRY: set()}
    binned: set[str] = set()
    held: list[Any] = []
    for _ in range(40):
        stage.clock.advance(dice.choice([0, 1, 5, 60, 900]))
        act = dice.choice(["log", "log", "edit", "edit", "retitle", "delete", "back", "hard", "hold", "commit", "sync"])
        entries = sorted(living[ENTRY])
        if act == "log" and living[CASE]:
            living[ENTRY].add(stage.log(dice.choice(sorted(living[CASE])), dice.randrange(5, 60, 5)))
        elif act == "edit" and entries:
            stage.org.update(ENTRY, dice.choice(entries), {"Minutes__c": dice.randrange(5, 90, 5)})
        elif act == "retitle":
            stage.org.update(CASE, dice.choice(cases), {"Subject": dice.choice(TEXTS)})
        elif act in ("delete", "hard") and entries:
            gone = dice.choice(entries)
            stage.org.delete(ENTRY, gone, hard=act == "hard")
            living[ENTRY].discard(gone)
            binned |= {gone} if act == "delete" else set()
        elif act == "back" and binned:
            back = dice.choice(sorted(binned))
            stage.org.undelete(back)
            binned.discard(back)
            living[ENTRY].add(back)
        elif act == "hold" and not held:
            held.append(stage.org.hold())
            with stage.org.within(held[0]):
                living[ENTRY].add(late := stage.log(cases[0], 10))
                held.append(late)
            living[ENTRY].discard(late)
        elif act == "commit" and held:
            stage.org.commit_held(held[0])
            living[ENTRY].add(held[1])
            held.clear()
        elif act == "sync":
            stage.runtime.sync("acme")
    if held:
        stage.org.commit_held(held[0])
        living[ENTRY].add(held[1])
    quiet(stage)
    equal(stage)
    assert alive(stage, ENTRY) == living[ENTRY]
    counted = sum(row["Minutes__c"] for row in stage.rows(ENTRY) if row["State__c"] == "Counted")
    assert balance(stage) == 9 * 480 - counted
    assert used_bulk(stage) == (by == "bulk")


# --- answers that are lost --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "kind", "path"),
    [("composite", "reset_after", "/services/data/"), ("bulk", "timeout_after", "/jobs/ingest")],
)
def test_whichever_answer_of_a_run_is_lost_there_is_no_twin_and_every_outcome_is_known(
    stage: Stage, way: str, kind: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut after the org carried out the k-th request of a run, for every k."""
    if way == "bulk":
        monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 2)
    else:  # small collections, one a call: a run of a few rows is many calls
        monkeypatch.setattr("sfsync.org.transport.COLLECTION", 2)
        monkeypatch.setattr("sfsync.org.composite.MAX_COSTLY", 1)
    stage.buy("flexi", 5, key="pk:first")
    quiet(stage)
    struck = 0
    for k in range(1, 60):
        stage.buy("flexi", 1, key=f"pk:{k}")
        for case in [stage.case(Subject=f"{k} {n}") for n in range(2)]:
            stage.approve(stage.estimate(case, 60))
            stage.log(case, 10)
        stage.org.faults = Faults.of([{"kind": kind, "path": path, "calls": [k]}])
        report = stage.runtime.sync("acme")
        [rule] = stage.org.faults.rules
        stage.org.faults = Faults()
        # a pack, the account, and two cases with estimate and entry each
        assert (report.wrote >= 8, report.refused, report.later) == (True, 0, 0), f"k {k}: {report}"
        stage.later(minutes=1)
        assert stage.runtime.sync("acme").wrote == 0, f"k {k}: an outcome was lost"
        keys = [row["Sfsync_Key__c"] for row in stage.rows(PACK)]
        assert sorted(keys) == sorted({"pk:first", *(f"pk:{n}" for n in range(1, k + 1))}), f"k {k}"
        assert len(stage.rows(ACCOUNT)) == 1
        if not rule.struck:
            break
        struck += 1
    assert struck >= 5, "the run was too short to say anything"
    quiet(stage)
    equal(stage)
