"""The honest figures of a plan: per-case compliance and the mean beside it (SLA-M1, X-23).

May not know cases or calendars: it counts milestones. It keeps one law: no float; a mean is exact until
it is shown, a percentage has two places, halves up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from sfsync.records import Milestone

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """How the cases of one priority were acknowledged; a cycle counts as a case of its own."""

    priority: str
    answered: int
    in_time: int
    breached: int
    """Answered late or still unanswered after the target; waived ones included."""
    waived: int
    waiting: int
    """Neither answered nor breached yet."""
    used_seconds: int
    """Cover seconds of all answered ones together."""
    target_seconds: int
    """Their targets together, so that a mean can be judged when targets differ."""

    @property
    def mean_minutes(self) -> int | None:
        """The mean time to acknowledge in cover minutes, nearest minute; None without an answer (SLA-M1)."""
        if not self.answered:
            return None
        return (self.used_seconds * 2 + self.answered * 60) // (self.answered * 120)

    @property
    def mean_within_target(self) -> bool | None:
        """Whether the mean keeps the target, which says nothing of the single case (X-23)."""
        return self.used_seconds <= self.target_seconds if self.answered else None

    @property
    def compliance_pct(self) -> Decimal | None:
        """Cases in time of those decided, in percent with two places; None when none is decided."""
        decided = self.in_time + self.breached
        if not decided:
            return None
        return (Decimal(100 * self.in_time) / decided).quantize(_CENT, ROUND_HALF_UP)


def acknowledgements(milestones: Iterable[Milestone]) -> Mapping[str, Acknowledgements]:
    """Return the figures of each priority that occurs, by priority."""
    rows: dict[str, list[Milestone]] = {}
    for milestone in milestones:
        if milestone.clock == "ack":
            rows.setdefault(milestone.priority, []).append(milestone)
    return {priority: _figures(priority, rows[priority]) for priority in sorted(rows)}


def _figures(priority: str, milestones: list[Milestone]) -> Acknowledgements:
    # A clock that stopped without a figure belonged to a case that was deleted or is no request any more.
    milestones = [m for m in milestones if m.met_at is None or m.used_seconds is not None or m.breached_at is not None]
    answered = [m for m in milestones if m.used_seconds is not None]
    breached = [m for m in milestones if m.breached_at is not None]
    return Acknowledgements(
        priority=priority,
        answered=len(answered),
        in_time=sum(m.breached_at is None for m in answered),
        breached=len(breached),
        waived=sum(m.waived_reason is not None for m in breached),
        waiting=sum(m.met_at is None and m.breached_at is None for m in milestones),
        used_seconds=sum(m.used_seconds or 0 for m in answered),
        target_seconds=sum(m.target_seconds for m in answered),
    )
