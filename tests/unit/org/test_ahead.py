"""Reading ahead: the same pieces in the same order, a few ahead, errors in their place."""

from __future__ import annotations

from collections.abc import Iterator
from threading import get_ident

import pytest

from sfsync.org.ahead import ahead


def pieces(made: list[int], fails_at: int = -1) -> Iterator[int]:
    for n in range(5):
        if n == fails_at:
            raise ValueError("cut off")
        made.append(get_ident())
        yield n


def test_the_pieces_come_as_they_are_and_from_another_thread() -> None:
    made: list[int] = []
    assert list(ahead(pieces(made))) == [0, 1, 2, 3, 4]
    assert set(made) != {get_ident()}
    assert len(set(made)) == 1


def test_an_error_comes_behind_the_pieces_before_it() -> None:
    reading = ahead(pieces([], fails_at=3))
    assert [next(reading) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="cut off"):
        next(reading)


def test_whoever_stops_early_has_at_most_three_pieces_made_for_nothing() -> None:
    made: list[int] = []
    reading = ahead(pieces(made))
    assert next(reading) == 0
    reading.close()  # type: ignore[attr-defined]
    assert len(made) <= 4
