"""What an org's refusal means: one table from Salesforce's codes to our errors, with a sentence of advice each.

This module may not know who called. It keeps one law: matched on the code, never on the wording, and a code that is
not in the table is logged as ``unmapped``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sfsync.errors import (
    AccessDenied,
    OrgBusy,
    OrgError,
    OrgUnavailable,
    RecordMoved,
    RecordRejected,
    SessionExpired,
)
from sfsync.mirror.plan import Result

log = logging.getLogger("sfsync.org")


class OutcomeUnknown(OrgUnavailable):
    """The request may have been applied: repeat the same idempotent request, or read back and compare."""


class Repeat(StrEnum):
    """Whether the same request may be sent again."""

    NEVER = "never"
    SOON = "soon"
    """After a short wait with jitter, this row alone."""
    LATER = "later"
    """Not in this run."""
    SMALLER = "smaller"
    """In smaller pieces."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about one Salesforce code."""

    error: type[OrgError]
    repeat: Repeat
    advice: str


def _rules(*rows: tuple[str, type[OrgError], Repeat, str]) -> dict[str, Rule]:
    return {code: Rule(error, repeat, advice) for codes, error, repeat, advice in rows for code in codes.split()}


NEVER, SOON, LATER, SMALLER = Repeat.NEVER, Repeat.SOON, Repeat.LATER, Repeat.SMALLER

RULES: dict[str, Rule] = _rules(
    # The way to the org
    ("INVALID_SESSION_ID INVALID_AUTH_HEADER INVALID_JWT_FORMAT", SessionExpired, NEVER, "log in again"),
    ("SERVER_UNAVAILABLE", OrgUnavailable, SOON, "the org is busy or in maintenance; nothing to do but wait"),
    ("UNKNOWN_EXCEPTION", OrgUnavailable, SOON, "Salesforce failed inside; tell its support the ErrorId if it lasts"),
    ("REQUEST_RUNNING_TOO_LONG QUERY_TIMEOUT", OrgBusy, SMALLER, "ask for less at a time"),
    ("REQUEST_LIMIT_EXCEEDED", OrgBusy, LATER, "the org's daily API calls are used up; lower api_share or buy more"),
    ("TXN_SECURITY_METERING_ERROR", OrgBusy, SOON, "transaction security was too slow to decide"),
    ("UNABLE_TO_LOCK_ROW", OrgBusy, SOON, "somebody else holds the record or its parent; tried again by itself"),
    ("ENTITY_IS_LOCKED", OrgBusy, LATER, "an approval process holds the record; decide the approval in the org"),
    ("STORAGE_LIMIT_EXCEEDED", AccessDenied, LATER, "the org has no storage left; delete something or buy storage"),
    (
        "API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED",
        AccessDenied,
        NEVER,
        "the org's edition or the user's profile has no API access",
    ),
    ("INACTIVE_OWNER_OR_USER INACTIVE_USER", AccessDenied, NEVER, "activate the integration user in the org"),
    ("ORG_LOCKED PASSWORD_LOCKOUT", AccessDenied, NEVER, "the org or its user is locked; ask its administrator"),
    ("TXN_SECURITY_NO_ACCESS", AccessDenied, NEVER, "a transaction security policy of the org forbids it"),
    ("UNSUPPORTED_API_VERSION", AccessDenied, NEVER, "set api_version to one that the org still offers"),
    ("INSUFFICIENT_ACCESS", AccessDenied, NEVER, "grant the permission set to the integration user"),
    ("INVALID_QUERY_LOCATOR", OrgBusy, SMALLER, "the query's place was forgotten; it starts again from the last page"),
    ("INVALID_REPLICATION_DATE", RecordRejected, NEVER, "the window is beyond what the org remembers"),
    # One record
    ("ENTITY_IS_DELETED", RecordMoved, NEVER, "the record is in the recycle bin; undelete it, or leave it"),
    ("INVALID_CROSS_REFERENCE_KEY", RecordMoved, NEVER, "the record, or one it points to, is gone"),
    ("NOT_FOUND", RecordMoved, NEVER, "the record is gone or the integration user may not see it"),
    ("UPDATE_CONFLICT", RecordMoved, NEVER, "the record was changed meanwhile"),
    (
        "INSUFFICIENT_ACCESS_OR_READONLY INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY CANNOT_UPDATE_CONVERTED_LEAD",
        RecordRejected,
        NEVER,
        "share the record with the integration user, or grant the permission set",
    ),
    ("INVALID_FIELD", RecordRejected, NEVER, "deploy the metadata, or grant the permission set"),
    (
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        RecordRejected,
        NEVER,
        "make the named fields editable for the integration user (permission set)",
    ),
    ("REQUIRED_FIELD_MISSING", RecordRejected, NEVER, "fill the named field, or make it optional in the org"),
    (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        RecordRejected,
        NEVER,
        "a validation rule of the org refuses it; its own words say why",
    ),
    (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        RecordRejected,
        NEVER,
        "add the value to the picklist, or deploy the metadata again",
    ),
    ("STRING_TOO_LONG", RecordRejected, NEVER, "make the text shorter; it is never cut in silence"),
    ("NUMBER_OUTSIDE_VALID_RANGE", RecordRejected, NEVER, "the number does not fit the field"),
    (
        "INVALID_EMAIL_ADDRESS INVALID_DATE_FORMAT JSON_PARSER_ERROR INVALID_TYPE_ON_FIELD_IN_RECORD INVALID_TYPE",
        RecordRejected,
        NEVER,
        "the value is not what the field takes; check the mapping's type",
    ),
    ("MALFORMED_ID", RecordRejected, NEVER, "an id in the record is wrong; run sfsync audit"),
    ("DUPLICATE_VALUE", RecordRejected, SOON, "another record holds the same unique value; the message names it"),
    ("DUPLICATE_EXTERNAL_ID", RecordRejected, SOON, "the same key was sent twice in one call"),
    ("DUPLICATES_DETECTED", RecordRejected, NEVER, "a duplicate rule of the org refuses it; merge the records there"),
    ("MULTIPLE_MATCHES", RecordRejected, NEVER, "several records carry this key; give the others a new one"),
    (
        "FIELD_INTEGRITY_EXCEPTION FIELD_FILTER_VALIDATION_EXCEPTION DEPENDENCY_EXISTS DELETE_FAILED INVALID_STATUS",
        RecordRejected,
        NEVER,
        "a rule about related records refuses it; the message names the field",
    ),
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", RecordRejected, NEVER, "automation of the org failed; see its words"),
    ("APEX_ERROR", OrgBusy, SMALLER, "automation of the org failed; smaller batches may pass"),
    (
        "LIMIT_EXCEEDED EXCEEDED_ID_LIMIT TOO_MANY_APEX_REQUESTS OPERATION_TOO_LARGE QUERY_TOO_COMPLICATED",
        OrgBusy,
        SMALLER,
        "the request was too large",
    ),
    (
        "ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED BATCH_PROCESSING_HALTED",
        OrgBusy,
        SOON,
        "nothing is wrong with this record; another in the same request was refused",
    ),
    ("METHOD_NOT_ALLOWED MALFORMED_QUERY INVALID_QUERY_FILTER_OPERATOR", RecordRejected, NEVER, "a fault of ours"),
)

CONCURRENT = "concurrent"
LOCKED_INSIDE = re.compile(r"UNABLE_TO_LOCK_ROW|Too many SOQL|CPU time limit|LimitException", re.IGNORECASE)
TOKEN_REFUSED = frozenset(("INVALID_SESSION_ID", "InvalidSessionId", "INVALID_AUTH_HEADER", "INVALID_JWT_FORMAT"))
"""Codes of a 401 that another token may mend."""
NOT_EXPIRY = ("not valid for use with the rest api", "not attached to agent")
MISSING_PARENT = re.compile(r"foreign key external id", re.IGNORECASE)

NO_RULE = Rule(RecordRejected, NEVER, "sfsync does not know this code; see the org's own words")


@dataclass(frozen=True, slots=True)
class Fault:
    """One refusal, understood."""

    code: str
    message: str
    rule: Rule
    fields: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """What the refusal is for a change that will not be sent again in this run."""
        if issubclass(self.rule.error, RecordMoved):
            return Result.MOVED
        return Result.REJECTED if issubclass(self.rule.error, RecordRejected) else Result.LATER

    @property
    def parent_missing(self) -> bool:
        """True if the record was refused only because one it points to is not in the org (yet)."""
        return self.code == "INVALID_FIELD" and MISSING_PARENT.search(self.message) is not None

    def error(self) -> OrgError:
        """Return the error to raise."""
        return self.rule.error(f"{self.code}: {self.message}", code=self.code, advice=self.rule.advice)


def understand(code: str, message: str, fields: tuple[str, ...] = ()) -> Fault:
    """Return the fault that ``code`` means; an unknown code is logged as ``unmapped`` and taken as final."""
    rule = RULES.get(code)
    if rule is None:
        log.warning("unmapped: %s: %s", code, message[:200])
        rule = NO_RULE
    if code == "REQUEST_LIMIT_EXCEEDED" and CONCURRENT in message.lower():
        rule = Rule(OrgBusy, SOON, "too many long requests at once; tried again by itself")
    if code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" and LOCKED_INSIDE.search(message):
        rule = Rule(OrgBusy, SOON, "automation of the org met a lock or a limit; smaller batches may pass")
    return Fault(code, message, rule, fields)


def fault_of(body: Any) -> Fault | None:
    """Return the first fault in an error body of any of Salesforce's shapes, or None if it is no such body."""
    item = body[0] if isinstance(body, list) and body else body
    if not isinstance(item, Mapping):
        return None
    code = item.get("errorCode") or item.get("statusCode") or item.get("exceptionCode") or item.get("error")
    if not isinstance(code, str):
        return None
    message = item.get("message") or item.get("exceptionMessage") or item.get("error_description") or ""
    fields = item.get("fields")
    return understand(code, str(message), tuple(map(str, fields)) if isinstance(fields, list) else ())


def fault_of_cell(text: str) -> Fault:
    """Return the fault in an ``sf__Error`` cell, ``CODE:message:fields--``."""
    code, _, rest = text.partition(":")
    message, _, fields = rest.removesuffix("--").rpartition(":")
    named = tuple(f.strip() for f in fields.split(",") if f.strip())
    return understand(code.strip() or "UNKNOWN_EXCEPTION", message or rest, named)


def error_of(status: int, body: Any, shown: str = "") -> OrgError:
    """Return the error for an answer with ``status``; ``body`` is its parsed JSON, or None if it is none.

    ``shown`` is the start of an unreadable body. 5xx and anything that is not JSON is OutcomeUnknown: the request
    may have been applied.
    """
    fault = fault_of(body)
    if fault is None:
        what = " ".join(shown.split())[:160] or "an empty body"
        if 300 <= status < 400:
            return OrgUnavailable(f"the org redirects ({status})", advice="has it moved? connect it again")
        if status in (401, 403, 410):
            return AccessDenied(f"HTTP {status}: {what}", advice="check the connection of this org")
        return OutcomeUnknown(f"HTTP {status} without a readable answer: {what}", advice="is the org in maintenance?")
    if status == 401:
        if fault.code in TOKEN_REFUSED and not any(m in fault.message.lower() for m in NOT_EXPIRY):
            return SessionExpired(fault.message, code=fault.code, advice=fault.rule.advice)
        return AccessDenied(
            f"{fault.code}: {fault.message}", code=fault.code, advice="check the app and the user of this org"
        )
    if status >= 500 and fault.code in RULES and fault.rule.repeat is not NEVER:
        return OutcomeUnknown(f"{fault.code}: {fault.message}", code=fault.code, advice=fault.rule.advice)
    return fault.error()


# --- the token endpoint -----------------------------------------------------------------------------

_LOGIN: tuple[tuple[str, str, type[OrgError], str], ...] = (
    ("invalid_grant", "expired access/refresh token", AccessDenied, "a person must connect this org again"),
    ("invalid_grant", "approved this consumer", AccessDenied, "pre-authorise the app for the integration user"),
    ("invalid_grant", "audience", AccessDenied, "set audience to the org's login host"),
    ("invalid_grant", "rate", OrgBusy, "too many logins; wait an hour"),
    ("invalid_grant", "", AccessDenied, "check username, key and the app's certificate"),
    ("invalid_client_id", "", AccessDenied, "client_id names no app of this org"),
    ("invalid_client", "", AccessDenied, "client_secret is wrong"),
    ("inactive_user", "", AccessDenied, "activate the integration user"),
    ("inactive_org", "", AccessDenied, "the org is not active"),
    ("invalid_app_access", "", AccessDenied, "assign the app to the integration user"),
    ("rate_limit_exceeded", "", OrgBusy, "too many logins; wait an hour"),
    ("unsupported_grant_type", "", AccessDenied, "switch the flow on in the app"),
    ("invalid_request", "", AccessDenied, "the app is not set up for this flow"),
    ("server_error", "", OrgUnavailable, "the login service failed; tried again by itself"),
)


def login_error(status: int, body: Any, shown: str = "") -> OrgError:
    """Return the error for a refusal of the token endpoint, which answers with an object and not an array."""
    fault = None if isinstance(body, Mapping) else fault_of(body)
    if fault is not None and fault.code in RULES:
        return fault.error()
    if not isinstance(body, Mapping) or not isinstance(body.get("error"), str):
        what = " ".join(shown.split())[:160] or "an empty body"
        return OrgUnavailable(f"login: HTTP {status} without a readable answer: {what}")
    code, words = body["error"], str(body.get("error_description") or "")
    for known, part, error, advice in _LOGIN:
        if code == known and part in words.lower():
            return error(f"login refused: {code}: {words}", code=code, advice=advice)
    log.warning("unmapped: login: %s: %s", code, words[:200])
    return AccessDenied(f"login refused: {code}: {words}", code=code, advice="check how this org is connected")
