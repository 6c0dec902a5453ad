"""A command line with a store that holds one client: packs, cases, work, and what the rules said of them.

May not know how the rules came to it. It keeps one law: everything here was put in force by the store and the rules,
never written into a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sfsync.cli.rooms import Opened
from sfsync.mirror.merge import Link
from sfsync.mirror.plan import Change, Outcome, Result
from sfsync.records import Case, CaseEvent, Estimate, Pack, TimeEntry
from sfsync.rules.evaluate import Evaluation, evaluate
from sfsync.runtime import Runtime
from sfsync.settings import load
from tests.commandline import Answer, home, sfsync

__all__ = ["home", "sfsync"]

PIN = "00D000000000001EAA"


@dataclass(frozen=True)
class Desk:
    """A place to type, and the store behind it."""

    type: Callable[..., Answer]
    opened: Opened
    now: datetime

    def __call__(self, *words: str) -> Answer:
        """Type ``sfsync WORDS``."""
        return self.type(*words)


@pytest.fixture
def desk(sfsync: Callable[..., Answer], home: Path, database_url: str) -> Iterator[Desk]:
    """Return a command line whose settings name a store and one client's org."""
    (home / "sfsync.toml").write_text(
        f'data_dir = "data"\n[store]\nurl = "{database_url}"\n'
        f'[orgs.acme]\norganization_id = "{PIN}"\nusername = "me@acme.example"\nlogin_url = "https://localhost:9"\n'
    )
    (home / "clients").mkdir()
    (home / "clients/acme.yaml").write_text(
        "client: acme\nname: Acme Distribución S.A.\ntime_zone: America/Argentina/Buenos_Aires\nsla_plan: gold\n"
        "languages: [es, en]\npolicy: {vat_rate_pct: 21}\n"
    )
    with Runtime.open(load(home / "sfsync.toml")) as runtime:
        yield Desk(sfsync, Opened(runtime), runtime.clock.now())


@pytest.fixture
def worked(desk: Desk) -> Desk:
    """A desk whose client bought two packs and had a case estimated, approved and worked on."""
    today = desk.opened.today("acme")
    bought = {"account": "acc:acme", "activated_on": today - timedelta(days=40), "purchase_seq": 1}
    opened = desk.now - timedelta(days=20)
    told = Evaluation(
        created=[
            Pack(key="pk:1", name="PK-0001", plan="Flexi", packs_bought=5, **bought),
            Pack(key="pk:2", name="PK-0002", plan="Pro", packs_bought=15, **bought | {"purchase_seq": 2}),
            Case(
                key="ca:1", created_at=opened, number="00001231", subject="Orders do not sync", status="Working",
                priority="P2", category="Corrective", origin="Web", request=True, is_closed=False,
            ),
            Case(
                key="ca:2", created_at=desk.now - timedelta(hours=1), number="00001232", subject="New\tfield, please",
                status="New", priority="P4", category="Evolutionary", origin="Email", request=True, is_closed=False,
            ),
            Estimate(
                key="es:1", created_at=opened, name="EST-0001", case="ca:1", version=1, estimated_minutes=240,
                status="Approved", sent_at=opened, decided_at=opened + timedelta(hours=2), decided_by="Lucía Pérez",
            ),
            TimeEntry(
                key="te:1", created_at=opened + timedelta(days=1), name="TE-1", case="ca:1", worked_minutes=90,
                worked_on=today - timedelta(days=19), billable=True, category="Corrective",
            ),
        ]
    )  # fmt: skip
    desk.opened.amend("acme", told)
    store, mappings = desk.opened.store, desk.opened.client("acme").mappings
    lease = store.acquire("acme", "acme", "a test")
    assert lease is not None
    room = store.room("acme", "acme", mappings, lease)
    facts = room.facts(desk.now)
    assert facts is not None
    answered = CaseEvent(
        case="ca:1", event_id="017000000000001", kind="comment", field="", old=None, new=None,
        at=opened + timedelta(hours=60), by="m.ionescu",
    )  # fmt: skip
    assert answered.case in facts.cases
    room.record(evaluate(desk.opened.runtime.contract("acme"), facts, desk.now), desk.now)
    store.release(lease)
    return desk


def refuse(desk: Desk, key: str, object_name: str, code: str = "FIELD_CUSTOM_VALIDATION_EXCEPTION") -> None:
    """Let the org refuse one record, as a run of the line would report it."""
    store, mappings = desk.opened.store, desk.opened.client("acme").mappings
    lease = store.acquire("acme", "acme", "a test")
    room = store.room("acme", "acme", mappings, lease)
    change = Change(object_name, key, None, {"status": "Active"})
    said = Outcome(change, Result.REJECTED, code=code, message="Region is required", advice="ask the client's admin")
    assert Link(object_name, key) is not None
    room.settle([said], (), desk.now)
    assert lease is not None
    store.release(lease)
