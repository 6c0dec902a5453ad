"""SOAP: envelopes in and out, sessions, faults, and which operation belongs to which of the four APIs.

It may not know what an operation does. It keeps one law: whatever goes wrong becomes a fault in the form that clients
read: HTTP 500, ``sf:CODE``, and the code again in the detail.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError, bad_session
from sfsync.localorg.face import NEWEST, OLDEST, Call, Request, Response, Routes
from sfsync.localorg.metadata.operations import OPERATIONS as METADATA
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.partner import LOGIN, PARTNER
from sfsync.localorg.xmltree import Element, XmlError, escaped, leaf, node, parse

log = logging.getLogger("sfsync.localorg")
routes = Routes()

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
METADATA_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
XML = "text/xml; charset=utf-8"
FRONT = "/services/soap/"
_SESSION = re.compile(rb"<(?:\w+:)?sessionId[^>]*>([^<]+)</")


@dataclass(frozen=True, slots=True)
class Family:
    """One of the SOAP APIs: its namespaces, and its operations."""

    namespace: str
    objects: str
    faults: str
    operations: Mapping[str, Callable[[SoapCall], str]]


@dataclass(slots=True)
class SoapCall:
    """One operation on its way: the HTTP call, the org and user it is for, its element and its headers."""

    http: Call
    org: LocalOrg
    operation: Element
    headers: Mapping[str, Element]
    family: str
    version: str
    user: Actor | None = None
    token: str | None = None

    @property
    def actor(self) -> Actor:
        """Who asks; only login has nobody."""
        if self.user is None:
            raise bad_session()
        return self.user

    @property
    def typed(self) -> bool:
        """Whether records carry their type as an element (partner) and not as their XML type (enterprise)."""
        return self.family != "c"

    def header(self, name: str) -> Element | None:
        """Return a SOAP header by its local name, or None."""
        return self.headers.get(name)

    def inner(self) -> Call:
        """Return the HTTP call as the REST face would see it, for operations that both faces have."""
        outer = self.http
        return Call(outer.world, self.org, outer.request, {}, self.version, self.user, self.token, nested=True)


FAMILIES: dict[str, Family] = {
    "u": Family(
        "urn:partner.soap.sforce.com",
        "urn:sobject.partner.soap.sforce.com",
        "urn:fault.partner.soap.sforce.com",
        PARTNER,
    ),
    "c": Family(
        "urn:enterprise.soap.sforce.com",
        "urn:sobject.enterprise.soap.sforce.com",
        "urn:fault.enterprise.soap.sforce.com",
        PARTNER,
    ),
    "m": Family(METADATA_NAMESPACE, METADATA_NAMESPACE, METADATA_NAMESPACE, METADATA),
}


class Fault(Exception):
    """A SOAP fault; ``kind`` is the name of its element in the detail."""

    def __init__(self, code: str, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind or _KINDS.get(code, "UnexpectedErrorFault")


_KINDS = {
    "INVALID_LOGIN": "LoginFault",
    "INVALID_TYPE": "InvalidSObjectFault",
    "INVALID_FIELD": "InvalidFieldFault",
    "MALFORMED_QUERY": "MalformedQueryFault",
    "MALFORMED_ID": "InvalidIdFault",
    "INVALID_ID_FIELD": "InvalidIdFault",
    "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
}


@routes.on(
    "POST",
    "/services/Soap/{api}/{version}",
    "SOAP: partner (u), enterprise (c) and metadata (m)",
    session=False,
    cost=0,
)
def soap(call: Call) -> Response:
    """Answer one SOAP operation."""
    api = call.args["api"].lower()
    try:
        if api not in FAMILIES:
            raise Fault("FUNCTIONALITY_NOT_ENABLED", f"not modelled: the SOAP API {call.args['api']}")
        body = _carried_out(call, api, FAMILIES[api])
    except Fault as fault:
        return _fault(_family(call.request), fault)
    except ApiError as error:
        answer = refused(call.request, error)
        answer.status = 500  # what an operation refuses is a fault; only what never reached one keeps its status
        return answer
    return Response(200, body, [("Content-Type", XML)])


def refused(request: Request, error: ApiError) -> Response:
    """Return the fault that a refusal is on this face."""
    if error.code != "INVALID_SESSION_ID" and error.status != 401:
        # A body that could not even be unpacked is the client's doing, and no accident of ours.
        code = "soapenv:Client" if (error.status, error.code) == (400, "UNKNOWN_EXCEPTION") else error.code
        answer = _fault(_family(request), Fault(code, error.message))
        answer.status = error.status if error.status in (404, 405, 410) else 500
        return answer
    message = "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key"
    return _fault(_family(request), Fault("INVALID_SESSION_ID", message))


def session_in(request: Request) -> str | None:
    """Return the session that the envelope of a request to this face carries, before anybody has read it."""
    found = _SESSION.search(request.body) if request.path.lower().startswith(FRONT) else None
    return None if found is None else found[1].decode("utf-8", "replace").strip()


def _family(request: Request) -> Family:
    return FAMILIES.get(request.path.lower().removeprefix(FRONT)[:1], FAMILIES["u"])


@routes.on(
    "POST",
    "/services/Soap/{api}/{version}/{tail:rest}",
    "SOAP with an org id or deployRequest behind the version",
    session=False,
    cost=0,
)
def soap_below(call: Call) -> Response:
    """Answer one SOAP operation; what follows the version in the path says nothing that the body does not say."""
    return soap(call)


def _carried_out(call: Call, api: str, family: Family) -> bytes:
    version = _version(call.args["version"])
    headers, operation = _opened(call.request.body)
    name = operation.name
    function = LOGIN if name == "login" and api in ("u", "c") else family.operations.get(name)
    if function is None:
        log.warning("not modelled: SOAP operation %s of %s", name, api)
        raise Fault("FUNCTIONALITY_NOT_ENABLED", f"not modelled: the operation {name}")
    token = _session(headers) or call.token
    org = call.world.org_of_token(token) or call.org
    made = SoapCall(call, org, operation, headers, api, version, token=token)
    with org.lock if org is not call.org else nullcontext():
        if function is LOGIN:
            return _envelope(family, name, function(made), None)
        made.user = org.actor(org.logins.user_of(token))
        if org.spent() >= org.daily_api_requests:
            raise Fault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        org.spend(1)
        with org.running_as(made.actor):
            inner = function(made)
        return _envelope(family, name, inner, org if api != "m" else None)


def _version(given: str) -> str:
    number, _, fraction = given.partition(".")
    if not number.isdigit() or fraction not in ("", "0") or not OLDEST <= int(number) <= NEWEST:
        raise Fault("UNSUPPORTED_API_VERSION", f"Invalid Api version specified on URL: {given}")
    return f"{int(number)}.0"


def _opened(body: bytes) -> tuple[dict[str, Element], Element]:
    try:
        envelope = parse(body)
    except XmlError as bad:
        raise Fault("soapenv:Client", f"XML parsing error at {bad.line}:{bad.column}: {bad}") from None
    inside = envelope.find("Body")
    if envelope.name != "Envelope" or inside is None or not inside.children:
        raise Fault("soapenv:Client", "the request is no SOAP envelope with an operation in its body")
    header = envelope.find("Header")
    return {h.name: h for h in (header.children if header else [])}, inside.children[0]


def _session(headers: Mapping[str, Element]) -> str | None:
    for name in ("SessionHeader", "sessionHeader"):
        if name in headers:
            return headers[name].value("sessionId") or None
    return None


def _envelope(family: Family, operation: str, inner: str, org: LocalOrg | None) -> bytes:
    header = ""
    if org is not None:
        usage = node(
            "limitInfo",
            leaf("current", org.spent()),
            leaf("limit", org.daily_api_requests),
            leaf("type", "API REQUESTS"),
        )
        header = node("soapenv:Header", node("LimitInfoHeader", usage))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" xmlns="{family.namespace}" xmlns:sf="{family.objects}" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"{header}<soapenv:Body><{operation}Response>{inner}</{operation}Response></soapenv:Body></soapenv:Envelope>"
    ).encode()


def _fault(family: Family, fault: Fault) -> Response:
    code = fault.code if ":" in fault.code else f"sf:{fault.code}"
    plain = fault.code.rpartition(":")[2]
    message = fault.message if fault.message.startswith(plain) else f"{plain}: {fault.message}"
    detail = (
        f'<detail><sf:{fault.kind} xsi:type="sf:{fault.kind}"><sf:exceptionCode>{escaped(plain)}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escaped(fault.message)}</sf:exceptionMessage></sf:{fault.kind}></detail>"
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" xmlns:sf="{family.faults}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>{escaped(code)}</faultcode><faultstring>{escaped(message)}</faultstring>{detail}"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return Response(500, body.encode(), [("Content-Type", XML)])


__all__ = ["FAMILIES", "Family", "Fault", "SoapCall", "refused", "routes", "session_in", "soap"]
