"""``sfsync packs``: prepaid packs, what they cost, what is left and where it went.

May not compute a balance: it shows what the ledger says. It keeps one law: a purchase that is typed twice with one
reference is one purchase.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, clock, emit, hours, show, table, talk
from sfsync.cli.rooms import Mistyped, Opened, files, now, runtime

if TYPE_CHECKING:
    from sfsync.policy import PackPlan, Policy
    from sfsync.records import ClientAccount, Pack
    from sfsync.rules.evaluate import Facts
    from sfsync.rules.pricing import Advice, Mix, Order
    from sfsync.rules.wording import Refusal

DAY = click.DateTime(["%Y-%m-%d"])
TOTALS = (
    "balance_minutes", "reserved_minutes", "available_minutes", "uncovered_minutes", "at_risk_minutes",
    "burn_week_minutes", "forecast_empty_on",
)  # fmt: skip
REFUSALS = {
    "qty_must_be_positive_integer": "Packs are bought whole: give a number of packs from 1.",
    "unknown_plan": "There is no pack plan {plan!r}; there are {known}.",
    "below_minimum": "This plan starts from {minimum} packs.",
    "plan_not_extendable": "A pack of this plan cannot be extended.",
    "already_extended": "This pack was extended before; once is all.",
    "lot_expired": "The extension must be asked for on or before the last valid day.",
}


@click.group()
def packs() -> None:
    """Prepaid packs: 1 pack = 1 day = 8 hours."""


@packs.command()
@click.option("--packs", "number", type=int, help="Price this many packs.")
@click.option("--hours", "wanted", help="Find the cheapest legal mix for this many hours.")
@click.option("--plan", help="Price them by this plan; default: the best tier they reach.")
@click.option("--client", help="Use this client's policy and VAT rate.")
@click.option("--on", type=DAY, help="Day of payment, for the last valid day; default: today.")
@as_json
def quote(
    number: int | None, wanted: str | None, plan: str | None, client: str | None, on: datetime | None, as_json: bool
) -> None:
    """Say what packs cost, and whether another order would be better."""
    from sfsync.rules.pricing import advice, mixes, price, standing
    from sfsync.rules.wording import Refusal

    if (number is None) == (wanted is None):
        raise click.UsageError("Give either --packs or --hours.")
    known = files()
    policy = known.client(client).terms.policy if client else known.plans.policy
    day = on.date() if on else now().date()
    if wanted is not None:
        minutes = _minutes(wanted)
        found = mixes(known.plans.packs, minutes, day, inclusive=policy.validity_inclusive)
        _show_mixes(found, minutes, policy.vat_rate_pct, as_json)
        return
    active, bought = None, 0
    if client and policy.topup_pricing != "order_alone":
        with runtime() as opened:
            active, bought = standing(opened.store.facts(client).packs.values(), known.plans.packs, day)
    made = price(known.plans.packs, number, plan=plan, policy=policy, active_plan=active, bought_12_months=bought)
    if isinstance(made, Refusal):
        raise Mistyped(_refusal(made, known.plans.packs))
    _show_order(made, advice(known.plans.packs, made), day, policy, as_json)


@packs.command("show")
@click.argument("client")
@click.option("--all", "every", is_flag=True, help="Also packs that ended or were cancelled.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="Balances as of a past instant.")
@as_json
def show_packs(client: str, every: bool, at: datetime | None, as_json: bool) -> None:
    """Show the packs of CLIENT (a client or its org) and its balance."""
    from sfsync.records import ClientAccount, PackStatus

    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
        balances = opened.store.balances(name)
        policy = opened.client(name).terms.policy
    if at is not None:
        _show_packs_at(name, facts, at, as_json)
        return
    ended = {PackStatus.EXPIRED.value, PackStatus.CANCELLED.value, PackStatus.EXHAUSTED.value}
    today = opened.today(name)
    listed = sorted(
        (p for p in facts.packs.values() if not p.deleted and (every or p.status not in ended)),
        key=lambda p: (p.last_valid_on or date.max, p.activated_on or date.max, p.purchase_seq or 0, p.key),
    )
    rows = [{**_pack(p, today), "balance_minutes": balances.get(p.key, 0)} for p in listed]
    account = facts.account or ClientAccount(key="")
    if as_json:
        totals = {name: getattr(account, name) for name in TOTALS}
        emit({"client": name, "at": None, "packs": rows, **totals})
        return
    columns = ("Pack", "Type", "Bought", "Used", "Reserved", "Left", "Last day", "Days", "Extension", "Status")
    table(
        columns,
        [
            (
                r["name"] or r["key"], r["plan"], hours(r["bought_minutes"]), hours(r["used_minutes"]),
                hours(r["reserved_minutes"]), hours(r["balance_minutes"]), r["last_valid_on"], r["days_left"],
                r["extension"], r["status"],
            )
            for r in rows
        ],
        ("Status", "Extension", "Bought", "Reserved"),
    )  # fmt: skip
    talk(_account_text(account, policy))


def _show_packs_at(client: str, facts: Facts, at: datetime, as_json: bool) -> None:
    """Show what was bought, used, expired and left on each pack as it was booked at ``at``; the rest is of today."""
    from sfsync.rules.postings import books

    until = at.replace(tzinfo=UTC)
    known = [one for one in facts.postings if one.booked_at <= until]
    sums = {p.key: books(one for one in known if one.pack == p.key) for p in facts.packs.values() if not p.deleted}
    rows: list[dict[str, Any]] = [
        {
            "key": key,
            "name": facts.packs[key].name,
            "plan": facts.packs[key].plan,
            "bought_minutes": one.purchased + one.courtesy,
            "used_minutes": one.consumed,
            "expired_minutes": one.expired,
            "refunded_minutes": one.refunded,
            "adjusted_minutes": one.adjusted,
            "balance_minutes": one.balance,
        }
        for key, one in sorted(sums.items(), key=lambda each: (facts.packs[each[0]].name or "", each[0]))
    ]
    total = sum(one.balance for one in sums.values())
    if as_json:
        emit({"client": client, "at": until, "packs": rows, "balance_minutes": total})
        return
    shown = ("bought", "used", "expired", "refunded", "adjusted", "balance")
    columns = ("Pack", "Type", "Bought", "Used", "Expired", "Refunded", "Adjusted", "Left")
    table(columns, [(r["name"] or r["key"], r["plan"], *(hours(r[f"{one}_minutes"]) for one in shown)) for r in rows])
    talk(f"balance {hours(total)} h, as it was booked at {until:%Y-%m-%d %H:%M:%S} UTC")


@packs.command()
@click.argument("client")
@click.argument("pack", required=False)
@click.option("--since", type=DAY, help="Only what is effective on or after this day.")
@as_json
def ledger(client: str, pack: str | None, since: datetime | None, as_json: bool) -> None:
    """Show every posting of CLIENT, or of one PACK (its name or key), and what was left after it."""
    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
    chosen = _pack_called(pack, facts.packs) if pack else None
    left: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for one in facts.postings:
        left[one.pack] = left.get(one.pack, 0) + one.minutes
        if (chosen and one.pack != chosen.key) or (since and one.effective_on < since.date()):
            continue
        case = facts.cases.get(one.case or "")
        rows.append(
            {
                "effective_on": one.effective_on,
                "booked_at": one.booked_at,
                "kind": one.kind,
                "minutes": one.minutes,
                "left_minutes": left[one.pack],
                "pack": facts.packs[one.pack].name or one.pack,
                "source": one.source,
                "source_version": one.source_version,
                "case": (case.number if case else None) or one.case,
                "category": one.category,
                "reason": one.reason,
            }
        )
    columns = ("Effective", "Booked", "Entry", "Minutes", "Left", "Pack", "Source", "Case", "Category", "Why")
    show(
        as_json,
        {"client": name, "pack": chosen.key if chosen else None, "postings": rows},
        columns,
        [
            (
                r["effective_on"], r["booked_at"], r["kind"], f"{r['minutes']:+d}", clock(r["left_minutes"]), r["pack"],
                f"{r['source']}#{r['source_version']}", r["case"], r["category"], r["reason"],
            )
            for r in rows
        ],
        ("Source", "Category", "Booked", "Pack"),
    )  # fmt: skip


@packs.command()
@click.argument("client")
@click.option("--plan", required=True, help="Pack plan, such as flexi.")
@click.option("--packs", "number", type=int, required=True, help="How many packs.")
@click.option("--paid-on", type=DAY, help="Client-local day the payment was registered; default: today there.")
@click.option("--invoiced-on", type=DAY, help="Day of the invoice, where the contract counts validity from it.")
@click.option("--reference", help="Invoice or order number: the same one twice is one purchase.")
@as_json
def buy(
    client: str,
    plan: str,
    number: int,
    paid_on: datetime | None,
    invoiced_on: datetime | None,
    reference: str | None,
    as_json: bool,
) -> None:
    """Book a paid purchase for CLIENT; the next sync shows it in the org."""
    from sfsync.clock import token
    from sfsync.rules.evaluate import Evaluation
    from sfsync.rules.pricing import advice, price, standing
    from sfsync.rules.wording import Refusal

    with runtime() as opened:
        name = opened.client_called(client)
        plans, today, policy = opened.runtime.plans.packs, opened.today(name), opened.client(name).terms.policy
        paid = paid_on.date() if paid_on else today
        if paid > today:
            raise Mistyped(f"{paid} lies ahead; a pack counts from the day its payment was registered.")
        day = _begins(name, policy, paid, invoiced_on.date() if invoiced_on else None)
        key = f"pk:{hashlib.sha256(f'{name}/{reference}'.encode()).hexdigest()[:32] if reference else token(16)}"
        facts = opened.store.facts(name)
        booked = key not in facts.packs
        active, before = standing((p for p in facts.packs.values() if p.key != key), plans, paid)
        made = price(plans, number, plan=plan.lower(), policy=policy, active_plan=active, bought_12_months=before)
        if isinstance(made, Refusal):
            raise Mistyped(_refusal(made, plans))
        bought = _purchase(key, name, facts, made, plans[made.plan].name, day)
        if booked:
            opened.amend(name, Evaluation(created=[bought]))
        else:
            bought = facts.packs[key]
    if as_json:
        emit({"client": name, "booked": booked, "pack": _pack(bought, today)})
        return
    if not booked:
        talk(f"{reference} was booked before; nothing was changed")
    click.echo(
        f"{bought.name or bought.key}\t{bought.packs_bought} {bought.plan}\t{hours(bought.bought_minutes)} h\t"
        f"{bought.total_price_amount} {bought.currency}"
    )
    better = advice(plans, made) if booked else None
    if better:
        talk(_advice_text(better, made))


def _begins(client: str, policy: Policy, paid: date, invoiced: date | None) -> date:
    """Return the day from which validity counts: that of the payment, or by contract that of the invoice (X-7)."""
    if policy.validity_from == "payment":
        if invoiced is not None:
            raise Mistyped(f"validity of {client} counts from the payment (validity_from); leave --invoiced-on out.")
        return paid
    if invoiced is None:
        raise Mistyped(f"validity of {client} counts from the invoice (validity_from); give its day: --invoiced-on.")
    if invoiced > paid:
        raise Mistyped(f"the invoice of {invoiced} is younger than its payment of {paid}.")
    return invoiced


def _purchase(key: str, client: str, facts: Facts, made: Order, plan: str, day: date) -> Pack:
    from sfsync.records import Pack, PackStatus
    from sfsync.rules.evaluate import account_key

    return Pack(
        key=key,
        account=facts.account.key if facts.account else account_key(client),
        plan=plan,
        packs_bought=made.packs,
        bought_minutes=made.minutes,
        unit_price_amount=made.unit_price_amount,
        total_price_amount=made.net_amount,
        currency=made.currency,
        activated_on=day,
        purchase_seq=max((p.purchase_seq or 0 for p in facts.packs.values()), default=0) + 1,
        status=PackStatus.ACTIVE.value,
    )


@packs.command()
@click.argument("client")
@click.argument("pack")
@click.option("--on", type=DAY, help="Client-local day it was asked for; default: today there.")
@as_json
def extend(client: str, pack: str, on: datetime | None, as_json: bool) -> None:
    """Use the one extension of PACK (its name or key); the next sync shows the new last day."""
    from sfsync.rules.evaluate import Evaluation
    from sfsync.rules.validity import last_valid_on, plan_of, refuse_extension

    with runtime() as opened:
        name = opened.client_called(client)
        policy = opened.client(name).terms.policy
        found = _pack_called(pack, opened.store.facts(name).packs)
        plan = plan_of(found, opened.runtime.plans.packs)
        if plan is None or found.activated_on is None:
            raise Mistyped(f"{found.name or found.key} is a {found.plan or 'draft'} and cannot be extended.")
        day = on.date() if on else opened.today(name)
        original = last_valid_on(found.activated_on, plan, inclusive=policy.validity_inclusive)
        refused = refuse_extension(
            plan, original, day, extended=bool(found.extended), grace_days=policy.extension_grace_days
        )
        if refused:
            raise Mistyped(REFUSALS[refused])
        last = last_valid_on(found.activated_on, plan, extended=True, inclusive=policy.validity_inclusive)
        opened.amend(name, Evaluation(fields={("Pack", found.key): {"extension_requested_on": day}}))
    if as_json:
        emit({"client": name, "pack": found.key, "asked_on": day, "last_valid_on": last})
    else:
        click.echo(f"{found.name or found.key}\tcan be used until {last}")


@packs.command()
@click.argument("client")
@click.argument("pack")
@click.option("--hours", "wanted", help="How many hours; default: all that are neither used, reserved nor expired.")
@click.option("--reason", required=True, help="Why, for whoever reads the ledger.")
@click.option("--reference", required=True, help="Credit note or ticket: the same one twice is one refund.")
@as_json
def refund(client: str, pack: str, wanted: str | None, reason: str, reference: str, as_json: bool) -> None:
    """Pay free hours of PACK back to CLIENT; the next sync shows it in the org."""
    from sfsync.records import PackStatus
    from sfsync.rules.pricing import refund as refunded

    with runtime() as opened:
        name = opened.client_called(client)
        facts, policy = opened.store.facts(name), opened.client(name).terms.policy
        found = _pack_called(pack, facts.packs)
        key = _act_key(name, "refund", reference)
        bought, free = found.bought_minutes or 0, found.available_minutes or 0
        if found.status in (PackStatus.EXPIRED, PackStatus.CANCELLED):
            free = 0
        minutes = _minutes(wanted) if wanted is not None else free
        known = facts.adjustments.get(key)
        if known is not None:
            minutes = -(known.minutes or 0)
        elif not 0 < minutes <= free:
            raise Mistyped(
                f"{found.name or found.key} has {hours(free)} h that are neither used, reserved nor expired; "
                f"{hours(minutes)} h cannot be paid back (REF-1)."
            )
        paid = refunded(
            opened.runtime.plans.packs,
            bought_minutes=bought,
            paid_amount=found.total_price_amount or Decimal(0),
            used_minutes=max(0, bought - minutes),
            reprice=policy.refund_reprice,
        )
        booked = known is None and _act(opened, name, found, key, "Refund", -minutes, reason, reference)
    if as_json:
        emit({
            "client": name, "booked": booked, "adjustment": key, "pack": found.key, "minutes": -minutes,
            "amount": paid.net_amount, "currency": found.currency,
        })  # fmt: skip
        return
    _say_booked(booked, reference)
    click.echo(f"{found.name or found.key}\t-{hours(minutes)} h\t{paid.net_amount} {found.currency or ''}".rstrip())


@packs.command()
@click.argument("client")
@click.argument("pack")
@click.option("--hours", "wanted", required=True, help="Hours to give (2.5) or to take (-2.5).")
@click.option("--reason", required=True, help="Why, for whoever reads the ledger.")
@click.option("--reference", required=True, help="Ticket or decision: the same one twice is one adjustment.")
@as_json
def adjust(client: str, pack: str, wanted: str, reason: str, reference: str, as_json: bool) -> None:
    """Give hours to PACK of CLIENT or take them from it (a correction, a write-off); the next sync shows it."""
    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
        found = _pack_called(pack, facts.packs)
        key = _act_key(name, "adjustment", reference)
        minutes = -_minutes(wanted[1:]) if wanted.startswith("-") else _minutes(wanted)
        known = facts.adjustments.get(key)
        left = opened.store.balances(name).get(found.key, 0)
        if known is not None:
            minutes = known.minutes or 0
        elif left + minutes < 0:
            raise Mistyped(f"{found.name or found.key} has {hours(left)} h left; no pack goes below zero (LED-1).")
        booked = known is None and _act(opened, name, found, key, "Adjustment", minutes, reason, reference)
    if as_json:
        emit({"client": name, "booked": booked, "adjustment": key, "pack": found.key, "minutes": minutes})
        return
    _say_booked(booked, reference)
    click.echo(f"{found.name or found.key}\t{'-' if minutes < 0 else '+'}{hours(abs(minutes))} h")


@packs.command()
@click.argument("client")
@as_json
def forecast(client: str, as_json: bool) -> None:
    """Say how long the hours of CLIENT last at the pace of four weeks, and what will lapse on each pack."""
    from sfsync.records import ClientAccount
    from sfsync.rules.forecast import at_risk, burn_a_week, counted_to, empty_on
    from sfsync.rules.validity import last_valid_on, plan_of
    from sfsync.rules.weeks import Week

    with runtime() as opened:
        name = opened.client_called(client)
        facts, today = opened.store.facts(name), opened.today(name)
        used, running, shown = opened.forecast(name, facts)
        inclusive = opened.client(name).terms.policy.validity_inclusive
        plans = opened.runtime.plans.packs
    burn, sunday = burn_a_week(used), Week.of(today).shifted(-1).sunday
    begun = counted_to(sunday, burn, running)
    ends = {
        key: last_valid_on(pack.activated_on, plan, extended=True, inclusive=inclusive)
        for key, pack in facts.packs.items()
        if (plan := plan_of(pack, plans)) and plan.extension_months and pack.activated_on and not pack.extended
    }
    available = (facts.account or ClientAccount(key="")).available_minutes or 0
    empty = empty_on(available, burn, begun)
    rows: list[dict[str, Any]] = [
        {
            "pack": facts.packs[risk.pack].name or risk.pack,
            "last_valid_on": risk.last_valid_on,
            "at_risk_minutes": risk.minutes,
            "after_extension_minutes": risk.after_extension_minutes,
        }
        for risk in at_risk(shown, burn, begun, ends)
    ]
    weeks = len(used)
    said = f"{hours(burn)} h a week, the mean of {weeks} week(s) up to {sunday} (WK-2)"
    runs_out = f"; {hours(available)} h are available and last until about {empty}" if empty else "; nothing runs out"
    if as_json:
        emit({
            "client": name, "burn_week_minutes": burn, "weeks": weeks, "available_minutes": available,
            "empty_on": empty, "why": f"{said}{runs_out}.", "packs": rows,
        })  # fmt: skip
        return
    click.echo(f"{said}{runs_out}.")
    if rows:
        table(
            ("Pack", "Last day", "Will lapse", "With the extension"),
            [
                (r["pack"], r["last_valid_on"], hours(r["at_risk_minutes"]), hours(r["after_extension_minutes"]))
                for r in rows
            ],
        )


# --- inside ------------------------------------------------------------------------------------------


def _act_key(client: str, kind: str, reference: str) -> str:
    return f"pa:{hashlib.sha256(f'{client}/{kind}/{reference}'.encode()).hexdigest()[:32]}"


def _act(
    opened: Opened, client: str, pack: Pack, key: str, kind: str, minutes: int, reason: str, reference: str
) -> bool:
    """Leave an act in the books, and its record on the way to the org, as one; return True."""
    from sfsync.records import Adjustment
    from sfsync.rules.evaluate import Evaluation
    from sfsync.rules.postings import posting_of

    act = Adjustment(
        key=key,
        pack=pack.key,
        kind=kind,
        minutes=minutes,
        effective_on=opened.today(client),
        booked_at=opened.now.replace(microsecond=0),
        reference=reference[:80],
        reason=reason[:255],
    )
    posting = posting_of(act)
    assert posting is not None
    opened.amend(client, Evaluation(created=[act], postings=[posting]))
    return True


def _say_booked(booked: bool, reference: str) -> None:
    if not booked:
        talk(f"{reference} was booked before; nothing was changed")


def _minutes(text: str) -> int:
    """Return decimal hours as whole minutes, to the nearest (RND-3)."""
    try:
        minutes = int((Decimal(text.replace(",", ".")) * 60).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        raise Mistyped(f"{text!r} is no number of hours; write for example 90 or 7.5.") from None
    if minutes <= 0:
        raise Mistyped("Hours must be more than zero.")
    return minutes


def _refusal(refused: Refusal, plans: Mapping[str, PackPlan]) -> str:
    return REFUSALS[refused.code].format(**{"known": ", ".join(plans), **refused.details})


def _order(order: Order, until: date) -> dict[str, Any]:
    return {
        "plan": order.plan,
        "packs": order.packs,
        "minutes": order.minutes,
        "unit_price_amount": order.unit_price_amount,
        "net_amount": order.net_amount,
        "hour_amount": order.hour_amount,
        "currency": order.currency,
        "last_valid_on": until,
    }


ORDER_COLUMNS = ("Plan", "Packs", "Hours", "Unit price", "Net", "Currency", "Per hour", "Last day")


def _order_row(o: dict[str, Any]) -> tuple[Any, ...]:
    return (
        o["plan"], o["packs"], hours(o["minutes"]), o["unit_price_amount"], o["net_amount"], o["currency"],
        o["hour_amount"], o["last_valid_on"],
    )  # fmt: skip


def _show_order(made: Order, better: Advice | None, day: date, policy: Policy, as_json: bool) -> None:
    from sfsync.rules.pricing import with_vat

    until = _until(made, day, policy.validity_inclusive)
    row = _order(made, until)
    vat, gross = with_vat(made.net_amount, policy.vat_rate_pct)
    if as_json:
        advised = None
        if better:
            advised = {
                **_order(better.order, _until(better.order, day, policy.validity_inclusive)),
                "saves_amount": better.saves_amount,
                "extra_minutes": better.extra_minutes,
            }
        emit({"order": row, "vat_amount": vat, "gross_amount": gross, "advice": advised})
        return
    table(ORDER_COLUMNS, [_order_row(row)])
    if vat:
        talk(f"with {policy.vat_rate_pct} % VAT: {gross} {made.currency}")
    if better:
        talk(_advice_text(better, made))


def _until(order: Order, day: date, inclusive: bool) -> date:
    from sfsync.rules.validity import add_months

    return add_months(day, order.valid_months) - timedelta(days=0 if inclusive else 1)


def _advice_text(better: Advice, than: Order) -> str:
    other = better.order
    gains = [f"costs {better.saves_amount} {other.currency} less"] if better.saves_amount else ["costs the same"]
    if better.extra_minutes:
        gains.append(f"gives {hours(better.extra_minutes)} h more")
    return f"better: {other.packs} {other.plan} ({other.net_amount} {than.currency}) " + " and ".join(gains)


def _show_mixes(found: list[Mix], minutes: int, vat_rate: Decimal, as_json: bool) -> None:
    from sfsync.rules.pricing import with_vat

    if as_json:
        emit(
            {
                "minutes": minutes,
                "mixes": [
                    {
                        "net_amount": mix.net_amount,
                        "gross_amount": with_vat(mix.net_amount, vat_rate)[1],
                        "minutes": mix.minutes,
                        "spare_minutes": mix.spare_minutes,
                        "orders": [_order(o, d) for o, d in zip(mix.orders, mix.last_valid_on, strict=True)],
                    }
                    for mix in found
                ],
            }
        )
        return
    table(
        ("Net", "Currency", "Hours", "Spare", "Orders", "First ends"),
        [
            (
                mix.net_amount, mix.orders[0].currency, hours(mix.minutes), hours(mix.spare_minutes),
                " + ".join(f"{o.packs} {o.plan}" for o in mix.orders), min(mix.last_valid_on),
            )
            for mix in found
        ],
    )  # fmt: skip


def _account_text(account: ClientAccount, policy: Policy) -> str:
    """Return the three figures that are always shown together, and what the pace of four weeks makes of them."""
    from sfsync.rules.pricing import overage

    balance, reserved = hours(account.balance_minutes or 0), hours(account.reserved_minutes or 0)
    told = [f"balance {balance} h, reserved {reserved} h, available {hours(account.available_minutes or 0)} h"]
    if account.uncovered_minutes:
        price = overage(account.uncovered_minutes, policy)
        at_a_rate = f", {price} net at {policy.overage_hour_amount} an hour (X-15)" if price is not None else ""
        told.append(f"{hours(account.uncovered_minutes)} h of work that no pack covers yet{at_a_rate}")
    if account.burn_week_minutes:
        runs_out = f", runs out about {account.forecast_empty_on}" if account.forecast_empty_on else ""
        told.append(f"{hours(account.burn_week_minutes)} h a week{runs_out}")
    if account.at_risk_minutes:
        told.append(f"{hours(account.at_risk_minutes)} h will expire unused at this pace")
    return "; ".join(told)


def _pack(pack: Pack, today: date) -> dict[str, Any]:
    return {
        "key": pack.key,
        "name": pack.name,
        "plan": pack.plan,
        "packs_bought": pack.packs_bought,
        "bought_minutes": pack.bought_minutes,
        "used_minutes": pack.used_minutes,
        "reserved_minutes": pack.reserved_minutes,
        "available_minutes": pack.available_minutes,
        "total_price_amount": pack.total_price_amount,
        "currency": pack.currency,
        "activated_on": pack.activated_on,
        "last_valid_on": pack.last_valid_on,
        "days_left": (pack.last_valid_on - today).days if pack.last_valid_on else None,
        "extension": "used" if pack.extended else "asked for" if pack.extension_requested_on else None,
        "status": pack.status,
    }


def _pack_called(name: str, packs: Mapping[str, Pack]) -> Pack:
    found: list[Pack] = [p for p in packs.values() if name in (p.key, p.name)]
    if not found:
        known = ", ".join(sorted(p.name or p.key for p in packs.values())) or "none"
        raise Mistyped(f"There is no pack {name!r} of this client; there are: {known}.")
    if len(found) > 1:
        raise Mistyped(f"Several packs are called {name!r}; give the key: {', '.join(p.key for p in found)}.")
    return found[0]
