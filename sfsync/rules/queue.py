"""In which order work is taken up (QUE-1). A queue lane promises no time (PK-10, X-17).

May not know clocks: due times are given. It keeps one law: the order is total, so two workers see one queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sfsync.policy import PackPlan
from sfsync.records import Pack, PackStatus, Priority


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that waits for work."""

    case: str
    priority: str
    due_at: datetime | None
    """None for a case without a target; it comes after those that have one."""
    lane: int | None
    """Rank of the client's best pack plan: 1 Pro, 2 Flexi, 3 Starter; None without a pack."""
    created_at: datetime


def queue_order(cases: Iterable[Waiting]) -> list[Waiting]:
    """Return the cases in the order of work: P1 first, then due time, then pack lane, then age (QUE-1)."""
    return sorted(
        cases,
        key=lambda w: (
            w.priority != Priority.P1,
            w.due_at is None,
            w.due_at or w.created_at,
            w.lane is None,
            w.lane or 0,
            w.created_at,
            w.case,
        ),
    )


def lane_of(packs: Iterable[Pack], plans: Mapping[str, PackPlan]) -> int | None:
    """Return the best lane of a client's active packs, or None (PK-10)."""
    ranks = {plan.name.casefold(): plan.queue_rank for plan in plans.values()}
    found = [
        ranks[pack.plan.casefold()]
        for pack in packs
        if pack.status == PackStatus.ACTIVE and pack.plan is not None and pack.plan.casefold() in ranks
    ]
    return min(found, default=None)
