"""Reading ahead: the next piece is made while the one before it is used.

A store that commits a page waits for its server, and so the next page can be read meanwhile. This module may not know
what the pieces are. It keeps one law: one piece is ahead and no more, in their order, and an error comes in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """Yield ``pieces`` as they are, each made in another thread while the caller has the one before.

    Whoever stops early waits for the piece that is being made; nothing is left running.
    """
    with ThreadPoolExecutor(1, "ahead") as reader:
        coming = reader.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reader.submit(next, pieces, None)
            yield piece
