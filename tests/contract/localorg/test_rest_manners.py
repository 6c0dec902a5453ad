"""Small manners of REST that clients lean on: how an answer is written, where a path leads, what a condition stops."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

import pytest

from tests.contract.localorg.core_world import Client


@pytest.fixture
def client() -> Client:
    """An administrator in a furnished org."""
    return Client()


def test_an_answer_is_laid_out_for_people_when_asked(client: Client) -> None:
    plain = client.ask("GET", "limits/recordCount?sObjects=User")
    laid_out = client.ask("GET", "limits/recordCount?sObjects=User", X_PrettyPrint="1")
    assert b"\n" not in plain.body
    assert laid_out.body.startswith(b'{\n  "sObjects"')
    assert laid_out.json() == plain.json()


def test_a_path_may_say_json_behind_it_and_a_key_keeps_what_looks_like_that(client: Client) -> None:
    assert client.ask("GET", "limits.json").status == 200
    assert client.ask("GET", f"query.json?{urlencode({'q': 'SELECT Id FROM User'})}").json()["done"] is True
    pack = client.made("Pack__c", Key__c="a.json")
    assert client.ask("GET", "sobjects/Pack__c/Key__c/a.json").json()["Id"] == pack
    assert client.refusal("GET", "limits.xml") == (406, "FUNCTIONALITY_NOT_ENABLED")


def test_a_resource_that_is_not_here_is_logged_as_not_modelled(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "sfsync.localorg"):
        assert client.refusal("GET", "/services/apexrest/anything") == (404, "NOT_FOUND")
    assert caplog.messages == ["not modelled: GET /services/apexrest/anything"]


def test_a_relationship_in_a_path_leads_to_its_parent_for_reading_changing_and_deleting(client: Client) -> None:
    account = client.made("Account", Name="Acme")
    contact = client.made("Contact", LastName="Doe", AccountId=account)
    path = f"sobjects/Contact/{contact}/Account"
    assert client.ask("PATCH", path, {"Phone": "7"}).status == 204
    assert client.ask("GET", f"{path}?fields=Phone").json()["Phone"] == "7"
    found = client.ask("GET", f"sobjects/Account/{account}/Contacts?fields=LastName").json()
    assert [list(record) for record in found["records"]] == [["attributes", "LastName", "Id"]]
    assert client.ask("DELETE", path).status == 204
    assert client.refusal("GET", f"sobjects/Account/{account}") == (404, "NOT_FOUND")
    alone = client.made("Contact", LastName="Roe")
    assert client.refusal("PATCH", f"sobjects/Contact/{alone}/Account", {}) == (404, "NOT_FOUND")
    assert client.refusal("DELETE", f"sobjects/Contact/{alone}/Account") == (404, "NOT_FOUND")


def test_the_tag_of_an_account_guards_its_changes(client: Client) -> None:
    path = f"sobjects/Account/{client.made('Account', Name='Acme')}"
    tag = client.ask("GET", path).header("ETag") or ""
    assert client.ask("PATCH", path, {"Phone": "1"}, If_None_Match=tag).status == 412
    assert client.ask("PATCH", path, {"Phone": "1"}, If_Match=f'{tag[:-1]}-gzip"').status == 204
    assert client.ask("PATCH", path, {"Phone": "2"}, If_Match=tag).status == 412


def test_definitions_of_objects_and_fields_are_found_by_a_plain_query(client: Client) -> None:
    (found,) = client.query("SELECT QualifiedApiName, KeyPrefix FROM EntityDefinition WHERE QualifiedApiName = 'Case'")
    assert found == {
        "attributes": {"type": "EntityDefinition", "url": found["attributes"]["url"]},
        "QualifiedApiName": "Case",
        "KeyPrefix": "500",
    }
    assert found["attributes"]["url"].startswith("/services/data/v61.0/sobjects/EntityDefinition/")
    fields = client.query(
        "SELECT QualifiedApiName FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Pack__c' "
        "AND QualifiedApiName LIKE 'K%' ORDER BY QualifiedApiName"
    )
    assert [each["QualifiedApiName"] for each in fields] == ["Key__c", "Kind__c"]
