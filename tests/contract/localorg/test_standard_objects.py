"""The objects every org comes with: all can be described and queried, and the odd ones behave oddly."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.localorg.standard import standard_schema
from tests.contract.localorg.core_world import Client


@pytest.fixture(scope="module")
def client() -> Client:
    """An administrator's client."""
    return Client()


@pytest.mark.parametrize("name", [o.name for o in standard_schema()])
def test_every_field_of_a_standard_object_can_be_described_and_read(client: Client, name: str) -> None:
    described = client.ask("GET", f"sobjects/{name}/describe").json()
    fields = [f["name"] for f in described["fields"]]
    where = " WHERE ContentDocumentId = '069AA0000000001'" if name == "ContentDocumentLink" else ""
    rows = client.query(f"SELECT {', '.join(fields)} FROM {name}{where} LIMIT 5")
    for row in rows:
        whole = client.ask("GET", f"sobjects/{name}/{row['Id']}").json()
        assert whole.keys() == {"attributes", *fields}
        assert {k: v for k, v in row.items() if k != "attributes"} == {
            k: v for k, v in whole.items() if k != "attributes"
        }


def test_a_fresh_org_has_its_people_profiles_statuses_hours_and_queue(client: Client) -> None:
    people = {r["Username"]: r["Profile"]["Name"] for r in client.query("SELECT Username, Profile.Name FROM User")}
    assert people["admin@acme.example"] == "System Administrator"
    assert people["integration@acme.example"] == "Minimum Access - API Only Integrations"
    assert {p for n, p in people.items() if n.startswith(("client", "consultant"))} == {"Standard User"}
    assert [r["ApiName"] for r in client.query("SELECT ApiName FROM CaseStatus WHERE IsClosed = TRUE")] == ["Closed"]
    assert client.query("SELECT Name FROM Group WHERE Type = 'Queue'")[0]["Name"] == "Support"
    [hours] = client.query("SELECT IsDefault, MondayStartTime, TimeZoneSidKey FROM BusinessHours")
    assert hours["MondayStartTime"] == "00:00:00.000Z"


def test_business_hours_are_made_and_changed_but_never_deleted(client: Client) -> None:
    made = client.made("BusinessHours", Name="Bucharest", TimeZoneSidKey="Europe/Bucharest",
                       MondayStartTime="09:00:00.000Z", MondayEndTime="18:00", IsActive=True)  # fmt: skip
    row = client.ask("GET", f"sobjects/BusinessHours/{made}").json()
    assert (row["MondayStartTime"], row["MondayEndTime"], row["SundayStartTime"]) == (
        "09:00:00.000Z",
        "18:00:00.000Z",
        None,
    )
    assert "IsDeleted" not in row
    assert client.refusal("DELETE", f"sobjects/BusinessHours/{made}")[0] == 400


def test_a_holiday_is_deleted_for_good_and_its_recurrence_is_fixed(client: Client) -> None:
    made = client.made("Holiday", Name="Ziua Națională", ActivityDate="2026-12-01", IsRecurrence=False)
    assert (
        client.refusal("PATCH", f"sobjects/Holiday/{made}", {"IsRecurrence": True})[1]
        == "INVALID_FIELD_FOR_INSERT_UPDATE"
    )
    assert client.ask("PATCH", f"sobjects/Holiday/{made}", {"ActivityDate": "2027-12-01"}).status == 204
    assert client.ask("DELETE", f"sobjects/Holiday/{made}").status == 204
    assert client.query("SELECT Id FROM Holiday", everything=True) == []
    log = client.ask("GET", "sobjects/Holiday/deleted?start=2026-11-21T19:00:00Z&end=2026-11-21T21:00:00Z").json()
    assert [d["id"] for d in log["deletedRecords"]] == [made]


def test_an_e_mail_and_a_comment_go_with_their_case(client: Client) -> None:
    case = client.made("Case", Subject="s")
    client.made(
        "EmailMessage", ParentId=case, Subject="Re: s", TextBody="hello", FromAddress="a@b.example", Incoming=True
    )
    client.made("CaseComment", ParentId=case, CommentBody="done", IsPublished=True)
    below = "(SELECT Subject, Status FROM EmailMessages), (SELECT CommentBody FROM CaseComments)"
    found = client.query(f"SELECT Id, {below} FROM Case WHERE Id = '{case}'")
    assert found[0]["EmailMessages"]["records"][0]["Status"] == "0"
    assert found[0]["CaseComments"]["records"][0]["CommentBody"] == "done"
    client.ask("DELETE", f"sobjects/Case/{case}")
    assert client.query("SELECT Id FROM CaseComment") == []


def test_a_person_s_name_is_made_of_its_parts(client: Client) -> None:
    contact = client.made("Contact", FirstName="Ana", LastName="Li")
    client.ask("PATCH", f"sobjects/Contact/{contact}", {"FirstName": None})
    assert client.ask("GET", f"sobjects/Contact/{contact}").json()["Name"] == "Li"
    assert client.refusal("PATCH", f"sobjects/Contact/{contact}", {"Name": "x"})[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_user_is_made_by_an_administrator_with_a_name_nobody_has(client: Client) -> None:
    profile = client.query("SELECT Id FROM Profile WHERE Name = 'Standard User'")[0]["Id"]
    values: dict[str, Any] = {
        "LastName": "New", "Username": "new@acme.example", "Email": "new@acme.example", "Alias": "new",
        "ProfileId": profile, "TimeZoneSidKey": "Europe/Bucharest", "LocaleSidKey": "ro_RO", "LanguageLocaleKey": "ro",
        "EmailEncodingKey": "UTF-8",
    }  # fmt: skip
    made = client.made("User", **values)
    assert client.org.actor("new@acme.example").user_id == made
    assert client.refusal("POST", "sobjects/User", values | {"Username": "NEW@acme.example"}) == (
        400,
        "DUPLICATE_USERNAME",
    )
    assert client.refusal("DELETE", f"sobjects/User/{made}")[0] == 400


def test_an_attachment_keeps_its_bytes(client: Client) -> None:
    case = client.made("Case", Subject="s")
    made = client.made("Attachment", ParentId=case, Name="a.txt", Body="aGVsbG8=")
    assert client.ask("GET", f"sobjects/Attachment/{made}/Body").body == b"hello"
    assert client.query(f"SELECT BodyLength FROM Attachment WHERE Id = '{made}'")[0]["BodyLength"] == 5
