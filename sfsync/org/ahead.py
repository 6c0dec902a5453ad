"""Reading ahead: the next pieces are made while the one before them is used.

A store that commits a page waits for its server, and so the next page can be read meanwhile. This module may not know
what the pieces are. It keeps one law: a few pieces are ahead and no more, in their order, and an error comes in its
place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
PIECES = 3
"""Where one object of a load ends and the next begins there are pages without a row: so a full one is among them."""


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """Yield ``pieces`` as they are, the next ones made in another thread while the caller has the one before.

    Whoever stops early waits for the piece that is being made; nothing is left running.
    """
    reader = ThreadPoolExecutor(1, "ahead")
    try:
        coming = deque(reader.submit(next, pieces, None) for _ in range(PIECES))
        while (piece := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, pieces, None))
            yield piece
    finally:
        reader.shutdown(cancel_futures=True)
