"""The stage, deployed and ready."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """One client org, one store, one runtime."""
    made = Stage(tmp_path, database_url)
    made.deploy()
    yield made
    made.runtime.close()
