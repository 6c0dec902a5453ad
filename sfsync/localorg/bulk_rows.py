"""Rows of a Bulk upload: CSV in its dialects, header to fields, and the write of a batch.

It may not know jobs or HTTP. It keeps one law: an empty cell leaves a field alone, ``#N/A`` makes it null, and every
row gets exactly one outcome.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfsync.localorg import ids
from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError, malformed_id
from sfsync.localorg.records import Options, SaveResult
from sfsync.localorg.schema import SObject
from sfsync.localorg.values import coercion

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
NULL = "#N/A"
LONGEST_CELL = 131_072
MOST_COLUMNS = 5_000
_RETURN = ord("\r")
DELETES = frozenset({"delete", "hardDelete"})
Link = tuple[str, str | None, str]  # relationship, object when it was written, field


class BatchRefused(Exception):
    """The upload as a whole can not be processed; the text is what the job shows."""


@dataclass(slots=True)
class Upload:
    """Delimited text being read: the header, and the rows that have not been taken yet."""

    header: list[str]
    reader: Iterator[list[str]]
    pending: list[list[str]] = field(default_factory=list)  # rows read before the one that could not be

    def take(self, most: int) -> list[list[str]]:
        """Return the next rows, at most ``most``; BatchRefused when the text is not what it should be."""
        rows = self.pending = []
        width = len(self.header)
        try:
            for row in self.reader:
                if not row:
                    continue
                if len(row) != width:
                    if len(row) > width:
                        raise BatchRefused("InvalidBatch : Number of columns in a row exceeds the CSV headers")
                    row += [""] * (width - len(row))
                rows.append(row)
                if len(rows) == most:
                    break
        except (csv.Error, UnicodeDecodeError) as problem:
            raise _unreadable(problem) from None
        self.pending = []
        return rows


def open_upload(data: bytes, delimiter: str, line_ending: str | None) -> Upload:
    """Return the upload in ``data``; BatchRefused for a wrong encoding, line ending or header.

    ``line_ending`` is ``LF`` or ``CRLF`` and must be the text's own; None takes either.
    """
    if b"\x00" in data:
        raise BatchRefused("InvalidBatch : Failed to parse CSV: line contains NUL")
    first_end = data.find(b"\n")
    if line_ending is not None and first_end > 0 and (data[first_end - 1] == _RETURN) != (line_ending == "CRLF"):
        raise BatchRefused(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {line_ending}"
        )
    csv.field_size_limit(LONGEST_CELL * 4)
    # Decoded as it is read: a hundred megabytes would otherwise be several times that.
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except (csv.Error, UnicodeDecodeError) as problem:
        raise _unreadable(problem) from None
    if not any(header):
        raise BatchRefused("InvalidBatch : Unable to find any headers in CSV file")
    if len(header) > MOST_COLUMNS:
        raise BatchRefused(f"InvalidBatch : more than {MOST_COLUMNS} columns")
    return Upload(header, reader)


def _unreadable(problem: csv.Error | UnicodeDecodeError) -> BatchRefused:
    if isinstance(problem, UnicodeDecodeError):
        return BatchRefused("InvalidBatch : Failed to read the data: it is not UTF-8")
    return BatchRefused(f"InvalidBatch : Failed to parse CSV: {problem}")


class _Lines:
    """Takes what a CSV writer writes, a line at a time."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def write(self, line: str) -> None:
        self.found.append(line)


def each_line(rows: Iterable[Sequence[Any]], delimiter: str, line_ending: str) -> list[str]:
    """Return rows as delimited lines with cells quoted only where they must be; None is an empty cell."""
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter, lineterminator=line_ending).writerows(rows)
    return lines.found


@dataclass(slots=True)
class Columns:
    """What the columns of an upload are: fields by place, and lookups by a field of the parent."""

    plain: list[tuple[int, str]] = field(default_factory=list)
    links: list[tuple[int, str, Link]] = field(default_factory=list)  # place, lookup field, how the parent is named

    def record(self, row: Sequence[str]) -> dict[str, Any]:
        """Return the values a row gives: nothing for an empty cell, None for ``#N/A``."""
        record: dict[str, Any] = {}
        for place, name in self.plain:
            cell = row[place]
            if cell:
                record[name] = None if cell == NULL else cell
        for place, lookup, (relationship, object_name, key) in self.links:
            cell = row[place]
            if cell == NULL:
                record[lookup] = None
            elif cell:
                parent: dict[str, Any] = {key: cell}
                if object_name is not None:
                    parent["attributes"] = {"type": object_name}
                record[relationship] = parent
        return record


def columns_of(header: Sequence[str], sobject: SObject, operation: str) -> Columns:
    """Return what the columns are for an operation on ``sobject``; BatchRefused for one that the user does not see."""
    found = Columns()
    seen: set[str] = set()
    for place, name in enumerate(header):
        if name.lower() in seen:
            raise BatchRefused(f"InvalidBatch : Duplicate column found in CSV header: {name}")
        seen.add(name.lower())
        if "." in name:
            _link(found, place, name, sobject)
            continue
        one = sobject.field(name)
        if one is None:
            raise BatchRefused(f"InvalidBatch : Field name not found : {name}")
        found.plain.append((place, one.name))
    if operation in DELETES and [name.lower() for name in header] != ["id"]:
        raise BatchRefused(f"InvalidBatch : Field name not found : a {operation} takes the Id column alone")
    return found


def _link(found: Columns, place: int, name: str, sobject: SObject) -> None:
    """Note a column such as ``Pack__r.Key__c`` or, over a polymorphic lookup, ``User:Owner.Key__c``."""
    path, _, key = name.rpartition(".")
    named, _, relationship = path.rpartition(":")
    lookup = sobject.parent(relationship)
    if lookup is None or lookup.relationship_name is None or "." in path:
        raise BatchRefused(f"InvalidBatch : Field name not found : {name}")
    found.links.append((place, lookup.name, (lookup.relationship_name, named or None, key)))


def write(
    org: LocalOrg,
    actor: Actor,
    object_name: str,
    operation: str,
    external: str | None,
    records: Sequence[Mapping[str, Any]],
    options: Options,
) -> list[SaveResult]:
    """Carry out ``operation`` for every record as ``actor`` and return the outcomes in the order of the records.

    Update and the deletes find a record by the value of its ``Id``.
    """
    with org.running_as(actor):
        try:
            if operation == "insert":
                results = org.records.insert(actor, object_name, records, options)
            elif operation == "upsert":
                results = org.records.upsert(actor, object_name, external or "Id", records, options)
            else:
                results = _by_id(org, actor, object_name, operation, records, options)
        except ApiError as refusal:  # the user may not do this at all: every row says so
            return [SaveResult(errors=[refusal]) for _ in records]
        for record, result in zip(records, results, strict=True):
            if any(error.code == "JSON_PARSER_ERROR" for error in result.errors):
                result.errors = [_of_wrong_type(org, actor, object_name, record, result.errors[0])]
    return results


def _of_wrong_type(
    org: LocalOrg, actor: Actor, object_name: str, record: Mapping[str, Any], told: ApiError
) -> ApiError:
    """The refusal of a value that is not of its field's type, in the words of this API instead of REST's."""
    plan = org.records.plan(actor, object_name)
    for name, value in record.items():
        one = plan.visible.field(name)
        if one is None or isinstance(value, Mapping):
            continue
        try:
            coercion(one, org.schema)(value)
        except ApiError as error:
            if error.code == told.code:
                message = f"{one.label}: value not of required type: {value}"
                return ApiError(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", message, [one.name])
    return told


def _by_id(
    org: LocalOrg,
    actor: Actor,
    object_name: str,
    operation: str,
    records: Sequence[Mapping[str, Any]],
    options: Options,
) -> list[SaveResult]:
    results: list[SaveResult | None] = []
    work: list[tuple[str, Mapping[str, Any]]] = []
    for record in records:
        values = dict(record)
        written = values.pop(next((key for key in record if key.lower() == "id"), "Id"), None)
        record_id = ids.to_long(str(written).strip())
        if not written:
            missing = ApiError(400, "MISSING_ARGUMENT", f"Id not specified in an {operation} call", [])
            results.append(SaveResult(errors=[missing]))
        elif record_id is None:
            results.append(SaveResult(errors=[malformed_id(str(written))]))
        else:
            results.append(None)
            work.append((record_id, values))
    if operation == "update":
        done = org.records.update(actor, object_name, work, options)
    else:
        wanted = [(object_name, record_id) for record_id, _ in work]
        done = org.removal.delete(actor, wanted, hard=operation == "hardDelete")
    outcomes = iter(done)
    return [result if result is not None else next(outcomes) for result in results]


def error_text(result: SaveResult) -> str:
    """Return what the ``sf__Error`` column says about a refused row."""
    return "".join(error.as_bulk() for error in result.errors)
