"""A record is who its id says: a key that a person edits, clears, swaps or copies is put back and moves no hour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.complaints.scene import ENTRY, PACK, equal, links, quiet
from tests.e2e.stage import Stage

KEY = "Sfsync_Key__c"


@pytest.fixture(params=[20_000, 1], ids=["pages", "bulk"])
def worked(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """Two packs, a case, and hours logged on it; everything quiet."""
    stage = Stage(tmp_path, database_url, bulk_above_rows=request.param)
    stage.deploy()
    stage.buy("flexi", 3, key="pk:1")
    stage.buy("pro", 5, key="pk:2")
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    stage.log(case, 90)
    quiet(stage)
    yield stage
    stage.runtime.close()


def edit(stage: Stage, sobject: str, record: str, values: dict[str, Any]) -> None:
    """Another program that may write everything, such as an import by an administrator, changes a record."""
    stage.org.update(sobject, record, values, user=stage.org.integration_id)


def packs(stage: Stage) -> dict[str, str]:
    """Return the id of each pack by the key it carries."""
    return {str(row[KEY]): row["Id"] for row in stage.rows(PACK)}


def held(stage: Stage) -> dict[str, object]:
    """Return what each pack holds in the org, by id."""
    return {row["Id"]: (row["Type__c"], row["Hours_Bought__c"], row["Hours_Used__c"]) for row in stage.rows(PACK)}


def put_back(stage: Stage) -> list[tuple[object, object, object]]:
    found = [row for row in stage.runtime.store.conflicts("acme") if row["field"] == KEY]
    assert {row["kind"] for row in found} <= {"hand_edit"}
    return [(row["key"], row["lost"], row["kept"]) for row in found]


@pytest.mark.parametrize("edited", ["pk:stolen", "nonsense", None])
def test_a_key_that_a_person_edits_is_put_back_and_the_record_stays_itself(worked: Stage, edited: str | None) -> None:
    before, ids, balances = held(worked), packs(worked), worked.runtime.store.balances("acme")
    edit(worked, PACK, ids["pk:1"], {KEY: edited, "Hours_Bought__c": 1})
    report = worked.sync()
    assert (report.refused, report.hand_edits) == (0, 2), "the key and the hours"
    quiet(worked)
    assert packs(worked) == ids
    assert held(worked) == before
    assert worked.runtime.store.balances("acme") == balances
    assert worked.runtime.store.quarantined("acme") == []
    assert put_back(worked) == [("pk:1", edited if edited == "pk:stolen" else None, "pk:1")]
    equal(worked)


def test_keys_that_are_swapped_are_swapped_back_and_no_content_moves(worked: Stage) -> None:
    before, ids, balances = held(worked), packs(worked), worked.runtime.store.balances("acme")
    edit(worked, PACK, ids["pk:1"], {KEY: None})
    edit(worked, PACK, ids["pk:2"], {KEY: "pk:1"})
    edit(worked, PACK, ids["pk:1"], {KEY: "pk:2"})
    quiet(worked)
    assert packs(worked) == ids
    assert held(worked) == before
    assert worked.runtime.store.balances("acme") == balances
    assert worked.runtime.store.quarantined("acme") == []
    assert sorted(put_back(worked), key=str) == [("pk:1", "pk:2", "pk:1"), ("pk:2", "pk:1", "pk:2")]
    equal(worked)


def test_a_key_written_into_a_record_of_people_is_taken_out_again(worked: Stage) -> None:
    [entry] = [row["Id"] for row in worked.rows(ENTRY)]
    balances = worked.runtime.store.balances("acme")
    [(before, _)] = [(link.key, link.sf_id) for link in links(worked, ENTRY).values()]
    edit(worked, ENTRY, entry, {KEY: "te:mine"})
    quiet(worked)
    assert worked.shown(ENTRY, entry)[KEY] is None
    assert [link.key for link in links(worked, ENTRY).values()] == [before]
    assert worked.runtime.store.balances("acme") == balances
    equal(worked)


def test_a_new_record_that_carries_the_key_of_a_living_one_is_a_record_of_its_own(worked: Stage) -> None:
    ids, balances = packs(worked), worked.runtime.store.balances("acme")
    edit(worked, PACK, ids["pk:1"], {KEY: "pk:9"})
    [copy] = worked.org.insert(
        PACK, {KEY: "pk:1", "Type__c": "Flexi", "Hours_Bought__c": 800}, user=worked.org.integration_id
    )
    for _ in range(5):
        worked.sync()
    assert packs(worked)["pk:1"] == ids["pk:1"]
    assert worked.shown(PACK, copy)[KEY] is None
    assert worked.runtime.store.balances("acme") == balances, "the copy's hours were counted"


def test_a_record_that_was_deleted_and_imported_again_with_its_key_is_the_same_record(worked: Stage) -> None:
    ids = packs(worked)
    row = {name: value for name, value in worked.shown(PACK, ids["pk:2"]).items() if name in (KEY, "Type__c")}
    worked.org.delete(PACK, ids["pk:2"])
    [again] = worked.org.insert(PACK, row, user=worked.org.integration_id)
    quiet(worked)
    assert links(worked, PACK)[again].key == "pk:2"
    assert not links(worked, PACK)[again].deleted
