"""From when to when a pack can be used, and its one extension (VAL-1..3, PK-7..9, EXT-1).

May not know what was drawn on a pack. It keeps one law: a last valid day is counted from the activation
day, once, with one clamp to the end of a month.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sfsync.policy import PackPlan, Policy
from sfsync.records import Pack
from sfsync.rules.weeks import end_of_day

COURTESY = "Courtesy"


def add_months(day: date, months: int) -> date:
    """Return the same day of a later month, or that month's last day if it has no such day (VAL-1)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def last_valid_on(activated_on: date, plan: PackPlan, *, extended: bool = False, inclusive: bool = True) -> date:
    """Return the last client-local day on which minutes can be used (VAL-1, VAL-2, X-8)."""
    months = plan.valid_months + (plan.extension_months if extended else 0)
    return add_months(activated_on, months) - timedelta(days=0 if inclusive else 1)


def expires_at(last_valid: date, zone: str) -> datetime:
    """Return the first instant at which the pack can no longer be used: local midnight after the day (VAL-3)."""
    return end_of_day(last_valid, zone)


def refuse_extension(
    plan: PackPlan, last_valid: date, requested_on: date, *, extended: bool, grace_days: int = 0
) -> str:
    """Return why an extension is refused, or an empty text (PK-8, PK-9, X-10).

    ``plan_not_extendable``, ``already_extended``, or ``lot_expired`` when asked after the last valid day
    and its grace.
    """
    if plan.extension_months == 0:
        return "plan_not_extendable"
    if extended:
        return "already_extended"
    return "lot_expired" if requested_on > last_valid + timedelta(days=grace_days) else ""


@dataclass(frozen=True, slots=True)
class Lot:
    """What a pack promises, before anything is drawn on it."""

    key: str
    minutes: int
    activated_on: date
    original_on: date
    """Last valid day without the extension."""
    last_valid_on: date
    """Last valid day, extension included if it was granted."""
    extended_on: date | None = None
    """Day from which the extension counts, or None."""
    refusal: str = ""
    """Why an extension that was asked for is refused."""
    seq: int = 0
    courtesy: bool = False
    name: str = ""

    def burn_key(self, last_valid: date) -> tuple[date, date, int, str]:
        """Return its place in the burn order while its last valid day is ``last_valid`` (LED-2)."""
        return (last_valid, self.activated_on, self.seq, self.key)


def plan_of(pack: Pack, plans: Mapping[str, PackPlan]) -> PackPlan | None:
    """Return the plan of a pack, found by key or name in any case; None for courtesy or an unknown one."""
    wanted = (pack.plan or "").casefold()
    for key, plan in plans.items():
        if wanted in (key.casefold(), plan.name.casefold()):
            return plan
    return None


def lot_of(pack: Pack, plans: Mapping[str, PackPlan], policy: Policy, today: date) -> Lot | None:
    """Return what a pack promises, or None while it is a draft: not paid, or without minutes or end (PK-12).

    Days of a planned pack are computed; a courtesy pack, or one of an unknown plan, keeps those it has.
    An extension asked for without a day counts from ``today``, or, once granted, from the last original day.
    """
    plan = plan_of(pack, plans)
    if pack.activated_on is None:
        return None
    minutes = pack.bought_minutes
    if plan is not None and pack.packs_bought is not None:
        minutes = pack.packs_bought * plan.minutes_per_pack
    original = pack.original_last_valid_on or pack.last_valid_on
    if plan is not None:
        original = last_valid_on(pack.activated_on, plan, inclusive=policy.validity_inclusive)
    if minutes is None or minutes <= 0 or original is None:
        return None
    final, extended_on, refusal = original, None, ""
    if plan is not None and (pack.extended or pack.extension_requested or pack.extension_requested_on):
        asked_on = pack.extension_requested_on or (original if pack.extended else today)
        refusal = refuse_extension(plan, original, asked_on, extended=False, grace_days=policy.extension_grace_days)
        if pack.extended and refusal == "lot_expired":
            refusal, asked_on = "", original  # it was granted: a later look at the day does not take it back
        if not refusal:
            final = last_valid_on(pack.activated_on, plan, extended=True, inclusive=policy.validity_inclusive)
            extended_on = max(asked_on, pack.activated_on)
    return Lot(
        key=pack.key,
        minutes=minutes,
        activated_on=pack.activated_on,
        original_on=original,
        last_valid_on=final,
        extended_on=extended_on,
        refusal=refusal,
        seq=pack.purchase_seq or 0,
        courtesy=(pack.plan or "") == COURTESY,
        name=pack.name or pack.key,
    )


def lots_of(packs: Iterable[Pack], plans: Mapping[str, PackPlan], policy: Policy, today: date) -> dict[str, Lot]:
    """Return every lot by the key of its pack; drafts and deleted packs have none."""
    lots = (lot_of(pack, plans, policy, today) for pack in packs if not pack.deleted)
    return {lot.key: lot for lot in lots if lot is not None}
