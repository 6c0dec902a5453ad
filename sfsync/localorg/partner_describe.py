"""The describes of SOAP: what REST says about objects, in the order and with the elements that the WSDL has.

It may not know the schema. It keeps one law: a client that reads strictly by the WSDL of its version can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import DEPRECATED, Response
from sfsync.localorg.schema import SObject
from sfsync.localorg.xmltree import leaf, node

if TYPE_CHECKING:
    from sfsync.localorg.soap import SoapCall

# The WSDL lists every element by its name's letters, as sorted() does.
_REST_ALONE = frozenset("extendedBy extendsInterfaces listviewable lookupLayoutable sobjectDescribeOption urls".split())
_NILLABLE = frozenset(
    "associateEntityType associateParentEntity defaultImplementation implementedBy implementsInterfaces keyPrefix "
    "networkScopeFieldName urlDetail urlEdit urlNew".split()
)
# Not yet there in the versions that are deprecated by now.
_LATER = frozenset(
    "associateEntityType associateParentEntity deepCloneable defaultImplementation implementedBy implementsInterfaces "
    "isInterface isSubtype aiPredictionField formulaTreatNullNumberAsZero polymorphicForeignKey searchPrefilterable "
    "developerName".split()
)
_PAGES = (("urlDetail", "uiDetailTemplate"), ("urlEdit", "uiEditTemplate"), ("urlNew", "uiNewRecord"))


def nil(name: str) -> str:
    """Return an element without a value."""
    return f'<{name} xsi:nil="true"/>'


def visible_object(call: SoapCall, kind: str) -> SObject:
    """Return an object that the user sees; INVALID_TYPE otherwise."""
    sobject = call.actor.schema.get(kind)
    if sobject is None:
        message = f"sObject type '{kind}' is not supported." if kind else "Must send a concrete entity type."
        raise ApiError(400, "INVALID_TYPE", message)
    return sobject


def rest_answer(call: SoapCall, path: str) -> Any:
    """Return what REST answers at a path below the version; its refusal is raised."""
    inner = call.inner()
    answer: Response = call.http.world.subrequest(inner, "GET", f"{inner.base}{path}", b"", {})
    body = answer.json()
    if answer.status >= 400:
        first = body[0]
        raise ApiError(answer.status, first["errorCode"], first["message"])
    return body


def _members(facts: Mapping[str, Any], hidden: frozenset[str]) -> str:
    return "".join(_written(name, facts[name], hidden) for name in sorted(facts.keys() - hidden))


def _written(name: str, value: Any, hidden: frozenset[str]) -> str:
    """Return a member as XML: lists repeat the element, null is left out where the WSDL lets it."""
    if value is None:
        return nil(name) if name in _NILLABLE else ""
    if isinstance(value, list):
        return "".join(_written(name, each, hidden) for each in value)
    if isinstance(value, Mapping):
        # What a record type has of its own came with developerName.
        return node(name, _members(value, hidden | {"active"} if "developerName" in value.keys() & hidden else hidden))
    return leaf(name, value)


def _hidden(call: SoapCall) -> frozenset[str]:
    return _REST_ALONE | _LATER if float(call.version) <= DEPRECATED else _REST_ALONE


def _described(call: SoapCall, name: str) -> str:
    visible_object(call, name)
    facts = rest_answer(call, f"/sobjects/{quote(name)}/describe")
    root = call.http.world.instance_url(call.org, call.http.request)
    for key, template in _PAGES:
        found = facts["urls"].get(template)
        facts[key] = root + found if found else None
    return node("result", _members(facts | {"idEnabled": True}, _hidden(call)))


def _describe(call: SoapCall) -> str:
    return _described(call, call.operation.value("sObjectType"))


def _describe_many(call: SoapCall) -> str:
    return "".join(_described(call, name) for name in call.operation.values("sObjectType"))


def _describe_global(call: SoapCall) -> str:
    facts = rest_answer(call, "/sobjects")
    hidden = _hidden(call)
    return node(
        "result",
        leaf("encoding", facts["encoding"]),
        leaf("maxBatchSize", facts["maxBatchSize"]),
        *(node("sobjects", _members(each | {"idEnabled": True}, hidden)) for each in facts["sobjects"]),
    )


DESCRIBES: dict[str, Callable[[SoapCall], str]] = {
    "describeSObject": _describe,
    "describeSObjects": _describe_many,
    "describeGlobal": _describe_global,
}
