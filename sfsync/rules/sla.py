"""The clocks of a case: when an answer is due, whether it came in time, and what changed the due time.

Read from the case's history every time; nothing is counted on from an earlier answer. May not know where
history comes from or what is done about a breach. It keeps one law: **breached if and only if the cover
seconds used exceed the target** (CLK-3), and what was recorded as breached or closed stays so unless the
history itself tells otherwise (PRI-4, CAL-6, REO-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sfsync.errors import PolicyError
from sfsync.policy import ClientTerms, Plans, Policy, SlaPlan
from sfsync.records import Case, CaseEvent, Finding, Milestone, SlaStatus, Value
from sfsync.rules.calendar import Calendar
from sfsync.rules.history import Cycle, read_history
from sfsync.rules.language import ENGLISH, Language
from sfsync.rules.sla_clock import Clock, Reckoning, Run, priority_at
from sfsync.rules.sla_explain import short_form

_AT_RISK_PERCENT = 75
"""A case is at risk from the first configured mark at or above this, or from the last mark there is."""

_CHANNELS = {"web": "portal", "e-mail": "email", "correo electrónico": "email", "on call": "on-call"}
"""What orgs call a channel of the offer in their Origin field (CHN-1)."""


@dataclass(frozen=True, slots=True)
class SlaOutcome:
    """What the clocks of one case say at an instant."""

    milestones: tuple[Milestone, ...] = ()
    """All cycles of all clocks, earlier ones included, in the order of (clock, cycle)."""
    findings: tuple[Finding, ...] = ()
    """What is new since ``previous``: Breach, Warning, DueMoved, BreachWithdrawn, ..."""
    fields: Mapping[str, Value] = field(default_factory=dict)
    """The computed fields of the Case, by their names in ``records.Case``."""
    reckonings: tuple[Reckoning, ...] = ()
    next_due_at: datetime | None = None
    """The earliest instant after ``now`` at which a flag changes by itself; None: never."""
    channel_in_plan: bool | None = None
    """None when the channel is unknown or there is no plan (CHN-1)."""


NOT_APPLICABLE: Mapping[str, Value] = {
    "target_minutes": None,
    "due_at": None,
    "met_at": None,
    "sla_status": SlaStatus.NOT_APPLICABLE.value,
    "breached": False,
    "explained": None,
}
"""The fields of a case without a clock (X-30)."""


def evaluate_case(
    case: Case,
    events: Iterable[CaseEvent],
    *,
    terms: ClientTerms,
    plans: Plans,
    covers: Mapping[str, Calendar],
    previous: Sequence[Milestone] = (),
    now: datetime,
    language: Language = ENGLISH,
    replan: bool = False,
) -> SlaOutcome:
    """Return the milestones, findings and fields of one case at ``now``.

    ``previous`` are the case's stored milestones; they decide what is new, keep closed cycles and recorded
    breaches (REO-1, PRI-4, CAL-6), and keep an open case on the plan it was opened under unless ``replan``
    asks for the client's present one (section 2.5). ``covers`` holds the calendar of every cover the plan
    names; a missing one raises ``PolicyError``. Field ``explained`` is written in ``language``.
    """
    policy = terms.policy
    key = _plan_key(terms, plans, previous, case.created_at, replan, now)
    if case.deleted or case.request is False or key is None or case.created_at is None:
        return SlaOutcome(fields=NOT_APPLICABLE, milestones=_dropped(previous, now))
    plan = plans.sla[key]
    findings: list[Finding] = []
    in_plan = channel_in_plan(case.origin, plan)
    if in_plan is False:
        if not previous:
            findings.append(
                _finding(case, "ChannelOutsidePlan", f"{case.origin} is no channel of {plan.name}.", "CHN-1")
            )
        if policy.channel_outside_plan == "no_clock":
            return SlaOutcome(
                fields=NOT_APPLICABLE,
                findings=tuple(findings),
                milestones=_dropped(previous, now),
                channel_in_plan=False,
            )
    history = read_history(case, events, policy)
    if not previous and len(history.status) == 1 and history.status[0].value not in policy.new_statuses:
        said = f"Status {history.status[0].value} without a row of history: is the field's history tracked?"
        findings.append(_finding(case, "HistoryMissing", said, "ACK-1"))
    stored = {(m.clock, m.cycle): m for m in previous}
    reckonings: list[Reckoning] = []
    clocks: list[tuple[Clock, Cycle]] = [("ack", cycle) for cycle in history.cycles]
    for clock, cycle in [*clocks, ("resolution", history.cycles[0])]:
        run = Run(case, history, clock, cycle, key, plan, policy, covers, now)
        fresh = run.reckon()
        if fresh is None:
            continue
        old = stored.get((clock, cycle.number))
        kept, noticed = _kept(fresh, old, run, last=cycle is history.cycles[-1])
        kept, warned = _warned(case, kept, old, now)
        findings += [*noticed, *_news(case, kept, old, run), *warned]
        reckonings.append(kept)
    shown = [r.milestone for r in reckonings]
    return SlaOutcome(
        milestones=tuple(shown),
        findings=tuple(findings),
        fields=_fields(reckonings, plan, covers, policy, language, now),
        reckonings=tuple(reckonings),
        next_due_at=next_due_at(shown, now),
        channel_in_plan=in_plan,
    )


def breached(milestone: Milestone, now: datetime) -> bool:
    """Return whether a milestone is breached at ``now``, answered or not, recorded or not (CLK-3)."""
    if milestone.breached_at is not None:
        return True
    if milestone.met_at is not None:
        return milestone.met_at > milestone.breach_at
    return milestone.paused_since is None and now > milestone.breach_at


def next_due_at(milestones: Iterable[Milestone], now: datetime) -> datetime | None:
    """Return the earliest instant after ``now`` at which a sweep has something to say, or None.

    A warning speaks at its mark, a breach one second after the last second in time (CLK-3, CLK-6). A clock
    that is stopped or paused says nothing by itself.
    """
    ahead: list[datetime] = []
    for milestone in milestones:
        if milestone.met_at is not None or milestone.paused_since is not None or milestone.breached_at is not None:
            continue
        ahead += [at for percent, at in milestone.warn_at if percent > milestone.warned_percent]
        ahead.append(milestone.breach_at + timedelta(seconds=1))
    return min((at for at in ahead if at > now), default=None)


def waive(milestone: Milestone, reason: str) -> Milestone:
    """Return the milestone with its breach waived; it stays a breach and is shown as waived (PRI-4).

    Raises ``ValueError`` when there is no recorded breach or no reason.
    """
    if milestone.breached_at is None:
        raise ValueError(f"case {milestone.case} has no recorded breach in cycle {milestone.cycle}")
    if not reason.strip():
        raise ValueError("a waiver needs a reason")
    return replace(milestone, waived_reason=reason.strip())


def channel_in_plan(origin: str | None, plan: SlaPlan) -> bool | None:
    """Return whether a case came by a channel of the plan; None when the org does not say (CHN-1)."""
    if not origin:
        return None
    name = origin.strip().casefold()
    return _CHANNELS.get(name, name) in {channel.casefold() for channel in plan.channels}


def _dropped(previous: Sequence[Milestone], now: datetime) -> tuple[Milestone, ...]:
    """Return the recorded clocks of a case that has none any more: those that ran are stopped, unanswered."""
    return tuple(m if m.met_at is not None else replace(m, met_at=now, paused_since=None) for m in previous)


def _plan_key(
    terms: ClientTerms,
    plans: Plans,
    previous: Sequence[Milestone],
    opened_at: datetime | None,
    replan: bool,
    now: datetime,
) -> str | None:
    """Return the plan a case runs under: the one in force when it was opened, or now if ``replan`` asks (2.5)."""
    if not replan:
        for milestone in previous:
            if milestone.plan in plans.sla:
                return milestone.plan
    plan = terms.plan_at(now if replan or opened_at is None else opened_at)
    if plan is not None and plan not in plans.sla:
        raise PolicyError(f"client {terms.client}: no SLA plan is called {plan!r}")
    return plan


# --- what stays, what is new ---------------------------------------------------------------------------


def _kept(fresh: Reckoning, old: Milestone | None, run: Run, *, last: bool) -> tuple[Reckoning, list[Finding]]:
    """Return the reckoning that stands, given what was recorded before."""
    if old is None:
        return fresh, []
    new = fresh.milestone
    facts = (old.started_at, old.met_at, old.priority, old.plan, old.target_seconds)
    if old.met_at is not None and facts == (new.started_at, new.met_at, new.priority, new.plan, new.target_seconds):
        return replace(fresh, milestone=old, kept=True), []  # CAL-6: a closed cycle is not reckoned again
    lost = old.met_at is not None and (new.met_at is None or new.met_at > old.met_at)
    if lost and not last and old.clock == "ack":
        return replace(fresh, milestone=old, kept=True), []  # REO-1: the field was used again for the next cycle
    carried = replace(
        new,
        warned_percent=old.warned_percent,
        waived_reason=old.waived_reason if new.breached_at is not None else None,
    )
    if old.breached_at is None or old.breached_at == new.breached_at:
        return replace(fresh, milestone=carried), []
    if _contradicted(old, fresh, run):
        said = f"The breach of {old.breached_at.isoformat()} is withdrawn: the history shows otherwise."
        where = {"clock": old.clock, "cycle": old.cycle}
        return replace(fresh, milestone=carried), [
            _finding(run.case, "BreachWithdrawn", said, "PRI-4", old.breached_at, **where)
        ]
    stays = replace(
        carried,
        priority=old.priority,
        target_seconds=old.target_seconds,
        due_at=old.due_at,
        breach_at=old.breach_at,
        warn_at=old.warn_at,
        breached_at=old.breached_at,
        waived_reason=old.waived_reason,
    )
    return replace(fresh, milestone=stays, kept=True), []


def _contradicted(old: Milestone, fresh: Reckoning, run: Run) -> bool:
    """Return whether the history tells of the breach's instant something else than was known then (PRI-4).

    Later changes and a new calendar clear nothing. A row that was read late may show that the case was
    answered in time, had another priority, or had stood still for longer.
    """
    assert old.breached_at is not None
    new, at = fresh.milestone, old.breached_at
    if new.started_at != old.started_at or (new.met_at is not None and new.met_at <= at):
        return True
    if priority_at(run.history, at) != old.priority:
        return True
    calendar = run.covers[fresh.limit.cover]
    stood = 0
    for pause in fresh.pauses:
        until = at if pause.until is None else min(pause.until, at)
        stood += max(0, calendar.between(pause.since, until)) if pause.since <= at else 0
    inside = any(pause.since <= at and (pause.until is None or at < pause.until) for pause in fresh.pauses)
    return inside or stood > old.paused_seconds


def _warned(case: Case, reckoning: Reckoning, old: Milestone | None, now: datetime) -> tuple[Reckoning, list[Finding]]:
    """Fire the highest mark that has passed, once (CLK-6)."""
    milestone = reckoning.milestone
    if milestone.met_at is not None or milestone.breached_at is not None or milestone.paused_since is not None:
        return reckoning, []
    passed = [(percent, at) for percent, at in milestone.warn_at if at <= now]
    if not passed or passed[-1][0] <= milestone.warned_percent:
        return reckoning, []
    percent, at = passed[-1]
    said = f"{percent} % of the time is used; due {milestone.due_at.isoformat()}."
    details = {
        "clock": milestone.clock,
        "cycle": milestone.cycle,
        "percent": percent,
        "due_at": milestone.due_at.isoformat(),
    }
    found = _finding(case, "Warning", said, "CLK-6", at, **details)
    return replace(reckoning, milestone=replace(milestone, warned_percent=percent)), [found]


def _news(case: Case, reckoning: Reckoning, old: Milestone | None, run: Run) -> list[Finding]:
    """Return what a person would want to hear that ``old`` did not know."""
    new = reckoning.milestone
    where = {"clock": new.clock, "cycle": new.cycle}
    found: list[Finding] = []
    if old is None and new.cycle > 1:
        found.append(_finding(case, "Reopened", f"Cycle {new.cycle} begins.", "REO-1", new.started_at, **where))
    if new.breached_at is not None and (old is None or old.breached_at != new.breached_at):
        said = f"Target of {new.target_seconds // 60} min missed; due {new.due_at.isoformat()}."
        found.append(_finding(case, "Breach", said, "CLK-3", new.breached_at, due_at=new.due_at.isoformat(), **where))
    if old is not None and old.met_at is None and old.due_at != new.due_at:
        said = f"Due time moved from {old.due_at.isoformat()} to {new.due_at.isoformat()}."
        found.append(
            _finding(
                case,
                "DueMoved",
                said,
                "CAL-6",
                run.now,
                old=old.due_at.isoformat(),
                new=new.due_at.isoformat(),
                **where,
            )
        )
    if new.clock == "ack" and new.met_at is not None and reckoning.act is None and not reckoning.kept:
        found.append(
            _finding(case, "ClosedUnanswered", "Closed before anybody answered.", "ACK-1", new.met_at, **where)
        )
    calendar = run.covers[reckoning.limit.cover]
    year = calendar.local(new.due_at).year
    confirmed = calendar.confirmed_through_year
    if confirmed is not None and year > confirmed and (old is None or old.due_at != new.due_at) and new.met_at is None:
        said = f"The due time uses the holidays of {year}, which are not confirmed yet."
        found.append(_finding(case, "ProvisionalYear", said, "CAL-6", new.due_at, year=year, **where))
    return found


def _finding(case: Case, code: str, message: str, rule: str, at: datetime | None = None, **details: object) -> Finding:
    return Finding(code=code, record=case.key, message=message, rule=rule, at=at, details=details)


# --- the fields of the case -------------------------------------------------------------------------------


def _fields(
    reckonings: Sequence[Reckoning],
    plan: SlaPlan,
    covers: Mapping[str, Calendar],
    policy: Policy,
    language: Language,
    now: datetime,
) -> dict[str, Value]:
    """Return what the case shows: its newest acknowledgement cycle, and whether any clock was breached."""
    acks = [r for r in reckonings if r.milestone.clock == "ack"]
    if not acks:
        return dict(NOT_APPLICABLE)
    current = acks[-1].milestone
    return {
        "target_minutes": current.target_seconds // 60,
        "due_at": current.due_at,
        "met_at": current.met_at,
        "sla_status": status_of(current, policy, now).value,
        "breached": any(breached(r.milestone, now) for r in reckonings),
        "explained": short_form(acks[-1], plan, covers, language),
    }


def status_of(milestone: Milestone, policy: Policy, now: datetime) -> SlaStatus:
    """Return what a case shows of its acknowledgement clock at ``now``."""
    if breached(milestone, now):
        return SlaStatus.BREACHED
    if milestone.met_at is not None:
        return SlaStatus.MET
    if milestone.paused_since is not None:
        return SlaStatus.PAUSED
    marks = sorted(policy.thresholds_pct)
    risk = next((percent for percent in marks if percent >= _AT_RISK_PERCENT), marks[-1] if marks else 101)
    if any(percent >= risk and at <= now for percent, at in milestone.warn_at):
        return SlaStatus.AT_RISK
    return SlaStatus.ON_TRACK
