"""What another mode, plan or calendar would have said of the same cases, before anybody switches.

May not know where cases come from. It keeps one law: a simulation is the real evaluation with other terms;
it has no rules of its own and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sfsync.policy import ClientTerms, Plans
from sfsync.records import Case, CaseEvent, Milestone
from sfsync.rules.calendar import Calendar
from sfsync.rules.sla import evaluate_case
from sfsync.rules.sla_report import Acknowledgements, acknowledgements

CLOCK_KEYS = (
    "breach_basis",
    "priority_change",
    "business_day_mode",
    "ack_pause_statuses",
    "resolution_pause_statuses",
    "new_statuses",
    "closed_statuses",
    "consultant_usernames",
    "reopen",
    "reopen_grace_minutes",
    "thresholds_pct",
    "channel_outside_plan",
    "default_priority",
)
"""Keys of the policy that the clocks read: what a simulation can change."""

PRESENT = "present"
"""Name of the variant that changes nothing."""


@dataclass(frozen=True, slots=True)
class PastCase:
    """A case with its history, and what is recorded of it."""

    case: Case
    events: Sequence[CaseEvent]
    milestones: Sequence[Milestone] = ()


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """One priority under one variant."""

    variant: str
    figures: Acknowledgements
    paused: int
    """Cycles in which the clock stood still for some cover."""
    newly_breached: tuple[str, ...]
    """Cases of this priority that the variant breaches and the first variant does not."""
    no_longer_breached: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MovedDeadline:
    """An open clock whose due time another calendar would move (CAL-6, S-78)."""

    case: str
    clock: str
    cycle: int
    old_due_at: datetime
    new_due_at: datetime


def variants_of(terms: ClientTerms) -> dict[str, ClientTerms]:
    """Return the present terms and, by name, each alternative mode of the clock on its own (X-20, CLK-3, PRI-2)."""
    choices: dict[str, tuple[str, ...]] = {
        "breach_basis": ("elapsed", "wall"),
        "priority_change": ("fair", "retroactive", "restart"),
        "business_day_mode": ("cover_minutes", "end_of_next_business_day", "same_time_next_business_day"),
    }
    found = {PRESENT: terms}
    for key, modes in choices.items():
        for mode in modes:
            if getattr(terms.policy, key) != mode:
                policy = terms.policy.model_copy(update={key: mode})
                found[f"{key}={mode}"] = terms.model_copy(update={"policy": policy})
    return found


def simulate(
    cases: Sequence[PastCase],
    *,
    variants: Mapping[str, ClientTerms],
    plans: Plans,
    covers: Mapping[str, Calendar],
    now: datetime,
) -> list[SimulatedRow]:
    """Return a row for each variant and priority; the first variant is what the others are compared with.

    Each case is evaluated from its history alone, as if nothing had been recorded.
    """
    rows: list[SimulatedRow] = []
    first: set[str] | None = None
    for name, terms in variants.items():
        milestones: list[Milestone] = []
        for past in cases:
            outcome = evaluate_case(past.case, past.events, terms=terms, plans=plans, covers=covers, now=now)
            milestones += [m for m in outcome.milestones if m.clock == "ack"]
        late = {m.case for m in milestones if m.breached_at is not None}
        first = late if first is None else first
        for priority, figures in acknowledgements(milestones).items():
            of_priority = {m.case for m in milestones if m.priority == priority}
            rows.append(
                SimulatedRow(
                    variant=name,
                    figures=figures,
                    paused=sum(m.priority == priority and m.paused_seconds > 0 for m in milestones),
                    newly_breached=tuple(sorted((late - first) & of_priority)),
                    no_longer_breached=tuple(sorted((first - late) & of_priority)),
                )
            )
    return rows


def moved_deadlines(
    cases: Iterable[PastCase],
    *,
    terms: ClientTerms,
    plans: Plans,
    covers: Mapping[str, Calendar],
    now: datetime,
) -> list[MovedDeadline]:
    """Return the open clocks whose recorded due time would move if ``covers`` were published ``now`` (CAL-6).

    Ordered by the earlier of the two due times, so that what a person must look at first comes first.
    """
    moved: list[MovedDeadline] = []
    for past in cases:
        outcome = evaluate_case(
            past.case, past.events, terms=terms, plans=plans, covers=covers, previous=past.milestones, now=now
        )
        old = {(m.clock, m.cycle): m for m in past.milestones}
        for m in outcome.milestones:
            was = old.get((m.clock, m.cycle))
            if was is not None and was.met_at is None and was.due_at != m.due_at:
                moved.append(MovedDeadline(m.case, m.clock, m.cycle, was.due_at, m.due_at))
    return sorted(moved, key=lambda one: (min(one.old_due_at, one.new_due_at), one.case, one.clock, one.cycle))
