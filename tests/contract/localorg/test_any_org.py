"""What holds of any org: the same questions in process, over HTTPS, and of a real org named by ``--org``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.localorg.doors import Door

LONG_ID = re.compile(r"[A-Za-z0-9]{15}[A-Z0-5]{3}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000")


def test_versions_are_listed_oldest_first_without_a_session(door: Door) -> None:
    door.token = "none"
    found = door.ask("GET", "/services/data").json()
    numbers = [float(each["version"]) for each in found]
    assert numbers == sorted(numbers)
    assert all(each.keys() == {"label", "url", "version"} for each in found)
    assert door.ask("GET", "limits").refusal == (401, "INVALID_SESSION_ID")


def test_a_record_is_created_read_changed_and_deleted_once(door: Door) -> None:
    answer = door.ask("POST", "sobjects/Account", {"Name": "sfsync contract", "NumberOfEmployees": 7})
    account = answer.json()["id"]
    door.made.append(("Account", account))
    assert answer.json() == {"id": account, "success": True, "errors": []}
    assert (answer.status, LONG_ID.fullmatch(account) is not None) == (201, True)
    assert answer.headers["location"].endswith(f"/sobjects/Account/{account}")
    assert re.fullmatch(r"api-usage=\d+/\d+.*", answer.headers["sforce-limit-info"])
    path = f"sobjects/Account/{account}"
    changed = door.ask("PATCH", path, {"Phone": "1"})
    assert (changed.status, changed.body) == (204, b"")
    read = door.ask("GET", f"sobjects/account/{account[:15]}?fields=NAME,Phone,NumberOfEmployees,CreatedDate").json()
    assert read["attributes"]["type"] == "Account"
    assert (read["Name"], read["Phone"], read["NumberOfEmployees"], read["Id"]) == ("sfsync contract", "1", 7, account)
    assert INSTANT.fullmatch(read["CreatedDate"])
    assert door.ask("DELETE", path).status == 204
    assert door.ask("DELETE", path).refusal == (404, "ENTITY_IS_DELETED")
    (gone,) = door.query(f"SELECT IsDeleted FROM Account WHERE Id = '{account}'", everything=True).json()["records"]
    assert gone["IsDeleted"] is True
    assert door.query(f"SELECT Id FROM Account WHERE Id = '{account}'").json()["totalSize"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("POST", "sobjects/Account", {"Name": "x", "Nope__c": 1}, (400, "INVALID_FIELD")),
        ("POST", "sobjects/Account", {}, (400, "REQUIRED_FIELD_MISSING")),
        ("POST", "sobjects/Account", {"Name": "x" * 300}, (400, "STRING_TOO_LONG")),
        ("POST", "sobjects/Account", {"Name": "x", "NumberOfEmployees": "many"}, (400, "JSON_PARSER_ERROR")),
        ("POST", "sobjects/Nope__c", {"Name": "x"}, (404, "NOT_FOUND")),
        ("PATCH", "sobjects/Account/001000000000000ZZZ", {"Name": "x"}, (400, "MALFORMED_ID")),
        ("GET", "sobjects/Account/nope", None, (404, "NOT_FOUND")),
        ("GET", "query?q=SELEKT", None, (400, "MALFORMED_QUERY")),
        ("GET", "query?q=SELECT+Nope__c+FROM+Account", None, (400, "INVALID_FIELD")),
        ("GET", "query?q=SELECT+Id+FROM+Nope__c", None, (400, "INVALID_TYPE")),
        ("GET", "query?q=SELECT+Id+FROM+Account+WHERE+CreatedDate=%272026-01-01%27", None, (400, "INVALID_FIELD")),
        ("GET", "query?q=SELECT+Id+FROM+Account+OFFSET+2001", None, (400, "NUMBER_OUTSIDE_VALID_RANGE")),
        ("GET", "nowhere", None, (404, "NOT_FOUND")),
    ],
)
def test_a_mistake_is_refused_with_its_code(
    door: Door, method: str, path: str, body: Any, refusal: tuple[int, str]
) -> None:
    assert door.ask(method, path, body).refusal == refusal


def test_a_describe_has_its_tag_and_says_what_sync_stands_on(door: Door) -> None:
    found = door.ask("GET", "sobjects/Account/describe").json()
    assert (found["name"], found["keyPrefix"], found["replicateable"]) == ("Account", "001", True)
    fields = {each["name"]: each for each in found["fields"]}
    assert (fields["Name"]["nillable"], fields["Id"]["type"], fields["SystemModstamp"]["updateable"]) == (
        False,
        "id",
        False,
    )
    listed = {each["name"] for each in door.ask("GET", "sobjects").json()["sobjects"]}
    assert {"Account", "Contact", "User", "Organization"} <= listed


def test_a_query_nests_parents_and_children_and_adds_up(door: Door) -> None:
    name = "sfsync contract"
    account = door.create("Account", Name=name)
    for last in ("Abel", "Baker"):
        door.create("Contact", LastName=last, AccountId=account)
    where = f"WHERE AccountId = '{account}'"
    found = door.query(f"SELECT LastName, Account.Name FROM Contact {where} ORDER BY LastName DESC").json()
    assert [(r["LastName"], r["Account"]["Name"]) for r in found["records"]] == [("Baker", name), ("Abel", name)]
    (parent,) = door.query(f"SELECT (SELECT LastName FROM Contacts) FROM Account WHERE Id = '{account}'").json()[
        "records"
    ]
    assert (parent["Contacts"]["totalSize"], parent["Contacts"]["done"]) == (2, True)
    (row,) = door.query(f"SELECT AccountId, COUNT(Id) n, MAX(LastName) FROM Contact {where} GROUP BY AccountId").json()[
        "records"
    ]
    assert row == {"attributes": {"type": "AggregateResult"}, "AccountId": account, "n": 2, "expr0": "Baker"}
    count = door.query(f"SELECT COUNT() FROM Contact {where}").json()
    assert count == {"totalSize": 2, "done": True, "records": []}


def test_a_collection_saves_what_it_can_or_nothing(door: Door) -> None:
    records = [{"attributes": {"type": "Account"}, **each} for each in ({"Name": "sfsync contract"}, {"Phone": "1"})]
    answer = door.ask("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    good, bad = answer.json()
    door.made.append(("Account", good["id"]))
    assert (answer.status, good["success"], bad["success"], "id" in bad) == (200, True, False, False)
    assert [each["statusCode"] for each in bad["errors"]] == ["REQUIRED_FIELD_MISSING"]
    both = door.ask("POST", "composite/sobjects", {"allOrNone": True, "records": records}).json()
    assert [each["errors"][0]["statusCode"] for each in both] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]


def test_a_composite_request_refers_to_itself_and_is_taken_back_whole(door: Door) -> None:
    base = "/services/data/v61.0/sobjects"
    parent = {"method": "POST", "url": f"{base}/Account", "referenceId": "a", "body": {"Name": "sfsync contract"}}
    child = {"method": "POST", "url": f"{base}/Contact", "referenceId": "c", "body": {"AccountId": "@{a.id}"}}
    whole = {"allOrNone": True, "compositeRequest": [parent, child]}
    refused = door.ask("POST", "composite", whole).json()["compositeResponse"]
    assert [(each["httpStatusCode"], each["body"][0]["errorCode"]) for each in refused] == [
        (400, "PROCESSING_HALTED"),
        (400, "REQUIRED_FIELD_MISSING"),
    ]
    child["body"] = {"AccountId": "@{a.id}", "LastName": "Reference"}
    done = door.ask("POST", "composite", whole).json()["compositeResponse"]
    assert [each["httpStatusCode"] for each in done] == [201, 201]
    door.made += [("Account", done[0]["body"]["id"]), ("Contact", done[1]["body"]["id"])]


def test_a_bulk_query_ends_with_the_word_null(door: Door) -> None:
    asked = {"operation": "query", "query": "SELECT Id FROM User LIMIT 1"}
    job = door.ask("POST", "jobs/query", asked).json()
    assert (job["state"], job["contentType"], job["object"]) == ("UploadComplete", "CSV", "User")
    path = f"jobs/query/{job['id']}"
    for _ in range(600):
        if door.ask("GET", path).json()["state"] not in ("UploadComplete", "InProgress"):
            break
    answer = door.ask("GET", f"{path}/results")
    assert (answer.headers["sforce-locator"], answer.headers["sforce-numberofrecords"]) == ("null", "1")
    assert answer.body.decode().startswith('"Id"\n"005')
    assert door.ask("DELETE", path).status == 204
