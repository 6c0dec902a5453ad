"""Everything at once: faults of every kind while we read and write; then quiet, and both sides agree."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.clock import seeded
from sfsync.errors import OrgError, WrongOrg
from sfsync.mirror.plan import Change, Outcome, Result
from tests.contract.org.reached import Reached

PACK = "Maintenance_Pack__c"
SEEDS = (*range(8), 77, 123)
"""The last two once found a row that was answered for twice."""
KINDS = (
    "row_lock", "session", "concurrent_limit", "unavailable", "maintenance", "not_acceptable", "server_error",
    "timeout_before", "timeout_after", "reset_before", "reset_after", "cut_body", "duplicate", "job_failed",
)  # fmt: skip


def weather(seed: int) -> list[dict[str, Any]]:
    """Return a fault plan: each kind off, seldom or often, as the seed says."""
    dice = seeded(f"weather {seed}")
    rates = {kind: dice.choice([0, 0, 0.03, 0.2]) for kind in KINDS}
    return [{"kind": kind, "probability": rate} for kind, rate in rates.items() if rate]


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_storm_there_is_no_twin_no_lost_write_and_no_lost_row(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.transport.COLLECTION", 5)
    monkeypatch.setattr("sfsync.org.transport.BULK_FROM", 40)
    reached = Reached(page_rows=200, settings={"bulk_above_rows": 60})
    dice = seeded(f"storm {seed}")
    wanted: dict[str, dict[str, Any]] = {}
    revisions: dict[str, int] = {}
    known: dict[str, str] = {}
    reached.sync()
    reached.org.faults = type(reached.org.faults).of({"seed": seed, "rules": weather(seed)})
    for step in range(12):
        reached.later(dice.choice([1, 60, 1000]))
        for number in dice.sample(range(120), dice.choice([1, 8, 60])):
            key = f"pk:{number:03d}"
            wanted.setdefault(key, {})["sync_message"] = f"{step}: {dice.random():.6f}"
            revisions[key] = revisions.get(key, 0) + 1
        changes = [Change(PACK, k, known.get(k), dict(v), revision=revisions[k]) for k, v in wanted.items()]
        outcomes = reached.write(dice.sample(changes, len(changes)))
        assert one_each(outcomes, changes), f"seed {seed}"
        assert all(o.result in (Result.DONE, Result.LATER) for o in outcomes), f"seed {seed}"
        known |= {o.change.key: o.sf_id for o in outcomes if o.result is Result.DONE and o.sf_id}
        try:
            reached.sync()
        except WrongOrg:
            raise
        except OrgError:
            continue
    reached.faults()
    reached.later(3600)
    changes = [Change(PACK, k, known.get(k), dict(v), revision=revisions[k]) for k, v in wanted.items()]
    assert {o.result for o in reached.write(changes)} == {Result.DONE}
    reached.later()
    reached.sync()
    rows = reached.org.storage.rows(f'SELECT "Sfsync_Key__c", "Sync_Message__c" FROM "{PACK}"')
    assert len(rows) == len({key for key, _ in rows}), f"seed {seed}: twins"
    assert dict(rows) == {key: values["sync_message"] for key, values in wanted.items()}, f"seed {seed}"
    mirrored = {s.key: s.wire["sync_message"] for (o, _), s in reached.records.items() if o == PACK}
    assert mirrored == dict(rows), f"seed {seed}"


def one_each(outcomes: list[Outcome], changes: list[Change]) -> bool:
    return sorted(o.change.key for o in outcomes) == sorted(c.key for c in changes)
