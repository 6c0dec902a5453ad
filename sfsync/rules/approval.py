"""Estimates between author and client: states, versions, validity, who may decide (EST-1..4, APR-4).

May not know packs; what is available is a number it is told. It keeps one law: a decision is final, and the
same decision again changes nothing (IDM-1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sfsync.policy import Policy
from sfsync.records import Case, Estimate, EstimateStatus
from sfsync.rules.intake import valid_until
from sfsync.rules.weeks import end_of_day
from sfsync.rules.wording import Refusal


class Move(StrEnum):
    """What a person or the clock does to an estimate."""

    SEND = "send"
    ASK = "ask"
    ANSWER = "answer"
    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"


S = EstimateStatus
STEPS: dict[tuple[EstimateStatus, Move], EstimateStatus] = {
    (S.DRAFT, Move.SEND): S.SENT,
    (S.DRAFT, Move.WITHDRAW): S.WITHDRAWN,
    (S.DRAFT, Move.SUPERSEDE): S.SUPERSEDED,
    (S.SENT, Move.ASK): S.QUESTION,
    (S.SENT, Move.APPROVE): S.APPROVED,
    (S.SENT, Move.REJECT): S.REJECTED,
    (S.SENT, Move.EXPIRE): S.EXPIRED,
    (S.SENT, Move.WITHDRAW): S.WITHDRAWN,
    (S.SENT, Move.SUPERSEDE): S.SUPERSEDED,
    (S.QUESTION, Move.ANSWER): S.SENT,
    (S.QUESTION, Move.REJECT): S.REJECTED,
    (S.QUESTION, Move.EXPIRE): S.EXPIRED,
    (S.QUESTION, Move.WITHDRAW): S.WITHDRAWN,
    (S.QUESTION, Move.SUPERSEDE): S.SUPERSEDED,
}
"""Every step there is; a pair that is not here is refused."""

FINAL = frozenset({S.APPROVED, S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.SUPERSEDED})


def step(status: EstimateStatus, move: Move) -> EstimateStatus | Refusal:
    """Return the status after a move, or ``not_possible``."""
    after = STEPS.get((status, move))
    return after if after is not None else Refusal("not_possible", {"status": status.value, "move": move.value})


def expires_at(estimate: Estimate, policy: Policy, zone: str) -> datetime | None:
    """Return the local midnight from which an estimate cannot be approved any more (EST-2); None if never sent."""
    last = valid_until(estimate, policy, zone)
    return None if last is None else end_of_day(last, zone)


def current_version(estimate: Estimate, versions: Iterable[Estimate]) -> int:
    """Return the newest version of a case that is not a draft; its own if there is no newer one (EST-1)."""
    sent = [each.version or 0 for each in versions if not each.deleted and each.status not in (None, S.DRAFT)]
    return max([estimate.version or 0, *sent])


@dataclass(frozen=True, slots=True)
class Granted:
    """A decision that stands."""

    status: EstimateStatus
    reserves_minutes: int
    """What an approval puts aside in burn order (APR-1); 0 for a rejection."""


def decide(
    estimate: Estimate,
    versions: Iterable[Estimate],
    move: Move,
    at: datetime,
    *,
    approver: bool,
    available_minutes: int,
    policy: Policy,
    zone: str,
    pack_minutes: int = 480,
) -> Granted | Refusal:
    """Return whether a decision of the client stands, or why not, in this order.

    ``not_an_approver``, ``stale_estimate_version`` (details: current), ``estimate_expired`` (expired_at),
    ``not_possible`` and, for an approval, ``insufficient_balance`` (shortage, packs_to_buy, available).
    A decision that was made before is granted again and reserves nothing more (IDM-1).
    """
    status = EstimateStatus(estimate.status or S.DRAFT)
    if not approver:
        return Refusal("not_an_approver")
    if (status, move) in ((S.APPROVED, Move.APPROVE), (S.REJECTED, Move.REJECT)):
        return Granted(status, 0)
    newest = current_version(estimate, versions)
    if newest > (estimate.version or 0):
        return Refusal("stale_estimate_version", {"current": newest})
    end = expires_at(estimate, policy, zone)
    if end is not None and at >= end and status not in FINAL:
        return Refusal("estimate_expired", {"expired_at": end})
    after = step(status, move)
    if isinstance(after, Refusal) or move == Move.REJECT:
        return after if isinstance(after, Refusal) else Granted(after, 0)
    minutes = estimate.estimated_minutes or 0
    shortage = minutes - available_minutes
    if shortage > 0 and policy.overdraw == "negative":
        shortage -= policy.overdraw_limit_minutes
    if shortage > 0:
        packs = -(-shortage // pack_minutes)
        details = {"shortage": shortage, "packs_to_buy": packs, "available": available_minutes}
        return Refusal("insufficient_balance", details)
    return Granted(after, minutes)


def approved_by_policy(estimate: Estimate, policy: Policy) -> bool:
    """Return whether an estimate is so small that sending it is enough (X-14)."""
    return 0 < (estimate.estimated_minutes or 0) < policy.auto_approve_below_minutes


class Stage(StrEnum):
    """Where a request stands on its way (section 2.7 of the contract)."""

    NEW = "New"
    ESTIMATING = "Estimating"
    AWAITING_APPROVAL = "Awaiting Approval"
    APPROVED = "Approved"
    IN_PROGRESS = "In Progress"
    DONE = "Done"
    CLOSED = "Closed"
    REJECTED = "Rejected"
    ESTIMATE_EXPIRED = "Estimate Expired"
    CANCELLED = "Cancelled"


def stage(
    case: Case,
    statuses: Iterable[str],
    *,
    used_minutes: int,
    done_statuses: frozenset[str] = frozenset({"Resolved", "Done"}),
) -> Stage:
    """Return where a request stands, from its own status, those of its estimates and the work on it (ST-3a..d)."""
    seen = set(statuses)
    if case.is_closed:
        return Stage.CANCELLED if (case.status or "").startswith("Cancel") else Stage.CLOSED
    if {S.SENT, S.QUESTION} & seen:
        return Stage.AWAITING_APPROVAL
    if S.APPROVED in seen:
        if case.status in done_statuses:
            return Stage.DONE
        return Stage.IN_PROGRESS if used_minutes else Stage.APPROVED
    if S.DRAFT in seen:
        return Stage.ESTIMATING
    if S.REJECTED in seen:
        return Stage.REJECTED
    return Stage.ESTIMATE_EXPIRED if S.EXPIRED in seen else Stage.NEW
