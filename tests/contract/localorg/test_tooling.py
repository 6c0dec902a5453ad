"""The Tooling API: what deploying clients ask first, and one component at a time."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from sfsync.localorg.metadata import deploy_zip
from tests.contract.localorg.metadata_world import Asking, box_package, text_field

WHOLE = {"type": "Text", "label": "T", "length": 5}
TOOLING = "/services/data/v61.0/tooling"


def boxed() -> Asking:
    client = Asking()
    rule = (
        "<validationRules><fullName>R</fullName><active>true</active><errorConditionFormula>ISBLANK(Tag__c)"
        "</errorConditionFormula><errorMessage>No.</errorMessage></validationRules>"
    )
    key = text_field("Key__c", "<externalId>true</externalId><unique>true</unique>")
    assert deploy_zip(client.org, box_package(text_field("Tag__c"), key, rule)).status == "Succeeded"
    return client


def asked(client: Asking, statement: str) -> Any:
    answer = client.http("GET", f"{TOOLING}/query?q={quote(statement)}")
    assert answer.status == 200, answer.body
    return answer.json()


def sent(client: Asking, method: str, path: str, body: Any) -> Any:
    return client.http(method, f"{TOOLING}{path}", json.dumps(body).encode(), Content_Type="application/json")


def test_custom_objects_and_fields_are_found_by_developer_name() -> None:
    client = boxed()
    found = asked(client, "SELECT Id, DeveloperName FROM CustomObject WHERE DeveloperName = 'Box'")
    assert (found["size"], found["totalSize"], found["done"], found["entityTypeName"]) == (1, 1, True, "CustomObject")
    (owner,) = found["records"]
    assert owner["attributes"]["url"] == f"{TOOLING}/sobjects/CustomObject/{owner['Id']}"
    where = f"TableEnumOrId = '{owner['Id']}' AND DeveloperName = 'Tag'"
    found = asked(client, f"SELECT Id, FullName, Metadata, Length FROM CustomField WHERE {where}")
    (field,) = found["records"]
    assert (field["FullName"], field["Length"]) == ("Box__c.Tag__c", 40)
    assert field["Metadata"] == {"label": "Tag", "length": 40, "type": "Text"}


def test_columns_can_be_asked_for_as_the_command_line_does() -> None:
    text = quote("SELECT DeveloperName, Length FROM CustomField")
    found = boxed().http("GET", f"{TOOLING}/query?q={text}&columns=true").json()
    assert [c["columnName"] for c in found["columnMetadata"]] == ["DeveloperName", "Length"]
    assert [c["numberType"] for c in found["columnMetadata"]] == [False, True]


def test_field_definitions_say_what_setup_says() -> None:
    text = "SELECT QualifiedApiName, DataType, EntityDefinition.QualifiedApiName FROM FieldDefinition WHERE "
    rows = asked(boxed(), f"{text}EntityDefinition.QualifiedApiName = 'Box__c'")["records"]
    types = {r["QualifiedApiName"]: r["DataType"] for r in rows}
    assert types["Tag__c"] == "Text(40)"
    assert types["Key__c"] == "Text(40) (External ID) (Unique Case Insensitive)"
    assert types["OwnerId"] == "Lookup(Group,User)"
    assert types["Name"] == "Auto Number"
    assert rows[0]["EntityDefinition"]["QualifiedApiName"] == "Box__c"


def test_objects_are_defined_with_their_fields_below_them() -> None:
    text = "SELECT QualifiedApiName, KeyPrefix, (SELECT QualifiedApiName FROM Fields) FROM EntityDefinition WHERE "
    (row,) = asked(boxed(), f"{text}QualifiedApiName IN ('Case')")["records"]
    assert row["KeyPrefix"] == "500"
    assert {"Subject", "Status"} <= {f["QualifiedApiName"] for f in row["Fields"]["records"]}


def test_a_definition_that_the_user_may_not_see_is_not_there() -> None:
    client = boxed()
    client.token = client.org.logins.open_session(client.org.integration_id)
    assert asked(client, "SELECT Id FROM EntityDefinition WHERE QualifiedApiName = 'Box__c'")["size"] == 0


def test_there_are_no_packages_and_no_apex_yet_both_can_be_asked_for() -> None:
    client = boxed()
    text = "SELECT SubscriberPackage.Id, SubscriberPackage.NamespacePrefix, SubscriberPackageVersionId FROM "
    assert asked(client, f"{text}InstalledSubscriberPackage")["records"] == []
    assert asked(client, "SELECT Id, Name FROM ApexClass WHERE NamespacePrefix = null")["size"] == 0
    (organization,) = asked(client, "SELECT Id, Name FROM Organization")["records"]
    assert organization["Id"] == client.org.org_id


def test_rules_are_listed_with_their_object() -> None:
    text = "SELECT ValidationName, Active, EntityDefinition.DeveloperName FROM ValidationRule"
    (row,) = asked(boxed(), text)["records"]
    assert (row["ValidationName"], row["Active"], row["EntityDefinition"]["DeveloperName"]) == ("R", True, "Box")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT Id FROM SourceMember", "INVALID_TYPE"),
        ("SELECT Nope FROM CustomField", "INVALID_FIELD"),
        ("SELECT", "MALFORMED_QUERY"),
    ],
)
def test_what_is_not_there_is_refused_as_in_any_query(statement: str, code: str) -> None:
    answer = boxed().http("GET", f"{TOOLING}/query?q={quote(statement)}")
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)


def test_a_field_is_made_read_changed_and_deleted() -> None:
    client = boxed()
    body = {"FullName": "Box__c.Hours__c", "Metadata": {"type": "Number", "precision": 8, "scale": 2, "label": "Hours"}}
    made = sent(client, "POST", "/sobjects/CustomField", body)
    assert made.status == 201
    field_id = made.json()["id"]
    assert client.org.schema["Box__c"].fields["Hours__c"].precision == 8
    path = f"/sobjects/CustomField/{field_id}"
    read = client.http("GET", f"{TOOLING}{path}").json()
    assert (read["FullName"], read["DeveloperName"], read["Metadata"]["scale"]) == ("Box__c.Hours__c", "Hours", 2)
    changed = {"Metadata": {"type": "Number", "precision": 9, "scale": 3, "label": "Hours"}}
    assert sent(client, "PATCH", path, changed).status == 204
    assert client.org.schema["Box__c"].fields["Hours__c"].precision == 9
    assert client.http("DELETE", f"{TOOLING}{path}").status == 204
    assert "Hours__c" not in client.org.schema["Box__c"].fields
    assert client.http("GET", f"{TOOLING}{path}").status == 404


def test_a_picklist_is_made_from_nested_metadata() -> None:
    client = boxed()
    values = {
        "sorted": False,
        "value": [{"valueName": "x", "fullName": "A", "label": "A"}, {"fullName": "B", "label": "B"}],
    }
    metadata = {"type": "Picklist", "label": "P", "valueSet": {"restricted": True, "valueSetDefinition": values}}
    made = sent(client, "POST", "/sobjects/CustomField", {"FullName": "Case.P__c", "Metadata": metadata})
    assert made.status == 201
    assert [v.value for v in client.org.schema["Case"].fields["P__c"].picklist] == ["A", "B"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"FullName": "Box__c.T__c", "Metadata": {"type": "Text", "label": "T"}}, "REQUIRED_FIELD_MISSING"),
        ({"FullName": "Nope__c.T__c", "Metadata": WHOLE}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"FullName": "Box__c.Tag__c", "Metadata": WHOLE}, "DUPLICATE_DEVELOPER_NAME"),
    ],
)
def test_a_field_that_cannot_be_is_refused(body: Any, code: str) -> None:
    answer = sent(boxed(), "POST", "/sobjects/CustomField", body)
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)


def test_setup_objects_can_be_described() -> None:
    client = boxed()
    names = [o["name"] for o in client.http("GET", f"{TOOLING}/sobjects").json()["sobjects"]]
    assert "CustomField" in names
    described = client.http("GET", f"{TOOLING}/sobjects/CustomField/describe").json()
    assert "DeveloperName" in [f["name"] for f in described["fields"]]
    assert client.http("GET", f"{TOOLING}/sobjects/Nope/describe").status == 404
    assert sent(client, "POST", "/sobjects/ApexClass", {"FullName": "A", "Metadata": {}}).status == 405
