"""The whole line on one stage: a local org with people in it, a real store, and the runtime between them.

In process and on a clock that stands still until it is moved, so that a test says when things happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from sfsync.clock import ManualClock
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.org.inprocess import InProcess
from sfsync.org.tokens import MemoryTokens
from sfsync.records import Pack
from sfsync.rules.evaluate import Evaluation, account_key
from sfsync.runtime import Runtime
from sfsync.settings import OrgSettings, Settings
from sfsync.store.store import Store
from sfsync.sync import Report
from tests.orgs import deploy_into

ZONE = "America/Argentina/Buenos_Aires"
MONDAY = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
CONSULTANT, CLIENT = "consultant1@{}.example", "client1@{}.example"

CLIENT_FILE = """
client: {name}
name: {title}
time_zone: America/Argentina/Buenos_Aires
sla_plan: {plan}
holidays: {{country: AR}}
languages: [en]
policy: {{consultant_usernames: ["consultant*"]}}
"""


class Stage:
    """One or more client orgs, one store, one runtime; and the consultancy's own org where ``hub`` names it."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *orgs: str,
        hub: str | None = None,
        plan: str = "gold",
        start: datetime = MONDAY,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(start)
        self.folder = folder
        self.clients = orgs or ("acme",)
        self.hub = hub
        names = (*self.clients, hub) if hub else self.clients
        self.orgs = {name: LocalOrg(name, clock=self.clock, seed=n, zone=ZONE) for n, name in enumerate(names, 1)}
        self.world = World(self.orgs.values(), control=True)
        self.url = database_url
        self.more = settings
        (folder / "clients").mkdir(parents=True, exist_ok=True)
        for name, org in self.orgs.items():
            org.logins.add_app("client", "secret")
            if name == hub:
                continue
            text = CLIENT_FILE.format(name=name, title=name.title(), plan=plan)
            (folder / "clients" / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.runtime = self.open()

    @property
    def org(self) -> LocalOrg:
        """The first org."""
        return next(iter(self.orgs.values()))

    def open(self) -> Runtime:
        """Return a runtime as a freshly started worker has it."""
        orgs = {
            name: OrgSettings(
                login_url=f"https://{name}.my.salesforce.com",
                client_id="client",
                client_secret=SecretStr("secret"),
                username=f"integration@{name}.example",
                **({"role": "hub", "clients": self.clients} if name == self.hub else {}),
                **self.more,
            )
            for name in self.orgs
        }
        settings = Settings(orgs=orgs, data_dir=self.folder, clients_dir=self.folder / "clients")
        return Runtime(
            settings,
            Store(self.url, pool_size=2),
            clock=self.clock,
            tokens=MemoryTokens(),
            adapter=lambda org: InProcess(self.world, self.clock),
        )

    def deploy(self) -> None:
        """Bring the standard metadata into every org and grant the permission sets."""
        for org in self.orgs.values():
            deploy_into(org, "hub" if org.name == self.hub else "mirrored" if self.hub else "alone")
        self.later(minutes=5)

    def later(self, *, minutes: int = 0, hours: int = 0, days: int = 0) -> datetime:
        """Let time pass; return what time it is."""
        self.clock.advance(minutes * 60 + hours * 3600 + days * 86_400)
        return self.clock.now()

    def buy(self, plan: str, packs: int, on: date | None = None, org: str | None = None, key: str = "pk:1") -> None:
        """The consultancy registers a payment."""
        name = org or self.org.name
        promised = self.runtime.plans.packs[plan]
        facts = self.runtime.store.facts(name)
        pack = Pack(
            key=key,
            account=account_key(name),
            plan=promised.name,
            packs_bought=packs,
            bought_minutes=packs * promised.minutes_per_pack,
            unit_price_amount=promised.unit_price_amount,
            total_price_amount=promised.unit_price_amount * packs,
            currency=promised.currency,
            activated_on=on or self.today(),
            purchase_seq=len(facts.packs) + 1,
            status="Active",
        )
        mappings = self.runtime.client(name).mappings
        self.runtime.store.amend(name, mappings, Evaluation(created=[pack]), self.clock.now())

    def sync(self, org: str | None = None) -> Report:
        """Sync one org and let a minute pass."""
        report = self.runtime.sync(org or self.org.name)
        self.later(minutes=1)
        return report

    def today(self) -> date:
        """Return the day it is for the client."""
        return self.clock.now().astimezone(ZoneInfo(ZONE)).date()

    # --- people -------------------------------------------------------------------------------------

    def case(self, org: str | None = None, **values: Any) -> str:
        """A person of the client opens a case."""
        return self._org(org).insert(
            "Case", {"Subject": "Orders do not sync", "Maint_Priority__c": "P2", "Maint_Request__c": True, **values}
        )[0]

    def estimate(self, case: str, minutes: int, org: str | None = None, **values: Any) -> str:
        """A consultant proposes hours and sends them."""
        sent = {"Status__c": "Sent", "Sent_At__c": iso(self.clock.now()), **values}
        row = {"Case__c": case, "Minutes__c": minutes, "Version__c": 1, **sent}
        return self._org(org).insert("Maintenance_Estimate__c", row)[0]

    def approve(self, estimate: str, org: str | None = None) -> None:
        """A person of the client approves."""
        local = self._org(org)
        local.update("Maintenance_Estimate__c", estimate, {"Status__c": "Approved"}, user=CLIENT.format(local.name))

    def log(self, case: str, minutes: int, on: date | None = None, org: str | None = None, **values: Any) -> str:
        """A consultant logs time."""
        day = (on or self.today()).isoformat()
        row = {"Case__c": case, "Minutes__c": minutes, "Work_Date__c": day, "Description__c": "work", **values}
        return self._org(org).insert("Time_Entry__c", row)[0]

    def shown(self, sobject: str, record: str, org: str | None = None) -> Mapping[str, Any]:
        """Return a record as the org holds it."""
        found = self._org(org).get(sobject, record)
        assert found is not None
        return found

    def rows(self, sobject: str, org: str | None = None) -> list[dict[str, Any]]:
        """Return every live row of an object."""
        local = self._org(org)
        names = [f.name for f in local.schema[sobject].stored_fields()]
        columns = ", ".join(f'"{n}"' for n in names)
        found = local.storage.rows(f'SELECT {columns} FROM "{sobject}" WHERE "IsDeleted" = 0 ORDER BY "Id"')
        return [dict(zip(names, row, strict=True)) for row in found]

    def _org(self, name: str | None) -> LocalOrg:
        return self.orgs[name] if name else self.org


def iso(at: datetime) -> str:
    """Return an instant as REST takes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
