"""The tables: one per record, one for the links, one for the postings, and what keeps the books of a run.

May not know how they are filled. It keeps one law: every table with a client's data has the client first in every key.

A record's table is made from its dataclass, a column a field, so the two cannot drift; ``extra`` holds mirrored fields
that no rule reads. Records and links, of which there are millions, have no foreign key to their client and org: looking
it up for every row doubled what a load costs, nothing may delete a client or an org, and who writes has proved its
lease on the org first. How rows are protected (row-level security, triggers, grants) is in ``protection``.
"""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args, get_type_hints

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from sfsync.records import RECORDS, Case, Estimate, Record, TimeEntry, field_names

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

INSTANT = DateTime(timezone=True)
TYPES: dict[type, Any] = {
    str: Text,
    bool: Boolean,
    int: BigInteger,
    Decimal: Numeric,
    date: Date,
    datetime: INSTANT,
}


def table_name(record: type[Record]) -> str:
    """Return the name of a record's table: its own name in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record.__name__).lower()


def _record_table(record: type[Record]) -> Table:
    hints = get_type_hints(record)
    columns: list[Any] = []
    for name in field_names(record):
        kind = next(t for t in (get_args(hints[name]) or (hints[name],)) if t is not type(None))
        columns.append(Column(name, TYPES[kind]))
        if kind is Decimal:  # NaN passes any other comparison, and rounding happens without a word
            columns.append(
                CheckConstraint(f"{name} NOT IN ('NaN', 'Infinity', '-Infinity')", name=f"{name}_is_a_number")
            )
    made = Table(
        table_name(record),
        metadata,
        Column("client", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("created_at", INSTANT),
        Column("deleted", Boolean, nullable=False, server_default=text("false")),
        Column(
            "changed_version", BigInteger, nullable=False, comment="the client's version when the rules must look again"
        ),
        Column("unset", ARRAY(Text), nullable=False, comment="fields nobody has given a value yet, which is not null"),
        Column("extra", JSONB, nullable=False, server_default=text("'{}'")),
        *columns,
        PrimaryKeyConstraint("client", "key"),
    )
    Index(None, made.c.client, made.c.changed_version)
    return made


# --- who there is (no client's data; read across clients by scheduler and status) ------------------------------

client = Table(
    "client",
    metadata,
    Column("client", Text, primary_key=True),
    Column("version", BigInteger, nullable=False, server_default=text("0"), comment="grows with every change"),
    Column("evaluated_version", BigInteger, comment="what the rules have seen; null: nothing yet"),
    Column("next_due_at", INSTANT, comment="when the rules change their mind by themselves: the earliest of all"),
    Column("ledger_due_at", INSTANT, comment="when ledger, account or weeks do"),
    Column("weeks_due_at", INSTANT, comment="when a week is to be issued or revised"),
    Column("news_at", INSTANT, comment="when the first posting was booked that an issued week does not know of"),
    Column("made_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("calendar_checked_at", INSTANT, comment="when its holidays were last compared with the newest list"),
    Column("calendar_differs", Integer, comment="days that differed then"),
)

org = Table(
    "org",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("role", Text, nullable=False, server_default=text("'client'")),
    Column("organization_id", Text, comment="the pin: compared at every login, never overwritten"),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("reason", Text, nullable=False, server_default=text("''"), comment="why it is paused, for a person"),
    Column("since", INSTANT, nullable=False, server_default=text("now()")),
    Column("last_success_at", INSTANT),
    Column("waits_until", INSTANT, comment="in-between polls wait: the org's calls must last; nightly work does not"),
    # What its runs came to, so that nobody who asks what is due or how things stand reads through them.
    Column("last_ms", BigInteger, comment="how long the newest run that ended well took"),
    Column("running_since", INSTANT, comment="when the run that has not ended yet began"),
    Column("failed_runs", Integer, nullable=False, server_default=text("0"), comment="since one ended well"),
    Column("failed_at", INSTANT, comment="when the newest of them ended"),
    Column("counted", JSONB, nullable=False, server_default=text("'{}'"), comment="sums over runs that ended well"),
    PrimaryKeyConstraint("client", "org"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    CheckConstraint("state IN ('active', 'paused')", name="state"),
    CheckConstraint("role IN ('client', 'hub')", name="role"),
    # Two clients cannot point at one organisation. It is the one key without the client, and the service role cannot
    # learn from it what it does not see in this table anyway.
    Index("uq_org_organization_id", "organization_id", unique=True, postgresql_where=text("role = 'client'")),
)

org_lease = Table(
    "org_lease",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("token", BigInteger, nullable=False, comment="only grows; a run with an older one cannot commit"),
    Column("holder", Text, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("client", "org"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"], ondelete="CASCADE"),
)

tick = Table(
    "tick",
    metadata,
    Column("name", Text, nullable=False),
    Column("due_at", INSTANT, nullable=False),
    Column("written_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("done_at", INSTANT, comment="null: what this grid point asks for is still due"),
    PrimaryKeyConstraint("name", "due_at"),
    Index("ix_tick_open", "name", postgresql_where=text("done_at IS NULL")),
)

HOUSE = frozenset({"client", "org", "org_lease", "tick"})
"""Tables without row-level security: names, schedules and states, which scheduler and status read across clients."""

# --- the three memories -----------------------------------------------------------------------------------------

RECORD_TABLES: dict[type[Record], Table] = {record: _record_table(record) for record in RECORDS.values()}
"""*local*: once per client."""

UNDECIDED = "status IN ('Sent', 'Question') OR (decided_at IS NULL AND sent_at IS NULL)"
_estimate = RECORD_TABLES[Estimate].c
Index(
    "ix_estimate_moved",
    _estimate.client,
    func.greatest(_estimate.created_at, _estimate.sent_at, _estimate.decided_at),
)
Index("ix_estimate_undecided", _estimate.client, postgresql_where=text(UNDECIDED))

for _record, _names in (
    (TimeEntry, ("case", "created_at", "worked_on", "correction_of")),
    (Estimate, ("case",)),
    (Case, ("closed_at",)),
):
    for _name in _names:  # by these the rules find what a change can reach
        Index(None, RECORD_TABLES[_record].c.client, RECORD_TABLES[_record].c[_name])

link = Table(
    "link",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("sf_id", Text),
    Column("remote", JSONB, nullable=False, server_default=text("'{}'")),
    Column("agreed", JSONB, comment="what both sides last had in common; null: all of remote"),
    Column("stamp", INSTANT),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("merged_into", Text),
    # Unsettled while touched > settled. Only a hint where to look: planning everything again gives the same writes.
    Column("touched", BigInteger, nullable=False, server_default=text("1")),
    Column("settled", BigInteger, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="begun and not ended"),
    Column("tries", Integer, nullable=False, server_default=text("0"), comment="ended with: try later"),
    Column("next_try_at", INSTANT),
    Column("echo_after", INSTANT, comment="bookmark behind which a write was confirmed that no read has shown yet"),
    Column("unheard", JSONB, nullable=False, server_default=text("'{}'"), comment="what that write replaced"),
    Column("state", Text, nullable=False, server_default=text("'ready'")),
    PrimaryKeyConstraint("client", "org", "object", "key"),
    CheckConstraint("state IN ('ready', 'quarantined')", name="state"),
    Index("uq_link_sf_id", "client", "org", "sf_id", unique=True, postgresql_where=text("sf_id IS NOT NULL")),
    Index("ix_link_echo", "client", "org", "object", postgresql_where=text("echo_after IS NOT NULL")),
    Index("ix_link_unsettled", "client", "org", postgresql_where=text("touched > settled")),
)

bookmark = Table(
    "bookmark",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("read_to", INSTANT, comment="the org's clock, never ours"),
    Column("checkpoint", Text, nullable=False, server_default=text("''")),
    Column("schema_seen", Text, nullable=False, server_default=text("''")),
    Column("refreshed_at", INSTANT, comment="when calculated fields were last read without a stamp that moved"),
    PrimaryKeyConstraint("client", "org", "object"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
)

case_event = Table(
    "case_event",
    metadata,
    Column("client", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("case", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("old", Text),
    Column("new", Text),
    Column("at", INSTANT, nullable=False),
    Column("by", Text, nullable=False),
    Column("by_service", Boolean, nullable=False),
    PrimaryKeyConstraint("client", "case", "event_id"),
    ForeignKeyConstraint(["client"], ["client.client"]),
)

# --- the ledger -------------------------------------------------------------------------------------------------

posting = Table(
    "posting",
    metadata,
    Column("client", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_version", Integer, nullable=False),
    Column("leg", Integer, nullable=False),
    Column("seq", BigInteger, Identity(always=True), nullable=False, comment="the order in which they were booked"),
    Column("pack", Text, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("booked_at", INSTANT, nullable=False),
    Column("case", Text),
    Column("category", Text),
    Column("reason", Text, nullable=False),
    Column("chained", Text, nullable=False, server_default=text("''"), comment="SHA-256 of it and of the one before"),
    PrimaryKeyConstraint("client", "source", "source_version", "leg"),
    ForeignKeyConstraint(["client", "pack"], ["pack.client", "pack.key"]),
    CheckConstraint("minutes <> 0", name="moves_minutes"),
    Index(None, "client", "pack"),
    Index(None, "client", "seq"),
    Index(None, "client", "effective_on"),
    Index("ix_posting_loose", "client", postgresql_where=text('"case" IS NULL')),
)

ledger_mark = Table(
    "ledger_mark",
    metadata,
    Column("client", Text, nullable=False),
    Column("number", BigInteger, nullable=False, comment="how many events of the story lie before it"),
    Column("telling", Text, nullable=False, comment="contract and rules it was told under, as a hash"),
    Column("at", INSTANT, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", JSONB, nullable=False, comment="the packs there"),
    Column("tail", ARRAY(Text), comment="of the newest: the cases the story wrote on after it"),
    PrimaryKeyConstraint("client", "number"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    comment="places in the ledger's story from which it can be told on; without them it is told from its first day",
)

ledger_case = Table(
    "ledger_case",
    metadata,
    Column("client", Text, nullable=False),
    Column("case", Text, nullable=False),
    Column("mark", BigInteger, nullable=False),
    Column("state", JSONB, nullable=False),
    PrimaryKeyConstraint("client", "case", "mark"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    Index(None, "client", "mark"),
    comment="one case at a mark; where a mark has none, the one before holds",
)

told_record = Table(
    "told_record",
    metadata,
    Column("client", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("case", Text, nullable=False),
    PrimaryKeyConstraint("client", "key", "case"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    comment="the cases in whose story an entry or estimate was ever told",
)

pack_balance = Table(
    "pack_balance",
    metadata,
    Column("client", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("balance_minutes", BigInteger, nullable=False),
    PrimaryKeyConstraint("client", "pack"),
    ForeignKeyConstraint(["client", "pack"], ["pack.client", "pack.key"]),
    CheckConstraint("balance_minutes >= 0", name="no_overdraw"),
    comment="a fold over posting, kept by its trigger and by nobody else",
)

milestone = Table(
    "milestone",
    metadata,
    Column("client", Text, nullable=False),
    Column("case", Text, nullable=False),
    Column("clock", Text, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("plan", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("target_seconds", BigInteger, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("clock_starts_at", INSTANT, nullable=False),
    Column("due_at", INSTANT, nullable=False),
    Column("breach_at", INSTANT, nullable=False),
    Column("warn_at", JSONB, nullable=False),
    Column("warned_percent", Integer, nullable=False),
    Column("paused_seconds", BigInteger, nullable=False),
    Column("paused_since", INSTANT),
    Column("met_at", INSTANT),
    Column("used_seconds", BigInteger),
    Column("breached_at", INSTANT, comment="set once, to the computed instant; never moved"),
    Column("waived_reason", Text),
    Column("next_at", INSTANT, comment="when this clock has something to say next; null: never by itself"),
    PrimaryKeyConstraint("client", "case", "clock", "cycle"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    Index("ix_milestone_next", "client", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

# --- what a person may want to see ------------------------------------------------------------------------------

conflict = Table(
    "conflict",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("seen_at", INSTANT, nullable=False),
    Column("kind", Text, nullable=False, comment="conflict: both moved; hand_edit: a field of the service was changed"),
    Column("kept", JSONB(none_as_null=False), nullable=False),
    Column("lost", JSONB(none_as_null=False), nullable=False),
    Column("winner", Text, nullable=False),
    Column("by", Text, nullable=False),
    PrimaryKeyConstraint("client", "org", "object", "key", "field", "seen_at", "kind"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("field", Text, nullable=False, server_default=text("''")),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("advice", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", INSTANT, nullable=False),
    Column("last_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("client", "org", "object", "key", "direction"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
    CheckConstraint("direction IN ('in', 'out')", name="direction"),
)

finding = Table(
    "finding",
    metadata,
    Column("client", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="of everything that makes it this finding"),
    Column("code", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("at", INSTANT),
    Column("details", JSONB, nullable=False),
    Column("first_seen_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("client", "digest"),
    ForeignKeyConstraint(["client"], ["client.client"]),
    Index(None, "client", "record"),
)

run = Table(
    "run",
    metadata,
    Column("client", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("seq", BigInteger, Identity(always=True), nullable=False, comment="the order in which they began"),
    Column("org", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False, server_default=text("''")),
    Column("started_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Column("error", Text, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("client", "run"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
    CheckConstraint("state IN ('running', 'done', 'failed', 'lost')", name="state"),
    Index("ix_run_recent", "client", "org", "seq"),
)

certificate = Table(
    "certificate",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("equal", Boolean, nullable=False),
    Column("content", JSONB, nullable=False, comment="what the audit found, in full"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the content in its canonical spelling"),
    PrimaryKeyConstraint("client", "org", "at"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
)

api_use = Table(
    "api_use",
    metadata,
    Column("client", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("hour_at", INSTANT, nullable=False, comment="begin of the hour, by the org's clock"),
    Column("ours", BigInteger, nullable=False, comment="calls we made in it, whichever worker"),
    Column("used", BigInteger, comment="calls everybody made in 24 hours, as the org said last in this hour"),
    Column("allowed", BigInteger),
    Column("said_at", INSTANT, comment="when it said so"),
    PrimaryKeyConstraint("client", "org", "hour_at"),
    ForeignKeyConstraint(["client", "org"], ["org.client", "org.org"]),
)

calendar_snapshot = Table(
    "calendar_snapshot",
    metadata,
    Column("client", Text, nullable=False),
    Column("year", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("days", JSONB, nullable=False, comment="date to name"),
    Column("source", Text, nullable=False, comment="library and its version"),
    Column("digest", Text, nullable=False),
    Column("taken_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("client", "year", "version"),
    ForeignKeyConstraint(["client"], ["client.client"]),
)

operation = Table(
    "operation",
    metadata,
    Column("client", Text, nullable=False),
    Column("op_id", Text, nullable=False),
    Column("at", INSTANT, nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("client", "op_id"),
    comment="one row a transaction, so that an unknown COMMIT can be settled",
)

# What the service role may do besides reading. Nothing may be truncated, and a posting is only ever added.
WRITES: dict[str, str] = {
    "client": "INSERT, UPDATE",
    "org": "INSERT, UPDATE",
    "org_lease": "INSERT, UPDATE, DELETE",
    "tick": "INSERT, UPDATE, DELETE",
    **{made.name: "INSERT, UPDATE" for made in RECORD_TABLES.values()},
    "link": "INSERT, UPDATE, DELETE",
    "bookmark": "INSERT, UPDATE, DELETE",
    "case_event": "INSERT, UPDATE",
    "posting": "INSERT",
    "ledger_mark": "INSERT, UPDATE, DELETE",
    "ledger_case": "INSERT, DELETE",
    "told_record": "INSERT",
    "pack_balance": "",
    "milestone": "INSERT, UPDATE",
    "conflict": "INSERT",
    "quarantine": "INSERT, UPDATE, DELETE",
    "finding": "INSERT",
    "run": "INSERT, UPDATE, DELETE",
    "certificate": "INSERT",
    "api_use": "INSERT, UPDATE, DELETE",
    "calendar_snapshot": "INSERT",
    "operation": "INSERT, DELETE",
}

assert WRITES.keys() == metadata.tables.keys()
assert all(f.name in made.c for record, made in RECORD_TABLES.items() for f in fields(record))
