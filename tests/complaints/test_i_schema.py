"""Complaint 64: formulas that never sync, fields that act like formulas, rows nobody wanted, and a slow discovery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfsync.mirror.compare import Kind
from tests.complaints.scene import CASE, ENTRY, HOUR, MINUTE, equal, links, quiet, wire
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


def worked(stage: Stage) -> list[str]:
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    entries = [stage.log(case, 30) for _ in range(3)]
    quiet(stage)
    return entries


def test_complaint_64_a_formula_follows_its_record(stage: Stage) -> None:
    entries = worked(stage)
    stage.org.update(ENTRY, entries[0], {"Minutes__c": 90})
    quiet(stage)
    assert str(wire(links(stage, ENTRY), "hours")[entries[0]]) == "1.50"
    equal(stage)


def test_complaint_64_a_formula_that_was_redefined_is_found_and_read_again(stage: Stage) -> None:
    entries = worked(stage)
    hours = stage.org.schema[ENTRY].fields["Hours__c"]
    stage.org.schema.put_field(ENTRY, replace(hours, formula="Minutes__c / 15"))
    stage.org.access_changed()
    found = stage.runtime.audit("acme", repair=True)[0].differences
    assert {(d.sf_id, d.kind, d.field) for d in found} == {(e, Kind.CHANGED, "hours") for e in entries}
    quiet(stage)
    assert {str(value) for value in wire(links(stage, ENTRY), "hours").values()} == {"2.00"}


def test_complaint_64_a_stored_field_that_changes_without_a_stamp_is_found_like_a_formula(stage: Stage) -> None:
    entries = worked(stage)
    with stage.org.storage.unit():
        stage.org.storage.update(ENTRY, ["Minutes__c"], [(45, entries[1])])
    quiet(stage)
    found = stage.runtime.audit("acme", repair=True)[0].differences
    assert {d.sf_id for d in found} == {entries[1]}
    stage.later(minutes=1)
    quiet(stage)
    assert sum(stage.runtime.store.balances("acme").values()) == 2400 - 105
    equal(stage)


def test_complaint_64_rows_of_objects_that_are_not_mapped_cost_nothing(reached: Reached) -> None:
    reached.org.insert("Account", [{"Name": str(n)} for n in range(200)])
    reached.org.insert("Contact", [{"LastName": str(n)} for n in range(200)])
    reached.sync()
    assert not any("Contact" in str(entry.query) + entry.path for entry in reached.org.journal.entries)
    assert {sobject for sobject, _ in reached.records} <= set(reached.mappings.by_object)
    assert reached.calls() <= 3


@pytest.mark.parametrize("minutes", [1, 15])
def test_complaint_64_a_change_is_there_with_the_next_poll_without_any_change_event(
    reached: Reached, minutes: int
) -> None:
    [case] = reached.cases(1)
    reached.sync()
    reached.later(HOUR)
    reached.sync()
    reached.org.update(CASE, case, {"Subject": "changed"})
    reached.later(minutes * MINUTE)
    before = reached.calls()
    reached.sync()
    assert {s.wire["subject"] for (o, _), s in reached.records.items() if o == CASE} == {"changed"}
    assert reached.calls() - before == 1


def test_complaint_64_the_schema_of_all_mapped_objects_is_known_after_one_call(reached: Reached) -> None:
    reached.sync()
    described = [entry for entry in reached.org.journal.entries if "describe" in entry.path and entry.cost]
    assert described == [], "an object was described in a call of its own"
    assert not any(entry.path.rstrip("/").endswith("/sobjects") for entry in reached.org.journal.entries)
    assert set(reached.session.schema) == set(reached.mappings.by_object)
