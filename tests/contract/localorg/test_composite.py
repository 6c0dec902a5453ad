"""Several records or requests in one call: collections, composite, batch, tree, graph, and what each costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.localorg.core_world import DATA, Client


@pytest.fixture
def client() -> Client:
    """An administrator's client."""
    return Client()


def account(name: str | None) -> dict[str, Any]:
    """Return an Account for a collections call."""
    return {"attributes": {"type": "Account"}, **({} if name is None else {"Name": name})}


def cost(client: Client, method: str, path: str, body: Any) -> int:
    """Return the API calls that one request costs."""
    before = client.org.spent()
    client.ask(method, path, body)
    return client.org.spent() - before


# Collections


def test_a_collection_saves_what_it_can_in_the_order_it_was_given(client: Client) -> None:
    answer = client.ask("POST", "composite/sobjects", {"records": [account("A"), account(None), account("B")]})
    first, second, third = answer.json()
    assert (answer.status, first["success"], third["success"]) == (200, True, True)
    assert second == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }
    assert client.org.count("Account") == 2


def test_all_or_none_takes_innocent_records_back(client: Client) -> None:
    answer = client.ask(
        "POST", "composite/sobjects", {"allOrNone": True, "records": [account("A"), account(None)]}
    ).json()
    assert [r["errors"][0]["statusCode"] for r in answer] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert "id" not in answer[0]
    assert client.org.count("Account") == 0


def test_a_collection_is_updated_and_deleted_by_id(client: Client) -> None:
    made = [r["id"] for r in client.ask("POST", "composite/sobjects", {"records": [account("A"), account("B")]}).json()]
    records = [{"attributes": {"type": "Account"}, "id": i, "Phone": "1"} for i in (*made, "001AA0000000009")]
    answer = client.ask("PATCH", "composite/sobjects", {"records": records}).json()
    assert [r["success"] for r in answer] == [True, True, False]
    gone = client.ask("DELETE", f"composite/sobjects?ids={','.join(made)}&allOrNone=true").json()
    assert [(r["id"], r["success"]) for r in gone] == [(made[0], True), (made[1], True)]
    assert client.org.count("Account") == 0


def test_a_collection_is_upserted_by_external_id(client: Client) -> None:
    def entry(key: str | None, hours: float) -> dict[str, Any]:
        return {"attributes": {"type": "Pack__c"}, "Key__c": key, "Hours__c": hours}

    first = client.ask("PATCH", "composite/sobjects/Pack__c/Key__c", {"records": [entry("a", 1), entry("b", 2)]}).json()
    assert [r["created"] for r in first] == [True, True]
    again = client.ask(
        "PATCH", "composite/sobjects/Pack__c/Key__c", {"records": [entry("A", 3), entry("c", 4), entry("C", 5)]}
    ).json()
    assert [(r["success"], r["created"]) for r in again] == [(True, False), (True, True), (False, False)]
    assert again[0]["id"] == first[0]["id"]
    assert {(r["Key__c"], r["Hours__c"]) for r in client.query("SELECT Key__c, Hours__c FROM Pack__c")} == {
        ("a", 3.0),
        ("b", 2.0),
        ("c", 4.0),
    }


def test_an_upsert_on_id_creates_without_one(client: Client) -> None:
    records = [{"attributes": {"type": "Account"}, "Id": None, "Name": "A"}]
    assert client.ask("PATCH", "composite/sobjects/Account/Id", {"records": records}).json()[0]["created"] is True


def test_more_than_200_records_are_refused(client: Client) -> None:
    body = {"records": [account("x")] * 201}
    assert client.refusal("POST", "composite/sobjects", body) == (400, "EXCEEDED_ID_LIMIT")


def test_two_changes_of_one_record_in_one_call_are_not_both_done(client: Client) -> None:
    made = client.made("Account", Name="A")
    records = [{"attributes": {"type": "Account"}, "Id": made, "Name": n} for n in "BC"]
    answer = client.ask("PATCH", "composite/sobjects", {"records": records}).json()
    assert [r["success"] for r in answer] == [True, False]


def test_retrieved_records_stand_where_their_ids_stand(client: Client) -> None:
    made = client.made("Account", Name="A")
    body = {"ids": ["001AA0000000009", made], "fields": ["Name"]}
    absent, found = client.ask("POST", "composite/sobjects/Account", body).json()
    assert absent is None
    assert (found["Name"], found["Id"]) == ("A", made)
    assert client.ask("GET", f"composite/sobjects/Account?ids={made}&fields=Name").json()[0]["Name"] == "A"


# Composite


def sub(method: str, path: str, reference: str, body: Any = None) -> dict[str, Any]:
    """Return a subrequest."""
    return {"method": method, "url": f"{DATA}/{path}", "referenceId": reference} | (
        {} if body is None else {"body": body}
    )


def test_a_composite_request_refers_to_earlier_answers_and_costs_one_call(client: Client) -> None:
    wanted = [
        sub("POST", "sobjects/Account", "a", {"Name": "Acme"}),
        sub("POST", "sobjects/Contact", "c", {"LastName": "Li", "AccountId": "@{a.id}"}),
        sub("GET", "query?q=SELECT+Id,AccountId+FROM+Contact", "q"),
        sub("PATCH", "sobjects/Account/@{q.records[0].AccountId}", "u", {"Phone": "@{c.id}"}),
    ]
    before = client.org.spent()
    answer = client.ask("POST", "composite", {"allOrNone": True, "compositeRequest": wanted}).json()[
        "compositeResponse"
    ]
    assert client.org.spent() - before == 1
    assert [a["httpStatusCode"] for a in answer] == [201, 201, 200, 204]
    assert answer[3]["body"] is None
    assert client.query("SELECT Phone FROM Account")[0]["Phone"] == answer[1]["body"]["id"]


def test_a_failed_composite_request_takes_everything_back(client: Client) -> None:
    wanted = [
        sub("POST", "sobjects/Account", "a", {"Name": "A"}),
        sub("POST", "sobjects/Account", "b", {}),
        sub("GET", "limits", "c"),
    ]
    answer = client.ask("POST", "composite", {"allOrNone": True, "compositeRequest": wanted}).json()[
        "compositeResponse"
    ]
    codes = [a["body"][0]["errorCode"] for a in answer]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert client.org.count("Account") == 0


def test_without_all_or_none_only_dependents_of_a_failure_fail(client: Client) -> None:
    wanted = [
        sub("POST", "sobjects/Account", "a", {}),
        sub("POST", "sobjects/Contact", "c", {"LastName": "Li", "AccountId": "@{a.id}"}),
        sub("POST", "sobjects/Account", "b", {"Name": "B"}),
    ]
    answer = client.ask("POST", "composite", {"compositeRequest": wanted}).json()["compositeResponse"]
    assert [a["httpStatusCode"] for a in answer] == [400, 400, 201]
    assert answer[1]["body"][0]["message"] == "Invalid reference specified. No value for a.id found in a"


def test_an_inner_success_can_be_taken_back_from_outside(client: Client) -> None:
    wanted = [
        sub("POST", "composite/sobjects", "in", {"allOrNone": False, "records": [account("A")]}),
        sub("POST", "sobjects/Account", "bad", {}),
    ]
    client.ask("POST", "composite", {"allOrNone": True, "compositeRequest": wanted})
    assert client.org.count("Account") == 0


@pytest.mark.parametrize(
    "wanted",
    [
        [sub("GET", "limits", f"r{n}") for n in range(26)],
        [sub("GET", "query?q=SELECT+Id+FROM+Case", f"r{n}") for n in range(6)],
        [sub("GET", "limits", "bad[1]")],
        [sub("GET", "limits", "same"), sub("GET", "limits", "same")],
        [sub("GET", "limits", "a") | {"httpHeaders": {"Authorization": "x"}}],
        [],
    ],
)
def test_a_composite_request_beyond_its_bounds_is_refused_whole(client: Client, wanted: list[Any]) -> None:
    assert client.ask("POST", "composite", {"compositeRequest": wanted}).status == 400


def test_a_describe_inside_a_composite_request_can_be_unchanged(client: Client) -> None:
    seen = client.ask("GET", "sobjects/Case/describe").header("Last-Modified")
    wanted = [sub("GET", "sobjects/Case/describe", "d") | {"httpHeaders": {"If-Modified-Since": seen}}]
    [answer] = client.ask("POST", "composite", {"compositeRequest": wanted}).json()["compositeResponse"]
    assert (answer["httpStatusCode"], answer["body"]) == (304, None)


# Batch, tree, graph


def test_a_batch_costs_a_call_for_each_of_its_requests_and_keeps_what_was_done(client: Client) -> None:
    wanted = [
        {"method": "POST", "url": "v61.0/sobjects/Account", "richInput": {"Name": "A"}},
        {"method": "POST", "url": "v61.0/sobjects/Account", "richInput": {}},
        {"method": "GET", "url": "v61.0/limits"},
    ]
    before = client.org.spent()
    answer = client.ask("POST", "composite/batch", {"batchRequests": wanted, "haltOnError": True}).json()
    assert client.org.spent() - before == 3
    assert answer["hasErrors"] is True
    assert [r["statusCode"] for r in answer["results"]] == [201, 400, 412]
    assert client.org.count("Account") == 1


def test_a_tree_is_planted_whole_or_not_at_all(client: Client) -> None:
    def tree(last_name: str) -> dict[str, Any]:
        leaf = {"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": last_name}
        return {
            "records": [
                {"attributes": {"type": "Account", "referenceId": "a"}, "Name": "A", "Contacts": {"records": [leaf]}}
            ]
        }

    bad = client.ask("POST", "composite/tree/Account", tree(""))
    assert (bad.status, bad.json()["results"][0]["referenceId"]) == (400, "c")
    assert client.org.count("Account") == 0
    good = client.ask("POST", "composite/tree/Account", tree("Li"))
    assert (good.status, [r["referenceId"] for r in good.json()["results"]]) == (201, ["a", "c"])
    assert client.query("SELECT Account.Name FROM Contact")[0]["Account"]["Name"] == "A"


def test_graphs_stand_and_fall_on_their_own(client: Client) -> None:
    graphs = [
        {
            "graphId": "g1",
            "compositeRequest": [
                sub("POST", "sobjects/Account", "a", {"Name": "A"}),
                sub("POST", "sobjects/Account", "b", {}),
            ],
        },
        {"graphId": "g2", "compositeRequest": [sub("POST", "sobjects/Account", "a", {"Name": "B"})]},
    ]
    answer = client.ask("POST", "composite/graph", {"graphs": graphs}).json()["graphs"]
    assert [g["isSuccessful"] for g in answer] == [False, True]
    assert [r["Name"] for r in client.query("SELECT Name FROM Account")] == ["B"]


# Files and notifications


def test_an_uploaded_file_is_linked_to_its_record(client: Client) -> None:
    case = client.made("Case", Subject="s")
    boundary = (
        b'--x\r\nContent-Disposition: form-data; name="entity_content"\r\nContent-Type: application/json\r\n\r\n'
        b'{"Title":"Statement","PathOnClient":"statement.pdf","FirstPublishLocationId":"' + case.encode() + b'"}\r\n'
        b'--x\r\nContent-Disposition: form-data; name="VersionData"; filename="statement.pdf"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%PDF-1\r\n\x00\xff\r\n--x--\r\n"
    )
    made = client.ask("POST", "sobjects/ContentVersion", boundary, Content_Type="multipart/form-data; boundary=x")
    assert made.status == 201, made.body
    [version] = client.query("SELECT Id, ContentDocumentId, ContentSize, FileType, Title FROM ContentVersion")
    assert (version["ContentSize"], version["FileType"]) == (10, "PDF")
    links = client.query(
        f"SELECT LinkedEntityId FROM ContentDocumentLink WHERE ContentDocumentId = '{version['ContentDocumentId']}'"
    )
    assert case in {r["LinkedEntityId"] for r in links}
    data = client.ask("GET", f"sobjects/ContentVersion/{version['Id']}/VersionData")
    assert (data.body, data.header("Content-Type")) == (b"%PDF-1\r\n\x00\xff", "application/octetstream")


def test_a_custom_notification_is_accepted_and_journaled(client: Client) -> None:
    wanted = {
        "customNotifTypeId": "0MLAA0000000001",
        "recipientIds": [client.org.admin_id],
        "title": "t",
        "body": "b",
        "targetId": "x",
    }
    answer = client.ask("POST", "actions/standard/customNotificationAction", {"inputs": [wanted]})
    assert answer.json()[0]["isSuccess"] is True
    assert client.org.journal.notifications[0]["title"] == "t"
    assert client.ask("POST", "actions/standard/customNotificationAction", {"inputs": [{"title": "t"}]}).status == 400
