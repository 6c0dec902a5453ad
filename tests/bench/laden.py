"""An org laden with rows, served over HTTPS by a process of its own: ``python -m tests.bench.laden FOLDER ROWS``.

Four objects of the standard package, the rows in equal parts, fourteen mapped fields each. Prints one JSON line when it
takes connections, and serves until it is ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context
from typing import Any
from urllib.parse import urlsplit

from sfsync.clock import ManualClock, SystemClock, seeded
from sfsync.localorg.metadata import deploy
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, serve
from sfsync.mapping import Mappings, load_client, load_mappings, load_plans
from sfsync.metadata import generate, zip_package
from tests.e2e.stage import CLIENT_FILE, ZONE

FIELDS = 14
OBJECTS = ("pack", "case", "estimate", "time_entry")
SEEDED_AT_ONCE = 20_000
SEED = 4
ALLOWANCE = 10_000_000
WORDS = "the order export stopped after invoice posting because a customer record was locked by another user".split()


def overlay() -> str:
    """Return a client file with the four objects and fourteen fields of each; their history stays."""
    whole = load_mappings()
    left_out = {name: {"skip": True} for name in whole.objects if name not in OBJECTS}
    cut = {
        name: {"fields": {field: {"skip": True} for field in whole[name].fields if field not in fields_of(name)}}
        for name in OBJECTS
    }
    head = CLIENT_FILE.format(name="acme", title="Acme", plan="gold")
    return f"{head}mapping: {json.dumps(left_out | cut)}\n"  # JSON is YAML


def fields_of(name: str) -> list[str]:
    """Return the names of the fourteen fields of an object that are mapped."""
    inside = [f.name for f in load_mappings()[name].fields.values() if f.type.target != "Maintenance_Account__c"]
    return inside[:FIELDS]


# --- the process that serves ------------------------------------------------------------------------------------


def _org(folder: Path, rows: int) -> LocalOrg:
    """Return an org with the package in it and that many rows, written over the last two years."""
    clock = SystemClock()
    org = LocalOrg("acme", clock=ManualClock(clock.now()), seed=SEED, zone=ZONE, daily_api_requests=ALLOWANCE)
    options = deploy.DeployOptions(single_package=True)
    done = deploy.start(org, org.admin, zip_package(generate(_mappings(folder))), options)
    assert done.status == "Succeeded", [(m.name, m.problem) for m in done.failures][:5]
    org.assign("sfsync_Service", org.integration_id)
    made = {}
    for name in OBJECTS:
        mapping = load_mappings()[name]
        made[name] = list[str]()
        for start in range(0, rows // len(OBJECTS), SEEDED_AT_ONCE):
            count = min(SEEDED_AT_ONCE, rows // len(OBJECTS) - start)
            records = [_record(name, n, made, clock.now()) for n in range(start, start + count)]
            made[name] += org.seed_rows(mapping.object, records)
    org.clock = clock
    return org


def _mappings(folder: Path) -> Mappings:
    """Return the mapping as the overlay cuts it: what is left out does not even exist in the org."""
    file = folder / "acme.yaml"
    file.write_text(overlay(), encoding="utf-8")
    return load_client(file, load_mappings(), load_plans()).mappings


def _record(name: str, n: int, made: Mapping[str, Sequence[str]], now: datetime) -> dict[str, Any]:
    """Return the n-th record of an object with something in nearly every field."""
    dice = seeded(f"{name}/{n}")
    at = now - timedelta(minutes=60 + dice.randrange(60 * 24 * 700))
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    said = " ".join(dice.choices(WORDS, k=12))
    category = dice.choice(("Evolutionary", "Preventive", "Adaptive", "Corrective"))
    record: dict[str, Any] = {"CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}
    match name:
        case "pack":
            record |= {
                "Type__c": "Pro", "Packs_Bought__c": 10, "Hours_Bought__c": 80, "Hours_Used__c": n % 80,
                "Hours_Reserved__c": 0, "Unit_Price__c": 800.5, "Total_Price__c": 8005, "Currency_Code__c": "EUR",
                "Starts_On__c": at.date().isoformat(), "Expires_On__c": (at + timedelta(365)).date().isoformat(),
                "Original_Expires_On__c": (at + timedelta(365)).date().isoformat(),
            }  # fmt: skip
        case "case":
            record |= {
                "Subject": f"{said[:60]} {n}", "Description": said, "Status": "New", "Origin": "Web",
                "Maint_Request__c": True, "Maint_Priority__c": f"P{1 + n % 4}", "Maint_Category__c": category,
                "Maint_Scope__c": "Included", "Maint_Acknowledged_At__c": stamp,
            }  # fmt: skip
        case "estimate":
            record |= {
                "Case__c": made["case"][n], "Version__c": 1, "Category__c": category, "Scope__c": "Included",
                "Minutes__c": 60 + n % 600, "What_We_Will_Do__c": said, "Sent_At__c": stamp, "Status__c": "Sent",
                "Valid_Until__c": (at + timedelta(30)).date().isoformat(), "Client_Comment__c": said[:80],
            }  # fmt: skip
        case "time_entry":
            record |= {
                "Case__c": made["case"][n], "Work_Date__c": (at - timedelta(1)).date().isoformat(),
                "Minutes__c": 15 + n % 400,
                "Category__c": category, "Description__c": said, "Estimate__c": made["estimate"][n],
                "Pack__c": made["pack"][n], "State__c": "Counted", "Billable__c": True,
            }  # fmt: skip
    return record


def main() -> None:
    """Serve an org with the rows asked for."""
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    started = prepare(folder, orgs=[_org(folder, rows)], control=True)
    serve(started, port=0, announce=lambda line: print(line, flush=True))  # noqa: T201


# --- who asks for it --------------------------------------------------------------------------------------------


@dataclass
class Laden:
    """The served org, from outside."""

    line: dict[str, Any]
    rows: int

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of the org's control face."""
        trusted = create_default_context(cafile=self.line["ca_file"])
        connection = HTTPSConnection("localhost", urlsplit(self.line["url"]).port, context=trusted, timeout=600)
        connection.request(method, f"/_local/{path}", json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 300, content[:500]
        return json.loads(content) if content else None

    @contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """Count the API calls and the requests of a block, by the org's own journal."""
        found: dict[str, int] = {}
        self.control("DELETE", "journal")
        yield found
        journal = self.control("GET", "journal")
        found["calls"] = journal["total_cost"]
        found["requests"] = len(journal["entries"])
        found["logins"] = sum("oauth2/token" in entry["path"] for entry in journal["entries"])


@contextmanager
def laden(folder: Path, rows: int) -> Iterator[Laden]:
    """Have an org with that many rows while the block runs."""
    command = [sys.executable, "-m", "tests.bench.laden", str(folder), str(rows)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stdout is not None
            began = time.monotonic()
            line = server.stdout.readline()
            assert line, "the local org did not start"
            print(f"\n{rows:,} rows seeded and served in {time.monotonic() - began:.0f} s")  # noqa: T201
            yield Laden(json.loads(line), rows)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
