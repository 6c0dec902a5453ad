"""Bodies that no sane client sends get an answer in Salesforce's shape, never an accident of ours.

``SFSYNC_FUZZ_FROM`` moves the seed, which stands in a failure's message.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from sfsync.clock import seeded
from tests.contract.localorg.core_world import Client

SEED = 20261121 + int(os.environ.get("SFSYNC_FUZZ_FROM", "0"))
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 10**30, "", " ", "x", "é" * 300, "2026-02-30", "2026-11-21T20:00:00"),
    *("001", "001AA0000000001", "001AA000000000ZZZZ", "@{a.id}", "@{nope[9].x}", '\'; DROP TABLE "Case"; --'),
    *("\u0000", [], {}, [[]], [None], [1, "x"], {"a": {"b": {}}}, {"attributes": None}, {"attributes": {"type": 5}}),
    *({"records": [None]}, {"Key__c": None}, {"type": "Case"}),
)
NAMES = (
    *("Id", "id", "Name", "attributes", "Hours__c", "Key__c", "Account__r", "Account__c", "Kind__c", "OwnerId"),
    *("Owner", "Nope__c", "Worked_On__c", "allOrNone", "records", "url", "method", "referenceId", "body", "", "Id "),
    *("Left__c",),
)


def bodies() -> list[tuple[str, str, Any]]:
    """Return (verb, path, body) of sane requests that will be made insane."""
    pack = {"Key__c": "k", "Hours__c": 1.5, "Kind__c": "Pro", "Account__r": {"Name": "x"}}
    record = {"attributes": {"type": "Pack__c"}, "Id": "a00AA0000000001", **pack}
    sub = {
        "method": "POST",
        "url": "/services/data/v61.0/sobjects/Pack__c",
        "referenceId": "a",
        "body": pack,
        "httpHeaders": {},
    }
    tree = {
        "attributes": {"type": "Account", "referenceId": "r"},
        "Name": "A",
        "Contacts": {"records": [{"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": "L"}]},
    }
    return [
        ("POST", "sobjects/Pack__c", pack),
        (
            "POST",
            "sobjects/Case",
            {"Subject": "s", "Status": "New", "ContactId": None, "Comments": "c", "IsEscalated": True},
        ),
        ("POST", "sobjects/ContentVersion", {"Title": "t", "PathOnClient": "a.pdf", "VersionData": "AAAA"}),
        (
            "POST",
            "sobjects/User",
            {"LastName": "L", "Username": "u@x.y", "Alias": "u", "Email": "u@x.y", "ProfileId": "00e"},
        ),
        ("PATCH", "sobjects/Pack__c/Key__c/k", {"Hours__c": 2}),
        ("POST", "composite/sobjects", {"allOrNone": False, "records": [record, record]}),
        ("PATCH", "composite/sobjects", {"allOrNone": True, "records": [record]}),
        ("PATCH", "composite/sobjects/Pack__c/Key__c", {"records": [record, record]}),
        ("POST", "composite/sobjects/Account", {"ids": ["001AA0000000001"], "fields": ["Name"]}),
        (
            "POST",
            "composite",
            {"allOrNone": True, "compositeRequest": [sub, sub | {"referenceId": "b", "method": "GET", "body": None}]},
        ),
        ("POST", "composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": [sub]}]}),
        (
            "POST",
            "composite/batch",
            {"haltOnError": False, "batchRequests": [{"method": "GET", "url": "v61.0/limits", "richInput": {}}]},
        ),
        ("POST", "composite/tree/Account", {"records": [tree]}),
        ("POST", "actions/standard/customNotificationAction", {"inputs": [{"title": "t", "body": "b"}]}),
    ]


def insane(value: Any, chance: random.Random) -> Any:
    """Return ``value`` with one thing about it changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        turn = chance.randrange(4)
        if turn == 0:
            return {k: v for k, v in value.items() if k != key}
        if turn == 1:
            return value | {chance.choice(NAMES): chance.choice(ODD)}
        return value | {key: insane(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], insane(value[place], chance), *value[place + 1 :]]
    return chance.choice(ODD)


def written(value: Any, chance: random.Random) -> bytes:
    """Return a body, now and then cut or with a byte changed."""
    body = json.dumps(value).encode()
    turn = chance.randrange(12)
    if turn == 0:
        return body[: chance.randrange(len(body) + 1)]
    if turn == 1:
        place = chance.randrange(len(body))
        return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
    return body


def in_shape(answer: Any, status: int) -> bool:
    """Return whether an error answer has one of the shapes of facts 6.1."""
    if isinstance(answer, dict):
        return "hasErrors" in answer
    return isinstance(answer, list) and all(
        isinstance(e, dict) and ("errorCode" in e or "success" in e or "isSuccess" in e) for e in answer
    )


def test_two_thousand_mutated_bodies_never_cause_an_accident(caplog: pytest.LogCaptureFixture) -> None:
    chance = seeded(SEED)
    client = Client()
    client.org.insert("Account", {"Name": "x"})
    statuses: dict[int, int] = {}
    for number in range(2_000):
        method, path, body = chance.choice(bodies())
        for _ in range(chance.choice((1, 1, 2, 3))):
            body = insane(body, chance)
        sent = written(body, chance)
        answer = client.ask(method, path, sent)
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        assert answer.status < 500, (
            f"seed {SEED}, number {number}: {method} {path} {sent!r}: {answer.body!r} {caplog.text}"
        )
        if answer.status >= 400:
            assert in_shape(answer.json(), answer.status), f"seed {SEED}, number {number}: {answer.body!r}"
    assert {200, 201, 400} <= statuses.keys()


PIECES = (
    *("sobjects", "Pack__c", "Account", "Key__c", "Id", "k", "001AA0000000001", "describe", "updated", "deleted"),
    *(
        "query",
        "limits",
        "%00",
        "%2F",
        "..",
        "composite",
        "tree",
        "batch",
        "x" * 300,
        "é",
        "'",
        '"',
        "{ID}",
        "recordCount",
    ),
    *("VersionData", "Packs__r", "-5"),
)
PARAMETERS = ("q", "fields", "ids", "start", "end", "sObjects")


def test_two_thousand_strange_paths_never_cause_an_accident() -> None:
    chance = seeded(SEED)
    client = Client()
    client.org.insert("Account", {"Name": "x"})
    for number in range(2_000):
        path = "/".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 6)))
        query = "&".join(f"{chance.choice(PARAMETERS)}={chance.choice(PIECES)}" for _ in range(2))
        method = chance.choice(("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"))
        answer = client.ask(method, f"{path}?{query}", {} if method in ("POST", "PATCH") else None)
        assert answer.status < 500 or answer.status == 501, f"seed {SEED}, number {number}: {method} {path}?{query}"
