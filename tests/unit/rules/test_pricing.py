"""Prices, advice, top-ups, tax, refunds and the cheapest mix (PRC-1..6, REF-1, PK-1..6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import product

import pytest

from sfsync.mapping import load_plans
from sfsync.policy import Policy
from sfsync.records import Pack
from sfsync.rules.pricing import Order, advice, mixes, overage, packs_for, price, refund, standing, with_vat
from sfsync.rules.wording import Refusal

PACKS = load_plans().packs


def ordered(packs: int, **more: object) -> Order:
    order = price(PACKS, packs, **more)  # type: ignore[arg-type]
    assert isinstance(order, Order)
    return order


@pytest.mark.parametrize(
    ("packs", "plan", "net", "hour"),
    [
        (1, "starter", 500, "62.50"),  # P-01
        (4, "starter", 2000, "62.50"),
        (5, "flexi", 2000, "50.00"),  # P-03
        (14, "flexi", 5600, "50.00"),
        (15, "pro", 4500, "37.50"),  # P-07
        (100, "pro", 30000, "37.50"),
    ],
)
def test_an_order_has_the_price_of_the_highest_tier_it_reaches(packs: int, plan: str, net: int, hour: str) -> None:
    order = ordered(packs)
    assert (order.plan, order.net_amount, order.hour_amount) == (plan, Decimal(net), Decimal(hour))
    assert order.minutes == packs * 480


@pytest.mark.parametrize("packs", [0, -1, Decimal("1.5"), "2", True, None])
def test_only_whole_packs_are_sold(packs: object) -> None:  # PRC-3
    assert price(PACKS, packs) == Refusal("qty_must_be_positive_integer")


@pytest.mark.parametrize(("plan", "packs", "minimum"), [("flexi", 4, 5), ("pro", 14, 15)])
def test_a_plan_is_refused_below_its_minimum(plan: str, packs: int, minimum: int) -> None:  # P-09, P-10
    assert price(PACKS, packs, plan=plan) == Refusal("below_minimum", {"minimum": minimum})
    assert ordered(minimum, plan=plan).plan == plan


def test_an_unknown_plan_is_refused() -> None:
    assert price(PACKS, 1, plan="gold") == Refusal("unknown_plan", {"plan": "gold"})


@pytest.mark.parametrize(
    ("packs", "better"),
    [(1, None), (4, ("flexi", 5, 0, 480)), (11, None), (12, ("pro", 15, 300, 1440)), (14, ("pro", 15, 1100, 480))],
)
def test_advice_names_what_costs_no_more_and_gives_more(packs: int, better: tuple[str, int, int, int] | None) -> None:
    said = advice(PACKS, ordered(packs))  # P-02, P-04, P-05, P-06
    found = said and (said.order.plan, said.order.packs, int(said.saves_amount), said.extra_minutes)
    assert found == better


def test_advice_is_never_worse_than_what_was_chosen() -> None:
    for packs, plan in product(range(1, 60), (None, "starter")):
        chosen = ordered(packs, plan=plan)
        said = advice(PACKS, chosen)
        if said is not None:
            assert said.order.net_amount <= chosen.net_amount
            assert said.order.minutes >= chosen.minutes
            assert said.order.valid_months >= chosen.valid_months
            assert advice(PACKS, said.order) is None


def test_a_top_up_is_priced_alone_unless_the_contract_says_otherwise() -> None:  # P-14, P-15, PRC-5
    assert ordered(1, active_plan="pro").plan == "starter"
    inherit, rolling = Policy(topup_pricing="inherit_active_tier"), Policy(topup_pricing="cumulative_12_months")
    assert ordered(1, active_plan="pro", policy=inherit).net_amount == Decimal(300)
    assert ordered(6, active_plan="starter", policy=inherit).plan == "flexi"
    assert ordered(1, bought_12_months=4, policy=rolling).plan == "flexi"
    assert ordered(1, bought_12_months=3, policy=rolling).plan == "starter"


def test_what_a_top_up_leans_on_are_packs_in_use_and_those_of_twelve_months() -> None:
    day = date(2026, 11, 20)

    def bought(plan: str, packs: int, on: str, **more: object) -> Pack:
        return Pack(key=on, plan=plan, packs_bought=packs, activated_on=date.fromisoformat(on), **more)

    pro, flexi = bought("Pro", 15, "2025-11-20"), bought("Flexi", 5, "2025-11-21")
    assert standing([], PACKS, day) == (None, 0)
    assert standing([pro], PACKS, day) == ("pro", 0), "its last day, bought a day too early to be counted"
    assert standing([pro], PACKS, date(2026, 11, 21)) == (None, 0)
    assert standing([flexi], PACKS, day) == (None, 5), "ended, and counted"
    assert standing([replace(flexi, last_valid_on=date(2026, 12, 1))], PACKS, day) == ("flexi", 5)
    gone = [replace(pro, deleted=True), bought("Pro", 15, "2026-11-21"), bought("Courtesy", 1, "2026-11-01")]
    assert standing([*gone, replace(flexi, status="Cancelled")], PACKS, day) == (None, 0)


def test_tax_is_shown_and_the_net_stays() -> None:  # P-16
    assert with_vat(Decimal(4500), Decimal("21.00")) == (Decimal("945.00"), Decimal("5445.00"))
    assert with_vat(Decimal("0.05"), Decimal("10")) == (Decimal("0.01"), Decimal("0.06"))


def test_a_refund_is_pro_rata_or_repriced() -> None:  # P-17, P-18
    pro = {"bought_minutes": 7200, "paid_amount": Decimal(4500)}
    assert refund(PACKS, **pro, used_minutes=2400).net_amount == Decimal("3000.00")
    assert refund(PACKS, **pro, used_minutes=2400, reprice=True).net_amount == Decimal("2500.00")


def test_a_refund_leaves_reserved_and_expired_minutes_and_is_never_negative() -> None:  # REF-1
    pro = {"bought_minutes": 7200, "paid_amount": Decimal(4500)}
    assert refund(PACKS, **pro, used_minutes=2400, reserved_minutes=800, expired_minutes=400).minutes == 3600
    assert refund(PACKS, **pro, used_minutes=7200).net_amount == 0
    assert refund(PACKS, **pro, used_minutes=7000, reprice=True).net_amount >= 0


def test_the_cheapest_mix_is_cheapest_of_all_legal_ones() -> None:
    first = date(2026, 11, 21)
    for packs in range(1, 41):
        best = mixes(PACKS, packs * 480 - 30, first)[0]
        cheapest = min(
            a * 500 + b * 400 + c * 300
            for a, b, c in product(range(45), [0, *range(5, 45)], [0, *range(15, 45)])
            if a + b + c >= packs
        )
        assert best.net_amount == cheapest
        assert best.minutes - best.spare_minutes == packs * 480 - 30
        for order in best.orders:
            assert order.packs >= PACKS[order.plan].min_packs


def test_a_quote_says_until_when_each_order_is_valid() -> None:
    best, *others = mixes(PACKS, 90 * 60, date(2026, 11, 30))
    assert [(o.plan, o.packs) for o in best.orders] == [("pro", 15)]
    assert best.last_valid_on == (date(2027, 11, 30),)
    assert best.net_amount < others[0].net_amount
    four = mixes(PACKS, 4 * 480, date(2026, 11, 30))[0]
    assert [(o.plan, o.packs) for o in four.orders] == [("flexi", 5)], "same price, more hours"
    with pytest.raises(ValueError, match="more than zero"):
        mixes(PACKS, 0, date(2026, 11, 30))


def test_a_shortage_is_counted_in_whole_packs() -> None:  # APR-4
    assert [packs_for(PACKS, minutes) for minutes in (-5, 0, 1, 120, 480, 481)] == [0, 0, 1, 1, 1, 2]


def test_what_no_pack_covers_has_a_price_where_the_contract_gives_a_rate() -> None:
    rate = Policy(overage_hour_amount=Decimal("65.00"))
    assert overage(100, rate) == Decimal("108.33")
    assert (overage(0, rate), overage(100, Policy())) == (None, None)
