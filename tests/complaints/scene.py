"""What the tests of complaints share: a quiet moment, both sides compared, and a network that changes answers.

It may not know any complaint. It keeps one law: whether org and store are equal is said by the audit and by a count of
the org's own rows, never by the code that read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from sfsync.mirror.merge import Link
from sfsync.org.inprocess import InProcess
from tests.contract.org.reached import Reached
from tests.e2e.stage import Stage

CASE = "Case"
ENTRY = "Time_Entry__c"
ESTIMATE = "Maintenance_Estimate__c"
PACK = "Maintenance_Pack__c"
ACCOUNT = "Maintenance_Account__c"
SUMMARY = "Weekly_Summary__c"
LINE = "Weekly_Summary_Line__c"
MINUTE, HOUR, DAY = 60, 3_600, 86_400

TEXTS = (
    "NA", "None", "N/A", "null", "nan", "00123", "1e5", "123456789012345678", "'", "\\", 'say "hi"', "a,b;c",
    "two\nlines", "ăâîșț ñ 漢字", "🙂", "#N/A", "x" * 255,
)  # fmt: skip
"""Texts that look like something else, or that a file cuts in the wrong place."""


def quiet(stage: Stage, most: int = 6) -> None:
    """Sync until a run has nothing to read or to say."""
    for _ in range(most):
        report = stage.sync()
        stage.later(minutes=20)
        if (report.wrote, report.absorbed) == (0, 0):
            return
    raise AssertionError(f"not quiet after {most} runs: {report}")


def links(stage: Stage, sobject: str) -> dict[str, Link]:
    """Return what the store remembers of an object's records, by id."""
    room = stage.runtime.store.room("acme", "acme", stage.runtime.client("acme").mappings)
    return {str(link.sf_id): link for link in room.links(sobject)}


def alive(stage: Stage, sobject: str) -> set[str]:
    """Return the ids of the records that the store takes for alive."""
    return {sf_id for sf_id, link in links(stage, sobject).items() if not link.deleted}


def equal(stage: Stage) -> None:
    """Demand that org and store are equal: by the audit, and by ids and stamps counted past it."""
    certificate, _ = stage.runtime.audit("acme")
    assert (certificate.differences, certificate.waiting) == ((), 0)
    for sobject in stage.runtime.client("acme").mappings.by_object:
        there = {
            (row[0], int(row[1]))
            for row in stage.org.storage.rows(f'SELECT "Id", "SystemModstamp" FROM "{sobject}" WHERE "IsDeleted" = 0')
        }
        here = {
            (sf_id, int(link.stamp.timestamp()))
            for sf_id, link in links(stage, sobject).items()
            if not link.deleted and link.stamp is not None
        }
        assert here == there, sobject


def bodies(adapter: Between, method: str, path: str) -> list[Any]:
    """Return the JSON bodies of the requests that went through ``adapter`` with this method and path."""
    return [b for m, url, b in adapter.sent if m == method and path in url and b is not None]


class Between(InProcess):
    """A network in front of the org: it keeps what was sent, and may give another answer."""

    def __init__(self, world: Any, clock: Any) -> None:
        super().__init__(world, clock)
        self.sent: list[tuple[str, str, Any]] = []
        self.before: Callable[[requests.PreparedRequest], requests.Response | None] = lambda request: None
        self.after: Callable[[requests.PreparedRequest, requests.Response], None] = lambda request, answer: None

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """Answer as the org does, but for what ``before`` and ``after`` say."""
        self.sent.append((str(request.method), str(request.url), _json_of(request)))
        instead = self.before(request)
        if instead is not None:
            return instead
        answer = super().send(request, *args, **more)
        self.after(request, answer)
        return answer


def between(reached: Reached, **settings: Any) -> Between:
    """Put a network that can be bent between the org and a new session of ``reached``."""
    adapter = Between(reached.world, reached.clock)
    session = reached.connect(**settings)
    for one in (session._wire, session._login._wire):
        one.mount("https://", adapter)
    session.schema = reached.session.schema
    reached.session = session
    return adapter


def between_stage(stage: Stage) -> Between:
    """The same for every session that the runtime of ``stage`` opens from now on."""
    adapter = Between(stage.world, stage.clock)
    stage.runtime._adapter = lambda org: adapter
    return adapter


def answered(answer: requests.Response, status: int, body: Any) -> requests.Response:
    """Return ``answer`` with another status and JSON body."""
    answer.status_code = status
    answer.headers["Content-Type"] = "application/json"
    answer._content = json.dumps(body).encode()
    answer.raw = None
    return answer


def refusal(
    request: requests.PreparedRequest, code: str, message: str = "not here", status: int = 400
) -> requests.Response:
    """Return the org's refusal of a request."""
    made = requests.Response()
    made.request = request
    made.url = str(request.url)
    return answered(made, status, [{"errorCode": code, "message": message}])


def _json_of(request: requests.PreparedRequest) -> Any:
    import gzip

    body = request.body
    if body is None or "json" not in str(request.headers.get("Content-Type")):
        return None
    content = body.encode() if isinstance(body, str) else bytes(body)
    if request.headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    return json.loads(content)


def wire(links_: Mapping[str, Link], name: str) -> dict[str, Any]:
    """Return one field of every living record as the store remembers the org to hold it."""
    return {sf_id: link.remote[name] for sf_id, link in links_.items() if not link.deleted}
