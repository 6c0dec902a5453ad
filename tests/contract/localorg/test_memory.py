"""An org that nobody has any more is gone, with its database: a suite makes thousands of them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tests.contract.localorg.core_world import Client


def used() -> list[weakref.ref[Any]]:
    """Use an org as a client does, and return what must not outlive it."""
    client = Client()
    client.made("Pack__c", Key__c="a", Hours__c=2)
    client.query("SELECT Id, Left__c FROM Pack__c WHERE Key__c = 'a' ORDER BY Name")
    job = client.ask("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM Pack__c"}).json()["id"]
    while client.ask("GET", f"jobs/query/{job}").json()["state"] != "JobComplete":
        pass
    client.ask("GET", "tooling/query?q=SELECT+Id+FROM+CustomObject")
    client.ask("GET", "/")
    return [weakref.ref(client.org), weakref.ref(client.org.storage), weakref.ref(client.world)]


def test_an_org_that_nobody_has_any_more_is_gone_with_its_database() -> None:
    left = used()
    gc.collect()
    assert [each() for each in left] == [None, None, None]
