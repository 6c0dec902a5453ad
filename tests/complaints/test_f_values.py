"""Complaints 46 to 55: values that changed on their way through files, and nulls that were none."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.mirror.plan import Change, Result
from sfsync.org import bulk
from tests.complaints.scene import CASE, ESTIMATE, HOUR, PACK, TEXTS, equal, links, quiet, wire
from tests.contract.org.reached import Reached, seen_of
from tests.e2e.stage import Stage

WAYS = pytest.mark.parametrize("way", ["composite", "bulk"])


@pytest.fixture
def ready(reached: Reached) -> Reached:
    """An org that was read once."""
    reached.sync()
    reached.later(HOUR)
    return reached


def read(reached: Reached, by: str) -> dict[str, Any]:
    """Read every case by pages or by Bulk; return their values by id."""
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=1 if by == "bulk" else 20_000)
    found = {seen.sf_id: seen.wire for seen in seen_of(reached.sync(), CASE) if seen.wire}
    assert bool(reached.session.calls.by_kind.get("jobs/query")) == (by == "bulk")
    return found


def write(ready: Reached, way: str, patch: pytest.MonkeyPatch, changes: list[Change]) -> None:
    """Write ``changes`` by collections or by a Bulk job; all of them are accepted."""
    patch.setattr("sfsync.org.transport.BULK_FROM", 1 if way == "bulk" else 6_000)
    assert {o.result for o in ready.write(changes)} == {Result.DONE}
    assert bool(ready.session.calls.by_kind.get("jobs/ingest")) == (way == "bulk")


def stored(reached: Reached, column: str) -> dict[str, Any]:
    return dict(reached.org.storage.rows(f'SELECT "Sfsync_Key__c", "{column}" FROM "{PACK}"'))


def packs(*fields: dict[str, Any], revision: int = 1) -> list[Change]:
    return [Change(PACK, f"pk:{n}", None, values, revision=revision) for n, values in enumerate(fields)]


@pytest.mark.parametrize("by", ["pages", "bulk"])
def test_complaint_46_na_none_and_n_a_are_words_and_not_null(reached: Reached, by: str) -> None:
    texts = ["NA", "None", "N/A", "#N/A", "null", "NULL", "nan", "NaN", "-", None]
    made = dict(zip(reached.org.insert(CASE, [{"Subject": text} for text in texts]), texts, strict=True))
    assert {sf_id: values["subject"] for sf_id, values in read(reached, by).items()} == made


def test_complaint_47_digits_in_text_stay_text_down_to_the_store(line: Stage) -> None:
    texts = ["01234", "1234.0", "123456789012345678", "8.2e+17", "+40", "0x1F", "1_000", "2026-01-01"]
    made = {line.case(Subject=text): text for text in texts}
    quiet(line)
    assert wire(links(line, CASE), "subject") == made
    assert {case.subject for case in line.runtime.store.facts("acme").cases.values()} == set(texts)
    assert all(len(sf_id) == 18 for sf_id in links(line, CASE))


@pytest.mark.parametrize("by", ["pages", "bulk"])
def test_complaint_48_a_nul_does_not_end_the_file(reached: Reached, by: str) -> None:
    made = reached.org.insert(CASE, [{"Subject": str(n)} for n in range(3)])
    with reached.org.storage.unit():
        reached.org.storage.update(CASE, ["Subject"], [("be\x00fore", made[1])])
    found = read(reached, by)
    assert set(found) == set(made)
    assert found[made[1]]["subject"] == "be\x00fore"


def test_complaint_48_a_nul_is_shown_as_its_symbol_and_stops_nobody_else(line: Stage) -> None:
    made = [line.case(Subject=str(n)) for n in range(3)]
    with line.org.storage.unit():
        line.org.storage.update(CASE, ["Subject"], [("be\x00fore", made[1])])
    quiet(line)
    assert wire(links(line, CASE), "subject") == {made[0]: "0", made[1]: "be\u2400fore", made[2]: "2"}
    equal(line)


def test_complaint_49_a_cell_longer_than_python_reads_by_itself_is_read() -> None:
    long = "ü" * 200_000 + '"'
    body = bulk.write_csv(["Id", "Text"], [["1", long], ["2", "next"]])
    pieces = [body[n : n + 65_536] for n in range(0, len(body), 65_536)]
    assert list(bulk.read_csv(pieces)) == [["Id", "Text"], ["1", long], ["2", "next"]]


def test_complaint_49_the_longest_mapped_text_arrives_whole(line: Stage) -> None:
    text = "ü\n" * 3_999 + "🙂"
    estimates = [line.estimate(line.case(), 60, What_We_Will_Do__c=text) for _ in range(2)]
    quiet(line)
    assert wire(links(line, ESTIMATE), "what_we_will_do") == dict.fromkeys(estimates, text)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_complaint_50_characters_cut_between_pieces_are_put_together(size: int) -> None:
    rows = [["Id", "Text"], ["1", "ăâîșț ñ 漢字 🙂"], ["2", 'two\nlines, "quoted"'], ["3", ""]]
    body = bulk.write_csv(rows[0], rows[1:])
    assert list(bulk.read_csv(body[n : n + size] for n in range(0, len(body), size))) == rows


@WAYS
def test_complaint_51_null_clears_a_field(ready: Reached, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = {"plan": "Pro", "sync_message": "hello", "activated_on": "2026-11-01", "packs_bought": 3}
    write(ready, way, monkeypatch, packs(full, full))
    write(
        ready, way, monkeypatch,
        packs({"sync_message": None, "activated_on": None, "packs_bought": None}, {"plan": "Pro"}, revision=2),
    )  # fmt: skip
    assert stored(ready, "Sync_Message__c") == {"pk:0": None, "pk:1": "hello"}
    assert stored(ready, "Starts_On__c") == {"pk:0": None, "pk:1": "2026-11-01"}
    assert stored(ready, "Packs_Bought__c") == {"pk:0": None, "pk:1": 3}


@WAYS
def test_complaint_52_a_field_that_a_row_does_not_write_is_left_alone(
    ready: Reached, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = {"plan": "Pro", "sync_message": "hello", "currency": "EUR"}
    write(ready, way, monkeypatch, packs(full, full))
    write(ready, way, monkeypatch, packs({"sync_message": "new"}, {"currency": "RON"}, revision=2))
    assert stored(ready, "Sync_Message__c") == {"pk:0": "new", "pk:1": "hello"}
    assert stored(ready, "Currency_Code__c") == {"pk:0": "EUR", "pk:1": "RON"}


@WAYS
def test_complaint_53_null_is_never_written_or_read_as_a_word(
    ready: Reached, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [None, "null", "None", "NULL"]
    write(ready, way, monkeypatch, packs(*({"plan": "Pro", "sync_message": text} for text in texts)))
    assert stored(ready, "Sync_Message__c") == {f"pk:{n}": text for n, text in enumerate(texts)}
    ready.later(HOUR)
    ready.session = ready.connect(bulk_above_rows=1 if way == "bulk" else 20_000)
    found = {seen.key: seen.wire["sync_message"] for seen in seen_of(ready.sync(), PACK) if seen.wire}
    assert found == stored(ready, "Sync_Message__c")


@WAYS
@pytest.mark.parametrize(
    ("first", "second", "column"),
    [
        ({}, {"sync_message": "kept"}, "Sync_Message__c"),
        ({"sync_message": None}, {"sync_message": "kept"}, "Sync_Message__c"),
        ({"extended": False}, {"extended": True}, "Extended__c"),
        ({"packs_bought": 0}, {"packs_bought": 7}, "Packs_Bought__c"),
    ],
)
def test_complaint_54_a_column_is_written_though_the_first_row_has_nothing_in_it(
    ready: Reached,
    way: str,
    first: dict[str, Any],
    second: dict[str, Any],
    column: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = {"plan": "Pro"}
    write(ready, way, monkeypatch, packs({**plan, **first}, {**plan, **second}, plan))
    assert stored(ready, column)["pk:1"] == next(iter(second.values()))


@WAYS
def test_complaint_55_rows_that_name_their_fields_in_another_order_keep_each_value_in_its_field(
    ready: Reached, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"plan": "Pro", "sync_message": "m", "currency": "EUR", "status": "Active", "activated_on": "2026-11-01"}
    turned = [dict(list(values.items())[n:] + list(values.items())[:n]) for n in range(5)]
    write(ready, way, monkeypatch, packs(*turned))
    for column, value in (("Sync_Message__c", "m"), ("Currency_Code__c", "EUR"), ("Status__c", "Active")):
        assert set(stored(ready, column).values()) == {value}


def test_every_odd_text_goes_to_the_org_and_back_unchanged(ready: Reached) -> None:
    made = packs(*({"plan": "Pro", "sync_message": text} for text in TEXTS))
    assert {o.result for o in ready.write(made)} == {Result.DONE}
    assert stored(ready, "Sync_Message__c") == {f"pk:{n}": text for n, text in enumerate(TEXTS)}
    ready.later(HOUR)
    found = {seen.key: seen.wire["sync_message"] for seen in seen_of(ready.sync(), PACK)}
    assert found == stored(ready, "Sync_Message__c")


def test_what_people_write_oddly_leaves_org_and_store_equal(line: Stage) -> None:
    for text in TEXTS:
        line.case(Subject=text)
    quiet(line)
    equal(line)
