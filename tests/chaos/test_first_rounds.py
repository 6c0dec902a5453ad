"""The first ten of twenty rounds of chaos with real processes; two files, so that two processes share them.

More rounds, or one again: ``make chaos SEEDS=200``, ``make chaos SEEDS=17..17``.
"""

from __future__ import annotations

import pytest

from tests.chaos.ground import Ground
from tests.chaos.rounds import Memory, live


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_whatever_dies_nothing_is_lost_doubled_or_done_by_two_at_once(here: tuple[Ground, Memory], seed: int) -> None:
    """If this fails: ``make chaos SEEDS=N..N`` lives the round again."""
    live(here[0], seed, here[1])
