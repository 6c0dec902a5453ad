"""SOAP clients: logging in, asking, writing, describing, and the faults they are told with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from simple_salesforce import SalesforceLogin
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.metadata import deploy_zip
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.localorg.xmltree import Element, parse
from sfsync.org.inprocess import InProcess
from tests.contract.localorg.metadata_world import NOW, Asking, box_package, fault_of, text_field

PASSWORD = "a password & more"


def client() -> Asking:
    made = Asking()
    made.org.logins.passwords["admin@acme.example"] = PASSWORD
    return made


def login(
    asking: Asking, username: str, password: str, host: str = "login.salesforce.com", version: str = "57.0"
) -> Response:
    body = (
        '<se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/"><se:Header/><se:Body>'
        '<login xmlns="urn:partner.soap.sforce.com">'
        f"<username>{username}</username><password>{password}</password></login></se:Body></se:Envelope>"
    )
    url = f"https://{host}/services/Soap/u/{version}"
    return asking.world.handle(
        Request.of("POST", url, {"Content-Type": "text/xml", "SOAPAction": "login"}, body.encode())
    )


def result_of(answer: Response) -> Element:
    assert answer.status == 200, answer.body
    body = parse(answer.body).find("Body")
    assert body is not None
    found = body.children[0].find("result")
    assert found is not None
    return found


def sobject(kind: str, **values: Any) -> str:
    inner = "".join(
        f"<fieldsToNull>{name}</fieldsToNull>" if value is None else f"<{name}>{value}</{name}>"
        for name, value in values.items()
    )
    return f"<sObjects><type>{kind}</type>{inner}</sObjects>"


# Login


def test_login_gives_a_session_that_rest_takes_and_urls_of_the_users_org() -> None:
    asking = client()
    found = result_of(login(asking, "admin@acme.example", "a password &amp; more"))
    assert found.value("serverUrl") == f"https://acme.my.salesforce.com/services/Soap/u/57.0/{asking.org.org_id[:15]}"
    assert found.value("metadataServerUrl").startswith("https://acme.my.salesforce.com/services/Soap/m/57.0/")
    assert (found.value("passwordExpired"), found.value("sandbox")) == ("false", "false")
    assert found.value("userId") == asking.org.admin_id
    info = found.find("userInfo")
    assert info is not None
    assert (info.value("organizationId"), info.value("userName")) == (asking.org.org_id, "admin@acme.example")
    asking.token = found.value("sessionId")
    assert asking.rest("/limits")


def test_what_clients_look_for_stands_there_without_a_prefix() -> None:
    """Some read the answer with regular expressions."""
    text = login(client(), "admin@acme.example", "a password &amp; more").body.decode()
    for tag in ("serverUrl", "sessionId", "userId", "organizationId"):
        assert f"<{tag}>" in text


def test_a_security_token_may_follow_the_password() -> None:
    assert login(client(), "admin@acme.example", "a password &amp; moreTOKEN").status == 200


@pytest.mark.parametrize(
    ("username", "password"), [("admin@acme.example", "wrong"), ("nobody@acme.example", "x"), ("", "")]
)
def test_a_wrong_login_is_one_fault_whatever_was_wrong(username: str, password: str) -> None:
    fault = fault_of(login(client(), username, password))
    assert fault.value("faultcode") == "sf:INVALID_LOGIN"
    detail = fault.find("detail")
    assert detail is not None
    assert [child.name for child in detail.children] == ["LoginFault"]
    assert detail.children[0].value("exceptionCode") == "INVALID_LOGIN"


def test_an_inactive_user_cannot_log_in() -> None:
    asking = client()
    asking.org.logins.passwords["client1@acme.example"] = "p"
    asking.org.update("User", asking.org.user_id("client1@acme.example"), {"IsActive": False})
    assert fault_of(login(asking, "client1@acme.example", "p")).value("faultcode") == "sf:INVALID_LOGIN"


def test_the_login_host_finds_the_org_that_knows_the_user() -> None:
    asking = client()
    other = LocalOrg("beta", clock=ManualClock(NOW), seed=2)
    other.logins.passwords["admin@beta.example"] = "q"
    asking.world = World([asking.org, other])
    found = result_of(login(asking, "admin@beta.example", "q"))
    assert found.value("serverUrl").startswith("https://beta.my.salesforce.com/")
    session = f"<SessionHeader><sessionId>{found.value('sessionId')}</sessionId></SessionHeader>"
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">'
        f"<e:Header>{session}</e:Header><e:Body><getUserInfo/></e:Body></e:Envelope>"
    )
    answer = asking.world.handle(Request.of("POST", "https://elsewhere/services/Soap/u/57.0", {}, body.encode()))
    assert result_of(answer).value("organizationId") == other.org_id


@pytest.mark.parametrize("version", ["30.0", "99.0", "x", "57.5"])
def test_a_version_that_is_not_served_is_a_fault(version: str) -> None:
    fault = fault_of(login(client(), "admin@acme.example", "x", version=version))
    assert fault.value("faultcode") == "sf:UNSUPPORTED_API_VERSION"


def test_simple_salesforce_logs_in_with_a_password() -> None:
    import requests

    asking = client()
    session = requests.Session()
    session.mount("https://", InProcess(asking.world))
    token, host = SalesforceLogin(
        username="admin@acme.example", password=PASSWORD, security_token="T", domain="acme.my", session=session
    )
    assert host == "acme.my.salesforce.com"
    assert asking.org.logins.user_of(token) == asking.org.admin_id
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        SalesforceLogin(
            username="admin@acme.example", password="no", security_token="", domain="acme.my", session=session
        )


def test_after_logout_the_session_is_over() -> None:
    asking = client()
    asking.soap("u", "logout")
    fault = fault_of(asking.soap("u", "getUserInfo"))
    assert fault.value("faultcode") == "sf:INVALID_SESSION_ID"


def test_user_info_has_every_field_that_clients_read() -> None:
    asking = client()
    (info,) = asking.result("u", "getUserInfo")
    names = [child.name for child in info.children]
    assert "userDefaultCurrencyIsoCode" in names
    assert names == sorted(names)
    assert len(names) == 24


def test_the_timestamp_is_the_orgs_clock() -> None:
    (found,) = client().result("u", "getServerTimestamp")
    assert found.value("timestamp") == "2026-11-21T20:00:00.000Z"


# Records


def test_records_are_created_updated_read_and_deleted() -> None:
    asking = client()
    (made,) = asking.result("u", "create", sobject("Account", Name="Äcme &amp; Co", NumberOfEmployees=7))
    account = made.value("id")
    assert made.value("success") == "true"
    (changed,) = asking.result("u", "update", sobject("Account", Id=account, Phone="1", NumberOfEmployees=None))
    assert changed.value("success") == "true"
    fields = "<fieldList>Id, Name,Phone, NumberOfEmployees</fieldList><sObjectType>Account</sObjectType>"
    (read,) = asking.result("u", "retrieve", f"{fields}<ids>{account}</ids>")
    assert read.attributes["type"] == "sf:sObject"
    assert (read.value("Name"), read.value("Phone")) == ("Äcme & Co", "1")
    number = read.find("NumberOfEmployees")
    assert number is not None
    assert number.attributes == {"nil": "true"}
    (gone,) = asking.result("u", "delete", f"<ids>{account[:15]}</ids>")
    assert gone.value("success") == "true"
    (again,) = asking.result("u", "delete", f"<ids>{account}</ids>")
    errors = again.find("errors")
    assert errors is not None
    assert errors.value("statusCode") == "ENTITY_IS_DELETED"
    (back,) = asking.result("u", "undelete", f"<ids>{account}</ids>")
    assert back.value("success") == "true"
    assert asking.org.count("Account") == 1


def test_upsert_by_an_external_id_says_whether_it_created() -> None:
    asking = client()
    key = text_field("Key__c", "<externalId>true</externalId><unique>true</unique>")
    deploy_zip(asking.org, box_package(key, text_field("Tag__c")))
    given = f"<externalIDFieldName>Key__c</externalIDFieldName>{sobject('Box__c', Key__c='k1', Tag__c='a')}"
    (first,) = asking.result("u", "upsert", given)
    (second,) = asking.result("u", "upsert", given)
    assert [r.value("created") for r in (first, second)] == ["true", "false"]
    assert first.value("id") == second.value("id")


def test_a_parent_may_be_named_by_its_external_id() -> None:
    asking = client()
    names = "<relationshipLabel>Parts</relationshipLabel><relationshipName>Parts</relationshipName>"
    target = f"<referenceTo>Box__c</referenceTo>{names}<type>Lookup</type>"
    parent = f"<fields><fullName>In__c</fullName><label>In</label>{target}</fields>"
    key = text_field("Key__c", "<externalId>true</externalId><unique>true</unique>")
    assert deploy_zip(asking.org, box_package(key, parent)).status == "Succeeded"
    outer = asking.org.insert("Box__c", {"Key__c": "k1"})[0]
    named = "<In__r><type>Box__c</type><Key__c>k1</Key__c></In__r>"
    (made,) = asking.result("u", "create", f"<sObjects><type>Box__c</type>{named}</sObjects>")
    row = asking.org.get("Box__c", made.value("id"))
    assert row is not None
    assert row["In__c"] == outer


def test_rows_fail_one_by_one_unless_all_or_none_is_asked() -> None:
    asking = client()
    rows = sobject("Account", Name="good") + sobject("Account", Phone="no name")
    results = asking.result("u", "create", rows)
    assert [r.value("success") for r in results] == ["true", "false"]
    errors = results[1].find("errors")
    assert errors is not None
    assert (errors.value("statusCode"), errors.value("fields")) == ("REQUIRED_FIELD_MISSING", "Name")
    every = "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    results = asking.result("u", "create", rows, headers=every)
    assert [r.value("success") for r in results] == ["false", "false"]
    assert asking.org.count("Account") == 1


def test_the_assignment_rule_runs_only_when_the_header_asks_for_it() -> None:
    """Over SOAP the default is the opposite of REST's."""
    asking = client()
    (plain,) = asking.result("u", "create", sobject("Case", Subject="a"))
    header = "<AssignmentRuleHeader><useDefaultRule>true</useDefaultRule></AssignmentRuleHeader>"
    (ruled,) = asking.result("u", "create", sobject("Case", Subject="b"), headers=header)
    owners = []
    for each in (plain, ruled):
        row = asking.org.get("Case", each.value("id"))
        assert row is not None
        owners.append(row["OwnerId"][:3])
    assert owners == ["005", "00G"]


def test_booleans_and_types_in_the_enterprise_dialect() -> None:
    asking = client()
    row = '<sObjects xsi:type="ns1:Case"><Subject>Ñ</Subject><IsEscalated>true</IsEscalated></sObjects>'
    (made,) = asking.result("c", "create", row)
    assert made.value("success") == "true", [e.value("message") for e in made.all("errors")]
    (found,) = asking.result(
        "c", "query", "<queryString>SELECT Id, Subject, IsEscalated, Account.Name FROM Case</queryString>"
    )
    (record,) = found.all("records")
    assert record.attributes["type"] == "sf:Case"
    assert (record.value("Subject"), record.value("IsEscalated")) == ("Ñ", "true")
    assert record.find("type") is None
    assert record.values("Id") == [made.value("id")]


# Queries


def test_a_query_shows_type_and_id_parents_and_children() -> None:
    asking = client()
    account = asking.org.insert("Account", {"Name": "A"})[0]
    case = asking.org.insert("Case", {"Subject": "s", "AccountId": account})[0]
    text = "SELECT Id, CreatedDate, Account.Name, ParentId FROM Case"
    (found,) = asking.result("u", "query", f"<queryString>{text}</queryString>")
    assert (found.value("done"), found.value("size")) == ("true", "1")
    (record,) = found.all("records")
    assert record.value("type") == "Case"
    assert record.values("Id") == [case, case]
    assert record.value("CreatedDate") == "2026-11-21T20:00:00.000Z"
    parent = record.find("Account")
    assert parent is not None
    assert (parent.value("type"), parent.value("Name")) == ("Account", "A")
    text = "SELECT Name, (SELECT Subject FROM Cases) FROM Account"
    (found,) = asking.result("u", "query", f"<queryString>{text}</queryString>")
    (record,) = found.all("records")
    children = record.find("Cases")
    assert children is not None
    assert [r.value("Subject") for r in children.all("records")] == ["s"]
    assert record.find("Id") is not None


def test_an_aggregate_carries_the_types_of_its_values() -> None:
    asking = client()
    asking.org.insert("Case", {"Subject": "s"})
    (found,) = asking.result(
        "u", "query", "<queryString>SELECT COUNT(Id) n, Status FROM Case GROUP BY Status</queryString>"
    )
    (record,) = found.all("records")
    number = record.find("n")
    assert number is not None
    assert (record.value("type"), number.text, number.attributes["type"]) == ("AggregateResult", "1", "xsd:int")
    (found,) = asking.result("u", "query", "<queryString>SELECT COUNT() FROM Case</queryString>")
    assert (found.value("size"), found.value("done")) == ("1", "true")


def test_pages_are_continued_with_query_more_and_by_their_user_only() -> None:
    asking = client()
    asking.org.insert("Account", [{"Name": f"{n:04}"} for n in range(450)])
    options = "<QueryOptions><batchSize>200</batchSize></QueryOptions>"
    text = "<queryString>SELECT Name FROM Account ORDER BY Name</queryString>"
    (page,) = asking.result("u", "query", text, headers=options)
    names, sizes = [r.value("Name") for r in page.all("records")], [len(list(page.all("records")))]
    first_locator = page.value("queryLocator")
    while page.value("done") == "false":
        (page,) = asking.result("u", "queryMore", f"<queryLocator>{page.value('queryLocator')}</queryLocator>")
        names += [r.value("Name") for r in page.all("records")]
        sizes.append(len(list(page.all("records"))))
    assert (names, sizes) == ([f"{n:04}" for n in range(450)], [200, 200, 50])
    stranger = asking.org.logins.open_session(asking.org.user_id("client1@acme.example"))
    fault = fault_of(asking.soap("u", "queryMore", f"<queryLocator>{first_locator}</queryLocator>", token=stranger))
    assert fault.value("faultcode") == "sf:INVALID_QUERY_LOCATOR"


def test_deleted_rows_exist_for_query_all_alone() -> None:
    asking = client()
    account = asking.org.insert("Account", {"Name": "A"})[0]
    asking.org.delete("Account", account)
    text = "<queryString>SELECT Id FROM Account</queryString>"
    assert asking.result("u", "query", text)[0].value("size") == "0"
    assert asking.result("u", "queryAll", text)[0].value("size") == "1"


# Merge, and the recycle bin


def merge_request(master: str, *losers: str, **values: Any) -> str:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    gone = "".join(f"<recordToMergeIds>{each}</recordToMergeIds>" for each in losers)
    record = f"<masterRecord><type>Account</type><Id>{master}</Id>{inner}</masterRecord>"
    return f"<request>{record}{gone}</request>"


def test_a_merge_keeps_the_masters_values_and_names_what_moved() -> None:
    asking = client()
    master, loser = asking.org.insert("Account", [{"Name": "A"}, {"Name": "B"}])
    (contact,) = asking.org.insert("Contact", {"LastName": "Li", "AccountId": loser})
    (found,) = asking.result("u", "merge", merge_request(master, loser, Phone="7"))
    assert [child.name for child in found.children] == ["id", "mergedRecordIds", "success", "updatedRelatedIds"]
    assert (found.value("mergedRecordIds"), found.value("updatedRelatedIds")) == (loser, contact)
    kept = asking.org.get("Account", master) or {}
    gone = asking.org.get("Account", loser) or {}
    assert (kept["Phone"], kept["Name"], gone["IsDeleted"], gone["MasterRecordId"]) == ("7", "A", 1, master)


@pytest.mark.parametrize("wrong", ["a loser that is gone", "a value that is refused", "the master itself"])
def test_a_merge_that_cannot_be_done_whole_is_not_done_at_all(wrong: str) -> None:
    asking = client()
    master, loser, gone = asking.org.insert("Account", [{"Name": n} for n in "ABC"])
    asking.org.delete("Account", gone)
    losers = [loser, {"a loser that is gone": gone, "the master itself": master}.get(wrong, "")]
    values = {"NumberOfEmployees": "many"} if wrong == "a value that is refused" else {}
    (found,) = asking.result("u", "merge", merge_request(master, *filter(None, losers), **values))
    assert (found.value("success"), found.find("errors") is not None) == ("false", True)
    assert [(asking.org.get("Account", i) or {})["IsDeleted"] for i in (master, loser)] == [0, 0]


def test_the_recycle_bin_is_emptied_of_what_is_in_it_and_of_nothing_else() -> None:
    asking = client()
    alive, gone = asking.org.insert("Account", [{"Name": "A"}, {"Name": "B"}])
    asking.org.delete("Account", gone)
    answers = asking.result("u", "emptyRecycleBin", f"<ids>{gone}</ids><ids>{alive}</ids>")
    assert [answer.value("success") for answer in answers] == ["true", "false"]
    assert (asking.org.get("Account", gone), asking.org.count("Account")) == (None, 1)


# Describe and replication


@pytest.mark.parametrize("version", ["38.0", "58.0"])
def test_a_describe_can_be_read_strictly_by_the_wsdl_of_its_version(version: str) -> None:
    asking = client()
    found = result_of(asking.soap("u", "describeSObject", "<sObjectType>Account</sObjectType>", version=version))
    names = list(dict.fromkeys(child.name for child in found.children))
    assert names == sorted(names)
    assert {"urls", "listviewable", "extendedBy"}.isdisjoint(names)
    later = {"associateEntityType", "implementedBy", "isInterface"}
    assert later <= set(names) if version == "58.0" else later.isdisjoint(names)
    assert "idEnabled" in names
    field = next(found.all("fields"))
    assert ("aiPredictionField" in [child.name for child in field.children]) == (version == "58.0")
    kind = next(found.all("recordTypeInfos"))
    assert ("active" in [child.name for child in kind.children]) == (version == "58.0")


def test_describe_says_the_same_as_rest() -> None:
    asking = client()
    (found,) = asking.result("u", "describeSObject", "<sObjectType>Case</sObjectType>")
    over_rest = asking.rest("/sobjects/Case/describe")
    assert (found.value("name"), found.value("keyPrefix")) == ("Case", "500")
    assert [f.value("name") for f in found.all("fields")] == [f["name"] for f in over_rest["fields"]]
    status = next(f for f in found.all("fields") if f.value("name") == "Status")
    assert [v.value("value") for v in status.all("picklistValues")] == ["New", "Working", "Escalated", "Closed"]
    many = asking.result("u", "describeSObjects", "<sObjectType>Case</sObjectType><sObjectType>Account</sObjectType>")
    assert [r.value("name") for r in many] == ["Case", "Account"]
    (everything,) = asking.result("u", "describeGlobal")
    assert len(list(everything.all("sobjects"))) == len(asking.rest("/sobjects")["sobjects"])


def test_get_updated_and_get_deleted_cover_a_window() -> None:
    asking = client()
    assert isinstance(asking.org.clock, ManualClock)
    account = asking.org.insert("Account", {"Name": "A"})[0]
    gone = asking.org.insert("Account", {"Name": "B"})[0]
    asking.org.delete("Account", gone)
    asking.org.clock.set(NOW + timedelta(minutes=10))
    start, end = "2026-11-21T19:00:00.000Z", "2026-11-21T20:05:00.000Z"
    window = f"<sObjectType>Account</sObjectType><startDate>{start}</startDate><endDate>{end}</endDate>"
    (updated,) = asking.result("u", "getUpdated", window)
    assert updated.values("ids") == [account]
    (deleted,) = asking.result("u", "getDeleted", window)
    assert [d.value("id") for d in deleted.all("deletedRecords")] == [gone]
    assert deleted.value("latestDateCovered").endswith("Z")


# Faults


@pytest.mark.parametrize(
    ("operation", "inner", "code", "kind"),
    [
        ("query", "<queryString>SELECT Nope FROM Case</queryString>", "INVALID_FIELD", "InvalidFieldFault"),
        ("query", "<queryString>SELEC Id FROM Case</queryString>", "MALFORMED_QUERY", "MalformedQueryFault"),
        ("query", "<queryString>SELECT Id FROM Nope</queryString>", "INVALID_TYPE", "InvalidSObjectFault"),
        ("queryMore", "<queryLocator>01g-9</queryLocator>", "INVALID_QUERY_LOCATOR", "InvalidQueryLocatorFault"),
        ("describeSObject", "<sObjectType>Nope</sObjectType>", "INVALID_TYPE", "InvalidSObjectFault"),
        ("create", "<sObjects><type>Nope</type></sObjects>", "INVALID_TYPE", "InvalidSObjectFault"),
        ("convertLead", "", "FUNCTIONALITY_NOT_ENABLED", "UnexpectedErrorFault"),
    ],
)  # fmt: skip
def test_faults_carry_the_code_twice(operation: str, inner: str, code: str, kind: str) -> None:
    answer = client().soap("u", operation, inner)
    fault = fault_of(answer)
    detail = fault.find("detail")
    assert detail is not None
    assert fault.value("faultcode") == f"sf:{code}"
    assert detail.children[0].name == kind
    assert detail.children[0].value("exceptionCode") == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<a/>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>',
        b"<a>" * 200 + b"</a>" * 200,
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><query>\x00</query></e:Body></e:Envelope>',
    ],
)
def test_what_is_no_envelope_is_a_fault_and_never_expanded(body: bytes) -> None:
    asking = client()
    fault = fault_of(asking.http("POST", "/services/Soap/u/57.0", body, Content_Type="text/xml"))
    assert fault.value("faultcode") == "soapenv:Client"


def test_a_soap_api_that_is_not_modelled_says_so() -> None:
    fault = fault_of(client().http("POST", "/services/Soap/x/57.0", b"<a/>"))
    assert fault.value("faultcode") == "sf:FUNCTIONALITY_NOT_ENABLED"


def test_each_operation_counts_as_one_api_call_and_the_limit_holds() -> None:
    asking = client()
    before = asking.org.spent()
    asking.soap("u", "getUserInfo")
    assert asking.org.spent() == before + 1
    asking.org.daily_api_requests = asking.org.spent()
    fault = fault_of(asking.soap("u", "getUserInfo"))
    assert fault.value("faultcode") == "sf:REQUEST_LIMIT_EXCEEDED"
