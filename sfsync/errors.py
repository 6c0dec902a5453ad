"""Errors named by what happens next (law 8), and the exit code each gives the command line.

This module may not know who raises or who catches. It keeps one law: a class answers the question
"what now?", never "where did it come from?".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Next(StrEnum):
    """What the caller does after an error."""

    STOP = "stop"
    RETRY = "retry"
    RETRY_LATER = "retry_later"
    LOGIN_ONCE = "login_once"
    PAUSE_ORG = "pause_org"
    QUARANTINE = "quarantine"
    REMERGE = "remerge"


class Exit(StrEnum):
    """Names of the exit codes; the numbers are in ``EXIT_CODES``."""

    OK = "ok"
    UNEXPECTED = "unexpected"
    USAGE = "usage"
    REFUSED = "refused"
    LOGIN = "login"
    CHECK_FAILED = "check_failed"
    CHANGES = "changes"
    BUSY = "busy"
    INTERRUPTED = "interrupted"


EXIT_CODES: dict[Exit, tuple[int, str]] = {
    Exit.OK: (0, "done, nothing wrong"),
    Exit.UNEXPECTED: (1, "an unexpected error, or a service could not be reached"),
    Exit.USAGE: (2, "wrong usage, or a file that must be edited first"),
    Exit.REFUSED: (3, "finished, but some records were refused and are in quarantine"),
    Exit.LOGIN: (4, "an org refused the login or the permission, or is paused"),
    Exit.CHECK_FAILED: (5, "a check failed"),
    Exit.CHANGES: (6, "plan --exit-code found changes"),
    Exit.BUSY: (7, "another run holds the org"),
    Exit.INTERRUPTED: (130, "interrupted"),
}


class SfsyncError(Exception):
    """Anything sfsync raises on purpose; its text is one sentence for a person."""

    next: Next = Next.STOP
    exit: Exit = Exit.UNEXPECTED


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file must be edited: path, 1-based line if known, and the dotted key."""

    file: str
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        """Return ``file:line: key``, leaving out what is unknown."""
        text = self.file if self.line is None else f"{self.file}:{self.line}"
        return text if self.key is None else f"{text}: {self.key}"


class ConfigError(SfsyncError):
    """A file must be edited before anything runs; ``place`` says where."""

    exit = Exit.USAGE

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message if place is None else f"{place}: {message}")
        self.message = message
        self.place = place


class MappingError(ConfigError):
    """A file under ``mappings/`` says something the mapping's shape does not allow."""


class PolicyError(ConfigError):
    """``plans.yaml`` or a client's policy promises something impossible."""


class SettingsError(ConfigError):
    """``sfsync.toml`` or the environment is wrong or incomplete."""


class InputError(ConfigError):
    """A file given by a person (a CSV, a plan) has a row that cannot be read."""


class OrgError(SfsyncError):
    """Something an org, or the way to it, answered.

    ``code`` is Salesforce's error code where one was given; ``advice`` says what a person can do.
    """

    def __init__(self, message: str, *, code: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.advice = advice


class OrgUnavailable(OrgError):
    """Network failure, 5xx, maintenance, or an HTML page in place of JSON; outcome unknown."""

    next = Next.RETRY


class OrgBusy(OrgError):
    """A request limit, a row lock, or too many concurrent requests."""

    next = Next.RETRY_LATER


class SessionExpired(OrgError):
    """The access token is no longer accepted."""

    next = Next.LOGIN_ONCE
    exit = Exit.LOGIN


class AccessDenied(OrgError):
    """A permission is missing, the user is inactive, or the app is not approved."""

    next = Next.PAUSE_ORG
    exit = Exit.LOGIN


class WrongOrg(OrgError):
    """The credentials reach another organisation than the one pinned for this org."""

    next = Next.PAUSE_ORG
    exit = Exit.LOGIN


class SchemaDrift(OrgError):
    """The org's schema differs from the mapping; ``problems`` lists how."""

    next = Next.PAUSE_ORG
    exit = Exit.CHECK_FAILED

    SHOWN = 4

    def __init__(self, org: str, problems: list[str]) -> None:
        lines = "; ".join(problems[: self.SHOWN])
        more = len(problems) - self.SHOWN
        super().__init__(
            f"org {org}: {len(problems)} difference(s) between mapping and org: {lines}"
            + (f"; and {more} more (sfsync org test {org})" if more > 0 else ""),
            advice="deploy the metadata (sfsync metadata deploy) or grant the permission set",
        )
        self.problems = problems


class RecordRejected(OrgError):
    """The org refuses this record for a reason that will not pass by itself."""

    next = Next.QUARANTINE
    exit = Exit.REFUSED


class RecordMoved(OrgError):
    """The record changed between reading and writing."""

    next = Next.REMERGE


class StoreError(SfsyncError):
    """The store refused or cannot be reached."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or asked to be tried again."""

    next = Next.RETRY


class StoreRefused(StoreError):
    """A constraint of the store says that we have a bug; nothing was changed."""

    next = Next.STOP


class LeaseLost(StoreError):
    """Another worker holds this org; what this run still wanted to do must not happen."""

    next = Next.STOP
    exit = Exit.BUSY


class TurnOver(SfsyncError):
    """The run had its share of a worker's time; what it did is kept, and it goes on behind the others."""

    next = Next.RETRY_LATER


class BudgetSpent(TurnOver):
    """Our share of the org's API calls is used up for now; the work goes on when calls come back."""


class SafetyStop(SfsyncError):
    """Something looks so wrong that an operator confirms first: an empty org, a mass delete, too many writes."""

    next = Next.PAUSE_ORG
    exit = Exit.REFUSED


class PlanMoved(SfsyncError):
    """A plan that was agreed is no longer what a sync would do; nothing was written to the org."""

    exit = Exit.CHANGES


class CheckFailed(SfsyncError):
    """A check a person asked for found problems."""

    exit = Exit.CHECK_FAILED
