"""How changes travel for the fewest calls: rows in order, chunks of rows, and which of them go by Bulk.

Values in, values out; nothing is sent here. This module may not know what the org answers. It keeps one law: a record
that others point to is never sent behind them, and no row is sent twice in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from itertools import groupby
from typing import Any

from sfsync.mapping import MappedField, Mappings, ObjectMapping
from sfsync.mirror.plan import Change
from sfsync.mirror.translate import BULK_NULL, KEY_FIELD, Wire, line_of, wire_to_csv, wire_to_json
from sfsync.org.composite import Sub, pack
from sfsync.org.schema import REVISION, ObjectSeen
from sfsync.org.session import dump_json
from sfsync.org.soql import Unquotable, key_path, name, record_id, record_path

COLLECTION = 200
"""Rows of one collections request."""
RUNS = 10
"""Runs of one type in a collections request."""
BULK_FROM = 6_000
"""Rows of one object and operation from which a Bulk job costs fewer calls (about 6) than composites of 1,000."""
BULK_FIELD = 32_000
"""Characters of one cell that Bulk takes."""
BULK_BYTES = 90_000_000
"""Bytes of one job's CSV: Salesforce takes 150 MB after base64."""
KEY = "key:"
NO_ASSIGNMENT = {"Sforce-Auto-Assign": "FALSE"}
"""Without it a write to a Case can change who owns it."""


class NotYet(Exception):
    """A row points to a record that this org does not have and that no key can name."""


@dataclass(slots=True)
class Row:
    """One change on its way."""

    change: Change
    mapping: ObjectMapping
    body: dict[str, Any]
    """Field values as JSON, without id, key and type."""
    size: int
    wave: int = 0
    """Rows of a wave point only to rows of earlier waves."""
    attempts: int = 0
    unless_changed: datetime | None = None
    """Written only if nobody changed it since; such a row travels alone, with a condition."""

    @property
    def creates(self) -> bool:
        """True if it travels as an upsert on its key."""
        return self.change.sf_id is None

    @property
    def external(self) -> str:
        """The external id it carries in the org."""
        return self.mapping.external(self.change.key)


@dataclass(slots=True)
class Chunk:
    """Rows of one collections request: updates of any type, or upserts of one."""

    rows: list[Row]
    lone: bool = False
    """Sent in a call of its own, because the call with others was refused as a whole."""
    attempts: int = 0

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(row.size for row in self.rows)

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return the chunk in two, for finding the bad row."""
        middle = len(self.rows) // 2
        return Chunk(self.rows[:middle], self.lone), Chunk(self.rows[middle:], self.lone)


@dataclass(slots=True)
class Batch:
    """What is done next: chunks by composite, or rows of one object and operation by a Bulk job."""

    chunks: list[Row] = field(default_factory=list)
    bulk: list[Row] = field(default_factory=list)


def row_of(change: Change, mappings: Mappings, schema: Mapping[str, ObjectSeen]) -> Row:
    """Return ``change`` as a row; NotYet if it points to a record nobody can name, Unquotable for a wrong id."""
    mapping = mappings.by_object[change.object]
    if change.sf_id is not None:
        record_id(change.sf_id)
    elif mapping.key is None:
        raise Unquotable(f"{change.object} has no key: it is created by people only")
    body: dict[str, Any] = {}
    for field_name, wire in change.fields.items():
        line = line_of(mapping, field_name)
        api, value = _named(line, wire, mappings)
        body[api] = value
    seen = schema.get(change.object)
    if seen.revision if seen is not None else mapping.custom:
        body[REVISION] = change.revision
    if mapping.whose and mapping.key is not None and change.sf_id is not None and KEY_FIELD not in change.fields:
        body[mapping.key] = mapping.external(change.key)  # from here on it is this client's, wherever it is moved
    return Row(change, mapping, body, len(dump_json(body)) + 120)


def _named(line: MappedField, wire: Wire, mappings: Mappings) -> tuple[str, Any]:
    """Return name and JSON value of a field; a lookup to a key is written through the parent's external id."""
    if line.type.kind != "lookup" or not str(wire or "").startswith(KEY):
        return line.api, wire_to_json(line.type, wire)
    target = mappings.by_object.get(line.type.target)
    if target is None or target.key is None:
        raise NotYet(f"{line.label}: {str(wire)[len(KEY) :]} is not in this org yet")
    return line.relationship, {target.key: target.external(str(wire)[len(KEY) :])}


def ordered(rows: Sequence[Row], mappings: Mappings) -> list[Row]:
    """Return ``rows`` with parents before children, creates before updates, rows of one parent together.

    Sets each row's wave. A record that appears twice is written twice, the second time in a later wave.
    """
    position = {mapping.object: index for index, mapping in enumerate(mappings)}
    creating = {row.change.key: row for row in rows if row.creates}
    fixed: set[int] = set()

    def place(row: Row, above: frozenset[str]) -> int:
        if id(row) in fixed or row.change.key in above:
            return row.wave
        parents = [
            creating[key]
            for value in row.change.fields.values()
            if isinstance(value, str) and value.startswith(KEY) and (key := value[len(KEY) :]) in creating
        ]
        under = above | {row.change.key}
        row.wave = 1 + max((place(parent, under) for parent in parents if parent is not row), default=-1)
        fixed.add(id(row))
        return row.wave

    last: dict[tuple[str, str], int] = {}
    for row in rows:
        place(row, frozenset())
        named = (row.change.object, row.change.sf_id or row.change.key)
        if named in last:
            row.wave = max(row.wave, last[named] + 1)
        last[named] = row.wave
    return sorted(rows, key=lambda r: (r.wave, not r.creates, position[r.change.object], r.change.parent, r.change.key))


def batches(rows: Sequence[Row]) -> list[Batch]:
    """Return ``rows`` (in order) as what is done one after the other.

    Many rows of one object and operation are a Bulk job; the rest are gathered and travel together, before the first
    job that may depend on them.
    """
    made: list[Batch] = []
    gathered: list[Row] = []
    for wave, in_wave in groupby(rows, key=lambda r: r.wave):
        jobs: list[list[Row]] = []
        for _, group in groupby(in_wave, key=lambda r: (r.creates, r.change.object)):
            several = list(group)
            able = [row for row in several if bulk_can(row)] if len(several) >= BULK_FROM else []
            if len(able) >= BULK_FROM:
                jobs += _by_bytes(able)
                chosen = set(map(id, able))
                several = [row for row in several if id(row) not in chosen]
            gathered += several
        if jobs and gathered and wave > 0:
            made.append(Batch(chunks=gathered))
            gathered = []
        made += [Batch(bulk=job) for job in jobs]
    return [*made, Batch(chunks=gathered)] if gathered else made


def _by_bytes(rows: Sequence[Row]) -> list[list[Row]]:
    jobs: list[list[Row]] = [[]]
    size = 0
    for row in rows:
        if size + row.size > BULK_BYTES:
            jobs.append([])
            size = 0
        jobs[-1].append(row)
        size += row.size
    return jobs


def bulk_can(row: Row) -> bool:
    """Return whether a Bulk job can carry the row: no text that means null there, no cell that is too long."""
    if row.unless_changed is not None:
        return False
    texts = [v for v in row.change.fields.values() if isinstance(v, str)]
    return all(text != BULK_NULL and len(text) <= BULK_FIELD for text in texts)


def chunked(rows: Iterable[Row], most: int) -> list[Chunk]:
    """Return ``rows`` (in order) as chunks of at most ``most`` rows and ten types, none across waves."""
    made: list[Chunk] = []
    runs = 0
    for row in rows:
        here = made[-1].rows if made else []
        alone = row.unless_changed is not None or (bool(here) and here[-1].unless_changed is not None)
        fits = (
            bool(here)
            and not alone
            and here[-1].wave == row.wave
            and here[-1].creates == row.creates
            and len(here) < most
        )
        new_type = not here or here[-1].change.object != row.change.object
        if fits and new_type and (row.creates or runs == RUNS):
            fits = False
        if not fits:
            made.append(Chunk([]))
            runs = 0
        runs += new_type or not fits
        made[-1].rows.append(row)
    return made


def spread(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return ``chunks`` with small ones cut into single rows where that saves calls.

    Single rows are no collections, of which a composite takes five; it takes 25 requests in all.
    """
    best: list[Chunk] = list(chunks)
    fewest = calls_for(best)
    for limit in (1, 3, 6, 12, 20):
        tried = [
            part
            for chunk in chunks
            for part in ([Chunk([row]) for row in chunk.rows] if len(chunk.rows) <= limit else [chunk])
        ]
        if (calls := calls_for(tried)) < fewest:
            best, fewest = tried, calls
    return best


def calls_for(chunks: Sequence[Chunk]) -> int:
    """Return how many API calls the chunks take."""
    return len(pack([request(chunk) for chunk in chunks], [chunk.size for chunk in chunks]))


def request(chunk: Chunk) -> Sub:
    """Return the request that carries a chunk: a collection, or one record."""
    first = chunk.rows[0]
    if len(chunk.rows) == 1:
        mapping = first.mapping
        if first.change.sf_id is not None:
            path = record_path(mapping.object, first.change.sf_id)
        else:
            path = key_path(mapping.object, str(mapping.key), first.external)
        headers = dict(NO_ASSIGNMENT)
        if first.unless_changed is not None:
            headers["If-Unmodified-Since"] = format_datetime(first.unless_changed, usegmt=True)
        return Sub("PATCH", path, first.body, headers, kind="row")
    records = []
    for row in chunk.rows:
        record: dict[str, Any] = {"attributes": {"type": row.mapping.object}}
        if row.change.sf_id is not None:
            record["id"] = row.change.sf_id
        else:
            record[str(row.mapping.key)] = row.external
        records.append(record | row.body)
    path = "composite/sobjects"
    if first.creates:
        path += f"/{name(first.mapping.object)}/{name(str(first.mapping.key))}"
    return Sub("PATCH", path, {"allOrNone": False, "records": records}, NO_ASSIGNMENT, kind="collection")


def csv_of(rows: Sequence[Row], mappings: Mappings) -> tuple[list[str], list[list[str]], str]:
    """Return header, cells and the column that names the record, for a Bulk job of ``rows``.

    Every column that any row writes; a row that does not write one has an empty cell there, which leaves the field
    alone. Null is ``#N/A``.
    """
    first = rows[0]
    named_by = str(first.mapping.key) if first.creates else "Id"
    columns: dict[str, int] = {named_by: 0}
    parsed: list[dict[str, str]] = []
    for row in rows:
        cells = {named_by: row.external if row.creates else str(row.change.sf_id)}
        if not row.creates and row.mapping.key in row.body:
            cells[str(row.mapping.key)] = row.external
        for field_name, wire in row.change.fields.items():
            line = line_of(row.mapping, field_name)
            api, value = _named(line, wire, mappings)
            if isinstance(value, dict):
                ((key_field, key),) = value.items()
                cells[f"{api}.{key_field}"] = key
            else:
                cells[api] = wire_to_csv(wire)
        if REVISION in row.body:
            cells[REVISION] = str(row.change.revision)
        for column in cells:
            columns.setdefault(column, len(columns))
        parsed.append(cells)
    return list(columns), [[cells.get(column, "") for column in columns] for cells in parsed], named_by
