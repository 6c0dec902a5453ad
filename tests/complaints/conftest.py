"""A stage whose records travel by pages or by Bulk jobs, and an org reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage


@pytest.fixture
def staged(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Stage]]:
    """Make the stage: one client org, deployed; arguments are settings of the org."""
    made: list[Stage] = []

    def make(**settings: Any) -> Stage:
        made.append(Stage(tmp_path, database_url, **settings))
        made[0].deploy()
        return made[0]

    yield make
    for stage in made:
        stage.runtime.close()


@pytest.fixture
def stage(staged: Callable[..., Stage]) -> Stage:
    """The stage with its usual settings: pages."""
    return staged()


@pytest.fixture(params=["pages", "bulk"])
def line(request: pytest.FixtureRequest, staged: Callable[..., Stage]) -> Stage:
    """The stage twice: with pages, and with a Bulk job for whatever is more than one row."""
    return staged(bulk_above_rows=1) if request.param == "bulk" else staged()


@pytest.fixture
def reached() -> Reached:
    """An org reached by a session, without a store."""
    return Reached()
