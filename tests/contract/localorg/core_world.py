"""An org with two custom objects and a client that talks to it in process, on a clock that only the test moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import (
    FieldPermission,
    ObjectPermission,
    OnDelete,
    PermissionSet,
    PicklistValue,
    SchemaChange,
    ValidationRule,
    custom_field,
)
from sfsync.localorg.standard import custom_object
from sfsync.localorg.world import World

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
DATA = "/services/data/v61.0"
MIDNIGHT = "2026-11-21T00:00:00+00:00"


def furnished(clock: ManualClock | None = None, name: str = "acme", **more: Any) -> LocalOrg:
    """Return an org with Pack__c and Time_Entry__c, and a permission set Service that grants most of both."""
    org = LocalOrg(name, clock=clock or ManualClock(NOW), daily_api_requests=1_000_000, **more)
    pack = custom_object("Pack__c", "Pack", "Packs", None)
    pack.history_enabled = True
    pack.rules = (
        ValidationRule("Not_negative", "Hours__c < 0", "Hours cannot be negative.", error_field="Hours__c"),
        ValidationRule(
            "Only_the_service",
            "AND(NOT(ISNEW()), ISCHANGED(Used__c), NOT($Permission.Serves))",
            "Only the service sets Used.",
        ),
    )
    for each in (
        custom_field("Key__c", "string", length=40, unique=True, external_id=True),
        custom_field("Hours__c", "double", label="Hours", precision=6, scale=2, history_tracked=True),
        custom_field("Used__c", "double", precision=6, scale=2),
        custom_field("Left__c", "double", formula="Hours__c - BLANKVALUE(Used__c, 0)", precision=6, scale=2),
        custom_field(
            "Kind__c",
            "picklist",
            label="Kind",
            length=255,
            restricted=True,
            picklist=(PicklistValue("Starter", default=True), PicklistValue("Pro"), PicklistValue("Old", active=False)),
        ),
        custom_field("Account__c", "reference", reference_to=("Account",), child_relationship_name="Packs__r"),
        custom_field("Secret__c", "string", length=10),
    ):
        pack.put(each)
    entry = custom_object(
        "Time_Entry__c",
        "Time Entry",
        "Time Entries",
        None,
        custom_field("Name", "string", label="Entry No.", auto_number="TE-{0000}", length=80),
    )
    for each in (
        custom_field(
            "Pack__c",
            "reference",
            reference_to=("Pack__c",),
            child_relationship_name="Entries__r",
            on_delete=OnDelete.RESTRICT,
        ),
        custom_field("Minutes__c", "double", label="Minutes", precision=5, scale=0, nillable=False),
        custom_field("Worked_On__c", "date"),
    ):
        entry.put(each)
    allowed = ObjectPermission(True, True, True, True)
    service = PermissionSet(
        "Service",
        "Service",
        objects={"Pack__c": allowed, "Time_Entry__c": allowed},
        fields={
            f"Pack__c.{n}": FieldPermission(True, n != "Left__c")
            for n in ("Key__c", "Hours__c", "Used__c", "Left__c", "Kind__c", "Account__c")
        }
        | {f"Time_Entry__c.{n}": FieldPermission(True, True) for n in ("Pack__c", "Worked_On__c")},
        custom_permissions=frozenset({"Serves"}),
    )
    org.schema_change(SchemaChange(objects=[pack, entry], permission_sets=[service], custom_permissions=["Serves"]))
    org.logins.add_app("app", "secret")
    return org


@dataclass
class Client:
    """Asks an org in process, as one user."""

    org: LocalOrg = field(default_factory=furnished)
    user: str | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"Sforce-Auto-Assign": "FALSE"})
    control: bool = True

    def __post_init__(self) -> None:
        self.world = World([self.org], control=self.control)
        self.token = self.org.logins.open_session(self.org.actor(self.user or self.org.admin_id).user_id, "app")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Return the answer to one request; paths that begin with a word are resources of the API version."""
        url = path if path.startswith("/") else f"{DATA}/{path}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} | self.headers
        sent |= {k.replace("_", "-"): v for k, v in headers.items()}
        return self.world.handle(Request.of(method, f"https://{self.org.name}.my.salesforce.com{url}", sent, data))

    def query(self, soql: str, *, everything: bool = False) -> list[dict[str, Any]]:
        """Return the records of a statement that fits one page."""
        resource = "queryAll" if everything else "query"
        answer = self.ask("GET", f"{resource}?{urlencode({'q': soql})}")
        assert answer.status == 200, answer.body
        records: list[dict[str, Any]] = answer.json()["records"]
        return records

    def made(self, object_name: str, **values: Any) -> str:
        """Create a record and return its id."""
        answer = self.ask("POST", f"sobjects/{object_name}", values)
        assert answer.status == 201, answer.body
        record_id: str = answer.json()["id"]
        return record_id

    def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Return (status, error code) of a request that is refused."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status >= 400, answer.body
        code: str = answer.json()[0]["errorCode"]
        return answer.status, code
