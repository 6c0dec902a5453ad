"""An org that does not do everything: what it refuses is asked otherwise, and remembered."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from sfsync.errors import OrgError, SchemaDrift
from sfsync.mirror.translate import Bookmark
from sfsync.org.inprocess import InProcess
from sfsync.org.preflight import preflight
from tests.contract.org.reached import Reached, seen_of

CASE = "Case"
SUMMARY = "Weekly_Summary__c"
PACK = "Maintenance_Pack__c"


class Lacking(InProcess):
    """A local org behind a network that refuses some requests, alone or inside composites."""

    def __init__(
        self, reached: Reached, *, inside: str = "", alone: str = "", code: str = "METHOD_NOT_ALLOWED"
    ) -> None:
        super().__init__(reached.world, reached.clock)
        self.inside, self.alone, self.code = inside, alone, code
        self.refusals = 0

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """Answer as the org does, but for what is lacking."""
        url = str(request.url)
        error = [{"message": "not here", "errorCode": self.code}]
        if self.alone and re.search(self.alone, url):
            self.refusals += 1
            return self._instead(super().send(request, *args, **more), 400, error)
        body = request.body
        answer = super().send(request, *args, **more)
        if not self.inside or not url.endswith("/composite") or answer.status_code != 200 or body is None:
            return answer
        asked = json.loads(body)["compositeRequest"]
        given = answer.json()
        for one, got in zip(asked, given["compositeResponse"], strict=True):
            if re.search(self.inside, one["url"]):
                self.refusals += 1
                got |= {"httpStatusCode": 400, "body": error, "httpHeaders": {}}
        return self._instead(answer, 200, given)

    @staticmethod
    def _instead(answer: requests.Response, status: int, body: Any) -> requests.Response:
        answer.status_code = status
        answer._content = json.dumps(body).encode()
        answer.raw = None
        return answer


def lacking(reached: Reached, **what: Any) -> Lacking:
    adapter = Lacking(reached, **what)
    session = reached.connect()
    for one in (session._wire, session._login._wire):
        one.mount("https://", adapter)
    session.refused = reached.session.refused
    reached.session = session
    return adapter


@pytest.mark.parametrize("inside", ["/describe$", "/queryAll", "/deleted/", "/updated/"])
def test_what_is_refused_in_a_composite_is_asked_alone_and_remembered(reached: Reached, inside: str) -> None:
    made = set(reached.cases(3))
    (summary,) = reached.org.insert(SUMMARY, [{"Name": "w", "Sfsync_Key__c": "ws:w"}])
    adapter = lacking(reached, inside=inside)
    assert {s.sf_id for s in seen_of(reached.sync(), CASE)} == made
    reached.later(3600)
    reached.org.update(SUMMARY, summary, {"Read_By_Client__c": True})
    reached.later()
    assert {s.sf_id for s in seen_of(reached.sync(), SUMMARY)} == {summary}
    refusals = adapter.refusals
    assert refusals
    reached.later(3600)
    reached.sync()
    assert adapter.refusals == refusals, "asked again although it was refused before"


def test_an_org_without_composite_is_asked_one_by_one(reached: Reached) -> None:
    made = set(reached.cases(3))
    lacking(reached, alone="/composite$")
    assert {s.sf_id for s in seen_of(reached.sync(), CASE)} == made


def test_an_object_that_cannot_be_watched_is_queried(reached: Reached) -> None:
    (summary,) = reached.org.insert(SUMMARY, [{"Name": "w", "Sfsync_Key__c": "ws:w"}])
    adapter = lacking(reached, inside=f"/{SUMMARY}/updated/", alone=f"/{SUMMARY}/updated/")
    reached.sync()
    for text in ("one", "two"):
        reached.later(3600)
        reached.org.update(SUMMARY, summary, {"Client_Comment__c": text})
        reached.later()
        (seen,) = seen_of(reached.sync(), SUMMARY)
        assert seen.wire["client_comment"] == text
    assert adapter.refusals == 2


def test_an_org_that_takes_no_end_ahead_of_its_clock_is_asked_up_to_now(reached: Reached) -> None:
    (summary,) = reached.org.insert(SUMMARY, [{"Name": "w", "Sfsync_Key__c": "ws:w"}])
    reached.sync()
    reached.later(3600)
    reached.org.update(SUMMARY, summary, {"Client_Comment__c": "x"})
    reached.later()
    ahead = (reached.clock.now().replace(second=0) + timedelta(minutes=2)).strftime("%H%%3A%M%%3A00")
    lacking(reached, inside=f"(updated|deleted)/.*end=.*{ahead}", code="INVALID_REPLICATION_DATE")
    (seen,) = seen_of(reached.sync(), SUMMARY)
    assert seen.wire["client_comment"] == "x"


def test_a_bookmark_older_than_the_orgs_memory_is_queried_and_told(
    reached: Reached, caplog: pytest.LogCaptureFixture
) -> None:
    (summary,) = reached.org.insert(SUMMARY, [{"Name": "w", "Sfsync_Key__c": "ws:w"}])
    reached.sync()
    reached.later(60 * 86_400)
    reached.org.update(SUMMARY, summary, {"Client_Comment__c": "x"})
    reached.later()
    with caplog.at_level(logging.WARNING):
        (seen,) = seen_of(reached.sync(), SUMMARY)
    assert seen.wire["client_comment"] == "x"
    assert "run an audit" in caplog.text


def test_a_query_that_takes_too_long_is_asked_in_steps(reached: Reached) -> None:
    made = reached.org.seed_rows(PACK, [{"Sfsync_Key__c": f"pk:{n}"} for n in range(4_500)])
    reached.later(3600)
    lacking(reached, inside=f"queryAll.*FROM%20{PACK}(?!.*LIMIT)", code="QUERY_TIMEOUT")
    assert {s.sf_id for s in seen_of(reached.sync(), PACK)} == set(made)


# --- drift ------------------------------------------------------------------------------------------


def changed(reached: Reached, sobject: str, name: str, **attributes: Any) -> None:
    """Change a field of the org as its administrator would."""
    found = reached.org.schema[sobject]
    field = found.field(name)
    assert field is not None
    found.put(replace(field, **attributes))
    reached.org.schema_changed_at = reached.org.now_seconds()
    reached.org.access_changed()


def test_a_field_hidden_after_the_first_sync_pauses_the_org(reached: Reached) -> None:
    reached.sync()
    reached.later(3600)
    reached.org.storage.db.execute('DELETE FROM "PermissionSetAssignment"')
    reached.org.access_changed()
    reached.later(120)
    with pytest.raises(SchemaDrift) as drift:
        reached.sync()
    assert drift.value.problems


def test_drift_leaves_every_bookmark_and_record_alone(reached: Reached) -> None:
    reached.cases(2)
    reached.sync()
    before = (dict(reached.bookmarks), dict(reached.records))
    reached.later(3600)
    changed(reached, PACK, "Sync_Message__c", length=80)
    reached.later(120)
    with pytest.raises(SchemaDrift, match="holds 80 characters, the mapping says 255"):
        reached.sync()
    assert (dict(reached.bookmarks), dict(reached.records)) == before


def test_a_change_that_loses_nothing_is_seen_once_and_goes_on(reached: Reached) -> None:
    reached.sync()
    reached.later(3600)
    changed(reached, PACK, "Sync_Message__c", label="Something else")
    reached.later(120)
    first = preflight(reached.session, reached.mappings, reached.bookmarks, reached.ids())
    assert first.described
    reached.sync()
    reached.later(3600)
    assert preflight(reached.session, reached.mappings, reached.bookmarks, reached.ids()).described == ()


def test_a_field_removed_between_describe_and_query_is_drift_too(reached: Reached) -> None:
    reached.sync()
    reached.later(3600)
    lacking(reached, inside=f"queryAll.*FROM%20{PACK}", code="INVALID_FIELD")
    with pytest.raises(SchemaDrift):
        reached.sync()


# --- answers that are none --------------------------------------------------------------------------


def forged(reached: Reached, forge: Any) -> None:
    """Let ``forge`` change the body of each composite answer before the session reads it."""
    adapter = Lacking(reached)
    send = adapter.send

    def sending(request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        answer = send(request, *args, **more)
        if str(request.url).endswith("/composite"):
            return Lacking._instead(answer, answer.status_code, forge(answer.json()))
        return answer

    adapter.send = sending  # type: ignore[method-assign]
    session = reached.connect()
    session._wire.mount("https://", adapter)
    reached.session = session


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: {"compositeResponse": body["compositeResponse"][:-1]},
        lambda body: {"compositeResponse": list(reversed(body["compositeResponse"]))},
        lambda body: {},
        lambda body: [],
        lambda body: {"compositeResponse": [dict(r, body={"records": None}) for r in body["compositeResponse"]]},
        lambda body: {"compositeResponse": [dict(r, body={}) for r in body["compositeResponse"]]},
        lambda body: {"compositeResponse": [dict(r, body=None, httpStatusCode=500) for r in body["compositeResponse"]]},
    ],
)
def test_an_answer_that_does_not_fit_is_an_error_and_never_nothing(reached: Reached, forge: Any) -> None:
    reached.cases(2)
    reached.sync()
    before: Mapping[str, Bookmark] = dict(reached.bookmarks)
    reached.later(3600)
    forged(reached, forge)
    with pytest.raises(OrgError):
        reached.sync()
    assert reached.bookmarks == before


# --- the clock of a slow answer ---------------------------------------------------------------------


def test_a_row_committed_while_the_org_was_answering_is_read_next_time(reached: Reached) -> None:
    """``Date`` is the end of the work: a bookmark there would pass over what was committed during it."""
    reached.sync()
    reached.later(3600)
    during: list[str] = []
    adapter = Lacking(reached)
    send = adapter.send

    def slowly(request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        answer = send(request, *args, **more)
        if not during:
            during.extend(reached.org.insert(SUMMARY, [{"Name": "during", "Sfsync_Key__c": "ws:during"}]))
            reached.later(100)
            answer.headers["Date"] = format_datetime(reached.clock.now(), usegmt=True)
        return answer

    adapter.send = slowly  # type: ignore[method-assign]
    reached.session.login()
    reached.session._wire.mount("https://", adapter)
    assert seen_of(reached.sync(), SUMMARY) == []
    assert reached.bookmarks[SUMMARY].read_to == reached.clock.now() - timedelta(seconds=100)
    reached.later()
    assert {seen.sf_id for seen in seen_of(reached.sync(), SUMMARY)} == set(during)
