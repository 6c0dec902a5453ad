"""The error answers of an org: a status, a Salesforce error code, a message, and the fields it is about.

This module may not know which face reports the error. It keeps one law: the code is what clients match on, so it is
always one that a real org gives.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("sfsync.localorg")


class ApiError(Exception):
    """An answer other than success: HTTP ``status``, Salesforce ``code``, ``message`` and optional ``fields``.

    ``fields`` is None when a real org leaves the key out, and a (possibly empty) list when it sends it.
    """

    def __init__(self, status: int, code: str, message: str, fields: list[str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def as_rest(self) -> dict[str, Any]:
        """Return the element of the error array that single-record REST, query and composite bodies carry."""
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            body["fields"] = list(self.fields)
        return body

    def as_save_error(self) -> dict[str, Any]:
        """Return the element of ``errors`` in collections and tree results, whose key is ``statusCode``."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or [])}

    def as_bulk(self) -> str:
        """Return ``CODE:message:fields--``, the form of ``sf__Error`` in Bulk API results."""
        return f"{self.code}:{self.message}:{','.join(self.fields or [])}{' ' if self.fields else ''}--"


class OAuthError(Exception):
    """A refusal of the token endpoint: an object with ``error`` and ``error_description``, not an array."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """Return the 404 for an unknown object, route or record."""
    return ApiError(404, "NOT_FOUND", message)


def bad_session() -> ApiError:
    """Return the 401 for a missing, expired or revoked token."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def malformed_id(value: str, field: str = "Id") -> ApiError:
    """Return the 400 for an id with a wrong checksum, length or prefix."""
    message = f"{'Record ID' if field == 'Id' else field}: id value of incorrect type: {value}"
    return ApiError(400, "MALFORMED_ID", message, [field])


def method_not_allowed(method: str, allowed: str) -> ApiError:
    """Return the 405 for a verb that a resource does not take."""
    message = f"HTTP Method '{method}' not allowed. Allowed are {allowed}"
    return ApiError(405, "METHOD_NOT_ALLOWED", message)


def not_modelled(what: str, *, status: int = 501, code: str = "FUNCTIONALITY_NOT_ENABLED") -> ApiError:
    """Log ``not modelled: what`` and return an error that no client can mistake for success."""
    log.warning("not modelled: %s", what)
    return ApiError(status, code, f"not modelled: {what}")
