"""Figures of what two sides hold, day by day, and where they differ.

Pure. Both sides count and add the same things, so that equal figures need no look at a single record.
It keeps one law: a difference is named down to the record and the field, never as "roughly equal".
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sfsync.mapping import MappedField, ObjectMapping
from sfsync.mirror.merge import Link
from sfsync.mirror.translate import Seen, Wire, same, selected


@dataclass(slots=True)
class Figures:
    """What one day's records add up to; a record belongs to the day of its stamp, in UTC."""

    count: int = 0
    newest: datetime | None = None
    sums: dict[str, Decimal] = field(default_factory=dict)
    """Field name to the sum of its values, nulls left out; a field without any value is absent."""

    def add(self, stamp: datetime, values: Mapping[str, Wire], numbers: Iterable[MappedField]) -> None:
        """Count one record."""
        self.count += 1
        self.newest = stamp if self.newest is None else max(self.newest, stamp)
        for line in numbers:
            value = values.get(line.name)
            if value is not None:
                self.sums[line.name] = self.sums.get(line.name, Decimal(0)) + Decimal(str(value))


class Kind(StrEnum):
    """How a record differs."""

    MISSING = "missing"
    """The org has it, the store does not know it."""
    GONE = "gone"
    """The store has it, the org does not show it any more."""
    CHANGED = "changed"
    """Both have it, and a field differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that is not the same on both sides."""

    object: str
    sf_id: str
    key: str
    kind: Kind
    field: str = ""
    org: Wire = None
    store: Wire = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an audit found: a dated statement that can be checked later."""

    client: str
    org: str
    organization_id: str
    at: datetime
    records: Mapping[str, int]
    """Object to the number of live records that were compared."""
    differences: tuple[Difference, ...]
    waiting: int
    """Records the store still has to write to the org, quarantined ones included."""
    calls: int

    @property
    def equal(self) -> bool:
        """True if nothing differs and nothing waits to be written."""
        return not self.differences and not self.waiting

    def content(self) -> dict[str, object]:
        """Return the statement as plain data."""
        return {
            "client": self.client,
            "org": self.org,
            "organization_id": self.organization_id,
            "at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "records": dict(sorted(self.records.items())),
            "differences": [{**asdict(one), "kind": one.kind.value} for one in self.differences],
            "waiting": self.waiting,
            "calls": self.calls,
        }

    def digest(self) -> str:
        """Return the SHA-256 of the content: a stored statement that was changed no longer matches it."""
        return digest_of(self.content())


def digest_of(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of a statement's content in its one canonical spelling."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def numbers(mapping: ObjectMapping) -> list[MappedField]:
    """Return the mapped fields that can be added up on both sides."""
    return [line for line in selected(mapping) if line.type.kind in ("integer", "decimal", "hours")]


def figures(mapping: ObjectMapping, links: Iterable[Link]) -> dict[date, Figures]:
    """Return the figures of what an org was last seen to hold, by day."""
    lines = numbers(mapping)
    days: dict[date, Figures] = defaultdict(Figures)
    for link in links:
        if link.sf_id is not None and not link.deleted and link.stamp is not None:
            days[link.stamp.date()].add(link.stamp, link.remote, lines)
    return dict(days)


def unequal_days(ours: Mapping[date, Figures], theirs: Mapping[date, Figures]) -> list[date]:
    """Return the days on which the two sides differ, in order."""
    return sorted(day for day in {*ours, *theirs} if ours.get(day) != theirs.get(day))


def differences(mapping: ObjectMapping, links: Mapping[str, Link], seen: Mapping[str, Seen]) -> list[Difference]:
    """Return how the records of the unequal days differ; both mappings are by id.

    ``links`` must hold every live link with one of those ids or days.
    """
    found: list[Difference] = []
    for sf_id in sorted({*links, *seen}):
        link, shown = links.get(sf_id), seen.get(sf_id)
        if shown is None or shown.deleted:
            if link is not None and not link.deleted:
                found.append(Difference(mapping.object, sf_id, link.key, Kind.GONE))
        elif link is None or link.deleted:
            found.append(Difference(mapping.object, sf_id, shown.key, Kind.MISSING))
        else:
            for name, line in mapping.fields.items():
                theirs, ours = shown.wire.get(name), link.remote.get(name)
                if name in shown.wire and not same(line.type, ours, theirs):
                    found.append(Difference(mapping.object, sf_id, link.key, Kind.CHANGED, name, theirs, ours))
    return found
