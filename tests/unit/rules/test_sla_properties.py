"""Random histories: the clock against a walk minute by minute, and against itself evaluated at other times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sfsync.clock import seeded
from sfsync.policy import ClientTerms
from sfsync.records import CaseEvent, Milestone
from sfsync.rules.calendar import Calendar
from sfsync.rules.sla import evaluate_case
from sfsync.rules.sla_explain import derive
from tests.unit.rules.stories import COVERS, RESOLVING, ZONE, Story, at, plan, plans

SEED = 20261122
MINUTE = timedelta(minutes=1)
START = at("02T00:00")


def local(instant: datetime) -> str:
    return COVERS["9-18"].local(instant).strftime("%dT%H:%M:%S")


def random_minute(chance: random.Random, days: int = 6) -> datetime:
    return START + timedelta(minutes=chance.randrange(days * 1440))


class Walk:
    """A resolution clock counted minute by minute."""

    def __init__(self, calendar: Calendar, start: datetime, pauses: Sequence[tuple[datetime, datetime]]) -> None:
        self.calendar, self.start, self.pauses = calendar, start, pauses

    def runs(self, minute: datetime) -> bool:
        return self.calendar.is_open(minute) and not any(since <= minute < until for since, until in self.pauses)

    def due(self, minutes: int) -> datetime:
        at_ = self.start
        while minutes:
            minutes -= self.runs(at_)
            at_ += MINUTE
        return at_

    def breach(self, due: datetime) -> datetime:
        while not self.runs(due):
            due += MINUTE
        return due

    def used(self, until: datetime) -> int:
        return sum(self.runs(self.start + n * MINUTE) for n in range((until - self.start) // MINUTE))


def test_a_paused_clock_equals_a_minute_walk() -> None:
    chance = seeded(SEED)
    for case in range(80):
        created = random_minute(chance, 2)
        edges = sorted(random_minute(chance) for _ in range(2 * chance.randrange(5)))
        pauses = [(max(a, created), b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > created and a < b]
        story = Story(RESOLVING, created=local(created))
        for since, until in pauses:
            story.status(local(since), "Waiting on Client").status(local(until), "Working")
        stop = created + timedelta(minutes=chance.randrange(1, 9 * 1440))
        story.rows = [row for row in story.rows if row.at < stop]
        stopped = [(a, min(b, stop)) for a, b in pauses if a < stop]
        last = story.rows[-1].new if story.rows else "New"
        story.case = replace(story.case, status=last)
        story.status(local(stop), "Closed")
        found = story.resolution()
        walk = Walk(COVERS["8-20"], created, stopped)
        told = f"seed {SEED}, case {case}: {local(created)} {[(local(a), local(b)) for a, b in pauses]} {local(stop)}"
        assert found.due_at == walk.due(960), told
        assert found.breach_at == walk.breach(found.due_at), told
        assert found.used_seconds == 60 * walk.used(stop), told
        assert (found.breached_at is not None) == (walk.used(stop) > 960), told


class Wander(Story):
    """A case to which anything may happen."""

    def __init__(self, chance: random.Random) -> None:
        three = plan(P1=("24x7", 60, 600), P2=("8-20", 240, 900), P3=("9-18", 540))
        mode = chance.choice(["fair", "retroactive", "restart"])
        basis = chance.choice(["elapsed", "wall"])
        pausing = chance.choice([(), ("Waiting on Client",), ("Paused",)])
        super().__init__(
            three,
            chance.choice(["P1", "P2", "P3"]),
            local(random_minute(chance, 2)),
            priority_change=mode,
            breach_basis=basis,
            ack_pause_statuses=pausing,
        )
        assert self.case.created_at is not None
        when = self.case.created_at
        for _ in range(chance.randrange(8)):
            when += timedelta(seconds=chance.randrange(1, 100_000))
            kind = chance.randrange(6)
            if kind < 3:
                status = chance.choice(["Working", "Waiting on Client", "Closed", "New"])
                self.status(local(when), status, chance.choice(["ana@ours", "eva@client"]))
            elif kind == 3:
                self.set(local(when), "priority", chance.choice(["P1", "P2", "P3"]))
            elif kind == 4:
                self.set(local(when), "paused", chance.choice(["true", "false"]))
            else:
                self.comment(local(when), chance.choice(["ana@ours", "eva@client", "bot@ours"]))
        self.times = sorted({*(row.at for row in self.rows), when + timedelta(days=30)})

    def seen(
        self, now: datetime, previous: Sequence[Milestone] = ()
    ) -> tuple[tuple[Milestone, ...], object, datetime | None]:
        """Evaluate what had happened until ``now``."""
        rows: list[CaseEvent] = [row for row in self.rows if row.at <= now]
        known = {"status": "New", "priority": self.case.priority, "paused": "False"}
        firsts = {name: next((r.old for r in self.rows if r.field == name), value) for name, value in known.items()}
        latest = {**firsts, **{row.field: row.new for row in rows if row.kind == "field"}}
        case = replace(
            self.case, status=latest["status"], priority=latest["priority"], paused=latest["paused"] == "true"
        )
        outcome = evaluate_case(
            case,
            rows,
            terms=ClientTerms(client="acme", name="Acme", time_zone=ZONE, sla_plan="silver", policy=self.policy),
            plans=plans(self.plan),
            covers=COVERS,
            previous=previous,
            now=now,
        )
        for reckoning in outcome.reckonings:
            found = derive(reckoning, self.plan, COVERS)
            assert sum(line.seconds for line in found.lines) == found.limit_seconds
        return outcome.milestones, outcome.fields, outcome.next_due_at


def settled(milestones: Sequence[Milestone]) -> list[Milestone]:
    """Return the milestones without what depends on when somebody looked: which warning was told."""
    return [replace(m, warned_percent=0) for m in milestones]


@pytest.mark.parametrize("round_", range(4))
def test_looking_more_often_changes_nothing(round_: int) -> None:
    chance = seeded(f"{SEED}-{round_}")
    for case in range(60):
        wander = Wander(chance)
        end = wander.times[-1]
        at_once = wander.seen(end)
        stored: tuple[Milestone, ...] = ()
        looks = sorted({*wander.times, *(random_minute(chance, 12) for _ in range(6))})
        for now in [look for look in looks if look <= end]:
            stored = wander.seen(now, stored)[0]
        told = f"seed {SEED}-{round_}, case {case}: {wander.case} {wander.policy} {wander.rows}"
        if wander.policy.priority_change == "fair":
            assert settled(stored) == settled(at_once[0]), told
        # In the other modes a change may move a due time into the past; what was recorded stays recorded.
        for m in at_once[0]:
            if m.breached_at is not None:
                assert any(s.breached_at is not None and (s.clock, s.cycle) == (m.clock, m.cycle) for s in stored), told


@pytest.mark.parametrize("round_", range(4))
def test_nothing_changes_before_the_instant_the_sweep_is_asked_for(round_: int) -> None:
    chance = seeded(f"{SEED}-sweep-{round_}")
    for case in range(60):
        wander = Wander(chance)
        now = wander.times[chance.randrange(len(wander.times))]
        milestones, fields, due = wander.seen(now)
        later = [row.at for row in wander.rows if row.at > now]
        quiet = min([*later, now + timedelta(days=40), *([due] if due else [])]) - timedelta(seconds=1)
        told = f"seed {SEED}-sweep-{round_}, case {case}: {wander.case} {wander.rows} at {now}, due {due}"
        if quiet > now:
            again, same, _ = wander.seen(quiet, milestones)
            assert again == milestones, told
            assert same == fields, told
        if due is not None and (not later or due < later[0]):
            assert wander.seen(due, milestones)[0] != milestones, told
