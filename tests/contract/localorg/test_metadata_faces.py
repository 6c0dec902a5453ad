"""The Metadata API as clients call it: by SOAP in three dialects, by REST, through simple-salesforce and its zeep."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.metadata import SfdcMetadataApi

from sfsync.localorg.metadata import deploy_zip
from sfsync.mapping import load_mappings
from sfsync.metadata import generate, zip_package
from sfsync.org.inprocess import InProcess
from tests.contract.localorg.metadata_world import Asking, box_package, fault_of, manifest, text_field, zipped

REST = "/services/data/v61.0/metadata/deployRequest"


def multipart(*parts: tuple[str, str, bytes]) -> tuple[bytes, str]:
    """Return a body and its content type; each part is (name, content type, bytes)."""
    mark = "a-mark-of-a-boundary"
    lines = []
    for name, kind, data in parts:
        file = f'; filename="{name}.zip"' if kind == "application/zip" else ""
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'
        lines.append(head.encode() + data + b"\r\n")
    return b"".join([*lines, f"--{mark}--\r\n".encode()]), f'multipart/form-data; boundary="{mark}"'


def posted(client: Asking, *parts: tuple[str, str, bytes]) -> Any:
    body, kind = multipart(*parts)
    answer = client.http("POST", REST, body, Content_Type=kind)
    assert answer.status == 201, answer.body
    return answer.json()


# REST


@pytest.mark.parametrize("zip_first", [True, False])
def test_rest_takes_its_parts_in_either_order_and_under_any_name(zip_first: bool) -> None:
    client = Asking()
    options = json.dumps({"deployOptions": {"rollbackOnError": True, "singlePackage": True}}).encode()
    parts = [("file", "application/zip", box_package()), ("entity_content", "application/json", options)]
    made = posted(client, *(parts if zip_first else reversed(parts)))
    assert made["id"].startswith("0Af")
    assert made["validatedDeployRequestId"] is None
    assert made["deployOptions"]["singlePackage"] is True
    assert "Box__c" in client.org.schema


def test_rest_takes_a_zip_below_a_folder_and_options_as_text() -> None:
    """As one real client sends it: parts called json and file, the booleans in quotes."""
    client = Asking()
    files = {"metadata/package.xml": manifest(CustomObject=["Box__c"])}
    with zipfile.ZipFile(io.BytesIO(box_package())) as archive:
        files["metadata/objects/Box__c.object"] = archive.read("objects/Box__c.object")
    options = json.dumps({"deployOptions": {"checkOnly": "true", "rollbackOnError": "true", "singlePackage": "false"}})
    made = posted(client, ("json", "application/json", options.encode()), ("file", "application/zip", zipped(files)))
    assert made["deployOptions"]["checkOnly"] is True
    assert "Box__c" not in client.org.schema
    assert client.http("GET", f"{REST}/{made['id']}").json()["deployResult"]["status"] == "Succeeded"


def test_rest_shows_components_when_asked_for_details() -> None:
    client = Asking()
    made = posted(client, ("file", "application/zip", box_package(text_field("Tag__c"))))
    plain = client.http("GET", f"{REST}/{made['id']}").json()
    assert plain["deployResult"]["details"] is None
    known = client.http("GET", f"{REST}/{made['id']}?includeDetails=true").json()
    result = known["deployResult"]
    assert (result["done"], result["success"], result["numberComponentsTotal"]) == (True, True, 2)
    shown = {m["fullName"]: m for m in result["details"]["componentSuccesses"]}
    assert set(shown) == {"package.xml", "Box__c", "Box__c.Tag__c"}
    assert shown["Box__c"]["componentType"] == "CustomObject"
    assert (shown["Box__c"]["created"], shown["Box__c"]["id"][:3]) == (True, "01I")
    assert result["details"]["componentFailures"] == []
    assert known["url"].endswith(f"{REST}/{made['id']}?includeDetails=true")


def test_rest_shows_failures_with_their_place() -> None:
    client = Asking()
    made = posted(client, ("file", "application/zip", box_package("<fields><fullName>A__c</fullName></fields>")))
    result = client.http("GET", f"{REST}/{made['id']}?includeDetails=true").json()["deployResult"]
    (failure,) = result["details"]["componentFailures"]
    assert (result["status"], result["success"], result["numberComponentErrors"]) == ("Failed", False, 1)
    assert (failure["problemType"], failure["fullName"]) == ("Error", "Box__c.A__c")
    assert failure["lineNumber"] > 1
    assert failure["columnNumber"] > 1


def test_rest_deploys_what_was_validated_and_cancels_nothing_that_has_ended() -> None:
    client = Asking()
    options = json.dumps({"deployOptions": {"checkOnly": True}}).encode()
    made = posted(client, ("json", "application/json", options), ("file", "application/zip", box_package()))
    quick = json.dumps({"validatedDeployRequestId": made["id"]}).encode()
    answer = client.http("POST", REST, quick, Content_Type="application/json")
    assert (answer.status, answer.json()["validatedDeployRequestId"]) == (201, made["id"])
    assert "Box__c" in client.org.schema
    cancelling = json.dumps({"deployResult": {"status": "Canceling"}}).encode()
    refused = client.http("PATCH", f"{REST}/{made['id']}", cancelling, Content_Type="application/json")
    assert (refused.status, refused.json()[0]["errorCode"]) == (400, "INVALID_ID_FIELD")


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{}", "application/json", "INVALID_MULTIPART_REQUEST"),
        (b"nothing", "multipart/form-data", "INVALID_MULTIPART_REQUEST"),
        (*multipart(("json", "application/json", b"{}")), "INVALID_MULTIPART_REQUEST"),
        (*multipart(("json", "application/json", b"{nope"), ("file", "application/zip", b"PK")), "JSON_PARSER_ERROR"),
    ],
)
def test_rest_refuses_what_is_no_deploy(body: bytes, kind: str, code: str) -> None:
    answer = Asking().http("POST", REST, body, Content_Type=kind)
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, code)


def test_rest_does_not_know_a_deployment_nobody_made() -> None:
    assert Asking().http("GET", f"{REST}/0Af000000000001AAA").status == 404


# SOAP dialects


def test_two_slashes_behind_the_host_are_one() -> None:
    """Salesforce's command line writes them when it was given an instance URL."""
    assert Asking().http("GET", "//services/data/v61.0/limits").status == 200


@pytest.mark.parametrize("below", ["", "/00D000000000001", "/deployRequest", "/"])
def test_soap_answers_wherever_clients_post_it(below: str) -> None:
    client = Asking()
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://soap.sforce.com/2006/04/metadata">'
        f"<e:Header><m:SessionHeader><m:sessionId>{client.token}</m:sessionId></m:SessionHeader></e:Header>"
        "<e:Body><m:describeMetadata><m:asOfVersion>61.0</m:asOfVersion></m:describeMetadata></e:Body></e:Envelope>"
    )
    answer = client.http(
        "POST", f"/services/Soap/m/61.0{below}", body.encode(), Content_Type="text/xml", SOAPAction='""'
    )
    assert answer.status == 200
    assert b":Envelope" in answer.body[:200]
    assert b"<xmlName>CustomObject</xmlName>" in answer.body


def test_the_session_may_stand_in_the_authorization_header_alone() -> None:
    client = Asking()
    body = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        '<listMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><queries><type>PermissionSet</type></queries>'
        "</listMetadata></Body></Envelope>"
    )
    assert client.http("POST", "/services/Soap/m/61.0", body.encode()).status == 200


def test_the_words_of_simple_salesforce_are_understood() -> None:
    """Capitalised element names, True and False, and the stray word None inside the options."""
    client = Asking()
    data = base64.b64encode(box_package()).decode()
    options = (
        "<DeployOptions><checkOnly>False</checkOnly><rollbackOnError>True</rollbackOnError>None None</DeployOptions>"
    )
    (result,) = client.result("m", "deploy", f"<ZipFile>{data}</ZipFile>{options}")
    assert (result.value("state"), result.value("done")) == ("Queued", "false")
    (status,) = client.result(
        "m",
        "checkDeployStatus",
        f"<asyncProcessId>{result.value('id')}</asyncProcessId><includeDetails>true</includeDetails>",
    )
    assert (status.value("status"), status.value("numberComponentsDeployed")) == ("Succeeded", "1")
    details = status.find("details")
    assert details is not None
    assert [m.value("fullName") for m in details.all("componentSuccesses")] == ["package.xml", "Box__c"]


def test_a_session_that_is_over_is_a_fault_that_clients_know() -> None:
    client = Asking()
    fault = fault_of(client.soap("m", "describeMetadata", token="00D!over"))
    assert fault.value("faultcode") == "sf:INVALID_SESSION_ID"


def test_an_operation_that_is_not_modelled_says_so() -> None:
    fault = fault_of(Asking().soap("m", "describeValueType", "<type>CustomObject</type>"))
    assert fault.value("faultstring") == "FUNCTIONALITY_NOT_ENABLED: not modelled: the operation describeValueType"


# Lists and retrieval


def test_lists_show_what_was_deployed_by_whom_and_when() -> None:
    client = Asking()
    deploy_zip(client.org, box_package(text_field("Tag__c")))
    (field,) = client.result("m", "listMetadata", "<queries><type>CustomField</type></queries>")
    assert field.value("fullName") == "Box__c.Tag__c"
    assert field.value("fileName") == "objects/Box__c.object"
    assert (field.value("createdByName"), field.value("createdDate")) == ("Ada Admin", "2026-11-21T20:00:00.000Z")
    names = [
        r.value("fullName") for r in client.result("m", "listMetadata", "<queries><type>CustomObject</type></queries>")
    ]
    assert "Box__c" in names
    assert "Case" in names
    fault = fault_of(client.soap("m", "listMetadata", "<queries><type>Nope</type></queries>"))
    assert fault.value("faultcode") == "sf:INVALID_TYPE"


def retrieved(client: Asking, types: str) -> dict[str, bytes]:
    options = "<apiVersion>61.0</apiVersion><singlePackage>true</singlePackage>"
    request = f"<retrieveRequest>{options}<unpackaged>{types}</unpackaged></retrieveRequest>"
    (started,) = client.result("m", "retrieve", request)
    (result,) = client.result("m", "checkRetrieveStatus", f"<asyncProcessId>{started.value('id')}</asyncProcessId>")
    assert (result.value("done"), result.value("status")) == ("true", "Succeeded")
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(result.value("zipFile")))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_retrieved_can_be_deployed_again_and_changes_nothing() -> None:
    client = Asking()
    source = generate(load_mappings())
    deploy_zip(client.org, zip_package(source))
    kinds = (
        "CustomObject",
        "PermissionSet",
        "CustomPermission",
        "Layout",
        "CustomTab",
        "CustomApplication",
        "QuickAction",
    )
    types = "".join(f"<types><members>*</members><name>{kind}</name></types>" for kind in kinds)
    types += "<types><members>Case</members><name>CustomObject</name></types>"
    files = retrieved(client, types)
    assert set(files) == set(source)
    again = deploy_zip(client.org, zipped(files))
    assert again.status == "Succeeded"
    assert [m.name for m in again.successes if m.changed] == ["package.xml"]


@pytest.mark.parametrize("wrapper", ["retrieveRequest", "request"])
def test_what_to_retrieve_may_stand_in_either_wrapper(wrapper: str) -> None:
    client = Asking()
    deploy_zip(client.org, box_package())
    types = "<types><members>Box__c</members><name>CustomObject</name></types>"
    wanted = f"<{wrapper}><apiVersion>61.0</apiVersion><unpackaged>{types}</unpackaged></{wrapper}>"
    (started,) = client.result("m", "retrieve", wanted)
    asked = f"<asyncProcessId>{started.value('id')}</asyncProcessId>"
    assert client.result("m", "checkStatus", asked)[0].value("done") == "true"
    (result,) = client.result("m", "checkRetrieveStatus", asked)
    assert [p.value("fileName") for p in result.all("fileProperties")] == ["unpackaged/objects/Box__c.object"]


def test_one_field_can_be_retrieved_alone() -> None:
    client = Asking()
    deploy_zip(client.org, box_package(text_field("Tag__c"), text_field("Other__c")))
    files = retrieved(client, "<types><members>Box__c.Tag__c</members><name>CustomField</name></types>")
    assert b"<fullName>Tag__c</fullName>" in files["objects/Box__c.object"]
    assert b"Other__c" not in files["objects/Box__c.object"]


# simple-salesforce


def test_simple_salesforce_deploys_and_reads_the_status() -> None:
    client = Asking()
    sf: Salesforce = client.simple()
    done = sf.deploy(io.BytesIO(zip_package(generate(load_mappings()))), sandbox=False)
    assert done["state"] == "Queued"
    status = sf.checkDeployStatus(done["asyncId"])
    assert status["state"] == "Succeeded"
    assert status["deployment_detail"]["errors"] == []
    assert int(status["deployment_detail"]["deployed_count"]) == int(status["deployment_detail"]["total_count"]) > 200


def test_simple_salesforce_reads_the_failures() -> None:
    sf = Asking().simple()
    done = sf.deploy(io.BytesIO(box_package("<fields><fullName>A__c</fullName></fields>")), sandbox=False)
    status = sf.checkDeployStatus(done["asyncId"])
    assert status["state"] == "Failed"
    (error,) = status["deployment_detail"]["errors"]
    assert (error["type"], error["file"], error["status"]) == ("CustomField", "objects/Box__c.object", "Error")


@pytest.fixture(scope="module")
def mdapi_of() -> Any:
    """Return a function from an Asking to its mdapi; the WSDL behind it is read once for all."""
    made: list[SfdcMetadataApi] = []

    def of(client: Asking) -> Any:
        sf = client.simple()
        if not made:
            made.append(sf.mdapi)
        api = made[0]
        api._client.transport.session.mount("https://", InProcess(client.world))
        api._session_header = api._client.get_element("ns0:SessionHeader")(sessionId=sf.session_id)
        return api

    return of


def test_the_mdapi_of_simple_salesforce_creates_reads_changes_and_deletes(mdapi_of: Any) -> None:
    client = Asking()
    api = mdapi_of(client)

    def value(kind: str, text: str) -> Any:
        return api._client.get_type(f"ns0:{kind}")(text)

    api.CustomObject.create(
        api.CustomObject(
            fullName="Crate__c",
            label="Crate",
            pluralLabel="Crates",
            nameField=api.CustomField(label="Name", type=value("FieldType", "Text")),
            deploymentStatus=value("DeploymentStatus", "Deployed"),
            sharingModel=value("SharingModel", "Read"),
        )
    )
    kind = value("FieldType", "Text")
    api.CustomField.create([api.CustomField(fullName="Crate__c.Tag__c", label="Tag", type=kind, length=20)])
    assert client.org.schema["Crate__c"].fields["Tag__c"].length == 20
    api.CustomField.update([api.CustomField(fullName="Crate__c.Tag__c", label="Tag", type=kind, length=30)])
    assert client.org.schema["Crate__c"].fields["Tag__c"].length == 30
    read = api.CustomObject.read(["Crate__c"])
    assert (read.fullName, read.label, [f.fullName for f in read.fields]) == ("Crate__c", "Crate", ["Tag__c"])
    with pytest.raises(Exception, match="DUPLICATE_DEVELOPER_NAME"):
        api.CustomField.create([api.CustomField(fullName="Crate__c.Tag__c", label="Tag", type=kind, length=20)])
    with pytest.raises(Exception, match="Must specify 'length'"):
        api.CustomField.upsert([api.CustomField(fullName="Crate__c.More__c", label="More", type=kind)])
    api.CustomField.upsert([api.CustomField(fullName="Crate__c.More__c", label="More", type=kind, length=5)])
    api.CustomField.delete(["Crate__c.More__c"])
    assert "More__c" not in client.org.schema["Crate__c"].fields
    api.CustomObject.delete(["Crate__c"])
    assert "Crate__c" not in client.org.schema


def test_the_mdapi_of_simple_salesforce_reads_lists_and_types_strictly(mdapi_of: Any) -> None:
    client = Asking()
    deploy_zip(client.org, box_package(text_field("Tag__c")))
    api = mdapi_of(client)
    described = {o.xmlName: o for o in api.describe_metadata().metadataObjects}
    assert described["CustomObject"].directoryName == "objects"
    assert "CustomField" in described["CustomObject"].childXmlNames
    query = api._client.get_type("ns0:ListMetadataQuery")(type="CustomField")
    assert [p.fullName for p in api.list_metadata([query])] == ["Box__c.Tag__c"]
