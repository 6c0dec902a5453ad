"""*Local*: the typed rows of a client's records, and what the rules read and write beside them.

Functions inside a transaction that somebody else opened. May not know links or orgs. It keeps one law: a field that
nobody has given a value yet stays distinguishable from one that is null.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from sfsync.errors import StoreRefused
from sfsync.records import (
    CaseEvent,
    Finding,
    Milestone,
    Posting,
    PostingKind,
    Record,
    Value,
    Values,
    field_names,
)
from sfsync.rules.postings import GENESIS, chain
from sfsync.rules.sla import next_due_at
from sfsync.store.forms import any_of, clean, from_json, sql_types, staged, to_json
from sfsync.store.tables import RECORD_TABLES, case_event, finding, milestone, posting

R = TypeVar("R", bound=Record)

# --- reading ----------------------------------------------------------------------------------------------------


def read_records(connection: Connection, kind: type[R], keys: Iterable[str] | None = None) -> dict[str, R]:
    """Return the records of a kind by key, deleted ones too, ordered by key."""
    table = RECORD_TABLES[kind]
    return _records(connection, kind, None if keys is None else table.c.key == any_of(keys))


def read_records_of(connection: Connection, kind: type[R], cases: Iterable[str]) -> dict[str, R]:
    """Return the records of a kind that belong to these cases, by key; the empty key stands for no case at all."""
    table, wanted = RECORD_TABLES[kind], list(cases)
    inside: ColumnElement[bool] = table.c.case == any_of(wanted)
    return _records(connection, kind, or_(inside, table.c.case.is_(None)) if "" in wanted else inside)


def _records(connection: Connection, kind: type[R], where: ColumnElement[bool] | None) -> dict[str, R]:
    table = RECORD_TABLES[kind]
    names = ("key", "created_at", "deleted", "extra", *field_names(kind))
    query = select(*(table.c[name] for name in names)).order_by(table.c.key)
    if where is not None:
        query = query.where(where)
    found = {}
    for row in connection.execute(query):
        values = dict(zip(names, row, strict=True))
        if values["extra"]:
            values["extra"] = from_json(values["extra"])
        found[values["key"]] = kind(**values)
    return found


def read_values(connection: Connection, kind: type[Record], keys: Iterable[str]) -> dict[str, Values]:
    """Return the known values of each record by key: a field that nobody has given a value is absent.

    With them goes whether the record is deleted, and when it was created.
    """
    table = RECORD_TABLES[kind]
    names = (*field_names(kind), "created_at", "deleted")
    query = select(table.c.key, table.c.unset, table.c.extra, *(table.c[name] for name in names))
    found: dict[str, Values] = {}
    for key, unset, extra, *row in connection.execute(query.where(table.c.key == any_of(keys))):
        values: dict[str, Value] = dict(zip(names, row, strict=True))
        for name in unset:
            del values[name]
        if extra:
            values.update(from_json(extra))
        found[key] = values
    return found


def any_there(kind: type[Record], keys: Iterable[str]) -> ColumnElement[bool]:
    """Return the question whether any of ``keys`` has a row."""
    table = RECORD_TABLES[kind]
    return exists().where(table.c.key == any_of(keys))


_CHANGED = union_all(
    *(
        select(literal_column(f"'{kind.__name__}'").label("kind"), table.c.key).where(
            table.c.changed_version > bindparam("version")
        )
        for kind, table in RECORD_TABLES.items()
    )
)


def changed_since(connection: Connection, version: int) -> dict[str, frozenset[str]]:
    """Return, by record name, the keys whose row changed for the rules after ``version``."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind, key in connection.execute(_CHANGED, {"version": version}):
        found[kind].add(key)
    return {kind: frozenset(keys) for kind, keys in found.items()}


def read_postings(connection: Connection, pack: str | None = None) -> tuple[Posting, ...]:
    """Return the postings in the order they were booked, of one pack or of all."""
    query = select(posting).order_by(posting.c.seq)
    if pack is not None:
        query = query.where(posting.c.pack == pack)
    return booked(connection, query)


_POSTING = tuple(f.name for f in dataclass_fields(Posting))


def booked(connection: Connection, query: Select[Any]) -> tuple[Posting, ...]:
    """Return the postings that a query for whole rows finds."""
    found = connection.execute(query.with_only_columns(*(posting.c[name] for name in _POSTING)))
    made = []
    for row in found:
        values = dict(zip(_POSTING, row, strict=True))
        values["kind"] = PostingKind(values["kind"])
        made.append(Posting(**values))
    return tuple(made)


def read_events(connection: Connection, cases: Iterable[str] | None = None) -> dict[str, tuple[CaseEvent, ...]]:
    """Return each case's history in the order of (instant, id)."""
    query = select(case_event).order_by(case_event.c.at, case_event.c.event_id)
    if cases is not None:
        query = query.where(case_event.c.case == any_of(cases))
    found: dict[str, list[CaseEvent]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["case"]].append(CaseEvent(**{k: v for k, v in row.items() if k != "client"}))
    return {case: tuple(events) for case, events in found.items()}


_MILESTONE = tuple(f.name for f in dataclass_fields(Milestone))


def read_milestones(connection: Connection, cases: Iterable[str] | None = None) -> dict[str, tuple[Milestone, ...]]:
    """Return each case's milestones in the order of (clock, cycle)."""
    query = select(*(milestone.c[name] for name in _MILESTONE)).order_by(
        milestone.c.case, milestone.c.clock, milestone.c.cycle
    )
    if cases is not None:
        query = query.where(milestone.c.case == any_of(cases))
    found: dict[str, list[Milestone]] = defaultdict(list)
    for row in connection.execute(query):
        values = dict(zip(_MILESTONE, row, strict=True))
        values["warn_at"] = tuple((percent, datetime.fromisoformat(at)) for percent, at in values["warn_at"])
        found[values["case"]].append(Milestone(**values))
    return {case: tuple(marks) for case, marks in found.items()}


# --- writing records --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LocalRow:
    """One record's new local values; a field that is not among them stays as it is."""

    key: str
    values: Values
    created_at: datetime | None = None
    deleted: bool | None = None
    """None: stays as it is."""


def merge_rows(
    connection: Connection,
    client: str,
    kind: type[Record],
    rows: Iterable[LocalRow],
    version: int,
    *,
    looked_at: bool,
) -> None:
    """Leave each row's values in force; a row that is not there is made.

    The rules will look at the rows again because of ``version``, unless they wrote them themselves (``looked_at``).
    Values that are no field of the record go to ``extra``.
    """
    table = RECORD_TABLES[kind]
    typed = field_names(kind)
    groups: dict[tuple[bool, tuple[str, ...]], list[LocalRow]] = defaultdict(list)
    for row in rows:  # most rows of a page give the same fields in the same order
        groups[row.deleted is None, tuple(row.values)].append(row)
    for (stays, given), group in groups.items():
        names = tuple(name for name in typed if name in given)
        others = [name for name in given if name not in typed]
        columns = STAGED | sql_types(table, names)
        copied = (
            (
                row.key,
                row.created_at,
                row.deleted,
                to_json({name: row.values[name] for name in others}) if others else "{}",
                *[row.values[name] for name in names],
            )
            for row in group
        )
        with staged(connection, columns, copied, joined=False) as stage:
            connection.execute(
                text(_merge_sql(table.name, names, stage, looked_at, deleted_stays=stays)),
                {"client": client, "version": version, "given": list(names), "unset": unset(kind, names)},
            )


def unset(kind: type[Record], names: Iterable[str]) -> list[str]:
    """Return the fields of a kind that nobody has given a value, where ``names`` are those that have one."""
    return [name for name in field_names(kind) if name not in set(names)]


STAGED = {"key": "TEXT", "created_at": "TIMESTAMPTZ", "deleted": "BOOLEAN", "extra": "JSONB"}
"""What a staged row has besides its fields; null where nothing is said of its deletion."""


def insert_sql(table: str, names: Iterable[str], stage: str) -> str:
    """Return the statement that makes a row of each staged one; its parameters are the client, version and unset."""
    columns = "".join(f', "{name}"' for name in names)
    return f"""
        INSERT INTO "{table}" AS t (client, key, created_at, deleted, changed_version, unset, extra{columns})
        SELECT :client, key, created_at, coalesce(deleted, false), :version, CAST(:unset AS text[]), extra{columns}
          FROM {stage}
    """


def _merge_sql(table: str, names: Sequence[str], stage: str, looked_at: bool, *, deleted_stays: bool) -> str:
    updates = "".join(f', "{name}" = excluded."{name}"' for name in names)
    deleted = "t.deleted" if deleted_stays else "excluded.deleted"
    version = "" if looked_at else ", changed_version = excluded.changed_version"
    return f"""{insert_sql(table, names, stage)}
        ON CONFLICT (client, key) DO UPDATE SET
            created_at = least(t.created_at, excluded.created_at), deleted = {deleted},
            extra = t.extra || excluded.extra,
            unset = CASE WHEN t.unset = '{{}}' THEN t.unset
                    ELSE ARRAY(SELECT unnest(t.unset) EXCEPT SELECT unnest(CAST(:given AS text[]))) END
            {version}{updates}
    """


def require_rows(connection: Connection, kind: type[Record], keys: Iterable[str]) -> None:
    """Raise StoreRefused if any of ``keys`` has no row: the rules speak only of records that are there."""
    wanted = set(keys)
    table = RECORD_TABLES[kind]
    missing = wanted - set(connection.scalars(select(table.c.key).where(table.c.key == any_of(wanted))))
    if missing:
        raise StoreRefused(f"the rules set fields of a {kind.__name__} that is not there: {min(missing)}")


def mark_deleted(
    connection: Connection, client: str, kind: type[Record], deleted: Mapping[str, bool], version: int
) -> list[str]:
    """Leave each key's row deleted or not as told; return the keys for which that was new."""
    table = RECORD_TABLES[kind]
    with staged(connection, {"key": "TEXT", "deleted": "BOOLEAN"}, deleted.items()) as stage:
        rows = connection.execute(
            text(
                f'UPDATE "{table.name}" t SET deleted = s.deleted, changed_version = :version FROM {stage} s '
                "WHERE t.client = :client AND t.key = s.key AND t.deleted <> s.deleted RETURNING t.key"
            ),
            {"client": client, "version": version},
        )
        return list(rows.scalars())


# --- writing what the rules said --------------------------------------------------------------------------------


def add_events(connection: Connection, client: str, events: Iterable[CaseEvent], version: int) -> int:
    """Leave every event known; the rules will look at the cases that got a new one. Return how many those are.

    A poll brings those of the overlap again, each time: what is known is not staged.
    """
    names = ["event_id", "case", "kind", "field", "old", "new", "at", "by", "by_service"]
    written = ", ".join(f'"{name}"' for name in names)
    given = list(events)
    known = _known_events(connection, {event.case for event in given}) if given else set()
    rows = [[getattr(event, name) for name in names] for event in given if (event.case, event.event_id) not in known]
    if not rows:
        return 0
    with staged(connection, sql_types(case_event, names), rows, joined=False) as stage:
        return connection.execute(
            text(
                f'WITH added AS (INSERT INTO case_event (client, {written}) SELECT DISTINCT ON ("case", event_id) '
                f':client, {written} FROM {stage} ON CONFLICT DO NOTHING RETURNING "case") '
                'UPDATE "case" c SET changed_version = :version FROM (SELECT DISTINCT "case" FROM added) a '
                'WHERE c.client = :client AND c.key = a."case"'
            ),
            {"client": client, "version": version},
        ).rowcount


def _known_events(connection: Connection, cases: set[str]) -> set[tuple[str, str]]:
    query = select(case_event.c.case, case_event.c.event_id).where(case_event.c.case == any_of(cases))
    return {(row.case, row.event_id) for row in connection.execute(query)}


def add_postings(connection: Connection, client: str, postings: Iterable[Posting]) -> int:
    """Book postings together, as one fact; return how many were new.

    A posting whose (source, source_version, leg) was booked before has no second effect (IDM-1). Raises StoreRefused,
    and books nothing, if the same name was booked with other content or a pack would be overdrawn (LED-1).
    """
    names = [f.name for f in dataclass_fields(Posting)]
    given = [replace(one, **{name: clean(getattr(one, name)) for name in names}) for one in postings]
    if not given:
        return 0
    known = booked(connection, select(posting).where(posting.c.source == any_of({one.source for one in given})))
    there = {(one.source, one.source_version, one.leg): one for one in known}
    new: list[Posting] = []
    for one in given:
        before = there.setdefault((one.source, one.source_version, one.leg), one)
        if before is one:
            new.append(one)
        elif any(getattr(before, name) != getattr(one, name) for name in ("pack", "minutes", "kind", "effective_on")):
            raise StoreRefused(
                f"posting {one.source} version {one.source_version} leg {one.leg} was booked differently"
            )
    # The client's row is locked by whoever writes: nobody else chains to the same posting.
    last = connection.scalar(select(posting.c.chained).order_by(posting.c.seq.desc()).limit(1))
    hashes = chain(new, GENESIS if last is None else last)
    written = ", ".join(f'"{name}"' for name in (*names, "chained"))
    columns = {"n": "BIGINT", **sql_types(posting, [*names, "chained"])}
    rows = ([n, *(getattr(one, name) for name in names), hashes[n]] for n, one in enumerate(new))
    with staged(connection, columns, rows) as stage:
        connection.execute(
            text(f"INSERT INTO posting (client, {written}) SELECT :client, {written} FROM {stage} ORDER BY n"),
            {"client": client},
        )
    return len(new)


def read_chain(connection: Connection) -> list[str]:
    """Return the hash kept with each posting, in the order they were booked."""
    return list(connection.scalars(select(posting.c.chained).order_by(posting.c.seq)))


def due_cases(connection: Connection, now: datetime) -> list[str]:
    """Return the cases with a clock that has something to say at or before ``now``: an index and nothing else."""
    query = select(milestone.c.case).where(milestone.c.next_at <= now).distinct().order_by(milestone.c.case)
    return list(connection.scalars(query))


def next_clock_at(connection: Connection) -> datetime | None:
    """Return the earliest instant at which a clock of the client has something to say."""
    earliest: datetime | None = connection.scalar(select(func.min(milestone.c.next_at)))
    return earliest


def put_milestones(connection: Connection, client: str, milestones: Iterable[Milestone], now: datetime) -> None:
    """Leave each milestone in force, and when it has something to say next.

    A breach that was recorded keeps its instant (law 6); only the history itself can withdraw it (PRI-4).
    """
    keys = ("case", "clock", "cycle")
    names = [f.name for f in dataclass_fields(Milestone)]
    rows = (
        [
            *(
                json.dumps([[p, at.isoformat()] for p, at in one.warn_at]) if name == "warn_at" else getattr(one, name)
                for name in names
            ),
            next_due_at([one], now),
        ]
        for one in milestones
    )
    columns = [*names, "next_at"]
    written = ", ".join(f'"{name}"' for name in columns)
    updates = ", ".join(f'"{n}" = excluded."{n}"' for n in columns if n not in (*keys, "breached_at"))
    with staged(connection, sql_types(milestone, columns), rows, joined=False) as stage:
        connection.execute(
            text(
                f"INSERT INTO milestone AS m (client, {written}) SELECT :client, {written} FROM {stage} "
                f'ON CONFLICT (client, "case", clock, cycle) DO UPDATE SET {updates}, '
                "breached_at = CASE WHEN excluded.breached_at IS NULL THEN NULL "
                "ELSE coalesce(m.breached_at, excluded.breached_at) END"
            ),
            {"client": client},
        )


def add_findings(connection: Connection, client: str, findings: Iterable[Finding], now: datetime) -> int:
    """Keep each finding once, with the instant it was first seen; return how many were new."""
    rows = []
    for one in findings:
        same = "\0".join((one.code, one.record, one.rule, one.message, one.at.isoformat() if one.at else ""))
        digest = hashlib.sha256(same.encode("utf-8", "replace")).hexdigest()
        rows.append((digest, one.code, one.record, one.message, one.rule, one.at, to_json(one.details), now))
    if not rows:
        return 0
    names = ["digest", "code", "record", "message", "rule", "at", "details", "first_seen_at"]
    written = ", ".join(f'"{name}"' for name in names)
    with staged(connection, sql_types(finding, names), rows, joined=False) as stage:
        return connection.execute(
            text(
                f"INSERT INTO finding (client, {written}) SELECT DISTINCT ON (digest) :client, {written} FROM {stage} "
                "ON CONFLICT DO NOTHING"
            ),
            {"client": client},
        ).rowcount
