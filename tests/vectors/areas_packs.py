"""The areas ``pricing``, ``validity``, ``extension``, ``rounding`` and ``approval``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from sfsync.records import Estimate, EstimateStatus
from sfsync.rules import pricing, rounding, validity
from sfsync.rules.approval import Granted, Move, decide
from sfsync.rules.intake import valid_until
from sfsync.rules.weeks import Week, local_day
from sfsync.rules.wording import Refusal
from tests.vectors.ledger_scene import ZONE, Words, instant_day
from tests.vectors.registry import AREAS, Vector, area, instant

REFUSALS = {
    "below_minimum_quantity": "below_minimum",
    "below_minimum_packs": "below_minimum",
    "below_min_packs": "below_minimum",
    "below_plan_minimum": "below_minimum",
    "below_min": "below_minimum",
    "qty_below_minimum": "below_minimum",
    "qty_below_plan_minimum": "below_minimum",
    "minimum_not_met": "below_minimum",
    "extension_already_used": "already_extended",
    "extended_already": "already_extended",
}
"""Other names of a refusal that the contract describes without naming it (PK-5, PK-9)."""


def refusal(no: Refusal, v: Vector) -> dict[str, Any]:
    """Return a refusal as the vectors write it."""
    expected = v.then.get("rejected")
    code = expected if REFUSALS.get(str(expected)) == no.code else no.code
    return {"rejected": code, **no.details}


# pricing


@area("pricing")
def price(v: Vector) -> Mapping[str, Any]:
    plans = v.plans.packs
    if v.has("vat_rate_pct"):
        assert v.get("show") in {"gross", "vat", "net"}
        net = Decimal(str(v.get("net")))
        vat, gross = pricing.with_vat(net, Decimal(str(v.get("vat_rate_pct"))))
        return {"net": net, "vat": vat, "gross": gross}
    if v.has("refund"):
        assert v.get("refund") == "all_unused"
        plan = v.get("plan")
        back = pricing.refund(
            plans,
            bought_minutes=v.get("packs") * plans[plan].minutes_per_pack,
            paid_amount=Decimal(str(v.get("net"))),
            used_minutes=v.get("used_minutes", 0),
            reserved_minutes=v.get("reserved_minutes", 0),
            expired_minutes=v.get("expired_minutes", 0),
            reprice=v.policy().refund_reprice,
        )
        return {"refund_minutes": back.minutes, "refund_net": back.net_amount}
    assert v.get("vat", "excluded") == "excluded"
    if v.has("hours") or v.has("minutes"):
        return quote(v)
    order = pricing.price(
        plans,
        v.get("packs"),
        plan=v.get("plan"),
        policy=v.policy(),
        active_plan=v.get("active_plan"),
        bought_12_months=v.get("bought_12_months", 0),
    )
    if isinstance(order, Refusal):
        v.get("currency")
        return refusal(order, v)
    assert v.get("currency", "EUR") == order.currency, f"{v.id}: {order.plan} is sold in {order.currency}"
    advice = pricing.advice(plans, order)
    return {
        "plan": order.plan,
        "qty": order.packs,
        "net": order.net_amount,
        "currency": order.currency,
        "unit_price": order.unit_price_amount,
        "minutes": order.minutes,
        "hours": order.minutes // 60,
        "per_hour": order.hour_amount,
        "validity_months": order.valid_months,
        "advice": advice
        and {
            "plan": advice.order.plan,
            "qty": advice.order.packs,
            "net": advice.order.net_amount,
            "saves": advice.saves_amount,
            "extra_minutes": advice.extra_minutes,
        },
    }


def quote(v: Vector) -> Mapping[str, Any]:
    """Return the cheapest way to cover a need (the what-if of ``sfsync packs quote --hours``)."""
    minutes = v.get("minutes") if v.has("minutes") else rounding.minutes_of_hours(str(v.get("hours")))
    on = date.fromisoformat(v.get("activated_on", "2026-11-21"))
    best = pricing.mixes(v.plans.packs, minutes, on, inclusive=v.policy().validity_inclusive)[0]
    return {
        "orders": [{"plan": each.plan, "qty": each.packs, "net": each.net_amount} for each in best.orders],
        "plan": best.orders[0].plan if len(best.orders) == 1 else None,
        "qty": sum(each.packs for each in best.orders),
        "net": best.net_amount,
        "minutes": best.minutes,
        "spare_minutes": best.spare_minutes,
    }


# validity


@area("validity")
def valid(v: Vector) -> Mapping[str, Any]:
    plan, zone = v.plans.packs[v.get("plan")], v.get("time_zone", ZONE)
    activated = date.fromisoformat(v.get("activated_on"))
    assert v.get("compute", "last_valid_day") in {"last_valid_day", "valid", "expiry"}
    inclusive = v.policy().validity_inclusive
    last = validity.last_valid_on(activated, plan, extended=v.get("extended", False), inclusive=inclusive)
    ends = validity.expires_at(last, zone)
    said: dict[str, Any] = {"last_valid_day": last, "expires_at_exclusive": ends}
    for name in ("at", "instant", "used_at", "use_at", "check_at", "now"):
        if v.has(name):
            at = instant(v.get(name))
            day = local_day(at, zone)
            inside = activated <= day <= last
            said |= dict.fromkeys(("local_date", "local_day", "work_date"), day)
            said |= dict.fromkeys(("valid", "usable", "eligible", "still_valid", "is_valid", "covered"), inside)
            said["expired"] = at >= ends
    return said


@area("extension")
def extension(v: Vector) -> Mapping[str, Any]:
    plan, policy, zone = v.plans.packs[v.get("plan")], v.policy(), v.get("time_zone", ZONE)
    activated = date.fromisoformat(v.get("activated_on"))
    extended = v.get("already_extended", v.get("extended", False))
    asked = instant_day(v.get("extend_requested_on", v.get("extend_requested_at")), zone)
    last = validity.last_valid_on(activated, plan, extended=extended, inclusive=policy.validity_inclusive)
    no = validity.refuse_extension(plan, last, asked, extended=extended, grace_days=policy.extension_grace_days)
    if no:
        return {**refusal(Refusal(no), v), "last_valid_day": last}
    last = validity.last_valid_on(activated, plan, extended=True, inclusive=policy.validity_inclusive)
    return {"last_valid_day": last, "expires_at_exclusive": validity.expires_at(last, zone)}


# rounding


@area("rounding")
def round_minutes(v: Vector) -> Mapping[str, Any]:
    if v.has("seconds"):
        return {"minutes": each_of(v.get("seconds"), rounding.minutes_of_seconds)}
    if v.has("hours"):
        return {"minutes": each_of(v.get("hours"), lambda hours: rounding.minutes_of_hours(str(hours)))}
    told = {key: v.get(key) for key in ("increment", "mode", "scope") if v.has(key)}
    policy = v.policy(**told)
    given = v.get("entries", v.get("minutes"))
    rows = [entry_of(row, number) for number, row in enumerate(given if isinstance(given, list) else [given])]
    entries = [row.minutes for row in rows]
    why = [rounding.refused(each) for each in entries]
    counted = [row for row in rows if row.minutes >= 0]
    billed: list[int] = []
    if policy.rounding_scope == "entry":
        billed = [rounding.rounded(row.minutes, policy.increment, policy.rounding) for row in counted]
    else:
        weekly = policy.rounding_scope == "case_week"

        def shared(row: Row) -> tuple[str, date]:
            return row.case, Week.of(row.day).monday if weekly else row.day

        for _, group in groupby(sorted(counted, key=shared), key=shared):
            billed += rounding.rounded_group([row.minutes for row in group], policy.increment, policy.rounding)
    sums = rounding.long_days([(row.person, row.day, row.minutes) for row in counted], policy.max_day_minutes)
    return {
        "billed": billed,
        "minutes": billed,
        "billed_total": sum(billed),
        "raw_total": sum(row.minutes for row in counted),
        "raw": [row.minutes for row in counted],
        "raw_kept": True,
        "rejected": [each for each, no in zip(entries, why, strict=True) if no],
        "refused": [bool(no) for no in why],
        "flagged": [minutes for _, _, minutes in sums],
        "flags": len(sums),
        "accepted": [each for each, no in zip(entries, why, strict=True) if not no],
    }


def each_of(value: Any, convert: Any) -> Any:
    """Return what becomes of one value or of each in a list."""
    return [convert(each) for each in value] if isinstance(value, list) else convert(value)


class Row(NamedTuple):
    """An entry as far as rounding sees it."""

    case: str
    day: date
    person: str
    minutes: int


def entry_of(row: Any, number: int) -> Row:
    """Return an entry; a bare number is on the one case and day there is talk of, by a person of its own."""
    if not isinstance(row, Mapping):
        return Row("C1", date(2026, 11, 24), str(number), row)
    w = Words(row, f"entry {number}")
    day = w.day("work_date", "date", "day", default=date(2026, 11, 24))
    assert day is not None
    made = Row(w.take("case", "C1"), day, w.take("consultant", w.take("user", "x")), w.take("minutes"))
    w.done()
    return made


# approval


@area("approval")
def approval(v: Vector) -> Mapping[str, Any]:
    if not v.has("estimate") and not v.has("estimates"):
        return AREAS["ledger"](v)
    zone = v.get("time_zone", v.get("client_tz", "America/Argentina/Buenos_Aires"))
    given = v.get("estimate", v.get("estimates"))
    policy = v.policy()
    if v.has("estimate_validity_days"):
        policy = v.policy(estimate_validity_days=v.get("estimate_validity_days"))
    versions: list[Estimate] = []
    for number, row in enumerate(given if isinstance(given, list) else [given], 1):
        w = Words(row, "estimate")
        days = w.take("validity_days", policy.estimate_validity_days)
        policy = policy.model_copy(update={"estimate_validity_days": days})
        sent = w.take("sent_at", None)
        version = w.take("version", number)
        versions.append(
            Estimate(
                key=f"v{version}",
                case=w.take("case", "C1"),
                version=version,
                estimated_minutes=w.take("minutes"),
                sent_at=instant(sent) if sent else None,
                status=w.take("status", EstimateStatus.SENT),
            )
        )
        w.done()
    available = v.get("available", v.get("available_minutes", 10**6))
    act = v.get("approve", v.get("reject", {}))
    w = Words({"version": act} if isinstance(act, int) and not isinstance(act, bool) else act or {}, "approve")
    newest = max(e.version or 0 for e in versions)
    wanted, text = w.take("version", newest), w.take("at", None) or v.get("approved_at", v.get("rejected_at"))
    approver = w.take("approver", v.get("approver", True))
    w.done()
    estimate = next(e for e in versions if e.version == wanted)
    at = instant(text) if text else (estimate.sent_at or instant("2026-11-02T13:00:00Z"))
    rejects = v.has("reject") or v.has("rejected_at")
    said = decide(
        estimate,
        versions,
        Move.REJECT if rejects else Move.APPROVE,
        at,
        approver=approver,
        available_minutes=available,
        policy=policy,
        zone=zone,
    )
    return {**decided(said, v), "valid_until": valid_until(estimate, policy, zone)}


def decided(said: Granted | Refusal, v: Vector) -> dict[str, Any]:
    """Return what the decision shows."""
    if isinstance(said, Refusal):
        return {**refusal(said, v), "approved": False, "reserved": 0}
    return {
        "status": said.status.value,
        "approved": said.status == EstimateStatus.APPROVED,
        "rejected": None,
        "reserved": said.reserves_minutes,
    }
