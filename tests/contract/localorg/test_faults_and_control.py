"""Failures on purpose, and the control face through which tests and people pull the strings."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.localorg.face import Request
from sfsync.localorg.faults import KINDS, Faults
from tests.contract.localorg.core_world import Client


@pytest.fixture
def client() -> Client:
    """An administrator's client."""
    return Client()


def plan(client: Client, *rules: dict[str, Any], seed: int = 1) -> None:
    """Set the fault plan of the client's org."""
    client.org.faults = Faults.of({"seed": seed, "rules": list(rules)})


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("session", 401, "INVALID_SESSION_ID"),
        ("daily_limit", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("concurrent_limit", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("server_error", 500, "UNKNOWN_EXCEPTION"),
        ("query_timeout", 400, "QUERY_TIMEOUT"),
    ],
)
def test_an_answer_can_be_replaced_by_a_refusal(client: Client, kind: str, status: int, code: str) -> None:
    plan(client, {"kind": kind, "times": 1})
    assert client.refusal("POST", "sobjects/Account", {"Name": "A"}) == (status, code)
    assert client.org.count("Account") == 0
    assert client.ask("GET", "limits").status == (401 if kind == "session" else 200)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("session", "INVALID_SESSION_ID"), ("daily_limit", "REQUEST_LIMIT_EXCEEDED"), ("query_timeout", "QUERY_TIMEOUT")],
)
def test_a_refusal_has_the_shape_of_the_api_that_was_asked(client: Client, kind: str, code: str) -> None:
    session = f"<sf:SessionHeader xmlns:sf='urn:x'><sf:sessionId>{client.token}</sf:sessionId></sf:SessionHeader>"
    envelope = f"<Envelope><Header>{session}</Header><Body><getServerTimestamp/></Body></Envelope>".encode()
    plan(client, {"kind": kind, "times": 1, "user": client.org.admin_id})
    answer = client.ask("POST", "/services/Soap/u/61.0", envelope, Content_Type="text/xml", Authorization="")
    assert answer.status == 500
    assert f"<faultcode>sf:{code}</faultcode>".encode() in answer.body
    ended = client.ask("POST", "/services/Soap/u/61.0", envelope, Content_Type="text/xml", Authorization="")
    assert ended.status == (500 if kind == "session" else 200)
    assert client.ask("PUT", "/services/Soap/u/61.0").body.startswith(b"<?xml")
    other = Client()
    plan(other, {"kind": kind, "times": 1})
    of_jobs = other.ask("GET", "/services/async/61.0/job/750000000000000AAA", X_SFDC_Session=other.token)
    assert of_jobs.status == 400
    assert of_jobs.json().keys() == {"exceptionCode", "exceptionMessage"}


@pytest.mark.parametrize(("kind", "status"), [("unavailable", 503), ("maintenance", 420), ("not_acceptable", 406)])
def test_the_edge_answers_without_json(client: Client, kind: str, status: int) -> None:
    plan(client, {"kind": kind})
    answer = client.ask("GET", "limits")
    assert answer.status == status
    assert not answer.body.startswith(b"[")


@pytest.mark.parametrize(
    ("kind", "broken", "done"),
    [
        ("timeout_before", "timeout", 0), ("timeout_after", "timeout", 1),
        ("reset_before", "reset", 0), ("reset_after", "reset", 1),
        ("cut_body", "cut", 1), ("slow", None, 1), ("duplicate", None, 2),
    ],
)  # fmt: skip
def test_a_broken_connection_says_nothing_about_what_was_done(
    client: Client, kind: str, broken: str | None, done: int
) -> None:
    plan(client, {"kind": kind, "method": "POST", "seconds": 2.5})
    answer = client.ask("POST", "sobjects/Account", {"Name": "A"})
    assert answer.broken == broken
    assert answer.delay_seconds == (2.5 if kind == "slow" else 0)
    assert client.org.count("Account") == done


def test_a_late_commit_shows_up_with_its_old_stamp(client: Client) -> None:
    plan(client, {"kind": "late_commit", "method": "POST", "seconds": 300, "times": 1})
    assert client.ask("POST", "sobjects/Account", {"Name": "A"}).broken == "timeout"
    assert client.query("SELECT Id FROM Account") == []
    clock: Any = client.org.clock
    clock.advance(301)
    assert client.query("SELECT SystemModstamp FROM Account")[0]["SystemModstamp"] == "2026-11-21T20:00:00.000+0000"


def test_a_row_lock_strikes_one_row_of_a_collection(client: Client) -> None:
    made = [client.made("Account", Name=n) for n in "AB"]
    plan(client, {"kind": "row_lock", "object": "Account", "record": made[1]})
    records = [{"attributes": {"type": "Account"}, "Id": i, "Phone": "1"} for i in made]
    answer = client.ask("PATCH", "composite/sobjects", {"records": records}).json()
    assert [r["success"] for r in answer] == [True, False]
    assert answer[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"


def test_a_rule_strikes_the_calls_it_names(client: Client) -> None:
    plan(
        client, {"kind": "server_error", "path": "/limits$", "calls": [2, 4]}, {"kind": "unavailable", "user": "nobody"}
    )
    assert [client.ask("GET", "limits").status for _ in range(5)] == [200, 500, 200, 500, 200]
    assert client.ask("GET", "sobjects/Account").status == 200


def test_the_same_seed_fails_the_same_way(client: Client) -> None:
    def story(seed: int) -> list[int]:
        plan(client, {"kind": "server_error", "probability": 0.5}, seed=seed)
        return [client.ask("GET", "limits").status for _ in range(40)]

    assert story(7) == story(7)
    assert story(7) != story(8)
    assert set(story(7)) == {200, 500}


@pytest.mark.parametrize("bad", [{"kind": "magic"}, {"kind": "slow", "colour": "red"}])
def test_a_plan_that_means_nothing_is_refused(client: Client, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fault"):
        Faults.of([bad])
    answer = client.ask("PUT", "/_local/faults", {"rules": [bad]})
    assert answer.status == 400


def test_the_daily_allocation_runs_out(client: Client) -> None:
    client.org.daily_api_requests = 3
    assert [client.ask("GET", "limits").status for _ in range(4)] == [200, 200, 200, 403]
    clock: Any = client.org.clock
    clock.advance(86_400)
    client.token = client.org.logins.open_session(client.org.admin_id)
    assert client.ask("GET", "limits").header("Sforce-Limit-Info") == "api-usage=1/3"


# Control face


def test_the_control_face_is_closed_unless_asked_for() -> None:
    assert Client(control=False).ask("GET", "/_local/journal").status == 404


def test_a_person_edits_through_the_control_face(client: Client) -> None:
    steps = [{"do": "insert", "object": "Account", "values": {"Name": "A"}}]
    [[account]] = client.ask("POST", "/_local/act", {"user": "client1@acme.example", "steps": steps}).json()
    owner = client.query("SELECT CreatedBy.Name FROM Account")[0]["CreatedBy"]["Name"]
    assert owner == "Carla Gómez"
    refused = client.ask(
        "POST",
        "/_local/act",
        {"steps": [*steps, {"do": "update", "object": "Account", "id": account, "values": {"Nope": 1}}]},
    )
    assert refused.status == 400
    assert client.org.count("Account") == 1
    client.ask("POST", "/_local/act", {"do": "delete", "object": "Account", "id": account})
    client.ask("POST", "/_local/act", {"do": "undelete", "id": account})
    client.ask("POST", "/_local/hard-delete", {"object": "Account", "ids": [account]})
    assert client.query("SELECT Id FROM Account", everything=True) == []


def test_a_transaction_is_held_and_committed_through_the_control_face(client: Client) -> None:
    held = client.ask("POST", "/_local/hold", {"commit_at": "2026-11-21T20:10:00Z"}).json()["held"]
    client.ask("POST", "/_local/act", {"held": held, "do": "insert", "object": "Account", "values": {"Name": "A"}})
    assert client.query("SELECT Id FROM Account") == []
    client.ask("POST", "/_local/clock", {"advance_seconds": 601})
    assert len(client.query("SELECT Id FROM Account")) == 1
    other = client.ask("POST", "/_local/hold", {}).json()["held"]
    assert client.ask("POST", "/_local/abandon", {"held": other}).status == 204
    assert client.ask("POST", "/_local/commit", {"held": other}).status == 404


def test_rows_are_seeded_with_any_system_field(client: Client) -> None:
    row = {"Subject": "old", "Status": "Closed", "CreatedDate": "2020-02-03T04:05:06Z",
           "ClosedDate": "2020-03-01T00:00:00Z", "CaseNumber": "00000007"}  # fmt: skip
    client.ask("POST", "/_local/seed", {"object": "Case", "records": [row]})
    [case] = client.query("SELECT CreatedDate, SystemModstamp, ClosedDate, IsClosed, CaseNumber FROM Case")
    assert case["CreatedDate"] == case["SystemModstamp"] == "2020-02-03T04:05:06.000+0000"
    assert (case["ClosedDate"], case["IsClosed"], case["CaseNumber"]) == (
        "2020-03-01T00:00:00.000+0000",
        True,
        "00000007",
    )


def test_the_clock_is_read_set_and_advanced(client: Client) -> None:
    client.ask("POST", "/_local/clock", {"set": "2027-01-01T00:00:00+00:00"})
    assert client.ask("GET", "/_local/clock").json()["now"] == "2027-01-01T00:00:00+00:00"


def test_the_journal_lists_every_request_with_its_cost(client: Client) -> None:
    client.ask("DELETE", "/_local/journal")
    client.ask("GET", "limits", Sforce_Call_Options="client=test/1")
    client.ask("GET", "/services/data")
    client.ask("GET", "sobjects/Nope__c")
    kept = client.ask("GET", "/_local/journal").json()
    assert [(e["status"], e["cost"]) for e in kept["entries"]] == [(200, 1), (200, 0), (404, 1)]
    assert kept["entries"][0]["client"] == "client=test/1"
    assert kept["total_cost"] == 2


def test_a_reset_org_is_as_fresh_as_it_began(client: Client) -> None:
    client.made("Account", Name="A")
    client.ask("POST", "/_local/reset")
    assert client.org.count("Account") == 0
    assert "Pack__c" not in client.org.schema
    assert client.ask("GET", "limits").status == 401


def test_every_kind_of_fault_is_explained(client: Client) -> None:
    assert client.ask("GET", "/_local/faults").json()["kinds"] == KINDS


def test_a_body_that_is_not_what_it_says_is_refused(client: Client) -> None:
    for body, headers in ((b"{", {}), (b"[]", {}), (b"not gzip", {"Content_Encoding": "gzip"})):
        answer = client.ask("POST", "sobjects/Account", body, **headers)
        assert answer.status == 400
        assert answer.json()[0]["errorCode"] in ("JSON_PARSER_ERROR", "UNKNOWN_EXCEPTION")
    over_soap = client.ask("POST", "/services/Soap/u/61.0", b"not gzip", Content_Encoding="gzip")
    assert b"<faultcode>soapenv:Client</faultcode>" in over_soap.body


def test_a_uri_that_is_too_long_is_refused(client: Client) -> None:
    url = "https://acme.my.salesforce.com/services/data/v61.0/query?q="
    assert client.world.handle(Request.of("GET", url + "x" * 16_384)).status == 414
    assert client.world.handle(Request.of("GET", url + "x" * 16_000, {"cookie": "y" * 400})).status == 431
