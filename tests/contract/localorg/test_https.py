"""The HTTPS face, as software that others wrote sees it: simple-salesforce, and plain requests for the wire itself."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce, SalesforceExpiredSession, SalesforceLogin, format_soql
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import Started, prepare, running
from tests.contract.localorg.core_world import furnished


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Started:
    """Two orgs, certificates and logins in a folder of their own."""
    return prepare(tmp_path_factory.mktemp("localorg"), orgs=(furnished(), LocalOrg("hub", seed=2)), control=True)


@pytest.fixture(scope="module")
def line(started: Started) -> Iterator[dict[str, Any]]:
    """What a starting local org prints."""
    with running(started) as found:
        yield found


@pytest.fixture
def session(line: dict[str, Any]) -> Iterator[requests.Session]:
    """A session that trusts the local org's own authority and nobody else."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = line["ca_file"]
        session.headers["Authorization"] = f"Bearer {line['access_token']}"
        yield session


@pytest.fixture
def org(started: Started) -> LocalOrg:
    """The first org, seen from inside."""
    return started.world.first


@pytest.fixture
def salesforce(line: dict[str, Any], session: requests.Session) -> Salesforce:
    """simple-salesforce with the printed token."""
    return Salesforce(instance_url=line["url"], session_id=line["access_token"], session=session, version="61.0")


def test_the_printed_line_has_what_a_client_needs(line: dict[str, Any]) -> None:
    names = "url login_url ca_file org_id client_id client_secret private_key_file username password".split()
    assert {*names, "access_token", "refresh_token"} <= line.keys()
    assert Path(line["private_key_file"]).stat().st_mode & 0o077 == 0
    assert [o["name"] for o in line["orgs"]] == ["acme", "hub"]


def test_simple_salesforce_logs_in_with_every_grant_it_has(
    line: dict[str, Any], session: requests.Session, org: LocalOrg
) -> None:
    # The library writes the host as <domain>.salesforce.com, so its requests are sent on to the local org.
    class Redirected(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *rest: Any, **more: Any) -> requests.Response:
            host = (request.url or "").split("/")[2]
            request.headers["Host"] = host
            request.url = (request.url or "").replace(f"https://{host}", line["url"])
            return super().send(request, *rest, **more)

    session.mount("https://login.salesforce.com", Redirected())
    session.mount("https://acme.my.salesforce.com", Redirected())
    del session.headers["Authorization"]
    key = Path(line["private_key_file"])
    logins: tuple[dict[str, Any], ...] = (
        {"username": line["username"], "consumer_key": line["client_id"], "privatekey_file": str(key)},
        {
            "username": line["username"],
            "password": line["password"],
            "consumer_key": line["client_id"],
            "consumer_secret": line["client_secret"],
        },
        {"consumer_key": line["client_id"], "consumer_secret": line["client_secret"], "domain": "acme.my"},
    )
    for arguments in logins:
        token, _ = SalesforceLogin(session=session, **arguments)
        user = org.logins.user_of(token)
        assert user == (org.integration_id if "domain" in arguments else org.admin_id)


def test_simple_salesforce_creates_reads_changes_and_deletes(salesforce: Salesforce) -> None:
    made = salesforce.Account.create({"Name": "Café Ñandú"})
    assert made["success"] is True
    account = made["id"]
    assert salesforce.Account.get(account)["Name"] == "Café Ñandú"
    assert salesforce.Account.update(account, {"Phone": "1"}) == 204
    found = salesforce.query(format_soql("SELECT Phone FROM Account WHERE Id = {}", account))
    assert found["records"][0]["Phone"] == "1"
    assert salesforce.Pack__c.upsert("Key__c/https-1", {"Hours__c": 1}) == 201
    assert salesforce.Pack__c.upsert("Key__c/https-1", {"Hours__c": 2}) == 200
    assert salesforce.Pack__c.get_by_custom_id("Key__c", "HTTPS-1")["Hours__c"] == 2.0
    assert salesforce.Account.delete(account) == 204
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        salesforce.Account.delete(account)
    with pytest.raises(SalesforceMalformedRequest, match="No such column 'Nope__c'"):
        salesforce.Account.create({"Name": "x", "Nope__c": 1})


def test_simple_salesforce_pages_through_everything(salesforce: Salesforce, org: LocalOrg) -> None:
    org.seed_rows("Contact", [{"LastName": f"P{n:05}"} for n in range(4_321)])
    rows = salesforce.query_all("SELECT Id, LastName FROM Contact ORDER BY LastName")
    assert (rows["totalSize"], len(rows["records"])) == (4_321, 4_321)
    assert [r["LastName"] for r in rows["records"][1_999:2_001]] == ["P01999", "P02000"]
    small = salesforce.query("SELECT Id FROM Contact", headers={"Sforce-Query-Options": "batchSize=200"})
    assert len(small["records"]) == 200


def test_simple_salesforce_loads_and_reads_by_bulk_2(salesforce: Salesforce, org: LocalOrg) -> None:
    packs = salesforce.bulk2.Pack__c
    ended = packs.insert(
        records=[{"Name": f"B{n}", "Key__c": f"bulk-{n}", "Hours__c": str(n)} for n in range(50)], wait=0
    )
    assert [(job["numberRecordsProcessed"], job["numberRecordsFailed"]) for job in ended] == [(50, 0)]
    changed = [{"Key__c": f"BULK-{n}", "Hours__c": "-1" if n == 60 else "7"} for n in range(40, 61)]
    (job,) = packs.upsert(records=changed, external_id_field="Key__c", wait=0)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (21, 1)
    assert "FIELD_CUSTOM_VALIDATION_EXCEPTION:Hours cannot be negative.:Hours__c --" in packs.get_failed_records(
        job["job_id"]
    )
    assert packs.get_successful_records(job["job_id"]).count("true") == 10
    pages = list(packs.query("SELECT Key__c, Hours__c FROM Pack__c WHERE Key__c LIKE 'bulk-%'", max_records=25, wait=0))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert (len(pages), len(rows), sum(row["Hours__c"] == "7.0" for row in rows)) == (3, 60, 21)
    gone = [{"Id": each["Id"]} for each in org_rows(org, "bulk-%")]
    assert packs.delete(records=gone, wait=0)[0]["numberRecordsFailed"] == 0
    assert org_rows(org, "bulk-%") == []


def org_rows(org: LocalOrg, key: str) -> list[dict[str, str]]:
    """Return the ids of the packs whose key is like this, seen from inside."""
    sql = 'SELECT "Id" FROM "Pack__c" WHERE "Key__c" LIKE ? AND "IsDeleted" = 0'
    return [{"Id": each} for (each,) in org.storage.rows(sql, (key,))]


def test_simple_salesforce_describes_and_reads_limits(salesforce: Salesforce) -> None:
    names = {o["name"] for o in salesforce.describe()["sobjects"]}
    assert {"Account", "Case", "Pack__c", "Time_Entry__c"} <= names
    assert salesforce.Case.describe()["keyPrefix"] == "500"
    assert salesforce.limits()["DailyApiRequests"]["Max"] == 1_000_000
    usage = salesforce.api_usage["api-usage"]
    assert usage.total == 1_000_000


def test_simple_salesforce_sees_an_expired_session(line: dict[str, Any], session: requests.Session) -> None:
    stranger = Salesforce(instance_url=line["url"], session_id="00D!nothing", session=session)
    with pytest.raises(SalesforceExpiredSession):
        stranger.query("SELECT Id FROM Account")


# The wire itself


def test_bodies_are_taken_compressed_and_in_chunks(line: dict[str, Any], session: requests.Session) -> None:
    url = f"{line['url']}/services/data/v61.0/sobjects/Account"
    body = json.dumps({"Name": "Wire"}).encode()
    headers = {"Content-Type": "application/json"}
    assert (
        session.post(url, data=gzip.compress(body), headers=headers | {"Content-Encoding": "gzip"}).status_code == 201
    )
    assert session.post(url, data=iter([body[:5], body[5:]]), headers=headers).status_code == 201


def test_answers_are_compressed_when_asked(line: dict[str, Any], session: requests.Session) -> None:
    url = f"{line['url']}/services/data/v61.0/sobjects/Case/describe"
    packed = session.get(url, headers={"Accept-Encoding": "gzip"})
    plain = session.get(url, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_the_names_of_headers_stand_as_salesforce_writes_them(line: dict[str, Any], session: requests.Session) -> None:
    answer = session.get(f"{line['url']}/services/data/v61.0/limits")
    assert {"Content-Type", "Date", "Sforce-Limit-Info"} <= set(answer.raw.headers.keys())


def test_a_connection_is_kept_and_204_has_no_body(
    line: dict[str, Any], session: requests.Session, org: LocalOrg
) -> None:
    [account] = org.insert("Account", {"Name": "Kept"})
    url = f"{line['url']}/services/data/v61.0/sobjects/Account/{account}"
    answer = session.patch(url, json={"Phone": "2"})
    assert (answer.status_code, answer.content, "Content-Type" in answer.headers) == (204, b"", False)
    assert session.head(url).status_code == 200
    assert session.get(url).json()["Phone"] == "2"


@pytest.mark.parametrize("kind", ["reset_after", "cut_body", "timeout_after"])
def test_a_broken_answer_is_broken_on_the_wire(
    line: dict[str, Any], session: requests.Session, org: LocalOrg, kind: str
) -> None:
    before = org.count("Account")
    org.faults = Faults.of([{"kind": kind, "method": "POST", "times": 1}])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout)):
        session.post(f"{line['url']}/services/data/v61.0/sobjects/Account", json={"Name": "Lost"}, timeout=1)
    assert org.count("Account") == before + 1
    assert session.get(f"{line['url']}/services/data/v61.0/limits").status_code == 200


def test_the_second_org_answers_at_its_own_name(line: dict[str, Any], session: requests.Session) -> None:
    hub = line["orgs"][1]
    session.headers["Authorization"] = f"Bearer {hub['access_token']}"
    # By the org id in the token, since not every machine resolves names below localhost.
    found = session.get(
        f"{line['url']}/services/data/v61.0/query", params={"q": "SELECT Name FROM Organization"}
    ).json()
    assert found["records"][0]["Name"] == "Hub"


def test_plain_http_can_be_switched_on(tmp_path: Path) -> None:
    with running(prepare(tmp_path), http=True) as line:
        assert line["url"].startswith("http://")
        assert requests.get(f"{line['url']}/services/data", timeout=10).json()[-1]["version"] == "68.0"


def test_names_of_headers_are_written_as_a_real_org_writes_them(
    line: dict[str, Any], session: requests.Session
) -> None:
    answer = session.get(f"{line['url']}/services/data/v61.0/limits")
    names = set(dict(answer.headers))
    assert {"Content-Type", "Content-Length", "Date", "Set-Cookie", "Sforce-Limit-Info"} <= names
    assert not [name for name in names if name.islower()]
