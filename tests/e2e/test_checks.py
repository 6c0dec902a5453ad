"""Weekly audits and looks at calendars: due by the store, caught up when missed, once whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from sfsync import schedule
from sfsync.errors import OrgUnavailable
from sfsync.localorg.faults import Faults
from sfsync.roster import AUDIT, CALENDAR, SPREAD_SECONDS
from sfsync.settings import Settings
from tests.e2e.stage import ZONE, Stage
from tests.e2e.test_calendars import BRIDGE_DAY, forget

WEEK = timedelta(days=7)


def do_checks(stage: Stage) -> list[tuple[str, str]]:
    """Do what is owed, as workers do."""
    stage.runtime.roster.due()
    owed = stage.runtime.roster.checks()
    assert all(stage.runtime.roster.check_if_due(*one) for one in owed)
    return owed


def certificates(stage: Stage) -> list[datetime]:
    return [row["at"] for row in stage.runtime.store.certificates("acme", "acme")]


def test_an_org_is_audited_once_a_week_and_a_missed_one_is_caught_up_by_one(stage: Stage) -> None:
    stage.case()
    stage.sync()
    do_checks(stage)
    for _ in range(2 * 7 * 4):  # two weeks, looked at each six hours
        stage.later(hours=6)
        do_checks(stage)
    assert len(certificates(stage)) == 3
    stage.later(days=30)
    assert sorted(do_checks(stage)) == [(AUDIT, "acme"), (CALENDAR, "acme")]
    assert do_checks(stage) == []
    assert len(certificates(stage)) == 4
    assert all(row["equal"] for row in stage.runtime.store.certificates("acme", "acme")[1:])


@pytest.mark.parametrize(
    ("zone", "when", "sunday", "expected"),
    [
        ("America/New_York", "sun 02:30", (2026, 3, 8), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),  # skipped
        ("America/New_York", "sun 01:30", (2026, 11, 1), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),  # comes twice
        ("Europe/Bucharest", "sun 03:30", (2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (ZONE, "wed 00:00", (2026, 11, 18), datetime(2026, 11, 18, 3, 0, tzinfo=UTC)),
    ],
)
def test_a_week_has_one_grid_point_also_when_clocks_skip_or_repeat_it(
    zone: str, when: str, sunday: tuple[int, int, int], expected: datetime
) -> None:
    start = datetime(*sunday, tzinfo=UTC) - timedelta(days=3)
    points = {schedule.weekly("a", when, zone, start + timedelta(minutes=5 * n)).due_at for n in range(12 * 24 * 7)}
    assert [point for point in sorted(points) if point >= start] == [expected]
    [before] = [point for point in points if point < start]
    assert timedelta(days=6, hours=22) < expected - before < timedelta(days=7, hours=2)


def test_orgs_are_audited_over_two_hours_and_not_in_one_second() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    points = set()
    for n in range(500):
        late = schedule.spread(f"client{n}", SPREAD_SECONDS)
        points.add(schedule.weekly(f"org{n}", "sun 03:30", ZONE, now, late).due_at)
    assert len(points) > 300
    assert max(points) - min(points) < timedelta(seconds=SPREAD_SECONDS)
    assert min(points).astimezone(ZoneInfo(ZONE)).strftime("%a %H") in ("Sun 03", "Sun 04", "Sun 05")


def test_an_audit_that_fails_is_done_again_after_an_hour_and_takes_no_workers_time_until_then(stage: Stage) -> None:
    do_checks(stage)
    stage.later(days=8)
    stage.runtime.roster.due()
    stage.org.faults = Faults.of([{"kind": "unavailable", "path": ".*"}])
    with pytest.raises(OrgUnavailable):
        stage.runtime.roster.check_if_due(AUDIT, "acme")
    stage.org.faults = Faults()
    stage.later(minutes=50)
    stage.runtime.roster.due()
    assert (AUDIT, "acme") not in stage.runtime.roster.checks()
    before = len(certificates(stage))
    stage.later(minutes=11)
    assert (AUDIT, "acme") in do_checks(stage)
    assert len(certificates(stage)) == before + 1


def test_a_check_waits_for_the_run_that_holds_the_org_and_for_a_paused_org(stage: Stage) -> None:
    do_checks(stage)
    stage.later(days=8)
    stage.runtime.roster.due()
    lease = stage.runtime.store.acquire("acme", "acme", "a run", seconds=600)
    assert lease is not None
    assert stage.runtime.roster.checks() == []
    assert not stage.runtime.roster.check_if_due(AUDIT, "acme")
    stage.runtime.store.release(lease)
    stage.runtime.store.pause("acme", "acme", "by hand")
    assert stage.runtime.roster.checks() == []
    stage.runtime.store.resume("acme", "acme")
    assert sorted(stage.runtime.roster.checks()) == [(AUDIT, "acme"), (CALENDAR, "acme")]


def test_a_calendar_that_differs_is_told_and_nothing_is_published(stage: Stage, database_url: str) -> None:
    do_checks(stage)
    with psycopg.connect(database_url) as owner:
        assert owner.execute("SELECT calendar_differs FROM client").fetchone() == (0,)
    forget(stage, BRIDGE_DAY)
    published = stage.runtime.store.snapshots("acme")
    stage.later(days=8)
    do_checks(stage)
    with psycopg.connect(database_url) as owner:
        assert owner.execute("SELECT calendar_differs FROM client").fetchone() == (1,)
    assert stage.runtime.store.snapshots("acme") == published


def test_an_org_whose_worker_is_killed_is_taken_over_within_ninety_seconds_with_the_default_settings(
    tmp_path: Path,
) -> None:
    """The lease runs out after the last renewal, and the next beat finds it. The rest is test_worker's."""
    settings = Settings(data_dir=tmp_path)
    assert settings.store.lease_seconds + settings.schedule.beat_seconds <= 85
