"""A case that two orgs hold: what our own user wrote in one is mostly what a person had done in the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.policy import Policy
from sfsync.records import ECHO, Case, CaseEvent
from sfsync.rules.history import read_history

OPENED = datetime(2026, 11, 16, 12, tzinfo=UTC)
CASE = Case(key="ca:1", created_at=OPENED, status="Closed", is_closed=True)


def change(minute: int, old: str, new: str, kind: str = "field") -> CaseEvent:
    """Return a change of status, that many minutes after the case was opened."""
    at, by = OPENED + timedelta(minutes=minute), "consultant1@hub.example"
    return CaseEvent(
        case="ca:1", event_id=f"{minute}{kind}", kind=kind, field="status", old=old, new=new, at=at, by=by,
        by_service=kind == ECHO,
    )  # fmt: skip


def steps(*events: CaseEvent) -> list[tuple[int, str]]:
    """Return the statuses in force with the minute each came."""
    history = read_history(CASE, events, Policy())
    return [(int((step.at - OPENED).total_seconds() // 60), step.value) for step in history.status]


def test_an_echo_that_catches_up_later_reopens_nothing() -> None:
    done = (change(10, "New", "Working"), change(15, "Working", "Closed"))
    echoes = (change(20, "New", "Working", ECHO), change(35, "Working", "Closed", ECHO))
    assert steps(*done, *echoes) == steps(*done) == [(0, "New"), (10, "Working"), (15, "Closed")]
    assert len(read_history(CASE, (*done, *echoes), Policy()).cycles) == 1


def test_what_ended_a_conflict_is_in_force_from_then_on() -> None:
    theirs, ours = change(10, "New", "Working"), change(12, "New", "Escalated")
    ended = change(30, "Escalated", "Working", ECHO)
    assert steps(theirs, ours, ended) == [(0, "New"), (10, "Working"), (12, "Escalated"), (30, "Working")]
