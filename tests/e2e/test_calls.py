"""One budget of API calls an org, kept in the store: every worker spends from it, and the night keeps its part."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sfsync.errors import BudgetSpent
from sfsync.org.session import OrgSession
from sfsync.runtime import Runtime
from tests.e2e.stage import Stage


@pytest.fixture
def short(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """An org whose day has few calls: 40 of 200 are ours, and 10 of these are kept for the night."""
    made = Stage(tmp_path, database_url, every_minutes=15, api_share=0.2)
    made.deploy()
    made.org.daily_api_requests = 200
    made.later(minutes=24 * 60)
    yield made
    made.runtime.close()


def live(stage: Stage, workers: list[Runtime], hours: float) -> list[datetime]:
    """Let the workers ask in turn what is due, each quarter of an hour; return when the org was polled."""
    polled = []
    for n in range(int(hours * 4)):
        worker = workers[n % len(workers)]
        before = stage.org.spent()
        for org in worker.roster.due():
            worker.roster.sync_if_due(org)
        if stage.org.spent() > before:
            polled.append(stage.clock.now())
        stage.later(minutes=15)
    return polled


def test_two_workers_spend_from_one_budget(short: Stage) -> None:
    other = short.open()
    polled = live(short, [short.runtime, other], 6)
    shown = short.runtime.calls("acme")
    assert shown == other.calls("acme")
    assert shown.used == short.org.spent() >= len(polled) > 4
    assert shown.ours >= short.org.spent(), "the calls of one of them are missing"
    assert shown.ours <= short.org.spent() + 3, "a call that a token's end refused counts with us and not with the org"
    other.close()


def test_a_run_that_fails_and_a_look_by_hand_are_counted_too(short: Stage) -> None:
    from sfsync.errors import OrgUnavailable
    from sfsync.localorg.faults import Faults

    short.sync()
    short.runtime.query("acme", "SELECT Id FROM Case")
    short.runtime.plan("acme")
    short.org.faults = Faults.of([{"kind": "unavailable", "path": "composite"}])
    with pytest.raises(OrgUnavailable):
        short.runtime.sync("acme")
    short.org.faults = Faults.of([])
    heard = short.runtime.calls("acme")
    assert heard.ours >= short.org.spent() > 3


def test_polls_stretch_and_stay_out_of_the_nights_reserve_in_which_the_night_runs(short: Stage) -> None:
    other = short.open()
    polled = live(short, [short.runtime, other], 16)
    other.close()
    spent = short.org.spent()
    assert spent <= 40, "more than our share in 24 hours"
    waits = [(b - a) / timedelta(minutes=1) for a, b in zip(polled, polled[1:], strict=False)]
    assert max(waits) > 15, "the cadence never stretched"
    assert max(waits) < 240, "polls did not last over the day"
    nights = [at for at in polled if (at - timedelta(hours=3)).strftime("%H:%M") == "23:20"]
    assert len(nights) == 1, polled


def test_by_day_the_reserve_is_not_touched_and_by_night_it_is(short: Stage) -> None:
    live(short, [short.runtime], 1)
    while (left := short.runtime.calls("acme").left) != 0:
        short.runtime.query("acme", "SELECT Id FROM Case")
        assert left is not None
        assert left < 40
    assert short.runtime.calls("acme").left_for_the_night == 10
    short.case()
    with pytest.raises(BudgetSpent, match="raise api_share"):
        short.runtime.sync("acme")
    assert live(short, [short.runtime], 2) == [], "a poll used the calls of the night"
    assert short.runtime.calls("acme").waits_until is not None
    local = short.clock.now() - timedelta(hours=3)
    short.later(minutes=(23 * 60 + 11) - local.hour * 60 - local.minute)
    assert len(live(short, [short.runtime], 1)) == 1
    assert short.runtime.store.runs("acme")[0].counts["read"] >= 1
    assert short.runtime.calls("acme").left_for_the_night < 10  # type: ignore[operator]


def test_a_load_that_runs_out_of_calls_stops_cleanly_and_goes_on_where_it_was(
    short: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = OrgSession.__init__

    def with_small_pages(self: OrgSession, *args: object, **more: object) -> None:
        made(self, *args, **more)  # type: ignore[arg-type]
        self.page_rows = 200

    monkeypatch.setattr(OrgSession, "__init__", with_small_pages)
    short.org.insert("Case", [{"Subject": f"Case {n}", "Maint_Priority__c": "P2"} for n in range(4_000)])
    short.later(minutes=20)
    short.org.daily_api_requests = 30  # six are ours, five of them by day
    with pytest.raises(BudgetSpent):
        short.runtime.sync("acme")
    room = short.runtime.store.room("acme", "acme", short.runtime.client("acme").mappings)
    kept = room.linked()["Case"]
    assert 0 < kept < 4_000
    [run] = short.runtime.store.runs("acme")
    assert (run.state, run.stage) == ("done", "gave way")
    assert short.runtime.store.orgs()[0].state == "active"
    assert short.runtime.store.orgs()[0].last_success_at is None
    while short.runtime.store.orgs()[0].last_success_at is None:
        assert short.org.spent() <= 6
        live(short, [short.runtime], 12)
    assert room.linked()["Case"] == 4_000
    begun = [run for run in short.runtime.store.runs("acme", limit=99) if run.stage == "gave way"]
    assert 2 <= len(begun) <= 12


def test_writes_stop_at_the_bound_and_follow_when_calls_come_back(short: Stage) -> None:
    short.sync()
    short.buy("flexi", 5)
    short.org.daily_api_requests = 5  # one call is ours: the poll itself
    report = short.runtime.sync("acme")
    assert (report.wrote, report.later > 0) == (0, True)
    assert {getattr(one, "code", "") for one in report.details} == {"API_BUDGET"}
    short.org.daily_api_requests = 200
    short.later(days=2)
    assert short.runtime.sync("acme").wrote > 0


def test_what_others_use_stretches_and_stops_our_polls_until_they_leave_off(short: Stage) -> None:
    live(short, [short.runtime], 1)
    short.org.spend(165)  # somebody's report
    live(short, [short.runtime], 0.25)
    assert short.runtime.calls("acme").left == 0
    assert live(short, [short.runtime], 0.75) == []
    assert 2 <= len(live(short, [short.runtime], 3)) <= 4, "asked again, but not more than once an hour"
    short.org.daily_api_requests = 15_000
    live(short, [short.runtime], 1)
    assert len(live(short, [short.runtime], 2)) == 8
