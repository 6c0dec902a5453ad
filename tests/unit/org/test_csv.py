"""Bulk CSV: whatever was written is read, and a file that was cut anywhere is no file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.org.bulk import read_csv, write_csv
from sfsync.org.faults import OutcomeUnknown

CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(
    st.integers(1, 4).flatmap(lambda w: st.lists(st.lists(CELL, min_size=w, max_size=w), min_size=1)), st.integers(1, 9)
)
def test_rows_survive_the_way_in_pieces_of_any_size(rows: list[list[str]], size: int) -> None:
    """Carriage returns aside, which Salesforce itself keeps as line feeds."""
    rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    content = write_csv(rows[0], rows[1:])
    assert list(read_csv(pieces(content, size))) == rows


@pytest.mark.parametrize("cell", ["x" * 200_000, "é" * 140_000, "🙂" * 131_072, "a\x00b", '"', "\n\n", "'", " pad "])
def test_a_cell_of_any_length_and_kind_is_read(cell: str) -> None:
    content = write_csv(["Id", "Text"], [["1", cell]])
    assert list(read_csv(pieces(content, 65_536))) == [["Id", "Text"], ["1", cell]]


def test_a_file_cut_at_any_byte_is_told_by_its_count_or_its_end() -> None:
    """Cut inside a row it has no end; cut between rows it has too few of them."""
    rows = [["Id", "Text"], ["1", 'say "hi", ăâî'], ["2", "two\nlines"], ["3", ""]]
    content = write_csv(rows[0], rows[1:])
    for cut in range(1, len(content)):
        try:
            found = list(read_csv([content[:cut]]))
        except OutcomeUnknown:
            continue
        assert len(found) < len(rows), f"cut at byte {cut}"


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert list(read_csv([b"\xef\xbb\xbfId\n1\n"])) == [["Id"], ["1"]]


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(OutcomeUnknown):
        list(read_csv([b"Id\n\xff\xfe\n"]))


def test_an_empty_cell_and_a_quoted_empty_cell_are_the_same() -> None:
    assert list(read_csv([b'Id,A\n1,""\n2,\n'])) == [["Id", "A"], ["1", ""], ["2", ""]]
