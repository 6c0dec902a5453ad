"""Broken packages and broken envelopes: an answer in the org's own shape, never an exception of ours."""

from __future__ import annotations

import re
from random import Random

import pytest

from sfsync.clock import ManualClock, seeded
from sfsync.localorg.metadata import deploy_zip
from sfsync.localorg.org import LocalOrg
from sfsync.mapping import load_mappings
from sfsync.metadata import generate
from tests.contract.localorg.metadata_world import NOW, Asking, fault_of, zipped

SOURCE = generate(load_mappings())
SMALL = (
    "objects/Case.object",
    "objects/Weekly_Summary_Line__c.object",
    "permissionsets/sfsync_Consultant.permissionset",
)
WORDS = (
    "",
    "true",
    "-1",
    "0",
    "99999999999",
    "Nope__c",
    "Case",
    "{0",
    "((",
    "\u0000",
    "ü" * 300,
    "<x/>",
    "Lookup",
    "Text",
)


def mutated(text: str, chance: Random) -> str:
    """Return a metadata file with a few elements emptied, renamed, doubled, swapped or cut off."""
    for _ in range(chance.randint(1, 4)):
        found = list(re.finditer(r"<(\w+)>([^<]*)</\1>", text))
        if not found:
            return text
        hit = chance.choice(found)
        new = chance.choice(
            [
                f"<{hit[1]}>{chance.choice(WORDS)}</{hit[1]}>",
                f"<{hit[1]}x>{hit[2]}</{hit[1]}x>",
                hit[0] + hit[0],
                "",
                f"<{hit[1]}><{hit[1]}>{hit[2]}</{hit[1]}></{hit[1]}>",
            ]
        )
        text = text[: hit.start()] + new + text[hit.end() :]
        if chance.random() < 0.02:
            text = text[: chance.randint(0, len(text))]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_package_fails_or_stands_but_never_breaks_the_org(seed: int) -> None:
    chance = seeded(f"package {seed}")
    org = LocalOrg("acme", clock=ManualClock(NOW))
    for attempt in range(6):
        files = dict(SOURCE)
        for path in chance.sample(SMALL, chance.randint(1, len(SMALL))):
            files[path] = mutated(files[path].decode(), chance).encode()
        before = {o.name for o in org.schema}
        done = deploy_zip(org, zipped(files))
        assert done.status in ("Succeeded", "Failed"), (seed, attempt)
        if done.status == "Failed":
            assert done.failures, (seed, attempt)
            assert {o.name for o in org.schema} == before, (seed, attempt)
    org.insert("Case", {"Subject": "still alive"})


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_envelope_is_answered_with_a_result_or_a_fault(seed: int) -> None:
    chance = seeded(f"envelope {seed}")
    client = Asking()
    operations = {
        "query": "<queryString>SELECT Id FROM Case</queryString>",
        "create": "<sObjects><type>Account</type><Name>A</Name></sObjects>",
        "retrieve": "<fieldList>Id</fieldList><sObjectType>Account</sObjectType><ids>001000000000000AAA</ids>",
        "listMetadata": "<queries><type>CustomField</type></queries>",
        "createMetadata": "<metadata><fullName>Case.A__c</fullName><label>A</label><type>Text</type></metadata>",
        "deleteMetadata": "<type>CustomField</type><fullNames>Case.A__c</fullNames>",
        "checkDeployStatus": "<asyncProcessId>0Af</asyncProcessId>",
        "getUpdated": "<sObjectType>Case</sObjectType><startDate>2026-11-21T19:00:00Z</startDate><endDate>x</endDate>",
    }
    for attempt in range(40):
        name = chance.choice(sorted(operations))
        answer = client.soap(
            "m" if "Meta" in name or "Deploy" in name else "u", name, mutated(operations[name], chance)
        )
        if answer.status != 200:
            assert fault_of(answer).value("faultcode") != "sf:UNKNOWN_EXCEPTION", (seed, attempt, answer.body)
