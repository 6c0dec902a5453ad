"""A service desk's event log becomes cases with a history, for ``sfsync demo --cases``.

Reads a CSV with one row a change of an incident (the columns of the public "incident management process
enriched event log"). May not know orgs. It keeps one law: a row that cannot be read stops the import
with its file and line, before anything was made of the rows above it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sfsync.errors import InputError, Place

NEEDED = ("number", "incident_state", "sys_mod_count", "opened_at", "sys_updated_at", "sys_updated_by", "priority")
STAMP = "%d-%m-%Y %H:%M"
UNKNOWN = "?"
PRIORITIES = {"1": "P1", "2": "P2", "3": "P3", "4": "P4"}
WAITING = ("Awaiting User Info", "Awaiting Problem", "Awaiting Vendor", "Awaiting Evidence")
"""States in which the clock of a resolution stands still."""

CLOSED = "Closed"


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one case took another value."""

    field: str
    old: str
    new: str
    at: datetime
    by: str


@dataclass(slots=True)
class Incident:
    """A case with its history; ``status`` and ``priority`` are the newest values."""

    number: str
    opened_at: datetime
    status: str
    priority: str
    category: str
    changes: list[Change] = field(default_factory=list)
    updated_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    number: str
    state: str
    count: int
    opened_at: datetime
    updated_at: datetime
    by: str
    priority: str
    category: str


def read_incidents(path: Path, zone: str) -> list[Incident]:
    """Return the incidents of the log in the order of their numbers; its times are wall times in ``zone``.

    Raises InputError naming file and line.
    """
    rows: dict[str, list[_Row]] = {}
    for row in _rows(path, ZoneInfo(zone)):
        rows.setdefault(row.number, []).append(row)
    return [_incident(number, rows[number]) for number in sorted(rows)]


def _rows(path: Path, zone: ZoneInfo) -> Iterable[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"the first line names no column {', '.join(missing)}", Place(str(path), 1))
            for raw in reader:
                yield _row(path, reader.line_num, raw, zone)
    except OSError as bad:
        raise InputError(f"cannot be read: {bad.strerror}", Place(str(path))) from None
    except UnicodeDecodeError as bad:
        raise InputError(f"is not UTF-8 text (byte {bad.start})", Place(str(path))) from None
    except csv.Error as bad:
        raise InputError(f"is not CSV: {bad}", Place(str(path), reader.line_num)) from None


def _row(path: Path, line: int, raw: dict[str | None, str | None], zone: ZoneInfo) -> _Row:
    if None in raw or None in raw.values():
        raise InputError("this row has more or fewer cells than the first line", Place(str(path), line))
    cells = {str(name): str(value) for name, value in raw.items()}

    def instant(name: str) -> datetime:
        try:
            return datetime.strptime(cells[name], STAMP).replace(tzinfo=zone)
        except ValueError:
            raise InputError(
                f"{cells[name]!r} is no time; write day-month-year hour:minute", Place(str(path), line, name)
            ) from None

    priority = PRIORITIES.get(cells["priority"][:1])
    if priority is None:
        raise InputError(f"{cells['priority']!r} is no priority from 1 to 4", Place(str(path), line, "priority"))
    if not cells["sys_mod_count"].isdecimal():
        raise InputError(f"{cells['sys_mod_count']!r} is no count", Place(str(path), line, "sys_mod_count"))
    if not cells["number"].strip() or not cells["incident_state"].strip():
        raise InputError("number and state may not be empty", Place(str(path), line, "number"))
    return _Row(
        line,
        cells["number"],
        cells["incident_state"],
        int(cells["sys_mod_count"]),
        instant("opened_at"),
        instant("sys_updated_at"),
        cells["sys_updated_by"],
        priority,
        cells.get("category", UNKNOWN),
    )


def _incident(number: str, rows: list[_Row]) -> Incident:
    """Fold the rows of one incident, in the order of (time, count), into a case and its changes.

    A desk may open an incident with a later time than its first row has: nothing happened before it was open.
    """
    rows.sort(key=lambda row: (row.updated_at, row.count))
    first = rows[0]
    opened_at = first.opened_at
    case = Incident(number, first.opened_at, "New", first.priority, first.category)
    for row in rows:
        for name, value in (("status", row.state), ("priority", row.priority)):
            old = getattr(case, name)
            if old != value:
                case.changes.append(Change(name, old, value, max(row.updated_at, opened_at), row.by))
                setattr(case, name, value)
        case.updated_at = row.updated_at
        case.closed_at = row.updated_at if row.state == CLOSED and case.closed_at is None else case.closed_at
        if row.state != CLOSED:
            case.closed_at = None
    return case
