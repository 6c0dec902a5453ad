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
FIRST_YEAR = 1970
LONGEST = 120
"""Characters of a cell that is read; what is longer is no event log."""

PRIORITIES = {"1": "P1", "2": "P2", "3": "P3", "4": "P4"}
LEAST = "P4"
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
class Log:
    """An event log that was read whole."""

    incidents: list[Incident]
    """In the order of their numbers."""
    rows: int
    unknown: int
    """How many cells of the columns that are read said ``?``."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row; None is a value that the desk did not know."""

    line: int
    number: str
    state: str | None
    count: int
    opened_at: datetime | None
    updated_at: datetime | None
    by: str
    priority: str | None
    category: str


def read_incidents(path: Path, zone: str, now: datetime) -> Log:
    """Return the incidents of the log, whose times are wall times in ``zone`` before ``now``.

    What the desk did not know (``?``) is counted; a state or a priority that nobody knew stays as it was, and a row
    without a time happened when the row before it did. Raises InputError naming file, line and column.
    """
    rows: dict[str, list[_Row]] = {}
    unknown = 0
    for row, gaps in _rows(path, ZoneInfo(zone), now):
        rows.setdefault(row.number, []).append(row)
        unknown += gaps
    if not rows:
        raise InputError("there is no row below the first line", Place(str(path), 1))
    incidents = [_incident(path, number, rows[number]) for number in sorted(rows)]
    return Log(incidents, sum(map(len, rows.values())), unknown)


def _rows(path: Path, zone: ZoneInfo, now: datetime) -> Iterable[tuple[_Row, int]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"the first line names no column {', '.join(missing)}", Place(str(path), 1))
            for raw in reader:
                yield _row(path, reader.line_num, raw, zone, now)
    except OSError as bad:
        raise InputError(f"cannot be read: {bad.strerror}", Place(str(path))) from None
    except UnicodeDecodeError as bad:
        raise InputError(f"is not UTF-8 text (byte {bad.start}); save it as UTF-8", Place(str(path))) from None
    except csv.Error as bad:
        raise InputError(f"is not CSV: {bad}", Place(str(path), reader.line_num)) from None


def _row(path: Path, line: int, raw: dict[str | None, str | None], zone: ZoneInfo, now: datetime) -> tuple[_Row, int]:
    if None in raw or None in raw.values():
        raise InputError("this row has more or fewer cells than the first line", Place(str(path), line))
    cells = {name: str(raw.get(name, UNKNOWN)).strip() for name in (*NEEDED, "category")}

    def broken(name: str, why: str) -> InputError:
        shown = cells[name] if len(cells[name]) <= LONGEST else f"{cells[name][:20]}..."
        return InputError(f"{shown!r} {why}", Place(str(path), line, name))

    def instant(name: str) -> datetime | None:
        if cells[name] == UNKNOWN:
            return None
        try:
            at = datetime.strptime(cells[name], STAMP).replace(tzinfo=zone)
        except ValueError:
            raise broken(name, "is no time; write day-month-year hour:minute") from None
        if at.year < FIRST_YEAR or at > now:
            raise broken(name, f"is no time between {FIRST_YEAR} and now")
        return at

    for name, value in cells.items():
        if len(value) > LONGEST or not value.isprintable():
            raise broken(name, f"is not a line of at most {LONGEST} printable characters")
    if cells["number"] in ("", UNKNOWN) or not cells["incident_state"]:
        raise InputError("number and state may not be empty", Place(str(path), line, "number"))
    priority = None if cells["priority"] == UNKNOWN else PRIORITIES.get(cells["priority"][:1])
    if priority is None and cells["priority"] != UNKNOWN:
        raise broken("priority", "is no priority from 1 to 4")
    if not (cells["sys_mod_count"].isascii() and cells["sys_mod_count"].isdecimal()):
        raise broken("sys_mod_count", "is no count")
    row = _Row(
        line,
        cells["number"],
        None if cells["incident_state"] == UNKNOWN else cells["incident_state"],
        int(cells["sys_mod_count"]),
        instant("opened_at"),
        instant("sys_updated_at"),
        cells["sys_updated_by"],
        priority,
        cells["category"],
    )
    return row, sum(value == UNKNOWN for value in cells.values())


def _incident(path: Path, number: str, rows: list[_Row]) -> Incident:
    """Fold the rows of one incident, in the order of (time, count), into a case and its changes.

    A desk may open an incident with a later time than its first row has: nothing happened before it was open.
    """
    placed = sorted(_placed(path, rows), key=lambda one: (one[0], one[1].count))
    opened_at = next((row.opened_at for _, row in placed if row.opened_at), placed[0][0])
    priority = next((row.priority for _, row in placed if row.priority), LEAST)
    case = Incident(number, opened_at, "New", priority, placed[0][1].category)
    for at, row in placed:
        for name, value in (("status", row.state), ("priority", row.priority)):
            old = getattr(case, name)
            if value is not None and old != value:
                case.changes.append(Change(name, old, value, max(at, opened_at), row.by))
                setattr(case, name, value)
        if case.status != CLOSED:
            case.closed_at = None
        elif case.closed_at is None:
            case.closed_at = at
        case.updated_at = at
    return case


def _placed(path: Path, rows: list[_Row]) -> Iterable[tuple[datetime, _Row]]:
    """Give each row the time it happened at; one that has none happened when the one before it did."""
    rows = sorted(rows, key=lambda row: row.count)
    known = [at for row in rows for at in (row.updated_at, row.opened_at) if at]
    if not known:
        raise InputError("no row of this incident has a time", Place(str(path), rows[0].line, "sys_updated_at"))
    before = known[0]
    for row in rows:
        before = row.updated_at or before
        yield before, row
