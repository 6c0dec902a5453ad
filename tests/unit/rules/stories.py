"""Cases told step by step, for the tests of the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from sfsync.policy import ClientTerms, Plans, Policy, SlaPlan, Target, Window
from sfsync.records import Case, CaseEvent, Milestone
from sfsync.rules.calendar import WEEKDAYS, Calendar
from sfsync.rules.sla import SlaOutcome, evaluate_case

ZONE = "America/Argentina/Buenos_Aires"
WEEK = WEEKDAYS[:5]


def at(text: str) -> datetime:
    """Return an instant written as day and Argentine time: ``24T10:00`` of November 2026."""
    return datetime.fromisoformat(f"2026-11-{text}-03:00").astimezone(UTC)


def cover(open_: str, close: str, days: Sequence[Any] = WEEK, **more: Any) -> Calendar:
    return Calendar({day: (Window(open=open_, close=close),) for day in days}, ZONE, label=f"{open_}-{close}", **more)


COVERS = {"9-18": cover("09:00", "18:00"), "8-20": cover("08:00", "20:00"), "24x7": cover("00:00", "24:00", WEEKDAYS)}


def plan(**targets: tuple[str, int] | tuple[str, int, int]) -> SlaPlan:
    """Return a plan of P1=(cover, minutes[, minutes to resolve])."""
    return SlaPlan(
        name="Silver",
        channels=("Portal", "Email"),
        targets={
            priority: Target(cover=t[0], acknowledge_minutes=t[1], resolve_minutes=t[2] if len(t) > 2 else None)
            for priority, t in targets.items()
        },
    )


SILVER = plan(P1=("9-18", 240), P2=("9-18", 540), P3=("9-18", 540), P4=("9-18", 540))
PLATINUM = plan(P1=("24x7", 60), P2=("8-20", 60))
RESOLVING = plan(P1=("8-20", 120, 960), P3=("8-20", 240, 960))


class Story:
    """A case told step by step, evaluated as the nightly run would."""

    def __init__(
        self, promised: SlaPlan = SILVER, priority: str = "P1", created: str = "24T10:00", **policy: Any
    ) -> None:
        self.plan = promised
        self.policy = Policy(consultant_usernames=("*@ours",), **policy)
        self.case = Case(key="ca1", created_at=at(created), status="New", priority=priority)
        self.rows: list[CaseEvent] = []
        self.covers = COVERS

    def row(self, when: str, kind: str, by: str = "ana@ours", *, service: bool = False, **change: Any) -> Story:
        event = CaseEvent(
            case="ca1",
            event_id=f"{len(self.rows):03}",
            kind=kind,
            field=change.get("field", ""),
            old=change.get("old"),
            new=change.get("new"),
            at=at(when),
            by=by,
            by_service=service,
        )
        self.rows.append(event)
        return self

    def set(self, when: str, name: str, new: str, by: str = "ana@ours", **more: Any) -> Story:
        """Change a field now: history row and record."""
        old = getattr(self.case, name)
        self.case = replace(self.case, **{name: new})
        return self.row(when, "field", by, field=name, old=str(old), new=new, **more)

    def status(self, when: str, new: str, by: str = "ana@ours", **more: Any) -> Story:
        return self.set(when, "status", new, by, **more)

    def comment(self, when: str, by: str = "ana@ours", **more: Any) -> Story:
        return self.row(when, "comment", by, **more)

    def evaluate(self, now: str = "30T12:00", previous: Sequence[Milestone] = (), **more: Any) -> SlaOutcome:
        return evaluate_case(
            self.case,
            more.pop("rows", self.rows),
            terms=more.pop(
                "terms", ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="silver", policy=self.policy)
            ),
            plans=more.pop("plans", plans(self.plan)),
            covers=self.covers,
            previous=previous,
            now=at(now),
            **more,
        )

    def ack(self, now: str = "30T12:00", previous: Sequence[Milestone] = ()) -> Milestone:
        return next(m for m in reversed(self.evaluate(now, previous).milestones) if m.clock == "ack")

    def resolution(self, now: str = "30T12:00") -> Milestone:
        return next(m for m in self.evaluate(now).milestones if m.clock == "resolution")


def plans(silver: SlaPlan, **others: SlaPlan) -> Plans:
    return Plans(packs={}, covers={}, sla={}).model_copy(update={"sla": {"silver": silver, **others}})


def codes(outcome: SlaOutcome) -> list[str]:
    return [finding.code for finding in outcome.findings]


def with_holiday(story: Story, *days: int) -> None:
    story.covers = {"9-18": cover("09:00", "18:00", holidays={date(2026, 11, day): "decreed" for day in days})}
