"""A short run of every layer: the promises hold, and the same seed is the same history."""

from __future__ import annotations

import pytest

from tests.simulation import line
from tests.simulation.ground import Trace


@pytest.mark.parametrize("block", range(4))
def test_the_line_keeps_every_promise_through_crashes_people_and_bad_luck(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        line.run(seed)


def test_the_same_seed_is_the_same_history() -> None:
    for seed in range(20):
        first, second = Trace(), Trace()
        line.run(seed, None, first)
        line.run(seed, None, second)
        assert first.digest == second.digest, f"line seed {seed}"
