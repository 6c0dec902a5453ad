"""A fresh org on a still clock, simple-salesforce talking to it in process, and small packages to deploy."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from simple_salesforce import Salesforce

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.localorg.xmltree import Element, parse
from sfsync.org.inprocess import InProcess

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
HEADER = f'<?xml version="1.0" encoding="UTF-8"?>\n<{{0}} xmlns="{NAMESPACE}">\n{{1}}\n</{{0}}>\n'

NAME_FIELD = (
    "<nameField><label>Box No.</label><type>AutoNumber</type><displayFormat>B-{0000}</displayFormat></nameField>"
)
SHELL = (
    "<deploymentStatus>Deployed</deploymentStatus><enableHistory>true</enableHistory><label>Box</label>"
    f"{NAME_FIELD}<pluralLabel>Boxes</pluralLabel><sharingModel>ReadWrite</sharingModel>"
)


def xml(root: str, inner: str) -> bytes:
    """Return a metadata file."""
    return HEADER.format(root, inner).encode()


def text_field(name: str, more: str = "") -> str:
    """Return the element of a text field."""
    inner = f"<fullName>{name}</fullName><label>{name[:-3]}</label><length>40</length><type>Text</type>{more}"
    return f"<fields>{inner}</fields>"


def grant(field_name: str, *, readable: bool = True, editable: bool = True) -> str:
    """Return a field permission."""
    edit, read = str(editable).lower(), str(readable).lower()
    inner = f"<editable>{edit}</editable><field>{field_name}</field><readable>{read}</readable>"
    return f"<fieldPermissions>{inner}</fieldPermissions>"


def removal(kind: str, name: str) -> bytes:
    """Return a destructiveChanges.xml of one component."""
    return manifest(**{kind: [name]})


def box(*inside: str) -> bytes:
    """Return the file of Box__c with these elements inside."""
    return xml("CustomObject", SHELL + "".join(inside))


def manifest(**members: list[str]) -> bytes:
    """Return a package.xml of type to names."""
    types = "".join(
        f"<types>{''.join(f'<members>{n}</members>' for n in names)}<name>{kind}</name></types>"
        for kind, names in members.items()
    )
    return xml("Package", f"{types}<version>63.0</version>")


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def box_package(*inside: str, **more: bytes) -> bytes:
    """Return the zip that brings Box__c with these elements inside."""
    return zipped({"package.xml": manifest(CustomObject=["Box__c"]), "objects/Box__c.object": box(*inside), **more})


@dataclass(slots=True)
class Asking:
    """A client of one org, by SOAP, REST or simple-salesforce; the administrator unless another user is named."""

    org: LocalOrg = field(default_factory=lambda: LocalOrg("acme", clock=ManualClock(NOW)))
    world: World = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.world = World([self.org])
        self.token = self.org.logins.open_session(self.org.admin_id)

    def http(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """Return the answer to one request."""
        given = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.world.handle(Request.of(method, f"https://acme.my.salesforce.com{path}", given, body))

    def rest(self, path: str) -> Any:
        """Return the JSON of a GET below the data root."""
        answer = self.http("GET", f"/services/data/v61.0{path}")
        assert answer.status == 200, answer.body
        return answer.json()

    def soap(
        self,
        family: str,
        operation: str,
        inner: str = "",
        *,
        headers: str = "",
        token: str | None = None,
        version: str = "61.0",
    ) -> Response:
        """Return the answer to one SOAP operation, its session in the header of the envelope."""
        namespace = {"m": NAMESPACE, "u": "urn:partner.soap.sforce.com", "c": "urn:enterprise.soap.sforce.com"}[family]
        session = f"<SessionHeader><sessionId>{self.token if token is None else token}</sessionId></SessionHeader>"
        body = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="{namespace}">'
            f"<soapenv:Header>{session}{headers}</soapenv:Header>"
            f"<soapenv:Body><{operation}>{inner}</{operation}></soapenv:Body></soapenv:Envelope>"
        )
        url = f"https://acme.my.salesforce.com/services/Soap/{family}/{version}"
        return self.world.handle(
            Request.of("POST", url, {"Content-Type": "text/xml", "SOAPAction": '""'}, body.encode())
        )

    def result(self, family: str, operation: str, inner: str = "", **more: Any) -> list[Element]:
        """Return the ``result`` elements of a SOAP answer that must have succeeded."""
        answer = self.soap(family, operation, inner, **more)
        assert answer.status == 200, answer.body
        body = parse(answer.body).find("Body")
        assert body is not None
        assert body.children[0].name == f"{operation}Response"
        return list(body.children[0].all("result"))

    def simple(self, user_id: str | None = None) -> Salesforce:
        """Return simple-salesforce with a session of a user."""
        session = requests.Session()
        session.mount("https://", InProcess(self.world))
        token = self.org.logins.open_session(user_id or self.org.admin_id)
        return Salesforce(instance="acme.my.salesforce.com", session_id=token, version="63.0", session=session)


def fault_of(answer: Response) -> Element:
    """Return the fault of a SOAP answer."""
    assert answer.status == 500, answer.body
    body = parse(answer.body).find("Body")
    assert body is not None
    fault = body.find("Fault")
    assert fault is not None
    return fault
