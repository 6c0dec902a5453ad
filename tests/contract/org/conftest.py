"""An org reached, for each test its own."""

from __future__ import annotations

import pytest

from tests.contract.org.reached import Reached


@pytest.fixture
def reached() -> Reached:
    return Reached()
