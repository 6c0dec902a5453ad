"""Estimates between author and client (EST-1..4, APR-4, section 2.7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from sfsync.policy import Policy
from sfsync.records import Case, Estimate, EstimateStatus
from sfsync.rules.approval import (
    FINAL,
    STEPS,
    Granted,
    Move,
    Stage,
    approved_by_policy,
    decide,
    expires_at,
    stage,
    step,
)
from sfsync.rules.wording import Refusal

ZONE = "America/Argentina/Buenos_Aires"
SENT_AT = datetime.fromisoformat("2026-11-02T10:00:00-03:00")
ONE = Estimate(key="e1", case="C1", version=1, estimated_minutes=120, sent_at=SENT_AT, status=EstimateStatus.SENT)
S = EstimateStatus

TABLE = """
            send     ask       answer  approve   reject    expire   withdraw   supersede
Draft       Sent     -         -       -         -         -        Withdrawn  Superseded
Sent        -        Question  -       Approved  Rejected  Expired  Withdrawn  Superseded
Question    -        -         Sent    -         Rejected  Expired  Withdrawn  Superseded
Approved    -        -         -       -         -         -        -          -
Rejected    -        -         -       -         -         -        -          -
Expired     -        -         -       -         -         -        -          -
Withdrawn   -        -         -       -         -         -        -          -
Superseded  -        -         -       -         -         -        -          -
"""


def rows() -> list[tuple[str, str, str]]:
    head, *body = (line.split() for line in TABLE.strip().splitlines())
    return [(status, move, after) for status, *afters in body for move, after in zip(head, afters, strict=True)]


def decided(estimate: Estimate = ONE, move: Move = Move.APPROVE, **more: object) -> Granted | Refusal:
    values = {"approver": True, "available_minutes": 1000, "policy": Policy(), "zone": ZONE, "at": SENT_AT, **more}
    at, versions = values.pop("at"), values.pop("versions", [estimate])
    return decide(estimate, versions, move, at, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "move", "after"), rows())
def test_every_status_answers_every_move(status: str, move: str, after: str) -> None:
    said = step(S(status), Move(move))
    expected = Refusal("not_possible", {"status": status, "move": move}) if after == "-" else S(after)
    assert said == expected


def test_the_table_names_every_pair_and_final_states_stay() -> None:
    assert {(s, m) for s, m, _ in rows()} == {(s.value, m.value) for s, m in product(S, Move)}
    assert {status for status, _ in STEPS} == set(S) - FINAL


def test_only_who_may_approve_decides() -> None:
    assert decided(approver=False) == Refusal("not_an_approver")


def test_an_estimate_expires_at_local_midnight_after_its_last_day() -> None:
    end = datetime.fromisoformat("2026-11-17T00:00:00-03:00")
    assert expires_at(ONE, Policy(), ZONE) == end
    assert decided(at=end - timedelta(seconds=1)) == Granted(S.APPROVED, 120)
    assert decided(at=end) == Refusal("estimate_expired", {"expired_at": end})
    assert expires_at(replace(ONE, sent_at=None), Policy(), ZONE) is None


def test_a_day_written_on_the_estimate_wins() -> None:
    named = replace(ONE, valid_until_on=datetime(2026, 11, 3).date())  # noqa: DTZ001 - a local day
    assert decided(named, at=SENT_AT + timedelta(days=2)).code == "estimate_expired"  # type: ignore[union-attr]


def test_a_replaced_version_is_refused_with_the_current_one() -> None:
    two = replace(ONE, key="e2", version=2, estimated_minutes=180)
    assert decided(versions=[ONE, two]) == Refusal("stale_estimate_version", {"current": 2})
    assert decided(two, versions=[ONE, two]) == Granted(S.APPROVED, 180)
    draft = replace(two, status=S.DRAFT)
    assert decided(versions=[ONE, draft]) == Granted(S.APPROVED, 120), "a draft replaces nothing"


def test_the_same_decision_again_changes_nothing() -> None:
    assert decided(replace(ONE, status=S.APPROVED)) == Granted(S.APPROVED, 0)
    assert decided(replace(ONE, status=S.REJECTED), Move.REJECT) == Granted(S.REJECTED, 0)
    assert decided(replace(ONE, status=S.APPROVED), Move.REJECT).code == "not_possible"  # type: ignore[union-attr]


def test_an_approval_needs_the_minutes() -> None:
    big = replace(ONE, estimated_minutes=600)
    short = {"shortage": 120, "packs_to_buy": 1, "available": 480}
    assert decided(big, available_minutes=480) == Refusal("insufficient_balance", short)
    assert decided(big, available_minutes=600) == Granted(S.APPROVED, 600)
    lenient = Policy(overdraw="negative", overdraw_limit_minutes=120)
    assert decided(big, available_minutes=480, policy=lenient) == Granted(S.APPROVED, 600)
    assert decided(big, Move.REJECT, available_minutes=0) == Granted(S.REJECTED, 0)


def test_small_estimates_need_no_decision_where_the_contract_says_so() -> None:
    assert not approved_by_policy(ONE, Policy())
    assert approved_by_policy(ONE, Policy(auto_approve_below_minutes=121))
    assert not approved_by_policy(ONE, Policy(auto_approve_below_minutes=120))


@pytest.mark.parametrize(
    ("case", "statuses", "used", "where"),
    [
        ({}, [], 0, Stage.NEW),
        ({}, ["Draft"], 0, Stage.ESTIMATING),
        ({}, ["Sent"], 0, Stage.AWAITING_APPROVAL),
        ({}, ["Approved", "Question"], 10, Stage.AWAITING_APPROVAL),
        ({}, ["Approved"], 0, Stage.APPROVED),
        ({}, ["Approved"], 10, Stage.IN_PROGRESS),
        ({"status": "Resolved"}, ["Approved"], 10, Stage.DONE),
        ({"is_closed": True}, ["Approved"], 10, Stage.CLOSED),
        ({"is_closed": True, "status": "Cancelled"}, [], 0, Stage.CANCELLED),
        ({}, ["Superseded", "Rejected"], 0, Stage.REJECTED),
        ({}, ["Expired"], 0, Stage.ESTIMATE_EXPIRED),
    ],
)
def test_a_request_stands_where_its_estimates_and_work_say(
    case: dict[str, object], statuses: list[str], used: int, where: Stage
) -> None:
    assert stage(Case(key="C1", **case), statuses, used_minutes=used) == where  # type: ignore[arg-type]
