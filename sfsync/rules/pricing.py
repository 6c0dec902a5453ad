"""What packs cost: tiers, advice, top-ups, tax, refunds and the cheapest way to cover a need (PRC-1..6, REF-1).

May not know ledgers or clients. It keeps one law: money is net ``Decimal`` with two places, and one order has
one price for all of its packs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations

from sfsync.policy import PackPlan, Policy
from sfsync.records import Pack, PackStatus
from sfsync.rules.validity import add_months, last_valid_on, plan_of
from sfsync.rules.wording import Refusal

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Return an amount with two places, halves away from zero."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Order:
    """A number of packs of one plan and their net price."""

    plan: str
    packs: int
    unit_price_amount: Decimal
    net_amount: Decimal
    currency: str
    minutes: int
    valid_months: int

    @property
    def hour_amount(self) -> Decimal:
        """Return the net price of one hour."""
        return cents(self.net_amount * 60 / self.minutes)


@dataclass(frozen=True, slots=True)
class Advice:
    """An order that costs no more and gives no less (PRC-4)."""

    order: Order
    saves_amount: Decimal
    extra_minutes: int


def order(plans: Mapping[str, PackPlan], plan: str, packs: int) -> Order:
    """Return an order at the plan's own price; the minimum is not asked for (PRC-1)."""
    chosen = plans[plan]
    net = cents(chosen.unit_price_amount * packs)
    return Order(
        plan=plan,
        packs=packs,
        unit_price_amount=chosen.unit_price_amount,
        net_amount=net,
        currency=chosen.currency,
        minutes=packs * chosen.minutes_per_pack,
        valid_months=chosen.valid_months,
    )


def standing(packs: Iterable[Pack], plans: Mapping[str, PackPlan], day: date) -> tuple[str | None, int]:
    """Return what a top-up may lean on: the highest plan usable on ``day``, and the packs bought in 12 months (X-5)."""
    usable: set[str] = set()
    bought = 0
    since = add_months(day, -12)
    for pack in packs:
        plan = plan_of(pack, plans)
        if plan is None or pack.deleted or pack.status == PackStatus.CANCELLED or pack.activated_on is None:
            continue
        if since < pack.activated_on <= day:
            bought += pack.packs_bought or 0
        last = pack.last_valid_on or last_valid_on(pack.activated_on, plan, extended=bool(pack.extended))
        if pack.activated_on <= day <= last:
            usable.add(next(key for key, each in plans.items() if each is plan))
    return max(usable, key=lambda key: plans[key].min_packs, default=None), bought


def price(
    plans: Mapping[str, PackPlan],
    packs: object,
    *,
    plan: str | None = None,
    policy: Policy | None = None,
    active_plan: str | None = None,
    bought_12_months: int = 0,
) -> Order | Refusal:
    """Return the order for so many packs, of ``plan`` or else of the highest tier they reach (PRC-1, PRC-2, PRC-5).

    ``active_plan`` and ``bought_12_months`` matter only under the top-up policies that look at them. Refused
    are ``qty_must_be_positive_integer`` (PRC-3), ``unknown_plan`` and ``below_minimum`` (PK-5).
    """
    topup = (policy or Policy()).topup_pricing
    if isinstance(packs, bool) or not isinstance(packs, int) or packs < 1:
        return Refusal("qty_must_be_positive_integer")
    reach = packs + (bought_12_months if topup == "cumulative_12_months" else 0)
    inherited = active_plan if topup == "inherit_active_tier" else None
    for name in (plan, inherited):
        if name is not None and name not in plans:
            return Refusal("unknown_plan", {"plan": name})
    if plan is None:
        reached = [name for name in plans if plans[name].min_packs <= reach or name == inherited]
        if not reached:
            return Refusal("below_minimum", {"minimum": min(each.min_packs for each in plans.values())})
        plan = max(reached, key=lambda name: plans[name].min_packs)
    elif reach < plans[plan].min_packs and plan != inherited:
        return Refusal("below_minimum", {"minimum": plans[plan].min_packs})
    return order(plans, plan, packs)


def advice(plans: Mapping[str, PackPlan], chosen: Order) -> Advice | None:
    """Return the best order that costs no more and gives no less, in minutes and months, if there is one (PRC-4)."""
    better = []
    for name, plan in plans.items():
        other = order(plans, name, max(plan.min_packs, -(-chosen.minutes // plan.minutes_per_pack)))
        saves, extra = chosen.net_amount - other.net_amount, other.minutes - chosen.minutes
        comparable = other.currency == chosen.currency and other.valid_months >= chosen.valid_months
        if comparable and saves >= 0 and (saves or extra):
            better.append(Advice(other, saves, extra))
    return max(better, key=lambda each: (each.saves_amount, each.extra_minutes, each.order.plan), default=None)


def with_vat(net: Decimal, rate_pct: Decimal) -> tuple[Decimal, Decimal]:
    """Return (tax, gross) for display; the ledger of money stays net (PRC-6)."""
    vat = cents(net * rate_pct / 100)
    return vat, cents(net) + vat


@dataclass(frozen=True, slots=True)
class Refund:
    """Minutes to take back from a pack and the net amount to pay for them."""

    minutes: int
    net_amount: Decimal


def refund(
    plans: Mapping[str, PackPlan],
    *,
    bought_minutes: int,
    paid_amount: Decimal,
    used_minutes: int = 0,
    reserved_minutes: int = 0,
    expired_minutes: int = 0,
    reprice: bool = False,
) -> Refund:
    """Return what giving back every free minute of one pack pays (REF-1, X-33).

    Reserved and expired minutes are kept. By default pro rata at the paid price; with ``reprice`` what is
    kept is charged at the tier that its whole packs reach alone.
    """
    kept = used_minutes + reserved_minutes + expired_minutes
    minutes = max(0, bought_minutes - kept)
    if not minutes:
        return Refund(0, Decimal("0.00"))
    if not reprice:
        return Refund(minutes, cents(paid_amount * minutes / bought_minutes))
    size = min(plan.minutes_per_pack for plan in plans.values())
    tiers = [plan for plan in plans.values() if plan.min_packs <= max(1, kept // size)]
    tier = max(tiers, key=lambda plan: plan.min_packs, default=min(plans.values(), key=lambda plan: plan.min_packs))
    charge = cents(tier.unit_price_amount * kept / tier.minutes_per_pack)
    return Refund(minutes, max(Decimal("0.00"), cents(paid_amount) - charge))


def overage(minutes: int, policy: Policy) -> Decimal | None:
    """Return the net price of minutes that no pack covers, or None where the contract gives no rate (X-15)."""
    rate = policy.overage_hour_amount
    return None if rate is None or minutes <= 0 else cents(rate * minutes / 60)


@dataclass(frozen=True, slots=True)
class Mix:
    """Orders that together cover a need."""

    orders: tuple[Order, ...]
    last_valid_on: tuple[date, ...]
    """Last day of each order when activated on the day asked about."""
    spare_minutes: int
    """Minutes beyond the need."""

    @property
    def net_amount(self) -> Decimal:
        """Return the net price of all orders."""
        return sum((each.net_amount for each in self.orders), Decimal("0.00"))

    @property
    def minutes(self) -> int:
        """Return the minutes of all orders."""
        return sum(each.minutes for each in self.orders)


def mixes(plans: Mapping[str, PackPlan], minutes: int, activated_on: date, *, inclusive: bool = True) -> list[Mix]:
    """Return the cheapest legal mix for each choice of plans, cheapest first; the first is the answer.

    Of equal prices the one with more minutes comes first, then longer validity, then fewer orders. Every
    order keeps its plan's minimum. Raises ``ValueError`` if ``minutes`` is not more than zero.
    """
    if minutes <= 0:
        raise ValueError("a quote needs more than zero minutes")
    found = []
    for size in range(1, len(plans) + 1):
        for names in combinations(plans, size):
            orders = _cheapest(plans, names, minutes)
            days = tuple(last_valid_on(activated_on, plans[o.plan], inclusive=inclusive) for o in orders)
            found.append(Mix(orders, days, sum(o.minutes for o in orders) - minutes))
    return sorted(found, key=lambda mix: (mix.net_amount, -mix.minutes, _soonest(mix.last_valid_on), len(mix.orders)))


def _soonest(days: Sequence[date]) -> int:
    return -min(days).toordinal()


def _cheapest(plans: Mapping[str, PackPlan], names: Iterable[str], minutes: int) -> tuple[Order, ...]:
    """Return the cheapest orders of exactly these plans that cover ``minutes``.

    Prices are straight lines above each minimum, so what the minimums leave open goes to the cheapest minute.
    """
    packs = {name: plans[name].min_packs for name in names}
    missing = minutes - sum(count * plans[name].minutes_per_pack for name, count in packs.items())
    if missing > 0:
        cheapest = min(packs, key=lambda name: plans[name].unit_price_amount / plans[name].minutes_per_pack)
        packs[cheapest] += -(-missing // plans[cheapest].minutes_per_pack)
    return tuple(order(plans, name, count) for name, count in packs.items())


def packs_for(plans: Mapping[str, PackPlan], shortage_minutes: int) -> int:
    """Return how many packs of the smallest size cover a shortage (APR-4): 120 min are 1 pack."""
    size = min(plan.minutes_per_pack for plan in plans.values())
    return -(-max(0, shortage_minutes) // size)
