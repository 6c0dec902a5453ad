"""What SOQL statements answer: shapes, filters, literals, order, groups, pages."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from sfsync.localorg import soql
from sfsync.localorg.schema import Schema
from tests.contract.localorg.soql_world import DAY, NOW, World, stamp

TODAY = int(NOW.timestamp())


@pytest.fixture(scope="module")
def world() -> World:
    """Two accounts, three cases, four packs; nothing in these tests writes."""
    made = World()
    guy = made.add("User", Username="guy@acme.example", Name="Guy Smiley", FirstName="Guy", LastName="Smiley")
    queue = made.add("Group", Name="Support", Type="Queue")
    acme = made.add("Account", Name="Acme", OwnerId=guy, BillingCity="Oslo", NumberOfEmployees=40)
    emile = made.add("Account", Name="Émile & Fils", OwnerId=guy)
    edna = made.add("Contact", Name="Edna Frank", FirstName="Edna", LastName="Frank", AccountId=acme)
    made.add("Case", Subject="Fire", Status="New", AccountId=acme, ContactId=edna, OwnerId=queue, CreatedDate=TODAY)
    made.add("Case", Subject="ice", Status="Closed", IsClosed=1, AccountId=emile, OwnerId=guy, CreatedDate=TODAY - DAY)
    made.add("Case", Status="New", OwnerId=guy, CreatedDate=TODAY - 3 * DAY)
    made.add("Case", Subject="gone", Status="New", OwnerId=guy, CreatedDate=TODAY, IsDeleted=1)
    first = made.add(
        "Pack__c", Name="P1", Hours__c=10.5, Price__c=99.0, Tags__c="Red;Blue", Level__c="g", Account__c=acme,
        Key__c="K-1", Code__c="AbC", Starts__c="2026-11-21", Opens__c="08:30:00.000Z", Active__c=1, OwnerId=guy,
        CreatedDate=stamp(2026, 11, 21, 7, 59),
    )  # fmt: skip
    made.add("Pack__c", Name="P2", Hours__c=1.0, Tags__c="Red", Level__c="s", Account__c=acme, Parent__c=first,
             Key__c="K-2", Code__c="abc", Starts__c="2026-11-20", CreatedDate=stamp(2026, 11, 21, 8))  # fmt: skip
    made.add("Pack__c", Name="P3", Hours__c=2.0, Tags__c="Green;Blue", Account__c=emile, Key__c="100%_sure\\",
             Starts__c="2026-08-23", CreatedDate=stamp(2026, 11, 22, 8))  # fmt: skip
    made.add("Pack__c", Name="P4", CreatedDate=stamp(2025, 1, 1))
    return made


# Shapes


def test_a_record_opens_with_its_type_and_url_and_keeps_the_order_of_the_select_list(world: World) -> None:
    (record,) = world.ask("select name, ID from pack__C where NAME = 'p1'")
    assert list(record) == ["attributes", "Name", "Id"]
    assert record["attributes"]["type"] == "Pack__c"
    assert record["attributes"]["url"] == f"/services/data/v61.0/sobjects/Pack__c/{record['Id']}"


def test_values_have_the_forms_of_rest(world: World) -> None:
    fields = "Hours__c, Price__c, Tags__c, Starts__c, Opens__c, Active__c, CreatedDate, Double__c, Parent__c"
    (record,) = world.ask(f"SELECT {fields} FROM Pack__c WHERE Name = 'P1'")
    del record["attributes"]
    assert record == {
        "Hours__c": 10.5,
        "Price__c": 99.0,
        "Tags__c": "Red;Blue",
        "Starts__c": "2026-11-21",
        "Opens__c": "08:30:00.000Z",
        "Active__c": True,
        "CreatedDate": "2026-11-21T07:59:00.000+0000",
        "Double__c": 21.0,
        "Parent__c": None,
    }


def test_parents_nest_and_a_missing_parent_is_null(world: World) -> None:
    fire, ice, bare = world.ask(
        "SELECT Case.Account.Name, Contact.Account.Owner.Name, Owner.Name FROM Case ORDER BY CreatedDate DESC"
    )
    assert fire["Account"]["Name"] == "Acme"
    assert fire["Contact"]["Account"]["Owner"]["Name"] == "Guy Smiley"
    assert ice["Contact"] is None
    assert bare["Account"] is None


def test_a_polymorphic_owner_shows_as_name_with_the_url_of_what_it_is(world: World) -> None:
    fire, ice = world.ask("SELECT Owner.Name, Owner.Type FROM Case WHERE Subject != null ORDER BY CreatedDate DESC")
    assert fire["Owner"]["attributes"]["type"] == "Name"
    assert "/sobjects/Group/" in fire["Owner"]["attributes"]["url"]
    assert (fire["Owner"]["Type"], ice["Owner"]["Type"]) == ("Queue", "User")


def test_a_polymorphic_owner_leads_on_to_its_profile(world: World) -> None:
    profile = world.add("Profile", Name="Standard User")
    (user,) = world.ask("SELECT Id FROM User")
    world.storage.update("User", ["ProfileId"], [(profile, user["Id"])])
    fire, ice = world.ask("SELECT Owner.Profile.Name FROM Case WHERE Subject != null ORDER BY CreatedDate DESC")
    assert fire["Owner"]["Profile"] is None
    assert ice["Owner"]["Profile"]["Name"] == "Standard User"


def test_typeof_gives_each_kind_of_parent_its_own_fields(world: World) -> None:
    fire, ice, _ = world.ask(
        "SELECT TYPEOF Owner WHEN User THEN Username, FirstName ELSE Name END FROM Case ORDER BY CreatedDate DESC"
    )
    assert list(fire["Owner"]) == ["attributes", "Name"]
    assert list(ice["Owner"]) == ["attributes", "Username", "FirstName"]
    assert ice["Owner"]["attributes"]["type"] == "User"


def test_children_come_as_a_list_of_their_own_and_null_when_there_are_none(world: World) -> None:
    acme, emile = world.ask(
        "SELECT Name, (SELECT Name FROM Account.Packs__r ORDER BY Name DESC), (SELECT Id, LastName FROM Contacts) "
        "FROM Account ORDER BY Name"
    )
    assert acme["Packs__r"]["totalSize"] == 2
    assert acme["Packs__r"]["done"] is True
    assert [child["Name"] for child in acme["Packs__r"]["records"]] == ["P2", "P1"]
    assert emile["Contacts"] is None


def test_the_limit_of_a_child_query_counts_for_each_parent(world: World) -> None:
    acme, emile = world.ask(
        "SELECT (SELECT Name FROM Packs__r WHERE Hours__c > 0 ORDER BY Hours__c DESC LIMIT 1 OFFSET 0) "
        "FROM Account ORDER BY Name"
    )
    assert [child["Name"] for child in acme["Packs__r"]["records"]] == ["P1"]
    assert [child["Name"] for child in emile["Packs__r"]["records"]] == ["P3"]


def test_children_of_children_nest(world: World) -> None:
    (acme, *_) = world.ask(
        "SELECT (SELECT Name, (SELECT Name FROM Parts__r) FROM Packs__r ORDER BY Name) FROM Account ORDER BY Name"
    )
    first, second = acme["Packs__r"]["records"]
    assert first["Parts__r"]["records"][0]["Name"] == "P2"
    assert second["Parts__r"] is None


def test_a_long_child_list_is_continued_under_a_url_of_its_own(world: World) -> None:
    kept: list[tuple[soql.Result, int]] = []

    def keep(result: soql.Result, offset: int) -> str:
        kept.append((result, offset))
        return "/services/data/v61.0/query/01gAA0-1"

    (acme, *_) = world.ask(
        "SELECT (SELECT Name FROM Packs__r ORDER BY Name) FROM Account ORDER BY Name", next_url=keep, child_page=1
    )
    assert acme["Packs__r"]["done"] is False
    assert acme["Packs__r"]["totalSize"] == 2
    assert [child["Name"] for child in acme["Packs__r"]["records"]] == ["P1"]
    result, offset = kept[0]
    assert [child["Name"] for child in result.page(world.storage.db, offset, 10)] == ["P2"]


def test_a_compound_address_is_an_object_and_null_when_all_its_parts_are(world: World) -> None:
    acme, emile = world.ask("SELECT BillingAddress FROM Account ORDER BY Name")
    assert acme["BillingAddress"]["city"] == "Oslo"
    assert {"street", "postalCode", "geocodeAccuracy"} <= set(acme["BillingAddress"])
    assert emile["BillingAddress"] is None


def test_a_blob_comes_back_as_a_path() -> None:
    made = World()
    record_id = made.add("ContentVersion", Title="t", VersionData=b"abc")
    (record,) = made.ask("SELECT VersionData FROM ContentVersion")
    assert record["VersionData"] == f"/services/data/v61.0/sobjects/ContentVersion/{record_id}/VersionData"


def test_fields_all_gives_every_field_the_user_sees(world: World) -> None:
    (record, *_) = world.ask("SELECT FIELDS(ALL) FROM Pack__c LIMIT 200")
    assert set(record) - {"attributes"} == set(world.schema["Pack__c"].fields)
    (record, *_) = world.ask("SELECT FIELDS(CUSTOM), Id FROM Pack__c LIMIT 1")
    assert "Name" not in record
    assert "Hours__c" in record
    (record, *_) = world.ask("SELECT FIELDS(STANDARD) FROM Pack__c")
    assert "Hours__c" not in record


def test_labels_and_formats_stand_under_the_name_of_the_field(world: World) -> None:
    (record,) = world.ask(
        "SELECT toLabel(Level__c), FORMAT(CreatedDate), convertCurrency(Price__c) FROM Pack__c WHERE Name = 'P1'"
    )
    assert record["Level__c"] == "Gold"
    assert record["CreatedDate"] == "11/21/2026, 7:59 AM"
    assert record["Price__c"] == 99.0
    assert world.names("toLabel(Level__c) = 'SILVER'") == ["P2"]


def test_an_alias_of_the_object_or_of_a_parent_may_qualify_fields(world: World) -> None:
    (record,) = world.ask("SELECT c.Id, a.Name FROM Case c, c.Account a WHERE a.Name = 'Acme'")
    assert record["Account"]["Name"] == "Acme"


# Conditions


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("Name = 'p1'", ["P1"]),
        ("Name IN ('p1', 'P2', null)", ["P1", "P2"]),
        ("Key__c = null", ["P4"]),
        ("Key__c != null", ["P1", "P2", "P3"]),
        ("Key__c = ''", ["P4"]),
        ("Key__c != 'k-1'", ["P2", "P3", "P4"]),
        ("Key__c <> 'k-1'", ["P2", "P3", "P4"]),
        ("NOT(Key__c = 'k-1')", ["P2", "P3", "P4"]),
        ("NOT Key__c = 'k-1' AND Name < 'P4'", ["P2", "P3"]),
        ("Key__c NOT IN ('K-1', 'K-2')", ["P3", "P4"]),
        ("Key__c NOT IN ('K-1', null)", ["P2", "P3"]),
        ("Hours__c < 5", ["P2", "P3"]),
        ("NOT(Hours__c < 5)", ["P1", "P4"]),
        ("Hours__c >= 1.05e1", ["P1"]),
        ("Hours__c = 2", ["P3"]),
        ("Price__c > USD10.5", ["P1"]),
        ("Double__c > 20", ["P1"]),
        ("Active__c = true", ["P1"]),
        ("Active__c = null", ["P2", "P3", "P4"]),
        ("Active__c != NULL", ["P1"]),
        ("Tags__c INCLUDES ('Red;Blue', 'green')", ["P1", "P3"]),
        ("Tags__c EXCLUDES ('Red')", ["P3", "P4"]),
        ("Tags__c = 'Green;Blue'", ["P3"]),
        ("Code__c = 'abc'", ["P2"]),
        ("Code__c LIKE 'A%'", ["P1"]),
        ("Code__c IN ('ABC', 'AbC')", ["P1"]),
        ("Name LIKE 'p_'", ["P1", "P2", "P3", "P4"]),
        ("NOT Name LIKE '%1'", ["P2", "P3", "P4"]),
        ("Key__c LIKE '100\\%\\_SURE\\\\'", ["P3"]),
        ("Key__c LIKE 'K_1%'", ["P1"]),
        ("Account__r.Name = 'émile & fils'", ["P3"]),
        ("Account__r.Name LIKE 'É%'", ["P3"]),
        ("Account__r.Name IN ('ÉMILE & FILS')", ["P3"]),
        ("Account__r.Name != 'Acme'", ["P3", "P4"]),
        ("Account__r.Name = null", ["P4"]),
        ("Account__c IN (SELECT AccountId FROM Case WHERE Subject = 'FIRE')", ["P1", "P2"]),
        ("Account__c NOT IN (SELECT AccountId FROM Case WHERE Status = 'Closed')", ["P1", "P2", "P4"]),
        ("Opens__c >= 08:00:00.000Z", ["P1"]),
        ("Starts__c = TODAY", ["P1"]),
        ("Starts__c < TODAY", ["P2", "P3"]),
        ("Starts__c >= YESTERDAY", ["P1", "P2"]),
        ("Starts__c = LAST_N_DAYS:1", ["P1", "P2"]),
        ("Starts__c = LAST_90_DAYS", ["P1", "P2", "P3"]),
        ("Starts__c = LAST_N_DAYS:89", ["P1", "P2"]),
        ("Starts__c = LAST_N_DAYS : 89", ["P1", "P2"]),
        ("Starts__c IN (TODAY, 2026-08-23)", ["P1", "P3"]),
        ("Starts__c != TODAY", ["P2", "P3", "P4"]),
        ("Starts__c = N_DAYS_AGO:1", ["P2"]),
        ("Starts__c > 2026-11-20", ["P1"]),
        ("(Name = 'P1' OR Name = 'P2') AND (Hours__c > 5 OR Level__c = 's')", ["P1", "P2"]),
        ("CALENDAR_YEAR(CreatedDate) = 2025", ["P4"]),
        ("DAY_ONLY(CreatedDate) < LAST_MONTH", ["P4"]),
        ("(Hours__c > 2 OR (Hours__c = 2 AND Name > 'P2'))", ["P1", "P3"]),
        ("(Hours__c < 2 OR (Hours__c = 2 AND Name > 'P2') OR Hours__c = null)", ["P2", "P3", "P4"]),
        ("(Starts__c < YESTERDAY OR (Starts__c <= TODAY AND Hours__c > 5))", ["P1", "P3"]),
        ("(CreatedDate > 2026-11-21T08:00:00Z OR (CreatedDate = TODAY AND Name > 'P1'))", ["P2", "P3"]),
        ("DAY_ONLY(CreatedDate) = 2026-11-21", ["P1", "P2"]),
        ("Owner.Type = 'User'", ["P1"]),
        ("Owner.Name = 'GUY SMILEY'", ["P1"]),
        ("CreatedDate = 2026-11-21T00:59:00.000-07:00", ["P1"]),
        ("CreatedDate = 2026-11-21T08:00:00Z", ["P2"]),
        ("CreatedDate >= 2026-11-21T08:00:00.123456+00:00", ["P2", "P3"]),
        ("CreatedDate > 2026-11-21T08:00:00.000+0000", ["P3"]),
    ],
)  # fmt: skip
def test_a_condition_keeps(world: World, where: str, names: list[str]) -> None:
    assert world.names(where) == names


def test_days_begin_at_midnight_of_the_running_user(world: World) -> None:
    assert world.names("CreatedDate = TODAY") == ["P2"]  # 21st in Los Angeles: 08:00Z to 08:00Z
    assert world.names("CreatedDate = YESTERDAY") == ["P1"]
    assert world.names("CreatedDate = TODAY", zone=ZoneInfo("Asia/Tokyo")) == ["P3"]
    assert world.names("CreatedDate < TODAY") == ["P1", "P4"]
    assert world.names("CreatedDate > TODAY") == ["P3"]
    assert world.names("CreatedDate <= TODAY") == ["P1", "P2", "P4"]


@pytest.mark.parametrize(
    ("literal", "first", "last"),
    [
        ("TOMORROW", "2026-11-22", "2026-11-22"),
        ("THIS_WEEK", "2026-11-15", "2026-11-21"),
        ("LAST_WEEK", "2026-11-08", "2026-11-14"),
        ("NEXT_WEEK", "2026-11-22", "2026-11-28"),
        ("THIS_MONTH", "2026-11-01", "2026-11-30"),
        ("NEXT_MONTH", "2026-12-01", "2026-12-31"),
        ("LAST_QUARTER", "2026-07-01", "2026-09-30"),
        ("THIS_FISCAL_QUARTER", "2026-10-01", "2026-12-31"),
        ("NEXT_YEAR", "2027-01-01", "2027-12-31"),
        ("LAST_N_DAYS:3", "2026-11-18", "2026-11-21"),
        ("NEXT_N_DAYS:2", "2026-11-22", "2026-11-23"),
        ("NEXT_90_DAYS", "2026-11-22", "2027-02-19"),
        ("LAST_N_WEEKS:2", "2026-11-01", "2026-11-14"),
        ("LAST_N_MONTHS:2", "2026-09-01", "2026-10-31"),
        ("NEXT_N_QUARTERS:1", "2027-01-01", "2027-03-31"),
        ("LAST_N_FISCAL_YEARS:1", "2025-01-01", "2025-12-31"),
        ("N_MONTHS_AGO:1", "2026-10-01", "2026-10-31"),
        ("N_YEARS_AGO:2", "2024-01-01", "2024-12-31"),
        ("N_WEEKS_AGO:1", "2026-11-08", "2026-11-14"),
    ],
)
def test_a_period_covers_exactly(literal: str, first: str, last: str) -> None:
    made = World()
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    days = [start - timedelta(1), start, end, end + timedelta(1)]
    for index, day in enumerate(days):
        made.add("Pack__c", Name=f"{index}", Starts__c=day.isoformat())
    assert made.names(f"Starts__c = {literal}") == ["1", "2"]


def test_ids_are_equal_in_fifteen_and_eighteen_characters(world: World) -> None:
    (record,) = world.ask("SELECT Id, Account__c FROM Pack__c WHERE Name = 'P1'")
    assert world.names(f"Id = '{record['Id'][:15]}'") == ["P1"]
    assert world.names(f"Id IN ('{record['Id']}')") == ["P1"]
    assert world.names(f"Account__c = '{record['Account__c'][:15]}'") == ["P1", "P2"]


def test_escapes_stand_for_their_characters() -> None:
    made = World()
    made.add("Account", Name="O'Re\"il\\ly\n\tx\u00e9")
    assert made.ask(r"""SELECT Id FROM Account WHERE Name = 'O\'Re\"il\\ly\n\tx\u00E9'""")
    assert made.ask(r"""SELECT Id FROM Account WHERE Name LIKE 'O\'Re%\\ly%'""")


def test_deleted_rows_are_seen_by_query_all_only(world: World) -> None:
    statement = "SELECT Subject, IsDeleted FROM Case WHERE Subject != null ORDER BY Subject"
    assert [r["Subject"] for r in world.ask(statement)] == ["Fire", "ice"]
    everything = world.ask(statement, include_deleted=True)
    assert [(r["Subject"], r["IsDeleted"]) for r in everything][1] == ("gone", True)
    assert world.ask("SELECT Id FROM Case WHERE IsDeleted = true") == []


def test_scope_mine_keeps_what_the_user_owns(world: World) -> None:
    (user,) = world.ask("SELECT Id FROM User")
    found = world.ask("SELECT Name FROM Pack__c USING SCOPE mine", user_id=user["Id"])
    assert [record["Name"] for record in found] == ["P1"]


def test_security_clauses_and_purposes_are_accepted(world: World) -> None:
    assert len(world.ask("SELECT Id FROM Pack__c WITH SECURITY_ENFORCED")) == 4
    assert len(world.ask("SELECT Id FROM Pack__c WHERE Hours__c > 5 WITH USER_MODE ORDER BY Id LIMIT 5")) == 1
    assert world.run("SELECT Id FROM Pack__c FOR VIEW").purpose == ("view",)
    assert len(world.ask("SELECT Id FROM Pack__c LIMIT 1 FOR REFERENCE")) == 1


# Order


def test_nulls_come_first_in_both_directions_unless_told(world: World) -> None:
    def order(by: str) -> list[str]:
        return [record["Name"] for record in world.ask(f"SELECT Name FROM Pack__c ORDER BY {by}")]

    assert order("Hours__c") == ["P4", "P2", "P3", "P1"]
    assert order("Hours__c DESC") == ["P4", "P1", "P3", "P2"]
    assert order("Hours__c ASC NULLS LAST") == ["P2", "P3", "P1", "P4"]
    assert order("Hours__c DESC NULLS LAST") == ["P1", "P3", "P2", "P4"]
    assert order("Account__r.Name NULLS LAST, Name DESC") == ["P4", "P2", "P1", "P3"]  # not honoured over a lookup


def test_text_is_ordered_without_case(world: World) -> None:
    found = world.ask("SELECT Subject FROM Case WHERE Subject != null ORDER BY Subject")
    assert [record["Subject"] for record in found] == ["Fire", "ice"]


def test_a_picklist_is_ordered_as_its_values_are_listed_and_others_come_last() -> None:
    made = World()
    for status in ("Closed", "Zebra", "new", "Working", None, "Aardvark"):
        made.add("Case", Status=status)
    upwards = ["new", "Working", "Closed", "Aardvark", "Zebra"]
    found = [r["Status"] for r in made.ask("SELECT Status FROM Case ORDER BY Status")]
    assert found == [None, *upwards]
    assert [r["Status"] for r in made.ask("SELECT Status FROM Case ORDER BY Status DESC NULLS LAST")] == [
        *reversed(upwards),
        None,
    ]
    groups = made.ask("SELECT Status FROM Case GROUP BY Status ORDER BY Status NULLS LAST")
    assert [r["Status"] for r in groups] == [*upwards, None]


def test_limit_and_offset_cut_the_answer_and_its_size(world: World) -> None:
    result = world.run("SELECT Name FROM Pack__c ORDER BY Name LIMIT 2 OFFSET 1")
    assert [record["Name"] for record in result.page(world.storage.db)] == ["P2", "P3"]
    assert result.total_size == 2
    assert world.run("SELECT Name FROM Pack__c LIMIT 0").total_size == 0


def test_ties_are_shuffled_by_a_seed_when_asked() -> None:
    made = World()
    for index in range(20):
        made.add("Account", Name=f"{index:02}", NumberOfEmployees=1)
    plain = [r["Name"] for r in made.ask("SELECT Name FROM Account ORDER BY NumberOfEmployees")]
    one = [r["Name"] for r in made.ask("SELECT Name FROM Account ORDER BY NumberOfEmployees", shuffle=1)]
    again = [r["Name"] for r in made.ask("SELECT Name FROM Account ORDER BY NumberOfEmployees", shuffle=1)]
    other = [r["Name"] for r in made.ask("SELECT Name FROM Account ORDER BY NumberOfEmployees", shuffle=2)]
    by_id = [r["Name"] for r in made.ask("SELECT Name FROM Account ORDER BY NumberOfEmployees, Id", shuffle=1)]
    assert one == again
    assert sorted(one) == sorted(other) == plain == by_id
    assert len({tuple(plain), tuple(one), tuple(other)}) == 3


def test_an_answer_without_an_order_comes_in_one_that_the_seed_decides() -> None:
    made = World()
    for index in range(20):
        made.add("Account", Name=f"{index:02}")
    orders = []
    for seed in (1, 1, 2):
        result = made.run("SELECT Name FROM Account", page_size=5, shuffle=seed)
        pages = [result.page(made.storage.db, start, 5) for start in range(0, 20, 5)]
        orders.append([record["Name"] for page in pages for record in page])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert [sorted(order) for order in orders] == [[f"{index:02}" for index in range(20)]] * 3


# Groups


def test_count_answers_a_size_without_records(world: World) -> None:
    result = world.run("SELECT COUNT() FROM Pack__c WHERE Hours__c != 2")
    assert (result.total_size, len(result), result.page(world.storage.db)) == (3, 0, [])
    assert world.run("SELECT COUNT() FROM Pack__c LIMIT 2").total_size == 2


def test_aggregates_are_numbered_unless_they_have_an_alias(world: World) -> None:
    (record,) = world.ask(
        "SELECT COUNT(Id), COUNT(Hours__c) hours, SUM(Hours__c), AVG(Hours__c), MIN(Starts__c), MAX(CreatedDate) last, "
        "COUNT_DISTINCT(Account__c) FROM Pack__c"
    )
    assert record == {
        "attributes": {"type": "AggregateResult"},
        "expr0": 4,
        "hours": 3,
        "expr1": 13.5,
        "expr2": 4.5,
        "expr3": "2026-08-23",
        "last": "2026-11-22T08:00:00.000+0000",
        "expr4": 2,
    }


def test_groups_filter_and_order_by_their_aggregates(world: World) -> None:
    found = world.ask(
        "SELECT Account__r.Name, COUNT(Id) n FROM Pack__c GROUP BY Account__r.Name "
        "HAVING COUNT(Id) > 0 AND Account__r.Name != null ORDER BY COUNT(Id) DESC, Account__r.Name"
    )
    assert [(record["Name"], record["n"]) for record in found] == [("Acme", 2), ("Émile & Fils", 1)]
    assert list(found[0]) == ["attributes", "Name", "n"]


def test_grouping_ignores_case() -> None:
    made = World()
    for name in ("a", "A", "b"):
        made.add("Account", Name=name, Site=name)
    assert [r["n"] for r in made.ask("SELECT Site, COUNT(Id) n FROM Account GROUP BY Site ORDER BY Site")] == [2, 1]


def test_instants_can_be_grouped_by_calendar_units_in_utc_or_in_the_users_zone(world: World) -> None:
    utc = world.ask("SELECT DAY_ONLY(CreatedDate) d, COUNT(Id) n FROM Pack__c GROUP BY DAY_ONLY(CreatedDate)")
    assert {r["d"]: r["n"] for r in utc} == {"2026-11-21": 2, "2026-11-22": 1, "2025-01-01": 1}
    local = world.ask(
        "SELECT DAY_ONLY(convertTimezone(CreatedDate)) d, COUNT(Id) FROM Pack__c "
        "GROUP BY DAY_ONLY(convertTimezone(CreatedDate)) ORDER BY DAY_ONLY(convertTimezone(CreatedDate))"
    )
    assert {r["d"]: r["expr0"] for r in local} == {
        "2024-12-31": 1,
        "2026-11-20": 1,
        "2026-11-21": 1,
        "2026-11-22": 1,
    }
    names = ("CALENDAR_QUARTER", "DAY_IN_WEEK", "HOUR_IN_DAY", "WEEK_IN_YEAR")
    parts = ", ".join(f"{name}(CreatedDate)" for name in names)
    (record, *_) = world.ask(f"SELECT {parts}, COUNT(Id) FROM Pack__c WHERE Name = 'P1' GROUP BY {parts}")
    assert [record[f"expr{n}"] for n in range(5)] == [4, 7, 7, 47, 1]


def test_days_before_1970_are_grouped_like_others() -> None:
    made = World()
    for seconds in (-1, -86_400, -86_401, 0, None):
        made.add("Account", Name="x", CreatedDate=seconds)
    found = made.ask("SELECT DAY_ONLY(CreatedDate) d, COUNT(Id) n FROM Account GROUP BY DAY_ONLY(CreatedDate)")
    assert {r["d"]: r["n"] for r in found} == {"1969-12-31": 2, "1969-12-30": 1, "1970-01-01": 1, None: 1}


def test_the_next_rows_behind_a_stamp_and_id_are_found_by_index() -> None:
    made = World()
    stamp_at = "2026-11-21T20:00:00Z"
    where = f"(SystemModstamp > {stamp_at} OR (SystemModstamp = {stamp_at} AND Id > '500AA0000000001'))"
    plan = soql.compile_soql(f"SELECT Id FROM Case WHERE {where} ORDER BY SystemModstamp, Id LIMIT 10", made.view)
    steps = made.storage.db.execute(f"EXPLAIN QUERY PLAN {plan.rows_sql()}", plan.parameters).fetchall()
    assert [step[3] for step in steps] == ["SEARCH q_a0 USING INDEX Case stamp (SystemModstamp>?)"]


# Pages and permissions


def test_a_long_answer_keeps_its_ids_and_reads_values_page_by_page() -> None:
    made = World()
    ids = [made.add("Account", Name=f"{index:02}") for index in range(25)]
    result = made.run("SELECT Id, Name FROM Account ORDER BY Name DESC", page_size=10)
    assert (result.total_size, len(result)) == (25, 25)
    first = result.page(made.storage.db, 0, 10)
    assert [r["Name"] for r in first] == [f"{24 - n:02}" for n in range(10)]
    made.add("Account", Name="99")
    made.storage.update("Account", ["Name"], [("renamed", ids[5])])
    made.storage.update("Account", ["IsDeleted"], [(1, ids[4])])
    second = result.page(made.storage.db, 10, 10)
    third = result.page(made.storage.db, 20, 10)
    assert [r["Name"] for r in second] == ["14", "13", "12", "11", "10", "09", "08", "07", "06", "renamed"]
    assert [r["Name"] for r in third] == ["03", "02", "01", "00"]  # the deleted row is missing, the page is short


def test_what_the_user_may_not_see_does_not_exist(world: World) -> None:
    fields = frozenset(world.schema["Pack__c"].fields) - {"Price__c"}
    seen: Schema = world.schema.restricted({"Pack__c": fields, "Account": None})
    assert len(world.ask("SELECT Double__c FROM Pack__c", schema=seen)) == 4
    (record, *_) = world.ask("SELECT FIELDS(ALL) FROM Pack__c LIMIT 1", schema=seen)
    assert "Price__c" not in record
    for statement in (
        "SELECT Price__c FROM Pack__c",
        "SELECT Id FROM Pack__c WHERE Price__c > 1",
        "SELECT Id FROM Pack__c ORDER BY Price__c",
        "SELECT (SELECT Price__c FROM Packs__r) FROM Account",
        "SELECT Id FROM Case",
        "SELECT (SELECT Id FROM Cases) FROM Account",
    ):
        with pytest.raises(soql.ApiError) as refusal:
            world.ask(statement, schema=seen)
        assert refusal.value.code in ("INVALID_FIELD", "INVALID_TYPE")


def test_a_formula_reads_fields_its_user_may_not(world: World) -> None:
    fields = frozenset(world.schema["Pack__c"].fields) - {"Hours__c"}
    seen = world.schema.restricted({"Pack__c": fields})
    found = world.ask("SELECT Double__c FROM Pack__c WHERE Name = 'P1'", schema=seen)
    assert found[0]["Double__c"] == 21.0


# Letters beyond ASCII


def test_letters_beyond_ascii_are_compared_without_case() -> None:
    made = World()
    for name in ("ÑANDÚ", "ñandú", "nandu", "Éa"):
        made.add("Account", Name=name)
        made.add("Pack__c", Name=name, Tags__c=f"Red;{name}")
    for condition in ("Name = 'Ñandú'", "Name LIKE 'ñAN%'", "Name IN ('ÑANDú', 'x')", "NOT Name != 'ÑANDÚ'"):
        assert len(made.names(condition)) == 2, condition
    assert len(made.names("Tags__c INCLUDES ('ÑandÚ')")) == 2


def test_letters_with_a_mark_are_sorted_beside_those_without() -> None:
    made = World()
    for name in ("zoo", "Éa", "eb", "Ea", "ñu", "Nz", "o"):
        made.add("Account", Name=name)
    found = made.ask("SELECT Name FROM Account ORDER BY Name")
    assert [each["Name"] for each in found] == ["Ea", "Éa", "eb", "ñu", "Nz", "o", "zoo"]
