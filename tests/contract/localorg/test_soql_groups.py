"""What grouped SOQL statements add up: ROLLUP, CUBE and GROUPING, and functions of aggregates."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.localorg.errors import ApiError
from tests.contract.localorg.soql_world import World


@pytest.fixture(scope="module")
def world() -> World:
    """Four accounts of two industries, one of them without a city; nothing in these tests writes."""
    made = World()
    for name, industry, city, people in (
        ("A", "Energy", "Oslo", 10),
        ("B", "Energy", "Rome", 20),
        ("C", "energy", "Rome", 5),
        ("D", "Banking", None, 1),
    ):
        made.add("Account", Name=name, Industry=industry, BillingCity=city, NumberOfEmployees=people)
    return made


def cells(world: World, statement: str) -> list[tuple[Any, ...]]:
    """Return the values of a statement's records, row by row."""
    found = world.ask(statement)
    assert all(record.pop("attributes") == {"type": "AggregateResult"} for record in found)
    return [tuple(record.values()) for record in found]


def test_a_rollup_adds_a_subtotal_behind_the_rows_it_is_over_and_a_total_at_the_end(world: World) -> None:
    statement = (
        "SELECT Industry, BillingCity c, SUM(NumberOfEmployees) n FROM Account GROUP BY ROLLUP(Industry, BillingCity)"
    )
    assert cells(world, statement) == [
        ("Banking", None, 1),
        ("Banking", None, 1),
        ("Energy", "Oslo", 10),
        ("Energy", "Rome", 25),
        ("Energy", None, 35),
        (None, None, 36),
    ]


def test_grouping_tells_a_subtotal_from_a_group_without_a_value(world: World) -> None:
    statement = (
        "SELECT BillingCity, GROUPING(BillingCity) total, COUNT(Id) n FROM Account GROUP BY ROLLUP(BillingCity) "
        "ORDER BY GROUPING(BillingCity) DESC, BillingCity DESC NULLS LAST"
    )
    assert cells(world, statement) == [(None, 1, 4), ("Rome", 0, 2), ("Oslo", 0, 1), (None, 0, 1)]


def test_a_cube_adds_subtotals_over_every_choice_of_its_fields(world: World) -> None:
    statement = (
        "SELECT GROUPING(Industry) i, GROUPING(BillingCity) c, COUNT(Id) FROM Account "
        "GROUP BY CUBE(Industry, BillingCity)"
    )
    found = cells(world, statement)
    assert sorted(found) == [
        (0, 0, 1),
        (0, 0, 1),
        (0, 0, 2),
        (0, 1, 1),
        (0, 1, 3),
        *[(1, 0, n) for n in (1, 1, 2)],
        (1, 1, 4),
    ]


def test_subtotals_are_filtered_ordered_and_cut_like_other_rows(world: World) -> None:
    statement = (
        "SELECT Industry, COUNT(Id) n FROM Account GROUP BY ROLLUP(Industry) HAVING COUNT(Id) > 1 "
        "ORDER BY COUNT(Id) DESC LIMIT 1"
    )
    assert cells(world, statement) == [(None, 4)]
    assert cells(world, "SELECT Industry FROM Account GROUP BY ROLLUP(Industry) HAVING GROUPING(Industry) = 1") == [
        (None,)
    ]
    assert cells(world, "SELECT COUNT(Id) FROM Account WHERE Name = 'Z' GROUP BY CUBE(Industry)") == []


def test_what_is_counted_is_counted_in_subtotals_too(world: World) -> None:
    statement = "SELECT BillingCity, COUNT(BillingCity) n FROM Account GROUP BY ROLLUP(BillingCity)"
    assert cells(world, statement)[-1] == (None, 3)


def test_a_format_of_an_aggregate_is_one_value(world: World) -> None:
    assert cells(world, "SELECT FORMAT(MAX(NumberOfEmployees)) Most, COUNT(Id) FROM Account") == [("20", 4)]


def test_what_a_function_makes_of_a_field_may_stand_beside_it_under_an_alias(world: World) -> None:
    (record,) = world.ask("SELECT NumberOfEmployees, FORMAT(NumberOfEmployees) shown FROM Account WHERE Name = 'A'")
    assert (record["NumberOfEmployees"], record["shown"]) == (10, "10")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT COUNT(Id) FROM Account GROUP BY ROLLUP(Name, Industry, BillingCity, Site)", "takes at most 3 fields"),
        ("SELECT Industry, GROUPING(Industry) FROM Account GROUP BY Industry", "GROUPING needs a field"),
        ("SELECT GROUPING(Name) FROM Account GROUP BY CUBE(Industry)", "must be grouped or aggregated: Name"),
        ("SELECT Name n FROM Account", "only aggregate expressions use field aliasing"),
        ("SELECT FORMAT(Name) n, Name n FROM Account", "only aggregate expressions use field aliasing"),
        (
            "SELECT Id FROM Account WHERE DISTANCE(BillingAddress, GEOLOCATION(1, 2), 'km') < 5",
            "not modelled: the SOQL",
        ),
    ],
)
def test_a_sum_that_means_nothing_is_refused(world: World, statement: str, message: str) -> None:
    with pytest.raises(ApiError, match="MALFORMED_QUERY") as refusal:
        world.ask(statement)
    assert message in refusal.value.message
