"""What happened to a case, read from its rows of history: values in force, human acts, cycles, pauses.

May not know calendars or targets. It keeps one law: everything is derived from the rows, sorted and
without doubles; nothing is counted on from an earlier answer, so a late row heals what was told without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
from operator import attrgetter

from sfsync.policy import Policy
from sfsync.records import ECHO, Case, CaseEvent, Priority

CLOSED = "Closed"
"""Cause of a pause of the resolution clock between closing and reopening (REO-2)."""

FLAG = "Paused"
"""Cause of a pause by the case's own checkbox, and its name in ``ack_pause_statuses`` (PAU-3)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A value that came into force, and who brought it."""

    at: datetime
    value: str
    by: str = ""
    human: bool = False
    """By a person of the consultancy (ACK-1)."""


@dataclass(frozen=True, slots=True)
class Act:
    """A human act of the consultancy that acknowledges a case (ACK-1, X-24)."""

    at: datetime
    kind: str
    """``comment``, ``email``, ``status`` or ``field``."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Cycle:
    """From opening or reopening to closing (REO-1)."""

    number: int
    started_at: datetime
    waiting: frozenset[str]
    """Statuses that say nobody has answered yet."""
    opened_by: int
    """Which step of the status opened it; only later ones can answer it."""
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which a clock stands still; open while ``until`` is None."""

    since: datetime
    until: datetime | None
    cause: str
    """The status, ``Paused`` for the checkbox, ``Closed`` for a closed stretch that was reopened."""


@dataclass(frozen=True, slots=True)
class History:
    """The rows of one case, ordered and understood."""

    started_at: datetime
    status: tuple[Step, ...]
    priority: tuple[Step, ...]
    flag: tuple[Step, ...]
    acts: tuple[Act, ...]
    """Comments and mails of the consultancy, in order; status changes are judged per cycle."""
    cycles: tuple[Cycle, ...]
    closed_at: datetime | None
    """When the case was closed, if it is closed now."""
    closed_spans: tuple[tuple[datetime, datetime], ...]
    """Closed and opened again, misclicks included."""


def read_history(case: Case, events: Iterable[CaseEvent], policy: Policy) -> History:
    """Return what the rows say; rows may come in any order and more than once.

    The clock's start is the case's creation, or an earlier ``received_at`` (section 2.3). Raises
    ``ValueError`` for a case that is not in an org yet.
    """
    if case.created_at is None:
        raise ValueError(f"case {case.key} has no creation instant")
    start = case.created_at
    if case.received_at is not None and case.received_at < start:
        start = case.received_at
    rows = ordered(events)
    status = _steps("status", start, case.status or policy.new_statuses[0], rows, policy)
    priority = _steps("priority", start, case.priority or policy.default_priority, rows, policy)
    known = {p.value for p in Priority}
    priority = tuple(
        step if step.value in known else Step(step.at, policy.default_priority, step.by, step.human)
        for step in priority
    )
    flag = _steps("paused", start, str(bool(case.paused)), rows, policy)
    acts = tuple(
        Act(max(row.at, start), row.kind, row.by)
        for row in rows
        if row.kind in {"comment", "email"} and by_consultant(row, policy)
    )
    cycles, closed_at, spans = _cycles(case, start, status, policy)
    return History(start, status, priority, flag, acts, cycles, closed_at, spans)


def ordered(events: Iterable[CaseEvent]) -> list[CaseEvent]:
    """Return the rows by instant and id, each id once (section 2.4).

    Rows of one field at one instant follow each other's old and new value where those say an order: first the
    one that leaves the value in force, else one that no other row of the instant leads to.
    """
    unique = {row.event_id: row for row in events}
    rows = sorted(unique.values(), key=lambda row: (row.at, row.event_id))
    result: list[CaseEvent] = []
    in_force: dict[tuple[str, str], str | None] = {}
    for _, group in groupby(rows, key=attrgetter("at")):
        left = list(group)
        while left:
            first = left[0]
            name = (first.kind, first.field)
            chain = [row for row in left if (row.kind, row.field) == name]
            followers = {row.new for row in chain}
            head = next((row for row in chain if row.old not in followers), first)
            if name in in_force:
                head = next((row for row in chain if row.old == in_force[name]), head)
            in_force[name] = head.new
            result.append(head)
            left.remove(head)
    return result


def by_consultant(row: CaseEvent, policy: Policy) -> bool:
    """Return whether a person of the consultancy did it; automation and our own user never count (ACK-1)."""
    return not row.by_service and any(fnmatchcase(row.by, pattern) for pattern in policy.consultant_usernames)


def acknowledged(case: Case, history: History, cycle: Cycle, policy: Policy) -> Act | None:
    """Return the first human act of the consultancy in a cycle, or None (ACK-1).

    The field ``acknowledged_at`` counts where it falls in the cycle. Leaving *New* counts, except into a
    status that pauses this very clock (PAU-3).
    """
    following = [other.started_at for other in history.cycles if other.number == cycle.number + 1]
    end = following[0] if following else None

    def inside(at: datetime) -> bool:
        return at >= cycle.started_at and (end is None or at < end)

    waiting = cycle.waiting | set(policy.ack_pause_statuses)
    found = [act for act in history.acts if inside(act.at)]
    for before, step in pairwise(history.status[cycle.opened_by :]):
        if inside(step.at) and step.human and before.value in waiting and step.value not in waiting:
            found.append(Act(step.at, "status", step.by))
    if case.acknowledged_at is not None and inside(case.acknowledged_at):
        found.append(Act(case.acknowledged_at, "field"))
    return min(found, key=attrgetter("at"), default=None)


def pauses(history: History, clock: str, policy: Policy) -> tuple[Pause, ...]:
    """Return when a clock stood still, ascending and without overlaps (PAU-1..3, REO-2).

    The resolution clock stops in its pause statuses, by the checkbox and while closed; the acknowledgement
    clock only in ``ack_pause_statuses``, which may name ``Paused`` for the checkbox.
    """
    statuses = policy.resolution_pause_statuses if clock == "resolution" else policy.ack_pause_statuses
    found = _spells(history.status, lambda value: value in statuses)
    if clock == "resolution" or FLAG in statuses:
        found += [Pause(p.since, p.until, FLAG) for p in _spells(history.flag, is_true)]
    if clock == "resolution":
        found += [Pause(since, until, CLOSED) for since, until in history.closed_spans]
    joined: list[Pause] = []
    for pause in sorted(found, key=attrgetter("since")):
        last = joined[-1] if joined else None
        if last is None or (last.until is not None and pause.since > last.until):
            joined.append(pause)
        elif last.until is not None and (pause.until is None or pause.until > last.until):
            if pause.since == last.until:
                joined.append(pause)
            else:
                joined[-1] = Pause(last.since, pause.until, last.cause)
    return tuple(joined)


def is_true(value: str) -> bool:
    """Return whether a history row's text means a ticked checkbox."""
    return value.casefold() in {"true", "1", "yes"}


def _steps(name: str, start: datetime, current: str, rows: Sequence[CaseEvent], policy: Policy) -> tuple[Step, ...]:
    """Return the values of one field in order, equal neighbours collapsed, the first from ``start`` on.

    What our own user wrote into one of two orgs only catches up with the other, later than it happened there. It counts
    where it changed the value that was in force: then it ended a conflict.
    """
    changes = [row for row in rows if row.kind in ("field", ECHO) and row.field == name]
    known = [row for row in changes if row.kind != ECHO] or changes
    first = known[0].old if known and known[0].old is not None else None
    if first is None:
        first = current if not known else (known[0].new or "")
    steps = [Step(start, first)]
    for row in changes:
        value = row.new or ""
        if row.kind == ECHO and (row.old or "") != steps[-1].value:
            continue
        if value != steps[-1].value:
            steps.append(Step(max(row.at, start), value, row.by, by_consultant(row, policy)))
    return tuple(steps)


def _spells(steps: Sequence[Step], counts: Callable[[str], bool]) -> list[Pause]:
    """Return the stretches in which a value counts."""
    found: list[Pause] = []
    for n, step in enumerate(steps):
        if counts(step.value):
            until = steps[n + 1].at if n + 1 < len(steps) else None
            if until is None or until > step.at:
                found.append(Pause(step.at, until, step.value))
    return found


def _cycles(
    case: Case, start: datetime, status: Sequence[Step], policy: Policy
) -> tuple[tuple[Cycle, ...], datetime | None, tuple[tuple[datetime, datetime], ...]]:
    """Return the cycles, the closing instant if closed now, and the closed stretches that were reopened."""
    closing = set(policy.closed_statuses)
    if case.is_closed and case.status is not None and case.status == status[-1].value:
        closing.add(case.status)
    grace = timedelta(minutes=policy.reopen_grace_minutes)
    cycles = [Cycle(1, start, frozenset(policy.new_statuses), 0)]
    closed_at: datetime | None = None
    spans: list[tuple[datetime, datetime]] = []
    for number, step in enumerate(status):
        if step.value in closing:
            closed_at = closed_at or step.at
            continue
        if closed_at is None:
            continue
        spans.append((closed_at, step.at))
        misclick = step.human and step.at - closed_at <= grace
        if policy.reopen == "new_cycle" and not misclick:
            cycles[-1] = replace(cycles[-1], closed_at=closed_at)
            waiting = frozenset({*policy.new_statuses, step.value})
            cycles.append(Cycle(len(cycles) + 1, step.at, waiting, number))
        closed_at = None
    if closed_at is None and case.is_closed and len(status) == 1:
        closed_at = case.closed_at  # closed without a row that says so
    if len(status) == 1 and status[0].value in closing:
        closed_at = case.closed_at or status[0].at
    if closed_at is not None:
        cycles[-1] = replace(cycles[-1], closed_at=closed_at)
    return tuple(cycles), closed_at, tuple(spans)
