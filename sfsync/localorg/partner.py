"""The partner and enterprise SOAP operations on users and records.

It may not know envelopes. It keeps one law: a record here is the same record as over REST, only written differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sfsync.localorg import ids, soql
from sfsync.localorg.errors import ApiError, OAuthError
from sfsync.localorg.face import DEPRECATED
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.partner_describe import DESCRIBES, nil, rest_answer, visible_object
from sfsync.localorg.query import _keep, view_of
from sfsync.localorg.records import Options, SaveResult
from sfsync.localorg.schema import Field
from sfsync.localorg.xmltree import Element, leaf, node

if TYPE_CHECKING:
    from sfsync.localorg.soap import SoapCall

Operation = Callable[["SoapCall"], str]
MOST_ROWS = 200
MOST_RETRIEVED = 2_000
SMALLEST_BATCH, BATCH, LARGEST_BATCH = 200, 500, 2_000
_LOCATOR = re.compile(r"(01g\w{12,15})-(\d+)")


# Sessions


def login(call: SoapCall) -> str:
    """Return a session for a username and password, which a security token may follow."""
    from sfsync.localorg.soap import Fault

    username, password = call.operation.value("username"), call.operation.value("password")
    world = call.http.world
    named = world.org_named_by(call.http.request.hostname)
    for org in [named] if named is not None else world.orgs.values():
        try:
            user_id = org.logins.check_password(username, password)
        except OAuthError:
            continue
        if not org.actor(user_id).attributes.get("user.isactive"):
            continue
        return _logged_in(call, org, user_id)
    raise Fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")


def _logged_in(call: SoapCall, org: LocalOrg, user_id: str) -> str:
    with org.lock:
        session = org.logins.open_session(user_id)
        org.storage.update("User", ["LastLoginDate"], [(org.now_seconds(), user_id)])
    root = f"{call.http.world.instance_url(org, call.http.request)}/services/Soap"
    tail = f"{call.version}/{org.org_id[:15]}"
    return node(
        "result",
        leaf("metadataServerUrl", f"{root}/m/{tail}"),
        leaf("passwordExpired", False),
        leaf("sandbox", org.sandbox),
        leaf("serverUrl", f"{root}/{call.family}/{tail}"),
        leaf("sessionId", session),
        leaf("userId", user_id),
        node("userInfo", _user_info(org, user_id, call.version)),
    )


def _user_info(org: LocalOrg, user_id: str, version: str) -> str:
    actor = org.actor(user_id)
    user = actor.attributes
    facts: tuple[tuple[str, object], ...] = (
        ("accessibilityMode", False),
        ("chatterExternal", False),
        ("currencySymbol", "$"),
        ("orgAttachmentFileSizeLimit", 26_214_400),
        ("orgDefaultCurrencyIsoCode", "USD"),
        ("orgDefaultCurrencyLocale", "en_US"),
        ("orgDisallowHtmlAttachments", False),
        ("orgHasPersonAccounts", False),
        ("organizationId", org.org_id),
        ("organizationMultiCurrency", False),
        ("organizationName", org.name.title()),
        ("profileId", user.get("user.profileid")),
        ("roleId", user.get("user.userroleid")),
        ("sessionSecondsValid", org.logins.session_seconds),
        ("userDefaultCurrencyIsoCode", None),
        ("userEmail", user.get("user.email")),
        ("userFullName", actor.name),
        ("userId", user_id),
        ("userLanguage", user.get("user.languagelocalekey")),
        ("userLocale", user.get("user.localesidkey")),
        ("userName", actor.username),
        ("userTimeZone", user.get("user.timezonesidkey")),
        ("userType", "Standard"),
        ("userUiSkin", "Theme3"),
    )
    empty = ("userDefaultCurrencyIsoCode", "roleId")
    hidden = ("chatterExternal",) if float(version) <= DEPRECATED else ()  # its WSDL does not have it yet
    return "".join(
        nil(name) if value is None and name in empty else leaf(name, value)
        for name, value in facts
        if name not in hidden
    )


def _user(call: SoapCall) -> str:
    return node("result", _user_info(call.org, call.actor.user_id, call.version))


def _logout(call: SoapCall) -> str:
    call.org.logins.sessions.pop(call.token or "", None)
    return ""


def _timestamp(call: SoapCall) -> str:
    return node("result", leaf("timestamp", call.org.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")))


# Records out


def _shown(value: Any, field: Field | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if field is not None and field.type == "datetime" and isinstance(value, str):
        return value.replace("+0000", "Z")
    return str(value)


def record_xml(call: SoapCall, record: Mapping[str, Any], tag: str = "records") -> str:
    """Return a record of a query as an sObject: type and Id first, then what was selected."""
    kind = str((record.get("attributes") or {}).get("type", "AggregateResult"))
    sobject = call.org.schema.get(kind)
    inner = []
    if call.typed:
        inner.append(leaf("sf:type", kind))
        # The partner API always gives the Id a place of its own, and repeats it where it was selected.
        inner.append(leaf("sf:Id", record["Id"]) if record.get("Id") else nil("sf:Id"))
    for name, value in record.items():
        if name != "attributes":
            inner.append(_member(call, f"sf:{name}", value, None if sobject is None else sobject.field(name)))
    return f'<{tag} xsi:type="sf:{"sObject" if call.typed else kind}">{"".join(inner)}</{tag}>'


def _member(call: SoapCall, tag: str, value: Any, field: Field | None) -> str:
    if value is None:
        return nil(tag)
    if isinstance(value, Mapping) and "records" in value:
        rows = "".join(record_xml(call, each) for each in value["records"])
        locator = nil("queryLocator") if value.get("done", True) else leaf("queryLocator", _locator_of(value))
        return (
            f'<{tag} xsi:type="QueryResult">{leaf("done", bool(value.get("done", True)))}{locator}{rows}'
            f"{leaf('size', value.get('totalSize', len(value['records'])))}</{tag}>"
        )
    if isinstance(value, Mapping) and "attributes" in value:
        return record_xml(call, value, tag)
    if isinstance(value, Mapping):
        return node(tag, *(_member(call, name, each, None) for name, each in value.items()))
    if field is None and isinstance(value, int | float) and not isinstance(value, bool):
        kind = "int" if isinstance(value, int) else "double"
        return f'<{tag} xsi:type="xsd:{kind}">{value}</{tag}>'
    return leaf(tag, _shown(value, field))


def _locator_of(value: Mapping[str, Any]) -> str:
    return str(value.get("nextRecordsUrl", "")).rpartition("/")[2]


def _batch(call: SoapCall) -> int:
    header = call.header("QueryOptions")
    given = header.value("batchSize") if header is not None else ""
    return min(max(int(given), SMALLEST_BATCH), LARGEST_BATCH) if given.isdigit() else BATCH


def _asker(include_deleted: bool) -> Operation:
    def ask(call: SoapCall) -> str:
        text, size = call.operation.value("queryString"), _batch(call)
        view = view_of(call.inner(), include_deleted=include_deleted, page_size=size)
        result = soql.run(call.org.storage.db, text, view, page_size=size)
        return _page(call, result, 0, size, None)

    return ask


def _page(call: SoapCall, result: soql.Result, start: int, size: int, locator: str | None) -> str:

    rows = result.page(call.org.storage.db, start, size)
    done = start + size >= len(result)
    if not done:
        locator = locator or _keep(call.inner(), result, size)
    return node(
        "result",
        leaf("done", done),
        nil("queryLocator") if done else leaf("queryLocator", f"{locator}-{start + size}"),
        *(record_xml(call, row) for row in rows),
        leaf("size", result.total_size),
    )


def _more(call: SoapCall) -> str:
    found = _LOCATOR.fullmatch(call.operation.value("queryLocator"))
    locator = None if found is None else ids.to_long(found[1])
    known = None if locator is None else call.org.cursors.get(locator)
    if (
        found is None
        or known is None
        or known.user_id != call.actor.user_id
        or known.expires_at <= call.org.now_seconds()
    ):
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(call, known.result, int(found[2]), known.page_size, locator)


# Records in


def _record(call: SoapCall, element: Element) -> tuple[str, dict[str, Any]]:
    """Return the type and the values of an sObject; ``fieldsToNull`` become None, booleans become booleans."""
    kind = element.attributes.get("type", "").rpartition(":")[2]
    if call.typed or kind in ("", "sObject"):
        kind = element.value("type") or kind
    sobject = call.actor.schema.get(kind)
    values: dict[str, Any] = dict.fromkeys(element.values("fieldsToNull"))
    for child in element.children:
        if child.name in ("fieldsToNull",) or (child.name == "type" and call.typed):
            continue
        if child.children:
            values[child.name] = _reference(call, child)
        elif child.attributes.get("nil") in ("true", "1"):
            if child.name != "Id":
                values[child.name] = None
        else:
            field = None if sobject is None else sobject.field(child.name)
            values[child.name] = _typed(child.text, field)
    return kind, values


def _reference(call: SoapCall, element: Element) -> dict[str, Any]:
    kind, values = _record(call, element)
    return {"attributes": {"type": kind}, **values} if kind else values


def _typed(text: str, field: Field | None) -> Any:
    if field is not None and field.type == "boolean":
        return text.strip().lower() in ("true", "1")
    return text


def _options(call: SoapCall) -> Options:
    every = call.header("AllOrNoneHeader")
    rule = call.header("AssignmentRuleHeader")
    assign: bool | str = False
    if rule is not None:
        assign = rule.value("assignmentRuleId") or rule.flag("useDefaultRule")
    return Options(all_or_none=every is not None and every.flag("allOrNone"), assign=assign)


def _given(call: SoapCall) -> list[tuple[str, dict[str, Any]]]:
    elements = list(call.operation.all("sObjects"))
    if len(elements) > MOST_ROWS:
        raise ApiError(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {MOST_ROWS} records into this call",
        )
    return [_record(call, element) for element in elements]


def _in_runs(given: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, list[Any]]]:
    """Yield neighbours of the same type together, as an org saves them."""
    run: list[Any] = []
    last = None
    for kind, value in given:
        if run and kind != last:
            yield str(last), run
            run = []
        run.append(value)
        last = kind
    if run:
        yield str(last), run


def _errors(result: SaveResult) -> str:
    return "".join(
        node(
            "errors",
            *(leaf("fields", f) for f in error.fields or []),
            leaf("message", error.message),
            leaf("statusCode", error.code),
        )
        for error in result.errors
    )


def _saved(tag: str, result: SaveResult, *, upsert: bool = False) -> str:
    made = leaf("created", result.created and result.success) if upsert else ""
    shown = leaf("id", result.id) if result.id and (result.success or not upsert) else nil("id")
    if not result.success:
        shown = nil("id")
    return node(tag, made, _errors(result), shown, leaf("success", result.success))


def _create(call: SoapCall) -> str:
    options, made = _options(call), []
    for kind, values in _in_runs(_given(call)):
        made += call.org.records.insert(call.actor, visible_object(call, kind).name, values, options)
    return "".join(_saved("result", each) for each in made)


def _update(call: SoapCall) -> str:
    options, made = _options(call), []
    for kind, values in _in_runs(_given(call)):
        sobject = visible_object(call, kind)
        pairs = [(str(v.get("Id") or ""), {k: x for k, x in v.items() if k != "Id"}) for v in values]
        made += call.org.records.update(call.actor, sobject.name, [(ids.to_long(i) or i, v) for i, v in pairs], options)
    return "".join(_saved("result", each) for each in made)


def _upsert(call: SoapCall) -> str:
    options, made = _options(call), []
    external = call.operation.value("externalIDFieldName") or call.operation.value("externalIdFieldName") or "Id"
    for kind, values in _in_runs(_given(call)):
        made += call.org.records.upsert(call.actor, visible_object(call, kind).name, external, values, options)
    return "".join(_saved("result", each, upsert=True) for each in made)


def _ids(call: SoapCall) -> list[tuple[str, str]]:
    """Return (object, id) of the ids given; an id of nothing keeps an empty object."""
    found = []
    # One old client writes ``id``; an org goes by the place of the element, not by its name.
    for given in (c.text.strip() for c in call.operation.children if c.name.lower() in ("ids", "id")):
        long = ids.to_long(given)
        owner = None if long is None else call.org.schema.by_prefix(long[:3])
        found.append((owner.name if owner is not None else "", long or given))
    if len(found) > MOST_RETRIEVED:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"too many ids: at most {MOST_RETRIEVED}")
    return found


def _delete(call: SoapCall) -> str:
    results = []
    every = _options(call).all_or_none
    wanted = _ids(call)
    if all(name for name, _ in wanted):
        results = call.org.removal.delete(call.actor, wanted, all_or_none=every)
    else:
        for name, record_id in wanted:
            if name:
                results += call.org.removal.delete(call.actor, [(name, record_id)])
            else:
                results.append(SaveResult(errors=[ApiError(400, "MALFORMED_ID", f"malformed id {record_id}")]))
    return "".join(_saved("result", each) for each in results)


def _undelete(call: SoapCall) -> str:
    results = call.org.removal.undelete(call.actor, [record_id for _, record_id in _ids(call)])
    return "".join(_saved("result", each) for each in results)


def _empty_bin(call: SoapCall) -> str:
    results = call.org.removal.empty_bin(call.actor, [record_id for _, record_id in _ids(call)])
    return "".join(_saved("result", each) for each in results)


def _merge(call: SoapCall) -> str:
    """Merge the records of each request into its master, whose given values are kept."""
    answers = []
    for request in call.operation.all("request"):
        master = request.find("masterRecord")
        if master is None:
            raise ApiError(400, "MISSING_ARGUMENT", "masterRecord: a record is required")
        kind, values = _record(call, master)
        name = visible_object(call, kind).name
        winner, losers = _long(values.pop("Id", "")), [_long(i) for i in request.values("recordToMergeIds")]
        merged = call.org.removal.merge(call.actor, name, winner, losers, values)
        gone = [leaf("mergedRecordIds", i) for i in losers] if merged.success else []
        related = [leaf("updatedRelatedIds", i) for i in merged.related]
        shown = leaf("id", winner) if merged.success else nil("id")
        answers.append(node("result", _errors(merged), shown, *gone, leaf("success", merged.success), *related))
    return "".join(answers)


def _long(given: Any) -> str:
    return ids.to_long(str(given)) or str(given)


def _retrieve(call: SoapCall) -> str:
    sobject = visible_object(call, call.operation.value("sObjectType"))
    names = [n.strip() for n in call.operation.value("fieldList").split(",") if n.strip()]
    wanted = [record_id for _, record_id in _ids(call)]
    listed = ",".join(f"'{i}'" for i in dict.fromkeys(wanted) if ids.to_long(i))
    found: dict[str, Mapping[str, Any]] = {}
    if listed:
        columns = ", ".join(dict.fromkeys(["Id", *(n for n in names if n.lower() != "id")]))
        view = view_of(call.inner(), include_deleted=False)
        text = f"SELECT {columns} FROM {sobject.name} WHERE Id IN ({listed})"
        result = soql.run(call.org.storage.db, text, view, page_size=MOST_RETRIEVED)
        found = {row["Id"]: row for row in result.page(call.org.storage.db, 0, MOST_RETRIEVED)}
    return "".join(record_xml(call, found[i], "result") if i in found else '<result xsi:nil="true"/>' for i in wanted)


# What changed


def _window(call: SoapCall, what: str) -> Any:
    name = call.operation.value("sObjectType")
    visible_object(call, name)
    start, end = (quote(_zoned(call.operation.value(tag))) for tag in ("startDate", "endDate"))
    return rest_answer(call, f"/sobjects/{quote(name)}/{what}?start={start}&end={end}")


def _zoned(text: str) -> str:
    """Return an XML date and time with its zone; without one it is GMT."""
    return text if re.search(r"(Z|[+-]\d\d:?\d\d)$", text) else f"{text}Z"


def _z(text: str | None) -> str | None:
    return None if text is None else str(text).replace("+0000", "Z")


def _updated(call: SoapCall) -> str:
    facts = _window(call, "updated")
    return node(
        "result", *(leaf("ids", i) for i in facts["ids"]), leaf("latestDateCovered", _z(facts["latestDateCovered"]))
    )


def _deleted(call: SoapCall) -> str:
    facts = _window(call, "deleted")
    rows = [
        node("deletedRecords", leaf("deletedDate", _z(r["deletedDate"])), leaf("id", r["id"]))
        for r in facts["deletedRecords"]
    ]
    return node(
        "result",
        *rows,
        leaf("earliestDateAvailable", _z(facts["earliestDateAvailable"])),
        leaf("latestDateCovered", _z(facts["latestDateCovered"])),
    )


LOGIN: Operation = login

PARTNER: dict[str, Operation] = {
    "logout": _logout,
    "getUserInfo": _user,
    "getServerTimestamp": _timestamp,
    "query": _asker(False),
    "queryAll": _asker(True),
    "queryMore": _more,
    "create": _create,
    "update": _update,
    "upsert": _upsert,
    "delete": _delete,
    "undelete": _undelete,
    "emptyRecycleBin": _empty_bin,
    "merge": _merge,
    "retrieve": _retrieve,
    "getUpdated": _updated,
    "getDeleted": _deleted,
    **DESCRIBES,
}
"""Operation to what carries it out; all others are refused as not modelled."""
