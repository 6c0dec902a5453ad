"""Replays what real orgs answered: same status, header names, JSON keys and types, error codes and messages.

Each exchange is replayed in process and over HTTPS, where each org is found by the name of its host. The recordings are
third-party data that lies beside the project, not in it; without them these tests say so and skip.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import PicklistValue, SchemaChange, custom_field
from sfsync.localorg.server import prepare, running
from sfsync.localorg.standard import custom_object
from sfsync.localorg.world import World

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings"
pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recordings of real orgs are not beside this checkout (../shared/recordings)"
)
# What cannot match, and why.
NOT_AN_ORG = {"query-unexpected-response": "answered by a web server that is not Salesforce (a page of example.com)"}
# Headers that one recording has and others of the same kind lack.
SOMETIMES = {"content-security-policy-report-only"}
OF_THE_LINE = {"content-length"}  # left out of the recordings, whose player writes its own
MOVIE, OTHER_MOVIE = "a00B000000FSjVUIA1", ("a01B0000009gSr9IAE", "a01B0000009gSrFIAU")


def org_for(name: str) -> LocalOrg:
    """Return an org that is what the recorded one must have been."""
    org = LocalOrg(name, clock=ManualClock(datetime(2021, 5, 17, 9, 27, 54, tzinfo=UTC)), daily_api_requests=101_000)
    prefix = (
        "a01"
        if name in ("composite-graph-create", "composite-graph-single-delete", "composite-graph-single-update")
        else "a00"
    )
    movie = custom_object("Movie__c", "Movie", "Movies", prefix)
    ratings = tuple(PicklistValue(v) for v in ("Excellent", "Good", "Bad"))
    for field in (
        custom_field("Rating__c", "picklist", label="Rating", length=255, picklist=ratings, restricted=True),
        custom_field("ReleaseDate__c", "date"),
        custom_field("Franchise__c", "reference", reference_to=("Franchise__c",), child_relationship_name="Movies__r"),
    ):
        movie.put(field)
    ship = custom_object("Spaceship__c", "Spaceship", "Spaceships", "a04")
    ship.put(custom_field("Website__c", "url", length=255, nillable=False))
    chance = custom_object("random__c", "Random", "Randoms", "a05")
    for n in (1, 2):
        chance.put(custom_field(f"RANDOM_{n}__c", "string", length=80))
    franchise = custom_object("Franchise__c", "Franchise", "Franchises", "a03")
    org.schema_change(SchemaChange(objects=[franchise, movie, ship, chance]))
    _fill(org, name, prefix)
    return org


def _fill(org: LocalOrg, name: str, prefix: str) -> None:
    wanted = [MOVIE] if prefix == "a00" else list(OTHER_MOVIE)
    org.seed_rows("Movie__c", [{"Id": i, "Name": "A film"} for i in wanted])
    accounts = 5 if name in ("query", "query-with-subquery") else 1
    made = org.seed_rows("Account", [{"Name": f"Account {n}"} for n in range(accounts)])
    if name == "query-with-subquery":
        org.seed_rows(
            "Contact", [{"FirstName": "A", "LastName": f"Contact {n}", "AccountId": a} for n, a in enumerate(made)]
        )
    if name == "query-with-next-records-url":
        rows = [
            {"RANDOM_1__c": None if n % 7 == 3 else f"r{n}", "RANDOM_2__c": None if n % 5 == 0 else f"s{n}"}
            for n in range(10_000)
        ]
        org.seed_rows("random__c", rows)
    if name.startswith("delete"):
        org.seed_rows(
            "Account", [{"Id": "001B000001Lp1FxIAJ", "Name": "Live"}, {"Id": "001B000001Lp1G2IAJ", "Name": "Gone"}]
        )
        org.delete("Account", "001B000001Lp1G2IAJ")
    if "binary" in name:
        for record_id in {"query-binary-data": ["0687S00000AX37OQAT"], "create-binary-data": []}.get(
            name, ["0687S00000AX37OQAT", "0687S00000AX5kgQAD"]
        ):
            data = base64.b64encode(b"bytes").decode()
            org.seed_rows(
                "ContentVersion", [{"Id": record_id, "Title": "t", "PathOnClient": "t.bin", "VersionData": data}]
            )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Request], Response]]:
    """A door over HTTPS to the orgs of all exchanges."""
    started = prepare(tmp_path_factory.mktemp("recorded"), orgs=[ORGS.setdefault(n, org_for(n)) for n in EXCHANGES])
    with running(started) as line:
        trusted = ssl.create_default_context(cafile=line["ca_file"])
        connection = HTTPSConnection("localhost", urlsplit(line["url"]).port, context=trusted, timeout=60)

        def ask(request: Request) -> Response:
            path = request.path + (f"?{urlencode(request.query)}" if request.query else "")
            connection.request(request.method, path, request.body or None, request.headers | {"Host": request.host})
            answer = connection.getresponse()
            return Response(answer.status, answer.read(), answer.getheaders())

        yield ask
        connection.close()


def replayed(name: str, ask: Callable[[Request], Response] | None) -> tuple[dict[str, Any], Response]:
    """Return a recorded exchange and what the local org answers to its request, in process when ``ask`` is None."""
    exchange = json.loads((RECORDINGS / "exchanges" / f"{name}.json").read_text("utf-8"))
    wanted = exchange["request"]
    query = {k: v["equalTo"] for k, v in wanted.get("queryParameters", {}).items()}
    patterns = [p["equalToJson"] for p in wanted.get("bodyPatterns", []) if "equalToJson" in p]
    org = org_for(name) if ask is None else ORGS[name]
    token = org.logins.open_session(org.admin_id)
    headers = {"authorization": f"Bearer {token}", "sforce-call-options": "client=sf-functions-python:1.0"}
    if patterns:
        headers["content-type"] = "application/json"
    request = Request(
        wanted["method"],
        wanted.get("url") or wanted["urlPath"],
        query,
        headers,
        patterns[0].encode() if patterns else b"",
        f"{org.name}.my.salesforce.com",
        wire=False,
    )
    return exchange["response"], (ask or World([org]).handle)(request)


def kind(value: Any) -> str:
    """Return the JSON type of a value; any number is a number."""
    for types, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "list"), (dict, "object")):
        if isinstance(value, types):  # type: ignore[arg-type]
            return name
    return "null"


def differences(ours: Any, theirs: Any, where: str = "$") -> list[str]:
    """Return how two JSON values differ in keys and types; lists are compared element by element as far as both go."""
    if kind(ours) != kind(theirs):
        return [] if "null" in (kind(ours), kind(theirs)) else [f"{where}: {kind(theirs)} recorded, {kind(ours)} here"]
    if isinstance(ours, dict):
        found = [f"{where}.{k}: only recorded" for k in theirs.keys() - ours.keys()]
        found += [f"{where}.{k}: only here" for k in ours.keys() - theirs.keys()]
        for key in ours.keys() & theirs.keys():
            found += differences(ours[key], theirs[key], f"{where}.{key}")
        return found
    if isinstance(ours, list):
        found = [] if bool(ours) == bool(theirs) else [f"{where}: {len(theirs)} elements recorded, {len(ours)} here"]
        for n, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            found += differences(a, b, f"{where}[{n}]")
        return found
    return []


def errors_in(value: Any) -> list[tuple[str, str]]:
    """Return (code, message) of every error in a JSON answer."""
    if isinstance(value, dict):
        own = [(value["errorCode"], value["message"])] if "errorCode" in value else []
        return own + [e for v in value.values() for e in errors_in(v)]
    return [e for v in value for e in errors_in(v)] if isinstance(value, list) else []


@cache
def mismatches(name: str, ask: Callable[[Request], Response] | None = None) -> list[str]:
    """Return in what the local org's answer differs from the recorded one."""
    theirs, ours = replayed(name, ask)
    found = (
        []
        if ours.status == theirs["status"]
        else [f"status {theirs['status']} recorded, {ours.status} here: {ours.body!r}"]
    )
    recorded_names = {h.lower() for h in theirs["headers"]} - SOMETIMES
    own_names = {h.lower() for h, _ in ours.headers} - OF_THE_LINE
    found += [f"header {h}: only recorded" for h in recorded_names - own_names]
    found += [f"header {h}: only here" for h in own_names - recorded_names]
    if "base64Body" in theirs:
        assert ours.header("Content-Type") == theirs["headers"]["Content-Type"]
        return found if ours.body else [*found, "no bytes"]
    body = theirs.get("body")
    if body is None:
        return found if not ours.body else [*found, "a body only here"]
    recorded, here = json.loads(body), json.loads(ours.body)
    return (
        found
        + differences(here, recorded)
        + [f"error {b} recorded, {a} here" for a, b in zip(errors_in(here), errors_in(recorded), strict=True) if a != b]
    )


EXCHANGES = sorted(p.stem for p in (RECORDINGS / "exchanges").glob("*.json") if p.stem not in NOT_AN_ORG)
ORGS: dict[str, LocalOrg] = {}


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recorded_exchange_is_answered_as_the_real_org_answered_it(name: str) -> None:
    assert mismatches(name) == []


def test_every_recorded_exchange_matches_or_has_a_reason(
    served: Callable[[Request], Response], capsys: pytest.CaptureFixture[str]
) -> None:
    here = {n: mismatches(n) for n in EXCHANGES}
    there = {n: mismatches(n, served) for n in EXCHANGES}
    every = len(EXCHANGES) + len(NOT_AN_ORG)
    with capsys.disabled():  # the figure is asked for
        for door, found in (("in process", here), ("over HTTPS", there)):
            matching = [n for n, differing in found.items() if not differing]
            print(f"\n{len(matching)} of {every} recorded exchanges match {door}")  # noqa: T201
            for name, reason in [*((n, "; ".join(d)) for n, d in found.items() if d), *NOT_AN_ORG.items()]:
                print(f"  {name}: {reason}")  # noqa: T201
    assert [n for n in EXCHANGES if here[n] or there[n]] == []


# Describes


def described(name: str) -> dict[str, Any]:
    """Return what the local org says about an object."""
    org = LocalOrg(clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    path = "sobjects" if name == "global" else f"sobjects/{name}/describe"
    headers = {"authorization": f"Bearer {org.logins.open_session(org.admin_id)}"}
    response = World([org]).handle(Request("GET", f"/services/data/v52.0/{path}", {}, headers, wire=False))
    found: dict[str, Any] = response.json()
    return found


def recorded_describe(name: str) -> dict[str, Any]:
    """Return what a real org said about an object."""
    found: dict[str, Any] = json.loads((RECORDINGS / "describe" / f"{name}.json").read_text("utf-8"))
    return found


# The recordings come from several releases: keys that came later, and ids and values that are each org's own.
LATER_KEYS = {"associateEntityType", "associateParentEntity", "sobjectDescribeOption"}
OWN_VALUES = {"picklistValues", "defaultValue", "referenceTo"}


@pytest.mark.parametrize("name", ["Case", "Account", "Contact"])
def test_describe_has_the_keys_and_types_of_a_recorded_one(name: str) -> None:
    ours, theirs = described(name), recorded_describe(name)
    assert ours.keys() - theirs.keys() <= LATER_KEYS
    assert theirs.keys() - ours.keys() == set()
    for key in theirs.keys() - {"fields", "childRelationships", "urls", "actionOverrides"}:
        assert differences(ours[key], theirs[key], key) == []


@pytest.mark.parametrize("name", ["Case", "Account", "Contact"])
def test_every_standard_field_is_described_as_a_real_org_describes_it(name: str) -> None:
    ours = {f["name"]: f for f in described(name)["fields"]}
    theirs = {f["name"]: f for f in recorded_describe(name)["fields"]}
    shared = [n for n in theirs if n in ours]
    assert len(shared) >= 33
    found = []
    for field_name in shared:
        assert ours[field_name].keys() == theirs[field_name].keys()
        for key in theirs[field_name].keys() - OWN_VALUES:
            if ours[field_name][key] != theirs[field_name][key]:
                found.append(
                    f"{field_name}.{key}: {theirs[field_name][key]!r} recorded, {ours[field_name][key]!r} here"
                )
    assert not found, "\n".join(found)


def test_the_global_describe_has_the_keys_of_a_recorded_one() -> None:
    ours, theirs = described("global"), recorded_describe("global")
    assert ours.keys() == theirs.keys()
    by_name = {o["name"]: o for o in theirs["sobjects"]}
    for each in ours["sobjects"]:
        if each["name"] in ("Account", "Case", "Contact", "User", "Organization"):
            assert each.keys() == by_name[each["name"]].keys() | {"associateEntityType", "associateParentEntity"}
            assert each["keyPrefix"] == by_name[each["name"]]["keyPrefix"]


def test_a_custom_object_is_described_with_the_keys_and_types_of_a_recorded_one() -> None:
    theirs = recorded_describe("Custom__c")
    org = LocalOrg(clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    custom = custom_object("Custom__c", theirs["label"], theirs["labelPlural"], theirs["keyPrefix"])
    custom.put(custom_field("CustomField__c", "string", length=255))
    org.schema_change(SchemaChange(objects=[custom]))
    headers = {"authorization": f"Bearer {org.logins.open_session(org.admin_id)}"}
    request = Request("GET", "/services/data/v52.0/sobjects/Custom__c/describe", {}, headers, wire=False)
    ours = World([org]).handle(request).json()
    assert ours.keys() == theirs.keys()
    for key in theirs.keys() - {"fields", "childRelationships", "urls", "recordTypeInfos", "supportedScopes"}:
        assert differences(ours[key], theirs[key], key) == []
    fields = {f["name"]: f for f in ours["fields"]}
    for recorded in theirs["fields"]:
        assert differences(fields[recorded["name"]], recorded, recorded["name"]) == []


def test_the_organization_is_read_with_the_keys_and_types_of_a_recorded_one() -> None:
    theirs = json.loads((RECORDINGS / "Organization-record.json").read_text("utf-8"))
    org = LocalOrg(clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    headers = {"authorization": f"Bearer {org.logins.open_session(org.admin_id)}"}
    path = f"/services/data/v52.0/sobjects/Organization/{org.org_id}"
    ours = World([org]).handle(Request("GET", path, {}, headers, wire=False)).json()
    assert differences(ours, theirs) == []
    assert list(ours) == list(theirs)
