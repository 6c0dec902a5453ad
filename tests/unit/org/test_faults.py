"""What a refusal means: one table, matched on the code."""

from __future__ import annotations

import logging

import pytest

from sfsync.errors import (
    AccessDenied,
    Next,
    OrgBusy,
    OrgError,
    OrgUnavailable,
    RecordMoved,
    RecordRejected,
    SessionExpired,
)
from sfsync.mirror.plan import Result
from sfsync.org import faults
from sfsync.org.faults import OutcomeUnknown, Repeat


def body(code: str, message: str = "words") -> list[dict[str, object]]:
    return [{"errorCode": code, "message": message, "fields": ["A__c"]}]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "INVALID_SESSION_ID", SessionExpired),
        (403, "REQUEST_LIMIT_EXCEEDED", OrgBusy),
        (403, "API_DISABLED_FOR_ORG", AccessDenied),
        (400, "UNABLE_TO_LOCK_ROW", OrgBusy),
        (400, "REQUIRED_FIELD_MISSING", RecordRejected),
        (404, "ENTITY_IS_DELETED", RecordMoved),
        (404, "NOT_FOUND", RecordMoved),
        (500, "UNKNOWN_EXCEPTION", OutcomeUnknown),
        (503, "SERVER_UNAVAILABLE", OutcomeUnknown),
        (400, "STORAGE_LIMIT_EXCEEDED", AccessDenied),
    ],
)
def test_a_code_means_one_error(status: int, code: str, error: type[OrgError]) -> None:
    found = faults.error_of(status, body(code))
    assert type(found) is error
    assert found.code == code
    assert found.advice


@pytest.mark.parametrize(
    ("status", "shown", "error"),
    [
        (200, "<html>maintenance</html>", OutcomeUnknown),
        (503, "<html>We are down</html>", OutcomeUnknown),
        (420, "<html>setting up</html>", OutcomeUnknown),
        (406, "", OutcomeUnknown),
        (502, "", OutcomeUnknown),
        (302, "", OrgUnavailable),
        (401, "<html>", AccessDenied),
    ],
)
def test_an_answer_that_cannot_be_read_is_unknown_and_never_empty(
    status: int, shown: str, error: type[OrgError]
) -> None:
    assert type(faults.error_of(status, None, shown)) is error


@pytest.mark.parametrize(
    "message", ["This session is not valid for use with the REST API", "Connected app is not attached to Agent"]
)
def test_a_401_that_is_no_expiry_does_not_lead_to_a_login(message: str) -> None:
    assert type(faults.error_of(401, body("INVALID_SESSION_ID", message))) is AccessDenied


def test_an_unknown_code_is_final_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fault = faults.understand("BRAND_NEW", "words")
    assert fault.result is Result.REJECTED
    assert "unmapped: BRAND_NEW" in caplog.text


def test_the_two_limits_of_one_code_are_told_apart() -> None:
    daily = faults.understand("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    at_once = faults.understand(
        "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    )
    assert (daily.rule.repeat, at_once.rule.repeat) == (Repeat.LATER, Repeat.SOON)


def test_a_lock_inside_automation_passes_and_its_own_fault_does_not() -> None:
    code = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    assert faults.understand(code, "T: caused by: UNABLE_TO_LOCK_ROW").rule.repeat is Repeat.SOON
    assert faults.understand(code, "T: caused by: NullPointerException").result is Result.REJECTED


@pytest.mark.parametrize(
    ("cell", "code", "message", "fields"),
    [
        ("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "REQUIRED_FIELD_MISSING",
         "Required fields are missing: [Name]", ("Name",)),
        ("DUPLICATE_VALUE:duplicate value found: K__c duplicates value on record with id: a01:--", "DUPLICATE_VALUE",
         "duplicate value found: K__c duplicates value on record with id: a01", ()),
        ("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access: a01,a02:A__c,B__c --", "UNABLE_TO_LOCK_ROW",
         "unable to obtain exclusive access: a01,a02", ("A__c", "B__c")),
    ],
)  # fmt: skip
def test_a_bulk_cell_is_taken_apart(cell: str, code: str, message: str, fields: tuple[str, ...]) -> None:
    fault = faults.fault_of_cell(cell)
    assert (fault.code, fault.message, fault.fields) == (code, message, fields)


@pytest.mark.parametrize("shape", [{}, [], "text", None, 7, [{}], [[]], {"error": 5}])
def test_what_is_no_error_body_gives_no_fault(shape: object) -> None:
    assert faults.fault_of(shape) is None


def test_every_rule_says_what_a_person_can_do() -> None:
    for code, rule in faults.RULES.items():
        assert rule.advice, code
        assert rule.advice == rule.advice.strip()
        assert rule.error.next in Next


@pytest.mark.parametrize(
    ("error", "description", "kind"),
    [
        ("invalid_grant", "expired access/refresh token", AccessDenied),
        ("invalid_grant", "user hasn't approved this consumer", AccessDenied),
        ("invalid_grant", "login rate exceeded", OrgBusy),
        ("server_error", "", OrgUnavailable),
        ("something_new", "", AccessDenied),
    ],
)
def test_a_refused_login_means_one_error(error: str, description: str, kind: type[OrgError]) -> None:
    found = faults.login_error(400, {"error": error, "error_description": description})
    assert type(found) is kind
    assert found.advice


def test_a_login_page_is_an_outage() -> None:
    assert type(faults.login_error(503, None, "<html>")) is OrgUnavailable
