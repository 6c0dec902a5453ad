"""A mass delete is noticed however it is cut into pages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sfsync.errors import SafetyStop
from sfsync.mirror.merge import Link
from sfsync.mirror.translate import Bookmark, Page, Seen
from sfsync.sync import Bounds, Vanishing

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def page(first: int, count: int, *, deleted: bool = True) -> Page:
    rows = [Seen("Case", f"500{n:012d}AAA", f"ca:{n}", {}, NOW, deleted=deleted) for n in range(first, first + count)]
    return Page("Case", tuple(rows), Bookmark("Case"))


def test_deletions_add_up_over_the_pages_of_a_run() -> None:
    vanishing = Vanishing({"Case": 600})
    vanishing.count(page(0, 60), {}, Bounds())
    vanishing.count(page(60, 60), {}, Bounds())
    with pytest.raises(SafetyStop, match="180 of 600 Case records were deleted at once"):
        vanishing.count(page(120, 60), {}, Bounds())


def test_a_few_deletions_are_nobodys_business_whatever_their_share() -> None:
    Vanishing({"Case": 99}).count(page(0, 99), {}, Bounds())


def test_what_was_deleted_before_does_not_count_again() -> None:
    vanishing = Vanishing({"Case": 600})
    before = {f"ca:{n}": (Link("Case", f"ca:{n}", deleted=True), None) for n in range(300)}
    vanishing.count(page(0, 300), before, Bounds())
    assert vanishing.fresh == {"Case": 0}


def test_an_operator_may_confirm() -> None:
    Vanishing({"Case": 600}).count(page(0, 600), {}, Bounds(confirmed=True))


def test_records_that_are_still_there_are_not_counted() -> None:
    vanishing = Vanishing({"Case": 600})
    vanishing.count(page(0, 600, deleted=False), {}, Bounds())
    assert vanishing.fresh == {"Case": 0}
