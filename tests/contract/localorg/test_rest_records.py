"""What an org does with single records over REST: checks, system fields, upsert, recycle bin, history, permissions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg import ids
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import OnDelete, SchemaChange, custom_field
from tests.contract.localorg.core_world import NOW, Client, furnished


@pytest.fixture
def client() -> Client:
    """An administrator's client."""
    return Client()


def test_a_created_record_comes_back_with_its_system_fields(client: Client) -> None:
    account = client.made("Account", Name="Acme")
    row = client.ask("GET", f"sobjects/Account/{account}").json()
    assert row["attributes"] == {"type": "Account", "url": f"/services/data/v61.0/sobjects/Account/{account}"}
    assert row["CreatedDate"] == row["SystemModstamp"] == "2026-11-21T20:00:00.000+0000"
    assert row["CreatedById"] == row["OwnerId"] == client.org.admin_id
    assert row["IsDeleted"] is False
    assert len(account) == 18
    assert ids.to_long(account[:15]) == account


def test_names_are_taken_in_any_case_and_given_back_in_theirs(client: Client) -> None:
    pack = client.made("pAcK__C", hours__C="7", KEY__c="a")
    row = client.ask("GET", f"sobjects/PACK__c/{pack[:15]}?fields=HOURS__c,key__C").json()
    assert row == {
        "attributes": {"type": "Pack__c", "url": f"/services/data/v61.0/sobjects/Pack__c/{pack}"},
        "Hours__c": 7.0, "Key__c": "a", "Id": pack,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "code", "message", "fields"),
    [
        ({"Nope__c": 1}, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Pack__c", None),
        ({"Left__c": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE", None, ["Left__c"]),
        ({"CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", None, ["CreatedDate"]),
        (
            {"Kind__c": "Gold"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Kind: bad value for restricted picklist field: Gold",
            ["Kind__c"],
        ),
        ({"Kind__c": "Old"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", None, ["Kind__c"]),
        ({"Key__c": "x" * 41}, "STRING_TOO_LONG", f"Key: data value too large: {'x' * 41} (max length=40)", ["Key__c"]),
        (
            {"Hours__c": 12345},
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Hours: value outside of valid range on numeric field: 12345",
            ["Hours__c"],
        ),
        ({"Hours__c": "many"}, "JSON_PARSER_ERROR", None, None),
        ({"Hours__c": True}, "JSON_PARSER_ERROR", None, None),
        ({"Hours__c": -1}, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Hours cannot be negative.", ["Hours__c"]),
        (
            {"Account__c": "001AA0000000001"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            ["Account__c"],
        ),
        (
            {"Account__c": "003AA0000000001"},
            "MALFORMED_ID",
            "Account: id value of incorrect type: 003AA0000000001",
            ["Account__c"],
        ),
        ({"Account__r": {"Name": "x"}}, "INVALID_FIELD", None, None),
    ],
)
def test_a_wrong_value_is_refused_as_a_real_org_refuses_it(
    client: Client, values: dict[str, Any], code: str, message: str | None, fields: list[str] | None
) -> None:
    answer = client.ask("POST", "sobjects/Pack__c", values)
    [error] = answer.json()
    assert (answer.status, error["errorCode"], error.get("fields")) == (400, code, fields)
    assert message is None or error["message"] == message
    assert client.org.count("Pack__c") == 0


def test_a_missing_required_field_is_named(client: Client) -> None:
    answer = client.ask("POST", "sobjects/Time_Entry__c", {"Worked_On__c": "2026-11-20"})
    assert answer.json() == [
        {
            "message": "Required fields are missing: [Minutes__c]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["Minutes__c"],
        }
    ]


def test_values_are_stored_as_the_org_stores_them(client: Client) -> None:
    pack = client.made("Pack__c", Key__c="  k  ", Hours__c=1.005, Kind__c="pro", Secret__c="   ")
    [row] = client.query("SELECT Key__c, Hours__c, Kind__c, Secret__c, Name, Left__c FROM Pack__c")
    assert (row["Key__c"], row["Hours__c"], row["Kind__c"], row["Secret__c"]) == ("k", 1.01, "Pro", None)
    assert row["Name"] == pack[:15]
    assert row["Left__c"] == 1.01


def test_an_autonumber_counts_and_a_default_is_filled_in(client: Client) -> None:
    names = [
        client.ask("GET", f"sobjects/Time_Entry__c/{client.made('Time_Entry__c', Minutes__c=5)}").json()["Name"]
        for _ in "ab"
    ]
    assert names == ["TE-0001", "TE-0002"]


def test_an_update_moves_the_stamp_and_leaves_other_fields(client: Client) -> None:
    account = client.made("Account", Name="Acme", Phone="1")
    clock: Any = client.org.clock
    clock.advance(90)
    assert client.ask("PATCH", f"sobjects/Account/{account}", {"Phone": None}).status == 204
    row = client.ask("GET", f"sobjects/Account/{account}").json()
    assert (row["Name"], row["Phone"], row["SystemModstamp"]) == ("Acme", None, "2026-11-21T20:01:30.000+0000")
    assert row["CreatedDate"] == "2026-11-21T20:00:00.000+0000"


def test_upsert_answers_created_updated_and_many(client: Client) -> None:
    first = client.ask("PATCH", "sobjects/Pack__c/Key__c/a%2Fb", {"Hours__c": 1})
    assert (first.status, first.json()["created"]) == (201, True)
    assert first.header("Location") == f"/services/data/v61.0/sobjects/Pack__c/{first.json()['id']}"
    second = client.ask("PATCH", "sobjects/Pack__c/Key__c/A%2FB", {"Hours__c": 2})
    assert (second.status, second.json()) == (
        200,
        {"id": first.json()["id"], "success": True, "errors": [], "created": False},
    )
    old = client.ask("PATCH", "/services/data/v45.0/sobjects/Pack__c/Key__c/a%2Fb", {"Hours__c": 3})
    assert (old.status, old.body) == (204, b"")
    assert client.refusal("PATCH", "sobjects/Pack__c/Hours__c/1", {}) == (404, "NOT_FOUND")
    client.org.schema_change(
        SchemaChange(fields=[("Pack__c", custom_field("Tag__c", "string", length=9, external_id=True))])
    )
    twins = {client.made("Pack__c", Tag__c="t"), client.made("Pack__c", Tag__c="T")}
    many = client.ask("PATCH", "sobjects/Pack__c/Tag__c/t", {"Hours__c": 1})
    assert many.status == 300
    assert {u.rpartition("/")[2] for u in many.json()} == twins


def test_update_only_does_not_create(client: Client) -> None:
    assert client.refusal("PATCH", "sobjects/Pack__c/Key__c/new?updateOnly=true", {}) == (404, "NOT_FOUND")
    assert client.org.count("Pack__c") == 0


def test_a_unique_value_is_taken_once_whatever_its_case(client: Client) -> None:
    first = client.made("Pack__c", Key__c="Mine")
    answer = client.ask("POST", "sobjects/Pack__c", {"Key__c": "MINE"})
    assert (
        answer.json()[0]["message"] == f"duplicate value found: Key__c duplicates value on record with id: {first[:15]}"
    )
    client.ask("DELETE", f"sobjects/Pack__c/{first}")
    assert client.ask("POST", "sobjects/Pack__c", {"Key__c": "MINE"}).status == 201


def test_a_lookup_can_be_given_by_external_id(client: Client) -> None:
    pack = client.made("Pack__c", Key__c="P-1")
    entry = client.made("Time_Entry__c", Minutes__c=5, Pack__r={"Key__c": "p-1"})
    assert client.ask("GET", f"sobjects/Time_Entry__c/{entry}/Pack__r").json()["Id"] == pack
    answer = client.ask("POST", "sobjects/Time_Entry__c", {"Minutes__c": 5, "Pack__r": {"Key__c": "P-9"}})
    assert answer.json()[0]["message"] == "Foreign key external ID: p-9 not found for field Key__c in entity Pack__c"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "sobjects/Nope__c/describe", (404, "NOT_FOUND")),
        ("GET", "sobjects/Account/001AA0000000009", (404, "NOT_FOUND")),
        ("GET", "sobjects/Account/rid", (404, "NOT_FOUND")),
        ("PATCH", "sobjects/Account/001AA000000000ZZZZ", (400, "MALFORMED_ID")),
        ("PATCH", "sobjects/Account/003AA0000000009", (400, "MALFORMED_ID")),
        ("PATCH", "sobjects/Account/001AA0000000009", (404, "INVALID_CROSS_REFERENCE_KEY")),
        ("DELETE", "sobjects/Account/001AA0000000009", (404, "INVALID_CROSS_REFERENCE_KEY")),
        ("PUT", "sobjects/Account/001AA0000000009", (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/services/data/v99.0/limits", (404, "NOT_FOUND")),
        ("GET", "/services/data/v25.0/limits", (410, "UNSUPPORTED_API_VERSION")),
        ("GET", "jobs/query//x/results", (404, "NOT_FOUND")),
        ("GET", "search?q=FIND", (501, "FUNCTIONALITY_NOT_ENABLED")),
    ],
)
def test_a_path_that_leads_nowhere_says_so(client: Client, method: str, path: str, expected: tuple[int, str]) -> None:
    body = {} if method in ("PATCH", "PUT") else None
    assert client.refusal(method, path, body) == expected


def test_a_deleted_record_waits_in_the_bin_and_comes_back_with_what_it_took_along(client: Client) -> None:
    account = client.made("Account", Name="Acme")
    contact = client.made("Contact", LastName="Li", AccountId=account)
    pack = client.made("Pack__c", Account__c=account)
    assert client.ask("DELETE", f"sobjects/Account/{account}").status == 204
    assert client.refusal("DELETE", f"sobjects/Account/{account}") == (404, "ENTITY_IS_DELETED")
    assert client.refusal("PATCH", f"sobjects/Account/{account}", {"Name": "x"}) == (404, "ENTITY_IS_DELETED")
    assert client.query("SELECT Id FROM Contact") == []
    assert [r["IsDeleted"] for r in client.query("SELECT Id, IsDeleted FROM Contact", everything=True)] == [True]
    assert client.query("SELECT Account__c FROM Pack__c")[0]["Account__c"] is None
    client.org.undelete(account)
    assert [r["Id"] for r in client.query("SELECT Id FROM Contact")] == [contact]
    assert client.query("SELECT Id, Account__c FROM Pack__c")[0]["Account__c"] == account
    assert client.org.get("Pack__c", pack) is not None


def test_a_restricted_parent_cannot_be_deleted(client: Client) -> None:
    pack = client.made("Pack__c", Key__c="a")
    client.made("Time_Entry__c", Minutes__c=1, Pack__c=pack)
    assert client.refusal("DELETE", f"sobjects/Pack__c/{pack}") == (400, "DELETE_FAILED")
    account = client.made("Account", Name="Acme")
    client.made("Case", AccountId=account)
    assert client.refusal("DELETE", f"sobjects/Account/{account}") == (400, "DELETE_FAILED")


def test_a_hard_deleted_record_is_only_in_the_deletion_log(client: Client) -> None:
    account = client.made("Account", Name="Acme")
    client.org.delete("Account", account, hard=True)
    assert client.query("SELECT Id FROM Account", everything=True) == []
    log = client.ask("GET", "sobjects/Account/deleted/?start=2026-11-21T19:00:00Z&end=2026-11-21T21:00:00Z").json()
    assert [d["id"] for d in log["deletedRecords"]] == [account]


def test_a_merge_moves_children_and_points_losers_to_the_winner(client: Client) -> None:
    winner, loser = client.made("Account", Name="A"), client.made("Account", Name="B")
    contact = client.made("Contact", LastName="Li", AccountId=loser)
    client.org.merge("Account", winner, [loser])
    assert client.query(f"SELECT AccountId FROM Contact WHERE Id = '{contact}'")[0]["AccountId"] == winner
    [gone] = client.query(f"SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '{loser}'", everything=True)
    assert (gone["IsDeleted"], gone["MasterRecordId"]) == (True, winner)


def test_tracked_fields_leave_their_history(client: Client) -> None:
    pack = client.made("Pack__c", Hours__c=1)
    client.ask("PATCH", f"sobjects/Pack__c/{pack}", {"Hours__c": 2, "Secret__c": "x"})
    rows = client.query("SELECT Field, OldValue, NewValue, ParentId FROM Pack__History ORDER BY Id")
    assert [(r["Field"], r["OldValue"], r["NewValue"], r["ParentId"]) for r in rows] == [
        ("created", None, None, pack), ("Hours__c", "1.0", "2.0", pack),
    ]  # fmt: skip


# Cases


def test_a_case_numbers_itself_and_follows_its_status(client: Client) -> None:
    case = client.made("Case", Subject="s")
    row = client.ask("GET", f"sobjects/Case/{case}").json()
    assert (row["CaseNumber"], row["Status"], row["Priority"], row["IsClosed"]) == ("00001001", "New", "Medium", False)
    client.ask("PATCH", f"sobjects/Case/{case}", {"Status": "closed"})
    row = client.ask("GET", f"sobjects/Case/{case}").json()
    assert (row["Status"], row["IsClosed"], row["ClosedDate"]) == ("Closed", True, "2026-11-21T20:00:00.000+0000")
    client.ask("PATCH", f"sobjects/Case/{case}", {"Status": "Working"})
    row = client.ask("GET", f"sobjects/Case/{case}").json()
    assert (row["IsClosed"], row["ClosedDate"]) == (False, None)


def test_an_org_can_have_case_statuses_of_its_own(client: Client) -> None:
    client.org.set_case_statuses([("Open", False), ("Resolved", True)])
    case = client.made("Case", Subject="s")
    assert client.ask("GET", f"sobjects/Case/{case}").json()["Status"] == "Open"
    client.ask("PATCH", f"sobjects/Case/{case}", {"Status": "Resolved"})
    assert client.query("SELECT IsClosed FROM Case")[0]["IsClosed"] is True
    assert [r["ApiName"] for r in client.query("SELECT ApiName FROM CaseStatus ORDER BY SortOrder")] == [
        "Open",
        "Resolved",
    ]


def test_comments_written_on_a_case_become_a_case_comment(client: Client) -> None:
    case = client.made("Case", Subject="s", Comments="hello")
    [row] = client.query("SELECT ParentId, CommentBody, CreatorName FROM CaseComment")
    assert (row["ParentId"], row["CommentBody"], row["CreatorName"]) == (case, "hello", "Ada Admin")
    assert client.query("SELECT Comments FROM Case")[0]["Comments"] is None


def test_the_assignment_rule_takes_a_case_unless_it_is_switched_off(client: Client) -> None:
    kept = client.made("Case", Subject="kept")
    client.headers = {}
    taken = client.made("Case", Subject="taken")
    owners = {r["Id"]: r["Owner"]["Name"] for r in client.query("SELECT Id, Owner.Name FROM Case")}
    assert owners == {kept: "Ada Admin", taken: "Support"}


def test_a_case_takes_its_account_from_its_contact(client: Client) -> None:
    account = client.made("Account", Name="Acme")
    contact = client.made("Contact", LastName="Li", AccountId=account, Email="li@acme.example")
    client.made("Case", ContactId=contact)
    [row] = client.query("SELECT AccountId, ContactEmail FROM Case")
    assert (row["AccountId"], row["ContactEmail"]) == (account, "li@acme.example")


# Permissions


def test_an_ungranted_field_does_not_exist_for_its_user(client: Client) -> None:
    org = client.org
    user = Client(org, org.integration_id)
    assert user.refusal("GET", "sobjects/Pack__c/describe") == (404, "NOT_FOUND")
    assert user.refusal("GET", "query?q=SELECT+Id+FROM+Pack__c") == (400, "INVALID_TYPE")
    org.assign("Service", org.integration_id)
    names = {f["name"] for f in user.ask("GET", "sobjects/Pack__c/describe").json()["fields"]}
    assert "Hours__c" in names
    assert "Secret__c" not in names
    assert user.refusal("GET", "query?q=SELECT+Secret__c+FROM+Pack__c") == (400, "INVALID_FIELD")
    assert user.refusal("POST", "sobjects/Pack__c", {"Secret__c": "x"}) == (400, "INVALID_FIELD")
    pack = user.made("Pack__c", Hours__c=3)
    assert "Secret__c" not in user.ask("GET", f"sobjects/Pack__c/{pack}").json()
    assert client.ask("PATCH", f"sobjects/Pack__c/{pack}", {"Secret__c": "x"}).status == 204


def test_a_readable_field_is_not_yet_an_editable_one(client: Client) -> None:
    org = client.org
    rows = org.storage.rows('SELECT "Id" FROM "FieldPermissions" WHERE "Field" = \'Pack__c.Hours__c\'')
    org.assign("Service", org.integration_id)
    user = Client(org, org.integration_id)
    pack = user.made("Pack__c", Hours__c=3)
    org.update("FieldPermissions", rows[0][0], {"PermissionsEdit": False})
    assert user.refusal("PATCH", f"sobjects/Pack__c/{pack}", {"Hours__c": 4}) == (
        400,
        "INVALID_FIELD_FOR_INSERT_UPDATE",
    )


def test_a_custom_permission_lets_its_holder_pass_a_validation_rule(client: Client) -> None:
    org = client.org
    org.assign("Service", org.integration_id)
    user = Client(org, org.integration_id)
    pack = client.made("Pack__c", Hours__c=3)
    assert client.refusal("PATCH", f"sobjects/Pack__c/{pack}", {"Used__c": 1}) == (
        400,
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    )
    assert user.ask("PATCH", f"sobjects/Pack__c/{pack}", {"Used__c": 1}).status == 204


def test_people_without_administration_cannot_change_setup(client: Client) -> None:
    user = Client(client.org, "consultant1@acme.example")
    assert user.refusal("POST", "sobjects/PermissionSet", {"Name": "X", "Label": "X"})[0] == 403


# Conditional requests, describe, replication


def test_unmodified_since_protects_a_record_that_moved(client: Client) -> None:
    account = client.made("Account", Name="A")
    clock: Any = client.org.clock
    seen = client.ask("GET", f"sobjects/Account/{account}").header("Last-Modified") or ""
    clock.advance(60)
    assert client.ask("PATCH", f"sobjects/Account/{account}", {"Name": "B"}, If_Unmodified_Since=seen).status == 204
    assert client.ask("PATCH", f"sobjects/Account/{account}", {"Name": "C"}, If_Unmodified_Since=seen).status == 412
    assert client.ask("GET", f"sobjects/Account/{account}", If_Modified_Since=seen).status == 200
    now = client.ask("GET", f"sobjects/Account/{account}").header("Last-Modified") or ""
    assert client.ask("GET", f"sobjects/Account/{account}", If_Modified_Since=now).status == 304


def test_an_unchanged_describe_is_not_sent_twice(client: Client) -> None:
    first = client.ask("GET", "sobjects/Pack__c/describe")
    assert client.ask("GET", "sobjects/Pack__c/describe", If_None_Match=first.header("ETag") or "").status == 304
    assert (
        client.ask("GET", "sobjects/Pack__c/describe", If_Modified_Since=first.header("Last-Modified") or "").status
        == 304
    )
    clock: Any = client.org.clock
    clock.advance(5)
    client.org.schema_change(SchemaChange(fields=[("Pack__c", custom_field("More__c", "string", length=5))]))
    again = client.ask("GET", "sobjects/Pack__c/describe", If_Modified_Since=first.header("Last-Modified") or "")
    assert "More__c" in {f["name"] for f in again.json()["fields"]}


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2026-10-01T00:00:00Z", "2026-11-21T00:00:00Z", "INVALID_REPLICATION_DATE"),
        ("2026-11-21T19:00:00Z", "2026-11-21T19:00:30Z", "INVALID_REPLICATION_DATE"),
        ("2026-11-21T21:00:00Z", "2026-11-21T22:00:00Z", "INVALID_REPLICATION_DATE"),
        ("yesterday", "2026-11-21T22:00:00Z", "MALFORMED_QUERY"),
    ],
)
def test_a_window_that_cannot_be_answered_is_refused(client: Client, start: str, end: str, code: str) -> None:
    assert client.refusal("GET", f"sobjects/Account/updated?start={start}&end={end}") == (400, code)


def test_a_held_transaction_is_invisible_until_it_commits_with_its_old_stamps(client: Client) -> None:
    org, clock = client.org, client.org.clock
    assert isinstance(clock, ManualClock)
    account = client.made("Account", Name="Before")
    clock.advance(60)
    held = org.hold()
    with org.within(held):
        org.update("Account", account, {"Name": "After"})
        [new] = org.insert("Account", {"Name": "New"})
    clock.advance(600)
    window = "start=2026-11-21T19:00:00Z&end=2026-11-21T20:10:00Z"
    assert [r["Name"] for r in client.query("SELECT Name FROM Account")] == ["Before"]
    covered = client.ask("GET", f"sobjects/Account/updated?{window}").json()["latestDateCovered"]
    assert covered == "2026-11-21T20:01:00.000+0000"
    assert client.refusal("PATCH", f"sobjects/Account/{account}", {"Name": "x"}) == (400, "UNABLE_TO_LOCK_ROW")
    with org.within(held):
        assert [r[0] for r in org.storage.rows('SELECT "Name" FROM "Account" ORDER BY "Id"')] == ["After", "New"]
        org.update("Account", new, {"Name": "Newer"})
    org.commit_held(held)
    rows = client.query("SELECT Name, SystemModstamp FROM Account ORDER BY Name")
    assert [(r["Name"], r["SystemModstamp"][11:19]) for r in rows] == [("After", "20:01:00"), ("Newer", "20:11:00")]
    answer = client.ask("GET", f"sobjects/Account/updated?{window}").json()
    assert answer["latestDateCovered"] == "2026-11-21T20:10:00.000+0000"
    assert set(answer["ids"]) >= {account}


def test_a_held_delete_and_undelete_are_seen_when_they_commit(client: Client) -> None:
    account = client.made("Account", Name="A")
    pack = client.made("Pack__c", Account__c=account)
    held = client.org.hold()
    with client.org.within(held):
        client.org.delete("Account", account)
    assert client.query("SELECT Account__c FROM Pack__c")[0]["Account__c"] == account
    client.org.commit_held(held)
    assert client.query("SELECT Id FROM Account") == []
    assert client.query(f"SELECT Account__c FROM Pack__c WHERE Id = '{pack}'")[0]["Account__c"] is None
    window = "start=2026-11-21T19:00:00Z&end=2026-11-21T21:00:00Z"
    assert len(client.ask("GET", f"sobjects/Account/deleted?{window}").json()["deletedRecords"]) == 1
    client.org.undelete(account)
    assert client.ask("GET", f"sobjects/Account/deleted?{window}").json()["deletedRecords"] == []


def test_a_held_transaction_can_be_given_up(client: Client) -> None:
    held = client.org.hold()
    with client.org.within(held):
        client.org.insert("Account", {"Name": "Never"})
    client.org.storage.abandon(held)
    assert client.query("SELECT Id FROM Account", everything=True) == []


# Schema


def test_a_refused_schema_change_changes_nothing(client: Client) -> None:
    from sfsync.localorg.errors import ApiError

    bad = SchemaChange(
        fields=[
            ("Pack__c", custom_field("A__c", "string", length=5)),
            ("Pack__c", custom_field("B__c", "double", formula="Nope__c * 2")),
        ]
    )
    with pytest.raises(ApiError, match="Nope__c does not exist"):
        client.org.schema_change(bad)
    assert client.org.schema["Pack__c"].field("A__c") is None
    assert client.made("Pack__c", Hours__c=1)


def test_a_field_can_be_added_changed_and_removed_with_its_values(client: Client) -> None:
    org = client.org
    pack = client.made("Pack__c", Secret__c="12")
    org.schema_change(SchemaChange(fields=[("Pack__c", custom_field("Secret__c", "double", precision=4, scale=1))]))
    assert client.query("SELECT Secret__c FROM Pack__c")[0]["Secret__c"] == 12.0
    org.schema_change(SchemaChange(fields=[("Pack__c", custom_field("Flag__c", "boolean", default=True))]))
    assert client.query("SELECT Flag__c FROM Pack__c")[0]["Flag__c"] is True
    org.schema_change(SchemaChange(removed_fields=[("Pack__c", "Secret__c")]))
    assert client.refusal("PATCH", f"sobjects/Pack__c/{pack}", {"Secret__c": "1"}) == (400, "INVALID_FIELD")


def test_a_master_detail_child_goes_with_its_master(client: Client) -> None:
    from sfsync.localorg.standard import custom_object

    line = custom_object("Line__c", "Line", "Lines", None)
    line.put(
        custom_field(
            "Pack__c", "reference", reference_to=("Pack__c",), child_relationship_name="Lines__r", master_detail=True
        )
    )
    assert line.fields["Pack__c"].on_delete is OnDelete.CASCADE
    client.org.schema_change(SchemaChange(objects=[line]))
    pack = client.made("Pack__c", Key__c="a")
    child = client.made("Line__c", Pack__c=pack)
    other = client.made("Pack__c", Key__c="b")
    assert "OwnerId" not in client.ask("GET", f"sobjects/Line__c/{child}").json()
    assert client.refusal("PATCH", f"sobjects/Line__c/{child}", {"Pack__c": other}) == (
        400,
        "INVALID_FIELD_FOR_INSERT_UPDATE",
    )
    assert client.ask("DELETE", f"sobjects/Pack__c/{pack}").status == 204
    assert client.query("SELECT Id FROM Line__c") == []


def test_two_orgs_of_one_seed_are_equal() -> None:
    def story(org: LocalOrg) -> list[Any]:
        client = Client(org)
        made = [client.made("Account", Name=str(n)) for n in range(3)]
        return [made, client.query("SELECT Id, Name FROM Account"), client.query("SELECT Id FROM User")]

    assert story(furnished(ManualClock(NOW))) == story(furnished(ManualClock(NOW)))


def test_an_uncommitted_unique_value_is_already_taken(client: Client) -> None:
    held = client.org.hold()
    with client.org.within(held):
        client.org.insert("Pack__c", {"Key__c": "Mine"})
    assert client.refusal("POST", "sobjects/Pack__c", {"Key__c": "MINE"}) == (400, "UNABLE_TO_LOCK_ROW")
    client.org.commit_held(held)
    assert client.refusal("POST", "sobjects/Pack__c", {"Key__c": "MINE"}) == (400, "DUPLICATE_VALUE")


def test_history_can_be_seeded(client: Client) -> None:
    case = client.made("Case", Subject="s")
    row = {
        "CaseId": case,
        "Field": "Status",
        "OldValue": "New",
        "NewValue": "Working",
        "CreatedDate": "2026-01-01T00:00:00Z",
    }
    client.org.seed_rows("CaseHistory", [row])
    [found] = client.query("SELECT NewValue, CreatedDate FROM CaseHistory WHERE Field = 'Status'")
    assert (found["NewValue"], found["CreatedDate"]) == ("Working", "2026-01-01T00:00:00.000+0000")


def test_an_answer_in_xml_is_refused_aloud(client: Client) -> None:
    assert client.refusal("GET", "limits", Accept="application/xml") == (406, "FUNCTIONALITY_NOT_ENABLED")


def test_a_record_type_brings_its_field(client: Client) -> None:
    from sfsync.localorg.schema import RecordType

    kind = RecordType(client.org.ids.one("012"), "Maintenance", "Maintenance")
    client.org.schema_change(SchemaChange(record_types=[("Case", kind)]))
    case = client.made("Case", Subject="s", RecordTypeId=kind.id)
    assert client.query(f"SELECT RecordType.DeveloperName FROM Case WHERE Id = '{case}'")[0]["RecordType"][
        "DeveloperName"
    ] == ("Maintenance")
    described = client.ask("GET", "sobjects/Case/describe").json()["recordTypeInfos"]
    assert [t["developerName"] for t in described] == ["Maintenance", "Master"]


def test_a_key_is_the_same_whatever_the_case_of_its_letters(client: Client) -> None:
    made = client.made("Pack__c", Key__c="Ñu-é")
    answer = client.ask("PATCH", f"sobjects/Pack__c/Key__c/{quote('ñU-É')}", {"Hours__c": 3})
    assert (answer.status, answer.json()["id"]) == (200, made)
    assert client.refusal("POST", "sobjects/Pack__c", {"Key__c": "ÑU-É"}) == (400, "DUPLICATE_VALUE")


def test_the_default_of_a_picklist_is_what_a_record_without_a_value_gets(client: Client) -> None:
    names = "Kind__c"
    for record_id, kind in ((client.made("Pack__c"), "Starter"), (client.made("Pack__c", Kind__c=None), None)):
        assert client.ask("GET", f"sobjects/Pack__c/{record_id}?fields={names}").json()["Kind__c"] == kind
    (kind,) = {client.org.get("Pack__c", i)["Kind__c"] for i in client.org.seed_rows("Pack__c", [{}])}  # type: ignore[index]
    assert kind == "Starter"
