"""One ground for all the rounds of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.ground import Ground, ground
from tests.chaos.rounds import Memory


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, Memory]]:
    """One set of processes for all rounds."""
    with ground(tmp_path_factory.mktemp("chaos")) as made:
        yield made, Memory()
