"""One client's contract as the rules see it: the facts they are shown, and what they say put in force.

Functions inside a transaction that somebody else opened. May not know orgs beyond their links. It keeps one law: what
the rules said of one version of the facts is in force as a whole or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from sfsync.errors import StoreRefused
from sfsync.mapping import Mappings
from sfsync.records import (
    Adjustment,
    Case,
    ClientAccount,
    Estimate,
    Pack,
    Record,
    SummaryLine,
    TimeEntry,
    Value,
    WeeklySummary,
    field_names,
)
from sfsync.rules.evaluate import Evaluation, Facts
from sfsync.store import local
from sfsync.store.forms import staged
from sfsync.store.local import LocalRow
from sfsync.store.tables import RECORD_TABLES


def read_facts(connection: Connection, touched: Mapping[str, frozenset[str]] | None) -> Facts:
    """Return everything the store holds of the transaction's client, for the rules."""
    accounts = local.read_records(connection, ClientAccount)
    living = [account for account in accounts.values() if not account.deleted]
    return Facts(
        account=living[0] if living else None,
        packs=local.read_records(connection, Pack),
        adjustments=local.read_records(connection, Adjustment),
        cases=local.read_records(connection, Case),
        events=local.read_events(connection),
        estimates=local.read_records(connection, Estimate),
        entries=local.read_records(connection, TimeEntry),
        summaries=local.read_records(connection, WeeklySummary),
        lines=local.read_records(connection, SummaryLine),
        postings=local.read_postings(connection),
        milestones=local.read_milestones(connection),
        touched=touched,
    )


def read_clocks(connection: Connection, cases: Iterable[str]) -> Facts:
    """Return what the clocks of ``cases`` need, and nothing else: time passed, and nobody touched anything."""
    keys = list(cases)
    return Facts(
        cases=local.read_records(connection, Case, keys),
        events=local.read_events(connection, keys),
        milestones=local.read_milestones(connection, keys),
        touched={"Case": frozenset(keys)},
        clocks_only=True,
    )


def apply(
    connection: Connection,
    name: str,
    mappings: Mappings,
    said: Evaluation,
    now: datetime,
    version: int,
    *,
    looked_at: bool,
) -> None:
    """Leave fields, created records, postings, milestones and findings in force; touch the links they concern."""
    by_name = {mapping.record.__name__: mapping.record for mapping in mappings}
    by_kind: dict[type[Record], list[LocalRow]] = defaultdict(list)
    changed: list[tuple[str, str]] = []
    for (record_name, key), values in said.fields.items():
        by_kind[by_name[record_name]].append(LocalRow(key, values))
    for kind, rows in by_kind.items():
        local.require_rows(connection, kind, [row.key for row in rows])
        changed += [(kind.__name__, row.key) for row in rows]
    created: dict[type[Record], list[LocalRow]] = defaultdict(list)
    for record in said.created:
        created[type(record)].append(LocalRow(record.key, values_of(record), record.created_at, record.deleted))
        changed.append((type(record).__name__, record.key))
    for group in (created, by_kind):
        for kind, rows in group.items():
            local.merge_rows(connection, name, kind, rows, version, looked_at=looked_at)
    local.add_postings(connection, name, said.postings)
    if said.milestones:
        local.put_milestones(connection, name, said.milestones, now)
    local.add_findings(connection, name, said.findings, now)
    objects = {mapping.record.__name__: mapping.object for mapping in mappings}
    touch(connection, name, [(objects[kind], key) for kind, key in changed if kind in objects])


def touch(connection: Connection, name: str, changed: Iterable[tuple[str, str]]) -> None:
    """Let every org of the client look at these (object, key) again; a record without a link there gets one."""
    rows = sorted(set(changed))
    if not rows:
        return
    with staged(connection, {"object": "TEXT", "key": "TEXT"}, rows) as stage:
        connection.execute(
            text(
                "INSERT INTO link AS l (client, org, object, key) "
                f"SELECT o.client, o.org, s.object, s.key FROM org o CROSS JOIN {stage} s WHERE o.client = :client "
                "ON CONFLICT (client, org, object, key) DO UPDATE SET touched = l.touched + 1, state = 'ready'"
            ),
            {"client": name},
        )


def link_all(connection: Connection, name: str, org_name: str, mappings: Mappings) -> None:
    """Let every living record of the client have a link to an org that came later: the next plan looks at it."""
    for mapping in mappings:
        connection.execute(
            text(
                "INSERT INTO link (client, org, object, key) "
                f'SELECT client, :org, :object, key FROM "{RECORD_TABLES[mapping.record].name}" '
                "WHERE client = :client AND NOT deleted ON CONFLICT DO NOTHING"
            ),
            {"client": name, "org": org_name, "object": mapping.object},
        )


def values_of(record: Record) -> dict[str, Value]:
    """Return the values a new record brings: fields that are None have not been given one yet."""
    own = {name: getattr(record, name) for name in field_names(type(record))}
    return {**{name: value for name, value in own.items() if value is not None}, **record.extra}


def lock_version(connection: Connection, name: str) -> int:
    """Return the client's version, its row locked until the end: one client changes in one order."""
    row = text("SELECT version FROM client WHERE client = :client FOR UPDATE")
    found = connection.execute(row, {"client": name}).scalar_one_or_none()
    if found is None:
        raise StoreRefused(f"there is no client {name} in the store")
    return int(found)


def set_version(connection: Connection, name: str, version: int) -> None:
    """Leave the client at ``version``: the rules have something to look at."""
    connection.execute(
        text("UPDATE client SET version = :version WHERE client = :client"), {"client": name, "version": version}
    )
