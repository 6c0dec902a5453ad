"""Failures on purpose: a plan that is data, with a seed, so that the same plan gives the same failures.

It may not know what a request means, only its route, user, number and the rows it touches. It keeps one law: a failure
is one that a real org or the network in front of it can give.

A plan is ``{"seed": 7, "rules": [rule, …]}``. A rule has a ``kind`` and says when it strikes: ``method``, ``path`` (a
regular expression searched in the path), ``object`` (named in the path or, for row locks, of the row), ``record`` (an
id), ``user`` (id or username), ``calls`` (which matching calls, counted from 1), ``every`` (each n-th), ``probability``
and ``times`` (how often at most). ``seconds`` is the delay of slow answers and late commits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfsync.clock import seeded
from sfsync.localorg import ids
from sfsync.localorg.errors import ApiError, bad_session
from sfsync.localorg.face import Request, Response
from sfsync.localorg.journal import Entry

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

KINDS: dict[str, str] = {
    "row_lock": "rows are refused with UNABLE_TO_LOCK_ROW",
    "session": "401 INVALID_SESSION_ID; the session is over",
    "daily_limit": "403 REQUEST_LIMIT_EXCEEDED for the day",
    "concurrent_limit": "403 REQUEST_LIMIT_EXCEEDED for requests at a time",
    "unavailable": "503 with an HTML page",
    "maintenance": "420 with an HTML page",
    "not_acceptable": "406 with nothing",
    "server_error": "500 UNKNOWN_EXCEPTION",
    "query_timeout": "400 QUERY_TIMEOUT",
    "timeout_before": "no answer, and nothing was done",
    "timeout_after": "no answer, though it was done",
    "reset_before": "the connection is reset, and nothing was done",
    "reset_after": "the connection is reset, though it was done",
    "cut_body": "it was done, and half of the answer arrives",
    "slow": "the answer comes late",
    "duplicate": "the request is delivered twice",
    "late_commit": "it was done in a transaction that commits later; no answer",
    "job_stuck": "a Bulk job stays in its state",
    "job_failed": "a Bulk job fails after some of its batches",
}
_ANSWERED_BEFORE = frozenset(
    "session daily_limit concurrent_limit unavailable maintenance not_acceptable server_error query_timeout "
    "timeout_before reset_before".split()
)
_ON_ROWS = frozenset({"row_lock"})
_ON_JOBS = frozenset({"job_stuck", "job_failed"})
_PAGE = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>"
_KEYS = frozenset("kind method path object record user calls every probability times seconds".split())


@dataclass(slots=True)
class Rule:
    """One line of a plan, with how often it was asked and has struck."""

    kind: str
    method: str | None = None
    path: re.Pattern[str] | None = None
    object: str | None = None
    record: str | None = None
    user: str | None = None
    calls: frozenset[int] | None = None
    every: int | None = None
    probability: float | None = None
    times: int | None = None
    seconds: float = 1.0
    seen: int = 0
    struck: int = 0


def rule_of(raw: Mapping[str, Any]) -> Rule:
    """Return a rule read from data; ValueError names what is wrong with it."""
    unknown = set(raw) - _KEYS
    if unknown:
        raise ValueError(f"a fault rule does not know {', '.join(sorted(unknown))}")
    if raw.get("kind") not in KINDS:
        raise ValueError(f"there is no kind of fault called {raw.get('kind')!r}; there are {', '.join(sorted(KINDS))}")
    given = dict(raw)
    if "path" in given:
        given["path"] = re.compile(str(given["path"]), re.IGNORECASE)
    if "calls" in given:
        given["calls"] = frozenset(int(n) for n in given["calls"])
    return Rule(**given)


@dataclass(slots=True)
class Faults:
    """The plan of one org."""

    rules: list[Rule] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        """Start the chance that probabilities draw from."""
        self._chance = seeded(self.seed)

    _chance: Any = None

    @classmethod
    def of(cls, plan: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Faults:
        """Return the faults of a plan; ValueError when it is not one."""
        rules = plan.get("rules", []) if isinstance(plan, Mapping) else plan
        seed = int(plan.get("seed", 0)) if isinstance(plan, Mapping) else 0
        return cls([rule_of(r) for r in rules], seed)

    def _strikes(self, rule: Rule) -> bool:
        rule.seen += 1
        if rule.times is not None and rule.struck >= rule.times:
            return False
        if rule.calls is not None and rule.seen not in rule.calls:
            return False
        if rule.every is not None and rule.seen % rule.every:
            return False
        if rule.probability is not None and self._chance.random() >= rule.probability:
            return False
        rule.struck += 1
        return True

    def on_request(self, request: Request, user_id: str | None, username: str | None) -> Rule | None:
        """Return the rule that strikes a request, or None."""
        for rule in self.rules:
            if rule.kind in _ON_ROWS or rule.kind in _ON_JOBS:
                continue
            if rule.method is not None and rule.method.upper() != request.method:
                continue
            if rule.path is not None and not rule.path.search(request.path):
                continue
            if rule.object is not None and f"/{rule.object}/".lower() not in request.path.lower() + "/":
                continue
            if rule.record is not None and rule.record[: ids.SHORT] not in request.path:
                continue
            if rule.user is not None and rule.user not in (user_id, username):
                continue
            if self._strikes(rule):
                return rule
        return None

    def on_row(self, object_name: str, record_id: str, user_id: str) -> bool:
        """Return whether a row that is about to be written is locked by the plan."""
        for rule in self.rules:
            if rule.kind not in _ON_ROWS or (rule.object is not None and rule.object.lower() != object_name.lower()):
                continue
            if rule.record is not None and rule.record[: ids.SHORT] != record_id[: ids.SHORT]:
                continue
            if rule.user is not None and rule.user != user_id:
                continue
            if self._strikes(rule):
                return True
        return False

    def on_job(self, kind: str, object_name: str) -> bool:
        """Return whether a Bulk job of an object is struck by a fault of ``kind`` (job_stuck or job_failed)."""
        return any(
            rule.kind == kind
            and (rule.object is None or rule.object.lower() == object_name.lower())
            and self._strikes(rule)
            for rule in self.rules
        )


@dataclass(slots=True)
class Strike:
    """A fault that struck a request: an answer in its place, or something that happens to its answer."""

    rule: Rule
    answer: Response | None = None

    def afterwards(self, response: Response) -> None:
        """Spoil the answer of a request that was carried out."""
        match self.rule.kind:
            case "timeout_after" | "late_commit":
                response.broken = "timeout"
            case "reset_after":
                response.broken = "reset"
            case "cut_body":
                response.broken = "cut"
            case "slow":
                response.delay_seconds = self.rule.seconds


def strike(org: LocalOrg, request: Request, user_id: str | None, token: str | None, entry: Entry) -> Strike | None:
    """Return the fault that strikes a request, or None."""
    faults = org.faults
    if not faults.rules or not request.is_api:
        return None
    username = None if user_id is None else org.actor(user_id).username
    rule = faults.on_request(request, user_id, username)
    if rule is None:
        return None
    entry.fault = rule.kind
    return Strike(rule, _answer(org, rule, token) if rule.kind in _ANSWERED_BEFORE else None)


def _answer(org: LocalOrg, rule: Rule, token: str | None) -> Response:
    """The answer in place of the true one; a refusal is raised, since each API has its own shape for it."""
    match rule.kind:
        case "session":
            org.logins.sessions.pop(token or "", None)
            raise bad_session()
        case "daily_limit":
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        case "concurrent_limit":
            message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", message)
        case "unavailable":
            text = _PAGE % (b"Server Unavailable", b"We are down for maintenance.")
            return Response(503, text, [("Content-Type", "text/html;charset=UTF-8")])
        case "maintenance":
            text = _PAGE % (b"One moment", b"We are setting things up.")
            return Response(420, text, [("Content-Type", "text/html;charset=UTF-8")])
        case "not_acceptable":
            return Response(406, b"", [])
        case "query_timeout":
            raise ApiError(400, "QUERY_TIMEOUT", "Your query request was running for too long.")
        case "server_error":
            message = (
                "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345"
            )
            raise ApiError(500, "UNKNOWN_EXCEPTION", message)
        case "reset_before":
            return Response(500, b"", [], broken="reset")
        case _:
            return Response(500, b"", [], broken="timeout")
