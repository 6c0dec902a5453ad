"""What is due stands in the store: whoever asks, however often, each org gets what it is owed, once and in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync import schedule
from sfsync.errors import LeaseLost, OrgUnavailable
from sfsync.localorg.faults import Faults
from sfsync.roster import LONGEST_RETRY
from sfsync.runtime import Runtime
from sfsync.settings import ScheduleSettings
from tests.e2e.stage import Stage

DOWN = {"kind": "unavailable", "path": ".*"}


@pytest.fixture
def pair(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """Two client orgs that owe nothing."""
    made = Stage(tmp_path, database_url, "acme", "beta")
    made.deploy()
    settle(made.runtime)
    yield made
    made.runtime.close()


@pytest.fixture
def beside() -> Iterator[ExitStack]:
    """Closes the runtimes of other workers."""
    with ExitStack() as stack:
        yield stack


def settle(runtime: Runtime) -> None:
    """Sync whatever is due."""
    for org in runtime.roster.due():
        runtime.roster.sync_if_due(org)
    assert runtime.roster.due() == []


def ticks(url: str, like: str) -> list[tuple[str, datetime, bool]]:
    with psycopg.connect(url) as owner:
        return owner.execute(
            "SELECT name, due_at, done_at IS NOT NULL FROM tick WHERE name LIKE %s ORDER BY due_at, name", [like]
        ).fetchall()


def runs(stage: Stage, org: str, state: str = "done") -> int:
    return sum(run.state == state for run in stage.runtime.store.runs(org, limit=100))


def test_a_missed_night_is_caught_up_by_one_run(pair: Stage) -> None:
    before = runs(pair, "acme")
    pair.later(days=3)
    assert sorted(pair.runtime.roster.due()) == ["acme", "beta"]
    assert pair.runtime.roster.sync_if_due("acme") is not None
    assert pair.runtime.roster.due() == ["beta"]
    assert pair.runtime.roster.sync_if_due("acme") is None
    assert runs(pair, "acme") == before + 1


def test_two_beats_write_each_grid_point_once_and_double_no_run(
    pair: Stage, beside: ExitStack, database_url: str
) -> None:
    other = beside.enter_context(pair.open())
    before = runs(pair, "acme")
    for _ in range(30):
        pair.later(minutes=5)
        for runtime in (pair.runtime, other):
            runtime.roster.due()
        for runtime in (other, pair.runtime):
            runtime.roster.sync_if_due("acme")
    written = ticks(database_url, "between:acme")
    assert len({at for _, at, _ in written}) == len(written)
    assert all(done for _, _, done in written)
    assert runs(pair, "acme") - before == 10, "one run each quarter of an hour"


def test_without_any_beat_nothing_is_lost_but_time(pair: Stage) -> None:
    pair.later(days=30)
    settle(pair.runtime)
    assert all(row.last_success_at == pair.clock.now() for row in pair.runtime.store.orgs())


ZONES = ["America/Sao_Paulo", "America/New_York", "Europe/Madrid", "Australia/Lord_Howe", "America/Santiago", "UTC"]


@given(
    zone=st.sampled_from(ZONES),
    clock_time=st.times().map(lambda at: f"{at:%H:%M}"),
    year=st.integers(2015, 2030),
    step=st.sampled_from([7, 13, 59, 180]),
)
def test_each_local_day_has_one_nightly_grid_point_whatever_the_clocks_do(
    zone: str, clock_time: str, year: int, step: int
) -> None:
    from datetime import timedelta

    tz = ZoneInfo(zone)
    changes = [
        day
        for day in (datetime(year, 1, 2, tzinfo=UTC) + timedelta(days=n) for n in range(363))
        if day.astimezone(tz).utcoffset() != (day + timedelta(days=1)).astimezone(tz).utcoffset()
    ]
    for change in changes or [datetime(year, 6, 1, tzinfo=UTC)]:
        at, seen = change - timedelta(days=3), set()
        first = schedule.nightly("n", clock_time, zone, at).due_at
        while at < change + timedelta(days=4):
            seen.add(schedule.nightly("n", clock_time, zone, at).due_at)
            at += timedelta(minutes=step)
        found = sorted(seen)
        days = [(when + timedelta(hours=-3)).astimezone(tz).date() for when in found]
        assert found[0] == first
        gaps = {(b - a) for a, b in pairwise(found)}
        assert gaps <= {timedelta(hours=hours) for hours in (23, 23.5, 24, 24.5, 25)}, (days, found)


@pytest.mark.parametrize(
    ("zone", "clock_time", "day", "expected"),
    [
        ("America/New_York", "02:30", (2026, 3, 8), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),  # 02:30 is skipped
        ("America/New_York", "01:30", (2026, 11, 1), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),  # 01:30 comes twice
    ],
)
def test_a_night_that_clocks_skip_or_repeat_runs_once(
    pair: Stage, zone: str, clock_time: str, day: tuple[int, int, int], expected: datetime
) -> None:
    from datetime import timedelta

    start = datetime(*day, tzinfo=UTC)
    points = {schedule.nightly("n", clock_time, zone, start + timedelta(minutes=n)).due_at for n in range(24 * 60)}
    assert [point for point in points if point >= start] == [expected]


@pytest.mark.slow
def test_an_org_that_keeps_failing_is_tried_less_and_less_and_starves_nobody(pair: Stage) -> None:
    pair.orgs["acme"].faults = Faults.of([DOWN])
    tried: list[tuple[datetime, datetime]] = []
    good = runs(pair, "beta")
    tick = timedelta(seconds=30)
    for _ in range(2 * 60 * 2):  # two hours of ticks
        pair.clock.advance(tick.total_seconds())
        for org in pair.runtime.roster.due():
            began = pair.clock.now()
            try:
                pair.runtime.roster.sync_if_due(org)
            except OrgUnavailable:  # its own tries within the run took a while, a different one each time
                tried.append((began, pair.clock.now()))
    waits = [begun - ended for (_, ended), (begun, _) in pairwise(tried)]
    first = timedelta(seconds=ScheduleSettings().retry_seconds)
    for n, waited in enumerate(waits):
        owed = min(LONGEST_RETRY, first * 2**n)
        assert owed <= waited < owed + tick, (n, waits)  # it is noticed at the next tick
    assert owed == LONGEST_RETRY
    assert runs(pair, "beta") - good >= 8
    pair.orgs["acme"].faults = Faults()
    pair.clock.advance(LONGEST_RETRY.total_seconds() * 1.1)
    assert "acme" in pair.runtime.roster.due()
    assert pair.runtime.roster.sync_if_due("acme") is not None


def test_a_paused_org_is_left_alone_until_it_is_resumed(pair: Stage) -> None:
    pair.runtime.store.pause("acme", "acme", "by hand")
    pair.later(days=2)
    before = runs(pair, "acme")
    assert pair.runtime.roster.due() == ["beta"]
    assert pair.runtime.roster.sync_if_due("acme") is None
    assert runs(pair, "acme") == before
    pair.runtime.store.resume("acme", "acme")
    assert sorted(pair.runtime.roster.due()) == ["acme", "beta"]


def test_an_org_whose_file_is_wrong_stops_nobody_else(pair: Stage, beside: ExitStack) -> None:
    (pair.folder / "clients" / "acme.yaml").write_text("client: acme\nname: Acme\nsla_plan: nonsense\n")
    fresh = beside.enter_context(pair.open())
    pair.later(days=1)
    assert fresh.roster.due() == ["beta"]


def test_no_more_orgs_are_nudged_at_once_than_asked_and_the_next_tick_goes_on(pair: Stage) -> None:
    pair.later(days=1)
    [first] = pair.runtime.roster.due(limit=1)
    pair.runtime.roster.sync_if_due(first)
    [second] = pair.runtime.roster.due(limit=1)
    assert {first, second} == {"acme", "beta"}


def test_the_org_of_a_killed_worker_is_due_again_as_soon_as_its_lease_has_run_out(
    pair: Stage, database_url: str
) -> None:
    pair.later(days=1)
    store = pair.runtime.store
    assert store.acquire("acme", "acme", "a worker that dies") is not None
    store.begin_run("acme", "acme", pair.clock.now())
    assert pair.runtime.roster.due() == ["beta"]
    expire(database_url)
    assert sorted(pair.runtime.roster.due()) == ["acme", "beta"]
    assert pair.runtime.roster.sync_if_due("acme") is not None
    assert runs(pair, "acme", "lost") == 1


def test_an_org_that_kills_its_workers_again_and_again_waits_like_one_that_fails(pair: Stage) -> None:
    pair.later(days=1)
    store = pair.runtime.store
    deaths = 0
    for _ in range(120):  # an hour
        pair.clock.advance(30)
        if "acme" in pair.runtime.roster.due():
            store.begin_run("acme", "acme", pair.clock.now())
            deaths += 1
    assert 3 <= deaths <= 9


def expire(url: str) -> None:
    with psycopg.connect(url) as owner:
        owner.execute("UPDATE org_lease SET expires_at = now() - interval '1 second'")


@pytest.mark.parametrize("stage_name", ["extract", "evaluate", "plan", "write back"])
def test_a_worker_frozen_past_its_lease_can_change_nothing_when_it_wakes(
    stage: Stage, beside: ExitStack, database_url: str, stage_name: str
) -> None:
    stage.buy("flexi", 1)
    stage.sync()
    stage.case()
    stage.later(minutes=20)
    frozen = stage.runtime
    second = beside.enter_context(stage.open())
    took: list[str] = []

    def freeze(what: str) -> None:
        """While the first worker stands still, its lease runs out and a second one does the whole run."""
        if what == stage_name and not took:
            expire(database_url)
            second.sync("acme")
            took.append(everything(database_url))

    with pytest.raises(LeaseLost):
        frozen.sync("acme", step=freeze)
    assert everything(database_url) == took[0]
    assert sorted(run.state for run in frozen.store.runs("acme")) == ["done", "done", "lost"]


def everything(url: str) -> str:
    """Return every row that a run may write, but for the books of operations and of the calls that were made."""
    with psycopg.connect(url) as owner:
        names = [
            name
            for (name,) in owner.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                "AND relname NOT IN ('operation', 'api_use', 'alembic_version') ORDER BY 1"
            )
        ]
        return "\n".join(
            str(owner.execute(f'SELECT to_jsonb(t)::text FROM "{name}" t ORDER BY 1'.encode()).fetchall())
            for name in names
        )


@pytest.mark.slow
def test_a_long_run_gives_way_between_pages_keeps_what_it_read_and_ends_in_the_end(pair: Stage) -> None:
    org = pair.orgs["acme"]
    for start in range(0, 5000, 1000):
        rows = [{"Subject": f"Case {start + n}", "Maint_Request__c": False} for n in range(1000)]
        for row in rows:
            org.insert("Case", row)
    pair.later(days=1)
    order, turns = [], 0
    while due := pair.runtime.roster.due():
        assert turns < 40, "a run that gives way makes progress"
        first = due[0]
        order.append(first)
        # This clock stands still during a run, so a turn below zero is over after each page.
        pair.runtime.roster.sync_if_due(first, turn_seconds=-1 if first == "acme" else None)
        turns += first == "acme"
        if first == "acme":
            pair.clock.advance(1)
    assert order.index("beta") <= 1, "the other org waits for one page at most"
    assert turns > 2
    assert pair.runtime.store.room("acme", "acme", pair.runtime.client("acme").mappings).linked()["Case"] == 5000
