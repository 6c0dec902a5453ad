"""A local org with the standard metadata deployed, reached through the session that sfsync really uses.

It knows both sides, so that a test can act as a person in the org and look at what the sync saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pydantic import SecretStr

from sfsync.clock import ManualClock
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.mapping import Mappings, load_mappings
from sfsync.mirror.plan import Change, Outcome
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen
from sfsync.org.extract import extract
from sfsync.org.inprocess import InProcess
from sfsync.org.preflight import preflight
from sfsync.org.session import OrgSession
from sfsync.org.tokens import MemoryTokens, TokenStore
from sfsync.org.writeback import write_back
from sfsync.settings import OrgSettings
from tests.orgs import deploy_into

START = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
HOST = "https://acme.my.salesforce.com"
SERVICE = "Maintenance_Sync_Service"


@cache
def standard_mappings() -> Mappings:
    return load_mappings()


def deployed_org(clock: ManualClock, name: str = "acme", seed: int = 1, **options: Any) -> LocalOrg:
    """Return an org that has the standard metadata, with the service's permission set granted."""
    org = LocalOrg(name, clock=clock, seed=seed, **options)
    deploy_into(org, people=False)
    clock.advance(3600)
    return org


def service_permission_sets(org: LocalOrg) -> list[str]:
    rows = org.storage.rows('SELECT "Name" FROM "PermissionSet" WHERE "Name" LIKE ?', ("%Service%",))
    return [str(r[0]) for r in rows]


@dataclass
class Reached:
    """One org, a session to it, and the memory a store would keep."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    org: LocalOrg = field(init=False)
    tokens: TokenStore = field(default_factory=MemoryTokens)
    bookmarks: dict[str, Bookmark] = field(default_factory=dict)
    records: dict[tuple[str, str], Seen] = field(default_factory=dict)
    """Newest sight of each record by object and key: what a mirror would hold."""
    mappings: Mappings = field(default_factory=standard_mappings)
    settings: dict[str, Any] = field(default_factory=dict)
    org_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.org = deployed_org(self.clock, **self.org_options)
        self.world = World([self.org])
        self.app = self.org.logins.add_app("client", "secret")
        self.session = self.connect()

    page_rows: int | None = None

    def connect(self, **more: Any) -> OrgSession:
        """Return a session of its own; ``page_rows`` makes the org's pages small."""
        given: dict[str, Any] = {
            "login_url": HOST, "client_id": "client", "client_secret": SecretStr("secret"),
        } | self.settings | more  # fmt: skip
        session = OrgSession(
            "acme", OrgSettings(**given), clock=self.clock, tokens=self.tokens,
            adapter=InProcess(self.world, self.clock),
        )  # fmt: skip
        session.page_rows = self.page_rows
        return session

    def ids(self) -> Ids:
        ids = Ids(self.session.organization_id)
        ids.update((seen.sf_id, key) for (_, key), seen in self.records.items())
        return ids

    def sync(self, **more: Any) -> list[Page]:
        """Read everything new, keep it, and return the pages."""
        ids = self.ids()
        checked = preflight(self.session, self.mappings, self.bookmarks, ids, **more)
        pages = []
        for page in extract(self.session, self.mappings, self.bookmarks, ids, checked, **more):
            self.absorb(page)
            pages.append(page)
        return pages

    def absorb(self, page: Page) -> None:
        for seen in page.seen:
            before = self.records.get((seen.object, seen.key))
            if before is None or seen.stamp >= before.stamp:
                self.records[seen.object, seen.key] = seen
        gone = {sf_id for sf_id, _ in page.hard_deleted}
        for at in [at for at, seen in self.records.items() if seen.sf_id in gone]:
            del self.records[at]
        self.bookmarks[page.object] = page.bookmark

    def calls(self) -> int:
        return self.session.calls.api

    def write(self, changes: Iterable[Change], **more: Any) -> list[Outcome]:
        return list(write_back(self.session, self.mappings, changes, **more))

    def faults(self, *rules: dict[str, Any]) -> None:
        self.org.faults = Faults.of(list(rules))

    def later(self, seconds: float = 60) -> None:
        self.clock.advance(seconds)

    # people

    def cases(self, count: int, **values: Any) -> list[str]:
        rows = [{"Subject": f"Case {n}", "Maint_Priority__c": "P2", **values} for n in range(count)]
        return self.org.insert("Case", rows)


def seen_of(pages: Sequence[Page], sobject: str) -> list[Seen]:
    return [seen for page in pages if page.object == sobject for seen in page.seen]


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
