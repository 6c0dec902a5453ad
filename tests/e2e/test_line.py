"""The line end to end: what a client, a consultant and the consultancy see after a sync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    made = Stage(tmp_path, database_url)
    made.deploy()
    yield made
    made.runtime.close()


def test_the_first_sync_shows_the_account_and_a_second_one_writes_nothing(stage: Stage) -> None:
    first = stage.runtime.sync("acme")
    assert first.created == 1
    [account] = stage.rows("Maintenance_Account__c")
    assert (account["Name"], account["SLA_Plan__c"]) == ("Acme", "Gold")
    stage.later(minutes=20)
    stage.runtime.sync("acme")
    stage.later(minutes=20)
    again = stage.runtime.sync("acme")
    assert (again.wrote, again.absorbed, again.refused, again.calls) == (0, 0, 0, 1)
