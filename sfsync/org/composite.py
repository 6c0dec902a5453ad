"""Many requests in one: composite calls of up to 25 subrequests, 5 of which may be queries or collections.

This module may not know what the subrequests are for. It keeps one law: each subrequest gets its own answer, matched by
its reference, and a composite whose answers cannot be matched is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sfsync.errors import OrgError
from sfsync.org import faults
from sfsync.org.faults import Fault, OutcomeUnknown
from sfsync.org.session import READ_ATTEMPTS, OrgSession

MAX_SUBREQUESTS = 25
MAX_COSTLY = 5
"""Subrequests that are queries, further pages or collections."""
MAX_BYTES = 5_000_000
"""Bytes of one composite body; Salesforce takes more, but a lost call is then costly to repeat."""

_WORTH_A_SINGLE = frozenset({"METHOD_NOT_ALLOWED", "NOT_FOUND", "INVALID_INPUT", "FUNCTIONALITY_NOT_ENABLED"})
"""Codes with which an org refuses a kind of subrequest that it may serve as a request of its own."""


@dataclass(frozen=True, slots=True)
class Sub:
    """One request, to be sent alone or with others."""

    method: str
    path: str
    """Below the API version, or beginning with ``/services/``."""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    """What an org may refuse to do inside a composite, e.g. ``describe``; remembered per org."""

    @property
    def writes(self) -> bool:
        """True if it may change a record."""
        return self.method != "GET"

    @property
    def costly(self) -> bool:
        """True if it is one of the at most 5 queries or collections of a composite."""
        below = self.path.split("/services/data/", maxsplit=1)[-1]
        if self.path.startswith("/services/"):
            below = below.partition("/")[2]
        return below.startswith(("query", "composite/sobjects"))


@dataclass(frozen=True, slots=True)
class SubAnswer:
    """What became of one subrequest: its status, headers and body, as if it had been sent alone."""

    status: int
    body: Any
    headers: Mapping[str, str]
    at: datetime
    """No later than the org's clock when it began to work on the call."""

    @property
    def ok(self) -> bool:
        """True for 2xx and 304."""
        return 200 <= self.status < 300 or self.status == 304

    @property
    def fault(self) -> Fault:
        """Return why it was refused."""
        return faults.fault_of(self.body) or faults.understand("UNKNOWN_EXCEPTION", f"HTTP {self.status}")

    def checked(self) -> SubAnswer:
        """Return itself if it is ok; raise the error it means otherwise."""
        if self.ok:
            return self
        raise faults.error_of(self.status, self.body)


def pack(subs: Sequence[Sub], sizes: Sequence[int] = ()) -> list[list[int]]:
    """Return the positions of ``subs`` in as few composites as their order allows, keeping that order."""
    packs: list[list[int]] = []
    here: list[int] = []
    costly = size = 0
    for index, sub in enumerate(subs):
        bytes_ = sizes[index] if sizes else 0
        full = len(here) == MAX_SUBREQUESTS or (sub.costly and costly == MAX_COSTLY) or (size + bytes_ > MAX_BYTES)
        if here and full:
            packs.append(here)
            here, costly, size = [], 0, 0
        here.append(index)
        costly += sub.costly
        size += bytes_
    return [*packs, here] if here else packs


def read_all(session: OrgSession, subs: Sequence[Sub]) -> list[SubAnswer]:
    """Return the answers to reading ``subs``, in their order, for as few API calls as they allow.

    What this org refuses inside a composite is asked alone, now and from then on. Raises OrgUnavailable, OrgBusy or
    AccessDenied if a call as a whole fails; a refused subrequest is an answer.
    """
    subs = [_sized(session, sub) for sub in subs]
    answers: list[SubAnswer | None] = [None] * len(subs)
    together = [i for i, sub in enumerate(subs) if not _alone(session, sub)]
    for group in pack([subs[i] for i in together]):
        chosen = [together[i] for i in group]
        if len(chosen) == 1:
            continue  # a single request costs the same
        try:
            got = send(session, [subs[i] for i in chosen], attempts=READ_ATTEMPTS)
        except OrgError as bad:
            if bad.code not in _WORTH_A_SINGLE:
                raise
            session.refused.add("composite")
            continue
        for i, answer in zip(chosen, got, strict=True):
            answers[i] = answer
    for i, sub in enumerate(subs):
        known = answers[i]
        if known is None:
            answers[i] = alone(session, sub)
        elif not known.ok and known.fault.code in _WORTH_A_SINGLE and sub.kind:
            again = alone(session, sub)
            if again.ok:
                session.refused.add(f"composite {sub.kind}")
            answers[i] = again
    return [a for a in answers if a is not None]


def _sized(session: OrgSession, sub: Sub) -> Sub:
    if session.page_rows is None or not sub.kind.startswith("query"):
        return sub
    return replace(sub, headers={**sub.headers, "Sforce-Query-Options": f"batchSize={session.page_rows}"})


def _alone(session: OrgSession, sub: Sub) -> bool:
    return "composite" in session.refused or f"composite {sub.kind}" in session.refused


def alone(session: OrgSession, sub: Sub) -> SubAnswer:
    """Return the answer to ``sub`` sent as a request of its own; a refusal of the record or resource is an answer."""
    got = session.request(
        sub.method, sub.path, json_body=sub.body, headers=sub.headers, attempts=READ_ATTEMPTS, refusals=True,
        writes=sub.writes,
    )  # fmt: skip
    return SubAnswer(got.status, got.body, {k.lower(): v for k, v in got.headers.items()}, got.began)


def send(session: OrgSession, subs: Sequence[Sub], *, attempts: int = 1, all_or_none: bool = False) -> list[SubAnswer]:
    """Send ``subs`` as one composite call and return an answer for each, in order; 1 API call.

    Raises OutcomeUnknown if the answers do not match what was asked, and whatever the call as a whole was refused
    with.
    """
    requests = []
    for index, sub in enumerate(subs):
        one: dict[str, Any] = {"method": sub.method, "url": session.path(sub.path), "referenceId": f"r{index}"}
        if sub.body is not None:
            one["body"] = sub.body
        if sub.headers:
            one["httpHeaders"] = dict(sub.headers)
        requests.append(one)
    body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": requests}
    writes = any(sub.writes for sub in subs)
    answer = session.request("POST", "composite", json_body=body, attempts=attempts, writes=writes)
    rows = answer.body.get("compositeResponse") if isinstance(answer.body, dict) else None
    if not isinstance(rows, list) or len(rows) != len(subs):
        raise OutcomeUnknown(f"a composite of {len(subs)} requests got {_count(rows)} answers")
    found: list[SubAnswer] = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or row.get("referenceId") != f"r{index}":
            raise OutcomeUnknown("a composite's answers are not those to its requests")
        headers = {str(k).lower(): str(v) for k, v in (row.get("httpHeaders") or {}).items()}
        found.append(SubAnswer(int(row.get("httpStatusCode") or 0), row.get("body"), headers, answer.began))
    return found


def _count(rows: Any) -> str:
    return str(len(rows)) if isinstance(rows, list) else "no readable"


def costs(subs: Iterable[Sub]) -> int:
    """Return how many API calls reading ``subs`` takes."""
    return len(pack(list(subs)))
