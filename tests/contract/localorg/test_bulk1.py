"""Bulk API 1.0 as old clients speak it: XML and JSON around batches of CSV, XML or JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from xml.etree import ElementTree

import pytest

from sfsync.clock import seeded
from sfsync.localorg.face import Response
from sfsync.localorg.faults import Faults
from tests.contract.localorg.bulk_world import Client

DAMAGED = int(os.environ.get("SFSYNC_FUZZ", "2000")) // 10
BASE = "/services/async/57.0"
NS = "{http://www.force.com/2009/06/asyncapi/dataload}"


@pytest.fixture
def client() -> Client:
    """A client of a fresh org."""
    return Client()


def send(client: Client, method: str, path: str, body: str | bytes = b"", kind: str = "application/xml") -> Response:
    """Return the answer to a request with the session in the header of API 1.0."""
    data = body.encode() if isinstance(body, str) else body
    headers = {"X-SFDC-Session": client.token, "Content-Type": kind, "Authorization": ""}
    return client.send(method, f"{BASE}{path}", data, headers)


def fields(answer: Response) -> dict[str, str]:
    """Return the children of an XML answer."""
    return {child.tag.removeprefix(NS): child.text or "" for child in ElementTree.fromstring(answer.body)}


def xml_job(client: Client, operation: str, content_type: str = "CSV") -> str:
    """Return the id of a job made with XML."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><jobInfo xmlns="{NS[1:-1]}"><operation>{operation}</operation>'
        f"<object>Pack__c</object><contentType>{content_type}</contentType></jobInfo>"
    )
    answer = send(client, "POST", "/job", body)
    assert answer.status == 201, answer.body
    return fields(answer)["id"]


def done(client: Client, job: str, batch: str) -> dict[str, str]:
    """Return the batch of an XML or CSV job when it is done."""
    while True:
        found = fields(send(client, "GET", f"/job/{job}/batch/{batch}"))
        if found["state"] not in ("Queued", "InProgress"):
            return found


def test_a_job_in_xml_takes_batches_of_csv_and_tells_their_outcomes_in_order(client: Client) -> None:
    job = xml_job(client, "insert")
    made = send(client, "POST", f"/job/{job}/batch", "Key__c,Hours__c\na,1\nb,x\nc,3\n", "text/csv")
    assert made.status == 201
    batch = fields(made)
    assert (batch["state"], batch["jobId"]) == ("Queued", job)
    assert batch["createdDate"] == "2026-11-21T20:00:00.000Z"
    assert fields(send(client, "GET", f"/job/{job}/batch/{batch['id']}"))["state"] == "InProgress"
    finished = fields(send(client, "GET", f"/job/{job}/batch/{batch['id']}"))
    counts = [finished[name] for name in ("state", "numberRecordsProcessed", "numberRecordsFailed")]
    assert counts == ["Completed", "3", "1"]
    answer = send(client, "GET", f"/job/{job}/batch/{batch['id']}/result")
    assert answer.header("content-type") == "text/csv"  # bare: salesforce-bulk compares the whole header
    found = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert list(found[0]) == ["Id", "Success", "Created", "Error"]
    assert [row["Success"] for row in found] == ["true", "false", "true"]
    assert found[1]["Error"] == "INVALID_TYPE_ON_FIELD_IN_RECORD:Hours: value not of required type: x:Hours__c --"
    assert [row[0] for row in client.packs("Id")] == [found[0]["Id"], found[2]["Id"]]
    closed = fields(send(client, "POST", f"/job/{job}", f'<jobInfo xmlns="{NS[1:-1]}"><state>Closed</state></jobInfo>'))
    assert (closed["state"], closed["numberBatchesTotal"], closed["numberBatchesCompleted"]) == ("Closed", "1", "1")


def test_a_query_in_csv_lists_its_results_in_xml_even_for_a_client_that_says_json(client: Client) -> None:
    client.org.insert("Pack__c", [{"Key__c": k, "Hours__c": 1} for k in "ab"])
    made = send(client, "POST", "/job", json.dumps({"operation": "query", "object": "Pack__c", "contentType": "CSV",
                                                    "concurrencyMode": 0}), "application/json")  # fmt: skip
    assert (made.status, made.json()["state"], made.json()["apiVersion"]) == (201, "Open", 57.0)
    assert made.json()["createdDate"] == "2026-11-21T20:00:00.000+0000"
    job = made.json()["id"]
    statement = "SELECT Key__c, CreatedDate, Account__r.Name FROM Pack__c ORDER BY Key__c"
    batch = fields(send(client, "POST", f"/job/{job}/batch", statement, "text/csv"))["id"]
    assert done(client, job, batch)["state"] == "Completed"
    answer = send(client, "GET", f"/job/{job}/batch/{batch}/result", kind="application/json")
    root = ElementTree.fromstring(answer.body)
    assert root.tag == f"{NS}result-list"
    (result,) = [child.text for child in root]
    rows = send(client, "GET", f"/job/{job}/batch/{batch}/result/{result}").body.decode()
    assert rows.splitlines()[0] == '"Key__c","CreatedDate","Account__r.Name"'
    assert rows.splitlines()[1] == '"a","2026-11-21T20:00:00.000Z",""'
    listed = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch").body)
    assert listed.tag == f"{NS}batchInfoList"
    assert [info.findtext(f"{NS}state") for info in listed] == ["Completed"]
    statement = "SELECT Id FROM Pack__c WHERE Key__c = 'z'"
    batch = fields(send(client, "POST", f"/job/{job}/batch", statement, "text/csv"))["id"]
    done(client, job, batch)
    (none,) = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch/{batch}/result").body)
    empty = send(client, "GET", f"/job/{job}/batch/{batch}/result/{none.text}")
    assert empty.body == b"Records not found for this query"
    assert empty.header("content-type") == "text/csv;charset=UTF-8"
    closed = send(client, "POST", f"/job/{job}", '{"state": "Closed"}', "application/json")
    assert closed.json()["state"] == "Closed"


def test_everything_is_json_for_a_job_in_json(client: Client) -> None:
    (acme,) = client.org.insert("Account", {"Name": "Acme", "Ext__c": "A-1"})
    described = {"operation": "upsert", "object": "Pack__c", "contentType": "JSON", "externalIdFieldName": "Key__c"}
    job = send(client, "POST", "/job", json.dumps(described), "application/json").json()["id"]
    records = [
        {"Key__c": "a", "Hours__c": 1.5, "Active__c": True, "Account__r": {"Ext__c": "a-1"}},
        {"Key__c": "b", "Hours__c": "2", "Notes__c": None},
        {"Key__c": "c", "Hours__c": None},
    ]
    made = send(client, "POST", f"/job/{job}/batch", json.dumps(records), "application/json").json()
    assert made["state"] == "Queued"
    client.clock.advance(5)
    path = f"/job/{job}/batch/{made['id']}"
    assert send(client, "GET", path, kind="application/json").json()["state"] == "Completed"
    outcomes = send(client, "GET", f"{path}/result", kind="application/json").json()
    assert [each["success"] for each in outcomes] == [True, True, False]
    assert outcomes[0]["created"] is True
    assert outcomes[2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert client.packs("Key__c", "Hours__c", "Account__c") == [("a", 1.5, acme), ("b", 2.0, None)]
    described = {"operation": "query", "object": "Pack__c", "contentType": "JSON"}
    job = send(client, "POST", "/job", json.dumps(described), "application/json").json()["id"]
    statement = "SELECT Key__c, Hours__c, CreatedDate, Account__r.CreatedDate FROM Pack__c ORDER BY Key__c"
    batch = send(client, "POST", f"/job/{job}/batch", statement, "application/json").json()["id"]
    client.clock.advance(5)
    send(client, "GET", f"/job/{job}/batch/{batch}", kind="application/json")
    (result,) = send(client, "GET", f"/job/{job}/batch/{batch}/result", kind="application/json").json()
    first, second = send(client, "GET", f"/job/{job}/batch/{batch}/result/{result}", kind="application/json").json()
    assert first["attributes"]["type"] == "Pack__c"
    assert (first["Key__c"], first["Hours__c"]) == ("a", 1.5)
    assert first["CreatedDate"] == 1795291205000  # milliseconds, as only this API gives them
    assert first["Account__r"]["CreatedDate"] == 1795291200000
    assert second["Account__r"] is None


def test_batches_in_xml_are_read_and_answered_in_xml(client: Client) -> None:
    (acme,) = client.org.insert("Account", {"Name": "Acme & Sons", "Ext__c": "A-1"})
    job = xml_job(client, "insert", "XML")
    batch_xml = (
        f'<sObjects xmlns="{NS[1:-1]}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><sObject><Key__c>a</Key__c>'
        "<Hours__c>1</Hours__c><Account__r><sObject><Ext__c>A-1</Ext__c></sObject></Account__r></sObject>"
        '<sObject><Key__c>b</Key__c><Hours__c xsi:nil="true"/></sObject></sObjects>'
    )
    batch = fields(send(client, "POST", f"/job/{job}/batch", batch_xml))["id"]
    assert done(client, job, batch)["state"] == "Completed"
    root = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch/{batch}/result").body)
    assert [each.findtext(f"{NS}success") for each in root] == ["true", "false"]
    assert root[1].findtext(f"{NS}errors/{NS}statusCode") == "REQUIRED_FIELD_MISSING"
    assert client.packs("Key__c", "Account__c") == [("a", acme)]
    job = xml_job(client, "query", "XML")
    statement = "SELECT Key__c, Notes__c, Account__r.Name FROM Pack__c"
    batch = fields(send(client, "POST", f"/job/{job}/batch", statement))["id"]
    done(client, job, batch)
    (listed,) = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch/{batch}/result").body)
    (record,) = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch/{batch}/result/{listed.text}").body)
    assert record.findtext(f"{NS}Key__c") == "a"
    assert record.findtext(f"{NS}Account__r/{NS}Name") == "Acme & Sons"
    assert record.find(f"{NS}Notes__c").attrib == {"{http://www.w3.org/2001/XMLSchema-instance}nil": "true"}  # type: ignore[union-attr]


def test_updates_and_deletes_go_by_id(client: Client) -> None:
    ids = client.org.insert("Pack__c", [{"Key__c": k, "Hours__c": 1} for k in "ab"])
    for operation, data in (("update", f"Id,Hours__c\n{ids[0]},7\n"), ("delete", f"Id\n{ids[1]}\n")):
        job = xml_job(client, operation)
        batch = fields(send(client, "POST", f"/job/{job}/batch", data, "text/csv"))["id"]
        assert done(client, job, batch)["numberRecordsFailed"] == "0"
    assert client.packs("Key__c", "Hours__c") == [("a", 7.0)]


def test_a_chunked_query_runs_in_batches_of_its_own(client: Client) -> None:
    client.org.insert("Pack__c", [{"Key__c": f"K{n}", "Hours__c": n} for n in range(25)])
    headers = {"X-SFDC-Session": client.token, "Content-Type": "application/json", "Authorization": "",
               "Sforce-Enable-PKChunking": "chunkSize=10"}  # fmt: skip
    described = {"operation": "queryAll", "object": "Pack__c", "contentType": "CSV"}
    made = client.send("POST", f"{BASE}/job", described, headers)
    job = made.json()["id"]
    first = fields(send(client, "POST", f"/job/{job}/batch", "SELECT Key__c FROM Pack__c", "text/csv"))["id"]
    for _ in range(4):
        listed = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch").body)
        states = {info.findtext(f"{NS}id"): info.findtext(f"{NS}state") for info in listed}
    assert states.pop(first) == "Not Processed"
    assert list(states.values()) == ["Completed"] * 3
    keys: list[str] = []
    for batch in states:
        (result,) = ElementTree.fromstring(send(client, "GET", f"/job/{job}/batch/{batch}/result").body)
        keys += send(client, "GET", f"/job/{job}/batch/{batch}/result/{result.text}").body.decode().splitlines()[1:]
    assert sorted(keys) == sorted(f'"K{n}"' for n in range(25))


def test_a_batch_that_can_not_be_processed_says_why(client: Client) -> None:
    for data, message in (
        ("Nope__c\n1\n", "InvalidBatch : Field name not found : Nope__c"),
        ("", "InvalidBatch : Unable to find any headers in CSV file"),
        ("Key__c\n" + "x\n" * 10_001, "InvalidBatch : Records exceed the maximum of 10000 in a batch"),
    ):
        job = xml_job(client, "insert")
        batch = fields(send(client, "POST", f"/job/{job}/batch", data, "text/csv"))["id"]
        found = done(client, job, batch)
        assert (found["state"], found["stateMessage"]) == ("Failed", message)
    job = xml_job(client, "query")
    batch = fields(send(client, "POST", f"/job/{job}/batch", "SELECT Nope FROM Pack__c", "text/csv"))["id"]
    assert "INVALID_FIELD" in done(client, job, batch)["stateMessage"]
    client.org.faults = Faults.of([{"kind": "job_failed"}])
    batch = fields(send(client, "POST", f"/job/{job}/batch", "SELECT Id FROM Pack__c", "text/csv"))["id"]
    assert done(client, job, batch)["state"] == "Failed"


def test_an_aborted_job_does_not_process_what_waits(client: Client) -> None:
    job = xml_job(client, "insert")
    batch = fields(send(client, "POST", f"/job/{job}/batch", "Key__c,Hours__c\na,1\n", "text/csv"))["id"]
    send(client, "POST", f"/job/{job}", '{"state": "Aborted"}', "application/json")
    assert done(client, job, batch)["state"] == "Not Processed"
    assert client.packs("Id") == []
    late = send(client, "POST", f"/job/{job}/batch", "Key__c\n", "text/csv")
    assert (late.status, fields(late)["exceptionCode"]) == (400, "InvalidJobState")


@pytest.mark.parametrize(
    ("described", "code"),
    [
        ({"operation": "mangle", "object": "Pack__c"}, "InvalidJob"),
        ({"operation": "insert", "object": "Nope__c"}, "InvalidEntity"),
        ({"operation": "upsert", "object": "Pack__c"}, "InvalidJob"),
        ({"operation": "upsert", "object": "Pack__c", "externalIdFieldName": "Hours__c"}, "InvalidJob"),
        ({"operation": "insert", "object": "Pack__c", "contentType": "ZIP_CSV"}, "InvalidJob"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(client: Client, described: dict[str, str], code: str) -> None:
    answer = send(client, "POST", "/job", json.dumps(described), "application/json")
    assert (answer.status, answer.json()["exceptionCode"]) == (400, code)
    assert answer.json()["exceptionMessage"]


def test_a_session_that_is_over_is_refused_in_the_words_of_this_api(client: Client) -> None:
    client.token = "00D000000000000!gone"
    answer = send(client, "POST", "/job", "<jobInfo/>")
    assert (answer.status, fields(answer)) == (
        400,
        {"exceptionCode": "InvalidSessionId", "exceptionMessage": "Invalid session id"},
    )
    assert send(client, "GET", "/job/750", kind="application/json").json()["exceptionCode"] == "InvalidSessionId"


def test_unknown_jobs_batches_and_versions_are_refused(client: Client) -> None:
    job = xml_job(client, "insert")
    assert fields(send(client, "GET", "/job/750000000000000AAA"))["exceptionCode"] == "InvalidJob"
    assert fields(send(client, "GET", f"/job/{job}/batch/751"))["exceptionCode"] == "InvalidBatch"
    headers = {"X-SFDC-Session": client.token, "Content-Type": "application/json"}
    old = client.send("GET", f"/services/async/22.0/job/{job}", b"", headers)
    assert old.json()["exceptionCode"] == "InvalidVersion"


def test_requests_count_towards_the_days_api_calls(client: Client) -> None:
    before = client.org.spent()
    xml_job(client, "insert")
    assert client.org.spent() == before + 1
    client.org.daily_api_requests = 1
    assert fields(send(client, "POST", "/job", "<jobInfo/>"))["exceptionCode"] == "ExceededQuota"


def test_damaged_batches_never_make_the_org_fail(client: Client) -> None:
    xml = f'<sObjects xmlns="{NS[1:-1]}"><sObject><Key__c>a</Key__c><Hours__c>1</Hours__c></sObject></sObjects>'
    records = '[{"Key__c": "a", "Hours__c": 1, "Account__r": {"Ext__c": "x"}}]'
    good = {"CSV": "Key__c,Hours__c\na,1\n", "XML": xml, "JSON": records}
    damage = [b"", b'"', b"<", b">", b"{", b"[", b"\x00", b"\xff", b"null", b"&x;", b"<!DOCTYPE x>", b"1e999", b"{}"]
    for seed in range(DAMAGED):
        chance = seeded(seed)
        content_type = chance.choice(sorted(good))
        job = xml_job(client, chance.choice(["insert", "update"]), content_type)
        data = good[content_type].encode()
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice(damage) + data[at + chance.randint(0, 3) :]
        made = send(client, "POST", f"/job/{job}/batch", data, "text/csv")
        assert made.status == 201, f"seed {seed}: {made.body!r}"
        listed = [send(client, "GET", f"/job/{job}/batch") for _ in range(2)][-1]
        assert listed.status == 200, f"seed {seed}: {listed.body!r} for {data!r}"
        assert b"Completed" in listed.body or b"Failed" in listed.body, f"seed {seed}: {listed.body!r}"
