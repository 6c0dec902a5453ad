"""What was promised: pack plans, SLA plans, cover calendars and the policy numbers of a client.

Shapes only; ``mapping.py`` fills them from ``plans.yaml`` and the client overlays, the rules read
them. This module may not know files or records. It keeps one law: every default is the answer that
the contract page recommends, with its id beside it.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Minutes = Annotated[int, Field(ge=0)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Strict(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PackPlan(Strict):
    """One row of the price list (PK-1..9)."""

    name: str
    min_packs: Annotated[int, Field(ge=1)]
    unit_price_amount: Annotated[Decimal, Field(ge=0, decimal_places=2)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    minutes_per_pack: Annotated[int, Field(gt=0)] = 480
    valid_months: Annotated[int, Field(ge=1)]
    extension_months: Annotated[int, Field(ge=0)] = 0
    queue_rank: Annotated[int, Field(ge=1)]


class Window(Strict):
    """A half-open window of one day in local wall time (CAL-1); ``close`` may be 24:00."""

    open: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    close: Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Window:
        if self.open >= self.close:
            way_out = f"; over midnight write {self.open}-24:00 and, on the next day, 00:00-{self.close}"
            raise ValueError(f"window {self.open}-{self.close} closes before it opens{way_out}")
        return self


class Cover(Strict):
    """When an SLA clock runs: windows per weekday, and whether holidays stop it (CAL-3, X-26)."""

    label: str
    weekly: dict[Weekday, tuple[Window, ...]]
    holidays: bool = True

    @field_validator("weekly")
    @classmethod
    def _windows_do_not_overlap(cls, weekly: dict[Weekday, tuple[Window, ...]]) -> dict[Weekday, tuple[Window, ...]]:
        for day, windows in weekly.items():
            for before, after in zip(windows, windows[1:], strict=False):
                if before.close > after.open:
                    raise ValueError(
                        f"{day}: windows {before.open}-{before.close} and {after.open}-{after.close} overlap"
                    )
        return weekly


class Target(Strict):
    """How long the consultancy has for one priority, in cover minutes of the named cover."""

    cover: str
    acknowledge_minutes: Annotated[int, Field(gt=0)]
    resolve_minutes: Annotated[int, Field(gt=0)] | None = None


class SlaPlan(Strict):
    """One column of the SLA table (SLA-T1..T6, CHN-1)."""

    name: str
    channels: tuple[str, ...]
    targets: dict[Literal["P1", "P2", "P3", "P4"], Target]


class HolidayList(Strict):
    """One national or provincial list."""

    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    subdivision: str | None = None
    categories: tuple[str, ...] = ("public",)

    @property
    def where(self) -> str:
        """Return the country with its subdivision, as ``AR-B``."""
        return self.country if self.subdivision is None else f"{self.country}-{self.subdivision}"


class HolidayChoice(Strict):
    """Where a client's holidays come from, and what is added or taken away (CAL-4)."""

    country: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    subdivision: str | None = None
    categories: tuple[str, ...] = ("public",)
    also: tuple[HolidayList, ...] = ()
    """Lists of other places: a day that is a holiday in any of them is one (X-27)."""
    include: dict[date, str] = Field(default_factory=dict)
    exclude: dict[date, str] = Field(default_factory=dict)
    half_days: dict[date, tuple[Window, ...]] = Field(default_factory=dict)
    confirmed_through_year: int | None = None

    @property
    def lists(self) -> tuple[HolidayList, ...]:
        """Return every list that is asked, the contract's own first."""
        if self.country is None:
            return self.also
        own = HolidayList(country=self.country, subdivision=self.subdivision, categories=self.categories)
        return (own, *self.also)


class Policy(Strict):
    """The numbers and modes a contract may set; defaults are those of the contract page."""

    # packs and ledger
    approval_required: bool = True  # ST-3b
    deduction: Literal["actual_capped", "fixed"] = "actual_capped"
    tolerance_pct: Annotated[int, Field(ge=0, le=100)] = 0  # X-13, OVN-3
    emergency_allowance_minutes: Minutes = 0  # X-14, EST-4
    auto_approve_below_minutes: Minutes = 0
    overdraw: Literal["block", "negative"] = "block"
    overdraw_limit_minutes: Minutes = 0
    overage_hour_amount: Annotated[Decimal, Field(ge=0, decimal_places=2)] | None = None  # net, an hour
    reservation_grace_days: Annotated[int, Field(ge=0)] = 30  # X-11, EXP-3
    courtesy_days: Annotated[int, Field(ge=0)] = 30  # COR-2
    estimate_validity_days: Annotated[int, Field(ge=1)] = 14  # EST-2
    validity_from: Literal["payment", "invoice"] = "payment"
    validity_inclusive: bool = True
    extension_grace_days: Annotated[int, Field(ge=0)] = 0
    topup_pricing: Literal["order_alone", "inherit_active_tier", "cumulative_12_months"] = "order_alone"
    refund_reprice: bool = False
    min_request_minutes: Minutes = 0
    vat_rate_pct: Annotated[Decimal, Field(ge=0, le=100)] = Decimal("0")
    low_balance_minutes: Minutes = 480
    # rounding
    increment: Annotated[int, Field(ge=1, le=480)] = 1
    rounding: Literal["up", "nearest", "down"] = "up"
    rounding_scope: Literal["entry", "case_day", "case_week"] = "entry"
    max_day_minutes: Annotated[int, Field(ge=1)] = 1440
    # SLA clock
    breach_basis: Literal["elapsed", "wall"] = "elapsed"  # CLK-3
    priority_change: Literal["fair", "retroactive", "restart"] = "fair"  # PRI-1..3
    business_day_mode: Literal["cover_minutes", "end_of_next_business_day", "same_time_next_business_day"] = (
        "cover_minutes"
    )
    ack_pause_statuses: tuple[str, ...] = ()  # PAU-3
    resolution_pause_statuses: tuple[str, ...] = ("Waiting on Client", "Awaiting Approval", "On Hold - Third Party")
    new_statuses: tuple[str, ...] = ("New",)
    consultant_usernames: tuple[str, ...] = ("*",)  # ACK-1: shell patterns; our own user never counts
    reopen: Literal["new_cycle", "none"] = "new_cycle"  # REO-1
    reopen_grace_minutes: Minutes = 15
    closed_statuses: tuple[str, ...] = ("Resolved", "Closed")  # REO-1, REO-2
    thresholds_pct: tuple[int, ...] = (50, 75, 90)  # CLK-6
    channel_outside_plan: Literal["clock_runs", "no_clock"] = "clock_runs"
    default_priority: Literal["P1", "P2", "P3", "P4"] = "P4"
    # weeks
    week_close_local: Annotated[str, Field(pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3]):[0-5]\d$")] = (
        "Mon 06:00"
    )
    lock_after_days: Annotated[int, Field(ge=0)] = 28  # WK-5
    expiring_soon_days: Annotated[int, Field(ge=0)] = 30  # WK-7
    amendment_batch: Literal["daily", "immediate"] = "daily"  # WK-4
    # scope
    simple_evolution_max_minutes: Minutes | None = None


class Plans(Strict):
    """Everything ``plans.yaml`` promises."""

    packs: dict[str, PackPlan]
    covers: dict[str, Cover]
    sla: dict[str, SlaPlan]
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _targets_name_known_covers(self) -> Plans:
        for plan in self.sla.values():
            for priority, target in plan.targets.items():
                if target.cover not in self.covers:
                    raise ValueError(f"sla.{plan.name}.targets.{priority}: no cover is called {target.cover!r}")
        return self


class ClientTerms(Strict):
    """One client's contract: its zone, plan, holidays and policy."""

    client: str
    name: str
    time_zone: str
    sla_plan: str | None = None
    """Key of ``Plans.sla``, or None for a client with packs only (X-30)."""
    sla_plan_from: dict[date, str | None] = Field(default_factory=dict)
    """Client-local day to the plan that replaces the one before from then on (2.5)."""
    holidays: HolidayChoice = HolidayChoice()
    languages: tuple[str, ...] = ("en",)
    policy: Policy = Policy()

    def plan_at(self, at: datetime) -> str | None:
        """Return the SLA plan in force at an instant: what is opened then runs under it."""
        day = at.astimezone(ZoneInfo(self.time_zone)).date()
        begun = [since for since in self.sla_plan_from if since <= day]
        return self.sla_plan_from[max(begun)] if begun else self.sla_plan
