"""A describe against its mapping: each difference that would lose or refuse data is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sfsync.mapping import load_mappings
from sfsync.org.schema import ObjectSeen, capabilities, fingerprint, problems

PACK = load_mappings()["pack"]
TYPES = {
    "text": "string", "textarea": "textarea", "longtext": "textarea", "picklist": "picklist", "date": "date",
    "datetime": "datetime", "checkbox": "boolean", "integer": "double", "hours": "double", "decimal": "double",
    "lookup": "reference", "user": "reference", "autonumber": "string",
}  # fmt: skip

Describe = dict[str, Any]


def describe() -> Describe:
    """Return the describe of an org that has exactly what the mapping of packs says."""
    fields = [
        {
            "name": line.api,
            "type": TYPES[line.type.kind],
            "length": line.type.length,
            "precision": line.type.precision,
            "scale": line.type.scale,
            "updateable": True,
            "createable": True,
            "restrictedPicklist": line.type.kind == "picklist",
            "picklistValues": [{"value": v, "active": True} for v in line.type.values],
            "referenceTo": [line.type.target] if line.type.target else [],
        }
        for line in PACK.fields.values()
    ]
    key = {"name": "Sfsync_Key__c", "type": "string", "externalId": True, "unique": True, "caseSensitive": True,
           "createable": True, "updateable": True}  # fmt: skip
    revision = {"name": "Sfsync_Revision__c", "type": "double", "updateable": True}
    return {"queryable": True, "createable": True, "updateable": True, "fields": [*fields, key, revision]}


def of(found: Describe, name: str) -> dict[str, Any]:
    return next(f for f in found["fields"] if f["name"] == name)


def test_an_org_that_has_what_the_mapping_says_has_no_problem() -> None:
    assert problems(PACK, describe()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d["fields"].remove(of(d, "Status__c")), "Status__c is missing, or hidden"),
        (lambda d: of(d, "Status__c").update(type="double"), "Status__c has type double, the mapping says picklist"),
        (lambda d: of(d, "Hours_Used__c").update(updateable=False, createable=False), "Used__c may not be written"),
        (lambda d: of(d, "Sync_Message__c").update(length=80), "holds 80 characters, the mapping says 255"),
        (lambda d: of(d, "Hours_Used__c").update(scale=1), "Hours_Used__c has 1 decimal places, the mapping says 2"),
        (lambda d: of(d, "Hours_Used__c").update(precision=5), "has 3 digits before the point, the mapping says 7"),
        (lambda d: of(d, "Type__c")["picklistValues"].pop(), "Type__c does not offer Courtesy"),
        (lambda d: of(d, "Type__c")["picklistValues"][0].update(active=False), "Type__c does not offer Starter"),
        (lambda d: of(d, "Maintenance_Account__c").update(referenceTo=["Account"]), "points to Account"),
        (lambda d: d["fields"].remove(of(d, "Sfsync_Key__c")), "Sfsync_Key__c is missing"),
        (lambda d: of(d, "Sfsync_Key__c").update(unique=False), "Sfsync_Key__c is not unique"),
        (lambda d: of(d, "Sfsync_Key__c").update(externalId=False), "Sfsync_Key__c is no external id"),
        (lambda d: of(d, "Sfsync_Key__c").update(caseSensitive=False), "Sfsync_Key__c ignores case"),
        (lambda d: of(d, "Sfsync_Revision__c").update(updateable=False), "Sfsync_Revision__c may not be written"),
        (lambda d: d.update(createable=False), "may not be created"),
        (lambda d: d.update(updateable=False), "may not be updated"),
        (lambda d: d.update(queryable=False), "may not be queried"),
    ],
)  # fmt: skip
def test_each_difference_is_one_sentence(change: Callable[[Describe], object], problem: str) -> None:
    found = describe()
    change(found)
    (told,) = problems(PACK, found)
    assert problem in told
    assert told.startswith("Maintenance_Pack__c")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: of(d, "Sync_Message__c").update(length=4000),
        lambda d: of(d, "Type__c")["picklistValues"].append({"value": "More", "active": True}),
        lambda d: of(d, "Extension_Requested__c").update(updateable=False, createable=False),
        lambda d: d["fields"].append({"name": "Theirs__c", "type": "string"}),
        lambda d: of(d, "Status__c").update(name="STATUS__C"),
    ],
)
def test_what_loses_nothing_is_no_problem(change: Callable[[Describe], object]) -> None:
    found = describe()
    change(found)
    assert problems(PACK, found) == []


def test_what_was_seen_survives_being_kept() -> None:
    seen = ObjectSeen("Mon, 16 Nov 2026 09:00:00 GMT", "abc", revision=True, merges=False, authored=True)
    assert ObjectSeen.from_text(seen.as_text()) == seen


@pytest.mark.parametrize("text", ["", "x", "a|b", "|b|c", "a|b|c", "a|b|c|d|e"])
def test_what_cannot_be_understood_is_asked_again(text: str) -> None:
    assert ObjectSeen.from_text(text) is None


def test_a_mapping_that_says_something_else_has_another_fingerprint() -> None:
    lines = dict(PACK.fields)
    lines["status"] = replace(lines["status"], api="Other__c")
    assert fingerprint(PACK, "66.0") != fingerprint(replace(PACK, fields=lines), "66.0")
    assert fingerprint(PACK, "66.0") != fingerprint(PACK, "67.0")


def test_capabilities_are_read_from_the_describe() -> None:
    seen = capabilities(PACK, describe(), "then", "mark")
    assert (seen.revision, seen.merges, seen.authored) == (True, False, False)
