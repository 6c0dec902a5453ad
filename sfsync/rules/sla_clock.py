"""One cycle of one clock: its limits, what a change of priority does to them, and when it is due.

May not know what was recorded before or what a case shows. It keeps one law: a clock is due when the
strictest of its limits is reached, and breached if and only if the cover seconds used exceed it (CLK-3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sfsync.errors import PolicyError
from sfsync.policy import Policy, SlaPlan
from sfsync.records import Case, Milestone
from sfsync.rules.calendar import Calendar, instant_of, seconds_of
from sfsync.rules.history import Act, Cycle, History, Pause, acknowledged, pauses

Clock: TypeAlias = Literal["ack", "resolution"]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many cover seconds from an anchor; the clock is due when the strictest limit is reached."""

    cover: str
    anchor_at: datetime
    seconds: int
    due_at: datetime
    breach_at: datetime


@dataclass(frozen=True, slots=True)
class PriorityChange:
    """A change of priority while the clock ran, and what it did to the due time (PRI-1..3)."""

    at: datetime
    old: str
    new: str
    old_due_at: datetime | None
    due_at: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How one cycle of one clock was reckoned: what an explanation is made of."""

    milestone: Milestone
    limit: Limit
    """The limit that decides the due time."""
    changes: tuple[PriorityChange, ...] = ()
    pauses: tuple[Pause, ...] = ()
    """Those that touch the running time, clamped to it."""
    act: Act | None = None
    """What stopped the acknowledgement clock, if a person did."""
    closed_at: datetime | None = None
    kept: bool = False
    """The milestone is an earlier answer that may not change any more."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What one priority promises for the clock at hand."""

    cover: str
    calendar: Calendar
    seconds: int


@dataclass(frozen=True, slots=True)
class Run:
    """One cycle of one clock, ready to be reckoned."""

    case: Case
    history: History
    clock: Clock
    cycle: Cycle
    plan_key: str
    plan: SlaPlan
    policy: Policy
    covers: Mapping[str, Calendar]
    now: datetime

    def reckon(self) -> Reckoning | None:
        """Return the milestone from history alone, or None if no priority in force has a target."""
        act = acknowledged(self.case, self.history, self.cycle, self.policy) if self.clock == "ack" else None
        stop = self._stop(act)
        stood = self._pauses(stop)
        started = self.cycle.started_at
        priority = priority_at(self.history, started)
        limits = self._first_limits(priority, started, stood)
        changes: list[PriorityChange] = []
        legs = [(started, priority)]
        for step in self.history.priority:
            if step.at <= started or (stop is not None and step.at >= stop):
                continue
            if limits and step.at > _breach(limits):
                break  # PRI-4: what is breached moves no more
            due = _due(limits).due_at if limits else None
            limits, rule = self._changed(limits, priority, step.value, step.at, stood)
            if limits and rule:
                changes.append(PriorityChange(step.at, priority, step.value, due, _due(limits).due_at, rule))
            priority = step.value
            legs.append((step.at, priority))
        if not limits:
            return None
        return self._result(limits, legs, changes, stood, stop, act)

    def promise(self, priority: str) -> _Terms | None:
        """Return cover and target seconds of a priority, or None where nothing is promised (X-22)."""
        target = self.plan.targets.get(priority)  # type: ignore[call-overload]
        if target is None:
            return None
        minutes = target.acknowledge_minutes if self.clock == "ack" else target.resolve_minutes
        if minutes is None:
            return None
        calendar = self.covers.get(target.cover)
        if calendar is None:
            raise PolicyError(f"no calendar was made of cover {target.cover!r}")
        return _Terms(target.cover, calendar, minutes * 60)

    def _stop(self, act: Act | None) -> datetime | None:
        """Return when the clock stopped. A case closed unanswered stops its clock at the closing."""
        if self.clock == "resolution":
            return self.history.closed_at
        ends = [at for at in (act.at if act else None, self.cycle.closed_at) if at is not None]
        return min(ends, default=None)

    def _pauses(self, stop: datetime | None) -> tuple[Pause, ...]:
        """Return the pauses clamped to the running time; one that was never ended ends with the clock (PAU-2)."""
        found = []
        for pause in pauses(self.history, self.clock, self.policy):
            since = max(pause.since, self.cycle.started_at)
            until = pause.until
            if stop is not None:
                until = stop if until is None else min(until, stop)
            if until is None or since < until:
                found.append(Pause(since, until, pause.cause))
        return tuple(found)

    def _first_limits(self, priority: str, started: datetime, stood: Sequence[Pause]) -> list[Limit]:
        promise = self.promise(priority)
        return [] if promise is None else [self._limit(promise, started, stood)]

    def _changed(
        self, limits: list[Limit], old: str, new: str, at: datetime, stood: Sequence[Pause]
    ) -> tuple[list[Limit], str]:
        """Return the limits after a change of priority and the rule that made them; "" if nothing moved."""
        before, after = self.promise(old), self.promise(new)
        started = self.cycle.started_at
        if after is None:
            return [], ""
        if before is None or not limits:
            return [self._limit(after, at, stood)], "PRI-1"
        if self.policy.priority_change == "retroactive":
            return [self._limit(after, started, stood)], "PRI-2"
        if self.policy.priority_change == "restart":
            return [self._limit(after, at, stood)], "PRI-2"
        if (before.cover, before.seconds) == (after.cover, after.seconds):
            return limits, ""
        opened = after.calendar.round_the_clock and not before.calendar.round_the_clock
        if after.seconds < before.seconds or opened:
            return [*limits, self._limit(after, at, stood)], "PRI-1"
        loosened = self._limit(after, started, stood)
        # A downgrade never tightens, whatever upgrades came before it.
        return ([loosened] if loosened.due_at >= _due(limits).due_at else limits), "PRI-3"

    def _limit(self, promise: _Terms, anchor: datetime, stood: Sequence[Pause]) -> Limit:
        """Return the limit of a promise that begins to run at ``anchor``."""
        calendar, seconds, printed = promise.calendar, promise.seconds, None
        begin = seconds_of(anchor)
        if self.clock == "ack" and self.policy.business_day_mode != "cover_minutes":
            printed = _business_day(calendar, anchor, seconds, self.policy)
            if printed is not None:
                seconds = calendar.between_s(begin, printed)
        due = _reach(calendar, begin, seconds, stood)
        if printed is not None and calendar.between_s(due, printed) == 0:
            due = printed  # the same position; this mode says which of its instants is shown (S-77)
        breach = due if self.policy.breach_basis == "wall" else _next_running(calendar, due, stood)
        return Limit(promise.cover, anchor, seconds, instant_of(due), instant_of(breach))

    def _result(
        self,
        limits: Sequence[Limit],
        legs: Sequence[tuple[datetime, str]],
        changes: Sequence[PriorityChange],
        stood: tuple[Pause, ...],
        stop: datetime | None,
        act: Act | None,
    ) -> Reckoning:
        limit = _due(limits)
        priority = legs[-1][1]
        promise = self.promise(priority)
        assert promise is not None  # there are limits
        started = self.cycle.started_at
        calendar, anchor = self.covers[limit.cover], seconds_of(limit.anchor_at)
        marks = tuple(
            (percent, instant_of(_reach(calendar, anchor, limit.seconds * percent // 100, stood)))
            for percent in sorted(self.policy.thresholds_pct)
        )
        open_pause = next((pause.since for pause in stood if pause.until is None), None)
        upto = stop or self.now
        breach_at = _breach(limits)
        late = upto > breach_at and (stop is not None or open_pause is None or open_pause > breach_at)
        milestone = Milestone(
            case=self.case.key,
            clock=self.clock,
            cycle=self.cycle.number,
            plan=self.plan_key,
            priority=priority,
            target_seconds=promise.seconds,
            started_at=started,
            clock_starts_at=self.covers[self._first_cover(legs)].next_open(started),
            due_at=limit.due_at,
            breach_at=breach_at,
            warn_at=marks,
            paused_seconds=self._cover_seconds(legs, stood, upto)[1],
            paused_since=open_pause,
            met_at=stop,
            used_seconds=None if stop is None else self._cover_seconds(legs, stood, stop)[0],
            breached_at=breach_at if late else None,
        )
        return Reckoning(milestone, limit, tuple(changes), stood, act, self.cycle.closed_at)

    def _first_cover(self, legs: Sequence[tuple[datetime, str]]) -> str:
        for _, priority in legs:
            promise = self.promise(priority)
            if promise is not None:
                return promise.cover
        raise AssertionError("a clock without a promise has no limits")

    def _cover_seconds(
        self, legs: Sequence[tuple[datetime, str]], stood: Sequence[Pause], upto: datetime
    ) -> tuple[int, int]:
        """Return cover seconds used and paused until an instant, each leg in the cover of its priority.

        A pause that has not ended adds nothing: ``paused_since`` tells of it, and a paused clock's figures stand still.
        """
        used = paused = 0
        for n, (since, priority) in enumerate(legs):
            until = min(upto, legs[n + 1][0]) if n + 1 < len(legs) else upto
            promise = self.promise(priority)
            if promise is None or until <= since:
                continue
            leg_paused = 0
            for pause in stood:
                if pause.until is None:
                    continue
                begin, end = max(pause.since, since), min(pause.until, until)
                if begin < end:
                    leg_paused += promise.calendar.between(begin, end)
            used += promise.calendar.between(since, until) - leg_paused
            paused += leg_paused
        return used, paused


def _reach(calendar: Calendar, anchor: int, seconds: int, stood: Sequence[Pause]) -> int:
    """Return the earliest instant at which ``seconds`` of cover were used since ``anchor`` (CLK-2, PAU-1).

    Pauses do not count. One that is still open is treated as if it ended at once, so a paused clock
    shows the time it would be due if it ran on.
    """
    at, left = anchor, seconds
    for pause in stood:
        until = None if pause.until is None else seconds_of(pause.until)
        if until is not None and until <= at:
            continue
        since = max(seconds_of(pause.since), at)
        runs = calendar.between_s(at, since)
        if left <= runs:
            break
        left -= runs
        at = since if until is None else until
    return calendar.add_s(at, left)


def _next_running(calendar: Calendar, instant: int, stood: Sequence[Pause]) -> int:
    """Return the start of the first cover second at or after ``instant`` in which the clock runs (CLK-3)."""
    at = calendar.next_open_s(instant)
    for pause in stood:
        if pause.until is None:
            continue
        until = seconds_of(pause.until)
        if seconds_of(pause.since) <= at < until:
            at = calendar.next_open_s(until)
    return at


def _business_day(calendar: Calendar, anchor: datetime, seconds: int, policy: Policy) -> int | None:
    """Return when "one business day" ends in the configured reading, or None for another target (X-20).

    A target is one business day when it equals the longest day of its cover.
    """
    if seconds != calendar.full_day_seconds or calendar.round_the_clock:
        return None
    if policy.business_day_mode == "end_of_next_business_day":
        day = calendar.business_day_after(calendar.local(anchor).date())
        return seconds_of(calendar.at_local(day, calendar.windows_on(day)[-1][1]))
    begins = calendar.local(calendar.next_open(anchor))
    day = calendar.business_day_after(begins.date())
    return seconds_of(calendar.at_local(day, begins.hour * 3600 + begins.minute * 60 + begins.second))


def _due(limits: Sequence[Limit]) -> Limit:
    """Return the limit that is reached first; of equals the newest."""
    return min(reversed(limits), key=lambda limit: limit.due_at)


def _breach(limits: Sequence[Limit]) -> datetime:
    return min(limit.breach_at for limit in limits)


def priority_at(history: History, at: datetime) -> str:
    """Return the priority at an instant."""
    value = history.priority[0].value
    for step in history.priority:
        if step.at > at:
            break
        value = step.value
    return value
