"""Complaints 44 and 45: whole loads in memory, and loads that begin again from nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import islice

import pytest

from sfsync.org import bulk
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from tests.complaints.scene import CASE, HOUR
from tests.contract.org.reached import Reached

ROW = b'"5003000000D8cuIAAR","a subject that is neither short nor long","P2"\n'


def peak(rows: int) -> int:
    """Return the most memory that reading a result of so many rows takes, in bytes."""

    def pieces() -> Iterator[bytes]:
        yield b'"Id","Subject","Priority"\n'
        for _ in range(rows // 500):
            yield ROW * 500

    tracemalloc.start()
    try:
        assert sum(1 for _ in bulk.read_csv(pieces())) == rows + 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_complaint_44_memory_does_not_grow_with_the_number_of_rows() -> None:
    few, many = peak(2_000), peak(40_000)
    assert many < few * 1.5 < 5_000_000


def test_complaint_44_no_page_of_a_bulk_load_is_larger_than_one_transaction(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.bulkread.PAGE_ROWS", 100)
    reached.cases(950)
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=200)
    sizes = [len(page.seen) for page in reached.sync() if page.object == CASE]
    assert max(sizes) == 100
    assert sum(sizes) == 950


def test_complaint_45_a_load_killed_after_any_page_goes_on_behind_it(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.bulkread.PAGE_ROWS", 50)
    made = reached.cases(330)
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=200)
    shown: list[str] = []
    kills = 0
    while CASE not in reached.bookmarks or reached.bookmarks[CASE].checkpoint or not shown:
        ids = reached.ids()
        checked = preflight(reached.session, reached.mappings, reached.bookmarks, ids)
        pages = extract(reached.session, reached.mappings, reached.bookmarks, ids, checked)
        for page in islice((p for p in pages if p.object == CASE), 2):
            reached.absorb(page)
            shown += [seen.sf_id for seen in page.seen if seen.wire]
        pages.close()
        kills += 1
        assert kills < 30, "the load never ends"
    assert kills > 3
    assert sorted(shown) == sorted(made), "a row was read twice or never"
