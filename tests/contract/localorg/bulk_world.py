"""An org with a custom object, and a client that speaks Bulk to it in process, on a clock that only the test moves."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sfsync.clock import ManualClock
from sfsync.localorg.bulk_jobs import Jobs, jobs_of
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import SchemaChange, custom_field
from sfsync.localorg.standard import custom_object
from sfsync.localorg.world import World

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
BASE = "/services/data/v61.0/jobs"


def org_with_packs(clock: ManualClock | None = None) -> LocalOrg:
    """Return a fresh org with Pack__c, which has a required number, an external id and a lookup to Account."""
    org = LocalOrg(clock=clock or ManualClock(NOW), daily_api_requests=10_000_000)
    pack = custom_object("Pack__c", "Pack", "Packs", None)
    account = custom_field("Ext__c", "string", length=40, unique=True, external_id=True)
    fields = (
        custom_field("Key__c", "string", length=40, unique=True, external_id=True),
        custom_field("Hours__c", "double", precision=8, scale=2, nillable=False),
        custom_field("Notes__c", "textarea", length=32_000),
        custom_field("Starts__c", "date"),
        custom_field("Opens_At__c", "datetime"),
        custom_field("Active__c", "boolean"),
        custom_field("Account__c", "reference", reference_to=("Account",), child_relationship_name="Packs__r"),
    )
    org.schema_change(
        SchemaChange(
            objects=[pack], fields=[("Account", account), *(("Pack__c", each) for each in fields)]
        )
    )  # fmt: skip
    return org


@dataclass
class Client:
    """A client with a session of the administrator."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    org: LocalOrg = field(init=False)
    world: World = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.org = org_with_packs(self.clock)
        self.world = World([self.org])
        self.token = self.org.logins.open_session(self.org.admin_id)

    @property
    def jobs(self) -> Jobs:
        """The org's jobs."""
        return jobs_of(self.org)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        """Return the answer to a request; a body other than bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} | (headers or {})
        return self.world.handle(Request.of(method, f"https://acme.my.salesforce.com{path}", own, data))

    def create(self, operation: str = "insert", object_name: str = "Pack__c", **more: Any) -> str:
        """Return the id of a new ingest job."""
        answer = self.send("POST", f"{BASE}/ingest", {"object": object_name, "operation": operation} | more)
        assert answer.status == 200, answer.body
        return str(answer.json()["id"])

    def load(self, text: str | bytes, operation: str = "insert", object_name: str = "Pack__c", **more: Any) -> str:
        """Return the id of an ingest job that has its data and is closed."""
        job = self.create(operation, object_name, **more)
        data = text.encode() if isinstance(text, str) else text
        assert self.send("PUT", f"{BASE}/ingest/{job}/batches", data, {"Content-Type": "text/csv"}).status == 201
        answer = self.send("PATCH", f"{BASE}/ingest/{job}", {"state": "UploadComplete"})
        assert answer.json()["state"] == "UploadComplete"
        return job

    def poll(self, job: str, family: str = "ingest") -> dict[str, Any]:
        """Return the job after one poll."""
        found: dict[str, Any] = self.send("GET", f"{BASE}/{family}/{job}").json()
        return found

    def end(self, job: str, family: str = "ingest") -> dict[str, Any]:
        """Return the job when it has ended."""
        while True:
            found = self.poll(job, family)
            if found["state"] not in ("UploadComplete", "InProgress"):
                return found

    def run(self, text: str | bytes, operation: str = "insert", **more: Any) -> dict[str, Any]:
        """Return an ingest job that was loaded and has ended."""
        return self.end(self.load(text, operation, **more))

    def result(self, job: str, kind: str) -> list[dict[str, str]]:
        """Return a result file of an ingest job."""
        answer = self.send("GET", f"{BASE}/ingest/{job}/{kind}")
        assert answer.status == 200, answer.body
        return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))

    def query(self, statement: str, operation: str = "query", **more: Any) -> str:
        """Return the id of a query job that has ended."""
        answer = self.send("POST", f"{BASE}/query", {"operation": operation, "query": statement} | more)
        assert answer.status == 200, answer.body
        job = str(answer.json()["id"])
        assert self.end(job, "query")["state"] == "JobComplete"
        return job

    def packs(self, *fields: str) -> list[tuple[Any, ...]]:
        """Return the stored packs, in order of key."""
        names = ", ".join(f'"{name}"' for name in fields)
        return self.org.storage.rows(f'SELECT {names} FROM "Pack__c" WHERE "IsDeleted" = 0 ORDER BY "Key__c"')
