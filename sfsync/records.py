"""The nouns: what sfsync keeps of a client's maintenance contract.

Frozen values without behaviour. A field's name here is its name in the mapping, in the store and in
the rules. This module may not know Salesforce, SQL or the rules. It keeps one law: minutes and
seconds are integers, instants are aware UTC to the second, days are client-local dates, money is
``Decimal`` with its currency beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def unchanging(cls: type[T]) -> type[T]:
    """Make a frozen dataclass of which the type checker, and nothing at run time, sees to it that nobody changes it.

    For what a load makes of every record: to refuse at run time takes eight times as long to make one.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


Value: TypeAlias = None | bool | int | Decimal | str | date | datetime
"""One field of a record, in local form. A lookup holds the key of the record it points to."""

Values: TypeAlias = Mapping[str, Value]
"""Field name to value; a name that is absent is unknown, which is not the same as ``None``."""


class Priority(StrEnum):
    """How urgent a case is (CLS-1)."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Category(StrEnum):
    """The kind of maintenance (ACT-1)."""

    EVOLUTIONARY = "Evolutionary"
    PREVENTIVE = "Preventive"
    ADAPTIVE = "Adaptive"
    CORRECTIVE = "Corrective"


class PostingKind(StrEnum):
    """Why minutes moved on a pack (LED-1)."""

    PURCHASE = "purchase"
    CONSUME = "consume"
    REVERSAL = "reversal"
    EXPIRE = "expire"
    EXPIRE_REVERSAL = "expire_reversal"
    TRANSFER = "transfer"
    COURTESY = "courtesy"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"


class SlaStatus(StrEnum):
    """What a case shows of its acknowledgement clock."""

    NOT_APPLICABLE = "Not applicable"
    ON_TRACK = "On track"
    AT_RISK = "At risk"
    PAUSED = "Paused"
    MET = "Met"
    BREACHED = "Breached"


class EntryState(StrEnum):
    """The answer to "did it count?" on a time entry."""

    NEW = "New"
    COUNTED = "Counted"
    WAITING = "Waiting for approval"
    REFUSED = "Refused"
    REVERSED = "Reversed"


class PackStatus(StrEnum):
    """Where a pack stands in its life."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    EXHAUSTED = "Exhausted"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


class EstimateStatus(StrEnum):
    """Where an estimate stands between author and client (section 2.7 of the contract)."""

    DRAFT = "Draft"
    SENT = "Sent"
    QUESTION = "Question"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    WITHDRAWN = "Withdrawn"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every mirrored record has: a key that is the same in the store and in each org."""

    key: str
    created_at: datetime | None = None
    """The instant the org created it; None for a record that is not in an org yet."""
    deleted: bool = False
    extra: Mapping[str, Value] = field(default_factory=dict)
    """Mirrored fields that no rule reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAccount(Record):
    """The client's contract as its org shows it: one record a client."""

    name: str | None = None
    sla_plan: str | None = None
    sla_coverage: str | None = None
    sla_channels: str | None = None
    balance_minutes: int | None = None
    reserved_minutes: int | None = None
    available_minutes: int | None = None
    uncovered_minutes: int | None = None
    next_expiry_on: date | None = None
    at_risk_minutes: int | None = None
    burn_week_minutes: int | None = None
    forecast_empty_on: date | None = None
    low_balance: bool | None = None
    waiting_estimates: int | None = None
    report_language: str | None = None
    report_emails: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Record):
    """One purchase of packs with one expiry: the *lot* of the contract."""

    name: str | None = None
    account: str | None = None
    plan: str | None = None
    """Key of the pack plan in ``plans.yaml`` with a capital: Starter, Flexi, Pro; or Courtesy."""
    packs_bought: int | None = None
    bought_minutes: int | None = None
    used_minutes: int | None = None
    reserved_minutes: int | None = None
    remaining_minutes: int | None = None
    available_minutes: int | None = None
    unit_price_amount: Decimal | None = None
    total_price_amount: Decimal | None = None
    currency: str | None = None
    activated_on: date | None = None
    """Client-local day the payment was registered (X-7)."""
    last_valid_on: date | None = None
    """Last client-local day on which minutes can be used, extension included (VAL-1, VAL-2)."""
    original_last_valid_on: date | None = None
    extension_requested: bool | None = None
    extension_requested_on: date | None = None
    extended: bool | None = None
    purchase_seq: int | None = None
    """Third key of the burn order (LED-2)."""
    status: str | None = None
    sync_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment(Record):
    """Minutes that a person of the consultancy gave to a pack or took from it: a refund, a write-off, a transfer.

    The org holds it too, so that a store that was lost comes back to the same balances (REF-1, X-33).
    """

    name: str | None = None
    pack: str | None = None
    kind: str | None = None
    """Refund, Adjustment or Transfer."""
    minutes: int | None = None
    """Signed: what is taken is negative."""
    effective_on: date | None = None
    booked_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Record):
    """A request of the client (ST-2)."""

    number: str | None = None
    subject: str | None = None
    description: str | None = None
    status: str | None = None
    is_closed: bool | None = None
    closed_at: datetime | None = None
    origin: str | None = None
    request: bool | None = None
    priority: str | None = None
    category: str | None = None
    scope: str | None = None
    received_at: datetime | None = None
    acknowledged_at: datetime | None = None
    paused: bool | None = None
    pause_reason: str | None = None
    target_minutes: int | None = None
    due_at: datetime | None = None
    met_at: datetime | None = None
    sla_status: str | None = None
    breached: bool | None = None
    explained: str | None = None
    logged_minutes: int | None = None
    approved_minutes: int | None = None
    estimate_status: str | None = None
    sync_status: str | None = None
    sync_message: str | None = None


ECHO = "echo"
"""Kind of an event: the service wrote the field; in two orgs mostly what a person had done in the other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEvent:
    """One row of a case's history: who changed which tracked field when."""

    case: str
    event_id: str
    """The org's id of the history row, comment or mail; unique in the org."""
    kind: str
    """``field``, ``comment``, ``email``, or ``echo``."""
    field: str
    """Local name of the changed field for kind ``field``, else empty."""
    old: str | None
    new: str | None
    at: datetime
    by: str
    """User name of the person, or empty when the org does not say."""
    by_service: bool = False
    """Made by our own integration user or by automation: never an acknowledgement (ACK-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Record):
    """Minutes proposed for a case, one record a version (EST-1)."""

    name: str | None = None
    case: str | None = None
    version: int | None = None
    category: str | None = None
    scope: str | None = None
    estimated_minutes: int | None = None
    what_we_will_do: str | None = None
    valid_until_on: date | None = None
    sent_at: datetime | None = None
    status: str | None = None
    reject_reason: str | None = None
    client_comment: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_source: str | None = None
    balance_after_minutes: int | None = None
    used_minutes: int | None = None
    over_estimate: bool | None = None
    sync_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEntry(Record):
    """Work done on one client-local day (ST-4)."""

    name: str | None = None
    case: str | None = None
    consultant: str | None = None
    worked_on: date | None = None
    worked_minutes: int | None = None
    category: str | None = None
    description: str | None = None
    billable: bool | None = None
    estimate: str | None = None
    pack: str | None = None
    """The pack drawn on; the first of several when the entry was split."""
    state: str | None = None
    sync_message: str | None = None
    correction_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklySummary(Record):
    """One client's ISO week as issued, one record a week, its newest revision (WK-1..7)."""

    account: str | None = None
    iso_week: str | None = None
    week_start_on: date | None = None
    week_end_on: date | None = None
    status: str | None = None
    revision: int | None = None
    as_of_at: datetime | None = None
    opening_minutes: int | None = None
    purchased_minutes: int | None = None
    used_minutes: int | None = None
    corrected_minutes: int | None = None
    expired_minutes: int | None = None
    refunded_minutes: int | None = None
    courtesy_minutes: int | None = None
    closing_minutes: int | None = None
    reserved_minutes: int | None = None
    available_minutes: int | None = None
    uncovered_minutes: int | None = None
    evolutionary_minutes: int | None = None
    preventive_minutes: int | None = None
    adaptive_minutes: int | None = None
    corrective_minutes: int | None = None
    prior_period_minutes: int | None = None
    burn_4w_minutes: int | None = None
    forecast_empty_on: date | None = None
    at_risk_minutes: int | None = None
    cases_opened: int | None = None
    cases_closed: int | None = None
    sla_due: int | None = None
    sla_met: int | None = None
    breaches: int | None = None
    mean_answer_p1_minutes: int | None = None
    """Mean cover minutes to the acknowledgements of the week, by priority; None without one (SLA-M1)."""
    mean_answer_p2_minutes: int | None = None
    mean_answer_p3_minutes: int | None = None
    mean_answer_p4_minutes: int | None = None
    waiting_estimates: int | None = None
    headline: str | None = None
    published_at: datetime | None = None
    read_by_client: bool | None = None
    client_comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryLine(Record):
    """One line of a weekly summary; case number, subject and status are copies of that day."""

    summary: str | None = None
    kind: str | None = None
    """Work, Breach, Estimate, Expiry, Prior period or Planned."""
    case: str | None = None
    case_number: str | None = None
    subject: str | None = None
    priority: str | None = None
    category: str | None = None
    minutes: int | None = None
    estimated_minutes: int | None = None
    status_text: str | None = None
    pack_name: str | None = None
    note: str | None = None
    sort: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Minutes that moved on one pack, once and for ever (LED-1, IDM-1).

    ``(source, source_version, leg)`` names the posting within its client: the same fact posted twice
    has one effect. ``minutes`` is signed: a purchase is positive, consumption negative.
    """

    pack: str
    minutes: int
    kind: PostingKind
    effective_on: date
    booked_at: datetime
    source: str
    source_version: int
    leg: int
    case: str | None = None
    category: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """One cycle of one clock of a case, with its deadline as a stored value (law 6).

    ``due_at`` is the closing instant at which the target is used up (CLK-2); ``breach_at`` is the
    instant after which an unanswered case is breached: the start of the first cover second beyond
    the target (CLK-3), which may lie after a night. ``breached_at``, once set, stays (PRI-4).
    """

    case: str
    clock: str
    """``ack`` or ``resolution``."""
    cycle: int
    plan: str
    priority: str
    target_seconds: int
    started_at: datetime
    clock_starts_at: datetime
    due_at: datetime
    breach_at: datetime
    warn_at: tuple[tuple[int, datetime], ...] = ()
    """Percent of the target and the instant it is reached (CLK-6)."""
    warned_percent: int = 0
    paused_seconds: int = 0
    paused_since: datetime | None = None
    met_at: datetime | None = None
    used_seconds: int | None = None
    """Cover seconds used when the clock stopped; None while it runs."""
    breached_at: datetime | None = None
    waived_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a rule noticed: a value, not an exception (law 4)."""

    code: str
    """Breach, Warning, NeedsApproval, Overrun, Shortage, BadEntry, Expired, ..."""
    record: str
    """Key of the record it is about."""
    message: str
    rule: str = ""
    at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


RECORDS: dict[str, type[Record]] = {
    cls.__name__: cls
    for cls in (ClientAccount, Pack, Adjustment, Case, Estimate, TimeEntry, WeeklySummary, SummaryLine)
}
"""Every mirrored record by its name, parents before children."""

COMMON_FIELDS = frozenset(f.name for f in fields(Record))


def field_names(record: type[Record]) -> tuple[str, ...]:
    """Return the names of a record's own fields, without those every record has, in order."""
    return tuple(f.name for f in fields(record) if f.name not in COMMON_FIELDS)
