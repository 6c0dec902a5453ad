"""Bulk API 2.0 as clients see it: states, CSV rules, results, locators, refusals."""

from __future__ import annotations

import csv
import io
import os

import pytest

from sfsync.clock import seeded
from sfsync.localorg.faults import Faults
from tests.contract.localorg.bulk_world import BASE, NOW, Client

DAMAGED = int(os.environ.get("SFSYNC_FUZZ", "2000")) // 10


@pytest.fixture
def client() -> Client:
    """A client of a fresh org."""
    return Client()


@pytest.fixture(scope="module")
def standing() -> Client:
    """A client of an org that the tests of refusals and dialects share."""
    return Client()


def rows(count: int) -> str:
    """Return packs K0, K1 .. as CSV."""
    return "Key__c,Hours__c\n" + "".join(f"K{n},{n}.5\n" for n in range(count))


# Ingest


def test_a_job_goes_through_every_state_one_poll_at_a_time(client: Client) -> None:
    created = client.send("POST", f"{BASE}/ingest", {"object": "pack__c", "operation": "insert"})
    job = created.json()
    assert created.status == 200
    assert job["state"] == "Open"
    assert job["object"] == "Pack__c"
    assert job["contentUrl"] == f"services/data/v61.0/jobs/ingest/{job['id']}/batches"
    assert job["apiVersion"] == 61.0
    assert job["createdDate"] == "2026-11-21T20:00:00.000+0000"
    assert {"createdById", "systemModstamp", "concurrencyMode", "contentType", "lineEnding"} <= set(job)
    path = f"{BASE}/ingest/{job['id']}"
    form = {"Content-Type": "text/csv; charset=UTF-8"}
    uploaded = client.send("PUT", f"/{job['contentUrl']}", rows(3).encode(), form)
    assert (uploaded.status, uploaded.body) == (201, b"")
    assert client.send("PATCH", path, {"state": "UploadComplete"}).json()["state"] == "UploadComplete"
    assert client.poll(job["id"])["state"] == "InProgress"
    done = client.poll(job["id"])
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", 3, 0)
    assert done["jobType"] == "V2Ingest"
    assert {"retries", "totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"} <= set(done)
    assert client.packs("Key__c", "Hours__c") == [("K0", 0.5), ("K1", 1.5), ("K2", 2.5)]


def test_the_clock_moves_a_job_as_polls_do(client: Client) -> None:
    job = client.load(rows(1))
    client.clock.advance(10)
    assert client.poll(job)["state"] == "JobComplete"


def test_internal_batches_are_seen_one_by_one(client: Client) -> None:
    client.jobs.batch_rows = 10
    job = client.load(rows(25))
    seen = [client.poll(job)["numberRecordsProcessed"] for _ in range(4)]
    assert seen == [0, 10, 20, 25]
    assert client.jobs.batches_spent() == 3
    limits = client.send("GET", "/services/data/v61.0/limits").json()
    assert limits["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 14_997}


def test_empty_cells_leave_fields_alone_and_the_null_word_empties_them(client: Client) -> None:
    before = {"Hours__c": 1, "Notes__c": "old", "Starts__c": "2026-01-01"}
    client.org.insert("Pack__c", [{"Key__c": key} | before for key in "ab"])
    data = "Key__c,Hours__c,Notes__c,Starts__c\na,,#N/A,\nb,2,new,#N/A\n"
    done = client.run(data, "upsert", externalIdFieldName="key__c")
    assert done["externalIdFieldName"] == "Key__c"
    assert client.packs("Key__c", "Hours__c", "Notes__c", "Starts__c") == [
        ("a", 1.0, None, "2026-01-01"),
        ("b", 2.0, "new", None),
    ]


def test_cells_of_every_type_are_read(client: Client) -> None:
    client.run(
        "Key__c,Hours__c,Starts__c,Opens_At__c,Active__c,Notes__c\n"
        'a,1.25,2026-11-21Z,2026-11-21T21:00:00+01:00,TRUE,"two\nlines, ""quoted"""\n'
        "b,7,2026-11-21,2026-11-21T20:00:00.000Z,1, spaced \n"
    )
    instant = int(NOW.timestamp())
    assert client.packs("Hours__c", "Starts__c", "Opens_At__c", "Active__c", "Notes__c") == [
        (1.25, "2026-11-21", instant, 1, 'two\nlines, "quoted"'),
        (7.0, "2026-11-21", instant, 1, " spaced"),
    ]


@pytest.mark.parametrize(
    ("delimiter", "sign"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
@pytest.mark.parametrize(("ending", "text"), [("LF", "\n"), ("CRLF", "\r\n")])
def test_dialects_are_read_and_written(standing: Client, delimiter: str, sign: str, ending: str, text: str) -> None:
    key = f"{delimiter}{ending}"
    data = text.join([sign.join(line) for line in (("Key__c", "Hours__c"), (key, "1"), ("l", "x"))]) + text
    done = standing.run(data, columnDelimiter=delimiter, lineEnding=ending)
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (2, 1)
    good = standing.send("GET", f"{BASE}/ingest/{done['id']}/successfulResults").body.decode()
    head, line, end = good.split(text)
    assert head == f'"sf__Id"{sign}"sf__Created"{sign}Key__c{sign}Hours__c'
    assert line.endswith(f'{sign}"true"{sign}{key}{sign}1')
    assert end == ""


def test_a_line_ending_other_than_the_jobs_fails_it(client: Client) -> None:
    done = client.run("Key__c,Hours__c\r\nk,1\r\n")
    assert done["state"] == "Failed"
    told = "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"
    assert done["errorMessage"] == told
    assert client.run(rows(1), lineEnding="CRLF")["state"] == "Failed"


def test_parents_are_found_by_their_external_id(client: Client) -> None:
    (acme,) = client.org.insert("Account", {"Name": "Acme", "Ext__c": "A-1"})
    user = client.org.admin
    header = "Key__c,Hours__c,Account__r.Ext__c,User:Owner.Username"
    done = client.run(f"{header}\na,1,a-1,{user.username}\nb,1,nobody,\nc,1,#N/A,\nd,1,,\n")
    assert done["numberRecordsFailed"] == 1
    (failed,) = client.result(done["id"], "failedResults")
    told = "INVALID_FIELD:Foreign key external ID: nobody not found for field Ext__c in entity Account:--"
    assert failed["sf__Error"] == told
    assert client.packs("Key__c", "Account__c") == [("a", acme), ("c", None), ("d", None)]
    assert client.packs("OwnerId")[0] == (user.user_id,)


def test_failures_are_told_row_by_row_and_the_rest_is_written(client: Client) -> None:
    client.org.insert("Pack__c", {"Key__c": "taken", "Hours__c": 1})
    done = client.run("Key__c,Hours__c,Starts__c\ntaken,1,\nfree,2,\nbad,x,\nlate,1,tomorrow\nempty,,\n")
    assert (done["state"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == ("JobComplete", 5, 4)
    (good,) = client.result(done["id"], "successfulResults")
    assert (good["sf__Created"], good["Key__c"], len(good["sf__Id"])) == ("true", "free", 18)
    failed = {row["Key__c"]: row["sf__Error"] for row in client.result(done["id"], "failedResults")}
    told = "DUPLICATE_VALUE:duplicate value found: Key__c duplicates value on record with id: a"
    assert failed["taken"].startswith(told)
    assert failed["taken"].endswith(":--")
    told = "INVALID_TYPE_ON_FIELD_IN_RECORD:Hours: value not of required type: x:Hours__c --"
    assert failed["bad"] == told
    assert failed["empty"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [Hours__c]:Hours__c --"
    assert client.result(done["id"], "unprocessedrecords") == []


def test_update_upsert_and_deletes_go_by_id_or_key(client: Client) -> None:
    ids = client.org.insert("Pack__c", [{"Key__c": k, "Hours__c": 1} for k in ("a", "b", "c", "d")])
    done = client.run(f"Id,Hours__c\n{ids[0]},5\n{ids[1][:15]},6\n,7\nnonsense,8\n", "update")
    assert done["numberRecordsFailed"] == 2
    errors = sorted(row["sf__Error"].partition(":")[0] for row in client.result(done["id"], "failedResults"))
    assert errors == ["MALFORMED_ID", "MISSING_ARGUMENT"]
    assert {row["sf__Created"] for row in client.result(done["id"], "successfulResults")} == {"false"}
    done = client.run("Key__c,Hours__c\nb,9\ne,1\n,2\n", "upsert", externalIdFieldName="Key__c")
    created = {row["Key__c"]: row["sf__Created"] for row in client.result(done["id"], "successfulResults")}
    assert created == {"b": "false", "e": "true"}
    (failed,) = client.result(done["id"], "failedResults")
    assert failed["sf__Error"].startswith("MISSING_ARGUMENT:Key__c not specified")
    done = client.run(f"Id\n{ids[2]}\n{ids[2]}\n", "delete")
    assert done["numberRecordsFailed"] == 1
    assert client.result(done["id"], "failedResults")[0]["sf__Error"] == "ENTITY_IS_DELETED:entity is deleted:--"
    assert client.run(f"Id\n{ids[3]}\n", "hardDelete")["numberRecordsFailed"] == 0
    assert client.org.get("Pack__c", ids[3]) is None
    assert client.org.get("Pack__c", ids[2]) is not None
    assert client.packs("Key__c", "Hours__c") == [("a", 5.0), ("b", 9.0), ("e", 1.0)]


@pytest.mark.parametrize(
    ("text", "operation", "message"),
    [
        ("", "insert", "InvalidBatch : Unable to find any headers in CSV file"),
        ("Nope__c\n1\n", "insert", "InvalidBatch : Field name not found : Nope__c"),
        ("Nope__r.Key__c\n1\n", "insert", "InvalidBatch : Field name not found : Nope__r.Key__c"),
        ("Key__c,key__c\n1,2\n", "insert", "InvalidBatch : Duplicate column found in CSV header: key__c"),
        ("Key__c\n1,2\n", "insert", "InvalidBatch : Number of columns in a row exceeds the CSV headers"),
        ('Key__c\n"1"2\n', "insert", "InvalidBatch : Failed to parse CSV"),
        ("Key__c\n\ud800\n", "insert", "InvalidBatch : Failed to read the data: it is not UTF-8"),
        ("Id,Key__c\n1,2\n", "delete", "InvalidBatch : Field name not found"),
    ],
)
def test_an_upload_that_makes_no_sense_fails_the_job(standing: Client, text: str, operation: str, message: str) -> None:
    done = standing.run(text.encode("utf-8", "surrogatepass"), operation)
    assert (done["state"], done["numberRecordsProcessed"]) == ("Failed", 0)
    assert done["errorMessage"].startswith(message)


def test_rows_around_one_that_can_not_be_read_are_given_back(client: Client) -> None:
    done = client.run("Key__c,Hours__c\na,1\nb,2\nc,3,4\nd,5\n")
    assert done["state"] == "Failed"
    assert [row["Key__c"] for row in client.result(done["id"], "unprocessedrecords")] == ["a", "b", "d"]
    assert client.packs("Id") == []


def test_a_byte_order_mark_and_a_missing_last_line_end_are_fine(client: Client) -> None:
    assert client.run(b"\xef\xbb\xbfKey__c,Hours__c\n\nk,1")["numberRecordsProcessed"] == 1


def test_results_come_in_an_order_of_their_own_that_the_seed_decides() -> None:
    orders = []
    for _ in range(2):
        client = Client()
        client.jobs.batch_rows = 20
        done = client.run(rows(60))
        orders.append([row["Key__c"] for row in client.result(done["id"], "successfulResults")])
    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0], key=lambda key: int(key[1:]))
    assert len(set(orders[0])) == 60


def test_paths_of_results_ignore_case(client: Client) -> None:
    done = client.run(rows(1))
    for path in ("unprocessedrecords", "unprocessedRecords", "SuccessfulResults", "failedresults"):
        answer = client.send("GET", f"{BASE}/ingest/{done['id']}/{path}")
        assert answer.status == 200
        assert answer.header("content-type") == "text/csv;charset=UTF-8"
        assert answer.body.count(b"\n") == (2 if path == "SuccessfulResults" else 1)


def test_a_small_job_can_be_made_with_its_data_in_one_request(client: Client) -> None:
    described = '{"object":"Pack__c","contentType":"CSV","operation":"insert"}'
    body = (
        f'--END\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="job"\r\n\r\n{described}\r\n'
        '--END\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name="content"; filename="content"\r\n'
        f"\r\n{rows(2)}\r\n--END--\r\n"
    )
    form = {"Content-Type": 'multipart/form-data; boundary="END"'}
    answer = client.send("POST", f"{BASE}/ingest", body.encode(), form)
    assert answer.json()["state"] == "UploadComplete"
    done = client.end(answer.json()["id"])
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (2, 0)


def test_an_aborted_job_keeps_what_it_wrote_and_gives_the_rest_back(client: Client) -> None:
    client.jobs.batch_rows = 10
    job = client.load(rows(25))
    client.poll(job)
    client.poll(job)
    assert client.send("PATCH", f"{BASE}/ingest/{job}", {"state": "Aborted"}).json()["state"] == "Aborted"
    assert len(client.packs("Id")) == 10
    assert [row["Key__c"] for row in client.result(job, "unprocessedrecords")] == [f"K{n}" for n in range(10, 25)]
    again = client.send("PATCH", f"{BASE}/ingest/{job}", {"state": "Aborted"})
    assert (again.status, again.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    assert client.poll(job)["state"] == "Aborted"


def test_a_job_that_the_plan_fails_keeps_its_committed_batches(client: Client) -> None:
    client.jobs.batch_rows = 10
    client.org.faults = Faults.of([{"kind": "job_failed", "object": "Pack__c", "calls": [2]}])
    done = client.run(rows(25))
    assert (done["state"], done["numberRecordsProcessed"]) == ("Failed", 10)
    assert "errorMessage" in done
    assert len(client.packs("Id")) == 10
    assert len(client.result(done["id"], "unprocessedrecords")) == 15


def test_a_stuck_job_stays_where_it_is_until_the_plan_lets_it_go(client: Client) -> None:
    client.org.faults = Faults.of([{"kind": "job_stuck", "times": 3}])
    job = client.load(rows(1))
    assert [client.poll(job)["state"] for _ in range(5)] == ["UploadComplete"] * 3 + ["InProgress", "JobComplete"]


def test_batches_beyond_the_days_allocation_are_not_processed(client: Client) -> None:
    client.jobs.batch_rows, client.jobs.max_daily_batches = 10, 2
    done = client.run(rows(25))
    assert (done["state"], done["numberRecordsProcessed"]) == ("Failed", 20)
    assert "ApiBatchItems" in done["errorMessage"]
    client.clock.advance(86_401)
    client.token = client.org.logins.open_session(client.org.admin_id)
    assert client.run("Key__c,Hours__c\nnew,1\n")["state"] == "JobComplete"


def test_jobs_are_listed_and_deleted_and_forgotten_after_a_week(client: Client) -> None:
    done = client.run(rows(1))
    opened = client.create()
    listed = client.send("GET", f"{BASE}/ingest?jobType=V2Ingest").json()
    assert (listed["done"], listed["nextRecordsUrl"]) == (True, None)
    assert [job["id"] for job in listed["records"]] == [opened, done["id"]]
    assert client.send("DELETE", f"{BASE}/ingest/{opened}").status == 400
    deleted = client.send("DELETE", f"{BASE}/ingest/{done['id']}")
    assert (deleted.status, deleted.body) == (204, b"")
    assert client.send("GET", f"{BASE}/ingest/{done['id']}").status == 404
    client.clock.advance(8 * 86_400)
    client.token = client.org.logins.open_session(client.org.admin_id)
    assert client.send("GET", f"{BASE}/ingest/{opened}").status == 404


def test_long_lists_of_jobs_are_paged(client: Client) -> None:
    for _ in range(1_001):
        client.create()
    first = client.send("GET", f"{BASE}/ingest").json()
    assert (len(first["records"]), first["done"]) == (1_000, False)
    second = client.send("GET", first["nextRecordsUrl"]).json()
    assert (len(second["records"]), second["done"]) == (1, True)


@pytest.mark.parametrize(
    ("described", "code"),
    [
        ({"operation": "insert", "object": "Nope__c"}, "INVALIDENTITY"),
        ({"operation": "insert"}, "INVALIDENTITY"),
        ({"operation": "mangle", "object": "Pack__c"}, "INVALIDJOB"),
        ({"object": "Pack__c"}, "INVALIDJOB"),
        ({"operation": "upsert", "object": "Pack__c"}, "INVALIDJOB"),
        ({"operation": "upsert", "object": "Pack__c", "externalIdFieldName": "Hours__c"}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Pack__c", "columnDelimiter": "SPACE"}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Pack__c", "lineEnding": 7}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Pack__c", "contentType": "JSON"}, "INVALIDJOB"),
        ([], "JSON_PARSER_ERROR"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(standing: Client, described: object, code: str) -> None:
    answer = standing.send("POST", f"{BASE}/ingest", described)
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)


def test_steps_out_of_turn_are_refused(client: Client) -> None:
    job = client.create()
    path = f"{BASE}/ingest/{job}"
    assert client.send("GET", f"{path}/successfulResults").json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert client.send("PUT", f"{path}/batches", b"Key__c\n", {"Content-Type": "text/csv"}).status == 201
    twice = client.send("PUT", f"{path}/batches", b"Key__c\n", {"Content-Type": "text/csv"})
    assert (twice.status, twice.json()[0]["errorCode"]) == (400, "CLIENTINPUTERROR")
    assert client.send("PATCH", path, {"state": "InProgress"}).status == 400
    assert client.send("PATCH", path, {"state": "UploadComplete"}).status == 200
    assert client.send("PATCH", path, {"state": "UploadComplete"}).json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert client.send("PUT", f"{path}/batches", b"Key__c\n", {"Content-Type": "text/csv"}).status == 400
    assert client.send("GET", f"{BASE}/ingest/750000000000000AAA").status == 404
    assert client.send("GET", f"{BASE}/query/{job}").status == 404


# Query


def test_a_query_job_gives_csv_with_a_locator_that_ends_as_the_text_null(client: Client) -> None:
    (acme,) = client.org.insert("Account", {"Name": 'Ac"me, é'})
    client.org.insert("Pack__c", {"Key__c": "k", "Hours__c": 2, "Account__c": acme, "Active__c": True})
    fields = "Key__c, Account__r.Name, Hours__c, Active__c, CreatedDate, Notes__c, Starts__c"
    job = client.query(f"SELECT {fields} FROM Pack__c")
    answer = client.send("GET", f"{BASE}/query/{job}/results")
    assert answer.header("Sforce-Locator") == "null"
    assert answer.header("Sforce-NumberOfRecords") == "1"
    assert answer.header("Content-Type") == "text/csv;charset=UTF-8"
    assert answer.body.decode() == (
        '"Key__c","Account__r.Name","Hours__c","Active__c","CreatedDate","Notes__c","Starts__c"\n'
        '"k","Ac""me, é","2.0","true","2026-11-21T20:00:00.000Z","",""\n'
    )


def test_a_query_job_is_seen_at_work(client: Client) -> None:
    answer = client.send("POST", f"{BASE}/query", {"operation": "query", "query": "SELECT Id FROM Pack__c"})
    job = answer.json()
    assert (answer.status, job["state"], job["object"], job["operation"]) == (200, "UploadComplete", "Pack__c", "query")
    assert "contentUrl" not in job
    early = client.send("GET", f"{BASE}/query/{job['id']}/results")
    assert (early.status, early.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    assert client.send("DELETE", f"{BASE}/query/{job['id']}").status == 400
    assert client.poll(job["id"], "query")["state"] == "InProgress"
    assert client.poll(job["id"], "query")["state"] == "JobComplete"
    assert client.send("GET", f"{BASE}/query/{job['id']}/results").body == b'"Id"\n'
    assert client.send("DELETE", f"{BASE}/query/{job['id']}").status == 204
    assert client.send("GET", f"{BASE}/query/{job['id']}").status == 404


def test_results_are_cut_by_max_records_and_locators_can_be_used_again(client: Client) -> None:
    client.org.insert("Pack__c", [{"Key__c": f"K{n}", "Hours__c": n, "Notes__c": "two\nlines"} for n in range(25)])
    job = client.query("SELECT Key__c, Notes__c FROM Pack__c ORDER BY Hours__c")
    client.org.delete("Pack__c", client.packs("Id")[0][0])  # a result is what was when the job ran
    found, locator, parts = [], "", 0
    while locator != "null":
        path = f"{BASE}/query/{job}/results?maxRecords=10" + (f"&locator={locator}" if locator else "")
        answer = client.send("GET", path)
        assert client.send("GET", path).body == answer.body
        part = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        assert answer.header("Sforce-NumberOfRecords") == str(len(part))
        found += [row["Key__c"] for row in part]
        locator, parts = str(answer.header("Sforce-Locator")), parts + 1
    assert found == [f"K{n}" for n in range(25)]
    assert parts == 3
    wrong = client.send("GET", f"{BASE}/query/{job}/results?locator=nonsense")
    assert (wrong.status, wrong.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    assert client.send("GET", f"{BASE}/query/{job}/results?maxRecords=none").status == 400


def test_result_pages_name_the_parts_for_parallel_download(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfsync.localorg.bulk.ROWS_PER_RESULT", 3)
    client.org.insert("Pack__c", [{"Key__c": f"K{n:02}", "Hours__c": n} for n in range(20)])
    job = client.query("SELECT Key__c FROM Pack__c ORDER BY Key__c")
    pages = client.send("GET", f"{BASE}/query/{job}/resultPages").json()
    assert (len(pages["resultPages"]), pages["done"]) == (5, False)
    rest = client.send("GET", pages["nextRecordsUrl"]).json()
    assert (len(rest["resultPages"]), rest["done"]) == (2, True)
    urls = [page["resultUrl"] for page in pages["resultPages"] + rest["resultPages"]]
    text = b"".join(client.send("GET", url).body.split(b"\n", 1)[1] for url in urls)
    assert text.decode().split() == [f'"K{n:02}"' for n in range(20)]


def test_a_query_without_an_order_gives_rows_in_one_of_its_own(client: Client) -> None:
    client.org.insert("Pack__c", [{"Key__c": f"K{n:02}", "Hours__c": n} for n in range(20)])
    job = client.query("SELECT Key__c FROM Pack__c")
    keys = client.send("GET", f"{BASE}/query/{job}/results").body.decode().split()[1:]
    assert keys != sorted(keys)
    assert sorted(keys) == [f'"K{n:02}"' for n in range(20)]


def test_query_all_gives_deleted_rows_too(client: Client) -> None:
    ids = client.org.insert("Pack__c", [{"Key__c": k, "Hours__c": 1} for k in "ab"])
    client.org.delete("Pack__c", ids[0])
    for operation, count in (("query", "1"), ("queryAll", "2")):
        job = client.query("SELECT Id FROM Pack__c", operation)
        assert client.send("GET", f"{BASE}/query/{job}/results").header("Sforce-NumberOfRecords") == count


def test_another_dialect_can_be_asked_for(client: Client) -> None:
    client.org.insert("Pack__c", {"Key__c": "k", "Hours__c": 1})
    job = client.query("SELECT Key__c, Hours__c FROM Pack__c", columnDelimiter="PIPE", lineEnding="CRLF")
    assert client.send("GET", f"{BASE}/query/{job}/results").body == b'"Key__c"|"Hours__c"\r\n"k"|"1.0"\r\n'


def test_another_api_version_than_the_jobs_is_a_conflict(client: Client) -> None:
    job = client.query("SELECT Id FROM Pack__c")
    assert client.send("GET", f"/services/data/v60.0/jobs/query/{job}").status == 409


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT COUNT(Id) FROM Pack__c", "API_ERROR"),
        ("SELECT Account__c FROM Pack__c GROUP BY Account__c", "API_ERROR"),
        ("SELECT Id FROM Pack__c OFFSET 5", "API_ERROR"),
        ("SELECT Id, (SELECT Id FROM Packs__r) FROM Account", "API_ERROR"),
        ("SELECT FIELDS(ALL) FROM Pack__c LIMIT 5", "API_ERROR"),
        ("SELECT BillingAddress FROM Account", "API_ERROR"),
        ("SELECT Nope FROM Pack__c", "INVALID_FIELD"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE"),
        ("SELEKT", "MALFORMED_QUERY"),
        (None, "INVALIDJOB"),
    ],
)
def test_statements_that_bulk_does_not_take_are_refused(standing: Client, statement: str | None, code: str) -> None:
    answer = standing.send("POST", f"{BASE}/query", {"operation": "query", "query": statement})
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)


def test_an_aborted_query_has_no_results(client: Client) -> None:
    job = client.send("POST", f"{BASE}/query", {"operation": "query", "query": "SELECT Id FROM Pack__c"}).json()["id"]
    assert client.send("PATCH", f"{BASE}/query/{job}", {"state": "UploadComplete"}).status == 400
    assert client.send("PATCH", f"{BASE}/query/{job}", {"state": "Aborted"}).json()["state"] == "Aborted"
    assert client.send("GET", f"{BASE}/query/{job}/results").status == 400


# Damage


def test_damaged_uploads_and_bodies_never_make_the_org_fail(client: Client) -> None:
    good = 'Id,Key__c,Hours__c,Account__r.Ext__c\n,a,1,x\n,"b\nc",2,\n'
    described = b'{"object":"Pack__c","operation":"upsert","externalIdFieldName":"Key__c","lineEnding":"LF"}'
    damage = [b"", b'"', b",", b"\n", b"\r", b"\x00", b"\xff", b"{", b"}", b"[", b"#N/A", b"\xed\xa0\x80", b"9" * 400]
    first = int(os.environ.get("SFSYNC_FUZZ_FROM", "0"))
    for seed in range(first, first + DAMAGED):
        chance = seeded(seed)
        data, body = good.encode(), described
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice(damage) + data[at + chance.randint(0, 2) :]
        if chance.random() < 0.3:
            at = chance.randrange(len(body))
            body = body[:at] + chance.choice(damage) + body[at + chance.randint(0, 2) :]
        answer = client.send("POST", f"{BASE}/ingest", body)
        assert answer.status in (200, 400), f"seed {seed}: {answer.status} {answer.body!r} for {body!r}"
        if answer.status != 200:
            assert answer.json()[0]["errorCode"], f"seed {seed}"
            continue
        job = answer.json()["id"]
        client.send("PUT", f"{BASE}/ingest/{job}/batches", data, {"Content-Type": "text/csv"})
        client.send("PATCH", f"{BASE}/ingest/{job}", {"state": "UploadComplete"})
        found = [client.send("GET", f"{BASE}/ingest/{job}") for _ in range(3)][-1]
        assert found.status == 200, f"seed {seed}: {found.status} {found.body!r} for {data!r}"
        assert found.json()["state"] in ("JobComplete", "Failed"), f"seed {seed}: {found.body!r}"
        for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
            assert client.send("GET", f"{BASE}/ingest/{job}/{kind}").status == 200, f"seed {seed}: {kind}"
