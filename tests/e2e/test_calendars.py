"""Holidays are a published snapshot: a newer list proposes, a person publishes, open clocks move."""

from __future__ import annotations

from datetime import UTC, date, datetime

from tests.e2e.stage import Stage

BRIDGE_DAY = date(2026, 11, 23)


def forget(stage: Stage, day: date) -> None:
    """Publish the year without a day, as an older list had it."""
    days = {each: label for each, label in stage.runtime.store.snapshots("acme")[day.year].items() if each != day}
    stage.runtime.store.publish_snapshot(
        "acme", day.year, days, source="an older list", digest="older", now=stage.clock.now()
    )


def test_a_newer_list_moves_nothing_until_a_person_publishes_it(stage: Stage) -> None:
    stage.sync()
    forget(stage, BRIDGE_DAY)
    stage.clock.set(datetime(2026, 11, 20, 21, 0, tzinfo=UTC))  # Friday 18:00 in Buenos Aires, Gold runs until 20:00
    case = stage.case(Maint_Priority__c="P2")
    stage.sync()
    monday = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    assert datetime.fromtimestamp(stage.shown("Case", case)["SLA_Due_At__c"], UTC) == monday
    client, facts = stage.runtime.client("acme"), stage.runtime.store.facts("acme")
    proposal = stage.runtime.calendars.proposal(client, facts, stage.clock.now())
    assert [(one.day, one.change) for one in proposal.days] == [(BRIDGE_DAY, "added")]
    assert [(one.old_due_at, one.new_due_at.day) for one in proposal.moved] == [(monday, 24)]
    stage.later(minutes=20)
    stage.sync()
    assert datetime.fromtimestamp(stage.shown("Case", case)["SLA_Due_At__c"], UTC) == monday
    assert stage.runtime.calendars.publish(client, stage.clock.now()) == 1
    stage.sync()
    assert datetime.fromtimestamp(stage.shown("Case", case)["SLA_Due_At__c"], UTC) == monday.replace(day=24)
    assert stage.runtime.calendars.publish(client, stage.clock.now()) == 0
